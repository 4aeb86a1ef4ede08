//! The network against plain loops in double precision: outputs, gradients of every parameter, and the treatment of
//! rows without gradient.

mod reference;

use super::*;
use crate::kernels::Pool;
use crate::object2vec::dataset::{Dataset, Tokens};
use crate::object2vec::hyperparameters::OptimizerKind;
use crate::object2vec::optimizer::Optimizer;
use reference::reference;

type Lists = Vec<Vec<u32>>;

fn shape(
    comparators: &[Comparator],
    dim: usize,
    mlp_dim: usize,
    mlp_layers: usize,
    activation: Activation,
) -> Shape {
    Shape {
        sides: [7, 5].map(|vocab| side(vocab, dim)),
        tied: false,
        dim,
        comparators: comparators.to_vec(),
        mlp_dim,
        mlp_layers,
        activation,
        outputs: 1,
        history: [false; 2],
        bias_terms: false,
    }
}

fn side(vocab: usize, width: usize) -> SideShape {
    SideShape { vocab, width, network: EncoderNetwork::PooledEmbedding, layers: 1, filter_width: 3 }
}

/// The histories that these pairs make, without labels.
fn history(sides: &str, in0: &Lists, in1: &Lists) -> History {
    let names = [
        ("enc0_max_seq_len", "1"),
        ("enc0_vocab_size", "7"),
        ("enc1_vocab_size", "5"),
        ("enc0_network", "pooled_embedding"),
        ("output_layer", "mean_squared_error"),
        ("_history", "implicit"),
        ("_history_sides", sides),
    ];
    let names = names.map(|(name, value)| (name.to_owned(), value.to_owned()));
    let h = Hyperparameters::from_pairs(names.into_iter().collect()).unwrap();
    let labels = vec![0.0; in0.len()];
    let sides = [tokens(in0), tokens(in1)];
    History::new(&h, &Dataset { sides, labels, truncated: false }).unwrap()
}

fn lists(count: usize, vocab: u32, longest: u32, seed: u64) -> Lists {
    let mut random = Random::new(seed, 99);
    (0..count).map(|_| (0..=random.below(longest)).map(|_| random.below(vocab)).collect()).collect()
}

fn tokens(lists: &Lists) -> Tokens {
    let mut tokens = Tokens::default();
    lists.iter().for_each(|list| tokens.push(list));
    tokens
}

/// All parameters, one after the other, as doubles: tables, then weights and bias of each layer.
fn flat(network: &Network) -> Vec<f64> {
    let mut all = Vec::new();
    let mut push = |values: &[f32]| all.extend(values.iter().map(|&x| f64::from(x)));
    network.tables.iter().for_each(|t| (0..t.rows()).for_each(|r| push(t.row(r))));
    for layer in network.dense() {
        (0..layer.weights.rows()).for_each(|r| push(layer.weights.row(r)));
        push(&layer.bias);
    }
    all
}

/// Runs one step of plain gradient descent with rate 1 and returns the change of every parameter, that is, the
/// gradient of half the mean squared error.
fn gradient(
    network: &Network,
    in0: &Lists,
    in1: &Lists,
    labels: &[f64],
    past: Option<&History>,
    threads: usize,
) -> (Vec<f64>, Vec<f64>) {
    let pool = Pool::new(threads);
    let (t0, t1) = (tokens(in0), tokens(in1));
    let pairs: Vec<Pair> = (0..labels.len() as u32).map(Pair::given).collect();
    let past = past.map(|history| Past { history, dropout: None });
    let batch = Batch { sides: [&t0, &t1], pairs: &pairs, past };
    let mut moved = network.clone();
    let mut space = Workspace::new(&network.shape, labels.len() + 3, true);
    let optimizer = Optimizer { kind: OptimizerKind::Sgd, learning_rate: 1.0, weight_decay: 0.0 };
    let mut states = States::new(&network.shape, optimizer, false);
    states.prepare(&pool, &mut moved, &mut space, batch);
    moved.forward(&pool, &mut space, batch, Dropouts::default());
    let outputs: Vec<f64> = (0..labels.len()).map(|i| f64::from(space.output.row(i)[0])).collect();
    let g = space.gradients.as_mut().unwrap();
    for (i, (output, label)) in outputs.iter().zip(labels).enumerate() {
        g.output.row_mut(i)[0] = ((output - label) / labels.len() as f64) as f32;
    }
    states.step(&pool, &mut moved, &mut space, batch, Dropouts::default());
    let change = flat(network).iter().zip(flat(&moved)).map(|(before, after)| before - after).collect();
    (outputs, change)
}

fn check_gradients(shape: Shape, seed: u64) {
    check_gradients_with(shape.history, shape, seed);
}

/// `met`: which sides have a history, in a table of its own or in that of the other side.
fn check_gradients_with(met: [bool; 2], shape: Shape, seed: u64) {
    let count = 11;
    let longest = match shape.sides[0].network {
        _ if met != [false; 2] => [0, 0],
        EncoderNetwork::PooledEmbedding => [3, 2],
        _ => [6, 2],
    };
    let in0 = lists(count, 7, longest[0], seed);
    let in1 = lists(count, shape.sides[1].vocab as u32, longest[1], seed + 1);
    let past = match met {
        [false, false] => None,
        [true, false] => Some(history("0", &in0, &in1)),
        [false, true] => Some(history("1", &in0, &in1)),
        [true, true] => Some(history("both", &in0, &in1)),
    };
    let labels: Vec<f64> = (0..count).map(|i| (i % 5) as f64 / 2.0).collect();
    let mut network = Network::xavier(shape, seed);
    // Without biases a window of zeros lies exactly where relu has no derivative.
    for layer in network.dense_mut() {
        layer.bias.iter_mut().enumerate().for_each(|(i, b)| *b += (i * 7 % 5) as f32 * 0.03 - 0.05);
    }
    // Those of the options start from zero, where some gradients vanish.
    for (t, table) in network.tables.iter_mut().enumerate().skip(2) {
        let rows = table.rows();
        (0..rows).for_each(|r| {
            table.row_mut(r).iter_mut().enumerate().for_each(|(c, x)| *x = ((t + r * 3 + c) % 7) as f32 / 7.0)
        });
    }
    let p = flat(&network);
    let shape = &network.shape;
    let loss = |p: &[f64]| -> f64 {
        let outputs = reference(shape, met, p, &in0, &in1);
        outputs.iter().zip(&labels).map(|(o, l)| (o - l) * (o - l)).sum::<f64>() / (2.0 * count as f64)
    };
    let (outputs, got) = gradient(&network, &in0, &in1, &labels, past.as_ref(), 1);
    for (got, want) in outputs.iter().zip(reference(shape, met, &p, &in0, &in1)) {
        assert!((got - want).abs() < 1e-5, "output {got} {want}");
    }
    let mut wrong = 0;
    for i in 0..p.len() {
        let difference = |step: f64| {
            let (mut up, mut down) = (p.clone(), p.clone());
            up[i] += step;
            down[i] -= step;
            (loss(&up) - loss(&down)) / (2.0 * step)
        };
        let want = difference(1e-6);
        wrong += usize::from((got[i] - want).abs() > 1e-4 * want.abs().max(0.05));
    }
    assert_eq!(wrong, 0, "{shape:?}: {wrong} of {} gradients differ", p.len());
    for threads in [2, 3] {
        assert_eq!(
            gradient(&network, &in0, &in1, &labels, past.as_ref(), threads).1,
            got,
            "depends on the number of threads"
        );
    }
}

#[test]
fn gradients_equal_finite_differences() {
    use Activation::{Linear, Relu, Tanh};
    use Comparator::{AbsDiff, Concat, Hadamard};
    for (i, activation) in [Linear, Relu, Tanh].into_iter().enumerate() {
        check_gradients(shape(&[Hadamard, Concat, AbsDiff], 6, 9, 1, activation), i as u64);
        check_gradients(shape(&[AbsDiff, Hadamard], 17, 4, 2, activation), 10 + i as u64);
        check_gradients(shape(&[Concat], 4, 20, 3, activation), 20 + i as u64);
        check_gradients(shape(&[Hadamard], 16, 3, 0, activation), 30 + i as u64);
    }
    let mut tied = shape(&[Hadamard, Concat, AbsDiff], 5, 6, 1, Tanh);
    (tied.tied, tied.sides) = (true, [side(7, 5), side(7, 5)]);
    check_gradients(tied, 40);
}

#[test]
fn gradients_of_the_options_equal_finite_differences() {
    use Comparator::{Concat, Hadamard};
    let base = || shape(&[Hadamard, Concat], 6, 5, 1, Activation::Tanh);
    check_gradients(Shape { bias_terms: true, ..base() }, 60);
    for (seed, met) in [(61, [true, false]), (65, [false, true]), (66, [true, true])] {
        check_gradients(Shape { history: met, ..base() }, seed);
        check_gradients(Shape { history: met, bias_terms: true, ..base() }, seed + 10);
        check_gradients_with(met, base(), seed + 20);
    }
    let mut tied = Shape { bias_terms: true, ..base() };
    (tied.tied, tied.sides) = (true, [side(7, 6), side(7, 6)]);
    check_gradients(tied, 63);
}

#[test]
fn a_folded_history_answers_as_the_sums_do() {
    let shape = Shape { history: [true; 2], ..shape(&[Comparator::Hadamard], 6, 5, 0, Activation::Tanh) };
    let ids = [lists(40, 7, 0, 1), lists(40, 5, 0, 2)];
    let history = history("both", &ids[0], &ids[1]);
    let mut network = Network::xavier(shape, 1);
    for table in &mut network.tables[2..] {
        (0..table.rows()).for_each(|r| table.row_mut(r).fill(r as f32 * 0.1 - 0.2));
    }
    let folded = history.fold(&network);
    assert_eq!((folded.shape.history, folded.tables.len()), ([false; 2], 2));
    for side in 0..2 {
        for object in 0..folded.tables[side].rows() {
            let met: Vec<usize> = (0..40)
                .filter(|&r| ids[side][r][0] as usize == object)
                .map(|r| ids[1 - side][r][0] as usize)
                .collect();
            for (c, got) in folded.tables[side].row(object).iter().enumerate() {
                let sum: f32 = met.iter().map(|&other| network.tables[2 + side].row(other)[c]).sum();
                let want = network.tables[side].row(object)[c] + sum / (met.len().max(1) as f32).sqrt();
                assert!((got - want).abs() < 1e-5, "{got} {want}");
            }
        }
    }
}

#[test]
fn gradients_of_encoders_that_read_in_order_equal_finite_differences() {
    use EncoderNetwork::{BiLstm, Hcnn, PooledEmbedding};
    let base = |dim| shape(&[Comparator::Hadamard, Comparator::Concat], dim, 5, 1, Activation::Tanh);
    let encoder = |network, vocab, width, layers, filter_width| SideShape {
        vocab,
        width,
        network,
        layers,
        filter_width,
    };
    for (seed, first, second) in [
        (50, encoder(Hcnn, 7, 3, 1, 3), encoder(PooledEmbedding, 5, 9, 1, 3)),
        (51, encoder(Hcnn, 7, 4, 3, 2), encoder(Hcnn, 5, 3, 2, 5)),
        (52, encoder(BiLstm, 7, 3, 1, 3), encoder(PooledEmbedding, 5, 9, 1, 3)),
        (53, encoder(BiLstm, 7, 4, 2, 3), encoder(Hcnn, 5, 3, 4, 1)),
        (54, encoder(Hcnn, 7, 17, 2, 9), encoder(BiLstm, 5, 18, 3, 3)),
    ] {
        check_gradients(Shape { sides: [first, second], ..base(9) }, seed);
    }
    let shared = encoder(BiLstm, 7, 4, 1, 3);
    check_gradients(Shape { sides: [shared.clone(), shared], tied: true, ..base(6) }, 55);
}

#[test]
fn what_a_list_encodes_to_does_not_depend_on_its_neighbours() {
    for network in [EncoderNetwork::Hcnn, EncoderNetwork::BiLstm] {
        let one = SideShape { vocab: 9, width: 5, network, layers: 2, filter_width: 4 };
        let shape =
            Shape { sides: [one.clone(), one], ..shape(&[Comparator::Concat], 7, 3, 0, Activation::Linear) };
        let network = Network::xavier(shape, 3);
        let pool = Pool::new(2);
        let all = tokens(&lists(40, 9, 12, 4));
        let mut space = Workspace::new(&network.shape, 40, false);
        let pairs: Vec<Pair> = (0..40).map(Pair::given).collect();
        network.encode(&pool, &mut space, 0, Batch { sides: [&all, &all], pairs: &pairs, past: None });
        let together = space.encoded[0].clone();
        for pair in &pairs {
            network.encode(
                &pool,
                &mut space,
                0,
                Batch { sides: [&all, &all], pairs: std::slice::from_ref(pair), past: None },
            );
            let (alone, among) = (space.encoded[0].row(0), together.row(pair.first as usize));
            assert!(alone.iter().zip(among).all(|(a, b)| (a - b).abs() < 1e-6), "{alone:?} {among:?}");
        }
    }
}

/// Trains for some steps on changing batches and returns all parameters.
fn train(optimizer: Optimizer, row_sparse: bool, take_part: bool, dropout: f32, steps: u32) -> Vec<f64> {
    let pool = Pool::new(2);
    let shape = Shape {
        sides: [side(40, 9), side(30, 9)],
        ..shape(&[Comparator::Hadamard, Comparator::Concat], 9, 8, 1, Activation::Tanh)
    };
    let mut network = Network::xavier(shape.clone(), 5);
    let mut states = States::new(&shape, optimizer, row_sparse);
    if take_part {
        states.let_all_rows_take_part();
    }
    let (t0, t1) = (tokens(&lists(300, 40, 2, 1)), tokens(&lists(300, 30, 2, 2)));
    let mut space = Workspace::new(&shape, 4, true);
    let mut random = Random::new(8, 8);
    for step in 1..=steps {
        let pairs: Vec<Pair> = (0..4).map(|_| Pair::given(random.below(300))).collect();
        let batch = Batch { sides: [&t0, &t1], pairs: &pairs, past: None };
        let dropout = Dropout::new(dropout, 3, u64::from(step));
        let dropouts = Dropouts { encodings: dropout, layers: dropout };
        states.prepare(&pool, &mut network, &mut space, batch);
        network.forward(&pool, &mut space, batch, dropouts);
        for (i, pair) in pairs.iter().enumerate() {
            let error = space.output.row(i)[0] - (pair.first % 5) as f32;
            space.gradients.as_mut().unwrap().output.row_mut(i)[0] = error / 4.0;
        }
        states.step(&pool, &mut network, &mut space, batch, dropouts);
        if step % 50 == 0 {
            states.settle(&pool, &mut network);
        }
    }
    states.settle(&pool, &mut network);
    flat(&network)
}

fn largest_difference(a: &[f64], b: &[f64]) -> f64 {
    a.iter().zip(b).map(|(a, b)| (a - b).abs()).fold(0.0, f64::max)
}

#[test]
fn touched_rows_with_catching_up_equal_a_dense_pass() {
    for (kind, weight_decay) in [
        (OptimizerKind::Adam, 0.0),
        (OptimizerKind::Sgd, 0.0),
        (OptimizerKind::Sgd, 0.01),
        (OptimizerKind::AdaGrad, 0.01),
        (OptimizerKind::RmsProp, 0.0),
        (OptimizerKind::AdaDelta, 0.0),
    ] {
        let optimizer = Optimizer { kind, learning_rate: 1e-3, weight_decay };
        let touched = train(optimizer, false, false, 0.2, 400);
        let dense = train(optimizer, false, true, 0.2, 400);
        let difference = largest_difference(&touched, &dense);
        assert!(difference < 2e-5, "{optimizer:?}: {difference}");
        let start = flat(&Network::xavier(
            Shape {
                sides: [side(40, 9), side(30, 9)],
                ..shape(&[Comparator::Hadamard, Comparator::Concat], 9, 8, 1, Activation::Tanh)
            },
            5,
        ));
        assert!(largest_difference(&touched, &start) > 1e-3, "nothing was learned");
    }
}

#[test]
fn row_sparse_storage_leaves_other_rows_alone_and_differs_from_dense() {
    let optimizer = Optimizer { kind: OptimizerKind::Adam, learning_rate: 1e-3, weight_decay: 0.0 };
    let lazy = train(optimizer, true, false, 0.0, 100);
    let dense = train(optimizer, false, false, 0.0, 100);
    assert!(largest_difference(&lazy, &dense) > 1e-4);
}

#[test]
fn the_chapter_has_the_documented_number_of_parameters() {
    let mut shape = shape(
        &[Comparator::Hadamard, Comparator::Concat, Comparator::AbsDiff],
        1024,
        256,
        1,
        Activation::Relu,
    );
    shape.sides = [side(12_347, 1024), side(985, 1024)];
    assert_eq!(shape.parameters(), 14_701_057);
    assert_eq!(shape.layers(), [(4096, 256), (256, 1)]);
}

#[test]
fn softmax_is_stable_and_sums_to_one() {
    for values in [vec![0.0, 0.0], vec![1000.0, 999.0, -1000.0], vec![-1e30, 5.0]] {
        let mut p = values.clone();
        softmax(&mut p);
        assert!((p.iter().sum::<f32>() - 1.0).abs() < 1e-6, "{values:?}");
        assert!(p.iter().all(|p| p.is_finite()));
    }
    let mut p = [0.0, 3f32.ln()];
    softmax(&mut p);
    assert!((p[1] - 0.75).abs() < 1e-6);
}

#[test]
fn xavier_draws_within_its_bound() {
    let network = Network::xavier(shape(&[Comparator::Concat], 16, 8, 1, Activation::Relu), 1);
    let bound = (6.0f32 / (7 + 16) as f32).sqrt();
    let table = &network.tables[0];
    let all: Vec<f32> = (0..7).flat_map(|r| table.row(r).to_vec()).collect();
    assert!(all.iter().all(|w| w.abs() <= bound) && all.iter().any(|w| w.abs() > 0.8 * bound));
    assert!(network.layers.iter().all(|layer| layer.bias.iter().all(|&b| b == 0.0)));
}

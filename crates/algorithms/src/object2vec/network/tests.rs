//! The network against plain loops in double precision: outputs, gradients of every parameter, and the treatment of
//! rows without gradient.

use super::*;
use crate::kernels::Pool;
use crate::object2vec::dataset::Tokens;
use crate::object2vec::hyperparameters::OptimizerKind;
use crate::object2vec::optimizer::Optimizer;

type Lists = Vec<Vec<u32>>;

fn shape(
    comparators: &[Comparator],
    dim: usize,
    mlp_dim: usize,
    mlp_layers: usize,
    activation: Activation,
) -> Shape {
    Shape {
        vocab: [7, 5],
        tied: false,
        dim,
        comparators: comparators.to_vec(),
        mlp_dim,
        mlp_layers,
        activation,
        outputs: 1,
    }
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
    for layer in &network.layers {
        (0..layer.weights.rows()).for_each(|r| push(layer.weights.row(r)));
        push(&layer.bias);
    }
    all
}

/// The network's outputs by plain loops.
fn reference(shape: &Shape, p: &[f64], in0: &Lists, in1: &Lists) -> Vec<f64> {
    let d = shape.dim;
    let second = if shape.tied { 0 } else { shape.vocab[0] * d };
    let mean = |start: usize, list: &[u32]| -> Vec<f64> {
        (0..d)
            .map(|j| list.iter().map(|&t| p[start + t as usize * d + j]).sum::<f64>() / list.len() as f64)
            .collect()
    };
    let run = |(a, b): (&Vec<u32>, &Vec<u32>)| {
        let (a, b) = (mean(0, a), mean(second, b));
        let mut x: Vec<f64> = Vec::new();
        for comparator in &shape.comparators {
            match comparator {
                Comparator::Hadamard => x.extend((0..d).map(|j| a[j] * b[j])),
                Comparator::Concat => x.extend(a.iter().chain(&b)),
                Comparator::AbsDiff => x.extend((0..d).map(|j| (a[j] - b[j]).abs())),
            }
        }
        let mut at = shape.tables().iter().sum::<usize>() * d;
        let sizes = shape.layers();
        for (index, &(inputs, outputs)) in sizes.iter().enumerate() {
            let bias = at + inputs * outputs;
            let mut y: Vec<f64> = (0..outputs)
                .map(|o| p[bias + o] + (0..inputs).map(|i| x[i] * p[at + i * outputs + o]).sum::<f64>())
                .collect();
            if index + 1 < sizes.len() {
                y.iter_mut().for_each(|v| match shape.activation {
                    Activation::Linear => {}
                    Activation::Relu => *v = v.max(0.0),
                    Activation::Tanh => *v = v.tanh(),
                });
            }
            x = y;
            at = bias + outputs;
        }
        x[0]
    };
    in0.iter().zip(in1).map(run).collect()
}

/// Runs one step of plain gradient descent with rate 1 and returns the change of every parameter, that is, the
/// gradient of half the mean squared error.
fn gradient(
    network: &Network,
    in0: &Lists,
    in1: &Lists,
    labels: &[f64],
    threads: usize,
) -> (Vec<f64>, Vec<f64>) {
    let pool = Pool::new(threads);
    let (t0, t1) = (tokens(in0), tokens(in1));
    let pairs: Vec<Pair> = (0..labels.len() as u32).map(Pair::given).collect();
    let batch = Batch { sides: [&t0, &t1], pairs: &pairs };
    let mut moved = network.clone();
    let mut space = Workspace::new(&network.shape, labels.len() + 3, true);
    let optimizer = Optimizer { kind: OptimizerKind::Sgd, learning_rate: 1.0, weight_decay: 0.0 };
    let mut states = States::new(&network.shape, optimizer, false);
    states.prepare(&pool, &mut moved, &mut space, batch);
    moved.forward(&pool, &mut space, batch, None);
    let outputs: Vec<f64> = (0..labels.len()).map(|i| f64::from(space.output.row(i)[0])).collect();
    let g = space.gradients.as_mut().unwrap();
    for (i, (output, label)) in outputs.iter().zip(labels).enumerate() {
        g.output.row_mut(i)[0] = ((output - label) / labels.len() as f64) as f32;
    }
    states.step(&pool, &mut moved, &mut space, batch, None);
    let change = flat(network).iter().zip(flat(&moved)).map(|(before, after)| before - after).collect();
    (outputs, change)
}

fn check_gradients(shape: Shape, seed: u64) {
    let count = 11;
    let (in0, in1) = (lists(count, 7, 3, seed), lists(count, shape.vocab[1] as u32, 2, seed + 1));
    let labels: Vec<f64> = (0..count).map(|i| (i % 5) as f64 / 2.0).collect();
    let network = Network::xavier(shape, seed);
    let p = flat(&network);
    let shape = &network.shape;
    let loss = |p: &[f64]| -> f64 {
        let outputs = reference(shape, p, &in0, &in1);
        outputs.iter().zip(&labels).map(|(o, l)| (o - l) * (o - l)).sum::<f64>() / (2.0 * count as f64)
    };
    let (outputs, got) = gradient(&network, &in0, &in1, &labels, 1);
    for (got, want) in outputs.iter().zip(reference(shape, &p, &in0, &in1)) {
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
            gradient(&network, &in0, &in1, &labels, threads).1,
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
    (tied.tied, tied.vocab) = (true, [7, 7]);
    check_gradients(tied, 40);
}

/// Trains for some steps on changing batches and returns all parameters.
fn train(optimizer: Optimizer, row_sparse: bool, take_part: bool, dropout: f32, steps: u32) -> Vec<f64> {
    let pool = Pool::new(2);
    let shape = Shape {
        vocab: [40, 30],
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
        let batch = Batch { sides: [&t0, &t1], pairs: &pairs };
        let dropout = forward::Dropout::new(dropout, 3, step);
        states.prepare(&pool, &mut network, &mut space, batch);
        network.forward(&pool, &mut space, batch, dropout);
        for (i, pair) in pairs.iter().enumerate() {
            let error = space.output.row(i)[0] - (pair.first % 5) as f32;
            space.gradients.as_mut().unwrap().output.row_mut(i)[0] = error / 4.0;
        }
        states.step(&pool, &mut network, &mut space, batch, dropout);
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
                vocab: [40, 30],
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
    shape.vocab = [12_347, 985];
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

//! The network by plain loops in double precision, straight from the formulas.

use super::Lists;
use crate::object2vec::hyperparameters::{Activation, Comparator, EncoderNetwork};
use crate::object2vec::network::Shape;

/// `x W + b` by plain loops; moves `p` past the layer.
fn dense(p: &mut &[f64], x: &[f64], outputs: usize, bias: bool) -> Vec<f64> {
    let (w, rest) = p.split_at(x.len() * outputs);
    let (b, rest) = rest.split_at(if bias { outputs } else { 0 });
    *p = rest;
    let sum = |o: usize| x.iter().enumerate().map(|(i, x)| x * w[i * outputs + o]).sum::<f64>();
    (0..outputs).map(|o| sum(o) + b.get(o).unwrap_or(&0.0)).collect()
}

/// The maximum of each column.
fn maxima(rows: &[Vec<f64>]) -> Vec<f64> {
    (0..rows[0].len()).map(|j| rows.iter().map(|row| row[j]).fold(f64::NEG_INFINITY, f64::max)).collect()
}

/// One encoder by plain loops, straight from its formulas; `p` begins with its parameters.
fn reference_encoder(shape: &Shape, index: usize, mut p: &[f64], tokens: Vec<Vec<f64>>) -> Vec<f64> {
    let side = &shape.sides[index];
    let layers = shape.encoder_layers(index);
    let count = tokens.len();
    let mut all = tokens;
    let mut encoding = Vec::new();
    match side.network {
        EncoderNetwork::PooledEmbedding => {
            return (0..side.width).map(|j| all.iter().map(|x| x[j]).sum::<f64>() / count as f64).collect();
        }
        EncoderNetwork::Hcnn => {
            for layer in &layers {
                let (width, w) = (all[0].len(), side.filter_width as isize);
                let start = p;
                let convolve = |t: isize| {
                    let window = (t - (w - 1) / 2..t + w / 2 + 1).flat_map(|at| {
                        let there = usize::try_from(at).ok().and_then(|at| all.get(at));
                        there.cloned().unwrap_or(vec![0.0; width])
                    });
                    let y = dense(&mut { start }, &window.collect::<Vec<_>>(), layer.outputs, true);
                    y.into_iter().map(|y| y.max(0.0)).collect::<Vec<_>>()
                };
                let next: Vec<Vec<f64>> = (0..count as isize).map(convolve).collect();
                p = &p[(layer.inputs + 1) * layer.outputs..];
                encoding.extend(maxima(&next));
                all = next;
            }
        }
        EncoderNetwork::BiLstm => {
            for pair in layers.chunks(4) {
                let mut sides = Vec::new();
                for (direction, layers) in pair.chunks(2).enumerate() {
                    let (h_size, start) = (layers[1].inputs, p);
                    let (mut h, mut c) = (vec![0.0; h_size], vec![0.0; h_size]);
                    let mut outputs = vec![Vec::new(); count];
                    for step in 0..count {
                        let t = if direction == 1 { count - 1 - step } else { step };
                        let mut weights = start;
                        let x = dense(&mut weights, &all[t], 4 * h_size, true);
                        let r = dense(&mut weights, &h, 4 * h_size, false);
                        let sum = |j: usize| x[j] + r[j];
                        let gate = |j: usize| 1.0 / (1.0 + (-sum(j)).exp());
                        for j in 0..h_size {
                            c[j] = gate(h_size + j) * c[j] + gate(j) * sum(3 * h_size + j).tanh();
                            h[j] = gate(2 * h_size + j) * c[j].tanh();
                        }
                        outputs[t] = h.clone();
                        p = weights;
                    }
                    sides.push(outputs);
                }
                all = (0..count).map(|t| [sides[0][t].clone(), sides[1][t].clone()].concat()).collect();
            }
            encoding = maxima(&all);
        }
    }
    encoding
}

/// The network's outputs by plain loops.
pub(super) fn reference(shape: &Shape, met: [bool; 2], p: &[f64], in0: &Lists, in1: &Lists) -> Vec<f64> {
    let d = shape.dim;
    let tables: usize = shape.tables().iter().map(|(_, rows, columns)| rows * columns).sum();
    let second = if shape.tied { 0 } else { shape.sides[0].vocab * shape.sides[0].width };
    let size = |side: usize| -> usize {
        let layers = shape.encoder_layers(side);
        layers.iter().map(|layer| (layer.inputs + usize::from(layer.bias)) * layer.outputs).sum()
    };
    let starts = [tables, tables + size(0)];
    let encode = |index: usize, list: &[u32]| -> Vec<f64> {
        let (side, table) = (&shape.sides[index], if index == 0 { 0 } else { second });
        let look_up = |&t: &u32| p[table + t as usize * side.width..][..side.width].to_vec();
        let tokens: Vec<Vec<f64>> = list.iter().map(look_up).collect();
        reference_encoder(shape, index, &p[starts[index]..], tokens)
    };
    let run = |(a, b): (&Vec<u32>, &Vec<u32>)| {
        let (ids, (mut a, mut b)) = ((a, b), (encode(0, a), encode(1, b)));
        let mut own_table = second + shape.sides[1].vocab * shape.sides[1].width;
        for side in (0..2).filter(|&side| met[side]) {
            let (own, other, encoding) = if side == 0 { (in0, in1, &mut a) } else { (in1, in0, &mut b) };
            let (own_id, other_id) = if side == 0 { (ids.0, ids.1) } else { (ids.1, ids.0) };
            let met: Vec<u32> = (0..own.len()).filter(|&r| own[r] == *own_id).map(|r| other[r][0]).collect();
            let start = match (shape.history[side], side) {
                (true, _) => own_table,
                (false, 0) => second,
                (false, _) => 0,
            };
            for &object in met.iter().filter(|&&object| object != other_id[0]) {
                let y = &p[start + object as usize * d..][..d];
                encoding.iter_mut().zip(y).for_each(|(e, y)| *e += y / (met.len() as f64).sqrt());
            }
            own_table += if shape.history[side] { shape.sides[1 - side].vocab * d } else { 0 };
        }
        let mut x: Vec<f64> = Vec::new();
        for comparator in &shape.comparators {
            match comparator {
                Comparator::Hadamard => x.extend((0..d).map(|j| a[j] * b[j])),
                Comparator::Concat => x.extend(a.iter().chain(&b)),
                Comparator::AbsDiff => x.extend((0..d).map(|j| (a[j] - b[j]).abs())),
            }
        }
        let mut at = starts[1] + size(1);
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
        let mut biases =
            tables - if shape.bias_terms { shape.sides[0].vocab + shape.sides[1].vocab } else { 0 };
        let mut sum = x[0];
        if shape.bias_terms {
            for (list, side) in [ids.0, ids.1].into_iter().zip(&shape.sides) {
                sum += list.iter().map(|&t| p[biases + t as usize]).sum::<f64>() / list.len() as f64;
                biases += side.vocab;
            }
        }
        sum
    };
    in0.iter().zip(in1).map(run).collect()
}

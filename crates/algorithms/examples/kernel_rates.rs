//! Prints how fast the matrix kernels run at the sizes of a dense layer: `kernel_rates [batch inputs outputs threads]`.

use std::time::Instant;

use sagebrush_algorithms::kernels::{
    AdamStep, BackwardScratch, Isa, Matrix, Pool, adam_update, backward, forward,
};

fn main() {
    let arguments: Vec<usize> = std::env::args().skip(1).filter_map(|a| a.parse().ok()).collect();
    let at = |i: usize, default| arguments.get(i).copied().unwrap_or(default);
    let (batch, inputs, outputs, threads) = (at(0, 64), at(1, 4096), at(2, 256), at(3, 2));
    let pool = Pool::new(threads);
    let (x, mut w, mut y) =
        (Matrix::zeroed(batch, inputs), Matrix::zeroed(inputs, outputs), Matrix::zeroed(batch, outputs));
    let (mut m, mut v, mut dx) =
        (Matrix::zeroed(inputs, outputs), Matrix::zeroed(inputs, outputs), Matrix::zeroed(batch, inputs));
    let mut scratch = BackwardScratch::new(batch, outputs);
    let step = AdamStep { rate: 1e-3, beta1: 0.9, beta2: 0.999, epsilon: 1e-8, decay: 0.0 };
    let flops = 2.0 * (batch * inputs * outputs) as f64;
    println!("{batch} x {inputs} x {outputs}, {threads} threads, {:?}", Isa::detect());
    report("forward", flops, || forward(&pool, &x, batch, &w, &mut y, |_, _, _| {}));
    report("backward (dx, dw)", 2.0 * flops, || {
        backward(
            &pool,
            &mut scratch,
            &x,
            &y,
            batch,
            &mut w,
            [&mut m, &mut v],
            Some(&mut dx),
            |_, _, _, _| {},
        );
    });
    report("backward + adam", 2.0 * flops, || {
        backward(
            &pool,
            &mut scratch,
            &x,
            &y,
            batch,
            &mut w,
            [&mut m, &mut v],
            Some(&mut dx),
            |_, w, [m, v], g| {
                adam_update(w, m, v, g, step);
            },
        );
    });
}

/// Median time of repeated calls.
fn report(name: &str, flops: f64, mut call: impl FnMut()) {
    let mut times: Vec<f64> = (0..200)
        .map(|_| {
            let start = Instant::now();
            call();
            start.elapsed().as_secs_f64()
        })
        .collect();
    times.sort_by(f64::total_cmp);
    let (median, best) = (times[100], times[0]);
    println!(
        "{name:<20} median {:8.3} ms {:6.1} GFLOP/s   best {:8.3} ms {:6.1} GFLOP/s",
        median * 1e3,
        flops / median / 1e9,
        best * 1e3,
        flops / best / 1e9
    );
}

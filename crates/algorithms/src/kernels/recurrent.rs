//! Loops of the sequence encoders: one step of a long short-term memory, and maxima over time.
//!
//! All slices of a call have the same length.

use super::isa::multiversion;

/// `exp(x)` with a relative error of about 1e-7, in operations that exist for whole vectors: `x = n ln 2 + r`, a
/// polynomial in r (the coefficients of Cephes' expf), and n in the exponent. Beyond +-87 the result stays finite.
#[inline(always)]
fn exp(x: f32) -> f32 {
    /// Adding it rounds to a whole number, which then stands in the low bits.
    const ROUND: f32 = 12_582_912.0;
    let x = x.clamp(-87.0, 87.0);
    let shifted = x * std::f32::consts::LOG2_E + ROUND;
    let n = shifted - ROUND;
    let r = x - n * 0.693_359_4 + n * 2.121_944_4e-4;
    let mut p = 1.987_569_2e-4;
    for coefficient in [1.398_2e-3, 8.333_452e-3, 4.166_579_6e-2, 1.666_666_6e-1, 0.5] {
        p = p * r + coefficient;
    }
    let power = shifted.to_bits().wrapping_sub(ROUND.to_bits()).wrapping_add(127) << 23;
    (p * r * r + r + 1.0) * f32::from_bits(power)
}

#[inline(always)]
fn sigmoid(x: f32) -> f32 {
    1.0 / (1.0 + exp(-x))
}

#[inline(always)]
fn tanh(x: f32) -> f32 {
    1.0 - 2.0 / (1.0 + exp(2.0 * x))
}

multiversion! {
    /// One step of a memory cell (Hochreiter and Schmidhuber 1997, with the forget gate of Gers et al. 2000). The
    /// inputs of the gates i, f, o and of the candidate g are replaced by their values; then
    /// `c = f c_before + i g`, `h = o tanh(c)`.
    pub fn lstm_forward(
        i: &mut [f32], f: &mut [f32], o: &mut [f32], g: &mut [f32], before: &[f32], c: &mut [f32], h: &mut [f32],
    ) {
        for ((((((i, f), o), g), &before), c), h) in i.iter_mut().zip(f).zip(o).zip(g).zip(before).zip(c).zip(h) {
            (*i, *f, *o, *g) = (sigmoid(*i), sigmoid(*f), sigmoid(*o), tanh(*g));
            *c = *f * before + *i * *g;
            *h = *o * tanh(*c);
        }
    }
}

multiversion! {
    /// Gradient of [`lstm_forward`]: `dh` is that of h, `dc` that of c from the step after; the values of the gates in
    /// i, f, o, g are replaced by the gradients of their inputs, and `dc` by that of `c_before`.
    pub fn lstm_backward(
        i: &mut [f32], f: &mut [f32], o: &mut [f32], g: &mut [f32], before: &[f32], c: &[f32], dh: &[f32],
        dc: &mut [f32],
    ) {
        let n = dc.len();
        let (i, f, o, g) = (&mut i[..n], &mut f[..n], &mut o[..n], &mut g[..n]);
        let (before, c, dh) = (&before[..n], &c[..n], &dh[..n]);
        for e in 0..n {
            let t = tanh(c[e]);
            let d = dc[e] + dh[e] * o[e] * (1.0 - t * t);
            dc[e] = d * f[e];
            let (di, df, dout, dg) = (d * g[e], d * before[e], dh[e] * t, d * i[e]);
            i[e] = di * i[e] * (1.0 - i[e]);
            f[e] = df * f[e] * (1.0 - f[e]);
            o[e] = dout * o[e] * (1.0 - o[e]);
            g[e] = dg * (1.0 - g[e] * g[e]);
        }
    }
}

multiversion! {
    /// Where `x` is above `most`, both `most` becomes `x` and `at` becomes `step`: a running maximum over time, of
    /// which the first of equal values counts.
    pub fn latest_maximum(most: &mut [f32], at: &mut [f32], x: &[f32], step: f32) {
        for ((most, at), &x) in most.iter_mut().zip(at).zip(x) {
            let above = x > *most;
            *most = if above { x } else { *most };
            *at = if above { step } else { *at };
        }
    }
}

multiversion! {
    /// Gradient of [`latest_maximum`]: `dx += g` where the maximum was found in this `step`.
    pub fn spread_maximum(dx: &mut [f32], g: &[f32], at: &[f32], step: f32) {
        for ((dx, &g), &at) in dx.iter_mut().zip(g).zip(at) {
            *dx += if at == step { g } else { 0.0 };
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn values(n: usize, seed: usize) -> Vec<f32> {
        (0..n).map(|i| ((i * 37 + seed * 101) % 61) as f32 / 12.0 - 2.5).collect()
    }

    #[test]
    fn exp_sigmoid_and_tanh_are_accurate() {
        for i in -9_000..9_000 {
            let x = i as f32 / 100.0;
            let exact = f64::from(x).clamp(-87.0, 87.0).exp();
            assert!((f64::from(exp(x)) - exact).abs() < 3e-7 * exact, "{x}: {} {exact}", exp(x));
            assert!((f64::from(tanh(x)) - f64::from(x).tanh()).abs() < 3e-7, "{x}");
            assert!((f64::from(sigmoid(x)) - 1.0 / (1.0 + (-f64::from(x)).exp())).abs() < 2e-7, "{x}");
        }
    }

    #[test]
    fn a_step_of_memory_agrees_with_its_formula_and_its_gradient_with_differences() {
        let formula = |v: [f64; 5]| {
            let [i, f, o, g, before] = v;
            let s = |x: f64| 1.0 / (1.0 + (-x).exp());
            let c = s(f) * before + s(i) * g.tanh();
            (c, s(o) * c.tanh())
        };
        for n in (0..40).chain([100]) {
            let inputs: [Vec<f32>; 5] = std::array::from_fn(|k| values(n, k));
            let [mut i, mut f, mut o, mut g, before] = inputs.clone();
            let (mut c, mut h) = (vec![0.0; n], vec![0.0; n]);
            lstm_forward(&mut i, &mut f, &mut o, &mut g, &before, &mut c, &mut h);
            let (dh, dc_after) = (values(n, 7), values(n, 8));
            let mut dc = dc_after.clone();
            lstm_backward(&mut i, &mut f, &mut o, &mut g, &before, &c, &dh, &mut dc);
            for e in 0..n {
                let at = inputs.each_ref().map(|v| f64::from(v[e]));
                let (want_c, want_h) = formula(at);
                assert!((f64::from(c[e]) - want_c).abs() < 2e-6 && (f64::from(h[e]) - want_h).abs() < 2e-6);
                let loss = |v| {
                    let (c, h) = formula(v);
                    f64::from(dc_after[e]) * c + f64::from(dh[e]) * h
                };
                for (k, got) in [i[e], f[e], o[e], g[e], dc[e]].into_iter().enumerate() {
                    let (mut up, mut down) = (at, at);
                    up[k] += 1e-5;
                    down[k] -= 1e-5;
                    let want = (loss(up) - loss(down)) / 2e-5;
                    assert!((f64::from(got) - want).abs() < 1e-5, "{n} {e} {k}: {got} {want}");
                }
            }
        }
    }

    #[test]
    fn the_first_of_equal_maxima_gets_the_gradient() {
        for n in 0..40 {
            let steps = [values(n, 1), values(n, 2), values(n, 1)];
            let (mut most, mut at) = (vec![f32::NEG_INFINITY; n], vec![0.0; n]);
            steps.iter().enumerate().for_each(|(t, x)| latest_maximum(&mut most, &mut at, x, t as f32));
            let mut spread = vec![vec![0.0; n]; 3];
            for (t, dx) in spread.iter_mut().enumerate() {
                spread_maximum(dx, &vec![1.0; n], &at, t as f32);
            }
            for e in 0..n {
                let first = usize::from(steps[1][e] > steps[0][e]);
                assert_eq!(most[e], steps[first][e]);
                assert!((0..3).all(|t| spread[t][e] == f32::from(u8::from(t == first))));
            }
        }
    }
}

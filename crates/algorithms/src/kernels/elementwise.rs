//! Fused loops over equally long slices, each compiled for every instruction set.
//!
//! Slices of different lengths are walked up to the shortest; callers pass equal ones.

use super::isa::multiversion;

/// Below this a first moment is set to zero: it cannot move a weight any more, and numbers that small would soon be
/// denormal, on which every operation costs a hundred times as much.
const SMALLEST_MOMENT: f32 = 1e-30;
/// The same for a second moment; its root is 10^9 times smaller than the usual epsilon.
const SMALLEST_SQUARE: f32 = 1e-34;

/// Constants of one Adam step (Kingma and Ba 2015, in MXNet's form: the bias correction is part of `rate`).
#[derive(Clone, Copy, Debug)]
pub struct AdamStep {
    /// `lr * sqrt(1 - beta2^t) / (1 - beta1^t)`.
    pub rate: f32,
    /// Decay of the first moment.
    pub beta1: f32,
    /// Decay of the second moment.
    pub beta2: f32,
    /// Added to the root of the second moment.
    pub epsilon: f32,
    /// Coupled L2: the gradient gets `decay * w` added.
    pub decay: f32,
}

/// What a run of Adam steps without gradient does to a weight, in closed form:
/// `w -= moved * m / (sqrt(v) + epsilon)`, `m *= first`, `v *= second`.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct SkippedSteps {
    /// Sum over the skipped steps j of `rate_j * (beta1 / sqrt(beta2))^j`.
    pub moved: f32,
    /// Epsilon, weighted over the skipped steps.
    pub epsilon: f32,
    /// `beta1^k`.
    pub first: f32,
    /// `beta2^k`.
    pub second: f32,
}

multiversion! {
    /// One Adam step: `g' = g + decay w; m = b1 m + (1 - b1) g'; v = b2 v + (1 - b2) g'^2; w -= rate m / (sqrt(v) + eps)`.
    pub fn adam_update(w: &mut [f32], m: &mut [f32], v: &mut [f32], g: &[f32], step: AdamStep) {
        let (c1, c2) = (1.0 - step.beta1, 1.0 - step.beta2);
        for (((w, m), v), &g) in w.iter_mut().zip(m).zip(v).zip(g) {
            let g = g + step.decay * *w;
            let first = step.beta1 * *m + c1 * g;
            let second = step.beta2 * *v + c2 * (g * g);
            let first = if first.abs() < SMALLEST_MOMENT { 0.0 } else { first };
            let second = if second < SMALLEST_SQUARE { 0.0 } else { second };
            *w -= step.rate * first / (second.sqrt() + step.epsilon);
            *m = first;
            *v = second;
        }
    }
}

multiversion! {
    /// The effect of steps that were skipped because there was no gradient; see [`SkippedSteps`].
    pub fn adam_catch_up(w: &mut [f32], m: &mut [f32], v: &mut [f32], skipped: SkippedSteps) {
        for ((w, m), v) in w.iter_mut().zip(m).zip(v) {
            *w -= skipped.moved * *m / (v.sqrt() + skipped.epsilon);
            let (first, second) = (skipped.first * *m, skipped.second * *v);
            *m = if first.abs() < SMALLEST_MOMENT { 0.0 } else { first };
            *v = if second < SMALLEST_SQUARE { 0.0 } else { second };
        }
    }
}

multiversion! {
    /// `w -= rate * (g + decay w)`.
    pub fn sgd_update(w: &mut [f32], g: &[f32], rate: f32, decay: f32) {
        for (w, &g) in w.iter_mut().zip(g) {
            *w -= rate * (g + decay * *w);
        }
    }
}

multiversion! {
    /// AdaGrad: `h += g^2; w -= rate (g / sqrt(h + epsilon) + decay w)`.
    pub fn adagrad_update(w: &mut [f32], h: &mut [f32], g: &[f32], rate: f32, epsilon: f32, decay: f32) {
        for ((w, h), &g) in w.iter_mut().zip(h).zip(g) {
            *h += g * g;
            *w -= rate * (g / (*h + epsilon).sqrt() + decay * *w);
        }
    }
}

multiversion! {
    /// RMSProp, not centred: `g' = g + decay w; n = gamma n + (1 - gamma) g'^2; w -= rate g' / sqrt(n + epsilon)`.
    pub fn rmsprop_update(w: &mut [f32], n: &mut [f32], g: &[f32], rate: f32, gamma: f32, epsilon: f32, decay: f32) {
        for ((w, n), &g) in w.iter_mut().zip(n).zip(g) {
            let g = g + decay * *w;
            let square = gamma * *n + (1.0 - gamma) * (g * g);
            *n = if square < SMALLEST_SQUARE { 0.0 } else { square };
            *w -= rate * g / (*n + epsilon).sqrt();
        }
    }
}

multiversion! {
    /// AdaDelta (Zeiler 2012): `a = rho a + (1 - rho) g^2; d = sqrt(b + epsilon) / sqrt(a + epsilon) g;
    /// b = rho b + (1 - rho) d^2; w -= d + decay w`.
    pub fn adadelta_update(
        w: &mut [f32], a: &mut [f32], b: &mut [f32], g: &[f32], rho: f32, epsilon: f32, decay: f32,
    ) {
        for (((w, a), b), &g) in w.iter_mut().zip(a).zip(b).zip(g) {
            let square = rho * *a + (1.0 - rho) * (g * g);
            let delta = (*b + epsilon).sqrt() / (square + epsilon).sqrt() * g;
            let moved = rho * *b + (1.0 - rho) * (delta * delta);
            *a = if square < SMALLEST_SQUARE { 0.0 } else { square };
            *b = if moved < SMALLEST_SQUARE { 0.0 } else { moved };
            *w -= delta + decay * *w;
        }
    }
}

multiversion! {
    /// `x *= a`, results too small to matter become zero.
    pub fn scale(x: &mut [f32], a: f32) {
        for x in x {
            let scaled = a * *x;
            *x = if scaled.abs() < SMALLEST_SQUARE { 0.0 } else { scaled };
        }
    }
}

multiversion! {
    /// `y += a x`.
    pub fn add_scaled(y: &mut [f32], x: &[f32], a: f32) {
        for (y, &x) in y.iter_mut().zip(x) {
            *y += a * x;
        }
    }
}

multiversion! {
    /// `y += x`.
    pub fn add(y: &mut [f32], x: &[f32]) {
        for (y, &x) in y.iter_mut().zip(x) {
            *y += x;
        }
    }
}

multiversion! {
    /// `out = a b`.
    pub fn multiply(out: &mut [f32], a: &[f32], b: &[f32]) {
        for ((out, &a), &b) in out.iter_mut().zip(a).zip(b) {
            *out = a * b;
        }
    }
}

multiversion! {
    /// `out = |a - b|`.
    pub fn subtract_abs(out: &mut [f32], a: &[f32], b: &[f32]) {
        for ((out, &a), &b) in out.iter_mut().zip(a).zip(b) {
            *out = (a - b).abs();
        }
    }
}

multiversion! {
    /// Gradient of [`multiply`]: `da += g b`, `db += g a`.
    pub fn hadamard_backward(g: &[f32], a: &[f32], b: &[f32], da: &mut [f32], db: &mut [f32]) {
        for ((((&g, &a), &b), da), db) in g.iter().zip(a).zip(b).zip(da).zip(db) {
            *da += g * b;
            *db += g * a;
        }
    }
}

multiversion! {
    /// Gradient of [`subtract_abs`]: `da += g sign(a - b)`, `db -= g sign(a - b)`; zero where `a = b`.
    pub fn abs_diff_backward(g: &[f32], a: &[f32], b: &[f32], da: &mut [f32], db: &mut [f32]) {
        for ((((&g, &a), &b), da), db) in g.iter().zip(a).zip(b).zip(da).zip(db) {
            let difference = a - b;
            let up = if difference > 0.0 { g } else { 0.0 };
            let down = if difference < 0.0 { g } else { 0.0 };
            *da += up - down;
            *db -= up - down;
        }
    }
}

multiversion! {
    /// `x = max(x, 0)`.
    pub fn relu(x: &mut [f32]) {
        for x in x {
            *x = x.max(0.0);
        }
    }
}

multiversion! {
    /// `g = 0` where the output `y` is not positive.
    pub fn relu_backward(g: &mut [f32], y: &[f32]) {
        for (g, &y) in g.iter_mut().zip(y) {
            *g = if y > 0.0 { *g } else { 0.0 };
        }
    }
}

/// `x = tanh(x)`.
pub fn tanh(x: &mut [f32]) {
    for x in x {
        *x = x.tanh();
    }
}

multiversion! {
    /// `g *= 1 - (scale y)^2`, where `scale y` is the output of tanh (`y` may have been enlarged by dropout).
    pub fn tanh_backward(g: &mut [f32], y: &[f32], scale: f32) {
        for (g, &y) in g.iter_mut().zip(y) {
            let t = scale * y;
            *g *= 1.0 - t * t;
        }
    }
}

multiversion! {
    /// Inverted dropout of the elements `first..`: each is kept with probability `1 - threshold / 2^32` and then
    /// multiplied by `scale`, otherwise set to zero. Which are kept depends on `seed` and position only, so the same
    /// call on the gradient is the backward pass, and no mask is stored.
    pub fn dropout(x: &mut [f32], seed: u32, first: usize, threshold: u32, scale: f32) {
        let first = first as u32;
        for (i, x) in x.iter_mut().enumerate() {
            // The finaliser of MurmurHash3 (public domain) over a Weyl sequence.
            let mut h = seed ^ first.wrapping_add(i as u32).wrapping_mul(0x9e37_79b9);
            h = (h ^ (h >> 16)).wrapping_mul(0x85eb_ca6b);
            h = (h ^ (h >> 13)).wrapping_mul(0xc2b2_ae35);
            h ^= h >> 16;
            *x = if h >= threshold { *x * scale } else { 0.0 };
        }
    }
}

/// Mixes words into one, for seeds of [`dropout`] and of shuffles (the finaliser of SplitMix64, Steele et al. 2014).
pub fn hash_words(words: &[u64]) -> u64 {
    words.iter().fold(0x6a09_e667_f3bc_c909, |state, &word| {
        let mut z = state.wrapping_add(word).wrapping_add(0x9e37_79b9_7f4a_7c15);
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn values(n: usize, seed: u64) -> Vec<f32> {
        (0..n).map(|i| (hash_words(&[seed, i as u64]) >> 40) as f32 / (1 << 23) as f32 - 1.0).collect()
    }

    fn near(got: f32, want: f32) {
        assert!((got - want).abs() <= 1e-6 * want.abs().max(1.0), "{got} {want}");
    }

    #[test]
    fn every_loop_agrees_with_its_scalar_twin_on_all_small_sizes() {
        for n in (0..70).chain([255, 256, 257]) {
            let (a, b, g) = (values(n, 1), values(n, 2), values(n, 3));
            let mut out = vec![9.0; n];
            multiply(&mut out, &a, &b);
            (0..n).for_each(|i| near(out[i], a[i] * b[i]));
            subtract_abs(&mut out, &a, &b);
            (0..n).for_each(|i| near(out[i], (a[i] - b[i]).abs()));
            out.copy_from_slice(&a);
            add_scaled(&mut out, &b, 0.5);
            add(&mut out, &b);
            (0..n).for_each(|i| near(out[i], a[i] + 1.5 * b[i]));
            relu(&mut out);
            (0..n).for_each(|i| near(out[i], (a[i] + 1.5 * b[i]).max(0.0)));
            let mut back = g.clone();
            relu_backward(&mut back, &out);
            (0..n).for_each(|i| near(back[i], if out[i] > 0.0 { g[i] } else { 0.0 }));
            let (mut da, mut db) = (a.clone(), b.clone());
            hadamard_backward(&g, &a, &b, &mut da, &mut db);
            (0..n).for_each(|i| near(da[i], a[i] + g[i] * b[i]));
            (0..n).for_each(|i| near(db[i], b[i] + g[i] * a[i]));
            let (mut da, mut db) = (vec![0.0; n], vec![0.0; n]);
            abs_diff_backward(&g, &a, &b, &mut da, &mut db);
            (0..n).for_each(|i| near(da[i], g[i] * (a[i] - b[i]).signum()));
            (0..n).for_each(|i| near(db[i], -da[i]));
            let mut w = a.clone();
            sgd_update(&mut w, &g, 0.1, 0.3);
            (0..n).for_each(|i| near(w[i], a[i] - 0.1 * (g[i] + 0.3 * a[i])));
            scale(&mut w, 0.0);
            assert!(w.iter().all(|&x| x == 0.0));
        }
    }

    #[test]
    fn adam_agrees_with_its_scalar_twin() {
        let step = AdamStep { rate: 0.01, beta1: 0.9, beta2: 0.999, epsilon: 1e-8, decay: 0.1 };
        for n in 0..70 {
            let (mut w, mut m, g) = (values(n, 1), values(n, 2), values(n, 3));
            let mut v: Vec<f32> = values(n, 4).iter().map(|x| x.abs()).collect();
            let before = (w.clone(), m.clone(), v.clone());
            adam_update(&mut w, &mut m, &mut v, &g, step);
            for i in 0..n {
                let g = g[i] + 0.1 * before.0[i];
                near(m[i], 0.9 * before.1[i] + 0.1 * g);
                near(v[i], 0.999 * before.2[i] + 0.001 * g * g);
                near(w[i], before.0[i] - 0.01 * m[i] / (v[i].sqrt() + 1e-8));
            }
        }
    }

    #[test]
    fn the_other_optimisers_agree_with_their_scalar_twins() {
        for n in 0..70 {
            let (w0, g) = (values(n, 1), values(n, 3));
            let s0: Vec<f32> = values(n, 4).iter().map(|x| x.abs()).collect();
            let (mut w, mut h) = (w0.clone(), s0.clone());
            adagrad_update(&mut w, &mut h, &g, 0.1, 1e-7, 0.2);
            for i in 0..n {
                near(h[i], s0[i] + g[i] * g[i]);
                near(w[i], w0[i] - 0.1 * (g[i] / (h[i] + 1e-7).sqrt() + 0.2 * w0[i]));
            }
            let (mut w, mut h) = (w0.clone(), s0.clone());
            rmsprop_update(&mut w, &mut h, &g, 0.1, 0.9, 1e-8, 0.2);
            for i in 0..n {
                let g = g[i] + 0.2 * w0[i];
                near(h[i], 0.9 * s0[i] + 0.1 * g * g);
                near(w[i], w0[i] - 0.1 * g / (h[i] + 1e-8).sqrt());
            }
            let (mut w, mut a, mut b) = (w0.clone(), s0.clone(), s0.clone());
            adadelta_update(&mut w, &mut a, &mut b, &g, 0.9, 1e-5, 0.2);
            for i in 0..n {
                near(a[i], 0.9 * s0[i] + 0.1 * g[i] * g[i]);
                let d = (s0[i] + 1e-5).sqrt() / (a[i] + 1e-5).sqrt() * g[i];
                near(b[i], 0.9 * s0[i] + 0.1 * d * d);
                near(w[i], w0[i] - d - 0.2 * w0[i]);
            }
        }
    }

    #[test]
    fn moments_without_gradient_end_at_zero_and_never_become_denormal() {
        let step = AdamStep { rate: 0.01, beta1: 0.9, beta2: 0.99, epsilon: 1e-8, decay: 0.0 };
        let (mut w, mut m, mut v) = (vec![1.0; 33], vec![1e-3; 33], vec![1e-6; 33]);
        for _ in 0..10_000 {
            adam_update(&mut w, &mut m, &mut v, &[0.0; 33], step);
            assert!(m.iter().chain(&v).all(|x| *x == 0.0 || x.is_normal()));
        }
        assert!(m.iter().chain(&v).all(|&x| x == 0.0));
    }

    #[test]
    fn dropout_keeps_the_right_share_and_does_not_depend_on_the_cut() {
        let threshold = (0.3 * 4_294_967_296.0) as u32;
        let mut whole = vec![1.0; 100_000];
        dropout(&mut whole, 7, 0, threshold, 1.0 / 0.7);
        let kept = whole.iter().filter(|&&x| x != 0.0).count() as f64 / 1e5;
        assert!((kept - 0.7).abs() < 0.01, "{kept}");
        let mut cut = vec![1.0; 100_000];
        let (left, right) = cut.split_at_mut(33_333);
        dropout(left, 7, 0, threshold, 1.0 / 0.7);
        dropout(right, 7, 33_333, threshold, 1.0 / 0.7);
        assert_eq!(whole, cut);
        let mut other = vec![1.0; 100_000];
        dropout(&mut other, 8, 0, threshold, 1.0 / 0.7);
        assert_ne!(whole, other);
    }
}

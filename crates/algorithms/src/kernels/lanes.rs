//! Sixteen floats at a time, once per instruction set: what the matrix micro-kernel is written in.
//!
//! Every method is `unsafe`: the caller must run inside a function compiled for the instruction set, and pointers must
//! be valid for the sixteen (or, for `splat`, one) floats that are read or written. Pointers need no alignment.

/// A group of sixteen floats.
pub(super) trait Lanes {
    /// The registers that hold them.
    type V: Copy;
    /// Sixteen zeros.
    unsafe fn zero() -> Self::V;
    /// Sixteen consecutive floats.
    unsafe fn load(from: *const f32) -> Self::V;
    /// Writes sixteen consecutive floats.
    unsafe fn store(to: *mut f32, value: Self::V);
    /// One float, sixteen times.
    unsafe fn splat(from: *const f32) -> Self::V;
    /// `a * b + c`.
    unsafe fn multiply_add(a: Self::V, b: Self::V, c: Self::V) -> Self::V;
}

/// Plain arrays; the compiler uses what the target guarantees.
pub(super) struct Portable;

impl Lanes for Portable {
    type V = [f32; 16];
    #[inline(always)]
    unsafe fn zero() -> Self::V {
        [0.0; 16]
    }
    #[inline(always)]
    unsafe fn load(from: *const f32) -> Self::V {
        // SAFETY: sixteen floats are readable; arrays of f32 are read without alignment.
        unsafe { from.cast::<[f32; 16]>().read_unaligned() }
    }
    #[inline(always)]
    unsafe fn store(to: *mut f32, value: Self::V) {
        // SAFETY: sixteen floats are writable.
        unsafe { to.cast::<[f32; 16]>().write_unaligned(value) }
    }
    #[inline(always)]
    unsafe fn splat(from: *const f32) -> Self::V {
        // SAFETY: one float is readable.
        [unsafe { *from }; 16]
    }
    #[inline(always)]
    unsafe fn multiply_add(a: Self::V, b: Self::V, mut c: Self::V) -> Self::V {
        for i in 0..16 {
            c[i] += a[i] * b[i];
        }
        c
    }
}

#[cfg(target_arch = "x86_64")]
pub(super) use x86::{Avx2, Avx512};

#[cfg(target_arch = "x86_64")]
mod x86 {
    use super::Lanes;
    use std::arch::x86_64::*;

    /// One 512-bit register.
    pub(in super::super) struct Avx512;

    impl Lanes for Avx512 {
        type V = __m512;
        #[inline(always)]
        unsafe fn zero() -> Self::V {
            // SAFETY: the caller is compiled for AVX-512.
            unsafe { _mm512_setzero_ps() }
        }
        #[inline(always)]
        unsafe fn load(from: *const f32) -> Self::V {
            // SAFETY: the caller is compiled for AVX-512 and sixteen floats are readable.
            unsafe { _mm512_loadu_ps(from) }
        }
        #[inline(always)]
        unsafe fn store(to: *mut f32, value: Self::V) {
            // SAFETY: the caller is compiled for AVX-512 and sixteen floats are writable.
            unsafe { _mm512_storeu_ps(to, value) }
        }
        #[inline(always)]
        unsafe fn splat(from: *const f32) -> Self::V {
            // SAFETY: the caller is compiled for AVX-512 and one float is readable.
            unsafe { _mm512_set1_ps(*from) }
        }
        #[inline(always)]
        unsafe fn multiply_add(a: Self::V, b: Self::V, c: Self::V) -> Self::V {
            // SAFETY: the caller is compiled for AVX-512.
            unsafe { _mm512_fmadd_ps(a, b, c) }
        }
    }

    /// Two 256-bit registers.
    pub(in super::super) struct Avx2;

    impl Lanes for Avx2 {
        type V = (__m256, __m256);
        #[inline(always)]
        unsafe fn zero() -> Self::V {
            // SAFETY: the caller is compiled for AVX2.
            unsafe { (_mm256_setzero_ps(), _mm256_setzero_ps()) }
        }
        #[inline(always)]
        unsafe fn load(from: *const f32) -> Self::V {
            // SAFETY: the caller is compiled for AVX2 and sixteen floats are readable.
            unsafe { (_mm256_loadu_ps(from), _mm256_loadu_ps(from.add(8))) }
        }
        #[inline(always)]
        unsafe fn store(to: *mut f32, value: Self::V) {
            // SAFETY: the caller is compiled for AVX2 and sixteen floats are writable.
            unsafe {
                _mm256_storeu_ps(to, value.0);
                _mm256_storeu_ps(to.add(8), value.1);
            }
        }
        #[inline(always)]
        unsafe fn splat(from: *const f32) -> Self::V {
            // SAFETY: the caller is compiled for AVX2 and one float is readable.
            let one = unsafe { _mm256_set1_ps(*from) };
            (one, one)
        }
        #[inline(always)]
        unsafe fn multiply_add(a: Self::V, b: Self::V, c: Self::V) -> Self::V {
            // SAFETY: the caller is compiled for AVX2 with FMA.
            unsafe { (_mm256_fmadd_ps(a.0, b.0, c.0), _mm256_fmadd_ps(a.1, b.1, c.1)) }
        }
    }
}

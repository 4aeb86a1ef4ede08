//! `C (+)= A B` for one block, on one thread, without packing.
//!
//! A is read one element at a time and may be walked in either direction (`a_row`, `a_step`); B and C are read along
//! rows. With weights `W[inputs, outputs]` and activations `X[batch, inputs]` this covers all three products of a
//! dense layer: `X W`, `W dYᵀ` (which is `dXᵀ`) and `Xᵀ dY`.
//!
//! The order of every sum is fixed by `k` alone, so a result does not depend on how the caller cuts C into blocks.

use super::isa::Isa;
#[cfg(target_arch = "x86_64")]
use super::lanes::{Avx2, Avx512};
use super::lanes::{Lanes, Portable};

/// Length of the pieces of `k`: 128 rows of 32 columns of B are 16 KiB and stay in the first-level cache.
const K_BLOCK: usize = 128;

/// One block product; sizes in elements, distances in floats.
#[derive(Clone, Copy)]
pub(super) struct Block {
    /// Rows of A and C; 1, or a multiple of 8.
    pub rows: usize,
    /// Columns of B and C; a multiple of 16.
    pub columns: usize,
    /// Columns of A, rows of B.
    pub k: usize,
    /// A: first element, distance between rows, distance between columns.
    pub a: *const f32,
    pub a_row: usize,
    pub a_step: usize,
    /// B: first element, distance between rows.
    pub b: *const f32,
    pub b_row: usize,
    /// C: first element, distance between rows.
    pub c: *mut f32,
    pub c_row: usize,
    /// Add to what C holds; otherwise C is overwritten.
    pub accumulate: bool,
}

/// Computes the block with the given instruction set.
///
/// # Safety
/// The three matrices must be valid for the sizes and distances given, C must not overlap A or B, nobody else may
/// write any of them meanwhile, and the processor must have `isa`.
pub(super) unsafe fn multiply(isa: Isa, block: Block) {
    debug_assert!(block.rows == 1 || block.rows.is_multiple_of(8));
    debug_assert!(block.columns.is_multiple_of(16));
    // SAFETY: passed on from the caller.
    unsafe {
        match isa {
            #[cfg(target_arch = "x86_64")]
            Isa::Avx512 => avx512(block),
            #[cfg(target_arch = "x86_64")]
            Isa::Avx2 => avx2(block),
            _ if block.rows == 1 => loops::<Portable, 1, 2, 1>(block),
            _ => loops::<Portable, 4, 1, 1>(block),
        }
    }
}

#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx512f,avx512vl,avx512dq,avx512bw,fma")]
unsafe fn avx512(block: Block) {
    // SAFETY: passed on from the caller.
    unsafe {
        match block.rows {
            1 => loops::<Avx512, 1, 8, 1>(block),
            _ => loops::<Avx512, 8, 2, 1>(block),
        }
    }
}

#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx2,fma")]
unsafe fn avx2(block: Block) {
    // SAFETY: passed on from the caller.
    unsafe {
        match block.rows {
            1 => loops::<Avx2, 1, 4, 1>(block),
            _ => loops::<Avx2, 4, 1, 1>(block),
        }
    }
}

/// Walks the block in tiles of `M` rows by `WIDE` groups of sixteen columns (`NARROW` groups for what is left).
#[inline(always)]
unsafe fn loops<L: Lanes, const M: usize, const WIDE: usize, const NARROW: usize>(block: Block) {
    let mut k0 = 0;
    while k0 < block.k {
        let depth = K_BLOCK.min(block.k - k0);
        let accumulate = block.accumulate || k0 > 0;
        let mut column = 0;
        while column < block.columns {
            let wide = block.columns - column >= 16 * WIDE;
            let mut row = 0;
            while row < block.rows {
                // SAFETY: row, column and k0 stay inside the sizes the caller vouches for.
                unsafe {
                    let a = block.a.add(row * block.a_row + k0 * block.a_step);
                    let b = block.b.add(k0 * block.b_row + column);
                    let c = block.c.add(row * block.c_row + column);
                    let tile = Block { k: depth, a, b, c, accumulate, ..block };
                    if wide { tile_product::<L, M, WIDE>(tile) } else { tile_product::<L, M, NARROW>(tile) }
                }
                row += M;
            }
            column += if wide { 16 * WIDE } else { 16 * NARROW };
        }
        k0 += depth;
    }
}

/// `M` rows by `N` groups of sixteen columns, sums held in registers.
#[inline(always)]
unsafe fn tile_product<L: Lanes, const M: usize, const N: usize>(t: Block) {
    // SAFETY: the caller vouches for M rows, 16 N columns and k steps behind the pointers.
    unsafe {
        let mut sums = [[L::zero(); N]; M];
        if t.accumulate {
            for (i, row) in sums.iter_mut().enumerate() {
                for (j, sum) in row.iter_mut().enumerate() {
                    *sum = L::load(t.c.add(i * t.c_row + 16 * j));
                }
            }
        }
        let (mut a, mut b) = (t.a, t.b);
        for _ in 0..t.k {
            let mut right = [L::zero(); N];
            for (j, group) in right.iter_mut().enumerate() {
                *group = L::load(b.add(16 * j));
            }
            for (i, row) in sums.iter_mut().enumerate() {
                let left = L::splat(a.add(i * t.a_row));
                for (sum, group) in row.iter_mut().zip(right) {
                    *sum = L::multiply_add(left, group, *sum);
                }
            }
            a = a.wrapping_add(t.a_step);
            b = b.wrapping_add(t.b_row);
        }
        for (i, row) in sums.iter().enumerate() {
            for (j, sum) in row.iter().enumerate() {
                L::store(t.c.add(i * t.c_row + 16 * j), *sum);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn scalar(
        rows: usize,
        columns: usize,
        k: usize,
        a: &[f32],
        a_row: usize,
        a_step: usize,
        b: &[f32],
    ) -> Vec<f32> {
        let mut c = vec![0.0; rows * columns];
        for i in 0..rows {
            for j in 0..columns {
                let sum: f64 = (0..k)
                    .map(|p| f64::from(a[i * a_row + p * a_step]) * f64::from(b[p * columns + j]))
                    .sum();
                c[i * columns + j] = sum as f32;
            }
        }
        c
    }

    #[test]
    fn every_instruction_set_agrees_with_plain_loops_on_all_small_sizes() {
        let value = |i: usize| ((i * 7919 + 13) % 101) as f32 / 50.0 - 1.0;
        for isa in Isa::available() {
            for rows in [1, 8, 16, 24] {
                for columns in [16, 32, 48, 64, 80, 256] {
                    for k in (1..20).chain([127, 128, 129, 300]) {
                        for transposed in [false, true] {
                            let a: Vec<f32> = (0..rows * k).map(value).collect();
                            let b: Vec<f32> = (0..k * columns).map(|i| value(i + 3)).collect();
                            let (a_row, a_step) = if transposed { (1, rows) } else { (k, 1) };
                            let want = scalar(rows, columns, k, &a, a_row, a_step, &b);
                            let mut c = vec![1.0; rows * columns];
                            for accumulate in [false, true] {
                                let block = Block {
                                    rows,
                                    columns,
                                    k,
                                    a_row,
                                    a_step,
                                    accumulate,
                                    a: a.as_ptr(),
                                    b: b.as_ptr(),
                                    b_row: columns,
                                    c: c.as_mut_ptr(),
                                    c_row: columns,
                                };
                                // SAFETY: the vectors above have exactly these sizes.
                                unsafe { multiply(isa, block) };
                                let times = if accumulate { 2.0 } else { 1.0 };
                                for (got, want) in c.iter().zip(&want) {
                                    assert!(
                                        (got - times * want).abs() < 1e-5 * want.abs().max(10.0),
                                        "{isa:?} {rows}x{columns}x{k}"
                                    );
                                }
                            }
                        }
                    }
                }
            }
        }
    }
}

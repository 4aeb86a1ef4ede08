//! Aligned float storage: [`Buffer`] is flat, [`Matrix`] has rows.
//!
//! Promises: the first element lies on a 64-byte boundary; fresh storage is zero and costs memory only once touched,
//! so optimiser state of rows that never occur is free.

use super::{LANES, round_up, row_stride};

/// Flat storage of `f32`, aligned to a cache line.
pub struct Buffer {
    storage: Vec<f32>,
    offset: usize,
    len: usize,
}

impl Buffer {
    /// `len` zeros.
    pub fn zeroed(len: usize) -> Self {
        let storage = vec![0.0; len + LANES];
        let offset = storage.as_ptr().align_offset(64).min(LANES);
        Self { storage, offset, len }
    }

    /// Makes room for `len` floats; what was in it is lost when that takes a longer one.
    pub fn reserve(&mut self, len: usize) {
        if self.len < len {
            *self = Self::zeroed(len);
        }
    }
}

impl Default for Buffer {
    fn default() -> Self {
        Self::zeroed(0)
    }
}

impl Clone for Buffer {
    fn clone(&self) -> Self {
        let mut copy = Self::zeroed(self.len);
        copy.copy_from_slice(self);
        copy
    }
}

impl std::ops::Deref for Buffer {
    type Target = [f32];
    fn deref(&self) -> &[f32] {
        &self.storage[self.offset..self.offset + self.len]
    }
}

impl std::ops::DerefMut for Buffer {
    fn deref_mut(&mut self) -> &mut [f32] {
        &mut self.storage[self.offset..self.offset + self.len]
    }
}

/// Row-major matrix whose rows start on cache lines; the padding between `columns` and `stride`, and the rows between
/// `rows` and the next multiple of 8, are there to be read and written by whole vectors.
#[derive(Clone)]
pub struct Matrix {
    rows: usize,
    columns: usize,
    stride: usize,
    data: Buffer,
}

impl Matrix {
    /// `rows` x `columns` zeros.
    pub fn zeroed(rows: usize, columns: usize) -> Self {
        let stride = row_stride(columns);
        Self { rows, columns, stride, data: Buffer::zeroed(round_up(rows, 8) * stride) }
    }

    /// Number of rows asked for.
    pub fn rows(&self) -> usize {
        self.rows
    }

    /// Number of columns asked for.
    pub fn columns(&self) -> usize {
        self.columns
    }

    /// Distance between two rows, in floats.
    pub fn stride(&self) -> usize {
        self.stride
    }

    /// The `columns` values of one row.
    pub fn row(&self, row: usize) -> &[f32] {
        let start = row * self.stride;
        &self.data[start..start + self.columns]
    }

    /// The `columns` values of one row.
    pub fn row_mut(&mut self, row: usize) -> &mut [f32] {
        let start = row * self.stride;
        &mut self.data[start..start + self.columns]
    }

    /// All storage, padding included.
    pub fn data(&self) -> &[f32] {
        &self.data
    }

    /// All storage, padding included.
    pub fn data_mut(&mut self) -> &mut [f32] {
        &mut self.data
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn storage_is_aligned_and_clones_are_equal() {
        for len in [0, 1, 15, 16, 17, 1000] {
            let mut a = Buffer::zeroed(len);
            assert_eq!(a.as_ptr() as usize % 64, 0);
            a.iter_mut().enumerate().for_each(|(i, x)| *x = i as f32);
            let b = a.clone();
            assert_eq!(b.as_ptr() as usize % 64, 0);
            assert_eq!(&a[..], &b[..]);
        }
    }

    #[test]
    fn rows_do_not_overlap() {
        let mut m = Matrix::zeroed(5, 33);
        for r in 0..5 {
            m.row_mut(r).fill(r as f32 + 1.0);
        }
        for r in 0..5 {
            assert!(m.row(r).iter().all(|&x| x == r as f32 + 1.0));
        }
        assert_eq!(m.stride() % 32, 16);
    }
}

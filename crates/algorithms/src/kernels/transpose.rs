//! Transposition in small squares, so that both sides stay in cache.

/// `to[j * to_row + i] = from[i * from_row + j]` for `i < rows`, `j < columns`.
///
/// # Safety
/// Both areas must be valid for these sizes and must not overlap; nobody else may write `from` or touch `to`.
pub(super) unsafe fn transpose(
    rows: usize,
    columns: usize,
    from: *const f32,
    from_row: usize,
    to: *mut f32,
    to_row: usize,
) {
    const SQUARE: usize = 8;
    let mut i0 = 0;
    while i0 < rows {
        let i1 = (i0 + SQUARE).min(rows);
        let mut j0 = 0;
        while j0 < columns {
            let j1 = (j0 + SQUARE).min(columns);
            if i1 - i0 == SQUARE && j1 - j0 == SQUARE {
                // SAFETY: a whole square lies inside both areas.
                unsafe { square(from.add(i0 * from_row + j0), from_row, to.add(j0 * to_row + i0), to_row) };
            } else {
                for j in j0..j1 {
                    for i in i0..i1 {
                        // SAFETY: i < rows and j < columns.
                        unsafe { *to.add(j * to_row + i) = *from.add(i * from_row + j) };
                    }
                }
            }
            j0 = j1;
        }
        i0 = i1;
    }
}

/// One 8 x 8 square.
///
/// # Safety
/// As for [`transpose`] with `rows = columns = 8`.
#[inline(always)]
unsafe fn square(from: *const f32, from_row: usize, to: *mut f32, to_row: usize) {
    let mut held = [[0f32; 8]; 8];
    for (i, row) in held.iter_mut().enumerate() {
        // SAFETY: the caller vouches for eight floats in each of eight rows.
        *row = unsafe { from.add(i * from_row).cast::<[f32; 8]>().read_unaligned() };
    }
    let columns: [[f32; 8]; 8] = std::array::from_fn(|j| std::array::from_fn(|i| held[i][j]));
    for (j, column) in columns.iter().enumerate() {
        // SAFETY: as above, for the target.
        unsafe {
            to.add(j * to_row).cast::<[f32; 8]>().write_unaligned(*column);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn all_small_sizes() {
        for rows in 0..20 {
            for columns in 0..20 {
                let from: Vec<f32> = (0..rows * columns).map(|i| i as f32).collect();
                let mut to = vec![-1.0; rows * columns];
                // SAFETY: the vectors have exactly these sizes.
                unsafe { transpose(rows, columns, from.as_ptr(), columns, to.as_mut_ptr(), rows) };
                for i in 0..rows {
                    for j in 0..columns {
                        assert_eq!(to[j * rows + i], from[i * columns + j]);
                    }
                }
            }
        }
    }
}

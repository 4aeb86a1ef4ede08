//! Parallel work on chosen rows of tables.

use super::{Matrix, Pool};

/// Rows handled by one piece of work.
const ROWS_PER_PIECE: usize = 8;

/// Calls `body(index, row, parts)` for every entry of `rows`, where `parts[i]` is that row of `tables[i]`, padding
/// included: the floats `[row * stride, (row + 1) * stride)`. A table without rows gives empty parts.
///
/// # Panics
/// When `rows` is not strictly increasing or reaches outside a table that is not empty.
pub fn for_rows_mut<const N: usize>(
    pool: &Pool,
    tables: [&mut Matrix; N],
    rows: &[u32],
    body: impl Fn(usize, usize, [&mut [f32]; N]) + Sync,
) {
    for_shifted_rows_mut(pool, tables.map(|table| (table, 0)), rows, body);
}

/// As [`for_rows_mut`], where `parts[i]` is the row `shift + row` of a table given as `(table, shift)`.
///
/// # Panics
/// As [`for_rows_mut`].
pub fn for_shifted_rows_mut<const N: usize>(
    pool: &Pool,
    tables: [(&mut Matrix, usize); N],
    rows: &[u32],
    body: impl Fn(usize, usize, [&mut [f32]; N]) + Sync,
) {
    struct Start(*mut f32, usize);
    // SAFETY: pieces touch disjoint rows, because `rows` is strictly increasing (checked below).
    unsafe impl Sync for Start {}

    assert!(rows.is_sorted_by(|a, b| a < b), "rows must be strictly increasing");
    let end = rows.last().map_or(0, |&row| row as usize + 1);
    let fits = |(table, shift): &(&mut Matrix, usize)| table.rows() == 0 || end + shift <= table.rows();
    assert!(tables.iter().all(fits), "a row lies outside its table");
    let starts = tables.map(|(table, shift)| {
        let stride = if table.rows() == 0 { 0 } else { table.stride() };
        Start(table.data_mut().as_mut_ptr().wrapping_add(shift * stride), stride)
    });
    pool.run(rows.len().div_ceil(ROWS_PER_PIECE), |piece| {
        let first = piece * ROWS_PER_PIECE;
        for (index, &row) in rows.iter().enumerate().skip(first).take(ROWS_PER_PIECE) {
            let row = row as usize;
            let parts = std::array::from_fn(|i| {
                let Start(start, stride) = starts[i];
                // SAFETY: inside the table (checked above); this row occurs in no other piece.
                unsafe { std::slice::from_raw_parts_mut(start.wrapping_add(row * stride), stride) }
            });
            body(index, row, parts);
        }
    });
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_named_rows_are_given() {
        let pool = Pool::new(2);
        let (mut a, mut b, mut none) = (Matrix::zeroed(40, 3), Matrix::zeroed(40, 20), Matrix::zeroed(0, 3));
        let rows: Vec<u32> = (0..40).filter(|r| r % 3 == 1).collect();
        for_rows_mut(&pool, [&mut a, &mut b, &mut none], &rows, |i, row, [a, b, none]| {
            a.fill(i as f32 + 1.0);
            b.fill(row as f32);
            assert!(none.is_empty());
        });
        for row in 0..40 {
            let at = rows.iter().position(|&r| r as usize == row);
            assert_eq!(a.row(row)[2], at.map_or(0.0, |i| i as f32 + 1.0));
            assert_eq!(b.row(row)[19], at.map_or(0.0, |_| row as f32));
        }
    }

    #[test]
    fn tables_can_be_shifted_against_each_other() {
        let (mut a, mut b) = (Matrix::zeroed(20, 3), Matrix::zeroed(8, 3));
        for_shifted_rows_mut(&Pool::new(2), [(&mut a, 12), (&mut b, 0)], &[0, 3, 7], |_, row, [a, b]| {
            a.fill(row as f32 + 1.0);
            b.fill(row as f32 + 1.0);
        });
        let ones = |m: &Matrix| (0..m.rows()).map(|r| m.row(r)[0]).collect::<Vec<_>>();
        assert_eq!(ones(&a)[12..], ones(&b)[..]);
        assert!(ones(&a)[..12].iter().all(|&x| x == 0.0) && ones(&b)[7] == 8.0);
    }

    #[test]
    #[should_panic(expected = "strictly increasing")]
    fn doubled_rows_are_refused() {
        for_rows_mut(&Pool::new(1), [&mut Matrix::zeroed(3, 3)], &[1, 1], |_, _, _| {});
    }

    #[test]
    #[should_panic(expected = "outside")]
    fn rows_outside_are_refused() {
        for_rows_mut(&Pool::new(1), [&mut Matrix::zeroed(3, 3)], &[3], |_, _, _| {});
    }
}

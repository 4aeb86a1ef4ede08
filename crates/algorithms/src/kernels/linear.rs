//! The three products of a dense layer, `Y = X W + b`, cut into pieces for the pool.
//!
//! Shapes: `X[batch, inputs]`, `W[inputs, outputs]`, `Y[batch, outputs]`. The backward pass hands each finished strip
//! of `dW = Xᵀ dY` to the caller while it is in cache, so that the optimiser can use it there and the gradient of a
//! whole layer is never stored.

use std::cell::RefCell;

use super::gemm::{Block, multiply};
use super::isa::Isa;
use super::transpose::transpose;
use super::{Buffer, LANES, Matrix, Pool, round_up};

/// Rows and columns of one piece of a forward product.
const FORWARD_ROWS: usize = 128;
const FORWARD_COLUMNS: usize = 64;
/// Up to so many rows are worked on one by one, which reads the weights once per row but computes no padding rows.
const SINGLE_ROWS: usize = 2;
/// Columns of one piece of a single row.
const SINGLE_COLUMNS: usize = 256;
/// Batch rows that one strip of `dX` handles at a time.
const PANEL: usize = 32;
/// Floats in one strip of `dW`, about: 96 KiB, more only where 16 rows are.
const STRIP: usize = 24 * 1024;
/// From so many rows on, transposing a strip's weights costs less than transposing what they give.
const MANY_ROWS: usize = 256;

/// What one thread needs for a strip.
#[derive(Default)]
struct StripScratch {
    /// A product: a strip of `dW`, or of `dXᵀ`; or the strip's weights, transposed.
    product: Buffer,
    /// The strip's columns of X, row by row: in X itself every step is another page.
    inputs: Buffer,
}

thread_local! {
    static STRIP_SCRATCH: RefCell<StripScratch> = RefCell::default();
}

/// A pointer that pieces of one call may share because they write disjoint parts.
struct Shared(*mut f32);
// SAFETY: every use below states which part a piece touches.
unsafe impl Sync for Shared {}
impl Shared {
    fn at(&self, offset: usize) -> *mut f32 {
        self.0.wrapping_add(offset)
    }
}

/// `out = x w` for the first `rows` rows of `x`; then `finish(row, first_column, values)` for every finished piece of
/// a row, in which the caller adds the bias and applies the activation.
///
/// # Panics
/// When the shapes do not fit together.
pub fn forward(
    pool: &Pool,
    x: &Matrix,
    rows: usize,
    w: &Matrix,
    out: &mut Matrix,
    finish: impl Fn(usize, usize, &mut [f32]) + Sync,
) {
    product(pool, x, 0, rows, w, out, 0, false, finish);
}

/// `out[to + r] += x[from + r] w` for r below `rows`. Rows are worked on in groups of 8: up to the next multiple of 8
/// after `rows`, what stands in `x` is added to `out` as well.
///
/// # Panics
/// When the shapes do not fit together, or `from` or `to` is not a multiple of 8.
pub fn accumulate_rows(
    pool: &Pool,
    x: &Matrix,
    from: usize,
    rows: usize,
    w: &Matrix,
    out: &mut Matrix,
    to: usize,
) {
    assert!(from.is_multiple_of(8) && to.is_multiple_of(8), "groups of rows begin at multiples of 8");
    product(pool, x, from, rows, w, out, to, true, |_, _, _| {});
}

#[allow(clippy::too_many_arguments)]
fn product(
    pool: &Pool,
    x: &Matrix,
    from: usize,
    rows: usize,
    w: &Matrix,
    out: &mut Matrix,
    to: usize,
    accumulate: bool,
    finish: impl Fn(usize, usize, &mut [f32]) + Sync,
) {
    assert!(from + rows <= x.rows() && to + rows <= out.rows());
    assert!(x.columns() == w.rows() && out.columns() == w.columns());
    let isa = Isa::detect();
    let (inputs, outputs) = (w.rows(), w.columns());
    let single = rows <= SINGLE_ROWS && !accumulate;
    let (piece_rows, piece_columns) =
        if single { (1, SINGLE_COLUMNS) } else { (FORWARD_ROWS, FORWARD_COLUMNS) };
    let row_pieces = rows.div_ceil(piece_rows);
    let column_pieces = outputs.div_ceil(piece_columns);
    let (out_row, target) = (out.stride(), Shared(out.data_mut().as_mut_ptr()));
    pool.run(row_pieces * column_pieces, |piece| {
        let row = (piece % row_pieces) * piece_rows;
        let column = (piece / row_pieces) * piece_columns;
        let height = piece_rows.min(rows - row);
        let width = piece_columns.min(outputs - column);
        let block = Block {
            rows: if single { 1 } else { round_up(height, 8) },
            columns: round_up(width, LANES),
            k: inputs,
            a: x.data()[(from + row) * x.stride()..].as_ptr(),
            a_row: x.stride(),
            a_step: 1,
            b: w.data()[column..].as_ptr(),
            b_row: w.stride(),
            c: target.at((to + row) * out_row + column),
            c_row: out_row,
            accumulate,
        };
        // SAFETY: matrices hold whole groups of 8 rows and 16 columns, and groups begin at multiples of 8; no two
        // pieces share a row and column of `out`.
        unsafe { multiply(isa, block) };
        for r in row..row + height {
            // SAFETY: as above; `width` columns lie inside the row.
            finish(r, column, unsafe {
                std::slice::from_raw_parts_mut(target.at((to + r) * out_row + column), width)
            });
        }
    });
}

/// Storage that [`backward`] needs, sized once for the largest batch and width.
pub struct BackwardScratch {
    panels: Buffer,
}

impl BackwardScratch {
    /// For batches of up to `rows` and layers of up to `outputs`.
    pub fn new(rows: usize, outputs: usize) -> Self {
        Self { panels: Buffer::zeroed(round_up(rows, PANEL) * outputs) }
    }

    /// Makes room for larger ones; allocates only then.
    pub fn reserve(&mut self, rows: usize, outputs: usize) {
        self.panels.reserve(round_up(rows, PANEL) * outputs);
    }
}

/// Which rows of the weights a strip covers; the slices given with it are `rows * stride` long.
#[derive(Clone, Copy, Debug)]
pub struct Tile {
    /// First row of the weights.
    pub first: usize,
    /// Number of rows.
    pub rows: usize,
    /// Floats per row, padding included; the gradient of the padding is zero.
    pub stride: usize,
}

/// Gradients of `Y = X W`: writes `dx = dy wᵀ` where asked, and calls `update(tile, w, states, dw)` once for every
/// strip of rows of `w`, with the same strip of each of the optimiser's state matrices (nothing, for a state without
/// rows) and the finished gradient.
/// `dx` is made from the weights as they were before any update.
///
/// # Panics
/// When the shapes do not fit together.
#[allow(clippy::too_many_arguments)]
pub fn backward<const S: usize>(
    pool: &Pool,
    scratch: &mut BackwardScratch,
    x: &Matrix,
    dy: &Matrix,
    rows: usize,
    w: &mut Matrix,
    states: [&mut Matrix; S],
    dx: Option<&mut Matrix>,
    update: impl Fn(Tile, &mut [f32], [&mut [f32]; S], &[f32]) + Sync,
) {
    let (inputs, outputs, stride) = (w.rows(), w.columns(), w.stride());
    assert!(x.columns() == inputs && dy.columns() == outputs && rows <= x.rows() && rows <= dy.rows());
    assert!(states.iter().all(|s| s.rows() == 0 || (s.rows() == inputs && s.stride() == stride)));
    assert!(dx.as_ref().is_none_or(|dx| dx.rows() >= rows && dx.columns() == inputs));
    let isa = Isa::detect();
    let many = rows >= MANY_ROWS && rows.is_multiple_of(8);
    if dx.is_some() && !many {
        make_panels(pool, scratch, dy, rows);
    }
    // Whole groups of 16, so that no strip but the last reaches beyond its columns of dx.
    let strip = (STRIP / stride).clamp(LANES, 256);
    let strip = if strip >= PANEL { strip / PANEL * PANEL } else { LANES };
    let weights = Shared(w.data_mut().as_mut_ptr());
    let states = states.map(|s| (s.rows() > 0, Shared(s.data_mut().as_mut_ptr())));
    let dx = dx.map(|dx| Target {
        columns: dx.columns(),
        row: dx.stride(),
        data: Shared(dx.data_mut().as_mut_ptr()),
    });
    let panels = &scratch.panels;
    pool.run(inputs.div_ceil(strip), |piece| {
        let first = piece * strip;
        let tile = Tile { first, rows: strip.min(inputs - first), stride };
        STRIP_SCRATCH.with_borrow_mut(|StripScratch { product, inputs }| {
            product.reserve(round_up(tile.rows, PANEL) * stride.max(PANEL));
            let own_weights = weights.at(first * stride);
            // SAFETY: this piece writes the columns [first, first + rows) of dx and no other piece does; the
            // weights of its rows are still unchanged and only this piece will change them. Rows of dY and dx come
            // in whole groups of 8 where there are many.
            match &dx {
                None => {}
                Some(dx) if many => unsafe {
                    input_gradient_of_many(isa, dy, rows, &tile, own_weights, product, dx)
                },
                Some(dx) => unsafe {
                    input_gradient(isa, panels, rows, outputs, &tile, own_weights, product, dx)
                },
            }
            inputs.reserve(round_up(tile.rows, 8) * rows);
            // SAFETY: X and dY hold whole groups of 16 columns and are only read.
            unsafe { weight_gradient(isa, x, dy, rows, &tile, inputs, product) };
            let size = tile.rows * stride;
            // SAFETY: the rows of this strip belong to this piece alone, in the weights and in each state.
            let own =
                |from: &Shared| unsafe { std::slice::from_raw_parts_mut(from.at(first * stride), size) };
            let states =
                std::array::from_fn(|i| if states[i].0 { own(&states[i].1) } else { Default::default() });
            update(tile, own(&weights), states, &product[..size]);
        });
    });
}

/// A matrix whose columns are shared out among pieces.
struct Target {
    data: Shared,
    columns: usize,
    /// Distance between two rows, in floats.
    row: usize,
}

/// Writes dY in panels of 32 batch rows, each transposed: `[panel][output][row in panel]`, zero beyond `rows`.
fn make_panels(pool: &Pool, scratch: &mut BackwardScratch, dy: &Matrix, rows: usize) {
    let outputs = dy.columns();
    let used = round_up(rows, PANEL) * outputs;
    assert!(used <= scratch.panels.len());
    pool.chunks_mut(&mut scratch.panels[..used], PANEL * outputs, |index, panel| {
        let first = index * PANEL;
        let height = PANEL.min(rows - first);
        if height < PANEL {
            panel.fill(0.0);
        }
        // SAFETY: dY has `rows` rows of `outputs` columns; the panel has `outputs` rows of 32.
        unsafe {
            let from = dy.data()[first * dy.stride()..].as_ptr();
            transpose(height, outputs, from, dy.stride(), panel.as_mut_ptr(), PANEL);
        }
    });
}

/// Columns `[tile.first, tile.first + tile.rows)` of `dX`.
///
/// # Safety
/// `weights` points to the tile's rows, padded to 8; `dx` is valid for `rows` rows, and nobody else touches the tile's
/// columns in it.
#[allow(clippy::too_many_arguments)]
unsafe fn input_gradient(
    isa: Isa,
    panels: &Buffer,
    rows: usize,
    outputs: usize,
    tile: &Tile,
    weights: *mut f32,
    held: &mut Buffer,
    dx: &Target,
) {
    for (index, panel) in panels.chunks_exact(PANEL * outputs).take(rows.div_ceil(PANEL)).enumerate() {
        let block = Block {
            rows: round_up(tile.rows, 8),
            columns: PANEL,
            k: outputs,
            a: weights,
            a_row: tile.stride,
            a_step: 1,
            b: panel.as_ptr(),
            b_row: PANEL,
            c: held.as_mut_ptr(),
            c_row: PANEL,
            accumulate: false,
        };
        let first = index * PANEL;
        let height = PANEL.min(rows - first);
        // SAFETY: `held` has at least 32 floats for each of the tile's padded rows; the rest is the caller's promise.
        unsafe {
            multiply(isa, block);
            transpose(
                tile.rows,
                height,
                held.as_ptr(),
                PANEL,
                dx.data.at(first * dx.row + tile.first),
                dx.row,
            );
        }
    }
}

/// As [`input_gradient`], by way of the transposed weights.
///
/// # Safety
/// As for [`input_gradient`]; `rows` is a multiple of 8.
///
/// # Panics
/// When the tile's rows are not whole groups of 16 and others follow.
unsafe fn input_gradient_of_many(
    isa: Isa,
    dy: &Matrix,
    rows: usize,
    tile: &Tile,
    weights: *mut f32,
    held: &mut Buffer,
    dx: &Target,
) {
    let columns = round_up(tile.rows, LANES);
    assert!(
        columns == tile.rows || tile.first + columns >= dx.columns,
        "the columns beside belong to another piece"
    );
    let block = Block {
        rows,
        columns,
        k: dy.columns(),
        a: dy.data().as_ptr(),
        a_row: dy.stride(),
        a_step: 1,
        b: held.as_ptr(),
        b_row: columns,
        c: dx.data.at(tile.first),
        c_row: dx.row,
        accumulate: false,
    };
    // SAFETY: `held` has room for a row per output as long as the tile's rows, padded to 16; only the last tile is
    // padded, into the padding of dx's rows.
    unsafe {
        transpose(tile.rows, dy.columns(), weights, tile.stride, held.as_mut_ptr(), columns);
        multiply(isa, block);
    }
}

/// The tile's rows of `dW`, into `held`; padding columns become zero. `packed` receives the tile's columns of X.
///
/// # Safety
/// `held` has room for the tile's rows, padded to 8, of `tile.stride` floats, `packed` for as many columns of X.
unsafe fn weight_gradient(
    isa: Isa,
    x: &Matrix,
    dy: &Matrix,
    rows: usize,
    tile: &Tile,
    packed: &mut Buffer,
    held: &mut Buffer,
) {
    let width = round_up(tile.rows, 8);
    for (row, into) in packed.chunks_exact_mut(width).take(rows).enumerate() {
        into.copy_from_slice(&x.data()[row * x.stride() + tile.first..][..width]);
    }
    let outputs = dy.columns();
    let block = Block {
        rows: width,
        columns: round_up(outputs, LANES),
        k: rows,
        a: packed.as_ptr(),
        a_row: 1,
        a_step: width,
        b: dy.data().as_ptr(),
        b_row: dy.stride(),
        c: held.as_mut_ptr(),
        c_row: tile.stride,
        accumulate: false,
    };
    // SAFETY: dY is padded to whole groups of 16 columns; `held` and `packed` as promised.
    unsafe { multiply(isa, block) };
    for row in held.chunks_exact_mut(tile.stride).take(tile.rows) {
        row[outputs..].fill(0.0);
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Mutex;

    use super::*;

    fn filled(rows: usize, columns: usize, seed: usize) -> Matrix {
        let mut m = Matrix::zeroed(rows, columns);
        for r in 0..rows {
            for (c, x) in m.row_mut(r).iter_mut().enumerate() {
                *x = ((r * 31 + c * 17 + seed * 7) % 23) as f32 / 11.0 - 1.0;
            }
        }
        m
    }

    /// Plain loops: `sum over p of a(i, p) * b(p, j)`.
    fn product(rows: usize, columns: usize, k: usize, f: impl Fn(usize, usize, usize) -> f32) -> Vec<f32> {
        let mut out = Vec::new();
        for i in 0..rows {
            for j in 0..columns {
                out.push((0..k).map(|p| f(i, j, p)).sum());
            }
        }
        out
    }

    fn close(got: f32, want: f32) {
        assert!((got - want).abs() < 1e-3 * want.abs().max(1.0), "{got} {want}");
    }

    #[test]
    fn groups_of_rows_are_added_where_they_belong() {
        let pool = Pool::new(2);
        let (x, w) = (filled(40, 5, 1), filled(5, 19, 2));
        for rows in 1..=8 {
            let mut out = filled(40, 19, 3);
            let before = out.clone();
            accumulate_rows(&pool, &x, 16, rows, &w, &mut out, 24);
            for r in 0..40 {
                for c in 0..19 {
                    let sum: f32 = (0..5).map(|i| x.row((r + 40 - 8) % 40)[i] * w.row(i)[c]).sum();
                    let added = if (24..32).contains(&r) { sum } else { 0.0 };
                    close(out.row(r)[c], before.row(r)[c] + added);
                }
            }
        }
    }

    #[test]
    fn the_three_products_agree_with_plain_loops() {
        let sizes = [
            (1, 1, 1),
            (3, 5, 2),
            (7, 16, 17),
            (8, 33, 31),
            (33, 70, 65),
            (130, 9, 3),
            (64, 300, 100),
            (264, 100, 40),
            (260, 40, 260),
            (256, 60, 800),
            (256, 40, 1700),
        ];
        for (batch, inputs, outputs) in sizes {
            for threads in [1, 3] {
                let pool = Pool::new(threads);
                let (x, dy) = (filled(batch + 2, inputs, 1), filled(batch + 2, outputs, 3));
                let mut w = filled(inputs, outputs, 2);
                let mut y = Matrix::zeroed(batch, outputs);
                forward(&pool, &x, batch, &w, &mut y, |_, first, values| {
                    values.iter_mut().enumerate().for_each(|(i, v)| *v += (first + i) as f32);
                });
                let want = product(batch, outputs, inputs, |b, o, i| x.row(b)[i] * w.row(i)[o]);
                for b in 0..batch {
                    for o in 0..outputs {
                        close(y.row(b)[o], want[b * outputs + o] + o as f32);
                    }
                }
                let want_dx = product(batch, inputs, outputs, |b, i, o| dy.row(b)[o] * w.row(i)[o]);
                let want_dw = product(inputs, outputs, batch, |i, o, b| x.row(b)[i] * dy.row(b)[o]);
                let mut dx = Matrix::zeroed(batch, inputs);
                let mut state = filled(inputs, outputs, 5);
                let mut scratch = BackwardScratch::new(batch, outputs);
                let seen = Mutex::new(vec![0; inputs]);
                backward(
                    &pool,
                    &mut scratch,
                    &x,
                    &dy,
                    batch,
                    &mut w,
                    [&mut state],
                    Some(&mut dx),
                    |tile, w, [s], g| {
                        for r in 0..tile.rows {
                            seen.lock().unwrap()[tile.first + r] += 1;
                            for o in 0..tile.stride {
                                let g = g[r * tile.stride + o];
                                if o < outputs {
                                    close(g, want_dw[(tile.first + r) * outputs + o]);
                                } else {
                                    assert_eq!(g, 0.0);
                                }
                                w[r * tile.stride + o] = 0.0;
                                s[r * tile.stride + o] = g;
                            }
                        }
                    },
                );
                assert!(seen.into_inner().unwrap().iter().all(|&n| n == 1));
                for b in 0..batch {
                    for i in 0..inputs {
                        close(dx.row(b)[i], want_dx[b * inputs + i]);
                    }
                }
                assert!((0..inputs).all(|i| w.row(i).iter().all(|&x| x == 0.0)));
            }
        }
    }
}

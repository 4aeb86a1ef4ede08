//! Every setting of a finite space, once.

use std::collections::HashSet;

use crate::gaussian::identity;
use crate::limits::GRID;
use crate::space::Space;

/// The first setting in the order of enumeration that is not taken; `None` at the end.
pub fn nth_free(space: &Space, taken: &HashSet<Vec<u64>>) -> Option<Vec<f64>> {
    space.enumerate(GRID)?.find(|point| !taken.contains(&identity(point)))
}

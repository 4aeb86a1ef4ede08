//! A fitted recommender as one file: a [`tensor_file`] whose content is the table of ratings.
//!
//! The header has the hyperparameters and the names of rows and columns; then come
//!
//! ```text
//! 4 bytes per row      number of ratings
//! gaps                 of the columns of each row: differences to the column before, in groups of seven bits, the
//!                      lowest first, the eighth bit set where another follows
//! 8 bytes per value    the different ratings, when there are at most 256, and 1 byte per rating; otherwise 8 per rating
//! ```
//!
//! Promises: a file that was not written by [`save`] is refused, never followed.

use std::collections::BTreeMap;
use std::path::Path;

use serde::{Deserialize, Serialize};

use super::hyperparameters::Hyperparameters;
use super::model::Model;
use super::ratings::{Labels, MAX_RATINGS, Ratings, Values};
use crate::tensor_file::{self, Format, Reader, Writer};

const FORMAT: Format = Format { magic: b"SBUBCF\0\0", version: 1, algorithm: "ubcf", name: "model" };
/// Bytes written or read at a time.
const PIECE: usize = 1 << 16;

#[derive(Serialize, Deserialize)]
struct Header {
    hyperparameters: BTreeMap<String, String>,
    users: Labels,
    items: Labels,
    /// Number of ratings.
    ratings: usize,
    /// Bytes of the columns.
    gaps: usize,
    /// How many different ratings there are, when they are coded.
    values: Option<usize>,
}

/// Writes what was fitted to `path`.
///
/// # Errors
/// What the file system says.
pub(crate) fn save(
    path: &Path,
    h: &Hyperparameters,
    users: &Labels,
    items: &Labels,
    ratings: &Ratings,
) -> std::io::Result<()> {
    let header = Header {
        hyperparameters: h.values.clone(),
        users: users.clone(),
        items: items.clone(),
        ratings: ratings.len(),
        gaps: (0..ratings.rows()).flat_map(|row| gaps(ratings, row)).map(width).sum(),
        values: match ratings.values() {
            Values::Coded { table, .. } => Some(table.len()),
            Values::Plain(_) => None,
        },
    };
    tensor_file::save(path, &FORMAT, &header, |out| write(out, ratings))
}

fn write(out: &mut Writer, ratings: &Ratings) -> std::io::Result<()> {
    let mut bytes = Vec::with_capacity(PIECE + 8);
    let mut put = |out: &mut Writer, more: &[u8]| {
        bytes.extend_from_slice(more);
        if bytes.len() < PIECE {
            return Ok(());
        }
        let done = out.put(&bytes);
        bytes.clear();
        done
    };
    for row in 0..ratings.rows() {
        put(out, &(ratings.places(row).len() as u32).to_le_bytes())?;
    }
    for mut gap in (0..ratings.rows()).flat_map(|row| gaps(ratings, row)) {
        while gap >= 128 {
            put(out, &[gap as u8 | 128])?;
            gap >>= 7;
        }
        put(out, &[gap as u8])?;
    }
    let codes = match ratings.values() {
        Values::Coded { table, codes } => {
            table.iter().try_for_each(|value| put(out, &value.to_le_bytes()))?;
            &codes[..]
        }
        Values::Plain(values) => {
            values.iter().try_for_each(|value| put(out, &value.to_le_bytes()))?;
            &[]
        }
    };
    out.put(&bytes)?;
    out.put(codes)
}

/// The first column of a row, and how far each other one lies behind the one before.
fn gaps(ratings: &Ratings, row: usize) -> impl Iterator<Item = u32> + '_ {
    let mut last = 0;
    ratings.places(row).map(move |place| {
        let item = ratings.item(place);
        item - std::mem::replace(&mut last, item)
    })
}

/// Bytes that a gap takes.
fn width(gap: u32) -> usize {
    (32 - (gap | 1).leading_zeros() as usize).div_ceil(7)
}

/// Reads a model and fits it again.
///
/// # Errors
/// A sentence that says what is wrong with the file.
pub(crate) fn load(path: &Path) -> Result<Model, String> {
    let shown = path.display();
    let opened = tensor_file::open::<Header>(path, &FORMAT)?;
    let (header, reader) =
        opened.ok_or_else(|| format!("cannot open the model {shown}: there is no such file"))?;
    let unusable = |what: String| format!("the model {shown} cannot be used: {what}");
    let h = Hyperparameters::from_pairs(&header.hyperparameters).map_err(|e| unusable(e.message))?;
    if !header.users.ascend() || !header.items.ascend() || header.ratings > MAX_RATINGS {
        return Err(unusable("its header is damaged".to_owned()));
    }
    let values = header.values.map_or(header.ratings.saturating_mul(8), |table| {
        table.saturating_mul(8).saturating_add(header.ratings)
    });
    let bytes = (header.users.len() * 4).saturating_add(header.gaps).saturating_add(values);
    let ratings = reader.content(bytes as u64, |from| read(from, &header))?;
    Ok(Model::new(h, header.users, header.items, ratings))
}

fn read(from: &mut Reader<'_>, header: &Header) -> Result<Ratings, String> {
    let damaged = || "its ratings are damaged".to_owned();
    let lengths = bytes(from, 4 * header.users.len())?;
    let lengths = lengths.as_chunks::<4>().0.iter().map(|&raw| u32::from_le_bytes(raw) as usize);
    let packed = bytes(from, header.gaps)?;
    let values = values(from, header)?;
    let mut gaps = packed.iter();
    let mut ratings = Ratings::new(header.items.len());
    let mut row = Vec::new();
    let mut at = 0;
    for length in lengths {
        row.clear();
        if length > header.ratings - at {
            return Err(damaged());
        }
        let mut item = 0u32;
        for place in at..at + length {
            let gap = unpack(&mut gaps).filter(|&gap| gap > 0 || place == at).ok_or_else(damaged)?;
            item =
                item.checked_add(gap).filter(|&it| (it as usize) < header.items.len()).ok_or_else(damaged)?;
            row.push((item, values.get(place)));
        }
        at += length;
        ratings.push(row.iter().copied());
    }
    if at != header.ratings || gaps.next().is_some() { Err(damaged()) } else { Ok(ratings) }
}

fn values(from: &mut Reader<'_>, header: &Header) -> Result<Values, String> {
    let doubles = bytes(from, 8 * header.values.unwrap_or(header.ratings))?;
    let doubles: Vec<f64> = doubles.as_chunks::<8>().0.iter().map(|&raw| f64::from_le_bytes(raw)).collect();
    if doubles.iter().any(|value| !value.is_finite()) {
        return Err("it holds ratings that are not numbers".to_owned());
    }
    if header.values.is_none() {
        return Ok(Values::Plain(doubles));
    }
    let codes = bytes(from, header.ratings)?;
    if codes.iter().any(|&code| usize::from(code) >= doubles.len()) {
        return Err("its ratings are damaged".to_owned());
    }
    Ok(Values::Coded { table: doubles, codes })
}

/// So many bytes; room is made for what is there, not for what a header claims: the size of the file was checked.
fn bytes(from: &mut Reader<'_>, count: usize) -> Result<Vec<u8>, String> {
    let mut bytes = vec![0; count];
    bytes.chunks_mut(PIECE).try_for_each(|piece| from.take(piece))?;
    Ok(bytes)
}

/// The next gap; `None` when it does not end or is too large.
fn unpack(bytes: &mut std::slice::Iter<'_, u8>) -> Option<u32> {
    let mut gap = 0u64;
    for shift in (0..35).step_by(7) {
        let byte = *bytes.next()?;
        gap |= u64::from(byte & 127) << shift;
        if byte < 128 {
            return u32::try_from(gap).ok();
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;
    use crate::ubcf::ratings::Collected;

    fn collect(different: u32, named: bool) -> (Ratings, Labels, Labels) {
        let mut collected = Collected::new();
        for i in 0..3000u32 {
            let user = if named { format!("u{}", i % 41) } else { (i % 41 * 1000).to_string() };
            let item = i * i % 2999;
            collected.push(&user, &item.to_string(), f64::from(i % different) / 3.0).unwrap();
        }
        collected.finish()
    }

    fn saved(path: &Path, (ratings, users, items): &(Ratings, Labels, Labels)) {
        let given = BTreeMap::from([("nn".to_owned(), "7".to_owned())]);
        save(path, &Hyperparameters::from_pairs(&given).unwrap(), users, items, ratings).unwrap();
    }

    #[test]
    fn a_model_comes_back_as_it_went_out() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("deeper/model");
        for fitted in [collect(5, false), collect(2000, true)] {
            saved(&path, &fitted);
            let model = load(&path).unwrap();
            assert_eq!((&model.ratings, &model.users, &model.items), (&fitted.0, &fitted.1, &fitted.2));
            assert_eq!(model.h.rule.nn, 7);
        }
    }

    #[test]
    fn every_cut_and_every_changed_byte_is_noticed() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("model");
        saved(&path, &collect(5, false));
        let whole = fs::read(&path).unwrap();
        for size in (0..whole.len()).step_by(97).chain([whole.len() - 1]) {
            fs::write(&path, &whole[..size]).unwrap();
            assert!(load(&path).is_err(), "cut to {size} bytes");
        }
        for at in (0..whole.len()).step_by(53) {
            let mut changed = whole.clone();
            changed[at] ^= 0x10;
            fs::write(&path, &changed).unwrap();
            assert!(load(&path).is_err(), "changed byte {at}");
        }
        assert!(load(&folder.path().join("none")).err().unwrap().starts_with("cannot open the model"));
    }

    #[test]
    fn gaps_are_packed_and_unpacked() {
        for gap in [0u32, 1, 127, 128, 16_383, 16_384, u32::MAX] {
            let mut rest = gap;
            let mut packed = Vec::new();
            while rest >= 128 {
                packed.push(rest as u8 | 128);
                rest >>= 7;
            }
            packed.push(rest as u8);
            assert_eq!(packed.len(), width(gap));
            assert_eq!(unpack(&mut packed.iter()), Some(gap));
        }
        assert_eq!(unpack(&mut [255u8; 6].iter()), None);
        assert_eq!(unpack(&mut [128u8].iter()), None);
    }
}

//! GloVe's binary format: 64-bit numbers, little-endian, without words, which are in the list `vocab.txt` beside it. For
//! each word there is its vector and a bias, then for each word its context vector and a bias. The vector of a word is
//! the sum of the two without bias, as in the text that GloVe writes by default.

use super::{Found, Wanted, WordTable, check_dim, text};

pub(super) fn read(bytes: &[u8], list: &[u8], wanted: &Wanted<'_>) -> Result<Found, String> {
    let count = text::count_lines(list);
    let row = bytes.len().checked_div(2 * 8 * count).unwrap_or_default();
    if row < 2 || row * 2 * 8 * count != bytes.len() {
        return Err(format!(
            "its {} bytes are no two tables of 64-bit numbers for the {count} words of vocab.txt; one of the files is \
             cut or is not GloVe's",
            bytes.len()
        ));
    }
    let dim = row - 1;
    check_dim(dim)?;
    let number = |place: usize, column: usize| {
        let at = 8 * (place * row + column);
        bytes.get(at..).and_then(|rest| rest.first_chunk()).map_or(f64::NAN, |raw| f64::from_le_bytes(*raw))
    };
    let mut table = WordTable::new(dim);
    let mut vector = vec![0.0; dim];
    for (place, line) in list.split(|&byte| byte == b'\n').take(count).enumerate() {
        let word = line.split(|&byte| byte == b' ').next().unwrap_or_default();
        let Ok(word) = std::str::from_utf8(word) else { continue };
        if wanted.wants(place, word) {
            for (column, value) in vector.iter_mut().enumerate() {
                *value = (number(place, column) + number(count + place, column)) as f32;
            }
            table.insert(word, &vector)?;
        }
    }
    Ok(Found { format: "GloVe binary", file_words: count, table, subwords: None })
}

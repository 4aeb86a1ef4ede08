//! word2vec's binary format: a line with the number of words and of numbers, then for each word its bytes, a space and
//! 32-bit numbers, little-endian; word2vec itself ends each with a line break, others do not.

use memchr::memchr;

use super::{Found, MAX_WORD, Wanted, WordTable, check_dim, floats, text};

pub(super) fn read(bytes: &[u8], wanted: &Wanted<'_>) -> Result<Found, String> {
    let end = memchr(b'\n', &bytes[..bytes.len().min(MAX_WORD)]);
    let header = end.and_then(|end| Some((end, text::header(&bytes[..end])?)));
    let (end, (count, dim)) =
        header.ok_or("its first line does not say how many words and numbers there are")?;
    check_dim(dim)?;
    let mut table = WordTable::new(dim);
    let mut vector = Vec::with_capacity(dim);
    let mut rest = &bytes[end + 1..];
    for place in 0..count {
        let cut = |what: &str| format!("word {} of {count}: {what}; the file is cut or damaged", place + 1);
        rest = rest.strip_prefix(b"\n").unwrap_or(rest);
        let space = memchr(b' ', &rest[..rest.len().min(MAX_WORD)]);
        let space = space.ok_or_else(|| cut("there is no word"))?;
        let (word, after) = (&rest[..space], &rest[space + 1..]);
        if after.len() < 4 * dim {
            return Err(cut("its numbers are missing"));
        }
        let (raw, after) = after.split_at(4 * dim);
        rest = after;
        let Ok(word) = std::str::from_utf8(word) else { continue };
        if wanted.wants(place, word) {
            vector.clear();
            floats(raw, &mut vector);
            table.insert(word, &vector).map_err(|what| format!("word {}: {what}", place + 1))?;
        }
    }
    if !rest.trim_ascii().is_empty() {
        return Err(format!("{} bytes follow after the last of {count} words", rest.len()));
    }
    Ok(Found { format: "word2vec binary", file_words: count, table, subwords: None })
}

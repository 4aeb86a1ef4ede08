//! Text: a line per word, the word and its numbers separated by spaces. word2vec and fastText (`.vec`) write a first
//! line with the number of words and of numbers; GloVe writes none.

use memchr::{memchr, memchr_iter};

use super::{Found, Wanted, WordTable, check_dim};

/// Number of words and of numbers, when this line says them.
pub(super) fn header(line: &[u8]) -> Option<(usize, usize)> {
    let mut parts = std::str::from_utf8(line).ok()?.split_ascii_whitespace();
    let pair = (parts.next()?.parse().ok()?, parts.next()?.parse().ok()?);
    parts.next().is_none().then_some(pair)
}

/// How many numbers follow the word in a line without spaces in its word.
pub(super) fn dimension(line: &[u8]) -> Option<usize> {
    let fields = std::str::from_utf8(line).ok()?.split_ascii_whitespace().count();
    fields.checked_sub(1).filter(|&dim| dim > 0)
}

/// Whether a line is a word and so many numbers.
pub(super) fn is_row(line: &[u8], dim: usize) -> bool {
    let mut values = Vec::new();
    split(line).is_some_and(|(_, rest)| numbers(rest, dim, &mut values).is_ok())
}

/// The first word and the rest of a line.
fn split(line: &[u8]) -> Option<(&str, &[u8])> {
    let line = line.trim_ascii_end();
    let end = memchr(b' ', line).or_else(|| memchr(b'\t', line))?;
    Some((std::str::from_utf8(&line[..end]).ok()?, &line[end + 1..]))
}

/// Reads so many numbers. A word with spaces in it, as some of GloVe's have, leaves more fields than that: `Ok(false)`.
fn numbers(rest: &[u8], dim: usize, into: &mut Vec<f32>) -> Result<bool, String> {
    let text = std::str::from_utf8(rest).map_err(|_| "the numbers are not text".to_owned())?;
    let fields = text.split_ascii_whitespace().count();
    if fields > dim {
        return Ok(false);
    }
    if fields < dim {
        return Err(format!("{fields} numbers instead of {dim}; the file may be cut"));
    }
    for field in text.split_ascii_whitespace() {
        let value = field.parse::<f32>().ok().filter(|value| value.is_finite());
        into.push(value.ok_or_else(|| format!("'{field}' is not a number"))?);
    }
    Ok(true)
}

pub(super) fn read(bytes: &[u8], wanted: &Wanted<'_>) -> Result<Found, String> {
    let mut lines = Lines { bytes, at: 0, number: 0 };
    let first = lines.peek();
    let stated = header(first);
    let dim = match stated {
        Some((_, dim)) => {
            lines.next();
            dim
        }
        None => dimension(first).ok_or("line 1: it is not a word and its numbers")?,
    };
    check_dim(dim)?;
    let mut table = WordTable::new(dim);
    let (mut values, mut words, mut last) = (Vec::with_capacity(dim), 0, (0, &b""[..]));
    while let Some((number, line)) = lines.next() {
        if line.trim_ascii().is_empty() {
            continue;
        }
        let place = words;
        words += 1;
        last = (number, line);
        let Some((word, rest)) = split(line) else { continue };
        if !wanted.wants(place, word) || table.find(word).is_some() {
            continue;
        }
        values.clear();
        if numbers(rest, dim, &mut values).map_err(|what| format!("line {number}: {what}"))? {
            table.insert(word, &values)?;
        }
    }
    let (number, line) = last;
    if words > 0 && split(line).is_some_and(|(_, rest)| numbers(rest, dim, &mut Vec::new()).is_err()) {
        return Err(format!("line {number}: it is not a word and {dim} numbers; the file may be cut"));
    }
    match stated {
        Some((count, _)) if count != words => {
            Err(format!("line 1 says that there are {count} words, but {words} follow; the file may be cut"))
        }
        _ => Ok(Found { format: "text", file_words: words, table, subwords: None }),
    }
}

/// Lines with their numbers, from 1.
struct Lines<'a> {
    bytes: &'a [u8],
    at: usize,
    number: usize,
}

impl<'a> Lines<'a> {
    fn peek(&self) -> &'a [u8] {
        let rest = &self.bytes[self.at..];
        memchr(b'\n', rest).map_or(rest, |end| &rest[..end])
    }

    fn next(&mut self) -> Option<(usize, &'a [u8])> {
        if self.at >= self.bytes.len() {
            return None;
        }
        let line = self.peek();
        self.at += line.len() + 1;
        self.number += 1;
        Some((self.number, line))
    }
}

/// Lines in a list of words, for formats that have one.
pub(super) fn count_lines(bytes: &[u8]) -> usize {
    let ended = memchr_iter(b'\n', bytes).count();
    ended + usize::from(bytes.last().is_some_and(|&byte| byte != b'\n'))
}

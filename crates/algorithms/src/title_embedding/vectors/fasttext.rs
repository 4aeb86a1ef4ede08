//! fastText's models (`.bin`), versions 11 and 12, without quantisation.
//!
//! The vector of a word is the mean of its own row and the rows of its character n-grams, which share `bucket` rows by
//! their hash; a word that the dictionary does not have is the mean of its n-grams alone (Bojanowski et al. 2017).

use std::ops::RangeInclusive;

use memchr::memchr;

use super::{Found, MAX_WORD, Wanted, WordTable, check_dim, floats};
use crate::kernels::MappedFile;

const MAGIC: i32 = 793_712_314;
/// The end of a sentence, which has no n-grams.
const END: &str = "</s>";
/// Longest n-gram that is believed.
const MAX_NGRAM: usize = 64;

/// Which n-grams a word has, and which rows they share.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub(crate) struct NGrams {
    /// Characters of the shortest and the longest.
    pub shortest: usize,
    pub longest: usize,
    /// Rows.
    pub buckets: usize,
}

impl NGrams {
    /// The rows of a word's n-grams, in fastText's order: those of `<word>` from every character on, without single
    /// brackets. Empty where there are no n-grams.
    pub(crate) fn of(self, word: &str) -> Vec<usize> {
        let mut rows = Vec::new();
        if self.buckets == 0 || word == END {
            return rows;
        }
        let text = format!("<{word}>");
        let mut ends: Vec<usize> = text.char_indices().map(|(at, _)| at).skip(1).collect();
        ends.push(text.len());
        for (first, start) in text.char_indices().map(|(at, _)| at).enumerate() {
            for (size, &end) in (1..=self.longest).zip(&ends[first..]) {
                let bracket = size == 1 && (start == 0 || end == text.len());
                if size >= self.shortest && !bracket {
                    rows.push(hash(&text.as_bytes()[start..end]) as usize % self.buckets);
                }
            }
        }
        rows
    }
}

/// FNV-1a with fastText's peculiarity: bytes are taken as signed.
fn hash(bytes: &[u8]) -> u32 {
    bytes.iter().fold(2_166_136_261, |hash: u32, &byte| {
        (hash ^ i32::from(byte as i8) as u32).wrapping_mul(16_777_619)
    })
}

/// Where the rows of n-grams are.
enum Rows {
    /// In the mapped file, from this byte on.
    Mapped(MappedFile, usize),
    Kept(Vec<f32>),
}

/// Makes vectors of words that a dictionary does not have.
pub(crate) struct Subwords {
    pub ngrams: NGrams,
    dim: usize,
    rows: Rows,
}

impl Subwords {
    /// Subwords from a table of `ngrams.buckets * dim` numbers.
    pub(crate) fn kept(ngrams: NGrams, dim: usize, values: Vec<f32>) -> Self {
        Self { ngrams, dim, rows: Rows::Kept(values) }
    }

    /// The vector of a word, unless it has no n-grams.
    pub(crate) fn vector(&self, word: &str) -> Option<Vec<f32>> {
        let rows = self.ngrams.of(word);
        let mut sum = vec![0.0; self.dim];
        rows.iter().for_each(|&row| self.add(row, &mut sum));
        (!rows.is_empty()).then(|| {
            let share = 1.0 / rows.len() as f32;
            sum.iter_mut().for_each(|value| *value *= share);
            sum
        })
    }

    /// All rows, for a model.
    pub(crate) fn values(&self) -> Vec<f32> {
        match &self.rows {
            Rows::Kept(values) => values.clone(),
            Rows::Mapped(file, start) => {
                let mut values = Vec::with_capacity(self.ngrams.buckets * self.dim);
                let end = start + 4 * self.ngrams.buckets * self.dim;
                floats(file.get(*start..end).unwrap_or_default(), &mut values);
                values
            }
        }
    }

    fn add(&self, row: usize, sum: &mut [f32]) {
        match &self.rows {
            Rows::Kept(values) => {
                let row = &values[row * self.dim..(row + 1) * self.dim];
                sum.iter_mut().zip(row).for_each(|(sum, value)| *sum += value);
            }
            Rows::Mapped(file, start) => add_row(file, *start, self.dim, row, sum),
        }
    }
}

/// Adds a row of a matrix that begins at a byte of the file and whose size was checked.
fn add_row(file: &[u8], start: usize, dim: usize, row: usize, sum: &mut [f32]) {
    let from = start + 4 * dim * row;
    let raw = file.get(from..from + 4 * dim).unwrap_or_default();
    for (sum, raw) in sum.iter_mut().zip(raw.as_chunks::<4>().0) {
        *sum += f32::from_le_bytes(*raw);
    }
}

/// Whether a file begins as a model does.
pub(super) fn is_fasttext(bytes: &[u8]) -> bool {
    bytes.starts_with(&MAGIC.to_le_bytes())
}

/// What stands before the matrix.
struct Head {
    dim: usize,
    ngrams: NGrams,
    /// Byte range of every word.
    words: Vec<std::ops::Range<usize>>,
    /// First byte of the matrix.
    start: usize,
}

pub(super) fn read(file: MappedFile, wanted: &Wanted<'_>) -> Result<Found, String> {
    let head = head(&file)?;
    let (dim, count) = (head.dim, head.words.len());
    let mut table = WordTable::new(dim);
    for (place, range) in head.words.iter().enumerate() {
        let Ok(word) = std::str::from_utf8(&file[range.clone()]) else { continue };
        if !wanted.wants(place, word) {
            continue;
        }
        let mut sum = vec![0.0; dim];
        add_row(&file, head.start, dim, place, &mut sum);
        let rows = head.ngrams.of(word);
        rows.iter().for_each(|row| add_row(&file, head.start, dim, count + row, &mut sum));
        let share = 1.0 / (1 + rows.len()) as f32;
        sum.iter_mut().for_each(|value| *value *= share);
        table.insert(word, &sum)?;
    }
    let subwords = (head.ngrams.buckets > 0).then(|| Subwords {
        ngrams: head.ngrams,
        dim,
        rows: Rows::Mapped(file, head.start + 4 * dim * count),
    });
    Ok(Found { format: "fastText binary", file_words: count, table, subwords })
}

/// Reads numbers one after the other.
struct Cursor<'a> {
    bytes: &'a [u8],
    at: usize,
}

impl Cursor<'_> {
    fn take<const N: usize>(&mut self, what: &str) -> Result<[u8; N], String> {
        let raw = self.bytes.get(self.at..).and_then(|rest| rest.first_chunk::<N>());
        let raw = *raw.ok_or_else(|| format!("the file ends within {what}; it is cut"))?;
        self.at += N;
        Ok(raw)
    }

    fn int(&mut self, what: &str) -> Result<i32, String> {
        Ok(i32::from_le_bytes(self.take(what)?))
    }

    /// A 32-bit number in a range.
    fn size(&mut self, what: &str, range: RangeInclusive<usize>) -> Result<usize, String> {
        let value = self.int(what)?;
        usize::try_from(value)
            .ok()
            .filter(|value| range.contains(value))
            .ok_or_else(|| format!("{what} is {value}; the file is damaged"))
    }

    fn long(&mut self, what: &str) -> Result<i64, String> {
        Ok(i64::from_le_bytes(self.take(what)?))
    }
}

fn head(bytes: &[u8]) -> Result<Head, String> {
    let mut from = Cursor { bytes, at: 0 };
    if from.int("its first number")? != MAGIC {
        return Err("it is not a fastText model: its first four bytes are others".to_owned());
    }
    let version = from.int("its version")?;
    if !(11..=12).contains(&version) {
        return Err(format!("its format has version {version}; versions 11 and 12 are read"));
    }
    let most = i32::MAX as usize;
    let dim = from.size("the number of dimensions", 0..=most)?;
    check_dim(dim)?;
    for what in ["ws", "epoch", "minCount", "neg", "wordNgrams", "loss"] {
        from.int(what)?;
    }
    let supervised = from.int("the model's kind")? == 3;
    let bucket = from.size("the number of buckets", 0..=most)?;
    let shortest = from.size("minn", 0..=MAX_NGRAM)?;
    let longest = from.size("maxn", 0..=MAX_NGRAM)?;
    from.int("lrUpdateRate")?;
    from.take::<8>("t")?;
    let longest = if version == 11 && supervised { 0 } else { longest };
    let (entries, count) =
        (from.size("the size of the dictionary", 0..=most)?, from.size("nwords", 0..=most)?);
    from.size("nlabels", 0..=most)?;
    from.long("the number of tokens")?;
    if from.long("the size of the pruned index")? > 0 {
        return Err("the model is pruned, as quantised ones are; use the one before quantisation".to_owned());
    }
    let mut words = Vec::new();
    for entry in 0..entries {
        let rest = &bytes[from.at..];
        let end = memchr(0, &rest[..rest.len().min(MAX_WORD)]);
        let end =
            end.ok_or_else(|| format!("the file ends within entry {entry} of the dictionary; it is cut"))?;
        let range = from.at..from.at + end;
        from.at = range.end + 1;
        from.long("a word's count")?;
        if from.take::<1>("a word's kind")? == [0] {
            words.push(range);
        }
    }
    if words.len() != count {
        return Err(format!("its dictionary has {} words instead of {count}; it is damaged", words.len()));
    }
    if from.take::<1>("the mark of quantisation")? != [0] {
        return Err("the model is quantised (.ftz); use the one before quantisation".to_owned());
    }
    let (rows, columns) = (from.long("the matrix's rows")?, from.long("the matrix's columns")?);
    let buckets = if longest > 0 { bucket } else { 0 };
    if columns != dim as i64 || rows != (count + bucket) as i64 && rows != (count + buckets) as i64 {
        let want = count + buckets;
        return Err(format!("its matrix is {rows} x {columns} instead of {want} x {dim}; it is damaged"));
    }
    let (have, need) = (bytes.len() - from.at, 4 * dim * rows as usize);
    if have < need {
        return Err(format!("{have} bytes of the matrix are there instead of {need}; the file is cut"));
    }
    Ok(Head { dim, ngrams: NGrams { shortest, longest, buckets }, words, start: from.at })
}

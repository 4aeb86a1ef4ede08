//! Files of pretrained word vectors, in the formats of fastText, GloVe and word2vec.
//!
//! Promises: a file is mapped, and only the rows that are asked for are kept; a file that was cut, or that is not what
//! it says, is refused with its name and the place. The first of several rows of one word counts, as in gensim. Never:
//! keeps a whole file in memory.

mod fasttext;
mod glove;
mod text;
mod word2vec;

use std::collections::{HashMap, HashSet};
use std::path::{Path, PathBuf};

use crate::TrainFailure;
use crate::contract::Folders;
use crate::kernels::MappedFile;
pub(super) use fasttext::{NGrams, Subwords};

/// The channel of the file.
pub(super) const CHANNEL: &str = "vectors";
/// Name of GloVe's list of words, which lies beside its binary vectors.
const VOCABULARY: &str = "vocab.txt";
/// Widest vectors.
const MAX_DIM: usize = 10_000;
/// Most numbers kept from a file: 8 GiB.
const MAX_VALUES: usize = 1 << 31;
/// Longest word in a file, in bytes; a longer one is a sign of another format.
const MAX_WORD: usize = 1 << 16;

/// Words with their vectors.
#[derive(Clone, Debug, Default)]
pub(super) struct WordTable {
    /// Numbers per vector.
    pub dim: usize,
    /// In the order in which they were added.
    pub words: Vec<String>,
    /// `words.len() * dim` numbers.
    pub values: Vec<f32>,
    index: HashMap<String, u32>,
}

impl WordTable {
    /// An empty table.
    pub(super) fn new(dim: usize) -> Self {
        Self { dim, ..Self::default() }
    }

    /// A table of words and as many vectors.
    pub(super) fn from_parts(dim: usize, words: Vec<String>, values: Vec<f32>) -> Self {
        let index = words.iter().enumerate().map(|(i, word)| (word.clone(), i as u32)).collect();
        Self { dim, words, values, index }
    }

    /// Place of a word.
    pub(super) fn find(&self, word: &str) -> Option<usize> {
        self.index.get(word).map(|&place| place as usize)
    }

    /// The vector at a place.
    pub(super) fn vector(&self, place: usize) -> &[f32] {
        &self.values[place * self.dim..(place + 1) * self.dim]
    }

    /// Adds a word that is not there yet; the caller adds its numbers to `values`.
    ///
    /// # Errors
    /// When the table is full.
    fn push(&mut self, word: &str) -> Result<(), String> {
        if (self.words.len() + 1) * self.dim > MAX_VALUES {
            return Err(format!(
                "more than {MAX_VALUES} numbers would have to be kept. Lower the hyperparameter 'model_vocabulary'"
            ));
        }
        self.index.insert(word.to_owned(), self.words.len() as u32);
        self.words.push(word.to_owned());
        Ok(())
    }

    /// Adds a word with its vector, if it is not there yet.
    ///
    /// # Errors
    /// When the table is full, or a number is not finite.
    pub(super) fn insert(&mut self, word: &str, vector: &[f32]) -> Result<(), String> {
        if self.find(word).is_some() {
            return Ok(());
        }
        if let Some(value) = vector.iter().find(|value| !value.is_finite()) {
            return Err(format!("the vector of the word '{word}' has the value {value}"));
        }
        self.push(word)?;
        self.values.extend_from_slice(vector);
        Ok(())
    }
}

/// What is asked of a file.
pub(super) struct Wanted<'a> {
    /// These words, where the file has them.
    pub words: &'a HashSet<String>,
    /// And so many from its head, where the most frequent ones are.
    pub head: usize,
}

impl Wanted<'_> {
    /// Whether the word at this place of the file is asked for.
    fn wants(&self, place: usize, word: &str) -> bool {
        place < self.head || self.words.contains(word)
    }
}

/// What a file has of it.
pub(super) struct Found {
    /// Name of the format, for the log.
    pub format: &'static str,
    /// Words in the file.
    pub file_words: usize,
    pub table: WordTable,
    /// For words that the file does not have, where it can make vectors of them.
    pub subwords: Option<Subwords>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Format {
    Text,
    Word2vec,
    Glove,
    Fasttext,
}

/// Reads the file of the channel; `file` names it where there are several, `format` says what it is where that is not
/// to be seen.
///
/// # Errors
/// A client failure that names the file and the place in it.
pub(super) fn read(
    folders: &Folders<'_>,
    file: &str,
    format: Option<&str>,
    wanted: &Wanted<'_>,
) -> Result<Found, TrainFailure> {
    let (path, shown) = choose(folders.files(CHANNEL)?, file)?;
    let broken = |e: std::io::Error| TrainFailure::algorithm(format!("cannot read {shown}: {e}"));
    let bytes = MappedFile::open(&path).map_err(broken)?;
    let wrong = |what: String| TrainFailure::client(format!("{shown}: {what}"));
    let format = match format {
        Some("text") => Format::Text,
        Some("word2vec_binary") => Format::Word2vec,
        Some("glove_binary") => Format::Glove,
        Some(_) => Format::Fasttext,
        None => recognise(&bytes, &path).map_err(wrong)?,
    };
    match format {
        Format::Text => text::read(&bytes, wanted).map_err(wrong),
        Format::Word2vec => word2vec::read(&bytes, wanted).map_err(wrong),
        Format::Fasttext => fasttext::read(bytes, wanted).map_err(wrong),
        Format::Glove => {
            let vocabulary = path.with_file_name(VOCABULARY);
            let words = MappedFile::open(&vocabulary).map_err(|e| {
                wrong(format!("GloVe's binary vectors need its list of words {VOCABULARY} beside them: {e}"))
            })?;
            glove::read(&bytes, &words, wanted).map_err(wrong)
        }
    }
}

/// The file that is meant.
fn choose(mut files: Vec<(PathBuf, String)>, name: &str) -> Result<(PathBuf, String), TrainFailure> {
    if !name.is_empty() {
        let whole = format!("{CHANNEL}/{name}");
        return files.into_iter().find(|(_, shown)| *shown == whole).ok_or_else(|| {
            TrainFailure::client(format!(
                "Hyperparameter 'vectors_file': the channel '{CHANNEL}' has no file '{name}'"
            ))
        });
    }
    files.retain(|(path, _)| path.file_name().is_none_or(|name| name != VOCABULARY));
    match files.len() {
        1 => Ok(files.remove(0)),
        0 => Err(TrainFailure::client(format!("The channel '{CHANNEL}' has no file"))),
        n => Err(TrainFailure::client(format!(
            "The channel '{CHANNEL}' has {n} files. Name the one with the vectors with the hyperparameter \
             'vectors_file'"
        ))),
    }
}

/// What a file looks like.
fn recognise(bytes: &[u8], path: &Path) -> Result<Format, String> {
    if bytes.is_empty() {
        return Err("the file is empty".to_owned());
    }
    if bytes.starts_with(&[0x1f, 0x8b]) || bytes.starts_with(b"PK\x03\x04") {
        return Err("the file is compressed. Unpack it first: it is read where it lies".to_owned());
    }
    if fasttext::is_fasttext(bytes) {
        return Ok(Format::Fasttext);
    }
    let mut lines = bytes.splitn(3, |&byte| byte == b'\n');
    let (first, second) = (lines.next().unwrap_or_default(), lines.next().unwrap_or_default());
    match text::header(first) {
        Some((_, dim)) if text::is_row(second, dim) || second.is_empty() => Ok(Format::Text),
        Some(_) => Ok(Format::Word2vec),
        None if text::dimension(first).is_some_and(|dim| text::is_row(first, dim)) => Ok(Format::Text),
        None if path.with_file_name(VOCABULARY).is_file() => Ok(Format::Glove),
        None => Err(
            "the format is not recognised: it is no fastText model (.bin), no text of words and numbers, no \
                     word2vec binary, and there is no vocab.txt beside it, as GloVe's binaries need. Set the \
                     hyperparameter 'vectors_format' if it is one of these"
                .to_owned(),
        ),
    }
}

/// `count` little-endian numbers, appended to `into`.
fn floats(bytes: &[u8], into: &mut Vec<f32>) {
    into.extend(bytes.as_chunks::<4>().0.iter().map(|raw| f32::from_le_bytes(*raw)));
}

fn check_dim(dim: usize) -> Result<(), String> {
    if (1..=MAX_DIM).contains(&dim) {
        return Ok(());
    }
    Err(format!("the vectors have {dim} numbers, but 1 to {MAX_DIM} are allowed"))
}

#[cfg(test)]
mod tests;

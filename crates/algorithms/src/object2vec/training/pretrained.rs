//! Initial embeddings from files of the auxiliary channel.
//!
//! The vocabulary is a JSON object from word to token id; the embeddings are lines `word v1 .. vd`, as GloVe writes
//! them (a first line with two numbers, as word2vec and fastText write it, is passed over). Words that are not in the
//! vocabulary are passed over; tokens without a line keep their random start.

use std::collections::HashMap;
use std::fs::{self, File};
use std::io::{BufRead, BufReader, Read};
use std::path::{Path, PathBuf};

use crate::TrainFailure;
use crate::contract::{Folders, Log};
use crate::kernels::Matrix;
use crate::object2vec::hyperparameters::Hyperparameters;
use crate::object2vec::network::Network;

/// Largest vocabulary file, in bytes: three million words of 80 bytes.
const MAX_VOCABULARY: u64 = 256 << 20;
/// Longest line of an embedding file, in bytes: ten thousand numbers of a hundred digits.
const MAX_LINE: u64 = 1 << 20;

/// Fills the tables for which a file is named; says for each table whether it stays as it is from now on.
///
/// # Errors
/// A client failure that names the file, and the line where there is one.
pub(super) fn fill(
    log: &mut Log<'_>,
    folders: &Folders<'_>,
    h: &Hyperparameters,
    network: &mut Network,
) -> Result<Vec<bool>, TrainFailure> {
    let mut frozen = vec![false; network.tables.len()];
    for (side, encoder) in h.encoders.iter().enumerate() {
        let Some(files) = &encoder.pretrained else { continue };
        let index = network.shape.table_of(side);
        if index < side {
            // The table is shared, and the first side has filled it.
            continue;
        }
        let ids =
            read_vocabulary(&find(folders, side, "vocab_file", &files.vocabulary)?, encoder.vocab_size)?;
        let path = find(folders, side, "pretrained_embedding_file", &files.embeddings)?;
        let found = read_embeddings(&path, &ids, &mut network.tables[index])?;
        log.info(format!(
            "Loaded {found} of {} token embeddings of enc{side} from {}",
            encoder.vocab_size,
            path.display()
        ))?;
        frozen[index] = files.freeze;
    }
    Ok(frozen)
}

fn find(folders: &Folders<'_>, side: usize, what: &str, name: &str) -> Result<PathBuf, TrainFailure> {
    let path = folders.channel(super::setup::AUXILIARY).join(name);
    if path.is_file() {
        return Ok(path);
    }
    Err(TrainFailure::client(format!(
        "Hyperparameter 'enc{side}_{what}': the channel 'auxiliary' has no file '{name}'"
    )))
}

fn read_vocabulary(path: &Path, size: usize) -> Result<HashMap<String, u32>, TrainFailure> {
    let shown = path.display();
    let broken = |e: std::io::Error| TrainFailure::algorithm(format!("cannot read {shown}: {e}"));
    if fs::metadata(path).map_err(broken)?.len() > MAX_VOCABULARY {
        return Err(TrainFailure::client(format!("{shown} is larger than {MAX_VOCABULARY} bytes")));
    }
    let bytes = fs::read(path).map_err(broken)?;
    let ids: HashMap<String, u32> = serde_json::from_slice(&bytes).map_err(|e| {
        TrainFailure::client(format!("{shown} is not a JSON object from word to token id: {e}"))
    })?;
    match ids.iter().find(|&(_, &id)| id as usize >= size) {
        None => Ok(ids),
        Some((word, id)) => Err(TrainFailure::client(format!(
            "{shown}: the word '{word}' has the token id {id}, which is outside the vocabulary of size {size}"
        ))),
    }
}

/// Fills rows of the table; returns how many.
fn read_embeddings(
    path: &Path,
    ids: &HashMap<String, u32>,
    table: &mut Matrix,
) -> Result<usize, TrainFailure> {
    let shown = path.display();
    let broken = |e: std::io::Error| TrainFailure::algorithm(format!("cannot read {shown}: {e}"));
    let mut file = BufReader::with_capacity(1 << 18, File::open(path).map_err(broken)?);
    let (mut line, mut found) = (Vec::new(), 0);
    for number in 1u64.. {
        line.clear();
        let size = file.by_ref().take(MAX_LINE).read_until(b'\n', &mut line).map_err(broken)?;
        if size == 0 {
            break;
        }
        let wrong = |what: String| TrainFailure::client(format!("{shown}, line {number}: {what}"));
        if size as u64 == MAX_LINE {
            return Err(wrong(format!("the line is longer than {MAX_LINE} bytes")));
        }
        let text = String::from_utf8_lossy(&line);
        let mut parts = text.split_ascii_whitespace();
        let Some(&id) = parts.next().and_then(|word| ids.get(word)) else { continue };
        let values: Vec<&str> = parts.collect();
        if values.len() != table.columns() {
            return Err(wrong(format!(
                "{} numbers, but the embeddings of this network have {} (pooled_embedding: enc_dim; hcnn and bilstm: \
                 token_embedding_dim)",
                values.len(),
                table.columns()
            )));
        }
        for (into, value) in table.row_mut(id as usize).iter_mut().zip(values) {
            let number = value.parse::<f32>().ok().filter(|number| number.is_finite());
            *into = number.ok_or_else(|| wrong(format!("'{value}' is not a number")))?;
        }
        found += 1;
    }
    Ok(found)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn table() -> Matrix {
        let mut table = Matrix::zeroed(3, 4);
        (0..3).for_each(|row| table.row_mut(row).fill(9.0));
        table
    }

    fn read(text: &str) -> Result<(usize, Matrix), TrainFailure> {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("e.txt");
        fs::write(&path, text).unwrap();
        let ids = [("cat".to_owned(), 2), ("dog".to_owned(), 0)].into_iter().collect();
        let mut table = table();
        Ok((read_embeddings(&path, &ids, &mut table)?, table))
    }

    #[test]
    fn rows_of_known_words_are_filled() {
        let (found, table) = read("2 4\ncat 1 2.5 -3 4e-1\nbird 1 2\ndog 0 0 0 1\n").unwrap();
        assert_eq!(found, 2);
        assert_eq!(table.row(2), [1.0, 2.5, -3.0, 0.4]);
        assert_eq!(table.row(0), [0.0, 0.0, 0.0, 1.0]);
        assert_eq!(table.row(1), [9.0; 4]);
    }

    #[test]
    fn lines_that_do_not_fit_are_named() {
        let message = |text: &str| read(text).err().unwrap().message;
        assert!(message("cat 1 2 3").ends_with("e.txt, line 1: 3 numbers, but the embeddings of this network have 4 (pooled_embedding: enc_dim; hcnn and bilstm: token_embedding_dim)"));
        assert!(message("\ncat 1 2 x 4").ends_with("line 2: 'x' is not a number"));
    }

    #[test]
    fn vocabularies_are_checked() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("v.json");
        fs::write(&path, r#"{"a": 0, "b": 3}"#).unwrap();
        assert_eq!(read_vocabulary(&path, 4).unwrap()["b"], 3);
        assert!(read_vocabulary(&path, 3).unwrap_err().message.contains("the word 'b' has the token id 3"));
        fs::write(&path, "[]").unwrap();
        assert!(
            read_vocabulary(&path, 3)
                .unwrap_err()
                .message
                .contains("is not a JSON object from word to token id")
        );
    }
}

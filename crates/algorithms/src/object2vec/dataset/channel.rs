//! Reads all files of one channel folder.
//!
//! Promises: every record's ids lie inside the vocabularies; a failure names the file, the line and the key. Files
//! are read in the order of their paths, so the same folder gives the same records. Names that begin with a dot are
//! skipped.

use std::path::Path;

use super::line::{Record, SIDES, parse};
use super::{Dataset, Tokens};
use crate::TrainFailure;
use crate::contract::{each_line, files};
use crate::object2vec::hyperparameters::EncoderConfig;

/// Most records in a channel: record numbers are 31 bits wide in the training loop.
const MAX_RECORDS: usize = i32::MAX as usize;

/// What records must fit into.
pub(crate) struct Expected<'a> {
    pub encoders: &'a [EncoderConfig; 2],
    /// Number of classes, when labels are classes.
    pub classes: Option<usize>,
}

/// Reads the channel `name` in the folder `folder`.
///
/// # Errors
/// A client failure for missing, empty or malformed data; an algorithm failure when the machine cannot read it.
pub(crate) fn read_channel(
    name: &str,
    folder: &Path,
    expected: &Expected<'_>,
) -> Result<Dataset, TrainFailure> {
    let files = files(name, folder)?;
    let mut reader = ChannelReader { expected, record: Record::default(), data: Dataset::default() };
    for (path, shown) in &files {
        reader.read(path, shown)?;
    }
    let data = reader.data;
    if data.len() == 0 {
        return Err(TrainFailure::client(format!(
            "The channel '{name}' has no records: {} file(s) were found in it",
            files.len()
        )));
    }
    Ok(data)
}

struct ChannelReader<'a> {
    expected: &'a Expected<'a>,
    record: Record,
    data: Dataset,
}

impl ChannelReader<'_> {
    fn read(&mut self, path: &Path, shown: &str) -> Result<(), TrainFailure> {
        each_line(path, shown, |text| {
            parse(text, &mut self.record)?;
            if self.data.len() == MAX_RECORDS {
                return Err(format!("a channel may have at most {MAX_RECORDS} records"));
            }
            accept(self.expected, &self.record, &mut self.data)
        })
    }
}

/// Checks the ids, cuts lists that are too long, and stores the record.
fn accept(expected: &Expected<'_>, record: &Record, data: &mut Dataset) -> Result<(), String> {
    let encoders = expected.encoders;
    for ((config, list), key) in encoders.iter().zip(&record.sides).zip(SIDES) {
        check_ids(key, list, config.vocab_size)?;
    }
    if let Some(classes) = expected.classes
        && (record.label.fract() != 0.0 || !(0.0..classes as f32).contains(&record.label))
    {
        return Err(format!(
            "key 'label': {} is not a class (allowed: 0 to {}; num_classes is {classes})",
            record.label,
            classes - 1
        ));
    }
    for ((config, list), tokens) in encoders.iter().zip(&record.sides).zip(&mut data.sides) {
        let keep = list.len().min(config.max_seq_len);
        data.truncated |= keep < list.len();
        Tokens::push(tokens, &list[..keep]);
    }
    data.labels.push(record.label);
    Ok(())
}

/// Every id must be below the vocabulary's size.
///
/// # Errors
/// The first that is not, with the key and the size.
pub(crate) fn check_ids(key: &str, list: &[u32], vocab_size: usize) -> Result<(), String> {
    match list.iter().find(|&&id| id as usize >= vocab_size) {
        None => Ok(()),
        Some(id) => Err(format!(
            "key '{key}': token id {id} is outside the vocabulary of size {vocab_size} (allowed: 0 to {})",
            vocab_size - 1
        )),
    }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;
    use crate::object2vec::hyperparameters::EncoderNetwork;

    fn encoders() -> [EncoderConfig; 2] {
        let side = |vocab_size, max_seq_len| EncoderConfig {
            network: EncoderNetwork::PooledEmbedding,
            max_seq_len,
            vocab_size,
            token_embedding_dim: 300,
            layers: 1,
            cnn_filter_width: 3,
            pretrained: None,
        };
        [side(10, 2), side(5, 1)]
    }

    fn read(files: &[(&str, &str)]) -> Result<Dataset, TrainFailure> {
        read_with(files, None)
    }

    fn read_with(files: &[(&str, &str)], classes: Option<usize>) -> Result<Dataset, TrainFailure> {
        let folder = tempfile::tempdir().unwrap();
        for (name, text) in files {
            let path = folder.path().join(name);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, text).unwrap();
        }
        let expected = Expected { encoders: &encoders(), classes };
        read_channel("train", folder.path(), &expected)
    }

    #[test]
    fn all_files_are_read_in_order_and_long_lists_are_cut() {
        let a = "{\"in0\":[1,2,3],\"in1\":[0],\"label\":1}\n\n{\"in0\":[9],\"in1\":[4],\"label\":2}";
        let data = read(&[("b", "{\"in0\":[5],\"in1\":[3],\"label\":3}\r\n"), ("a/x", a), (".hidden", "no")])
            .unwrap();
        assert_eq!(data.labels, [1.0, 2.0, 3.0]);
        assert_eq!((data.sides[0].get(0), data.sides[0].get(2)), (&[1, 2][..], &[5][..]));
        assert!(data.truncated);
    }

    #[test]
    fn classes_are_whole_numbers_within_bounds() {
        let line = |label: &str| format!("{{\"in0\":[1],\"in1\":[0],\"label\":{label}}}");
        for good in ["0", "2", "1.0"] {
            assert!(read_with(&[("a", &line(good))], Some(3)).is_ok());
        }
        for bad in ["3", "-1", "0.5"] {
            let message = read_with(&[("a", &line(bad))], Some(3)).err().unwrap().message;
            let want = format!(
                "train/a, line 1: key 'label': {bad} is not a class (allowed: 0 to 2; num_classes is 3)"
            );
            assert_eq!(message, want);
        }
    }

    #[test]
    fn failures_name_file_line_and_key() {
        let good = "{\"in0\":[1],\"in1\":[0],\"label\":1}\n";
        let message =
            |second: &str| read(&[("part-0", &format!("{good}{second}"))]).err().unwrap().to_string();
        assert_eq!(
            message("{\"in0\":[1],\"in1\":[5],\"label\":1}"),
            "ClientError: train/part-0, line 2: key 'in1': token id 5 is outside the vocabulary of size 5 (allowed: 0 \
             to 4)"
        );
        assert_eq!(message("{\"in0\":[1]}"), "ClientError: train/part-0, line 2: key 'in1' is missing");
        assert_eq!(
            message("oops"),
            "ClientError: train/part-0, line 2: not a JSON object: expected value at column 1"
        );
        let long = " ".repeat((4 << 20) + 5);
        assert!(message(&long).ends_with("line 2: the line is longer than 4194304 bytes"));
        assert_eq!(
            read(&[]).err().unwrap().to_string(),
            "ClientError: The channel 'train' has no records: 0 file(s) were found in it"
        );
        assert!(read(&[("empty", "\n\n")]).is_err());
    }
}

//! Every format, whole, cut and damaged; fastText's own numbers.

use std::collections::BTreeMap;
use std::fs;

use super::*;

/// Made with fastText 0.9.2 (PyPI fasttext-wheel): skipgram, dim 4, minn 2, maxn 4, bucket 50, on 60 lines of 21 words.
const MODEL: &[u8] = include_bytes!("fixtures/fasttext.bin");
/// `get_word_vector` of words that the model has, and of words that it has not.
const VECTORS: &str = include_str!("fixtures/fasttext.json");

fn read_files(
    files: &[(&str, &[u8])],
    format: Option<&str>,
    words: &[&str],
    head: usize,
) -> Result<Found, String> {
    let root = tempfile::tempdir().unwrap();
    let folder = root.path().join("input/data/vectors");
    fs::create_dir_all(&folder).unwrap();
    for (name, bytes) in files {
        fs::write(folder.join(name), bytes).unwrap();
    }
    let words: HashSet<String> = words.iter().map(|&word| word.to_owned()).collect();
    let wanted = Wanted { words: &words, head };
    read(&Folders(root.path()), "", format, &wanted).map_err(|failure| failure.to_string())
}

fn read_one(bytes: &[u8], words: &[&str]) -> Result<Found, String> {
    read_files(&[("v", bytes)], None, words, 0)
}

fn word2vec(breaks: bool) -> Vec<u8> {
    let mut bytes = b"3 2\n".to_vec();
    for (word, vector) in [("</s>", [0.5f32, -1.0]), ("caf\u{e9}", [0.25, 2.0]), ("red", [10.0, 32.0])] {
        bytes.extend(word.as_bytes());
        bytes.push(b' ');
        vector.iter().for_each(|value| bytes.extend(value.to_le_bytes()));
        if breaks {
            bytes.push(b'\n');
        }
    }
    bytes
}

fn glove() -> Vec<u8> {
    (0..12).flat_map(|i| f64::from(i).to_le_bytes()).collect()
}

#[test]
fn text_is_read_with_and_without_a_header() {
    let rows = "the 1 2 3\nof -1 .5 1e-3 \nred 7 8 9\nred 0 0 0\n";
    for (text, count) in [(rows.to_owned(), 4), (format!("4 3\n{rows}"), 4)] {
        let found = read_one(text.as_bytes(), &["red", "of", "blue"]).unwrap();
        assert_eq!((found.format, found.file_words, found.table.dim), ("text", count, 3));
        assert_eq!(found.table.words, ["of", "red"]);
        assert_eq!(found.table.values, [-1.0, 0.5, 1e-3, 7.0, 8.0, 9.0]);
        assert_eq!(found.table.find("red"), Some(1));
    }
    let found = read_files(&[("v", rows.as_bytes())], None, &[], 2).unwrap();
    assert_eq!(found.table.words, ["the", "of"]);
    // Some of GloVe's words have spaces: they are no tokens, and are passed over.
    let found = read_one(b"the 1 2\nat home 3 4\nhome 5 6", &["at", "home"]).unwrap();
    assert_eq!(found.table.values, [5.0, 6.0]);
}

#[test]
fn text_that_is_cut_or_wrong_is_refused_with_the_line() {
    for (text, want) in [
        ("3 2\na 1 2\nb 3 4\n", "line 1 says that there are 3 words, but 2 follow; the file may be cut"),
        ("a 1 2\nb 3", "line 2: it is not a word and 2 numbers; the file may be cut"),
        ("a 1 2\nred 3\nb 3 4", "line 2: 1 numbers instead of 2; the file may be cut"),
        ("a 1 2\nred 3 x\nb 3 4", "line 2: 'x' is not a number"),
        ("a 1 2\nred 3 nan\nb 3 4", "line 2: 'nan' is not a number"),
        ("1 20000\nred 1\n", "the vectors have 20000 numbers, but 1 to 10000 are allowed"),
    ] {
        let message = read_files(&[("v", text.as_bytes())], Some("text"), &["red"], 0).err().unwrap();
        assert_eq!(message, format!("ClientError: vectors/v: {want}"));
    }
}

#[test]
fn word2vec_binaries_are_read_with_and_without_line_breaks() {
    for breaks in [true, false] {
        let found = read_one(&word2vec(breaks), &["red", "caf\u{e9}"]).unwrap();
        assert_eq!((found.format, found.file_words), ("word2vec binary", 3));
        assert_eq!(found.table.words, ["caf\u{e9}", "red"]);
        assert_eq!(found.table.values, [0.25, 2.0, 10.0, 32.0]);
    }
    let whole = word2vec(false);
    for size in 5..whole.len() {
        let message = read_files(&[("v", &whole[..size])], Some("word2vec_binary"), &[], 9).err().unwrap();
        assert!(message.contains("cut or damaged"), "{size}: {message}");
    }
    let longer = [whole, b"more".to_vec()].concat();
    assert!(read_one(&longer, &[]).err().unwrap().ends_with("4 bytes follow after the last of 3 words"));
}

#[test]
fn glove_binaries_are_read_with_their_list_of_words() {
    let files: [(&str, &[u8]); 2] = [("vectors.bin", &glove()), ("vocab.txt", b"the 10\nred 2\n")];
    let found = read_files(&files, None, &["red"], 0).unwrap();
    assert_eq!((found.format, found.file_words, found.table.dim), ("GloVe binary", 2, 2));
    // Rows of three: two numbers and a bias; the contexts follow after two rows.
    assert_eq!(found.table.values, [3.0 + 9.0, 4.0 + 10.0]);
    let files: [(&str, &[u8]); 2] = [("vectors.bin", &glove()[..88]), ("vocab.txt", b"the 10\nred 2\n")];
    assert!(read_files(&files, None, &[], 0).err().unwrap().contains("its 88 bytes are no two tables"));
    let alone = read_files(&files[..1], Some("glove_binary"), &[], 0).err().unwrap();
    assert!(alone.contains("vocab.txt"), "{alone}");
}

#[test]
fn fasttext_models_give_fasttexts_vectors_also_of_words_they_do_not_have() {
    let expected: BTreeMap<String, Vec<f32>> = serde_json::from_str(VECTORS).unwrap();
    let words: Vec<&str> = expected.keys().map(String::as_str).collect();
    let found = read_one(MODEL, &words).unwrap();
    assert_eq!((found.format, found.file_words, found.table.dim), ("fastText binary", 21, 4));
    let subwords = found.subwords.unwrap();
    let kept = Subwords::kept(subwords.ngrams, 4, subwords.values());
    let mut without = 0;
    for (word, want) in &expected {
        let got = match found.table.find(word) {
            Some(place) => found.table.vector(place).to_vec(),
            None => {
                without += 1;
                assert_eq!(subwords.vector(word), kept.vector(word));
                subwords.vector(word).unwrap()
            }
        };
        assert!(got.iter().zip(want).all(|(a, b)| (a - b).abs() < 1e-6), "{word}: {got:?} {want:?}");
    }
    assert_eq!(without, 6);
    assert_eq!(subwords.vector(END), None);
}

const END: &str = "</s>";

#[test]
fn fasttext_models_that_are_cut_are_refused() {
    for size in (8..MODEL.len() - 400).step_by(7) {
        let message = read_one(&MODEL[..size], &["book"]).err().unwrap();
        assert!(
            message.ends_with("cut") && message.starts_with("ClientError: vectors/v: "),
            "{size}: {message}"
        );
    }
    let changed = |at: usize, value: u8| {
        let mut bytes = MODEL.to_vec();
        bytes[at] = value;
        read_one(&bytes, &["book"]).err().unwrap()
    };
    assert!(changed(4, 9).contains("version 9"));
    assert!(changed(8, 5).contains("instead of"), "another dimension does not fit the matrix");
    assert!(
        read_files(&[("v", &MODEL[1..])], Some("fasttext_binary"), &[], 0)
            .err()
            .unwrap()
            .contains("first four")
    );
}

#[test]
fn the_file_is_found_or_asked_for() {
    let message = |files: &[(&str, &[u8])]| read_files(files, None, &[], 0).err().unwrap();
    assert_eq!(message(&[]), "ClientError: The channel 'vectors' has no file");
    assert!(message(&[("a", b"x 1"), ("b", b"x 1")]).contains("has 2 files"));
    assert!(message(&[("a", b"")]).ends_with("the file is empty"));
    assert!(message(&[("a", b"\x1f\x8b\x08")]).contains("Unpack it first"));
    assert!(message(&[("a", b"\0\x01\x02 \n\n")]).contains("the format is not recognised"));
}

//! The vectors to map: CSV files with a header, or what `title_embedding` wrote, also inside the archives that its jobs
//! leave (`model.tar.gz`, `output.tar.gz`).
//!
//! In a CSV the id and the label are columns of the names given, or of the usual names; every other column whose value
//! in the first row is a number belongs to the vector.

use std::fs::File;
use std::io::{BufReader, Read};
use std::path::Path;

use flate2::read::GzDecoder;

use super::ALGORITHM_NAME;
use super::hyperparameters::Hyperparameters;
use crate::TrainFailure;
use crate::contract::{Folders, csv, open};
use crate::kernels::Matrix;
use crate::title_embedding::{EMBEDDINGS_FILE, MODEL_FILE, read_titles};

/// The channel of the vectors.
pub(super) const CHANNEL: &str = "train";
/// Names of columns that are looked for, in this order.
const ID_COLUMNS: [&str; 5] = ["id", "book_id", "item_id", "item", "label"];
const LABEL_COLUMNS: [&str; 4] = ["title", "label", "name", "word"];
/// Most points: exact neighbours of so many take minutes.
const MAX_POINTS: usize = 500_000;
/// Most numbers in all vectors: 4 GiB.
const MAX_NUMBERS: usize = 1 << 30;

/// Points with their names.
#[derive(Debug, Default)]
pub(super) struct Points {
    pub ids: Vec<String>,
    pub labels: Vec<String>,
    pub dim: usize,
    /// `ids.len() * dim` numbers.
    pub values: Vec<f32>,
}

impl Points {
    fn add(&mut self, id: &str, label: &str) -> Result<(), String> {
        if self.ids.len() == MAX_POINTS {
            return Err(format!("{ALGORITHM_NAME} maps at most {MAX_POINTS} points"));
        }
        if self.values.len() > MAX_NUMBERS {
            return Err(format!("the vectors have more than {MAX_NUMBERS} numbers in all"));
        }
        self.ids.push(id.to_owned());
        self.labels.push(label.to_owned());
        Ok(())
    }

    /// Files of a channel have vectors of one width.
    fn agree(&mut self, dim: usize) -> Result<(), String> {
        if self.ids.is_empty() {
            self.dim = dim;
        }
        match self.dim == dim {
            true => Ok(()),
            false => Err(format!("its vectors have {dim} numbers, but those before have {}", self.dim)),
        }
    }

    /// The vectors as a matrix.
    pub(super) fn matrix(&self) -> Matrix {
        let mut matrix = Matrix::zeroed(self.ids.len(), self.dim);
        for (row, values) in self.values.chunks_exact(self.dim.max(1)).enumerate() {
            matrix.row_mut(row).copy_from_slice(values);
        }
        matrix
    }
}

/// Reads all files of the channel.
///
/// # Errors
/// A client failure that names the file and the place in it.
pub(super) fn read(folders: &Folders<'_>, h: &Hyperparameters) -> Result<Points, TrainFailure> {
    let files = folders.files(CHANNEL)?;
    let mut points = Points::default();
    for (path, shown) in &files {
        let name = path.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
        if name.ends_with(".tar.gz") || name.ends_with(".tgz") {
            read_archive(path, shown, h, &mut points)?;
        } else if name == MODEL_FILE {
            let file = open(path, shown)?;
            let size = file.metadata().map_or(0, |data| data.len());
            read_model(Box::new(file), size, shown, &mut points)?;
        } else {
            read_csv(open(path, shown)?, shown, h, &mut points)?;
        }
    }
    match points.ids.len() {
        0 => Err(TrainFailure::client(format!(
            "The channel '{CHANNEL}' has no vectors: {} file(s) were found in it",
            files.len()
        ))),
        1 => Err(TrainFailure::client(format!("The channel '{CHANNEL}' has one vector; a map needs more"))),
        _ => Ok(points),
    }
}

/// The titles of a model that have a known word.
fn read_model(
    source: Box<dyn Read + '_>,
    size: u64,
    shown: &str,
    points: &mut Points,
) -> Result<(), TrainFailure> {
    let model = read_titles(source, size, shown).map_err(TrainFailure::client)?;
    let wrong = |what: String| TrainFailure::client(format!("{shown}: {what}"));
    points.agree(model.dim).map_err(wrong)?;
    let titles = model.ids.iter().zip(&model.titles).zip(model.vectors.chunks_exact(model.dim));
    for ((id, title), vector) in titles.filter(|(_, vector)| vector.iter().any(|&value| value != 0.0)) {
        points.add(id, title).map_err(wrong)?;
        points.values.extend_from_slice(vector);
    }
    Ok(())
}

/// The model or the table of vectors in an archive.
fn read_archive(
    path: &Path,
    shown: &str,
    h: &Hyperparameters,
    points: &mut Points,
) -> Result<(), TrainFailure> {
    let broken =
        |e: std::io::Error| TrainFailure::client(format!("{shown} cannot be read as an archive: {e}"));
    let file = BufReader::new(File::open(path).map_err(broken)?);
    let mut archive = tar::Archive::new(GzDecoder::new(file));
    for entry in archive.entries().map_err(broken)? {
        let entry = entry.map_err(broken)?;
        let name = entry.path().map_err(broken)?.file_name().map(|name| name.to_string_lossy().into_owned());
        let inside = format!("{shown}, {}", name.as_deref().unwrap_or_default());
        match name.as_deref() {
            Some(MODEL_FILE) => {
                let size = entry.size();
                return read_model(Box::new(entry), size, &inside, points);
            }
            Some(EMBEDDINGS_FILE) => {
                return read_csv(entry, &inside, h, points);
            }
            _ => {}
        }
    }
    Err(TrainFailure::client(format!(
        "{shown} has neither {MODEL_FILE} nor {EMBEDDINGS_FILE}: it is not from a job of title_embedding"
    )))
}

/// Which columns are what.
struct Columns {
    names: Vec<String>,
    id: Option<usize>,
    label: Option<usize>,
}

fn columns(names: &[String], h: &Hyperparameters) -> Result<Columns, String> {
    let place = |wanted: &str| names.iter().position(|name| name == wanted);
    let named = |name: &Option<String>, which: &str, usual: &[&str]| match name {
        None => Ok(usual.iter().copied().find_map(place)),
        Some(name) => place(name).map(Some).ok_or_else(|| {
            format!("there is no column '{name}' (hyperparameter '{which}') among [{}]", names.join(", "))
        }),
    };
    Ok(Columns {
        names: names.to_vec(),
        id: named(&h.id_column, "id_column", &ID_COLUMNS)?,
        label: named(&h.label_column, "label_column", &LABEL_COLUMNS)?,
    })
}

fn number(text: &str) -> Option<f32> {
    text.trim().parse::<f32>().ok().filter(|number| number.is_finite())
}

fn read_csv(
    source: impl Read,
    shown: &str,
    h: &Hyperparameters,
    points: &mut Points,
) -> Result<(), TrainFailure> {
    let mut vector: Vec<usize> = Vec::new();
    let take = |columns: &Columns, row: csv::Row<'_>| {
        if vector.is_empty() {
            vector = columns.numbers(&row)?;
            points.agree(vector.len())?;
        }
        for &place in &vector {
            let text = row.field(place)?;
            let name = &columns.names[place];
            let value = number(text).ok_or_else(|| {
                format!("column '{name}': '{text}' is not a number, as it was in the first row")
            })?;
            points.values.push(value);
        }
        let counted = (points.ids.len() + 1).to_string();
        let id = columns.id.map_or(Ok(counted.as_str()), |place| row.field(place))?;
        let label = columns.label.map_or(Ok(id), |place| row.field(place))?;
        points.add(id, label)
    };
    csv::each_row(source, shown, b',', |names| columns(names, h), take)
}

impl Columns {
    /// The columns that hold numbers, by the first row.
    fn numbers(&self, row: &csv::Row<'_>) -> Result<Vec<usize>, String> {
        let mut places = Vec::new();
        for place in 0..self.names.len() {
            let is_name = Some(place) == self.id || Some(place) == self.label;
            if !is_name && number(row.field(place)?).is_some() {
                places.push(place);
            }
        }
        if places.is_empty() {
            return Err("no column has a number: there is nothing to map".to_owned());
        }
        Ok(places)
    }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    fn read_with(pairs: &[(&str, &str)], files: &[(&str, &[u8])]) -> Result<Points, String> {
        let root = tempfile::tempdir().unwrap();
        let folder = root.path().join("input/data/train");
        fs::create_dir_all(&folder).unwrap();
        for (name, bytes) in files {
            fs::write(folder.join(name), bytes).unwrap();
        }
        let pairs = pairs.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned())).collect();
        let h = Hyperparameters::from_pairs(&pairs).unwrap();
        read(&Folders(root.path()), &h).map_err(|failure| failure.to_string())
    }

    fn archive(name: &str, bytes: &[u8]) -> Vec<u8> {
        let mut builder =
            tar::Builder::new(flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast()));
        let mut header = tar::Header::new_gnu();
        header.set_size(bytes.len() as u64);
        header.set_mode(0o644);
        builder.append_data(&mut header, name, bytes).unwrap();
        builder.into_inner().unwrap().finish().unwrap()
    }

    /// A model of `title_embedding`, and its table.
    fn title_model() -> (Vec<u8>, Vec<u8>) {
        let root = tempfile::tempdir().unwrap();
        let write = |path: &str, text: &str| {
            let path = root.path().join(path);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, text).unwrap();
        };
        write("input/config/hyperparameters.json", "{}");
        write("input/data/train/b.csv", "id,title\n1,Red\n2,\"Blue, red\"\n3,Unheard\n");
        write("input/data/vectors/w", "red 1 0\nblue 0 1\n");
        crate::title_embedding::train(root.path(), &mut Vec::new()).unwrap();
        let file = |path: &str| fs::read(root.path().join(path)).unwrap();
        (file("model/title_embedding.model"), file("output/data/embeddings.csv"))
    }

    #[test]
    fn columns_of_numbers_are_the_vector() {
        let text = b"book_id,title,note,x,y\n7,Emma,good,1.5,-2\n8,\"A, b\",1,3,4e1\n";
        let points = read_with(&[], &[("v.csv", text)]).unwrap();
        assert_eq!((points.ids.join("|"), points.labels.join("|")), ("7|8".into(), "Emma|A, b".into()));
        assert_eq!((points.dim, &points.values[..]), (2, &[1.5, -2.0, 3.0, 40.0][..]));
        assert_eq!(points.matrix().row(1), [3.0, 40.0]);
        let points = read_with(&[("label_column", "note"), ("id_column", "x")], &[("v.csv", text)]).unwrap();
        assert_eq!(
            (points.dim, points.ids.join("|"), points.labels.join("|")),
            (2, "1.5|3".into(), "good|1".into())
        );
        let points = read_with(&[], &[("v.csv", b"a,b\n1,2\n3,4\n")]).unwrap();
        assert_eq!((points.ids.join("|"), points.labels.join("|")), ("1|2".into(), "1|2".into()));
    }

    #[test]
    fn what_title_embedding_wrote_is_read_in_every_form() {
        let (model, table) = title_model();
        for (name, bytes) in [
            (MODEL_FILE, model.clone()),
            (EMBEDDINGS_FILE, table.clone()),
            ("model.tar.gz", archive("title_embedding.model", &model)),
            ("output.tar.gz", archive("./embeddings.csv", &table)),
        ] {
            let points = read_with(&[], &[(name, &bytes)]).unwrap();
            assert_eq!(
                points.labels,
                ["Red", "Blue, red"],
                "{name}: titles without a known word are left out"
            );
            assert_eq!((points.dim, &points.values[..2]), (2, &[1.0, 0.0][..]));
        }
    }

    #[test]
    fn what_cannot_be_read_is_named() {
        let (model, _) = title_model();
        let refused = |pairs: &[(&str, &str)], name: &str, bytes: &[u8]| {
            read_with(pairs, &[(name, bytes)]).unwrap_err()
        };
        for (got, want) in [
            (refused(&[], "v", b"id,title\n1,x\n"), "train/v, line 2: no column has a number"),
            (refused(&[], "v", b"id,x\n1,2\n2,z\n"), "train/v, line 3: column 'x': 'z' is not a number"),
            (refused(&[], "v", b"id,x\n1,2\n2,inf\n"), "train/v, line 3: column 'x': 'inf' is not a number"),
            (refused(&[("id_column", "n")], "v", b"id,x\n1,2\n"), "train/v, line 1: there is no column 'n'"),
            (refused(&[], "v", b"id,x\n"), "The channel 'train' has no vectors"),
            (refused(&[], "v", b"id,x\n1,2\n"), "The channel 'train' has one vector"),
            (refused(&[], "v.tar.gz", b"no archive"), "train/v.tar.gz cannot be read as an archive"),
            (
                refused(&[], "v.tar.gz", &archive("x", b"y")),
                "train/v.tar.gz has neither title_embedding.model",
            ),
            (refused(&[], MODEL_FILE, &model[..90]), "the model train/title_embedding.model cannot be used"),
            (
                read_with(&[], &[("a", b"id,x\n1,2\n"), ("b", b"id,x,y\n1,2,3\n")]).unwrap_err(),
                "train/b, line 2: its vectors have 2 numbers, but those before have 1",
            ),
        ] {
            assert!(got.starts_with(&format!("ClientError: {want}")), "{got}");
        }
    }
}

//! A model as one file: a [`tensor_file`] whose header has the texts, and whose tensors are the titles' vectors, the
//! words' vectors and weights, the common component and the rows of subwords, where there are any.

use std::collections::BTreeMap;
use std::io::Read;
use std::path::Path;

use serde::{Deserialize, Serialize};

use super::embed::Embedder;
use super::hyperparameters::Hyperparameters;
use super::vectors::{NGrams, Subwords, WordTable};
use crate::tensor_file::{self, Format, Reader};

const FORMAT: Format =
    Format { magic: b"SBTITLE\0", version: 1, algorithm: "title_embedding", name: "model" };
/// Most numbers that a file may announce, 64 GiB: with more, its header is damaged.
const MAX_NUMBERS: usize = 1 << 34;

#[derive(Serialize, Deserialize)]
struct Header {
    hyperparameters: BTreeMap<String, String>,
    dim: usize,
    ids: Vec<String>,
    titles: Vec<String>,
    words: Vec<String>,
    first_made: usize,
    unseen_weight: f32,
    has_component: bool,
    subwords: Option<NGrams>,
}

/// A trained model.
pub(crate) struct Model {
    pub(super) embedder: Embedder,
    pub(super) hyperparameters: Hyperparameters,
    pub(crate) dim: usize,
    pub(crate) ids: Vec<String>,
    pub(crate) titles: Vec<String>,
    /// `ids.len() * dim` numbers; zeros for a title without a known word.
    pub(crate) vectors: Vec<f32>,
}

/// Writes a model to `path`, with the rows of subwords when `with_subwords`.
///
/// # Errors
/// What the file system says.
pub(super) fn save(path: &Path, model: &Model, with_subwords: bool) -> std::io::Result<()> {
    let embedder = &model.embedder;
    let subwords = embedder.subwords.as_ref().filter(|_| with_subwords);
    let header = Header {
        hyperparameters: model.hyperparameters.values.0.clone(),
        dim: model.dim,
        ids: model.ids.clone(),
        titles: model.titles.clone(),
        words: embedder.table.words.clone(),
        first_made: embedder.first_made,
        unseen_weight: embedder.unseen_weight,
        has_component: embedder.component.is_some(),
        subwords: subwords.map(|subwords| subwords.ngrams),
    };
    tensor_file::save(path, &FORMAT, &header, |out| {
        out.floats(&model.vectors)?;
        out.floats(&embedder.table.values)?;
        out.floats(&embedder.weights)?;
        embedder.component.as_ref().map_or(Ok(()), |component| out.floats(component))?;
        subwords.map_or(Ok(()), |subwords| out.floats(&subwords.values()))
    })
}

/// Reads the model at `path`.
///
/// # Errors
/// A sentence that says what is wrong with the file.
pub(super) fn load(path: &Path) -> Result<Model, String> {
    let shown = path.display();
    let opened = tensor_file::open::<Header>(path, &FORMAT)?;
    let (header, reader) =
        opened.ok_or_else(|| format!("cannot open the model {shown}: there is no such file"))?;
    restore(header, reader).map_err(|what| format!("the model {shown} cannot be used: {what}"))
}

/// Reads a model of `size` bytes from wherever it is; messages call it `shown`.
///
/// # Errors
/// A sentence that says what is wrong with it.
pub(crate) fn read_titles(source: Box<dyn Read + '_>, size: u64, shown: &str) -> Result<Model, String> {
    let (header, reader) = tensor_file::read::<Header>(source, size, shown, &FORMAT)?;
    restore(header, reader).map_err(|what| format!("the model {shown} cannot be used: {what}"))
}

fn restore(header: Header, reader: Reader<'_>) -> Result<Model, String> {
    let hyperparameters = Hyperparameters::from_pairs(&header.hyperparameters).map_err(|e| e.message)?;
    let (dim, titles, words) = (header.dim, header.ids.len(), header.words.len());
    let buckets = header.subwords.map_or(0, |ngrams| ngrams.buckets);
    let rows = titles + words + usize::from(header.has_component);
    let numbers =
        rows.checked_add(buckets).and_then(|rows| rows.checked_mul(dim)).map(|n| n.saturating_add(words));
    let numbers = numbers.filter(|&numbers| numbers <= MAX_NUMBERS);
    let numbers = numbers.ok_or("its header is damaged: it announces too many numbers")?;
    if header.titles.len() != titles || header.first_made > words || dim == 0 {
        return Err("its header is damaged: its parts do not fit together".to_owned());
    }
    let (vectors, values, weights, component, rows) = reader.tensors(numbers, |from| {
        let mut take = |count: usize| {
            let mut values = vec![0.0; count];
            from.floats(&mut values).map(|()| values)
        };
        let head = (take(titles * dim)?, take(words * dim)?, take(words)?);
        let component = if header.has_component { Some(take(dim)?) } else { None };
        Ok((head.0, head.1, head.2, component, take(buckets * dim)?))
    })?;
    let table = WordTable::from_parts(dim, header.words, values);
    let subwords = header.subwords.map(|ngrams| Subwords::kept(ngrams, dim, rows));
    let embedder = Embedder {
        weights,
        unseen_weight: header.unseen_weight,
        first_made: header.first_made,
        component,
        ..Embedder::new(&hyperparameters, table, subwords)
    };
    Ok(Model { embedder, hyperparameters, dim, ids: header.ids, titles: header.titles, vectors })
}

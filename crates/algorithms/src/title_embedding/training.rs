//! A training run: titles and word vectors in, a model and its table of vectors out.

use std::collections::HashSet;
use std::fs;
use std::io::{BufWriter, Write};
use std::path::Path;

use super::embed::{Embedded, Embedder};
use super::hyperparameters::{Hyperparameters, ModelSubwords};
use super::model_file::{self, Model};
use super::titles::{self, Titles};
use super::vectors::{self, Found, Wanted};
use super::words::{Tokenizer, spellings};
use super::{ALGORITHM_NAME, EMBEDDINGS_FILE, MODEL_FILE};
use crate::TrainFailure;
use crate::contract::{Folders, Log, csv, pairs};
use crate::kernels::{Matrix, Pool};
use crate::principal;

/// Subword rows of up to so many numbers (256 MiB) go into the model without being asked for.
const SMALL_SUBWORDS: usize = 64 << 20;
/// Titles without a known word that the log names.
const NAMED: usize = 10;

/// Trains on the folder `root`, which has the layout of `/opt/ml`: reads `input/config/*.json` and the channels `train`
/// and `vectors`, writes `model/title_embedding.model` and `output/data/embeddings.csv`, and when it fails the reason
/// to `output/failure`. Log lines go to `stdout`, each flushed at once.
///
/// # Errors
/// What the user reads as the job's failure reason.
pub fn train(root: &Path, stdout: &mut dyn Write) -> Result<(), TrainFailure> {
    let folders = Folders(root);
    let mut log = Log::new(stdout, "algo-1".to_owned());
    let result = run(&folders, &mut log);
    if let Err(failure) = &result {
        folders.report(&mut log, failure);
    }
    result
}

fn run(folders: &Folders<'_>, log: &mut Log<'_>) -> Result<(), TrainFailure> {
    let h = Hyperparameters::from_pairs(&pairs(&folders.read_hyperparameters()?)?)?;
    if let Some(host) = folders.read_host(ALGORITHM_NAME)? {
        log.set_host(host);
    }
    let channels = [titles::CHANNEL, vectors::CHANNEL];
    folders.find_channels(ALGORITHM_NAME, &channels, &channels)?;
    log.info(format!("Final configuration: {}", serde_json::json!(h.values.0)))?;
    let titles = titles::read(folders, &h)?;
    log.info(format!("Titles: {}, repeated ids left out: {}", titles.ids.len(), titles.repeated))?;
    let tokenizer = Tokenizer { keep_case: h.keep_case, stop_words: h.stop_words };
    let tokens: Vec<Vec<String>> = titles.titles.iter().map(|title| tokenizer.words(title)).collect();
    let mut embedder = embedder(folders, log, &h, &tokens)?;
    embedder.weigh(h.token_weights, &tokens);
    let mut embedded: Vec<Embedded> = tokens.iter().map(|words| embedder.embed_words(words)).collect();
    if h.remove_component {
        embedder.component = Some(common_component(&embedded, embedder.table.dim));
        embedded = tokens.iter().map(|words| embedder.embed_words(words)).collect();
    }
    report(log, &titles, &embedded)?;
    let dim = embedder.table.dim;
    let vectors = embedded.iter().flat_map(|title| title.vector.iter().copied()).collect();
    let keep = keep_subwords(log, &h, &embedder)?;
    let model = Model { embedder, hyperparameters: h, dim, ids: titles.ids, titles: titles.titles, vectors };
    let path = folders.model(MODEL_FILE);
    let failed = |path: &Path, e: std::io::Error| {
        TrainFailure::algorithm(format!("cannot write {}: {e}", folders.shown(path)))
    };
    log.info(format!("Serializing model to {}", folders.shown(&path)))?;
    model_file::save(&path, &model, keep).map_err(|e| failed(&path, e))?;
    let path = folders.output(EMBEDDINGS_FILE);
    write_table(&path, &model, &embedded).map_err(|e| failed(&path, e))
}

/// Reads the vectors of the words that occur, and makes those of words that the file does not have.
fn embedder(
    folders: &Folders<'_>,
    log: &mut Log<'_>,
    h: &Hyperparameters,
    titles: &[Vec<String>],
) -> Result<Embedder, TrainFailure> {
    let words: HashSet<&String> = titles.iter().flatten().collect();
    let wanted = words.iter().flat_map(|word| spellings(word).chain([(*word).clone()])).collect();
    let wanted = Wanted { words: &wanted, head: h.model_vocabulary };
    let found = vectors::read(folders, &h.vectors_file, h.vectors_format.as_deref(), &wanted)?;
    let Found { format, file_words, table, subwords } = found;
    let can = if subwords.is_some() { "with subwords" } else { "without subwords" };
    log.info(format!(
        "Word vectors: {format}, {file_words} words of {} numbers, {can}; {} words kept",
        table.dim,
        table.words.len()
    ))?;
    let mut embedder = Embedder::new(h, table, subwords.filter(|_| h.subwords));
    if let Some(subwords) = &embedder.subwords {
        let mut missing: Vec<&String> =
            words.into_iter().filter(|word| embedder.find(word).is_none()).collect();
        missing.sort_unstable();
        for word in missing {
            if let Some(vector) = subwords.vector(word) {
                embedder.table.insert(word, &vector).map_err(TrainFailure::client)?;
            }
        }
    }
    Ok(embedder)
}

/// The direction of length 1 that the vectors of all titles have most in common, about zero, not about their mean.
fn common_component(embedded: &[Embedded], dim: usize) -> Vec<f32> {
    let mut rows = Matrix::zeroed(embedded.len(), dim);
    for (row, title) in embedded.iter().enumerate() {
        rows.row_mut(row).copy_from_slice(&title.vector);
    }
    let found = principal::components(&Pool::new(1), &rows, &vec![0.0; dim], 1);
    found.into_iter().next().unwrap_or_else(|| vec![0.0; dim])
}

/// The lines about how much of the titles is known.
fn report(log: &mut Log<'_>, titles: &Titles, embedded: &[Embedded]) -> Result<(), TrainFailure> {
    let known: usize = embedded.iter().map(|title| title.known).sum();
    let made: usize = embedded.iter().map(|title| title.made).sum();
    let unknown: usize = embedded.iter().map(|title| title.unknown.len()).sum();
    let without: Vec<usize> = (0..embedded.len()).filter(|&i| embedded[i].known == 0).collect();
    let share = |part: usize, whole: usize| part as f64 / whole.max(1) as f64;
    log.info(format!(
        "Tokens: {}, with a vector: {known} ({made} of them by subwords), unknown: {unknown}",
        known + unknown
    ))?;
    if !without.is_empty() {
        let some: Vec<String> = without
            .iter()
            .take(NAMED)
            .map(|&i| format!("'{}' ({})", titles.titles[i], titles.ids[i]))
            .collect();
        let more = if without.len() > NAMED { ", ..." } else { "" };
        log.warning(format!("Titles without a known word: {}: {}{more}", without.len(), some.join(", ")))?;
    }
    log.quality(None, "train", "token_coverage", "score", share(known, known + unknown))?;
    log.quality(None, "train", "subword_share", "score", share(made, known + unknown))?;
    log.quality(
        None,
        "train",
        "title_coverage",
        "score",
        share(embedded.len() - without.len(), embedded.len()),
    )?;
    if without.len() == embedded.len() {
        return Err(TrainFailure::client(
            "No title has a word that the file of vectors knows. Is it of another language, or does it need the \
             hyperparameter 'keep_case'?",
        ));
    }
    Ok(())
}

/// Whether the rows of subwords go into the model.
fn keep_subwords(log: &mut Log<'_>, h: &Hyperparameters, embedder: &Embedder) -> Result<bool, TrainFailure> {
    let Some(subwords) = &embedder.subwords else { return Ok(false) };
    let numbers = subwords.ngrams.buckets * embedder.table.dim;
    match h.model_subwords {
        ModelSubwords::Always => Ok(true),
        ModelSubwords::Never => Ok(false),
        ModelSubwords::Auto if numbers <= SMALL_SUBWORDS => Ok(true),
        ModelSubwords::Auto => {
            log.info(format!(
                "The {} MiB of subword rows stay out of the model: of new titles it will know the words it has. Set \
                 model_subwords to true to have them in it",
                (4 * numbers) >> 20
            ))?;
            Ok(false)
        }
    }
}

/// `embeddings.csv`: id, title and numbers of every title with a known word.
fn write_table(path: &Path, model: &Model, embedded: &[Embedded]) -> std::io::Result<()> {
    if let Some(folder) = path.parent() {
        fs::create_dir_all(folder)?;
    }
    let mut out = BufWriter::new(fs::File::create(path)?);
    write!(out, "id,title")?;
    (0..model.dim).try_for_each(|column| write!(out, ",v{column}"))?;
    for ((id, title), embedded) in model.ids.iter().zip(&model.titles).zip(embedded) {
        if embedded.known > 0 {
            write!(out, "\n{},{}", csv::field(id), csv::field(title))?;
            embedded.vector.iter().try_for_each(|value| write!(out, ",{value}"))?;
        }
    }
    writeln!(out)?;
    out.flush()?;
    out.get_ref().sync_all()
}

#[cfg(test)]
mod tests;

//! Answers requests: similar titles, vectors, and scores from a user's ratings of other titles.
//!
//! The score of a title c for a user with mean rating m, over the `neighbors` rated titles j that are most similar to c,
//! with `w(j) = max(0, cos(c, j)) ^ similarity_power`:
//! `score(c) = (shrinkage m + sum of w(j) r(j)) / (shrinkage + sum of w(j))`.
//! A title that is like nothing the user has rated gets the user's mean; no score leaves the range of the ratings.
//!
//! Promises: every answer is computed from the model and the request alone; a request that cannot be read is refused with
//! its instance and key. Never: reads files after loading.

mod recommend;
mod request;

use std::collections::HashMap;
use std::path::Path;

use serde_json::{Map, Value, json};

use super::MODEL_FILE;
use super::embed::Embedded;
use super::model_file::{self, Model};
use crate::contract::{Format, accepted, format_named};
use crate::kernels::dot;
use crate::{InvokeFailure, InvokeReply, LoadError, Predict};
use request::{Ask, Query};

/// A loaded model, ready to answer. Any number of threads may ask at once.
pub struct Predictor {
    model: Model,
    /// Place of every id.
    places: HashMap<String, usize>,
    /// Length of every title's vector; 0 for a title without a known word.
    lengths: Vec<f32>,
}

/// A query's vector.
struct LookedUp {
    vector: Vec<f32>,
    /// Its place, when it is a title of the model.
    own: Option<usize>,
    /// What there is to say of its words, or which title it is.
    said: Map<String, Value>,
}

impl Predict for Predictor {
    /// `content_type` is `application/json` or `application/jsonlines`; `accept` chooses the format of the answer, by
    /// default that of the request.
    fn invoke(
        &self,
        content_type: &str,
        accept: Option<&str>,
        body: &[u8],
    ) -> Result<InvokeReply, InvokeFailure> {
        let format = format_named(content_type.split(';').next().unwrap_or_default())?;
        let answer = accepted(accept, format)?;
        let mut predictions = Vec::new();
        for (place, instance) in request::instances(format, body)? {
            let wrong = |what: String| InvokeFailure::bad(format!("{place}: {what}"));
            let ask = request::read(&instance).map_err(wrong)?;
            predictions.push(self.answer(&ask).map_err(wrong)?);
        }
        let body = match answer {
            Format::Json => json!({"predictions": predictions}).to_string(),
            Format::JsonLines => predictions.iter().map(|prediction| format!("{prediction}\n")).collect(),
        };
        Ok(InvokeReply { content_type: answer.media_type().to_owned(), body: body.into_bytes() })
    }
}

impl Predictor {
    /// Loads the model in a model folder.
    ///
    /// # Errors
    /// A sentence that says what is wrong with the folder or the file.
    pub fn load(model_dir: &Path) -> Result<Self, LoadError> {
        model_file::load(&model_dir.join(MODEL_FILE)).map(Self::new).map_err(LoadError)
    }

    fn new(model: Model) -> Self {
        let places = model.ids.iter().enumerate().map(|(place, id)| (id.clone(), place)).collect();
        let lengths = model.vectors.chunks_exact(model.dim).map(|v| dot(v, v).sqrt()).collect();
        Self { model, places, lengths }
    }

    fn vector(&self, place: usize) -> &[f32] {
        &self.model.vectors[place * self.model.dim..(place + 1) * self.model.dim]
    }

    fn place(&self, key: &str, id: &str) -> Result<usize, String> {
        let unknown = || format!("key '{key}': no title of the model has the id '{id}'");
        self.places.get(id).copied().ok_or_else(unknown)
    }

    fn answer(&self, ask: &Ask<'_>) -> Result<Value, String> {
        match ask {
            Ask::Similar(query, n) => {
                let LookedUp { vector, own, mut said } = self.look_up(query)?;
                let found = self.similar(&vector, own, *n);
                said.insert("similar".to_owned(), self.listed(&found));
                Ok(Value::Object(said))
            }
            Ask::Embedding(query) => {
                let LookedUp { vector, mut said, .. } = self.look_up(query)?;
                said.insert("embedding".to_owned(), json!(vector));
                Ok(Value::Object(said))
            }
            Ask::Score(ratings, title) => self.score_one(ratings, title),
            Ask::Rank(ratings, titles, n) => self.rank(ratings, titles, *n),
            Ask::Recommend(ratings, n) => self.recommend(ratings, *n),
        }
    }

    fn look_up(&self, query: &Query<'_>) -> Result<LookedUp, String> {
        match query {
            Query::Id(id) => {
                let place = self.place("id", id)?;
                let title = json!({"id": self.model.ids[place], "title": self.model.titles[place]});
                let said = title.as_object().cloned().unwrap_or_default();
                Ok(LookedUp { vector: self.vector(place).to_vec(), own: Some(place), said })
            }
            Query::Title(title) => {
                let embedded = self.model.embedder.embed(title);
                let said = words_of(&embedded);
                Ok(LookedUp { vector: embedded.vector, own: None, said })
            }
        }
    }

    /// The `n` titles most similar to a vector, best first, with their cosines; those without a known word are none.
    fn similar(&self, vector: &[f32], own: Option<usize>, n: usize) -> Vec<(usize, f32)> {
        let length = dot(vector, vector).sqrt();
        if length == 0.0 {
            return Vec::new();
        }
        let mut all: Vec<(usize, f32)> = (0..self.lengths.len())
            .filter(|&place| self.lengths[place] > 0.0 && Some(place) != own)
            .map(|place| (place, dot(vector, self.vector(place)) / (length * self.lengths[place])))
            .collect();
        best(&mut all, n);
        all
    }

    /// Titles with their scores, as answers list them.
    fn listed(&self, found: &[(usize, f32)]) -> Value {
        let entry = |&(place, score): &(usize, f32)| json!({"id": self.model.ids[place], "title": self.model.titles[place], "score": score});
        found.iter().map(entry).collect()
    }
}

/// What an answer says of a new title's words.
fn words_of(embedded: &Embedded) -> Map<String, Value> {
    let mut said = Map::new();
    said.insert("known_words".to_owned(), json!(embedded.known));
    if !embedded.unknown.is_empty() {
        said.insert("unknown_words".to_owned(), json!(embedded.unknown));
    }
    said
}

/// Keeps the `n` entries with the highest scores, in falling order; of equal ones those with lower places.
fn best(entries: &mut Vec<(usize, f32)>, n: usize) {
    let order = |a: &(usize, f32), b: &(usize, f32)| b.1.total_cmp(&a.1).then(a.0.cmp(&b.0));
    if n < entries.len() {
        entries.select_nth_unstable_by(n, order);
        entries.truncate(n);
    }
    entries.sort_unstable_by(order);
}

#[cfg(test)]
mod tests;

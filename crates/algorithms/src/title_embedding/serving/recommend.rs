//! Scores from a user's ratings.

use serde_json::{Value, json};

use super::{Predictor, best, words_of};
use crate::kernels::dot;

/// A user's rated titles that the model knows.
struct Rated<'a> {
    /// Place of the title and rating.
    items: Vec<(usize, f64)>,
    mean: f64,
    /// Ids that the model does not have.
    unknown: Vec<&'a str>,
}

impl Rated<'_> {
    /// Adds to an answer which ratings did not count.
    fn say(&self, mut answer: Value) -> Value {
        if let Some(object) = answer.as_object_mut().filter(|_| !self.unknown.is_empty()) {
            object.insert("unknown_ids".to_owned(), json!(self.unknown));
        }
        answer
    }
}

impl Predictor {
    /// The score of one new title.
    pub(super) fn score_one(&self, ratings: &[(&str, f64)], title: &str) -> Result<Value, String> {
        let rated = self.rated(ratings)?;
        let embedded = self.model.embedder.embed(title);
        let mut said = words_of(&embedded);
        said.insert("score".to_owned(), json!(self.score(&embedded.vector, &rated)));
        Ok(rated.say(Value::Object(said)))
    }

    /// The `n` best of some new titles.
    pub(super) fn rank(&self, ratings: &[(&str, f64)], titles: &[&str], n: usize) -> Result<Value, String> {
        let rated = self.rated(ratings)?;
        let embedded: Vec<_> = titles.iter().map(|title| self.model.embedder.embed(title)).collect();
        let score = |i: usize| (i, self.score(&embedded[i].vector, &rated) as f32);
        let mut scores: Vec<_> = (0..titles.len()).map(score).collect();
        best(&mut scores, n);
        let entry = |&(i, score): &(usize, f32)| {
            let mut said = words_of(&embedded[i]);
            said.insert("title".to_owned(), json!(titles[i]));
            said.insert("score".to_owned(), json!(score));
            Value::Object(said)
        };
        Ok(rated.say(json!({"recommendations": scores.iter().map(entry).collect::<Value>()})))
    }

    /// The `n` best titles of the model that the user has not rated.
    pub(super) fn recommend(&self, ratings: &[(&str, f64)], n: usize) -> Result<Value, String> {
        let rated = self.rated(ratings)?;
        let own: std::collections::HashSet<usize> = rated.items.iter().map(|&(place, _)| place).collect();
        let mut scores: Vec<(usize, f32)> = (0..self.lengths.len())
            .filter(|place| self.lengths[*place] > 0.0 && !own.contains(place))
            .map(|place| (place, self.score(self.vector(place), &rated) as f32))
            .collect();
        best(&mut scores, n);
        Ok(rated.say(json!({"recommendations": self.listed(&scores)})))
    }

    fn rated<'a>(&self, ratings: &[(&'a str, f64)]) -> Result<Rated<'a>, String> {
        let mut rated = Rated { items: Vec::new(), mean: 0.0, unknown: Vec::new() };
        for &(id, rating) in ratings {
            match self.places.get(id) {
                Some(&place) => rated.items.push((place, rating)),
                None => rated.unknown.push(id),
            }
        }
        if rated.items.is_empty() {
            return Err("key 'ratings': no title of the model has one of its ids".to_owned());
        }
        rated.mean = rated.items.iter().map(|(_, rating)| rating).sum::<f64>() / rated.items.len() as f64;
        Ok(rated)
    }

    /// The formula of the module above.
    fn score(&self, vector: &[f32], rated: &Rated<'_>) -> f64 {
        let h = &self.model.hyperparameters;
        let length = dot(vector, vector).sqrt();
        let mut similar: Vec<(usize, f32)> = rated
            .items
            .iter()
            .enumerate()
            .filter(|(_, (place, _))| length > 0.0 && self.lengths[*place] > 0.0)
            .map(|(i, &(place, _))| (i, dot(vector, self.vector(place)) / (length * self.lengths[place])))
            .filter(|&(_, cosine)| cosine > 0.0)
            .collect();
        best(&mut similar, h.neighbors);
        let (mut sum, mut weights) = (h.shrinkage * rated.mean, h.shrinkage);
        for (i, cosine) in similar {
            let weight = f64::from(cosine).powf(h.similarity_power);
            sum += weight * rated.items[i].1;
            weights += weight;
        }
        if weights > 0.0 { sum / weights } else { rated.mean }
    }
}

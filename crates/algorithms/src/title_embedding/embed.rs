//! From a title to its vector.
//!
//! With the words w of a title that have a vector v, and weights a (see [`TokenWeights`]):
//! `t = sum of a(w) v(w) / sum of a(w)`, less its part along the common component where one is removed (Arora, Liang and
//! Ma 2017), brought to length 1 where titles are normalised. A word that the table does not have is looked for in its
//! other spellings, and then made of its subwords.

use super::hyperparameters::{Hyperparameters, TokenWeights};
use super::vectors::{Subwords, WordTable};
use super::words::{Tokenizer, spellings};
use crate::kernels::{add_scaled, dot};

/// All that is needed to embed a title.
pub(super) struct Embedder {
    pub tokenizer: Tokenizer,
    pub normalize_words: bool,
    pub normalize_titles: bool,
    pub table: WordTable,
    /// A weight per word of the table.
    pub weights: Vec<f32>,
    /// Weight of a word that no title of the training had.
    pub unseen_weight: f32,
    /// Words of the table from this place on were made of subwords.
    pub first_made: usize,
    pub subwords: Option<Subwords>,
    /// What all titles have in common, of length 1.
    pub component: Option<Vec<f32>>,
}

/// A title as a vector.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Embedded {
    /// Zero when no word is known.
    pub vector: Vec<f32>,
    /// Words with a vector, and how many of these were made of subwords.
    pub known: usize,
    pub made: usize,
    pub unknown: Vec<String>,
}

impl Embedder {
    /// An embedder whose words all weigh the same, without a component.
    pub(super) fn new(h: &Hyperparameters, table: WordTable, subwords: Option<Subwords>) -> Self {
        Self {
            tokenizer: Tokenizer { keep_case: h.keep_case, stop_words: h.stop_words },
            normalize_words: h.normalize_words,
            normalize_titles: h.normalize_titles,
            weights: vec![1.0; table.words.len()],
            first_made: table.words.len(),
            unseen_weight: 1.0,
            table,
            subwords,
            component: None,
        }
    }

    /// Place of a word in the table, by its own or another spelling.
    pub(super) fn find(&self, word: &str) -> Option<usize> {
        self.table.find(word).or_else(|| spellings(word).find_map(|other| self.table.find(&other)))
    }

    /// Gives every word the weight that its place among the titles asks for.
    pub(super) fn weigh(&mut self, kind: TokenWeights, titles: &[Vec<String>]) {
        let words = self.table.words.len();
        let (mut count, mut documents, mut last) =
            (vec![0u64; words], vec![0u64; words], vec![usize::MAX; words]);
        for (title, tokens) in titles.iter().enumerate() {
            for place in tokens.iter().filter_map(|word| self.find(word)) {
                count[place] += 1;
                if last[place] != title {
                    documents[place] += 1;
                    last[place] = title;
                }
            }
        }
        let all = count.iter().sum::<u64>().max(1) as f64;
        let weight = |count: u64, documents: u64| match kind {
            TokenWeights::Uniform => 1.0,
            TokenWeights::TfIdf => ((1.0 + titles.len() as f64) / (1.0 + documents as f64)).ln() + 1.0,
            TokenWeights::Sif(a) => a / (a + count as f64 / all),
        };
        self.weights = count.iter().zip(&documents).map(|(&c, &d)| weight(c, d) as f32).collect();
        self.unseen_weight = weight(0, 0) as f32;
    }

    /// The vector of a title.
    pub(super) fn embed(&self, title: &str) -> Embedded {
        self.embed_words(&self.tokenizer.words(title))
    }

    /// The vector of a title's words.
    pub(super) fn embed_words(&self, words: &[String]) -> Embedded {
        let mut out = Embedded { vector: vec![0.0; self.table.dim], known: 0, made: 0, unknown: Vec::new() };
        let mut total = 0.0;
        for word in words {
            let made;
            let (vector, weight, by_subwords) = match self.find(word) {
                Some(place) => (self.table.vector(place), self.weights[place], place >= self.first_made),
                None => match self.subwords.as_ref().and_then(|subwords| subwords.vector(word)) {
                    Some(vector) => {
                        made = vector;
                        (&made[..], self.unseen_weight, true)
                    }
                    None => {
                        out.unknown.push(word.clone());
                        continue;
                    }
                },
            };
            let length = dot(vector, vector).sqrt();
            let scale = if self.normalize_words && length > 0.0 { weight / length } else { weight };
            add_scaled(&mut out.vector, vector, scale);
            total += weight;
            out.known += 1;
            out.made += usize::from(by_subwords);
        }
        if total > 0.0 {
            out.vector.iter_mut().for_each(|value| *value /= total);
            self.finish(&mut out.vector);
        }
        out
    }

    /// Takes the common component off and brings the vector to its length.
    pub(super) fn finish(&self, vector: &mut [f32]) {
        if let Some(component) = &self.component {
            let along = dot(vector, component);
            add_scaled(vector, component, -along);
        }
        let length = dot(vector, vector).sqrt();
        if self.normalize_titles && length > 0.0 {
            vector.iter_mut().for_each(|value| *value /= length);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn embedder(pairs: &[(&str, &str)]) -> Embedder {
        let pairs = pairs.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned())).collect();
        let h = Hyperparameters::from_pairs(&pairs).unwrap();
        let words = ["red", "stone", "the"].map(str::to_owned).to_vec();
        let table = WordTable::from_parts(2, words, vec![3.0, 0.0, 0.0, 1.0, 1.0, 1.0]);
        Embedder::new(&h, table, None)
    }

    #[test]
    fn a_title_is_the_mean_of_its_words() {
        let plain = embedder(&[("normalize_titles", "false")]);
        let got = plain.embed("Red Stone's unheard");
        assert_eq!(got.vector, [1.5, 0.5]);
        assert_eq!((got.known, got.made, got.unknown), (2, 0, vec!["unheard".to_owned()]));
        assert_eq!(embedder(&[]).embed("stone stone").vector, [0.0, 1.0]);
        let nothing = embedder(&[]).embed("unheard");
        assert_eq!((nothing.vector, nothing.known), (vec![0.0, 0.0], 0));
        let unit = embedder(&[("normalize_words", "true"), ("normalize_titles", "false")]);
        assert_eq!(unit.embed("red stone").vector, [0.5, 0.5]);
    }

    #[test]
    fn weights_follow_their_formulas() {
        let titles = ["the red the", "the stone"].map(|title| title.split(' ').map(str::to_owned).collect());
        let mut embedder = embedder(&[("normalize_titles", "false")]);
        embedder.weigh(TokenWeights::TfIdf, &titles);
        let once = (3.0f32 / 2.0).ln() + 1.0;
        assert_eq!(embedder.weights, [once, once, 1.0]);
        assert_eq!(embedder.unseen_weight, 3.0f64.ln() as f32 + 1.0);
        embedder.weigh(TokenWeights::Sif(0.2), &titles);
        assert_eq!(embedder.weights, [0.5, 0.5, 0.25]);
        assert_eq!(embedder.unseen_weight, 1.0);
        let vector = embedder.embed("the red").vector;
        let want = [(0.5 * 3.0 + 0.25) / 0.75, 0.25 / 0.75];
        assert!(vector.iter().zip(want).all(|(a, b): (_, f32)| (a - b).abs() < 1e-6), "{vector:?}");
    }

    #[test]
    fn a_component_is_taken_off() {
        let mut embedder = embedder(&[("normalize_titles", "false")]);
        embedder.component = Some(vec![1.0, 0.0]);
        assert_eq!(embedder.embed("red stone").vector, [0.0, 0.5]);
    }
}

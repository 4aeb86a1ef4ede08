//! Writing of answers.

use super::Question;
use super::request::Kind;
use crate::ubcf::model::Model;
use crate::ubcf::prediction::{top, unrated};

/// The answer to a question as a JSON object, given the predictions of all items.
pub(super) fn document(model: &Model, question: &Question, predictions: &[f64]) -> Vec<u8> {
    let rated = &question.asking.rated;
    let predicted = |items: &mut dyn Iterator<Item = u32>| -> Vec<(f64, u32)> {
        items.map(|item| (predictions[item as usize], item)).filter(|(rating, _)| !rating.is_nan()).collect()
    };
    let list = match question.kind {
        Kind::TopN => top(predictions, rated, question.n),
        Kind::Ratings => predicted(&mut unrated(predictions.len(), rated)),
        Kind::RatingMatrix => predicted(&mut (0..predictions.len() as u32)),
    };
    let mut body = b"{\"items\":".to_vec();
    names(&mut body, model, &list);
    if question.with_ratings {
        body.extend_from_slice(b",\"ratings\":");
        elements(&mut body, list.iter(), |body, (rating, _)| json(body, rating));
    }
    if !question.unknown.is_empty() {
        body.extend_from_slice(b",\"unknown_items\":");
        elements(&mut body, question.unknown.iter(), json);
    }
    body.push(b'}');
    body
}

/// Names of items as a JSON list of texts.
pub(super) fn names(body: &mut Vec<u8>, model: &Model, list: &[(f64, u32)]) {
    elements(body, list.iter(), |body, &(_, item)| json(body, &*model.items.get(item as usize)));
}

fn elements<T>(body: &mut Vec<u8>, list: impl Iterator<Item = T>, mut write: impl FnMut(&mut Vec<u8>, T)) {
    body.push(b'[');
    for (index, element) in list.enumerate() {
        if index > 0 {
            body.push(b',');
        }
        write(body, element);
    }
    body.push(b']');
}

fn json(body: &mut Vec<u8>, value: &(impl serde::Serialize + ?Sized)) {
    // Writing a text or a finite number into a vector cannot fail.
    let _ = serde_json::to_writer(body, value);
}

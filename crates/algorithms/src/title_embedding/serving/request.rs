//! Reading of requests.

use serde_json::{Map, Value};

use crate::InvokeFailure;
use crate::contract::Format;

/// Most instances in one request.
const MAX_INSTANCES: usize = 100_000;
/// Most titles in one answer.
const MAX_TITLES: usize = 10_000;
/// Most ratings, and most candidates, in one instance.
const MAX_ENTRIES: usize = 100_000;
/// Longest title, in bytes.
const MAX_TITLE: usize = 1 << 16;
/// Titles in an answer that does not say how many.
const USUAL_TITLES: usize = 10;

/// One title.
#[derive(Debug, PartialEq)]
pub(super) enum Query<'a> {
    /// A title of the model.
    Id(String),
    /// Any.
    Title(&'a str),
}

/// What an instance asks for.
#[derive(Debug, PartialEq)]
pub(super) enum Ask<'a> {
    /// So many similar titles.
    Similar(Query<'a>, usize),
    Embedding(Query<'a>),
    /// The score of a new title.
    Score(Vec<(&'a str, f64)>, &'a str),
    /// So many of these titles, best first.
    Rank(Vec<(&'a str, f64)>, Vec<&'a str>, usize),
    /// So many titles of the model, best first.
    Recommend(Vec<(&'a str, f64)>, usize),
}

/// The instances of a request, each with its place.
///
/// # Errors
/// 400 when the request is not JSON or has none.
pub(super) fn instances(format: Format, body: &[u8]) -> Result<Vec<(String, Value)>, InvokeFailure> {
    let found = match format {
        Format::Json => json(body)?,
        Format::JsonLines => lines(body)?,
    };
    match found.len() {
        0 => Err(InvokeFailure::bad("The request has no instances")),
        n if n > MAX_INSTANCES => {
            Err(InvokeFailure::bad(format!("A request may have at most {MAX_INSTANCES} instances")))
        }
        _ => Ok(found),
    }
}

fn json(body: &[u8]) -> Result<Vec<(String, Value)>, InvokeFailure> {
    let document: Value = serde_json::from_slice(body)
        .map_err(|e| InvokeFailure::bad(format!("The request is not JSON: {e}")))?;
    let Value::Object(mut document) = document else {
        return Err(no_list());
    };
    match document.remove("instances") {
        Some(Value::Array(list)) => {
            Ok(list.into_iter().enumerate().map(|(i, value)| (format!("Instance {i}"), value)).collect())
        }
        _ => Err(no_list()),
    }
}

fn no_list() -> InvokeFailure {
    InvokeFailure::bad("The request must be a JSON object with a list under the key 'instances'")
}

fn lines(body: &[u8]) -> Result<Vec<(String, Value)>, InvokeFailure> {
    let filled =
        body.split(|&byte| byte == b'\n').enumerate().filter(|(_, line)| !line.trim_ascii().is_empty());
    filled
        .take(MAX_INSTANCES + 1)
        .map(|(index, line)| {
            let place = format!("Line {}", index + 1);
            match serde_json::from_slice(line) {
                Ok(value) => Ok((place, value)),
                Err(e) => Err(InvokeFailure::bad(format!("{place}: it is not JSON: {e}"))),
            }
        })
        .collect()
}

/// What one instance asks for.
///
/// # Errors
/// A sentence with the key that is wrong.
pub(super) fn read(instance: &Value) -> Result<Ask<'_>, String> {
    let object = instance.as_object().ok_or("it is not a JSON object")?;
    const KEYS: [&str; 6] = ["title", "titles", "id", "ratings", "n", "type"];
    if let Some(key) = object.keys().find(|key| !KEYS.contains(&key.as_str())) {
        return Err(format!("key '{key}' is not known (allowed: {})", KEYS.join(", ")));
    }
    let n = count(object)?;
    let kind = match object.get("type") {
        None => "similar",
        Some(value) => value
            .as_str()
            .filter(|kind| ["similar", "embedding"].contains(kind))
            .ok_or_else(|| format!("key 'type': {value} is not one of [\"similar\", \"embedding\"]"))?,
    };
    let title = object.get("title").map(|value| text("title", value)).transpose()?;
    let titles = object.get("titles").map(candidates).transpose()?;
    if let Some(given) = object.get("ratings") {
        if object.contains_key("id") || object.contains_key("type") {
            return Err("key 'ratings' does not go with the keys 'id' and 'type'".to_owned());
        }
        let ratings = ratings(given)?;
        return match (title, titles) {
            (Some(_), Some(_)) => Err("keys 'title' and 'titles' do not go together".to_owned()),
            (Some(title), None) => Ok(Ask::Score(ratings, title)),
            (None, Some(titles)) => {
                let n = n.unwrap_or(titles.len());
                Ok(Ask::Rank(ratings, titles, n))
            }
            (None, None) => Ok(Ask::Recommend(ratings, n.unwrap_or(USUAL_TITLES))),
        };
    }
    if titles.is_some() {
        return Err("key 'titles' needs the key 'ratings'".to_owned());
    }
    let query = match (title, object.get("id")) {
        (Some(_), Some(_)) => return Err("keys 'title' and 'id' do not go together".to_owned()),
        (Some(title), None) => Query::Title(title),
        (None, Some(id)) => {
            let id = super::super::titles::text_of(id);
            Query::Id(id.ok_or("key 'id': it is not a text or a number")?)
        }
        (None, None) => return Err("none of the keys 'title', 'id' and 'ratings' is present".to_owned()),
    };
    Ok(match kind {
        "embedding" => Ask::Embedding(query),
        _ => Ask::Similar(query, n.unwrap_or(USUAL_TITLES)),
    })
}

fn count(object: &Map<String, Value>) -> Result<Option<usize>, String> {
    let Some(value) = object.get("n") else { return Ok(None) };
    let n = value.as_u64().filter(|n| (1..=MAX_TITLES as u64).contains(n));
    n.map(|n| Some(n as usize))
        .ok_or_else(|| format!("key 'n': {value} is not a whole number from 1 to {MAX_TITLES}"))
}

fn text<'a>(key: &str, value: &'a Value) -> Result<&'a str, String> {
    let text = value.as_str().ok_or_else(|| format!("key '{key}': {value} is not a text"))?;
    if text.len() > MAX_TITLE {
        return Err(format!("key '{key}': a title may have at most {MAX_TITLE} bytes"));
    }
    Ok(text)
}

fn candidates(value: &Value) -> Result<Vec<&str>, String> {
    let list = value.as_array().filter(|list| (1..=MAX_ENTRIES).contains(&list.len()));
    let list = list.ok_or_else(|| format!("key 'titles': it is not a list of 1 to {MAX_ENTRIES} titles"))?;
    list.iter().map(|value| text("titles", value)).collect()
}

fn ratings(value: &Value) -> Result<Vec<(&str, f64)>, String> {
    let map = value.as_object().filter(|map| (1..=MAX_ENTRIES).contains(&map.len()));
    let map = map.ok_or_else(|| {
        format!("key 'ratings': it is not an object of 1 to {MAX_ENTRIES} ids with their ratings")
    })?;
    map.iter()
        .map(|(id, rating)| {
            let number = rating.as_f64().filter(|number| number.is_finite());
            let number =
                number.ok_or_else(|| format!("key 'ratings': {rating} for '{id}' is not a number"))?;
            Ok((id.as_str(), number))
        })
        .collect()
}

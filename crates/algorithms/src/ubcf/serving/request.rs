//! Reading of requests: the chapter's, which are whole CSV files, and documents with instances.

use serde_json::{Map, Value};

use super::Question;
use crate::InvokeFailure;
use crate::contract::{Format, format_named};
use crate::ubcf::dataset::{Csv, name};
use crate::ubcf::hyperparameters::{MAX_ROW, MAX_TOP_N};
use crate::ubcf::model::{Asking, Model};
use crate::ubcf::ratings::Collected;

/// Most instances in one request: at a third of a millisecond each they take some seconds, of the sixty that callers
/// have.
const MAX_INSTANCES: usize = 10_000;
/// Most characters of a value that a message repeats.
const SHOWN: usize = 100;

/// What is asked of a user.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    /// A list of recommendations.
    TopN,
    /// Predicted ratings of what he has not rated.
    Ratings,
    /// Predicted ratings of everything.
    RatingMatrix,
}

/// A content type that is understood.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Media {
    /// A whole CSV file, with the row (from 1) and the length of the list when they are given.
    Csv { ind: Option<usize>, n: Option<usize> },
    /// Instances.
    Documents(Format),
}

/// Reads a content type with its parameters.
pub(super) fn media_type(text: &str) -> Result<Media, InvokeFailure> {
    let mut parts = text.split(';');
    let kind = parts.next().unwrap_or_default().trim();
    if !matches!(kind.to_ascii_lowercase().as_str(), "text/csv" | "csv") {
        return format_named(kind).map(Media::Documents).map_err(|failure| InvokeFailure {
            message: failure.message.replace("Use application/json", "Use text/csv, application/json"),
            ..failure
        });
    }
    let (mut ind, mut n) = (None, None);
    for part in parts {
        let (key, value) = part.split_once('=').unwrap_or((part, ""));
        let value = value.trim().trim_matches('"');
        match key.trim().to_ascii_lowercase().as_str() {
            "ind" => ind = Some(parameter("ind", value, MAX_ROW as usize)?),
            "n" => n = Some(parameter("n", value, MAX_TOP_N)?),
            _ => {}
        }
    }
    Ok(Media::Csv { ind, n })
}

fn parameter(name: &str, value: &str, most: usize) -> Result<usize, InvokeFailure> {
    value.parse().ok().filter(|number| (1..=most).contains(number)).ok_or_else(|| {
        InvokeFailure::bad(format!(
            "The content type's parameter {name}: '{value}' is not a whole number from 1 to {most}"
        ))
    })
}

/// The user of the row `ind` (from 1) of a CSV file with the ratings of all users. As in the chapter, columns are matched
/// by their place and not by their name.
pub(super) fn csv(body: &[u8], ind: usize, model: &Model) -> Result<Asking, InvokeFailure> {
    let mut ratings = Collected::new();
    let mut table = Csv::new(&model.h.columns);
    for (index, line) in body.split(|&byte| byte == b'\n').enumerate() {
        if !line.iter().all(u8::is_ascii_whitespace) {
            table
                .line(line, |user, item, rating| ratings.push(user, item, rating))
                .map_err(|what| InvokeFailure::bad(format!("Line {}: {what}", index + 1)))?;
        }
    }
    if ratings.len() == 0 {
        return Err(InvokeFailure::bad("The request has no ratings"));
    }
    let (table, users, items) = ratings.finish();
    if items.len() != model.items.len() {
        return Err(InvokeFailure::bad(format!(
            "The request has ratings of {} items, but the model has {}. A request in CSV has the ratings of all users, \
             since columns are matched by their place; ask with application/json to send those of one user",
            items.len(),
            model.items.len()
        )));
    }
    if ind > users.len() {
        return Err(InvokeFailure::bad(format!(
            "Row {ind} is asked for, but the request has the ratings of {} users. Choose the row with the hyperparameter \
             'ind' or the content type text/csv; ind=ROW",
            users.len()
        )));
    }
    Ok(Asking { rated: table.row(ind - 1).collect(), excluded: None })
}

/// The questions of a body in one of the two formats for documents.
pub(super) fn questions(format: Format, body: &[u8], model: &Model) -> Result<Vec<Question>, InvokeFailure> {
    let list = match format {
        Format::Json => json(body, model)?,
        Format::JsonLines => json_lines(body, model)?,
    };
    if list.is_empty() {
        return Err(InvokeFailure::bad("The request has no instances"));
    }
    Ok(list)
}

fn json(body: &[u8], model: &Model) -> Result<Vec<Question>, InvokeFailure> {
    let value: Value = serde_json::from_slice(body)
        .map_err(|e| InvokeFailure::bad(format!("The request is not JSON: {e}")))?;
    let list = value.get("instances").and_then(Value::as_array).ok_or_else(|| {
        InvokeFailure::bad("The request must be a JSON object with a list under the key 'instances'")
    })?;
    check_count(list.len())?;
    list.iter()
        .enumerate()
        .map(|(index, item)| {
            question(item, model).map_err(|what| InvokeFailure::bad(format!("Instance {index}: {what}")))
        })
        .collect()
}

fn json_lines(body: &[u8], model: &Model) -> Result<Vec<Question>, InvokeFailure> {
    let mut list = Vec::new();
    for (index, line) in body.split(|&byte| byte == b'\n').enumerate() {
        if line.iter().all(u8::is_ascii_whitespace) {
            continue;
        }
        check_count(list.len() + 1)?;
        let read = serde_json::from_slice::<Value>(line)
            .map_err(|e| format!("it is not JSON: {e}"))
            .and_then(|value| question(&value, model));
        list.push(read.map_err(|what| InvokeFailure::bad(format!("Line {}: {what}", index + 1)))?);
    }
    Ok(list)
}

fn check_count(count: usize) -> Result<(), InvokeFailure> {
    if count > MAX_INSTANCES {
        return Err(InvokeFailure::bad(format!("A request may have at most {MAX_INSTANCES} instances")));
    }
    Ok(())
}

const KEYS: &[&str] = &["ratings", "user", "n", "type", "with_ratings"];

fn question(item: &Value, model: &Model) -> Result<Question, String> {
    let object = item.as_object().ok_or("it is not a JSON object")?;
    if let Some(key) = object.keys().find(|key| !KEYS.contains(&key.as_str())) {
        return Err(format!("key '{}' is not known (allowed: {})", shown(key), KEYS.join(", ")));
    }
    let mut unknown = Vec::new();
    let asking = match (object.get("ratings"), object.get("user")) {
        (Some(ratings), None) => {
            let object =
                ratings.as_object().ok_or("key 'ratings': it is not an object of items and ratings")?;
            Asking { rated: rated(object, model, &mut unknown)?, excluded: None }
        }
        (None, Some(user)) => model.user(known_user(user, model)?),
        (Some(_), Some(_)) => return Err("it has both key 'ratings' and key 'user'; give one of them".into()),
        (None, None) => return Err("neither key 'ratings' nor key 'user' is present".into()),
    };
    let kind = match object.get("type").map(|kind| kind.as_str().unwrap_or_default()) {
        None | Some("topNList") => Kind::TopN,
        Some("ratings") => Kind::Ratings,
        Some("ratingMatrix") => Kind::RatingMatrix,
        Some(_) => {
            let given = shown(&object["type"].to_string());
            return Err(format!(
                "key 'type': {given} is not one of \"topNList\", \"ratings\", \"ratingMatrix\""
            ));
        }
    };
    let n = match object.get("n") {
        None => model.h.top_n,
        Some(_) if kind != Kind::TopN => return Err("key 'n' goes with the type topNList only".into()),
        Some(n) => n
            .as_u64()
            .and_then(|n| usize::try_from(n).ok())
            .filter(|n| (1..=MAX_TOP_N).contains(n))
            .ok_or_else(|| {
            format!("key 'n': {} is not a whole number from 1 to {MAX_TOP_N}", shown(&n.to_string()))
        })?,
    };
    let with_ratings = match object.get("with_ratings") {
        None => kind != Kind::TopN,
        Some(Value::Bool(flag)) if *flag || kind == Kind::TopN => *flag,
        Some(Value::Bool(_)) => {
            return Err("key 'with_ratings': false goes with the type topNList only".into());
        }
        Some(other) => {
            return Err(format!(
                "key 'with_ratings': {} is neither true nor false",
                shown(&other.to_string())
            ));
        }
    };
    Ok(Question { asking, kind, n, with_ratings, unknown })
}

fn known_user(value: &Value, model: &Model) -> Result<u32, String> {
    let user = name(value).map_err(|what| format!("key 'user': {what}"))?;
    model.users.find(&user).ok_or_else(|| {
        format!(
            "key 'user': '{}' is not in the training set. Give the user's ratings under the key 'ratings'",
            shown(&user)
        )
    })
}

/// A user's ratings by column; the names of items that the model does not know go to `unknown`.
fn rated(
    given: &Map<String, Value>,
    model: &Model,
    unknown: &mut Vec<String>,
) -> Result<Vec<(u32, f64)>, String> {
    let mut list = Vec::with_capacity(given.len());
    for (item, rating) in given {
        let rating = rating.as_f64().filter(|rating| rating.is_finite()).ok_or_else(|| {
            let (item, rating) = (shown(item), shown(&rating.to_string()));
            format!("key 'ratings': the rating {rating} of '{item}' is not a number")
        })?;
        match model.items.find(item.trim()) {
            Some(column) => list.push((column, rating + 0.0)),
            None => unknown.push(item.clone()),
        }
    }
    if list.is_empty() && !unknown.is_empty() {
        let item = shown(&unknown[0]);
        return Err(format!(
            "key 'ratings': the model knows none of the {} items, of which '{item}' is the first",
            unknown.len()
        ));
    }
    list.sort_by_key(|&(column, _)| column);
    match list.windows(2).find(|pair| pair[0].0 == pair[1].0) {
        None => Ok(list),
        Some(pair) => {
            Err(format!("key 'ratings': the item '{}' is there twice", model.items.get(pair[0].0 as usize)))
        }
    }
}

/// A value as a message repeats it.
fn shown(text: &str) -> String {
    if text.chars().count() <= SHOWN {
        text.to_owned()
    } else {
        text.chars().take(SHOWN).chain(['…']).collect()
    }
}

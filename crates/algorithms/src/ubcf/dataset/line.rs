//! Ratings as JSON lines: an object with user, item and rating per line.

use serde_json::{Map, Value};

use super::MAX_NAME;
use crate::ubcf::hyperparameters::Columns;

/// User, item and rating of a line. Names are texts or numbers; other keys are passed over.
///
/// # Errors
/// What is wrong, with the key.
pub(super) fn parse(line: &[u8], columns: &Columns) -> Result<(String, String, f64), String> {
    let object: Map<String, Value> =
        serde_json::from_slice(line).map_err(|e| format!("not a JSON object: {e}"))?;
    let get = |key: &str| object.get(key).ok_or_else(|| format!("key '{key}' is missing"));
    let label = |key: &str| name(get(key)?).map_err(|what| format!("key '{key}': {what}"));
    let rating = get(&columns.rating)?;
    let number =
        rating.as_f64().ok_or_else(|| format!("key '{}': {rating} is not a number", columns.rating))?;
    Ok((label(&columns.user)?, label(&columns.item)?, number))
}

/// The name of a user or item: a text or a number.
///
/// # Errors
/// When it is something else, is empty or too long.
pub(crate) fn name(value: &Value) -> Result<String, String> {
    let text = match value {
        Value::String(text) => text.trim().to_owned(),
        Value::Number(number) => number.to_string(),
        other => return Err(format!("{other} is neither a text nor a number")),
    };
    match text.len() {
        0 => Err("the text is empty".to_owned()),
        length if length > MAX_NAME => Err(format!("the text is longer than {MAX_NAME} bytes")),
        _ => Ok(text),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(line: &str) -> Result<(String, String, f64), String> {
        let columns = Columns { user: "u".to_owned(), item: "i".to_owned(), rating: "r".to_owned() };
        parse(line.as_bytes(), &columns)
    }

    #[test]
    fn names_are_texts_or_numbers() {
        let want = ("7".to_owned(), "b 1".to_owned(), 3.5);
        assert_eq!(read(r#"{"r": 3.5, "i": " b 1", "u": 7, "date": null}"#).unwrap(), want);
    }

    #[test]
    fn what_is_wrong_is_named() {
        for (line, message) in [
            ("[1]", "not a JSON object: "),
            (r#"{"u": 1, "r": 2}"#, "key 'i' is missing"),
            (r#"{"u": 1, "i": 2, "r": "4"}"#, "key 'r': \"4\" is not a number"),
            (r#"{"u": [1], "i": 2, "r": 4}"#, "key 'u': [1] is neither a text nor a number"),
            (r#"{"u": 1, "i": "", "r": 4}"#, "key 'i': the text is empty"),
        ] {
            let what = read(line).unwrap_err();
            assert!(what.starts_with(message), "{what}");
        }
    }
}

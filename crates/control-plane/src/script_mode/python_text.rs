//! Values as Python writes them: the training toolkit turns hyperparameters into arguments with `str`.

use serde_json::{Map, Number, Value};

/// `str(value)` of a decoded JSON value; nothing for null, as the toolkit has it.
pub fn argument(value: &Value) -> String {
    match value {
        Value::Null => String::new(),
        Value::String(text) => text.clone(),
        // The toolkit writes mappings in a way of its own.
        Value::Object(members) => {
            let pairs = sorted(members).into_iter().map(|(key, value)| format!("{key}={}", plain(value)));
            pairs.collect::<Vec<_>>().join(",")
        }
        other => plain(other),
    }
}

/// `str(value)`: strings as they are.
fn plain(value: &Value) -> String {
    match value {
        Value::String(text) => text.clone(),
        other => representation(other),
    }
}

/// `repr(value)`.
fn representation(value: &Value) -> String {
    match value {
        Value::Null => "None".into(),
        Value::Bool(true) => "True".into(),
        Value::Bool(false) => "False".into(),
        Value::Number(number) => self::number(number),
        Value::String(text) => quoted(text),
        Value::Array(items) => {
            format!("[{}]", items.iter().map(representation).collect::<Vec<_>>().join(", "))
        }
        Value::Object(members) => {
            let pairs =
                members.iter().map(|(key, value)| format!("{}: {}", quoted(key), representation(value)));
            format!("{{{}}}", pairs.collect::<Vec<_>>().join(", "))
        }
    }
}

fn quoted(text: &str) -> String {
    let mark = if text.contains('\'') && !text.contains('"') { '"' } else { '\'' };
    let mut out = String::from(mark);
    for letter in text.chars() {
        match letter {
            '\\' => out.push_str("\\\\"),
            '\n' => out.push_str("\\n"),
            '\t' => out.push_str("\\t"),
            '\r' => out.push_str("\\r"),
            letter if letter == mark => out.extend(['\\', letter]),
            letter => out.push(letter),
        }
    }
    out.push(mark);
    out
}

/// Integers as they stand; of floats the shortest digits that say the same, with an exponent below
/// 1e-4 and from 1e16 on, as `repr` of CPython has it.
fn number(number: &Number) -> String {
    let Some(value) = number.as_f64().filter(|_| number.is_f64()) else { return number.to_string() };
    let scientific = format!("{value:e}");
    let Some((digits, exponent)) = scientific.split_once('e') else { return scientific };
    let exponent: i32 = exponent.parse().unwrap_or_default();
    if value != 0.0 && !(-4..16).contains(&exponent) {
        let sign = if exponent < 0 { '-' } else { '+' };
        return format!("{digits}e{sign}{:02}", exponent.abs());
    }
    format!("{value:?}")
}

/// JSON as the toolkit writes it into variables: without spaces, members in the order of their names.
pub fn compact(value: &Value) -> String {
    match value {
        Value::Array(items) => format!("[{}]", items.iter().map(compact).collect::<Vec<_>>().join(",")),
        Value::Object(members) => {
            let pairs = sorted(members)
                .into_iter()
                .map(|(key, value)| format!("{}:{}", Value::from(key.as_str()), compact(value)));
            format!("{{{}}}", pairs.collect::<Vec<_>>().join(","))
        }
        Value::Number(number) => self::number(number),
        other => other.to_string(),
    }
}

/// A variable's text: strings as they are, nothing for null, JSON for everything else.
pub fn variable(value: &Value) -> String {
    match value {
        Value::Null => String::new(),
        Value::String(text) => text.clone(),
        other => compact(other),
    }
}

fn sorted(members: &Map<String, Value>) -> Vec<(&String, &Value)> {
    let mut members: Vec<_> = members.iter().collect();
    members.sort_by_key(|(key, _)| *key);
    members
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn arguments_are_what_python_prints() {
        let cases = [
            (json!(5), "5"),
            (json!(0.1), "0.1"),
            (json!(1e-5), "1e-05"),
            (json!(1.5e-7), "1.5e-07"),
            (json!(0.0001), "0.0001"),
            (json!(1e16), "1e+16"),
            (json!(3.0), "3.0"),
            (json!(true), "True"),
            (json!(null), ""),
            (json!("x y"), "x y"),
            (json!([1, "a", null, "it's"]), "[1, 'a', None, \"it's\"]"),
            (json!({"b": 1, "a": "x"}), "a=x,b=1"),
        ];
        for (value, expected) in cases {
            assert_eq!(argument(&value), expected, "{value}");
        }
    }

    #[test]
    fn variables_are_compact_and_sorted() {
        assert_eq!(
            compact(&json!({"b": [1, 2.0], "a": {"d": null, "c": "x"}})),
            r#"{"a":{"c":"x","d":null},"b":[1,2.0]}"#
        );
        assert_eq!(variable(&json!("x")), "x");
        assert_eq!(variable(&json!(false)), "false");
    }
}

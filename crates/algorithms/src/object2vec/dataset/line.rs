//! One training record from one line of JSON.
//!
//! [`parse`] is a tight parser for the shape that everybody writes; whatever it does not recognise goes through
//! serde_json, which accepts all of JSON and explains what is wrong.

use serde_json::{Map, Value};

/// Where a record is put; lists are cleared first.
#[derive(Default)]
pub(super) struct Record {
    pub sides: [Vec<u32>; 2],
    pub label: f32,
}

/// Names of the two sides in the data.
pub(crate) const SIDES: [&str; 2] = ["in0", "in1"];

/// Reads one record.
///
/// # Errors
/// What is wrong, with the key; without file and line, which the caller knows.
pub(super) fn parse(line: &[u8], record: &mut Record) -> Result<(), String> {
    match quick(line, record) {
        Some(()) => Ok(()),
        None => thorough(line, record),
    }
}

/// A cursor over the line.
struct Cursor<'a>(&'a [u8]);

impl Cursor<'_> {
    fn blanks(&mut self) {
        while let [b' ' | b'\t' | b'\r', rest @ ..] = self.0 {
            self.0 = rest;
        }
    }

    /// Takes this byte, with blanks around it.
    fn take(&mut self, byte: u8) -> Option<()> {
        self.blanks();
        let (&first, rest) = self.0.split_first()?;
        if first != byte {
            return None;
        }
        self.0 = rest;
        self.blanks();
        Some(())
    }

    fn key(&mut self) -> Option<&[u8]> {
        let rest = self.0.strip_prefix(b"\"")?;
        let end = rest.iter().position(|&b| b == b'"' || b == b'\\')?;
        let (key, rest) = rest.split_at(end);
        self.0 = rest.strip_prefix(b"\"")?;
        Some(key)
    }

    /// A whole number without sign, leading zeros, fraction or exponent.
    fn id(&mut self) -> Option<u32> {
        let digits = self.0.iter().take_while(|b| b.is_ascii_digit()).count();
        if digits == 0 || digits > 9 || (digits > 1 && self.0[0] == b'0') {
            return None;
        }
        let (number, rest) = self.0.split_at(digits);
        self.0 = rest;
        Some(number.iter().fold(0, |value, &b| value * 10 + u32::from(b - b'0')))
    }

    fn list(&mut self, into: &mut Vec<u32>) -> Option<()> {
        into.clear();
        self.take(b'[')?;
        loop {
            into.push(self.id()?);
            self.blanks();
            match self.0.split_first()? {
                (b',', rest) => self.0 = rest,
                (b']', rest) => {
                    self.0 = rest;
                    return Some(());
                }
                _ => return None,
            }
            self.blanks();
        }
    }

    fn label(&mut self) -> Option<f32> {
        let size = self.0.iter().take_while(|b| b.is_ascii_digit() || matches!(b, b'.' | b'-')).count();
        let (number, rest) = self.0.split_at(size);
        let (first, last) = (number.first()?, number.last()?);
        let plain = first.is_ascii_digit() && (*first != b'0' || size == 1 || number[1] == b'.');
        if !plain || !last.is_ascii_digit() {
            return None;
        }
        self.0 = rest;
        std::str::from_utf8(number).ok()?.parse().ok()
    }
}

/// The usual shape: an object with exactly `in0`, `in1` and `label` in any order.
fn quick(line: &[u8], record: &mut Record) -> Option<()> {
    let mut cursor = Cursor(line);
    let mut seen = [false; 3];
    cursor.take(b'{')?;
    for place in 0..3 {
        if place > 0 {
            cursor.take(b',')?;
        }
        let which = match cursor.key()? {
            b"in0" => 0,
            b"in1" => 1,
            b"label" => 2,
            _ => return None,
        };
        cursor.take(b':')?;
        if std::mem::replace(&mut seen[which], true) {
            return None;
        }
        if which == 2 {
            record.label = cursor.label()?;
        } else {
            cursor.list(&mut record.sides[which])?;
        }
    }
    cursor.take(b'}')?;
    cursor.0.is_empty().then_some(())
}

/// Any JSON object that has the three keys.
fn thorough(line: &[u8], record: &mut Record) -> Result<(), String> {
    let object: Map<String, Value> =
        serde_json::from_slice(line).map_err(|e| format!("not a JSON object: {}", without_line(&e)))?;
    for (key, into) in SIDES.iter().zip(&mut record.sides) {
        let value = object.get(*key).ok_or_else(|| format!("key '{key}' is missing"))?;
        ids(key, value, into)?;
    }
    let label = object.get("label").ok_or("key 'label' is missing")?;
    let number = label.as_f64().map(|n| n as f32).filter(|n| n.is_finite());
    record.label = number.ok_or_else(|| format!("key 'label': {} is not a number", brief(label)))?;
    Ok(())
}

/// Reads a list of token ids out of any JSON value.
///
/// # Errors
/// What is wrong, with the key.
pub(crate) fn ids(key: &str, value: &Value, into: &mut Vec<u32>) -> Result<(), String> {
    into.clear();
    let list = value
        .as_array()
        .ok_or_else(|| format!("key '{key}': {} is not a list of token ids", brief(value)))?;
    if list.is_empty() {
        return Err(format!("key '{key}': the list of token ids is empty"));
    }
    for item in list {
        let id = item.as_u64().and_then(|id| u32::try_from(id).ok());
        into.push(id.ok_or_else(|| format!("key '{key}': {} is not a token id", brief(item)))?);
    }
    Ok(())
}

/// serde_json's message without its line number, which counts from the start of one line of a file.
fn without_line(error: &serde_json::Error) -> String {
    let text = error.to_string();
    let message = text.split(" at line ").next().unwrap_or(&text);
    format!("{message} at column {}", error.column())
}

/// A value, cut to a length that fits a message.
fn brief(value: &Value) -> String {
    let text = value.to_string();
    match text.char_indices().nth(60) {
        Some((at, _)) => format!("{}...", &text[..at]),
        None => text,
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn read(line: &str) -> Result<(Vec<u32>, Vec<u32>, f32), String> {
        let mut record = Record::default();
        parse(line.as_bytes(), &mut record)?;
        let [in0, in1] = record.sides;
        Ok((in0, in1, record.label))
    }

    #[test]
    fn usual_and_unusual_spellings_are_read() {
        for line in [
            r#"{"in0":[7],"in1":[2,30],"label":4}"#,
            r#"{"label": 4.0, "in1": [2, 30], "in0": [7]}"#,
            "  { \"in0\" : [ 7 ] ,\t\"in1\" : [ 2 , 30 ] , \"label\" : 4.00 } \r",
            r#"{"in0":[7],"in1":[2,30],"label":4e0}"#,
            r#"{"in0":[7],"extra":{"a":[1]},"in1":[2,30],"label":4}"#,
            r#"{"in\u0030":[7],"in1":[2,30],"label":4}"#,
        ] {
            assert_eq!(read(line), Ok((vec![7], vec![2, 30], 4.0)), "{line}");
        }
        assert_eq!(read(r#"{"in0":[0],"in1":[0],"label":-0.5}"#), Ok((vec![0], vec![0], -0.5)));
    }

    #[test]
    fn what_is_wrong_is_said() {
        for (line, message) in [
            (
                r#"{"in0":[7],"in1":[2],"label":4"#,
                "not a JSON object: EOF while parsing an object at column 30",
            ),
            (r#"[1]"#, "not a JSON object: invalid type: sequence, expected a map at column 0"),
            (r#"{"in1":[2],"label":4}"#, "key 'in0' is missing"),
            (r#"{"in0":[7],"in1":[2]}"#, "key 'label' is missing"),
            (r#"{"in0":[],"in1":[2],"label":4}"#, "key 'in0': the list of token ids is empty"),
            (r#"{"in0":7,"in1":[2],"label":4}"#, "key 'in0': 7 is not a list of token ids"),
            (r#"{"in0":[7],"in1":[-2],"label":4}"#, "key 'in1': -2 is not a token id"),
            (r#"{"in0":[7],"in1":[2.5],"label":4}"#, "key 'in1': 2.5 is not a token id"),
            (r#"{"in0":[7],"in1":[5000000000],"label":4}"#, "key 'in1': 5000000000 is not a token id"),
            (r#"{"in0":[7],"in1":[2],"label":"4"}"#, "key 'label': \"4\" is not a number"),
            (r#"{"in0":[7],"in1":[2],"label":null}"#, "key 'label': null is not a number"),
        ] {
            assert_eq!(read(line), Err(message.to_owned()), "{line}");
        }
        assert!(read(r#"{"in0":[07],"in1":[2],"label":4}"#).is_err());
        assert!(read(r#"{"in0":[7],"in1":[2],"label":4} x"#).is_err());
    }

    proptest! {
        #[test]
        fn the_quick_parser_agrees_with_serde(
            in0 in prop::collection::vec(0u32..3_000_000, 1..9),
            in1 in prop::collection::vec(0u32..3_000_000, 1..9),
            label in prop_oneof![(-10i32..10).prop_map(f64::from), -1e3f64..1e3],
        ) {
            let text = serde_json::json!({"in0": in0, "in1": in1, "label": label}).to_string();
            let (mut a, mut b) = (Record::default(), Record::default());
            prop_assert!(thorough(text.as_bytes(), &mut b).is_ok());
            prop_assert!(parse(text.as_bytes(), &mut a).is_ok());
            prop_assert_eq!(&a.sides, &b.sides);
            prop_assert!((a.label - b.label).abs() <= 1e-6 * b.label.abs());
            prop_assert_eq!(&a.sides[0], &in0);
        }

        #[test]
        fn no_line_makes_it_panic(line in prop::collection::vec(prop::sample::select(b"{}[]\",:in01label.-9 e\\".to_vec()), 0..60)) {
            let mut record = Record::default();
            let quick_ok = quick(&line, &mut record).is_some();
            let mut second = Record::default();
            let thorough_ok = thorough(&line, &mut second).is_ok();
            prop_assert!(!quick_ok || thorough_ok, "the quick parser took what is not JSON");
        }
    }
}

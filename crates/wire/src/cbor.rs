//! CBOR bodies of the RPC v2 protocol: documents as JSON values in between.
//!
//! A time is a number of seconds with tag 1, bytes are base64 text in the document. Numbers that JSON
//! has not (NaN and the infinities) become the words that AWS's JSON protocols write for them.

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use minicbor::data::{Tag, Type};
use minicbor::{Decoder, Encoder};
use serde_json::{Map, Value, json};

use crate::model::{Model, ShapeKind};

/// Nesting of a request. AWS's deepest shape, a metric query, has seven levels.
const DEPTH: usize = 32;
/// The tag of a time in seconds since the Unix epoch (RFC 8949, section 3.4.2).
const EPOCH: Tag = Tag::new(1);

/// The document of a body; an empty body is an empty document.
///
/// # Errors
/// A message for bytes that are not one whole CBOR item, nest too deeply, or hold what AWS's
/// protocol has no use for.
pub fn decode_cbor(body: &[u8]) -> Result<Value, String> {
    if body.is_empty() {
        return Ok(json!({}));
    }
    let mut decoder = Decoder::new(body);
    let value = item(&mut decoder, 0).map_err(|error| format!("the CBOR body cannot be read: {error}"))?;
    if decoder.position() < body.len() {
        return Err("the CBOR body goes on after its document".into());
    }
    Ok(value)
}

fn item(decoder: &mut Decoder<'_>, depth: usize) -> Result<Value, String> {
    let text = |error: minicbor::decode::Error| error.to_string();
    if depth > DEPTH {
        return Err(format!("it nests more than {DEPTH} levels deep"));
    }
    Ok(match decoder.datatype().map_err(text)? {
        Type::Bool => json!(decoder.bool().map_err(text)?),
        Type::Null => decoder.null().map(|()| Value::Null).map_err(text)?,
        Type::Undefined => decoder.undefined().map(|()| Value::Null).map_err(text)?,
        Type::U8 | Type::U16 | Type::U32 | Type::U64 => json!(decoder.u64().map_err(text)?),
        Type::I8 | Type::I16 | Type::I32 | Type::I64 => json!(decoder.i64().map_err(text)?),
        Type::F16 => number(f64::from(decoder.f16().map_err(text)?)),
        Type::F32 => number(f64::from(decoder.f32().map_err(text)?)),
        Type::F64 => number(decoder.f64().map_err(text)?),
        Type::String | Type::StringIndef => {
            let parts = decoder.str_iter().map_err(text)?;
            Value::String(parts.collect::<Result<String, _>>().map_err(text)?)
        }
        Type::Bytes | Type::BytesIndef => {
            let parts = decoder.bytes_iter().map_err(text)?;
            let bytes = parts.collect::<Result<Vec<&[u8]>, _>>().map_err(text)?.concat();
            Value::String(BASE64_STANDARD.encode(bytes))
        }
        Type::Array | Type::ArrayIndef => {
            let mut left = decoder.array().map_err(text)?;
            let mut items = Vec::new();
            while more(decoder, &mut left)? {
                items.push(item(decoder, depth + 1)?);
            }
            Value::Array(items)
        }
        Type::Map | Type::MapIndef => {
            let mut left = decoder.map().map_err(text)?;
            let mut members = Map::new();
            while more(decoder, &mut left)? {
                let Value::String(name) = item(decoder, depth + 1)? else {
                    return Err("a member's name is not text".into());
                };
                members.insert(name, item(decoder, depth + 1)?);
            }
            Value::Object(members)
        }
        Type::Tag => {
            let tag = decoder.tag().map_err(text)?;
            if tag != EPOCH {
                return Err(format!("tag {} has no meaning here", tag.as_u64()));
            }
            match item(decoder, depth + 1)? {
                number @ Value::Number(_) => number,
                _ => return Err("a time is not a number".into()),
            }
        }
        other => return Err(format!("{other} has no meaning here")),
    })
}

/// Counts down a collection of known length, or looks for the end of one without.
fn more(decoder: &mut Decoder<'_>, left: &mut Option<u64>) -> Result<bool, String> {
    match left {
        Some(0) => Ok(false),
        Some(count) => {
            *count -= 1;
            Ok(true)
        }
        None => {
            if decoder.datatype().map_err(|error| error.to_string())? != Type::Break {
                return Ok(true);
            }
            decoder.set_position(decoder.position() + 1);
            Ok(false)
        }
    }
}

fn number(value: f64) -> Value {
    if value.is_nan() {
        json!("NaN")
    } else if value.is_infinite() {
        json!(if value > 0.0 { "Infinity" } else { "-Infinity" })
    } else {
        json!(value)
    }
}

impl Model {
    /// An operation's answer as CBOR. Members that the model has not are left out.
    pub fn encode_cbor(&self, operation: &str, answer: &Value) -> Vec<u8> {
        let mut encoder = Encoder::new(Vec::new());
        let shape = self.output(operation).unwrap_or_default();
        // A vector takes every byte: this writer has no way to fail.
        if self.encode(shape, answer, &mut encoder).is_err() {
            return Vec::new();
        }
        encoder.into_writer()
    }

    fn encode(&self, shape: &str, value: &Value, encoder: &mut Encoder<Vec<u8>>) -> Written {
        let kind = self.shapes.get(shape).map(|shape| &shape.kind);
        match (kind, value) {
            (Some(ShapeKind::Structure { members, .. }), Value::Object(object)) => {
                let known =
                    || object.iter().filter(|(name, value)| members.contains_key(*name) && !value.is_null());
                encoder.map(known().count() as u64)?;
                for (name, value) in known() {
                    encoder.str(name)?;
                    self.encode(&members[name], value, encoder)?;
                }
                Ok(())
            }
            (Some(ShapeKind::Map { value: shape, .. }), Value::Object(object)) => {
                encoder.map(object.len() as u64)?;
                for (name, value) in object {
                    encoder.str(name)?;
                    self.encode(shape, value, encoder)?;
                }
                Ok(())
            }
            (Some(ShapeKind::List(shape)), Value::Array(items)) => {
                encoder.array(items.len() as u64)?;
                items.iter().try_for_each(|item| self.encode(shape, item, encoder))
            }
            (Some(ShapeKind::Timestamp), Value::Number(number)) => {
                encoder.tag(EPOCH)?.f64(number.as_f64().unwrap_or_default())?.ok()
            }
            (Some(ShapeKind::Float), Value::Number(number)) => {
                encoder.f64(number.as_f64().unwrap_or_default())?.ok()
            }
            (Some(ShapeKind::Blob), Value::String(text)) => {
                encoder.bytes(&BASE64_STANDARD.decode(text).unwrap_or_default())?.ok()
            }
            (_, value) => plain(value, encoder),
        }
    }
}

type Written = Result<(), minicbor::encode::Error<std::convert::Infallible>>;

/// A document without a shape: errors, and what a model says nothing about.
fn plain(value: &Value, encoder: &mut Encoder<Vec<u8>>) -> Written {
    match value {
        Value::Null => encoder.null()?.ok(),
        Value::Bool(value) => encoder.bool(*value)?.ok(),
        Value::Number(number) => match (number.as_u64(), number.as_i64()) {
            (Some(number), _) => encoder.u64(number)?.ok(),
            (None, Some(number)) => encoder.i64(number)?.ok(),
            (None, None) => encoder.f64(number.as_f64().unwrap_or_default())?.ok(),
        },
        Value::String(text) => encoder.str(text)?.ok(),
        Value::Array(items) => {
            encoder.array(items.len() as u64)?;
            items.iter().try_for_each(|item| plain(item, encoder))
        }
        Value::Object(members) => {
            encoder.map(members.len() as u64)?;
            members.iter().try_for_each(|(name, value)| {
                encoder.str(name)?;
                plain(value, encoder)
            })
        }
    }
}

/// A document that no shape describes, as CBOR.
pub(crate) fn encode_plain(value: &Value) -> Vec<u8> {
    let mut encoder = Encoder::new(Vec::new());
    if plain(value, &mut encoder).is_err() {
        return Vec::new();
    }
    encoder.into_writer()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Service, model};

    #[test]
    fn what_is_written_is_read_and_times_carry_their_tag() {
        let answer = json!({"Label": "m", "Datapoints": [{"Timestamp": 60.5, "Average": 2, "Unit": "None"}]});
        let bytes = model(Service::CloudWatch)
            .map(|model| model.encode_cbor("GetMetricStatistics", &answer))
            .unwrap_or_default();
        // Tag 1, then a double: 0xc1 0xfb.
        assert!(bytes.windows(2).any(|pair| pair == [0xc1, 0xfb]), "{bytes:02x?}");
        assert_eq!(
            decode_cbor(&bytes),
            Ok(json!({"Label": "m",
            "Datapoints": [{"Timestamp": 60.5, "Average": 2.0, "Unit": "None"}]}))
        );
    }

    /// Examples of RFC 8949, appendix A.
    #[test]
    fn published_examples_are_read() {
        for (hex, expected) in [
            ("1bffffffffffffffff", json!(u64::MAX)),
            ("3903e7", json!(-1000)),
            ("f93c00", json!(1.0)),
            ("fa47c35000", json!(100_000.0)),
            ("f97e00", json!("NaN")),
            ("f6", json!(null)),
            ("c11a514b67b0", json!(1_363_896_240)),
            ("c1fb41d452d9ec200000", json!(1_363_896_240.5)),
            ("4401020304", json!("AQIDBA==")),
            ("7f657374726561646d696e67ff", json!("streaming")),
            ("bf61610161629f0203ffff", json!({"a": 1, "b": [2, 3]})),
        ] {
            let bytes: Vec<u8> = (0..hex.len())
                .step_by(2)
                .map(|at| u8::from_str_radix(&hex[at..at + 2], 16).unwrap_or_default())
                .collect();
            assert_eq!(decode_cbor(&bytes), Ok(expected), "{hex}");
        }
    }

    #[test]
    fn strange_bytes_are_refused() {
        let deep = [vec![0x81; 100], vec![0x01]].concat();
        let huge_claim = [0x9b, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x01];
        for bytes in [
            &deep[..],
            &huge_claim,
            &[0xa1, 0x01, 0x02],
            &[0x01, 0x02],
            &[0xff],
            &[0x5b],
            &[0xc2, 0x41, 0x01],
        ] {
            assert!(decode_cbor(bytes).is_err(), "{bytes:02x?}");
        }
        assert_eq!(decode_cbor(&[]), Ok(json!({})));
    }
}

//! The facts of a record: its document and tags as a flat list of properties with values, and
//! their compact form in the database.
//!
//! A path joins the names of members with dots. An element of a list adds nothing to the path; its
//! place in the outermost list is the fact's item (from 1), so that what belongs to one element can
//! be told. Members whose name begins with an underscore are internal and make no facts.

use serde_json::Value;

use super::IndexRules;
use crate::Tag;

/// Bytes of a text that its term in the index holds; matching reads the whole text.
pub const TERM_BYTES: usize = 200;

/// A value as facts hold it.
#[derive(Debug, Clone, PartialEq)]
pub enum FactValue {
    /// A number; never NaN, never minus zero.
    Number(f64),
    /// Text that is a number, where the rules say that it compares as one.
    NumberText(f64, String),
    /// Any other text.
    Text(String),
}

/// One value of one property.
#[derive(Debug, Clone, PartialEq)]
pub struct Fact {
    /// The number of the property's field.
    pub field: u32,
    /// Place in the outermost list from 1; 0 outside of lists.
    pub item: u32,
    /// Made by a tag and not by the document.
    pub label: bool,
    /// The value.
    pub value: FactValue,
}

/// A value as the index sorts it: numbers before text.
#[derive(Debug, Clone, PartialEq, PartialOrd)]
pub enum Term {
    /// A number.
    Number(f64),
    /// The beginning of a text.
    Text(String),
    /// Behind every text; only a bound.
    End,
}

/// The part of a text that a term holds.
pub fn shortened(text: &str) -> &str {
    let mut end = text.len().min(TERM_BYTES);
    while !text.is_char_boundary(end) {
        end -= 1;
    }
    &text[..end]
}

/// May this text of a term be only the beginning of the text it stands for?
pub fn may_be_cut(text: &str) -> bool {
    text.len() + 4 > TERM_BYTES
}

/// The number that a text is, when it is a finite one.
pub fn number_in(text: &str) -> Option<f64> {
    // `inf` and `nan` parse too, and are words here.
    let digit = text.bytes().any(|byte| byte.is_ascii_digit());
    text.parse::<f64>().ok().filter(|number| digit && number.is_finite()).map(without_sign_of_zero)
}

fn without_sign_of_zero(number: f64) -> f64 {
    if number == 0.0 { 0.0 } else { number }
}

/// Calls `found` with every property of a document: path, item, value.
pub fn of_document(document: &Value, rules: &IndexRules, found: &mut dyn FnMut(&str, u32, FactValue)) {
    Reading { rules, found }.visit(&mut String::with_capacity(64), document, 0);
}

/// The property that a tag makes.
pub fn label_path(tag: &Tag, rules: &IndexRules) -> String {
    format!("{}.{}", rules.labels, tag.key)
}

struct Reading<'a> {
    rules: &'a IndexRules,
    found: &'a mut dyn FnMut(&str, u32, FactValue),
}

impl Reading<'_> {
    fn visit(&mut self, path: &mut String, value: &Value, item: u32) {
        match value {
            Value::Null => {}
            Value::Bool(truth) => self.add(path, item, FactValue::Text(truth.to_string())),
            Value::Number(number) => {
                if let Some(number) = number.as_f64().filter(|number| number.is_finite()) {
                    self.add(path, item, FactValue::Number(without_sign_of_zero(number)));
                }
            }
            Value::String(text) => {
                let numeric = self.rules.numeric_text.iter().any(|prefix| path.starts_with(prefix));
                let value = match number_in(text).filter(|_| numeric) {
                    Some(number) => FactValue::NumberText(number, text.clone()),
                    None => FactValue::Text(text.clone()),
                };
                self.add(path, item, value);
            }
            Value::Array(elements) => {
                let named = self.rules.named_lists.iter().find(|named| named.list == path.as_str());
                for (element, place) in elements.iter().zip(1u32..) {
                    match named {
                        Some(named) => self.visit_named(element, named),
                        None => self.visit(path, element, if item == 0 { place } else { item }),
                    }
                }
            }
            Value::Object(members) => {
                let within = path.len();
                let wrapped =
                    self.rules.wrapped.iter().find(|(prefix, _)| {
                        path.strip_prefix(prefix).is_some_and(|rest| rest.starts_with('.'))
                    });
                for (name, member) in members.iter().filter(|(name, _)| !name.starts_with('_')) {
                    if wrapped.is_none_or(|(_, scalars)| !scalars.contains(&name.as_str())) {
                        if within > 0 {
                            path.push('.');
                        }
                        path.push_str(name);
                    }
                    self.visit(path, member, item);
                    path.truncate(within);
                }
            }
        }
    }

    fn visit_named(&mut self, element: &Value, named: &super::NamedList) {
        let Some(name) = element.get(named.name).and_then(Value::as_str) else { return };
        let mut path = format!("{}.{name}", named.prefix);
        match named.value {
            Some(value) => {
                if let Some(value) = element.get(value) {
                    self.visit(&mut path, value, 0);
                }
            }
            None => {
                let within = path.len();
                for (member, value) in element.as_object().into_iter().flatten() {
                    if member != named.name {
                        path.push('.');
                        path.push_str(member);
                        self.visit(&mut path, value, 0);
                        path.truncate(within);
                    }
                }
            }
        }
    }

    fn add(&mut self, path: &str, item: u32, value: FactValue) {
        (self.found)(path, item, value);
    }
}

const NUMBER: u8 = 0;
const NUMBER_TEXT: u8 = 1;
const TEXT: u8 = 2;
/// Set in the kind of a fact that a tag made.
const LABEL: u8 = 0x10;

/// Facts as bytes: for each its field, kind, item and value.
pub fn encode(facts: &[Fact]) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(facts.len() * 16);
    for fact in facts {
        put_varint(&mut bytes, u64::from(fact.field));
        let kind = match fact.value {
            FactValue::Number(_) => NUMBER,
            FactValue::NumberText(..) => NUMBER_TEXT,
            FactValue::Text(_) => TEXT,
        };
        bytes.push(kind | if fact.label { LABEL } else { 0 });
        put_varint(&mut bytes, u64::from(fact.item));
        match &fact.value {
            FactValue::Number(number) => bytes.extend(number.to_le_bytes()),
            FactValue::NumberText(number, text) => {
                bytes.extend(number.to_le_bytes());
                put_text(&mut bytes, text);
            }
            FactValue::Text(text) => put_text(&mut bytes, text),
        }
    }
    bytes
}

/// The facts behind [`encode`]d bytes, or `None` for bytes that are none.
pub fn decode(bytes: &[u8]) -> Option<Vec<Fact>> {
    let mut facts = Vec::new();
    let mut rest = bytes;
    while !rest.is_empty() {
        let (field, kind, item, value) = next(&mut rest)?;
        let value = match value {
            View { number: Some(number), text: None } => FactValue::Number(number),
            View { number: Some(number), text: Some(text) } => FactValue::NumberText(number, text.to_owned()),
            View { number: None, text } => FactValue::Text(text.unwrap_or_default().to_owned()),
        };
        facts.push(Fact { field, item, label: kind & LABEL != 0, value });
    }
    Some(facts)
}

/// A value read in place.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct View<'a> {
    /// The number, when it is one.
    pub number: Option<f64>,
    /// The text, when it has one.
    pub text: Option<&'a str>,
}

impl View<'_> {
    /// The value's term.
    pub fn term(self) -> Term {
        match self.number {
            Some(number) => Term::Number(number),
            None => Term::Text(shortened(self.text.unwrap_or_default()).to_owned()),
        }
    }
}

/// A fact read in place: field, item, value.
pub type FactView<'a> = (u32, u32, View<'a>);

/// Reads [`encode`]d facts in place into `facts`; `None` for bytes that are none.
pub fn read_into<'a>(bytes: &'a [u8], facts: &mut Vec<FactView<'a>>) -> Option<()> {
    facts.clear();
    let mut rest = bytes;
    while !rest.is_empty() {
        let (field, _, item, value) = next(&mut rest)?;
        facts.push((field, item, value));
    }
    Some(())
}

fn next<'a>(rest: &mut &'a [u8]) -> Option<(u32, u8, u32, View<'a>)> {
    let field = u32::try_from(take_varint(rest)?).ok()?;
    let (kind, after) = rest.split_first()?;
    *rest = after;
    let item = u32::try_from(take_varint(rest)?).ok()?;
    let number = match kind & !LABEL {
        NUMBER | NUMBER_TEXT => {
            let (bytes, after) = rest.split_first_chunk::<8>()?;
            *rest = after;
            Some(f64::from_le_bytes(*bytes))
        }
        _ => None,
    };
    let text = match kind & !LABEL {
        NUMBER => None,
        NUMBER_TEXT | TEXT => {
            let length = usize::try_from(take_varint(rest)?).ok()?;
            let (bytes, after) = rest.split_at_checked(length)?;
            *rest = after;
            Some(std::str::from_utf8(bytes).ok()?)
        }
        _ => return None,
    };
    Some((field, *kind, item, View { number, text }))
}

fn put_text(bytes: &mut Vec<u8>, text: &str) {
    put_varint(bytes, text.len() as u64);
    bytes.extend(text.as_bytes());
}

/// Appends a number, seven bits a byte.
pub fn put_varint(bytes: &mut Vec<u8>, mut number: u64) {
    while number >= 0x80 {
        bytes.push((number & 0x7f) as u8 | 0x80);
        number >>= 7;
    }
    bytes.push(number as u8);
}

/// Takes a number off the front that [`put_varint`] wrote.
pub fn take_varint(rest: &mut &[u8]) -> Option<u64> {
    let mut number = 0u64;
    for shift in (0..64).step_by(7) {
        let (byte, after) = rest.split_first()?;
        *rest = after;
        number |= u64::from(byte & 0x7f) << shift;
        if byte & 0x80 == 0 {
            return Some(number);
        }
    }
    None
}

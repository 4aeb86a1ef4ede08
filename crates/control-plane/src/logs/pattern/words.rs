//! Patterns over the words of a message: `[ip, ..., status = 4*, bytes > 1000]`.
//!
//! A message's words are divided by blanks; what stands in quotation marks or in brackets is one word.

use serde_json::{Map, Value};

use super::Reason;
use super::expression::{Comparison, Constant, Expression, Step, Test};
use super::parser::Parser;

/// One column for each word, with at most one gap of any length.
#[derive(Debug, Clone, PartialEq)]
pub struct Words {
    before: Vec<Column>,
    /// The columns after the gap, when there is one.
    after: Option<Vec<Column>>,
}

#[derive(Debug, Clone, PartialEq)]
struct Column {
    name: String,
    condition: Option<Expression>,
}

impl Words {
    /// Reads a pattern in brackets.
    pub fn read(text: &str) -> Result<Self, Reason> {
        let inner = text
            .strip_prefix('[')
            .and_then(|text| text.strip_suffix(']'))
            .ok_or_else(|| Reason::Other("a closing bracket is missing".into()))?;
        let mut words = Self { before: Vec::new(), after: None };
        for part in columns(inner) {
            let part = part.trim();
            if part == "..." {
                if words.after.replace(Vec::new()).is_some() {
                    return Err(Reason::Other("there is more than one ellipsis".into()));
                }
                continue;
            }
            words.after.as_mut().unwrap_or(&mut words.before).push(column(part)?);
        }
        Ok(words)
    }

    /// Does a message have these columns?
    pub fn matches(&self, message: &str) -> bool {
        let words = split(message);
        let after = self.after.as_deref().unwrap_or_default();
        let fixed = self.before.len() + after.len();
        if words.len() < fixed || (self.after.is_none() && words.len() > fixed) {
            return false;
        }
        let front = self.before.iter().zip(&words);
        let back = after.iter().zip(&words[words.len() - after.len()..]);
        front.chain(back).all(|(column, word)| column.matches(word))
    }
}

impl Column {
    fn matches(&self, word: &str) -> bool {
        let Some(condition) = &self.condition else { return true };
        let number = word.parse::<f64>().ok().and_then(serde_json::Number::from_f64);
        // A word that is a number is one for comparisons of size; for stars its letters count.
        let holds =
            |value: Value| condition.holds(&Value::Object(Map::from_iter([(self.name.clone(), value)])));
        holds(Value::String(word.to_owned())) || number.is_some_and(|number| holds(Value::Number(number)))
    }
}

fn column(text: &str) -> Result<Column, Reason> {
    let mut parser = Parser::new(text);
    parser.peek();
    let bare = |letter: char| letter.is_alphanumeric() || "_-.".contains(letter);
    let name = parser.word(bare);
    if name.is_empty() {
        return Err(Reason::Other(format!("a column's name is missing in '{text}'")));
    }
    if parser.peek().is_none() {
        return Ok(Column { name, condition: None });
    }
    let mut parser = Parser::new(text);
    let one = |parser: &mut Parser<'_>| {
        parser.peek();
        let named = parser.word(bare);
        if named != name {
            return Err(Reason::Other(format!(
                "the column '{name}' tests '{named}': each tests itself alone"
            )));
        }
        let comparison = parser.comparison()?;
        Ok(Expression::Member(vec![Step::Name(named)], test(comparison, parser.constant()?)))
    };
    let condition = parser.any(&one)?;
    match parser.peek() {
        None => Ok(Column { name, condition: Some(condition) }),
        Some(_) => Err(Reason::Other(format!("the column '{text}' cannot be read"))),
    }
}

fn test(comparison: Comparison, constant: Constant) -> Test {
    Test::Compare(comparison, constant)
}

/// The columns of a pattern: its parts between commas outside quotation marks.
fn columns(text: &str) -> Vec<&str> {
    let mut quoted = false;
    text.split(|letter| {
        quoted ^= letter == '"';
        letter == ',' && !quoted
    })
    .collect()
}

/// The words of a message.
fn split(message: &str) -> Vec<&str> {
    let mut words = Vec::new();
    let mut rest = message.trim_start();
    while let Some(first) = rest.chars().next() {
        let close = match first {
            '"' => Some('"'),
            '[' => Some(']'),
            _ => None,
        };
        let inner = &rest[first.len_utf8()..];
        let (word, after) = match close.and_then(|close| inner.split_once(close)) {
            Some(parts) => parts,
            None => rest.split_once(char::is_whitespace).unwrap_or((rest, "")),
        };
        words.push(word);
        rest = after.trim_start();
    }
    words
}

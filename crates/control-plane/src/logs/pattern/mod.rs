//! Filter patterns of CloudWatch Logs, in its three forms: terms, `{ … }` over JSON messages, and `[ … ]`
//! over messages of words.
//!
//! Promises: a pattern is read whole or refused with the place that was not understood; regular
//! expressions between percent signs are refused by name. Matching is case-sensitive, as with AWS.

mod expression;
mod parser;
mod words;

use sagebrush_types::{Failure, Outcome};

use expression::Expression;
use parser::Parser;
use words::Words;

/// A pattern that messages are held against.
#[derive(Debug, Clone, PartialEq)]
pub enum Pattern {
    /// Texts that must occur, texts that must not, and texts of which one must.
    Terms {
        /// Must occur.
        required: Vec<String>,
        /// Must not occur.
        excluded: Vec<String>,
        /// One of them must occur, when there are any.
        optional: Vec<String>,
    },
    /// A condition on the members of a JSON message.
    Json(Expression),
    /// Conditions on the words of a message.
    Words(Words),
}

impl Pattern {
    /// Reads a pattern; an empty one matches everything.
    ///
    /// # Errors
    /// `Invalid` for what is no pattern, `Unsupported` for regular expressions.
    pub fn read(text: &str) -> Outcome<Self> {
        let trimmed = text.trim();
        let result = match trimmed.chars().next() {
            Some('{') => Parser::new(trimmed).json().map(Self::Json),
            Some('[') => Words::read(trimmed).map(Self::Words),
            _ => terms(trimmed),
        };
        result.map_err(|reason| match reason {
            Reason::Regex => Failure::unsupported(
                "filterPattern: regular expressions between percent signs are not supported by this server.",
            ),
            Reason::Other(reason) => Failure::invalid(format!("Invalid filter pattern: {reason}")),
        })
    }

    /// Does a message match?
    pub fn matches(&self, message: &str) -> bool {
        match self {
            Self::Terms { required, excluded, optional } => {
                required.iter().all(|term| message.contains(term))
                    && !excluded.iter().any(|term| message.contains(term))
                    && (optional.is_empty() || optional.iter().any(|term| message.contains(term)))
            }
            Self::Json(expression) => {
                serde_json::from_str(message).is_ok_and(|document| expression.holds(&document))
            }
            Self::Words(words) => words.matches(message),
        }
    }
}

/// Why a pattern is not read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Reason {
    /// It holds a regular expression.
    Regex,
    /// It is no pattern, in words.
    Other(String),
}

impl From<String> for Reason {
    fn from(reason: String) -> Self {
        Self::Other(reason)
    }
}

fn terms(text: &str) -> Result<Pattern, Reason> {
    let (mut required, mut excluded, mut optional) = (Vec::new(), Vec::new(), Vec::new());
    let mut parser = Parser::new(text);
    while let Some(next) = parser.peek() {
        let list = match next {
            '-' => &mut excluded,
            '?' => &mut optional,
            _ => &mut required,
        };
        if matches!(next, '-' | '?') {
            parser.advance();
        }
        let term = match parser.peek_raw() {
            Some('"') => parser.quoted()?,
            Some('%') => return Err(Reason::Regex),
            _ => parser.word(|letter| !letter.is_whitespace() && letter != '"'),
        };
        if term.is_empty() {
            return Err(Reason::Other(format!("a term is missing at character {}", parser.place())));
        }
        list.push(term);
    }
    let others = required.len() + excluded.len();
    if !optional.is_empty() && others > 0 {
        return Err(Reason::Other("optional terms (?) cannot be combined with other terms".into()));
    }
    Ok(Pattern::Terms { required, excluded, optional })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn matches(pattern: &str, message: &str) -> bool {
        Pattern::read(pattern)
            .unwrap_or_else(|failure| panic!("{pattern}: {}", failure.message))
            .matches(message)
    }

    #[test]
    fn terms_are_required_excluded_or_optional() {
        for (pattern, message, expected) in [
            ("", "anything", true),
            ("ERROR", "an ERROR here", true),
            ("ERROR", "an error here", false),
            ("ERROR \"two words\"", "ERROR: two words", true),
            ("ERROR \"two words\"", "ERROR: two other words", false),
            ("ERROR -exit", "ERROR at exit", false),
            ("ERROR -exit", "ERROR at start", true),
            ("-\"not this\"", "not that", true),
            ("?WARN ?ERROR", "ERROR", true),
            ("?WARN ?ERROR", "INFO", false),
            ("\"a \\\"quote\\\"\"", "a \"quote\" in it", true),
            ("validation:mean_squared_error", "x validation:mean_squared_error=1", true),
        ] {
            assert_eq!(matches(pattern, message), expected, "{pattern} on {message}");
        }
    }

    #[test]
    fn strange_patterns_are_refused_with_a_place() {
        let message =
            |pattern| Pattern::read(pattern).err().map(|failure| failure.message).unwrap_or_default();
        assert!(message("%a.b%").contains("regular expressions"));
        assert!(message("{ $.a = %x% }").contains("regular expressions"));
        assert!(message("?a b").contains("cannot be combined"));
        for pattern in [
            "\"open",
            "-",
            "{ $.a }",
            "{ $.a = 1",
            "{ a = 1 }",
            "{ $.a = 1 } x",
            "{ ($.a = 1 }",
            "{ }",
            "[a",
            "[]",
            "[a, ..., ...]",
        ] {
            assert!(
                message(pattern).starts_with("Invalid filter pattern"),
                "{pattern}: {}",
                message(pattern)
            );
        }
    }

    #[test]
    fn json_patterns_test_members() {
        let message = r#"{"level": "ERROR", "code": 404, "user": {"ids": [7, "x"]}, "ok": true, "none": null,
                          "a-b": "dash"}"#;
        for (pattern, expected) in [
            ("{ $.level = \"ERROR\" }", true),
            ("{ $.level = ERR* }", true),
            ("{ $.level = \"*RR*\" }", true),
            ("{ $.level != \"ERROR\" }", false),
            ("{ $.missing != \"x\" }", false),
            ("{ $.code = 404 }", true),
            ("{ $.code >= 4e2 && $.code < 500 }", true),
            ("{ $.code = 4* }", true),
            ("{ $.user.ids[0] = 7 }", true),
            ("{ $.user.ids[1] = x }", true),
            ("{ $.user.ids[2] = x }", false),
            ("{ $.ok IS TRUE }", true),
            ("{ $.ok IS FALSE }", false),
            ("{ $.none IS NULL }", true),
            ("{ $.missing NOT EXISTS }", true),
            ("{ $.level NOT EXISTS }", false),
            ("{ $.a-b = dash }", true),
            ("{ ($.code = 1 || $.ok IS TRUE) && $.level = ERROR }", true),
            ("{ $.code = 1 || $.ok IS TRUE && $.level = x }", false),
        ] {
            assert_eq!(matches(pattern, message), expected, "{pattern}");
        }
        assert!(!matches("{ $.a = 1 }", "no JSON"));
    }

    #[test]
    fn word_patterns_test_columns() {
        let message = r#"127.0.0.1 - frank [10/Oct/2026:13:25:15 -0700] "GET /a b.gif HTTP/1.0" 404 1534"#;
        for (pattern, expected) in [
            ("[ip, id, user, time, request, status, bytes]", true),
            ("[ip, id, user, time, request, status]", false),
            ("[ip, ..., status = 4*, bytes > 1000]", true),
            ("[ip, ..., status = 5*, bytes]", false),
            ("[ip, id, user, ...]", true),
            ("[..., request = *gif*, status, bytes]", true),
            ("[..., status = 404 || status = 500, bytes]", true),
            ("[..., status != 404 && status != 500, bytes]", false),
            ("[ip, id, user = \"frank\", ...]", true),
        ] {
            assert_eq!(matches(pattern, message), expected, "{pattern}");
        }
    }
}

//! Patterns of policies: text with `*` (any run of characters), `?` (one character) and policy
//! variables such as `${aws:username}`.
//!
//! Source: "IAM policy elements: variables and tags", IAM User Guide. A variable without a value makes
//! the pattern match nothing, unless it names a default (`${aws:username, 'nobody'}`).

use super::PolicyError;
use super::context::{Context, Key};

/// A pattern, read once and matched many times.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Pattern {
    parts: Vec<Part>,
    has_variables: bool,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Part {
    /// `*`.
    Any,
    /// `?`.
    One,
    /// One character that stands for itself.
    Char(char),
    /// `${key}` or `${key, 'default'}`.
    Variable { key: Key, default: Option<String> },
}

/// Whether `*` and `?` are wildcards or stand for themselves.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Wildcards {
    /// They stand for other characters.
    Yes,
    /// They stand for themselves.
    No,
}

impl Pattern {
    /// Reads a pattern. `variables` is false for policies of the version 2008-10-17.
    ///
    /// # Errors
    /// A variable that is not closed, or whose key is not known here.
    pub fn read(text: &str, wildcards: Wildcards, variables: bool) -> Result<Self, PolicyError> {
        let mut parts = Vec::with_capacity(text.len());
        let mut rest = text;
        while let Some(next) = rest.chars().next() {
            if variables && rest.starts_with("${") {
                let end = rest.find('}').ok_or_else(|| {
                    PolicyError::new(format!(
                        "'{text}': the policy variable that begins with '${{' is not closed by '}}'"
                    ))
                })?;
                parts.push(variable(&rest[2..end])?);
                rest = &rest[end + 1..];
                continue;
            }
            parts.push(match (next, wildcards) {
                ('*', Wildcards::Yes) => Part::Any,
                ('?', Wildcards::Yes) => Part::One,
                (other, _) => Part::Char(other),
            });
            rest = &rest[next.len_utf8()..];
        }
        let has_variables = parts.iter().any(|part| matches!(part, Part::Variable { .. }));
        Ok(Self { parts, has_variables })
    }

    /// Does the whole text fit? `fold` ignores the case of ASCII letters.
    pub fn matches(&self, text: &str, fold: bool, context: &Context<'_>) -> bool {
        if !self.has_variables {
            return fits(&self.parts, text, fold);
        }
        self.expanded(context).is_some_and(|parts| fits(&parts, text, fold))
    }

    /// The six parts of an ARN, each as a pattern of its own, as ArnLike compares them.
    pub fn matches_arn(&self, text: &str, context: &Context<'_>) -> bool {
        let Some(parts) = self.expanded(context) else { return false };
        let mut patterns = parts.splitn(6, |part| *part == Part::Char(':'));
        let mut segments = text.splitn(6, ':');
        loop {
            match (patterns.next(), segments.next()) {
                (Some(pattern), Some(segment)) if fits(pattern, segment, false) => {}
                (None, None) => return true,
                _ => return false,
            }
        }
    }

    fn expanded(&self, context: &Context<'_>) -> Option<Vec<Part>> {
        let mut parts = Vec::with_capacity(self.parts.len());
        for part in &self.parts {
            let Part::Variable { key, default } = part else {
                parts.push(part.clone());
                continue;
            };
            let values = context.values(key);
            // A key with several values is no text.
            let value = match values.as_deref() {
                Some([value]) => value.as_ref().to_owned(),
                Some(_) => return None,
                None => default.clone()?,
            };
            parts.extend(value.chars().map(Part::Char));
        }
        Some(parts)
    }
}

fn variable(inside: &str) -> Result<Part, PolicyError> {
    // `${*}`, `${?}` and `${$}` write the characters themselves.
    if let "*" | "?" | "$" = inside {
        return Ok(Part::Char(inside.chars().next().unwrap_or('$')));
    }
    let (name, default) = match inside.split_once(',') {
        None => (inside, None),
        Some((name, default)) => {
            let default = default.trim();
            let text = default.strip_prefix('\'').and_then(|rest| rest.strip_suffix('\''));
            let text = text.ok_or_else(|| {
                PolicyError::new(format!("'${{{inside}}}': a default stands in single quotes"))
            })?;
            (name, Some(text.to_owned()))
        }
    };
    let key = Key::read(name.trim())?;
    if key.has_many_values() {
        return Err(PolicyError::new(format!(
            "'${{{inside}}}': the key has several values and cannot be a variable"
        )));
    }
    Ok(Part::Variable { key, default })
}

/// Greedy matching that returns to the last `*` when it is stuck: at most `pattern x text` steps.
fn fits(pattern: &[Part], text: &str, fold: bool) -> bool {
    let mut at = 0;
    let mut rest = text.chars();
    let mut star: Option<(usize, std::str::Chars<'_>)> = None;
    loop {
        let mut ahead = rest.clone();
        let next = ahead.next();
        match (pattern.get(at), next) {
            (Some(Part::Any), _) => {
                at += 1;
                star = Some((at, rest.clone()));
                continue;
            }
            (Some(Part::One), Some(_)) => {
                at += 1;
                rest = ahead;
                continue;
            }
            (Some(Part::Char(wanted)), Some(found))
                if *wanted == found || (fold && wanted.eq_ignore_ascii_case(&found)) =>
            {
                at += 1;
                rest = ahead;
                continue;
            }
            (None, None) => return true,
            _ => {}
        }
        // Stuck: the last star takes one character more.
        let Some((after, mut taken)) = star else { return false };
        if taken.next().is_none() {
            return false;
        }
        at = after;
        rest = taken.clone();
        star = Some((after, taken));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::policy::context::tests::context;
    use proptest::prelude::*;

    fn read(text: &str) -> Pattern {
        Pattern::read(text, Wildcards::Yes, true).unwrap_or_else(|error| panic!("{error}"))
    }

    /// The definition, written as recursion: the measure for the loop above.
    fn slow(pattern: &[char], text: &[char]) -> bool {
        match (pattern.first(), text.first()) {
            (None, None) => true,
            (Some('*'), _) => slow(&pattern[1..], text) || (!text.is_empty() && slow(pattern, &text[1..])),
            (Some('?'), Some(_)) => slow(&pattern[1..], &text[1..]),
            (Some(a), Some(b)) if a == b => slow(&pattern[1..], &text[1..]),
            _ => false,
        }
    }

    proptest! {
        #[test]
        fn wildcards_mean_what_the_definition_says(pattern in "[ab*?é]{0,9}", text in "[abé]{0,9}") {
            let context = context();
            let expected = slow(
                &pattern.chars().collect::<Vec<_>>(), &text.chars().collect::<Vec<_>>());
            prop_assert_eq!(read(&pattern).matches(&text, false, &context), expected);
        }

        #[test]
        fn any_text_is_read_or_refused(text in ".{0,40}") {
            let _ = Pattern::read(&text, Wildcards::Yes, true);
        }
    }

    #[test]
    fn variables_are_literal_text() {
        let context = context();
        assert!(read("home/${aws:username}/*").matches("home/ali*e/x", false, &context));
        assert!(!read("home/${aws:username}/*").matches("home/alice/x", false, &context));
        assert!(read("${*}${?}${$}x").matches("*?$x", false, &context));
        assert!(read("a${s3:prefix, 'no:ne'}").matches("ano:ne", false, &context));
        assert!(!read("a${s3:prefix}").matches("a", false, &context));
        assert!(Pattern::read("${aws:username", Wildcards::Yes, true).is_err());
        assert!(Pattern::read("${aws:unheardof}", Wildcards::Yes, true).is_err());
        let old = Pattern::read("${aws:username}", Wildcards::Yes, false);
        assert!(old.is_ok_and(|old| old.matches("${aws:username}", false, &context)));
    }

    #[test]
    fn arns_are_compared_part_by_part() {
        let context = context();
        let pattern = read("arn:aws:iam::*:role/a*");
        assert!(pattern.matches_arn("arn:aws:iam::123456789012:role/abc:d", &context));
        assert!(!pattern.matches_arn("arn:aws:iam::1:2:role/abc", &context));
        assert!(!read("arn:*").matches_arn("arn:aws:iam::1:role/a", &context));
    }
}

//! From the text of a script to single statements with their places.
//!
//! Promises: a `;` inside quotes or comments ends nothing; the text of a statement keeps its line numbers, so that a
//! syntax error names the line of the script; `${name}` is filled only with values that cannot change the meaning of
//! the SQL around it: one number or one word outside quotes, no quote or backslash inside.
//!
//! Never: reads more than [`MAX_BYTES`] of script.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::File;
use std::io::Read;
use std::path::{Path, PathBuf};

use crate::failure::PrepareFailure;
use crate::root::Root;

/// The largest script that is read.
const MAX_BYTES: u64 = 4 << 20;

/// The most statements a script may have.
const MAX_STATEMENTS: usize = 10_000;

/// Where the script is looked for, below the root.
const CODE: &str = "processing/input/code";

/// One statement of a script.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Statement {
    /// Its place among the statements, from 1.
    pub number: usize,
    /// The line of the script it starts on, from 1.
    pub line: usize,
    /// Its text, without comments, after as many line ends as stand before it in the script.
    pub text: String,
}

/// A script, ready to run.
#[derive(Debug)]
pub(crate) struct Script {
    /// In the order they run.
    pub statements: Vec<Statement>,
    /// Values that were given but are not named in the script.
    pub unused: Vec<String>,
}

/// Whether a text can be the name of a value.
pub(crate) fn is_value_name(name: &str) -> bool {
    name.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_')
        && name.chars().all(|c| c.is_ascii_alphanumeric() || c == '_')
}

/// The only `.sql` file in the folder for code.
pub(crate) fn find(root: &Root) -> Result<PathBuf, PrepareFailure> {
    let folder = root.folder().join(CODE);
    let shown = root.display(&folder);
    let entries = std::fs::read_dir(&folder).map_err(|error| {
        PrepareFailure::client(format!(
            "no script: {shown} cannot be read ({error}); give the script as the processing input 'code' or with --script"
        ))
    })?;
    let mut found = Vec::new();
    for entry in entries {
        let path = entry.map_err(|error| PrepareFailure::io(format_args!("reading {shown}"), &error))?.path();
        if path.extension().is_some_and(|extension| extension.eq_ignore_ascii_case("sql")) {
            found.push(path);
        }
    }
    match found.as_slice() {
        [path] => root.resolve(&root.display(path)),
        [] => Err(PrepareFailure::client(format!("no script: {shown} holds no .sql file"))),
        several => Err(PrepareFailure::client(format!(
            "{} holds {} .sql files; choose one with --script",
            shown,
            several.len()
        ))),
    }
}

/// Reads a script and fills in the values.
pub(crate) fn load(
    path: &Path,
    root: &Root,
    values: &BTreeMap<String, String>,
) -> Result<Script, PrepareFailure> {
    let shown = root.display(path);
    let mut text = String::new();
    let read = File::open(path).and_then(|file| file.take(MAX_BYTES + 1).read_to_string(&mut text));
    read.map_err(|error| PrepareFailure::io(format_args!("script {shown}"), &error))?;
    if text.len() as u64 > MAX_BYTES {
        return Err(PrepareFailure::client(format!("script {shown} is larger than {MAX_BYTES} bytes")));
    }
    let script = split(&text, values)
        .map_err(|problem| PrepareFailure::client(format!("script {shown}: {problem}")))?;
    if script.statements.is_empty() {
        return Err(PrepareFailure::client(format!("script {shown} has no statement")));
    }
    Ok(script)
}

/// Splits a script into statements. The error is a sentence that names the line.
pub(crate) fn split(text: &str, values: &BTreeMap<String, String>) -> Result<Script, String> {
    let mut splitter = Splitter {
        rest: text.strip_prefix('\u{feff}').unwrap_or(text),
        line: 1,
        text: String::new(),
        begins: None,
        statements: Vec::new(),
        used: BTreeSet::new(),
        values,
    };
    splitter.run()?;
    let unused = values.keys().filter(|name| !splitter.used.contains(*name)).cloned().collect();
    Ok(Script { statements: splitter.statements, unused })
}

struct Splitter<'a> {
    rest: &'a str,
    /// The line `rest` starts on.
    line: usize,
    /// The statement so far.
    text: String,
    /// The line it begins on, once something other than space was seen.
    begins: Option<usize>,
    statements: Vec<Statement>,
    used: BTreeSet<String>,
    values: &'a BTreeMap<String, String>,
}

impl Splitter<'_> {
    fn run(&mut self) -> Result<(), String> {
        while let Some(next) = self.rest.chars().next() {
            if self.rest.starts_with("--") {
                let end = self.rest.find('\n').unwrap_or(self.rest.len());
                self.skip(end);
            } else if self.rest.starts_with("/*") {
                self.block_comment()?;
            } else if self.rest.starts_with("${") {
                self.begins.get_or_insert(self.line);
                self.value(None)?;
            } else if matches!(next, '\'' | '"' | '`') {
                self.begins.get_or_insert(self.line);
                self.quoted(next)?;
            } else if next == ';' {
                self.skip(1);
                self.finish()?;
            } else {
                if !next.is_whitespace() {
                    self.begins.get_or_insert(self.line);
                }
                self.keep(next.len_utf8());
            }
        }
        self.finish()
    }

    /// Drops the first `bytes` of the rest.
    fn skip(&mut self, bytes: usize) {
        let (dropped, rest) = self.rest.split_at(bytes);
        self.line += dropped.matches('\n').count();
        self.rest = rest;
    }

    /// Moves the first `bytes` of the rest to the statement.
    fn keep(&mut self, bytes: usize) {
        self.text.push_str(&self.rest[..bytes]);
        self.skip(bytes);
    }

    fn block_comment(&mut self) -> Result<(), String> {
        let opened = self.line;
        let mut depth = 0_usize;
        loop {
            if self.rest.starts_with("/*") {
                depth += 1;
                self.skip(2);
            } else if self.rest.starts_with("*/") {
                depth -= 1;
                self.skip(2);
                if depth == 0 {
                    self.text.push(' ');
                    return Ok(());
                }
            } else if let Some(next) = self.rest.chars().next() {
                if next == '\n' {
                    self.text.push('\n');
                }
                self.skip(next.len_utf8());
            } else {
                return Err(format!("the comment that opens on line {opened} is not closed"));
            }
        }
    }

    fn quoted(&mut self, quote: char) -> Result<(), String> {
        let opened = self.line;
        self.keep(1);
        loop {
            if self.rest.starts_with("${") {
                self.value(Some(quote))?;
                continue;
            }
            let Some(next) = self.rest.chars().next() else {
                return Err(format!("the {quote} that opens on line {opened} is not closed"));
            };
            self.keep(next.len_utf8());
            if next == quote {
                if !self.rest.starts_with(quote) {
                    return Ok(());
                }
                self.keep(1);
            }
        }
    }

    /// Fills in the `${name}` at the start of the rest.
    fn value(&mut self, quote: Option<char>) -> Result<(), String> {
        let line = self.line;
        let name =
            self.rest.find('}').and_then(|end| self.rest.get(2..end)).filter(|name| is_value_name(name));
        let Some(name) = name else {
            return Err(format!("line {line}: ${{ is not followed by a name and }}"));
        };
        let Some(value) = self.values.get(name) else {
            return Err(format!("line {line}: ${{{name}}} is not defined; give it with --set {name}=VALUE"));
        };
        let (safe, rule) = match quote {
            Some(_) => (
                is_safe_quoted(value),
                "inside quotes a value has no quote, backslash, '$' or control character",
            ),
            None => {
                (is_number(value) || is_value_name(value), "outside quotes a value is one number or one word")
            }
        };
        if !safe {
            return Err(format!("line {line}: the value of ${{{name}}} cannot be used here: {rule}"));
        }
        if quote.is_none() && value.starts_with('-') {
            // "-${x}" must not become the start of a comment.
            self.text.push(' ');
        }
        self.text.push_str(value);
        self.used.insert(name.to_owned());
        let length = name.len() + 3;
        self.skip(length);
        Ok(())
    }

    fn finish(&mut self) -> Result<(), String> {
        let text = std::mem::take(&mut self.text);
        if let Some(line) = self.begins.take() {
            if self.statements.len() >= MAX_STATEMENTS {
                return Err(format!("line {line}: more than {MAX_STATEMENTS} statements"));
            }
            self.statements.push(Statement {
                number: self.statements.len() + 1,
                line,
                text: format!("{}{}", "\n".repeat(line - 1), text.trim()),
            });
        }
        Ok(())
    }
}

fn is_safe_quoted(value: &str) -> bool {
    !value.chars().any(|c| matches!(c, '\'' | '"' | '`' | '\\' | '$') || c.is_control())
}

fn is_number(value: &str) -> bool {
    let digits = value.strip_prefix('-').unwrap_or(value);
    digits.starts_with(|c: char| c.is_ascii_digit())
        && digits.chars().all(|c| c.is_ascii_digit() || matches!(c, '.' | 'e' | 'E' | '+' | '-'))
        && digits.parse::<f64>().is_ok_and(f64::is_finite)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use proptest::prelude::*;

    use super::*;

    fn values(pairs: &[(&str, &str)]) -> BTreeMap<String, String> {
        pairs.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect()
    }

    fn texts(script: &str, pairs: &[(&str, &str)]) -> Vec<(usize, String)> {
        let script = split(script, &values(pairs)).unwrap();
        script.statements.iter().map(|one| (one.line, one.text.trim().to_owned())).collect()
    }

    #[test]
    fn statements_keep_their_lines() {
        let script = "-- first; not a statement\nSELECT 1;\n\n/* a ; /* nested */\n */ SELECT ';--' AS \"a;b\" -- tail\n ;;\n SELECT 'it''s'";
        assert_eq!(
            texts(script, &[]),
            [
                (2, "SELECT 1".to_owned()),
                (5, "SELECT ';--' AS \"a;b\"".to_owned()),
                (7, "SELECT 'it''s'".to_owned())
            ]
        );
        let padded = split(script, &BTreeMap::new()).unwrap().statements[2].text.clone();
        assert_eq!(padded.matches('\n').count(), 6);
    }

    #[test]
    fn values_are_filled_in_where_they_are_safe() {
        let filled = texts(
            "SELECT \"${column}\", ${n}, 1 -${m} FROM t WHERE a = '${text}' -- ${undefined}",
            &[("column", "user id"), ("n", "10"), ("m", "-5"), ("text", "x; -- y")],
        );
        assert_eq!(filled[0].1, "SELECT \"user id\", 10, 1 - -5 FROM t WHERE a = 'x; -- y'");
    }

    #[test]
    fn unsafe_and_missing_values_are_refused_with_their_line() {
        for (script, pairs, part) in [
            ("SELECT\n ${x}", &[][..], "line 2: ${x} is not defined"),
            ("SELECT ${x}", &[("x", "1 OR true")][..], "one number or one word"),
            ("SELECT ${x}", &[("x", "1--")][..], "one number or one word"),
            ("SELECT ${x}", &[("x", "")][..], "one number or one word"),
            ("SELECT '${x}'", &[("x", "a' OR 'b")][..], "no quote"),
            ("SELECT \"${x}\"", &[("x", "a\"b")][..], "no quote"),
            ("SELECT ${x", &[("x", "1")][..], "is not followed by a name"),
            ("SELECT 'a\n", &[][..], "opens on line 1 is not closed"),
            ("\n/* a", &[][..], "opens on line 2 is not closed"),
        ] {
            let problem = split(script, &values(pairs)).unwrap_err();
            assert!(problem.contains(part), "{script}: {problem}");
        }
    }

    #[test]
    fn unused_values_are_reported() {
        let script = split("SELECT ${a}", &values(&[("a", "1"), ("b", "2")])).unwrap();
        assert_eq!(script.unused, ["b"]);
    }

    proptest! {
        #[test]
        fn any_text_splits_or_is_refused(text in "[a-z0-9'\";\\-/*${}\n ]{0,60}") {
            let _ = split(&text, &values(&[("a", "1")]));
        }

        #[test]
        fn a_quoted_value_never_ends_its_quotes(value in "\\PC{0,20}") {
            if let Ok(script) = split("SELECT '${v}', 1", &values(&[("v", &value)])) {
                prop_assert_eq!(script.statements.len(), 1);
                prop_assert_eq!(script.statements[0].text.matches('\'').count(), 2);
            }
        }

        #[test]
        fn a_bare_value_stays_one_word(value in "\\PC{0,12}") {
            if let Ok(script) = split("SELECT ${v};", &values(&[("v", &value)])) {
                prop_assert_eq!(script.statements[0].text.split_whitespace().count(), 2);
            }
        }
    }
}

//! The words after the program's name.
//!
//! Promises: an unknown or incomplete argument is refused with its name, never ignored.

use std::collections::BTreeMap;

use crate::failure::PrepareFailure;
use crate::memory;

/// The most values `--set` may define in one run.
const MAX_VALUES: usize = 256;

/// The most threads a run may ask for.
const MAX_THREADS: usize = 1024;

/// What one run was asked to do.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Arguments {
    /// The script as the user names it; `None` means the only one under `processing/input/code`.
    pub script: Option<String>,
    /// Values for `${name}` in the script.
    pub values: BTreeMap<String, String>,
    /// Bytes for tables and queries; `None` means half of what is free.
    pub memory_limit: Option<u64>,
    /// Threads for queries; `None` means the processors this process may use.
    pub threads: Option<usize>,
}

impl Arguments {
    /// Reads `--name value` and `--name=value`.
    pub(crate) fn parse(words: &[String]) -> Result<Self, PrepareFailure> {
        let mut parsed = Self::default();
        let mut words = words.iter();
        while let Some(word) = words.next() {
            let (name, value) = match word.split_once('=') {
                Some((name, value)) if name.starts_with("--") => (name, Some(value.to_owned())),
                _ => (word.as_str(), None),
            };
            if !matches!(name, "--script" | "--set" | "--memory-limit" | "--threads") {
                return Err(PrepareFailure::client(format!(
                    "unknown argument {word:?}; known are --script PATH, --set NAME=VALUE, --memory-limit SIZE and --threads N"
                )));
            }
            let value = match value.or_else(|| words.next().cloned()) {
                Some(value) => value,
                None => return Err(PrepareFailure::client(format!("{name} needs a value"))),
            };
            parsed.take(name, value)?;
        }
        Ok(parsed)
    }

    fn take(&mut self, name: &str, value: String) -> Result<(), PrepareFailure> {
        let repeated = match name {
            "--script" => self.script.replace(value).is_some(),
            "--memory-limit" => self.memory_limit.replace(memory::parse_size(&value)?).is_some(),
            "--threads" => {
                let threads = value.parse().ok().filter(|threads| (1..=MAX_THREADS).contains(threads));
                let Some(threads) = threads else {
                    return Err(PrepareFailure::client(format!(
                        "--threads {value:?} is not a number from 1 to {MAX_THREADS}"
                    )));
                };
                self.threads.replace(threads).is_some()
            }
            _ => return self.take_value(&value),
        };
        if repeated {
            return Err(PrepareFailure::client(format!("{name} is given twice")));
        }
        Ok(())
    }

    fn take_value(&mut self, definition: &str) -> Result<(), PrepareFailure> {
        let Some((name, value)) = definition.split_once('=') else {
            return Err(PrepareFailure::client(format!(
                "--set {definition:?} is not of the form NAME=VALUE"
            )));
        };
        if !crate::script::is_value_name(name) {
            return Err(PrepareFailure::client(format!(
                "--set {name:?}: a name starts with a letter or _ and goes on with letters, digits and _"
            )));
        }
        if self.values.len() >= MAX_VALUES {
            return Err(PrepareFailure::client(format!("more than {MAX_VALUES} values are set")));
        }
        if self.values.insert(name.to_owned(), value.to_owned()).is_some() {
            return Err(PrepareFailure::client(format!("--set {name} is given twice")));
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    fn parse(words: &[&str]) -> Result<Arguments, PrepareFailure> {
        Arguments::parse(&words.iter().map(|word| (*word).to_owned()).collect::<Vec<_>>())
    }

    #[test]
    fn both_spellings_are_read() {
        let parsed = parse(&[
            "--script",
            "/opt/ml/a.sql",
            "--set",
            "a=1",
            "--set=b=x=y",
            "--memory-limit=2G",
            "--threads",
            "3",
        ])
        .unwrap();
        assert_eq!(parsed.script.as_deref(), Some("/opt/ml/a.sql"));
        assert_eq!(parsed.values["a"], "1");
        assert_eq!(parsed.values["b"], "x=y");
        assert_eq!(parsed.memory_limit, Some(2 << 30));
        assert_eq!(parsed.threads, Some(3));
    }

    #[test]
    fn what_is_wrong_is_named() {
        for (words, part) in [
            (&["--scrpt", "x"][..], "--scrpt"),
            (&["--set"][..], "--set needs a value"),
            (&["--set", "a"][..], "NAME=VALUE"),
            (&["--set", "1a=2"][..], "starts with a letter"),
            (&["--set", "a=1", "--set", "a=2"][..], "given twice"),
            (&["--script", "a", "--script", "b"][..], "given twice"),
            (&["--threads", "0"][..], "from 1 to"),
            (&["--memory-limit", "much"][..], "much"),
        ] {
            let failure = parse(words).unwrap_err();
            assert!(failure.message.contains(part), "{words:?}: {}", failure.message);
        }
    }
}

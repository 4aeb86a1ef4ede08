//! What a program said last on its standard error, which is passed on as it comes.

use std::collections::VecDeque;
use std::io::{BufRead, BufReader, Read, Write};

/// Lines that are remembered: a traceback with its causes.
const LINES: usize = 100;
/// Bytes of one piece of a line.
const PIECE: u64 = 16 << 10;
/// Characters of the message: the FailureReason has 1024 for it, the exit code and the command.
const MESSAGE: usize = 700;

/// The last lines.
#[derive(Debug, Default)]
pub struct LastWords(VecDeque<String>);

/// Passes everything on and remembers the end of it.
pub fn relay(errors: impl Read, mut to: impl Write) -> LastWords {
    let mut words = LastWords::default();
    let mut errors = BufReader::new(errors);
    let mut piece = Vec::new();
    while errors.by_ref().take(PIECE).read_until(b'\n', &mut piece).is_ok_and(|read| read > 0) {
        // Nobody to tell when the log is gone.
        let _ = to.write_all(&piece);
        words.hear(&String::from_utf8_lossy(&piece));
        piece.clear();
    }
    words
}

impl LastWords {
    fn hear(&mut self, line: &str) {
        if self.0.len() == LINES {
            self.0.pop_front();
        }
        self.0.push_back(line.trim_end().to_owned());
    }

    /// The exception of the last Python traceback with what follows it, or the last lines.
    pub fn message(&self) -> String {
        let lines: Vec<&str> =
            self.0.iter().map(String::as_str).filter(|line| !line.trim().is_empty()).collect();
        let traceback = lines.iter().rposition(|line| line.starts_with("Traceback (most recent call last)"));
        let exception = traceback.and_then(|start| {
            // The frames are indented; the exception is the first line that is not.
            let after = lines[start + 1..].iter().position(|line| !line.starts_with(' '))?;
            Some(start + 1 + after)
        });
        let from = exception.unwrap_or(lines.len().saturating_sub(5));
        lines[from..].join("\n").chars().take(MESSAGE).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn said(text: &str) -> String {
        let mut passed_on = Vec::new();
        let words = relay(text.as_bytes(), &mut passed_on);
        assert_eq!(passed_on, text.as_bytes());
        words.message()
    }

    #[test]
    fn the_exception_of_the_last_traceback_is_the_message() {
        let text = "warning\nTraceback (most recent call last):\n  File \"a.py\", line 1, in <module>\n    f()\nKeyError: 'x'\n\n\
                    During handling of the above exception, another exception occurred:\n\n\
                    Traceback (most recent call last):\n  File \"a.py\", line 3\n    g()\nValueError: two\nlines\n";
        assert_eq!(said(text), "ValueError: two\nlines");
    }

    #[test]
    fn without_a_traceback_the_last_lines_are() {
        assert_eq!(said("1\n2\n3\n4\n5\n6\n\n"), "2\n3\n4\n5\n6");
        assert_eq!(said(""), "");
        assert!(said(&"x".repeat(100_000)).len() <= MESSAGE);
    }
}

//! What the quickstart prints: headings, aligned tables, numbers, bars, and live progress where there is a terminal.
//!
//! Promises: nothing is wider than 100 columns unless a title from the data is; without a terminal there are no
//! control characters. Never fails because nobody reads: a closed pipe does not end the run.

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use std::io::{IsTerminal, Write};
use std::time::Duration;

/// The width of a heading's rule.
const WIDTH: usize = 88;
const EIGHTHS: [char; 8] = [' ', '▏', '▎', '▍', '▌', '▋', '▊', '▉'];

/// Standard output and what it can show.
#[derive(Debug, Clone, Copy)]
pub(super) struct Screen {
    terminal: bool,
    colour: bool,
}

impl Screen {
    /// Looks at standard output and at `NO_COLOR`.
    pub(super) fn of_this_process() -> Self {
        let terminal = std::io::stdout().is_terminal();
        Self { terminal, colour: terminal && std::env::var_os("NO_COLOR").is_none() }
    }

    /// Whether progress can be shown live.
    pub(super) fn is_terminal(self) -> bool {
        self.terminal
    }

    /// Begins a step: a blank line, its number and title, a rule.
    pub(super) fn heading(self, number: usize, title: &str) {
        let plain = format!("{number}  {title} ");
        let rule = "─".repeat(WIDTH.saturating_sub(plain.chars().count()));
        self.line("");
        self.line(&format!("{} {}", self.bold(plain.trim_end()), self.dim(&rule)));
    }

    /// One line as it stands.
    pub(super) fn line(self, text: &str) {
        let mut out = std::io::stdout().lock();
        // A reader that went away must not end a run that has work to finish.
        let _ = writeln!(out, "{text}").and_then(|()| out.flush());
    }

    /// A line in the background colour of notes.
    pub(super) fn note(self, text: &str) {
        self.line(&format!("   {}", self.dim(text)));
    }

    /// A table with its header.
    pub(super) fn table(self, table: &Table) {
        for (index, row) in table.rendered().iter().enumerate() {
            let row = format!("   {row}");
            self.line(&if index == 0 { self.dim(&row) } else { row });
        }
    }

    /// Text that stands out.
    pub(super) fn bold(self, text: &str) -> String {
        self.styled("1", text)
    }

    /// Text that steps back.
    pub(super) fn dim(self, text: &str) -> String {
        self.styled("2", text)
    }

    fn styled(self, code: &str, text: &str) -> String {
        if self.colour { format!("\u{1b}[{code}m{text}\u{1b}[0m") } else { text.to_owned() }
    }

    /// A progress bar of `total` units; hidden without a terminal. `template` is indicatif's.
    pub(super) fn bar(self, total: u64, template: &str) -> ProgressBar {
        let bar = ProgressBar::with_draw_target(Some(total), self.target());
        if let Ok(style) = ProgressStyle::with_template(template) {
            bar.set_style(style.progress_chars("━━╌"));
        }
        bar
    }

    /// A line that moves while something of unknown length goes on; hidden without a terminal.
    pub(super) fn spinner(self, message: &str) -> ProgressBar {
        let spinner = ProgressBar::with_draw_target(None, self.target());
        if let Ok(style) = ProgressStyle::with_template("   {spinner} {wide_msg}") {
            spinner.set_style(style);
        }
        spinner.set_message(message.to_owned());
        if self.terminal {
            spinner.enable_steady_tick(Duration::from_millis(100));
        }
        spinner
    }

    fn target(self) -> ProgressDrawTarget {
        if self.terminal { ProgressDrawTarget::stdout() } else { ProgressDrawTarget::hidden() }
    }
}

/// Rows of text in columns: those whose header begins with `>` are flush right.
pub(super) struct Table {
    rows: Vec<Vec<String>>,
    right: Vec<bool>,
}

impl Table {
    /// A table with this header.
    pub(super) fn new(header: &[&str]) -> Self {
        let right = header.iter().map(|name| name.starts_with('>')).collect();
        let names = header.iter().map(|name| name.trim_start_matches('>').to_owned()).collect();
        Self { rows: vec![names], right }
    }

    /// Adds a row; missing cells are empty, cells beyond the header are left out.
    pub(super) fn row(&mut self, cells: Vec<String>) {
        self.rows.push(cells);
    }

    /// The lines, header first, without a margin.
    pub(super) fn rendered(&self) -> Vec<String> {
        let width = |column: usize| {
            self.rows.iter().filter_map(|row| row.get(column)).map(|cell| cell.chars().count()).max()
        };
        let widths: Vec<usize> = (0..self.right.len()).map(|column| width(column).unwrap_or(0)).collect();
        self.rows
            .iter()
            .map(|row| {
                let mut line = String::new();
                for (column, width) in widths.iter().enumerate() {
                    let cell = row.get(column).map_or("", String::as_str);
                    let pad = " ".repeat(width - cell.chars().count());
                    if column > 0 {
                        line.push_str("   ");
                    }
                    if self.right[column] {
                        line.push_str(&pad);
                        line.push_str(cell);
                    } else {
                        line.push_str(cell);
                        line.push_str(&pad);
                    }
                }
                line.trim_end().to_owned()
            })
            .collect()
    }
}

/// A bar of at most `width` characters, in steps of an eighth, for `fraction` between 0 and 1.
pub(super) fn bar_of(fraction: f64, width: usize) -> String {
    let eighths = (fraction.clamp(0.0, 1.0) * width as f64 * 8.0).round() as usize;
    let mut bar = "█".repeat(eighths / 8);
    if !eighths.is_multiple_of(8) {
        bar.push(EIGHTHS[eighths % 8]);
    }
    bar
}

/// `1234567` as `1,234,567`.
pub(super) fn thousands(number: u64) -> String {
    let digits = number.to_string();
    let mut text = String::with_capacity(digits.len() + digits.len() / 3);
    for (index, digit) in digits.chars().enumerate() {
        if index > 0 && (digits.len() - index).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

/// A rate or another non-negative quantity, rounded, with thousands separated.
pub(super) fn rounded(number: f64) -> String {
    thousands(number.max(0.0).round() as u64)
}

/// Seconds as a reader says them: `12 ms`, `1.93 s`, `94.0 s`, `12 min 05 s`.
pub(super) fn spoken(seconds: f64) -> String {
    if seconds < 0.9995 {
        format!("{:.0} ms", seconds * 1e3)
    } else if seconds < 9.995 {
        format!("{seconds:.2} s")
    } else if seconds < 119.95 {
        format!("{seconds:.1} s")
    } else {
        let whole = seconds.round() as u64;
        format!("{} min {:02} s", whole / 60, whole % 60)
    }
}

/// Bytes in units of a thousand: `384 MB`.
pub(super) fn size(bytes: u64) -> String {
    if bytes < 1_000_000 {
        format!("{:.1} kB", bytes as f64 / 1e3)
    } else if bytes < 10_000_000 {
        format!("{:.1} MB", bytes as f64 / 1e6)
    } else if bytes < 10_000_000_000 {
        format!("{:.0} MB", bytes as f64 / 1e6)
    } else {
        format!("{:.1} GB", bytes as f64 / 1e9)
    }
}

/// At most `width` characters of `text`, with an ellipsis where some were left out.
pub(super) fn shortened(text: &str, width: usize) -> String {
    if text.chars().count() <= width {
        return text.to_owned();
    }
    let kept: String = text.chars().take(width.saturating_sub(1)).collect();
    format!("{}…", kept.trim_end())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_line_up() {
        let mut table = Table::new(&["step", ">ratings"]);
        table.row(vec!["input".into(), "5,976,479".into()]);
        table.row(vec!["users kept".into(), "12".into()]);
        table.row(vec!["nothing".into()]);
        assert_eq!(
            table.rendered(),
            ["step           ratings", "input        5,976,479", "users kept          12", "nothing"]
        );
    }

    #[test]
    fn numbers_are_spoken_plainly() {
        assert_eq!(thousands(0), "0");
        assert_eq!(thousands(999), "999");
        assert_eq!(thousands(1_234_567), "1,234,567");
        assert_eq!(rounded(1_999.6), "2,000");
        assert_eq!(rounded(f64::NAN), "0");
        assert_eq!(spoken(0.0123), "12 ms");
        assert_eq!(spoken(0.9999), "1.00 s");
        assert_eq!(spoken(5_752.0), "95 min 52 s");
        assert_eq!(size(384_400_000), "384 MB");
        assert_eq!(shortened("The Hunger Games", 10), "The Hunge…");
    }

    #[test]
    fn bars_grow_by_eighths() {
        assert_eq!(bar_of(0.0, 4), "");
        assert_eq!(bar_of(1.0, 4), "████");
        assert_eq!(bar_of(0.5 + 1.0 / 32.0, 4), "██▏");
        assert_eq!(bar_of(7.0, 2), "██");
    }
}

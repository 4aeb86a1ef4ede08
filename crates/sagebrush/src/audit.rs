//! `sagebrush audit`: who did what, from the audit log of a data folder.

use std::io::{self, Write as _};
use std::path::PathBuf;

use anyhow::{Context, bail};
use sagebrush_access::audit::{Entry, Filter, read};
use sagebrush_env::Clock;
use time::format_description::well_known::Rfc3339;
use time::{Duration, OffsetDateTime};

/// Options of `sagebrush audit`.
#[derive(clap::Args)]
#[command(
    after_help = "Every request that was let in or refused has a line, oldest first, for as long as the log's 256 MiB reach.

Examples:
  sagebrush audit --since 1h
  sagebrush audit --denied
  sagebrush audit --key AKIAEXAMPLE --operation s3:PutObject
  sagebrush audit --since 2026-11-24T08:00:00Z --format json | jq .resource"
)]
pub struct AuditArgs {
    /// The server's data folder.
    #[arg(long, default_value = "sagebrush-data", env = "SAGEBRUSH_DATA_DIR")]
    data_dir: PathBuf,
    /// Only what is younger: an age such as 30m, 12h or 7d, or a time such as 2026-11-24T08:00:00Z.
    #[arg(long, value_parser = since)]
    since: Option<OffsetDateTime>,
    /// Only of this access key id.
    #[arg(long)]
    key: Option<String>,
    /// Only this operation: CreateModel or sagemaker:CreateModel.
    #[arg(long)]
    operation: Option<String>,
    /// Only what was refused for who asked.
    #[arg(long)]
    denied: bool,
    /// How lines are printed: a table, or as they are.
    #[arg(long, value_enum, default_value_t = Format::Table)]
    format: Format,
}

#[derive(Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
enum Format {
    Table,
    Json,
}

fn since(text: &str) -> Result<OffsetDateTime, String> {
    if let Ok(time) = OffsetDateTime::parse(text, &Rfc3339) {
        return Ok(time);
    }
    let age = text.char_indices().last().and_then(|(at, unit)| {
        let seconds = match unit {
            's' => 1,
            'm' => 60,
            'h' => 3600,
            'd' => 86_400,
            _ => return None,
        };
        text[..at].parse::<i64>().ok()?.checked_mul(seconds)
    });
    age.filter(|age| *age >= 0)
        .and_then(|age| Clock::system().now().checked_sub(Duration::seconds(age)))
        .ok_or_else(|| {
            "write an age such as 30m, 12h or 7d, or a time such as 2026-11-24T08:00:00Z".to_owned()
        })
}

/// Prints the lines that are wanted.
pub fn run(args: AuditArgs) -> anyhow::Result<()> {
    if !args.data_dir.join("audit").is_dir() {
        bail!("{} has no audit log: name a data folder with --data-dir", args.data_dir.display());
    }
    let filter = Filter { since: args.since, key: args.key, operation: args.operation, denied: args.denied };
    let mut out = io::BufWriter::new(io::stdout().lock());
    let told = print(&args.data_dir, &filter, args.format, &mut out).and_then(|()| out.flush());
    match told {
        // Whoever reads has seen enough.
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Ok(()),
        other => other.context("the audit log cannot be read"),
    }
}

fn print(
    root: &std::path::Path,
    filter: &Filter,
    format: Format,
    out: &mut impl io::Write,
) -> io::Result<()> {
    if format == Format::Table {
        writeln!(
            out,
            "{:<24} {:<21} {:<34} {:<6} {:<28} RESOURCE",
            "TIME", "ACCESS KEY", "OPERATION", "STATUS", "ERROR"
        )?;
    }
    read(root, filter, |entry| match format {
        Format::Json => {
            serde_json::to_writer(&mut *out, &entry)?;
            out.write_all(b"\n")
        }
        Format::Table => row(&entry, out),
    })
}

fn row(entry: &Entry, out: &mut impl io::Write) -> io::Result<()> {
    let time: String = entry.time.chars().take(23).collect();
    if entry.lost > 0 {
        return writeln!(
            out,
            "{time:<24} ({} lines are missing: more requests came than could be written)",
            entry.lost
        );
    }
    let operation = match entry.operation.as_str() {
        "" => format!("{}:?", entry.service),
        name => format!("{}:{name}", entry.service),
    };
    // What clients sent must not steer a terminal.
    let plain = |text: &str| text.chars().map(|c| if c.is_control() { '?' } else { c }).collect::<String>();
    writeln!(
        out,
        "{time:<24} {:<21} {operation:<34} {:<6} {:<28} {}",
        plain(&entry.access_key_id),
        entry.status,
        entry.error,
        plain(&entry.resource)
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ages_and_times_are_read() {
        let now = Clock::system().now();
        let age = |text: &str| since(text).map(|at| (now - at).whole_minutes());
        assert!(age("90m").is_ok_and(|minutes| (89..=91).contains(&minutes)));
        assert!(age("2d").is_ok_and(|minutes| (2879..=2881).contains(&minutes)));
        assert!(since("2026-11-24T08:00:00Z").is_ok());
        for wrong in ["", "h", "3", "-1h", "yesterday", "99999999999999999d", "1\u{e9}"] {
            assert!(since(wrong).is_err(), "{wrong}");
        }
    }
}

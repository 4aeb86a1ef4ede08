//! Which ratings the quickstart works on: the user's files, the real data set, or generated data.
//!
//! Promises: a file that is missing or lacks a column is named, with the columns it has, before a server starts.
//! Never reads more of a file than its header.

use super::QuickstartArgs;
use super::download;
use super::screen::{Screen, size, spoken, thousands};
use crate::sample_data::{self, GoodbooksShape};
use anyhow::{Context, bail};
use std::fs::File;
use std::io::{BufRead, BufReader, Read};
use std::path::{Path, PathBuf};
use std::time::Instant;

/// A header is one line of this many bytes at most.
const HEADER_LIMIT: u64 = 64 * 1024;
/// The chapter's thresholds.
const MIN_USER_RATINGS: u32 = 130;
const MIN_BOOK_RATINGS: u32 = 1_200;

/// How the ratings file names its columns.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Columns {
    /// Who rated.
    pub user: String,
    /// What was rated.
    pub item: String,
    /// How well.
    pub rating: String,
}

impl Default for Columns {
    fn default() -> Self {
        Self { user: "user_id".to_owned(), item: "book_id".to_owned(), rating: "rating".to_owned() }
    }
}

impl std::str::FromStr for Columns {
    type Err = String;

    /// Reads `user=NAME,item=NAME,rating=NAME`; what is left out keeps its usual name.
    fn from_str(text: &str) -> Result<Self, String> {
        let mut columns = Self::default();
        for pair in text.split(',') {
            let (role, name) = pair
                .split_once('=')
                .ok_or_else(|| format!("{pair:?} is not of the form user=NAME, item=NAME or rating=NAME"))?;
            let name = name.trim();
            if name.is_empty() {
                return Err(format!("the column name after {role}= is empty"));
            }
            let target = match role.trim() {
                "user" => &mut columns.user,
                "item" | "book" => &mut columns.item,
                "rating" => &mut columns.rating,
                other => {
                    return Err(format!("{other:?} is not a role; the roles are user, item and rating"));
                }
            };
            name.clone_into(target);
        }
        Ok(columns)
    }
}

/// What goes into the workflow.
pub(super) struct Input {
    /// Where the data came from, for the reader.
    pub source: String,
    /// CSV with a header.
    pub ratings: PathBuf,
    /// CSV with at least `book_id` and `title`; without it books go by their id.
    pub books: Option<PathBuf>,
    /// The names in the ratings file.
    pub columns: Columns,
    /// A user with fewer ratings is left out.
    pub min_user_ratings: u32,
    /// A book with fewer ratings is left out.
    pub min_book_ratings: u32,
}

impl Input {
    /// Finds, fetches or generates the data; what is generated goes into `scratch`.
    pub(super) async fn resolve(
        args: &QuickstartArgs,
        scratch: &Path,
        screen: Screen,
    ) -> anyhow::Result<Self> {
        let mut input = if let Some(ratings) = &args.ratings {
            Self {
                source: ratings.display().to_string(),
                ratings: ratings.clone(),
                books: args.books.clone(),
                columns: args.columns.clone().unwrap_or_default(),
                min_user_ratings: MIN_USER_RATINGS,
                min_book_ratings: MIN_BOOK_RATINGS,
            }
        } else if args.download {
            let files = download::goodbooks(&args.download_dir, screen).await?;
            Self {
                source: "goodbooks-10k v1.0, downloaded".to_owned(),
                ratings: files.ratings,
                books: Some(files.books),
                columns: Columns::default(),
                min_user_ratings: MIN_USER_RATINGS,
                min_book_ratings: MIN_BOOK_RATINGS,
            }
        } else {
            generate(args.sample, scratch, screen).await?
        };
        if let Some(least) = args.min_user_ratings {
            input.min_user_ratings = least;
        }
        if let Some(least) = args.min_book_ratings {
            input.min_book_ratings = least;
        }
        let columns = &input.columns;
        require_columns(
            &input.ratings,
            &[&columns.user, &columns.item, &columns.rating],
            "name them with --columns user=NAME,item=NAME,rating=NAME",
        )?;
        if let Some(books) = &input.books {
            require_columns(books, &["book_id", "title"], "a books file needs book_id and title")?;
        }
        Ok(input)
    }
}

async fn generate(sample: bool, scratch: &Path, screen: Screen) -> anyhow::Result<Input> {
    let shape = if sample { GoodbooksShape::sample() } else { GoodbooksShape::full() };
    let (min_user_ratings, min_book_ratings) = (shape.min_user_ratings, shape.min_book_ratings);
    let (users, titles) = (shape.users as u64, shape.books as u64);
    let (ratings, books) = (scratch.join("ratings.csv"), scratch.join("books.csv"));
    let bar = screen.bar(0, "   generate {wide_bar} {human_pos} of {human_len} ratings");
    let progress = bar.clone();
    let began = Instant::now();
    let (to_ratings, to_books) = (ratings.clone(), books.clone());
    let generated = tokio::task::spawn_blocking(move || {
        sample_data::write(&shape, &to_ratings, &to_books, &mut |written, total| {
            progress.set_length(total);
            progress.set_position(written);
        })
    })
    .await?
    .context("the data cannot be generated")?;
    bar.finish_and_clear();
    screen.line(&format!(
        "   generated {} ratings of {} books by {} users: {} in {}",
        thousands(generated.ratings),
        thousands(titles),
        thousands(users),
        size(generated.ratings_bytes),
        spoken(began.elapsed().as_secs_f64()),
    ));
    Ok(Input {
        source: format!("generated in the shape of goodbooks-10k{}", if sample { ", small" } else { "" }),
        ratings,
        books: Some(books),
        columns: Columns::default(),
        min_user_ratings,
        min_book_ratings,
    })
}

/// Refuses a CSV file whose header lacks one of `wanted`, and says what it has.
fn require_columns(file: &Path, wanted: &[&str], advice: &str) -> anyhow::Result<()> {
    let opened = File::open(file).with_context(|| format!("{} cannot be read", file.display()))?;
    let mut line = Vec::new();
    BufReader::new(opened.take(HEADER_LIMIT))
        .read_until(b'\n', &mut line)
        .with_context(|| format!("{} cannot be read", file.display()))?;
    let found = header_names(&line)
        .with_context(|| format!("{} does not begin with a CSV header", file.display()))?;
    let missing: Vec<&str> =
        wanted.iter().copied().filter(|name| !found.iter().any(|one| one == name)).collect();
    if !missing.is_empty() {
        bail!(
            "{} lacks the column{} {}; it has {} ({advice})",
            file.display(),
            if missing.len() == 1 { "" } else { "s" },
            missing.join(", "),
            found.join(", "),
        );
    }
    Ok(())
}

/// The names in a CSV header: commas separate, quotes may enclose, a doubled quote stands for one (RFC 4180).
fn header_names(line: &[u8]) -> anyhow::Result<Vec<String>> {
    let text = std::str::from_utf8(line).context("the first line is not UTF-8 text")?;
    let text = text.trim_start_matches('\u{feff}').trim_end_matches(['\n', '\r']);
    if text.trim().is_empty() {
        bail!("the first line is empty");
    }
    let mut names = Vec::new();
    let mut name = String::new();
    let mut quoted = false;
    let mut characters = text.chars().peekable();
    while let Some(character) = characters.next() {
        match character {
            '"' if quoted && characters.peek() == Some(&'"') => {
                characters.next();
                name.push('"');
            }
            '"' => quoted = !quoted,
            ',' if !quoted => names.push(std::mem::take(&mut name)),
            other => name.push(other),
        }
    }
    if quoted {
        bail!("the first line ends inside quotes");
    }
    names.push(name);
    Ok(names)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn headers_are_read_as_rfc_4180_has_them() {
        let names = |line: &str| header_names(line.as_bytes()).expect("a header");
        assert_eq!(names("user_id,book_id,rating\r\n"), ["user_id", "book_id", "rating"]);
        assert_eq!(names("\u{feff}\"a,b\",\"say \"\"hi\"\"\",c"), ["a,b", "say \"hi\"", "c"]);
        assert!(header_names(b"\n").is_err());
        assert!(header_names(b"\"a,b\n").is_err());
        assert!(header_names(&[0xff, 0xfe, b'\n']).is_err());
    }

    #[test]
    fn a_missing_column_is_named_beside_those_there_are() {
        let folder = tempfile::tempdir().expect("a folder");
        let file = folder.path().join("ratings.csv");
        std::fs::write(&file, "user,book_id,stars\n1,2,3\n").expect("written");
        let error = require_columns(&file, &["user_id", "book_id", "rating"], "see --columns")
            .expect_err("two are missing")
            .to_string();
        assert!(error.contains("lacks the columns user_id, rating; it has user, book_id, stars"), "{error}");
        require_columns(&file, &["stars", "user"], "").expect("both are there");
        let error =
            require_columns(&folder.path().join("none.csv"), &[], "").expect_err("no file").to_string();
        assert!(error.contains("none.csv"), "{error}");
    }

    #[test]
    fn columns_keep_their_usual_names_unless_told() {
        let columns: Columns = "user=user_ind,item=book_ind".parse().expect("well-formed");
        assert_eq!(columns.user, "user_ind");
        assert_eq!(columns.rating, "rating");
        for bad in ["user", "who=x", "user="] {
            assert!(bad.parse::<Columns>().is_err(), "{bad}");
        }
    }
}

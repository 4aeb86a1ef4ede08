//! Made-up ratings for trying the whole workflow without downloading anything: users, books and stars in the shape
//! of a large public set of book ratings.
//!
//! Promises: the counts of the shape are met exactly, no user rates a book twice, the stars have the wanted shares,
//! and the same shape gives the same bytes on every machine. The stars follow a factor model with known noise, so
//! that a model that learns tastes beats one that only knows averages, and none can be perfect.
//!
//! Never: real people, real books, or more memory than about 300 MB for the full shape.

mod counts;
mod random;
mod readers;
mod tastes;
mod titles;

use std::fs::File;
use std::io::{self, BufWriter, Write};
use std::path::Path;

use self::counts::Curve;
use self::random::Random;
use self::readers::Readers;
use self::tastes::Tastes;

/// Rows between two calls of the progress function.
const REPORT_EVERY: usize = 1 << 16;

/// The most users and books a shape may have, from the width of the packed records.
const MOST_USERS: usize = 1 << 24;
const MOST_BOOKS: usize = 1 << 16;

/// Purposes of random numbers, so that no two parts share them.
#[derive(Clone, Copy)]
enum Purpose {
    Deal = 1,
    Lean,
    Draw,
    Rate,
    Users,
    Books,
    Titles,
    Order,
}

/// What to make.
#[derive(Clone, Debug)]
pub struct GoodbooksShape {
    /// Users, each with at least one rating.
    pub users: usize,
    /// Books, each with at least one rating.
    pub books: usize,
    /// Ratings in all.
    pub ratings: u64,
    /// The seed; another seed gives other people with the same counts.
    pub seed: u64,
    /// Recommended: keep users with at least this many ratings.
    pub min_user_ratings: u32,
    /// Recommended: keep books with at least this many ratings.
    pub min_book_ratings: u32,
    /// How many ratings the recommended thresholds keep. Users with many ratings are made to prefer popular books
    /// until this is met.
    pub kept_ratings: u64,
    /// Relative frequencies of 1 to 5 stars.
    pub stars: [u32; 5],
    user_curve: Curve,
    book_curve: Curve,
}

/// The shares of 1 to 5 stars in the public set.
const STARS: [u32; 5] = [124_195, 359_257, 1_370_916, 2_139_018, 1_983_093];

impl GoodbooksShape {
    /// The public set's own size: 5,976,479 ratings of 10,000 books by 53,424 users. Users with at least 130 ratings:
    /// 12,347; books with at least 1,200: 985; ratings that both keep: 1,051,299.
    #[must_use]
    pub fn full() -> Self {
        Self {
            users: 53_424,
            books: 10_000,
            ratings: 5_976_479,
            seed: 20_190_823,
            min_user_ratings: 130,
            min_book_ratings: 1_200,
            kept_ratings: 1_051_299,
            stars: STARS,
            user_curve: Curve {
                points: &[
                    (0.0, 19.0),
                    (0.25, 96.0),
                    (0.5, 112.0),
                    (0.75, 128.0),
                    (0.768_89, 129.5),
                    (0.9, 148.0),
                    (0.95, 162.0),
                    (1.0, 200.0),
                ],
                free: 0,
            },
            book_curve: Curve {
                points: &[
                    (0.0, 8.0),
                    (0.25, 156.0),
                    (0.5, 254.0),
                    (0.75, 547.0),
                    (0.901_54, 1_199.5),
                    (0.95, 2_587.0),
                    (1.0, 22_806.0),
                ],
                free: 5,
            },
        }
    }

    /// A small set of the same form, which is prepared, trained on and served in about a minute: as many ratings for a
    /// user as in the full one, but a tenth of the ratings for a book.
    #[must_use]
    pub fn sample() -> Self {
        Self {
            users: 2_400,
            books: 2_000,
            ratings: 268_800,
            min_user_ratings: 130,
            min_book_ratings: 300,
            kept_ratings: 50_000,
            book_curve: Curve {
                points: &[
                    (0.0, 2.0),
                    (0.25, 30.0),
                    (0.5, 60.0),
                    (0.75, 150.0),
                    (0.875, 300.0),
                    (0.95, 500.0),
                    (1.0, 1_050.0),
                ],
                free: 5,
            },
            ..Self::full()
        }
    }
}

/// What was made.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Generated {
    /// Rows in the file of ratings.
    pub ratings: u64,
    /// Bytes in the file of ratings.
    pub ratings_bytes: u64,
    /// Bytes in the file of books.
    pub books_bytes: u64,
    /// Users with at least the recommended number of ratings.
    pub kept_users: usize,
    /// Books with at least the recommended number of ratings.
    pub kept_books: usize,
    /// Ratings of those users for those books.
    pub kept_ratings: u64,
}

/// Writes `user_id,book_id,rating` and `book_id,title`. `progress` is called now and then with the ratings written so
/// far and in all. Existing files are replaced.
///
/// # Errors
///
/// Those of the file system, and `InvalidInput` for a shape that cannot be met.
pub fn write(
    shape: &GoodbooksShape,
    ratings_csv: &Path,
    books_csv: &Path,
    progress: &mut dyn FnMut(u64, u64),
) -> io::Result<Generated> {
    if shape.users > MOST_USERS || shape.books > MOST_BOOKS || shape.ratings > u64::from(u32::MAX) {
        return Err(io::Error::new(io::ErrorKind::InvalidInput, "the shape is too large"));
    }
    progress(0, shape.ratings);
    let random = |purpose: Purpose| Random::new(shape.seed, purpose as u64);
    let user_counts = shape.user_curve.fit(shape.users, shape.ratings, shape.books)?;
    let book_counts = shape.book_curve.fit(shape.books, shape.ratings, shape.users)?;
    let first_user = user_counts.partition_point(|count| *count < shape.min_user_ratings);
    let first_book = book_counts.partition_point(|count| *count < shape.min_book_ratings);
    let mut readers = Readers::deal(&user_counts, &book_counts, &mut random(Purpose::Deal))?;
    readers.lean(first_user, first_book, shape.kept_ratings, &mut random(Purpose::Lean));
    let kept_ratings = readers.kept(first_user, first_book);
    let tastes = Tastes::draw(shape.users, shape.books, &mut random(Purpose::Draw));
    let stars = tastes.rate(&readers.starts, &readers.books, shape.stars, &mut random(Purpose::Rate));
    let book_ids = book_ids(shape.books, &mut random(Purpose::Books));
    let mut records = pack(&readers, &stars, shape.users, &book_ids, &mut random(Purpose::Users));
    drop((readers, stars));
    random(Purpose::Order).shuffle(&mut records);
    let ratings_bytes = write_ratings(&records, ratings_csv, progress)?;
    let titles = titles::draw(shape.books, &mut random(Purpose::Titles));
    Ok(Generated {
        ratings: records.len() as u64,
        ratings_bytes,
        books_bytes: write_books(&titles, books_csv)?,
        kept_users: shape.users - first_user,
        kept_books: shape.books - first_book,
        kept_ratings,
    })
}

/// A number for every book, from 1: popular books come early, but not strictly so.
fn book_ids(books: usize, random: &mut Random) -> Vec<u32> {
    // Books are in order of rising counts; the key of a book is its rank from the top, blurred.
    let mut keyed: Vec<(f64, usize)> =
        (0..books).map(|book| ((books - book) as f64 * (0.7 + 0.6 * random.unit()), book)).collect();
    keyed.sort_by(|one, other| one.0.total_cmp(&other.0));
    let mut ids = vec![0; books];
    for (place, (_, book)) in keyed.into_iter().enumerate() {
        if let Some(id) = ids.get_mut(book) {
            *id = place as u32 + 1;
        }
    }
    ids
}

/// One number per rating: user, book and stars from the upper bits down.
fn pack(readers: &Readers, stars: &[u8], users: usize, book_ids: &[u32], random: &mut Random) -> Vec<u64> {
    let mut user_ids: Vec<u64> = (1..=users as u64).collect();
    random.shuffle(&mut user_ids);
    let mut records = Vec::with_capacity(stars.len());
    for (range, user) in readers.starts.windows(2).zip(user_ids) {
        let places = range[0] as usize..range[1] as usize;
        for (book, star) in readers.books[places.clone()].iter().zip(&stars[places]) {
            records.push(user << 32 | u64::from(book_ids[*book as usize]) << 8 | u64::from(*star));
        }
    }
    records
}

fn write_ratings(records: &[u64], path: &Path, progress: &mut dyn FnMut(u64, u64)) -> io::Result<u64> {
    let mut file = BufWriter::with_capacity(1 << 18, File::create(path)?);
    let mut written = 0;
    let mut line = Vec::with_capacity(32);
    written += put(&mut file, b"user_id,book_id,rating\n")?;
    for (index, chunk) in records.chunks(REPORT_EVERY).enumerate() {
        for record in chunk {
            line.clear();
            digits(&mut line, record >> 32);
            line.push(b',');
            digits(&mut line, record >> 8 & 0x00FF_FFFF);
            line.push(b',');
            digits(&mut line, record & 0xFF);
            line.push(b'\n');
            written += put(&mut file, &line)?;
        }
        progress((index * REPORT_EVERY + chunk.len()) as u64, records.len() as u64);
    }
    file.flush()?;
    Ok(written)
}

fn write_books(titles: &[String], path: &Path) -> io::Result<u64> {
    let mut file = BufWriter::new(File::create(path)?);
    let mut written = put(&mut file, b"book_id,title\n")?;
    for (index, title) in titles.iter().enumerate() {
        let quoted = if title.contains(['"', ',']) {
            format!("\"{}\"", title.replace('"', "\"\""))
        } else {
            title.clone()
        };
        written += put(&mut file, format!("{},{quoted}\n", index + 1).as_bytes())?;
    }
    file.flush()?;
    Ok(written)
}

fn put(file: &mut impl Write, bytes: &[u8]) -> io::Result<u64> {
    file.write_all(bytes)?;
    Ok(bytes.len() as u64)
}

/// Appends a number in decimal.
fn digits(line: &mut Vec<u8>, mut number: u64) {
    let start = line.len();
    loop {
        line.push(b'0' + (number % 10) as u8);
        number /= 10;
        if number == 0 {
            break;
        }
    }
    if let Some(written) = line.get_mut(start..) {
        written.reverse();
    }
}

#[cfg(test)]
mod tests;

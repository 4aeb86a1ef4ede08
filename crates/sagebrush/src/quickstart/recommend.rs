//! Step six: five books for one user, from the scores of every book that user has not rated.

use super::client::Client;
use super::evaluate::score;
use super::place::Place;
use super::prepare::{Prepared, read_output};
use super::ratings::{Rating, Splits};
use super::screen::{Screen, Table, shortened};
use anyhow::Context;
use serde::{Deserialize, Serialize};
use serde_json::Value;

/// Books recommended, and books shown that the user liked.
const SHOWN: usize = 5;
const TITLE_WIDTH: usize = 66;

/// A line of the output `books`.
#[derive(Deserialize)]
struct BookLine {
    book_ind: u32,
    book_id: Value,
    title: String,
}

/// A line of the output `users`.
#[derive(Deserialize)]
struct UserLine {
    user_ind: u32,
    user_id: Value,
}

struct Book {
    id: String,
    title: String,
}

/// One book with what was given or is expected.
#[derive(Debug, Serialize)]
pub(super) struct Shown {
    /// As in the ratings file.
    pub book_id: String,
    /// From the books file.
    pub title: String,
    /// The user's stars, or the endpoint's prediction.
    pub rating: f64,
}

/// The recommendations for one user.
#[derive(Debug, Serialize)]
pub(super) struct Recommended {
    /// As in the ratings file.
    pub user_id: String,
    /// Ratings of that user in all three splits.
    pub ratings: u64,
    /// Their best-rated books; `rating` is theirs.
    pub liked: Vec<Shown>,
    /// Unread books with the highest predictions; `rating` is the prediction.
    pub books: Vec<Shown>,
    /// Books that were scored.
    pub candidates: u64,
}

/// Scores and shows; `wanted` is a user's id in the ratings file, otherwise the one with the most ratings is taken.
pub(super) async fn run(
    client: &Client,
    place: &Place,
    endpoint: &str,
    prepared: &Prepared,
    splits: &Splits,
    wanted: Option<&str>,
    screen: Screen,
) -> anyhow::Result<Recommended> {
    let books = read_books(client, place, prepared.books).await?;
    let users = read_users(client, place, prepared.users).await?;
    let user = match wanted {
        None => busiest(splits, prepared.users),
        Some(id) => users
            .iter()
            .position(|one| one == id)
            .with_context(|| format!("the user {id} is not among those that are left after preparation"))?,
    };
    let own: Vec<&Rating> = splits.all().filter(|one| one.user as usize == user).collect();
    let mut rated = vec![false; books.len()];
    for one in &own {
        rated[one.book as usize] = true;
    }
    let pairs: Vec<(u32, u32)> =
        (0..prepared.books).filter(|book| !rated[*book as usize]).map(|book| (user as u32, book)).collect();
    let scores = score(client, endpoint, &pairs, &|_| {}).await?;
    let mut ranked: Vec<(u32, f64)> = pairs.iter().map(|(_, book)| *book).zip(scores).collect();
    ranked.sort_by(|a, b| b.1.total_cmp(&a.1).then(a.0.cmp(&b.0)));
    let shown = |book: u32, rating: f64| {
        let Book { id, title } = &books[book as usize];
        Shown { book_id: id.clone(), title: title.clone(), rating }
    };
    let recommended = Recommended {
        user_id: users[user].clone(),
        ratings: own.len() as u64,
        liked: favourites(&own, splits, books.len())
            .into_iter()
            .map(|(book, rating)| shown(book, rating))
            .collect(),
        books: ranked.iter().take(SHOWN).map(|(book, rating)| shown(*book, *rating)).collect(),
        candidates: pairs.len() as u64,
    };
    show(&recommended, screen);
    Ok(recommended)
}

async fn read_books(client: &Client, place: &Place, count: u32) -> anyhow::Result<Vec<Book>> {
    let mut books: Vec<Option<Book>> = (0..count).map(|_| None).collect();
    read_output(client, place, "books", &mut |line| {
        let line: BookLine = serde_json::from_slice(line)?;
        let slot = books.get_mut(line.book_ind as usize).context("a book index is out of range")?;
        *slot = Some(Book { id: plain(&line.book_id), title: line.title });
        Ok(())
    })
    .await?;
    books.into_iter().collect::<Option<_>>().context("the output books has gaps")
}

async fn read_users(client: &Client, place: &Place, count: u32) -> anyhow::Result<Vec<String>> {
    let mut users: Vec<Option<String>> = vec![None; count as usize];
    read_output(client, place, "users", &mut |line| {
        let line: UserLine = serde_json::from_slice(line)?;
        let slot = users.get_mut(line.user_ind as usize).context("a user index is out of range")?;
        *slot = Some(plain(&line.user_id));
        Ok(())
    })
    .await?;
    users.into_iter().collect::<Option<_>>().context("the output users has gaps")
}

fn plain(id: &Value) -> String {
    id.as_str().map_or_else(|| id.to_string(), str::to_owned)
}

/// The user with the most ratings; of several the first.
fn busiest(splits: &Splits, users: u32) -> usize {
    let mut counts = vec![0u32; users as usize];
    for one in splits.all() {
        counts[one.user as usize] += 1;
    }
    let most = counts.iter().copied().max().unwrap_or(0);
    counts.iter().position(|count| *count == most).unwrap_or(0)
}

/// The user's best-rated books; of those with the same stars first the ones that others like least, which say most.
fn favourites(own: &[&Rating], splits: &Splits, books: usize) -> Vec<(u32, f64)> {
    let mut sums = vec![(0.0f64, 0u32); books];
    for one in splits.all() {
        let (sum, count) = &mut sums[one.book as usize];
        *sum += f64::from(one.rating);
        *count += 1;
    }
    let mean = |book: u32| {
        let (sum, count) = sums[book as usize];
        sum / f64::from(count.max(1))
    };
    let mut liked: Vec<(u32, f64)> = own.iter().map(|one| (one.book, f64::from(one.rating))).collect();
    liked.sort_by(|a, b| b.1.total_cmp(&a.1).then(mean(a.0).total_cmp(&mean(b.0))).then(a.0.cmp(&b.0)));
    liked.truncate(SHOWN);
    liked
}

fn show(recommended: &Recommended, screen: Screen) {
    let heading = format!("user {} rated {} books and liked", recommended.user_id, recommended.ratings);
    let mut liked = Table::new(&[&heading, ">stars"]);
    for book in &recommended.liked {
        liked.row(vec![shortened(&book.title, TITLE_WIDTH), format!("{:.0}", book.rating)]);
    }
    screen.table(&liked);
    screen.line("");
    let heading = format!("recommended, of {} not read", recommended.candidates);
    let mut books = Table::new(&[&heading, ">expected"]);
    for book in &recommended.books {
        books.row(vec![shortened(&book.title, TITLE_WIDTH), format!("{:.2}", book.rating)]);
    }
    screen.table(&books);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn favourites_are_the_most_telling_best_rated() {
        let rate = |user, book, rating| Rating { user, book, rating };
        let splits = Splits {
            train: vec![rate(0, 0, 5.0), rate(0, 1, 5.0), rate(1, 0, 5.0), rate(1, 1, 1.0)],
            validation: vec![rate(0, 2, 4.0)],
            test: vec![rate(2, 2, 2.0)],
        };
        assert_eq!(busiest(&splits, 3), 0);
        let own: Vec<&Rating> = splits.all().filter(|one| one.user == 0).collect();
        assert_eq!(favourites(&own, &splits, 3), [(1, 5.0), (0, 5.0), (2, 4.0)]);
    }

    #[test]
    fn ids_are_shown_without_quotes() {
        assert_eq!(plain(&Value::from("17")), "17");
        assert_eq!(plain(&Value::from(17)), "17");
    }
}

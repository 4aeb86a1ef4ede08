//! The three splits as the client reads them back from S3, packed small: 12 bytes a rating.

use super::client::Client;
use super::place::Place;
use super::prepare::{Prepared, read_output};
use anyhow::{Context, bail};
use serde::Deserialize;

/// One rating by the indexes the preparation gave out.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Rating {
    /// Below the number of users.
    pub user: u32,
    /// Below the number of books.
    pub book: u32,
    /// Stars.
    pub rating: f32,
}

/// A record as Object2Vec trains on it.
#[derive(Deserialize)]
struct Line {
    in0: [u32; 1],
    in1: [u32; 1],
    label: f32,
}

/// Train, validation and test, each in the order of its file.
#[derive(Debug, Default)]
pub(super) struct Splits {
    /// What predictors learn from.
    pub train: Vec<Rating>,
    /// What choices are made on.
    pub validation: Vec<Rating>,
    /// What errors are reported on, all of it.
    pub test: Vec<Rating>,
}

impl Splits {
    /// Reads all three from the outputs of the preparation.
    pub(super) async fn read(client: &Client, place: &Place, prepared: &Prepared) -> anyhow::Result<Self> {
        Ok(Self {
            train: read_split(client, place, prepared, "train").await?,
            validation: read_split(client, place, prepared, "validation").await?,
            test: read_split(client, place, prepared, "test").await?,
        })
    }

    /// Every rating of all three.
    pub(super) fn all(&self) -> impl Iterator<Item = &Rating> {
        self.train.iter().chain(&self.validation).chain(&self.test)
    }
}

async fn read_split(
    client: &Client,
    place: &Place,
    prepared: &Prepared,
    split: &str,
) -> anyhow::Result<Vec<Rating>> {
    let mut ratings = Vec::new();
    read_output(client, place, split, &mut |line| {
        ratings.push(parse(line, prepared.users, prepared.books)?);
        Ok(())
    })
    .await?;
    let expected = prepared.rows.iter().find(|row| row.step == split).map_or(0, |row| row.ratings);
    if ratings.len() as u64 != expected {
        bail!("the split {split} has {} records where the summary says {expected}", ratings.len());
    }
    Ok(ratings)
}

fn parse(line: &[u8], users: u32, books: u32) -> anyhow::Result<Rating> {
    let record: Line = serde_json::from_slice(line).context("this is not an Object2Vec record")?;
    let rating = Rating { user: record.in0[0], book: record.in1[0], rating: record.label };
    if rating.user >= users || rating.book >= books {
        bail!("user {} or book {} is not among {users} users and {books} books", rating.user, rating.book);
    }
    Ok(rating)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn records_are_checked_against_the_vocabularies() {
        let rating = parse(br#"{"in0":[4],"in1":[2],"label":3.5}"#, 5, 3).expect("a record");
        assert_eq!(rating, Rating { user: 4, book: 2, rating: 3.5 });
        assert!(parse(br#"{"in0":[5],"in1":[2],"label":3}"#, 5, 3).is_err());
        assert!(parse(br#"{"in0":[1,2],"in1":[2],"label":3}"#, 5, 3).is_err());
        assert!(parse(br#"{"in0":[1]"#, 5, 3).is_err());
    }
}

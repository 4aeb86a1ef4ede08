//! What a generated set must be, read back from its files.

#![allow(clippy::unwrap_used)]

use std::collections::{HashMap, HashSet};
use std::fs;

use super::*;

struct Set {
    made: Generated,
    ratings: String,
    books: String,
}

fn make(shape: &GoodbooksShape) -> Set {
    let folder = tempfile::tempdir().unwrap();
    let (ratings, books) = (folder.path().join("ratings.csv"), folder.path().join("books.csv"));
    let made = write(shape, &ratings, &books, &mut |_, _| ()).unwrap();
    Set { made, ratings: fs::read_to_string(ratings).unwrap(), books: fs::read_to_string(books).unwrap() }
}

fn rows(text: &str) -> Vec<[u32; 3]> {
    let parse = |line: &str| {
        let mut fields = line.split(',').map(|field| field.parse().unwrap());
        std::array::from_fn(|_| fields.next().unwrap())
    };
    text.lines().skip(1).map(parse).collect()
}

#[test]
fn the_sample_is_what_its_shape_says() {
    let shape = GoodbooksShape::sample();
    let set = make(&shape);
    let rows = rows(&set.ratings);
    assert_eq!(rows.len() as u64, shape.ratings);
    assert_eq!(set.made.ratings, shape.ratings);
    assert_eq!(set.made.ratings_bytes, set.ratings.len() as u64);
    assert_eq!(set.made.books_bytes, set.books.len() as u64);
    let pairs: HashSet<(u32, u32)> = rows.iter().map(|row| (row[0], row[1])).collect();
    assert_eq!(pairs.len(), rows.len(), "a user rated a book twice");
    let (mut users, mut books) = (HashMap::new(), HashMap::new());
    for row in &rows {
        *users.entry(row[0]).or_insert(0_u32) += 1;
        *books.entry(row[1]).or_insert(0_u32) += 1;
    }
    assert_eq!((users.len(), books.len()), (shape.users, shape.books));
    users.retain(|_, count| *count >= shape.min_user_ratings);
    books.retain(|_, count| *count >= shape.min_book_ratings);
    assert_eq!((users.len(), books.len()), (set.made.kept_users, set.made.kept_books));
    let kept = rows.iter().filter(|row| users.contains_key(&row[0]) && books.contains_key(&row[1]));
    assert_eq!(kept.count() as u64, set.made.kept_ratings);
    assert_eq!(set.made.kept_ratings, shape.kept_ratings);
    assert_eq!(set.books.lines().count(), shape.books + 1);
}

#[test]
fn the_same_seed_gives_the_same_bytes_and_another_does_not() {
    let shape = GoodbooksShape::sample();
    let (one, two) = (make(&shape), make(&shape));
    assert!(one.ratings == two.ratings && one.books == two.books);
    let other = make(&GoodbooksShape { seed: 1, ..shape });
    assert!(one.ratings != other.ratings && one.books != other.books);
}

/// Averages of users and books explain a good part of the stars, but leave more than the noise: what a factor model
/// is for.
#[test]
fn biases_help_and_leave_something_to_learn() {
    let set = make(&GoodbooksShape::sample());
    let rows = rows(&set.ratings);
    let mean = rows.iter().map(|row| f64::from(row[2])).sum::<f64>() / rows.len() as f64;
    assert!((mean - 3.92).abs() < 0.02, "{mean}");
    let mut bias = [HashMap::new(), HashMap::new()];
    for _ in 0..5 {
        for side in 0..2 {
            let mut sums: HashMap<u32, (f64, f64)> = HashMap::new();
            for row in &rows {
                let other = bias[1 - side].get(&row[1 - side]).copied().unwrap_or(0.0);
                let sum = sums.entry(row[side]).or_default();
                *sum = (sum.0 + f64::from(row[2]) - mean - other, sum.1 + 1.0);
            }
            bias[side] = sums.into_iter().map(|(id, (sum, count))| (id, sum / (count + 3.0))).collect();
        }
    }
    let error = |row: &[u32; 3]| f64::from(row[2]) - mean - bias[0][&row[0]] - bias[1][&row[1]];
    let left = rows.iter().map(|row| error(row).powi(2)).sum::<f64>() / rows.len() as f64;
    let all = rows.iter().map(|row| (f64::from(row[2]) - mean).powi(2)).sum::<f64>() / rows.len() as f64;
    assert!((0.6..0.8).contains(&(left / all)), "biases leave {left} of {all}");
}

#[test]
fn an_impossible_shape_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("x");
    let shape = GoodbooksShape { users: 100, ..GoodbooksShape::sample() };
    assert!(write(&shape, &path, &path, &mut |_, _| ()).is_err());
}

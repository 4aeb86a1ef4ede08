//! Who rated what: pairs of users and books with given counts on both sides.
//!
//! Promises: every user and every book has exactly its count, and no pair occurs twice.

use std::io;

use super::random::Random;

/// How many random places are tried for one exchange before the shape is given up.
const TRIES: usize = 100_000;

/// The books of every user: `books[starts[u]..starts[u + 1]]` are those of user `u`.
pub struct Readers {
    /// Where each user's books start; one more entry than users.
    pub starts: Vec<u32>,
    /// Book numbers.
    pub books: Vec<u16>,
}

impl Readers {
    /// Deals the books out at random, then exchanges books between users until no user has one twice.
    pub fn deal(user_counts: &[u32], book_counts: &[u32], random: &mut Random) -> io::Result<Self> {
        let total: usize = book_counts.iter().map(|count| *count as usize).sum();
        let mut books = Vec::with_capacity(total);
        for (book, count) in book_counts.iter().enumerate() {
            books.extend(std::iter::repeat_n(book as u16, *count as usize));
        }
        random.shuffle(&mut books);
        let mut starts = Vec::with_capacity(user_counts.len() + 1);
        starts.push(0);
        let mut end = 0;
        for count in user_counts {
            end += count;
            starts.push(end);
        }
        let mut readers = Self { starts, books };
        readers.separate(book_counts.len(), random)?;
        Ok(readers)
    }

    /// The user a place belongs to.
    fn user_at(&self, place: usize) -> usize {
        self.starts.partition_point(|start| *start as usize <= place) - 1
    }

    fn has(&self, user: usize, book: u16) -> bool {
        self.books[self.starts[user] as usize..self.starts[user + 1] as usize].contains(&book)
    }

    /// Exchanges the books at two places unless a user would then have one twice.
    fn exchange(&mut self, one: usize, other: usize) -> bool {
        let (user, partner) = (self.user_at(one), self.user_at(other));
        let (gives, takes) = (self.books[one], self.books[other]);
        if user == partner || gives == takes || self.has(user, takes) || self.has(partner, gives) {
            return false;
        }
        self.books.swap(one, other);
        true
    }

    fn separate(&mut self, books: usize, random: &mut Random) -> io::Result<()> {
        let mut seen_by = vec![0_u32; books];
        let mut doubled = Vec::new();
        for user in 0..self.starts.len() - 1 {
            for place in self.starts[user]..self.starts[user + 1] {
                let seen = &mut seen_by[self.books[place as usize] as usize];
                if *seen == user as u32 + 1 {
                    doubled.push(place as usize);
                }
                *seen = user as u32 + 1;
            }
        }
        for place in doubled {
            let done = (0..TRIES).any(|_| {
                let other = random.below(self.books.len());
                self.exchange(place, other)
            });
            if !done {
                return Err(io::Error::new(
                    io::ErrorKind::InvalidInput,
                    "this shape is too dense for pairs that occur only once",
                ));
            }
        }
        Ok(())
    }

    /// Ratings of users from `first_user` on for books from `first_book` on.
    pub fn kept(&self, first_user: usize, first_book: usize) -> u64 {
        let start = self.starts.get(first_user).map_or(self.books.len(), |start| *start as usize);
        self.books[start..].iter().filter(|book| **book as usize >= first_book).count() as u64
    }

    /// Makes users from `first_user` on prefer (or avoid) books from `first_book` on until they have `wanted` ratings
    /// for them, or as near as random exchanges come. Counts stay as they are.
    pub fn lean(&mut self, first_user: usize, first_book: usize, wanted: u64, random: &mut Random) {
        let boundary = self.starts.get(first_user).map_or(self.books.len(), |start| *start as usize);
        let missing = wanted.abs_diff(self.kept(first_user, first_book));
        let toward = wanted > self.kept(first_user, first_book);
        let mut left = missing;
        let mut tries = missing.saturating_mul(200);
        while left > 0 && tries > 0 {
            tries -= 1;
            let heavy = boundary + random.below(self.books.len() - boundary);
            let light = random.below(boundary);
            let popular = |place: usize| self.books[place] as usize >= first_book;
            if popular(heavy) != toward && popular(light) == toward && self.exchange(heavy, light) {
                left -= 1;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use std::collections::HashSet;

    use super::*;

    fn check(readers: &Readers, users: &[u32], books: &[u32]) {
        let mut counts = vec![0; books.len()];
        for (user, count) in users.iter().enumerate() {
            let own = &readers.books[readers.starts[user] as usize..readers.starts[user + 1] as usize];
            assert_eq!(own.len(), *count as usize);
            assert_eq!(own.iter().collect::<HashSet<_>>().len(), own.len());
            own.iter().for_each(|book| counts[*book as usize] += 1);
        }
        assert_eq!(counts, books);
    }

    #[test]
    fn counts_are_met_and_pairs_are_single() {
        let users: Vec<u32> = (0..100).map(|user| 5 + user / 10).collect();
        let total: u32 = users.iter().sum();
        // Few ratings for most books, half of the users for the last one.
        let mut books: Vec<u32> = (0..80).map(|book| if book < 40 { 6 } else { 16 }).collect();
        books[79] = total - books[..79].iter().sum::<u32>();
        assert!((40..=100).contains(&books[79]), "{}", books[79]);
        let mut random = Random::new(5, 0);
        let mut readers = Readers::deal(&users, &books, &mut random).unwrap();
        check(&readers, &users, &books);
        let before = readers.kept(70, 60);
        readers.lean(70, 60, before + 20, &mut random);
        assert_eq!(readers.kept(70, 60), before + 20);
        check(&readers, &users, &books);
        readers.lean(70, 60, before - 20, &mut random);
        assert_eq!(readers.kept(70, 60), before - 20);
    }

    #[test]
    fn a_book_with_more_ratings_than_users_is_refused() {
        assert!(Readers::deal(&[2, 2], &[3, 1], &mut Random::new(1, 1)).is_err());
    }
}

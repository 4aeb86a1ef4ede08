//! Names of users and items, and their order.
//!
//! Promises: when all names are whole numbers they are numbers, in ascending order, and `7`, `07` and `7.0` are one;
//! otherwise all are texts as they were written, in the order of their bytes. Never: decides whether names may be
//! missing or how long they are.

use std::borrow::Cow;
use std::collections::HashMap;
use std::collections::hash_map::Entry;

use serde::{Deserialize, Serialize};

/// Numbers below this have their places in a table instead of a hash map.
const SMALL: u32 = 1 << 22;
/// Whole numbers up to here are the same as doubles.
const EXACT: f64 = 9_007_199_254_740_992.0;
/// Not in the table.
const ABSENT: u32 = u32::MAX;

/// The names of one side in ascending order; a name's place is its row or column.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Labels {
    /// All are whole numbers.
    Numbers(Vec<i64>),
    /// At least one is not.
    Texts(Vec<Box<str>>),
}

impl Labels {
    /// How many there are.
    pub(crate) fn len(&self) -> usize {
        match self {
            Self::Numbers(list) => list.len(),
            Self::Texts(list) => list.len(),
        }
    }

    /// The name at a place, which is below the length.
    pub(crate) fn get(&self, place: usize) -> Cow<'_, str> {
        match self {
            Self::Numbers(list) => Cow::Owned(list[place].to_string()),
            Self::Texts(list) => Cow::Borrowed(&list[place]),
        }
    }

    /// The place of a name.
    pub(crate) fn find(&self, name: &str) -> Option<u32> {
        let place = match self {
            Self::Numbers(list) => list.binary_search(&whole(name)?).ok()?,
            Self::Texts(list) => list.binary_search_by(|label| (**label).cmp(name)).ok()?,
        };
        u32::try_from(place).ok()
    }

    /// Whether they are in ascending order and all different.
    pub(crate) fn ascend(&self) -> bool {
        match self {
            Self::Numbers(list) => list.is_sorted_by(|a, b| a < b),
            Self::Texts(list) => list.is_sorted_by(|a, b| a < b),
        }
    }

    /// Only the first so many.
    pub(crate) fn truncate(&mut self, count: usize) {
        match self {
            Self::Numbers(list) => list.truncate(count),
            Self::Texts(list) => list.truncate(count),
        }
    }
}

/// The whole number that a text is.
fn whole(text: &str) -> Option<i64> {
    text.parse::<i64>().ok().or_else(|| {
        let number = text.parse::<f64>().ok()?;
        (number.fract() == 0.0 && number.abs() <= EXACT).then_some(number as i64)
    })
}

/// Gives each different name a number in the order in which they come.
#[derive(Default)]
pub(crate) struct Interner {
    small: Vec<u32>,
    others: HashMap<Box<str>, u32>,
    names: Vec<Name>,
}

enum Name {
    Small(u32),
    Text(Box<str>),
}

impl Interner {
    /// The number of a name; `None` when there are as many names as numbers already.
    pub(crate) fn intern(&mut self, name: &str) -> Option<u32> {
        let next = u32::try_from(self.names.len()).ok().filter(|&next| next != ABSENT)?;
        if let Some(number) = small(name) {
            let place = number as usize;
            if self.small.len() <= place {
                self.small.resize((place + 1).next_power_of_two(), ABSENT);
            }
            if self.small[place] == ABSENT {
                self.small[place] = next;
                self.names.push(Name::Small(number));
            }
            return Some(self.small[place]);
        }
        match self.others.entry(name.into()) {
            Entry::Occupied(known) => Some(*known.get()),
            Entry::Vacant(place) => {
                self.names.push(Name::Text(place.key().clone()));
                Some(*place.insert(next))
            }
        }
    }

    /// How many different names came.
    pub(crate) fn len(&self) -> usize {
        self.names.len()
    }

    /// The names in ascending order, and for each number that was given the place of its name in it.
    pub(crate) fn finish(self) -> (Labels, Vec<u32>) {
        let numbers: Option<Vec<i64>> = self.names.iter().map(Name::whole).collect();
        match numbers {
            Some(numbers) => {
                let (list, places) = sorted(numbers);
                (Labels::Numbers(list), places)
            }
            None => {
                let (list, places) = sorted(self.names.into_iter().map(Name::into_text).collect());
                (Labels::Texts(list), places)
            }
        }
    }
}

impl Name {
    fn whole(&self) -> Option<i64> {
        match self {
            Self::Small(number) => Some(i64::from(*number)),
            Self::Text(text) => whole(text),
        }
    }

    fn into_text(self) -> Box<str> {
        match self {
            Self::Small(number) => number.to_string().into(),
            Self::Text(text) => text,
        }
    }
}

/// A number that is small and is written as numbers are printed.
fn small(name: &str) -> Option<u32> {
    let bytes = name.as_bytes();
    let printed = match bytes {
        [b'0'] => true,
        [first, ..] => bytes.len() <= 7 && *first != b'0' && bytes.iter().all(u8::is_ascii_digit),
        [] => false,
    };
    let number = bytes.iter().take(7).fold(0, |sum: u32, byte| 10 * sum + u32::from(byte & 15));
    (printed && number < SMALL).then_some(number)
}

/// The different entries in ascending order, and the place of each entry among them.
fn sorted<T: Ord + Clone>(entries: Vec<T>) -> (Vec<T>, Vec<u32>) {
    let mut list = entries.clone();
    list.sort_unstable();
    list.dedup();
    // Every entry is in the list, and the interner has made sure that places fit.
    let place = |entry| list.binary_search(entry).unwrap_or_default() as u32;
    let places = entries.iter().map(place).collect();
    (list, places)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn labels(names: &[&str]) -> (Vec<u32>, Labels, Vec<u32>) {
        let mut interner = Interner::default();
        let given = names.iter().map(|name| interner.intern(name).unwrap()).collect();
        let (labels, places) = interner.finish();
        (given, labels, places)
    }

    #[test]
    fn whole_numbers_are_in_the_order_of_numbers() {
        let (given, labels, places) = labels(&["10", "9", "-3", "5000000", "9", "09", "9.0", "0"]);
        assert_eq!(given, [0, 1, 2, 3, 1, 4, 5, 6]);
        assert_eq!(labels, Labels::Numbers(vec![-3, 0, 9, 10, 5_000_000]));
        assert_eq!(places, [3, 2, 0, 4, 2, 2, 1]);
        assert_eq!(labels.find("9.0"), Some(2));
        assert_eq!((labels.find("8"), labels.find("nine")), (None, None));
        assert_eq!(labels.get(4), "5000000");
    }

    #[test]
    fn one_text_makes_all_names_texts() {
        let (_, labels, places) = labels(&["10", "9", "09", "é", "a"]);
        let texts = ["09", "10", "9", "a", "é"].map(Box::from);
        assert_eq!(labels, Labels::Texts(texts.to_vec()));
        assert_eq!(places, [1, 2, 0, 4, 3]);
        assert_eq!((labels.find("09"), labels.find("9.0")), (Some(0), None));
    }

    #[test]
    fn only_printed_forms_are_small() {
        assert_eq!((small("0"), small("4194303")), (Some(0), Some(4_194_303)));
        for other in ["", "00", "01", "4194304", "12345678", "+1", "1.0", "a"] {
            assert_eq!(small(other), None, "{other}");
        }
    }
}

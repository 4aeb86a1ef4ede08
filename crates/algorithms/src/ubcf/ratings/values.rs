//! Many ratings in little room: there are few different ones.

/// Most different values that are kept as codes.
const MAX_CODES: usize = 256;

/// A list of numbers. As long as there are at most 256 different ones each takes a byte, the place of its value in a
/// table; then each takes eight.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Values {
    /// Bytes into a table.
    Coded {
        /// The different values in the order in which they came.
        table: Vec<f64>,
        /// A place in the table for each number.
        codes: Vec<u8>,
    },
    /// The numbers as they are.
    Plain(Vec<f64>),
}

impl Values {
    /// An empty list.
    pub(crate) fn new() -> Self {
        Self::Coded { table: Vec::new(), codes: Vec::new() }
    }

    /// Adds a number, which is finite.
    pub(crate) fn push(&mut self, value: f64) {
        match self {
            Self::Plain(values) => values.push(value),
            Self::Coded { table, codes } => match code(table, value) {
                Some(code) => codes.push(code),
                None => {
                    let mut values: Vec<f64> = codes.iter().map(|&code| table[usize::from(code)]).collect();
                    values.push(value);
                    *self = Self::Plain(values);
                }
            },
        }
    }

    /// The number at a place, which is below the length.
    pub(crate) fn get(&self, at: usize) -> f64 {
        match self {
            Self::Coded { table, codes } => table[usize::from(codes[at])],
            Self::Plain(values) => values[at],
        }
    }
}

/// The code of a value, a new one if there is room.
fn code(table: &mut Vec<f64>, value: f64) -> Option<u8> {
    let place = table.iter().position(|&known| known == value).unwrap_or_else(|| {
        table.push(value);
        table.len() - 1
    });
    if place < MAX_CODES { u8::try_from(place).ok() } else { None }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_come_back_whether_few_or_many_differ() {
        for different in [1u32, 5, 256, 257, 1000] {
            let numbers: Vec<f64> = (0..3000).map(|i| f64::from(i % different) / 8.0).collect();
            let mut values = Values::new();
            numbers.iter().for_each(|&number| values.push(number));
            assert_eq!(matches!(values, Values::Coded { .. }), different <= 256);
            assert!(numbers.iter().enumerate().all(|(i, &number)| values.get(i) == number));
        }
    }
}

//! Blocks: terms of one field, sorted by value and entry, as bytes.
//!
//! A block is a sequence of groups, one for each value: the value, the number of its entries, the bytes
//! they take, and the entries, each as its distance from the one before. A number is eight bytes; of a
//! text only the end is stored that differs from the text before it. A value with many entries goes on
//! in the next block.

use super::facts::{Term, put_varint, take_varint};

/// Bytes of a block, about: two pages of the database. Finding one value reads one block of a run.
const BYTES: usize = 8_000;

const NUMBER: u8 = 0;
const TEXT: u8 = 1;

/// Terms as bytes, and what is told of them without reading these.
#[derive(Debug, Clone, PartialEq)]
pub struct Block {
    /// The first value.
    pub first: Term,
    /// The last value.
    pub last: Term,
    /// Number of terms.
    pub terms: i64,
    /// The terms.
    pub data: Vec<u8>,
}

/// Makes blocks of terms that come in order.
#[derive(Debug, Default)]
pub struct Builder {
    blocks: Vec<Block>,
    /// The block that is being made: its groups, values at both ends, and number of terms.
    data: Vec<u8>,
    ends: Option<(Term, Term)>,
    terms: i64,
    /// The text that the block's next text is told from.
    text: String,
    /// The group that is being made: its value, entries, their number and the last of them.
    value: Option<Term>,
    entries: Vec<u8>,
    count: u64,
    entry: i64,
}

impl Builder {
    /// Adds a term that lies behind all others; the same again is left.
    pub fn push(&mut self, value: &Term, entry: i64) {
        let same = self.value.as_ref() == Some(value);
        if same && entry == self.entry {
            return;
        }
        let full = self.data.len() + self.entries.len() >= BYTES;
        if !same || full {
            self.end_group();
            if full {
                self.end_block();
            }
            self.value = Some(value.clone());
        }
        put_varint(&mut self.entries, entry.abs_diff(self.entry));
        self.entry = entry;
        self.count += 1;
    }

    /// The blocks.
    pub fn finish(mut self) -> Vec<Block> {
        self.end_group();
        self.end_block();
        self.blocks
    }

    fn end_group(&mut self) {
        let Some(value) = self.value.take() else { return };
        match &value {
            Term::Number(number) => {
                self.data.push(NUMBER);
                self.data.extend(number.to_le_bytes());
            }
            Term::Text(text) => {
                let mut shared = text.bytes().zip(self.text.bytes()).take_while(|(a, b)| a == b).count();
                while !text.is_char_boundary(shared) {
                    shared -= 1;
                }
                self.data.push(TEXT);
                put_varint(&mut self.data, shared as u64);
                put_varint(&mut self.data, (text.len() - shared) as u64);
                self.data.extend(&text.as_bytes()[shared..]);
                self.text.clone_from(text);
            }
            // A bound, which no fact has.
            Term::End => return,
        }
        put_varint(&mut self.data, self.count);
        put_varint(&mut self.data, self.entries.len() as u64);
        self.data.append(&mut self.entries);
        self.terms += i64::try_from(self.count).unwrap_or(i64::MAX);
        (self.count, self.entry) = (0, 0);
        match &mut self.ends {
            Some((_, last)) => *last = value,
            ends => *ends = Some((value.clone(), value)),
        }
    }

    fn end_block(&mut self) {
        let Some((first, last)) = self.ends.take() else { return };
        let data = std::mem::take(&mut self.data);
        self.blocks.push(Block { first, last, terms: std::mem::take(&mut self.terms), data });
        self.text.clear();
    }
}

/// Groups of a block, read in place.
#[derive(Debug)]
pub struct Groups<'a> {
    rest: &'a [u8],
    value: Term,
}

/// One value's entries in a block.
#[derive(Debug, Clone, Copy)]
pub struct Entries<'a> {
    /// Their number.
    pub count: usize,
    rest: &'a [u8],
}

impl<'a> Groups<'a> {
    /// The groups of a block's bytes.
    pub fn of(data: &'a [u8]) -> Self {
        Self { rest: data, value: Term::Text(String::new()) }
    }

    /// The next group, `None` behind the last; `Err` for bytes that are no block.
    pub fn next(&mut self) -> Option<Result<(&Term, Entries<'a>), NoBlock>> {
        if self.rest.is_empty() {
            return None;
        }
        let Some(entries) = self.group() else {
            self.rest = &[];
            return Some(Err(NoBlock));
        };
        Some(Ok((&self.value, entries)))
    }

    fn group(&mut self) -> Option<Entries<'a>> {
        let (kind, rest) = self.rest.split_first()?;
        self.rest = rest;
        match *kind {
            NUMBER => {
                let (bytes, rest) = self.rest.split_first_chunk::<8>()?;
                self.rest = rest;
                self.value = Term::Number(f64::from_le_bytes(*bytes));
            }
            TEXT => {
                let shared = usize::try_from(take_varint(&mut self.rest)?).ok()?;
                let length = usize::try_from(take_varint(&mut self.rest)?).ok()?;
                let (bytes, rest) = self.rest.split_at_checked(length)?;
                self.rest = rest;
                if matches!(self.value, Term::Number(_)) {
                    self.value = Term::Text(String::new());
                }
                let Term::Text(text) = &mut self.value else { return None };
                if !text.is_char_boundary(shared) {
                    return None;
                }
                text.truncate(shared);
                text.push_str(std::str::from_utf8(bytes).ok()?);
            }
            _ => return None,
        }
        let count = usize::try_from(take_varint(&mut self.rest)?).ok()?;
        let length = usize::try_from(take_varint(&mut self.rest)?).ok()?;
        let (bytes, rest) = self.rest.split_at_checked(length)?;
        self.rest = rest;
        Some(Entries { count, rest: bytes })
    }
}

impl Entries<'_> {
    /// Adds the entries, in order, to a list.
    pub fn read_into(mut self, list: &mut Vec<i64>) -> Result<(), NoBlock> {
        let mut entry = 0i64;
        while !self.rest.is_empty() {
            let distance = take_varint(&mut self.rest).ok_or(NoBlock)?;
            entry = entry.checked_add_unsigned(distance).ok_or(NoBlock)?;
            list.push(entry);
        }
        Ok(())
    }
}

/// Bytes that are no block.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct NoBlock;

/// A sorted set of entries as bytes, and back.
pub fn pack(entries: &[i64]) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(entries.len() * 2);
    let mut last = 0;
    for entry in entries {
        put_varint(&mut bytes, entry.abs_diff(last));
        last = *entry;
    }
    bytes
}

/// The set behind [`pack`]ed bytes.
pub fn unpack(bytes: &[u8]) -> Result<Vec<i64>, NoBlock> {
    let mut entries = Vec::new();
    Entries { count: 0, rest: bytes }.read_into(&mut entries)?;
    Ok(entries)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn read(blocks: &[Block]) -> Vec<(Term, i64)> {
        let mut terms = Vec::new();
        for block in blocks {
            let mut groups = Groups::of(&block.data);
            while let Some(group) = groups.next() {
                let (value, entries) = group.expect("it is a block");
                let mut list = Vec::new();
                entries.read_into(&mut list).expect("it is a block");
                assert_eq!(list.len(), entries.count);
                terms.extend(list.into_iter().map(|entry| (value.clone(), entry)));
            }
        }
        terms
    }

    fn build(terms: &[(Term, i64)]) -> Vec<Block> {
        let mut builder = Builder::default();
        terms.iter().for_each(|(value, entry)| builder.push(value, *entry));
        builder.finish()
    }

    fn term() -> impl Strategy<Value = Term> {
        prop_oneof![(-1e9..1e9).prop_map(Term::Number), "[aä]{0,3}.{0,20}".prop_map(Term::Text)]
    }

    proptest! {
        #[test]
        fn terms_survive_their_blocks(
            mut terms in proptest::collection::vec((term(), 1..i64::MAX), 0..300)
        ) {
            terms.sort_by(|left, right| left.partial_cmp(right).expect("no NaN"));
            terms.dedup();
            let blocks = build(&terms);
            prop_assert_eq!(blocks.iter().map(|block| block.terms).sum::<i64>(), terms.len() as i64);
            prop_assert_eq!(read(&blocks), terms);
        }

        #[test]
        fn strange_bytes_are_no_block_and_no_panic(bytes in proptest::collection::vec(any::<u8>(), 0..80)) {
            let mut groups = Groups::of(&bytes);
            while let Some(Ok((_, entries))) = groups.next() {
                let _ = entries.read_into(&mut Vec::new());
            }
        }
    }

    #[test]
    fn a_value_with_many_entries_goes_on_in_the_next_block() {
        let terms: Vec<(Term, i64)> =
            (1..50_000).map(|entry| (Term::Text("Completed".into()), entry * 300)).collect();
        let blocks = build(&terms);
        assert!(blocks.len() > 10, "{}", blocks.len());
        assert!(blocks.iter().all(|block| block.first == block.last && block.data.len() < 2 * BYTES));
        assert_eq!(read(&blocks), terms);
    }

    #[test]
    fn a_set_survives_its_bytes() {
        let set = vec![1, 2, 500, i64::MAX];
        assert_eq!(unpack(&pack(&set)), Ok(set));
    }
}

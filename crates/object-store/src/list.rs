//! Listing keys: pages in the order of the keys' UTF-8 bytes, with keys rolled up at a delimiter.
//!
//! Every page is read by range scans that begin where the page begins and jump over a common
//! prefix once it is known, so a page costs what it shows, not what the bucket holds.

use crate::index::successor;
use crate::{Error, ObjectStore, ObjectSummary, Result, limits};

/// Which keys to list.
#[derive(Debug, Clone, Default)]
pub struct ListQuery {
    /// Only keys that begin with this.
    pub prefix: String,
    /// Rolls keys up at its first occurrence after the prefix; empty does not.
    pub delimiter: String,
    /// Only entries after this one; an entry is a key or a common prefix.
    pub start_after: String,
    /// The most entries of the page, cut to [`limits::PAGE`].
    pub max_keys: usize,
}

/// One page.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Listing {
    /// Objects whose keys are not rolled up.
    pub objects: Vec<ObjectSummary>,
    /// Common prefixes, each once.
    pub common_prefixes: Vec<String>,
    /// When there is more: the last entry, to be given as `start_after` for the next page.
    pub next: Option<String>,
}

impl ListQuery {
    /// The common prefix that `key` is rolled up to.
    fn rolled_up<'k>(&self, key: &'k str) -> Option<&'k str> {
        if self.delimiter.is_empty() {
            return None;
        }
        let rest = key.strip_prefix(self.prefix.as_str())?;
        let end = self.prefix.len() + rest.find(&self.delimiter)? + self.delimiter.len();
        Some(&key[..end])
    }

    /// The least key that can make an entry of the page.
    fn first_key(&self) -> Vec<u8> {
        let prefix = self.prefix.as_bytes();
        let after = match self.rolled_up(&self.start_after) {
            // The prefix itself is not after `start_after`, so nothing under it shows.
            Some(common) => successor(common.as_bytes()).unwrap_or_default(),
            None if self.start_after.is_empty() => Vec::new(),
            None => [self.start_after.as_bytes(), b"\0"].concat(),
        };
        after.max(prefix.to_vec())
    }
}

impl ObjectStore {
    /// One page of a bucket's keys.
    ///
    /// # Errors
    /// [`Error::NoSuchBucket`].
    pub async fn list(&self, bucket: &str, query: &ListQuery) -> Result<Listing> {
        let bucket = self.index().bucket_id(bucket).await?;
        let wanted = query.max_keys.min(limits::PAGE);
        let until = successor(query.prefix.as_bytes());
        let mut from = query.first_key();
        let mut page = Listing::default();
        if wanted == 0 {
            return Ok(page);
        }
        let mut last = String::new();
        loop {
            let missing = wanted - page.entries();
            // One more than fits tells whether there is more. Rolled-up keys are mostly jumped
            // over, so short scans waste less.
            let limit = if query.delimiter.is_empty() { missing + 1 } else { (missing + 1).min(64) };
            let rows = self.index().scan_objects(bucket, &from, until.as_deref(), limit).await?;
            let ended = rows.len() < limit;
            let mut jump = None;
            for row in rows {
                if page.common_prefixes.last().is_some_and(|common| row.key.starts_with(common)) {
                    continue;
                }
                if page.entries() == wanted {
                    page.next = Some(last);
                    return Ok(page);
                }
                from = [row.key.as_bytes(), b"\0"].concat();
                jump = query.rolled_up(&row.key).map(str::to_owned);
                match &jump {
                    Some(common) => {
                        last.clone_from(common);
                        page.common_prefixes.push(common.clone());
                    }
                    None => {
                        last.clone_from(&row.key);
                        page.objects.push(row);
                    }
                }
            }
            if ended {
                return Ok(page);
            }
            // When the last entry is a common prefix, whatever the scan saw after it lies under it.
            if let Some(next) = jump.and_then(|common| successor(common.as_bytes())) {
                from = next;
            }
        }
    }

    /// All objects whose keys begin with `prefix`, in order.
    ///
    /// # Errors
    /// [`Error::NoSuchBucket`]; [`Error::TooManyObjects`] above [`limits::LIST_ALL`].
    pub async fn list_all(&self, bucket: &str, prefix: &str) -> Result<Vec<ObjectSummary>> {
        let bucket = self.index().bucket_id(bucket).await?;
        let until = successor(prefix.as_bytes());
        let mut from = prefix.as_bytes().to_vec();
        let mut all = Vec::new();
        loop {
            let until = until.as_deref();
            let rows = self.index().scan_objects(bucket, &from, until, limits::PAGE).await?;
            let ended = rows.len() < limits::PAGE;
            if let Some(last) = rows.last() {
                from = [last.key.as_bytes(), b"\0"].concat();
            }
            all.extend(rows);
            if all.len() > limits::LIST_ALL {
                return Err(Error::TooManyObjects(limits::LIST_ALL));
            }
            if ended {
                return Ok(all);
            }
        }
    }
}

impl Listing {
    /// Entries on the page.
    pub fn entries(&self) -> usize {
        self.objects.len() + self.common_prefixes.len()
    }
}

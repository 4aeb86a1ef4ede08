//! What of a document becomes a property, told by the layer that knows what documents mean.

/// How documents are read into properties.
#[derive(Debug, Clone, Copy)]
pub struct IndexRules {
    /// Without it nothing is indexed and nothing found: for measuring what the index costs.
    pub enabled: bool,
    /// Goes up whenever the rules change: an index made by other rules is made anew.
    pub version: i64,
    /// Lists of named elements that are read as members under those names.
    pub named_lists: &'static [NamedList],
    /// Members read as the scalar inside them: a property's prefix and the names of the scalar.
    pub wrapped: &'static [(&'static str, &'static [&'static str])],
    /// Prefixes of properties whose text, where it is a number, compares as that number.
    pub numeric_text: &'static [&'static str],
    /// Prefix of the properties that a record's tags make.
    pub labels: &'static str,
    /// Path of the time of creation.
    pub created: &'static str,
    /// Path of the time of the last change.
    pub modified: &'static str,
}

/// A list whose elements have names, such as `[{"Name": "loss", "Value": 0.5}]`.
#[derive(Debug)]
pub struct NamedList {
    /// Path of the list.
    pub list: &'static str,
    /// The element's member that holds its name.
    pub name: &'static str,
    /// The element's member that holds its value; every other member when `None`.
    pub value: Option<&'static str>,
    /// Prefix of the properties, in place of the list's path.
    pub prefix: &'static str,
}

/// Rules for documents of which nothing is known.
pub static PLAIN: IndexRules = IndexRules {
    enabled: true,
    version: 1,
    named_lists: &[],
    wrapped: &[],
    numeric_text: &[],
    labels: "Tags",
    created: "CreationTime",
    modified: "LastModifiedTime",
};

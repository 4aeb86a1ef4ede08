//! What of a document is a property, and under which name.

use sagebrush_metastore::{IndexRules, NamedList};
use sagebrush_types::Resource;

/// How documents of this server are read into properties.
pub static INDEX_RULES: IndexRules = IndexRules {
    enabled: true,
    version: 2,
    named_lists: &[
        NamedList {
            list: "FinalMetricDataList",
            name: "MetricName",
            value: Some("Value"),
            prefix: "Metrics",
        },
        // Of a trial component: minimum, maximum, last value and so on under each name.
        NamedList { list: "Metrics", name: "MetricName", value: None, prefix: "Metrics" },
    ],
    wrapped: &[("Parameters", &["NumberValue", "StringValue"])],
    numeric_text: &["HyperParameters.", "Parameters."],
    labels: "Tags",
    created: "CreationTime",
    modified: "LastModifiedTime",
};

/// The path of a property as a request names it. A model's properties may be named as in its
/// result, which holds the model in a member of its own.
pub fn property(kind: Resource, name: &str) -> &str {
    match kind {
        Resource::Model => name.strip_prefix("Model.").unwrap_or(name),
        _ => name,
    }
}

//! A search expression as requests write it, and what the metastore is asked.

use sagebrush_metastore::{Condition, Expression, Scalar, Test};
use sagebrush_types::limits::{SEARCH_DEPTH, SEARCH_ELEMENTS};
use sagebrush_types::{Failure, Outcome, Resource};
use serde::Deserialize;
use time::format_description::well_known::{Iso8601, Rfc3339};
use time::{Date, OffsetDateTime, PrimitiveDateTime};

use super::rules::property;

/// `SearchExpression`.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase", deny_unknown_fields)]
pub struct SearchExpression {
    #[serde(default)]
    filters: Vec<Filter>,
    #[serde(default)]
    nested_filters: Vec<NestedFilters>,
    #[serde(default)]
    sub_expressions: Vec<SearchExpression>,
    operator: Option<String>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase", deny_unknown_fields)]
struct Filter {
    name: String,
    operator: Option<String>,
    value: Option<String>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase", deny_unknown_fields)]
struct NestedFilters {
    nested_property_name: String,
    filters: Vec<Filter>,
}

impl SearchExpression {
    /// What the metastore is asked.
    ///
    /// # Errors
    /// `Invalid` for an expression without any condition, or beyond the bounds.
    pub fn compiled(&self, place: &str, kind: Resource) -> Outcome<Expression> {
        self.within(place, kind, 1)
    }

    fn within(&self, place: &str, kind: Resource, depth: usize) -> Outcome<Expression> {
        let elements = self.filters.len() + self.nested_filters.len() + self.sub_expressions.len();
        if elements == 0 {
            return Err(Failure::invalid(format!(
                "{place}: give at least one of Filters, NestedFilters and SubExpressions."
            )));
        }
        if elements > SEARCH_ELEMENTS {
            return Err(Failure::invalid(format!(
                "{place}: {elements} filters and subexpressions are more than the {SEARCH_ELEMENTS} that one expression may have."
            )));
        }
        if depth > SEARCH_DEPTH {
            return Err(Failure::invalid(format!(
                "{place}: subexpressions are nested more than {SEARCH_DEPTH} deep."
            )));
        }
        let mut parts = Vec::with_capacity(elements);
        for (index, filter) in self.filters.iter().enumerate() {
            parts.push(Expression::Test(filter.test(&format!("{place}.Filters[{index}]"), kind)?));
        }
        for (index, nested) in self.nested_filters.iter().enumerate() {
            let place = format!("{place}.NestedFilters[{index}]");
            parts.push(nested.compiled(&place, kind)?);
        }
        for (index, inner) in self.sub_expressions.iter().enumerate() {
            parts.push(inner.within(&format!("{place}.SubExpressions[{index}]"), kind, depth + 1)?);
        }
        Ok(match self.operator.as_deref() {
            Some("Or") => Expression::Any(parts),
            _ => Expression::All(parts),
        })
    }
}

impl NestedFilters {
    fn compiled(&self, place: &str, kind: Resource) -> Outcome<Expression> {
        let list = property(kind, &self.nested_property_name);
        let mut tests = Vec::with_capacity(self.filters.len());
        for (index, filter) in self.filters.iter().enumerate() {
            let place = format!("{place}.Filters[{index}]");
            let test = filter.test(&place, kind)?;
            let below = test.path.strip_prefix(list).is_some_and(|rest| rest.starts_with('.'));
            if !below {
                return Err(Failure::invalid(format!(
                    "{place}.Name: '{}' is no property of {list}. Write {list}.{}.",
                    filter.name, filter.name
                )));
            }
            tests.push(test);
        }
        Ok(Expression::OneElement(list.to_owned(), tests))
    }
}

impl Filter {
    fn test(&self, place: &str, kind: Resource) -> Outcome<Test> {
        let operator = self.operator.as_deref().unwrap_or("Equals");
        let value = || {
            self.value.as_deref().ok_or_else(|| {
                Failure::invalid(format!("{place}.Value: the operator {operator} needs a value."))
            })
        };
        let condition = match operator {
            "Equals" => Condition::Equals(scalar(value()?)),
            "NotEquals" => Condition::NotEquals(scalar(value()?)),
            "GreaterThan" => Condition::Above(scalar(value()?)),
            "GreaterThanOrEqualTo" => Condition::AtLeast(scalar(value()?)),
            "LessThan" => Condition::Below(scalar(value()?)),
            "LessThanOrEqualTo" => Condition::AtMost(scalar(value()?)),
            "Contains" => Condition::Contains(value()?.to_owned()),
            "Exists" => Condition::Exists,
            "NotExists" => Condition::NotExists,
            "In" => Condition::In(value()?.split(',').map(|part| scalar(part.trim())).collect()),
            other => return Err(Failure::invalid(format!("{place}.Operator: {other} is no operator."))),
        };
        Ok(Test { path: property(kind, &self.name).to_owned(), condition })
    }
}

/// A value with its readings: a number, or a time in seconds as documents have it.
fn scalar(text: &str) -> Scalar {
    let mut scalar = Scalar::of(text);
    if scalar.number.is_none() {
        scalar.number = seconds_of(text);
    }
    scalar
}

/// ISO 8601 with or without time and zone, as seconds since the Unix epoch; UTC without a zone.
fn seconds_of(text: &str) -> Option<f64> {
    let time = OffsetDateTime::parse(text, &Rfc3339)
        .or_else(|_| OffsetDateTime::parse(text, &Iso8601::PARSING))
        .or_else(|_| PrimitiveDateTime::parse(text, &Iso8601::PARSING).map(PrimitiveDateTime::assume_utc))
        .or_else(|_| Date::parse(text, &Iso8601::PARSING).map(|date| date.midnight().assume_utc()))
        .ok()?;
    Some(time.unix_timestamp_nanos() as f64 / 1e9)
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn compiled(expression: serde_json::Value) -> Outcome<Expression> {
        let expression: SearchExpression = crate::request::decode("Search", &expression)?;
        expression.compiled("SearchExpression", Resource::TrainingJob)
    }

    fn message(expression: serde_json::Value) -> String {
        compiled(expression).err().map(|failure| failure.message).unwrap_or_default()
    }

    #[test]
    fn times_are_read_in_every_form() {
        for (text, seconds) in [
            ("1970-01-01T00:00:02Z", 2.0),
            ("1970-01-01T01:00:02+01:00", 2.0),
            ("1970-01-01T00:00:02.5", 2.5),
            ("1970-01-02", 86_400.0),
        ] {
            assert_eq!(seconds_of(text), Some(seconds), "{text}");
        }
        assert_eq!(seconds_of("job-1"), None);
    }

    #[test]
    fn what_says_nothing_is_refused_by_its_place() {
        assert!(message(json!({})).starts_with("SearchExpression: give at least one"));
        let nested = json!({"SubExpressions": [{"Filters": [{"Name": "A", "Operator": "Contains"}]}]});
        assert_eq!(
            message(nested),
            "SearchExpression.SubExpressions[0].Filters[0].Value: the operator Contains needs a value."
        );
        let outside = json!({"NestedFilters": [{"NestedPropertyName": "Inputs", "Filters": [{"Name": "Uri", "Operator": "Exists"}]}]});
        assert!(message(outside).contains("Write Inputs.Uri"));
        let mut deep = json!({"Filters": [{"Name": "A", "Operator": "Exists"}]});
        for _ in 0..SEARCH_DEPTH {
            deep = json!({"SubExpressions": [deep]});
        }
        assert!(message(deep).contains("nested more than"));
    }
}

//! The query protocol: forms in, XML out.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use serde_json::{Map, Number, Value, json};
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;

use crate::model::{Model, ShapeKind};

/// Levels of a parameter's name; what goes beyond them is one name. AWS's deepest has twelve.
const DEPTH: usize = 16;
/// Items of one list. AWS's largest, the metrics of one PutMetricData, has a thousand.
const ITEMS: usize = 10_000;

/// Parameters of a form body. Later values of a repeated name win.
///
/// # Errors
/// A message when a name or value is not UTF-8 after decoding.
pub fn decode_form(body: &[u8]) -> Result<BTreeMap<String, String>, String> {
    let text = std::str::from_utf8(body).map_err(|_| "the form is not text".to_owned())?;
    let decode = |part: &str| {
        percent_encoding::percent_decode_str(&part.replace('+', " "))
            .decode_utf8()
            .map(std::borrow::Cow::into_owned)
            .map_err(|_| "a form value is not UTF-8".to_owned())
    };
    text.split('&')
        .filter(|pair| !pair.is_empty())
        .map(|pair| {
            let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
            Ok((decode(name)?, decode(value)?))
        })
        .collect()
}

/// A form as a tree: `A.member.1.B=x` is A, then member, 1 and B.
#[derive(Default)]
struct Node {
    text: Option<String>,
    children: BTreeMap<String, Node>,
}

impl Node {
    fn of(form: &BTreeMap<String, String>) -> Self {
        let mut root = Self::default();
        for (name, value) in form {
            let node = name
                .splitn(DEPTH, '.')
                .fold(&mut root, |node, part| node.children.entry(part.into()).or_default());
            node.text = Some(value.clone());
        }
        root
    }

    /// Numbered children in the order of their numbers, which may have gaps.
    fn numbered(&self) -> Vec<&Self> {
        let mut found: Vec<(u64, &Self)> =
            self.children.iter().filter_map(|(name, node)| Some((name.parse().ok()?, node))).collect();
        found.sort_by_key(|(number, _)| *number);
        found.into_iter().map(|(_, node)| node).take(ITEMS).collect()
    }
}

impl Model {
    /// The document of a form, by the operation's input shape. Lists are `Name.member.N`, maps
    /// `Name.entry.N.key` and `.value`. A number or truth value that cannot be read stays text, so that
    /// validation names it; a parameter that the model has not stays a member of the document.
    pub fn decode_query(&self, operation: &str, form: &BTreeMap<String, String>) -> Value {
        self.input(operation).map_or_else(|| json!(form), |shape| self.node(shape, &Node::of(form)))
    }

    fn node(&self, shape: &str, node: &Node) -> Value {
        let text = || node.text.clone().unwrap_or_default();
        match self.shapes.get(shape).map(|shape| &shape.kind) {
            Some(ShapeKind::Structure { members, .. }) => {
                let read = |(name, child): (&String, &Node)| {
                    let value = members.get(name).map_or_else(
                        || Value::String(child.text.clone().unwrap_or_default()),
                        |shape| self.node(shape, child),
                    );
                    (name.clone(), value)
                };
                Value::Object(node.children.iter().map(read).collect())
            }
            Some(ShapeKind::List(shape)) => {
                // An empty list is sent as the bare name; a flattened one has no `member`.
                let list = node.children.get("member").unwrap_or(node);
                Value::Array(list.numbered().into_iter().map(|item| self.node(shape, item)).collect())
            }
            Some(ShapeKind::Map { value: shape, .. }) => {
                let list = node.children.get("entry").unwrap_or(node);
                let entry = |entry: &Node| {
                    let key = entry.children.get("key")?.text.clone()?;
                    Some((key, self.node(shape, entry.children.get("value")?)))
                };
                Value::Object(list.numbered().into_iter().filter_map(entry).collect::<Map<_, _>>())
            }
            Some(ShapeKind::Integer) => {
                text().parse::<i64>().map_or_else(|_| Value::String(text()), Value::from)
            }
            Some(ShapeKind::Float) => text()
                .parse::<f64>()
                .ok()
                .and_then(Number::from_f64)
                .map_or_else(|| Value::String(text()), Value::Number),
            Some(ShapeKind::Boolean) => {
                text().parse::<bool>().map_or_else(|_| Value::String(text()), Value::from)
            }
            _ => Value::String(text()),
        }
    }

    /// The XML answer of an operation: `<XResponse><XResult>…</XResult>…</XResponse>`. Times are
    /// written as ISO 8601.
    pub fn encode_query(&self, operation: &str, answer: &Value, request_id: &str) -> String {
        let mut body = String::new();
        let shape = self.output(operation);
        if let Some(shape) = shape {
            self.element(shape, answer, &mut body);
            body = format!("<{operation}Result>{body}</{operation}Result>");
        }
        format!(
            "<{operation}Response xmlns=\"{}\">{body}<ResponseMetadata><RequestId>{}</RequestId>\
             </ResponseMetadata></{operation}Response>",
            escape(&self.namespace),
            escape(request_id)
        )
    }

    fn element(&self, shape: &str, value: &Value, out: &mut String) {
        let kind = self.shapes.get(shape).map(|shape| &shape.kind);
        let tagged = |name: &str, shape: &str, value: &Value, out: &mut String| {
            // Writing to text cannot fail.
            let _ = write!(out, "<{name}>");
            self.element(shape, value, out);
            let _ = write!(out, "</{name}>");
        };
        match (kind, value) {
            (_, Value::Null) => {}
            (Some(ShapeKind::Structure { members, .. }), Value::Object(object)) => {
                for (name, value) in object.iter().filter(|(_, value)| !value.is_null()) {
                    tagged(name, members.get(name).map_or("", String::as_str), value, out);
                }
            }
            (Some(ShapeKind::Map { key, value: shape }), Value::Object(object)) => {
                for (name, value) in object {
                    out.push_str("<entry>");
                    tagged("key", key, &json!(name), out);
                    tagged("value", shape, value, out);
                    out.push_str("</entry>");
                }
            }
            (Some(ShapeKind::List(shape)), Value::Array(items)) => {
                for item in items {
                    tagged("member", shape, item, out);
                }
            }
            (Some(ShapeKind::Timestamp), Value::Number(number)) => out.push_str(&iso(number)),
            (_, Value::String(text)) => out.push_str(&escape(text)),
            (_, other) => out.push_str(&escape(&other.to_string())),
        }
    }
}

/// Seconds since the Unix epoch as `2026-11-24T12:00:00Z`.
fn iso(seconds: &Number) -> String {
    let nanoseconds = (seconds.as_f64().unwrap_or_default() * 1000.0).round() as i128 * 1_000_000;
    OffsetDateTime::from_unix_timestamp_nanos(nanoseconds)
        .ok()
        .and_then(|time| time.format(&Rfc3339).ok())
        .unwrap_or_default()
}

/// Text as XML character data.
pub fn escape(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;").replace('"', "&quot;")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Service, model};

    #[test]
    fn forms_are_decoded() {
        let form = decode_form(b"Action=GetCallerIdentity&Version=2011-06-15&x=a+b%2Bc");
        assert_eq!(form.map(|form| form["x"].clone()), Ok("a b+c".to_owned()));
        assert!(decode_form(b"a=%ff").is_err());
    }

    #[test]
    fn forms_become_documents_by_their_shape() {
        let form = "Namespace=n&MetricName=m&Period=60&StartTime=2026-11-24T12:00:00Z&\
            Dimensions.member.2.Name=b&Dimensions.member.2.Value=2&Dimensions.member.1.Name=a&\
            Dimensions.member.1.Value=1&Statistics.member.1=Sum&Strange=x&Statistics.member.10=Average&\
            Statistics.member.9=Minimum";
        let form = decode_form(form.as_bytes()).unwrap_or_default();
        let document =
            model(Service::CloudWatch).map(|model| model.decode_query("GetMetricStatistics", &form));
        assert_eq!(
            document,
            Some(json!({
                "Dimensions": [{"Name": "a", "Value": "1"}, {"Name": "b", "Value": "2"}],
                "MetricName": "m", "Namespace": "n", "Period": 60, "StartTime": "2026-11-24T12:00:00Z",
                "Statistics": ["Sum", "Minimum", "Average"], "Strange": "x",
            }))
        );
    }

    #[test]
    fn answers_are_nested_elements() {
        let answer =
            json!({"Label": "a&b", "Datapoints": [{"Timestamp": 0.5, "ExtendedStatistics": {"p90": 1.5}}]});
        let xml = model(Service::CloudWatch)
            .map(|model| model.encode_query("GetMetricStatistics", &answer, "r"))
            .unwrap_or_default();
        assert!(
            xml.contains(
                "<GetMetricStatisticsResult><Label>a&amp;b</Label><Datapoints><member>\
                 <Timestamp>1970-01-01T00:00:00.5Z</Timestamp><ExtendedStatistics><entry><key>p90</key>\
                 <value>1.5</value></entry></ExtendedStatistics></member></Datapoints></GetMetricStatisticsResult>"
            ),
            "{xml}"
        );
        assert!(xml.starts_with(
            "<GetMetricStatisticsResponse xmlns=\"http://monitoring.amazonaws.com/doc/2010-08-01/\">"
        ));
    }
}

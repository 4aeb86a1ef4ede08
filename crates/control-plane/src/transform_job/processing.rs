//! DataProcessing: which part of each record goes to the model, how its prediction is joined with
//! the record, and which part of that is stored.
//!
//! Records are CSV rows, JSON lines or one JSON document. A CSV row is a list of its fields; fields
//! keep their quotes, so that what is not touched comes out as it went in.

use sagebrush_types::{Failure, Outcome};
use serde::Deserialize;
use serde_json::{Value, json};

use super::path::Path;
use super::records::Batch;

/// DataProcessing of a request.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(rename_all = "PascalCase", deny_unknown_fields)]
pub struct DataProcessing {
    input_filter: Option<String>,
    output_filter: Option<String>,
    join_source: Option<String>,
}

/// How a record is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Format {
    Csv,
    Json,
    JsonLines,
}

impl Format {
    fn of(media_type: &str) -> Option<Self> {
        let main = media_type.split(';').next().unwrap_or_default().trim().to_ascii_lowercase();
        match main.as_str() {
            "text/csv" => Some(Self::Csv),
            "application/json" => Some(Self::Json),
            "application/jsonlines" | "application/x-jsonlines" => Some(Self::JsonLines),
            _ => None,
        }
    }

    const fn is_csv(self) -> bool {
        matches!(self, Self::Csv)
    }
}

/// What is done with every record.
#[derive(Debug, Clone)]
pub struct Processing {
    input: Path,
    output: Path,
    join: bool,
    from: Format,
    to: Option<Format>,
}

impl Processing {
    /// What a request asks for; `None` when records and predictions pass as they are.
    ///
    /// # Errors
    /// `Invalid` for expressions or media types that cannot be.
    pub fn plan(
        request: &DataProcessing,
        content_type: Option<&str>,
        accept: Option<&str>,
    ) -> Outcome<Option<Self>> {
        let path = |name: &str, text: &Option<String>| {
            Path::parse(text.as_deref().unwrap_or("$"))
                .map_err(|why| Failure::invalid(format!("DataProcessing.{name}: {why}")))
        };
        let input = path("InputFilter", &request.input_filter)?;
        let output = path("OutputFilter", &request.output_filter)?;
        let join = request.join_source.as_deref() == Some("Input");
        if input.is_whole() && output.is_whole() && !join {
            return Ok(None);
        }
        let format = |name: &str, media_type: &str| {
            Format::of(media_type).ok_or_else(|| {
                Failure::invalid(format!(
                    "{name}: DataProcessing works on text/csv, application/json and application/jsonlines, not on '{media_type}'."
                ))
            })
        };
        let from = format("TransformInput.ContentType", content_type.unwrap_or_default())?;
        let to = accept.map(|accept| format("TransformOutput.Accept", accept)).transpose()?;
        if join && to.is_some_and(|to| to.is_csv() != from.is_csv()) {
            return Err(Failure::invalid(
                "DataProcessing.JoinSource: input and predictions can be joined when both are CSV or both are JSON. \
                 Set TransformOutput.Accept to the input's ContentType.",
            ));
        }
        Ok(Some(Self { input, output, join, from, to }))
    }

    /// Are records lines whatever the SplitType says?
    pub const fn by_line(&self) -> bool {
        matches!(self.from, Format::Csv | Format::JsonLines)
    }

    /// What is sent to the model for a payload's records.
    pub fn request(&self, batch: &Batch) -> Result<Vec<u8>, String> {
        if self.input.is_whole() {
            return Ok(batch.body.clone());
        }
        let mut body = Vec::with_capacity(batch.body.len());
        for (index, record) in self.records(batch).enumerate() {
            let place = |why: String| format!("InputFilter: line {}: {why}", batch.first_line + index as u64);
            if index > 0 {
                body.push(b'\n');
            }
            let selected = parse(self.from, record).and_then(|value| self.input.select(&value));
            render(self.from, &selected.map_err(place)?, &mut body);
        }
        Ok(body)
    }

    /// What is stored for a payload: a line for each record, from the model's answer.
    pub fn answer(&self, batch: &Batch, media_type: Option<&str>, answer: &[u8]) -> Result<Vec<u8>, String> {
        let to = self.to.or_else(|| media_type.and_then(Format::of)).unwrap_or(self.from);
        if self.join && to.is_csv() != self.from.is_csv() {
            return Err(
                "The model's answer is in another format than the input and cannot be joined with it. \
                        Set TransformOutput.Accept to the input's ContentType."
                    .into(),
            );
        }
        let documents: Vec<&[u8]> = if to == Format::Json && batch.count() == 1 && !self.by_line() {
            vec![answer]
        } else {
            answer.split(|byte| *byte == b'\n').map(without_return).filter(|line| !line.is_empty()).collect()
        };
        let count = batch.count();
        if documents.len() != count {
            return Err(format!(
                "The model gave {} predictions for {count} records, so they cannot be told apart. Set \
                 TransformOutput.Accept to a format with one line per record, such as application/jsonlines, or \
                 BatchStrategy to SingleRecord.",
                documents.len()
            ));
        }
        let mut body = Vec::with_capacity(answer.len() + if self.join { batch.body.len() } else { 0 });
        for (index, (record, document)) in self.records(batch).zip(documents).enumerate() {
            let place =
                |why: String| format!("OutputFilter: line {}: {why}", batch.first_line + index as u64);
            let prediction = parse(to, document).map_err(place)?;
            let whole = if self.join {
                join(self.from, parse(self.from, record).map_err(place)?, prediction)
            } else {
                prediction
            };
            render(to, &self.output.select(&whole).map_err(place)?, &mut body);
            body.push(b'\n');
        }
        Ok(body)
    }

    fn records<'a>(&self, batch: &'a Batch) -> impl Iterator<Item = &'a [u8]> {
        batch.records().map(without_return)
    }
}

fn without_return(line: &[u8]) -> &[u8] {
    line.strip_suffix(b"\r").unwrap_or(line)
}

fn join(format: Format, input: Value, prediction: Value) -> Value {
    match (input, prediction) {
        (Value::Array(mut fields), Value::Array(more)) if format.is_csv() => {
            fields.extend(more);
            Value::Array(fields)
        }
        (Value::Object(mut members), prediction) => {
            members.insert("SageMakerOutput".into(), prediction);
            Value::Object(members)
        }
        (input, prediction) => json!({"SageMakerInput": input, "SageMakerOutput": prediction}),
    }
}

fn parse(format: Format, record: &[u8]) -> Result<Value, String> {
    if format.is_csv() {
        let text = std::str::from_utf8(record).map_err(|_| "the row is not UTF-8 text".to_owned())?;
        return Ok(fields(text).map(Value::from).collect());
    }
    serde_json::from_slice(record).map_err(|error| format!("it is not valid JSON: {error}"))
}

/// The fields of a row as they are written; a comma inside quotes separates nothing.
fn fields(row: &str) -> impl Iterator<Item = &str> {
    let mut quoted = false;
    row.split(move |c| {
        quoted ^= c == '"';
        c == ',' && !quoted
    })
}

fn render(format: Format, value: &Value, body: &mut Vec<u8>) {
    match value {
        Value::Array(fields) if format.is_csv() => {
            for (index, field) in fields.iter().enumerate() {
                if index > 0 {
                    body.push(b',');
                }
                render(format, field, body);
            }
        }
        // A field of a row, with the quotes it came with.
        Value::String(field) if format.is_csv() => body.extend_from_slice(field.as_bytes()),
        other => body.extend_from_slice(other.to_string().as_bytes()),
    }
}

#[cfg(test)]
mod tests {
    use super::super::records::{Payloads, Plan};
    use super::*;

    fn batch(content: &str, lines: bool) -> Batch {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("object");
        std::fs::write(&path, content).expect("a file");
        let plan = Plan { gzip: false, lines, single: false, limit: 1000 };
        let mut payloads = Payloads::open(&path, plan).expect("an object");
        payloads.next().expect("a payload").unwrap_or_default()
    }

    fn planned(input: &str, output: &str, join: &str, content_type: &str) -> Processing {
        let request = DataProcessing {
            input_filter: Some(input.into()),
            output_filter: Some(output.into()),
            join_source: Some(join.into()),
        };
        Processing::plan(&request, Some(content_type), Some(content_type)).expect("valid").expect("some work")
    }

    fn text(bytes: Result<Vec<u8>, String>) -> Result<String, String> {
        bytes.map(|bytes| String::from_utf8_lossy(&bytes).into_owned())
    }

    #[test]
    fn csv_rows_lose_a_column_and_gain_the_prediction() {
        let processing = planned("$[1:]", "$[0,-1]", "Input", "text/csv");
        let batch = batch("id1,\"a,b\",2\r\nid2,c,3\r\n", true);
        assert_eq!(text(processing.request(&batch)), Ok("\"a,b\",2\nc,3".into()));
        assert_eq!(text(processing.answer(&batch, None, b"0.5\n0.7\n")), Ok("id1,0.5\nid2,0.7\n".into()));
        let short = processing.answer(&batch, None, b"0.5\n");
        assert!(short.is_err_and(|why| why.contains("1 predictions for 2 records")));
    }

    #[test]
    fn json_lines_are_joined_under_their_documented_names() {
        let processing = planned("$.x", "$", "Input", "application/jsonlines");
        let batch = batch("{\"id\":1,\"x\":{\"a\":2}}\n{\"id\":2,\"x\":[3]}\n", true);
        assert_eq!(text(processing.request(&batch)), Ok("{\"a\":2}\n[3]".into()));
        let joined = text(processing.answer(&batch, None, b"{\"s\":1}\n{\"s\":2}"));
        let expected = "{\"id\":1,\"x\":{\"a\":2},\"SageMakerOutput\":{\"s\":1}}\n{\"id\":2,\"x\":[3],\"SageMakerOutput\":{\"s\":2}}\n";
        assert_eq!(joined, Ok(expected.into()));
        let kept = planned("$", "$['id','SageMakerOutput']", "Input", "application/jsonlines");
        let joined = text(kept.answer(&batch, None, b"7\n8\n"));
        assert_eq!(joined, Ok("{\"id\":1,\"SageMakerOutput\":7}\n{\"id\":2,\"SageMakerOutput\":8}\n".into()));
    }

    #[test]
    fn a_json_document_that_is_no_object_is_wrapped() {
        let processing = planned("$", "$", "Input", "application/json");
        let batch = batch("[1,\n2]", false);
        let joined = text(processing.answer(&batch, None, b"{\n\"p\": 3}"));
        assert_eq!(joined, Ok("{\"SageMakerInput\":[1,2],\"SageMakerOutput\":{\"p\":3}}\n".into()));
    }

    #[test]
    fn what_a_record_does_not_have_names_its_line() {
        let processing = planned("$.x", "$", "None", "application/jsonlines");
        let why = processing.request(&batch("\n{\"x\":1}\n{\"y\":1}\n", true));
        assert_eq!(why.err().as_deref(), Some("InputFilter: line 3: there is no attribute 'x'"));
    }

    #[test]
    fn nothing_to_do_is_no_processing_and_other_formats_are_refused() {
        let none = DataProcessing::default();
        assert!(Processing::plan(&none, Some("image/png"), None).is_ok_and(|plan| plan.is_none()));
        let join = DataProcessing { join_source: Some("Input".into()), ..none };
        assert!(Processing::plan(&join, Some("image/png"), None).is_err());
        assert!(Processing::plan(&join, Some("text/csv"), Some("application/json")).is_err());
        assert!(Processing::plan(&join, Some("text/csv; header=absent"), None).is_ok());
    }
}

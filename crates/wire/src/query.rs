//! The query protocol: forms in, XML out.

use std::collections::BTreeMap;

use serde_json::Value;

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

/// The XML answer of an operation: `<XResponse><XResult>…</XResult>…</XResponse>`.
pub fn encode_query_answer(operation: &str, namespace: &str, answer: &Value, request_id: &str) -> String {
    let mut body = String::new();
    element_content(answer, &mut body);
    format!(
        "<{operation}Response xmlns=\"{namespace}\"><{operation}Result>{body}</{operation}Result>\
         <ResponseMetadata><RequestId>{}</RequestId></ResponseMetadata></{operation}Response>",
        escape(request_id)
    )
}

fn element_content(value: &Value, out: &mut String) {
    match value {
        Value::Null => {}
        Value::Object(members) => {
            for (name, member) in members.iter().filter(|(_, member)| !member.is_null()) {
                out.push_str(&format!("<{name}>"));
                element_content(member, out);
                out.push_str(&format!("</{name}>"));
            }
        }
        Value::Array(items) => {
            for item in items {
                out.push_str("<member>");
                element_content(item, out);
                out.push_str("</member>");
            }
        }
        Value::String(text) => out.push_str(&escape(text)),
        other => out.push_str(&other.to_string()),
    }
}

/// Text as XML character data.
pub fn escape(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;").replace('"', "&quot;")
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn forms_are_decoded() {
        let form = decode_form(b"Action=GetCallerIdentity&Version=2011-06-15&x=a+b%2Bc");
        assert_eq!(form.map(|form| form["x"].clone()), Ok("a b+c".to_owned()));
        assert!(decode_form(b"a=%ff").is_err());
    }

    #[test]
    fn answers_are_nested_elements() {
        let xml = encode_query_answer("GetCallerIdentity", "urn:x", &json!({"Arn": "a&b", "L": ["1"]}), "r");
        assert!(xml.contains(
            "<GetCallerIdentityResult><Arn>a&amp;b</Arn><L><member>1</member></L></GetCallerIdentityResult>"
        ));
    }
}

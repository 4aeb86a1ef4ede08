//! The canonical request and the signature over it, shared by signing and verifying.

use hmac::{Hmac, Mac};
use http::HeaderMap;
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, percent_decode_str, utf8_percent_encode};
use sha2::{Digest, Sha256};

/// Characters that Signature Version 4 leaves as they are.
const UNRESERVED: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'.').remove(b'_').remove(b'~');
/// The same within a path, where the slash separates.
const PATH: &AsciiSet = &UNRESERVED.remove(b'/');

/// Lower-case hexadecimal SHA-256.
pub fn sha256_hex(bytes: &[u8]) -> String {
    hex::encode(Sha256::digest(bytes))
}

/// Everything of a request that is signed.
pub struct CanonicalRequest<'a> {
    /// HTTP method.
    pub method: &'a str,
    /// Path as sent, percent-encoded.
    pub path: &'a str,
    /// Query as sent, without the question mark.
    pub query: &'a str,
    /// All headers; only `signed_headers` count.
    pub headers: &'a HeaderMap,
    /// Lower-case names in the order of the Authorization header.
    pub signed_headers: &'a [&'a str],
    /// Hash of the body, or the literal that stands for it.
    pub payload_hash: &'a str,
    /// Service of the credential scope: S3 alone takes the path as it is.
    pub service: &'a str,
}

impl CanonicalRequest<'_> {
    /// The canonical request's text, or the name of a signed header that is missing.
    pub fn text(&self) -> Result<String, String> {
        let mut text =
            format!("{}\n{}\n{}\n", self.method, self.canonical_path(), canonical_query(self.query));
        for name in self.signed_headers {
            let mut values = self.headers.get_all(*name).iter().peekable();
            if values.peek().is_none() {
                return Err((*name).to_owned());
            }
            let joined = values
                .map(|value| collapse_blanks(&String::from_utf8_lossy(value.as_bytes())))
                .collect::<Vec<_>>()
                .join(",");
            text.push_str(name);
            text.push(':');
            text.push_str(&joined);
            text.push('\n');
        }
        text.push('\n');
        text.push_str(&self.signed_headers.join(";"));
        text.push('\n');
        text.push_str(self.payload_hash);
        Ok(text)
    }

    /// S3 signs the path encoded once; every other service normalises it and encodes it again.
    fn canonical_path(&self) -> String {
        let path = if self.path.is_empty() { "/" } else { self.path };
        if self.service == "s3" {
            let decoded: Vec<u8> = percent_decode_str(path).collect();
            return percent_encode(&decoded, PATH);
        }
        utf8_percent_encode(&normalise(path), PATH).to_string()
    }
}

fn percent_encode(bytes: &[u8], set: &'static AsciiSet) -> String {
    percent_encoding::percent_encode(bytes, set).to_string()
}

/// Removes empty, `.` and `..` segments (RFC 3986, as the signing process asks for).
fn normalise(path: &str) -> String {
    let mut kept: Vec<&str> = Vec::new();
    for segment in path.split('/') {
        match segment {
            "" | "." => {}
            ".." => {
                kept.pop();
            }
            other => kept.push(other),
        }
    }
    let mut text = format!("/{}", kept.join("/"));
    if path.ends_with('/') && text.len() > 1 {
        text.push('/');
    }
    text
}

/// Parameters encoded and sorted by name, then value.
fn canonical_query(query: &str) -> String {
    let encode = |text: &str| {
        let decoded: Vec<u8> = percent_decode_str(text).collect();
        percent_encode(&decoded, UNRESERVED)
    };
    let mut pairs: Vec<(String, String)> = query
        .split('&')
        .filter(|pair| !pair.is_empty())
        .map(|pair| {
            let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
            (encode(name), encode(value))
        })
        .collect();
    pairs.sort();
    pairs.iter().map(|(name, value)| format!("{name}={value}")).collect::<Vec<_>>().join("&")
}

fn collapse_blanks(value: &str) -> String {
    value.split(' ').filter(|part| !part.is_empty()).collect::<Vec<_>>().join(" ").trim().to_owned()
}

/// The signature of a canonical request.
///
/// `date_time` is `YYYYMMDDThhmmssZ`, `date` its first eight digits.
pub fn signature(
    secret: &str,
    canonical: &str,
    date_time: &str,
    date: &str,
    region: &str,
    service: &str,
) -> [u8; 32] {
    let scope = format!("{date}/{region}/{service}/aws4_request");
    let to_sign = format!("AWS4-HMAC-SHA256\n{date_time}\n{scope}\n{}", sha256_hex(canonical.as_bytes()));
    let mut key = hmac(format!("AWS4{secret}").as_bytes(), date.as_bytes());
    for part in [region, service, "aws4_request"] {
        key = hmac(&key, part.as_bytes());
    }
    hmac(&key, to_sign.as_bytes())
}

/// HMAC-SHA256.
pub fn hmac(key: &[u8], message: &[u8]) -> [u8; 32] {
    // HMAC takes keys of every length; the error type exists for other constructions.
    let Ok(mut mac) = Hmac::<Sha256>::new_from_slice(key) else { return [0; 32] };
    mac.update(message);
    mac.finalize().into_bytes().into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_are_normalised_and_encoded_twice_outside_s3() {
        let headers = HeaderMap::new();
        let canonical = |path, service| {
            CanonicalRequest {
                method: "GET",
                path,
                query: "",
                headers: &headers,
                signed_headers: &[],
                payload_hash: "",
                service,
            }
            .canonical_path()
        };
        assert_eq!(canonical("/endpoints/a%20b/../c//", "sagemaker"), "/endpoints/c/");
        assert_eq!(canonical("/endpoints/a%20b", "sagemaker"), "/endpoints/a%2520b");
        assert_eq!(canonical("/b/a//c%2B", "s3"), "/b/a//c%2B");
    }

    #[test]
    fn queries_are_sorted_by_encoded_name() {
        assert_eq!(canonical_query("b=2&a=%7e&a=1&c"), "a=1&a=~&b=2&c=");
    }
}

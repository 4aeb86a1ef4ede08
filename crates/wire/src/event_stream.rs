//! Messages of an AWS event stream (`application/vnd.amazon.eventstream`): a prelude of two lengths
//! and its checksum, headers, a payload, and the checksum of everything before it. All numbers are
//! big-endian; the checksums are CRC-32 (ISO-HDLC).
//! Source: "Amazon Event Stream Specification", Smithy 2.0.

use crc_fast::{CrcAlgorithm, checksum};

/// The content type of an event stream.
pub const EVENT_STREAM: &str = "application/vnd.amazon.eventstream";

/// Marks a header's value as text.
const STRING: u8 = 7;
/// Bytes before the headers.
const PRELUDE: usize = 12;

/// A part of an answer: the event `event_type` with bytes as its payload.
pub fn event(event_type: &str, payload: &[u8]) -> Vec<u8> {
    let headers = [
        (":event-type", event_type),
        (":content-type", "application/octet-stream"),
        (":message-type", "event"),
    ];
    message(&headers, payload)
}

/// The modelled error `exception_type` that ends a stream, with its members as JSON.
pub fn exception(exception_type: &str, members: &serde_json::Value) -> Vec<u8> {
    let headers = [
        (":exception-type", exception_type),
        (":content-type", "application/json"),
        (":message-type", "exception"),
    ];
    message(&headers, members.to_string().as_bytes())
}

/// Header names and values are at most 255 and 65,535 bytes; those used here are short constants.
fn message(headers: &[(&str, &str)], payload: &[u8]) -> Vec<u8> {
    let mut block = Vec::new();
    for (name, value) in headers {
        block.push(name.len() as u8);
        block.extend_from_slice(name.as_bytes());
        block.push(STRING);
        block.extend_from_slice(&(value.len() as u16).to_be_bytes());
        block.extend_from_slice(value.as_bytes());
    }
    let total = PRELUDE + block.len() + payload.len() + 4;
    let mut message = Vec::with_capacity(total);
    message.extend_from_slice(&(total as u32).to_be_bytes());
    message.extend_from_slice(&(block.len() as u32).to_be_bytes());
    seal(&mut message);
    message.extend_from_slice(&block);
    message.extend_from_slice(payload);
    seal(&mut message);
    message
}

/// Appends the checksum of everything so far.
fn seal(message: &mut Vec<u8>) {
    let sum = checksum(CrcAlgorithm::Crc32IsoHdlc, message) as u32;
    message.extend_from_slice(&sum.to_be_bytes());
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn an_empty_message_has_the_bytes_of_the_specification() {
        // The specification's own example of a message without headers and payload.
        let expected = [0, 0, 0, 0x10, 0, 0, 0, 0, 0x05, 0xc2, 0x48, 0xeb, 0x7d, 0x98, 0xc8, 0xff];
        assert_eq!(message(&[], &[]), expected);
    }

    #[test]
    fn lengths_count_everything() {
        let message = event("PayloadPart", b"abc");
        assert_eq!(
            u32::from_be_bytes([message[0], message[1], message[2], message[3]]) as usize,
            message.len()
        );
        assert!(message.windows(3).any(|window| window == b"abc"));
        let failed = exception("ModelStreamError", &json!({"Message": "x"}));
        assert!(failed.windows(15).any(|window| window == br#"{"Message":"x"}"#));
    }
}

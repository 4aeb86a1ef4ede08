//! Writing of answers: `{"predictions": [{"<key>": [..]}, ...]}`, or one object per line.

use crate::InvokeFailure;
use crate::contract::Format;

/// Room reserved for one number.
const NUMBER: usize = 14;
/// Most bytes reserved at once; a longer answer grows.
const MAX_RESERVED: usize = 64 << 20;

/// An answer in the making.
pub(super) struct Writer {
    format: Format,
    key: &'static str,
    body: Vec<u8>,
    entries: usize,
}

impl Writer {
    /// For `entries` entries of `width` numbers each.
    pub(super) fn new(format: Format, key: &'static str, entries: usize, width: usize) -> Self {
        let room = entries.saturating_mul(width.saturating_mul(NUMBER).saturating_add(16));
        let mut body = Vec::with_capacity(room.min(MAX_RESERVED));
        if format == Format::Json {
            body.extend_from_slice(b"{\"predictions\": [");
        }
        Self { format, key, body, entries: 0 }
    }

    /// Adds one entry.
    pub(super) fn entry(&mut self, values: &[f32]) -> Result<(), InvokeFailure> {
        if let Some(value) = values.iter().find(|value| !value.is_finite()) {
            return Err(InvokeFailure {
                status: 500,
                message: format!(
                    "The model's output for instance {} is {value}, which JSON cannot hold",
                    self.entries
                ),
            });
        }
        if self.format == Format::Json && self.entries > 0 {
            self.body.extend_from_slice(b", ");
        }
        self.body.extend_from_slice(b"{\"");
        self.body.extend_from_slice(self.key.as_bytes());
        self.body.extend_from_slice(b"\": [");
        for (index, &value) in values.iter().enumerate() {
            if index > 0 {
                self.body.extend_from_slice(b", ");
            }
            // Writing into a vector cannot fail, and the value is finite.
            let _ = serde_json::to_writer(&mut self.body, &value);
        }
        self.body.extend_from_slice(if self.format == Format::Json { b"]}" } else { b"]}\n" });
        self.entries += 1;
        Ok(())
    }

    /// The whole answer.
    pub(super) fn finish(mut self) -> Vec<u8> {
        if self.format == Format::Json {
            self.body.extend_from_slice(b"]}");
        }
        self.body
    }
}

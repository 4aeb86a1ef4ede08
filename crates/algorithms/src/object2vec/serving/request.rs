//! Reading of requests.

use serde::Deserialize;
use serde_json::{Map, Value};

use crate::InvokeFailure;
use crate::contract::{Format, format_named};
use crate::object2vec::dataset::{SIDES, Tokens, check_ids, ids};

/// Most tokens that `infer_max_seqlens` may allow.
const MAX_SEQ_LEN: usize = 5000;
/// Most instances in one request.
const MAX_INSTANCES: usize = 1_000_000;

/// What a request must fit into.
pub(super) struct Limits {
    pub max_seq_lens: [usize; 2],
    pub vocab: [usize; 2],
}

/// What a request asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Mode {
    Pairs,
    Single(usize),
}

/// The instances of one request; in a request about single objects the other side is empty.
pub(super) struct Instances {
    pub mode: Mode,
    pub sides: [Tokens; 2],
}

/// A content type that is understood.
#[derive(Debug, PartialEq)]
pub(super) struct Media {
    pub format: Format,
    pub max_seq_lens: Option<[usize; 2]>,
}

/// Reads a content type with its parameters.
pub(super) fn media_type(text: &str) -> Result<Media, InvokeFailure> {
    let mut parts = text.split(';');
    let format = format_named(parts.next().unwrap_or_default())?;
    let mut max_seq_lens = None;
    for part in parts {
        let (key, value) = part.split_once('=').unwrap_or((part, ""));
        if key.trim().eq_ignore_ascii_case("infer_max_seqlens") {
            max_seq_lens = Some(sequence_lengths(value.trim().trim_matches('"'))?);
        }
    }
    Ok(Media { format, max_seq_lens })
}

fn sequence_lengths(text: &str) -> Result<[usize; 2], InvokeFailure> {
    let length = |part: &str| part.trim().parse().ok().filter(|n| (1..=MAX_SEQ_LEN).contains(n));
    text.split_once(',').and_then(|(first, second)| Some([length(first)?, length(second)?])).ok_or_else(|| {
        InvokeFailure::bad(format!(
            "infer_max_seqlens: '{text}' is not two whole numbers from 1 to {MAX_SEQ_LEN}, separated by a comma"
        ))
    })
}

/// One instance as it is usually sent; other keys are passed over.
#[derive(Deserialize)]
struct Usual {
    in0: Option<Vec<u32>>,
    in1: Option<Vec<u32>>,
}

#[derive(Deserialize)]
struct UsualBody {
    instances: Vec<Usual>,
}

/// Collects instances and makes sure that they all are of one kind.
struct Collector<'a> {
    limits: &'a Limits,
    mode: Option<Mode>,
    sides: [Tokens; 2],
}

impl Collector<'_> {
    fn add(&mut self, instance: &Usual) -> Result<(), String> {
        let lists = [instance.in0.as_deref(), instance.in1.as_deref()];
        let mode = match lists {
            [Some(_), Some(_)] => Mode::Pairs,
            [Some(_), None] => Mode::Single(0),
            [None, Some(_)] => Mode::Single(1),
            [None, None] => return Err("neither key 'in0' nor key 'in1' is present".to_owned()),
        };
        if *self.mode.get_or_insert(mode) != mode {
            return Err(
                "it has other keys than the instances before it; in one request all must have the same"
                    .into(),
            );
        }
        for (side, list) in lists.into_iter().enumerate() {
            let Some(list) = list else { continue };
            if list.is_empty() {
                return Err(format!("key '{}': the list of token ids is empty", SIDES[side]));
            }
            check_ids(SIDES[side], list, self.limits.vocab[side])?;
            self.sides[side].push(&list[..list.len().min(self.limits.max_seq_lens[side])]);
        }
        Ok(())
    }
}

/// Reads all instances of a body.
pub(super) fn instances(format: Format, body: &[u8], limits: &Limits) -> Result<Instances, InvokeFailure> {
    let mut collector = Collector { limits, mode: None, sides: Default::default() };
    match format {
        Format::Json => json(body, &mut collector)?,
        Format::JsonLines => json_lines(body, &mut collector)?,
    }
    match collector.mode {
        Some(mode) => Ok(Instances { mode, sides: collector.sides }),
        None => Err(InvokeFailure::bad("The request has no instances")),
    }
}

fn json(body: &[u8], collector: &mut Collector<'_>) -> Result<(), InvokeFailure> {
    let bad = |index: usize, what: String| InvokeFailure::bad(format!("Instance {index}: {what}"));
    let instances = match serde_json::from_slice::<UsualBody>(body) {
        Ok(usual) => usual.instances,
        Err(_) => explained(body)?,
    };
    if instances.len() > MAX_INSTANCES {
        return Err(InvokeFailure::bad(format!("A request may have at most {MAX_INSTANCES} instances")));
    }
    instances
        .iter()
        .enumerate()
        .try_for_each(|(index, instance)| collector.add(instance).map_err(|what| bad(index, what)))
}

/// Reads a body that is not of the usual shape, to find words for what is wrong with it.
fn explained(body: &[u8]) -> Result<Vec<Usual>, InvokeFailure> {
    let value: Value = serde_json::from_slice(body)
        .map_err(|e| InvokeFailure::bad(format!("The request is not JSON: {e}")))?;
    let list = value.get("instances").and_then(Value::as_array).ok_or_else(|| {
        InvokeFailure::bad("The request must be a JSON object with a list under the key 'instances'")
    })?;
    list.iter()
        .enumerate()
        .map(|(index, item)| {
            usual(item).map_err(|what| InvokeFailure::bad(format!("Instance {index}: {what}")))
        })
        .collect()
}

fn usual(item: &Value) -> Result<Usual, String> {
    let object: &Map<String, Value> = item.as_object().ok_or("it is not a JSON object")?;
    let side = |key: &str| -> Result<Option<Vec<u32>>, String> {
        let Some(value) = object.get(key) else {
            return Ok(None);
        };
        let mut list = Vec::new();
        ids(key, value, &mut list)?;
        Ok(Some(list))
    };
    Ok(Usual { in0: side(SIDES[0])?, in1: side(SIDES[1])? })
}

fn json_lines(body: &[u8], collector: &mut Collector<'_>) -> Result<(), InvokeFailure> {
    let mut count = 0;
    for (index, line) in body.split(|&byte| byte == b'\n').enumerate() {
        if line.iter().all(u8::is_ascii_whitespace) {
            continue;
        }
        count += 1;
        if count > MAX_INSTANCES {
            return Err(InvokeFailure::bad(format!("A request may have at most {MAX_INSTANCES} instances")));
        }
        let instance = match serde_json::from_slice::<Usual>(line) {
            Ok(instance) => Ok(instance),
            Err(_) => serde_json::from_slice::<Value>(line)
                .map_err(|e| format!("it is not JSON: {e}"))
                .and_then(|value| usual(&value)),
        };
        instance
            .and_then(|instance| collector.add(&instance))
            .map_err(|what| InvokeFailure::bad(format!("Line {}: {what}", index + 1)))?;
    }
    Ok(())
}

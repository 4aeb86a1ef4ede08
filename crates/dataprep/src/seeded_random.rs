//! `seeded_random(seed, key, ...)`: a number in [0, 1) that depends on nothing but its arguments.
//!
//! Ordering rows by it is a shuffle, and comparing it with a threshold is a sample, that come out the same on every
//! machine, in every version and in whatever order the rows arrive.
//!
//! The hash, which must never change: a 64-bit state starts at 0. Every argument is turned into 64-bit words: a tag
//! (null 0, false 1, true 2, integer 3, float 4, text 5), then for an integer its two's complement value, for a float
//! its IEEE 754 bits (−0 as 0, every NaN as one), for a text its length in bytes and its bytes, eight to a word,
//! little-endian, the last word filled with zeros. Every word `w` changes the state to
//! `mix((state + 0x9E3779B97F4A7C15) ^ w)`, where `mix` is the finaliser of SplitMix64 (Steele, Lea and Flood, 2014:
//! "Fast splittable pseudorandom number generators"). The result is the upper 53 bits of `mix(state)` over 2^53.

use std::sync::Arc;

use datafusion::arrow::array::{Array, ArrayRef, AsArray, Float64Array};
use datafusion::arrow::compute::cast;
use datafusion::arrow::datatypes::{DataType, Float64Type, Int64Type};
use datafusion::common::{Result, ScalarValue, exec_err, plan_err};
use datafusion::logical_expr::{
    ColumnarValue, ScalarFunctionArgs, ScalarUDF, ScalarUDFImpl, Signature, Volatility,
};

/// The state of the hash described at the top of this file.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct SeedHash(u64);

impl SeedHash {
    fn word(&mut self, word: u64) {
        self.0 = mix(self.0.wrapping_add(0x9E37_79B9_7F4A_7C15) ^ word);
    }

    /// Adds a missing value.
    pub fn null(&mut self) {
        self.word(0);
    }

    /// Adds a truth value.
    pub fn boolean(&mut self, value: bool) {
        self.word(1 + u64::from(value));
    }

    /// Adds an integer.
    pub fn integer(&mut self, value: i64) {
        self.word(3);
        self.word(value.cast_unsigned());
    }

    /// Adds a float.
    pub fn float(&mut self, value: f64) {
        self.word(4);
        self.word(if value.is_nan() { f64::NAN.to_bits() & !(1 << 63) } else { (value + 0.0).to_bits() });
    }

    /// Adds a text.
    pub fn text(&mut self, value: &str) {
        self.word(5);
        self.word(value.len() as u64);
        for part in value.as_bytes().chunks(8) {
            let mut word = [0; 8];
            word[..part.len()].copy_from_slice(part);
            self.word(u64::from_le_bytes(word));
        }
    }

    /// The number in [0, 1) for what was added so far.
    #[must_use]
    pub fn unit(self) -> f64 {
        (mix(self.0) >> 11) as f64 / (1_u64 << 53) as f64
    }
}

const fn mix(mut z: u64) -> u64 {
    z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
    z ^ (z >> 31)
}

/// The SQL function `seeded_random(seed, key, ...)`.
#[must_use]
pub fn seeded_random() -> ScalarUDF {
    ScalarUDF::from(SeededRandom { signature: Signature::variadic_any(Volatility::Immutable) })
}

#[derive(Debug, PartialEq, Eq, Hash)]
struct SeededRandom {
    signature: Signature,
}

impl ScalarUDFImpl for SeededRandom {
    fn name(&self) -> &str {
        "seeded_random"
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn return_type(&self, arguments: &[DataType]) -> Result<DataType> {
        for (index, kind) in arguments.iter().enumerate() {
            if hashed_as(kind).is_none() {
                return plan_err!(
                    "seeded_random: argument {} has type {kind}; cast it to VARCHAR",
                    index + 1
                );
            }
        }
        Ok(DataType::Float64)
    }

    fn invoke_with_args(&self, call: ScalarFunctionArgs) -> Result<ColumnarValue> {
        let constant = call.args.iter().all(|argument| matches!(argument, ColumnarValue::Scalar(_)));
        let rows = if constant { 1 } else { call.number_rows };
        let mut states = vec![SeedHash::default(); rows];
        for argument in &call.args {
            match argument {
                ColumnarValue::Array(column) => {
                    let mut states = states.iter_mut();
                    each(column, &mut |value| {
                        if let Some(state) = states.next() {
                            value.add_to(state);
                        }
                    })?;
                }
                ColumnarValue::Scalar(scalar) => each(&scalar.to_array()?, &mut |value| {
                    states.iter_mut().for_each(|state| value.add_to(state));
                })?,
            }
        }
        if constant {
            return Ok(ColumnarValue::Scalar(ScalarValue::Float64(states.first().map(|state| state.unit()))));
        }
        let numbers = Float64Array::from_iter_values(states.into_iter().map(SeedHash::unit));
        Ok(ColumnarValue::Array(Arc::new(numbers)))
    }
}

/// One value, as it is hashed.
#[derive(Clone, Copy)]
enum Value<'a> {
    Null,
    Boolean(bool),
    Integer(i64),
    Float(f64),
    Text(&'a str),
}

impl Value<'_> {
    fn add_to(self, state: &mut SeedHash) {
        match self {
            Self::Null => state.null(),
            Self::Boolean(value) => state.boolean(value),
            Self::Integer(value) => state.integer(value),
            Self::Float(value) => state.float(value),
            Self::Text(value) => state.text(value),
        }
    }
}

/// The type whose values stand for those of `kind`; `None` for a type that is not hashed.
fn hashed_as(kind: &DataType) -> Option<DataType> {
    match kind {
        DataType::Null | DataType::Boolean => Some(kind.clone()),
        DataType::UInt64 => Some(DataType::UInt64),
        _ if kind.is_integer() => Some(DataType::Int64),
        DataType::Float16 | DataType::Float32 | DataType::Float64 => Some(DataType::Float64),
        DataType::Utf8 | DataType::LargeUtf8 | DataType::Utf8View => Some(DataType::Utf8View),
        DataType::Dictionary(_, values) => hashed_as(values),
        _ => None,
    }
}

/// Calls `take` with every value of a column, in order.
fn each(column: &ArrayRef, take: &mut dyn FnMut(Value<'_>)) -> Result<()> {
    let Some(kind) = hashed_as(column.data_type()) else {
        return exec_err!("seeded_random does not take a {}", column.data_type());
    };
    let column = if *column.data_type() == kind { Arc::clone(column) } else { cast(column, &kind)? };
    match kind {
        DataType::Boolean => {
            column.as_boolean().iter().for_each(|value| take(value.map_or(Value::Null, Value::Boolean)))
        }
        DataType::Int64 => {
            let column = column.as_primitive::<Int64Type>();
            column.iter().for_each(|value| take(value.map_or(Value::Null, Value::Integer)));
        }
        DataType::UInt64 => {
            let column = column.as_primitive::<datafusion::arrow::datatypes::UInt64Type>();
            column.iter().for_each(|value| {
                take(value.map_or(Value::Null, |value| Value::Integer(value.cast_signed())))
            });
        }
        DataType::Float64 => {
            let column = column.as_primitive::<Float64Type>();
            column.iter().for_each(|value| take(value.map_or(Value::Null, Value::Float)));
        }
        DataType::Utf8View => {
            let column = column.as_string_view();
            column.iter().for_each(|value| take(value.map_or(Value::Null, Value::Text)));
        }
        _ => (0..column.len()).for_each(|_| take(Value::Null)),
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use datafusion::prelude::SessionContext;

    use super::*;

    /// The hash written once more, straight from the description at the top of the file.
    fn by_description(words: &[u64]) -> f64 {
        fn finish(z: u64) -> u64 {
            let z = u128::from(z ^ (z >> 30)) * 0xBF58_476D_1CE4_E5B9;
            let z = (z & u128::from(u64::MAX)) as u64;
            let z = u128::from(z ^ (z >> 27)) * 0x94D0_49BB_1331_11EB;
            let z = (z & u128::from(u64::MAX)) as u64;
            z ^ (z >> 31)
        }
        let state =
            words.iter().fold(0_u64, |state, word| finish(state.wrapping_add(0x9E37_79B9_7F4A_7C15) ^ word));
        (finish(state) >> 11) as f64 / 9_007_199_254_740_992.0
    }

    async fn sql(expression: &str) -> Result<f64> {
        let context = SessionContext::new();
        context.register_udf(seeded_random());
        let batches = context.sql(&format!("SELECT {expression} AS x")).await?.collect().await?;
        Ok(batches[0].column(0).as_primitive::<Float64Type>().value(0))
    }

    #[tokio::test]
    async fn the_hash_is_the_described_one() {
        assert_eq!(sql("seeded_random(7)").await.unwrap(), by_description(&[3, 7]));
        let text = u64::from_le_bytes(*b"abcdefgh");
        assert_eq!(
            sql("seeded_random(7, 'abcdefghi')").await.unwrap(),
            by_description(&[3, 7, 5, 9, text, u64::from(b'i')])
        );
        assert_eq!(sql("seeded_random(NULL, true, -0.0)").await.unwrap(), by_description(&[0, 2, 4, 0]));
        assert_eq!(sql("seeded_random(1.5)").await.unwrap(), by_description(&[4, 1.5_f64.to_bits()]));
    }

    #[tokio::test]
    async fn values_never_change() {
        // Pinned: a change here would change everybody's splits.
        assert_eq!(sql("seeded_random(42, 'u1', 'b1')").await.unwrap().to_bits(), PINNED);
    }
    const PINNED: u64 = 4_592_867_905_615_652_432;

    #[tokio::test]
    async fn columns_give_what_single_values_give() {
        let context = SessionContext::new();
        context.register_udf(seeded_random());
        let query = "SELECT seeded_random(3, k, v) AS x FROM (VALUES (1, 'a'), (2, NULL), (NULL, 'long text that is not inlined')) AS t(k, v)";
        let batches = context.sql(query).await.unwrap().collect().await.unwrap();
        let column = batches[0].column(0).as_primitive::<Float64Type>().clone();
        assert_eq!(column.value(0), sql("seeded_random(3, 1, 'a')").await.unwrap());
        assert_eq!(column.value(1), sql("seeded_random(3, 2, NULL)").await.unwrap());
        assert_eq!(
            column.value(2),
            sql("seeded_random(3, NULL, 'long text that is not inlined')").await.unwrap()
        );
        assert!(sql("seeded_random(make_array(1))").await.is_err());
    }

    #[test]
    fn numbers_are_spread_evenly() {
        let mut bins = [0_u32; 16];
        let n = 160_000;
        for key in 0..n {
            let mut hash = SeedHash::default();
            hash.integer(1);
            hash.text(&key.to_string());
            let unit = hash.unit();
            assert!((0.0..1.0).contains(&unit));
            bins[(unit * 16.0) as usize] += 1;
        }
        // Expected 10,000 per bin with standard deviation 97: six of them.
        assert!(bins.iter().all(|count| count.abs_diff(10_000) < 600), "{bins:?}");
    }
}

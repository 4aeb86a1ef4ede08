//! `ensure(condition, message)`: lets a script stop the job with a sentence of its own.
//!
//! Promises: true where the condition is true; where it is false or null the query fails and the message is the
//! reason. It is evaluated when the statement runs, never before.

use datafusion::arrow::array::{Array, AsArray};
use datafusion::arrow::datatypes::DataType;
use datafusion::common::{Result, ScalarValue, exec_err};
use datafusion::logical_expr::{
    ColumnarValue, ScalarFunctionArgs, ScalarUDF, ScalarUDFImpl, Signature, Volatility,
};

/// The SQL function `ensure(condition, message)`.
pub(crate) fn ensure() -> ScalarUDF {
    ScalarUDF::from(Ensure {
        signature: Signature::exact(vec![DataType::Boolean, DataType::Utf8View], Volatility::Volatile),
    })
}

#[derive(Debug, PartialEq, Eq, Hash)]
struct Ensure {
    signature: Signature,
}

impl ScalarUDFImpl for Ensure {
    fn name(&self) -> &str {
        "ensure"
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn return_type(&self, _arguments: &[DataType]) -> Result<DataType> {
        Ok(DataType::Boolean)
    }

    fn invoke_with_args(&self, call: ScalarFunctionArgs) -> Result<ColumnarValue> {
        let columns = ColumnarValue::values_to_arrays(&call.args)?;
        let [conditions, messages] = columns.as_slice() else {
            return exec_err!("ensure takes a condition and a message");
        };
        let conditions = conditions.as_boolean();
        let messages = messages.as_string_view();
        for (row, condition) in conditions.iter().enumerate() {
            if condition != Some(true) {
                let message = if messages.is_null(row) {
                    "a condition of the script does not hold"
                } else {
                    messages.value(row)
                };
                return exec_err!("{message}");
            }
        }
        Ok(ColumnarValue::Scalar(ScalarValue::Boolean(Some(true))))
    }
}

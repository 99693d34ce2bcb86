//! Predicates over record batches, by Arrow's kernels.

use arrow::array::{Array, ArrayRef, BooleanArray, Scalar};
use arrow::compute::kernels::boolean::{and_kleene, is_null, not, or_kleene};
use arrow::compute::kernels::cmp::{eq, gt, gt_eq, lt, lt_eq, neq};
use arrow::compute::kernels::comparison::starts_with;
use arrow::error::ArrowError;

use super::{ColumnRef, Comparison, Filter, Predicate, Value};
use crate::consume::reader::OutputColumn;

/// Where the arrays of a batch come from.
type Columns<'a> = dyn Fn(OutputColumn) -> Option<ArrayRef> + 'a;

impl Filter {
    /// Of each of `rows` rows, whether the predicate is true; `columns` gives the arrays of [`Filter::columns`].
    ///
    /// # Errors
    /// If an array is missing, or has not its column's type.
    pub(crate) fn mask(&self, rows: usize, columns: &Columns<'_>) -> Result<BooleanArray, ArrowError> {
        let found = self.predicate.evaluate(rows, columns)?;
        let values = match found.nulls() {
            Some(nulls) => found.values() & nulls.inner(),
            None => found.values().clone(),
        };
        Ok(BooleanArray::new(values, None))
    }
}

impl Predicate {
    fn evaluate(&self, rows: usize, columns: &Columns<'_>) -> Result<BooleanArray, ArrowError> {
        match self {
            Self::Constant(value) => Ok(BooleanArray::from(vec![*value; rows])),
            Self::Not(inner) => not(&inner.evaluate(rows, columns)?),
            Self::All(parts) => fold(parts, Some(true), and_kleene, rows, columns),
            Self::Any(parts) => fold(parts, Some(false), or_kleene, rows, columns),
            Self::IsNull(column) => is_null(&array(column, columns)?),
            Self::Compare(column, op, value) => {
                let (array, value) = (array(column, columns)?, scalar(column, value)?);
                match op {
                    Comparison::Equal => eq(&array, &value),
                    Comparison::NotEqual => neq(&array, &value),
                    Comparison::Less => lt(&array, &value),
                    Comparison::LessOrEqual => lt_eq(&array, &value),
                    Comparison::Greater => gt(&array, &value),
                    Comparison::GreaterOrEqual => gt_eq(&array, &value),
                }
            }
            Self::In(column, values) => {
                let array = array(column, columns)?;
                let mut found: Option<BooleanArray> = None;
                for value in values {
                    let equal = eq(&array, &scalar(column, value)?)?;
                    found = Some(match found {
                        None => equal,
                        Some(found) => or_kleene(&found, &equal)?,
                    });
                }
                Ok(found.unwrap_or_else(|| BooleanArray::from(vec![Some(false); rows])))
            }
            Self::Prefix(column, prefix) => {
                let prefix = scalar(column, &Value::Text(prefix.clone()))?;
                starts_with(&array(column, columns)?, &prefix)
            }
        }
    }
}

fn fold(
    parts: &[Predicate],
    neutral: Option<bool>,
    joint: fn(&BooleanArray, &BooleanArray) -> Result<BooleanArray, ArrowError>,
    rows: usize,
    columns: &Columns<'_>,
) -> Result<BooleanArray, ArrowError> {
    let mut parts = parts.iter();
    let Some(first) = parts.next() else {
        return Ok(BooleanArray::from(vec![neutral; rows]));
    };
    let mut found = first.evaluate(rows, columns)?;
    for part in parts {
        found = joint(&found, &part.evaluate(rows, columns)?)?;
    }
    Ok(found)
}

fn array(column: &ColumnRef, columns: &Columns<'_>) -> Result<ArrayRef, ArrowError> {
    columns(column.source)
        .ok_or_else(|| ArrowError::InvalidArgumentError("a filter's column was not read".to_owned()))
}

fn scalar(column: &ColumnRef, value: &Value) -> Result<Scalar<ArrayRef>, ArrowError> {
    let array = value.array(&column.ty);
    let wrong = || ArrowError::InvalidArgumentError(format!("a value of a filter is no {}", column.ty));
    array.map(Scalar::new).ok_or_else(wrong)
}

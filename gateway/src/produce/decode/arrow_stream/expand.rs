//! Dictionaries and views → plain values, spending first what they expand to: a few bytes of keys may name the same long
//! value a million times.

use arrow::array::cast::AsArray;
use arrow::array::{Array, ArrayRef};
use arrow::compute::cast;
use arrow::datatypes::DataType;
use arrow::error::ArrowError;

use crate::error::Problem;
use crate::produce::decode::errors::{Budget, Stop};

/// The array with its dictionary or views undone; any other as it is.
pub(super) fn expand(array: &ArrayRef, budget: &mut Budget) -> Result<ArrayRef, Stop> {
    match array.data_type() {
        DataType::Dictionary(_, values) => {
            budget.spend(dictionary_bytes(array, values)?)?;
            cast(array, values).map_err(|error| refused(&error))
        }
        DataType::Utf8View => {
            budget.spend(view_bytes(array.as_string_view().views()))?;
            cast(array, &DataType::Utf8).map_err(|error| refused(&error))
        }
        DataType::BinaryView => {
            budget.spend(view_bytes(array.as_binary_view().views()))?;
            cast(array, &DataType::Binary).map_err(|error| refused(&error))
        }
        _ => Ok(ArrayRef::clone(array)),
    }
}

/// A view's low 32 bits are its length.
fn view_bytes(views: &[u128]) -> usize {
    let length = |view: &u128| usize::try_from(view & 0xFFFF_FFFF).unwrap_or(usize::MAX);
    views.iter().map(length).fold(0, usize::saturating_add)
}

fn dictionary_bytes(array: &ArrayRef, values_type: &DataType) -> Result<usize, Stop> {
    let dictionary = array.as_any_dictionary();
    let values = dictionary.values();
    if values.is_empty() {
        return Ok(array.len().saturating_mul(8));
    }
    if let Some(width) = values_type.primitive_width() {
        return Ok(array.len().saturating_mul(width));
    }
    let lengths: Vec<usize> = match values_type {
        DataType::Utf8 => lengths(values.as_string::<i32>().value_offsets()),
        DataType::LargeUtf8 => lengths(values.as_string::<i64>().value_offsets()),
        DataType::Binary => lengths(values.as_binary::<i32>().value_offsets()),
        DataType::LargeBinary => lengths(values.as_binary::<i64>().value_offsets()),
        DataType::Boolean => vec![1; values.len()],
        DataType::FixedSizeBinary(width) => vec![usize::try_from(*width).unwrap_or(usize::MAX); values.len()],
        other => return Err(Problem::unsupported(format!("Arrow dictionaries of {other}")).into()),
    };
    let bytes = |key: usize| lengths.get(key).copied().unwrap_or(0).saturating_add(8);
    Ok(dictionary.normalized_keys().into_iter().map(bytes).fold(0, usize::saturating_add))
}

fn lengths<O: Copy + std::ops::Sub<Output = O> + TryInto<usize>>(offsets: &[O]) -> Vec<usize> {
    offsets.windows(2).map(|pair| (pair[1] - pair[0]).try_into().unwrap_or(usize::MAX)).collect()
}

fn refused(error: &ArrowError) -> Stop {
    Problem::malformed(format!("the Arrow stream cannot be read: {error}")).into()
}

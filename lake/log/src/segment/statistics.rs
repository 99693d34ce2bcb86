//! Statistics of columns: nulls, and bounds as Iceberg's single-value bytes.
//!
//! | type | bytes |
//! |---|---|
//! | BOOLEAN | `00` or `01` |
//! | INT, BIGINT, REAL, DOUBLE, DATE, TIME, TIMESTAMP | 4 or 8 bytes, little-endian |
//! | DECIMAL | the unscaled value, two's complement, big-endian, in as few bytes as it needs |
//! | STRING, BINARY, FIXED, UUID | the bytes, cut to 16; a cut upper bound is rounded up |
//!
//! A bound holds for every value. Comparisons place NaN now above, now below all numbers; so NaN is no bound, and a
//! column with a NaN has none. Nested types have no bounds.

use arrow::array::{Array, ArrayRef, ArrowPrimitiveType, AsArray, PrimitiveArray};
use arrow::compute;
use arrow::datatypes::{
    ArrowNumericType, DataType, Date32Type, Decimal128Type, Float32Type, Float64Type, Int32Type, Int64Type,
    Time64MicrosecondType, TimeUnit, TimestampMicrosecondType, TimestampNanosecondType,
};
use arrow::record_batch::RecordBatch;

use crate::format::slice::ColumnStatistics;
use crate::id::FieldId;

/// The most bytes of a bound of a string or binary.
pub const BOUND_BYTES_MAX: usize = 16;

/// Statistics of each column over all batches, which all have these columns.
pub fn of_columns(columns: &[FieldId], batches: &[RecordBatch]) -> Vec<ColumnStatistics> {
    let of_column = |(position, field): (usize, &FieldId)| {
        let arrays: Vec<&ArrayRef> = batches.iter().map(|batch| batch.column(position)).collect();
        let nulls = arrays.iter().map(|array| array.logical_null_count()).sum::<usize>();
        let (min, max) = bounds(&arrays).unwrap_or_default();
        // A slice has at most u32::MAX rows.
        ColumnStatistics { field: *field, nulls: u32::try_from(nulls).unwrap_or(u32::MAX), min, max }
    };
    columns.iter().enumerate().map(of_column).collect()
}

type Bounds = (Vec<u8>, Vec<u8>);

/// The least and greatest value of arrays of one type; `None` if there is none or no order.
fn bounds(arrays: &[&ArrayRef]) -> Option<Bounds> {
    match arrays.first()?.data_type() {
        DataType::Boolean => {
            let each = arrays.iter().map(|array| array.as_boolean());
            let ends = each.filter_map(|array| compute::min_boolean(array).zip(compute::max_boolean(array)));
            widest(ends).map(|(min, max)| (vec![u8::from(min)], vec![u8::from(max)]))
        }
        DataType::Int32 => numbers::<Int32Type, 4>(arrays, i32::to_le_bytes),
        DataType::Date32 => numbers::<Date32Type, 4>(arrays, i32::to_le_bytes),
        DataType::Int64 => numbers::<Int64Type, 8>(arrays, i64::to_le_bytes),
        DataType::Time64(TimeUnit::Microsecond) => {
            numbers::<Time64MicrosecondType, 8>(arrays, i64::to_le_bytes)
        }
        DataType::Timestamp(TimeUnit::Microsecond, _) => {
            numbers::<TimestampMicrosecondType, 8>(arrays, i64::to_le_bytes)
        }
        DataType::Timestamp(TimeUnit::Nanosecond, _) => {
            numbers::<TimestampNanosecondType, 8>(arrays, i64::to_le_bytes)
        }
        DataType::Float32 => floats::<Float32Type>(arrays, f32::is_nan, f32::total_cmp)
            .map(|(min, max)| (min.to_le_bytes().to_vec(), max.to_le_bytes().to_vec())),
        DataType::Float64 => floats::<Float64Type>(arrays, f64::is_nan, f64::total_cmp)
            .map(|(min, max)| (min.to_le_bytes().to_vec(), max.to_le_bytes().to_vec())),
        DataType::Decimal128(_, _) => {
            let ends = arrays.iter().filter_map(|array| ends(array.as_primitive::<Decimal128Type>()));
            widest(ends).map(|(min, max)| (decimal_bytes(min), decimal_bytes(max)))
        }
        DataType::Utf8 => {
            let each = arrays.iter().map(|array| array.as_string::<i32>());
            let ends = each.filter_map(|array| compute::min_string(array).zip(compute::max_string(array)));
            widest(ends).map(|(min, max)| (string_below(min), string_above(max)))
        }
        DataType::Binary => {
            let each = arrays.iter().map(|array| array.as_binary::<i32>());
            let ends = each.filter_map(|array| compute::min_binary(array).zip(compute::max_binary(array)));
            widest(ends).map(|(min, max)| (bytes_below(min), bytes_above(max)))
        }
        DataType::FixedSizeBinary(_) => {
            let each = arrays.iter().map(|array| array.as_fixed_size_binary());
            let ends = each.filter_map(|array| {
                compute::min_fixed_size_binary(array).zip(compute::max_fixed_size_binary(array))
            });
            widest(ends).map(|(min, max)| (bytes_below(min), bytes_above(max)))
        }
        _ => None,
    }
}

fn widest<T: PartialOrd>(ends: impl Iterator<Item = (T, T)>) -> Option<(T, T)> {
    ends.reduce(|(min, max), (low, high)| {
        (if low < min { low } else { min }, if high > max { high } else { max })
    })
}

fn ends<T: ArrowNumericType>(array: &PrimitiveArray<T>) -> Option<(T::Native, T::Native)> {
    compute::min(array).zip(compute::max(array))
}

fn numbers<T: ArrowNumericType, const N: usize>(
    arrays: &[&ArrayRef],
    to_bytes: fn(T::Native) -> [u8; N],
) -> Option<Bounds> {
    let ends = arrays.iter().filter_map(|array| ends(array.as_primitive::<T>()));
    widest(ends).map(|(min, max)| (to_bytes(min).to_vec(), to_bytes(max).to_vec()))
}

/// The ends of floating point arrays, −0 below +0; `None` if a value is NaN.
fn floats<T: ArrowPrimitiveType>(
    arrays: &[&ArrayRef],
    is_nan: fn(T::Native) -> bool,
    order: fn(&T::Native, &T::Native) -> std::cmp::Ordering,
) -> Option<(T::Native, T::Native)> {
    let mut ends: Option<(T::Native, T::Native)> = None;
    for value in arrays.iter().flat_map(|array| array.as_primitive::<T>().iter().flatten()) {
        if is_nan(value) {
            return None;
        }
        ends = Some(match ends {
            None => (value, value),
            Some((min, max)) => (
                if order(&value, &min).is_lt() { value } else { min },
                if order(&value, &max).is_gt() { value } else { max },
            ),
        });
    }
    ends
}

/// Two's complement, big-endian, without bytes that only repeat the sign.
fn decimal_bytes(unscaled: i128) -> Vec<u8> {
    let bytes = unscaled.to_be_bytes();
    let sign = if unscaled < 0 { 0xFF } else { 0 };
    let same_sign = |byte: u8| (byte ^ sign) & 0x80 == 0;
    let spare = bytes.windows(2).take_while(|pair| pair[0] == sign && same_sign(pair[1])).count();
    bytes[spare..].to_vec()
}

/// A string's beginning, no longer than a bound may be.
fn cut(string: &str) -> &str {
    &string[..string.floor_char_boundary(BOUND_BYTES_MAX)]
}

fn string_below(string: &str) -> Vec<u8> {
    cut(string).as_bytes().to_vec()
}

/// The string, or if too long the least shorter one above all that begin as it does; empty if there is none.
fn string_above(string: &str) -> Vec<u8> {
    let mut beginning = cut(string);
    if beginning.len() == string.len() {
        return string.as_bytes().to_vec();
    }
    while let Some((at, last)) = beginning.char_indices().next_back() {
        beginning = &beginning[..at];
        if let Some(next) = next_char(last).filter(|next| at + next.len_utf8() <= BOUND_BYTES_MAX) {
            return format!("{beginning}{next}").into_bytes();
        }
    }
    Vec::new()
}

/// The next code point that a string can hold.
fn next_char(char: char) -> Option<char> {
    (char..=char::MAX).nth(1)
}

fn bytes_below(bytes: &[u8]) -> Vec<u8> {
    bytes.iter().copied().take(BOUND_BYTES_MAX).collect()
}

/// As [`string_above`], of bytes.
fn bytes_above(bytes: &[u8]) -> Vec<u8> {
    let mut bound = bytes_below(bytes);
    if bound.len() == bytes.len() {
        return bound;
    }
    while let Some(last) = bound.pop() {
        if let Some(next) = last.checked_add(1) {
            bound.push(next);
            break;
        }
    }
    bound
}

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

use arrow::array::{Array, ArrayRef, ArrowPrimitiveType, AsArray, GenericByteArray, PrimitiveArray};
use arrow::compute;
use arrow::datatypes::{
    ArrowNumericType, ByteArrayType, DataType, Date32Type, Decimal128Type, Float32Type, Float64Type,
    Int32Type, Int64Type, Time64MicrosecondType, TimeUnit, TimestampMicrosecondType, TimestampNanosecondType,
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
        DataType::Float32 => {
            // Exactly what they were before they were widened.
            #[expect(clippy::cast_possible_truncation, reason = "it was an f32")]
            let narrow = |bound: f64| (bound as f32).to_le_bytes().to_vec();
            floats::<Float32Type>(arrays, f64::from).map(|(min, max)| (narrow(min), narrow(max)))
        }
        DataType::Float64 => floats::<Float64Type>(arrays, |value| value)
            .map(|(min, max)| (min.to_le_bytes().to_vec(), max.to_le_bytes().to_vec())),
        DataType::Decimal128(_, _) => {
            let ends = arrays.iter().filter_map(|array| ends(array.as_primitive::<Decimal128Type>()));
            widest(ends).map(|(min, max)| (decimal_bytes(min), decimal_bytes(max)))
        }
        DataType::Utf8 => {
            let ends = arrays.iter().filter_map(|array| byte_ends(array.as_string::<i32>()));
            widest(ends).map(|(min, max)| (string_below(min), string_above(max)))
        }
        DataType::Binary => {
            let ends = arrays.iter().filter_map(|array| byte_ends(array.as_binary::<i32>()));
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

/// Values of the least and the greatest beginning, as far as a bound tells them apart, in one pass that compares numbers.
fn byte_ends<T: ByteArrayType<Offset = i32>>(
    array: &GenericByteArray<T>,
) -> Option<(&T::Native, &T::Native)> {
    let mut ends: Option<((Beginning, usize), (Beginning, usize))> = None;
    let (bytes, offsets) = (array.value_data(), array.value_offsets());
    let mut see = |row: usize| {
        let at = |row: usize| usize::try_from(offsets[row]).unwrap_or(0);
        let beginning = beginning(bytes, at(row), at(row + 1));
        match &mut ends {
            None => ends = Some(((beginning, row), (beginning, row))),
            Some((min, _)) if beginning < min.0 => *min = (beginning, row),
            Some((_, max)) if beginning > max.0 => *max = (beginning, row),
            Some(_) => {}
        }
    };
    match array.nulls().filter(|nulls| nulls.null_count() > 0) {
        None => (0..array.len()).for_each(&mut see),
        Some(nulls) => nulls.valid_indices().for_each(&mut see),
    }
    ends.map(|((_, min), (_, max))| (array.value(min), array.value(max)))
}

/// The first bytes of a value, as many as a bound has, as a number that orders as they do; then how many they are, where one more than
/// a bound's are as good as many.
type Beginning = (u128, usize);

fn beginning(bytes: &[u8], start: usize, end: usize) -> Beginning {
    let length = end - start;
    let known = length.min(BOUND_BYTES_MAX);
    let first = match bytes[start..].first_chunk::<BOUND_BYTES_MAX>() {
        Some(chunk) if known == BOUND_BYTES_MAX => u128::from_be_bytes(*chunk),
        // What follows a short value is another's.
        Some(chunk) => {
            let behind = u32::try_from(8 * (BOUND_BYTES_MAX - known)).unwrap_or(0);
            u128::from_be_bytes(*chunk) & u128::MAX.checked_shl(behind).unwrap_or(0)
        }
        None => {
            let mut first = [0; BOUND_BYTES_MAX];
            first[..known].copy_from_slice(&bytes[start..start + known]);
            u128::from_be_bytes(first)
        }
    };
    (first, length.min(BOUND_BYTES_MAX + 1))
}

fn numbers<T: ArrowNumericType, const N: usize>(
    arrays: &[&ArrayRef],
    to_bytes: fn(T::Native) -> [u8; N],
) -> Option<Bounds> {
    let ends = arrays.iter().filter_map(|array| ends(array.as_primitive::<T>()));
    widest(ends).map(|(min, max)| (to_bytes(min).to_vec(), to_bytes(max).to_vec()))
}

/// The ends of floating point arrays, −0 below +0; `None` if a value is NaN.
fn floats<T: ArrowPrimitiveType>(arrays: &[&ArrayRef], widen: fn(T::Native) -> f64) -> Option<(f64, f64)> {
    let (mut nan, mut min, mut max, mut any) = (false, i64::MAX, i64::MIN, false);
    let mut see = |value: T::Native| {
        let value = widen(value);
        nan |= value.is_nan();
        let key = order(value.to_bits().cast_signed());
        (min, max, any) = (min.min(key), max.max(key), true);
    };
    for array in arrays.iter().map(|array| array.as_primitive::<T>()) {
        match array.nulls().filter(|nulls| nulls.null_count() > 0) {
            None => array.values().iter().copied().for_each(&mut see),
            Some(nulls) => nulls.valid_indices().for_each(|row| see(array.value(row))),
        }
    }
    let value = |key: i64| f64::from_bits(order(key).cast_unsigned());
    (any && !nan).then(|| (value(min), value(max)))
}

/// The bits of a double as an integer that orders as it does, and back again.
fn order(bits: i64) -> i64 {
    bits ^ ((bits >> 63).cast_unsigned() >> 1).cast_signed()
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

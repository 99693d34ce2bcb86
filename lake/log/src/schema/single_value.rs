//! One value of a column as bytes: Iceberg's single-value serialisation (appendix D of its specification).
//!
//! | type | bytes |
//! |---|---|
//! | BOOLEAN | 00 or 01 |
//! | INT, DATE | 4, little-endian |
//! | BIGINT, TIME, TIMESTAMP | 8, little-endian |
//! | REAL, DOUBLE | 4, 8, little-endian IEEE 754 |
//! | DECIMAL | the unscaled value, two's complement, big-endian, as few bytes as it needs |
//! | STRING | UTF-8 |
//! | UUID, FIXED, BINARY | as they are (a UUID big-endian) |
//!
//! This is the form of bounds in statistics. It is *not* what the bucket function hashes: there, an INT or DATE is widened
//! to 8 bytes, so that widening a column moves no row; see [`bucket`](super::bucket).

use arrow::array::{Array, ArrowPrimitiveType, AsArray};
use arrow::datatypes::{
    Date32Type, Decimal128Type, Float32Type, Float64Type, Int32Type, Int64Type, Time64MicrosecondType,
    TimestampMicrosecondType, TimestampNanosecondType,
};

use super::{TimestampUnit, Type};

/// The value of one row as Iceberg's single-value bytes.
///
/// `None` if the value is null, the type is nested, or the array is not the Arrow form of the type or has no such row.
pub fn single_value(array: &dyn Array, row: usize, ty: &Type) -> Option<Vec<u8>> {
    if row >= array.len() || array.is_null(row) {
        return None;
    }
    match ty {
        Type::Boolean => Some(vec![u8::from(array.as_boolean_opt()?.value(row))]),
        Type::Int => Some(value::<Int32Type>(array, row)?.to_le_bytes().to_vec()),
        Type::Date => Some(value::<Date32Type>(array, row)?.to_le_bytes().to_vec()),
        Type::Bigint => Some(value::<Int64Type>(array, row)?.to_le_bytes().to_vec()),
        Type::Time => Some(value::<Time64MicrosecondType>(array, row)?.to_le_bytes().to_vec()),
        Type::Timestamp { unit: TimestampUnit::Micros, .. } => {
            Some(value::<TimestampMicrosecondType>(array, row)?.to_le_bytes().to_vec())
        }
        Type::Timestamp { unit: TimestampUnit::Nanos, .. } => {
            Some(value::<TimestampNanosecondType>(array, row)?.to_le_bytes().to_vec())
        }
        Type::Real => Some(value::<Float32Type>(array, row)?.to_le_bytes().to_vec()),
        Type::Double => Some(value::<Float64Type>(array, row)?.to_le_bytes().to_vec()),
        Type::Decimal { .. } => Some(decimal(value::<Decimal128Type>(array, row)?)),
        Type::String => Some(array.as_string_opt::<i32>()?.value(row).as_bytes().to_vec()),
        Type::Binary => Some(array.as_binary_opt::<i32>()?.value(row).to_vec()),
        Type::Uuid | Type::Fixed(_) => Some(array.as_fixed_size_binary_opt()?.value(row).to_vec()),
        Type::List(_) | Type::Map(..) | Type::Struct(_) | Type::Vector { .. } => None,
    }
}

fn value<T: ArrowPrimitiveType>(array: &dyn Array, row: usize) -> Option<T::Native> {
    Some(array.as_primitive_opt::<T>()?.value(row))
}

fn decimal(unscaled: i128) -> Vec<u8> {
    let bytes = unscaled.to_be_bytes();
    bytes[decimal_start(&bytes)..].to_vec()
}

/// Where the shortest two's complement form begins in a big-endian value: the first byte that is not just its sign.
pub(super) fn decimal_start(bytes: &[u8; 16]) -> usize {
    let sign = if bytes[0] & 0x80 == 0 { 0x00 } else { 0xFF };
    let is_needed = |pair: &[u8]| pair[0] != sign || (pair[1] ^ sign) & 0x80 != 0;
    bytes.windows(2).position(is_needed).unwrap_or(15)
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use arrow::array::{
        ArrayRef, BinaryArray, BooleanArray, Date32Array, Decimal128Array, FixedSizeBinaryArray,
        Float32Array, Float64Array, Int32Array, Int64Array, StringArray, Time64MicrosecondArray,
        TimestampNanosecondArray,
    };
    use proptest::prelude::{any, prop_assert, prop_assert_eq, proptest};

    use super::*;

    fn of(array: impl Array + 'static, ty: &Type) -> Option<Vec<u8>> {
        let array: ArrayRef = Arc::new(array);
        single_value(&array, 0, ty)
    }

    #[test]
    fn each_type_has_the_bytes_of_the_specification() {
        let decimal = Type::Decimal { precision: 9, scale: 2 };
        let nanos = Type::Timestamp { unit: TimestampUnit::Nanos, zone: true };
        let uuid = FixedSizeBinaryArray::try_from_iter([[7u8; 16]].into_iter()).unwrap();
        assert_eq!(of(BooleanArray::from(vec![true]), &Type::Boolean).unwrap(), [1]);
        assert_eq!(of(Int32Array::from(vec![-2]), &Type::Int).unwrap(), [0xFE, 0xFF, 0xFF, 0xFF]);
        assert_eq!(of(Date32Array::from(vec![1]), &Type::Date).unwrap(), [1, 0, 0, 0]);
        assert_eq!(of(Int64Array::from(vec![258]), &Type::Bigint).unwrap(), [2, 1, 0, 0, 0, 0, 0, 0]);
        assert_eq!(of(Time64MicrosecondArray::from(vec![1]), &Type::Time).unwrap(), [1, 0, 0, 0, 0, 0, 0, 0]);
        assert_eq!(of(TimestampNanosecondArray::from(vec![1]), &nanos).unwrap(), [1, 0, 0, 0, 0, 0, 0, 0]);
        assert_eq!(of(Float32Array::from(vec![1.0]), &Type::Real).unwrap(), [0, 0, 0x80, 0x3F]);
        assert_eq!(of(Float64Array::from(vec![1.0]), &Type::Double).unwrap(), [0, 0, 0, 0, 0, 0, 0xF0, 0x3F]);
        assert_eq!(of(Decimal128Array::from(vec![1420]), &decimal).unwrap(), [0x05, 0x8C]);
        assert_eq!(of(StringArray::from(vec!["ä"]), &Type::String).unwrap(), [0xC3, 0xA4]);
        assert_eq!(of(BinaryArray::from(vec![&[1u8, 2][..]]), &Type::Binary).unwrap(), [1, 2]);
        assert_eq!(of(uuid, &Type::Uuid).unwrap(), [7; 16]);
    }

    #[test]
    fn decimals_take_as_few_bytes_as_their_sign_allows() {
        let cases: [(i128, &[u8]); 8] = [
            (0, &[0]),
            (-1, &[0xFF]),
            (127, &[0x7F]),
            (128, &[0x00, 0x80]),
            (-128, &[0x80]),
            (-129, &[0xFF, 0x7F]),
            (255, &[0x00, 0xFF]),
            (256, &[0x01, 0x00]),
        ];
        for (unscaled, bytes) in cases {
            assert_eq!(decimal(unscaled), bytes, "{unscaled}");
        }
        assert_eq!(decimal(i128::MIN).len(), 16);
    }

    #[test]
    fn nulls_other_types_and_rows_that_are_not_there_have_no_value() {
        assert_eq!(of(Int32Array::from(vec![None]), &Type::Int), None);
        assert_eq!(of(Int32Array::from(vec![1]), &Type::Bigint), None);
        assert_eq!(of(Int32Array::from(vec![1]), &Type::String), None);
        assert_eq!(of(Int32Array::from(vec![1]), &Type::Struct(Vec::new())), None);
        assert_eq!(single_value(&Int32Array::from(vec![1]), 1, &Type::Int), None);
    }

    proptest! {
        #[test]
        fn a_decimals_bytes_are_its_value_and_no_byte_can_go(unscaled in any::<i128>(), shift in 0u32..127) {
            let unscaled = unscaled >> shift;
            let bytes = decimal(unscaled);
            let read = |bytes: &[u8]| {
                let sign = if bytes[0] & 0x80 == 0 { 0i128 } else { -1 };
                bytes.iter().fold(sign, |value, byte| (value << 8) | i128::from(*byte))
            };
            prop_assert_eq!(read(&bytes), unscaled);
            prop_assert!(bytes.len() == 1 || read(&bytes[1..]) != unscaled);
        }
    }
}

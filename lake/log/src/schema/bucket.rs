//! The bucket function, number 1: which bucket a row goes to (design 5.1).
//!
//! For each bucket column in order `h = 31·h + murmur3_32(bytes of the value)`, a null counts 0; the bucket is
//! `(h & i32::MAX) mod buckets`. With one column that is Iceberg's `bucket[N]`. The bytes are those of Iceberg's appendix B:
//!
//! | type | bytes |
//! |---|---|
//! | INT, BIGINT, DATE, TIME, TIMESTAMP(6) | the value as 8 bytes, little-endian |
//! | TIMESTAMP(9) | its microseconds, rounded down, as 8 bytes, little-endian (so that both resolutions agree) |
//! | DECIMAL | the unscaled value, two's complement, big-endian, as few bytes as it needs |
//! | STRING | UTF-8 |
//! | UUID, FIXED, BINARY | as they are |
//!
//! Invariant: the function never changes; another one gets another number in the table's spec.

use arrow::array::{Array, ArrowPrimitiveType, AsArray, RecordBatch};
use arrow::datatypes::{
    Date32Type, Decimal128Type, Int32Type, Int64Type, Time64MicrosecondType, TimestampMicrosecondType,
    TimestampNanosecondType,
};

use super::single_value::decimal_start;
use super::{Schema, TimestampUnit, Type};
use crate::error::{Error, Result};
use crate::id::FieldId;

/// The number of this function in a table's spec.
pub const BUCKET_FUNCTION: u8 = 1;

/// The bucket columns as `(place in the schema, type)`, for [`assign`].
///
/// # Errors
/// Internal: a bucket column is not in the schema.
pub fn key_columns<'a>(schema: &'a Schema, bucket_by: &[FieldId]) -> Result<Vec<(usize, &'a Type)>> {
    let place = |id: &FieldId| {
        let found = schema
            .columns
            .iter()
            .enumerate()
            .find(|(_, column)| column.id == *id);
        let found = found.map(|(place, column)| (place, &column.ty));
        found.ok_or_else(|| Error::internal(format!("bucket column {id} is not in schema {}", schema.id)))
    };
    bucket_by.iter().map(place).collect()
}

/// The bucket of each row: `keys` are the bucket columns as `(column of the batch, type)`, in order.
///
/// # Errors
/// Internal: no buckets, a column that is not in the batch or not of its type's Arrow form, or a type that cannot choose
/// a bucket.
pub fn assign(batch: &RecordBatch, keys: &[(usize, &Type)], buckets: u32) -> Result<Vec<u32>> {
    if buckets == 0 {
        return Err(Error::internal("a table has no buckets"));
    }
    let mut hashes = vec![0i32; batch.num_rows()];
    for (column, ty) in keys {
        let array = batch.columns().get(*column);
        let mixed = array.and_then(|array| mix_column(&mut hashes, array.as_ref(), ty));
        if mixed.is_none() {
            let found = array.map_or_else(|| "nothing".to_owned(), |array| array.data_type().to_string());
            return Err(Error::internal(format!(
                "bucket column at {column}: expected {ty}, found {found}"
            )));
        }
    }
    Ok(hashes
        .into_iter()
        .map(|hash| (hash & i32::MAX).cast_unsigned() % buckets)
        .collect())
}

/// Takes one column into the hashes; `None` if the array is not the Arrow form of a type that can choose a bucket.
fn mix_column(hashes: &mut [i32], array: &dyn Array, ty: &Type) -> Option<()> {
    match ty {
        Type::Int => mix_primitive::<Int32Type>(hashes, array, |value| hash_long(i64::from(value))),
        Type::Date => mix_primitive::<Date32Type>(hashes, array, |value| hash_long(i64::from(value))),
        Type::Bigint => mix_primitive::<Int64Type>(hashes, array, hash_long),
        Type::Time => mix_primitive::<Time64MicrosecondType>(hashes, array, hash_long),
        Type::Timestamp {
            unit: TimestampUnit::Micros,
            ..
        } => mix_primitive::<TimestampMicrosecondType>(hashes, array, hash_long),
        Type::Timestamp {
            unit: TimestampUnit::Nanos,
            ..
        } => mix_primitive::<TimestampNanosecondType>(hashes, array, |nanos| {
            hash_long(nanos.div_euclid(1_000))
        }),
        Type::Decimal { .. } => mix_primitive::<Decimal128Type>(hashes, array, hash_decimal),
        Type::String => mix(hashes, array.as_string_opt::<i32>()?.iter(), |value| {
            murmur3_32(value.as_bytes())
        }),
        Type::Binary => mix(hashes, array.as_binary_opt::<i32>()?.iter(), murmur3_32),
        Type::Uuid | Type::Fixed(_) => mix(hashes, array.as_fixed_size_binary_opt()?.iter(), murmur3_32),
        _ => None,
    }
}

fn mix_primitive<T: ArrowPrimitiveType>(
    hashes: &mut [i32],
    array: &dyn Array,
    hash: impl Fn(T::Native) -> i32,
) -> Option<()> {
    mix(hashes, array.as_primitive_opt::<T>()?.iter(), hash)
}

fn mix<V>(
    hashes: &mut [i32],
    values: impl Iterator<Item = Option<V>>,
    hash: impl Fn(V) -> i32,
) -> Option<()> {
    for (mixed, value) in hashes.iter_mut().zip(values) {
        *mixed = mixed.wrapping_mul(31).wrapping_add(value.map_or(0, &hash));
    }
    Some(())
}

fn hash_long(value: i64) -> i32 {
    murmur3_32(&value.to_le_bytes())
}

fn hash_decimal(unscaled: i128) -> i32 {
    let bytes = unscaled.to_be_bytes();
    murmur3_32(&bytes[decimal_start(&bytes)..])
}

/// MurmurHash3, x86, 32 bits, seed 0.
fn murmur3_32(bytes: &[u8]) -> i32 {
    let scramble = |block: u32| {
        block
            .wrapping_mul(0xCC9E_2D51)
            .rotate_left(15)
            .wrapping_mul(0x1B87_3593)
    };
    let mut hash = 0u32;
    let (blocks, tail) = bytes.as_chunks::<4>();
    for block in blocks {
        hash ^= scramble(u32::from_le_bytes(*block));
        hash = hash.rotate_left(13).wrapping_mul(5).wrapping_add(0xE654_6B64);
    }
    let last = tail
        .iter()
        .rev()
        .fold(0u32, |last, byte| (last << 8) | u32::from(*byte));
    hash ^= scramble(last);
    // The algorithm takes the length modulo 2³².
    hash ^= u32::try_from(bytes.len() & 0xFFFF_FFFF).unwrap_or(0);
    hash = (hash ^ (hash >> 16)).wrapping_mul(0x85EB_CA6B);
    hash = (hash ^ (hash >> 13)).wrapping_mul(0xC2B2_AE35);
    (hash ^ (hash >> 16)).cast_signed()
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use arrow::array::{
        ArrayRef, BinaryArray, Date32Array, Decimal128Array, FixedSizeBinaryArray, Float64Array, Int32Array,
        Int64Array, StringArray, Time64MicrosecondArray, TimestampMicrosecondArray, TimestampNanosecondArray,
    };
    use proptest::prelude::{any, prop_assert_eq, proptest};

    use super::*;
    use crate::error::ErrorKind;
    use crate::id::Uuid;
    use crate::schema::sql;

    fn batch(columns: Vec<ArrayRef>) -> RecordBatch {
        let named = columns
            .into_iter()
            .enumerate()
            .map(|(place, array)| (place.to_string(), array));
        RecordBatch::try_from_iter(named).unwrap()
    }

    fn hash(array: impl Array + 'static, ty: &Type) -> i32 {
        let mut hashes = [0];
        mix_column(&mut hashes, &array, ty).unwrap();
        hashes[0]
    }

    fn timestamp(unit: TimestampUnit) -> Type {
        Type::Timestamp { unit, zone: false }
    }

    #[test]
    fn hashes_are_those_of_icebergs_appendix_b() {
        let second_micros = 1_510_871_468_000_000; // 2017-11-16T22:31:08
        let uuid: Uuid = "f79c3e09-677c-4bbd-a479-3f349cb785e7".parse().unwrap();
        let uuid = FixedSizeBinaryArray::try_from_iter([uuid.into_bytes()].into_iter()).unwrap();
        let fixed = FixedSizeBinaryArray::try_from_iter([[0u8, 1, 2, 3]].into_iter()).unwrap();
        let decimal = Decimal128Array::from(vec![1_420]);
        let (micros, nanos) = (timestamp(TimestampUnit::Micros), timestamp(TimestampUnit::Nanos));

        assert_eq!(hash(Int32Array::from(vec![34]), &Type::Int), 2_017_239_379);
        assert_eq!(hash(Int64Array::from(vec![34]), &Type::Bigint), 2_017_239_379);
        assert_eq!(
            hash(
                decimal,
                &Type::Decimal {
                    precision: 9,
                    scale: 2
                }
            ),
            -500_754_589
        );
        assert_eq!(hash(Date32Array::from(vec![17_486]), &Type::Date), -653_330_422);
        assert_eq!(
            hash(Time64MicrosecondArray::from(vec![81_068_000_000]), &Type::Time),
            -662_762_989
        );
        assert_eq!(
            hash(TimestampMicrosecondArray::from(vec![second_micros]), &micros),
            -2_047_944_441
        );
        assert_eq!(
            hash(TimestampMicrosecondArray::from(vec![second_micros + 1]), &micros),
            -1_207_196_810
        );
        let nano = second_micros * 1_000;
        assert_eq!(
            hash(TimestampNanosecondArray::from(vec![nano]), &nanos),
            -2_047_944_441
        );
        assert_eq!(
            hash(TimestampNanosecondArray::from(vec![nano + 1_001]), &nanos),
            -1_207_196_810
        );
        assert_eq!(
            hash(StringArray::from(vec!["iceberg"]), &Type::String),
            1_210_000_089
        );
        assert_eq!(hash(uuid, &Type::Uuid), 1_488_055_340);
        assert_eq!(hash(fixed, &Type::Fixed(4)), -188_683_207);
        assert_eq!(
            hash(BinaryArray::from(vec![&[0u8, 1, 2, 3][..]]), &Type::Binary),
            -188_683_207
        );
    }

    #[test]
    fn murmur3_agrees_with_its_published_vectors() {
        assert_eq!(murmur3_32(b""), 0);
        assert_eq!(murmur3_32(b"hello"), 0x248B_FA47);
        assert_eq!(murmur3_32(b"hello, world"), 0x149B_BB7F);
        assert_eq!(
            murmur3_32(b"The quick brown fox jumps over the lazy dog"),
            0x2E4F_F723
        );
    }

    #[test]
    fn one_column_is_icebergs_bucket_and_a_null_goes_to_the_first() {
        let batch = batch(vec![Arc::new(Int64Array::from(vec![Some(34), None]))]);
        assert_eq!(assign(&batch, &[(0, &Type::Bigint)], 100).unwrap(), [79, 0]);
        assert_eq!(
            assign(&batch, &[], 100).unwrap(),
            [0, 0],
            "no key: one bucket; the caller is sticky instead"
        );
    }

    #[test]
    fn key_columns_are_found_by_id_and_their_order_counts() {
        let schema = Schema {
            id: 0,
            columns: sql::parse_columns("a INT, b STRING, c INT").unwrap(),
        };
        let keys = key_columns(&schema, &[3, 1]).unwrap();
        assert_eq!(keys, [(2, &Type::Int), (0, &Type::Int)]);
        assert_eq!(
            key_columns(&schema, &[4]).unwrap_err().kind(),
            ErrorKind::Internal
        );

        let ones = || Arc::new(Int32Array::from(vec![1])) as ArrayRef;
        let batch = batch(vec![
            ones(),
            Arc::new(StringArray::from(vec!["x"])),
            Arc::new(Int32Array::from(vec![2])),
        ]);
        let there = assign(&batch, &keys, 1_000).unwrap();
        let back = assign(&batch, &key_columns(&schema, &[1, 3]).unwrap(), 1_000).unwrap();
        assert_ne!(there, back);
    }

    #[test]
    fn a_column_that_is_not_as_said_is_an_error() {
        let batch = batch(vec![Arc::new(Float64Array::from(vec![1.0]))]);
        for (keys, buckets) in [
            ((0, &Type::Double), 4),
            ((0, &Type::Int), 4),
            ((1, &Type::Int), 4),
            ((0, &Type::Int), 0),
        ] {
            assert_eq!(
                assign(&batch, &[keys], buckets).unwrap_err().kind(),
                ErrorKind::Internal
            );
        }
    }

    proptest! {
        #[test]
        fn several_columns_are_folded_in_order(
            rows in proptest::collection::vec((any::<Option<i32>>(), any::<Option<String>>(), any::<Option<i128>>()), 0..20),
            buckets in 1u32..=1024,
        ) {
            let decimal = Type::Decimal { precision: 38, scale: 0 };
            let keys = [(0, &Type::Int), (1, &Type::String), (2, &decimal)];
            let batch = batch(vec![
                Arc::new(rows.iter().map(|row| row.0).collect::<Int32Array>()),
                Arc::new(rows.iter().map(|row| row.1.clone()).collect::<StringArray>()),
                Arc::new(rows.iter().map(|row| row.2).collect::<Decimal128Array>()),
            ]);
            let one = |row: &(Option<i32>, Option<String>, Option<i128>)| {
                let int = row.0.map_or(0, |v| murmur3_32(&i64::from(v).to_le_bytes()));
                let text = row.1.as_ref().map_or(0, |v| murmur3_32(v.as_bytes()));
                let decimal = row.2.map_or(0, hash_decimal);
                let hash = [int, text, decimal].iter().fold(0i32, |h, v| h.wrapping_mul(31).wrapping_add(*v));
                (hash & i32::MAX).cast_unsigned() % buckets
            };
            prop_assert_eq!(assign(&batch, &keys, buckets).unwrap(), rows.iter().map(one).collect::<Vec<_>>());
        }

        #[test]
        fn widening_an_int_moves_no_row(values in proptest::collection::vec(any::<i32>(), 0..20)) {
            let ints = batch(vec![Arc::new(Int32Array::from(values.clone()))]);
            let longs = batch(vec![Arc::new(values.iter().map(|v| Some(i64::from(*v))).collect::<Int64Array>())]);
            prop_assert_eq!(
                assign(&ints, &[(0, &Type::Int)], 16).unwrap(),
                assign(&longs, &[(0, &Type::Bigint)], 16).unwrap()
            );
        }
    }
}

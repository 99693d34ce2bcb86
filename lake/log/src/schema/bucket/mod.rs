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
        let found = schema.columns.iter().enumerate().find(|(_, column)| column.id == *id);
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
            return Err(Error::internal(format!("bucket column at {column}: expected {ty}, found {found}")));
        }
    }
    Ok(hashes.into_iter().map(|hash| (hash & i32::MAX).cast_unsigned() % buckets).collect())
}

/// Takes one column into the hashes; `None` if the array is not the Arrow form of a type that can choose a bucket.
fn mix_column(hashes: &mut [i32], array: &dyn Array, ty: &Type) -> Option<()> {
    match ty {
        Type::Int => mix_primitive::<Int32Type>(hashes, array, |value| hash_long(i64::from(value))),
        Type::Date => mix_primitive::<Date32Type>(hashes, array, |value| hash_long(i64::from(value))),
        Type::Bigint => mix_primitive::<Int64Type>(hashes, array, hash_long),
        Type::Time => mix_primitive::<Time64MicrosecondType>(hashes, array, hash_long),
        Type::Timestamp { unit: TimestampUnit::Micros, .. } => {
            mix_primitive::<TimestampMicrosecondType>(hashes, array, hash_long)
        }
        Type::Timestamp { unit: TimestampUnit::Nanos, .. } => {
            mix_primitive::<TimestampNanosecondType>(hashes, array, |nanos| {
                hash_long(nanos.div_euclid(1_000))
            })
        }
        Type::Decimal { .. } => mix_primitive::<Decimal128Type>(hashes, array, hash_decimal),
        Type::String => {
            mix(hashes, array.as_string_opt::<i32>()?.iter(), |value| murmur3_32(value.as_bytes()))
        }
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
    let scramble = |block: u32| block.wrapping_mul(0xCC9E_2D51).rotate_left(15).wrapping_mul(0x1B87_3593);
    let mut hash = 0u32;
    let (blocks, tail) = bytes.as_chunks::<4>();
    for block in blocks {
        hash ^= scramble(u32::from_le_bytes(*block));
        hash = hash.rotate_left(13).wrapping_mul(5).wrapping_add(0xE654_6B64);
    }
    let last = tail.iter().rev().fold(0u32, |last, byte| (last << 8) | u32::from(*byte));
    hash ^= scramble(last);
    // The algorithm takes the length modulo 2³².
    hash ^= u32::try_from(bytes.len() & 0xFFFF_FFFF).unwrap_or(0);
    hash = (hash ^ (hash >> 16)).wrapping_mul(0x85EB_CA6B);
    hash = (hash ^ (hash >> 13)).wrapping_mul(0xC2B2_AE35);
    (hash ^ (hash >> 16)).cast_signed()
}

#[cfg(test)]
mod tests;

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
    let named = columns.into_iter().enumerate().map(|(place, array)| (place.to_string(), array));
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
    assert_eq!(hash(decimal, &Type::Decimal { precision: 9, scale: 2 }), -500_754_589);
    assert_eq!(hash(Date32Array::from(vec![17_486]), &Type::Date), -653_330_422);
    assert_eq!(hash(Time64MicrosecondArray::from(vec![81_068_000_000]), &Type::Time), -662_762_989);
    assert_eq!(hash(TimestampMicrosecondArray::from(vec![second_micros]), &micros), -2_047_944_441);
    assert_eq!(hash(TimestampMicrosecondArray::from(vec![second_micros + 1]), &micros), -1_207_196_810);
    let nano = second_micros * 1_000;
    assert_eq!(hash(TimestampNanosecondArray::from(vec![nano]), &nanos), -2_047_944_441);
    assert_eq!(hash(TimestampNanosecondArray::from(vec![nano + 1_001]), &nanos), -1_207_196_810);
    assert_eq!(hash(StringArray::from(vec!["iceberg"]), &Type::String), 1_210_000_089);
    assert_eq!(hash(uuid, &Type::Uuid), 1_488_055_340);
    assert_eq!(hash(fixed, &Type::Fixed(4)), -188_683_207);
    assert_eq!(hash(BinaryArray::from(vec![&[0u8, 1, 2, 3][..]]), &Type::Binary), -188_683_207);
}

#[test]
fn murmur3_agrees_with_its_published_vectors() {
    assert_eq!(murmur3_32(b""), 0);
    assert_eq!(murmur3_32(b"hello"), 0x248B_FA47);
    assert_eq!(murmur3_32(b"hello, world"), 0x149B_BB7F);
    assert_eq!(murmur3_32(b"The quick brown fox jumps over the lazy dog"), 0x2E4F_F723);
}

#[test]
fn one_column_is_icebergs_bucket_and_a_null_goes_to_the_first() {
    let batch = batch(vec![Arc::new(Int64Array::from(vec![Some(34), None]))]);
    assert_eq!(assign(&batch, &[(0, &Type::Bigint)], 100).unwrap(), [79, 0]);
    assert_eq!(assign(&batch, &[], 100).unwrap(), [0, 0], "no key: one bucket; the caller is sticky instead");
}

#[test]
fn key_columns_are_found_by_id_and_their_order_counts() {
    let schema = Schema { id: 0, columns: sql::parse_columns("a INT, b STRING, c INT").unwrap() };
    let keys = key_columns(&schema, &[3, 1]).unwrap();
    assert_eq!(keys, [(2, &Type::Int), (0, &Type::Int)]);
    assert_eq!(key_columns(&schema, &[4]).unwrap_err().kind(), ErrorKind::Internal);

    let ones = || Arc::new(Int32Array::from(vec![1])) as ArrayRef;
    let batch =
        batch(vec![ones(), Arc::new(StringArray::from(vec!["x"])), Arc::new(Int32Array::from(vec![2]))]);
    let there = assign(&batch, &keys, 1_000).unwrap();
    let back = assign(&batch, &key_columns(&schema, &[1, 3]).unwrap(), 1_000).unwrap();
    assert_ne!(there, back);
}

#[test]
fn a_column_that_is_not_as_said_is_an_error() {
    let batch = batch(vec![Arc::new(Float64Array::from(vec![1.0]))]);
    for (keys, buckets) in
        [((0, &Type::Double), 4), ((0, &Type::Int), 4), ((1, &Type::Int), 4), ((0, &Type::Int), 0)]
    {
        assert_eq!(assign(&batch, &[keys], buckets).unwrap_err().kind(), ErrorKind::Internal);
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

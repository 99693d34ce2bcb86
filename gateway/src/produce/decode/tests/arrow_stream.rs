use std::sync::Arc;

use arrow::array::cast::AsArray;
use arrow::array::types::{Float32Type, Int32Type, Int64Type, TimestampMicrosecondType};
use arrow::array::{
    Array, ArrayRef, Decimal128Array, DictionaryArray, Float32Array, Float64Array, Int8Array, Int16Array,
    Int32Array, Int64Array, LargeListArray, LargeStringArray, ListArray, NullArray, StringArray,
    StringViewArray, StructArray, Time32SecondArray, TimestampMillisecondArray, TimestampNanosecondArray,
    UInt64Array,
};
use arrow::buffer::OffsetBuffer;
use arrow::datatypes::{DataType, Field};
use arrow::ipc::CompressionType;
use arrow::ipc::writer::{IpcWriteOptions, StreamWriter};
use arrow::record_batch::RecordBatch;
use proptest::prelude::*;

use super::{Format, random, schema};
use crate::error::{Kind, Problem};
use crate::produce::decode::{Bytes, Limits, decode};

fn stream(batches: &[RecordBatch], options: IpcWriteOptions) -> Bytes {
    let mut writer = StreamWriter::try_new_with_options(Vec::new(), &batches[0].schema(), options).unwrap();
    batches.iter().for_each(|batch| writer.write(batch).unwrap());
    writer.finish().unwrap();
    writer.into_inner().unwrap().into()
}

fn compressed() -> IpcWriteOptions {
    IpcWriteOptions::default().try_with_compression(Some(CompressionType::LZ4_FRAME)).unwrap()
}

fn read(columns: &str, body: &Bytes) -> Result<RecordBatch, Problem> {
    decode(Format::ArrowStream, body, &schema(columns), &Limits::default())
}

fn one(columns: &str, array: ArrayRef) -> Result<RecordBatch, Problem> {
    let batch = RecordBatch::try_from_iter_with_nullable([("v", array, true)]).unwrap();
    read(columns, &stream(&[batch], IpcWriteOptions::default()))
}

#[test]
fn columns_are_matched_by_name_and_missing_ones_are_null() {
    let ids: ArrayRef = Arc::new(Int64Array::from(vec![1, 2]));
    let urls: ArrayRef = Arc::new(StringArray::from(vec!["a", "b"]));
    let batch =
        RecordBatch::try_from_iter([("url", urls), ("__offset", Arc::clone(&ids)), ("id", ids)]).unwrap();
    let body = stream(&[batch.clone(), batch], compressed());
    let read = read("id BIGINT NOT NULL, seen DATE, url STRING", &body).unwrap();
    assert_eq!(read.num_rows(), 4);
    assert_eq!(read.column(0).as_primitive::<Int64Type>().values(), &[1, 2, 1, 2]);
    assert_eq!(read.column(1).null_count(), 4);
}

#[test]
fn narrower_values_are_widened() {
    let cases: Vec<(&str, ArrayRef)> = vec![
        ("v BIGINT", Arc::new(Int8Array::from(vec![1]))),
        ("v INT", Arc::new(Int16Array::from(vec![1]))),
        ("v DOUBLE", Arc::new(Float32Array::from(vec![1.5]))),
        ("v STRING", Arc::new(LargeStringArray::from(vec!["x"]))),
        ("v STRING", Arc::new(StringViewArray::from(vec!["x", "a string too long to be inlined"]))),
        ("v STRING", Arc::new(vec!["x", "y", "x"].into_iter().collect::<DictionaryArray<Int32Type>>())),
        (
            "v DECIMAL(10,2)",
            Arc::new(Decimal128Array::from(vec![15]).with_precision_and_scale(3, 1).unwrap()),
        ),
        ("v TIME", Arc::new(Time32SecondArray::from(vec![86_399]))),
        ("v TIMESTAMP", Arc::new(TimestampMillisecondArray::from(vec![1]))),
        (
            "v TIMESTAMP WITH TIME ZONE",
            Arc::new(TimestampNanosecondArray::from(vec![1000]).with_timezone("Europe/Berlin")),
        ),
        (
            "v ARRAY<BIGINT>",
            Arc::new(LargeListArray::from_iter_primitive::<Int32Type, _, _>(vec![Some(vec![Some(1)]), None])),
        ),
        ("v VECTOR(2)", Arc::new(reals(vec![Some(vec![Some(1.0), Some(2.0)]), None]))),
        ("v DATE", Arc::new(NullArray::new(3))),
    ];
    for (columns, array) in cases {
        let rows = array.len();
        let batch = one(columns, array).unwrap_or_else(|problem| panic!("{columns}: {problem}"));
        assert_eq!(batch.num_rows(), rows);
    }
    let batch = one("v TIMESTAMP", Arc::new(TimestampMillisecondArray::from(vec![-7]))).unwrap();
    assert_eq!(batch.column(0).as_primitive::<TimestampMicrosecondType>().values(), &[-7000]);
}

fn refused(columns: &str, array: impl Array + 'static) {
    let problem = one(columns, Arc::new(array)).unwrap_err();
    assert_eq!(problem.kind(), Kind::InvalidRows, "{columns}: {problem}");
}

#[test]
fn values_that_would_change_are_refused() {
    refused("v INT", Int64Array::from(vec![1]));
    refused("v BIGINT", UInt64Array::from(vec![1]));
    refused("v BIGINT", StringArray::from(vec!["1"]));
    refused("v REAL", Float64Array::from(vec![1.0]));
    refused("v DECIMAL(10,0)", Decimal128Array::from(vec![15]).with_precision_and_scale(3, 1).unwrap());
    refused("v TIMESTAMP", TimestampNanosecondArray::from(vec![1]));
    refused("v TIMESTAMP(9)", TimestampMillisecondArray::from(vec![i64::MAX]));
    refused("v TIMESTAMP WITH TIME ZONE", TimestampNanosecondArray::from(vec![1000]));
    refused("v TIME", Time32SecondArray::from(vec![86_400]));
    refused("v STRUCT<a INT>", Int32Array::from(vec![1]));
    refused("v VECTOR(2)", reals(vec![Some(vec![Some(1.0)])]));
    refused("v VECTOR(2)", reals(vec![Some(vec![Some(1.0), None])]));
    let problem = one("v INT", Arc::new(Int64Array::from(vec![1]))).unwrap_err();
    assert_eq!(problem.detail(), "row 0, column \"v\": expected INT, found a column of Arrow type Int64");
}

#[test]
fn missing_values_and_unknown_columns_are_refused() {
    refused("v INT NOT NULL", Int32Array::from(vec![None]));
    refused("v INT NOT NULL", NullArray::new(1));
    refused("w INT", NullArray::new(1));
    refused("w INT NOT NULL, v INT", Int32Array::from(vec![1]));
    refused(
        "v ARRAY<INT NOT NULL>",
        ListArray::from_iter_primitive::<Int32Type, _, _>(vec![Some(vec![None])]),
    );
}

fn reals(lists: Vec<Option<Vec<Option<f32>>>>) -> ListArray {
    ListArray::from_iter_primitive::<Float32Type, _, _>(lists)
}

#[test]
fn rows_are_counted_over_batches_and_through_lists() {
    let list = |value| {
        Arc::new(ListArray::from_iter_primitive::<Int32Type, _, _>(vec![
            Some(vec![Some(1)]),
            Some(vec![Some(1), value]),
        ])) as ArrayRef
    };
    let batch = |array| RecordBatch::try_from_iter([("v", array)]).unwrap();
    let body = stream(&[batch(list(Some(1))), batch(list(None))], IpcWriteOptions::default());
    let problem = read("v ARRAY<INT NOT NULL>", &body).unwrap_err();
    assert_eq!(problem.errors()[0].row, 3);
}

#[test]
fn nulls_below_a_null_parent_do_not_count() {
    let fields = vec![Field::new("a", DataType::Int32, true)];
    let child: ArrayRef = Arc::new(Int32Array::from(vec![Some(1), None]));
    let array = StructArray::new(fields.into(), vec![child], Some(vec![true, false].into()));
    assert!(one("v STRUCT<a INT NOT NULL>", Arc::new(array)).is_ok());
}

#[test]
fn a_dictionary_cannot_expand_beyond_the_limit() {
    let values = StringArray::from(vec!["x".repeat(1 << 20)]);
    let keys = Int8Array::from(vec![0; 1000]);
    let array = DictionaryArray::new(keys, Arc::new(values));
    assert_eq!(one("v STRING", Arc::new(array)).unwrap_err().kind(), Kind::TooLarge);
    let text = "x".repeat(1 << 20);
    let mut views = arrow::array::builder::StringViewBuilder::new().with_deduplicate_strings();
    (0..1000).for_each(|_| views.append_value(&text));
    assert_eq!(one("v STRING", Arc::new(views.finish())).unwrap_err().kind(), Kind::TooLarge);
}

#[test]
fn a_compressed_buffer_cannot_claim_more_than_the_limit() {
    let zeros: ArrayRef = Arc::new(Int64Array::from(vec![0; 1 << 16]));
    let batch = RecordBatch::try_from_iter([("v", zeros)]).unwrap();
    let body = stream(&[batch], compressed());
    let claim = (8u64 << 16).to_le_bytes();
    let at = body.windows(8).position(|bytes| bytes == claim).unwrap();
    let mut claims = 0;
    for at in at..body.len() - 8 {
        if body[at..at + 8] == claim {
            let mut lying = body.to_vec();
            lying[at..at + 8].copy_from_slice(&(1u64 << 40).to_le_bytes());
            claims += usize::from(read("v BIGINT", &lying.into()).unwrap_err().kind() == Kind::TooLarge);
        }
    }
    assert!(claims > 0);
}

#[test]
fn a_large_array_of_nothing_is_refused() {
    assert_eq!(one("v VECTOR(65536)", Arc::new(NullArray::new(1 << 20))).unwrap_err().kind(), Kind::TooLarge);
}

#[test]
fn every_cut_stream_is_refused() {
    let schema = schema("a BIGINT, b STRING, c ARRAY<DOUBLE>");
    let body = stream(&[random::batch(&schema, 5, 1)], IpcWriteOptions::default());
    for end in 0..body.len() {
        let problem =
            decode(Format::ArrowStream, &body.slice(..end), &schema, &Limits::default()).unwrap_err();
        assert_eq!(problem.kind(), Kind::Malformed, "cut at {end}: {problem}");
    }
    let longer = [&body[..], b"x"].concat();
    assert!(decode(Format::ArrowStream, &longer.into(), &schema, &Limits::default()).is_err());
}

#[test]
fn two_columns_of_one_name_are_refused() {
    let ids: ArrayRef = Arc::new(Int64Array::from(vec![1]));
    let batch = RecordBatch::try_from_iter([("v", Arc::clone(&ids)), ("v", ids)]).unwrap();
    assert_eq!(
        read("v BIGINT", &stream(&[batch], IpcWriteOptions::default())).unwrap_err().kind(),
        Kind::Malformed
    );
}

#[test]
fn other_ops_are_refused() {
    let ids: ArrayRef = Arc::new(Int64Array::from(vec![1, 2]));
    let batch = |ops: Vec<&str>| {
        let ops: ArrayRef = Arc::new(StringArray::from(ops));
        stream(
            &[RecordBatch::try_from_iter([("v", Arc::clone(&ids)), ("__op", ops)]).unwrap()],
            IpcWriteOptions::default(),
        )
    };
    assert!(read("v BIGINT", &batch(vec!["+I", "+I"])).is_ok());
    assert_eq!(read("v BIGINT", &batch(vec!["+I", "-D"])).unwrap_err().kind(), Kind::Unsupported);
}

#[test]
fn a_map_with_a_key_twice_is_refused() {
    let mut maps = arrow::array::builder::MapBuilder::new(
        None,
        arrow::array::builder::Int32Builder::new(),
        arrow::array::builder::Int32Builder::new(),
    );
    for key in [1, 1] {
        maps.keys().append_value(key);
        maps.values().append_value(key);
    }
    maps.append(true).unwrap();
    let problem = one("v MAP<INT, INT>", Arc::new(maps.finish())).unwrap_err();
    assert_eq!(problem.errors()[0].expected, "each key once");
}

#[test]
fn a_list_that_begins_later_is_read_right() {
    let values: ArrayRef = Arc::new(Int32Array::from(vec![None, Some(1), Some(2)]));
    let field = Arc::new(Field::new("item", DataType::Int32, true));
    let list = ListArray::new(field, OffsetBuffer::new(vec![1, 2, 3].into()), values, None);
    let batch = one("v ARRAY<INT NOT NULL>", Arc::new(list)).unwrap();
    assert_eq!(batch.column(0).as_list::<i32>().value(1).as_primitive::<Int32Type>().values(), &[2]);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(128))]

    #[test]
    fn flipped_bits_never_panic(seed in any::<u64>(), compress in any::<bool>(), flips in prop::collection::vec((any::<prop::sample::Index>(), 0u8..8), 1..4)) {
        let schema = schema("a BIGINT, b STRING NOT NULL, c MAP<STRING, DOUBLE>, d STRUCT<x VECTOR(3), y ARRAY<TIME>>, e DECIMAL(9,3)");
        let options = if compress { compressed() } else { IpcWriteOptions::default() };
        let mut body = stream(&[random::batch(&schema, 6, seed)], options).to_vec();
        for (at, bit) in flips {
            let at = at.index(body.len());
            body[at] ^= 1 << bit;
        }
        // It may still be a stream: only other values. What matters is that the process lives and memory is bounded.
        if let Ok(batch) = decode(Format::ArrowStream, &body.into(), &schema, &Limits::default()) {
            prop_assert!(batch.get_array_memory_size() < 64 << 20);
        }
    }
}

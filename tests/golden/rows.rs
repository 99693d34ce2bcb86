//! Fixed rows in a column of each type.

use std::sync::Arc;

use arrow::array::{
    Array, ArrayRef, BinaryArray, BooleanArray, Date32Array, Decimal128Array, FixedSizeBinaryArray,
    FixedSizeListArray, Float32Array, Float64Array, Int32Array, Int64Array, ListArray, MapArray, RecordBatch,
    StringArray, StructArray, Time64MicrosecondArray, TimestampMicrosecondArray, TimestampNanosecondArray,
};
use arrow::buffer::{NullBuffer, OffsetBuffer};
use arrow::datatypes::{DataType, Field};
use frazil_log::format::slice::Codec;
use frazil_log::id::{Bucket, Stream, TableId};
use frazil_log::schema::arrow_form::arrow_schema;
use frazil_log::schema::ensure::{TableRequest, build};
use frazil_log::schema::{Schema, TableSpec, TimestampUnit, Type};
use frazil_log::segment::SliceMeta;

/// A column of each type that a slice can hold.
const EVERY_TYPE: &str = "flag BOOLEAN NOT NULL, count INT, id BIGINT NOT NULL, share REAL, ratio DOUBLE, price DECIMAL(20,4), \
     day DATE, clock TIME, seen TIMESTAMP, at TIMESTAMP WITH TIME ZONE, fine TIMESTAMP, fine_at TIMESTAMP WITH TIME ZONE, url STRING, key UUID, code FIXED(3), raw BINARY, \
     tags ARRAY<STRING>, scores MAP<STRING, DOUBLE>, place STRUCT<x BIGINT, name STRING>, point VECTOR(3)";

pub(crate) fn every_type() -> TableSpec {
    let mut spec = spec(EVERY_TYPE);
    let fine = spec.schema.columns.iter_mut().filter(|column| column.name.starts_with("fine"));
    for column in fine {
        // No table may have it yet, but a slice may.
        let zone = column.name == "fine_at";
        column.ty = Type::Timestamp { unit: TimestampUnit::Nanos, zone };
    }
    spec
}

pub(crate) fn spec(columns: &str) -> TableSpec {
    build(&TableRequest { columns: Some(columns.into()), ..TableRequest::default() })
        .expect("the columns are right")
}

/// Rows of a schema, each column's values given by its type; each third value is null where it may be.
pub(crate) fn batch(schema: &Schema, rows: usize) -> RecordBatch {
    let schema = arrow_schema(schema);
    let columns = schema.fields().iter().map(|field| array(field, rows)).collect();
    RecordBatch::try_new(schema, columns).expect("the columns fit the schema")
}

/// What is said of a slice of such rows.
pub(crate) fn meta(table: u64, bucket: u32, schema: &Schema, codec: Codec) -> SliceMeta {
    SliceMeta {
        table: TableId(table),
        bucket: Bucket(bucket),
        stream: Stream::Rows,
        schema: schema.id,
        columns: schema.columns.iter().map(|column| column.id).collect(),
        op: frazil_log::format::slice::SliceOp::Append,
        codec,
        times: None,
        source: None,
    }
}

fn array(field: &Field, rows: usize) -> ArrayRef {
    let nulls = field.is_nullable().then(|| (0..rows).map(|row| row % 3 != 2).collect::<NullBuffer>());
    let numbers = || (0..rows).map(|row| i64::try_from(row).expect("few rows"));
    macro_rules! primitive {
        ($array:ty, $value:expr) => {
            Arc::new(<$array>::new(numbers().map($value).collect(), nulls)) as ArrayRef
        };
    }
    let lengths = || OffsetBuffer::from_lengths((0..rows).map(|row| row % 3));
    let values = rows / 3 * 3 + [0, 0, 1][rows % 3];
    let texts = |suffix: &str| numbers().map(|n| format!("{n}{suffix}")).collect::<Vec<_>>();
    let valid = |row: usize| nulls.as_ref().is_none_or(|nulls| nulls.is_valid(row));
    match field.data_type() {
        DataType::Boolean => Arc::new(BooleanArray::new(numbers().map(|n| n % 2 == 0).collect(), nulls)),
        DataType::Int32 => primitive!(Int32Array, |n| i32::try_from(n).expect("few rows") * 3 - 2),
        DataType::Int64 => primitive!(Int64Array, |n| n * 1_000_000_007 - 5),
        DataType::Float32 => {
            primitive!(Float32Array, |n| f32::from(u8::try_from(n).expect("few rows")) / 4.0)
        }
        DataType::Float64 => {
            primitive!(Float64Array, |n| f64::from(u8::try_from(n).expect("few rows")) / -8.0)
        }
        DataType::Decimal128(precision, scale) => {
            let values = Decimal128Array::new(numbers().map(|n| i128::from(n) * 12_345 - 1).collect(), nulls);
            Arc::new(values.with_precision_and_scale(*precision, *scale).expect("a type of a table"))
        }
        DataType::Date32 => primitive!(Date32Array, |n| 20_000 + i32::try_from(n).expect("few rows")),
        DataType::Time64(_) => primitive!(Time64MicrosecondArray, |n| n * 3_600_000_001),
        DataType::Timestamp(arrow::datatypes::TimeUnit::Microsecond, zone) => {
            let values = numbers().map(|n| 1_700_000_000_000_000 + n).collect();
            Arc::new(TimestampMicrosecondArray::new(values, nulls).with_timezone_opt(zone.clone()))
        }
        DataType::Timestamp(_, zone) => {
            let values = numbers().map(|n| 1_700_000_000_000_000_000 + n).collect();
            Arc::new(TimestampNanosecondArray::new(values, nulls).with_timezone_opt(zone.clone()))
        }
        DataType::Utf8 => {
            let texts = texts(" é水🧊").into_iter().enumerate();
            Arc::new(texts.map(|(row, text)| valid(row).then_some(text)).collect::<StringArray>())
        }
        DataType::Binary => {
            let texts = texts("\u{1}").into_iter().enumerate();
            Arc::new(
                texts.map(|(row, text)| valid(row).then_some(text.into_bytes())).collect::<BinaryArray>(),
            )
        }
        DataType::FixedSizeBinary(width) => {
            let length = usize::try_from(*width).expect("a width is positive") * rows;
            let bytes: Vec<u8> = (0..length).map(|at| at.to_le_bytes()[0]).collect();
            Arc::new(FixedSizeBinaryArray::new(*width, bytes.into(), nulls))
        }
        DataType::List(element) => {
            Arc::new(ListArray::new(Arc::clone(element), lengths(), array(element, values), nulls))
        }
        DataType::Map(entries, sorted) => {
            let pairs =
                array(entries, values).as_any().downcast_ref::<StructArray>().expect("entries").clone();
            Arc::new(MapArray::new(Arc::clone(entries), lengths(), pairs, nulls, *sorted))
        }
        DataType::Struct(fields) => {
            let columns = fields.iter().map(|field| array(field, rows)).collect();
            Arc::new(StructArray::new(fields.clone(), columns, nulls))
        }
        DataType::FixedSizeList(element, length) => {
            let values = rows * usize::try_from(*length).expect("a length is positive");
            Arc::new(FixedSizeListArray::new(Arc::clone(element), *length, array(element, values), nulls))
        }
        other => panic!("no column of a table has the Arrow type {other}"),
    }
}

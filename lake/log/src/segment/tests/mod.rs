//! Tests of slices' bytes: what all of them share is making schemas, batches and slices of any type from a seed.

mod corruption;
mod fetching;
mod fuzzing;
mod projections;
mod round_trips;
mod statistics;

use std::sync::Arc;

use arrow::array::{
    Array, ArrayRef, BinaryArray, BooleanArray, Date32Array, Decimal128Array, FixedSizeBinaryArray,
    FixedSizeListArray, Float32Array, Float64Array, Int32Array, Int64Array, ListArray, MapArray, StringArray,
    StructArray, Time64MicrosecondArray, TimestampMicrosecondArray, TimestampNanosecondArray,
};
use arrow::buffer::{NullBuffer, OffsetBuffer};
use arrow::datatypes::{DataType, Field, FieldRef, SchemaRef, TimeUnit};
use arrow::record_batch::{RecordBatch, RecordBatchOptions};
use bytes::Bytes;

use super::builder::{Body, BodyBuilder, SliceMeta};
use super::layout::BodyPlace;
use crate::format::slice::{Codec, Slice, SliceOp};
use crate::id::{Bucket, FieldId, Stream, TableId};
use crate::schema::arrow_form::arrow_schema;
use crate::schema::{Column, Nested, Schema, TimestampUnit, Type};

const CODECS: [Codec; 3] = [Codec::None, Codec::Lz4, Codec::Zstd];

/// The body does not begin with the object, and the slice not with the body: so that messages show both.
const PLACE: BodyPlace<'static> = BodyPlace { object: "db/log/00000000000000000007", start: 1000 };

/// SplitMix64: a small generator whose numbers never change.
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        z ^ (z >> 31)
    }

    fn below(&mut self, end: usize) -> usize {
        usize::try_from(self.next() % u64::try_from(end).unwrap()).unwrap()
    }

    fn bytes(&mut self, length: usize) -> Vec<u8> {
        (0..length).map(|_| self.next().to_le_bytes()[0]).collect()
    }

    fn string(&mut self) -> String {
        let length = self.below(24);
        (0..length).map(|_| ['a', 'b', 'é', '水', '🧊'][self.below(5)]).collect()
    }
}

/// A column of each type, required and not, nested ones with field ids of their own.
fn every_type() -> Schema {
    let mut id = 0;
    let mut fresh = || {
        id += 1;
        id
    };
    let types = every_type_of(&mut fresh);
    let column = |(n, ty): (usize, Type)| Column {
        id: 1000 + FieldId::try_from(n).unwrap(),
        name: format!("c{n}"),
        required: n % 3 == 0,
        ty,
        doc: String::new(),
    };
    Schema { id: 3, columns: types.into_iter().enumerate().map(column).collect() }
}

fn every_type_of(fresh: &mut dyn FnMut() -> FieldId) -> Vec<Type> {
    let mut nested = |required, ty| Box::new(Nested { id: fresh(), required, ty });
    let timestamp = |unit, zone| Type::Timestamp { unit, zone };
    let list = Type::List(nested(false, Type::String));
    let ints = Type::List(nested(true, Type::Int));
    let list_of_lists = Type::List(nested(false, ints));
    let booleans = Type::List(nested(true, Type::Boolean));
    let map = Type::Map(nested(true, Type::String), nested(false, Type::Double));
    let map_of_lists = Type::Map(nested(true, Type::Int), nested(false, booleans));
    let vector = |element_id| Type::Vector { length: 3, element_id };
    let field = |id, required, ty| Column { id, name: format!("f{id}"), required, ty, doc: String::new() };
    let fields = vec![
        field(500, true, Type::Bigint),
        field(501, false, Type::Binary),
        field(502, false, vector(503)),
        field(504, false, Type::Struct(vec![field(505, false, Type::Uuid)])),
    ];
    vec![
        Type::Boolean,
        Type::Int,
        Type::Bigint,
        Type::Real,
        Type::Double,
        Type::Decimal { precision: 38, scale: 9 },
        Type::Decimal { precision: 3, scale: 0 },
        Type::Date,
        Type::Time,
        timestamp(TimestampUnit::Micros, false),
        timestamp(TimestampUnit::Micros, true),
        timestamp(TimestampUnit::Nanos, false),
        timestamp(TimestampUnit::Nanos, true),
        Type::String,
        Type::String,
        Type::Uuid,
        Type::Fixed(3),
        Type::Binary,
        list.clone(),
        list,
        list_of_lists,
        map,
        map_of_lists,
        Type::Struct(fields.clone()),
        Type::Struct(fields),
        Type::Struct(Vec::new()),
        vector(600),
        vector(601),
    ]
}

fn nulls(nullable: bool, rows: usize, random: &mut Random) -> Option<NullBuffer> {
    // Also: nullable and yet without a null.
    (nullable && random.below(4) != 0).then(|| (0..rows).map(|_| random.below(3) != 0).collect())
}

/// Values of a field with nulls where it may have them.
fn array(field: &Field, rows: usize, random: &mut Random) -> ArrayRef {
    let nulls = nulls(field.is_nullable(), rows, random);
    macro_rules! primitive {
        ($array:ty, $value:expr) => {
            Arc::new(<$array>::new((0..rows).map(|_| $value).collect(), nulls)) as ArrayRef
        };
    }
    let small = |random: &mut Random| i64::try_from(random.next() >> 20).unwrap();
    match field.data_type() {
        DataType::Boolean => {
            Arc::new(BooleanArray::new((0..rows).map(|_| random.below(2) == 0).collect(), nulls))
        }
        DataType::Int32 => primitive!(Int32Array, i32::try_from(random.below(1000)).unwrap() - 500),
        DataType::Int64 => primitive!(Int64Array, random.next().cast_signed()),
        DataType::Float32 => primitive!(Float32Array, f32::from(random.next().to_le_bytes()[0]) / 7.0),
        DataType::Float64 => primitive!(Float64Array, f64::from(random.next().to_le_bytes()[0]) / 7.0),
        DataType::Date32 => primitive!(Date32Array, i32::try_from(random.below(40_000)).unwrap()),
        DataType::Decimal128(precision, scale) => {
            let values = primitive!(Decimal128Array, i128::try_from(random.below(999)).unwrap() - 400);
            let values = values.as_any().downcast_ref::<Decimal128Array>().unwrap().clone();
            Arc::new(values.with_precision_and_scale(*precision, *scale).unwrap())
        }
        DataType::Time64(_) => primitive!(Time64MicrosecondArray, small(random)),
        DataType::Timestamp(TimeUnit::Microsecond, zone) => {
            let values = (0..rows).map(|_| small(random)).collect();
            Arc::new(TimestampMicrosecondArray::new(values, nulls).with_timezone_opt(zone.clone()))
        }
        DataType::Timestamp(_, zone) => {
            let values = (0..rows).map(|_| small(random)).collect();
            Arc::new(TimestampNanosecondArray::new(values, nulls).with_timezone_opt(zone.clone()))
        }
        DataType::Utf8 => {
            let value = |n| nulls.as_ref().is_none_or(|nulls| nulls.is_valid(n)).then(|| random.string());
            Arc::new((0..rows).map(value).collect::<StringArray>())
        }
        DataType::Binary => {
            let value = |n| {
                let length = random.below(20);
                nulls.as_ref().is_none_or(|nulls| nulls.is_valid(n)).then(|| random.bytes(length))
            };
            Arc::new((0..rows).map(value).collect::<BinaryArray>())
        }
        DataType::FixedSizeBinary(width) => {
            let values = random.bytes(rows * usize::try_from(*width).unwrap());
            Arc::new(FixedSizeBinaryArray::try_new(*width, values.into(), nulls).unwrap())
        }
        _ => nested_array(field, rows, nulls, random),
    }
}

fn nested_array(field: &Field, rows: usize, nulls: Option<NullBuffer>, random: &mut Random) -> ArrayRef {
    let mut lengths = || OffsetBuffer::from_lengths((0..rows).map(|_| random.below(4)).collect::<Vec<_>>());
    match field.data_type() {
        DataType::List(element) => {
            let offsets = lengths();
            let values = array(element, usize::try_from(*offsets.last().unwrap()).unwrap(), random);
            Arc::new(ListArray::try_new(Arc::clone(element), offsets, values, nulls).unwrap())
        }
        DataType::Map(entries, _) => {
            let offsets = lengths();
            let values = array(entries, usize::try_from(*offsets.last().unwrap()).unwrap(), random);
            let values = values.as_any().downcast_ref::<StructArray>().unwrap().clone();
            Arc::new(MapArray::try_new(Arc::clone(entries), offsets, values, nulls, false).unwrap())
        }
        DataType::FixedSizeList(element, length) => {
            let values = array(element, rows * usize::try_from(*length).unwrap(), random);
            Arc::new(FixedSizeListArray::try_new(Arc::clone(element), *length, values, nulls).unwrap())
        }
        DataType::Struct(fields) if fields.is_empty() => Arc::new(StructArray::new_empty_fields(rows, nulls)),
        DataType::Struct(fields) => {
            let children = fields.iter().map(|field| array(field, rows, random)).collect();
            Arc::new(StructArray::try_new(fields.clone(), children, nulls).unwrap())
        }
        other => panic!("no values of {other}"),
    }
}

fn batch(schema: &SchemaRef, rows: usize, seed: u64) -> RecordBatch {
    let mut random = Random(seed);
    let columns = schema.fields().iter().map(|field| array(field, rows, &mut random)).collect();
    let options = RecordBatchOptions::new().with_row_count(Some(rows));
    RecordBatch::try_new_with_options(Arc::clone(schema), columns, &options).unwrap()
}

fn meta(columns: usize, codec: Codec) -> SliceMeta {
    SliceMeta {
        table: TableId(5),
        bucket: Bucket(2),
        stream: Stream::Rows,
        schema: 3,
        columns: (1..=FieldId::try_from(columns).unwrap()).collect(),
        op: SliceOp::Append,
        codec,
        times: Some((1, 2)),
        source: None,
    }
}

/// The bytes of the slice at `index` of a body.
fn slice_bytes(body: &Body, index: usize) -> Bytes {
    let all: Vec<u8> = body.chunks.iter().flatten().copied().collect();
    assert_eq!(u64::try_from(all.len()).unwrap(), body.bytes);
    let slice = &body.slices[index];
    let start = usize::try_from(slice.body_offset).unwrap();
    Bytes::from(all).slice(start..start + usize::try_from(slice.bytes).unwrap())
}

/// One slice behind another in a body.
fn written(batches: &[RecordBatch], columns: usize, codec: Codec) -> (Slice, Bytes) {
    let mut builder = BodyBuilder::new();
    let before = batch(&arrow_schema(&every_type()), 3, 0);
    builder.push(meta(before.num_columns(), Codec::None), &[before]).unwrap();
    let index = builder.push(meta(columns, codec), batches).unwrap();
    let body = builder.finish();
    (body.slices[index].clone(), slice_bytes(&body, index))
}

/// Batches of all types and the slice that they were written as.
fn every_type_written(
    rows: &[usize],
    codec: Codec,
    seed: u64,
) -> (Vec<RecordBatch>, Slice, Bytes, Vec<FieldRef>) {
    let schema = arrow_schema(&every_type());
    let numbered = rows.iter().zip(seed..);
    let batches: Vec<_> = numbered.map(|(rows, seed)| batch(&schema, *rows, seed)).collect();
    let (slice, bytes) = written(&batches, schema.fields().len(), codec);
    (batches, slice, bytes, schema.fields().to_vec())
}

fn logical_rows(batches: &[RecordBatch]) -> usize {
    batches.iter().map(RecordBatch::num_rows).sum()
}

//! Random tables and rows of every type, for the property that what is written is read back.

use std::sync::Arc;

use arrow::array::types::{
    Decimal128Type, Time64MicrosecondType, TimestampMicrosecondType, TimestampNanosecondType,
};
use arrow::array::{
    ArrayRef, BinaryArray, BooleanArray, Date32Array, FixedSizeBinaryArray, FixedSizeListArray, Float32Array,
    Float64Array, Int32Array, Int64Array, ListArray, MapArray, PrimitiveArray, StringArray, StructArray,
};
use arrow::buffer::{NullBuffer, OffsetBuffer};
use arrow::datatypes::{DataType, Field};
use arrow::record_batch::{RecordBatch, RecordBatchOptions};
use frazil_log::schema::arrow_form::arrow_schema;
use frazil_log::schema::ids::assign_ids;
use frazil_log::schema::{Column, Nested, Schema, TimestampUnit, Type};
use proptest::prelude::*;

/// Schemas of every type, nested up to three deep.
pub(crate) fn schemas() -> impl Strategy<Value = Schema> {
    prop::collection::vec((any::<bool>(), types()), 1..5).prop_map(|types| {
        let mut columns = columns(types);
        assign_ids(&mut columns);
        Schema { id: 0, columns }
    })
}

fn columns(types: Vec<(bool, Type)>) -> Vec<Column> {
    let named = types.into_iter().enumerate();
    named
        .map(|(at, (required, ty))| Column {
            id: 0,
            name: format!("c\"é {at}"),
            required,
            ty,
            doc: String::new(),
        })
        .collect()
}

fn types() -> impl Strategy<Value = Type> {
    let timestamp = |unit, zone| Type::Timestamp { unit, zone };
    let leaf = prop_oneof![
        Just(Type::Boolean),
        Just(Type::Int),
        Just(Type::Bigint),
        Just(Type::Real),
        Just(Type::Double),
        (1u8..=38, 0u8..=38)
            .prop_map(|(precision, scale)| Type::Decimal { precision, scale: scale.min(precision) }),
        Just(Type::Date),
        Just(Type::Time),
        Just(timestamp(TimestampUnit::Micros, true)),
        Just(timestamp(TimestampUnit::Micros, false)),
        Just(timestamp(TimestampUnit::Nanos, true)),
        Just(timestamp(TimestampUnit::Nanos, false)),
        Just(Type::String),
        Just(Type::Uuid),
        (1u32..20).prop_map(Type::Fixed),
        Just(Type::Binary),
        (1u32..5).prop_map(|length| Type::Vector { length, element_id: 0 }),
    ];
    leaf.prop_recursive(3, 12, 3, |inner| {
        let nested = (any::<bool>(), inner.clone()).prop_map(|(required, ty)| Nested { id: 0, required, ty });
        let key = inner.clone().prop_map(|ty| Nested { id: 0, required: true, ty });
        prop_oneof![
            nested.clone().prop_map(|element| Type::List(Box::new(element))),
            (key, nested.clone()).prop_map(|(key, value)| Type::Map(Box::new(key), Box::new(value))),
            nested.prop_map(|value| {
                let key = Nested { id: 0, required: true, ty: Type::String };
                Type::Map(Box::new(key), Box::new(value))
            }),
            prop::collection::vec((any::<bool>(), inner), 1..3)
                .prop_map(|types| Type::Struct(columns(types))),
        ]
    })
}

/// A batch of a schema, the same for the same seed.
pub(crate) fn batch(schema: &Schema, rows: usize, seed: u64) -> RecordBatch {
    let arrow = arrow_schema(schema);
    let mut dice = Dice(seed);
    let columns = schema.columns.iter().zip(arrow.fields());
    let arrays = columns.map(|(column, field)| dice.array(&column.ty, field, rows)).collect();
    let options = RecordBatchOptions::new().with_row_count(Some(rows));
    RecordBatch::try_new_with_options(arrow, arrays, &options).unwrap()
}

struct Dice(u64);

impl Dice {
    /// splitmix64
    fn roll(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        z ^ (z >> 31)
    }

    fn below(&mut self, limit: u64) -> u64 {
        self.roll() % limit
    }

    /// A number that is sometimes at the edge.
    fn signed(&mut self) -> i64 {
        match self.below(8) {
            0 => i64::MIN,
            1 => i64::MAX,
            2 => 0,
            3 => -1,
            _ => self.roll().cast_signed() >> self.below(64),
        }
    }

    fn real(&mut self) -> f32 {
        match self.below(8) {
            0 => f32::NAN,
            1 => f32::INFINITY,
            2 => f32::NEG_INFINITY,
            3 => -0.0,
            4 => f32::MIN_POSITIVE,
            _ => Some(f32::from_bits(u32::try_from(self.roll() >> 32).unwrap()))
                .filter(|f| !f.is_nan())
                .unwrap_or(1.5),
        }
    }

    fn double(&mut self) -> f64 {
        match self.below(8) {
            0 => f64::NAN,
            1 => f64::INFINITY,
            2 => f64::NEG_INFINITY,
            3 => -0.0,
            4 => f64::from_bits(1),
            _ => Some(f64::from_bits(self.roll())).filter(|f| !f.is_nan()).unwrap_or(1.5),
        }
    }

    fn text(&mut self) -> String {
        const PIECES: [&str; 8] = ["a", "é", "\"", "\\", "\n", "\u{0}", "😀", "\u{7f}"];
        (0..self.below(5)).map(|_| PIECES[usize::try_from(self.below(8)).unwrap()]).collect()
    }

    fn bytes(&mut self, length: u64) -> Vec<u8> {
        (0..length).map(|_| self.roll().to_le_bytes()[0]).collect()
    }

    fn each<T>(&mut self, rows: usize, mut value: impl FnMut(&mut Self) -> T) -> Vec<T> {
        (0..rows).map(|_| value(self)).collect()
    }

    fn nulls(&mut self, field: &Field, rows: usize) -> Option<NullBuffer> {
        field.is_nullable().then(|| NullBuffer::from(self.each(rows, |dice| dice.below(4) > 0)))
    }

    /// Offsets with at most `most` elements an entry, none where it is null.
    fn offsets(&mut self, nulls: Option<&NullBuffer>, rows: usize, most: u64) -> OffsetBuffer<i32> {
        let length = |at| nulls.is_none_or(|nulls: &NullBuffer| nulls.is_valid(at));
        OffsetBuffer::from_lengths(
            (0..rows).map(|at| if length(at) { usize::try_from(self.below(most + 1)).unwrap() } else { 0 }),
        )
    }

    fn array(&mut self, ty: &Type, field: &Field, rows: usize) -> ArrayRef {
        let nulls = self.nulls(field, rows);
        let narrow = |wide: i64| i32::try_from(wide >> 32).unwrap();
        match ty {
            Type::Boolean => {
                Arc::new(BooleanArray::new(self.each(rows, |dice| dice.below(2) == 0).into(), nulls))
            }
            Type::Int => {
                Arc::new(Int32Array::new(self.each(rows, |dice| narrow(dice.signed())).into(), nulls))
            }
            Type::Bigint => Arc::new(Int64Array::new(self.each(rows, Self::signed).into(), nulls)),
            Type::Real => Arc::new(Float32Array::new(self.each(rows, Self::real).into(), nulls)),
            Type::Double => Arc::new(Float64Array::new(self.each(rows, Self::double).into(), nulls)),
            Type::Decimal { precision, .. } => {
                let limit = 10i128.pow(u32::from(*precision));
                let values =
                    self.each(rows, |dice| (i128::from(dice.signed()) * i128::from(dice.signed())) % limit);
                let array = PrimitiveArray::<Decimal128Type>::new(values.into(), nulls);
                Arc::new(array.with_data_type(field.data_type().clone()))
            }
            Type::Date => {
                Arc::new(Date32Array::new(self.each(rows, |dice| narrow(dice.signed())).into(), nulls))
            }
            Type::Time => {
                let values = self.each(rows, |dice| i64::try_from(dice.below(86_400_000_000)).unwrap());
                Arc::new(PrimitiveArray::<Time64MicrosecondType>::new(values.into(), nulls))
            }
            Type::Timestamp { unit, zone } => {
                let values = self.each(rows, Self::signed).into();
                let zone = zone.then_some("UTC");
                match unit {
                    TimestampUnit::Micros => Arc::new(
                        PrimitiveArray::<TimestampMicrosecondType>::new(values, nulls)
                            .with_timezone_opt(zone),
                    ),
                    TimestampUnit::Nanos => Arc::new(
                        PrimitiveArray::<TimestampNanosecondType>::new(values, nulls).with_timezone_opt(zone),
                    ),
                }
            }
            Type::String => {
                let values = StringArray::from_iter_values(self.each(rows, Self::text));
                let (offsets, bytes, _) = values.into_parts();
                Arc::new(StringArray::new(offsets, bytes, nulls))
            }
            Type::Binary => {
                let values = self.each(rows, |dice| {
                    let length = dice.below(6);
                    dice.bytes(length)
                });
                let (offsets, bytes, _) = BinaryArray::from_iter_values(values).into_parts();
                Arc::new(BinaryArray::new(offsets, bytes, nulls))
            }
            Type::Uuid => self.fixed(16, rows, nulls),
            Type::Fixed(length) => self.fixed(*length, rows, nulls),
            nested => self.nested(nested, field, rows, nulls),
        }
    }

    fn fixed(&mut self, length: u32, rows: usize, nulls: Option<NullBuffer>) -> ArrayRef {
        let bytes = self.bytes(u64::from(length) * u64::try_from(rows).unwrap());
        Arc::new(FixedSizeBinaryArray::new(length.cast_signed(), bytes.into(), nulls))
    }

    fn nested(&mut self, ty: &Type, field: &Field, rows: usize, nulls: Option<NullBuffer>) -> ArrayRef {
        match (ty, field.data_type()) {
            (Type::List(element), DataType::List(inner)) => {
                let offsets = self.offsets(nulls.as_ref(), rows, 3);
                let values = self.array(&element.ty, inner, end(&offsets));
                Arc::new(ListArray::new(Arc::clone(inner), offsets, values, nulls))
            }
            (Type::Map(key, value), DataType::Map(entries, sorted)) => {
                let DataType::Struct(fields) = entries.data_type() else { panic!("no pairs") };
                let most = if key.ty == Type::String { 3 } else { 1 };
                let offsets = self.offsets(nulls.as_ref(), rows, most);
                let count = end(&offsets);
                let keys: ArrayRef = if key.ty == Type::String {
                    Arc::new(StringArray::from_iter_values(
                        (0..count).map(|at| format!("{}{at}", self.text())),
                    ))
                } else {
                    self.array(&key.ty, &fields[0], count)
                };
                let values = self.array(&value.ty, &fields[1], count);
                let pairs = StructArray::new(fields.clone(), vec![keys, values], None);
                Arc::new(MapArray::new(Arc::clone(entries), offsets, pairs, nulls, *sorted))
            }
            (Type::Struct(columns), DataType::Struct(fields)) => {
                let pairs = columns.iter().zip(fields);
                let arrays = pairs.map(|(column, field)| self.array(&column.ty, field, rows)).collect();
                Arc::new(StructArray::new(fields.clone(), arrays, nulls))
            }
            (Type::Vector { length, .. }, DataType::FixedSizeList(element, size)) => {
                let count = usize::try_from(*length).unwrap() * rows;
                let values = Arc::new(Float32Array::from(self.each(count, Self::real)));
                Arc::new(FixedSizeListArray::new(Arc::clone(element), *size, values, nulls))
            }
            (ty, other) => panic!("{ty} as {other}"),
        }
    }
}

fn end(offsets: &OffsetBuffer<i32>) -> usize {
    usize::try_from(*offsets.last().unwrap()).unwrap()
}

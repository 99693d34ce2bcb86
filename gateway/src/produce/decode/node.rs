//! Columns under construction: one node per column or nested field, holding its values until the batch is made.
//!
//! Invariants:
//! * each node of a row has one entry more after it, null or not, also when the row was refused;
//! * an entry takes [`Node::width`] bytes besides its characters and its elements; the reader spends them first.

use std::sync::Arc;

use arrow::array::builder::{BooleanBufferBuilder, NullBufferBuilder};
use arrow::array::types::{
    Date32Type, Decimal128Type, Float32Type, Float64Type, Int32Type, Int64Type, Time64MicrosecondType,
    TimestampMicrosecondType, TimestampNanosecondType,
};
use arrow::array::{
    ArrayRef, ArrowPrimitiveType, BinaryArray, BooleanArray, FixedSizeBinaryArray, FixedSizeListArray,
    ListArray, MapArray, PrimitiveArray, StringArray, StructArray,
};
use arrow::buffer::{NullBuffer, OffsetBuffer, ScalarBuffer};
use arrow::datatypes::{DataType, Field, Fields};
use arrow::error::ArrowError;
use frazil_log::schema::{Column, Nested, TimestampUnit, Type};

use super::errors::Stop;

/// A column or nested field under construction.
#[derive(Debug)]
pub(super) struct Node<'t> {
    pub(super) ty: &'t Type,
    pub(super) required: bool,
    /// Bytes of one entry, without characters and elements.
    pub(super) width: usize,
    pub(super) nulls: NullBufferBuilder,
    pub(super) values: Values<'t>,
}

/// The values of a node.
#[derive(Debug)]
pub(super) enum Values<'t> {
    Boolean(BooleanBufferBuilder),
    Int(Vec<i32>),
    Bigint(Vec<i64>),
    Real(Vec<f32>),
    Double(Vec<f64>),
    Decimal(Vec<i128>),
    Date(Vec<i32>),
    /// Times and timestamps.
    Time(Vec<i64>),
    /// Strings and binaries.
    Bytes(Bytes),
    /// UUIDs and fixed: so many bytes each.
    Fixed(Vec<u8>, usize),
    List(Vec<i32>, Box<Node<'t>>),
    Map(Vec<i32>, Box<Node<'t>>, Box<Node<'t>>),
    Struct(Record<'t>),
    /// So many floats each.
    Vector(Vec<f32>, usize),
}

/// Variable-length values, end to end.
#[derive(Debug)]
pub(super) struct Bytes {
    pub(super) bytes: Vec<u8>,
    pub(super) offsets: Vec<i32>,
}

/// Named nodes: the columns of a row, or the fields of a struct.
#[derive(Debug)]
pub(super) struct Record<'t> {
    pub(super) members: Vec<Member<'t>>,
    /// Indices of `members`, by name.
    by_name: Vec<usize>,
    /// Counts records; a member whose `seen` equals it has its value.
    pub(super) record: u64,
}

/// One column or field by name.
#[derive(Debug)]
pub(super) struct Member<'t> {
    pub(super) name: &'t str,
    pub(super) seen: u64,
    pub(super) node: Node<'t>,
}

impl<'t> Node<'t> {
    pub(super) fn new(ty: &'t Type, required: bool) -> Self {
        let (values, width) = Values::new(ty);
        Self { ty, required, width: width + 1, nulls: NullBufferBuilder::new(0), values }
    }

    fn nested(nested: &'t Nested) -> Self {
        Self::new(&nested.ty, nested.required)
    }

    /// Adds a null, also where it is not allowed: the row was refused, or its parent is null.
    pub(super) fn push_null(&mut self) {
        self.nulls.append_null();
        match &mut self.values {
            Values::Boolean(values) => values.append(false),
            Values::Int(values) | Values::Date(values) => values.push(0),
            Values::Bigint(values) | Values::Time(values) => values.push(0),
            Values::Real(values) => values.push(0.0),
            Values::Double(values) => values.push(0.0),
            Values::Decimal(values) => values.push(0),
            Values::Bytes(values) => values.offsets.push(last(&values.offsets)),
            Values::Fixed(values, length) => values.resize(values.len() + *length, 0),
            Values::List(offsets, _) | Values::Map(offsets, _, _) => offsets.push(last(offsets)),
            Values::Struct(record) => record.members.iter_mut().for_each(|member| member.node.push_null()),
            Values::Vector(values, length) => values.resize(values.len() + *length, 0.0),
        }
    }

    /// The column as an array of the field's type.
    pub(super) fn finish(mut self, field: &Field) -> Result<ArrayRef, ArrowError> {
        let nulls = self.nulls.finish();
        let array: ArrayRef = match self.values {
            Values::Boolean(mut values) => Arc::new(BooleanArray::new(values.finish(), nulls)),
            Values::Int(values) => primitive::<Int32Type>(values, nulls)?,
            Values::Bigint(values) => primitive::<Int64Type>(values, nulls)?,
            Values::Real(values) => primitive::<Float32Type>(values, nulls)?,
            Values::Double(values) => primitive::<Float64Type>(values, nulls)?,
            Values::Date(values) => primitive::<Date32Type>(values, nulls)?,
            Values::Decimal(values) => {
                let array = PrimitiveArray::<Decimal128Type>::try_new(values.into(), nulls)?;
                Arc::new(array.with_data_type(field.data_type().clone()))
            }
            Values::Time(values) => time(self.ty, values, nulls)?,
            Values::Bytes(Bytes { bytes, offsets }) => {
                let offsets = OffsetBuffer::new(ScalarBuffer::from(offsets));
                match self.ty {
                    Type::String => Arc::new(StringArray::try_new(offsets, bytes.into(), nulls)?),
                    _ => Arc::new(BinaryArray::try_new(offsets, bytes.into(), nulls)?),
                }
            }
            Values::Fixed(values, _) => match field.data_type() {
                DataType::FixedSizeBinary(length) => {
                    Arc::new(FixedSizeBinaryArray::try_new(*length, values.into(), nulls)?)
                }
                other => return Err(mismatch(other)),
            },
            Values::Vector(values, _) => match field.data_type() {
                DataType::FixedSizeList(element, length) => {
                    let values = primitive::<Float32Type>(values, None)?;
                    Arc::new(FixedSizeListArray::try_new(Arc::clone(element), *length, values, nulls)?)
                }
                other => return Err(mismatch(other)),
            },
            nested => finish_nested(nested, field, nulls)?,
        };
        Ok(array)
    }
}

fn finish_nested(
    values: Values<'_>,
    field: &Field,
    nulls: Option<NullBuffer>,
) -> Result<ArrayRef, ArrowError> {
    match (values, field.data_type()) {
        (Values::List(offsets, element), DataType::List(element_field)) => {
            let values = element.finish(element_field)?;
            let offsets = OffsetBuffer::new(ScalarBuffer::from(offsets));
            Ok(Arc::new(ListArray::try_new(Arc::clone(element_field), offsets, values, nulls)?))
        }
        (Values::Map(offsets, key, value), DataType::Map(entries, sorted)) => {
            let DataType::Struct(fields) = entries.data_type() else {
                return Err(mismatch(entries.data_type()));
            };
            let [key_field, value_field] = &fields[..] else {
                return Err(mismatch(entries.data_type()));
            };
            let columns = vec![key.finish(key_field)?, value.finish(value_field)?];
            let pairs = StructArray::try_new(fields.clone(), columns, None)?;
            let offsets = OffsetBuffer::new(ScalarBuffer::from(offsets));
            Ok(Arc::new(MapArray::try_new(Arc::clone(entries), offsets, pairs, nulls, *sorted)?))
        }
        (Values::Struct(record), DataType::Struct(fields)) => {
            Ok(Arc::new(StructArray::try_new(fields.clone(), record.finish(fields)?, nulls)?))
        }
        (_, other) => Err(mismatch(other)),
    }
}

fn mismatch(data_type: &DataType) -> ArrowError {
    ArrowError::SchemaError(format!("a column's values do not have its Arrow type {data_type}"))
}

fn time(ty: &Type, values: Vec<i64>, nulls: Option<NullBuffer>) -> Result<ArrayRef, ArrowError> {
    let values = ScalarBuffer::from(values);
    Ok(match ty {
        Type::Timestamp { unit: TimestampUnit::Micros, zone } => {
            let array = PrimitiveArray::<TimestampMicrosecondType>::try_new(values, nulls)?;
            Arc::new(array.with_timezone_opt(zone.then_some("UTC")))
        }
        Type::Timestamp { unit: TimestampUnit::Nanos, zone } => {
            let array = PrimitiveArray::<TimestampNanosecondType>::try_new(values, nulls)?;
            Arc::new(array.with_timezone_opt(zone.then_some("UTC")))
        }
        _ => Arc::new(PrimitiveArray::<Time64MicrosecondType>::try_new(values, nulls)?),
    })
}

fn primitive<T: ArrowPrimitiveType>(
    values: Vec<T::Native>,
    nulls: Option<NullBuffer>,
) -> Result<ArrayRef, ArrowError> {
    Ok(Arc::new(PrimitiveArray::<T>::try_new(values.into(), nulls)?))
}

impl<'t> Values<'t> {
    /// Empty values of a type, and the bytes of one entry.
    fn new(ty: &'t Type) -> (Self, usize) {
        match ty {
            Type::Boolean => (Self::Boolean(BooleanBufferBuilder::new(0)), 1),
            Type::Int => (Self::Int(Vec::new()), 4),
            Type::Bigint => (Self::Bigint(Vec::new()), 8),
            Type::Real => (Self::Real(Vec::new()), 4),
            Type::Double => (Self::Double(Vec::new()), 8),
            Type::Decimal { .. } => (Self::Decimal(Vec::new()), 16),
            Type::Date => (Self::Date(Vec::new()), 4),
            Type::Time | Type::Timestamp { .. } => (Self::Time(Vec::new()), 8),
            Type::String | Type::Binary => (Self::Bytes(Bytes { bytes: Vec::new(), offsets: vec![0] }), 4),
            Type::Uuid => (Self::Fixed(Vec::new(), 16), 16),
            Type::Fixed(length) => {
                let length = usize::try_from(*length).unwrap_or(usize::MAX);
                (Self::Fixed(Vec::new(), length), length)
            }
            Type::List(element) => (Self::List(vec![0], Box::new(Node::nested(element))), 4),
            Type::Map(key, value) => {
                (Self::Map(vec![0], Box::new(Node::nested(key)), Box::new(Node::nested(value))), 4)
            }
            Type::Struct(fields) => {
                let record = Record::new(fields);
                let width = record.width();
                (Self::Struct(record), width)
            }
            Type::Vector { length, .. } => {
                let length = usize::try_from(*length).unwrap_or(usize::MAX);
                (Self::Vector(Vec::new(), length), length.saturating_mul(4))
            }
        }
    }
}

impl Bytes {
    /// Ends an entry whose bytes were added.
    pub(super) fn end(&mut self) -> Result<(), Stop> {
        self.offsets.push(i32::try_from(self.bytes.len()).map_err(|_| Stop::TooLarge)?);
        Ok(())
    }
}

impl<'t> Record<'t> {
    pub(super) fn new(columns: &'t [Column]) -> Self {
        let member = |column: &'t Column| Member {
            name: &column.name,
            seen: 0,
            node: Node::new(&column.ty, column.required),
        };
        let mut by_name: Vec<usize> = (0..columns.len()).collect();
        by_name.sort_unstable_by_key(|&at| columns[at].name.as_str());
        Self { members: columns.iter().map(member).collect(), by_name, record: 0 }
    }

    /// The member of a name. Members usually come in the table's order, so the guess is tried first.
    pub(super) fn find(&self, name: &str, guess: usize) -> Option<usize> {
        if self.members.get(guess).is_some_and(|member| member.name == name) {
            return Some(guess);
        }
        let found = self.by_name.binary_search_by_key(&name, |&at| self.members[at].name);
        found.ok().map(|at| self.by_name[at])
    }

    /// Bytes of one record, without characters and elements.
    pub(super) fn width(&self) -> usize {
        self.members.iter().fold(0, |sum: usize, member| sum.saturating_add(member.node.width))
    }

    /// The columns as arrays of the fields' types.
    pub(super) fn finish(self, fields: &Fields) -> Result<Vec<ArrayRef>, ArrowError> {
        self.members.into_iter().zip(fields).map(|(member, field)| member.node.finish(field)).collect()
    }
}

fn last(offsets: &[i32]) -> i32 {
    offsets.last().copied().unwrap_or(0)
}

//! Rows as JSON: one writer per column, its array looked up once a batch, its values written without a detour.
//!
//! The reverse of [`crate::produce::decode`]: what is written here is read there as the same rows.

use arrow::array::cast::AsArray;
use arrow::array::types::{
    Date32Type, Decimal128Type, Float32Type, Float64Type, Int32Type, Int64Type, Time64MicrosecondType,
    TimestampMicrosecondType, TimestampNanosecondType,
};
use arrow::array::{Array, BinaryArray, BooleanArray, FixedSizeBinaryArray, StringArray};
use arrow::buffer::NullBuffer;
use arrow::record_batch::RecordBatch;
use base64::Engine;
use base64::engine::general_purpose::STANDARD as BASE64;
use frazil_log::schema::arrow_form::data_type;
use frazil_log::schema::{Column, TimestampUnit, Type};
use serde::Serialize;
use uuid::Uuid;

use super::text::{push_date, push_decimal, push_time, push_timestamp};
use crate::error::Problem;

/// Writes the rows of a batch as objects, with `separator` between them and none after the last.
pub(super) fn push_rows(
    out: &mut Vec<u8>,
    columns: &[Column],
    batch: &RecordBatch,
    separator: &[u8],
) -> Result<(), Problem> {
    let record = Record::new(columns, batch.columns().iter().map(|array| &**array))?;
    for row in 0..batch.num_rows() {
        if row > 0 {
            out.extend_from_slice(separator);
        }
        record.push(out, row);
    }
    Ok(())
}

/// The JSON text of each value of an array; equal values have equal texts.
pub(crate) struct Texts {
    bytes: Vec<u8>,
    ends: Vec<usize>,
}

impl Texts {
    pub(crate) fn new(ty: &Type, array: &dyn Array) -> Result<Self, Problem> {
        let writer = Writer::new(ty, array)?;
        let mut texts = Self { bytes: Vec::new(), ends: Vec::with_capacity(array.len()) };
        for at in 0..array.len() {
            writer.push(&mut texts.bytes, at);
            texts.ends.push(texts.bytes.len());
        }
        Ok(texts)
    }

    /// The text of one value; empty if there is none.
    pub(crate) fn get(&self, at: usize) -> &[u8] {
        let start = at.checked_sub(1).and_then(|before| self.ends.get(before)).copied().unwrap_or(0);
        self.ends.get(at).and_then(|&end| self.bytes.get(start..end)).unwrap_or_default()
    }
}

/// The members of objects: columns of a row, or fields of a struct.
struct Record<'a> {
    members: Vec<(Vec<u8>, Writer<'a>)>,
}

/// A column or nested field.
pub(super) struct Writer<'a> {
    nulls: Option<&'a NullBuffer>,
    values: Values<'a>,
}

enum Values<'a> {
    Boolean(&'a BooleanArray),
    Int(&'a [i32]),
    Bigint(&'a [i64]),
    Real(&'a [f32]),
    Double(&'a [f64]),
    Decimal(&'a [i128], u8),
    Date(&'a [i32]),
    Time(&'a [i64]),
    Timestamp {
        values: &'a [i64],
        nanos: bool,
        zone: bool,
    },
    String(&'a StringArray),
    Uuid(&'a FixedSizeBinaryArray),
    Fixed(&'a FixedSizeBinaryArray),
    Binary(&'a BinaryArray),
    List {
        offsets: &'a [i32],
        values: Box<Writer<'a>>,
    },
    /// A map from strings: an object.
    Object {
        offsets: &'a [i32],
        keys: &'a StringArray,
        values: Box<Writer<'a>>,
    },
    /// Any other map: an array of pairs.
    Pairs {
        offsets: &'a [i32],
        keys: Box<Writer<'a>>,
        values: Box<Writer<'a>>,
    },
    Struct(Record<'a>),
    Vector {
        values: &'a [f32],
        length: usize,
    },
}

impl<'a> Record<'a> {
    fn new(
        columns: &[Column],
        arrays: impl ExactSizeIterator<Item = &'a dyn Array>,
    ) -> Result<Self, Problem> {
        if columns.len() != arrays.len() {
            return Err(Problem::internal("a batch has another number of columns than its schema"));
        }
        let mut members = Vec::with_capacity(columns.len());
        for (column, array) in columns.iter().zip(arrays) {
            let mut key = Vec::new();
            push_json(&mut key, column.name.as_str());
            key.push(b':');
            members.push((key, Writer::new(&column.ty, array)?));
        }
        Ok(Self { members })
    }

    fn push(&self, out: &mut Vec<u8>, row: usize) {
        out.push(b'{');
        for (place, (key, writer)) in self.members.iter().enumerate() {
            if place > 0 {
                out.push(b',');
            }
            out.extend_from_slice(key);
            writer.push(out, row);
        }
        out.push(b'}');
    }
}

impl<'a> Writer<'a> {
    pub(super) fn new(ty: &Type, array: &'a dyn Array) -> Result<Self, Problem> {
        // Fields differ in names and ids where a batch was read under another schema; the kind of type must agree.
        if std::mem::discriminant(array.data_type()) != std::mem::discriminant(&data_type(ty)) {
            return Err(mismatch(ty, array));
        }
        Ok(Self { nulls: array.nulls(), values: Values::new(ty, array)? })
    }

    pub(super) fn is_null(&self, at: usize) -> bool {
        self.nulls.is_some_and(|nulls| nulls.is_null(at))
    }

    pub(super) fn push(&self, out: &mut Vec<u8>, at: usize) {
        if self.is_null(at) {
            out.extend_from_slice(b"null");
        } else {
            self.values.push(out, at);
        }
    }
}

impl<'a> Values<'a> {
    fn new(ty: &Type, array: &'a dyn Array) -> Result<Self, Problem> {
        let wrong = || mismatch(ty, array);
        Ok(match ty {
            Type::Boolean => Self::Boolean(array.as_boolean()),
            Type::Int => Self::Int(array.as_primitive::<Int32Type>().values()),
            Type::Bigint => Self::Bigint(array.as_primitive::<Int64Type>().values()),
            Type::Real => Self::Real(array.as_primitive::<Float32Type>().values()),
            Type::Double => Self::Double(array.as_primitive::<Float64Type>().values()),
            Type::Decimal { scale, .. } => {
                Self::Decimal(array.as_primitive::<Decimal128Type>().values(), *scale)
            }
            Type::Date => Self::Date(array.as_primitive::<Date32Type>().values()),
            Type::Time => {
                let times = array.as_primitive_opt::<Time64MicrosecondType>();
                Self::Time(times.ok_or_else(wrong)?.values())
            }
            Type::Timestamp { unit: TimestampUnit::Micros, zone } => {
                let times = array.as_primitive_opt::<TimestampMicrosecondType>();
                Self::Timestamp { values: times.ok_or_else(wrong)?.values(), nanos: false, zone: *zone }
            }
            Type::Timestamp { unit: TimestampUnit::Nanos, zone } => {
                let times = array.as_primitive_opt::<TimestampNanosecondType>();
                Self::Timestamp { values: times.ok_or_else(wrong)?.values(), nanos: true, zone: *zone }
            }
            Type::String => Self::String(array.as_string()),
            Type::Uuid => Self::Uuid(array.as_fixed_size_binary()),
            Type::Fixed(_) => Self::Fixed(array.as_fixed_size_binary()),
            Type::Binary => Self::Binary(array.as_binary()),
            nested => Self::nested(nested, array)?,
        })
    }

    fn nested(ty: &Type, array: &'a dyn Array) -> Result<Self, Problem> {
        let wrong = || mismatch(ty, array);
        Ok(match ty {
            Type::List(element) => {
                let list = array.as_list::<i32>();
                let values = Box::new(Writer::new(&element.ty, list.values())?);
                Self::List { offsets: list.value_offsets(), values }
            }
            Type::Map(key, value) => {
                let map = array.as_map();
                let values = Box::new(Writer::new(&value.ty, map.values())?);
                let offsets = map.value_offsets();
                if key.ty == Type::String {
                    Self::Object { offsets, keys: map.keys().as_string_opt().ok_or_else(wrong)?, values }
                } else {
                    Self::Pairs { offsets, keys: Box::new(Writer::new(&key.ty, map.keys())?), values }
                }
            }
            Type::Struct(fields) => {
                let columns = array.as_struct().columns();
                Self::Struct(Record::new(fields, columns.iter().map(|column| &**column))?)
            }
            Type::Vector { .. } => {
                let vectors = array.as_fixed_size_list();
                let length = usize::try_from(vectors.value_length()).map_err(|_| wrong())?;
                let values = vectors.values().as_primitive_opt::<Float32Type>().ok_or_else(wrong)?;
                Self::Vector { values: values.values(), length }
            }
            _ => return Err(wrong()),
        })
    }

    fn push(&self, out: &mut Vec<u8>, at: usize) {
        match self {
            Self::Boolean(values) => out.extend_from_slice(if values.value(at) { b"true" } else { b"false" }),
            Self::Int(values) => push_json(out, &values[at]),
            Self::Bigint(values) => push_json(out, &values[at]),
            Self::Real(values) => push_real(out, values[at]),
            Self::Double(values) => push_double(out, values[at]),
            Self::Decimal(values, scale) => quoted(out, |out| push_decimal(out, values[at], *scale)),
            Self::Date(values) => quoted(out, |out| push_date(out, i64::from(values[at]))),
            Self::Time(values) => quoted(out, |out| push_time(out, values[at])),
            Self::Timestamp { values, nanos, zone } => {
                quoted(out, |out| push_timestamp(out, values[at], *nanos, *zone));
            }
            Self::String(values) => push_json(out, values.value(at)),
            Self::Uuid(values) => {
                let uuid = Uuid::from_slice(values.value(at)).unwrap_or_default();
                quoted(out, |out| {
                    out.extend_from_slice(uuid.hyphenated().encode_lower(&mut [0; 36]).as_bytes());
                });
            }
            Self::Fixed(values) => push_base64(out, values.value(at)),
            Self::Binary(values) => push_base64(out, values.value(at)),
            Self::Struct(record) => record.push(out, at),
            Self::Vector { values, length } => {
                let vector = &values[at * length..(at + 1) * length];
                bracketed(out, b"[]", 0..vector.len(), |out, at| push_real(out, vector[at]));
            }
            Self::List { offsets, values } => {
                bracketed(out, b"[]", range(offsets, at), |out, at| values.push(out, at));
            }
            Self::Object { offsets, keys, values } => bracketed(out, b"{}", range(offsets, at), |out, at| {
                push_json(out, keys.value(at));
                out.push(b':');
                values.push(out, at);
            }),
            Self::Pairs { offsets, keys, values } => bracketed(out, b"[]", range(offsets, at), |out, at| {
                out.push(b'[');
                keys.push(out, at);
                out.push(b',');
                values.push(out, at);
                out.push(b']');
            }),
        }
    }
}

fn mismatch(ty: &Type, array: &dyn Array) -> Problem {
    Problem::internal(format!("a column of {ty} has the Arrow type {}", array.data_type()))
}

fn range(offsets: &[i32], at: usize) -> std::ops::Range<usize> {
    let bound = |offset: i32| usize::try_from(offset).unwrap_or(0);
    bound(offsets[at])..bound(offsets[at + 1])
}

fn bracketed(
    out: &mut Vec<u8>,
    brackets: &[u8; 2],
    range: std::ops::Range<usize>,
    push: impl Fn(&mut Vec<u8>, usize),
) {
    let [open, close] = *brackets;
    out.push(open);
    for at in range.clone() {
        if at > range.start {
            out.push(b',');
        }
        push(out, at);
    }
    out.push(close);
}

fn quoted(out: &mut Vec<u8>, push: impl FnOnce(&mut Vec<u8>)) {
    out.push(b'"');
    push(out);
    out.push(b'"');
}

fn push_json<T: Serialize + ?Sized>(out: &mut Vec<u8>, value: &T) {
    serde_json::to_writer(&mut *out, value)
        .expect("numbers and strings are written to memory without failing");
}

fn push_double(out: &mut Vec<u8>, value: f64) {
    if value.is_finite() {
        push_json(out, &value);
    } else {
        push_not_finite(out, value);
    }
}

fn push_real(out: &mut Vec<u8>, value: f32) {
    if value.is_finite() {
        push_json(out, &value);
    } else {
        push_not_finite(out, f64::from(value));
    }
}

/// JSON has no numbers for these.
fn push_not_finite(out: &mut Vec<u8>, value: f64) {
    let text: &[u8] = if value.is_nan() {
        b"\"NaN\""
    } else if value > 0.0 {
        b"\"Infinity\""
    } else {
        b"\"-Infinity\""
    };
    out.extend_from_slice(text);
}

fn push_base64(out: &mut Vec<u8>, bytes: &[u8]) {
    quoted(out, |out| {
        let start = out.len();
        out.resize(start + base64::encoded_len(bytes.len(), true).unwrap_or(0), 0);
        let written = BASE64.encode_slice(bytes, &mut out[start..]).unwrap_or(0);
        out.truncate(start + written);
    });
}

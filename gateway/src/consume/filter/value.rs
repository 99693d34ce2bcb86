//! Values of columns outside of arrays: what literals become, and what statistics hold.

use std::cmp::Ordering;
use std::sync::Arc;

use arrow::array::{
    ArrayRef, BinaryArray, BooleanArray, Date32Array, Decimal128Array, FixedSizeBinaryArray, Float32Array,
    Float64Array, Int32Array, Int64Array, StringArray, Time64MicrosecondArray, TimestampMicrosecondArray,
    TimestampNanosecondArray,
};
use frazil_log::schema::{TimestampUnit, Type};

/// A value that is not null.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Value {
    Boolean(bool),
    /// INT, BIGINT, DATE, TIME and TIMESTAMP, in the column's unit.
    Integer(i64),
    Real(f32),
    Double(f64),
    /// Unscaled.
    Decimal(i128),
    Text(String),
    /// BINARY, FIXED and UUID.
    Bytes(Vec<u8>),
}

impl Value {
    /// The order of a column's values: numbers by size with NaN above all, texts by their bytes. Nothing for values of two columns.
    pub(crate) fn order(&self, other: &Self) -> Option<Ordering> {
        match (self, other) {
            (Self::Boolean(one), Self::Boolean(other)) => Some(one.cmp(other)),
            (Self::Integer(one), Self::Integer(other)) => Some(one.cmp(other)),
            (Self::Real(one), Self::Real(other)) => Some(one.total_cmp(other)),
            (Self::Double(one), Self::Double(other)) => Some(one.total_cmp(other)),
            (Self::Decimal(one), Self::Decimal(other)) => Some(one.cmp(other)),
            (Self::Text(one), Self::Text(other)) => Some(one.as_bytes().cmp(other.as_bytes())),
            (Self::Bytes(one), Self::Bytes(other)) => Some(one.cmp(other)),
            _ => None,
        }
    }

    /// The value as an array of one, of the column's Arrow type; nothing if the column cannot hold it.
    pub(super) fn array(&self, ty: &Type) -> Option<ArrayRef> {
        let array: ArrayRef = match (ty, self) {
            (Type::Boolean, Self::Boolean(value)) => Arc::new(BooleanArray::from(vec![*value])),
            (Type::Int, Self::Integer(value)) => {
                Arc::new(Int32Array::from(vec![i32::try_from(*value).ok()?]))
            }
            (Type::Bigint, Self::Integer(value)) => Arc::new(Int64Array::from(vec![*value])),
            (Type::Date, Self::Integer(value)) => {
                Arc::new(Date32Array::from(vec![i32::try_from(*value).ok()?]))
            }
            (Type::Time, Self::Integer(value)) => Arc::new(Time64MicrosecondArray::from(vec![*value])),
            (Type::Timestamp { unit, zone }, Self::Integer(value)) => {
                let (zone, value) = (zone.then_some("UTC"), vec![*value]);
                if *unit == TimestampUnit::Micros {
                    Arc::new(TimestampMicrosecondArray::from(value).with_timezone_opt(zone))
                } else {
                    Arc::new(TimestampNanosecondArray::from(value).with_timezone_opt(zone))
                }
            }
            (Type::Real, Self::Real(value)) => Arc::new(Float32Array::from(vec![*value])),
            (Type::Double, Self::Double(value)) => Arc::new(Float64Array::from(vec![*value])),
            (Type::Decimal { precision, scale }, Self::Decimal(value)) => {
                let array = Decimal128Array::from(vec![*value]);
                Arc::new(array.with_precision_and_scale(*precision, i8::try_from(*scale).ok()?).ok()?)
            }
            (Type::String, Self::Text(value)) => Arc::new(StringArray::from(vec![value.as_str()])),
            (Type::Binary, Self::Bytes(value)) => Arc::new(BinaryArray::from(vec![value.as_slice()])),
            (Type::Uuid | Type::Fixed(_), Self::Bytes(value)) => {
                let length = i32::try_from(value.len()).ok()?;
                Arc::new(FixedSizeBinaryArray::try_new(length, value.clone().into(), None).ok()?)
            }
            _ => return None,
        };
        Some(array)
    }

    /// A bound of statistics (Iceberg's single-value bytes); nothing if it is unknown. An INT's bound may be a BIGINT column's by now.
    pub(crate) fn of_bound(ty: &Type, bytes: &[u8]) -> Option<Self> {
        let narrow = || Some(i64::from(i32::from_le_bytes(bytes.try_into().ok()?)));
        match ty {
            Type::Boolean => Some(Self::Boolean(*bytes.first()? != 0)),
            Type::Int | Type::Date => narrow().map(Self::Integer),
            Type::Bigint | Type::Time | Type::Timestamp { .. } => {
                let wide = || Some(i64::from_le_bytes(bytes.try_into().ok()?));
                wide().or_else(|| narrow().filter(|_| *ty == Type::Bigint)).map(Self::Integer)
            }
            Type::Real => Some(Self::Real(f32::from_le_bytes(bytes.try_into().ok()?))),
            Type::Double => match bytes.len() {
                4 => Some(Self::Double(f64::from(f32::from_le_bytes(bytes.try_into().ok()?)))),
                _ => Some(Self::Double(f64::from_le_bytes(bytes.try_into().ok()?))),
            },
            Type::Decimal { .. } => {
                let first = *bytes.first().filter(|_| bytes.len() <= 16)?;
                let sign = if first & 0x80 == 0 { 0i128 } else { -1 };
                Some(Self::Decimal(bytes.iter().fold(sign, |value, byte| (value << 8) | i128::from(*byte))))
            }
            Type::String if bytes.is_empty() => None,
            Type::String => String::from_utf8(bytes.to_vec()).ok().map(Self::Text),
            Type::Binary | Type::Uuid | Type::Fixed(_) if bytes.is_empty() => None,
            Type::Binary | Type::Uuid | Type::Fixed(_) => Some(Self::Bytes(bytes.to_vec())),
            Type::List(_) | Type::Map(..) | Type::Struct(_) | Type::Vector { .. } => None,
        }
    }

    /// One row of an array, for statistics that are made on the way.
    #[cfg(test)]
    pub(super) fn of_row(ty: &Type, array: &dyn arrow::array::Array, row: usize) -> Option<Self> {
        use frazil_log::schema::single_value::single_value;
        let bytes = single_value(array, row, ty)?;
        match ty {
            Type::String => String::from_utf8(bytes).ok().map(Self::Text),
            Type::Binary | Type::Uuid | Type::Fixed(_) => Some(Self::Bytes(bytes)),
            ty => Self::of_bound(ty, &bytes),
        }
    }
}

//! Columns of a stream → columns of the table: by name, and cast only where no value changes.
//!
//! | the table's type | taken from |
//! |---|---|
//! | INT, BIGINT, REAL, DOUBLE | narrower numbers that it holds exactly |
//! | DECIMAL(p,s) | decimals with no more digits before and behind the point |
//! | DATE, TIME | Date32; Time64(µs), Time32 |
//! | TIMESTAMP | any unit; a finer one only if the value has no finer digits; zone or no zone must agree |
//! | STRING, BINARY | their large and view forms |
//! | UUID, FIXED | FixedSizeBinary of the length |
//! | ARRAY, MAP, STRUCT, VECTOR | their forms, large or fixed-size lists too, casting what is inside |
//!
//! Each also from a dictionary of such values. A missing column is null where it may be.

use std::sync::Arc;

use arrow::array::cast::AsArray;
use arrow::array::types::{ArrowTimestampType, TimestampMicrosecondType, TimestampNanosecondType};
use arrow::array::{
    Array, ArrayRef, FixedSizeListArray, Float32Array, ListArray, MapArray, PrimitiveArray, StructArray,
    new_null_array,
};
use arrow::buffer::{NullBuffer, ScalarBuffer};
use arrow::datatypes::{DataType, Field, Int64Type, TimeUnit};
use arrow::error::ArrowError;
use frazil_log::schema::{Column, Type};

use super::expand::expand;
use crate::error::{Problem, RowErrorKind};
use crate::produce::decode::check::{Owners, check_values};
use crate::produce::decode::errors::{Budget, Path, RowErrors, Stop};
use crate::produce::decode::node::Node;
use crate::produce::decode::read::unknown_column;

/// Casts the columns of one batch and collects what does not fit.
pub(super) struct Caster<'e> {
    pub(super) errors: &'e mut RowErrors,
    pub(super) budget: &'e mut Budget,
    /// Rows in the batches before this one.
    pub(super) first_row: u64,
}

/// A column and what it must become.
#[derive(Clone, Copy)]
struct Target<'t> {
    ty: &'t Type,
    required: bool,
    field: &'t Field,
}

/// A cast column, or nothing where it was refused and reported.
type Cast = Result<Option<ArrayRef>, Stop>;

impl Caster<'_> {
    /// The columns (or fields) that `columns` names, in that order.
    pub(super) fn record(
        &mut self,
        columns: &[Column],
        fields: &[Arc<Field>],
        given: &StructArray,
        owners: &Owners,
        path: Path<'_>,
    ) -> Result<Option<Vec<ArrayRef>>, Stop> {
        let names = given.column_names();
        for name in &names {
            let is_pseudo = matches!(path, Path::Row) && name.starts_with("__");
            if !is_pseudo && !columns.iter().any(|column| column.name == *name) {
                let expected = || unknown_column(name, columns.iter().map(|column| column.name.as_str()));
                let found = format!("{name:?}");
                self.errors.report(
                    self.first_row,
                    Path::Key(&path, name),
                    RowErrorKind::UnknownColumn,
                    expected,
                    &found,
                );
            }
        }
        let mut arrays = Vec::with_capacity(columns.len());
        let mut refused = false;
        for (column, field) in columns.iter().zip(fields) {
            let path = Path::Key(&path, &column.name);
            let target = Target { ty: &column.ty, required: column.required, field };
            let array = match names.iter().position(|name| *name == column.name) {
                Some(at) => self.column(given.column(at), target, owners, path)?,
                None => self.absent(target, given.len(), owners, path)?,
            };
            match array {
                Some(array) => arrays.push(array),
                None => refused = true,
            }
        }
        Ok((!refused).then_some(arrays))
    }

    fn absent(&mut self, target: Target<'_>, length: usize, owners: &Owners, path: Path<'_>) -> Cast {
        if target.required {
            let expected = || format!("{} NOT NULL", target.ty);
            let nothing = |_| Some("nothing".to_owned());
            owners.report(length, path, (RowErrorKind::Missing, &expected), nothing, self.errors);
            return Ok(None);
        }
        self.nulls(target, length)
    }

    fn nulls(&mut self, target: Target<'_>, length: usize) -> Cast {
        self.budget.spend(length.saturating_mul(Node::new(target.ty, false).width))?;
        Ok(Some(new_null_array(target.field.data_type(), length)))
    }

    fn column(&mut self, array: &ArrayRef, target: Target<'_>, owners: &Owners, path: Path<'_>) -> Cast {
        let array = expand(array, self.budget)?;
        let array = match array.data_type() {
            DataType::Null => match self.nulls(target, array.len())? {
                Some(nulls) => nulls,
                None => return Ok(None),
            },
            _ => array,
        };
        let mut refused = false;
        if target.required && array.null_count() > 0 {
            let expected = || format!("{} NOT NULL", target.ty);
            let null = |entry| array.is_null(entry).then(|| "null".to_owned());
            refused = owners.report(array.len(), path, (RowErrorKind::Missing, &expected), null, self.errors);
        }
        let cast = match target.ty {
            Type::List(element) => {
                let Some(list) = self.as_list(&array, target, path)? else {
                    return Ok(None);
                };
                let DataType::List(field) = target.field.data_type() else {
                    return Err(fault(path, "no list"));
                };
                let inner = Target { ty: &element.ty, required: element.required, field };
                let owners = owners.elements(list.offsets(), list.nulls(), list.values().len());
                let values = self.column(list.values(), inner, &owners, path)?;
                let build = |values| {
                    ListArray::try_new(
                        Arc::clone(field),
                        list.offsets().clone(),
                        values,
                        list.nulls().cloned(),
                    )
                };
                values.map(|values| built(path, build(values))).transpose()?
            }
            Type::Map(..) => self.map(&array, target, owners, path)?,
            Type::Struct(columns) => self.structure(&array, columns, target, owners, path)?,
            Type::Vector { length, .. } => self.vector(&array, *length, target, owners, path)?,
            _ => self.scalar(&array, target, owners, path)?,
        };
        let Some(cast) = cast.filter(|_| !refused) else {
            return Ok(None);
        };
        let fits = check_values(target.ty, &cast, owners, path, self.errors);
        Ok(fits.then_some(cast))
    }

    /// The array as a list with 32-bit offsets.
    fn as_list(
        &mut self,
        array: &ArrayRef,
        target: Target<'_>,
        path: Path<'_>,
    ) -> Result<Option<ListArray>, Stop> {
        let list_of = |element: &Arc<Field>| DataType::List(Arc::clone(element));
        let list = match array.data_type() {
            DataType::List(_) => Arc::clone(array),
            DataType::LargeList(element) | DataType::FixedSizeList(element, _) => {
                arrow::compute::cast(array, &list_of(element))
                    .map_err(|error| fault(path, &error.to_string()))?
            }
            _ => {
                self.mismatch(array, target, path);
                return Ok(None);
            }
        };
        Ok(Some(list.as_list::<i32>().clone()))
    }

    fn map(&mut self, array: &ArrayRef, target: Target<'_>, owners: &Owners, path: Path<'_>) -> Cast {
        let (Type::Map(key, value), DataType::Map(entries, sorted)) = (target.ty, target.field.data_type())
        else {
            return Err(fault(path, "no map"));
        };
        let (DataType::Map(..), DataType::Struct(fields)) = (array.data_type(), entries.data_type()) else {
            self.mismatch(array, target, path);
            return Ok(None);
        };
        let map = array.as_map();
        let [key_field, value_field] = &fields[..] else {
            return Err(fault(path, "no pairs"));
        };
        let owners = owners.elements(map.offsets(), map.nulls(), map.keys().len());
        let key = Target { ty: &key.ty, required: true, field: key_field };
        let value = Target { ty: &value.ty, required: value.required, field: value_field };
        let keys = self.column(map.keys(), key, &owners, path)?;
        let values = self.column(map.values(), value, &owners, path)?;
        let Some((keys, values)) = keys.zip(values) else {
            return Ok(None);
        };
        let array = StructArray::try_new(fields.clone(), vec![keys, values], None).and_then(|pairs| {
            MapArray::try_new(
                Arc::clone(entries),
                map.offsets().clone(),
                pairs,
                map.nulls().cloned(),
                *sorted,
            )
        });
        built(path, array).map(Some)
    }

    fn structure(
        &mut self,
        array: &ArrayRef,
        columns: &[Column],
        target: Target<'_>,
        owners: &Owners,
        path: Path<'_>,
    ) -> Cast {
        let (DataType::Struct(_), DataType::Struct(fields)) = (array.data_type(), target.field.data_type())
        else {
            self.mismatch(array, target, path);
            return Ok(None);
        };
        let given = array.as_struct();
        let owners = owners.masked(given.len(), given.nulls());
        let Some(arrays) = self.record(columns, fields, given, &owners, path)? else {
            return Ok(None);
        };
        built(path, StructArray::try_new(fields.clone(), arrays, given.nulls().cloned())).map(Some)
    }

    fn vector(
        &mut self,
        array: &ArrayRef,
        length: u32,
        target: Target<'_>,
        owners: &Owners,
        path: Path<'_>,
    ) -> Cast {
        let DataType::FixedSizeList(element, size) = target.field.data_type() else {
            return Err(fault(path, "no vector"));
        };
        let Some(list) = self.as_list(array, target, path)? else {
            return Ok(None);
        };
        if *list.values().data_type() != DataType::Float32 {
            self.mismatch(array, target, path);
            return Ok(None);
        }
        let length = usize::try_from(length).unwrap_or(usize::MAX);
        self.budget.spend(list.len().saturating_mul(length).saturating_mul(4))?;
        let wrong = |entry: usize| {
            let found = list.is_valid(entry).then(|| list.value(entry))?;
            if found.null_count() > 0 {
                return Some("a null in it".to_owned());
            }
            (found.len() != length).then(|| format!("{} numbers", found.len()))
        };
        let expected = || target.ty.to_string();
        if owners.report(list.len(), path, (RowErrorKind::OutOfRange, &expected), wrong, self.errors) {
            return Ok(None);
        }
        let mut values: Vec<f32> = Vec::with_capacity(list.len().saturating_mul(length));
        for entry in 0..list.len() {
            if list.is_valid(entry) && list.value(entry).len() == length {
                values.extend_from_slice(
                    list.value(entry).as_primitive::<arrow::array::types::Float32Type>().values(),
                );
            } else {
                values.resize(values.len() + length, 0.0);
            }
        }
        let values = Arc::new(Float32Array::from(values));
        built(path, FixedSizeListArray::try_new(Arc::clone(element), *size, values, list.nulls().cloned()))
            .map(Some)
    }

    fn scalar(&mut self, array: &ArrayRef, target: Target<'_>, owners: &Owners, path: Path<'_>) -> Cast {
        let wanted = target.field.data_type();
        if let (DataType::Timestamp(from, from_zone), DataType::Timestamp(to, to_zone)) =
            (array.data_type(), wanted)
            && from_zone.is_some() == to_zone.is_some()
        {
            return self.timestamp(array, (*from, *to), target, owners, path);
        }
        if array.data_type() == wanted {
            return Ok(Some(Arc::clone(array)));
        }
        if !is_lossless(array.data_type(), wanted) {
            self.mismatch(array, target, path);
            return Ok(None);
        }
        self.budget.spend(array.len().saturating_mul(Node::new(target.ty, false).width))?;
        arrow::compute::cast(array, wanted).map(Some).map_err(|error| fault(path, &error.to_string()))
    }

    /// Moves timestamps to the table's unit; a value that the unit cannot show exactly is refused.
    fn timestamp(
        &mut self,
        array: &ArrayRef,
        (from, to): (TimeUnit, TimeUnit),
        target: Target<'_>,
        owners: &Owners,
        path: Path<'_>,
    ) -> Cast {
        if from == to {
            // Only the zone's name may differ: the numbers stay where they are.
            let zone = matches!(target.ty, Type::Timestamp { zone: true, .. });
            let array = match to {
                TimeUnit::Nanosecond => {
                    let array = array.as_primitive::<TimestampNanosecondType>();
                    zoned::<TimestampNanosecondType>(array.values().clone(), array.nulls(), zone)
                }
                TimeUnit::Microsecond => {
                    let array = array.as_primitive::<TimestampMicrosecondType>();
                    zoned::<TimestampMicrosecondType>(array.values().clone(), array.nulls(), zone)
                }
                TimeUnit::Second | TimeUnit::Millisecond => Err(ArrowError::NotYetImplemented(
                    "tables have no timestamps of whole seconds or milliseconds".to_owned(),
                )),
            };
            return built_ref(path, array).map(Some);
        }
        self.budget.spend(array.len().saturating_mul(8))?;
        let numbers =
            arrow::compute::cast(array, &DataType::Int64).map_err(|error| fault(path, &error.to_string()))?;
        let numbers = numbers.as_primitive::<Int64Type>();
        let (per_s_from, per_s_to) = (units_per_s(from), units_per_s(to));
        let moved = |value: i64| {
            if per_s_to >= per_s_from {
                value.checked_mul(per_s_to / per_s_from)
            } else {
                let factor = per_s_from / per_s_to;
                (value % factor == 0).then_some(value / factor)
            }
        };
        let expected = || target.ty.to_string();
        let wrong = |entry| {
            let broken = numbers.is_valid(entry) && moved(numbers.value(entry)).is_none();
            broken.then(|| format!("{} ({from:?}s since 1970)", numbers.value(entry)).to_lowercase())
        };
        if owners.report(array.len(), path, (RowErrorKind::OutOfRange, &expected), wrong, self.errors) {
            return Ok(None);
        }
        let values: ScalarBuffer<i64> =
            numbers.values().iter().map(|&value| moved(value).unwrap_or(0)).collect();
        let zone = matches!(target.ty, Type::Timestamp { zone: true, .. });
        let array = match to {
            TimeUnit::Nanosecond => zoned::<TimestampNanosecondType>(values, numbers.nulls(), zone),
            _ => zoned::<TimestampMicrosecondType>(values, numbers.nulls(), zone),
        };
        built_ref(path, array).map(Some)
    }

    fn mismatch(&mut self, array: &ArrayRef, target: Target<'_>, path: Path<'_>) {
        let found = format!("a column of Arrow type {}", array.data_type());
        self.errors.report(self.first_row, path, RowErrorKind::WrongType, || target.ty.to_string(), &found);
    }
}

fn zoned<T: ArrowTimestampType>(
    values: ScalarBuffer<i64>,
    nulls: Option<&NullBuffer>,
    zone: bool,
) -> Result<ArrayRef, ArrowError> {
    let array = PrimitiveArray::<T>::try_new(values, nulls.cloned())?;
    Ok(Arc::new(array.with_timezone_opt(zone.then_some("UTC"))))
}

fn units_per_s(unit: TimeUnit) -> i64 {
    match unit {
        TimeUnit::Second => 1,
        TimeUnit::Millisecond => 1_000,
        TimeUnit::Microsecond => 1_000_000,
        TimeUnit::Nanosecond => 1_000_000_000,
    }
}

/// Whether every value of one type is exactly a value of the other.
fn is_lossless(from: &DataType, to: &DataType) -> bool {
    use DataType as D;
    let decimal = |from: &D| match from {
        D::Decimal32(precision, scale) | D::Decimal64(precision, scale) | D::Decimal128(precision, scale) => {
            Some((*precision, *scale))
        }
        _ => None,
    };
    match to {
        D::Int32 => matches!(from, D::Int8 | D::Int16 | D::UInt8 | D::UInt16),
        D::Int64 => matches!(from, D::Int8 | D::Int16 | D::Int32 | D::UInt8 | D::UInt16 | D::UInt32),
        D::Float32 => matches!(from, D::Float16 | D::Int8 | D::Int16 | D::UInt8 | D::UInt16),
        D::Float64 => {
            matches!(
                from,
                D::Float16 | D::Float32 | D::Int8 | D::Int16 | D::Int32 | D::UInt8 | D::UInt16 | D::UInt32
            )
        }
        D::Decimal128(precision, scale) => decimal(from).is_some_and(|(from_precision, from_scale)| {
            let whole = |precision: u8, scale: i8| i16::from(precision) - i16::from(scale);
            *scale >= from_scale
                && from_scale >= 0
                && whole(*precision, *scale) >= whole(from_precision, from_scale)
        }),
        D::Time64(TimeUnit::Microsecond) => matches!(from, D::Time32(_)),
        D::Utf8 => matches!(from, D::LargeUtf8 | D::Utf8View),
        D::Binary => matches!(from, D::LargeBinary | D::BinaryView | D::FixedSizeBinary(_)),
        _ => false,
    }
}

fn built<A: Array + 'static>(path: Path<'_>, array: Result<A, ArrowError>) -> Result<ArrayRef, Stop> {
    built_ref(path, array.map(|array| Arc::new(array) as ArrayRef))
}

fn built_ref(path: Path<'_>, array: Result<ArrayRef, ArrowError>) -> Result<ArrayRef, Stop> {
    array.map_err(|error| fault(path, &error.to_string()))
}

fn fault(path: Path<'_>, what: &str) -> Stop {
    Problem::malformed(format!("column {:?} of the Arrow stream: {what}", path.column().unwrap_or_default()))
        .into()
}

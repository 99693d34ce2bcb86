//! What Arrow's own types do not check: nulls in required nested fields, times within a day, decimals within their
//! precision, and maps with the same key twice (which no JSON object could show).
//!
//! Batches read from JSON need the last check only: [`check_maps`]. Batches that came as Arrow need all: [`check_batch`].

use std::collections::BTreeSet;

use arrow::array::cast::AsArray;
use arrow::array::types::{Decimal128Type, Time64MicrosecondType};
use arrow::array::{Array, ArrayRef};
use arrow::buffer::{NullBuffer, OffsetBuffer};
use arrow::record_batch::RecordBatch;
use arrow::row::{RowConverter, SortField};
use frazil_log::schema::{Schema, Type};

use super::errors::{Path, RowErrors};
use super::type_name::type_name;
use crate::error::{Problem, RowErrorKind};

/// Refuses maps that have a key twice.
pub(super) fn check_maps(batch: &RecordBatch, schema: &Schema) -> Result<(), Problem> {
    if schema.columns.iter().any(|column| has_map(&column.ty)) { run(batch, schema, false) } else { Ok(()) }
}

/// Refuses all that a table's schema does not allow and its Arrow form does.
pub(super) fn check_batch(batch: &RecordBatch, schema: &Schema) -> Result<(), Problem> {
    run(batch, schema, true)
}

fn run(batch: &RecordBatch, schema: &Schema, full: bool) -> Result<(), Problem> {
    let mut check = Check { errors: RowErrors::default(), full };
    for (column, array) in schema.columns.iter().zip(batch.columns()) {
        let path = Path::Key(&Path::Row, &column.name);
        check.walk(&column.ty, column.required, array, &Owners::Rows, path)?;
    }
    check.errors.into_result()
}

fn has_map(ty: &Type) -> bool {
    match ty {
        Type::Map(..) => true,
        Type::List(element) => has_map(&element.ty),
        Type::Struct(fields) => fields.iter().any(|field| has_map(&field.ty)),
        _ => false,
    }
}

/// Which row each entry of an array belongs to; none where a parent is null, so that the entry does not exist.
enum Owners {
    Rows,
    Each(Vec<Option<u64>>),
}

impl Owners {
    fn row(&self, entry: usize) -> Option<u64> {
        match self {
            Self::Rows => u64::try_from(entry).ok(),
            Self::Each(rows) => rows.get(entry).copied().flatten(),
        }
    }

    fn masked(&self, length: usize, nulls: Option<&NullBuffer>) -> Self {
        let row = |entry| self.row(entry).filter(|_| nulls.is_none_or(|nulls| nulls.is_valid(entry)));
        Self::Each((0..length).map(row).collect())
    }

    fn elements(&self, offsets: &OffsetBuffer<i32>, nulls: Option<&NullBuffer>, length: usize) -> Self {
        let mut rows = vec![None; length];
        for (entry, range) in ranges(offsets).enumerate() {
            if nulls.is_none_or(|nulls| nulls.is_valid(entry))
                && let Some(rows) = rows.get_mut(range)
            {
                rows.fill(self.row(entry));
            }
        }
        Self::Each(rows)
    }
}

fn ranges(offsets: &OffsetBuffer<i32>) -> impl Iterator<Item = std::ops::Range<usize>> {
    let bound = |offset: i32| usize::try_from(offset).unwrap_or(0);
    offsets.windows(2).map(move |pair| bound(pair[0])..bound(pair[1]))
}

struct Check {
    errors: RowErrors,
    full: bool,
}

impl Check {
    fn walk(&mut self, ty: &Type, required: bool, array: &ArrayRef, owners: &Owners, path: Path<'_>) -> Result<(), Problem> {
        if self.full {
            if required && array.null_count() > 0 {
                let expected = || format!("{} NOT NULL", type_name(ty));
                let null = |entry| array.is_null(entry).then_some("null".to_owned());
                self.report(array.len(), owners, path, (RowErrorKind::Missing, &expected), null);
            }
            self.ranges(ty, array, owners, path);
        } else if !has_map(ty) {
            return Ok(());
        }
        match ty {
            Type::List(element) => {
                let list = array.as_list::<i32>();
                let owners = owners.elements(list.offsets(), list.nulls(), list.values().len());
                self.walk(&element.ty, element.required, list.values(), &owners, path)
            }
            Type::Struct(fields) => {
                let record = array.as_struct();
                let owners = owners.masked(record.len(), record.nulls());
                for (field, column) in fields.iter().zip(record.columns()) {
                    self.walk(&field.ty, field.required, column, &owners, Path::Key(&path, &field.name))?;
                }
                Ok(())
            }
            Type::Map(key, value) => {
                let map = array.as_map();
                let elements = owners.elements(map.offsets(), map.nulls(), map.keys().len());
                self.walk(&key.ty, true, map.keys(), &elements, path)?;
                self.walk(&value.ty, value.required, map.values(), &elements, path)?;
                self.keys_once(array, owners, path)
            }
            _ => Ok(()),
        }
    }

    /// Values that the Arrow type can hold and the type cannot.
    fn ranges(&mut self, ty: &Type, array: &ArrayRef, owners: &Owners, path: Path<'_>) {
        let expected = || type_name(ty);
        match ty {
            Type::Time => {
                let times = array.as_primitive::<Time64MicrosecondType>();
                let wrong = |entry| {
                    let value = times.value(entry);
                    (times.is_valid(entry) && !(0..86_400_000_000).contains(&value)).then(|| format!("{value} µs"))
                };
                self.report(array.len(), owners, path, (RowErrorKind::OutOfRange, &expected), wrong);
            }
            Type::Decimal { precision, .. } => {
                let decimals = array.as_primitive::<Decimal128Type>();
                let limit = 10u128.checked_pow(u32::from(*precision)).unwrap_or(u128::MAX);
                let wrong = |entry| {
                    let value = decimals.value(entry);
                    (decimals.is_valid(entry) && value.unsigned_abs() >= limit).then(|| decimals.value_as_string(entry))
                };
                self.report(array.len(), owners, path, (RowErrorKind::OutOfRange, &expected), wrong);
            }
            Type::Vector { .. } => {
                let vectors = array.as_fixed_size_list();
                let wrong = |entry| {
                    let broken = vectors.is_valid(entry) && vectors.value(entry).null_count() > 0;
                    broken.then_some("null".to_owned())
                };
                if vectors.values().null_count() > 0 {
                    self.report(array.len(), owners, path, (RowErrorKind::Missing, &expected), wrong);
                }
            }
            _ => {}
        }
    }

    fn keys_once(&mut self, array: &ArrayRef, owners: &Owners, path: Path<'_>) -> Result<(), Problem> {
        let map = array.as_map();
        let unsupported = |_| Problem::unsupported(format!("maps with keys of {}", map.keys().data_type()));
        let converter = RowConverter::new(vec![SortField::new(map.keys().data_type().clone())]).map_err(unsupported)?;
        let keys = converter.convert_columns(&[map.keys().clone()]).map_err(unsupported)?;
        let bounds: Vec<_> = ranges(map.offsets()).collect();
        let twice = |entry: usize| {
            let range = bounds.get(entry).cloned().unwrap_or(0..0);
            let mut seen = BTreeSet::new();
            let repeated = range.len() > 1 && map.is_valid(entry) && !range.into_iter().all(|key| seen.insert(keys.row(key)));
            repeated.then(|| "the same key twice".to_owned())
        };
        let expected = || "each key once".to_owned();
        self.report(map.len(), owners, path, (RowErrorKind::OutOfRange, &expected), twice);
        Ok(())
    }

    /// Reports the entries for which `found` says what is wrong.
    fn report(
        &mut self,
        length: usize,
        owners: &Owners,
        path: Path<'_>,
        (kind, expected): (RowErrorKind, &dyn Fn() -> String),
        found: impl Fn(usize) -> Option<String>,
    ) {
        for entry in 0..length {
            if let Some(row) = owners.row(entry)
                && let Some(found) = found(entry)
            {
                self.errors.report(row, path, kind, expected, &found);
            }
        }
    }
}

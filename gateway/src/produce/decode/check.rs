//! What Arrow's own types do not check: times within a day, decimals within their precision, and maps with the same key
//! twice (which no JSON object could show); and which row of the request an entry of a nested array belongs to.

use std::collections::BTreeSet;

use arrow::array::cast::AsArray;
use arrow::array::types::{Decimal128Type, Time64MicrosecondType};
use arrow::array::{Array, ArrayRef};
use arrow::buffer::{NullBuffer, OffsetBuffer};
use arrow::record_batch::RecordBatch;
use frazil_log::schema::{Schema, Type};

use super::errors::{Path, RowErrors};
use crate::consume::encode::json::Texts;
use crate::error::{Problem, RowErrorKind};

/// Which row each entry of an array belongs to; none where a parent is null, so that the entry does not exist.
pub(super) enum Owners {
    /// Each entry is a row, the first of this number.
    Rows(u64),
    Each(Vec<Option<u64>>),
}

impl Owners {
    fn row(&self, entry: usize) -> Option<u64> {
        match self {
            Self::Rows(first) => u64::try_from(entry).ok()?.checked_add(*first),
            Self::Each(rows) => rows.get(entry).copied().flatten(),
        }
    }

    /// The owners of the fields of structs.
    pub(super) fn masked(&self, length: usize, nulls: Option<&NullBuffer>) -> Self {
        let row = |entry| self.row(entry).filter(|_| nulls.is_none_or(|nulls| nulls.is_valid(entry)));
        Self::Each((0..length).map(row).collect())
    }

    /// The owners of the elements of lists or maps.
    pub(super) fn elements(
        &self,
        offsets: &OffsetBuffer<i32>,
        nulls: Option<&NullBuffer>,
        length: usize,
    ) -> Self {
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

    /// Reports the entries for which `found` says what is wrong; says whether there was one.
    pub(super) fn report(
        &self,
        length: usize,
        path: Path<'_>,
        (kind, expected): (RowErrorKind, &dyn Fn() -> String),
        found: impl Fn(usize) -> Option<String>,
        errors: &mut RowErrors,
    ) -> bool {
        let mut any = false;
        for entry in 0..length {
            if let Some(row) = self.row(entry)
                && let Some(found) = found(entry)
            {
                errors.report(row, path, kind, expected, &found);
                any = true;
            }
        }
        any
    }
}

fn ranges(offsets: &OffsetBuffer<i32>) -> impl Iterator<Item = std::ops::Range<usize>> {
    let bound = |offset: i32| usize::try_from(offset).unwrap_or(0);
    offsets.windows(2).map(move |pair| bound(pair[0])..bound(pair[1]))
}

/// Reports values that the Arrow type can hold and the type cannot; says whether all fit.
pub(super) fn check_values(
    ty: &Type,
    array: &ArrayRef,
    owners: &Owners,
    path: Path<'_>,
    errors: &mut RowErrors,
) -> bool {
    let expected = || ty.to_string();
    let wrong = (RowErrorKind::OutOfRange, &expected as &dyn Fn() -> String);
    match ty {
        Type::Time => {
            let times = array.as_primitive::<Time64MicrosecondType>();
            let beyond = |entry| {
                let value = times.value(entry);
                (times.is_valid(entry) && !(0..86_400_000_000).contains(&value))
                    .then(|| format!("{value} µs"))
            };
            !owners.report(array.len(), path, wrong, beyond, errors)
        }
        Type::Decimal { precision, .. } => {
            let decimals = array.as_primitive::<Decimal128Type>();
            let limit = 10u128.checked_pow(u32::from(*precision)).unwrap_or(u128::MAX);
            let beyond = |entry| {
                let value = decimals.value(entry);
                (decimals.is_valid(entry) && value.unsigned_abs() >= limit)
                    .then(|| decimals.value_as_string(entry))
            };
            !owners.report(array.len(), path, wrong, beyond, errors)
        }
        _ => true,
    }
}

/// Refuses maps that have a key twice.
pub(super) fn check_maps(batch: &RecordBatch, schema: &Schema) -> Result<(), Problem> {
    let mut errors = RowErrors::default();
    for (column, array) in schema.columns.iter().zip(batch.columns()) {
        let path = Path::Key(&Path::Row, &column.name);
        walk_maps(&column.ty, array, &Owners::Rows(0), path, &mut errors)?;
    }
    errors.into_result()
}

fn has_map(ty: &Type) -> bool {
    match ty {
        Type::Map(..) => true,
        Type::List(element) => has_map(&element.ty),
        Type::Struct(fields) => fields.iter().any(|field| has_map(&field.ty)),
        _ => false,
    }
}

fn walk_maps(
    ty: &Type,
    array: &ArrayRef,
    owners: &Owners,
    path: Path<'_>,
    errors: &mut RowErrors,
) -> Result<(), Problem> {
    if !has_map(ty) {
        return Ok(());
    }
    match ty {
        Type::List(element) => {
            let list = array.as_list::<i32>();
            let owners = owners.elements(list.offsets(), list.nulls(), list.values().len());
            walk_maps(&element.ty, list.values(), &owners, path, errors)
        }
        Type::Struct(fields) => {
            let record = array.as_struct();
            let owners = owners.masked(record.len(), record.nulls());
            let mut columns = fields.iter().zip(record.columns());
            columns.try_for_each(|(field, column)| {
                walk_maps(&field.ty, column, &owners, Path::Key(&path, &field.name), errors)
            })
        }
        Type::Map(key, value) => {
            let map = array.as_map();
            let elements = owners.elements(map.offsets(), map.nulls(), map.keys().len());
            walk_maps(&key.ty, map.keys(), &elements, path, errors)?;
            walk_maps(&value.ty, map.values(), &elements, path, errors)?;
            keys_once(&key.ty, array, owners, path, errors)
        }
        _ => Ok(()),
    }
}

fn keys_once(
    key: &Type,
    array: &ArrayRef,
    owners: &Owners,
    path: Path<'_>,
    errors: &mut RowErrors,
) -> Result<(), Problem> {
    let map = array.as_map();
    let keys = Texts::new(key, map.keys())?;
    let bounds: Vec<_> = ranges(map.offsets()).collect();
    let twice = |entry: usize| {
        let mut range = bounds.get(entry).cloned().unwrap_or(0..0);
        let mut seen = BTreeSet::new();
        let repeated = range.len() > 1 && map.is_valid(entry) && !range.all(|key| seen.insert(keys.get(key)));
        repeated.then(|| "the same key twice".to_owned())
    };
    owners.report(map.len(), path, (RowErrorKind::OutOfRange, &|| "each key once".to_owned()), twice, errors);
    Ok(())
}

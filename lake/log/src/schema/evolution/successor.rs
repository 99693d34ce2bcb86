//! Whether a spec may follow another: the fold's check, total and the same for ever.

use crate::error::{Error, Result};
use crate::id::FieldId;
use crate::schema::ensure::validate_altered;
use crate::schema::ids::visit_ids;
use crate::schema::shown::shown;
use crate::schema::{Column, Nested, Schema, TableSpec, Type};

/// Checks that `new` may follow `old`: ids are never given twice, what places rows stays, columns that come may be null, types
/// only widen as Iceberg's do, and a column that may be null stays so.
///
/// # Errors
/// Invalid: names the first thing that does not fit. The fold refuses the entry.
pub fn check_successor(old: &TableSpec, new: &TableSpec) -> Result<()> {
    validate_altered(new)?;
    let fixed = old.pseudo == new.pseudo
        && old.primary_key == new.primary_key
        && old.buckets == new.buckets
        && old.bucket_by == new.bucket_by
        && old.bucket_function == new.bucket_function
        && old.partitions == new.partitions;
    if !fixed {
        return Err(Error::invalid(
            "primary key, buckets, bucket_by and partitions of a table stay as they are",
        ));
    }
    if new.last_column_id < old.last_column_id {
        return Err(Error::invalid("the last column id goes back"));
    }
    let same = old.schema.columns == new.schema.columns;
    let expected = if same { Some(old.schema.id) } else { old.schema.id.checked_add(1) };
    if expected != Some(new.schema.id) {
        return Err(Error::invalid(format!("schema id is {}, expected {expected:?}", new.schema.id)));
    }
    Walk { last: old.last_column_id }.columns(&old.schema.columns, &new.schema.columns)
}

/// Whether each field of `old` is still there in `new`, which came after it: then a row of `old` loses nothing by being read
/// as one of `new`.
pub fn keeps_all(old: &Schema, new: &Schema) -> bool {
    let mut kept = std::collections::BTreeSet::new();
    visit_ids(&new.columns, &mut |id| {
        kept.insert(id);
    });
    let mut all = true;
    visit_ids(&old.columns, &mut |id| all &= kept.contains(&id));
    all
}

struct Walk {
    /// The highest field id given out before.
    last: FieldId,
}

impl Walk {
    fn columns(&self, old: &[Column], new: &[Column]) -> Result<()> {
        let before: std::collections::BTreeMap<FieldId, &Column> =
            old.iter().map(|column| (column.id, column)).collect();
        for column in new {
            let checked = match before.get(&column.id) {
                Some(before) => self.field((before.required, &before.ty), (column.required, &column.ty)),
                None => self.fresh(column),
            };
            checked.map_err(|error| error.context(format!("column {}", shown(&column.name))))?;
        }
        Ok(())
    }

    fn fresh(&self, column: &Column) -> Result<()> {
        if column.required {
            return Err(Error::invalid("rows that are there have no value of it: it must allow null"));
        }
        let mut reused = None;
        visit_ids(std::slice::from_ref(column), &mut |id| {
            if id <= self.last {
                reused = Some(id);
            }
        });
        match reused {
            Some(id) => Err(Error::invalid(format!("field id {id} was given before"))),
            None => Ok(()),
        }
    }

    fn field(&self, (was_required, old): (bool, &Type), (required, new): (bool, &Type)) -> Result<()> {
        if required && !was_required {
            return Err(Error::invalid("it may be null, and rows that are there may be"));
        }
        self.ty(old, new)
    }

    fn nested(&self, old: &Nested, new: &Nested) -> Result<()> {
        if old.id != new.id {
            return Err(Error::invalid("an element's field id stays as it is"));
        }
        self.field((old.required, &old.ty), (new.required, &new.ty))
    }

    fn ty(&self, old: &Type, new: &Type) -> Result<()> {
        match (old, new) {
            (Type::Struct(old), Type::Struct(new)) => self.columns(old, new),
            (Type::List(old), Type::List(new)) => self.nested(old, new),
            (Type::Map(key, old), Type::Map(new_key, new)) if key == new_key => self.nested(old, new),
            (Type::Map(..), Type::Map(..)) => Err(Error::invalid("the keys of a map stay as they are")),
            (old, new) if old == new || is_wider(old, new) => Ok(()),
            (old, new) => Err(Error::invalid(format!("{old} cannot become {new}"))),
        }
    }
}

/// Whether a primitive type holds every value of another, as Iceberg's promotions go.
pub(super) fn is_wider(old: &Type, new: &Type) -> bool {
    match (old, new) {
        (Type::Int, Type::Bigint) | (Type::Real, Type::Double) => true,
        (
            Type::Decimal { precision: old, scale: old_scale },
            Type::Decimal { precision: new, scale: new_scale },
        ) => old < new && old_scale == new_scale,
        _ => false,
    }
}

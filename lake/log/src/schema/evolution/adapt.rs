//! Values of an older type as values of a newer one: columns by field id, what is missing null, numbers widened, names as they are now.

use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, ListArray, MapArray, StructArray, new_null_array};
use arrow::compute::cast;
use arrow::datatypes::{DataType, FieldRef, Fields};

use crate::error::{Error, Result};
use crate::schema::arrow_form::data_type;
use crate::schema::{Column, Type};

/// An array of the Arrow form of `old` as one of the Arrow form of `new`, which came after it.
///
/// # Errors
/// Internal, if `new` cannot have come after `old`, or the array is of another type.
pub fn adapt(array: &ArrayRef, old: &Type, new: &Type) -> Result<ArrayRef> {
    if old == new {
        return Ok(Arc::clone(array));
    }
    match (old, new) {
        (Type::Struct(old), Type::Struct(new)) => adapt_struct(array.as_struct_opt(), old, new),
        (Type::List(old_element), Type::List(new_element)) => {
            let list = array.as_list_opt::<i32>().ok_or_else(|| mismatch(old, new))?;
            let values = adapt(list.values(), &old_element.ty, &new_element.ty)?;
            let DataType::List(field) = data_type(new) else { return Err(mismatch(old, new)) };
            let adapted = ListArray::try_new(field, list.offsets().clone(), values, list.nulls().cloned());
            adapted.map(|list| Arc::new(list) as ArrayRef).map_err(|error| refused(&error))
        }
        (Type::Map(_, old_value), Type::Map(_, new_value)) => {
            let map = array.as_map_opt().ok_or_else(|| mismatch(old, new))?;
            let values = adapt(map.values(), &old_value.ty, &new_value.ty)?;
            let DataType::Map(entries_field, ordered) = data_type(new) else {
                return Err(mismatch(old, new));
            };
            let DataType::Struct(fields) = entries_field.data_type() else { return Err(mismatch(old, new)) };
            let entries = StructArray::try_new(
                fields.clone(),
                vec![Arc::clone(map.keys()), values],
                map.entries().nulls().cloned(),
            );
            let entries = entries.map_err(|error| refused(&error))?;
            let nulls = map.nulls().cloned();
            let adapted = MapArray::try_new(entries_field, map.offsets().clone(), entries, nulls, ordered);
            adapted.map(|map| Arc::new(map) as ArrayRef).map_err(|error| refused(&error))
        }
        (old, new) if super::successor::is_wider(old, new) => {
            cast(array, &data_type(new)).map_err(|error| refused(&error))
        }
        (old, new) => Err(mismatch(old, new)),
    }
}

/// So many rows of a column that the rows were written without.
pub fn absent(column: &Column, rows: usize) -> ArrayRef {
    new_null_array(&data_type(&column.ty), rows)
}

fn adapt_struct(array: Option<&StructArray>, old: &[Column], new: &[Column]) -> Result<ArrayRef> {
    let array = array.ok_or_else(|| Error::internal("a struct column is no struct"))?;
    let children = new.iter().map(|column| match old.iter().position(|before| before.id == column.id) {
        Some(at) => adapt(array.column(at), &old[at].ty, &column.ty),
        None => Ok(absent(column, array.len())),
    });
    let children = children.collect::<Result<Vec<_>>>()?;
    let fields: Vec<FieldRef> =
        new.iter().map(|column| Arc::new(crate::schema::arrow_form::arrow_field(column))).collect();
    let adapted = StructArray::try_new(Fields::from(fields), children, array.nulls().cloned());
    adapted.map(|array| Arc::new(array) as ArrayRef).map_err(|error| refused(&error))
}

fn mismatch(old: &Type, new: &Type) -> Error {
    Error::internal(format!("values of {old} are asked for as {new}, which does not come after it"))
}

fn refused(error: &arrow::error::ArrowError) -> Error {
    Error::internal(format!("reading older rows: {error}"))
}

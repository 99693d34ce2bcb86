//! Which columns a slice has, and how those of an answer come from them: by field id, through the schema that the slice was written in.

use std::sync::Arc;

use arrow::array::ArrayRef;
use arrow::datatypes::{DataType, Field, FieldRef, TimeUnit};

use crate::error::{Error, Result};
use crate::format::slice::Slice;
use crate::id::FieldId;
use crate::schema::arrow_form::arrow_field;
use crate::schema::evolution::{absent, adapt};
use crate::schema::{Column, Schema};
use crate::state::tables::Table;

/// `__timestamp` as it stands in answers and in rolled-up slices.
pub fn timestamp_field() -> Field {
    Field::new("__timestamp", DataType::Timestamp(TimeUnit::Microsecond, Some("UTC".into())), false)
}

/// The columns of one slice, in the order in which they lie.
#[derive(Debug)]
pub struct SliceColumns<'t> {
    written: &'t Schema,
    ids: Vec<FieldId>,
    timestamp: FieldId,
    /// Their Arrow fields.
    pub fields: Vec<FieldRef>,
}

impl<'t> SliceColumns<'t> {
    /// The columns of a slice of `table`.
    ///
    /// # Errors
    /// Corrupt: the slice was written in a schema that the table never had, or has a column that its schema has not.
    pub fn of(table: &'t Table, slice: &Slice) -> Result<Self> {
        let written = table.schema(slice.schema).ok_or_else(|| {
            Error::corrupt(format!(
                "a slice of table {} was written in schema {}, which it never had",
                table.id, slice.schema
            ))
        })?;
        let timestamp = table.spec.pseudo.timestamp;
        let field = |id: &FieldId| {
            if *id == timestamp {
                return Ok(Arc::new(timestamp_field()));
            }
            let column = find(written, *id);
            let column = column.ok_or_else(|| {
                Error::corrupt(format!("a slice has column {id}, which its schema has not"))
            })?;
            Ok(Arc::new(arrow_field(column)))
        };
        let fields = slice.columns.iter().map(field).collect::<Result<Vec<FieldRef>>>()?;
        Ok(Self { written, ids: slice.columns.clone(), timestamp, fields })
    }

    /// Where the column of a field id lies; nothing if the rows were written without it.
    pub fn position(&self, id: FieldId) -> Option<usize> {
        self.ids.iter().position(|known| *known == id)
    }

    /// Where each row's own commit time lies, if the slice is rolled up.
    pub fn timestamp(&self) -> Option<usize> {
        self.position(self.timestamp)
    }

    /// What was read of the slice's column as a column of now.
    ///
    /// # Errors
    /// Internal, if `column` cannot have become of it.
    pub fn adapt(&self, read: &ArrayRef, column: &Column) -> Result<ArrayRef> {
        match find(self.written, column.id) {
            Some(before) => adapt(read, &before.ty, &column.ty),
            None => Ok(absent(column, read.len())),
        }
    }
}

fn find(schema: &Schema, id: FieldId) -> Option<&Column> {
    schema.columns.iter().find(|column| column.id == id)
}

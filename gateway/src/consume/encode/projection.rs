//! Which columns an answer has: the parameter `columns`, and pseudo-columns made from where rows lie.

use std::sync::Arc;

use arrow::array::RecordBatchOptions;
use arrow::array::{ArrayRef, Int32Array, Int64Array, StringArray, TimestampMicrosecondArray};
use arrow::datatypes::{Field, Schema as ArrowSchema};
use arrow::error::ArrowError;
use arrow::record_batch::RecordBatch;
use frazil_log::id::{Bucket, FieldId, Offset, TimeMicros};
use frazil_log::schema::arrow_form::arrow_field;
use frazil_log::schema::{Column, PseudoIds, Schema, TimestampUnit, Type};

use crate::error::{Kind, Problem};

/// The columns of an answer, in order.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Projection {
    sources: Vec<Source>,
    columns: Vec<Column>,
}

/// Where a column of an answer comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Source {
    /// The user's column of this field id.
    User(FieldId),
    Bucket,
    Offset,
    Timestamp,
    Op,
}

/// Rows of one bucket with gapless offsets, written by one commit.
#[derive(Clone, Debug)]
pub struct Rows {
    /// Their bucket.
    pub bucket: Bucket,
    /// The offset of the first.
    pub start: Offset,
    /// When they were committed.
    pub timestamp: TimeMicros,
    /// Their values: the columns of [`Projection::field_ids`], in that order.
    pub batch: RecordBatch,
}

impl Projection {
    /// Reads `columns`: names, pseudo-columns and `*` (all of the user's), separated by commas. Case matters.
    ///
    /// # Errors
    /// `unsupported` (422) naming a column that is not there, `malformed` for one asked for twice.
    pub fn parse(text: &str, schema: &Schema, pseudo: &PseudoIds) -> Result<Self, Problem> {
        let mut projection = Self {
            sources: Vec::new(),
            columns: Vec::new(),
        };
        for name in split_names(text) {
            let name = name.trim();
            match name {
                "*" => schema
                    .columns
                    .iter()
                    .try_for_each(|column| projection.add(Source::User(column.id), column.clone()))?,
                "__bucket" => projection.add(Source::Bucket, made(pseudo.bucket, name, Type::Int))?,
                "__offset" => projection.add(Source::Offset, made(pseudo.offset, name, Type::Bigint))?,
                "__timestamp" => {
                    let ty = Type::Timestamp {
                        unit: TimestampUnit::Micros,
                        zone: true,
                    };
                    projection.add(Source::Timestamp, made(pseudo.timestamp, name, ty))?;
                }
                "__op" => projection.add(Source::Op, made(0, name, Type::String))?,
                name => {
                    let column = schema.columns.iter().find(|column| column.name == name);
                    let column = column.ok_or_else(|| unknown(name, schema))?;
                    projection.add(Source::User(column.id), column.clone())?;
                }
            }
        }
        Ok(projection)
    }

    fn add(&mut self, source: Source, column: Column) -> Result<(), Problem> {
        if self.sources.contains(&source) {
            return Err(Problem::malformed(format!(
                "columns: {:?} is asked for twice",
                column.name
            )));
        }
        self.sources.push(source);
        self.columns.push(column);
        Ok(())
    }

    /// The answer's columns.
    pub fn columns(&self) -> &[Column] {
        &self.columns
    }

    /// The field ids of the user's columns that must be read, in the order that [`Projection::assemble`] takes them.
    pub fn field_ids(&self) -> Vec<FieldId> {
        self.sources
            .iter()
            .filter_map(|source| {
                if let Source::User(id) = source {
                    Some(*id)
                } else {
                    None
                }
            })
            .collect()
    }

    /// The answer's batch: the user's columns of `rows`, and pseudo-columns among them.
    ///
    /// # Errors
    /// `internal` if the rows do not have the columns of [`Projection::field_ids`].
    pub fn assemble(&self, rows: &Rows) -> Result<RecordBatch, Problem> {
        let fault = |error: ArrowError| Problem::internal(format!("rows do not make an answer: {error}"));
        let length = rows.batch.num_rows();
        let mut user = rows.batch.columns().iter();
        let mut arrays: Vec<ArrayRef> = Vec::with_capacity(self.sources.len());
        for source in &self.sources {
            let array: ArrayRef = match source {
                Source::User(_) => Arc::clone(
                    user.next()
                        .ok_or_else(|| Problem::internal("rows lack a column that was asked for"))?,
                ),
                Source::Bucket => {
                    let bucket =
                        i32::try_from(rows.bucket.0).map_err(|_| Problem::internal("a bucket above 2^31"))?;
                    Arc::new(Int32Array::from_value(bucket, length))
                }
                Source::Offset => Arc::new(Int64Array::from(offsets(rows.start, length)?)),
                Source::Timestamp => Arc::new(
                    TimestampMicrosecondArray::from_value(rows.timestamp, length).with_timezone("UTC"),
                ),
                Source::Op => Arc::new(StringArray::from_iter_values(std::iter::repeat_n("+I", length))),
            };
            arrays.push(array);
        }
        let fields: Vec<_> = self.columns.iter().map(field).collect();
        let options = RecordBatchOptions::new().with_row_count(Some(length));
        RecordBatch::try_new_with_options(Arc::new(ArrowSchema::new(fields)), arrays, &options).map_err(fault)
    }
}

/// The Arrow field of an answer's column. `__op` has no field id: it is not stored.
pub(super) fn field(column: &Column) -> Field {
    let field = arrow_field(column);
    if column.id == 0 {
        field.with_metadata(std::collections::HashMap::new())
    } else {
        field
    }
}

fn offsets(start: Offset, length: usize) -> Result<Vec<i64>, Problem> {
    let beyond = || Problem::internal("an offset above 2^63");
    let start = i64::try_from(start).map_err(|_| beyond())?;
    let end = i64::try_from(length)
        .ok()
        .and_then(|length| start.checked_add(length))
        .ok_or_else(beyond)?;
    Ok((start..end).collect())
}

fn made(id: FieldId, name: &str, ty: Type) -> Column {
    Column {
        id,
        name: name.to_owned(),
        required: true,
        ty,
        doc: String::new(),
    }
}

fn unknown(name: &str, schema: &Schema) -> Problem {
    let near = schema
        .columns
        .iter()
        .find(|column| column.name.eq_ignore_ascii_case(name));
    let hint = near.map_or_else(String::new, |column| {
        format!(" (case matters: {:?})", column.name)
    });
    Problem::new(
        Kind::Unsupported,
        format!("columns: the table has no column {name:?}{hint}"),
    )
}

/// The names between commas; a name that holds a comma stands in double quotes, doubled within.
fn split_names(text: &str) -> Vec<String> {
    let mut names = vec![String::new()];
    let mut quoted = false;
    let mut characters = text.chars().peekable();
    while let Some(character) = characters.next() {
        let name = names.last_mut().expect("there is always a last name");
        match character {
            '"' if quoted && characters.peek() == Some(&'"') => {
                characters.next();
                name.push('"');
            }
            '"' if quoted || name.trim().is_empty() => quoted = !quoted,
            ',' if !quoted => names.push(String::new()),
            character => name.push(character),
        }
    }
    names
}

//! Which columns an answer has: the parameter `columns`.

use frazil_log::schema::{Column, Schema, TimestampUnit, Type};

use crate::consume::reader::OutputColumn;
use crate::error::{Kind, Problem};

/// The columns of an answer, in order.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Projection {
    sources: Vec<OutputColumn>,
    columns: Vec<Column>,
}

impl Projection {
    /// Reads `columns`: names, pseudo-columns and `*` (all of the user's), separated by commas. Case matters.
    ///
    /// # Errors
    /// `unsupported` (422) naming a column that is not there, `malformed` for one asked for twice.
    pub fn parse(text: &str, schema: &Schema) -> Result<Self, Problem> {
        let mut projection = Self { sources: Vec::new(), columns: Vec::new() };
        for name in split_names(text) {
            match name.as_str() {
                "*" => {
                    let mut all = schema.columns.iter().enumerate();
                    all.try_for_each(|(at, column)| projection.add(OutputColumn::User(at), column.clone()))?;
                }
                "__bucket" => projection.add(OutputColumn::Bucket, made(&name, Type::Int))?,
                "__offset" => projection.add(OutputColumn::Offset, made(&name, Type::Bigint))?,
                "__timestamp" => {
                    let ty = Type::Timestamp { unit: TimestampUnit::Micros, zone: true };
                    projection.add(OutputColumn::Timestamp, made(&name, ty))?;
                }
                "__op" => projection.add(OutputColumn::Op, made(&name, Type::String))?,
                name => {
                    let at = schema.columns.iter().position(|column| column.name == name);
                    let at = at.ok_or_else(|| unknown(name, schema))?;
                    projection.add(OutputColumn::User(at), schema.columns[at].clone())?;
                }
            }
        }
        Ok(projection)
    }

    fn add(&mut self, source: OutputColumn, column: Column) -> Result<(), Problem> {
        if self.sources.contains(&source) {
            return Err(Problem::malformed(format!("columns: {:?} is asked for twice", column.name)));
        }
        self.sources.push(source);
        self.columns.push(column);
        Ok(())
    }

    /// What to read, in order.
    pub fn sources(&self) -> &[OutputColumn] {
        &self.sources
    }

    /// What the columns read are, in order. Pseudo-columns have the field id 0.
    pub fn columns(&self) -> &[Column] {
        &self.columns
    }
}

fn made(name: &str, ty: Type) -> Column {
    Column { id: 0, name: name.to_owned(), required: true, ty, doc: String::new() }
}

fn unknown(name: &str, schema: &Schema) -> Problem {
    let near = schema.columns.iter().find(|column| column.name.eq_ignore_ascii_case(name));
    let hint = near.map_or_else(String::new, |column| format!(" (case matters: {:?})", column.name));
    Problem::new(Kind::Unsupported, format!("columns: the table has no column {name:?}{hint}"))
}

/// The names between commas; a name that holds a comma stands in double quotes, doubled within.
fn split_names(text: &str) -> Vec<String> {
    let mut names = Vec::new();
    let mut name = String::new();
    let (mut quoted, mut was_quoted) = (false, false);
    let mut characters = text.chars().chain([',']).peekable();
    while let Some(character) = characters.next() {
        match character {
            '"' if quoted && characters.peek() == Some(&'"') => {
                characters.next();
                name.push('"');
            }
            '"' if quoted => quoted = false,
            '"' if name.trim().is_empty() && !was_quoted => {
                name.clear();
                (quoted, was_quoted) = (true, true);
            }
            ',' if !quoted => {
                let whole = std::mem::take(&mut name);
                names.push(if was_quoted { whole } else { whole.trim().to_owned() });
                was_quoted = false;
            }
            character => name.push(character),
        }
    }
    if quoted {
        names.push(name);
    }
    names
}

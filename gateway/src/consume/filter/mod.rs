//! Which rows a reader wants: `filter=<SQL boolean>`, as a typed predicate and its evaluator, for every door.
//!
//! Invariants:
//! * a predicate has SQL's three values; a row is wanted if and only if it is true of it;
//! * what is not understood is refused, with its name: no part of a filter is ever left out;
//! * statistics only ever rule rows out: [`Filter::may_match`] is true of every place that holds a wanted row (a property test);
//! * text, terms and depth are bounded, whatever a client sends.
//!
//! Start reading at [`Filter::parse`]; literals get their column's type in `literal`, batches are filtered in `evaluate`, places
//! ruled out in `prune`.

mod evaluate;
mod literal;
mod parse;
mod prune;
#[cfg(test)]
mod tests;
mod value;

use frazil_log::schema::{Schema, Type};

pub(crate) use self::prune::{Known, Nulls};
pub(crate) use self::value::Value;
use super::reader::OutputColumn;
use crate::error::Problem;

/// A predicate over the rows of a table.
#[derive(Clone, Debug, PartialEq)]
pub struct Filter {
    text: String,
    predicate: Predicate,
    columns: Vec<OutputColumn>,
}

/// A column, or pseudo-column, and its type.
#[derive(Clone, Debug, PartialEq)]
struct ColumnRef {
    name: String,
    source: OutputColumn,
    ty: Type,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Comparison {
    Equal,
    NotEqual,
    Less,
    LessOrEqual,
    Greater,
    GreaterOrEqual,
}

#[derive(Clone, Debug, PartialEq)]
enum Predicate {
    /// True, false, or null, of every row.
    Constant(Option<bool>),
    Not(Box<Predicate>),
    All(Vec<Predicate>),
    Any(Vec<Predicate>),
    IsNull(ColumnRef),
    /// Null where the column is, as those below.
    Compare(ColumnRef, Comparison, Value),
    /// One of these.
    In(ColumnRef, Vec<Value>),
    /// A string that begins so.
    Prefix(ColumnRef, String),
}

impl Filter {
    /// Reads a boolean expression of SQL over the columns of a schema and the pseudo-columns.
    ///
    /// # Errors
    /// `malformed` with the place where it is no SQL; `unsupported` naming the column that is not there, the literal that is not of
    /// its column's type, or the construct that is not taken.
    pub fn parse(text: &str, schema: &Schema) -> Result<Self, Problem> {
        let predicate = parse::parse(text, schema)?;
        let mut columns = Vec::new();
        predicate.columns(&mut columns);
        Ok(Self { text: text.to_owned(), predicate, columns })
    }

    /// As it was written: of an altered table it is read again.
    pub fn text(&self) -> &str {
        &self.text
    }

    /// The columns that it looks at, each once.
    pub fn columns(&self) -> &[OutputColumn] {
        &self.columns
    }
}

impl Predicate {
    fn columns(&self, found: &mut Vec<OutputColumn>) {
        match self {
            Self::Constant(_) => {}
            Self::Not(inner) => inner.columns(found),
            Self::All(parts) | Self::Any(parts) => parts.iter().for_each(|part| part.columns(found)),
            Self::IsNull(column)
            | Self::Compare(column, ..)
            | Self::In(column, _)
            | Self::Prefix(column, _) => {
                if !found.contains(&column.source) {
                    found.push(column.source);
                }
            }
        }
    }

    /// False of every value, null of null.
    fn never(column: ColumnRef) -> Self {
        Self::All(vec![Self::IsNull(column), Self::Constant(None)])
    }

    /// True of every value, null of null.
    fn always(column: ColumnRef) -> Self {
        Self::Not(Box::new(Self::never(column)))
    }
}

impl Comparison {
    /// The same with its sides exchanged.
    fn flipped(self) -> Self {
        match self {
            Self::Equal | Self::NotEqual => self,
            Self::Less => Self::Greater,
            Self::LessOrEqual => Self::GreaterOrEqual,
            Self::Greater => Self::Less,
            Self::GreaterOrEqual => Self::LessOrEqual,
        }
    }
}

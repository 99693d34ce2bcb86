//! `text/csv`: a header line with the columns' names, then a row a record.
//!
//! Invariants:
//! * an empty cell is null, an empty text in quotes is the empty string (and a refusal where the type has none);
//! * a cell is read by the column's type; nested values (ARRAY, MAP, STRUCT, VECTOR) are JSON within their cell;
//! * what [`crate::consume::encode`] writes is read as the same rows.

mod cells;
mod infer;

use arrow::record_batch::RecordBatch;
use frazil_log::schema::{Schema, Type};

use self::cells::{Cell, Records};
pub(super) use self::infer::infer;
use super::Limits;
use super::errors::{Path, RowErrors, Stop};
use super::json::{Rows, is_json, utf8};
use super::node::{Member, Node, Record};
use super::read::{check_op, scalar, unknown_column};
use super::scan::{SyntaxError, Text, Token};
use crate::error::{Problem, RowErrorKind};

/// What a place of the header stands for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Place {
    /// A column of the table, by its place there.
    Column(usize),
    /// `__bucket`, `__offset`, `__timestamp`, or a column that the table does not have.
    Dropped,
    /// `__op`
    Op,
}

impl Place {
    /// That of a pseudo-column.
    fn of(name: &str) -> Option<Self> {
        match name {
            "__bucket" | "__offset" | "__timestamp" => Some(Self::Dropped),
            "__op" => Some(Self::Op),
            _ => None,
        }
    }
}

/// Decodes CSV with a header line.
pub(super) fn decode(body: &[u8], schema: &Schema, limits: &Limits) -> Result<RecordBatch, Problem> {
    let text = utf8(body)?;
    let mut records = Records::new(text);
    let mut rows = Rows::new(schema, limits);
    read(&mut records, &mut rows).map_err(|stop| rows.problem(stop, text, 0))?;
    rows.finish(schema)
}

fn read(records: &mut Records<'_>, rows: &mut Rows<'_>) -> Result<(), Stop> {
    let names = header(records)?;
    let places = places(&names, &rows.columns, &mut rows.errors);
    let of_one = places.len() == 1;
    loop {
        let mut began = false;
        let count = records.next(of_one, |at, cell| {
            if !std::mem::replace(&mut began, true) {
                rows.budget.spend(rows.columns.width())?;
                rows.columns.record += 1;
            }
            match places.get(at) {
                Some(Place::Column(column)) => push(rows, *column, cell),
                Some(Place::Op) if !cell.text.is_empty() => check_op(Token::String(Text::plain(cell.text))),
                _ => Ok(()),
            }
        })?;
        let Some(count) = count else {
            return Ok(());
        };
        if count != places.len() {
            let expected = || format!("{} cells, as the header has", places.len());
            let found = format!("{count} cells");
            rows.errors.report(rows.row, Path::Row, RowErrorKind::WrongType, expected, &found);
        }
        fill(rows, count == places.len());
        rows.row += 1;
    }
}

/// The names of the header line.
fn header(records: &mut Records<'_>) -> Result<Vec<String>, Stop> {
    let mut names: Vec<String> = Vec::new();
    let count = records.next(false, |_, cell| {
        if names.iter().any(|name| name == cell.text) {
            let message = "the header names this column twice";
            return Err(SyntaxError { at: cell.at, message }.into());
        }
        names.push(cell.text.to_owned());
        Ok(())
    })?;
    match count {
        Some(_) => Ok(names),
        None => Err(Problem::malformed("the body is empty: CSV begins with a line of column names").into()),
    }
}

/// What the names of the header stand for; those that nothing bears are reported.
fn places(names: &[String], columns: &Record<'_>, errors: &mut RowErrors) -> Vec<Place> {
    let place = |(guess, name): (usize, &String)| {
        let known = columns.find(name, guess).map(Place::Column).or_else(|| Place::of(name));
        known.unwrap_or_else(|| {
            let expected = || unknown_column(name, columns.members.iter().map(|member| member.name));
            let (path, found) = (Path::Key(&Path::Row, name), format!("{name:?}"));
            errors.report(0, path, RowErrorKind::UnknownColumn, expected, &found);
            Place::Dropped
        })
    };
    names.iter().enumerate().map(place).collect()
}

/// Adds nulls to the columns that the row did not name; a row of the wrong length is reported already.
fn fill(rows: &mut Rows<'_>, whole: bool) {
    let record = rows.columns.record;
    for Member { name, seen, node } in &mut rows.columns.members {
        if *seen != record {
            if whole && node.required {
                missing(&mut rows.errors, rows.row, node, name);
            }
            node.push_null();
        }
    }
}

fn missing(errors: &mut RowErrors, row: u64, node: &Node<'_>, name: &str) {
    let expected = || format!("{} NOT NULL", node.ty);
    errors.report(row, Path::Key(&Path::Row, name), RowErrorKind::Missing, expected, "nothing");
}

/// Adds a cell to its column.
fn push(rows: &mut Rows<'_>, column: usize, cell: Cell<'_>) -> Result<(), Stop> {
    let record = rows.columns.record;
    let Some(Member { name, seen, node }) = rows.columns.members.get_mut(column) else {
        return Ok(());
    };
    *seen = record;
    if cell.text.is_empty() && !cell.quoted {
        if node.required {
            missing(&mut rows.errors, rows.row, node, name);
        }
        node.push_null();
        return Ok(());
    }
    let taken = match node.ty {
        Type::List(_) | Type::Map(..) | Type::Struct(_) | Type::Vector { .. } => {
            if is_json(cell.text) {
                return nested(rows, column, cell);
            }
            Err(RowErrorKind::WrongType)
        }
        ty => scalar(ty, &mut node.values, token(ty, cell.text))?,
    };
    match taken {
        Ok(()) => node.nulls.append_non_null(),
        Err(kind) => {
            let (path, found) = (Path::Key(&Path::Row, name), format!("{:?}", cell.text));
            rows.errors.report(rows.row, path, kind, || node.ty.to_string(), &found);
            node.push_null();
        }
    }
    Ok(())
}

/// Reads the JSON of a cell.
fn nested(rows: &mut Rows<'_>, column: usize, cell: Cell<'_>) -> Result<(), Stop> {
    let read = rows.scan(cell.text, |reader, columns| {
        let member = &mut columns.members[column];
        reader.value(&mut member.node, Path::Key(&Path::Row, member.name))
    });
    read.map_err(|stop| match stop {
        Stop::Syntax(error) => SyntaxError { at: cell.at, ..error }.into(),
        other => other,
    })
}

/// The cell as the JSON value that it would be. Blanks around what is not text mean nothing.
fn token<'c>(ty: &Type, text: &'c str) -> Token<'c> {
    let trimmed = text.trim_ascii();
    match ty {
        Type::String => Token::String(Text::plain(text)),
        Type::Boolean if trimmed.eq_ignore_ascii_case("true") => Token::True,
        Type::Boolean if trimmed.eq_ignore_ascii_case("false") => Token::False,
        Type::Int | Type::Bigint | Type::Real | Type::Double if is_number(trimmed) => Token::Number(trimmed),
        _ => Token::String(Text::plain(trimmed)),
    }
}

fn is_number(text: &str) -> bool {
    text.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'+' | b'-' | b'.' | b'e' | b'E'))
}

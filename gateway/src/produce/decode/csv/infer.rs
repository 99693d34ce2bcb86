//! The columns that a first CSV body shows, by all of their cells.
//!
//! A type is taken only if it gives each cell back as it was written: `007` and numbers too long for BIGINT are STRING.

use frazil_log::schema::{Column, Type};

use super::cells::{Cell, Records};
use super::{Place, header};
use crate::error::{Problem, RowErrorKind};
use crate::produce::decode::errors::{Path, RowErrors, Stop};
use crate::produce::decode::infer::COLUMNS_MAX;
use crate::produce::decode::json::{syntax_problem, utf8};

/// What the cells of a column have in common; a later one holds what the earlier ones hold, but for BOOLEAN.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Guess {
    Nothing,
    Boolean,
    Integer,
    Number,
    Text,
}

/// Infers the columns; field ids are 0.
pub(in crate::produce::decode) fn infer(body: &[u8]) -> Result<Vec<Column>, Problem> {
    let text = utf8(body)?;
    let columns = guess(text).map_err(|stop| match stop {
        Stop::Syntax(error) => syntax_problem(text, 0, &error),
        Stop::TooLarge => {
            Problem::malformed(format!("more than {COLUMNS_MAX} columns: create the table with PUT"))
        }
        Stop::Problem(problem) => problem,
    })?;
    finish(columns)
}

fn guess(text: &str) -> Result<Vec<(String, Guess)>, Stop> {
    let mut records = Records::new(text);
    let names = header(&mut records)?;
    if names.len() > COLUMNS_MAX {
        return Err(Stop::TooLarge);
    }
    let mut guesses = vec![Guess::Nothing; names.len()];
    let of_one = names.len() == 1;
    let mut take = |at: usize, cell: Cell<'_>| {
        if let Some(guess) = guesses.get_mut(at) {
            *guess = guess.and(Guess::of(cell));
        }
        Ok(())
    };
    while records.next(of_one, &mut take)?.is_some() {}
    Ok(names.into_iter().zip(guesses).collect())
}

fn finish(columns: Vec<(String, Guess)>) -> Result<Vec<Column>, Problem> {
    let mut errors = RowErrors::default();
    let mut inferred = Vec::with_capacity(columns.len());
    for (name, guess) in columns.into_iter().filter(|(name, _)| Place::of(name).is_none()) {
        match guess.ty() {
            Some(ty) => inferred.push(Column { id: 0, name, required: false, ty, doc: String::new() }),
            None => errors.report(
                0,
                Path::Key(&Path::Row, &name),
                RowErrorKind::Missing,
                || "a value that shows the type (or create the table with PUT)".to_owned(),
                "nulls only",
            ),
        }
    }
    errors.into_result()?;
    if inferred.is_empty() {
        return Err(Problem::malformed(
            "the header names no column: the table cannot be inferred, create it with PUT",
        ));
    }
    Ok(inferred)
}

impl Guess {
    fn of(cell: Cell<'_>) -> Self {
        let text = cell.text;
        match text {
            "" if !cell.quoted => Self::Nothing,
            "true" | "false" | "TRUE" | "FALSE" | "True" | "False" => Self::Boolean,
            _ if is_integer(text) => Self::Integer,
            _ if is_float(text) => Self::Number,
            _ => Self::Text,
        }
    }

    fn and(self, other: Self) -> Self {
        match (self, other) {
            (Self::Nothing, guess) | (guess, Self::Nothing) => guess,
            (one, same) if one == same => one,
            (Self::Integer, Self::Number) | (Self::Number, Self::Integer) => Self::Number,
            _ => Self::Text,
        }
    }

    fn ty(self) -> Option<Type> {
        match self {
            Self::Nothing => None,
            Self::Boolean => Some(Type::Boolean),
            Self::Integer => Some(Type::Bigint),
            Self::Number => Some(Type::Double),
            Self::Text => Some(Type::String),
        }
    }
}

/// A whole number of 64 bits in its only spelling.
fn is_integer(text: &str) -> bool {
    text.parse::<i64>().is_ok_and(|number| number.to_string() == text)
}

/// A number with a point or an exponent, in JSON's spelling; digits alone that are no integer are text.
fn is_float(text: &str) -> bool {
    text.contains(['.', 'e', 'E'])
        && serde_json::from_str::<serde_json::Number>(text).is_ok_and(|_| text.trim_ascii() == text)
}

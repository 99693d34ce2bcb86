//! The columns of a table that a first produce request creates (`create=true`), read off its rows.
//!
//! Conservative on purpose: whole numbers are BIGINT, other numbers DOUBLE, strings STRING (also those that look like
//! times), objects STRUCT; everything may be null. Whoever wants more says it with `PUT`.

use std::collections::BTreeMap;

use bytes::Bytes;
use frazil_log::schema::sql::parse_columns;
use frazil_log::schema::{Column, Nested, Type};

use super::Format;
use super::errors::{Path, RowErrors, Stop};
use super::json::otlp::COLUMNS;
use super::json::{syntax_problem, utf8};
use super::scan::{Scanner, Token};
use crate::error::{Problem, RowErrorKind};

/// The most columns, or fields of one struct, that are inferred.
pub(super) const COLUMNS_MAX: usize = 1000;

/// Infers the columns from the body of a produce request. Field ids are 0: creating the table assigns them.
///
/// # Errors
/// `malformed` as in decoding; `invalid-rows` where rows contradict each other or show no type.
pub fn infer(format: Format, body: &Bytes) -> Result<Vec<Column>, Problem> {
    match format {
        Format::Json | Format::Ndjson => infer_json(format, body),
        Format::ArrowStream => super::arrow_stream::infer(body),
        Format::Csv => super::csv::infer(body),
        Format::Otlp => Ok(parse_columns(COLUMNS)?),
    }
}

fn infer_json(format: Format, body: &[u8]) -> Result<Vec<Column>, Problem> {
    let text = utf8(body)?;
    let mut inference = Inference { scanner: Scanner::new(text), errors: RowErrors::default(), row: 0 };
    let mut columns = Fields::default();
    inference.rows(format, &mut columns).map_err(|stop| match stop {
        Stop::Syntax(error) => syntax_problem(text, 0, &error),
        Stop::TooLarge => {
            Problem::malformed(format!("more than {COLUMNS_MAX} columns: create the table with PUT"))
        }
        Stop::Problem(problem) => problem,
    })?;
    inference.errors.into_result()?;
    if columns.members.is_empty() {
        return Err(Problem::malformed(
            "no rows with columns: the table cannot be inferred, create it with PUT",
        ));
    }
    let mut errors = RowErrors::default();
    let columns = columns.finish(Path::Row, &mut errors);
    errors.into_result()?;
    Ok(columns)
}

/// What the values seen so far have in common.
#[derive(Debug, Default)]
enum Guess {
    /// Only nulls.
    #[default]
    Nothing,
    Boolean,
    Integer,
    Number,
    Text,
    Array(Box<Guess>),
    Object(Fields),
}

#[derive(Debug, Default)]
struct Fields {
    members: Vec<(String, Guess)>,
    by_name: BTreeMap<String, usize>,
}

struct Inference<'a> {
    scanner: Scanner<'a>,
    errors: RowErrors,
    row: u64,
}

impl Inference<'_> {
    fn rows(&mut self, format: Format, columns: &mut Fields) -> Result<(), Stop> {
        if format == Format::Json && self.scanner.peek() == Some(b'[') {
            self.scanner.value()?;
            let mut first = true;
            while self.scanner.next_element(first)? {
                first = false;
                self.one_row(columns)?;
            }
        } else {
            while self.scanner.peek().is_some() {
                self.one_row(columns)?;
            }
        }
        Ok(())
    }

    fn one_row(&mut self, columns: &mut Fields) -> Result<(), Stop> {
        self.scanner.peek();
        let start = self.scanner.position();
        match self.scanner.value()? {
            Token::Object => self.members(columns, Path::Row)?,
            token => {
                self.scanner.skip(token)?;
                let found = self.scanner.since(start);
                let expected = || "an object".to_owned();
                self.errors.report(self.row, Path::Row, RowErrorKind::WrongType, expected, found);
            }
        }
        self.row += 1;
        Ok(())
    }

    fn members(&mut self, fields: &mut Fields, path: Path<'_>) -> Result<(), Stop> {
        let mut first = true;
        while let Some(key) = self.scanner.next_key(first)? {
            first = false;
            let key = key.decoded();
            if matches!(path, Path::Row) && matches!(&*key, "__bucket" | "__offset" | "__timestamp" | "__op")
            {
                let token = self.scanner.value()?;
                self.scanner.skip(token)?;
                continue;
            }
            let guess = fields.guess(&key)?;
            self.value(guess, Path::Key(&path, &key))?;
        }
        Ok(())
    }

    fn value(&mut self, guess: &mut Guess, path: Path<'_>) -> Result<(), Stop> {
        self.scanner.peek();
        let start = self.scanner.position();
        let token = self.scanner.value()?;
        if matches!(guess, Guess::Nothing) {
            *guess = Guess::of(token);
        }
        match (token, &mut *guess) {
            (Token::Null, _) => {}
            (Token::True | Token::False, Guess::Boolean) | (Token::String(_), Guess::Text) => {}
            (Token::Number(_), Guess::Number) => {}
            (Token::Number(number), Guess::Integer) => {
                if !is_integer(number) {
                    *guess = Guess::Number;
                }
            }
            (Token::Array, Guess::Array(element)) => {
                let mut count = 0;
                while self.scanner.next_element(count == 0)? {
                    self.value(element, Path::Index(&path, count))?;
                    count += 1;
                }
            }
            (Token::Object, Guess::Object(fields)) => self.members(fields, path)?,
            (token, guess) => {
                self.scanner.skip(token)?;
                let expected = || format!("{} as in the rows before", guess.name());
                self.errors.report(
                    self.row,
                    path,
                    RowErrorKind::WrongType,
                    expected,
                    self.scanner.since(start),
                );
            }
        }
        Ok(())
    }
}

fn is_integer(number: &str) -> bool {
    !number.contains(['.', 'e', 'E'])
}

impl Guess {
    fn of(token: Token<'_>) -> Self {
        match token {
            Token::Null => Self::Nothing,
            Token::True | Token::False => Self::Boolean,
            Token::Number(number) if is_integer(number) => Self::Integer,
            Token::Number(_) => Self::Number,
            Token::String(_) => Self::Text,
            Token::Array => Self::Array(Box::default()),
            Token::Object => Self::Object(Fields::default()),
        }
    }

    fn name(&self) -> String {
        match self {
            Self::Nothing => "nothing".to_owned(),
            Self::Boolean => Type::Boolean.to_string(),
            Self::Integer => Type::Bigint.to_string(),
            Self::Number => Type::Double.to_string(),
            Self::Text => Type::String.to_string(),
            Self::Array(_) => "ARRAY".to_owned(),
            Self::Object(_) => "STRUCT".to_owned(),
        }
    }

    /// The type, or nothing where only nulls, empty arrays or empty objects were seen.
    fn finish(self, path: Path<'_>, errors: &mut RowErrors) -> Option<Type> {
        match self {
            Self::Nothing => None,
            Self::Boolean => Some(Type::Boolean),
            Self::Integer => Some(Type::Bigint),
            Self::Number => Some(Type::Double),
            Self::Text => Some(Type::String),
            Self::Array(element) => {
                let ty = element.finish(path, errors)?;
                Some(Type::List(Box::new(Nested { id: 0, required: false, ty })))
            }
            Self::Object(fields) if fields.members.is_empty() => None,
            Self::Object(fields) => Some(Type::Struct(fields.finish(path, errors))),
        }
    }
}

impl Fields {
    fn guess(&mut self, name: &str) -> Result<&mut Guess, Stop> {
        let at = match self.by_name.get(name) {
            Some(&at) => at,
            None if self.members.len() == COLUMNS_MAX => return Err(Stop::TooLarge),
            None => {
                self.by_name.insert(name.to_owned(), self.members.len());
                self.members.push((name.to_owned(), Guess::Nothing));
                self.members.len() - 1
            }
        };
        Ok(&mut self.members[at].1)
    }

    fn finish(self, path: Path<'_>, errors: &mut RowErrors) -> Vec<Column> {
        let mut columns = Vec::with_capacity(self.members.len());
        for (name, guess) in self.members {
            let path = Path::Key(&path, &name);
            match guess.finish(path, errors) {
                Some(ty) => columns.push(Column { id: 0, name, required: false, ty, doc: String::new() }),
                None => errors.report(
                    0,
                    path,
                    RowErrorKind::Missing,
                    || "a value that shows the type (or create the table with PUT)".to_owned(),
                    "nulls only",
                ),
            }
        }
        columns
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::Kind;

    fn infer(format: Format, body: &str) -> Result<Vec<Column>, Problem> {
        super::infer(format, &Bytes::copy_from_slice(body.as_bytes()))
    }

    fn names(format: Format, body: &str) -> String {
        let columns = infer(format, body).unwrap();
        let shown = columns.iter().map(|column| format!("{} {}", column.name, column.ty));
        shown.collect::<Vec<_>>().join(", ")
    }

    #[test]
    fn columns_come_from_all_rows() {
        let body = r#"[{"id":1,"__offset":3},{"id":2.5,"u":"x","s":{"a":[true]},"n":null},{"n":[{"k":1}]}]"#;
        assert_eq!(
            names(Format::Json, body),
            "id DOUBLE, u STRING, s STRUCT<a ARRAY<BOOLEAN>>, n ARRAY<STRUCT<k BIGINT>>"
        );
        assert_eq!(
            names(Format::Ndjson, "{\"a\":1}\n{\"b\":\"2026-01-01T00:00:00Z\"}\n"),
            "a BIGINT, b STRING"
        );
        assert_eq!(names(Format::Json, r#"{"a":1}"#), "a BIGINT");
    }

    #[test]
    fn rows_that_contradict_each_other_are_named() {
        let problem = infer(Format::Json, r#"[{"a":1},{"a":"x"}]"#).unwrap_err();
        assert_eq!(problem.kind(), Kind::InvalidRows);
        assert_eq!(
            problem.detail(),
            "row 1, column \"a\": expected BIGINT as in the rows before, found \"x\""
        );
    }

    #[test]
    fn a_column_of_nulls_asks_for_its_type() {
        for body in [r#"[{"a":null}]"#, r#"[{"a":[]}]"#, r#"[{"a":{}}]"#, r#"[{"a":[[null]]}]"#] {
            let problem = infer(Format::Json, body).unwrap_err();
            assert_eq!(problem.kind(), Kind::InvalidRows, "{body}");
            assert!(problem.detail().contains("nulls only"), "{body}");
        }
        assert_eq!(infer(Format::Json, "[]").unwrap_err().kind(), Kind::Malformed);
        assert_eq!(infer(Format::Json, "[{}]").unwrap_err().kind(), Kind::Malformed);
    }

    #[test]
    fn a_flood_of_columns_is_refused() {
        let body: Vec<String> = (0..=COLUMNS_MAX).map(|column| format!("\"c{column}\":1")).collect();
        let problem = infer(Format::Json, &format!("{{{}}}", body.join(","))).unwrap_err();
        assert_eq!(problem.kind(), Kind::Malformed);
    }
}

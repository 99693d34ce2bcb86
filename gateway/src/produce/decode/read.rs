//! JSON values into nodes: the table in api.md ("JSON values"), strictly.
//!
//! A value that does not fit is reported and replaced by a null, and reading goes on, so that one answer names all
//! that is wrong. Only broken JSON and too much memory end it early.

use std::borrow::Cow;

use base64::Engine;
use base64::alphabet;
use base64::engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig};
use frazil_log::schema::{TimestampUnit, Type};
use uuid::Uuid;

use super::errors::{Budget, Path, RowErrors, Stop};
use super::node::{Node, Record, Values};
use super::scan::{Scanner, Text, Token};
use super::text::{parse_date, parse_decimal, parse_time, parse_timestamp};
use crate::error::{Problem, RowErrorKind};

/// Standard alphabet; written with padding, read with and without.
const BASE64: GeneralPurpose = GeneralPurpose::new(
    &alphabet::STANDARD,
    GeneralPurposeConfig::new().with_decode_padding_mode(DecodePaddingMode::Indifferent),
);

/// What reading a row needs besides the nodes.
#[derive(Debug)]
pub(super) struct Reader<'a> {
    pub(super) scanner: Scanner<'a>,
    pub(super) errors: RowErrors,
    pub(super) budget: Budget,
    /// The row being read, from 0.
    pub(super) row: u64,
}

impl Reader<'_> {
    /// Reads one row, an object, into the columns.
    pub(super) fn row(&mut self, columns: &mut Record<'_>) -> Result<(), Stop> {
        self.budget.spend(columns.width())?;
        self.scanner.peek();
        let start = self.scanner.position();
        let token = self.scanner.value()?;
        if token == Token::Object {
            self.members(columns, Path::Row)?;
        } else {
            self.refuse(token, start, Path::Row, RowErrorKind::WrongType, || "an object".to_owned())?;
        }
        self.row += 1;
        Ok(())
    }

    /// Reads the members of an object whose `{` was taken.
    fn members(&mut self, record: &mut Record<'_>, path: Path<'_>) -> Result<(), Stop> {
        record.record += 1;
        let mut next = 0;
        let mut first = true;
        while let Some(key) = self.scanner.next_key(first)? {
            first = false;
            let key = key.decoded();
            let Some(at) = record.find(&key, next) else {
                self.unknown(record, &key, path)?;
                continue;
            };
            next = at + 1;
            let member = &mut record.members[at];
            if member.seen == record.record {
                return Err(self.scanner.error("this object has the same key twice").into());
            }
            member.seen = record.record;
            self.value(&mut member.node, Path::Key(&path, member.name))?;
        }
        for member in &mut record.members {
            if member.seen != record.record {
                if member.node.required {
                    let path = Path::Key(&path, member.name);
                    self.missing(&member.node, path, "nothing");
                }
                member.node.push_null();
            }
        }
        Ok(())
    }

    /// Reads one value into a node.
    pub(super) fn value(&mut self, node: &mut Node<'_>, path: Path<'_>) -> Result<(), Stop> {
        self.scanner.peek();
        let start = self.scanner.position();
        let token = self.scanner.value()?;
        let taken = match (token, &mut node.values) {
            (Token::Null, _) => {
                if node.required {
                    self.missing(node, path, "null");
                }
                node.push_null();
                return Ok(());
            }
            (Token::Array, Values::List(offsets, element)) => {
                let count = self.elements(path, |reader, path| {
                    reader.budget.spend(element.width)?;
                    reader.value(element, path)
                })?;
                push_offset(offsets, count)?;
                Ok(())
            }
            (Token::Array, Values::Map(offsets, key, value)) => {
                let count = self.elements(path, |reader, path| reader.pair(key, value, path))?;
                push_offset(offsets, count)?;
                Ok(())
            }
            (Token::Object, Values::Map(offsets, key, value)) if *key.ty == Type::String => {
                let count = self.entries(key, value, path)?;
                push_offset(offsets, count)?;
                Ok(())
            }
            (Token::Object, Values::Struct(record)) => {
                self.members(record, path)?;
                Ok(())
            }
            (Token::Array, Values::Vector(..)) => return self.vector(node, start, path),
            (token, values) => scalar(node.ty, values, token)?,
        };
        match taken {
            Ok(()) => node.nulls.append_non_null(),
            Err(kind) => {
                let ty = node.ty;
                self.refuse(token, start, path, kind, || ty.to_string())?;
                node.push_null();
            }
        }
        Ok(())
    }

    /// Reads the elements of an array whose `[` was taken; says how many.
    fn elements(
        &mut self,
        path: Path<'_>,
        mut element: impl FnMut(&mut Self, Path<'_>) -> Result<(), Stop>,
    ) -> Result<usize, Stop> {
        let mut count = 0;
        while self.scanner.next_element(count == 0)? {
            element(self, Path::Index(&path, count))?;
            count += 1;
        }
        Ok(count)
    }

    /// Reads one `[key, value]` of a map.
    fn pair(&mut self, key: &mut Node<'_>, value: &mut Node<'_>, path: Path<'_>) -> Result<(), Stop> {
        self.budget.spend(key.width.saturating_add(value.width))?;
        self.scanner.peek();
        let start = self.scanner.position();
        let token = self.scanner.value()?;
        let mut count = 0;
        if token == Token::Array {
            count = self.elements(path, |reader, path| match path {
                Path::Index(_, 0) => reader.value(key, path),
                Path::Index(_, 1) => reader.value(value, path),
                _ => {
                    let token = reader.scanner.value()?;
                    Ok(reader.scanner.skip(token)?)
                }
            })?;
        } else {
            self.scanner.skip(token)?;
        }
        if count != 2 {
            let found = self.scanner.since(start);
            self.errors.report(
                self.row,
                path,
                RowErrorKind::WrongType,
                || "a pair [key, value]".to_owned(),
                found,
            );
        }
        if count == 0 {
            key.push_null();
        }
        if count < 2 {
            value.push_null();
        }
        Ok(())
    }

    /// Reads the members of a map written as an object, its `{` taken; says how many.
    fn entries(&mut self, key: &mut Node<'_>, value: &mut Node<'_>, path: Path<'_>) -> Result<usize, Stop> {
        let mut count = 0;
        while let Some(name) = self.scanner.next_key(count == 0)? {
            self.budget.spend(key.width.saturating_add(value.width))?;
            if let Values::Bytes(keys) = &mut key.values {
                push_text(name, &mut keys.bytes);
                keys.end()?;
                key.nulls.append_non_null();
            }
            self.value(value, Path::Key(&path, &name.decoded()))?;
            count += 1;
        }
        Ok(count)
    }

    /// Reads the numbers of a vector whose `[` was taken.
    fn vector(&mut self, node: &mut Node<'_>, start: usize, path: Path<'_>) -> Result<(), Stop> {
        let Values::Vector(values, length) = &mut node.values else {
            return Ok(());
        };
        let (length, before) = (*length, values.len());
        let mut refused = false;
        let count = self.elements(path, |reader, path| {
            reader.scanner.peek();
            let start = reader.scanner.position();
            let token = reader.scanner.value()?;
            match real(token) {
                // What lies beyond the length is counted, not kept.
                Ok(value) if values.len() - before < length => values.push(value),
                Ok(_) => {}
                Err(kind) => {
                    refused = true;
                    reader.refuse(token, start, path, kind, || "REAL NOT NULL".to_owned())?;
                }
            }
            Ok(())
        })?;
        if count != length {
            let found = self.scanner.since(start);
            let ty = node.ty;
            self.errors.report(self.row, path, RowErrorKind::OutOfRange, || ty.to_string(), found);
        }
        if count == length && !refused {
            node.nulls.append_non_null();
        } else {
            values.truncate(before);
            node.push_null();
        }
        Ok(())
    }

    /// Takes a member that the record does not have: a pseudo-column of the row is dropped, anything else is an error.
    fn unknown(&mut self, record: &Record<'_>, key: &str, path: Path<'_>) -> Result<(), Stop> {
        let token = self.scanner.value()?;
        if matches!(path, Path::Row) {
            match key {
                "__bucket" | "__offset" | "__timestamp" => return Ok(self.scanner.skip(token)?),
                "__op" => return check_op(token),
                _ => {}
            }
        }
        self.scanner.skip(token)?;
        let name = format!("{key:?}");
        let expected = || unknown_column(key, record.members.iter().map(|member| member.name));
        self.errors.report(self.row, Path::Key(&path, key), RowErrorKind::UnknownColumn, expected, &name);
        Ok(())
    }

    fn missing(&mut self, node: &Node<'_>, path: Path<'_>, found: &str) {
        let expected = || format!("{} NOT NULL", node.ty);
        self.errors.report(self.row, path, RowErrorKind::Missing, expected, found);
    }

    /// Takes the rest of a value and reports it.
    fn refuse(
        &mut self,
        token: Token<'_>,
        start: usize,
        path: Path<'_>,
        kind: RowErrorKind,
        expected: impl FnOnce() -> String,
    ) -> Result<(), Stop> {
        self.scanner.skip(token)?;
        self.errors.report(self.row, path, kind, expected, self.scanner.since(start));
        Ok(())
    }
}

/// What an unknown column should have been: says so where only the case differs.
pub(super) fn unknown_column<'n>(key: &str, mut names: impl Iterator<Item = &'n str>) -> String {
    match names.find(|name| name.eq_ignore_ascii_case(key)) {
        Some(name) => format!("a column of the table (case matters: {name:?})"),
        None => "a column of the table".to_owned(),
    }
}

/// Log tables take inserts only.
pub(super) fn check_op(token: Token<'_>) -> Result<(), Stop> {
    match token {
        Token::Null => Ok(()),
        Token::String(op) if op.decoded() == "+I" => Ok(()),
        _ => Err(Problem::unsupported("__op: a log table takes \"+I\" only").into()),
    }
}

fn push_offset(offsets: &mut Vec<i32>, count: usize) -> Result<(), Stop> {
    let last = offsets.last().copied().unwrap_or(0);
    let end = i32::try_from(count).ok().and_then(|count| last.checked_add(count));
    offsets.push(end.ok_or(Stop::TooLarge)?);
    Ok(())
}

fn push_text(text: Text<'_>, bytes: &mut Vec<u8>) {
    match text.decoded() {
        Cow::Borrowed(plain) => bytes.extend_from_slice(plain.as_bytes()),
        Cow::Owned(unescaped) => bytes.extend_from_slice(unescaped.as_bytes()),
    }
}

pub(super) type Taken = Result<(), RowErrorKind>;

/// Adds a value that is neither array nor object, if it fits.
pub(super) fn scalar(ty: &Type, values: &mut Values<'_>, token: Token<'_>) -> Result<Taken, Stop> {
    Ok(match values {
        Values::Boolean(values) => match token {
            Token::True | Token::False => {
                values.append(token == Token::True);
                Ok(())
            }
            _ => Err(RowErrorKind::WrongType),
        },
        Values::Int(values) => push(
            values,
            integer(token).and_then(|wide| i32::try_from(wide).map_err(|_| RowErrorKind::OutOfRange)),
        ),
        Values::Bigint(values) => push(values, bigint(token)),
        Values::Real(values) => push(values, real(token)),
        Values::Double(values) => push(values, double(token)),
        Values::Decimal(values) => push(values, decimal(ty, token)),
        Values::Date(values) => push(values, text(token).and_then(|text| parse_date(&text))),
        Values::Time(values) => push(values, time(ty, token)),
        Values::Bytes(values) => {
            let taken = match (ty, token) {
                (Type::String, Token::String(text)) => {
                    push_text(text, &mut values.bytes);
                    Ok(())
                }
                (_, Token::String(text)) => base64_onto(&text.decoded(), &mut values.bytes),
                _ => Err(RowErrorKind::WrongType),
            };
            if taken.is_ok() {
                values.end()?;
            }
            taken
        }
        Values::Fixed(values, length) => fixed(ty, values, *length, token),
        _ => Err(RowErrorKind::WrongType),
    })
}

fn push<T>(values: &mut Vec<T>, value: Result<T, RowErrorKind>) -> Taken {
    value.map(|value| values.push(value))
}

fn text(token: Token<'_>) -> Result<Cow<'_, str>, RowErrorKind> {
    match token {
        Token::String(text) => Ok(text.decoded()),
        _ => Err(RowErrorKind::WrongType),
    }
}

fn integer(token: Token<'_>) -> Result<i64, RowErrorKind> {
    match token {
        Token::Number(number) => parse_integer(number),
        _ => Err(RowErrorKind::WrongType),
    }
}

/// 64-bit integers may also stand in strings, for clients whose numbers are floats.
fn bigint(token: Token<'_>) -> Result<i64, RowErrorKind> {
    match token {
        Token::Number(number) => parse_integer(number),
        Token::String(string) => parse_integer(&string.decoded()),
        _ => Err(RowErrorKind::WrongType),
    }
}

fn parse_integer(text: &str) -> Result<i64, RowErrorKind> {
    let digits = text.strip_prefix('-').unwrap_or(text);
    if digits.is_empty() || !digits.bytes().all(|digit| digit.is_ascii_digit()) {
        return Err(RowErrorKind::WrongType);
    }
    text.parse().map_err(|_| RowErrorKind::OutOfRange)
}

fn double(token: Token<'_>) -> Result<f64, RowErrorKind> {
    match token {
        Token::Number(number) => {
            let value: f64 = number.parse().map_err(|_| RowErrorKind::WrongType)?;
            if value.is_finite() { Ok(value) } else { Err(RowErrorKind::OutOfRange) }
        }
        token => not_finite(token),
    }
}

fn real(token: Token<'_>) -> Result<f32, RowErrorKind> {
    match token {
        Token::Number(number) => {
            let value: f32 = number.parse().map_err(|_| RowErrorKind::WrongType)?;
            if value.is_finite() { Ok(value) } else { Err(RowErrorKind::OutOfRange) }
        }
        token => not_finite(token),
    }
}

/// JSON has no numbers for these: they stand in strings.
fn not_finite<F: From<f32>>(token: Token<'_>) -> Result<F, RowErrorKind> {
    match &*text(token)? {
        "NaN" => Ok(F::from(f32::NAN)),
        "Infinity" => Ok(F::from(f32::INFINITY)),
        "-Infinity" => Ok(F::from(f32::NEG_INFINITY)),
        _ => Err(RowErrorKind::WrongType),
    }
}

fn decimal(ty: &Type, token: Token<'_>) -> Result<i128, RowErrorKind> {
    let Type::Decimal { precision, scale } = ty else {
        return Err(RowErrorKind::WrongType);
    };
    match token {
        Token::Number(number) => parse_decimal(number, *precision, *scale),
        Token::String(string) => parse_decimal(&string.decoded(), *precision, *scale),
        _ => Err(RowErrorKind::WrongType),
    }
}

fn time(ty: &Type, token: Token<'_>) -> Result<i64, RowErrorKind> {
    let text = text(token)?;
    match ty {
        Type::Timestamp { unit: TimestampUnit::Micros, zone } => parse_timestamp(&text, 1_000_000, *zone),
        Type::Timestamp { unit: TimestampUnit::Nanos, zone } => parse_timestamp(&text, 1_000_000_000, *zone),
        _ => parse_time(&text),
    }
}

fn base64_onto(text: &str, bytes: &mut Vec<u8>) -> Taken {
    let before = bytes.len();
    BASE64.decode_vec(text, bytes).map_err(|_| {
        bytes.truncate(before);
        RowErrorKind::WrongType
    })
}

fn fixed(ty: &Type, values: &mut Vec<u8>, length: usize, token: Token<'_>) -> Taken {
    let text = text(token)?;
    if *ty == Type::Uuid {
        let uuid = Uuid::try_parse(&text).ok().filter(|_| text.len() == 36);
        values.extend_from_slice(uuid.ok_or(RowErrorKind::WrongType)?.as_bytes());
        return Ok(());
    }
    let before = values.len();
    base64_onto(&text, values)?;
    if values.len() - before != length {
        values.truncate(before);
        return Err(RowErrorKind::OutOfRange);
    }
    Ok(())
}

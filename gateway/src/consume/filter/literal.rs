//! Literals, typed by the column that they are compared with.
//!
//! A number that no value of the column can equal (1.5 of a BIGINT) is no error: it lies between two of them, or beyond all.

use std::cmp::Ordering;

use base64::Engine;
use base64::engine::general_purpose::STANDARD as BASE64;
use frazil_log::schema::{TimestampUnit, Type};
use uuid::Uuid;

use super::{ColumnRef, Comparison, Predicate, Value};
use crate::error::Problem;
use crate::produce::decode::errors::shorten;
use crate::produce::decode::text::{parse_date, parse_time, parse_timestamp};

/// A literal as it was written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Literal {
    Null,
    Boolean(bool),
    Number(String),
    Text(String),
    Date(String),
    Time(String),
    Timestamp(String),
    Bytes(Vec<u8>),
}

/// Where a literal lies among the values of a type.
#[derive(Clone, Debug, PartialEq)]
enum Fit {
    At(Value),
    /// Above this one and below the next.
    Above(Value),
    /// Below all.
    BelowAll,
    /// Above all.
    AboveAll,
}

impl Literal {
    /// `X'0aff'`
    pub(super) fn hex(digits: &str) -> Option<Self> {
        let pairs = digits.as_bytes().chunks(2);
        let byte = |pair: &[u8]| match pair {
            [_, _] => u8::from_str_radix(std::str::from_utf8(pair).ok()?, 16).ok(),
            _ => None,
        };
        pairs.map(byte).collect::<Option<Vec<u8>>>().map(Self::Bytes)
    }

    fn shown(&self) -> String {
        match self {
            Self::Null => "NULL".to_owned(),
            Self::Boolean(value) => value.to_string(),
            Self::Number(number) => number.clone(),
            Self::Text(text) => format!("'{text}'"),
            Self::Date(text) => format!("DATE '{text}'"),
            Self::Time(text) => format!("TIME '{text}'"),
            Self::Timestamp(text) => format!("TIMESTAMP '{text}'"),
            Self::Bytes(bytes) => format!("{} bytes", bytes.len()),
        }
    }
}

/// A column compared with a literal.
pub(super) fn compare(column: &ColumnRef, op: Comparison, literal: &Literal) -> Result<Predicate, Problem> {
    if *literal == Literal::Null {
        return Ok(Predicate::Constant(None));
    }
    use Comparison as C;
    let is = |op, value| Predicate::Compare(column.clone(), op, value);
    let (never, always) = (|| Predicate::never(column.clone()), || Predicate::always(column.clone()));
    Ok(match (fit(column, literal)?, op) {
        (Fit::At(value), op) => match zeros(&value) {
            None => is(op, value),
            // −0 equals +0, and lies below it in the order of arrays.
            Some((low, high)) => match op {
                C::Equal => Predicate::All(vec![is(C::GreaterOrEqual, low), is(C::LessOrEqual, high)]),
                C::NotEqual => Predicate::Any(vec![is(C::Less, low), is(C::Greater, high)]),
                C::Less | C::GreaterOrEqual => is(op, low),
                C::Greater | C::LessOrEqual => is(op, high),
            },
        },
        (Fit::Above(_) | Fit::BelowAll | Fit::AboveAll, C::Equal) => never(),
        (Fit::Above(_) | Fit::BelowAll | Fit::AboveAll, C::NotEqual) => always(),
        (Fit::Above(value), C::Less | C::LessOrEqual) => is(C::LessOrEqual, value),
        (Fit::Above(value), C::Greater | C::GreaterOrEqual) => is(C::Greater, value),
        (Fit::BelowAll, C::Less | C::LessOrEqual) | (Fit::AboveAll, C::Greater | C::GreaterOrEqual) => {
            never()
        }
        (Fit::BelowAll, C::Greater | C::GreaterOrEqual) | (Fit::AboveAll, C::Less | C::LessOrEqual) => {
            always()
        }
    })
}

/// A column that is one of a list.
pub(super) fn one_of(column: &ColumnRef, literals: &[Literal]) -> Result<Predicate, Problem> {
    let (mut values, mut has_null) = (Vec::new(), false);
    for literal in literals {
        if *literal == Literal::Null {
            has_null = true;
        } else if let Fit::At(value) = fit(column, literal)? {
            match zeros(&value) {
                Some((low, high)) => values.extend([low, high]),
                None => values.push(value),
            }
        }
    }
    let is_in = if values.is_empty() {
        Predicate::never(column.clone())
    } else {
        Predicate::In(column.clone(), values)
    };
    Ok(if has_null { Predicate::Any(vec![is_in, Predicate::Constant(None)]) } else { is_in })
}

/// `LIKE 'prefix%'`, or a pattern without a wildcard.
pub(super) fn prefix(column: &ColumnRef, pattern: &Literal) -> Result<Predicate, Problem> {
    let pattern = match pattern {
        Literal::Null => return Ok(Predicate::Constant(None)),
        Literal::Text(pattern) if column.ty == Type::String => pattern,
        other => return Err(misfit(column, other)),
    };
    let (beginning, is_prefix) = match pattern.strip_suffix('%') {
        Some(beginning) => (beginning, true),
        None => (pattern.as_str(), false),
    };
    if beginning.contains(['%', '_', '\\']) {
        return Err(Problem::unsupported(format!(
            "filter: LIKE '{}' is not supported: the only wildcard is one % at the end",
            shorten(pattern)
        )));
    }
    Ok(if is_prefix {
        Predicate::Prefix(column.clone(), beginning.to_owned())
    } else {
        Predicate::Compare(column.clone(), Comparison::Equal, Value::Text(beginning.to_owned()))
    })
}

/// Both zeros, if the value is one.
fn zeros(value: &Value) -> Option<(Value, Value)> {
    match value {
        Value::Real(value) if *value == 0.0 => Some((Value::Real(-0.0), Value::Real(0.0))),
        Value::Double(value) if *value == 0.0 => Some((Value::Double(-0.0), Value::Double(0.0))),
        _ => None,
    }
}

fn misfit(column: &ColumnRef, literal: &Literal) -> Problem {
    let (name, ty, shown) = (&column.name, &column.ty, shorten(&literal.shown()));
    Problem::unsupported(format!("filter: column {name:?} is {ty}, which cannot be compared with {shown}"))
}

fn fit(column: &ColumnRef, literal: &Literal) -> Result<Fit, Problem> {
    let ty = &column.ty;
    let fit = match (ty, literal) {
        (Type::Boolean, Literal::Boolean(value)) => Some(Fit::At(Value::Boolean(*value))),
        (Type::Int | Type::Bigint | Type::Decimal { .. }, Literal::Number(text) | Literal::Text(text)) => {
            number(ty, text)
        }
        (Type::Real | Type::Double, Literal::Number(text) | Literal::Text(text)) => float(ty, text),
        (Type::Date, Literal::Date(text) | Literal::Text(text)) => {
            parse_date(text).ok().map(|days| Fit::At(Value::Integer(i64::from(days))))
        }
        (Type::Time, Literal::Time(text) | Literal::Text(text)) => {
            parse_time(text).ok().map(|micros| Fit::At(Value::Integer(micros)))
        }
        (
            Type::Timestamp { unit, zone },
            Literal::Timestamp(text) | Literal::Date(text) | Literal::Text(text),
        ) => timestamp(*unit, *zone, text),
        (Type::String, Literal::Text(text)) => Some(Fit::At(Value::Text(text.clone()))),
        (Type::Uuid, Literal::Text(text)) => {
            Uuid::try_parse(text).ok().map(|uuid| Fit::At(Value::Bytes(uuid.as_bytes().to_vec())))
        }
        (Type::Binary, Literal::Bytes(bytes)) => Some(Fit::At(Value::Bytes(bytes.clone()))),
        (Type::Binary, Literal::Text(text)) => {
            BASE64.decode(text).ok().map(|bytes| Fit::At(Value::Bytes(bytes)))
        }
        (Type::Fixed(_), Literal::Bytes(bytes)) => fixed(ty, bytes.clone()),
        (Type::Fixed(_), Literal::Text(text)) => BASE64.decode(text).ok().and_then(|bytes| fixed(ty, bytes)),
        _ => None,
    };
    fit.ok_or_else(|| misfit(column, literal))
}

fn fixed(ty: &Type, bytes: Vec<u8>) -> Option<Fit> {
    let Type::Fixed(length) = ty else { return None };
    (usize::try_from(*length).ok()? == bytes.len()).then_some(Fit::At(Value::Bytes(bytes)))
}

fn float(ty: &Type, text: &str) -> Option<Fit> {
    let is_number = text.bytes().any(|byte| byte.is_ascii_digit())
        && text.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'.' | b'e' | b'E' | b'+' | b'-'));
    if !is_number && !matches!(text, "NaN" | "Infinity" | "-Infinity") {
        return None;
    }
    Some(Fit::At(if *ty == Type::Real {
        Value::Real(text.parse().ok()?)
    } else {
        Value::Double(text.parse().ok()?)
    }))
}

/// A time, or a date as its first moment. Without a zone it is UTC where the column has one.
fn timestamp(unit: TimestampUnit, zone: bool, text: &str) -> Option<Fit> {
    let (per_s, is_nanos) =
        if unit == TimestampUnit::Nanos { (1_000_000_000, true) } else { (1_000_000, false) };
    if let Ok(days) = parse_date(text) {
        let units = i64::from(days).checked_mul(86_400)?.checked_mul(per_s)?;
        return Some(Fit::At(Value::Integer(units)));
    }
    let parse = |per_s| {
        let parsed = parse_timestamp(text, per_s, zone);
        parsed.or_else(|error| if zone { parse_timestamp(text, per_s, false) } else { Err(error) })
    };
    if let Ok(units) = parse(per_s) {
        return Some(Fit::At(Value::Integer(units)));
    }
    // Finer than the column is.
    let nanos = parse(1_000_000_000).ok().filter(|_| !is_nanos)?;
    Some(Fit::Above(Value::Integer(nanos.div_euclid(1000))))
}

/// A number among the values of INT, BIGINT or DECIMAL.
fn number(ty: &Type, text: &str) -> Option<Fit> {
    let (scale, low, high) = match ty {
        Type::Int => (0, i128::from(i32::MIN), i128::from(i32::MAX)),
        Type::Bigint => (0, i128::from(i64::MIN), i128::from(i64::MAX)),
        Type::Decimal { precision, scale } => {
            let limit = 10i128.checked_pow(u32::from(*precision))? - 1;
            (i64::from(*scale), -limit, limit)
        }
        _ => return None,
    };
    let value = |unscaled: i128| match ty {
        Type::Decimal { .. } => Some(Value::Decimal(unscaled)),
        _ => i64::try_from(unscaled).ok().map(Value::Integer),
    };
    let is_negative = text.starts_with('-');
    Some(match floor(text, scale)? {
        None if is_negative => Fit::BelowAll,
        None => Fit::AboveAll,
        Some((floor, _)) if floor < low => Fit::BelowAll,
        Some((floor, exact)) => match floor.cmp(&high) {
            Ordering::Greater => Fit::AboveAll,
            Ordering::Equal if !exact => Fit::AboveAll,
            _ if exact => Fit::At(value(floor)?),
            _ => Fit::Above(value(floor)?),
        },
    })
}

/// The greatest multiple of 10^−scale that is not above a number, unscaled, and whether it is the number; an inner nothing if that
/// has more than 38 digits, an outer one if the text is no number.
fn floor(text: &str, scale: i64) -> Option<Option<(i128, bool)>> {
    let (is_negative, unsigned) = match text.strip_prefix('-') {
        Some(rest) => (true, rest),
        None => (false, text.strip_prefix('+').unwrap_or(text)),
    };
    let (mantissa, exponent) = match unsigned.split_once(['e', 'E']) {
        Some((mantissa, exponent)) => (mantissa, exponent.parse::<i32>().ok()?),
        None => (unsigned, 0),
    };
    let (whole, fraction) = mantissa.split_once('.').unwrap_or((mantissa, ""));
    let digits = format!("{whole}{fraction}");
    if digits.is_empty() || !digits.bytes().all(|digit| digit.is_ascii_digit()) {
        return None;
    }
    let digits = digits.trim_start_matches('0');
    if digits.is_empty() {
        return Some(Some((0, true)));
    }
    let shift = i64::from(exponent) + scale - i64::try_from(fraction.len()).ok()?;
    let length = i64::try_from(digits.len()).ok()? + shift;
    if length > 38 {
        return Some(None);
    }
    let kept = usize::try_from(length.max(0)).ok()?;
    let (units, lost) = digits.split_at(kept.min(digits.len()));
    let zeros = kept.saturating_sub(digits.len());
    let units = format!("0{units}{}", "0".repeat(zeros)).parse::<i128>().ok()?;
    let exact = lost.bytes().all(|digit| digit == b'0');
    let floor = match (is_negative, exact) {
        (false, _) => units,
        (true, true) => -units,
        (true, false) => -units - 1,
    };
    Some(Some((floor, exact)))
}

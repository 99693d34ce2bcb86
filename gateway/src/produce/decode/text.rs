//! Values from their text: decimals, dates, times, timestamps. Exact: nothing is rounded.
//!
//! Years beyond 0000 to 9999 are written with a sign (`+12345-01-01`, ISO 8601's expanded form), so that each value that
//! a column can hold has a text.

use crate::error::RowErrorKind;

type Parsed<T> = Result<T, RowErrorKind>;

const NANOS_PER_S: i64 = 1_000_000_000;
const S_PER_DAY: i64 = 86_400;

/// A decimal's unscaled value. More digits behind the point than the scale are refused unless they are zeros.
pub(crate) fn parse_decimal(text: &str, precision: u8, scale: u8) -> Parsed<i128> {
    let (negative, rest) = match text.strip_prefix('-') {
        Some(rest) => (true, rest),
        None => (false, text),
    };
    let (mantissa, exponent) = match rest.split_once(['e', 'E']) {
        Some((mantissa, exponent)) => (mantissa, Some(exponent)),
        None => (rest, None),
    };
    let (whole, fraction) = match mantissa.split_once('.') {
        Some((whole, fraction)) if !fraction.is_empty() => (whole, fraction),
        Some(_) => return Err(RowErrorKind::WrongType),
        None => (mantissa, ""),
    };
    if whole.is_empty() || !whole.bytes().chain(fraction.bytes()).all(|digit| digit.is_ascii_digit()) {
        return Err(RowErrorKind::WrongType);
    }
    let exponent = exponent.map_or(Ok(0), parse_exponent)?;

    // Zeros at the end are held back until a digit follows them, so that only digits that count must fit.
    let mut value: i128 = 0;
    let mut zeros: u32 = 0;
    for digit in whole.bytes().chain(fraction.bytes()) {
        if digit == b'0' {
            zeros = zeros.saturating_add(u32::from(value != 0));
            continue;
        }
        let factor = 10i128.checked_pow(zeros.saturating_add(1));
        let shifted = factor.and_then(|factor| value.checked_mul(factor));
        value = shifted
            .and_then(|value| value.checked_add(i128::from(digit - b'0')))
            .ok_or(RowErrorKind::OutOfRange)?;
        zeros = 0;
    }
    if value == 0 {
        return Ok(0);
    }
    let fraction_digits = i64::try_from(fraction.len()).map_err(|_| RowErrorKind::OutOfRange)?;
    let shift = exponent - fraction_digits + i64::from(zeros) + i64::from(scale);
    let shift = u32::try_from(shift).map_err(|_| RowErrorKind::OutOfRange)?;
    let unscaled = 10i128.checked_pow(shift).and_then(|factor| value.checked_mul(factor));
    let limit = 10i128.checked_pow(u32::from(precision)).ok_or(RowErrorKind::OutOfRange)?;
    let unscaled = unscaled.filter(|&unscaled| unscaled < limit).ok_or(RowErrorKind::OutOfRange)?;
    Ok(if negative { -unscaled } else { unscaled })
}

fn parse_exponent(text: &str) -> Parsed<i64> {
    let digits = text.strip_prefix(['+', '-']).unwrap_or(text);
    if digits.is_empty() || !digits.bytes().all(|digit| digit.is_ascii_digit()) {
        return Err(RowErrorKind::WrongType);
    }
    // An exponent of more digits moves every non-zero value out of range; zero stays zero whatever it is.
    let size = digits.parse::<i64>().unwrap_or(i64::from(i32::MAX)).min(i64::from(i32::MAX));
    Ok(if text.starts_with('-') { -size } else { size })
}

/// Days since 1970-01-01 of `YYYY-MM-DD`.
pub(crate) fn parse_date(text: &str) -> Parsed<i32> {
    let (days, rest) = date(text)?;
    if !rest.is_empty() {
        return Err(RowErrorKind::WrongType);
    }
    i32::try_from(days).map_err(|_| RowErrorKind::OutOfRange)
}

/// Microseconds since midnight of `HH:MM:SS[.ffffff]`.
pub(crate) fn parse_time(text: &str) -> Parsed<i64> {
    let (nanos, rest) = time_of_day(text)?;
    match rest {
        "" if nanos % 1000 == 0 => Ok(nanos / 1000),
        "" => Err(RowErrorKind::OutOfRange),
        _ => Err(RowErrorKind::WrongType),
    }
}

/// Units since 1970 of `YYYY-MM-DDTHH:MM:SS[.f…]`, with `Z` or `±HH:MM` behind it if and only if `zone`.
pub(crate) fn parse_timestamp(text: &str, units_per_s: i64, zone: bool) -> Parsed<i64> {
    let (days, rest) = date(text)?;
    let rest = rest.strip_prefix(['T', 't', ' ']).ok_or(RowErrorKind::WrongType)?;
    let (nanos, rest) = time_of_day(rest)?;
    let offset_s = match (zone, rest) {
        (false, "") | (true, "Z" | "z") => 0,
        (true, rest) => zone_offset(rest)?,
        (false, _) => return Err(RowErrorKind::WrongType),
    };
    let nanos_per_unit = NANOS_PER_S / units_per_s;
    if nanos % nanos_per_unit != 0 {
        return Err(RowErrorKind::OutOfRange);
    }
    let seconds = i128::from(days) * i128::from(S_PER_DAY) - i128::from(offset_s);
    let units = seconds * i128::from(units_per_s) + i128::from(nanos / nanos_per_unit);
    i64::try_from(units).map_err(|_| RowErrorKind::OutOfRange)
}

fn zone_offset(text: &str) -> Parsed<i64> {
    let bytes = text.as_bytes();
    let sign = match bytes.first() {
        Some(b'+') => 1,
        Some(b'-') => -1,
        _ => return Err(RowErrorKind::WrongType),
    };
    if bytes.len() != 6 || bytes[3] != b':' {
        return Err(RowErrorKind::WrongType);
    }
    let (hours, minutes) = (number(&bytes[1..3])?, number(&bytes[4..6])?);
    if hours > 23 || minutes > 59 {
        return Err(RowErrorKind::OutOfRange);
    }
    Ok(sign * (hours * 3600 + minutes * 60))
}

/// A date at the beginning of a text, as days since 1970, and what follows it.
fn date(text: &str) -> Parsed<(i64, &str)> {
    let (sign, unsigned) = match text.as_bytes().first() {
        Some(b'+') => (1, &text[1..]),
        Some(b'-') => (-1, &text[1..]),
        _ => (0, text),
    };
    let bytes = unsigned.as_bytes();
    let year_digits = bytes.iter().take_while(|byte| byte.is_ascii_digit()).count();
    if (sign == 0 && year_digits != 4) || !(4..=7).contains(&year_digits) || bytes.len() < year_digits + 6 {
        return Err(RowErrorKind::WrongType);
    }
    let (year, rest) = bytes.split_at(year_digits);
    if rest[0] != b'-' || rest[3] != b'-' {
        return Err(RowErrorKind::WrongType);
    }
    let year = number(year)? * if sign < 0 { -1 } else { 1 };
    let (month, day) = (number(&rest[1..3])?, number(&rest[4..6])?);
    if !(1..=12).contains(&month) || day < 1 || day > days_in(year, month) {
        return Err(RowErrorKind::OutOfRange);
    }
    Ok((days_from_civil(year, month, day), unsigned.get(year_digits + 6..).unwrap_or_default()))
}

/// A time of day at the beginning of a text, in nanoseconds, and what follows it.
fn time_of_day(text: &str) -> Parsed<(i64, &str)> {
    let bytes = text.as_bytes();
    if bytes.len() < 8 || bytes[2] != b':' || bytes[5] != b':' {
        return Err(RowErrorKind::WrongType);
    }
    let (hours, minutes, seconds) = (number(&bytes[0..2])?, number(&bytes[3..5])?, number(&bytes[6..8])?);
    if hours > 23 || minutes > 59 || seconds > 59 {
        return Err(RowErrorKind::OutOfRange);
    }
    let mut rest = text.get(8..).unwrap_or_default();
    let mut nanos = 0;
    if let Some(fraction) = rest.strip_prefix('.') {
        let digits = fraction.bytes().take_while(u8::is_ascii_digit).count();
        let (kept, lost) = fraction.as_bytes()[..digits].split_at(digits.min(9));
        if digits == 0 {
            return Err(RowErrorKind::WrongType);
        }
        if lost.iter().any(|&digit| digit != b'0') {
            return Err(RowErrorKind::OutOfRange);
        }
        nanos = number(kept)?;
        for _ in kept.len()..9 {
            nanos *= 10;
        }
        rest = fraction.get(digits..).unwrap_or_default();
    }
    Ok(((hours * 3600 + minutes * 60 + seconds) * NANOS_PER_S + nanos, rest))
}

/// At most nine digits.
fn number(digits: &[u8]) -> Parsed<i64> {
    digits.iter().try_fold(0i64, |value, digit| match digit {
        b'0'..=b'9' => Ok(value * 10 + i64::from(digit - b'0')),
        _ => Err(RowErrorKind::WrongType),
    })
}

fn days_in(year: i64, month: i64) -> i64 {
    match month {
        2 if year % 4 == 0 && (year % 100 != 0 || year % 400 == 0) => 29,
        2 => 28,
        4 | 6 | 9 | 11 => 30,
        _ => 31,
    }
}

/// Days since 1970-01-01 in the proleptic Gregorian calendar; the year is counted from March, so that a leap day is its last.
fn days_from_civil(year: i64, month: i64, day: i64) -> i64 {
    let year = if month <= 2 { year - 1 } else { year };
    let era = year.div_euclid(400);
    let year_of_era = year.rem_euclid(400);
    let day_of_year = (153 * ((month + 9) % 12) + 2) / 5 + day - 1;
    let day_of_era = year_of_era * 365 + year_of_era / 4 - year_of_era / 100 + day_of_year;
    era * 146_097 + day_of_era - 719_468
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn decimals_are_taken_digit_by_digit() {
        for (text, value) in [
            ("0.1", 10),
            ("-12.34", -1234),
            ("1e2", 10000),
            ("1.5E-1", 15),
            ("1.2000", 120),
            ("007", 700),
            ("-0", 0),
            ("0e999999999999", 0),
            ("99999999.99", 9_999_999_999),
            ("12300000000000000000000000000000000000000000000e-43", 123_000),
        ] {
            assert_eq!(parse_decimal(text, 10, 2), Ok(value), "{text}");
        }
        for text in [
            "1.234",
            "100000000",
            "1e9",
            "1e-3",
            "1e99999999999999999999",
            "123456789012345678901234567890123456789012",
        ] {
            assert_eq!(parse_decimal(text, 10, 2), Err(RowErrorKind::OutOfRange), "{text}");
        }
        for text in ["", "-", "1.", ".5", "1e", "n/a", "1,5", "+1", "0x1", "1e+-2", " 1"] {
            assert_eq!(parse_decimal(text, 10, 2), Err(RowErrorKind::WrongType), "{text}");
        }
        let widest = "9".repeat(38);
        assert_eq!(parse_decimal(&widest, 38, 0), Ok(10i128.pow(38) - 1));
    }

    #[test]
    fn dates_of_the_calendar_and_no_others() {
        for (text, days) in [
            ("1970-01-01", 0),
            ("1969-12-31", -1),
            ("2000-02-29", 11016),
            ("0000-01-01", -719_528),
            ("+10000-01-01", 2_932_897),
            ("-0001-12-31", -719_529),
        ] {
            assert_eq!(parse_date(text), Ok(days), "{text}");
        }
        for text in ["2001-02-29", "1900-02-29", "2000-13-01", "2000-00-01", "2000-01-32", "+9999999-01-01"] {
            assert_eq!(parse_date(text), Err(RowErrorKind::OutOfRange), "{text}");
        }
        for text in [
            "",
            "2000",
            "2000-1-1",
            "20000-01-01",
            "2000/01/01",
            "2000-01-01T00:00:00",
            "2000-01-0é",
            "é000-01-01",
        ] {
            assert_eq!(parse_date(text), Err(RowErrorKind::WrongType), "{text}");
        }
    }

    #[test]
    fn times_keep_their_microseconds() {
        assert_eq!(parse_time("23:59:59.999999"), Ok(86_399_999_999));
        assert_eq!(parse_time("00:00:01.5"), Ok(1_500_000));
        assert_eq!(parse_time("00:00:00.0000010"), Ok(1));
        for text in ["24:00:00", "00:60:00", "00:00:60", "00:00:00.0000001"] {
            assert_eq!(parse_time(text), Err(RowErrorKind::OutOfRange), "{text}");
        }
        for text in ["", "00:00", "00:00:00.", "00:00:00Z", "0:00:00"] {
            assert_eq!(parse_time(text), Err(RowErrorKind::WrongType), "{text}");
        }
    }

    #[test]
    fn timestamps_have_a_zone_exactly_where_the_type_has_one() {
        const MICROS: i64 = 1_000_000;
        assert_eq!(parse_timestamp("1970-01-01T00:00:00.000001Z", MICROS, true), Ok(1));
        assert_eq!(parse_timestamp("1970-01-01T02:00:00+02:00", MICROS, true), Ok(0));
        assert_eq!(parse_timestamp("1969-12-31 23:59:59.5", MICROS, false), Ok(-500_000));
        assert_eq!(parse_timestamp("1970-01-01T00:00:00.000000001Z", 1000 * MICROS, true), Ok(1));
        assert_eq!(parse_timestamp("1970-01-01T00:00:00", MICROS, true), Err(RowErrorKind::WrongType));
        assert_eq!(parse_timestamp("1970-01-01T00:00:00Z", MICROS, false), Err(RowErrorKind::WrongType));
        assert_eq!(
            parse_timestamp("1970-01-01T00:00:00.0000001Z", MICROS, true),
            Err(RowErrorKind::OutOfRange)
        );
        assert_eq!(parse_timestamp("+300000-01-01T00:00:00Z", MICROS, true), Err(RowErrorKind::OutOfRange));
        assert_eq!(parse_timestamp("1970-01-01", MICROS, true), Err(RowErrorKind::WrongType));
    }
}

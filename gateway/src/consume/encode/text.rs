//! Values as text: decimals, dates, times, timestamps; the reverse of what produce reads.

const S_PER_DAY: i64 = 86_400;

/// Adds an unscaled value with `scale` digits behind the point.
pub(super) fn push_decimal(out: &mut Vec<u8>, unscaled: i128, scale: u8) {
    if unscaled < 0 {
        out.push(b'-');
    }
    // 39 digits at most, and one more where a zero stands before the point.
    let mut digits = [b'0'; 40];
    let mut rest = unscaled.unsigned_abs();
    let mut at = digits.len();
    let whole_from = digits.len() - usize::from(scale.min(38));
    while rest > 0 || at >= whole_from {
        at -= 1;
        digits[at] = b'0' + u8::try_from(rest % 10).unwrap_or(0);
        rest /= 10;
    }
    out.extend_from_slice(&digits[at..whole_from]);
    if scale > 0 {
        out.push(b'.');
        out.extend_from_slice(&digits[whole_from..]);
    }
}

/// Adds `YYYY-MM-DD`; a year beyond 0000 to 9999 has a sign.
pub(super) fn push_date(out: &mut Vec<u8>, days: i64) {
    let (year, month, day) = civil_from_days(days);
    if !(0..=9999).contains(&year) {
        out.push(if year < 0 { b'-' } else { b'+' });
    }
    push_digits(out, year.unsigned_abs(), 4);
    out.push(b'-');
    push_digits(out, month.unsigned_abs(), 2);
    out.push(b'-');
    push_digits(out, day.unsigned_abs(), 2);
}

/// Adds `HH:MM:SS.ffffff`.
pub(super) fn push_time(out: &mut Vec<u8>, micros: i64) {
    push_seconds(out, micros.div_euclid(1_000_000));
    out.push(b'.');
    push_digits(out, micros.rem_euclid(1_000_000).unsigned_abs(), 6);
}

/// Adds `YYYY-MM-DDTHH:MM:SS.ffffff[fff]`, and `Z` behind it where the type has a zone.
pub(crate) fn push_timestamp(out: &mut Vec<u8>, value: i64, nanos: bool, zone: bool) {
    let (per_s, digits) = if nanos { (1_000_000_000, 9) } else { (1_000_000, 6) };
    let seconds = value.div_euclid(per_s);
    push_date(out, seconds.div_euclid(S_PER_DAY));
    out.push(b'T');
    push_seconds(out, seconds.rem_euclid(S_PER_DAY));
    out.push(b'.');
    push_digits(out, value.rem_euclid(per_s).unsigned_abs(), digits);
    if zone {
        out.push(b'Z');
    }
}

fn push_seconds(out: &mut Vec<u8>, seconds: i64) {
    push_digits(out, (seconds / 3600).unsigned_abs(), 2);
    out.push(b':');
    push_digits(out, (seconds / 60 % 60).unsigned_abs(), 2);
    out.push(b':');
    push_digits(out, (seconds % 60).unsigned_abs(), 2);
}

/// Adds a number, filled with zeros to a width.
fn push_digits(out: &mut Vec<u8>, number: u64, width: usize) {
    let mut digits = [b'0'; 20];
    let mut rest = number;
    let mut at = digits.len();
    while rest > 0 || digits.len() - at < width {
        at -= 1;
        digits[at] = b'0' + u8::try_from(rest % 10).unwrap_or(0);
        rest /= 10;
    }
    out.extend_from_slice(&digits[at..]);
}

/// Year, month and day of a number of days since 1970-01-01, in the proleptic Gregorian calendar.
fn civil_from_days(days: i64) -> (i64, i64, i64) {
    let days = days + 719_468;
    let era = days.div_euclid(146_097);
    let day_of_era = days.rem_euclid(146_097);
    let year_of_era = (day_of_era - day_of_era / 1_460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let from_march = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * from_march + 2) / 5 + 1;
    let month = if from_march < 10 { from_march + 3 } else { from_march - 9 };
    let year = year_of_era + era * 400 + i64::from(month <= 2);
    (year, month, day)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::produce::decode::text::{parse_date, parse_decimal, parse_time, parse_timestamp};

    fn shown(push: impl FnOnce(&mut Vec<u8>)) -> String {
        let mut out = Vec::new();
        push(&mut out);
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn values_look_as_the_page_says() {
        assert_eq!(shown(|out| push_decimal(out, -5, 2)), "-0.05");
        assert_eq!(shown(|out| push_decimal(out, 12345, 0)), "12345");
        assert_eq!(shown(|out| push_decimal(out, 0, 0)), "0");
        assert_eq!(shown(|out| push_decimal(out, 1, 38)), format!("0.{}1", "0".repeat(37)));
        assert_eq!(shown(|out| push_date(out, 0)), "1970-01-01");
        assert_eq!(shown(|out| push_date(out, 2_932_897)), "+10000-01-01");
        assert_eq!(shown(|out| push_time(out, 86_399_999_999)), "23:59:59.999999");
        assert_eq!(shown(|out| push_timestamp(out, -1, false, true)), "1969-12-31T23:59:59.999999Z");
        assert_eq!(shown(|out| push_timestamp(out, 1, true, false)), "1970-01-01T00:00:00.000000001");
    }

    proptest! {
        #[test]
        fn each_date_is_read_back(days in any::<i32>()) {
            prop_assert_eq!(parse_date(&shown(|out| push_date(out, i64::from(days)))), Ok(days));
        }

        #[test]
        fn each_time_is_read_back(micros in 0i64..86_400_000_000) {
            prop_assert_eq!(parse_time(&shown(|out| push_time(out, micros))), Ok(micros));
        }

        #[test]
        fn each_timestamp_is_read_back(value in any::<i64>(), nanos in any::<bool>(), zone in any::<bool>()) {
            let per_s = if nanos { 1_000_000_000 } else { 1_000_000 };
            prop_assert_eq!(parse_timestamp(&shown(|out| push_timestamp(out, value, nanos, zone)), per_s, zone), Ok(value));
        }

        #[test]
        fn each_decimal_is_read_back(digits in 1u32..=38, value in any::<i128>(), scale in 0u8..=38) {
            let precision = u8::try_from(digits).unwrap();
            let value = value % 10i128.pow(digits);
            let scale = scale.min(precision);
            prop_assert_eq!(parse_decimal(&shown(|out| push_decimal(out, value, scale)), precision, scale), Ok(value));
        }
    }
}

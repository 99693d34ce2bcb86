//! Numbers as people read them: `1,000,000`, `412k`, `84 MiB`, `31 ms`.

/// With a comma between thousands.
pub(crate) fn thousands(number: u64) -> String {
    let digits = number.to_string();
    let mut text = String::with_capacity(digits.len() + digits.len() / 3);
    for (place, digit) in digits.chars().enumerate() {
        if place > 0 && (digits.len() - place).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

/// In thousands or millions where it is that large: `87`, `4.1k`, `412k`, `1.2M`.
pub(crate) fn short(number: f64) -> String {
    let (scaled, unit) = match number {
        _ if !number.is_finite() => return "–".to_owned(),
        _ if number >= 999_500.0 => (number / 1e6, "M"),
        _ if number >= 999.5 => (number / 1e3, "k"),
        _ => (number, ""),
    };
    let digits = usize::from(!unit.is_empty() && scaled < 9.95);
    format!("{scaled:.digits$}{unit}")
}

/// In binary units, at most one digit behind the point: `512 B`, `1.5 KiB`, `84 MiB`.
pub(crate) fn bytes(number: u64) -> String {
    const UNITS: [&str; 7] = ["B", "KiB", "MiB", "GiB", "TiB", "PiB", "EiB"];
    if number < 1024 {
        return format!("{number} B");
    }
    let mut unit = usize::try_from(number.ilog2() / 10).unwrap_or(0).min(UNITS.len() - 1);
    // In tenths, so that nothing is lost for numbers beyond 2^53.
    let tenths = |unit: usize| (u128::from(number) * 10 + (1 << (10 * unit)) / 2) >> (10 * unit);
    if tenths(unit) >= 10_235 && unit + 1 < UNITS.len() {
        unit += 1;
    }
    let tenths = tenths(unit);
    if tenths >= 100 || tenths.is_multiple_of(10) {
        format!("{} {}", (tenths + 5) / 10, UNITS[unit])
    } else {
        format!("{}.{} {}", tenths / 10, tenths % 10, UNITS[unit])
    }
}

/// Seconds as a person says them: `0.4 ms`, `31 ms`, `2.5 s`.
pub(crate) fn seconds(seconds: f64) -> String {
    let ms = seconds * 1000.0;
    match ms {
        _ if !ms.is_finite() => "–".to_owned(),
        _ if ms < 9.95 => format!("{ms:.1} ms"),
        _ if ms < 999.5 => format!("{ms:.0} ms"),
        _ => format!("{seconds:.1} s"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_grouped_by_thousands() {
        for (number, text) in [(0, "0"), (999, "999"), (1000, "1,000"), (1_000_002, "1,000,002")] {
            assert_eq!(thousands(number), text);
        }
        assert_eq!(thousands(u64::MAX), "18,446,744,073,709,551,615");
    }

    #[test]
    fn large_numbers_are_shortened() {
        for (number, text) in
            [(0.0, "0"), (87.4, "87"), (4_120.0, "4.1k"), (412_300.0, "412k"), (1_230_000.0, "1.2M")]
        {
            assert_eq!(short(number), text);
        }
        assert_eq!(short(999_700.0), "1.0M");
        assert_eq!(short(f64::NAN), "–");
    }

    #[test]
    fn bytes_have_binary_units() {
        for (number, text) in [
            (0, "0 B"),
            (1023, "1023 B"),
            (1024, "1 KiB"),
            (1536, "1.5 KiB"),
            (84 << 20, "84 MiB"),
            ((1 << 20) - 1, "1 MiB"),
            (u64::MAX, "16 EiB"),
        ] {
            assert_eq!(bytes(number), text, "{number}");
        }
    }

    #[test]
    fn times_are_short() {
        for (given, text) in [(0.0004, "0.4 ms"), (0.0314, "31 ms"), (0.9996, "1.0 s"), (2.54, "2.5 s")] {
            assert_eq!(seconds(given), text);
        }
    }
}

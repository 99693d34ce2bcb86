//! Table options: the one table of what there is, and their values as types.
//!
//! Invariants:
//! * an option is stored only if it was given, as canonical text: what two people wrote differently but meant alike
//!   (`168h`, `7d`) is stored alike;
//! * an unknown option is an error that names the known ones; one that is planned is *unsupported*, never ignored.

use std::collections::BTreeMap;
use std::time::Duration;

use serde_json::Value;

use super::shown::quoted;
use crate::error::{Error, ErrorKind, Result};
use crate::format::slice::Codec;

/// One known option.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct OptionSpec {
    /// Its name.
    pub name: &'static str,
    /// What its values are.
    pub kind: OptionKind,
    /// The canonical value that holds if it is not given.
    pub default: &'static str,
    /// What it does, in a sentence.
    pub doc: &'static str,
}

/// What the values of an option are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OptionKind {
    /// A duration such as `7d`, or `infinite`.
    DurationOrInfinite,
    /// A size such as `10GiB`, or `infinite`.
    BytesOrInfinite,
    /// One of these words.
    Word(&'static [&'static str]),
}

/// Every option there is, by name.
pub const OPTIONS: &[OptionSpec] = &[
    OptionSpec {
        name: "compression",
        kind: OptionKind::Word(&["none", "lz4", "zstd"]),
        default: "lz4",
        doc: "how the buffers of slices are compressed: none, lz4 or zstd",
    },
    OptionSpec {
        name: "retention",
        kind: OptionKind::DurationOrInfinite,
        default: "7d",
        doc: "how long rows are kept at least: a duration such as 7d, or infinite",
    },
    OptionSpec {
        name: "retention.bytes",
        kind: OptionKind::BytesOrInfinite,
        default: "infinite",
        doc: "how many stored bytes of the newest rows are kept at least: a size such as 10GiB, or infinite",
    },
];

/// Names of options that are designed and not there yet; one that ends with a dot stands for all that begin with it.
const PLANNED: &[&str] = &[
    "auto-increment",
    "changelog",
    "changelog.",
    "delete-behavior",
    "format-version",
    "kv.",
    "lake.",
    "merge-engine",
    "merge-engine.",
    "statistics",
];

/// Bytes of a value.
pub const OPTION_VALUE_BYTES_MAX: usize = 256;

/// The longest duration of an option: a hundred years.
pub const DURATION_DAYS_MAX: u64 = 36_500;

/// How long rows are kept at least.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Retention {
    /// For ever.
    Infinite,
    /// So long.
    For(Duration),
}

/// A table's options as types, defaults filled in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Options {
    /// `retention`
    pub retention: Retention,
    /// `retention.bytes`; nothing if it is infinite.
    pub retention_bytes: Option<u64>,
    /// `compression`
    pub compression: Codec,
}

impl Options {
    /// The options of a table as they are stored, defaults filled in.
    ///
    /// # Errors
    /// Unsupported: a stored option that this version does not know. Invalid: a value that does not parse.
    pub fn parse(stored: &[(String, String)]) -> Result<Self> {
        let mut options = Self {
            retention: Retention::For(Duration::from_hours(7 * 24)),
            retention_bytes: None,
            compression: Codec::Lz4,
        };
        for (name, value) in stored {
            let Ok(spec) = option(name) else {
                return Err(Error::unsupported(format!(
                    "option {}: this version does not know it: upgrade",
                    shown_option(name)
                )));
            };
            let value = spec.value(value)?;
            match (spec.name, value.as_str()) {
                ("retention", "infinite") => options.retention = Retention::Infinite,
                ("retention", duration) => options.retention = Retention::For(parse_duration(duration)?),
                ("retention.bytes", "infinite") => options.retention_bytes = None,
                ("retention.bytes", bytes) => options.retention_bytes = Some(parse_bytes(bytes)?),
                ("compression", "none") => options.compression = Codec::None,
                ("compression", "zstd") => options.compression = Codec::Zstd,
                ("compression", _) => options.compression = Codec::Lz4,
                (name, _) => return Err(Error::internal(format!("option {name} has no field"))),
            }
        }
        Ok(options)
    }
}

impl OptionSpec {
    /// A value in its canonical text.
    ///
    /// # Errors
    /// Invalid: says what is expected.
    pub fn value(&self, given: &str) -> Result<String> {
        let given = given.trim();
        match self.kind {
            OptionKind::Word(words) => {
                let word = words.iter().find(|word| word.eq_ignore_ascii_case(given));
                word.map(|word| (*word).to_owned())
                    .ok_or_else(|| self.expected(&words.join(", "), &quoted(given)))
            }
            OptionKind::DurationOrInfinite | OptionKind::BytesOrInfinite
                if given.eq_ignore_ascii_case("infinite") =>
            {
                Ok("infinite".to_owned())
            }
            OptionKind::BytesOrInfinite => parse_bytes(given).map(bytes_text).map_err(|_| {
                self.expected("a size such as 512MiB or 10GiB (at most 1024PiB), or infinite", &quoted(given))
            }),
            OptionKind::DurationOrInfinite => {
                let duration = parse_duration(given).map_err(|_| self.expected_duration(&quoted(given)))?;
                Ok(duration_text(duration))
            }
        }
    }

    fn expected_duration(&self, found: &str) -> Error {
        self.expected("a duration such as 7d, 12h or 90m (at most 100 years), or infinite", found)
    }

    fn expected(&self, what: &str, found: &str) -> Error {
        Error::invalid(format!("option {}: expected {what}, found {found}", self.name))
    }
}

/// The option of a name.
///
/// # Errors
/// Unsupported: it is designed and not there yet. Invalid: unknown; the known ones are named.
pub fn option(name: &str) -> Result<&'static OptionSpec> {
    if let Some(spec) = OPTIONS.iter().find(|spec| spec.name == name) {
        return Ok(spec);
    }
    let is_planned =
        |planned: &&str| name == *planned || (planned.ends_with('.') && name.starts_with(*planned));
    let planned = PLANNED.iter().any(is_planned);
    let (kind, why) = if planned {
        (ErrorKind::Unsupported, "is not there yet: leave it out")
    } else {
        (ErrorKind::Invalid, "is not known")
    };
    let known: Vec<&str> = OPTIONS.iter().map(|spec| spec.name).collect();
    Err(Error::new(kind, format!("option {} {why}; known are {}", shown_option(name), known.join(", "))))
}

/// The given options as they are stored: canonical values, sorted by name.
///
/// # Errors
/// As [`option`]; Invalid for a value: says what is expected.
pub fn canonical(given: &BTreeMap<String, Value>) -> Result<Vec<(String, String)>> {
    let mut stored = Vec::with_capacity(given.len().min(OPTIONS.len()));
    for (name, value) in given {
        let spec = option(name)?;
        let value = match value {
            Value::String(text) => text.clone(),
            Value::Bool(_) | Value::Number(_) | Value::Null => value.to_string(),
            Value::Array(_) => return Err(spec.expected("text", "an array")),
            Value::Object(_) => return Err(spec.expected("text", "an object")),
        };
        stored.push((name.clone(), spec.value(&value)?));
    }
    Ok(stored)
}

/// Parses a duration: a whole number and one of `ms s m h d w`.
///
/// # Errors
/// Invalid: not of that form, zero, or more than [`DURATION_DAYS_MAX`] days.
pub fn parse_duration(text: &str) -> Result<Duration> {
    let digits = text.bytes().take_while(u8::is_ascii_digit).count();
    let (number, unit) = text.split_at(digits);
    let unit_millis: Option<u64> = match unit {
        "ms" => Some(1),
        "s" => Some(1_000),
        "m" => Some(60_000),
        "h" => Some(3_600_000),
        "d" => Some(DAY_MILLIS),
        "w" => Some(7 * DAY_MILLIS),
        _ => None,
    };
    let millis =
        number.parse::<u64>().ok().zip(unit_millis).and_then(|(number, unit)| number.checked_mul(unit));
    millis
        .filter(|millis| (1..=DURATION_DAYS_MAX * DAY_MILLIS).contains(millis))
        .map(Duration::from_millis)
        .ok_or_else(|| {
            Error::invalid(format!("expected a duration such as 250ms, 90m or 7d, found {}", quoted(text)))
        })
}

/// A duration in its canonical text: the largest of `d h m s ms` that divides it.
pub fn duration_text(duration: Duration) -> String {
    let millis = duration.as_millis();
    let units = [(u128::from(DAY_MILLIS), "d"), (3_600_000, "h"), (60_000, "m"), (1_000, "s")];
    let (unit, name) = units.into_iter().find(|(unit, _)| millis.is_multiple_of(*unit)).unwrap_or((1, "ms"));
    format!("{}{name}", millis / unit)
}

/// The most bytes of an option: 2^60.
const BYTES_MAX: u64 = 1 << 60;

/// The units of sizes, the largest first; those of 1,000 are read, never written.
const BYTE_UNITS: [(&str, u64); 11] = [
    ("PiB", 1 << 50),
    ("TiB", 1 << 40),
    ("GiB", 1 << 30),
    ("MiB", 1 << 20),
    ("KiB", 1 << 10),
    ("B", 1),
    ("", 1),
    ("kB", 1_000),
    ("MB", 1_000_000),
    ("GB", 1_000_000_000),
    ("TB", 1_000_000_000_000),
];

/// Parses a size: a whole number and one of `B KiB MiB GiB TiB PiB kB MB GB TB`, or none.
///
/// # Errors
/// Invalid: not of that form, zero, or more than 2^60 bytes.
pub fn parse_bytes(text: &str) -> Result<u64> {
    let digits = text.bytes().take_while(u8::is_ascii_digit).count();
    let (number, unit) = text.split_at(digits);
    let factor = BYTE_UNITS.iter().find(|(name, _)| name.eq_ignore_ascii_case(unit.trim_start()));
    let bytes =
        number.parse::<u64>().ok().zip(factor).and_then(|(number, (_, factor))| number.checked_mul(*factor));
    bytes.filter(|bytes| (1..=BYTES_MAX).contains(bytes)).ok_or_else(|| {
        Error::invalid(format!("expected a size such as 512MiB or 10GiB, found {}", quoted(text)))
    })
}

/// A size in its canonical text: the largest of `PiB TiB GiB MiB KiB B` that divides it.
pub fn bytes_text(bytes: u64) -> String {
    let mut binary = BYTE_UNITS.iter().take(6);
    let (name, unit) = binary.find(|(_, unit)| bytes.is_multiple_of(*unit)).unwrap_or(&("B", 1));
    format!("{}{name}", bytes / unit)
}

const DAY_MILLIS: u64 = 86_400_000;

/// An option's name for messages.
pub(super) fn shown_option(name: &str) -> String {
    let plain = name.bytes().all(|b| b.is_ascii_alphanumeric() || b".-_".contains(&b)) && !name.is_empty();
    if plain && name.len() <= 64 { name.to_owned() } else { quoted(name) }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::{any, prop_assert_eq, proptest};

    use super::*;

    fn given(name: &str, value: impl Into<Value>) -> BTreeMap<String, Value> {
        BTreeMap::from([(name.to_owned(), value.into())])
    }

    fn stored(name: &str, value: &str) -> Vec<(String, String)> {
        vec![(name.to_owned(), value.to_owned())]
    }

    fn error(name: &str, value: impl Into<Value>) -> String {
        let error = canonical(&given(name, value)).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Invalid);
        error.to_string()
    }

    #[test]
    fn equal_values_are_stored_alike_and_sorted() {
        let mut options = given("retention", "168h");
        options.append(&mut given("compression", "ZSTD"));
        let expected = [stored("compression", "zstd"), stored("retention", "7d")].concat();
        assert_eq!(canonical(&options).unwrap(), expected);
        for (text, same) in
            [("1w", "7d"), ("90s", "90s"), ("120m", "2h"), (" 1500ms ", "1500ms"), ("Infinite", "infinite")]
        {
            assert_eq!(canonical(&given("retention", text)).unwrap(), stored("retention", same));
        }
    }

    #[test]
    fn defaults_of_the_table_are_the_defaults_of_the_types() {
        let all: Vec<(String, String)> =
            OPTIONS.iter().map(|spec| (spec.name.to_owned(), spec.default.to_owned())).collect();
        assert_eq!(Options::parse(&all).unwrap(), Options::parse(&[]).unwrap());
        for spec in OPTIONS {
            assert_eq!(spec.value(spec.default).unwrap(), spec.default, "the default is canonical");
        }
        assert!(OPTIONS.is_sorted_by_key(|spec| spec.name));
        assert!(!PLANNED.iter().any(|planned| OPTIONS.iter().any(|spec| spec.name == *planned)));
    }

    #[test]
    fn stored_options_are_read_as_types() {
        let options =
            Options::parse(&[stored("compression", "none"), stored("retention", "infinite")].concat())
                .unwrap();
        let expected =
            Options { retention: Retention::Infinite, retention_bytes: None, compression: Codec::None };
        assert_eq!(options, expected);
        let options = Options::parse(&stored("retention.bytes", "10GiB")).unwrap();
        assert_eq!(options.retention_bytes, Some(10 << 30));
        let options = Options::parse(&stored("retention", "36h")).unwrap();
        assert_eq!(options.retention, Retention::For(Duration::from_secs(36 * 3600)));
        let error = Options::parse(&stored("colour", "red")).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Unsupported);
        assert_eq!(error.to_string(), "option colour: this version does not know it: upgrade");
    }

    #[test]
    fn an_error_names_the_option_and_what_is_expected() {
        assert_eq!(
            error("colour", "red"),
            "option colour is not known; known are compression, retention, retention.bytes"
        );
        assert_eq!(
            error("Retention", "7d"),
            "option Retention is not known; known are compression, retention, retention.bytes"
        );
        assert_eq!(
            error("compression", "gzip"),
            r#"option compression: expected none, lz4, zstd, found "gzip""#
        );
        let duration =
            "option retention: expected a duration such as 7d, 12h or 90m (at most 100 years), or infinite";
        for wrong in ["7", "d", "7 d", "7days", "-1d", "0d", "1.5h", "", "36501d", "99999999999999999999d"] {
            assert_eq!(error("retention", wrong), format!("{duration}, found {wrong:?}"));
        }
        assert_eq!(error("retention", 7), format!("{duration}, found \"7\""));
        assert_eq!(error("retention", vec!["7d"]), "option retention: expected text, found an array");
    }

    #[test]
    fn sizes_are_stored_alike() {
        for (text, same) in [
            ("10GiB", "10GiB"),
            ("10240 MiB", "10GiB"),
            ("1000", "1000B"),
            ("2048", "2KiB"),
            ("1MB", "1000000B"),
            ("INFINITE", "infinite"),
        ] {
            assert_eq!(canonical(&given("retention.bytes", text)).unwrap(), stored("retention.bytes", same));
        }
        for wrong in ["", "GiB", "0", "-1GiB", "1.5GiB", "7 days", "2000PiB", "99999999999999999999"] {
            assert!(error("retention.bytes", wrong).contains("expected a size such as"), "{wrong}");
        }
    }

    #[test]
    fn what_is_planned_is_named_as_not_there_yet() {
        for name in ["lake.enabled", "lake.freshness", "format-version", "merge-engine", "changelog"] {
            let error = canonical(&given(name, true)).unwrap_err();
            assert_eq!(error.kind(), ErrorKind::Unsupported, "{name}");
            let expected = format!(
                "option {name} is not there yet: leave it out; known are compression, retention, retention.bytes"
            );
            assert_eq!(error.to_string(), expected);
        }
    }

    proptest! {
        #[test]
        fn a_durations_text_is_read_back(millis in 1..=DURATION_DAYS_MAX * DAY_MILLIS) {
            let duration = Duration::from_millis(millis);
            prop_assert_eq!(parse_duration(&duration_text(duration)).unwrap(), duration);
        }

        #[test]
        fn a_sizes_text_is_read_back(bytes in 1..=BYTES_MAX) {
            prop_assert_eq!(parse_bytes(&bytes_text(bytes)).unwrap(), bytes);
        }

        #[test]
        fn no_text_panics(name in any::<String>(), value in any::<String>()) {
            drop(canonical(&given(&name, value.clone())));
            drop(canonical(&given("retention", value.clone())));
            drop(canonical(&given("retention.bytes", value.clone())));
            drop(parse_duration(&value));
        }
    }
}

//! Where a consumer stands, as text that it holds itself: `0:43,1:17`.
//!
//! Invariants:
//! * a position's text is read back as the same position, and buckets stand in it once, in order;
//! * a bucket that a position does not name is not guessed: the reader decides, by what the client asked for.

use std::collections::BTreeMap;
use std::fmt;
use std::str::FromStr;
use std::time::Duration;

use frazil_log::id::{Bucket, Offset, TimeMicros};
use frazil_log::schema::options::{duration_text, parse_duration};

use super::encode::text::push_timestamp;
use crate::error::Problem;
use crate::produce::decode::text::{parse_date, parse_timestamp};

/// The most bytes of a position's text.
const TEXT_BYTES_MAX: usize = 64 << 10;

/// The next offset of each bucket.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Position(pub BTreeMap<Bucket, Offset>);

/// Where a consume begins: the parameter `from`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum From {
    /// The first row that is kept.
    Earliest,
    /// Behind the last row.
    Latest,
    /// This offset in every bucket asked for.
    Offset(Offset),
    /// Each bucket's own offset.
    Position(Position),
    /// In each bucket the first row whose commit time is this or later.
    Time(TimeMicros),
    /// As [`From::Time`], so long before now by the gateway's clock.
    Ago(Duration),
}

impl Position {
    /// The next offset of a bucket, if the position names it.
    pub fn get(&self, bucket: Bucket) -> Option<Offset> {
        self.0.get(&bucket).copied()
    }

    /// Names the next offset of a bucket.
    pub(crate) fn set(&mut self, bucket: Bucket, next: Offset) {
        self.0.insert(bucket, next);
    }
}

impl FromStr for Position {
    type Err = Problem;

    fn from_str(text: &str) -> Result<Self, Problem> {
        let wrong = || {
            Problem::malformed(format!("{text:?} is no position: write bucket:offset pairs, as in 0:43,1:17"))
        };
        if text.len() > TEXT_BYTES_MAX {
            return Err(Problem::malformed("the position is too long"));
        }
        let mut offsets = BTreeMap::new();
        for pair in text.split(',') {
            let (bucket, offset) = pair.trim().split_once(':').ok_or_else(wrong)?;
            let bucket = u32::try_from(digits(bucket).ok_or_else(wrong)?).map_err(|_| wrong())?;
            let offset = digits(offset).ok_or_else(wrong)?;
            if offsets.insert(Bucket(bucket), offset).is_some() {
                return Err(Problem::malformed(format!("the position {text:?} names bucket {bucket} twice")));
            }
        }
        Ok(Self(offsets))
    }
}

impl fmt::Display for Position {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (place, (bucket, offset)) in self.0.iter().enumerate() {
            let comma = if place == 0 { "" } else { "," };
            write!(f, "{comma}{bucket}:{offset}")?;
        }
        Ok(())
    }
}

impl FromStr for From {
    type Err = Problem;

    fn from_str(text: &str) -> Result<Self, Problem> {
        match text {
            "earliest" => Ok(Self::Earliest),
            "latest" => Ok(Self::Latest),
            // Of a log table: what is kept, and then what comes.
            "snapshot" => Ok(Self::Earliest),
            _ if text.bytes().all(|byte| byte.is_ascii_digit()) && !text.is_empty() => {
                let beyond = || Problem::malformed(format!("from={text}: no offset is that large"));
                digits(text).map(Self::Offset).ok_or_else(beyond)
            }
            _ if is_time(text) => time(text),
            _ if text.contains(':') => text.parse().map(Self::Position),
            _ => Err(Problem::malformed(format!(
                "from={text:?} is no place to begin: write earliest, latest, an offset (42), a position (0:43,1:17), a time \
                 (2026-01-02T03:04:05Z) or how long ago (-15m)"
            ))),
        }
    }
}

impl fmt::Display for From {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Earliest => f.write_str("earliest"),
            Self::Latest => f.write_str("latest"),
            Self::Offset(offset) => write!(f, "{offset}"),
            Self::Position(position) => write!(f, "{position}"),
            Self::Time(time) => f.write_str(&time_text(*time)),
            Self::Ago(ago) => write!(f, "-{}", duration_text(*ago)),
        }
    }
}

/// Whether a text is meant as an RFC 3339 date or time, or a duration back from now (`-15m`).
fn is_time(text: &str) -> bool {
    let bytes = text.as_bytes();
    let date = bytes.len() >= 10
        && bytes[..4].iter().all(u8::is_ascii_digit)
        && bytes[4] == b'-'
        && bytes[7] == b'-';
    let back =
        text.strip_prefix('-').is_some_and(|rest| rest.starts_with(|first: char| first.is_ascii_digit()));
    date || back
}

/// A time, a date (its first moment in UTC) or a duration back from now.
fn time(text: &str) -> Result<From, Problem> {
    if let Some(ago) = text.strip_prefix('-')
        && let Ok(ago) = parse_duration(ago)
    {
        return Ok(From::Ago(ago));
    }
    // A + that was not escaped in a URL has become a blank.
    let zoned = match text.rsplit_once(' ') {
        Some((time, zone)) if time.len() > 10 => format!("{time}+{zone}"),
        _ => text.to_owned(),
    };
    let date = parse_date(text).map(|days| i64::from(days) * 86_400_000_000);
    let time = date.or_else(|_| parse_timestamp(&zoned, 1_000_000, true));
    time.map(From::Time).map_err(|_| {
        Problem::malformed(format!(
            "{text:?} is no time: write RFC 3339 with a zone and at most 6 digits of a second (2026-01-02T03:04:05Z), a date, or -15m"
        ))
    })
}

/// A time as RFC 3339.
pub(crate) fn time_text(time: TimeMicros) -> String {
    let mut text = Vec::new();
    push_timestamp(&mut text, time, false, true);
    String::from_utf8_lossy(&text).into_owned()
}

fn digits(text: &str) -> Option<u64> {
    let is_digits = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    is_digits.then(|| text.parse().ok()).flatten()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::error::Kind;

    #[test]
    fn places_to_begin_are_read() {
        assert_eq!("earliest".parse(), Ok(From::Earliest));
        assert_eq!("latest".parse(), Ok(From::Latest));
        assert_eq!("42".parse(), Ok(From::Offset(42)));
        let position = Position(BTreeMap::from([(Bucket(0), 42), (Bucket(1), 17)]));
        assert_eq!("1:17, 0:42".parse(), Ok(From::Position(position.clone())));
        assert_eq!(position.to_string(), "0:42,1:17");
    }

    #[test]
    fn times_are_read() {
        assert_eq!("snapshot".parse(), Ok(From::Earliest));
        assert_eq!("-15m".parse(), Ok(From::Ago(Duration::from_secs(900))));
        let day = 20_454 * 86_400_000_000;
        for (text, time) in [
            ("2026-01-01", day),
            ("2026-01-01T00:00:00Z", day),
            ("2026-01-01T01:00:00.5+01:00", day + 500_000),
            ("2026-01-01T01:00:00 01:00", day),
            ("2025-12-31T23:00:00-01:00", day),
        ] {
            assert_eq!(text.parse(), Ok(From::Time(time)), "{text}");
        }
        for text in
            ["2026-01-01T00:00:00", "2026-13-01", "-15", "-15x", "-0s", "2026-01-01T00:00:00.0000001Z"]
        {
            assert_eq!(text.parse::<From>().unwrap_err().kind(), Kind::Malformed, "{text}");
        }
    }

    #[test]
    fn nonsense_is_refused() {
        for text in [
            "",
            "x",
            ":",
            "0:",
            ":1",
            "0:1,",
            "0:1,0:2",
            "0:-1",
            "0:+1",
            "4294967296:0",
            "99999999999999999999",
            "-",
            "1:2:3",
        ] {
            assert_eq!(text.parse::<From>().unwrap_err().kind(), Kind::Malformed, "{text}");
        }
        assert!("0:1,".repeat(1 << 20).parse::<Position>().is_err());
    }

    proptest! {
        #[test]
        fn a_position_survives_its_text(offsets in prop::collection::btree_map(any::<u32>().prop_map(Bucket), any::<u64>(), 1..20)) {
            let position = Position(offsets);
            prop_assert_eq!(position.to_string().parse::<Position>().unwrap(), position);
        }

        #[test]
        fn no_text_panics(text in ".{0,40}") {
            if let Ok(from) = text.parse::<From>() {
                prop_assert_eq!(from.to_string().parse::<From>().unwrap(), from);
            }
        }
    }
}

//! A place in a table: the next offset of each bucket, `0:43,1:17`.

use std::collections::BTreeMap;
use std::fmt;
use std::str::FromStr;

use anyhow::Context;

/// The next offset of each bucket that it names.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Position(pub(crate) BTreeMap<u32, u64>);

impl FromStr for Position {
    type Err = anyhow::Error;

    fn from_str(text: &str) -> anyhow::Result<Self> {
        let mut offsets = BTreeMap::new();
        for pair in text.split(',') {
            let read = pair
                .trim()
                .split_once(':')
                .and_then(|(bucket, offset)| Some((u32::try_from(digits(bucket)?).ok()?, digits(offset)?)));
            let (bucket, offset) =
                read.with_context(|| format!("{text:?} is no position such as 0:43,1:17"))?;
            anyhow::ensure!(
                offsets.insert(bucket, offset).is_none(),
                "the position {text:?} names bucket {bucket} twice"
            );
        }
        Ok(Self(offsets))
    }
}

/// A whole number without a sign, which `u64`'s own parser would take.
fn digits(text: &str) -> Option<u64> {
    let plain = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    plain.then(|| text.parse().ok()).flatten()
}

impl fmt::Display for Position {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (place, (bucket, offset)) in self.0.iter().enumerate() {
            write!(f, "{}{bucket}:{offset}", if place == 0 { "" } else { "," })?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_position_is_read_in_any_order_of_buckets() {
        let position: Position = "1:17, 0:43".parse().unwrap();
        assert_eq!(position, Position(BTreeMap::from([(0, 43), (1, 17)])));
        assert_eq!(position.to_string(), "0:43,1:17");
    }

    #[test]
    fn what_is_no_position_is_refused() {
        for text in ["", "x", ":", "0:", ":1", "0:1,", "0:1,0:2", "0:-1", "0:+1", "4294967296:0", "1:2:3"] {
            assert!(text.parse::<Position>().is_err(), "{text}");
        }
    }

    proptest! {
        #[test]
        fn a_position_survives_its_text(offsets in prop::collection::btree_map(any::<u32>(), any::<u64>(), 1..20)) {
            let position = Position(offsets);
            prop_assert_eq!(position.to_string().parse::<Position>().unwrap(), position);
        }
    }
}

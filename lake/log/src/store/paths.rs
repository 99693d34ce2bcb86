//! Keys: the one place that builds and parses them.
//!
//! ```text
//! {database}/log/{slot:020}                        commit
//! {database}/checkpoint/{u64::MAX - slot:020}      checkpoint; the newest lists first
//! {database}/index/{from:020}-{to:020}             index page
//! {database}/segment/{base:020}-{ulid}             segment
//! frazil-probe/{ulid}                              start-up probe
//! ```
//!
//! **Invariants**
//! * Numbers have 20 digits, so that the order of keys is the order of slots.
//! * No key is the "directory" of another: some stores hide what lies below an object.
//! * A key is at most [`KEY_BYTES_MAX`] bytes below the root. No database can be named like the probe: names have no `-`.
//! * Building and parsing are inverse: a key that parses is rebuilt byte for byte; any other is foreign, and `None`.

use object_store::path::Path;

use crate::id::{Name, SegmentId, Slot, Ulid};

/// The longest key below the root, in bytes.
pub const KEY_BYTES_MAX: usize = 200;

const LOG: &str = "log";
const CHECKPOINT: &str = "checkpoint";
const INDEX: &str = "index";
const SEGMENT: &str = "segment";
const PROBE: &str = "frazil-probe";

/// What a key names.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Key {
    /// A commit.
    Log {
        /// The database whose log it is in.
        database: Name,
        /// Its slot.
        slot: Slot,
    },
    /// A checkpoint.
    Checkpoint {
        /// The database that it is of.
        database: Name,
        /// The last slot that it covers.
        slot: Slot,
    },
    /// An index page.
    Index {
        /// The database that it is of.
        database: Name,
        /// The lower end of its slot range.
        from: Slot,
        /// The upper end of its slot range, not below `from`.
        to: Slot,
    },
    /// A segment.
    Segment {
        /// The database whose rows it holds.
        database: Name,
        /// Its name.
        id: SegmentId,
    },
    /// An object of the start-up probe.
    Probe {
        /// Its name.
        ulid: Ulid,
    },
}

impl Key {
    /// The key's path below the root.
    pub fn path(&self) -> Path {
        match self {
            Self::Log { database, slot } => log(database, *slot),
            Self::Checkpoint { database, slot } => checkpoint(database, *slot),
            Self::Index { database, from, to } => index(database, *from, *to),
            Self::Segment { database, id } => segment(database, *id),
            Self::Probe { ulid } => probe(*ulid),
        }
    }

    /// Reads a path below the root. None for any key that this crate would not have built.
    pub fn parse(path: &Path) -> Option<Self> {
        let mut parts = path.as_ref().split('/');
        let (first, second, third) = (parts.next()?, parts.next()?, parts.next());
        if parts.next().is_some() {
            return None;
        }
        let Some(last) = third else {
            return (first == PROBE).then(|| parse_ulid(second).map(|ulid| Self::Probe { ulid }))?;
        };
        let database = Name::new(first).ok()?;
        match second {
            LOG => Some(Self::Log { database, slot: parse_slot(last)? }),
            CHECKPOINT => Some(Self::Checkpoint { database, slot: u64::MAX - parse_slot(last)? }),
            INDEX => {
                let (from, to) = last.split_once('-')?;
                let (from, to) = (parse_slot(from)?, parse_slot(to)?);
                (from <= to).then_some(Self::Index { database, from, to })
            }
            SEGMENT => {
                let (base, ulid) = last.split_once('-')?;
                let id = SegmentId { base: parse_slot(base)?, ulid: parse_ulid(ulid)? };
                Some(Self::Segment { database, id })
            }
            _ => None,
        }
    }
}

/// The path of a commit.
pub fn log(database: &Name, slot: Slot) -> Path {
    Path::from(format!("{database}/{LOG}/{slot:020}"))
}

/// The path of a checkpoint.
pub fn checkpoint(database: &Name, slot: Slot) -> Path {
    Path::from(format!("{database}/{CHECKPOINT}/{:020}", u64::MAX - slot))
}

/// The path of an index page.
pub fn index(database: &Name, from: Slot, to: Slot) -> Path {
    Path::from(format!("{database}/{INDEX}/{from:020}-{to:020}"))
}

/// The path of a segment.
pub fn segment(database: &Name, id: SegmentId) -> Path {
    Path::from(format!("{database}/{SEGMENT}/{id}"))
}

/// The path of an object of the start-up probe.
pub fn probe(ulid: Ulid) -> Path {
    Path::from(format!("{PROBE}/{ulid}"))
}

/// Below it lie the commits of a database, oldest first.
pub fn log_prefix(database: &Name) -> Path {
    Path::from(format!("{database}/{LOG}"))
}

/// Below it lie the checkpoints of a database, newest first.
pub fn checkpoint_prefix(database: &Name) -> Path {
    Path::from(format!("{database}/{CHECKPOINT}"))
}

/// Below it lie the index pages of a database, by the lower end of their range.
pub fn index_prefix(database: &Name) -> Path {
    Path::from(format!("{database}/{INDEX}"))
}

/// Below it lie the segments of a database, by base slot.
pub fn segment_prefix(database: &Name) -> Path {
    Path::from(format!("{database}/{SEGMENT}"))
}

/// Below it lie the objects of start-up probes, which each probe removes again.
pub fn probe_prefix() -> Path {
    Path::from(PROBE)
}

/// The database that a "directory" below the root may be; None if it cannot be one.
pub fn parse_database(directory: &Path) -> Option<Name> {
    Name::new(directory.as_ref()).ok()
}

fn parse_slot(digits: &str) -> Option<Slot> {
    let fits = digits.len() == 20 && digits.bytes().all(|b| b.is_ascii_digit());
    if fits { digits.parse().ok() } else { None }
}

fn parse_ulid(text: &str) -> Option<Ulid> {
    Ulid::from_string(text).ok().filter(|ulid| ulid.to_string() == text)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::{Just, Strategy, any, prop_assert, prop_assert_eq, prop_oneof, proptest};

    use super::{KEY_BYTES_MAX, Key, checkpoint, log, parse_database};
    use crate::id::{Name, SegmentId, Ulid};
    use object_store::path::Path;

    fn name() -> impl Strategy<Value = Name> {
        "[a-z][a-z0-9_]{0,127}".prop_map(|name| Name::new(name).expect("the pattern is that of names"))
    }

    fn key() -> impl Strategy<Value = Key> {
        let ulid = || any::<u128>().prop_map(Ulid::from);
        let slot = || prop_oneof![any::<u64>(), Just(0), Just(u64::MAX), 0..2000u64];
        prop_oneof![
            (name(), slot()).prop_map(|(database, slot)| Key::Log { database, slot }),
            (name(), slot()).prop_map(|(database, slot)| Key::Checkpoint { database, slot }),
            (name(), slot(), slot()).prop_map(|(database, a, b)| Key::Index {
                database,
                from: a.min(b),
                to: a.max(b)
            }),
            (name(), slot(), ulid())
                .prop_map(|(database, base, ulid)| Key::Segment { database, id: SegmentId { base, ulid } }),
            ulid().prop_map(|ulid| Key::Probe { ulid }),
        ]
    }

    proptest! {
        #[test]
        fn every_key_survives_the_round_trip_and_is_short(key in key()) {
            let path = key.path();
            prop_assert!(path.as_ref().len() <= KEY_BYTES_MAX);
            prop_assert_eq!(Key::parse(&path), Some(key));
        }

        #[test]
        fn what_parses_is_rebuilt_byte_for_byte(
            text in "([a-z_]{0,3}|frazil-probe)/((log|checkpoint|index|segment)/)?[0-9A-Za-z]{19,27}(-[0-9A-Z]{20,26})?"
        ) {
            let path = Path::from(text);
            if let Some(key) = Key::parse(&path) {
                prop_assert_eq!(key.path(), path);
            }
        }

        #[test]
        fn one_changed_character_is_another_key_or_foreign(key in key(), at in any::<proptest::sample::Index>(), to in any::<char>()) {
            let text = key.path().to_string();
            let at = at.index(text.len());
            let changed: String = text.char_indices().map(|(i, c)| if i == at { to } else { c }).collect();
            if let Ok(path) = Path::parse(&changed) {
                let parsed = Key::parse(&path);
                prop_assert!(changed == text || parsed != Some(key));
                prop_assert!(parsed.is_none_or(|parsed| parsed.path() == path));
            }
        }

        #[test]
        fn any_text_parses_or_does_not_but_never_panics(text in any::<String>()) {
            let path = Path::from(text);
            if let Some(key) = Key::parse(&path) {
                prop_assert_eq!(key.path(), path);
            }
        }

        #[test]
        fn keys_sort_like_slots_and_checkpoints_the_other_way(database in name(), a in any::<u64>(), b in any::<u64>()) {
            prop_assert_eq!(log(&database, a).cmp(&log(&database, b)), a.cmp(&b));
            prop_assert_eq!(checkpoint(&database, a).cmp(&checkpoint(&database, b)), b.cmp(&a));
        }
    }

    #[test]
    fn keys_look_as_the_design_says() {
        let database = Name::new("default").unwrap();
        assert_eq!(log(&database, 7).as_ref(), "default/log/00000000000000000007");
        assert_eq!(checkpoint(&database, 0).as_ref(), "default/checkpoint/18446744073709551615");
        assert_eq!(checkpoint(&database, u64::MAX).as_ref(), "default/checkpoint/00000000000000000000");
    }

    #[test]
    fn foreign_keys_are_none() {
        for foreign in [
            "",
            "default",
            "default/log",
            "default/log/7",
            "default/log/00000000000000000007/x",
            "default/log/99999999999999999999",
            "default/log/+0000000000000000007",
            "default/index/00000000000000000002-00000000000000000001",
            "default/segment/00000000000000000002-01arz3ndektsv4rrffq69g5fav",
            "default/segment/00000000000000000002-81ARZ3NDEKTSV4RRFFQ69G5FAV",
            "default/kv/00000000000000000007",
            "Default/log/00000000000000000007",
            "frazil-probe/log/00000000000000000007",
            "frazil-probe/x",
        ] {
            assert_eq!(Key::parse(&Path::from(foreign)), None, "{foreign}");
        }
    }

    #[test]
    fn the_probe_is_no_database() {
        assert_eq!(parse_database(&super::probe_prefix()), None);
        assert_eq!(parse_database(&Path::from("a/b")), None);
        assert_eq!(parse_database(&Path::from("default")), Name::new("default").ok());
    }
}

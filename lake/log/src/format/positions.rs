//! Positions in entries: where a group of consumers stands in a table, and what must stand there before.
//!
//! ```text
//!   stored position   table number · list of (bucket number, offset number), ascending · expected
//!   expected          tag u8: 0 anything · 1 nothing stored of the table · 2 list of (bucket number, optional offset), ascending
//! ```

use std::collections::BTreeMap;

use serde::Serialize;

use super::wire::{Reader, Writer};
use crate::error::Result;
use crate::id::{Bucket, Offset, TableId};

/// The next offset to read of each bucket that is named.
pub type Offsets = BTreeMap<Bucket, Offset>;

/// A group's position in one table.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct StoredPosition {
    /// The table, by id: a later table of the same name is another.
    pub table: TableId,
    /// The buckets that are stored; others stay as they are.
    pub offsets: Offsets,
    /// Taken only if this stands there before.
    pub expected: ExpectedPosition,
}

/// What must be stored of a table before its position is stored anew.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum ExpectedPosition {
    /// Whatever is there.
    Any,
    /// No bucket of the table is stored.
    Nothing,
    /// Each of these buckets is stored at exactly this offset, or is not stored.
    Exactly(BTreeMap<Bucket, Option<Offset>>),
}

impl StoredPosition {
    pub(crate) fn encode(&self, w: &mut Writer) {
        w.varint(self.table.0);
        encode_offsets(&self.offsets, w);
        match &self.expected {
            ExpectedPosition::Any => w.u8(0),
            ExpectedPosition::Nothing => w.u8(1),
            ExpectedPosition::Exactly(offsets) => {
                w.u8(2);
                encode_known(offsets, w);
            }
        }
    }

    pub(crate) fn decode(r: &mut Reader<'_>) -> Result<Self> {
        let (table, offsets) = (TableId(r.varint()?), decode_offsets(r)?);
        let (here, tag) = r.tag()?;
        let expected = match tag {
            0 => ExpectedPosition::Any,
            1 => ExpectedPosition::Nothing,
            2 => ExpectedPosition::Exactly(decode_known(r)?),
            other => return Err(here.unknown("an expected position", other)),
        };
        Ok(Self { table, offsets, expected })
    }
}

/// Writes offsets by bucket.
pub(crate) fn encode_offsets(offsets: &Offsets, w: &mut Writer) {
    w.count(offsets.len());
    for (bucket, offset) in offsets {
        w.varint(u64::from(bucket.0));
        w.varint(*offset);
    }
}

/// Reads offsets by bucket: ascending, each bucket once.
pub(crate) fn decode_offsets(r: &mut Reader<'_>) -> Result<Offsets> {
    decode_map(r, 2, |r| r.varint())
}

/// Writes what is known of buckets: an offset, or that none is stored.
pub(crate) fn encode_known(offsets: &BTreeMap<Bucket, Option<Offset>>, w: &mut Writer) {
    w.count(offsets.len());
    for (bucket, offset) in offsets {
        w.varint(u64::from(bucket.0));
        w.flag(offset.is_some());
        offset.iter().for_each(|offset| w.varint(*offset));
    }
}

/// Reads what [`encode_known`] wrote.
pub(crate) fn decode_known(r: &mut Reader<'_>) -> Result<BTreeMap<Bucket, Option<Offset>>> {
    decode_map(r, 2, |r| Ok(if r.flag()? { Some(r.varint()?) } else { None }))
}

fn decode_map<'a, T>(
    r: &mut Reader<'a>,
    bytes_min: usize,
    mut read: impl FnMut(&mut Reader<'a>) -> Result<T>,
) -> Result<BTreeMap<Bucket, T>> {
    let mut map = BTreeMap::new();
    for _ in 0..r.count(bytes_min)? {
        let here = r.clone();
        let bucket = Bucket(r.number()?);
        if map.last_key_value().is_some_and(|(last, _)| *last >= bucket) {
            return Err(here.corrupt("buckets ascending, each once", bucket));
        }
        map.insert(bucket, read(r)?);
    }
    Ok(map)
}

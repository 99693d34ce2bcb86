//! Groups: named positions in tables, which consumers share.
//!
//! Invariants:
//! * a generation is given once: a group that was deleted and made again takes no write of its former life (rule 7);
//! * a stored position is of a table that the fold knows, and at most at that bucket's tail;
//! * a group is kept until it is deleted; what it holds of a table goes when the fold forgets the table;
//! * their number, their tables and all positions together are bounded by [`crate::protocol::GroupLimits`].

use std::collections::{BTreeMap, BTreeSet};

use serde::Serialize;

use super::tables::Tables;
use crate::error::Result;
use crate::format::entry;
use crate::format::positions::{Offsets, StoredPosition, decode_offsets, encode_offsets};
use crate::format::wire::{Reader, Writer};
use crate::id::{Bucket, Name, Offset, TableId, TimeMicros};

/// The least bytes of an encoded group: name, generation, time, count of tables.
const GROUP_BYTES_MIN: usize = 5;

/// All groups of a database.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Groups {
    next_generation: u64,
    by_name: BTreeMap<Name, Group>,
    /// Stored offsets of all groups together; follows from `by_name`.
    offsets: usize,
}

/// One group.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Group {
    /// Which of the groups that ever had this name it is.
    pub generation: u64,
    /// The commit time of the slot that last stored something.
    pub stored: TimeMicros,
    /// Where it stands, by table.
    pub positions: BTreeMap<TableId, Offsets>,
}

impl Default for Groups {
    fn default() -> Self {
        Self { next_generation: 1, by_name: BTreeMap::new(), offsets: 0 }
    }
}

impl Group {
    /// The stored offset of a bucket.
    pub fn offset(&self, table: TableId, bucket: Bucket) -> Option<Offset> {
        self.positions.get(&table)?.get(&bucket).copied()
    }
}

impl Groups {
    /// A group by its name.
    pub fn get(&self, name: &Name) -> Option<&Group> {
        self.by_name.get(name)
    }

    /// The generation of a group; 0: there is none of this name.
    pub fn generation(&self, name: &Name) -> u64 {
        self.get(name).map_or(0, |group| group.generation)
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        self.by_name.len()
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.by_name.is_empty()
    }

    /// Stored offsets of all groups together.
    pub fn offsets(&self) -> usize {
        self.offsets
    }

    /// Each group with its name, ascending.
    pub fn iter(&self) -> impl Iterator<Item = (&Name, &Group)> {
        self.by_name.iter()
    }

    /// The groups whose name is above `after` and begins with `prefix`, ascending.
    pub fn page<'a>(
        &'a self,
        prefix: &'a str,
        after: Option<&Name>,
    ) -> impl Iterator<Item = (&'a Name, &'a Group)> {
        let above = after.cloned().map_or(std::ops::Bound::Unbounded, std::ops::Bound::Excluded);
        let named = self.by_name.range((above, std::ops::Bound::Unbounded));
        named.filter(move |(name, _)| name.as_str().starts_with(prefix))
    }

    /// Whether nothing was ever stored: such a state has no record of this family.
    pub(super) fn is_untouched(&self) -> bool {
        *self == Self::default()
    }

    /// Stores what was judged; a group that is not there comes to be.
    pub(super) fn store(&mut self, name: &Name, positions: &[StoredPosition], time: TimeMicros) {
        if !self.by_name.contains_key(name) {
            let group = Group { generation: self.next_generation, stored: time, positions: BTreeMap::new() };
            self.next_generation += 1;
            self.by_name.insert(name.clone(), group);
        }
        let Some(group) = self.by_name.get_mut(name) else { return };
        group.stored = time;
        for position in positions {
            let offsets = group.positions.entry(position.table).or_default();
            let before = offsets.len();
            offsets.extend(&position.offsets);
            self.offsets += offsets.len() - before;
        }
    }

    pub(super) fn delete(&mut self, name: &Name) {
        if let Some(group) = self.by_name.remove(name) {
            self.offsets -= group.offsets();
        }
    }

    /// The database is gone, and its groups with it; their generations are not given again.
    pub(super) fn clear(&mut self) {
        self.by_name.clear();
        self.offsets = 0;
    }

    /// Forgets positions in tables that the fold has forgotten.
    pub(super) fn forget_tables(&mut self, forgotten: &BTreeSet<TableId>) {
        if forgotten.is_empty() {
            return;
        }
        for group in self.by_name.values_mut() {
            let before = group.offsets();
            group.positions.retain(|table, _| !forgotten.contains(table));
            self.offsets -= before - group.offsets();
        }
    }

    pub(super) fn encode(&self, w: &mut Writer) {
        w.varint(self.next_generation);
        w.count(self.by_name.len());
        for (name, group) in &self.by_name {
            w.text(name.as_str());
            w.varint(group.generation);
            w.zigzag(group.stored);
            w.count(group.positions.len());
            for (table, offsets) in &group.positions {
                w.varint(table.0);
                encode_offsets(offsets, w);
            }
        }
    }

    /// Reads the groups of a state with these tables.
    pub(super) fn decode(r: &mut Reader<'_>, tables: &Tables) -> Result<Self> {
        let start = r.clone();
        let mut groups = Self { next_generation: r.counter()?, ..Self::default() };
        for _ in 0..r.count(GROUP_BYTES_MIN)? {
            let here = r.clone();
            let name = entry::name(r)?;
            if groups.by_name.last_key_value().is_some_and(|(last, _)| *last >= name) {
                return Err(here.corrupt("groups ascending, each once", &name));
            }
            let here = r.clone();
            let generation = r.varint()?;
            if generation == 0 || generation >= groups.next_generation {
                let expected = format!("a generation from 1, below {}", groups.next_generation);
                return Err(here.corrupt(&expected, generation));
            }
            let group = Group { generation, stored: r.zigzag()?, positions: decode_positions(r, tables)? };
            groups.offsets += group.offsets();
            groups.by_name.insert(name, group);
        }
        if groups.is_untouched() || groups.next_generation == 0 {
            return Err(start.corrupt("groups that were stored once", "none"));
        }
        Ok(groups)
    }
}

impl Group {
    /// How many offsets it stores.
    pub(super) fn offsets(&self) -> usize {
        self.positions.values().map(BTreeMap::len).sum()
    }

    /// How many tables and offsets it would have more with these positions.
    pub(super) fn growth(group: Option<&Self>, positions: &[StoredPosition]) -> (usize, usize) {
        let (mut tables, mut offsets) = (0, 0);
        for position in positions {
            let known = group.and_then(|group| group.positions.get(&position.table));
            tables += usize::from(known.is_none());
            let is_new = |bucket: &&Bucket| known.is_none_or(|known| !known.contains_key(*bucket));
            offsets += position.offsets.keys().filter(is_new).count();
        }
        (tables, offsets)
    }
}

fn decode_positions(r: &mut Reader<'_>, tables: &Tables) -> Result<BTreeMap<TableId, Offsets>> {
    let mut positions = BTreeMap::new();
    for _ in 0..r.count(4)? {
        let here = r.clone();
        let id = TableId(r.varint()?);
        let Some(table) = tables.any(id) else {
            return Err(here.corrupt("a position in a table of this state", id));
        };
        if positions.last_key_value().is_some_and(|(last, _)| *last >= id) {
            return Err(here.corrupt("tables ascending, each once", id));
        }
        let here = r.clone();
        let offsets = decode_offsets(r)?;
        if offsets.is_empty() || offsets.iter().any(|(bucket, at)| *at > table.rows_tail(*bucket).next) {
            return Err(here.corrupt(&format!("a position up to the tail of table {id}"), "another"));
        }
        if let Some(bucket) = offsets.keys().find(|bucket| bucket.0 >= table.spec.buckets) {
            return Err(here.corrupt(&format!("buckets below {}", table.spec.buckets), bucket));
        }
        positions.insert(id, offsets);
    }
    Ok(positions)
}

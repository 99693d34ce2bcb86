//! Tables and the tails of their buckets.
//!
//! Invariants: an id is given once; at most one live table has a name; a bucket's `next`, `rolled` and `earliest` never go back,
//! `rolled ≤ next` and `earliest ≤ next`; the ids of a table's schemas ascend, the last is the spec's.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use serde::Serialize;

use crate::error::{Error, Result};
use crate::format::page::StreamKey;
use crate::format::slice::decode_stream;
use crate::format::wire::{Reader, Writer};
use crate::format::{entry, spec};
use crate::id::{Bucket, Name, Offset, SchemaId, Slot, Stream, TableId, TimeMicros, Uuid};
use crate::schema::{Schema, TableSpec};

/// The least bytes of an encoded table: id, UUID, name, definition, creation, drop, count of buckets.
const TABLE_BYTES_MIN: usize = 36;

/// All tables that the log knows of.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Tables {
    next_id: TableId,
    by_id: BTreeMap<TableId, Table>,
    by_name: BTreeMap<Name, TableId>,
}

/// One table.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Table {
    /// Its id.
    pub id: TableId,
    /// Its identity beyond this log.
    pub uuid: Uuid,
    /// Its name, or the name that it had.
    pub name: Name,
    /// What it is.
    pub spec: TableSpec,
    /// The slot that created it.
    pub created_slot: Slot,
    /// The commit time of that slot.
    pub created: TimeMicros,
    /// The commit time of the slot that dropped it.
    pub dropped: Option<TimeMicros>,
    /// How many times it was altered.
    #[serde(skip)]
    pub version: u64,
    /// The schemas that it had before, oldest first: slices written under them are read through them.
    #[serde(skip)]
    pub schemas: Vec<Arc<Schema>>,
    /// Its buckets that have rows.
    #[serde(skip)]
    pub buckets: BTreeMap<(Bucket, Stream), BucketTail>,
}

/// How far a bucket's sequence of rows has come.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct BucketTail {
    /// The next offset.
    pub next: Offset,
    /// Rows below this lie in segments, not in commits.
    pub rolled: Offset,
    /// Rows below this are no longer kept.
    pub earliest: Offset,
}

impl BucketTail {
    /// Rows below this need no commit any more: they lie in segments, or are not kept.
    pub fn settled(&self) -> Offset {
        self.rolled.max(self.earliest)
    }
}

impl Default for Tables {
    fn default() -> Self {
        Self { next_id: TableId(1), by_id: BTreeMap::new(), by_name: BTreeMap::new() }
    }
}

impl Tables {
    /// The id that the next table will have.
    pub fn next_id(&self) -> TableId {
        self.next_id
    }

    /// A live table by its name.
    pub fn named(&self, name: &Name) -> Option<&Table> {
        self.by_id.get(self.by_name.get(name)?)
    }

    /// A live table by its id.
    pub fn live(&self, id: TableId) -> Option<&Table> {
        self.by_id.get(&id).filter(|table| table.dropped.is_none())
    }

    /// A table by its id, live or dropped.
    pub fn known(&self, id: TableId) -> Option<&Table> {
        self.by_id.get(&id)
    }

    /// All tables, dropped ones that are still kept too.
    pub fn all(&self) -> impl Iterator<Item = &Table> {
        self.by_id.values()
    }

    /// A table by its id, live or dropped and still kept.
    pub fn any(&self, id: TableId) -> Option<&Table> {
        self.by_id.get(&id)
    }

    /// The live tables by name.
    pub fn by_name(&self) -> impl Iterator<Item = &Table> {
        self.by_name.values().filter_map(|id| self.by_id.get(id))
    }

    /// The live tables whose name is above `after` and begins with `prefix`, ascending.
    pub fn page<'a>(&'a self, prefix: &'a str, after: Option<&Name>) -> impl Iterator<Item = &'a Table> {
        let above = match after {
            Some(name) => std::ops::Bound::Excluded(name.clone()),
            None => std::ops::Bound::Unbounded,
        };
        self.by_name
            .range((above, std::ops::Bound::Unbounded))
            .filter(move |(name, _)| name.as_str().starts_with(prefix))
            .filter_map(|(_, id)| self.by_id.get(id))
    }

    /// How many tables are live.
    pub fn live_count(&self) -> usize {
        self.by_name.len()
    }

    /// The tail of a sequence; zero where it has no rows or the table is unknown.
    pub fn tail(&self, key: &StreamKey) -> BucketTail {
        let table = self.by_id.get(&key.table);
        table.and_then(|table| table.buckets.get(&(key.bucket, key.stream))).copied().unwrap_or_default()
    }

    pub(super) fn create(&mut self, table: Table) {
        self.next_id = TableId(table.id.0 + 1);
        self.by_name.insert(table.name.clone(), table.id);
        self.by_id.insert(table.id, table);
    }

    pub(super) fn drop_table(&mut self, id: TableId, time: TimeMicros) {
        if let Some(table) = self.by_id.get_mut(&id) {
            table.dropped = Some(time);
            self.by_name.remove(&table.name);
        }
    }

    pub(super) fn restore(&mut self, id: TableId) {
        if let Some(table) = self.by_id.get_mut(&id) {
            table.dropped = None;
            self.by_name.insert(table.name.clone(), id);
        }
    }

    pub(super) fn alter(&mut self, id: TableId, spec: TableSpec) {
        if let Some(table) = self.by_id.get_mut(&id) {
            table.version += 1;
            let before = std::mem::replace(&mut table.spec, spec);
            if before.schema.id != table.spec.schema.id {
                table.schemas.push(Arc::new(before.schema));
            }
        }
    }

    pub(super) fn expire(&mut self, key: &StreamKey, earliest: Offset) {
        if let Some(table) = self.by_id.get_mut(&key.table) {
            table.buckets.entry((key.bucket, key.stream)).or_default().earliest = earliest;
        }
    }

    pub(super) fn get_mut(&mut self, id: TableId) -> Option<&mut Table> {
        self.by_id.get_mut(&id)
    }

    pub(super) fn advance(&mut self, key: &StreamKey, next: Offset) {
        if let Some(table) = self.by_id.get_mut(&key.table) {
            table.buckets.entry((key.bucket, key.stream)).or_default().next = next;
        }
    }

    pub(super) fn roll(&mut self, key: &StreamKey, rolled: Offset) {
        if let Some(table) = self.by_id.get_mut(&key.table) {
            table.buckets.entry((key.bucket, key.stream)).or_default().rolled = rolled;
        }
    }

    /// Forgets tables that were dropped before `time`; tells which.
    pub(super) fn forget_dropped_before(&mut self, time: TimeMicros) -> BTreeSet<TableId> {
        if self.by_id.len() == self.by_name.len() {
            return BTreeSet::new();
        }
        let old = self.by_id.values().filter(|table| table.dropped.is_some_and(|dropped| dropped < time));
        let forgotten: BTreeSet<TableId> = old.map(|table| table.id).collect();
        forgotten.iter().for_each(|id| drop(self.by_id.remove(id)));
        forgotten
    }

    pub(super) fn encode(&self, w: &mut Writer) {
        w.varint(self.next_id.0);
        w.count(self.by_id.len());
        for table in self.by_id.values() {
            w.varint(table.id.0);
            w.uuid(table.uuid);
            w.text(table.name.as_str());
            spec::encode(&table.spec, w);
            w.varint(table.created_slot);
            w.zigzag(table.created);
            w.flag(table.dropped.is_some());
            table.dropped.iter().for_each(|time| w.zigzag(*time));
            w.count(table.buckets.len());
            for ((bucket, stream), tail) in &table.buckets {
                w.varint(u64::from(bucket.0));
                w.u8(*stream as u8);
                w.varint(tail.next);
                w.varint(tail.rolled);
            }
        }
    }

    pub(super) fn decode(r: &mut Reader<'_>) -> Result<Self> {
        let mut tables = Self { next_id: TableId(r.counter()?), ..Self::default() };
        for _ in 0..r.count(TABLE_BYTES_MIN)? {
            let here = r.clone();
            let table = Self::decode_table(r)?;
            let ascends = tables.by_id.last_key_value().is_none_or(|(last, _)| *last < table.id);
            if table.id >= tables.next_id || !ascends {
                return Err(here.corrupt("table ids ascending, below the next", table.id));
            }
            if table.dropped.is_none() && tables.by_name.insert(table.name.clone(), table.id).is_some() {
                return Err(here.corrupt("one live table of a name", &table.name));
            }
            tables.by_id.insert(table.id, table);
        }
        Ok(tables)
    }

    fn decode_table(r: &mut Reader<'_>) -> Result<Table> {
        let (id, uuid, name) = (TableId(r.varint()?), r.uuid()?, entry::name(r)?);
        let here = r.clone();
        let spec = spec::decode(r)?;
        if spec.buckets == 0 {
            return Err(here.corrupt("at least one bucket", 0));
        }
        let (created_slot, created) = (r.varint()?, r.zigzag()?);
        let dropped = if r.flag()? { Some(r.zigzag()?) } else { None };
        let mut buckets = BTreeMap::new();
        for _ in 0..r.count(4)? {
            let here = r.clone();
            let key = (Bucket(r.number()?), decode_stream(r)?);
            let tail = BucketTail { next: r.varint()?, rolled: r.varint()?, earliest: 0 };
            if tail.rolled > tail.next {
                return Err(here.corrupt(&format!("a roll-up to at most {}", tail.next), tail.rolled));
            }
            if buckets.last_key_value().is_some_and(|(last, _)| *last >= key) {
                return Err(here.corrupt("buckets ascending, each once", key.0));
            }
            buckets.insert(key, tail);
        }
        let (version, schemas) = (0, Vec::new()); // what was changed stands in the amendments
        Ok(Table { id, uuid, name, spec, created_slot, created, dropped, version, schemas, buckets })
    }
}

impl Table {
    /// A schema that it has or had.
    pub fn schema(&self, id: SchemaId) -> Option<&Schema> {
        if id == self.spec.schema.id {
            return Some(&self.spec.schema);
        }
        let at = self.schemas.binary_search_by_key(&id, |schema| schema.id).ok()?;
        self.schemas.get(at).map(Arc::as_ref)
    }

    /// The tail of one of the table's rows sequences.
    pub fn rows_tail(&self, bucket: Bucket) -> BucketTail {
        self.buckets.get(&(bucket, Stream::Rows)).copied().unwrap_or_default()
    }

    /// The key of one of the table's rows sequences.
    pub fn rows_key(&self, bucket: Bucket) -> StreamKey {
        StreamKey { table: self.id, bucket, stream: Stream::Rows }
    }

    /// Checks that a bucket exists.
    pub fn check_bucket(&self, bucket: Bucket) -> Result<()> {
        if bucket.0 < self.spec.buckets {
            return Ok(());
        }
        Err(Error::new(
            crate::ErrorKind::NotFound,
            format!("table {} has buckets 0 to {}, not {bucket}", self.name, self.spec.buckets - 1),
        ))
    }
}

//! Judging one proposal: all of its entries are checked before any is applied (rule 2).

mod positions;

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Range;

use self::positions::GroupsSeen;
use super::State;
use super::tables::Table;
use super::verdict::{Appended, Refusal};
use crate::format::commit::{CommitHeader, Proposal};
use crate::format::entry::{Entry, RolledPart};
use crate::format::page::StreamKey;
use crate::format::positions::StoredPosition;
use crate::format::slice::{Slice, SliceHome, SliceOp};
use crate::id::{Name, Offset, Slot, Stream, TableId, TimeMicros, Uuid};
use crate::schema::{TableSpec, ensure};

/// What an accepted proposal will do, in order.
#[derive(Debug)]
pub(super) enum Effect<'a> {
    /// See [`Entry::DatabaseDropped`] and [`Entry::DatabaseCreated`].
    DatabaseAlive(bool),
    CreateTable {
        id: TableId,
        name: &'a Name,
        uuid: Uuid,
        spec: &'a TableSpec,
    },
    DropTable(TableId),
    Append(Placed),
    StorePositions {
        group: &'a Name,
        positions: &'a [StoredPosition],
    },
    DeleteGroup(&'a Name),
    RollUp {
        key: StreamKey,
        to: Offset,
        parts: Vec<Placed>,
    },
}

/// Rows of a slice that got their offsets.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Placed {
    /// Whose.
    pub key: StreamKey,
    /// The offsets.
    pub offsets: Range<Offset>,
    /// The slice, by its index in the header.
    pub slice: u32,
    /// The row of the slice that the first offset is.
    pub first_row: u32,
}

/// The state as a half-checked proposal would leave it.
struct Overlay<'s, 'a> {
    state: &'s State,
    header: &'a CommitHeader,
    created: BTreeMap<TableId, &'a TableSpec>,
    created_names: BTreeMap<&'a Name, TableId>,
    dropped: BTreeSet<TableId>,
    alive: bool,
    next: BTreeMap<StreamKey, Offset>,
    rolled: BTreeSet<StreamKey>,
    groups: GroupsSeen<'a>,
}

/// Checks a proposal. The answer is what to do, or why nothing is done.
///
/// What it does borrows from the proposal, never from the state, which is changed next.
pub(super) fn judge<'a>(
    state: &State,
    header: &'a CommitHeader,
    proposal: &'a Proposal,
) -> Result<Vec<Effect<'a>>, Refusal> {
    let mut overlay = Overlay::new(state, header);
    proposal.entries.iter().map(|entry| overlay.judge_entry(entry)).collect()
}

/// Planted bug: what the entries before a refused one would do.
pub(super) fn judge_until_refused<'a>(
    state: &State,
    header: &'a CommitHeader,
    proposal: &'a Proposal,
) -> Vec<Effect<'a>> {
    let mut overlay = Overlay::new(state, header);
    proposal.entries.iter().map_while(|entry| overlay.judge_entry(entry).ok()).collect()
}

/// The offsets that a list of effects gives out, by bucket: within one proposal a bucket's runs follow one another.
pub(super) fn appended(effects: &[Effect<'_>]) -> Vec<Appended> {
    let mut all: Vec<Appended> = Vec::new();
    let mut runs: BTreeMap<StreamKey, usize> = BTreeMap::new();
    for effect in effects {
        let Effect::Append(Placed { key, offsets, .. }) = effect else { continue };
        let run = *runs.entry(*key).or_insert(all.len());
        match all.get_mut(run) {
            Some(run) => run.end = offsets.end,
            None => {
                let (start, end) = (offsets.start, offsets.end);
                all.push(Appended { table: key.table, bucket: key.bucket, start, end });
            }
        }
    }
    all
}

impl<'s, 'a> Overlay<'s, 'a> {
    fn new(state: &'s State, header: &'a CommitHeader) -> Self {
        Self {
            state,
            header,
            created: BTreeMap::new(),
            created_names: BTreeMap::new(),
            dropped: BTreeSet::new(),
            alive: state.alive,
            next: BTreeMap::new(),
            rolled: BTreeSet::new(),
            groups: GroupsSeen::new(&state.groups),
        }
    }

    fn judge_entry(&mut self, entry: &'a Entry) -> Result<Effect<'a>, Refusal> {
        if !self.alive && !matches!(entry, Entry::DatabaseCreated | Entry::RolledUp { .. }) {
            return Err(Refusal::DatabaseDropped);
        }
        match entry {
            Entry::LogCreated { .. } => Err(Refusal::DatabaseExists),
            Entry::DatabaseDropped => self.judge_database_dropped(),
            Entry::DatabaseCreated if self.alive => Err(Refusal::DatabaseExists),
            Entry::DatabaseCreated => {
                self.alive = true;
                Ok(Effect::DatabaseAlive(true))
            }
            Entry::TableCreated { table, name, uuid, spec } => self.judge_created(*table, name, *uuid, spec),
            Entry::TableDropped { table, time: _ } => self.judge_dropped(*table),
            Entry::Appended { slice, first_row, rows, expected_offset } => {
                self.judge_appended(*slice, *first_row, *rows, *expected_offset).map(Effect::Append)
            }
            Entry::PositionsStored { group, generation, positions } => {
                self.judge_positions(group, *generation, positions)
            }
            Entry::GroupDeleted { group, generation } => self.judge_group_deleted(group, *generation),
            Entry::RolledUp { table, bucket, stream, from, to, parts } => {
                let key = StreamKey { table: *table, bucket: *bucket, stream: *stream };
                self.judge_rolled_up(key, *from..*to, parts)
            }
        }
    }

    fn judge_database_dropped(&mut self) -> Result<Effect<'a>, Refusal> {
        let tables = self.state.tables.live_count() + self.created.len() - self.dropped.len();
        if tables > 0 {
            return Err(Refusal::NotEmpty { tables: tables as u64 });
        }
        self.alive = false;
        self.groups.clear();
        Ok(Effect::DatabaseAlive(false))
    }

    fn judge_created(
        &mut self,
        id: TableId,
        name: &'a Name,
        uuid: Uuid,
        spec: &'a TableSpec,
    ) -> Result<Effect<'a>, Refusal> {
        if let Some(table) = self.state.tables.named(name)
            && !self.dropped.contains(&table.id)
        {
            return Err(Refusal::TableExists { table: table.id });
        }
        if let Some(table) = self.created_names.get(name) {
            return Err(Refusal::TableExists { table: *table });
        }
        let next = TableId(self.state.tables.next_id().0 + self.created.len() as u64);
        if id != next {
            return Err(Refusal::TableIdTaken { next });
        }
        if ensure::validate(spec).is_err() {
            return Err(Refusal::Invalid { check: 1 });
        }
        self.created.insert(id, spec);
        self.created_names.insert(name, id);
        Ok(Effect::CreateTable { id, name, uuid, spec })
    }

    fn judge_dropped(&mut self, table: TableId) -> Result<Effect<'a>, Refusal> {
        if self.spec(table).is_none() || self.created.contains_key(&table) {
            return Err(Refusal::NoSuchTable { table });
        }
        self.dropped.insert(table);
        Ok(Effect::DropTable(table))
    }

    fn judge_appended(
        &mut self,
        index: u32,
        first_row: u32,
        rows: u32,
        expected: Option<Offset>,
    ) -> Result<Placed, Refusal> {
        let slice = self.slice(index)?;
        let (table, bucket) = (slice.table, slice.bucket);
        let spec = self.spec(table).ok_or(Refusal::NoSuchTable { table })?;
        if bucket.0 >= spec.buckets {
            return Err(Refusal::NoSuchBucket { table, bucket });
        }
        if slice.schema != spec.schema.id {
            return Err(Refusal::SchemaChanged { table, current: spec.schema.id });
        }
        let whole = slice.columns.iter().eq(spec.schema.columns.iter().map(|column| &column.id));
        if !whole || slice.op != SliceOp::Append || slice.stream != Stream::Rows || slice.source.is_some() {
            return Err(Refusal::Invalid { check: 2 });
        }
        if rows == 0 || first_row.checked_add(rows).is_none_or(|end| end > slice.rows) {
            return Err(Refusal::Invalid { check: 3 });
        }
        let key = StreamKey { table, bucket, stream: slice.stream };
        let start = self.next(&key);
        if let Some(expected) = expected
            && expected != start
        {
            return Err(Refusal::ExpectedOffset { table, bucket, expected, actual: start });
        }
        let end = start.checked_add(u64::from(rows)).ok_or(Refusal::Invalid { check: 4 })?;
        self.next.insert(key, end);
        Ok(Placed { key, offsets: start..end, slice: index, first_row })
    }

    fn judge_rolled_up(
        &mut self,
        key: StreamKey,
        offsets: Range<Offset>,
        parts: &[RolledPart],
    ) -> Result<Effect<'a>, Refusal> {
        if self.table(key.table).is_none() {
            return Err(Refusal::NoSuchTable { table: key.table });
        }
        let tail = self.state.tables.tail(&key);
        if tail.rolled != offsets.start || !self.rolled.insert(key) {
            return Err(Refusal::RollUpStale { rolled: tail.rolled });
        }
        if offsets.is_empty() || offsets.end > tail.next {
            return Err(Refusal::Invalid { check: 5 });
        }
        let mut placed: Vec<Placed> = Vec::with_capacity(parts.len());
        for part in parts {
            let slice = self.slice(part.slice)?;
            let matches =
                slice.table == key.table && slice.bucket == key.bucket && slice.stream == key.stream;
            let end = part.start.checked_add(u64::from(slice.rows)).ok_or(Refusal::Invalid { check: 6 })?;
            let after = placed.last().map_or(offsets.start, |last| last.offsets.end);
            if !matches || slice.home == SliceHome::Here || part.start < after || end > offsets.end {
                return Err(Refusal::Invalid { check: 7 });
            }
            placed.push(Placed { key, offsets: part.start..end, slice: part.slice, first_row: 0 });
        }
        Ok(Effect::RollUp { key, to: offsets.end, parts: placed })
    }

    /// A slice of the header, if its segment was named recently enough (rule 12).
    fn slice(&self, index: u32) -> Result<&'a Slice, Refusal> {
        let slice = self.header.slices.get(index as usize).ok_or(Refusal::Invalid { check: 8 })?;
        if let SliceHome::Segment(segment) = slice.home {
            let segment = self.header.segments.get(segment as usize).ok_or(Refusal::Invalid { check: 9 })?;
            if self.state.is_expired(segment.id.base, self.header.slot) {
                return Err(Refusal::Expired);
            }
        }
        Ok(slice)
    }

    fn table(&self, id: TableId) -> Option<&'s Table> {
        self.state.tables.live(id).filter(|table| !self.dropped.contains(&table.id))
    }

    fn spec(&self, id: TableId) -> Option<&TableSpec> {
        self.table(id).map(|table| &table.spec).or_else(|| self.created.get(&id).copied())
    }

    fn next(&self, key: &StreamKey) -> Offset {
        self.next.get(key).copied().unwrap_or_else(|| self.state.tables.tail(key).next)
    }
}

impl State {
    /// Applies what was judged. Cannot fail: everything was checked.
    pub(super) fn take(&mut self, effects: &[Effect<'_>], slot: Slot, time: TimeMicros) {
        for effect in effects {
            match effect {
                Effect::DatabaseAlive(alive) => {
                    self.alive = *alive;
                    if !alive {
                        self.groups.clear();
                    }
                }
                Effect::StorePositions { group, positions } => self.groups.store(group, positions, time),
                Effect::DeleteGroup(group) => self.groups.delete(group),
                Effect::CreateTable { id, name, uuid, spec } => self.tables.create(Table {
                    id: *id,
                    uuid: *uuid,
                    name: (*name).clone(),
                    spec: (*spec).clone(),
                    created_slot: slot,
                    created: time,
                    dropped: None,
                    buckets: BTreeMap::new(),
                }),
                Effect::DropTable(id) => self.tables.drop_table(*id, time),
                Effect::Append(placed) => self.tables.advance(&placed.key, placed.offsets.end),
                Effect::RollUp { key, to, .. } => self.tables.roll(key, *to),
            }
        }
    }
}

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
use crate::id::{Name, Offset, SchemaId, Slot, Stream, TableId, TimeMicros, Uuid};
use crate::planted::Bug;
use crate::schema::evolution::{SCHEMAS_MAX, check_successor, keeps_all};
use crate::schema::{Schema, TableSpec, ensure};

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
    AlterTable {
        id: TableId,
        spec: &'a TableSpec,
    },
    RestoreTable(TableId),
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
    Expire {
        key: StreamKey,
        earliest: Offset,
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
    altered: BTreeMap<TableId, (u64, &'a TableSpec)>,
    restored: BTreeSet<TableId>,
    alive: bool,
    next: BTreeMap<StreamKey, Offset>,
    rolled: BTreeSet<StreamKey>,
    expired: BTreeSet<StreamKey>,
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
            altered: BTreeMap::new(),
            restored: BTreeSet::new(),
            alive: state.alive,
            next: BTreeMap::new(),
            rolled: BTreeSet::new(),
            expired: BTreeSet::new(),
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
            Entry::TableAltered { table, version, spec } => self.judge_altered(*table, *version, spec),
            Entry::TableRestored { table, dropped } => self.judge_restored(*table, *dropped),
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
            Entry::RowsExpired { table, bucket, stream, from, to } => {
                let key = StreamKey { table: *table, bucket: *bucket, stream: *stream };
                self.judge_expired(key, *from..*to)
            }
        }
    }

    fn judge_database_dropped(&mut self) -> Result<Effect<'a>, Refusal> {
        let tables =
            self.state.tables.live_count() + self.created.len() + self.restored.len() - self.dropped.len();
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
        if let Some(table) = self.created_names.get(name).copied().or_else(|| self.restored_named(name)) {
            return Err(Refusal::TableExists { table });
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

    fn judge_altered(
        &mut self,
        id: TableId,
        version: u64,
        spec: &'a TableSpec,
    ) -> Result<Effect<'a>, Refusal> {
        let table = self.table(id).ok_or(Refusal::NoSuchTable { table: id })?;
        let (current, before) = self.altered.get(&id).copied().unwrap_or((table.version, &table.spec));
        if current != version && !self.state.rules.planted.has(Bug::AlterUnversioned) {
            return Err(Refusal::TableVersion { table: id, current });
        }
        if check_successor(before, spec).is_err() {
            return Err(Refusal::Invalid { check: 20 });
        }
        if table.schemas.len() >= SCHEMAS_MAX && spec.schema.id != before.schema.id {
            return Err(Refusal::Invalid { check: 21 });
        }
        self.altered.insert(id, (current + 1, spec));
        Ok(Effect::AlterTable { id, spec })
    }

    fn judge_restored(&mut self, id: TableId, dropped: TimeMicros) -> Result<Effect<'a>, Refusal> {
        let table = self.state.tables.known(id).ok_or(Refusal::NoSuchTable { table: id })?;
        if table.dropped != Some(dropped) || self.restored.contains(&id) {
            return Err(Refusal::NotDropped { table: id });
        }
        let named = self.state.tables.named(&table.name).map(|table| table.id);
        let named = named.filter(|id| !self.dropped.contains(id));
        let named = named.or_else(|| self.created_names.get(&table.name).copied());
        if let Some(table) = named.or_else(|| self.restored_named(&table.name)) {
            return Err(Refusal::TableExists { table });
        }
        self.restored.insert(id);
        Ok(Effect::RestoreTable(id))
    }

    /// The table that this proposal restores under a name.
    fn restored_named(&self, name: &Name) -> Option<TableId> {
        let known = |id: &&TableId| self.state.tables.known(**id).is_some_and(|table| table.name == *name);
        self.restored.iter().find(known).copied()
    }

    fn judge_expired(&mut self, key: StreamKey, offsets: Range<Offset>) -> Result<Effect<'a>, Refusal> {
        if self.table(key.table).is_none() {
            return Err(Refusal::NoSuchTable { table: key.table });
        }
        let tail = self.state.tables.tail(&key);
        let unconditional = self.state.rules.planted.has(Bug::ExpiryUnconditional);
        if tail.earliest != offsets.start && !unconditional || !self.expired.insert(key) {
            return Err(Refusal::ExpiryStale { earliest: tail.earliest });
        }
        if offsets.is_empty() || offsets.end > tail.next {
            return Err(Refusal::Invalid { check: 22 });
        }
        Ok(Effect::Expire { key, earliest: offsets.end })
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
        let changed = Refusal::SchemaChanged { table, current: spec.schema.id };
        let schema = self.schema(table, spec, slice.schema).ok_or(changed)?;
        let whole = slice.columns.iter().eq(schema.columns.iter().map(|column| &column.id));
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
        let altered = || self.altered.get(&id).map(|(_, spec)| *spec);
        self.table(id)
            .map(|table| altered().unwrap_or(&table.spec))
            .or_else(|| self.created.get(&id).copied())
    }

    /// The schema that rows were written in: the table's, or one that it had, if nothing of the rows is lost by reading them as the
    /// table's. So whoever was late to hear of a new column is not refused.
    fn schema<'t>(&'t self, id: TableId, spec: &'t TableSpec, written: SchemaId) -> Option<&'t Schema> {
        if written == spec.schema.id {
            return Some(&spec.schema);
        }
        self.table(id)?.schema(written).filter(|older| keeps_all(older, &spec.schema))
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
                    version: 0,
                    schemas: Vec::new(),
                    buckets: BTreeMap::new(),
                }),
                Effect::DropTable(id) => self.tables.drop_table(*id, time),
                Effect::AlterTable { id, spec } => self.tables.alter(*id, (*spec).clone()),
                Effect::RestoreTable(id) => self.tables.restore(*id),
                Effect::Append(placed) => self.tables.advance(&placed.key, placed.offsets.end),
                Effect::RollUp { key, to, .. } => self.tables.roll(key, *to),
                Effect::Expire { key, earliest } => self.tables.expire(key, *earliest),
            }
        }
    }
}

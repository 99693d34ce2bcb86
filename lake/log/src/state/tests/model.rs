//! The fold against a naive model that forgets nothing and tries every proposal on a copy of everything.

use std::collections::{BTreeMap, BTreeSet};

use proptest::prelude::*;

use super::script::{SlotPlan, Writer, scripts};
use super::*;
use crate::format::page::StreamKey;
use crate::format::positions::{ExpectedPosition, StoredPosition};
use crate::state::verdict::{Acceptance, GroupLimit};

/// What a log means, told simply.
#[derive(Clone, Debug)]
pub(super) struct Model {
    alive: bool,
    /// Table n is at n − 1, for ever.
    tables: Vec<Table>,
    producers: BTreeMap<String, Producer>,
    fates: BTreeMap<ProposalName, (Slot, Fate)>,
    time: TimeMicros,
    acting: Option<ProposalName>,
    groups: BTreeMap<Name, Group>,
    generations: u64,
    /// Which proposals were about which groups.
    touched: BTreeSet<(ProposalName, Name)>,
}

/// What a group stores, by table and bucket.
#[derive(Clone, Debug, Default)]
struct Group {
    generation: u64,
    stored: TimeMicros,
    offsets: BTreeMap<(u64, u32), u64>,
}

#[derive(Clone, Debug)]
struct Table {
    name: Name,
    made_by: ProposalName,
    dropped: Option<TimeMicros>,
    /// Who wrote each row, by bucket.
    rows: BTreeMap<u32, Vec<ProposalName>>,
    rolled: BTreeMap<u32, u64>,
    expired: BTreeMap<u32, u64>,
    /// As it was after each alter, the first as it was created.
    specs: Vec<TableSpec>,
    dropped_by: Option<ProposalName>,
    restored_by: Option<ProposalName>,
}

impl Table {
    fn spec(&self) -> &TableSpec {
        self.specs.last().unwrap()
    }

    fn columns(spec: &TableSpec) -> Vec<i32> {
        spec.schema.columns.iter().map(|column| column.id).collect()
    }
}

#[derive(Clone, Debug)]
struct Producer {
    epoch: u64,
    /// By sequence.
    verdicts: Vec<(u128, Verdict)>,
    last: TimeMicros,
}

const WINDOW: Slot = RULES.window_slots;

impl Model {
    pub(super) fn new() -> Self {
        let first = Fate::Decided {
            verdict: Verdict::Accepted(Acceptance { slot: 0, appended: vec![] }),
            duplicate: false,
        };
        let name = ProposalName { incarnation: Ulid::from(99u128), n: 0 };
        let fates = BTreeMap::from([(name, (0, first))]);
        Self {
            alive: true,
            tables: vec![],
            producers: BTreeMap::new(),
            fates,
            time: 0,
            groups: BTreeMap::new(),
            generations: 0,
            touched: BTreeSet::new(),
            acting: None,
        }
    }

    pub(super) fn next_id(&self) -> u64 {
        self.tables.len() as u64 + 1
    }

    /// A table, live or not, now and then one that never was.
    pub(super) fn some_table(&self, number: u64) -> u64 {
        let live: Vec<u64> =
            (1..).zip(&self.tables).filter(|(_, it)| it.dropped.is_none()).map(|(id, _)| id).collect();
        let at = usize::try_from(number).unwrap();
        if live.is_empty() || at > 6 {
            return number % (self.next_id() + 1) + 1;
        }
        live[at % live.len()]
    }

    /// Epoch and next sequence of a producer.
    pub(super) fn expected(&self, id: &str) -> (u64, u64) {
        self.producers.get(id).map_or((0, 0), |producer| (producer.epoch, producer.verdicts.len() as u64))
    }

    pub(super) fn next(&self, table: u64, bucket: u32) -> u64 {
        self.table(table).and_then(|table| table.rows.get(&bucket)).map_or(0, |rows| rows.len() as u64)
    }

    pub(super) fn rolled(&self, table: u64, bucket: u32) -> u64 {
        self.table(table).and_then(|table| table.rolled.get(&bucket)).copied().unwrap_or(0)
    }

    pub(super) fn generation(&self, group: &Name) -> u64 {
        self.groups.get(group).map_or(0, |group| group.generation)
    }

    pub(super) fn stored(&self, group: &Name, table: u64, bucket: u32) -> Option<u64> {
        self.groups.get(group)?.offsets.get(&(table, bucket)).copied()
    }

    pub(super) fn earliest(&self, table: u64, bucket: u32) -> u64 {
        self.table(table).and_then(|table| table.expired.get(&bucket)).copied().unwrap_or(0)
    }

    /// How often a table was altered, and what it is.
    pub(super) fn altered(&self, table: u64) -> Option<(u64, TableSpec)> {
        self.table(table).map(|table| (table.specs.len() as u64 - 1, table.spec().clone()))
    }

    /// A schema of a table, counted from the newest: its number and columns.
    pub(super) fn schema(&self, table: u64, back: usize) -> (u32, Vec<i32>) {
        let Some(table) = self.table(table) else { return (0, Table::columns(&spec())) };
        let spec = table.specs.iter().rev().nth(back).unwrap_or(&table.specs[0]);
        (spec.schema.id, Table::columns(spec))
    }

    /// A table that was dropped and when; the newest such if the number says so.
    pub(super) fn some_dropped(&self, number: u64) -> (u64, TimeMicros) {
        let dropped: Vec<(u64, TimeMicros)> =
            (1..).zip(&self.tables).filter_map(|(id, table)| Some((id, table.dropped?))).collect();
        let at = usize::try_from(number).unwrap();
        dropped.iter().rev().nth(at % 3).copied().unwrap_or((number + 1, 0))
    }

    fn table(&self, id: u64) -> Option<&Table> {
        self.tables.get(usize::try_from(id.checked_sub(1)?).ok()?)
    }

    fn live(&mut self, id: TableId) -> Result<&mut Table, Refusal> {
        let acting = self.acting;
        let table = id.0.checked_sub(1).and_then(|at| self.tables.get_mut(usize::try_from(at).ok()?));
        let live = |table: &&mut Table| {
            table.dropped.is_none() && (table.restored_by.is_none() || table.restored_by != acting)
        };
        table.filter(live).ok_or(Refusal::NoSuchTable { table: id })
    }

    fn live_count(&self) -> u64 {
        self.tables.iter().filter(|table| table.dropped.is_none()).count() as u64
    }

    fn fold(&mut self, header: &CommitHeader) -> Vec<Fate> {
        self.time = self.time.max(header.time);
        let idle = TimeMicros::try_from(RULES.producer_idle_max.as_micros()).unwrap();
        let time = self.time;
        self.producers.retain(|_, producer| producer.last + idle >= time);
        let kept = TimeMicros::try_from(RULES.dropped_kept.as_micros()).unwrap();
        let forgotten = |table: &Table| table.dropped.is_some_and(|dropped| dropped + kept < time);
        let gone: BTreeSet<u64> =
            (1..).zip(&self.tables).filter(|(_, table)| forgotten(table)).map(|(id, _)| id).collect();
        for group in self.groups.values_mut() {
            group.offsets.retain(|(table, _), _| !gone.contains(table));
        }
        header.proposals.iter().map(|proposal| self.fold_proposal(header, proposal)).collect()
    }

    fn fold_proposal(&mut self, header: &CommitHeader, proposal: &Proposal) -> Fate {
        if proposal.base + WINDOW < header.slot {
            return refused(Refusal::Expired);
        }
        if let Some((_, fate)) = self.fates.get(&proposal.name) {
            return fate.clone();
        }
        let fate = match &proposal.producer {
            None => Fate::Decided { verdict: self.decide(header, proposal), duplicate: false },
            Some(stamp) => self.fold_counted(header, proposal, stamp),
        };
        if !matches!(fate, Fate::Gap { .. }) {
            self.fates.insert(proposal.name, (proposal.base, fate.clone()));
        }
        fate
    }

    fn fold_counted(&mut self, header: &CommitHeader, proposal: &Proposal, stamp: &ProducerStamp) -> Fate {
        let known = self.producers.get(&stamp.id).cloned();
        let (epoch, past) = match &known {
            None if stamp.seq > 0 => return refused(Refusal::UnknownProducer),
            None => (stamp.epoch, vec![]),
            Some(producer) if stamp.epoch < producer.epoch => {
                return refused(Refusal::Fenced { epoch: producer.epoch });
            }
            Some(producer) if stamp.epoch > producer.epoch => (stamp.epoch, vec![]),
            Some(producer) => (producer.epoch, producer.verdicts.clone()),
        };
        let (seq, count) = (usize::try_from(stamp.seq).unwrap(), past.len());
        if seq > count {
            return Fate::Gap { expected: count as u64 };
        }
        if let Some((hash, verdict)) = past.get(seq) {
            return match () {
                () if seq + RULES.producer_verdicts_max < count => Fate::Forgotten,
                () if *hash != proposal.request_hash => refused(Refusal::SequenceConflict),
                () => Fate::Decided { verdict: verdict.clone(), duplicate: true },
            };
        }
        let verdict = self.decide(header, proposal);
        let of_copy = matches!(
            verdict,
            Verdict::Refused(
                Refusal::Expired
                    | Refusal::TableExists { .. }
                    | Refusal::TableIdTaken { .. }
                    | Refusal::GroupGeneration { .. }
            )
        );
        if !of_copy {
            let mut verdicts = past;
            verdicts.push((proposal.request_hash, verdict.clone()));
            self.producers.insert(stamp.id.clone(), Producer { epoch, verdicts, last: self.time });
        }
        Fate::Decided { verdict, duplicate: false }
    }

    /// Tries the entries on a copy, one after the other.
    fn decide(&mut self, header: &CommitHeader, proposal: &Proposal) -> Verdict {
        let mut copy = Self { acting: Some(proposal.name), ..self.clone() };
        let mut runs: Vec<Appended> = vec![];
        for entry in &proposal.entries {
            match copy.act(header, proposal.name, entry) {
                Err(refusal) => return Verdict::Refused(refusal),
                Ok(None) => {}
                Ok(Some(new)) => {
                    match runs.iter_mut().find(|run| (run.table, run.bucket) == (new.table, new.bucket)) {
                        Some(run) => run.end = new.end,
                        None => runs.push(new),
                    }
                }
            }
        }
        *self = copy;
        Verdict::Accepted(Acceptance { slot: header.slot, appended: runs })
    }

    fn act(
        &mut self,
        header: &CommitHeader,
        by: ProposalName,
        entry: &Entry,
    ) -> Result<Option<Appended>, Refusal> {
        if !self.alive && !matches!(entry, Entry::DatabaseCreated | Entry::RolledUp { .. }) {
            return Err(Refusal::DatabaseDropped);
        }
        match entry {
            Entry::DatabaseDropped if self.live_count() > 0 => {
                Err(Refusal::NotEmpty { tables: self.live_count() })
            }
            Entry::DatabaseCreated if self.alive => Err(Refusal::DatabaseExists),
            Entry::LogCreated { .. } => Err(Refusal::DatabaseExists),
            Entry::DatabaseDropped | Entry::DatabaseCreated => {
                self.alive = *entry == Entry::DatabaseCreated;
                self.groups.clear();
                Ok(None)
            }
            Entry::TableCreated { table, name, spec, .. } => self.create(*table, name, spec, by),
            Entry::TableDropped { table, .. } => {
                let time = self.time;
                let found = self.live(*table)?;
                if found.made_by == by {
                    return Err(Refusal::NoSuchTable { table: *table });
                }
                (found.dropped, found.dropped_by) = (Some(time), Some(by));
                Ok(None)
            }
            Entry::TableAltered { table, version, spec } => self.alter(*table, *version, spec, by),
            Entry::TableRestored { table, dropped } => self.restore(*table, *dropped, by),
            Entry::RowsExpired { table, bucket, from, to, .. } => {
                let found = self.live(*table)?;
                if found.made_by == by {
                    return Err(Refusal::NoSuchTable { table: *table });
                }
                let earliest = found.expired.get(&bucket.0).copied().unwrap_or(0);
                if earliest != *from {
                    return Err(Refusal::ExpiryStale { earliest });
                }
                if from >= to || *to > found.rows.get(&bucket.0).map_or(0, |rows| rows.len() as u64) {
                    return Err(Refusal::Invalid { check: 22 });
                }
                found.expired.insert(bucket.0, *to);
                Ok(None)
            }
            Entry::Appended { slice, first_row, rows, expected_offset } => {
                self.append(header, by, (*slice, *first_row, *rows), *expected_offset).map(Some)
            }
            Entry::RolledUp { table, bucket, from, to, parts, .. } => {
                let found = self.live(*table)?;
                if found.made_by == by {
                    return Err(Refusal::NoSuchTable { table: *table });
                }
                let rolled = found.rolled.get(&bucket.0).copied().unwrap_or(0);
                let count = found.rows.get(&bucket.0).map_or(0, |rows| rows.len() as u64);
                if rolled != *from {
                    return Err(Refusal::RollUpStale { rolled });
                }
                if from >= to || *to > count {
                    return Err(Refusal::Invalid { check: 5 });
                }
                let slice = checked_slice(header, parts[0].slice)?;
                if slice.home == SliceHome::Here {
                    return Err(Refusal::Invalid { check: 7 });
                }
                self.live(*table)?.rolled.insert(bucket.0, *to);
                Ok(None)
            }
            Entry::PositionsStored { .. } | Entry::GroupDeleted { .. } => {
                self.act_on_group(by, entry).map(|()| None)
            }
        }
    }

    fn alter(
        &mut self,
        id: TableId,
        version: u64,
        spec: &TableSpec,
        by: ProposalName,
    ) -> Result<Option<Appended>, Refusal> {
        let found = self.live(id)?;
        if found.made_by == by {
            return Err(Refusal::NoSuchTable { table: id });
        }
        let current = found.specs.len() as u64 - 1;
        if version != current {
            return Err(Refusal::TableVersion { table: id, current });
        }
        // What a script asks for is right but for this.
        if spec.buckets != 3 {
            return Err(Refusal::Invalid { check: 20 });
        }
        found.specs.push(spec.clone());
        Ok(None)
    }

    fn restore(
        &mut self,
        id: TableId,
        dropped: TimeMicros,
        by: ProposalName,
    ) -> Result<Option<Appended>, Refusal> {
        let kept = TimeMicros::try_from(RULES.dropped_kept.as_micros()).unwrap();
        let time = self.time;
        let known = self.table(id.0).filter(|table| table.dropped.is_none_or(|at| at + kept >= time));
        let known = known.filter(|table| table.made_by != by).ok_or(Refusal::NoSuchTable { table: id })?;
        if known.dropped != Some(dropped) || known.dropped_by == Some(by) {
            return Err(Refusal::NotDropped { table: id });
        }
        let same = |table: &Table| table.dropped.is_none() && table.name == known.name;
        if let Some(at) = self.tables.iter().position(same) {
            return Err(Refusal::TableExists { table: TableId(at as u64 + 1) });
        }
        let found = &mut self.tables[usize::try_from(id.0 - 1).unwrap()];
        (found.dropped, found.restored_by) = (None, Some(by));
        Ok(None)
    }

    fn create(
        &mut self,
        id: TableId,
        name: &Name,
        spec: &TableSpec,
        by: ProposalName,
    ) -> Result<Option<Appended>, Refusal> {
        let same = |table: &Table| table.dropped.is_none() && table.name == *name;
        if let Some(at) = self.tables.iter().position(same) {
            return Err(Refusal::TableExists { table: TableId(at as u64 + 1) });
        }
        if id.0 != self.next_id() {
            return Err(Refusal::TableIdTaken { next: TableId(self.next_id()) });
        }
        self.tables.push(Table {
            name: name.clone(),
            made_by: by,
            dropped: None,
            rows: BTreeMap::new(),
            rolled: BTreeMap::new(),
            expired: BTreeMap::new(),
            specs: vec![spec.clone()],
            dropped_by: None,
            restored_by: None,
        });
        Ok(None)
    }

    fn act_on_group(&mut self, by: ProposalName, entry: &Entry) -> Result<(), Refusal> {
        match entry {
            Entry::PositionsStored { group, generation, positions } => {
                self.touch(by, group, *generation)?;
                self.store(group, positions)
            }
            Entry::GroupDeleted { group, generation } => {
                self.touch(by, group, *generation)?;
                let gone = self.groups.remove(group);
                gone.map(drop).ok_or(Refusal::GroupGeneration { group: group.clone(), actual: 0 })
            }
            other => panic!("not about a group: {other:?}"),
        }
    }

    fn touch(&mut self, by: ProposalName, group: &Name, generation: u64) -> Result<(), Refusal> {
        if !self.touched.insert((by, group.clone())) {
            return Err(Refusal::Invalid { check: 30 });
        }
        let actual = self.generation(group);
        if actual != generation {
            return Err(Refusal::GroupGeneration { group: group.clone(), actual });
        }
        Ok(())
    }

    fn store(&mut self, name: &Name, positions: &[StoredPosition]) -> Result<(), Refusal> {
        let before = self.groups.get(name).cloned();
        let mut group = before.clone().unwrap_or_default();
        let mut seen = BTreeSet::new();
        for StoredPosition { table, offsets, expected } in positions {
            let table = *table;
            if !seen.insert(table) {
                return Err(Refusal::Invalid { check: 31 });
            }
            self.live(table)?;
            if offsets.is_empty() {
                return Err(Refusal::Invalid { check: 32 });
            }
            if offsets.contains_key(&Bucket(3)) {
                return Err(Refusal::NoSuchBucket { table, bucket: Bucket(3) });
            }
            let is = |bucket: u32| group.offsets.get(&(table.0, bucket)).copied();
            let all = |buckets: Vec<u32>| buckets.into_iter().map(|it| (Bucket(it), is(it))).collect();
            let actual: BTreeMap<Bucket, Option<u64>> = match expected {
                ExpectedPosition::Any => BTreeMap::new(),
                ExpectedPosition::Nothing => all((0..3).filter(|bucket| is(*bucket).is_some()).collect()),
                ExpectedPosition::Exactly(map) => all(map.keys().map(|bucket| bucket.0).collect()),
            };
            let wrong = match expected {
                ExpectedPosition::Exactly(expected) => actual != *expected,
                _ => !actual.is_empty(),
            };
            if wrong {
                return Err(Refusal::ExpectedPosition { group: name.clone(), table, actual });
            }
            for (bucket, offset) in offsets {
                let latest = self.next(table.0, bucket.0);
                if *offset > latest {
                    let (bucket, offset) = (*bucket, *offset);
                    return Err(Refusal::PositionBeyondTail { table, bucket, offset, latest });
                }
                group.offsets.insert((table.0, bucket.0), *offset);
            }
        }
        group.stored = self.time;
        if before.is_none() {
            group.generation = self.generations + 1;
        }
        let limits = RULES.groups;
        let tables = |group: &Group| group.offsets.keys().map(|key| key.0).collect::<BTreeSet<_>>().len();
        let grows = tables(&group) > before.as_ref().map_or(0, tables);
        let more = group.offsets.len() > before.as_ref().map_or(0, |before| before.offsets.len());
        let tables = tables(&group);
        self.generations = self.generations.max(group.generation);
        self.groups.insert(name.clone(), group);
        let offsets: usize = self.groups.values().map(|group| group.offsets.len()).sum();
        let full = |limit, max: usize| Err(Refusal::GroupsFull { limit, max: max as u64 });
        match () {
            () if self.groups.len() > limits.groups_max => full(GroupLimit::Groups, limits.groups_max),
            () if grows && tables > limits.tables_max => full(GroupLimit::Tables, limits.tables_max),
            () if more && offsets > limits.offsets_max => full(GroupLimit::Offsets, limits.offsets_max),
            () => Ok(()),
        }
    }

    fn append(
        &mut self,
        header: &CommitHeader,
        by: ProposalName,
        (index, first_row, count): (u32, u32, u32),
        expected: Option<u64>,
    ) -> Result<Appended, Refusal> {
        let slice = checked_slice(header, index)?;
        let (table, bucket) = (slice.table, slice.bucket);
        let found = self.live(table)?;
        if bucket.0 >= 3 {
            return Err(Refusal::NoSuchBucket { table, bucket });
        }
        let current = found.spec().schema.id;
        let written = found.specs.iter().find(|spec| spec.schema.id == slice.schema);
        let kept = Table::columns(found.spec());
        let kept = |spec: &&TableSpec| Table::columns(spec).iter().all(|id| kept.contains(id));
        if written.filter(kept).is_none() {
            return Err(Refusal::SchemaChanged { table, current });
        }
        if first_row + count > slice.rows {
            return Err(Refusal::Invalid { check: 3 });
        }
        let rows = found.rows.entry(bucket.0).or_default();
        let start = rows.len() as u64;
        if let Some(expected) = expected.filter(|expected| *expected != start) {
            return Err(Refusal::ExpectedOffset { table, bucket, expected, actual: start });
        }
        rows.extend((0..count).map(|_| by));
        Ok(Appended { table, bucket, start, end: rows.len() as u64 })
    }
}

fn checked_slice(header: &CommitHeader, index: u32) -> Result<&Slice, Refusal> {
    let slice = &header.slices[usize::try_from(index).unwrap()];
    match slice.home {
        SliceHome::Segment(at)
            if header.segments[usize::try_from(at).unwrap()].id.base + WINDOW < header.slot =>
        {
            Err(Refusal::Expired)
        }
        _ => Ok(slice),
    }
}

/// The state agrees with the model in all that it still remembers.
fn assert_agree(state: &State, model: &Model) {
    let slot = state.next() - 1;
    assert_eq!((state.time(), state.is_alive()), (model.time, model.alive));
    assert_eq!(state.tables().next_id().0, model.next_id());
    let kept = TimeMicros::try_from(RULES.dropped_kept.as_micros()).unwrap();
    let mut remembered = 0;
    for (id, table) in (1..).zip(&model.tables) {
        let Some(found) = state.tables().all().find(|found| found.id.0 == id) else {
            assert!(
                table.dropped.is_some_and(|dropped| dropped + kept < model.time),
                "table {id} is forgotten"
            );
            continue;
        };
        remembered += 1;
        assert_eq!((&found.name, found.dropped), (&table.name, table.dropped));
        assert!(table.dropped.is_none_or(|dropped| dropped + kept >= model.time), "table {id} is kept");
        for bucket in 0..4 {
            let tail = found.rows_tail(Bucket(bucket));
            assert_eq!((tail.next, tail.rolled), (model.next(id, bucket), model.rolled(id, bucket)));
            assert_eq!(tail.earliest, model.earliest(id, bucket));
        }
        let (version, spec) = model.altered(id).unwrap();
        assert_eq!((found.version, &found.spec), (version, &spec));
        let schemas: Vec<_> = found.schemas.iter().map(|schema| schema.as_ref().clone()).collect();
        let mut expected: Vec<_> = table.specs.iter().map(|spec| spec.schema.clone()).collect();
        expected.dedup();
        expected.pop();
        assert_eq!(schemas, expected);
        let named = state.tables().named(&table.name).is_some_and(|it| it.id.0 == id);
        assert_eq!(named, table.dropped.is_none());
    }
    assert_eq!(state.tables().all().count(), remembered);
    let groups = state.groups().iter().map(|(name, group)| {
        let offsets = group.positions.iter().flat_map(|(table, offsets)| {
            offsets.iter().map(|(bucket, offset)| ((table.0, bucket.0), *offset))
        });
        (name, group.generation, group.stored, offsets.collect())
    });
    let expected = model.groups.iter().map(|(name, it)| (name, it.generation, it.stored, it.offsets.clone()));
    assert!(groups.eq(expected), "{:?} is not {:?}", state.groups(), model.groups);
    let producers: Vec<_> =
        state.producers().iter().map(|(id, it)| (id, it.epoch, it.next, it.last_time)).collect();
    let expected =
        model.producers.iter().map(|(id, it)| (id.as_str(), it.epoch, it.verdicts.len() as u64, it.last));
    assert_eq!(producers, expected.collect::<Vec<_>>());
    let names: Vec<_> =
        state.names().iter().map(|(name, base, fate)| (*name, (base, fate.clone()))).collect();
    let young = model.fates.iter().filter(|(_, (base, _))| base + WINDOW >= slot);
    assert_eq!(names, young.map(|(name, fate)| (*name, fate.clone())).collect::<Vec<_>>());
}

fn run(script: &[SlotPlan], stop_at: usize) -> Counts {
    let (mut state, mut model, mut writer) = (begin(RULES), Model::new(), Writer::default());
    let mut stopped: Option<State> = None;
    let mut ends: BTreeMap<StreamKey, u64> = BTreeMap::new();
    let mut counts = Counts::default();
    for (at, plan) in script.iter().enumerate() {
        let header = writer.write(state.next(), plan, &model);
        let commit = commit(&header);
        let expected = model.fold(&header);
        let tables = state.tables().clone();
        let applied = state.apply(&commit).unwrap();
        let fates: Vec<Fate> = applied.fates.iter().map(|(_, fate)| fate.clone()).collect();
        assert_eq!(fates, expected, "slot {}", header.slot);
        for placed in &applied.placed {
            let end = ends.insert(placed.key, placed.offsets.end).unwrap_or(0);
            assert_eq!(placed.offsets.start, end, "offsets are gapless");
        }
        let now = |fate: &Fate| matches!(fate, Fate::Decided { verdict: Verdict::Accepted(it), duplicate: false } if it.slot == header.slot);
        if !fates.iter().any(now) && tables.all().all(|table| table.dropped.is_none()) {
            assert_eq!(*state.tables(), tables, "a refusal changes no table");
        }
        assert_agree(&state, &model);
        counts.add(&fates);

        // Written down and read again at some slot, the state goes on as if it had never stopped.
        let bytes = state.encode();
        match &mut stopped {
            None if at == stop_at => stopped = Some(State::decode("x", 0, &bytes, RULES).unwrap()),
            None => {}
            Some(other) => drop(other.apply(&commit).unwrap()),
        }
        if let Some(other) = &stopped {
            assert_eq!((other.log_hash(), other.encode()), (state.log_hash(), bytes));
        }
    }
    counts
}

/// What the scripts contained: a property of nothing says nothing.
#[derive(Debug, Default)]
struct Counts(BTreeMap<String, usize>);

impl Counts {
    fn add(&mut self, fates: &[Fate]) {
        for fate in fates {
            let kind = match fate {
                Fate::Decided { verdict: Verdict::Accepted(_), duplicate: false } => "accepted".to_owned(),
                Fate::Decided { duplicate: true, .. } => "duplicate".to_owned(),
                Fate::Decided { verdict: Verdict::Refused(refusal), .. } => {
                    let words = format!("{refusal:?}");
                    let end = words.find([' ', '{']).unwrap_or(words.len());
                    words[..end].to_owned()
                }
                Fate::Forgotten => "forgotten".to_owned(),
                Fate::Gap { .. } => "gap".to_owned(),
            };
            *self.0.entry(kind).or_default() += 1;
        }
    }
}

#[test]
fn the_fold_agrees_with_a_naive_model() {
    let mut counts = Counts::default();
    let config = ProptestConfig { cases: 150, ..ProptestConfig::default() };
    let mut runner = proptest::test_runner::TestRunner::new_with_rng(
        config,
        proptest::test_runner::TestRng::deterministic_rng(proptest::test_runner::RngAlgorithm::ChaCha),
    );
    let totals = std::cell::RefCell::new(&mut counts);
    let checked = runner.run(&(scripts(60), 0..60usize), |(script, stop_at)| {
        for (kind, count) in run(&script, stop_at).0 {
            *totals.borrow_mut().0.entry(kind).or_default() += count;
        }
        Ok(())
    });
    checked.unwrap();
    for kind in [
        "accepted",
        "duplicate",
        "forgotten",
        "gap",
        "Expired",
        "Fenced",
        "SequenceConflict",
        "UnknownProducer",
        "ExpectedOffset",
        "NoSuchTable",
        "NoSuchBucket",
        "TableExists",
        "TableIdTaken",
        "SchemaChanged",
        "NotEmpty",
        "DatabaseDropped",
        "DatabaseExists",
        "RollUpStale",
        "TableVersion",
        "NotDropped",
        "ExpiryStale",
        "ExpectedPosition",
        "GroupGeneration",
        "PositionBeyondTail",
        "GroupsFull",
        "Invalid",
    ] {
        assert!(
            counts.0.get(kind).is_some_and(|count| *count > 10),
            "{kind} happened too rarely: {counts:?}"
        );
    }
}

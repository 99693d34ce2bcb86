//! What clients asked and were told, and what the log says: folded as it grows, judged at once.
//!
//! The log here is the truth of the bucket: what stood *first* in each slot. It is folded by the code under test, so that a planted
//! bug shows as a client would see it, and by the [reference](mod@reference) beside it, which knows no bugs.

pub(crate) mod changes;
pub(crate) mod groups;
pub(crate) mod reference;
pub(crate) mod violation;

use std::collections::{BTreeMap, BTreeSet};

use arrow::array::AsArray;
use arrow::datatypes::{FieldRef, Int64Type};
use bytes::Bytes;
use frazil_log::format::commit::{Commit, ProducerStamp};
use frazil_log::format::entry::Entry;
use frazil_log::format::page::StreamKey;
use frazil_log::format::segment::SegmentHeader;
use frazil_log::format::slice::{Slice, SliceHome};
use frazil_log::id::{Name, Offset, Slot, Ulid};
use frazil_log::planted::Bug;
use frazil_log::protocol::{FoldRules, Protocol};
use frazil_log::schema::arrow_form::arrow_field;
use frazil_log::segment::{BodyPlace, decode_columns};
use frazil_log::state::verdict::{Acceptance, Refusal};
use frazil_log::state::{Applied, State};

use crate::history::changes::Changes;
use crate::history::groups::Groups;
use crate::history::reference::Reference;
use crate::history::violation::{Kind, Shape, Violation};
use crate::world::bucket::Bucket;

/// A row's id names its request: `uid * ROWS_MAX + index`.
pub(crate) const ROWS_MAX: u64 = 64;

/// One request of one client.
#[derive(Clone, Debug, Default)]
pub(crate) struct Record {
    /// The producer's stamp, if it counts.
    pub(crate) producer: Option<ProducerStamp>,
    /// The gateways that it was sent to, in order.
    pub(crate) tries: Vec<usize>,
    /// How many rows it has.
    pub(crate) rows: u64,
    /// What the client was told, if that was definite.
    pub(crate) told: Option<Told>,
    /// Where its rows are.
    pub(crate) placed: BTreeMap<u64, (StreamKey, Offset)>,
    /// Its copies in the log: slot, place in the slot, who wrote it.
    pub(crate) copies: Vec<(Slot, usize, Ulid)>,
}

/// A definite answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Told {
    /// Taken, at these offsets.
    Acked(Acceptance),
    /// Taken once, offsets not known any more.
    Forgotten,
    /// Refused by the log.
    Refused(Refusal),
    /// Not proposed, says the gateway.
    NotWritten,
}

/// The history of a run.
#[derive(Debug)]
pub(crate) struct History {
    rules: FoldRules,
    state: Option<State>,
    reference: Option<Reference>,
    /// Groups, where nothing is planted that would show elsewhere first.
    groups: Option<Groups>,
    /// The same for what tables become.
    changes: Option<Changes>,
    records: BTreeMap<u64, Record>,
    next_uid: u64,
    /// The log hash below each slot.
    hashes: Vec<u128>,
    /// The row ids of each sequence, by offset.
    visible: BTreeMap<StreamKey, Vec<u64>>,
    order: BTreeMap<String, (u64, u64)>,
    /// Events of the fold that the report counts.
    pub(crate) seen: BTreeMap<&'static str, u64>,
}

fn broken(what: impl std::fmt::Display) -> Violation {
    Violation::new(Kind::Stopped, format!("the log itself cannot be folded: {what}"))
}

impl History {
    /// An empty one.
    pub(crate) fn new(protocol: &Protocol, with_reference: bool) -> Self {
        let planted = |bugs: &[Bug]| bugs.iter().any(|bug| protocol.fold.planted.has(*bug));
        let about_groups = planted(&[Bug::PartsApplied, Bug::ExpectedPositionOff, Bug::GenerationOff]);
        let about_changes = planted(&[Bug::AlterUnversioned, Bug::ExpiryUnconditional]);
        Self {
            rules: protocol.fold.clone(),
            state: None,
            reference: with_reference.then(|| Reference::new(&protocol.fold)),
            groups: (with_reference || about_groups).then(Groups::default),
            changes: (with_reference || about_changes).then(Changes::default),
            records: BTreeMap::new(),
            next_uid: 1,
            hashes: vec![0],
            visible: BTreeMap::new(),
            order: BTreeMap::new(),
            seen: BTreeMap::new(),
        }
    }

    /// A request that is about to be sent.
    pub(crate) fn ask(&mut self, producer: Option<ProducerStamp>, rows: u64) -> u64 {
        let uid = self.next_uid;
        self.next_uid += 1;
        self.records.insert(uid, Record { producer, rows, ..Record::default() });
        uid
    }

    /// It is sent to a gateway.
    pub(crate) fn sent(&mut self, uid: u64, node: usize) {
        self.records.entry(uid).or_default().tries.push(node);
    }

    /// How many requests there were.
    pub(crate) fn requests(&self) -> usize {
        self.records.len()
    }

    /// How many got a definite answer.
    pub(crate) fn answered(&self) -> usize {
        self.records.values().filter(|record| record.told.is_some()).count()
    }

    /// The first slot that nobody has filled.
    pub(crate) fn tail(&self) -> Slot {
        self.hashes.len() as Slot - 1
    }

    /// The log hash below a slot.
    pub(crate) fn hash_at(&self, slot: Slot) -> Option<u128> {
        self.hashes.get(usize::try_from(slot).ok()?).copied()
    }

    /// The rows that are kept of every sequence of a live table, from its earliest offset on.
    pub(crate) fn visible(&self) -> impl Iterator<Item = (&StreamKey, Offset, &[u64])> {
        let live = |key: &StreamKey| {
            self.state.as_ref().is_some_and(|state| state.tables().live(key.table).is_some())
        };
        self.visible.iter().filter(move |(key, _)| live(key)).map(move |(key, ids)| {
            let earliest = self.earliest(key);
            (key, earliest, ids.get(usize::try_from(earliest).unwrap_or(usize::MAX)..).unwrap_or_default())
        })
    }

    /// The first offset of a sequence that is kept.
    pub(crate) fn earliest(&self, key: &StreamKey) -> Offset {
        self.state.as_ref().map_or(0, |state| state.tables().tail(key).earliest)
    }

    /// The next offset of a bucket of a table.
    pub(crate) fn next_offset(&self, table: &Name, bucket: u32) -> Offset {
        let Some(table) = self.state.as_ref().and_then(|state| state.tables().named(table)) else { return 0 };
        table.rows_tail(frazil_log::id::Bucket(bucket)).next
    }

    /// Folds what is new in the bucket.
    pub(crate) fn fold(&mut self, bucket: &Bucket) -> Result<(), Violation> {
        while let Some(bytes) = bucket.first.get(&self.tail()) {
            let slot = self.tail();
            let commit = Commit::decode("the first commit", bytes, slot).map_err(broken)?;
            let applied = match &mut self.state {
                Some(state) => state.apply(&commit).map_err(broken)?,
                None => {
                    let (state, applied) = State::begin(&commit, self.rules.clone()).map_err(broken)?;
                    self.state = Some(state);
                    applied
                }
            };
            self.hashes.push(self.state.as_ref().map_or(0, State::log_hash));
            self.count(&commit, &applied);
            if let Some(reference) = &mut self.reference {
                reference.fold(&commit, &applied)?;
            }
            let ids = self.ids(&commit, bytes, bucket)?;
            let groups = match (&mut self.groups, &self.state) {
                (Some(groups), Some(state)) => groups.fold(&commit, &applied, state),
                _ => Ok(0),
            };
            self.note_copies(&commit, &ids);
            self.place(&applied, &ids)?;
            self.check_whole(&applied)?;
            *self.seen.entry("groups stored or deleted").or_default() += groups?;
            if let (Some(changes), Some(state)) = (&mut self.changes, &self.state) {
                changes.fold(&commit, &applied, state, &mut self.seen)?;
            }
        }
        Ok(())
    }

    /// Where a group stands in a table, as a client reads it that asks now: its generation, and the offset of a bucket.
    pub(crate) fn stands(&self, group: &Name, table: &Name, bucket: u32) -> Option<Offset> {
        let state = self.state.as_ref()?;
        let table = state.tables().named(table)?.id;
        state.groups().get(group)?.offset(table, frazil_log::id::Bucket(bucket))
    }

    /// Rule 2: of a request all rows are in a slot, or none.
    fn check_whole(&self, applied: &Applied) -> Result<(), Violation> {
        for placed in &applied.placed {
            let at = usize::try_from(placed.offsets.start).unwrap_or(usize::MAX);
            let first = self.visible.get(&placed.key).and_then(|ids| ids.get(at));
            let Some(uid) = first.map(|id| id / ROWS_MAX) else { continue };
            let Some(record) = self.records.get(&uid) else { continue };
            if record.placed.len() as u64 != record.rows && self.groups.is_some() {
                let (slot, rows) = (applied.slot, record.rows);
                let words =
                    format!("slot {slot} has {} of the {rows} rows of request {uid}", record.placed.len());
                return Err(Violation::new(Kind::RefusedInLog, words));
            }
        }
        Ok(())
    }

    fn count(&mut self, commit: &Commit, applied: &Applied) {
        use frazil_log::state::verdict::{Fate, Verdict};
        let mut seen = |what| *self.seen.entry(what).or_default() += 1;
        seen("slots");
        for (_, fate) in &applied.fates {
            match fate {
                Fate::Decided { verdict: Verdict::Accepted(_), duplicate: false } => seen("proposals taken"),
                Fate::Decided { duplicate: true, .. } | Fate::Forgotten => seen("duplicates in the log"),
                Fate::Decided { verdict: Verdict::Refused(Refusal::Expired), .. } => seen("expired names"),
                Fate::Decided { verdict: Verdict::Refused(_), .. } => seen("refused by the log"),
                Fate::Gap { .. } => seen("gaps in the log"),
            }
        }
        if !applied.moved.is_empty() {
            seen("roll-ups");
        }
        if !commit.header.segments.is_empty() {
            seen("commits with segments");
        }
        if commit.header.proposals.is_empty() {
            seen("holes filled with nothing");
        }
        // Flights beside it are three at most.
        if commit.header.slot >= commit.header.folded.0 + 4 {
            seen("commits far ahead");
        }
    }

    /// The row ids of each slice that rows were appended from.
    fn ids(
        &self,
        commit: &Commit,
        bytes: &Bytes,
        bucket: &Bucket,
    ) -> Result<BTreeMap<u32, Vec<u64>>, Violation> {
        let appended =
            commit.header.proposals.iter().flat_map(|proposal| &proposal.entries).filter_map(|entry| {
                match entry {
                    Entry::Appended { slice, .. } => Some(*slice),
                    _ => None,
                }
            });
        let wanted: BTreeSet<u32> = appended.collect();
        let mut ids = BTreeMap::new();
        for index in wanted {
            let Some(slice) = commit.header.slices.get(index as usize) else { continue };
            if let Some(found) = self.slice_ids(commit, slice, bytes, bucket)? {
                ids.insert(index, found);
            }
        }
        Ok(ids)
    }

    fn slice_ids(
        &self,
        commit: &Commit,
        slice: &Slice,
        bytes: &Bytes,
        bucket: &Bucket,
    ) -> Result<Option<Vec<u64>>, Violation> {
        let table =
            self.state.as_ref().and_then(|state| state.tables().all().find(|table| table.id == slice.table));
        let Some(table) = table else { return Ok(None) };
        // No column is ever dropped here: the slice's are among the table's.
        let named = |id: &i32| table.spec.schema.columns.iter().find(|column| column.id == *id);
        let fields: Vec<FieldRef> =
            slice.columns.iter().filter_map(named).map(|column| arrow_field(column).into()).collect();
        let (object, body_start) = match slice.home {
            SliceHome::Here => (bytes.clone(), commit.envelope.body_start()),
            SliceHome::Segment(index) => {
                let segment =
                    commit.header.segments.get(index as usize).ok_or_else(|| broken("no such segment"))?;
                let object = bucket.segments.get(&segment.id).ok_or_else(|| {
                    Violation::new(Kind::BytesGone, format!("segment {} was never written", segment.id))
                })?;
                SegmentHeader::decode("a segment", object, segment.id).map_err(broken)?;
                (object.clone(), segment.body_start)
            }
        };
        let range = slice.object_range(body_start);
        let at = |at: u64| usize::try_from(at).unwrap_or(usize::MAX);
        let own = object.slice(at(range.start)..at(range.end));
        let place = BodyPlace { object: "the first commit", start: body_start };
        let batches = decode_columns(slice, &own, &fields, &[0], &place).map_err(broken)?;
        let ids =
            batches.iter().flat_map(|batch| batch.column(0).as_primitive::<Int64Type>().values().to_vec());
        Ok(Some(ids.map(i64::unsigned_abs).collect()))
    }

    fn note_copies(&mut self, commit: &Commit, ids: &BTreeMap<u32, Vec<u64>>) {
        for (place, proposal) in commit.header.proposals.iter().enumerate() {
            let first = proposal.entries.iter().find_map(|entry| match entry {
                Entry::Appended { slice, first_row, .. } => ids.get(slice)?.get(*first_row as usize),
                _ => None,
            });
            if let Some(record) = first.and_then(|id| self.records.get_mut(&(id / ROWS_MAX))) {
                record.copies.push((commit.header.slot, place, commit.header.writer.incarnation));
            }
        }
    }

    fn place(&mut self, applied: &Applied, ids: &BTreeMap<u32, Vec<u64>>) -> Result<(), Violation> {
        for placed in &applied.placed {
            let of_slice =
                ids.get(&placed.slice).ok_or_else(|| broken("placed rows of a slice that is not there"))?;
            for (row, offset) in (placed.first_row as usize..).zip(placed.offsets.clone()) {
                let id = *of_slice.get(row).ok_or_else(|| broken("placed rows beyond their slice"))?;
                let visible = self.visible.entry(placed.key).or_default();
                if visible.len() as u64 != offset {
                    return Err(broken(format!(
                        "offset {offset} follows {} of {:?}",
                        visible.len(),
                        placed.key
                    )));
                }
                visible.push(id);
                self.place_row(applied.slot, id, placed.key, offset)?;
            }
        }
        Ok(())
    }

    fn place_row(&mut self, slot: Slot, id: u64, key: StreamKey, offset: Offset) -> Result<(), Violation> {
        let uid = id / ROWS_MAX;
        let record =
            self.records.get_mut(&uid).ok_or_else(|| broken(format!("row {id} was sent by nobody")))?;
        let what = format!("request {uid} ({}), row {}", describe(record), id % ROWS_MAX);
        if let Some(before) = record.placed.insert(id % ROWS_MAX, (key, offset)) {
            return Err(Violation::new(
                Kind::Doubled,
                format!(
                    "{what} is in the log twice: {before:?} and {:?}, the second in slot {slot}",
                    (key, offset)
                ),
            ));
        }
        match &record.told {
            Some(Told::Refused(refusal)) => {
                return Err(Violation::new(
                    Kind::RefusedInLog,
                    format!("{what} was refused ({refusal:?}) but got into the log in slot {slot}"),
                ));
            }
            Some(Told::NotWritten) => {
                return Err(Violation::new(
                    Kind::RefusedInLog,
                    format!("{what} was not proposed, its gateway said, but is in slot {slot}"),
                ));
            }
            _ => {}
        }
        if let Some(stamp) = &record.producer {
            let now = (stamp.epoch, stamp.seq);
            let last = self.order.insert(stamp.id.clone(), now);
            if last.is_some_and(|last| last > now) && self.reference.is_some() {
                return Err(Violation::new(Kind::OutOfOrder, format!("{what} comes after {last:?}")));
            }
        }
        Ok(())
    }

    /// A client is told something definite; it must be true now.
    pub(crate) fn tell(&mut self, uid: u64, told: Told) -> Result<(), Violation> {
        let tail = self.tail();
        let Some(record) = self.records.get(&uid) else { return Ok(()) };
        let what = format!("request {uid} ({})", describe(record));
        if let Some(before) = &record.told
            && *before != told
            // An answer that is forgotten meanwhile (the client has it) contradicts none.
            && !matches!((before, &told), (Told::Forgotten, Told::Acked(_)) | (_, Told::Forgotten))
            && *before != Told::NotWritten
            && (self.reference.is_some() || !matches!((before, &told), (Told::Refused(_), Told::Refused(_))))
        {
            return Err(Violation::new(
                Kind::Contradiction,
                format!("{what} was told {before:?}, then {told:?}"),
            ));
        }
        match &told {
            Told::Acked(acceptance) => self.check_acked(record, &what, acceptance, tail)?,
            Told::Forgotten if record.told.is_none() && record.placed.len() as u64 != record.rows => {
                let shape = self.shape(record);
                let words = format!("{what} was answered \"duplicate\", but is not in the log");
                return Err(Violation { kind: Kind::AckLost, words, shape });
            }
            Told::Refused(refusal) if !record.placed.is_empty() => {
                let words = format!("{what} was refused ({refusal:?}) but is in the log");
                return Err(Violation::new(Kind::RefusedInLog, words));
            }
            Told::NotWritten if !record.placed.is_empty() => {
                let words = format!("{what} was not proposed, its gateway said, but is in the log");
                return Err(Violation::new(Kind::RefusedInLog, words));
            }
            _ => {}
        }
        if let Some(record) = self.records.get_mut(&uid)
            && !(told == Told::Forgotten && record.told.is_some())
        {
            record.told = Some(told);
        }
        Ok(())
    }

    fn check_acked(
        &self,
        record: &Record,
        what: &str,
        acceptance: &Acceptance,
        tail: Slot,
    ) -> Result<(), Violation> {
        if acceptance.slot >= tail {
            let words =
                format!("{what} was acknowledged in slot {}, the log ends at {tail}", acceptance.slot);
            return Err(Violation::new(Kind::AckLost, words));
        }
        if record.placed.len() as u64 != record.rows {
            let words = format!(
                "{what} was acknowledged ({acceptance:?}), but {} of its rows are in the log",
                record.placed.len()
            );
            return Err(Violation { kind: Kind::AckLost, words, shape: self.shape(record) });
        }
        let told = acceptance
            .appended
            .iter()
            .flat_map(|it| (it.start..it.end).map(|offset| (it.table, it.bucket, offset)));
        let told: BTreeSet<_> = told.collect();
        let are: BTreeSet<_> =
            record.placed.values().map(|(key, offset)| (key.table, key.bucket, *offset)).collect();
        if told != are {
            let words = format!("{what} was acknowledged at {told:?}, but is at {are:?}");
            return Err(Violation::new(Kind::AckMoved, words));
        }
        Ok(())
    }

    /// How a sequence was lost to a later one.
    fn shape(&self, lost: &Record) -> Option<Shape> {
        let stamp = lost.producer.as_ref()?;
        let later = |record: &&Record| {
            let other = record.producer.as_ref();
            other.is_some_and(|other| {
                other.id == stamp.id && other.epoch == stamp.epoch && other.seq > stamp.seq
            }) && !record.placed.is_empty()
        };
        let first =
            self.records.values().filter(later).min_by_key(|record| record.copies.first().copied())?;
        let (lost_slot, first_slot) = (lost.copies.first()?.0, first.copies.first()?.0);
        let once = lost.tries.len() == 1 && first.tries.len() == 1;
        if lost.tries.len() > 1 && lost_slot == first_slot && lost.tries.first() != first.tries.first() {
            return Some(Shape::RetryInOneSlot);
        }
        if once && lost.tries != first.tries {
            return Some(Shape::TwoGateways);
        }
        (once && lost_slot > first_slot).then_some(Shape::SlotsAhead)
    }
}

fn describe(record: &Record) -> String {
    match &record.producer {
        Some(stamp) => {
            format!("{} epoch {} #{}, sent to nodes {:?}", stamp.id, stamp.epoch, stamp.seq, record.tries)
        }
        None => format!("plain, sent to nodes {:?}", record.tries),
    }
}

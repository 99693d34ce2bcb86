//! Random logs: what clients and gateways may do, right and wrong, old and new.

use std::collections::BTreeMap;

use proptest::collection::vec;
use proptest::option;
use proptest::prelude::*;
use serde_json::json;

use super::model::Model;
use super::{
    Bucket, CommitHeader, Entry, Name, ProducerStamp, Proposal, RULES, SECOND, SegmentRef, Slice, SliceHome,
    Slot, Stream, TableId, TableSpec, create, drop_table, header, proposal, rolled_slice, segment, slice,
    slice_in,
};
use crate::format::entry::RolledPart;
use crate::format::positions::{ExpectedPosition, StoredPosition};
use crate::schema::evolution::{Change, alter};

/// One slot.
#[derive(Clone, Debug)]
pub(super) struct SlotPlan {
    seconds: i64,
    proposals: Vec<Plan>,
}

#[derive(Clone, Debug)]
enum Plan {
    Fresh {
        lag: Slot,
        client: Option<Client>,
        acts: Vec<Act>,
    },
    /// An earlier proposal again, under its old name, as another gateway or a late PUT brings it.
    Copy {
        back: usize,
    },
    /// An earlier request again, under a new name, as a client's retry brings it.
    Retry {
        back: usize,
        other_bytes: bool,
    },
}

#[derive(Clone, Debug)]
struct Client {
    id: u8,
    /// Above (or below) the epoch known.
    epoch: i64,
    /// Above (or below) the sequence expected.
    seq: i64,
}

#[derive(Clone, Debug)]
enum Act {
    Append { table: u64, bucket: u32, rows: u32, first_row: u32, odd: Option<Odd> },
    Create { name: usize, ahead: u64 },
    Drop { table: u64 },
    DropDatabase,
    CreateDatabase,
    RollUp { table: u64, bucket: u32, percent: u64, stale: u64, in_segment: bool },
    Store { group: usize, stale: bool, positions: Vec<Stand> },
    DeleteGroup { group: usize, stale: bool },
    Alter { table: u64, stale: u64, how: How },
    Restore { table: u64, stale: bool },
    Expire { table: u64, bucket: u32, percent: u64, stale: u64 },
}

/// How a table is altered.
#[derive(Clone, Copy, Debug)]
enum How {
    Add,
    DropLast,
    Option,
    Illegal,
}

/// Where a group stands in a table.
#[derive(Clone, Debug)]
struct Stand {
    table: u64,
    offsets: Vec<(u32, u64)>,
    expects: Expects,
}

#[derive(Clone, Copy, Debug)]
enum Expects {
    Anything,
    Nothing,
    WhatIs,
    Other,
}

/// The groups of the scripts.
pub(super) const GROUPS: [&str; 4] = ["g", "h", "i", "j"];

/// What may be out of the ordinary about rows.
#[derive(Clone, Copy, Debug)]
enum Odd {
    Expects(i64),
    OtherSchema,
    OlderSchema { back: usize },
    InSegment { age: Slot },
    BeyondSlice,
}

pub(super) fn scripts(slots: usize) -> impl Strategy<Value = Vec<SlotPlan>> {
    let slot =
        (-20..40i64, vec(plans(), 0..4)).prop_map(|(seconds, proposals)| SlotPlan { seconds, proposals });
    vec(slot, slots)
}

fn plans() -> impl Strategy<Value = Plan> {
    let client = (0..3u8, prop_oneof![8 => Just(0), 1 => -1..2i64], prop_oneof![12 => Just(0), 1 => 1..3i64])
        .prop_map(|(id, epoch, seq)| Client { id, epoch, seq });
    let lag = prop_oneof![6 => 0..3u64, 1 => 0..RULES.window_slots + 3];
    prop_oneof![
        5 => (lag, option::of(client), vec(acts(), 0..4))
            .prop_map(|(lag, client, acts)| Plan::Fresh { lag, client, acts }),
        2 => (1..12usize).prop_map(|back| Plan::Copy { back }),
        2 => (1..40usize, prop::bool::weighted(0.1)).prop_map(|(back, other_bytes)| Plan::Retry { back, other_bytes }),
    ]
}

fn acts() -> impl Strategy<Value = Act> {
    let odd = prop_oneof![
        4 => (-1..2i64).prop_map(Odd::Expects),
        1 => Just(Odd::OtherSchema),
        3 => (1..4usize).prop_map(|back| Odd::OlderSchema { back }),
        3 => (0..RULES.window_slots + 2).prop_map(|age| Odd::InSegment { age }),
        1 => Just(Odd::BeyondSlice),
    ];
    let how = prop_oneof![4 => Just(How::Add), 2 => Just(How::DropLast), 2 => Just(How::Option), 1 => Just(How::Illegal)];
    let bucket = || prop_oneof![12 => 0..3u32, 1 => Just(3)];
    prop_oneof![
        12 => (0..8u64, bucket(), 1..5u32, 0..2u32, option::weighted(0.3, odd))
            .prop_map(|(table, bucket, rows, first_row, odd)| Act::Append { table, bucket, rows, first_row, odd }),
        4 => (0..4usize, prop_oneof![6 => Just(0), 1 => 1..3u64]).prop_map(|(name, ahead)| Act::Create { name, ahead }),
        2 => (0..8u64).prop_map(|table| Act::Drop { table }),
        1 => Just(Act::DropDatabase),
        1 => Just(Act::CreateDatabase),
        4 => (0..8u64, bucket(), 0..101u64, prop_oneof![6 => Just(0), 1 => Just(1)], prop::bool::weighted(0.9))
            .prop_map(|(table, bucket, percent, stale, in_segment)| {
                Act::RollUp { table, bucket, percent, stale, in_segment }
            }),
        3 => (0..8u64, prop_oneof![6 => Just(0), 1 => Just(1)], how).prop_map(|(table, stale, how)| Act::Alter { table, stale, how }),
        2 => (0..3u64, prop::bool::weighted(0.1)).prop_map(|(table, stale)| Act::Restore { table, stale }),
        3 => (0..8u64, bucket(), 0..101u64, prop_oneof![6 => Just(0), 1 => Just(1)])
            .prop_map(|(table, bucket, percent, stale)| Act::Expire { table, bucket, percent, stale }),
        16 => (0..4usize, prop::bool::weighted(0.1), vec(stands(), 0..3))
            .prop_map(|(group, stale, positions)| Act::Store { group, stale, positions }),
        1 => (0..4usize, prop::bool::weighted(0.2)).prop_map(|(group, stale)| Act::DeleteGroup { group, stale }),
    ]
}

fn stands() -> impl Strategy<Value = Stand> {
    let bucket = prop_oneof![20 => 0..3u32, 1 => Just(3)];
    let percent = prop_oneof![12 => 0..101u64, 3 => Just(200)];
    let expects = prop_oneof![
        4 => Just(Expects::Anything),
        2 => Just(Expects::Nothing),
        4 => Just(Expects::WhatIs),
        1 => Just(Expects::Other)
    ];
    (0..8u64, vec((bucket, percent), 0..3), expects).prop_map(|(table, offsets, expects)| Stand {
        table,
        offsets,
        expects,
    })
}

/// A proposal with slices of its own, numbered from 0; in one segment if in any.
#[derive(Clone, Debug)]
struct Whole {
    proposal: Proposal,
    slices: Vec<Slice>,
    segment: SegmentRef,
}

/// Writes the commits of a script, one after the other.
#[derive(Debug, Default)]
pub(super) struct Writer {
    past: Vec<Whole>,
    names: u64,
    time: i64,
}

impl Writer {
    /// The commit of the next slot, given what everybody could know before it.
    pub(super) fn write(&mut self, slot: Slot, plan: &SlotPlan, model: &Model) -> CommitHeader {
        self.time += plan.seconds * SECOND;
        let mut commit = CommitHeader { time: self.time, segments: vec![], ..header(slot, vec![], vec![]) };
        for plan in &plan.proposals {
            let whole = match plan {
                Plan::Copy { back } => self.back(*back),
                Plan::Retry { back, other_bytes } => self.back(*back).map(|whole| {
                    let old = whole.proposal;
                    let name = self.name(slot);
                    let request_hash = old.request_hash ^ u128::from(*other_bytes);
                    Whole { proposal: Proposal { name: name.name, base: slot, request_hash, ..old }, ..whole }
                }),
                Plan::Fresh { lag, client, acts } => {
                    Some(self.fresh(slot, slot.saturating_sub(*lag), client.as_ref(), acts, model))
                }
            };
            let Some(whole) = whole else { continue };
            add(&mut commit, &whole);
            self.past.push(whole);
        }
        commit
    }

    fn back(&self, back: usize) -> Option<Whole> {
        self.past.len().checked_sub(back).map(|at| self.past[at].clone())
    }

    fn name(&mut self, base: Slot) -> Proposal {
        self.names += 1;
        proposal(self.names, base, vec![])
    }

    fn fresh(
        &mut self,
        slot: Slot,
        base: Slot,
        client: Option<&Client>,
        acts: &[Act],
        model: &Model,
    ) -> Whole {
        let mut proposal = self.name(base);
        if let Some(client) = client {
            let id = format!("p{}", client.id);
            let (epoch, seq) = model.expected(&id);
            let near = |number: u64, by: i64| number.saturating_add_signed(by);
            let new_epoch = near(epoch, client.epoch);
            let seq = near(if new_epoch > epoch { 0 } else { seq }, client.seq);
            proposal.producer = Some(ProducerStamp { id, epoch: new_epoch, seq });
            proposal.request_hash = u128::from(self.names) << 1;
        }
        let mut whole = Whole { proposal, slices: vec![], segment: segment(slot) };
        let (mut created, mut rolled, mut expired, mut altered) = (0, false, false, false);
        for act in acts {
            match act {
                // A second one in a proposal is a test of its own.
                Act::RollUp { .. } if std::mem::replace(&mut rolled, true) => {}
                // A second one is made of the same table: never rightly of what the first makes of it.
                Act::Alter { stale, .. } if std::mem::replace(&mut altered, true) && *stale > 0 => {}
                Act::Expire { .. } if std::mem::replace(&mut expired, true) => {}
                act => whole.act(act, slot, &mut created, model),
            }
        }
        whole
    }
}

impl Whole {
    fn act(&mut self, act: &Act, slot: Slot, created: &mut u64, model: &Model) {
        let index = u32::try_from(self.slices.len()).unwrap();
        let entry = match act {
            Act::Alter { table, stale, how } => {
                let table = model.some_table(*table);
                let Some((version, spec)) = model.altered(table) else { return };
                Entry::TableAltered {
                    table: TableId(table),
                    version: version + stale,
                    spec: how.alter(&spec, slot),
                }
            }
            Act::Restore { table, stale } => {
                let (table, dropped) = model.some_dropped(*table);
                Entry::TableRestored { table: TableId(table), dropped: dropped + i64::from(*stale) }
            }
            Act::Expire { table, bucket, percent, stale } => {
                let table = model.some_table(*table);
                let from = model.earliest(table, *bucket);
                Entry::RowsExpired {
                    table: TableId(table),
                    bucket: Bucket(*bucket),
                    stream: Stream::Rows,
                    from: from + stale,
                    to: from + (model.next(table, *bucket) - from) * percent / 100,
                }
            }
            Act::Store { group, stale, positions } => Entry::PositionsStored {
                group: group_name(*group),
                generation: model.generation(&group_name(*group)) + u64::from(*stale),
                positions: positions.iter().map(|stand| stand.position(*group, model)).collect(),
            },
            Act::DeleteGroup { group, stale } => Entry::GroupDeleted {
                group: group_name(*group),
                generation: model.generation(&group_name(*group)) + u64::from(*stale),
            },
            Act::Create { name, ahead } => {
                *created += 1;
                create(model.next_id() + *created - 1 + ahead, ["t", "u", "v", "w"][*name])
            }
            Act::Drop { table } => drop_table(model.some_table(*table)),
            Act::DropDatabase => Entry::DatabaseDropped,
            Act::CreateDatabase => Entry::DatabaseCreated,
            Act::Append { table, bucket, rows, first_row, odd } => {
                let table = model.some_table(*table);
                self.append((table, *bucket), (*first_row, *rows), *odd, slot, model)
            }
            Act::RollUp { table, bucket, percent, stale, in_segment } => {
                let table = model.some_table(*table);
                let from = model.rolled(table, *bucket);
                let to = from + (model.next(table, *bucket) - from) * percent / 100;
                let rows = u32::try_from(to - from).unwrap().max(1);
                let new = rolled_slice(table, *bucket, rows);
                self.slices.push(if *in_segment { new } else { slice(table, *bucket, rows) });
                let parts = vec![RolledPart { start: from, slice: index }];
                Entry::RolledUp {
                    table: TableId(table),
                    bucket: Bucket(*bucket),
                    stream: Stream::Rows,
                    from: from + stale,
                    to,
                    parts,
                }
            }
        };
        self.proposal.entries.push(entry);
    }

    fn append(
        &mut self,
        (table, bucket): (u64, u32),
        (first_row, rows): (u32, u32),
        odd: Option<Odd>,
        slot: Slot,
        model: &Model,
    ) -> Entry {
        let index = u32::try_from(self.slices.len()).unwrap();
        let back = if let Some(Odd::OlderSchema { back }) = odd { back } else { 0 };
        let (schema, columns) = model.schema(table, back);
        let mut slice = slice_in(table, bucket, rows + first_row, schema, columns);
        let (mut expected_offset, mut taken) = (None, rows);
        match odd {
            None | Some(Odd::OlderSchema { .. }) => {}
            Some(Odd::Expects(by)) => {
                expected_offset = Some(model.next(table, bucket).saturating_add_signed(by));
            }
            Some(Odd::OtherSchema) => slice.schema += 1,
            Some(Odd::BeyondSlice) => taken += 1,
            Some(Odd::InSegment { age }) => {
                slice.home = SliceHome::Segment(0);
                self.segment = segment(slot.saturating_sub(age));
            }
        }
        self.slices.push(slice);
        Entry::Appended { slice: index, first_row, rows: taken, expected_offset }
    }
}

impl How {
    fn alter(self, spec: &TableSpec, slot: Slot) -> TableSpec {
        let change = match self {
            Self::Add => json!({"add": {"name": format!("c{}", spec.last_column_id), "type": "STRING"}}),
            Self::DropLast if spec.schema.columns.len() > 2 => {
                json!({"drop": spec.schema.columns.last().unwrap().name})
            }
            _ => json!({"set": {"retention": format!("{}h", slot + 1)}}),
        };
        let change: Change = serde_json::from_value(change).unwrap();
        let altered = alter(spec, &[change]).unwrap();
        let buckets = if matches!(self, Self::Illegal) { 4 } else { 3 };
        TableSpec { buckets, ..altered }
    }
}

fn group_name(group: usize) -> Name {
    Name::new(GROUPS[group]).unwrap()
}

impl Stand {
    fn position(&self, group: usize, model: &Model) -> StoredPosition {
        let table = model.some_table(self.table);
        let offsets: BTreeMap<Bucket, u64> = self
            .offsets
            .iter()
            .map(|(bucket, percent)| (Bucket(*bucket), (model.next(table, *bucket) * percent).div_ceil(100)))
            .collect();
        let stored =
            offsets.keys().map(|bucket| (*bucket, model.stored(&group_name(group), table, bucket.0)));
        let expected = match self.expects {
            Expects::Anything => ExpectedPosition::Any,
            Expects::Nothing => ExpectedPosition::Nothing,
            Expects::WhatIs => ExpectedPosition::Exactly(stored.collect()),
            Expects::Other => ExpectedPosition::Exactly(
                stored.map(|(bucket, at)| (bucket, at.map_or(Some(0), |at| at.checked_sub(1)))).collect(),
            ),
        };
        StoredPosition { table: TableId(table), offsets, expected }
    }
}

/// Adds a proposal to a commit: its slices and its segment get other numbers there.
fn add(commit: &mut CommitHeader, whole: &Whole) {
    let slices = u32::try_from(commit.slices.len()).unwrap();
    let segments = u32::try_from(commit.segments.len()).unwrap();
    commit.segments.push(whole.segment);
    commit.slices.extend(whole.slices.iter().cloned().map(|slice| match slice.home {
        SliceHome::Here => slice,
        SliceHome::Segment(index) => Slice { home: SliceHome::Segment(index + segments), ..slice },
    }));
    let mut proposal = whole.proposal.clone();
    for entry in &mut proposal.entries {
        match entry {
            Entry::Appended { slice, .. } => *slice += slices,
            Entry::RolledUp { parts, .. } => parts.iter_mut().for_each(|part| part.slice += slices),
            _ => {}
        }
    }
    commit.proposals.push(proposal);
}

//! Tests of the fold: what they share is making commits by hand.

mod databases;
mod encoding;
mod groups;
mod limits;
mod model;
mod names;
mod producers;
mod script;
mod totality;

use std::time::Duration;

use bytes::Bytes;

use super::verdict::{Appended, Fate, Refusal, Verdict};
use super::{Applied, State};
use crate::format::commit::{Commit, CommitHeader, ProducerStamp, Proposal, SegmentRef, WriterInfo};
use crate::format::entry::Entry;
use crate::format::slice::{BatchLayout, Codec, ColumnChunk, Slice, SliceHome, SliceOp};
use crate::id::{Bucket, Name, ProposalName, SegmentId, Slot, Stream, TableId, TimeMicros, Ulid, Uuid};
use crate::planted::Planted;
use crate::protocol::{FoldRules, GroupLimits};
use crate::schema::TableSpec;
use crate::schema::ensure::{TableRequest, build};

const LOG: Uuid = Uuid::from_u128(0x10_67);
const SECOND: TimeMicros = 1_000_000;

/// Small numbers, so that every limit is met within a few slots.
const RULES: FoldRules = FoldRules {
    window_slots: 8,
    checkpoint_slots: 12,
    checkpoint_header_bytes: 64 << 10,
    producer_idle_max: Duration::from_secs(100),
    producer_verdicts_max: 4,
    dropped_kept: Duration::from_secs(40),
    groups: GroupLimits { groups_max: 3, tables_max: 2, offsets_max: 8 },
    planted: Planted::NONE,
};

fn name(name: &str) -> Name {
    Name::new(name).unwrap()
}

/// Two columns, three buckets.
fn spec() -> TableSpec {
    let columns = Some("id BIGINT NOT NULL, url STRING".into());
    build(&TableRequest { columns, buckets: Some(3), ..TableRequest::default() }).unwrap()
}

fn create(table: u64, called: &str) -> Entry {
    let uuid = Uuid::from_u128(u128::from(table));
    Entry::TableCreated { table: TableId(table), name: name(called), uuid, spec: spec() }
}

fn drop_table(table: u64) -> Entry {
    Entry::TableDropped { table: TableId(table), time: 0 }
}

fn append(slice: u32, rows: u32) -> Entry {
    Entry::Appended { slice, first_row: 0, rows, expected_offset: None }
}

/// A slice as the fold wants it; of its bytes it sees nothing.
fn slice(table: u64, bucket: u32, rows: u32) -> Slice {
    slice_in(table, bucket, rows, 0, spec().schema.columns.iter().map(|column| column.id).collect())
}

/// The same of another schema.
fn slice_in(table: u64, bucket: u32, rows: u32, schema: u32, columns: Vec<i32>) -> Slice {
    let chunks = vec![ColumnChunk { offset: 0, len: 0, checksum: 0 }; columns.len()];
    let batch = BatchLayout { rows, metadata_len: 8, body_len: 0, metadata_checksum: 0, chunks };
    Slice {
        table: TableId(table),
        bucket: Bucket(bucket),
        stream: Stream::Rows,
        schema,
        columns,
        op: SliceOp::Append,
        codec: Codec::None,
        home: SliceHome::Here,
        body_offset: 0,
        bytes: 8,
        rows,
        times: None,
        source: None,
        batches: vec![batch],
        statistics: Vec::new(),
        checksum: 0,
    }
}

/// The same in the first segment of the header.
fn rolled_slice(table: u64, bucket: u32, rows: u32) -> Slice {
    Slice { home: SliceHome::Segment(0), ..slice(table, bucket, rows) }
}

fn segment(base: Slot) -> SegmentRef {
    SegmentRef { id: SegmentId { base, ulid: Ulid::from(77u128) }, body_start: 128 }
}

fn proposal(n: u64, base: Slot, entries: Vec<Entry>) -> Proposal {
    let name = ProposalName { incarnation: Ulid::from(1u128), n };
    Proposal { name, base, producer: None, request_hash: 0, entries }
}

/// The proposal as a request of producer `p`.
fn counted(proposal: Proposal, epoch: u64, seq: u64, request_hash: u128) -> Proposal {
    Proposal { producer: Some(ProducerStamp { id: "p".into(), epoch, seq }), request_hash, ..proposal }
}

fn header(slot: Slot, proposals: Vec<Proposal>, slices: Vec<Slice>) -> CommitHeader {
    CommitHeader {
        slot,
        log_uuid: LOG,
        put_id: Ulid::from(u128::from(slot)),
        folded: (slot, 0),
        time: SECOND.saturating_mul(slot.cast_signed()),
        writer: WriterInfo {
            incarnation: Ulid::from(1u128),
            version: "test".into(),
            address: String::new(),
            zone: String::new(),
            put_p99_us: 0,
        },
        encryption_key_id: String::new(),
        segments: vec![segment(slot)],
        slices,
        proposals,
    }
}

/// The commit as a reader of the bucket sees it.
fn commit(header: &CommitHeader) -> Commit {
    let sealed = header.seal(vec![Bytes::from_static(&[0; 64])]).unwrap();
    Commit::decode("test", &sealed.head, header.slot).unwrap()
}

fn begin(rules: FoldRules) -> State {
    let created = Entry::LogCreated { log_uuid: LOG, database: name("default"), home: "memory://".into() };
    let nobody = ProposalName { incarnation: Ulid::from(99u128), n: 0 };
    let first = Proposal { name: nobody, ..proposal(0, 0, vec![created]) };
    State::begin(&commit(&header(0, vec![first], vec![])), rules).unwrap().0
}

/// Folds the next slot.
fn fold(state: &mut State, proposals: Vec<Proposal>, slices: Vec<Slice>) -> Applied {
    state.apply(&commit(&header(state.next(), proposals, slices))).unwrap()
}

/// Folds the next slot of one proposal; its fate.
fn fold_one(state: &mut State, proposal: Proposal, slices: Vec<Slice>) -> Fate {
    let mut applied = fold(state, vec![proposal], slices);
    applied.fates.remove(0).1
}

/// Folds slots in which nothing is proposed.
fn pass(state: &mut State, slots: Slot) {
    (0..slots).for_each(|_| drop(fold(state, vec![], vec![])));
}

/// A state with table 1, called `t`, made in slot 1.
fn with_table() -> State {
    let mut state = begin(RULES);
    let fate = fold_one(&mut state, proposal(0, 1, vec![create(1, "t")]), vec![]);
    assert_eq!(appended(&fate), []);
    state
}

fn next(state: &State, table: u64, bucket: u32) -> u64 {
    state.tables().tail(&slice(table, bucket, 1).key()).next
}

/// The offsets that a fate tells.
#[track_caller]
fn appended(fate: &Fate) -> Vec<Appended> {
    match fate {
        Fate::Decided { verdict: Verdict::Accepted(acceptance), .. } => acceptance.appended.clone(),
        other => panic!("expected an acceptance, found {other:?}"),
    }
}

/// The reason that a fate tells.
#[track_caller]
fn refusal(fate: &Fate) -> Refusal {
    match fate {
        Fate::Decided { verdict: Verdict::Refused(refusal), .. } => refusal.clone(),
        other => panic!("expected a refusal, found {other:?}"),
    }
}

/// A fate decided in the slot at hand.
fn refused(refusal: Refusal) -> Fate {
    Fate::Decided { verdict: Verdict::Refused(refusal), duplicate: false }
}

fn rows(bucket: u32, start: u64, end: u64) -> Appended {
    Appended { table: TableId(1), bucket: Bucket(bucket), start, end }
}

//! The objects that golden files hold: fixed ids, fixed times, something of everything.

use std::collections::BTreeMap;

use std::ops::Range;
use std::sync::Arc;

use bytes::Bytes;
use frazil_log::format::commit::{CommitHeader, ProducerStamp, Proposal, SegmentRef, WriterInfo};
use frazil_log::format::entry::{Entry, RolledPart};
use frazil_log::format::page::{Place, PlaceMap, seal_page};
use frazil_log::format::positions::{ExpectedPosition, StoredPosition};
use frazil_log::format::segment::{ObjectId, SegmentHeader};
use frazil_log::format::slice::{Codec, Slice, SliceHome, SliceOp};
use frazil_log::id::{Bucket, Name, ProposalName, SegmentId, Slot, Stream, TableId, Ulid, Uuid};
use frazil_log::schema::evolution::{Change, alter};
use frazil_log::schema::{PartitionField, TableSpec};
use frazil_log::segment::BodyBuilder;
use frazil_log::state::State;

use crate::rows;

/// The log of all golden objects.
pub(crate) const LOG: Uuid = Uuid::from_u128(0x0f12_a211_0000_4000_8000_0000_0000_0001);

/// 2025-01-01T00:00:00Z.
const NEW_YEAR: i64 = 1_735_689_600_000_000;

pub(crate) fn ulid(number: u64) -> Ulid {
    Ulid::from(0x0194_1f29_7c00_u128 << 80 | u128::from(number))
}

pub(crate) fn name(name: &str) -> Name {
    Name::new(name).expect("a name")
}

pub(crate) fn proposal(n: u64, base: Slot, entries: Vec<Entry>) -> Proposal {
    Proposal {
        name: ProposalName { incarnation: ulid(1), n },
        base,
        producer: None,
        request_hash: 0,
        entries,
    }
}

pub(crate) fn counted(proposal: Proposal, id: &str, epoch: u64, seq: u64) -> Proposal {
    let producer = Some(ProducerStamp { id: id.into(), epoch, seq });
    Proposal {
        producer,
        request_hash: 0xfeed_0000_0000_0000_0000_0000_0000_0000 | u128::from(seq),
        ..proposal
    }
}

pub(crate) fn created(table: u64, called: &str, spec: TableSpec) -> Entry {
    Entry::TableCreated {
        table: TableId(table),
        name: name(called),
        uuid: Uuid::from_u128(u128::from(table)),
        spec,
    }
}

pub(crate) fn appended(slice: u32, rows: u32) -> Entry {
    Entry::Appended { slice, first_row: 0, rows, expected_offset: None }
}

pub(crate) fn header(slot: Slot, proposals: Vec<Proposal>) -> CommitHeader {
    CommitHeader {
        slot,
        log_uuid: LOG,
        put_id: ulid(1000 + slot),
        folded: (slot, 0),
        time: NEW_YEAR + 250_000 * slot.cast_signed(),
        writer: WriterInfo {
            incarnation: ulid(1),
            version: "0.1.0".into(),
            address: "10.0.0.1:7777".into(),
            zone: "eu-west-1a".into(),
            put_p99_us: 42_000,
        },
        encryption_key_id: String::new(),
        segments: vec![],
        slices: vec![],
        proposals,
    }
}

/// A commit and its body.
pub(crate) type Commit = (CommitHeader, Vec<Bytes>);

/// A commit whose slices lie in it: of each table, bucket, definition, rows and codec.
pub(crate) fn with_rows(header: CommitHeader, slices: &[(u64, u32, &TableSpec, usize, Codec)]) -> Commit {
    let mut body = BodyBuilder::new();
    for (table, bucket, spec, rows, codec) in slices {
        let batch = rows::batch(&spec.schema, *rows);
        body.push(rows::meta(*table, *bucket, &spec.schema, *codec), &[batch]).expect("rows of the schema");
    }
    let body = body.finish();
    (CommitHeader { slices: body.slices, ..header }, body.chunks)
}

pub(crate) fn segment_id(base: Slot) -> SegmentId {
    SegmentId { base, ulid: ulid(7) }
}

/// The slice as a commit names it that lies in the first of its segments.
pub(crate) fn in_segment(slice: &Slice) -> Slice {
    Slice { home: SliceHome::Segment(0), ..slice.clone() }
}

/// Everything that `frazil` may say of a table, also what it does not do yet.
fn full_spec() -> TableSpec {
    let mut spec =
        rows::spec("id BIGINT NOT NULL, at TIMESTAMP WITH TIME ZONE, note STRING COMMENT 'free text'");
    let ids: Vec<i32> = spec.schema.columns.iter().map(|column| column.id).collect();
    spec.primary_key = vec![ids[0]];
    spec.buckets = 16;
    spec.bucket_by = vec![ids[0]];
    spec.partitions = vec![PartitionField {
        source_id: ids[1],
        field_id: 1000,
        name: "at_day".into(),
        transform: "day".into(),
    }];
    spec.options = vec![("lake.enabled".into(), "true".into()), ("retention".into(), "7d".into())];
    spec
}

pub(crate) fn log_created() -> Entry {
    Entry::LogCreated { log_uuid: LOG, database: name("default"), home: "s3://golden/frazil".into() }
}

/// An alter, a restore, an expiry.
fn changed() -> Vec<Entry> {
    vec![
        Entry::TableAltered {
            table: TableId(1),
            version: 300,
            spec: altered(&rows::spec("id BIGINT NOT NULL, url STRING")),
        },
        Entry::TableRestored { table: TableId(2), dropped: NEW_YEAR },
        Entry::RowsExpired {
            table: TableId(1),
            bucket: Bucket(3),
            stream: Stream::Rows,
            from: 7,
            to: 70_000,
        },
    ]
}

/// The definition with a column more and another name.
pub(crate) fn altered(spec: &TableSpec) -> TableSpec {
    let changes = r#"[{"add":{"name":"ref","type":"STRING"}},{"rename":{"from":"url","to":"page"}},{"set":{"retention.bytes":"10GiB"}}]"#;
    let changes: Vec<Change> = serde_json::from_str(changes).expect("changes");
    alter(spec, &changes).expect("they can be made")
}

/// Commits, one of each entry kind, with and without inline rows, segments and producers.
pub(crate) fn commits() -> Vec<(&'static str, Commit)> {
    let every = rows::every_type();
    let bare = |header| (header, vec![]);
    let nobody = CommitHeader {
        folded: (0, 0),
        time: 0,
        writer: WriterInfo {
            incarnation: Ulid::from(0u128),
            version: String::new(),
            address: String::new(),
            zone: String::new(),
            put_p99_us: 0,
        },
        ..header(1, vec![])
    };
    let dropped = vec![
        proposal(
            4,
            4,
            vec![Entry::TableDropped { table: TableId(1), time: NEW_YEAR }, Entry::DatabaseDropped],
        ),
        proposal(5, 4, vec![Entry::DatabaseCreated]),
    ];
    let expecting = Entry::Appended { slice: 0, first_row: 2, rows: 3, expected_offset: Some(300) };
    let inline = vec![
        counted(proposal(6, 4, vec![appended(0, 2), expecting]), "sensor-7", 3, 70_000),
        proposal(7, 5, vec![appended(1, 4), appended(2, 1)]),
    ];
    let encrypted = CommitHeader {
        encryption_key_id: "kms:1234".into(),
        folded: (5, 0x0123_4567_89ab_cdef_0123_4567_89ab_cdef),
        ..header(8, vec![])
    };
    vec![
        ("log_created", bare(header(0, vec![proposal(0, 0, vec![log_created()])]))),
        ("nothing", bare(nobody)),
        ("encryption_key", bare(encrypted)),
        ("table_created", bare(header(2, vec![proposal(2, 1, vec![created(1, "clicks", every.clone())])]))),
        (
            "table_created_full",
            bare(header(3, vec![proposal(3, 1, vec![created(2, "orders", full_spec())])])),
        ),
        ("dropped_and_created_again", bare(header(5, dropped))),
        ("table_changed", bare(header(9, vec![proposal(8, 7, changed())]))),
        (
            "rows_inline",
            with_rows(
                header(6, inline),
                &[
                    (1, 0, &every, 5, Codec::None),
                    (1, 2, &every, 4, Codec::Lz4),
                    (2, 0, &every, 1, Codec::Zstd),
                ],
            ),
        ),
        ("rows_in_segments", bare(rows_in_segments())),
        ("rolled_up", bare(rolled_up())),
        ("changelog", changelog()),
        ("groups", bare(header(11, groups()))),
    ]
}

/// The commit after a state, which makes two groups.
pub(crate) fn stored_groups(state: &State) -> CommitHeader {
    let table = state.tables().by_name().next().expect("a table is live");
    let offsets = table.buckets.iter().map(|((bucket, _), tail)| (*bucket, tail.next)).collect();
    let position = StoredPosition { table: table.id, offsets, expected: ExpectedPosition::Nothing };
    let store = |group, positions| Entry::PositionsStored { group: name(group), generation: 0, positions };
    let entries = vec![store("etl", vec![position]), store("idle", vec![])];
    header(state.next(), vec![proposal(1000, state.next(), entries)])
}

/// Positions stored, with each kind of expectation, and a group deleted.
fn groups() -> Vec<Proposal> {
    let known = BTreeMap::from([(Bucket(0), Some(300)), (Bucket(1), None)]);
    let expected = [ExpectedPosition::Any, ExpectedPosition::Nothing, ExpectedPosition::Exactly(known)];
    let positions = (1..).zip(expected).map(|(table, expected)| StoredPosition {
        table: TableId(table),
        offsets: BTreeMap::from([(Bucket(0), 70_000), (Bucket(3), 0)]),
        expected,
    });
    let stored = Entry::PositionsStored { group: name("etl"), generation: 0, positions: positions.collect() };
    let deleted = Entry::GroupDeleted { group: name("old"), generation: 300 };
    vec![proposal(11, 10, vec![stored]), proposal(12, 10, vec![deleted])]
}

fn rows_in_segments() -> CommitHeader {
    let (segment, _) = rows_segment(Codec::Zstd);
    let mut header = header(9, vec![proposal(9, 7, vec![appended(0, 7), appended(1, 2)])]);
    header.segments = vec![
        SegmentRef { id: segment.id, body_start: 4096 },
        SegmentRef { id: SegmentId { base: 8, ulid: ulid(8) }, body_start: 128 },
    ];
    header.slices = segment.slices.iter().map(in_segment).collect();
    header.slices[1].home = SliceHome::Segment(1);
    header
}

fn rolled_up() -> CommitHeader {
    let (segment, _) = rolled_up_segment();
    let parts = vec![RolledPart { start: 0, slice: 0 }, RolledPart { start: 20, slice: 1 }];
    let entry = Entry::RolledUp {
        table: TableId(1),
        bucket: Bucket(0),
        stream: Stream::Rows,
        from: 0,
        to: 22,
        parts,
    };
    let mut header = header(10, vec![proposal(10, 9, vec![entry])]);
    header.segments = vec![SegmentRef { id: segment.id, body_start: 2048 }];
    header.slices = segment.slices.iter().map(in_segment).collect();
    header
}

/// What primary-key tables will write: ops, partial rows, source ranges, times.
fn changelog() -> Commit {
    let spec = rows::spec("id BIGINT NOT NULL, url STRING, op INT NOT NULL");
    let batch = rows::batch(&spec.schema, 3);
    let meta = rows::meta(2, 1, &spec.schema, Codec::None);
    let mut body = BodyBuilder::new();
    let mut push = |op, stream, source, times| {
        let meta = frazil_log::segment::SliceMeta { op, stream, source, times, ..meta.clone() };
        body.push(meta, std::slice::from_ref(&batch)).expect("rows of the schema");
    };
    push(SliceOp::Upsert, Stream::Rows, None, None);
    push(SliceOp::Delete, Stream::Rows, None, Some((-1, NEW_YEAR)));
    push(SliceOp::PerRow, Stream::Changelog, Some(40..43), Some((NEW_YEAR, NEW_YEAR)));
    let body = body.finish();
    let entries = vec![appended(0, 3), appended(1, 3), appended(2, 3)];
    (CommitHeader { slices: body.slices, ..header(11, vec![proposal(11, 10, entries)]) }, body.chunks)
}

/// A segment of all types, two slices, the first of two batches.
pub(crate) fn rows_segment(codec: Codec) -> (SegmentHeader, Vec<Bytes>) {
    let every = rows::every_type();
    let mut body = BodyBuilder::new();
    let batches = [rows::batch(&every.schema, 5), rows::batch(&every.schema, 2)];
    body.push(rows::meta(1, 0, &every.schema, codec), &batches).expect("rows of the schema");
    body.push(rows::meta(1, 3, &every.schema, codec), &batches[1..]).expect("rows of the schema");
    let body = body.finish();
    let header = SegmentHeader {
        log_uuid: LOG,
        id: segment_id(7),
        encryption_key_id: String::new(),
        sources: vec![],
        slices: body.slices,
    };
    (header, body.chunks)
}

/// A segment as a roll-up writes it.
pub(crate) fn rolled_up_segment() -> (SegmentHeader, Vec<Bytes>) {
    let spec = rows::spec("id BIGINT NOT NULL, url STRING");
    let mut body = BodyBuilder::new();
    for (rows, times) in
        [(18, (NEW_YEAR, NEW_YEAR + 5_000_000)), (2, (NEW_YEAR + 6_000_000, NEW_YEAR + 6_000_000))]
    {
        let meta = frazil_log::segment::SliceMeta {
            times: Some(times),
            ..rows::meta(1, 0, &spec.schema, Codec::Zstd)
        };
        body.push(meta, &[rows::batch(&spec.schema, rows)]).expect("rows of the schema");
    }
    let body = body.finish();
    let header = SegmentHeader {
        log_uuid: LOG,
        id: segment_id(9),
        encryption_key_id: "kms:1234".into(),
        sources: vec![ObjectId::Commit { slot: 6, put_id: ulid(1006) }, ObjectId::Segment(segment_id(7))],
        slices: body.slices,
    };
    (header, body.chunks)
}

/// A page of three sequences, with a gap, and one of none.
pub(crate) fn pages() -> Vec<(&'static str, Range<Slot>, Vec<u8>)> {
    let (segment, _) = rows_segment(Codec::Lz4);
    let place = |start: u64, rows: u64, first_row, object, slice: &Slice| Place {
        offsets: start..start + rows,
        first_row,
        time: NEW_YEAR,
        object,
        body_start: 4096,
        slice: Arc::new(slice.clone()),
    };
    let commit = ObjectId::Commit { slot: 6, put_id: ulid(1006) };
    let (first, second) = (&segment.slices[0], &segment.slices[1]);
    let changes = Slice { stream: Stream::Changelog, ..first.clone() };
    let places = PlaceMap::from([
        (
            first.key(),
            vec![
                place(3, 4, 2, commit, first),
                place(7, 7, 0, ObjectId::Segment(segment.id), first),
                place(70_000, 1, 6, commit, first),
            ],
        ),
        (changes.key(), vec![place(0, 7, 0, commit, &changes)]),
        (second.key(), vec![place(0, 2, 0, ObjectId::Segment(segment.id), &in_segment(second))]),
    ]);
    let seal = |slots: Range<Slot>, places: &PlaceMap| {
        seal_page(LOG, slots, 0xabcd << 64, places).expect("a page is within its limits").to_vec()
    };
    vec![
        ("three_sequences", 0..1000, seal(0..1000, &places)),
        ("empty", 1000..2000, seal(1000..2000, &PlaceMap::new())),
    ]
}

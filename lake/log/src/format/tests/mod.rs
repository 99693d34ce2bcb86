//! Tests of the formats: what comes back, what is refused, what is not known.

pub(crate) mod arbitrary;
mod corruption;
mod lies;
mod round_trips;
mod unknown;

use std::collections::BTreeMap;
use std::ops::Range;
use std::sync::Arc;

use bytes::Bytes;
use xxhash_rust::xxh3::xxh3_64;

use super::checkpoint::{Checkpoint, PageRef, seal_checkpoint};
use super::commit::{Commit, CommitHeader, ProducerStamp, Proposal, SegmentRef, WriterInfo};
use super::entry::{Entry, RolledPart};
use super::envelope::{self, ENVELOPE_BYTES, Envelope, ObjectKind};
use super::page::{Place, PlaceMap, decode_page, seal_page};
use super::positions::{ExpectedPosition, StoredPosition};
use super::segment::{ObjectId, SegmentHeader};
use super::slice::{BatchLayout, Codec, ColumnChunk, ColumnStatistics, Slice, SliceHome, SliceOp};
use super::wire::Writer;
use crate::error::Result;
use crate::id::{Bucket, Name, ProposalName, SegmentId, Slot, Stream, TableId, Ulid, Uuid};
use crate::schema::ensure::{TableRequest, build};

/// A slice of one batch and one column, at home in the object, 24 bytes from its body's start on.
fn small_slice() -> Slice {
    let chunk = ColumnChunk { offset: 0, len: 8, checksum: 7 };
    Slice {
        table: TableId(1),
        bucket: Bucket(0),
        stream: Stream::Rows,
        schema: 0,
        columns: vec![1],
        op: SliceOp::Append,
        codec: Codec::None,
        home: SliceHome::Here,
        body_offset: 8,
        bytes: 24,
        rows: 3,
        times: Some((-5, 5)),
        source: Some(2..5),
        batches: vec![BatchLayout {
            rows: 3,
            metadata_len: 16,
            body_len: 8,
            metadata_checksum: 9,
            chunks: vec![chunk],
        }],
        statistics: vec![ColumnStatistics { field: 1, nulls: 0, min: vec![1], max: vec![2] }],
        checksum: 11,
    }
}

/// One position of each kind of expectation.
fn small_positions() -> Vec<StoredPosition> {
    let known = BTreeMap::from([(Bucket(0), Some(1)), (Bucket(1), None)]);
    let expected = [ExpectedPosition::Any, ExpectedPosition::Nothing, ExpectedPosition::Exactly(known)];
    let position = |(table, expected)| StoredPosition {
        table: TableId(table),
        offsets: BTreeMap::from([(Bucket(0), 300), (Bucket(1), 2)]),
        expected,
    };
    (1..).zip(expected).map(position).collect()
}

/// A small commit with something of everything: each kind of entry, a producer, a segment, a body.
fn small_commit() -> (CommitHeader, Bytes) {
    let spec = build(&TableRequest { columns: Some("a INT".into()), ..TableRequest::default() }).unwrap();
    let name = |name| Name::new(name).unwrap();
    let entries = vec![
        Entry::LogCreated { log_uuid: Uuid::from_u128(3), database: name("db"), home: "s3://b".into() },
        Entry::DatabaseDropped,
        Entry::DatabaseCreated,
        Entry::TableCreated {
            table: TableId(1),
            name: name("t"),
            uuid: Uuid::from_u128(4),
            spec: spec.clone(),
        },
        Entry::TableDropped { table: TableId(1), time: -7 },
        Entry::TableAltered { table: TableId(1), version: 300, spec },
        Entry::TableRestored { table: TableId(1), dropped: -7 },
        Entry::RowsExpired { table: TableId(1), bucket: Bucket(0), stream: Stream::Rows, from: 1, to: 300 },
        Entry::Appended { slice: 0, first_row: 0, rows: 3, expected_offset: Some(300) },
        Entry::RolledUp {
            table: TableId(1),
            bucket: Bucket(0),
            stream: Stream::Changelog,
            from: 0,
            to: 3,
            parts: vec![RolledPart { start: 0, slice: 1 }],
        },
        Entry::PositionsStored { group: name("g"), generation: 2, positions: small_positions() },
        Entry::GroupDeleted { group: name("g"), generation: 2 },
    ];
    let proposal = Proposal {
        name: ProposalName { incarnation: Ulid::from(6u128), n: 1 },
        base: 6,
        producer: Some(ProducerStamp { id: "p".into(), epoch: 1, seq: 2 }),
        request_hash: 8,
        entries,
    };
    let header = CommitHeader {
        slot: 7,
        log_uuid: Uuid::from_u128(3),
        put_id: Ulid::from(5u128),
        folded: (6, 1),
        time: 1_000,
        writer: WriterInfo {
            incarnation: Ulid::from(6u128),
            version: "1".into(),
            address: "h:1".into(),
            zone: "z".into(),
            put_p99_us: 9,
        },
        encryption_key_id: "k".into(),
        segments: vec![SegmentRef { id: SegmentId { base: 6, ulid: Ulid::from(9u128) }, body_start: 128 }],
        slices: vec![small_slice(), Slice { home: SliceHome::Segment(0), ..small_slice() }],
        proposals: vec![proposal],
    };
    (header, Bytes::from((0..40).collect::<Vec<u8>>()))
}

/// A small segment with a source of each kind.
fn small_segment() -> (SegmentHeader, Bytes) {
    let id = SegmentId { base: 6, ulid: Ulid::from(9u128) };
    let header = SegmentHeader {
        log_uuid: Uuid::from_u128(3),
        id,
        encryption_key_id: "k".into(),
        sources: vec![ObjectId::Commit { slot: 1, put_id: Ulid::from(5u128) }, ObjectId::Segment(id)],
        slices: vec![small_slice()],
    };
    (header, Bytes::from((0..32).collect::<Vec<u8>>()))
}

/// A small page of two sequences.
fn small_page() -> (Vec<u8>, Range<Slot>) {
    let place = |slice: Slice, offsets| Place {
        offsets,
        first_row: 1,
        time: 12,
        object: ObjectId::Segment(SegmentId { base: 6, ulid: Ulid::from(9u128) }),
        body_start: 128,
        slice: Arc::new(slice),
    };
    let changelog = Slice { stream: Stream::Changelog, ..small_slice() };
    let places = PlaceMap::from([
        (small_slice().key(), vec![place(small_slice(), 4..6), place(small_slice(), 9..10)]),
        (changelog.key(), vec![place(changelog, 0..2)]),
    ]);
    (seal_page(Uuid::from_u128(3), 5..9, 77, &places).unwrap().to_vec(), 5..9)
}

/// A small checkpoint of slot 9.
fn small_checkpoint() -> (Vec<u8>, Slot) {
    let page = |from, to| PageRef { from, to, level: 0, bytes: 300 };
    let state = Bytes::from_static(b"not read here");
    let sealed = seal_checkpoint(Uuid::from_u128(3), 9, 77, state, 0, &[page(0, 5), page(5, 9)]);
    (sealed.unwrap().to_vec(), 9)
}

/// A whole small object, and a reader that verifies all of it.
type Readable = (&'static str, Vec<u8>, Box<dyn Fn(&[u8]) -> Result<()>>);

/// One object of each kind, named by its key.
fn small_objects() -> Vec<Readable> {
    let (commit, body) = small_commit();
    let commit = commit.seal(vec![body]).unwrap().to_vec();
    let (segment, body) = small_segment();
    let id = segment.id;
    let segment = segment.seal(vec![body]).unwrap().to_vec();
    let (page, slots) = small_page();
    let (checkpoint, slot) = small_checkpoint();
    let read_commit = |bytes: &[u8]| Commit::decode("db/log/7", bytes, 7)?.envelope.verify("db/log/7", bytes);
    let read_segment =
        move |bytes: &[u8]| SegmentHeader::decode("db/segment/6", bytes, id)?.0.verify("db/segment/6", bytes);
    let read_page = move |bytes: &[u8]| decode_page("db/index/5", bytes, &slots).map(drop);
    let read_checkpoint = move |bytes: &[u8]| {
        Checkpoint::decode("db/checkpoint/9", &Bytes::copy_from_slice(bytes), slot).map(drop)
    };
    vec![
        ("db/log/7", commit, Box::new(read_commit)),
        ("db/segment/6", segment, Box::new(read_segment)),
        ("db/index/5", page, Box::new(read_page)),
        ("db/checkpoint/9", checkpoint, Box::new(read_checkpoint)),
    ]
}

/// An object of any header, whose envelope is right.
fn sealed_as(kind: ObjectKind, header: &[u8], body: &[u8]) -> Vec<u8> {
    let mut w = Writer::new();
    w.raw(header);
    envelope::seal(kind, w, vec![Bytes::copy_from_slice(body)]).unwrap().to_vec()
}

/// The kind, header and body of an object.
fn parts(bytes: &[u8]) -> (ObjectKind, &[u8], &[u8]) {
    let kinds = [ObjectKind::Commit, ObjectKind::Segment, ObjectKind::Checkpoint, ObjectKind::IndexPage];
    let kind = kinds.into_iter().find(|kind| *kind as u8 == bytes[8]).unwrap();
    let length = Envelope::decode("x", bytes, kind).unwrap().header_bytes as usize;
    let (header, body) = bytes[ENVELOPE_BYTES..].split_at(length);
    (kind, header, body)
}

/// Writes over the first 56 bytes and makes the envelope's own checksum right again.
fn with_envelope(bytes: &[u8], at: usize, new: &[u8]) -> Vec<u8> {
    let mut bytes = bytes.to_vec();
    bytes[at..at + new.len()].copy_from_slice(new);
    let checksum = xxh3_64(&bytes[..56]);
    bytes[56..64].copy_from_slice(&checksum.to_le_bytes());
    bytes
}

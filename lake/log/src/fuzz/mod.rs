//! Fuzz targets: one function a decoder, which takes any bytes and panics only where an invariant is broken.
//!
//! Each answers whether the bytes were taken. A target for an object looks at the bytes as they are, and once more with the
//! checksums made right, since these would keep a fuzzer away from what is behind them. What is taken must be spelled in one
//! way (encoded again, it is the same bytes), and whatever commit or state was taken is folded on. Slices have a target of
//! their own: [`crate::segment::fuzz::fuzz_slice`].

#[cfg(test)]
mod tests;

use std::collections::BTreeMap;

use bytes::Bytes;
use xxhash_rust::xxh3::{xxh3_64, xxh3_128};

use crate::format::checkpoint::Checkpoint;
use crate::format::commit::{Commit, CommitHeader, ProducerStamp, Proposal, WriterInfo};
use crate::format::entry::Entry;
use crate::format::envelope::{ENVELOPE_BYTES, Envelope};
use crate::format::page::{PageHeader, decode_page, seal_page};
use crate::format::positions::{ExpectedPosition, StoredPosition};
use crate::format::segment::SegmentHeader;
use crate::format::slice::{BatchLayout, Codec, ColumnChunk, Slice, SliceHome, SliceOp};
use crate::format::wire::{Reader, Writer};
use crate::id::{Bucket, FieldId, Name, ProposalName, SegmentId, Slot, Stream, TableId, Ulid, Uuid};
use crate::protocol::Protocol;
use crate::state::State;

/// A commit, by its bytes.
pub fn fuzz_commit(data: &[u8]) -> bool {
    twice(data, |bytes| {
        let slot = peek(bytes, |r| r.varint().ok()).unwrap_or(0);
        let Ok(commit) = Commit::decode("fuzz", bytes, slot) else { return false };
        if commit.envelope.verify("fuzz", bytes).is_ok() {
            let again = commit.header.seal(body(bytes, &commit.envelope)).expect("it was just read");
            assert_eq!(again.to_vec(), bytes, "a commit is spelled in one way");
        }
        drop(State::begin(&commit, Protocol::SHIPPED.fold));
        fold_next(&mut some_state(commit.header.log_uuid), commit.header);
        true
    })
}

/// A segment, by its bytes.
pub fn fuzz_segment(data: &[u8]) -> bool {
    twice(data, |bytes| {
        let id = peek(bytes, |r| {
            r.uuid().ok()?;
            Some(SegmentId { base: r.varint().ok()?, ulid: r.ulid().ok()? })
        });
        let Some(id) = id else { return false };
        let Ok((envelope, header)) = SegmentHeader::decode("fuzz", bytes, id) else { return false };
        if envelope.verify("fuzz", bytes).is_ok() {
            let again = header.seal(body(bytes, &envelope)).expect("it was just read");
            assert_eq!(again.to_vec(), bytes, "a segment is spelled in one way");
        }
        true
    })
}

/// An index page, by its bytes; the checksums of its parts are made right too.
pub fn fuzz_page(data: &[u8]) -> bool {
    twice(data, |bytes| {
        let slots = peek(bytes, |r| {
            r.uuid().ok()?;
            Some(r.varint().ok()?..r.varint().ok()?)
        });
        let Some(slots) = slots else { return false };
        let Ok((envelope, header)) = PageHeader::decode("fuzz", bytes, &slots) else { return false };
        let mut bytes = bytes.to_vec();
        for part in &header.directory {
            let Some(range) = within(&part.object_range(&envelope), bytes.len()) else { continue };
            drop(part.decode_places("fuzz", &envelope, &bytes[range.clone()]));
            let checksum = xxh3_64(&bytes[range]);
            replace(&mut bytes, part.checksum, checksum, envelope.body_start());
        }
        let Some(bytes) = repaired(&bytes) else { return false };
        let Ok((header, places)) = decode_page("fuzz", &bytes, &slots) else { return false };
        let again = seal_page(header.log_uuid, slots, header.log_hash, &places).expect("it was just read");
        assert_eq!(again.to_vec(), bytes, "a page is spelled in one way");
        true
    })
}

/// A checkpoint, by its bytes, and the state in it.
pub fn fuzz_checkpoint(data: &[u8]) -> bool {
    twice(data, |bytes| {
        let slot = peek(bytes, |r| {
            r.uuid().ok()?;
            r.varint().ok()
        });
        let Some(slot) = slot else { return false };
        let Ok(checkpoint) = Checkpoint::decode("fuzz", &Bytes::copy_from_slice(bytes), slot) else {
            return false;
        };
        assert_eq!(
            checkpoint.seal().expect("it was just read").to_vec(),
            bytes,
            "a checkpoint is spelled in one way"
        );
        fuzz_state(&checkpoint.state);
        true
    })
}

/// A state, by its bytes in a checkpoint.
pub fn fuzz_state(data: &[u8]) -> bool {
    let Ok(mut state) = State::decode("fuzz", 0, data, Protocol::SHIPPED.fold) else { return false };
    assert_eq!(state.encode(), data, "a state is spelled in one way");
    let header = about(&state);
    fold_next(&mut state, header);
    true
}

/// The alphabet: what to read is told by the first bytes.
pub fn fuzz_wire(data: &[u8]) -> bool {
    let (ops, bytes) = data.split_at(data.len().min(16));
    let mut r = Reader::new("fuzz", 0, bytes);
    for op in ops {
        let before = r.clone();
        let read = match op % 12 {
            0 => r.u8().map(drop),
            1 => r.u16().map(drop),
            2 => r.u64_fixed().map(drop),
            3 => r.u128().map(drop),
            4 => r.zigzag().map(drop),
            5 => r.zigzag_i32().map(drop),
            6 => r.text().map(drop),
            7 => r.flag().map(drop),
            8 => r.record().and_then(Reader::finish),
            9 => r.sequence(usize::from(*op), |r| r.u8()).map(drop),
            10 => r.counter().map(drop),
            _ => r.varint().map(|value| {
                let mut spelled = Writer::new();
                spelled.varint(value);
                let taken = before.remaining() - r.remaining();
                assert_eq!(
                    before.clone().take(taken).ok(),
                    Some(&spelled.into_bytes()[..]),
                    "one way to spell a number"
                );
            }),
        };
        if read.is_err() {
            return false;
        }
        assert!(r.position() >= before.position() && r.remaining() <= before.remaining());
    }
    true
}

/// Whether the bytes as they are, or with right checksums, are taken.
fn twice(data: &[u8], mut take: impl FnMut(&[u8]) -> bool) -> bool {
    let raw = take(data);
    let repaired = repaired(data).is_some_and(|bytes| take(&bytes));
    raw || repaired
}

/// The object with a body that is as long as its envelope says, and right checksums.
fn repaired(data: &[u8]) -> Option<Vec<u8>> {
    let mut bytes = data.to_vec();
    let header_bytes = u32::from_le_bytes(bytes.get(12..16)?.try_into().ok()?);
    let body_start = ENVELOPE_BYTES.checked_add(usize::try_from(header_bytes).ok()?)?;
    let header_checksum = xxh3_64(bytes.get(ENVELOPE_BYTES..body_start)?);
    let body_bytes = u64::try_from(bytes.len() - body_start).ok()?;
    let content_hash = xxh3_128(&bytes[ENVELOPE_BYTES..]);
    bytes[24..32].copy_from_slice(&body_bytes.to_le_bytes());
    bytes[32..48].copy_from_slice(&content_hash.to_le_bytes());
    bytes[48..56].copy_from_slice(&header_checksum.to_le_bytes());
    let checksum = xxh3_64(&bytes[..56]);
    bytes[56..64].copy_from_slice(&checksum.to_le_bytes());
    Some(bytes)
}

/// What a header's first fields say: an object's key, which a fuzzer does not have.
fn peek<T>(bytes: &[u8], read: impl FnOnce(&mut Reader<'_>) -> Option<T>) -> Option<T> {
    read(&mut Reader::new("fuzz", 0, bytes.get(ENVELOPE_BYTES..)?))
}

fn body(bytes: &[u8], envelope: &Envelope) -> Vec<Bytes> {
    let start = usize::try_from(envelope.body_start()).unwrap_or(usize::MAX);
    vec![Bytes::copy_from_slice(bytes.get(start..).unwrap_or_default())]
}

fn within(range: &std::ops::Range<u64>, length: usize) -> Option<std::ops::Range<usize>> {
    let (start, end) = (usize::try_from(range.start).ok()?, usize::try_from(range.end).ok()?);
    (start <= end && end <= length).then_some(start..end)
}

/// Puts a checksum in the place of another in a header.
fn replace(bytes: &mut [u8], old: u64, new: u64, body_start: u64) {
    let end = usize::try_from(body_start).unwrap_or(usize::MAX).min(bytes.len());
    let header = bytes.get_mut(ENVELOPE_BYTES..end).unwrap_or_default();
    if let Some(at) = header.windows(8).position(|window| window == old.to_le_bytes()) {
        header[at..at + 8].copy_from_slice(&new.to_le_bytes());
    }
}

/// Folds a header as the next slot of a log: the fold is total.
fn fold_next(state: &mut State, header: CommitHeader) {
    let (slot, log_uuid) = (state.next(), state.identity().uuid);
    let header = CommitHeader { slot, log_uuid, ..header };
    let body = header.slices.iter().filter(|slice| slice.home == SliceHome::Here);
    let Ok(body_bytes) = usize::try_from(body.map(|slice| slice.object_range(0).end).max().unwrap_or(0))
    else {
        return;
    };
    if body_bytes > 1 << 20 {
        return; // a body of zeros is made up here, and the fold does not look at it
    }
    let sealed = header.seal(vec![vec![0; body_bytes].into()]).expect("it was read before");
    let applied = state.apply(&Commit::of_sealed(header, &sealed)).expect("the fold is total");
    assert_eq!((applied.slot, state.next()), (slot, slot + 1));
    if slot >> 62 > 0 || state.tables().next_id().0 >> 62 > 0 {
        return; // no log comes there, and one more is refused when it is read
    }
    let bytes = state.encode();
    let read = State::decode("fuzz", 0, &bytes, Protocol::SHIPPED.fold).expect("what the fold wrote is read");
    assert_eq!(read.encode(), bytes, "a state is spelled in one way");
    for table in state.tables().all() {
        drop(table.check_bucket(Bucket(u32::MAX)));
    }
}

fn writer(slot: Slot, log_uuid: Uuid, proposals: Vec<Proposal>, slices: Vec<Slice>) -> CommitHeader {
    let nobody = Ulid::from(0u128);
    let text = String::new;
    CommitHeader {
        slot,
        log_uuid,
        put_id: nobody,
        folded: (slot, 0),
        time: 0,
        writer: WriterInfo {
            incarnation: nobody,
            version: text(),
            address: text(),
            zone: text(),
            put_p99_us: 0,
        },
        encryption_key_id: text(),
        segments: Vec::new(),
        slices,
        proposals,
    }
}

fn proposal(n: u64, base: Slot, entries: Vec<Entry>) -> Proposal {
    let name = ProposalName { incarnation: Ulid::from(u128::MAX), n };
    Proposal { name, base, producer: None, request_hash: 0, entries }
}

/// A log with nothing in it yet.
fn some_state(log_uuid: Uuid) -> State {
    let database = Name::new("fuzz").expect("a name");
    let created = Entry::LogCreated { log_uuid, database, home: String::new() };
    let header = writer(0, log_uuid, vec![proposal(0, 0, vec![created])], Vec::new());
    let sealed = header.seal(Vec::new()).expect("it is small");
    State::begin(&Commit::of_sealed(header, &sealed), Protocol::SHIPPED.fold).expect("it creates a log").0
}

/// A commit about what a state holds: rows for its tables, drops, a table more, the next request of a producer.
fn about(state: &State) -> CommitHeader {
    let next = state.next();
    let mut slices = Vec::new();
    let mut proposals = Vec::new();
    for (n, table) in (0..).zip(state.tables().all().take(4)) {
        let columns = table.spec.schema.columns.iter().map(|column| column.id).collect();
        slices.push(empty_slice(table.id, columns));
        let rows = Entry::Appended { slice: n, first_row: 0, rows: 1, expected_offset: None };
        let drop = Entry::TableDropped { table: table.id, time: 0 };
        proposals.push(proposal(u64::from(n) * 2, next, vec![rows]));
        proposals.push(proposal(u64::from(n) * 2 + 1, next, vec![drop]));
    }
    if let Some((id, producer)) = state.producers().iter().next() {
        let stamp = ProducerStamp { id: id.to_owned(), epoch: producer.epoch, seq: producer.next };
        proposals
            .push(Proposal { producer: Some(stamp), ..proposal(90, next, vec![Entry::DatabaseDropped]) });
    }
    for (n, (group, known)) in (92..).step_by(2).zip(state.groups().iter().take(4)) {
        let offsets = BTreeMap::from([(Bucket(0), 1)]);
        let at = |table: &TableId| StoredPosition {
            table: *table,
            offsets: offsets.clone(),
            expected: ExpectedPosition::Nothing,
        };
        let (group, generation) = (group.clone(), known.generation);
        let positions = known.positions.keys().map(at).collect();
        let stored = Entry::PositionsStored { group: group.clone(), generation, positions };
        proposals.push(proposal(n, next, vec![stored]));
        proposals.push(proposal(n + 1, next, vec![Entry::GroupDeleted { group, generation }]));
    }
    proposals.push(proposal(91, next, vec![Entry::DatabaseCreated]));
    writer(next, state.identity().uuid, proposals, slices)
}

/// One row, of whose bytes nobody asks.
fn empty_slice(table: TableId, columns: Vec<FieldId>) -> Slice {
    let chunks = vec![ColumnChunk { offset: 0, len: 0, checksum: 0 }; columns.len()];
    Slice {
        table,
        bucket: Bucket(0),
        stream: Stream::Rows,
        schema: 0,
        columns,
        op: SliceOp::Append,
        codec: Codec::None,
        home: SliceHome::Here,
        body_offset: 0,
        bytes: 8,
        rows: 1,
        times: None,
        source: None,
        batches: vec![BatchLayout { rows: 1, metadata_len: 8, body_len: 0, metadata_checksum: 0, chunks }],
        statistics: Vec::new(),
        checksum: 0,
    }
}

//! The header of a commit: everything that the fold needs, and where the rows lie.
//!
//! ```text
//!   slot · log uuid · put_id · writer's fold (slot, log hash) · commit time
//!   writer: incarnation, version, address, zone, PUT p99 · encryption key id
//!   segments: (base, ulid, body start) …
//!   slices …            each a record, see [`super::slice`]
//!   proposals …         each a record: name · base · producer · request hash · entries
//! ```
//!
//! Absent texts have length zero. The body, if any, holds the slices whose home is this object.

use bytes::Bytes;
use serde::Serialize;
use xxhash_rust::xxh3::xxh3_128;

use super::entry::{ENTRY_BYTES_MIN, Entry};
use super::envelope::{self, ENVELOPE_BYTES, Envelope, ObjectKind, Sealed};
use super::hex;
use super::slice::{SLICE_BYTES_MIN, Slice, SliceHome};
use super::wire::{Reader, Writer};
use crate::error::Result;
use crate::id::{Incarnation, ProposalName, SegmentId, Slot, TimeMicros, Ulid, Uuid};

/// What a commit says before its rows.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct CommitHeader {
    /// The slot that it was written for.
    pub slot: Slot,
    /// The log that it belongs to.
    pub log_uuid: Uuid,
    /// This PUT's name; all copies of one PUT share it (rule 5).
    pub put_id: Ulid,
    /// The writer's fold: the next slot it would have folded, and its log hash there (rule 9).
    #[serde(serialize_with = "hex::folded")]
    pub folded: (Slot, u128),
    /// The writer's clock (rule 13).
    pub time: TimeMicros,
    /// Who wrote it.
    pub writer: WriterInfo,
    /// The key that the body is encrypted with; empty: none.
    pub encryption_key_id: String,
    /// Segments that slices refer to.
    pub segments: Vec<SegmentRef>,
    /// The slices.
    pub slices: Vec<Slice>,
    /// The proposals, in the order in which they are folded.
    pub proposals: Vec<Proposal>,
}

/// The process that wrote a commit.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct WriterInfo {
    /// One run of one process.
    pub incarnation: Incarnation,
    /// Its version.
    pub version: String,
    /// Where other gateways reach it; empty: nowhere.
    pub address: String,
    /// Its availability zone; empty: unknown.
    pub zone: String,
    /// Its p99 of a PUT, in microseconds; 0: unknown.
    pub put_p99_us: u64,
}

/// A segment that slices of a header lie in.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct SegmentRef {
    /// Its name.
    pub id: SegmentId,
    /// The byte at which its body begins.
    pub body_start: u64,
}

/// One request: a named list of entries, with one verdict (rules 1 and 2).
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Proposal {
    /// Its name.
    pub name: ProposalName,
    /// The slot that its ingress gateway had folded up to when it gave the name.
    pub base: Slot,
    /// The producer and its count, if it is one that counts (rule 3).
    pub producer: Option<ProducerStamp>,
    /// XXH3-128 of the request; 0 where there is no producer.
    #[serde(serialize_with = "hex::u128")]
    pub request_hash: u128,
    /// What it does, taken whole or not at all.
    pub entries: Vec<Entry>,
}

/// Which request of which producer.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct ProducerStamp {
    /// The producer's id, chosen by the client.
    pub id: String,
    /// Its epoch; a higher one fences the lower.
    pub epoch: u64,
    /// Its count of requests in this database.
    pub seq: u64,
}

/// The least bytes of an encoded proposal: one without a producer and entries.
const PROPOSAL_BYTES_MIN: usize = 37;

/// The longest producer id, in bytes.
pub const PRODUCER_ID_BYTES_MAX: usize = 128;

impl Proposal {
    fn encode(&self, writer: &mut Writer) {
        writer.record(|w| {
            encode_name(self.name, w);
            w.varint(self.base);
            w.flag(self.producer.is_some());
            if let Some(producer) = &self.producer {
                w.text(&producer.id);
                w.varint(producer.epoch);
                w.varint(producer.seq);
            }
            w.u128(self.request_hash);
            w.count(self.entries.len());
            self.entries.iter().for_each(|entry| entry.encode(w));
        });
    }

    fn decode(reader: &mut Reader<'_>) -> Result<Self> {
        let mut r = reader.record()?;
        let (name, base) = (decode_name(&mut r)?, r.varint()?);
        let producer = if r.flag()? {
            Some(ProducerStamp { id: decode_producer_id(&mut r)?, epoch: r.varint()?, seq: r.varint()? })
        } else {
            None
        };
        let request_hash = r.u128()?;
        let entries = r.sequence(ENTRY_BYTES_MIN, Entry::decode)?;
        r.finish()?;
        Ok(Self { name, base, producer, request_hash, entries })
    }
}

pub(crate) fn decode_producer_id(r: &mut Reader<'_>) -> Result<String> {
    let here = r.clone();
    let id = r.text()?;
    if id.is_empty() || id.len() > PRODUCER_ID_BYTES_MAX {
        return Err(here.corrupt(&format!("a producer id of 1 to {PRODUCER_ID_BYTES_MAX} bytes"), id.len()));
    }
    Ok(id)
}

pub(crate) fn encode_name(name: ProposalName, w: &mut Writer) {
    w.ulid(name.incarnation);
    w.varint(name.n);
}

pub(crate) fn decode_name(r: &mut Reader<'_>) -> Result<ProposalName> {
    Ok(ProposalName { incarnation: r.ulid()?, n: r.varint()? })
}

pub(crate) fn encode_segment(id: SegmentId, w: &mut Writer) {
    w.varint(id.base);
    w.ulid(id.ulid);
}

pub(crate) fn decode_segment(r: &mut Reader<'_>) -> Result<SegmentId> {
    Ok(SegmentId { base: r.varint()?, ulid: r.ulid()? })
}

/// A commit as it stands in a slot, without its body.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Commit {
    /// Its envelope.
    pub envelope: Envelope,
    /// Its header.
    pub header: CommitHeader,
    /// XXH3-128 of the header's bytes: what the log hash takes in for the entries (rule 9).
    #[serde(serialize_with = "hex::u128")]
    pub entries_hash: u128,
}

impl CommitHeader {
    /// Seals the header with a body.
    ///
    /// # Errors
    /// `Invalid` for a header above the limit; `Internal` if what was sealed could not be read back: it must not be written.
    pub fn seal(&self, body: Vec<Bytes>) -> Result<Sealed> {
        let sealed = envelope::seal_with(ObjectKind::Commit, self.features(), self.encode(), body)?;
        Commit::decode("a commit not yet written", &sealed.head, self.slot)
            .map_err(|error| envelope::not_readable(&error))?;
        Ok(sealed)
    }

    fn encode(&self) -> Writer {
        let mut w = Writer::new();
        w.varint(self.slot);
        w.uuid(self.log_uuid);
        w.ulid(self.put_id);
        w.varint(self.folded.0);
        w.u128(self.folded.1);
        w.zigzag(self.time);
        w.record(|w| {
            w.ulid(self.writer.incarnation);
            w.text(&self.writer.version);
            w.text(&self.writer.address);
            w.text(&self.writer.zone);
            w.varint(self.writer.put_p99_us);
        });
        w.text(&self.encryption_key_id);
        w.count(self.segments.len());
        for segment in &self.segments {
            encode_segment(segment.id, &mut w);
            w.varint(segment.body_start);
        }
        w.count(self.slices.len());
        self.slices.iter().for_each(|slice| slice.encode(&mut w));
        w.count(self.proposals.len());
        self.proposals.iter().for_each(|proposal| proposal.encode(&mut w));
        w
    }

    /// The feature bits that a reader of the entries must know.
    fn features(&self) -> u64 {
        let entries = self.proposals.iter().flat_map(|proposal| &proposal.entries);
        entries.fold(0, |features, entry| features | entry.features())
    }

    fn decode(mut r: Reader<'_>) -> Result<Self> {
        let (slot, log_uuid, put_id) = (r.varint()?, r.uuid()?, r.ulid()?);
        let (folded, time) = ((r.varint()?, r.u128()?), r.zigzag()?);
        let writer = {
            let mut r = r.record()?;
            let writer = WriterInfo {
                incarnation: r.ulid()?,
                version: r.text()?,
                address: r.text()?,
                zone: r.text()?,
                put_p99_us: r.varint()?,
            };
            r.finish()?;
            writer
        };
        let encryption_key_id = r.text()?;
        let segments =
            r.sequence(18, |r| Ok(SegmentRef { id: decode_segment(r)?, body_start: r.varint()? }))?;
        let here = r.clone();
        let slices = r.sequence(SLICE_BYTES_MIN, Slice::decode)?;
        for slice in &slices {
            if let SliceHome::Segment(index) = slice.home
                && index as usize >= segments.len()
            {
                return Err(here.corrupt("slices in segments that the header names", index));
            }
        }
        let proposals = r.sequence(PROPOSAL_BYTES_MIN, Proposal::decode)?;
        envelope::finish_header(r)?;
        Ok(Self {
            slot,
            log_uuid,
            put_id,
            folded,
            time,
            writer,
            encryption_key_id,
            segments,
            slices,
            proposals,
        })
    }
}

impl Commit {
    /// Reads envelope and header out of a prefix of the object at `slot`.
    pub fn decode(object: &str, prefix: &[u8], slot: Slot) -> Result<Self> {
        let envelope = Envelope::decode(object, prefix, ObjectKind::Commit)?;
        let header = envelope.header(object, prefix)?;
        let here = Reader::new(object, ENVELOPE_BYTES as u64, header);
        let commit =
            Self { envelope, header: CommitHeader::decode(here.clone())?, entries_hash: xxh3_128(header) };
        let needed = commit.header.features();
        if envelope.features != needed {
            return Err(
                here.corrupt(&format!("feature bits {needed:#x}"), format!("{:#x}", envelope.features))
            );
        }
        if commit.header.slot != slot {
            return Err(
                here.corrupt(&format!("the commit of slot {slot}"), format!("slot {}", commit.header.slot))
            );
        }
        let features = commit.header.features();
        if envelope.features != features {
            let here = Reader::new(object, 16, &[]);
            return Err(
                here.corrupt(&format!("feature bits {features:#x}"), format!("{:#x}", envelope.features))
            );
        }
        let end = commit.header.slices.iter().filter(|slice| slice.home == SliceHome::Here);
        if let Some(slice) = end.clone().find(|slice| slice.object_range(0).end > envelope.body_bytes) {
            return Err(here.corrupt(
                &format!("slices within a body of {} bytes", envelope.body_bytes),
                slice.object_range(0).end,
            ));
        }
        Ok(commit)
    }

    /// What a writer that has just sealed a commit knows of it.
    pub fn of_sealed(header: CommitHeader, sealed: &Sealed) -> Self {
        let entries_hash = xxh3_128(&sealed.head[ENVELOPE_BYTES..]);
        Self { envelope: sealed.envelope, header, entries_hash }
    }

    /// Envelope and header as they stand in the slot: a value has one spelling, so they are the bytes that were read.
    pub fn head(&self) -> Bytes {
        let mut head = self.envelope.encode();
        head.extend_from_slice(&self.header.encode().into_bytes());
        head.resize(ENVELOPE_BYTES + self.envelope.header_bytes as usize, 0);
        head.into()
    }

    /// Whether two observations are of one PUT (rule 5).
    pub fn is_same_put(&self, other: &Self) -> bool {
        self.header.put_id == other.header.put_id && self.envelope.content_hash == other.envelope.content_hash
    }
}

//! One object's bytes against its checksums. PURE.
//!
//! Invariant: whichever byte of an object is flipped, a fault names a range of bytes that holds it: the smallest that a checksum
//! covers, so a column's buffers rather than the body.

use std::fmt;
use std::ops::Range;

use bytes::Bytes;
use frazil_log::format::checkpoint::Checkpoint;
use frazil_log::format::commit::Commit;
use frazil_log::format::envelope::{ENVELOPE_BYTES, Envelope, ObjectKind};
use frazil_log::format::page::{PageHeader, PlaceMap, decode_page};
use frazil_log::format::segment::SegmentHeader;
use frazil_log::format::slice::{Slice, SliceHome};
use frazil_log::id::{SegmentId, Slot};
use frazil_log::{Error, ErrorKind};
use serde::{Serialize, Serializer};
use xxhash_rust::xxh3::{xxh3_64, xxh3_128};

const ENVELOPE: u64 = ENVELOPE_BYTES as u64;

/// What is wrong, and where.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub(crate) struct Fault {
    /// The object's key, or what of the log it is about.
    pub(crate) object: String,
    /// The bytes that the failed checksum covers; none where no checksum is at fault.
    #[serde(serialize_with = "range_as_pair")]
    pub(crate) bytes: Option<Range<u64>>,
    /// What should be there.
    pub(crate) expected: String,
    /// What is.
    pub(crate) found: String,
    /// Whether the bytes may be right, but are of a kind that only a later version knows.
    pub(crate) unreadable: bool,
}

fn range_as_pair<S: Serializer>(range: &Option<Range<u64>>, serializer: S) -> Result<S::Ok, S::Error> {
    range.as_ref().map(|range| [range.start, range.end]).serialize(serializer)
}

impl Fault {
    /// A fault of these bytes.
    pub(crate) fn new(
        object: &str,
        bytes: impl Into<Option<Range<u64>>>,
        expected: impl Into<String>,
        found: impl Into<String>,
    ) -> Self {
        let (expected, found) = (expected.into(), found.into());
        Self { object: object.to_owned(), bytes: bytes.into(), expected, found, unreadable: false }
    }

    fn of_checksum(object: &str, bytes: Range<u64>, what: &str, expected: u64, found: u64) -> Self {
        Self::new(object, bytes, format!("{what} {expected:016x}"), format!("{found:016x}"))
    }

    /// Bytes whose checksums hold, and that cannot be decoded all the same.
    pub(crate) fn of_decoder(object: &str, bytes: Range<u64>, expected: &str, error: &Error) -> Self {
        let unreadable = error.kind() == ErrorKind::Unsupported;
        Self { unreadable, ..Self::new(object, bytes, expected, error.to_string()) }
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.object)?;
        if let Some(bytes) = &self.bytes {
            write!(f, " bytes {}..{}", bytes.start, bytes.end)?;
        }
        write!(f, ": expected {}, found {}", self.expected, self.found)
    }
}

/// What could be read of an object in spite of its faults.
#[derive(Debug)]
pub(crate) struct Checked<T> {
    /// What it says; none if the part that says it is at fault.
    pub(crate) content: Option<T>,
    /// All that is wrong with it.
    pub(crate) faults: Vec<Fault>,
}

fn length(bytes: &[u8]) -> u64 {
    u64::try_from(bytes.len()).unwrap_or(u64::MAX)
}

fn part(bytes: &[u8], range: &Range<u64>) -> Option<Vec<u8>> {
    slice_of(bytes, range).map(<[u8]>::to_vec)
}

fn slice_of<'a>(bytes: &'a [u8], range: &Range<u64>) -> Option<&'a [u8]> {
    bytes.get(usize::try_from(range.start).ok()?..usize::try_from(range.end).ok()?)
}

/// Compares a range with its XXH3-64; `None`: it holds, or lies beyond the end (which the length tells).
fn checksum(object: &str, bytes: &[u8], range: Range<u64>, what: &str, expected: u64) -> Option<Fault> {
    let found = xxh3_64(slice_of(bytes, &range)?);
    (found != expected).then(|| Fault::of_checksum(object, range, what, expected, found))
}

/// An envelope that holds, and a header that holds.
struct Opened {
    envelope: Envelope,
    /// Whether length and content hash hold too.
    whole: bool,
}

/// Envelope, header, length, in this order: each says where the next lies.
fn open(object: &str, bytes: &[u8], kind: ObjectKind, faults: &mut Vec<Fault>) -> Option<Opened> {
    let length = length(bytes);
    if length < ENVELOPE {
        faults.push(Fault::new(object, 0..ENVELOPE, "an envelope of 64 bytes", format!("{length} bytes")));
        return None;
    }
    let seal: [u8; 8] = bytes.get(56..64)?.try_into().ok()?;
    let (expected, found) = (u64::from_le_bytes(seal), xxh3_64(&bytes[..56]));
    if expected != found {
        faults.push(Fault::of_checksum(object, 0..ENVELOPE, "envelope checksum", expected, found));
        return None;
    }
    let envelope = match Envelope::decode(object, bytes, kind) {
        Ok(envelope) => envelope,
        Err(error) => {
            faults.push(Fault::of_decoder(object, 0..ENVELOPE, "an envelope of this version", &error));
            return None;
        }
    };
    let expected = envelope.object_bytes();
    if length != expected {
        let range = length.min(expected)..length.max(expected);
        faults.push(Fault::new(
            object,
            range,
            format!("an object of {expected} bytes"),
            format!("{length} bytes"),
        ));
    }
    if length < envelope.body_start() {
        return None;
    }
    let header = ENVELOPE..envelope.body_start();
    if let Some(fault) = checksum(object, bytes, header, "header checksum", envelope.header_checksum) {
        faults.push(fault);
        return None;
    }
    let whole = length == expected && xxh3_128(&bytes[ENVELOPE_BYTES..]) == envelope.content_hash;
    Some(Opened { envelope, whole })
}

/// If the content is not whole and no part of it was found at fault, it is what lies between the parts.
fn content(object: &str, bytes: &[u8], opened: &Opened, faults: &mut Vec<Fault>) {
    if !opened.whole && faults.is_empty() {
        let expected = format!("content hash {:032x}", opened.envelope.content_hash);
        let found = format!("{:032x}", xxh3_128(&bytes[ENVELOPE_BYTES..]));
        // The header has a checksum of its own, which holds.
        faults.push(Fault::new(object, opened.envelope.body_start()..length(bytes), expected, found));
    }
}

/// The smallest parts of a slice whose checksums fail: metadata and columns of its batches, else the whole.
fn slice_faults(object: &str, bytes: &[u8], body_start: u64, slice: &Slice) -> Vec<Fault> {
    let range = slice.object_range(body_start);
    let Some(whole) = checksum(object, bytes, range.clone(), "slice checksum", slice.checksum) else {
        return Vec::new();
    };
    let mut faults = Vec::new();
    let mut at = range.start;
    for batch in &slice.batches {
        let metadata = at..at.saturating_add(u64::from(batch.metadata_len));
        at = metadata.end;
        faults.extend(checksum(object, bytes, metadata, "batch metadata checksum", batch.metadata_checksum));
        for (chunk, column) in batch.chunks.iter().zip(&slice.columns) {
            let range =
                at.saturating_add(chunk.offset)..at.saturating_add(chunk.offset).saturating_add(chunk.len);
            faults.extend(checksum(
                object,
                bytes,
                range,
                &format!("column {column} checksum"),
                chunk.checksum,
            ));
        }
        at = at.saturating_add(batch.body_len);
    }
    if faults.is_empty() { vec![whole] } else { faults }
}

/// A commit, as it should lie in `slot`.
pub(crate) fn commit(object: &str, bytes: &[u8], slot: Slot) -> Checked<Commit> {
    let mut faults = Vec::new();
    let Some(opened) = open(object, bytes, ObjectKind::Commit, &mut faults) else {
        return Checked { content: None, faults };
    };
    let body_start = opened.envelope.body_start();
    let commit = match Commit::decode(object, bytes, slot) {
        Ok(commit) => commit,
        Err(error) => {
            faults.push(Fault::of_decoder(
                object,
                ENVELOPE..body_start,
                &format!("the commit of slot {slot}"),
                &error,
            ));
            return Checked { content: None, faults };
        }
    };
    let here = commit.header.slices.iter().filter(|slice| slice.home == SliceHome::Here);
    faults.extend(here.flat_map(|slice| slice_faults(object, bytes, body_start, slice)));
    content(object, bytes, &opened, &mut faults);
    Checked { content: Some(commit), faults }
}

/// A segment, by its name.
pub(crate) fn segment(object: &str, bytes: &[u8], id: SegmentId) -> Checked<(Envelope, SegmentHeader)> {
    let mut faults = Vec::new();
    let Some(opened) = open(object, bytes, ObjectKind::Segment, &mut faults) else {
        return Checked { content: None, faults };
    };
    let body_start = opened.envelope.body_start();
    let (envelope, header) = match SegmentHeader::decode(object, bytes, id) {
        Ok(decoded) => decoded,
        Err(error) => {
            faults.push(Fault::of_decoder(object, ENVELOPE..body_start, &format!("segment {id}"), &error));
            return Checked { content: None, faults };
        }
    };
    faults.extend(header.slices.iter().flat_map(|slice| slice_faults(object, bytes, body_start, slice)));
    content(object, bytes, &opened, &mut faults);
    Checked { content: Some((envelope, header)), faults }
}

/// An index page, by its slots.
pub(crate) fn page(object: &str, bytes: &[u8], slots: &Range<Slot>) -> Checked<(Envelope, PlaceMap)> {
    let mut faults = Vec::new();
    let Some(opened) = open(object, bytes, ObjectKind::IndexPage, &mut faults) else {
        return Checked { content: None, faults };
    };
    let expected = format!("the index page of slots {}..{}", slots.start, slots.end);
    let all = ENVELOPE..opened.envelope.object_bytes();
    match PageHeader::decode(object, bytes, slots) {
        Ok((envelope, header)) => faults.extend(header.directory.iter().filter_map(|part| {
            checksum(object, bytes, part.object_range(&envelope), "page part checksum", part.checksum)
        })),
        Err(error) => faults.push(Fault::of_decoder(object, all.clone(), &expected, &error)),
    }
    content(object, bytes, &opened, &mut faults);
    if !faults.is_empty() {
        return Checked { content: None, faults };
    }
    match decode_page(object, bytes, slots) {
        Ok((_, places)) => Checked { content: Some((opened.envelope, places)), faults },
        Err(error) => {
            faults.push(Fault::of_decoder(object, all, &expected, &error));
            Checked { content: None, faults }
        }
    }
}

/// A checkpoint, by its slot.
pub(crate) fn checkpoint(object: &str, bytes: &Bytes, slot: Slot) -> Checked<(Envelope, Checkpoint)> {
    let mut faults = Vec::new();
    let Some(opened) = open(object, bytes, ObjectKind::Checkpoint, &mut faults) else {
        return Checked { content: None, faults };
    };
    content(object, bytes, &opened, &mut faults);
    if !faults.is_empty() {
        return Checked { content: None, faults };
    }
    match Checkpoint::decode(object, bytes, slot) {
        Ok(checkpoint) => Checked { content: Some((opened.envelope, checkpoint)), faults },
        Err(error) => {
            let all = ENVELOPE..opened.envelope.object_bytes();
            faults.push(Fault::of_decoder(object, all, &format!("the checkpoint of slot {slot}"), &error));
            Checked { content: None, faults }
        }
    }
}

/// A slice's bytes of an object, if the object is long enough.
pub(crate) fn slice_bytes(bytes: &[u8], body_start: u64, slice: &Slice) -> Option<Bytes> {
    part(bytes, &slice.object_range(body_start)).map(Bytes::from)
}

//! Index pages: where the rows of a range of slots lie.
//!
//! ```text
//!   header: log uuid · from · to · log hash at `to`
//!           directory: for each (table, bucket, stream): offsets [min, max) · places · bytes and XXH3-64 of its part
//!   body:   the parts, in the directory's order: places, each a record:
//!           first offset · rows · first row in the slice · commit time · object · body start · slice
//! ```
//!
//! Invariants: keys ascend; a part's places ascend and do not overlap; the bytes are a pure function of the slots in the page
//! (a merged page's of the pages that it merges), so that two writers of one page write the same bytes.

use std::collections::BTreeMap;
use std::ops::Range;
use std::sync::Arc;

use bytes::Bytes;
use serde::Serialize;
use xxhash_rust::xxh3::xxh3_64;

use super::envelope::{self, ENVELOPE_BYTES, Envelope, ObjectKind, Sealed};
use super::hex;
use super::segment::ObjectId;
use super::slice::{SLICE_BYTES_MIN, Slice, decode_stream};
use super::wire::{Reader, Writer};
use crate::error::{Error, Result};
use crate::id::{Bucket, Offset, Slot, Stream, TableId, TimeMicros, Uuid};

/// One sequence of offsets.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
pub struct StreamKey {
    /// The table.
    pub table: TableId,
    /// The bucket.
    pub bucket: Bucket,
    /// Rows or changelog.
    pub stream: Stream,
}

impl StreamKey {
    /// Whether a slice holds rows of the sequence.
    pub fn owns(&self, slice: &Slice) -> bool {
        *self == slice.key()
    }
}

/// Where a run of offsets lies.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Place {
    /// The offsets.
    pub offsets: Range<Offset>,
    /// The row of the slice that the first offset is.
    pub first_row: u32,
    /// The commit time of the slot that the rows arrived in; of rolled-up rows the latest (each row then has its own).
    pub time: TimeMicros,
    /// The object.
    pub object: ObjectId,
    /// The byte at which the object's body begins.
    pub body_start: u64,
    /// The slice.
    pub slice: Arc<Slice>,
}

impl Place {
    /// The part of the place that holds `offsets`; nothing if it holds none of them.
    pub fn cut(&self, offsets: &Range<Offset>) -> Option<Self> {
        let start = self.offsets.start.max(offsets.start);
        let end = self.offsets.end.min(offsets.end);
        if start >= end {
            return None;
        }
        let skipped = u32::try_from(start - self.offsets.start).ok()?;
        Some(Self { offsets: start..end, first_row: self.first_row + skipped, ..self.clone() })
    }

    fn encode(&self, writer: &mut Writer) {
        writer.record(|w| {
            w.varint(self.offsets.start);
            w.varint(self.offsets.end - self.offsets.start);
            w.varint(u64::from(self.first_row));
            w.zigzag(self.time);
            self.object.encode(w);
            w.varint(self.body_start);
            self.slice.encode(w);
        });
    }

    fn decode(reader: &mut Reader<'_>) -> Result<Self> {
        let mut r = reader.record()?;
        let here = r.clone();
        let (start, rows, first_row) = (r.varint()?, r.number::<u32>()?, r.number::<u32>()?);
        let (time, object, body_start) = (r.zigzag()?, ObjectId::decode(&mut r)?, r.varint()?);
        let slice = Slice::decode(&mut r)?;
        let end = start.checked_add(u64::from(rows));
        let last_row = first_row.checked_add(rows);
        let (Some(end), Some(last_row)) = (end, last_row) else {
            return Err(here.corrupt("offsets and rows that fit", rows));
        };
        if rows == 0 || last_row > slice.rows {
            return Err(here.corrupt(&format!("rows within the slice's {}", slice.rows), last_row));
        }
        r.finish()?;
        Ok(Self { offsets: start..end, first_row, time, object, body_start, slice: Arc::new(slice) })
    }
}

/// The places of one page or of memory, by sequence, ascending, not overlapping.
pub type PlaceMap = BTreeMap<StreamKey, Vec<Place>>;

/// What a page's header says.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct PageHeader {
    /// The log.
    pub log_uuid: Uuid,
    /// The slots that it covers.
    pub slots: Range<Slot>,
    /// The log hash at the end of them.
    #[serde(serialize_with = "hex::u128")]
    pub log_hash: u128,
    /// What lies in the body, keys ascending.
    pub directory: Vec<PagePart>,
}

/// One sequence's part of a page.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct PagePart {
    /// Whose.
    pub key: StreamKey,
    /// From the first offset to the end of the last; there may be gaps.
    pub offsets: Range<Offset>,
    /// How many places.
    pub places: u32,
    /// Where in the body.
    pub body: Range<u64>,
    /// XXH3-64 of the part.
    #[serde(serialize_with = "hex::u64")]
    pub checksum: u64,
}

/// Seals the page of `slots`.
pub fn seal_page(log_uuid: Uuid, slots: Range<Slot>, log_hash: u128, places: &PlaceMap) -> Result<Sealed> {
    let mut body = Writer::new();
    let mut header = Writer::new();
    header.uuid(log_uuid);
    header.varint(slots.start);
    header.varint(slots.end);
    header.u128(log_hash);
    let parts =
        places.iter().filter_map(|(key, places)| Some((key, places, places.first()?, places.last()?)));
    header.count(parts.clone().count());
    for (key, places, first, last) in parts {
        let mut part = Writer::new();
        places.iter().for_each(|place| place.encode(&mut part));
        let part = part.into_bytes();
        header.varint(key.table.0);
        header.varint(u64::from(key.bucket.0));
        header.u8(key.stream as u8);
        header.varint(first.offsets.start);
        header.varint(last.offsets.end - first.offsets.start);
        header.count(places.len());
        header.count(part.len());
        header.u64_fixed(xxh3_64(&part));
        body.raw(&part);
    }
    envelope::seal(ObjectKind::IndexPage, header, vec![Bytes::from(body.into_bytes())])
}

impl PageHeader {
    /// Reads envelope and header out of a prefix of the page of `slots`.
    pub fn decode(object: &str, prefix: &[u8], slots: &Range<Slot>) -> Result<(Envelope, Self)> {
        let envelope = Envelope::decode(object, prefix, ObjectKind::IndexPage)?;
        let mut r = Reader::new(object, ENVELOPE_BYTES as u64, envelope.header(object, prefix)?);
        let here = r.clone();
        let (log_uuid, found, log_hash) = (r.uuid()?, r.varint()?..r.varint()?, r.u128()?);
        let mut end = 0u64;
        let directory = r.sequence(15, |r| {
            let part = PagePart::decode(r, end)?;
            end = part.body.end;
            Ok(part)
        })?;
        envelope::finish_header(r)?;
        if found != *slots {
            return Err(here.corrupt(&format!("the page of slots {slots:?}"), format!("{found:?}")));
        }
        if end != envelope.body_bytes || !directory.is_sorted_by(|a, b| a.key < b.key) {
            return Err(here.corrupt("parts in order that fill the body", end));
        }
        Ok((envelope, Self { log_uuid, slots: found, log_hash, directory }))
    }

    /// The part of a sequence, if the page has rows of it.
    pub fn part(&self, key: &StreamKey) -> Option<&PagePart> {
        let index = self.directory.binary_search_by(|part| part.key.cmp(key)).ok()?;
        self.directory.get(index)
    }
}

impl PagePart {
    fn decode(r: &mut Reader<'_>, body_start: u64) -> Result<Self> {
        let key =
            StreamKey { table: TableId(r.varint()?), bucket: Bucket(r.number()?), stream: decode_stream(r)? };
        let (start, length, places, bytes) = (r.varint()?, r.varint()?, r.number()?, r.varint()?);
        let checksum = r.u64_fixed()?;
        let (Some(end), Some(body_end)) = (start.checked_add(length), body_start.checked_add(bytes)) else {
            return Err(r.corrupt("offsets below 2^64", length));
        };
        Ok(Self { key, offsets: start..end, places, body: body_start..body_end, checksum })
    }

    /// Where the part lies in the object.
    pub fn object_range(&self, envelope: &Envelope) -> Range<u64> {
        envelope.body_start() + self.body.start..envelope.body_start() + self.body.end
    }

    /// Reads the part's places out of its bytes, verified.
    pub fn decode_places(&self, object: &str, envelope: &Envelope, bytes: &[u8]) -> Result<Vec<Place>> {
        let range = self.object_range(envelope);
        envelope::check(object, range.clone(), bytes, xxh3_64(bytes), self.checksum)?;
        let mut r = Reader::new(object, range.start, bytes);
        if (self.places as usize).saturating_mul(SLICE_BYTES_MIN) > bytes.len() {
            return Err(r.corrupt("a count of places that fits the part", self.places));
        }
        let mut places: Vec<Place> = Vec::with_capacity(self.places as usize);
        for _ in 0..self.places {
            let here = r.clone();
            let place = Place::decode(&mut r)?;
            if !self.key.owns(&place.slice) {
                return Err(
                    here.corrupt(&format!("a slice of {:?}", self.key), format!("{:?}", place.slice.key()))
                );
            }
            if places.last().is_some_and(|last| last.offsets.end > place.offsets.start) {
                return Err(here.corrupt("places in order", place.offsets.start));
            }
            places.push(place);
        }
        let ends =
            places.first().zip(places.last()).map(|(first, last)| first.offsets.start..last.offsets.end);
        if ends.as_ref() != Some(&self.offsets) {
            return Err(r.corrupt(&format!("places of offsets {:?}", self.offsets), format!("{ends:?}")));
        }
        r.finish()?;
        Ok(places)
    }
}

/// Reads a whole page.
pub fn decode_page(object: &str, bytes: &[u8], slots: &Range<Slot>) -> Result<(PageHeader, PlaceMap)> {
    let (envelope, header) = PageHeader::decode(object, bytes, slots)?;
    envelope.verify(object, bytes)?;
    let mut map = PlaceMap::new();
    for part in &header.directory {
        let range = part.object_range(&envelope);
        let range = usize::try_from(range.start).ok().zip(usize::try_from(range.end).ok());
        let part_bytes = range.and_then(|(start, end)| bytes.get(start..end));
        let part_bytes =
            part_bytes.ok_or_else(|| Error::corrupt(format!("{object}: a part lies beyond its end")))?;
        map.insert(part.key, part.decode_places(object, &envelope, part_bytes)?);
    }
    Ok((header, map))
}

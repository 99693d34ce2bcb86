//! Slices: what a commit or segment header says of one bucket's rows in its body.
//!
//! A slice's bytes are one or more Arrow IPC *record batch messages*, back to back, each beginning at a multiple of 8
//! from the start of the body; there is no schema message, the schema is known by its id. Message and body:
//!
//! ```text
//!   FF FF FF FF | metadata length i32 LE | flatbuffer metadata, padded to 8 | buffers, each padded to 8
//!   └───────────────── metadata_len ─────────────────┘└─────── body_len ───────┘
//! ```
//!
//! The buffers of one top-level column lie together, in column order, so that a reader that wants few columns fetches the
//! metadata and just those ranges; each range has a checksum of its own.

use std::ops::Range;

use serde::Serialize;

use super::hex;
use super::page::StreamKey;
use super::wire::{Reader, Writer};
use crate::error::Result;
use crate::id::{Bucket, FieldId, Offset, SchemaId, Stream, TableId, TimeMicros};

/// One bucket's rows in a commit or segment.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Slice {
    /// The table, by id: a name may mean another table when the entry takes effect (rule 7).
    pub table: TableId,
    /// The bucket.
    pub bucket: Bucket,
    /// Rows or changelog.
    pub stream: Stream,
    /// The schema that the rows were written in.
    pub schema: SchemaId,
    /// The columns present, by field id, in the order in which they lie; all batches have the same.
    pub columns: Vec<FieldId>,
    /// What the rows do.
    pub op: SliceOp,
    /// How buffers are compressed.
    pub codec: Codec,
    /// Which object the bytes lie in.
    pub home: SliceHome,
    /// Where in that object's body: byte offset from the body's start, a multiple of 8.
    pub body_offset: u64,
    /// How many bytes.
    pub bytes: u64,
    /// How many rows, over all batches.
    pub rows: u32,
    /// Min and max commit time of the rows, inclusive; `None`: the commit time of the slot that the slice arrived in.
    pub times: Option<(TimeMicros, TimeMicros)>,
    /// A changelog slice: the source offsets `[from, to)` that it covers (rule 15).
    pub source: Option<Range<Offset>>,
    /// The Arrow batches, in order.
    pub batches: Vec<BatchLayout>,
    /// Statistics by column, where they were taken; conservative if absent.
    pub statistics: Vec<ColumnStatistics>,
    /// XXH3-64 of the slice's bytes.
    #[serde(serialize_with = "hex::u64")]
    pub checksum: u64,
}

/// What the rows of a slice do.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum SliceOp {
    /// Appended to a log table.
    Append = 0,
    /// Upserted by key.
    Upsert = 1,
    /// Deleted by key.
    Delete = 2,
    /// Each row names its own op in a column of ops, the last of the slice's columns.
    PerRow = 3,
}

/// How the buffers of a slice are compressed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Codec {
    /// Not at all
    None = 0,
    /// LZ4 frames
    Lz4 = 1,
    /// Zstandard
    Zstd = 2,
}

/// Which object a slice's bytes lie in.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum SliceHome {
    /// The object whose header this is.
    Here,
    /// A segment named by the header: an index into its list of segments.
    Segment(u32),
}

/// One Arrow IPC record batch message of a slice.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct BatchLayout {
    /// Rows in the batch.
    pub rows: u32,
    /// Bytes of prefix and metadata, a multiple of 8.
    pub metadata_len: u32,
    /// Bytes of the buffers, a multiple of 8.
    pub body_len: u64,
    /// XXH3-64 of the `metadata_len` bytes.
    #[serde(serialize_with = "hex::u64")]
    pub metadata_checksum: u64,
    /// One per column of the slice, in the same order; the ranges tile the body.
    pub chunks: Vec<ColumnChunk>,
}

/// The buffers of one top-level column in one batch.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct ColumnChunk {
    /// Bytes from the start of the batch's buffers.
    pub offset: u64,
    /// How many bytes.
    pub len: u64,
    /// XXH3-64 of them.
    #[serde(serialize_with = "hex::u64")]
    pub checksum: u64,
}

/// What is known of a column's values in a slice.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct ColumnStatistics {
    /// The column.
    pub field: FieldId,
    /// How many nulls.
    pub nulls: u32,
    /// A lower bound in Iceberg's single-value bytes, empty if unknown. Strings and binaries are cut to 16 bytes.
    #[serde(serialize_with = "hex::bytes")]
    pub min: Vec<u8>,
    /// An upper bound, likewise; a cut one is rounded up, or empty if that cannot be.
    #[serde(serialize_with = "hex::bytes")]
    pub max: Vec<u8>,
}

/// The least bytes that an encoded slice takes: bounds what a hostile count can ask for.
pub(crate) const SLICE_BYTES_MIN: usize = 24 + BATCH_BYTES_MIN;

/// The least bytes of an encoded batch: one without columns.
const BATCH_BYTES_MIN: usize = 11;

impl Slice {
    /// Writes the slice as a record.
    pub(crate) fn encode(&self, writer: &mut Writer) {
        writer.record(|w| {
            w.varint(self.table.0);
            w.varint(u64::from(self.bucket.0));
            w.u8(self.stream as u8);
            w.varint(u64::from(self.schema));
            w.count(self.columns.len());
            self.columns.iter().for_each(|column| w.zigzag(i64::from(*column)));
            w.u8(self.op as u8);
            w.u8(self.codec as u8);
            w.varint(match self.home {
                SliceHome::Here => 0,
                SliceHome::Segment(index) => u64::from(index) + 1,
            });
            w.varint(self.body_offset);
            w.varint(self.bytes);
            w.varint(u64::from(self.rows));
            w.flag(self.times.is_some());
            if let Some((min, max)) = self.times {
                w.zigzag(min);
                w.zigzag(max);
            }
            w.flag(self.source.is_some());
            if let Some(source) = &self.source {
                w.varint(source.start);
                w.varint(source.end);
            }
            w.count(self.batches.len());
            self.batches.iter().for_each(|batch| batch.encode(w));
            w.count(self.statistics.len());
            self.statistics.iter().for_each(|statistics| statistics.encode(w));
            w.u64_fixed(self.checksum);
        });
    }

    /// Reads a slice.
    pub(crate) fn decode(reader: &mut Reader<'_>) -> Result<Self> {
        let mut r = reader.record()?;
        let here = r.clone();
        let table = TableId(r.varint()?);
        let bucket = Bucket(r.number()?);
        let stream = decode_stream(&mut r)?;
        let schema = r.number()?;
        let columns = r.sequence(1, Reader::zigzag_i32)?;
        let (at_op, tag) = r.tag()?;
        let op = match tag {
            0 => SliceOp::Append,
            1 => SliceOp::Upsert,
            2 => SliceOp::Delete,
            3 => SliceOp::PerRow,
            other => return Err(at_op.unknown("slice op", other)),
        };
        let (at_codec, tag) = r.tag()?;
        let codec = match tag {
            0 => Codec::None,
            1 => Codec::Lz4,
            2 => Codec::Zstd,
            other => return Err(at_codec.unknown("codec", other)),
        };
        let home = match r.number::<u32>()? {
            0 => SliceHome::Here,
            index => SliceHome::Segment(index - 1),
        };
        let (body_offset, bytes, rows) = (r.varint()?, r.varint()?, r.number()?);
        let times = if r.flag()? { Some((r.zigzag()?, r.zigzag()?)) } else { None };
        let source = if r.flag()? { Some(r.varint()?..r.varint()?) } else { None };
        let width = columns.len();
        let batches = r.sequence(BATCH_BYTES_MIN, |r| BatchLayout::decode(r, width))?;
        let statistics = r.sequence(4, ColumnStatistics::decode)?;
        let checksum = r.u64_fixed()?;
        let slice = Self {
            table,
            bucket,
            stream,
            schema,
            columns,
            op,
            codec,
            home,
            body_offset,
            bytes,
            rows,
            times,
            source,
            batches,
            statistics,
            checksum,
        };
        slice.check(&here)?;
        r.finish()?;
        Ok(slice)
    }

    /// What must hold of any slice before it is used to plan reads.
    fn check(&self, reader: &Reader<'_>) -> Result<()> {
        let rows: u64 = self.batches.iter().map(|batch| u64::from(batch.rows)).sum();
        let bytes = self.batches.iter().try_fold(0u64, |sum, batch| {
            sum.checked_add(u64::from(batch.metadata_len))?.checked_add(batch.body_len)
        });
        if rows != u64::from(self.rows) || self.rows == 0 {
            return Err(reader.corrupt("a slice whose batches hold its rows, at least one", self.rows));
        }
        if bytes != Some(self.bytes) || self.body_offset.checked_add(self.bytes).is_none() {
            return Err(reader.corrupt("a slice whose batches fill its bytes", self.bytes));
        }
        if !self.body_offset.is_multiple_of(8) {
            return Err(reader.corrupt("a slice that begins at a multiple of 8", self.body_offset));
        }
        if let Some((min, max)) = self.times.filter(|(min, max)| min > max) {
            return Err(
                reader.corrupt("commit times from the least to the greatest", format!("{min} to {max}"))
            );
        }
        if let Some(source) = self.source.as_ref().filter(|source| source.start > source.end) {
            return Err(reader.corrupt("a range of source offsets", format!("{source:?}")));
        }
        Ok(())
    }

    /// The sequence of offsets that its rows belong to.
    pub fn key(&self) -> StreamKey {
        StreamKey { table: self.table, bucket: self.bucket, stream: self.stream }
    }

    /// Where the slice's bytes lie in their object, whose body begins at `body_start`.
    pub fn object_range(&self, body_start: u64) -> Range<u64> {
        let start = body_start.saturating_add(self.body_offset);
        start..start.saturating_add(self.bytes)
    }
}

pub(crate) fn decode_stream(reader: &mut Reader<'_>) -> Result<Stream> {
    let (here, tag) = reader.tag()?;
    match tag {
        0 => Ok(Stream::Rows),
        1 => Ok(Stream::Changelog),
        other => Err(here.unknown("stream", other)),
    }
}

impl BatchLayout {
    fn encode(&self, w: &mut Writer) {
        w.varint(u64::from(self.rows));
        w.varint(u64::from(self.metadata_len));
        w.varint(self.body_len);
        w.u64_fixed(self.metadata_checksum);
        // One per column of the slice: the count is known, and each chunk begins where the one before ended.
        for chunk in &self.chunks {
            w.varint(chunk.len);
            w.u64_fixed(chunk.checksum);
        }
    }

    fn decode(r: &mut Reader<'_>, width: usize) -> Result<Self> {
        let here = r.clone();
        let (rows, metadata_len, body_len) = (r.number()?, r.number::<u32>()?, r.varint()?);
        let metadata_checksum = r.u64_fixed()?;
        let mut chunks = Vec::with_capacity(width.min(4096));
        let mut offset = 0u64;
        for _ in 0..width {
            let len = r.varint()?;
            chunks.push(ColumnChunk { offset, len, checksum: r.u64_fixed()? });
            offset = offset.checked_add(len).ok_or_else(|| r.corrupt("chunks below 2^64 bytes", len))?;
        }
        if offset != body_len {
            return Err(
                here.corrupt("chunks that tile the batch's buffers", format!("{offset} of {body_len} bytes"))
            );
        }
        if !metadata_len.is_multiple_of(8) || !body_len.is_multiple_of(8) {
            return Err(
                here.corrupt("lengths that are multiples of 8", format!("{metadata_len}, {body_len}"))
            );
        }
        Ok(Self { rows, metadata_len, body_len, metadata_checksum, chunks })
    }
}

impl ColumnStatistics {
    fn encode(&self, w: &mut Writer) {
        w.zigzag(i64::from(self.field));
        w.varint(u64::from(self.nulls));
        w.bytes(&self.min);
        w.bytes(&self.max);
    }

    fn decode(r: &mut Reader<'_>) -> Result<Self> {
        Ok(Self {
            field: r.zigzag_i32()?,
            nulls: r.number()?,
            min: r.bytes()?.to_vec(),
            max: r.bytes()?.to_vec(),
        })
    }
}

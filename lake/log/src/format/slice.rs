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
    pub min: Vec<u8>,
    /// An upper bound, likewise; a cut one is rounded up, or empty if that cannot be.
    pub max: Vec<u8>,
}

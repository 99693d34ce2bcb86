//! Slices into one body.
//!
//! What is not compressed is not copied: see [`mod@gather`].

mod gather;

use std::ops::Range;

use arrow::datatypes::SchemaRef;
use arrow::ipc;
use arrow::ipc::writer::{CompressionContext, IpcWriteOptions};
use arrow::record_batch::RecordBatch;
use bytes::Bytes;
use xxhash_rust::xxh3::{Xxh3, xxh3_64};

use self::gather::{Gathered, gather};
use super::layout::ALIGNMENT;
use super::message::{CONTINUATION, PREFIX_BYTES, Shape, compression, write_metadata};
use super::rows::groups;
use super::{DECODED_BYTES_MAX, statistics};
use crate::error::{Error, ErrorKind, Result};
use crate::format::slice::{BatchLayout, Codec, ColumnChunk, Slice, SliceHome, SliceOp};
use crate::id::{Bucket, FieldId, Offset, SchemaId, Stream, TableId, TimeMicros};

/// What is to be said of a slice that its rows do not say; see [`Slice`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SliceMeta {
    /// The table.
    pub table: TableId,
    /// The bucket.
    pub bucket: Bucket,
    /// Rows or changelog.
    pub stream: Stream,
    /// The schema that the rows were written in.
    pub schema: SchemaId,
    /// The field ids of the batches' columns, in order.
    pub columns: Vec<FieldId>,
    /// What the rows do.
    pub op: SliceOp,
    /// How to compress buffers.
    pub codec: Codec,
    /// Min and max commit time, if the rows have their own.
    pub times: Option<(TimeMicros, TimeMicros)>,
    /// A changelog slice: the source offsets that it covers.
    pub source: Option<Range<Offset>>,
}

/// What a [`BodyBuilder`] made.
#[derive(Clone, Debug, Default)]
pub struct Body {
    /// The slices, in the order in which they were pushed; their home is [`SliceHome::Here`].
    pub slices: Vec<Slice>,
    /// The body's bytes, to be written one after the other.
    pub chunks: Vec<Bytes>,
    /// How many bytes the chunks have; a multiple of 8.
    pub bytes: u64,
}

/// Collects slices into one body.
#[derive(Debug, Default)]
pub struct BodyBuilder {
    body: Body,
    compression: CompressionContext,
}

impl BodyBuilder {
    /// An empty body.
    pub fn new() -> Self {
        Self::default()
    }

    /// How many bytes the body has so far.
    pub fn bytes(&self) -> u64 {
        self.body.bytes
    }

    /// Encodes batches as a slice behind those already there, and returns its place in [`Body::slices`].
    ///
    /// All batches have the columns of `meta`, of the same types. The body is as before if this fails.
    ///
    /// # Errors
    /// `Invalid` if the batches do not fit `meta` or each other, have more than `u32::MAX` rows, or more than
    /// [`DECODED_BYTES_MAX`] bytes; `Unsupported` if a column's type is not one that slices hold.
    pub fn push(&mut self, meta: SliceMeta, batches: &[RecordBatch]) -> Result<usize> {
        self.push_messages(meta, batches, batches.chunks(1))
    }

    /// As [`push`](Self::push), but neighbours share a message, so that some bytes of one column lie together: about a MiB of each
    /// column, 4 to 16 MiB in all.
    ///
    /// # Errors
    /// As [`push`](Self::push).
    pub fn push_joined(&mut self, meta: SliceMeta, batches: &[RecordBatch]) -> Result<usize> {
        self.push_messages(meta, batches, groups(batches).into_iter())
    }

    fn push_messages<'a>(
        &mut self,
        meta: SliceMeta,
        batches: &[RecordBatch],
        messages: impl Iterator<Item = &'a [RecordBatch]>,
    ) -> Result<usize> {
        check_batches(&meta, batches)?;
        let (mut layouts, mut chunks) = (Vec::new(), Vec::new());
        let (mut bytes, mut rows, mut decoded) = (0_u64, 0_u32, 0_u64);
        let mut checksum = Xxh3::new();
        for message in messages {
            let encoded = encode(message, meta.codec, &mut self.compression)?;
            decoded = decoded.saturating_add(encoded.decoded_bytes);
            rows = rows.checked_add(encoded.layout.rows).ok_or_else(|| too_large("u32::MAX rows"))?;
            bytes += u64::from(encoded.layout.metadata_len) + encoded.layout.body_len;
            let pieces = std::iter::once(encoded.metadata).chain(encoded.body);
            for chunk in pieces.filter(|chunk| !chunk.is_empty()) {
                checksum.update(&chunk);
                chunks.push(chunk);
            }
            layouts.push(encoded.layout);
        }
        if decoded > DECODED_BYTES_MAX {
            return Err(too_large(&format!("{DECODED_BYTES_MAX} bytes, it has {decoded}")));
        }
        let slice = Slice {
            table: meta.table,
            bucket: meta.bucket,
            stream: meta.stream,
            schema: meta.schema,
            statistics: statistics::of_columns(&meta.columns, batches),
            columns: meta.columns,
            op: meta.op,
            codec: meta.codec,
            home: SliceHome::Here,
            body_offset: self.body.bytes,
            bytes,
            rows,
            times: meta.times,
            source: meta.source,
            batches: layouts,
            checksum: checksum.digest(),
        };
        self.body.chunks.append(&mut chunks);
        self.body.bytes += bytes;
        self.body.slices.push(slice);
        Ok(self.body.slices.len() - 1)
    }

    /// The slices and the body's bytes.
    pub fn finish(self) -> Body {
        self.body
    }
}

/// Batches of one schema as messages of an Arrow stream, in pieces that share the batches' memory: to be sent one after the other.
///
/// # Errors
/// `Unsupported` if a column's type is not one that slices hold.
pub fn stream_messages(batches: &[RecordBatch]) -> Result<Vec<Bytes>> {
    let mut pieces = Vec::new();
    for message in groups(batches) {
        let encoded = encode(message, Codec::None, &mut CompressionContext::default())?;
        pieces.push(encoded.metadata);
        pieces.extend(encoded.body);
    }
    Ok(pieces)
}

fn too_large(limit: &str) -> Error {
    Error::invalid(format!("a slice may have no more than {limit}: write it as several"))
}

/// Checks that all batches have the columns of the slice, of the same types.
fn check_batches(meta: &SliceMeta, batches: &[RecordBatch]) -> Result<()> {
    let mut ids = meta.columns.clone();
    ids.sort_unstable();
    if let Some(twice) = ids.windows(2).find(|pair| pair[0] == pair[1]) {
        return Err(Error::invalid(format!("column {} is twice in a slice", twice[0])));
    }
    let types = |schema: &SchemaRef| {
        schema.fields().iter().map(|field| field.data_type().clone()).collect::<Vec<_>>()
    };
    let Some(first) = batches.first().map(RecordBatch::schema) else {
        return Ok(());
    };
    if first.fields().len() != meta.columns.len() {
        return Err(Error::invalid(format!(
            "a batch has {} columns, its slice {}",
            first.fields().len(),
            meta.columns.len()
        )));
    }
    if let Some(other) = batches.iter().map(RecordBatch::schema).find(|schema| types(schema) != types(&first))
    {
        return Err(Error::invalid(format!(
            "a slice's batches differ in their types: {first:?} and {other:?}"
        )));
    }
    first.fields().iter().try_for_each(|field| Shape::of(field.data_type()).map(drop))
}

/// A batch as it will lie in the body.
struct Encoded {
    layout: BatchLayout,
    metadata: Bytes,
    body: Vec<Bytes>,
    decoded_bytes: u64,
}

/// Batches as one message.
fn encode(batches: &[RecordBatch], codec: Codec, compression: &mut CompressionContext) -> Result<Encoded> {
    let schema = batches.first().map(RecordBatch::schema);
    let fields = schema.as_ref().map(|schema| schema.fields().as_ref()).unwrap_or_default();
    let Gathered { nodes, buffers, chunks, pieces, bytes, decoded_bytes, .. } =
        gather(fields, batches, codec, compression)?;
    let rows: usize = batches.iter().map(RecordBatch::num_rows).sum();
    let count = |n| i64::try_from(n).map_err(|_| too_large("i64::MAX bytes"));
    let metadata = prefixed(&write_metadata(count(rows as u64)?, &nodes, &buffers, codec, count(bytes)?))?;
    let layout = layout(rows, &metadata, bytes, chunks)?;
    Ok(Encoded { layout, metadata: metadata.into(), body: pieces, decoded_bytes })
}

fn layout(rows: usize, metadata: &[u8], body_len: u64, chunks: Vec<ColumnChunk>) -> Result<BatchLayout> {
    Ok(BatchLayout {
        rows: u32::try_from(rows).map_err(|_| too_large("u32::MAX rows"))?,
        metadata_len: u32::try_from(metadata.len()).map_err(|_| too_large("u32::MAX bytes of metadata"))?,
        body_len,
        metadata_checksum: xxh3_64(metadata),
        chunks,
    })
}

fn ipc_options(codec: Codec) -> Result<IpcWriteOptions> {
    let alignment = usize::try_from(ALIGNMENT).expect("8 fits");
    IpcWriteOptions::try_new(alignment, false, ipc::MetadataVersion::V5)
        .and_then(|options| options.try_with_compression(compression(codec)))
        .map_err(cannot_encode)
}

fn cannot_encode(error: arrow::error::ArrowError) -> Error {
    Error::new(ErrorKind::Internal, format!("Arrow cannot encode a batch: {error}")).with_source(error)
}

/// The metadata as it lies in the body: prefix, flatbuffer, padding.
fn prefixed(ipc_message: &[u8]) -> Result<Vec<u8>> {
    let alignment = usize::try_from(ALIGNMENT).expect("8 fits");
    let padded = ipc_message.len().next_multiple_of(alignment);
    let length = i32::try_from(padded).map_err(|_| too_large("i32::MAX bytes of metadata"))?;
    let mut metadata = Vec::with_capacity(PREFIX_BYTES + padded);
    metadata.extend_from_slice(&CONTINUATION);
    metadata.extend_from_slice(&length.to_le_bytes());
    metadata.extend_from_slice(ipc_message);
    metadata.resize(PREFIX_BYTES + padded, 0);
    Ok(metadata)
}

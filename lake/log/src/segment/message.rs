//! One record batch message: checked against its layout and its fields, then decoded by Arrow, whole or some columns.
//!
//! A message lists *nodes* (length and nulls of each array, nested ones included) and *buffers* (offset and length), in
//! the order of a walk through the fields. Arrow's reader trusts both in places, so everything that it could trip over
//! is checked by [`walk`] before it is called. To decode some columns only, a smaller message with just their nodes and
//! buffers, offsets shifted, is written and given to Arrow.

use std::sync::Arc;

use arrow::array::ArrayRef;
use arrow::buffer::Buffer;
use arrow::datatypes::{DataType, Field, FieldRef, Schema};
use arrow::ipc;
use arrow::ipc::convert::IpcSchemaEncoder;
use arrow::ipc::reader::read_record_batch;
use bytes::Bytes;

use super::walk::{self, between};
use crate::error::{Error, Result};
use crate::format::slice::{BatchLayout, Codec};

/// Continuation marker and metadata length.
pub(super) const PREFIX_BYTES: usize = 8;

/// What stands before the metadata's length.
pub(super) const CONTINUATION: [u8; 4] = [0xFF; 4];

/// How many nodes and buffers a column has in a message.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Shape {
    pub(super) nodes: usize,
    pub(super) buffers: usize,
}

impl Shape {
    /// The shape of a type.
    ///
    /// # Errors
    /// `Unsupported` if slices cannot hold the type.
    pub(super) fn of(data_type: &DataType) -> Result<Self> {
        let own = |buffers| Self { nodes: 1, buffers };
        Ok(match data_type {
            DataType::Utf8 | DataType::Binary => own(3),
            DataType::FixedSizeBinary(width) if *width >= 0 => own(2),
            DataType::List(element) => own(2).and(Self::of(element.data_type())?),
            DataType::Map(entries, _) if is_pair(entries) => own(2).and(Self::of(entries.data_type())?),
            DataType::FixedSizeList(element, length) if *length >= 0 => {
                own(1).and(Self::of(element.data_type())?)
            }
            DataType::Struct(fields) => {
                fields.iter().try_fold(own(1), |shape, field| Ok(shape.and(Self::of(field.data_type())?)))?
            }
            DataType::Boolean => own(2),
            primitive if primitive.is_primitive() => own(2),
            other => {
                return Err(Error::unsupported(format!("slices hold no columns of Arrow type {other}")));
            }
        })
    }

    fn and(self, other: Self) -> Self {
        Self { nodes: self.nodes + other.nodes, buffers: self.buffers + other.buffers }
    }
}

fn is_pair(entries: &Field) -> bool {
    matches!(entries.data_type(), DataType::Struct(fields) if fields.len() == 2)
}

/// The codec as a message names it.
pub(super) fn compression(codec: Codec) -> Option<ipc::CompressionType> {
    match codec {
        Codec::None => None,
        Codec::Lz4 => Some(ipc::CompressionType::LZ4_FRAME),
        Codec::Zstd => Some(ipc::CompressionType::ZSTD),
    }
}

/// A message whose metadata agrees with its layout and its fields.
#[derive(Debug)]
pub(super) struct BatchMessage<'a> {
    batch: ipc::RecordBatch<'a>,
    pub(super) layout: &'a BatchLayout,
    pub(super) codec: Codec,
    pub(super) fields: &'a [FieldRef],
    /// Where each column's nodes and buffers begin, and at last where all end.
    pub(super) starts: Vec<Shape>,
}

impl<'a> BatchMessage<'a> {
    /// Checks prefix and metadata.
    ///
    /// # Errors
    /// `Corrupt` if they are not those of such a batch; `Unsupported` for a field of a type that slices do not hold.
    pub(super) fn open(
        metadata: &'a [u8],
        layout: &'a BatchLayout,
        codec: Codec,
        fields: &'a [FieldRef],
    ) -> Result<Self> {
        let batch = record_batch(metadata, layout)?;
        let rows = i64::from(layout.rows);
        if batch.length() != rows {
            return Err(Error::corrupt(format!(
                "the message has {} rows, its layout {rows}",
                batch.length()
            )));
        }
        if batch.variadicBufferCounts().is_some_and(|counts| !counts.is_empty()) {
            return Err(Error::corrupt("the message has columns of views"));
        }
        let buffer_codec = batch.compression().map(|compression| (compression.codec(), compression.method()));
        if buffer_codec != compression(codec).map(|codec| (codec, ipc::BodyCompressionMethod::BUFFER)) {
            return Err(Error::corrupt(format!(
                "the message is compressed by {buffer_codec:?}, its slice by {codec:?}"
            )));
        }
        let mut starts = vec![Shape::default()];
        let mut end = Shape::default();
        for field in fields {
            end = end.and(Shape::of(field.data_type())?);
            starts.push(end);
        }
        let found = Shape {
            nodes: batch.nodes().map_or(0, |nodes| nodes.len()),
            buffers: batch.buffers().map_or(0, |buffers| buffers.len()),
        };
        if found != end {
            return Err(Error::corrupt(format!("the message has {found:?}, its fields {end:?}")));
        }
        Ok(Self { batch, layout, codec, fields, starts })
    }

    /// Decodes columns, given by ascending position, from bytes of the body that begin at `base`.
    ///
    /// Takes what the columns' buffers have decompressed from `decoded_bytes_left`.
    ///
    /// # Errors
    /// `Corrupt` if the columns do not lie in the bytes, or are not what Arrow can take.
    pub(super) fn arrays(
        &self,
        columns: &[usize],
        bytes: Bytes,
        base: u64,
        decoded_bytes_left: &mut u64,
    ) -> Result<Vec<ArrayRef>> {
        for column in columns {
            let chunk = &self.layout.chunks[*column];
            let bytes = between(&bytes, chunk.offset.checked_sub(base), chunk.len)?;
            walk::check(self, *column, bytes, decoded_bytes_left)
                .map_err(|error| error.context(format!("column {:?}", self.fields[*column].name())))?;
        }
        let fields: Vec<FieldRef> = columns.iter().map(|column| Arc::clone(&self.fields[*column])).collect();
        let body = Buffer::from(bytes);
        if base == 0 && columns.len() == self.fields.len() {
            return read(&body, self.batch, fields);
        }
        let metadata = self.metadata_of(columns, base)?;
        let message = ipc::root_as_message(&metadata)
            .map_err(|error| Error::internal(format!("a rewritten message is no flatbuffer: {error}")))?;
        let batch = message
            .header_as_record_batch()
            .ok_or_else(|| Error::internal("a rewritten message has no batch"))?;
        read(&body, batch, fields)
    }

    /// Writes the metadata of a message with some columns only, whose body begins at `base` of this one's.
    fn metadata_of(&self, columns: &[usize], base: u64) -> Result<Vec<u8>> {
        let base = i64::try_from(base).map_err(|_| Error::corrupt("a body larger than i64"))?;
        let (mut nodes, mut buffers) = (Vec::new(), Vec::new());
        for column in columns {
            let (start, end) = (self.starts[*column], self.starts[column + 1]);
            nodes.extend((start.nodes..end.nodes).map(|n| self.node(n)));
            buffers.extend((start.buffers..end.buffers).map(|n| {
                let buffer = self.buffer(n);
                ipc::Buffer::new(buffer.offset().saturating_sub(base), buffer.length())
            }));
        }
        Ok(write_metadata(self.batch.length(), &nodes, &buffers, self.codec, 0))
    }

    /// A node by number, of which there are as many as the fields need.
    pub(super) fn node(&self, number: usize) -> ipc::FieldNode {
        *self.batch.nodes().expect("counted when opened").get(number)
    }

    /// A buffer by number, likewise.
    pub(super) fn buffer(&self, number: usize) -> ipc::Buffer {
        *self.batch.buffers().expect("counted when opened").get(number)
    }
}

/// The metadata of a record batch message, as Arrow's writer writes it.
pub(super) fn write_metadata(
    rows: i64,
    nodes: &[ipc::FieldNode],
    buffers: &[ipc::Buffer],
    codec: Codec,
    body_len: i64,
) -> Vec<u8> {
    // Arrow's own encoder is the one public way to a flatbuffer builder without naming that crate's version.
    let mut flatbuffer = IpcSchemaEncoder::new().schema_to_fb(&Schema::empty());
    flatbuffer.reset();
    // In the order of Arrow's writer, so that the bytes are its bytes: layouts carry their checksums.
    let compression = compression(codec).map(|codec| {
        let mut compression = ipc::BodyCompressionBuilder::new(&mut flatbuffer);
        compression.add_method(ipc::BodyCompressionMethod::BUFFER);
        compression.add_codec(codec);
        compression.finish()
    });
    let buffers = flatbuffer.create_vector(buffers);
    let nodes = flatbuffer.create_vector(nodes);
    let mut batch = ipc::RecordBatchBuilder::new(&mut flatbuffer);
    batch.add_length(rows);
    batch.add_nodes(nodes);
    batch.add_buffers(buffers);
    if let Some(compression) = compression {
        batch.add_compression(compression);
    }
    let header = batch.finish().as_union_value();
    let mut message = ipc::MessageBuilder::new(&mut flatbuffer);
    message.add_version(ipc::MetadataVersion::V5);
    message.add_header_type(ipc::MessageHeader::RecordBatch);
    message.add_bodyLength(body_len);
    message.add_header(header);
    let message = message.finish();
    flatbuffer.finish(message, None);
    flatbuffer.finished_data().to_vec()
}

/// The record batch in a message's prefix and metadata.
fn record_batch<'a>(metadata: &'a [u8], layout: &BatchLayout) -> Result<ipc::RecordBatch<'a>> {
    let Some((prefix, flatbuffer)) = metadata.split_first_chunk::<PREFIX_BYTES>() else {
        return Err(Error::corrupt(format!("a message has {} bytes, less than its prefix", metadata.len())));
    };
    let mut expected = [0xFF; PREFIX_BYTES];
    let metadata_len =
        u32::try_from(flatbuffer.len()).map_err(|_| Error::corrupt("metadata longer than u32"))?;
    expected[CONTINUATION.len()..].copy_from_slice(&metadata_len.to_le_bytes());
    if *prefix != expected {
        return Err(Error::corrupt(format!("a message begins with {prefix:02x?}, expected {expected:02x?}")));
    }
    let message = ipc::root_as_message(flatbuffer)
        .map_err(|error| Error::corrupt(format!("a message's metadata is no flatbuffer: {error}")))?;
    if message.version() != ipc::MetadataVersion::V5 {
        return Err(Error::corrupt(format!("a message has version {:?}, expected V5", message.version())));
    }
    if u64::try_from(message.bodyLength()) != Ok(layout.body_len) {
        return Err(Error::corrupt(format!(
            "a message's body has {} bytes, its layout {}",
            message.bodyLength(),
            layout.body_len
        )));
    }
    message.header_as_record_batch().ok_or_else(|| {
        Error::corrupt(format!("a message is a {:?}, expected a record batch", message.header_type()))
    })
}

/// Has Arrow decode and validate a checked message.
fn read(body: &Buffer, batch: ipc::RecordBatch<'_>, fields: Vec<FieldRef>) -> Result<Vec<ArrayRef>> {
    let schema = Arc::new(Schema::new(fields));
    let batch = read_record_batch(
        body,
        batch,
        schema,
        &Default::default(), // no dictionaries
        None,
        &ipc::MetadataVersion::V5,
    )
    .map_err(|error| Error::corrupt(format!("Arrow refuses it: {error}")))?;
    Ok(batch.columns().to_vec())
}

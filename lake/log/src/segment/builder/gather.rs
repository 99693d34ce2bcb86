//! Batches as one message's body, without copying what is long: pieces of a body that is not compressed *are* the arrays' buffers.
//!
//! Joining batches and then writing them, as Arrow's writer wants it, copies every byte twice, into memory that is fresh each time.
//! Here only what changes is written anew (offsets of strings, bits), and what is short is gathered. Where Arrow's writer is needed (to
//! compress, and for columns of columns), it gets one column at a time.
//!
//! Invariant: the bytes are those that Arrow's writer makes of the batches joined (a property test), but for bits behind the last row.

use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, BooleanBufferBuilder};
use arrow::buffer::{Buffer, OffsetBuffer};
use arrow::compute::concat;
use arrow::datatypes::{DataType, FieldRef, Schema};
use arrow::ipc;
use arrow::ipc::writer::{CompressionContext, DictionaryTracker, IpcDataGenerator};
use arrow::record_batch::RecordBatch;
use bytes::Bytes;
use xxhash_rust::xxh3::Xxh3;

use super::{cannot_encode, ipc_options, too_large};
use crate::error::{Error, Result};
use crate::format::slice::{Codec, ColumnChunk};
use crate::segment::layout::ALIGNMENT;
use crate::segment::walk::decoded_bytes;

/// Shorter pieces are gathered: a piece of its own costs more than their copy.
const SHARED_BYTES_MIN: usize = 16 << 10;

/// A body in pieces, and what its message lists.
#[derive(Default)]
pub(super) struct Gathered {
    pub(super) nodes: Vec<ipc::FieldNode>,
    pub(super) buffers: Vec<ipc::Buffer>,
    pub(super) chunks: Vec<ColumnChunk>,
    pub(super) pieces: Vec<Bytes>,
    pub(super) bytes: u64,
    /// What the buffers have, not compressed.
    pub(super) decoded_bytes: u64,
    /// Short pieces behind the last of `pieces`.
    short: Vec<u8>,
    /// Of the column under way.
    checksum: Xxh3,
    /// Where the buffer under way began.
    buffer_start: u64,
}

/// A buffer of an array, kept alive by the bytes that share it.
struct Shared(Buffer);

impl AsRef<[u8]> for Shared {
    fn as_ref(&self) -> &[u8] {
        self.0.as_slice()
    }
}

/// Writes batches of the same columns as one body.
pub(super) fn gather(
    fields: &[FieldRef],
    batches: &[RecordBatch],
    codec: Codec,
    compression: &mut CompressionContext,
) -> Result<Gathered> {
    let mut body = Gathered::default();
    for (position, field) in fields.iter().enumerate() {
        let start = body.bytes;
        body.checksum.reset();
        let arrays: Vec<&ArrayRef> = batches.iter().map(|batch| batch.column(position)).collect();
        match codec {
            Codec::None if !field.data_type().is_nested() => body.plain(field, &arrays)?,
            _ => body.written(field, &arrays, codec, compression)?,
        }
        let chunk = ColumnChunk { offset: start, len: body.bytes - start, checksum: body.checksum.digest() };
        body.chunks.push(chunk);
    }
    body.take_short();
    Ok(body)
}

impl Gathered {
    fn plain(&mut self, field: &FieldRef, arrays: &[&ArrayRef]) -> Result<()> {
        match field.data_type() {
            DataType::Utf8 => {
                self.validity(arrays)?;
                let parts: Vec<_> = arrays.iter().map(|array| array.as_string::<i32>()).collect();
                self.varying(&parts.iter().map(|part| (part.offsets(), part.values())).collect::<Vec<_>>())
            }
            DataType::Binary => {
                self.validity(arrays)?;
                let parts: Vec<_> = arrays.iter().map(|array| array.as_binary::<i32>()).collect();
                self.varying(&parts.iter().map(|part| (part.offsets(), part.values())).collect::<Vec<_>>())
            }
            DataType::Boolean => {
                self.validity(arrays)?;
                let mut bits = BooleanBufferBuilder::new(arrays.iter().map(|array| array.len()).sum());
                arrays.iter().for_each(|array| bits.append_buffer(array.as_boolean().values()));
                self.begin();
                self.add(&bits.finish().into_inner());
                self.end()
            }
            DataType::FixedSizeBinary(width) => {
                self.validity(arrays)?;
                let width = usize::try_from(*width).map_err(|_| Error::invalid("a negative width"))?;
                self.fixed(arrays, width)
            }
            other => {
                let width = other.primitive_width();
                let width =
                    width.ok_or_else(|| Error::unsupported(format!("slices hold no columns of {other}")))?;
                self.validity(arrays)?;
                self.fixed(arrays, width)
            }
        }
    }

    /// The array's node, and its bitmap: none if no value is null.
    fn validity(&mut self, arrays: &[&ArrayRef]) -> Result<()> {
        let rows: usize = arrays.iter().map(|array| array.len()).sum();
        let nulls: usize = arrays.iter().map(|array| array.null_count()).sum();
        let count = |n: usize| i64::try_from(n).map_err(|_| too_large("i64::MAX values"));
        self.nodes.push(ipc::FieldNode::new(count(rows)?, count(nulls)?));
        self.begin();
        if nulls > 0 {
            let mut bits = BooleanBufferBuilder::new(rows);
            for array in arrays {
                match array.nulls() {
                    Some(nulls) => bits.append_buffer(nulls.inner()),
                    None => bits.append_n(array.len(), true),
                }
            }
            self.add(&bits.finish().into_inner());
        }
        self.end()
    }

    /// Values of one width, as they are.
    fn fixed(&mut self, arrays: &[&ArrayRef], width: usize) -> Result<()> {
        self.begin();
        for array in arrays {
            let data = array.to_data();
            let values = data.buffers().first().ok_or_else(|| Error::internal("an array without values"))?;
            self.add(&values.slice_with_length(data.offset() * width, data.len() * width));
        }
        self.end()
    }

    /// Offsets from 0 on, then the values that they name.
    fn varying(&mut self, parts: &[(&OffsetBuffer<i32>, &Buffer)]) -> Result<()> {
        let rows: usize = parts.iter().map(|(offsets, _)| offsets.len() - 1).sum();
        let mut joined: Vec<i32> = Vec::with_capacity(rows + 1);
        let mut end = 0_i32;
        joined.push(0);
        let ends = |offsets: &OffsetBuffer<i32>| (offsets[0], offsets[offsets.len() - 1]);
        for (offsets, _) in parts {
            let (first, last) = ends(offsets);
            // A batch's own offsets fit: only their sum may not.
            let new_end = end.checked_add(last - first).ok_or_else(|| too_large("2 GiB of a column"))?;
            joined.extend(offsets[1..].iter().map(|offset| offset - first + end));
            end = new_end;
        }
        self.begin();
        self.add(&Buffer::from_vec(joined));
        self.end()?;
        self.begin();
        for (offsets, values) in parts {
            let (first, last) = ends(offsets);
            let at = |offset: i32| usize::try_from(offset).expect("offsets are not negative");
            self.add(&values.slice_with_length(at(first), at(last - first)));
        }
        self.end()
    }

    /// A column as Arrow writes it.
    fn written(
        &mut self,
        field: &FieldRef,
        arrays: &[&ArrayRef],
        codec: Codec,
        compression: &mut CompressionContext,
    ) -> Result<()> {
        let joined = match arrays {
            [one] => Arc::clone(one),
            all => {
                let all: Vec<&dyn Array> = all.iter().map(|array| array.as_ref()).collect();
                concat(&all).map_err(cannot_encode)?
            }
        };
        let schema = Arc::new(Schema::new(vec![Arc::clone(field)]));
        let batch = RecordBatch::try_new(schema, vec![joined]).map_err(cannot_encode)?;
        let options = ipc_options(codec)?;
        let (dictionaries, encoded) = IpcDataGenerator::default()
            .encode(&batch, &mut DictionaryTracker::new(true), &options, compression)
            .map_err(cannot_encode)?;
        if !dictionaries.is_empty() {
            return Err(Error::unsupported("slices hold no dictionaries"));
        }
        let start = self.offset()?;
        let message = ipc::root_as_message(&encoded.ipc_message)
            .map_err(|error| Error::internal(format!("Arrow wrote no flatbuffer: {error}")))?;
        let batch = message.header_as_record_batch();
        let batch = batch.ok_or_else(|| Error::internal("Arrow wrote a message without a batch"))?;
        self.nodes.extend(batch.nodes().into_iter().flatten().copied());
        let buffers: Vec<ipc::Buffer> = batch.buffers().into_iter().flatten().copied().collect();
        let decoded = decoded_bytes(&buffers, codec, &encoded.arrow_data)?;
        self.decoded_bytes = self.decoded_bytes.saturating_add(decoded);
        let moved = |buffer: &ipc::Buffer| ipc::Buffer::new(buffer.offset() + start, buffer.length());
        self.buffers.extend(buffers.iter().map(moved));
        self.add(&Buffer::from_vec(encoded.arrow_data));
        self.pad();
        Ok(())
    }

    fn offset(&self) -> Result<i64> {
        i64::try_from(self.bytes).map_err(|_| too_large("i64::MAX bytes"))
    }

    fn begin(&mut self) {
        self.buffer_start = self.bytes;
    }

    /// Lists the buffer that was added since [`begin`](Self::begin), and pads behind it.
    fn end(&mut self) -> Result<()> {
        let end = self.offset()?;
        let start = i64::try_from(self.buffer_start).map_err(|_| too_large("i64::MAX bytes"))?;
        self.buffers.push(ipc::Buffer::new(start, end - start));
        self.decoded_bytes = self.decoded_bytes.saturating_add(self.bytes - self.buffer_start);
        self.pad();
        Ok(())
    }

    fn add(&mut self, bytes: &Buffer) {
        self.checksum.update(bytes);
        self.bytes += bytes.len() as u64;
        if bytes.len() < SHARED_BYTES_MIN {
            self.short.extend_from_slice(bytes);
        } else {
            self.take_short();
            self.pieces.push(Bytes::from_owner(Shared(bytes.clone())));
        }
    }

    fn pad(&mut self) {
        let zeros = [0; 8];
        let padding = usize::try_from(self.bytes.next_multiple_of(ALIGNMENT) - self.bytes).unwrap_or(0);
        self.checksum.update(&zeros[..padding]);
        self.short.extend_from_slice(&zeros[..padding]);
        self.bytes += padding as u64;
    }

    fn take_short(&mut self) {
        if !self.short.is_empty() {
            self.pieces.push(std::mem::take(&mut self.short).into());
        }
    }
}

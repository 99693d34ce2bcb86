//! The walk through a column's nodes and buffers that comes before Arrow's own.
//!
//! Arrow's reader takes lengths as they come: it slices, asserts and multiplies. After this walk each array has the
//! length that its parent gives it, each buffer lies in its column's bytes behind the one before, and is, decompressed,
//! exactly as long as the array needs. What is *in* the buffers (offsets, UTF-8, nulls) Arrow validates.

use std::ops::Range;

use arrow::datatypes::DataType;
use arrow::ipc;

use super::DECODED_BYTES_MAX;
use super::buffer::decoded_len;
use super::layout::ALIGNMENT;
use super::message::{BatchMessage, Shape};
use crate::error::{Error, Result};
use crate::format::slice::Codec;

/// How many values an array may have.
#[derive(Clone, Copy)]
enum Length {
    Exactly(u64),
    AtMost(u64),
}

/// Checks a column's nodes and buffers, and the sizes that the buffers claim, against the bytes of its chunk.
///
/// Takes the sizes from `decoded_bytes_left`.
///
/// # Errors
/// `Corrupt`, saying what does not fit.
pub(super) fn check(
    message: &BatchMessage<'_>,
    column: usize,
    chunk: &[u8],
    decoded_bytes_left: &mut u64,
) -> Result<()> {
    let chunk_start = message.layout.chunks[column].offset;
    let next = message.starts[column];
    let mut walk = Walk { message, next, chunk, chunk_start, end: chunk_start, decoded_bytes_left };
    let rows = u64::from(message.layout.rows);
    walk.array(message.fields[column].data_type(), Length::Exactly(rows))
}

/// How many bytes a buffer may have, decompressed.
#[derive(Clone, Copy, Debug)]
enum Size {
    Either(u64, u64),
    Any,
}

/// A walk through one column.
struct Walk<'a> {
    message: &'a BatchMessage<'a>,
    next: Shape,
    chunk: &'a [u8],
    chunk_start: u64,
    /// Where the last buffer ended; buffers lie in order.
    end: u64,
    decoded_bytes_left: &'a mut u64,
}

impl Walk<'_> {
    fn array(&mut self, data_type: &DataType, length: Length) -> Result<()> {
        let rows = self.node(length)?;
        match data_type {
            DataType::Utf8 | DataType::Binary => {
                self.offsets(rows)?;
                self.buffer(Size::Any)
            }
            DataType::List(child) | DataType::Map(child, _) => {
                self.offsets(rows)?;
                self.array(child.data_type(), Length::AtMost(i32::MAX.unsigned_abs().into()))
            }
            DataType::FixedSizeList(child, length) => {
                self.array(child.data_type(), Length::Exactly(times(rows, (*length).into())?))
            }
            DataType::Struct(fields) => {
                fields.iter().try_for_each(|field| self.array(field.data_type(), Length::Exactly(rows)))
            }
            DataType::Boolean => self.values(rows.div_ceil(8)),
            DataType::FixedSizeBinary(width) => {
                let bytes = times(rows, (*width).into())?;
                if i32::try_from(bytes).is_err() {
                    return Err(Error::corrupt(format!(
                        "{rows} values of {width} bytes are more than i32 counts"
                    )));
                }
                self.values(bytes)
            }
            other => {
                let width =
                    other.primitive_width().ok_or_else(|| Error::internal("a type without a shape"))?;
                self.values(times(rows, i64::try_from(width).unwrap_or(i64::MAX))?)
            }
        }
    }

    /// Checks the next node and its validity bitmap; returns how many values the array has.
    fn node(&mut self, length: Length) -> Result<u64> {
        let node = self.message.node(self.next.nodes);
        self.next.nodes += 1;
        let counts = u64::try_from(node.length()).ok().zip(u64::try_from(node.null_count()).ok());
        let (rows, nulls) = counts
            .filter(|(rows, nulls)| {
                nulls <= rows
                    && match length {
                        Length::Exactly(expected) => *rows == expected,
                        Length::AtMost(most) => *rows <= most,
                    }
            })
            .ok_or_else(|| {
                let (Length::Exactly(expected) | Length::AtMost(expected)) = length;
                Error::corrupt(format!(
                    "an array of {} values, {} null, does not fit: {expected} expected",
                    node.length(),
                    node.null_count()
                ))
            })?;
        let bitmap = rows.div_ceil(8);
        self.buffer(Size::Either(if nulls > 0 { bitmap } else { 0 }, bitmap))?;
        Ok(rows)
    }

    /// Checks a buffer of `rows + 1` offsets; an empty array may have none.
    fn offsets(&mut self, rows: u64) -> Result<()> {
        let bytes = times(rows.saturating_add(1), 4)?;
        self.buffer(Size::Either(if rows == 0 { 0 } else { bytes }, bytes))
    }

    /// Checks a buffer of values of fixed width.
    fn values(&mut self, bytes: u64) -> Result<()> {
        self.buffer(Size::Either(bytes, bytes))
    }

    /// Checks the next buffer: where it lies, and how long it will be.
    fn buffer(&mut self, size: Size) -> Result<()> {
        let buffer = self.message.buffer(self.next.buffers);
        self.next.buffers += 1;
        let (offset, length) = u64::try_from(buffer.offset())
            .ok()
            .zip(u64::try_from(buffer.length()).ok())
            .filter(|(offset, _)| *offset >= self.end && offset.is_multiple_of(ALIGNMENT))
            .ok_or_else(|| {
                let (offset, length) = (buffer.offset(), buffer.length());
                Error::corrupt(format!(
                    "a buffer of {length} bytes at {offset} is misplaced: the last ended at {}",
                    self.end
                ))
            })?;
        let bytes = between(self.chunk, offset.checked_sub(self.chunk_start), length)?;
        self.end = offset.saturating_add(length);
        let decoded = decoded_len(self.message.codec, bytes)?;
        if let Size::Either(one, other) = size
            && decoded != one
            && decoded != other
        {
            return Err(Error::corrupt(format!("a buffer has {decoded} bytes, expected {one} or {other}")));
        }
        *self.decoded_bytes_left = self.decoded_bytes_left.checked_sub(decoded).ok_or_else(|| {
            Error::corrupt(format!("a slice's buffers have more than {DECODED_BYTES_MAX} bytes"))
        })?;
        Ok(())
    }
}

fn times(rows: u64, width: i64) -> Result<u64> {
    let bytes = u64::try_from(width).ok().and_then(|width| rows.checked_mul(width));
    bytes.ok_or_else(|| Error::corrupt(format!("{rows} values of width {width} overflow")))
}

/// How many bytes the buffers of a whole message have decompressed, for a writer to check what it wrote.
pub(super) fn decoded_bytes(buffers: &[ipc::Buffer], codec: Codec, body: &[u8]) -> Result<u64> {
    buffers.iter().try_fold(0_u64, |sum, buffer| {
        let bytes = between(body, u64::try_from(buffer.offset()).ok(), len_of(buffer))?;
        Ok(sum.saturating_add(decoded_len(codec, bytes)?))
    })
}

fn len_of(buffer: &ipc::Buffer) -> u64 {
    u64::try_from(buffer.length()).unwrap_or(u64::MAX)
}

/// The `len` bytes from `start` on.
pub(super) fn between(bytes: &[u8], start: Option<u64>, len: u64) -> Result<&[u8]> {
    let range = start.and_then(|start| to_usize(start..start.checked_add(len)?));
    range
        .and_then(|range| bytes.get(range))
        .ok_or_else(|| Error::corrupt(format!("{len} bytes at {start:?} asked of {}", bytes.len())))
}

fn to_usize(range: Range<u64>) -> Option<Range<usize>> {
    Some(usize::try_from(range.start).ok()?..usize::try_from(range.end).ok()?)
}

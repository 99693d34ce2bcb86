//! A slice's bytes back to record batches.

use std::ops::Range;
use std::sync::Arc;

use arrow::array::ArrayRef;
use arrow::datatypes::{FieldRef, Schema, SchemaRef};
use arrow::record_batch::{RecordBatch, RecordBatchOptions};
use bytes::Bytes;

use super::DECODED_BYTES_MAX;
use super::layout::{self, BatchPlace, BodyPlace};
use super::message::BatchMessage;
use crate::error::{Error, Result};
use crate::format::slice::Slice;

/// Decodes all columns of a slice from its bytes.
///
/// `fields` are the Arrow fields of the slice's columns, in order. Arrays keep `bytes` alive where they were decoded in
/// place, which is where no codec is used and the bytes happen to be aligned.
///
/// # Errors
/// `Corrupt`, naming object and bytes, if the bytes are not what was written; `Unsupported` for a field of a type that
/// slices do not hold; `Internal` if there is not one field a column.
pub fn decode(
    slice: &Slice,
    bytes: &Bytes,
    fields: &[FieldRef],
    place: &BodyPlace<'_>,
) -> Result<Vec<RecordBatch>> {
    let all: Vec<usize> = (0..fields.len()).collect();
    decode_columns(slice, bytes, fields, &all, place)
}

/// Decodes some columns, by position in the slice and in the order asked for, from all of a slice's bytes.
///
/// # Errors
/// As [`decode`]; `Invalid` if a wanted column is not there or wanted twice.
pub fn decode_columns(
    slice: &Slice,
    bytes: &Bytes,
    fields: &[FieldRef],
    wanted: &[usize],
    place: &BodyPlace<'_>,
) -> Result<Vec<RecordBatch>> {
    let batches = layout::batches(slice)?;
    verify(slice, &batches, bytes, place)?;
    let mut decoder = Decoder::new(slice, fields, wanted, place)?;
    batches
        .iter()
        .map(|batch| {
            let metadata = part(bytes, &(0..slice.bytes), &batch.metadata())?;
            let body = part(bytes, &(0..slice.bytes), &batch.body())?;
            let group = Group { columns: decoder.ascending(), bytes: body, base: 0 };
            decoder.batch(batch, &metadata, vec![group])
        })
        .collect()
}

/// Compares a slice with its checksum; if they differ, says which part it is, as nearly as checksums can.
fn verify(slice: &Slice, batches: &[BatchPlace<'_>], bytes: &Bytes, place: &BodyPlace<'_>) -> Result<()> {
    let whole = 0..slice.bytes;
    let Err(error) = place.verify(slice, &whole, bytes, slice.checksum) else {
        return Ok(());
    };
    for batch in batches {
        let metadata = std::iter::once((batch.metadata(), batch.layout.metadata_checksum));
        let chunks =
            batch.layout.chunks.iter().enumerate().map(|(n, chunk)| (batch.chunk(n), chunk.checksum));
        for (range, checksum) in metadata.chain(chunks) {
            // A part that is not there at all is told by the length of the whole.
            if let Ok(part) = part(bytes, &whole, &range) {
                place.verify(slice, &range, &part, checksum)?;
            }
        }
    }
    Err(error)
}

/// The bytes `wanted` of a slice, from bytes that lie at `range` in it; shares them.
pub(super) fn part(bytes: &Bytes, range: &Range<u64>, wanted: &Range<u64>) -> Result<Bytes> {
    let within = |at: u64| at.checked_sub(range.start).and_then(|at| usize::try_from(at).ok());
    within(wanted.start)
        .zip(within(wanted.end))
        .filter(|(from, to)| from <= to && *to <= bytes.len())
        .map(|(from, to)| bytes.slice(from..to))
        .ok_or_else(|| {
            Error::corrupt(format!("bytes {wanted:?} are not among the {} from {}", bytes.len(), range.start))
        })
}

/// Columns of a batch, ascending, whose buffers lie in bytes that begin `base` bytes into the batch's body.
pub(super) struct Group {
    pub(super) columns: Vec<usize>,
    pub(super) bytes: Bytes,
    pub(super) base: u64,
}

/// Decodes the batches of one slice; verified bytes come in, in as many groups as they were fetched in.
pub(super) struct Decoder<'a> {
    slice: &'a Slice,
    fields: &'a [FieldRef],
    wanted: &'a [usize],
    place: &'a BodyPlace<'a>,
    schema: SchemaRef,
    decoded_bytes_left: u64,
}

impl<'a> Decoder<'a> {
    pub(super) fn new(
        slice: &'a Slice,
        fields: &'a [FieldRef],
        wanted: &'a [usize],
        place: &'a BodyPlace<'a>,
    ) -> Result<Self> {
        layout::check_fields(slice, fields)?;
        layout::check_wanted(slice, wanted)?;
        let schema =
            Schema::new(wanted.iter().map(|column| Arc::clone(&fields[*column])).collect::<Vec<_>>());
        Ok(Self {
            slice,
            fields,
            wanted,
            place,
            schema: Arc::new(schema),
            decoded_bytes_left: DECODED_BYTES_MAX,
        })
    }

    /// The wanted columns in the order in which they lie.
    pub(super) fn ascending(&self) -> Vec<usize> {
        let mut columns = self.wanted.to_vec();
        columns.sort_unstable();
        columns
    }

    pub(super) fn batch(
        &mut self,
        batch: &BatchPlace<'_>,
        metadata: &[u8],
        groups: Vec<Group>,
    ) -> Result<RecordBatch> {
        let place = self.place;
        let message = BatchMessage::open(metadata, batch.layout, self.slice.codec, self.fields)
            .map_err(|error| error.context(place.name(self.slice, &batch.metadata())))?;
        let mut arrays: Vec<Option<ArrayRef>> = vec![None; self.fields.len()];
        for group in groups.into_iter().filter(|group| !group.columns.is_empty()) {
            let decoded = message
                .arrays(&group.columns, group.bytes, group.base, &mut self.decoded_bytes_left)
                .map_err(|error| error.context(place.name(self.slice, &batch.body())))?;
            for (column, array) in group.columns.iter().zip(decoded) {
                arrays[*column] = Some(array);
            }
        }
        let columns = self.wanted.iter().map(|column| arrays[*column].take());
        let columns = columns
            .collect::<Option<Vec<_>>>()
            .ok_or_else(|| Error::internal("a wanted column was not decoded"))?;
        self.assemble(batch, columns)
    }

    /// A batch of the wanted columns, with its number of rows even if they are none.
    pub(super) fn assemble(&self, batch: &BatchPlace<'_>, columns: Vec<ArrayRef>) -> Result<RecordBatch> {
        let rows = usize::try_from(batch.layout.rows)
            .map_err(|_| Error::unsupported("more rows than usize counts"))?;
        let options = RecordBatchOptions::new().with_row_count(Some(rows));
        RecordBatch::try_new_with_options(Arc::clone(&self.schema), columns, &options).map_err(|error| {
            Error::corrupt(format!("Arrow refuses it: {error}"))
                .context(self.place.name(self.slice, &batch.body()))
        })
    }
}

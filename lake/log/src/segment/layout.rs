//! What a slice's header says of its bytes, checked and turned into ranges.

use std::ops::Range;

use arrow::datatypes::FieldRef;
use xxhash_rust::xxh3::xxh3_64;

use super::buffer::len_u64;
use crate::error::{Error, Result};
use crate::format::slice::{BatchLayout, Slice};

/// Every message and buffer begins at a multiple of so many bytes.
pub(super) const ALIGNMENT: u64 = 8;

/// Where the body that holds a slice lies; so that an error names bytes of an object, not of a buffer.
#[derive(Clone, Copy, Debug)]
pub struct BodyPlace<'a> {
    /// The object's key.
    pub object: &'a str,
    /// The body's first byte in the object.
    pub start: u64,
}

impl BodyPlace<'_> {
    /// The object and the bytes of it that are the bytes `within` of a slice.
    pub(super) fn name(&self, slice: &Slice, within: &Range<u64>) -> String {
        let slice_start = self.start.saturating_add(slice.body_offset);
        let (from, to) = (slice_start.saturating_add(within.start), slice_start.saturating_add(within.end));
        format!("{} bytes {from}..{to}", self.object)
    }

    /// Compares the bytes `within` a slice with their checksum.
    pub(super) fn verify(
        &self,
        slice: &Slice,
        within: &Range<u64>,
        bytes: &[u8],
        expected: u64,
    ) -> Result<()> {
        let (length, found_length) = (within.end - within.start, len_u64(bytes));
        if found_length != length {
            return Err(Error::corrupt(format!(
                "{}: expected {length} bytes, found {found_length}",
                self.name(slice, within)
            )));
        }
        let found = xxh3_64(bytes);
        if found != expected {
            return Err(Error::corrupt(format!(
                "{}: expected checksum {expected:016x}, found {found:016x}",
                self.name(slice, within)
            )));
        }
        Ok(())
    }
}

/// A batch of a slice and where it begins, in bytes from the slice's first.
#[derive(Clone, Copy, Debug)]
pub(super) struct BatchPlace<'a> {
    pub(super) layout: &'a BatchLayout,
    start: u64,
}

impl BatchPlace<'_> {
    /// The bytes of prefix and metadata within the slice.
    pub(super) fn metadata(&self) -> Range<u64> {
        self.start..self.start + u64::from(self.layout.metadata_len)
    }

    /// The bytes of the buffers within the slice.
    pub(super) fn body(&self) -> Range<u64> {
        let start = self.metadata().end;
        start..start + self.layout.body_len
    }

    /// The bytes of a column's buffers within the slice.
    pub(super) fn chunk(&self, column: usize) -> Range<u64> {
        let chunk = &self.layout.chunks[column];
        let start = self.metadata().end + chunk.offset;
        start..start + chunk.len
    }
}

/// Checks a slice's layout: lengths add up, chunks tile the bodies, all is aligned.
///
/// # Errors
/// `Corrupt` if not.
pub(super) fn batches(slice: &Slice) -> Result<Vec<BatchPlace<'_>>> {
    let refuse = |what: String| {
        Error::corrupt(format!("the layout of a slice of {} contradicts itself: {what}", slice.table))
    };
    if !slice.body_offset.is_multiple_of(ALIGNMENT) || slice.body_offset.checked_add(slice.bytes).is_none() {
        return Err(refuse(format!("it begins at byte {} and has {}", slice.body_offset, slice.bytes)));
    }
    let mut places = Vec::with_capacity(slice.batches.len());
    let (mut start, mut rows) = (0_u64, 0_u64);
    for (number, layout) in slice.batches.iter().enumerate() {
        check_batch(slice, layout).map_err(|what| refuse(format!("batch {number}: {what}")))?;
        places.push(BatchPlace { layout, start });
        let end = start
            .checked_add(u64::from(layout.metadata_len))
            .and_then(|end| end.checked_add(layout.body_len));
        start = end
            .filter(|end| *end <= slice.bytes)
            .ok_or_else(|| refuse(format!("batch {number} ends behind the slice's {} bytes", slice.bytes)))?;
        rows = rows.saturating_add(u64::from(layout.rows));
    }
    if start != slice.bytes || rows != u64::from(slice.rows) {
        return Err(refuse(format!(
            "its batches have {start} bytes and {rows} rows, it {} and {}",
            slice.bytes, slice.rows
        )));
    }
    Ok(places)
}

fn check_batch(slice: &Slice, layout: &BatchLayout) -> Result<(), String> {
    if !u64::from(layout.metadata_len).is_multiple_of(ALIGNMENT) || !layout.body_len.is_multiple_of(ALIGNMENT)
    {
        return Err(format!("lengths {} and {} are not aligned", layout.metadata_len, layout.body_len));
    }
    if layout.chunks.len() != slice.columns.len() {
        return Err(format!("{} chunks for {} columns", layout.chunks.len(), slice.columns.len()));
    }
    let mut end = 0_u64;
    for (column, chunk) in layout.chunks.iter().enumerate() {
        if chunk.offset != end || !end.is_multiple_of(ALIGNMENT) {
            return Err(format!("chunk {column} begins at byte {}, expected {end}, aligned", chunk.offset));
        }
        end = end.checked_add(chunk.len).ok_or_else(|| format!("chunk {column} has {} bytes", chunk.len))?;
    }
    if end == layout.body_len {
        Ok(())
    } else {
        Err(format!("chunks end at {end}, the body at {}", layout.body_len))
    }
}

/// Checks that there is a field for each column of the slice.
pub(super) fn check_fields(slice: &Slice, fields: &[FieldRef]) -> Result<()> {
    if fields.len() == slice.columns.len() {
        return Ok(());
    }
    Err(Error::internal(format!(
        "{} Arrow fields given for a slice of {} columns",
        fields.len(),
        slice.columns.len()
    )))
}

/// Checks that wanted columns are there, each once.
pub(super) fn check_wanted(slice: &Slice, wanted: &[usize]) -> Result<()> {
    let mut seen = vec![false; slice.columns.len()];
    for column in wanted {
        match seen.get_mut(*column) {
            Some(seen) if !*seen => *seen = true,
            Some(_) => {
                return Err(Error::invalid(format!("column {column} of a slice is wanted twice")));
            }
            None => {
                return Err(Error::invalid(format!(
                    "column {column} wanted of a slice of {}",
                    slice.columns.len()
                )));
            }
        }
    }
    Ok(())
}

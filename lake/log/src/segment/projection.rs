//! Some columns of a slice: which byte ranges they need, and their decoding from just these.

use std::ops::Range;

use arrow::datatypes::FieldRef;
use arrow::record_batch::RecordBatch;
use bytes::Bytes;

use super::layout::{self, BatchPlace, BodyPlace};
use super::reader::{Decoder, Group, part};
use crate::error::{Error, Result};
use crate::format::slice::Slice;

/// A plan to read some columns of one slice: the byte ranges to fetch.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Projection {
    wanted: Vec<usize>,
    ranges: Vec<Range<u64>>,
}

impl Projection {
    /// Plans to read the columns at the `wanted` positions of the slice, which will come in that order.
    ///
    /// Ranges no more than `gap_bytes_max` apart become one: a few bytes too many cost less than a request. No column
    /// at all needs no bytes: the layout tells the rows.
    ///
    /// # Errors
    /// `Invalid` if a wanted column is not there or wanted twice; `Corrupt` if the layout contradicts itself.
    pub fn plan(slice: &Slice, wanted: &[usize], gap_bytes_max: u64) -> Result<Self> {
        layout::check_wanted(slice, wanted)?;
        let batches = layout::batches(slice)?;
        let mut columns = wanted.to_vec();
        columns.sort_unstable();
        let mut ranges: Vec<Range<u64>> = Vec::new();
        for batch in batches.iter().filter(|_| !columns.is_empty()) {
            let chunks = columns.iter().map(|column| batch.chunk(*column));
            for range in std::iter::once(batch.metadata()).chain(chunks).filter(|range| !range.is_empty()) {
                match ranges.last_mut() {
                    Some(last) if range.start - last.end <= gap_bytes_max => last.end = range.end,
                    _ => ranges.push(range),
                }
            }
        }
        Ok(Self { wanted: wanted.to_vec(), ranges })
    }

    /// The byte ranges to fetch, from the slice's first byte on, ascending and apart.
    pub fn ranges(&self) -> &[Range<u64>] {
        &self.ranges
    }

    /// How many bytes the ranges have.
    pub fn bytes(&self) -> u64 {
        self.ranges.iter().map(|range| range.end - range.start).sum()
    }
}

/// Decodes the columns of a projection from the bytes fetched for its ranges.
///
/// `fields` are the Arrow fields of *all* the slice's columns, in order. Checks metadata and wanted columns against
/// their checksums, and nothing else.
///
/// # Errors
/// `Corrupt`, naming object and bytes, if the bytes are not what was written or too few; `Internal` if the projection is
/// another slice's.
pub fn decode_projected(
    slice: &Slice,
    projection: &Projection,
    fetched: &[Bytes],
    fields: &[FieldRef],
    place: &BodyPlace<'_>,
) -> Result<Vec<RecordBatch>> {
    let batches = layout::batches(slice)?;
    if fetched.len() != projection.ranges.len() {
        return Err(Error::internal(format!(
            "{} ranges planned, {} fetched",
            projection.ranges.len(),
            fetched.len()
        )));
    }
    for (range, bytes) in projection.ranges.iter().zip(fetched) {
        if u64::try_from(bytes.len()) != Ok(range.end - range.start) {
            return Err(Error::corrupt(format!("{}: found {} bytes", place.name(slice, range), bytes.len())));
        }
    }
    let mut decoder = Decoder::new(slice, fields, &projection.wanted, place)?;
    let fetched = Fetched { slice, ranges: &projection.ranges, bytes: fetched, place };
    let columns = decoder.ascending();
    let decode = |batch: &BatchPlace<'_>| {
        if columns.is_empty() {
            return decoder.assemble(batch, Vec::new());
        }
        let (_, metadata) = fetched.verified(&batch.metadata(), batch.layout.metadata_checksum)?;
        decoder.batch(batch, &metadata, fetched.groups(batch, &columns)?)
    };
    batches.iter().map(decode).collect()
}

/// The bytes that were fetched for a projection's ranges.
struct Fetched<'a> {
    slice: &'a Slice,
    ranges: &'a [Range<u64>],
    bytes: &'a [Bytes],
    place: &'a BodyPlace<'a>,
}

impl Fetched<'_> {
    /// The bytes `wanted` of the slice, and the number of the range that they lie in.
    fn find(&self, wanted: &Range<u64>) -> Result<(usize, Bytes)> {
        let number = self.ranges.partition_point(|range| range.end <= wanted.start);
        match (self.ranges.get(number), self.bytes.get(number)) {
            (Some(range), Some(bytes)) => Ok((number, part(bytes, range, wanted)?)),
            _ => Err(Error::internal(format!("bytes {wanted:?} of a slice were not planned to be fetched"))),
        }
    }

    /// The same, compared with their checksum.
    fn verified(&self, wanted: &Range<u64>, checksum: u64) -> Result<(usize, Bytes)> {
        let (number, bytes) = self.find(wanted)?;
        self.place.verify(self.slice, wanted, &bytes, checksum)?;
        Ok((number, bytes))
    }

    /// Columns of a batch, verified; those together that lie in one fetched range.
    fn groups(&self, batch: &BatchPlace<'_>, columns: &[usize]) -> Result<Vec<Group>> {
        let mut groups = Vec::new();
        let mut together: Vec<(usize, Range<u64>, Vec<usize>)> = Vec::new();
        for column in columns {
            let (chunk, checksum) = (batch.chunk(*column), batch.layout.chunks[*column].checksum);
            if chunk.is_empty() {
                // Nothing is fetched for no bytes, and they lie in no range.
                self.place.verify(self.slice, &chunk, &[], checksum)?;
                let base = batch.layout.chunks[*column].offset;
                groups.push(Group { columns: vec![*column], bytes: Bytes::new(), base });
                continue;
            }
            let (number, _) = self.verified(&chunk, checksum)?;
            match together.last_mut() {
                Some((last, range, columns)) if *last == number => {
                    range.end = chunk.end;
                    columns.push(*column);
                }
                _ => together.push((number, chunk, vec![*column])),
            }
        }
        for (_, range, columns) in together {
            let base = range.start - batch.body().start;
            groups.push(Group { columns, bytes: self.find(&range)?.1, base });
        }
        Ok(groups)
    }
}

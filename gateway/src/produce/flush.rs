//! From waiting requests to what goes into a slot: rows of one table, bucket and schema become one slice; each request keeps its
//! own proposal, which names its rows of the slice.

use std::collections::BTreeMap;

use arrow::record_batch::RecordBatch;
use bytes::Bytes;
use frazil_log::commit::committer::Flush;
use frazil_log::error::{Error, Result};
use frazil_log::format::commit::{ProducerStamp, Proposal};
use frazil_log::format::entry::Entry;
use frazil_log::format::slice::{Codec, Slice, SliceHome, SliceOp};
use frazil_log::id::{Bucket, FieldId, Offset, ProposalName, SchemaId, Slot, Stream, TableId};
use frazil_log::segment::{BodyBuilder, SliceMeta, batch_bytes, join};

/// Rows of one request for one bucket.
#[derive(Clone, Debug)]
pub struct BucketRows {
    /// The table.
    pub table: TableId,
    /// The bucket.
    pub bucket: Bucket,
    /// The schema that the rows are in.
    pub schema: SchemaId,
    /// Its columns' field ids, in order.
    pub columns: Vec<FieldId>,
    /// How they are stored.
    pub codec: Codec,
    /// The rows, at least one.
    pub rows: RecordBatch,
    /// Taken only if the bucket's next offset is this.
    pub expected_offset: Option<Offset>,
}

/// What a request does.
#[derive(Clone, Debug)]
pub enum Act {
    /// Anything without rows.
    Entry(Entry),
    /// Rows.
    Append(BucketRows),
}

/// A named request on its way into the log.
#[derive(Clone, Debug)]
pub struct Pending {
    /// Its name.
    pub name: ProposalName,
    /// The slot that was folded when it got the name.
    pub base: Slot,
    /// Who sent it, and its count.
    pub producer: Option<ProducerStamp>,
    /// See [`Proposal::request_hash`].
    pub request_hash: u128,
    /// What it does, in order.
    pub acts: Vec<Act>,
}

/// A segment takes slices until it is this long.
const SEGMENT_BYTES_MIN: u64 = 16 << 20;

type SliceKey = (TableId, Bucket, SchemaId);

#[derive(Default)]
struct SliceRows {
    /// Its place among the flush's slices.
    index: usize,
    meta: Option<SliceMeta>,
    batches: Vec<RecordBatch>,
    rows: u32,
}

/// A segment that must be uploaded before the commit that refers to it.
#[derive(Debug)]
pub struct Upload {
    /// Its slices.
    pub slices: Vec<Slice>,
    /// Its rows.
    pub body: Vec<Bytes>,
}

/// A flush, and the segments to upload first (none if all rows fit the commit).
#[derive(Debug, Default)]
pub struct Built {
    /// What goes into the slot; slices in segments are at home in `uploads` by index.
    pub flush: Flush,
    /// The segments.
    pub uploads: Vec<Upload>,
    /// What each of the flush's slices holds, for the tail ring.
    pub rows: Vec<Vec<RecordBatch>>,
}

/// Builds a flush. Rows travel inside the commit up to `inline_bytes_max`, else in segments.
pub fn build(pending: &[Pending], inline_bytes_max: u64) -> Result<Built> {
    let mut slices: BTreeMap<SliceKey, SliceRows> = BTreeMap::new();
    let mut order: Vec<SliceKey> = Vec::new();
    let mut proposals = Vec::with_capacity(pending.len());
    for request in pending {
        let entries = request.acts.iter().map(|act| match act {
            Act::Entry(entry) => Ok(entry.clone()),
            Act::Append(rows) => place(rows, &mut slices, &mut order),
        });
        proposals.push(Proposal {
            name: request.name,
            base: request.base,
            producer: request.producer.clone(),
            request_hash: request.request_hash,
            entries: entries.collect::<Result<_>>()?,
        });
    }
    let bytes: usize = slices.values().flat_map(|slice| &slice.batches).map(batch_bytes).sum();
    let mut built = encode(slices, &order, bytes as u64 > inline_bytes_max)?;
    built.flush.proposals = proposals;
    Ok(built)
}

fn place(
    rows: &BucketRows,
    slices: &mut BTreeMap<SliceKey, SliceRows>,
    order: &mut Vec<SliceKey>,
) -> Result<Entry> {
    let key = (rows.table, rows.bucket, rows.schema);
    let slice = slices.entry(key).or_insert_with(|| {
        order.push(key);
        SliceRows { index: order.len() - 1, ..SliceRows::default() }
    });
    let index = slice.index;
    slice.meta.get_or_insert_with(|| SliceMeta {
        table: rows.table,
        bucket: rows.bucket,
        stream: Stream::Rows,
        schema: rows.schema,
        columns: rows.columns.clone(),
        op: SliceOp::Append,
        codec: rows.codec,
        times: None,
        source: None,
    });
    let too_many = |_| Error::invalid("a flush holds below 2^32 rows of a bucket");
    let count = u32::try_from(rows.rows.num_rows()).map_err(too_many)?;
    let first_row = slice.rows;
    slice.rows = first_row
        .checked_add(count)
        .ok_or_else(|| Error::invalid("a flush holds below 2^32 rows of a bucket"))?;
    slice.batches.push(rows.rows.clone());
    let slice = u32::try_from(index).map_err(too_many)?;
    Ok(Entry::Appended { slice, first_row, rows: count, expected_offset: rows.expected_offset })
}

fn encode(mut slices: BTreeMap<SliceKey, SliceRows>, order: &[SliceKey], outside: bool) -> Result<Built> {
    let mut all: Vec<Slice> = Vec::with_capacity(order.len());
    let mut uploads = Vec::new();
    let mut rows = Vec::with_capacity(order.len());
    let mut builder = BodyBuilder::new();
    for (index, key) in order.iter().enumerate() {
        let Some(SliceRows { meta: Some(meta), batches, .. }) = slices.remove(key) else { continue };
        let batches = join(batches)?;
        builder.push_joined(meta, &batches)?;
        rows.push(batches);
        let full = builder.bytes() >= SEGMENT_BYTES_MIN || index + 1 == order.len();
        if outside && full {
            let segment = std::mem::take(&mut builder).finish();
            let home = u32::try_from(uploads.len()).map_err(|_| Error::internal("few segments a flush"))?;
            all.extend(
                segment.slices.iter().map(|slice| Slice { home: SliceHome::Segment(home), ..slice.clone() }),
            );
            uploads.push(Upload { slices: segment.slices, body: segment.chunks });
        }
    }
    let inline = builder.finish();
    all.extend(inline.slices);
    let flush = Flush { slices: all, body: inline.chunks, ..Flush::default() };
    Ok(Built { flush, uploads, rows })
}

/// About how long an act is in memory.
pub fn act_bytes(act: &Act) -> usize {
    match act {
        Act::Entry(_) => 256,
        Act::Append(rows) => batch_bytes(&rows.rows),
    }
}

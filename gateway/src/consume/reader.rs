//! Reading rows of a log table by position: which places, which columns, how much; rows come out with their pseudo-columns.
//!
//! Invariants: rows of a bucket come in offset order, each once; nothing is skipped: what was trimmed meanwhile is found again by
//! offset or the read fails (rule 27); bytes and rows of one read are bounded.

use std::collections::BTreeMap;
use std::ops::Range;
use std::sync::Arc;

use arrow::array::{ArrayRef, Int32Array, Int64Array, StringArray, TimestampMicrosecondArray};
use arrow::datatypes::{DataType, Field, Schema as ArrowSchema, SchemaRef};
use arrow::record_batch::{RecordBatch, RecordBatchOptions};
use frazil_log::commit::replica::Replica;
use frazil_log::error::{Error, Result};
use frazil_log::format::page::{Place, StreamKey};
use frazil_log::id::{Bucket, FieldId, Offset};
use frazil_log::plan::columns::{SliceColumns, timestamp_field};
use frazil_log::schema::TableSpec;
use frazil_log::schema::arrow_form::arrow_field;
use frazil_log::schema::evolution::absent;
use frazil_log::state::tables::Table;
use futures::{StreamExt, TryStreamExt, stream};

use super::filter::Filter;
use super::scan::scan;
use super::tail::TailRing;

/// One column of an answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OutputColumn {
    /// A column of the table, by its place in the schema.
    User(usize),
    /// `__bucket`
    Bucket,
    /// `__offset`
    Offset,
    /// `__timestamp`
    Timestamp,
    /// `__op`, `+I` throughout a log table.
    Op,
}

/// What to read.
#[derive(Clone, Debug)]
pub struct ReadRequest {
    /// From where, by bucket; other buckets are not read.
    pub from: BTreeMap<Bucket, Offset>,
    /// Which columns, in order.
    pub columns: Vec<OutputColumn>,
    /// At most so many rows.
    pub rows_max: usize,
    /// About so many stored bytes of the wanted columns at most, but at least one row.
    pub bytes_max: u64,
    /// Only rows of which this is true.
    pub filter: Option<Arc<Filter>>,
}

/// What was read.
#[derive(Clone, Debug)]
pub struct ReadPage {
    /// The answer's columns.
    pub schema: SchemaRef,
    /// The rows, bucket by bucket, ascending in each.
    pub batches: Vec<RecordBatch>,
    /// Of each batch: its bucket, and the offset from which its place was read.
    pub starts: Vec<(Bucket, Offset)>,
    /// How many.
    pub rows: usize,
    /// Where to go on, for every bucket that was asked for.
    pub next: BTreeMap<Bucket, Offset>,
    /// Stored bytes that statistics ruled out, so that nobody fetched them.
    pub ruled_out_bytes: u64,
}

/// How often a read that met a trimmed object pins again.
const PINS_MAX: usize = 4;

/// Places fetched at once.
pub(super) const FETCHES: usize = 8;

/// The Arrow schema of an answer with these columns.
pub fn output_schema(spec: &TableSpec, columns: &[OutputColumn]) -> SchemaRef {
    let field = |column: &OutputColumn| match column {
        OutputColumn::User(index) => arrow_field(&spec.schema.columns[*index]),
        OutputColumn::Bucket => Field::new("__bucket", DataType::Int32, false),
        OutputColumn::Offset => Field::new("__offset", DataType::Int64, false),
        OutputColumn::Timestamp => timestamp_field(),
        OutputColumn::Op => Field::new("__op", DataType::Utf8, false),
    };
    Arc::new(ArrowSchema::new(columns.iter().map(field).collect::<Vec<_>>()))
}

/// Reads what is folded. Confirming the tail is the caller's choice.
pub async fn read(
    replica: &Replica,
    tail: &TailRing,
    table: &Table,
    request: &ReadRequest,
) -> Result<ReadPage> {
    let mut pins = 0;
    loop {
        let read = match &request.filter {
            None => read_pinned(replica, tail, table, request).await,
            Some(filter) => scan(replica, tail, table, request, filter).await,
        };
        match read {
            // Trimmed under our feet: the newest state knows where the rows lie now.
            Err(error) if error.is_stale() && pins < PINS_MAX => {
                pins += 1;
                replica.confirm_tail().await?;
                // Gone for good: the caller knows what that is called.
                if is_expired(replica, table, &request.from) {
                    return Err(error);
                }
            }
            Err(error) if error.is_stale() => {
                return Err(Error::corrupt(error.to_string()).context("after the newest state was asked for"));
            }
            other => return other,
        }
    }
}

/// Whether rows at a position are no longer kept.
fn is_expired(replica: &Replica, table: &Table, from: &BTreeMap<Bucket, Offset>) -> bool {
    let fold = replica.fold();
    let tables = fold.state.tables();
    from.iter().any(|(bucket, from)| *from < tables.tail(&table.rows_key(*bucket)).earliest)
}

async fn read_pinned(
    replica: &Replica,
    tail: &TailRing,
    table: &Table,
    request: &ReadRequest,
) -> Result<ReadPage> {
    let schema = output_schema(&table.spec, &request.columns);
    let mut next = request.from.clone();
    let (mut batches, mut starts) = (Vec::new(), Vec::new());
    let (mut rows_left, mut bytes_left) = (request.rows_max, request.bytes_max);
    let mut waiting: Vec<(Bucket, Range<Offset>)> = available(table, &request.from);
    while let Some((bucket, offsets)) = waiting.pop() {
        if rows_left == 0 || bytes_left == 0 {
            break;
        }
        // A share for each bucket that is left, so that a busy one does not starve the others.
        let share = (rows_left / (waiting.len() + 1)).max(1) as u64;
        let end = offsets.end.min(offsets.start.saturating_add(share));
        let key = table.rows_key(bucket);
        let places = replica.places(&key, offsets.start..end).await?;
        let places = cut_to_bytes(places, &user_columns(&table.spec, request), &mut bytes_left);
        let end = places.last().map_or(offsets.start, |place| place.offsets.end);
        let schema = &schema;
        let reads = places.into_iter().map(|place| async move {
            let start = place.offsets.start;
            read_place((replica, tail), table, key, place, request, schema).await.map(|found| (start, found))
        });
        let mut read = stream::iter(reads).buffered(FETCHES);
        while let Some((start, found)) = read.try_next().await? {
            starts.extend(found.iter().map(|_| (bucket, start)));
            rows_left = rows_left.saturating_sub(found.iter().map(RecordBatch::num_rows).sum());
            batches.extend(found);
        }
        next.insert(bucket, end);
    }
    let rows = batches.iter().map(RecordBatch::num_rows).sum();
    Ok(ReadPage { schema, batches, starts, rows, next, ruled_out_bytes: 0 })
}

/// What there is to read, the last to be read first. No further than the table as it is given: later rows may be in a later schema.
pub(super) fn available(table: &Table, from: &BTreeMap<Bucket, Offset>) -> Vec<(Bucket, Range<Offset>)> {
    let ranges = from.iter().rev().map(|(bucket, from)| (*bucket, *from..table.rows_tail(*bucket).next));
    ranges.filter(|(_, offsets)| !offsets.is_empty()).collect()
}

/// The field ids of the columns that must be read.
pub(super) fn user_columns(spec: &TableSpec, request: &ReadRequest) -> Vec<FieldId> {
    let user = request.columns.iter().filter_map(|column| match column {
        OutputColumn::User(index) => spec.schema.columns.get(*index),
        _ => None,
    });
    user.map(|column| column.id).collect()
}

/// About how many bytes of a row are stored in these columns; at least one.
pub(super) fn row_bytes(place: &Place, columns: &[FieldId]) -> u64 {
    let wanted = place.slice.columns.iter().zip(0usize..).filter(|(id, _)| columns.contains(id));
    let chunks = wanted.flat_map(|(_, position)| {
        place.slice.batches.iter().filter_map(move |batch| batch.chunks.get(position))
    });
    let bytes: u64 = chunks.fold(0, |sum, chunk| sum.saturating_add(chunk.len));
    (bytes / u64::from(place.slice.rows.max(1))).max(1)
}

/// Leaves out what would be too much; the first place is cut rather than left out.
fn cut_to_bytes(places: Vec<Place>, columns: &[FieldId], bytes_left: &mut u64) -> Vec<Place> {
    let mut kept = Vec::new();
    for place in places {
        let rows = place.offsets.end - place.offsets.start;
        let row_bytes = row_bytes(&place, columns);
        let fits = (*bytes_left / row_bytes).min(rows);
        let take = if kept.is_empty() { fits.max(1) } else { fits };
        *bytes_left = bytes_left.saturating_sub(take.saturating_mul(row_bytes));
        let all = take == rows;
        kept.extend(place.cut(&(place.offsets.start..place.offsets.start + take)));
        if !all {
            *bytes_left = 0;
            break;
        }
    }
    kept
}

pub(super) async fn read_place(
    (replica, tail): (&Replica, &TailRing),
    table: &Table,
    key: StreamKey,
    place: Place,
    request: &ReadRequest,
    schema: &SchemaRef,
) -> Result<Vec<RecordBatch>> {
    let columns = SliceColumns::of(table, &place.slice)?;
    let (wanted, sources) = sources(&columns, &table.spec, &request.columns);
    let user = &table.spec.schema.columns;
    let read = tail.read_place(replica, &place, &columns.fields, &wanted).await?;
    let mut offset = place.offsets.start;
    let mut batches = Vec::with_capacity(read.len());
    for batch in read {
        let rows = batch.num_rows();
        let arrays = sources.iter().map(|source| match source {
            Source::Read { read, column } => columns.adapt(batch.column(*read), &user[*column]),
            Source::Absent { column } => Ok(absent(&user[*column], rows)),
            Source::Time { read } => Ok(Arc::clone(batch.column(*read))),
            Source::Bucket => int32(key.bucket, rows),
            Source::Offset => int64(offset, rows),
            Source::CommitTime => {
                Ok(Arc::new(TimestampMicrosecondArray::from_value(place.time, rows).with_timezone("UTC"))
                    as ArrayRef)
            }
            Source::Op => Ok(Arc::new(StringArray::from(vec!["+I"; rows])) as ArrayRef),
        });
        let options = RecordBatchOptions::new().with_row_count(Some(rows));
        let arrays = arrays.collect::<Result<Vec<_>>>()?;
        let out = RecordBatch::try_new_with_options(Arc::clone(schema), arrays, &options);
        batches
            .push(out.map_err(|error| Error::internal(format!("an answer's columns do not fit: {error}")))?);
        offset += rows as u64;
    }
    Ok(batches)
}

fn int32(bucket: Bucket, rows: usize) -> Result<ArrayRef> {
    let bucket = i32::try_from(bucket.0).map_err(|_| Error::internal("buckets are few"))?;
    Ok(Arc::new(Int32Array::from_value(bucket, rows)))
}

fn int64(first: Offset, rows: usize) -> Result<ArrayRef> {
    let too_large = |_| Error::internal("offsets are below 2^63");
    let first = i64::try_from(first).map_err(too_large)?;
    let end = first.checked_add(i64::try_from(rows).map_err(|_| Error::internal("rows are few"))?);
    let end = end.ok_or_else(|| Error::internal("offsets are below 2^63"))?;
    Ok(Arc::new(Int64Array::from_iter_values(first..end)))
}

/// Where a column of an answer comes from.
enum Source {
    /// A column that was read, by its place among those, as the table's column of this number.
    Read {
        read: usize,
        column: usize,
    },
    /// A column of the table that the rows were written without.
    Absent {
        column: usize,
    },
    /// Each row's own commit time.
    Time {
        read: usize,
    },
    Bucket,
    Offset,
    CommitTime,
    Op,
}

/// Which columns of the slice to read, and how the answer's are made of them.
fn sources(
    slice: &SliceColumns<'_>,
    spec: &TableSpec,
    columns: &[OutputColumn],
) -> (Vec<usize>, Vec<Source>) {
    let mut wanted: Vec<usize> = Vec::new();
    let mut read = |position: usize| {
        let known = wanted.iter().position(|known| *known == position);
        known.unwrap_or_else(|| {
            wanted.push(position);
            wanted.len() - 1
        })
    };
    let sources = columns.iter().map(|column| match column {
        // Rows that were written before the column came have none of it.
        OutputColumn::User(index) => match slice.position(spec.schema.columns[*index].id) {
            Some(position) => Source::Read { read: read(position), column: *index },
            None => Source::Absent { column: *index },
        },
        OutputColumn::Bucket => Source::Bucket,
        OutputColumn::Offset => Source::Offset,
        // A rolled-up slice carries each row's own time; any other has that of its slot.
        OutputColumn::Timestamp => {
            slice.timestamp().map_or(Source::CommitTime, |position| Source::Time { read: read(position) })
        }
        OutputColumn::Op => Source::Op,
    });
    let sources = sources.collect();
    (wanted, sources)
}

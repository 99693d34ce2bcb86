//! Reading rows of a log table by position: which places, which columns, how much.
//!
//! Invariants: rows of a bucket come in offset order, each once; nothing is skipped: what was trimmed meanwhile is found again by
//! offset, or the read fails (rule 27); rows and bytes of one read are bounded.

use std::collections::BTreeMap;
use std::ops::Range;
use std::sync::Arc;

use arrow::array::{Array, TimestampMicrosecondArray};
use arrow::datatypes::{DataType, Field, FieldRef, TimeUnit};
use arrow::record_batch::RecordBatch;
use frazil_log::commit::replica::Replica;
use frazil_log::error::{Error, Result};
use frazil_log::format::page::Place;
use frazil_log::id::{Bucket, FieldId, Offset};
use frazil_log::schema::TableSpec;
use frazil_log::schema::arrow_form::arrow_field;
use frazil_log::state::tables::Table;
use futures::{StreamExt, TryStreamExt, stream};

use super::encode::projection::Rows;

/// What to read.
#[derive(Clone, Debug)]
pub struct ReadRequest {
    /// From where, by bucket; other buckets are not read.
    pub from: BTreeMap<Bucket, Offset>,
    /// Which of the user's columns, in order.
    pub field_ids: Vec<FieldId>,
    /// At most so many rows.
    pub rows_max: usize,
    /// About so many stored bytes at most, but at least one row.
    pub bytes_max: u64,
}

/// What was read.
#[derive(Clone, Debug)]
pub struct ReadPage {
    /// The rows, bucket by bucket, ascending in each.
    pub rows: Vec<Rows>,
    /// How many.
    pub count: usize,
    /// Where to go on, for every bucket that was asked for.
    pub next: BTreeMap<Bucket, Offset>,
}

/// How often a read that met a trimmed object pins again.
const PINS_MAX: usize = 4;

/// Places fetched at once.
const FETCHES: usize = 8;

/// Reads what is folded. Confirming the tail is the caller's choice.
pub async fn read(replica: &Replica, table: &Table, request: &ReadRequest) -> Result<ReadPage> {
    let mut pins = 0;
    loop {
        match read_pinned(replica, table, request).await {
            // Trimmed under our feet: the newest state knows where the rows lie now.
            Err(error) if error.is_stale() && pins < PINS_MAX => {
                pins += 1;
                replica.confirm_tail().await?;
            }
            Err(error) if error.is_stale() => {
                return Err(Error::corrupt(error.to_string()).context("after the newest state was asked for"));
            }
            other => return other,
        }
    }
}

async fn read_pinned(replica: &Replica, table: &Table, request: &ReadRequest) -> Result<ReadPage> {
    let mut page = ReadPage { rows: Vec::new(), count: 0, next: request.from.clone() };
    let mut bytes_left = request.bytes_max;
    let mut waiting = available(replica, table, &request.from);
    while let Some((bucket, offsets)) = waiting.pop() {
        let rows_left = request.rows_max.saturating_sub(page.count);
        if rows_left == 0 || (bytes_left == 0 && page.count > 0) {
            break;
        }
        // A share for each bucket that is left, so that a busy one does not starve the others.
        let share = (rows_left / (waiting.len() + 1)).max(1) as u64;
        let end = offsets.end.min(offsets.start.saturating_add(share));
        let places = replica.places(&table.rows_key(bucket), offsets.start..end).await?;
        let places = cut_to_bytes(places, &mut bytes_left);
        let end = places.last().map_or(offsets.start, |place| place.offsets.end);
        let fetches = places.into_iter().map(|place| read_place(replica, table, bucket, place, request));
        let mut fetched = stream::iter(fetches).buffered(FETCHES);
        while let Some(rows) = fetched.try_next().await? {
            page.count += rows.iter().map(|rows| rows.batch.num_rows()).sum::<usize>();
            page.rows.extend(rows);
        }
        page.next.insert(bucket, end);
    }
    Ok(page)
}

/// What there is to read; the last comes first.
fn available(replica: &Replica, table: &Table, from: &BTreeMap<Bucket, Offset>) -> Vec<(Bucket, Range<Offset>)> {
    let fold = replica.fold();
    let tail = |bucket: &Bucket| fold.state.tables().tail(&table.rows_key(*bucket)).next;
    let ranges = from.iter().rev().map(|(bucket, from)| (*bucket, *from..tail(bucket)));
    ranges.filter(|(_, offsets)| !offsets.is_empty()).collect()
}

/// Leaves out what would be too much; the first place is cut rather than left out.
fn cut_to_bytes(places: Vec<Place>, bytes_left: &mut u64) -> Vec<Place> {
    let mut kept = Vec::new();
    for place in places {
        let rows = place.offsets.end - place.offsets.start;
        let row_bytes = (place.slice.bytes / u64::from(place.slice.rows.max(1))).max(1);
        let fits = (*bytes_left / row_bytes).min(rows);
        let take = if kept.is_empty() { fits.max(1) } else { fits };
        *bytes_left = bytes_left.saturating_sub(take.saturating_mul(row_bytes));
        kept.extend(place.cut(&(place.offsets.start..place.offsets.start + take)));
        if take < rows {
            *bytes_left = 0;
            break;
        }
    }
    kept
}

async fn read_place(
    replica: &Replica,
    table: &Table,
    bucket: Bucket,
    place: Place,
    request: &ReadRequest,
) -> Result<Vec<Rows>> {
    let ids = &place.slice.columns;
    let fields = ids.iter().map(|id| slice_field(&table.spec, *id)).collect::<Result<Vec<FieldRef>>>()?;
    let position = |id: &FieldId| {
        let found = ids.iter().position(|known| known == id);
        found.ok_or_else(|| Error::corrupt(format!("a slice lacks column {id}, which its schema has")))
    };
    let mut wanted = request.field_ids.iter().map(position).collect::<Result<Vec<usize>>>()?;
    // A rolled-up slice carries each row's own time; any other has that of its slot.
    let times = ids.iter().position(|id| *id == table.spec.pseudo.timestamp);
    wanted.extend(times);
    let mut start = place.offsets.start;
    let mut all = Vec::new();
    for batch in replica.read_place(&place, &fields, &wanted).await? {
        let rows = batch.num_rows() as u64;
        match times {
            None => all.push(Rows { bucket, start, timestamp: place.time, batch }),
            Some(_) => split_by_time(bucket, start, &batch, &mut all)?,
        }
        start += rows;
    }
    Ok(all)
}

/// Takes the last column, the rows' times, off a batch, and cuts the batch where they change.
fn split_by_time(bucket: Bucket, start: Offset, batch: &RecordBatch, all: &mut Vec<Rows>) -> Result<()> {
    let last = batch.num_columns().saturating_sub(1);
    let times = batch.columns().get(last).and_then(|times| times.as_any().downcast_ref::<TimestampMicrosecondArray>());
    let times = times.ok_or_else(|| Error::corrupt("a rolled-up slice lacks its times"))?.values();
    let user: Vec<usize> = (0..last).collect();
    let user = batch.project(&user).map_err(|error| Error::internal(format!("leaving out a column: {error}")))?;
    let mut from = 0;
    while let Some(time) = times.get(from) {
        let len = times[from..].iter().take_while(|other| *other == time).count();
        all.push(Rows { bucket, start: start + from as u64, timestamp: *time, batch: user.slice(from, len) });
        from += len;
    }
    Ok(())
}

fn slice_field(spec: &TableSpec, id: FieldId) -> Result<FieldRef> {
    if id == spec.pseudo.timestamp {
        let micros = DataType::Timestamp(TimeUnit::Microsecond, Some("UTC".into()));
        return Ok(Arc::new(Field::new("__timestamp", micros, false)));
    }
    let column = spec.schema.columns.iter().find(|column| column.id == id);
    let column = column.ok_or_else(|| Error::corrupt(format!("a slice has column {id}, which its table has not")))?;
    Ok(Arc::new(arrow_field(column)))
}

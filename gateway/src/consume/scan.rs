//! Reading the rows that a filter wants: places are ruled out by their statistics, the others read and filtered.
//!
//! Invariants:
//! * the position moves over every row that was looked at, wanted or not, and over none that was not;
//! * one read looks at no more than [`ROWS_MAX`] rows and [`BYTES_MAX`] bytes: a long stretch without a wanted row ends it with an
//!   empty page that moved on;
//! * memory is that of one step, and of the wanted rows.

use std::ops::Range;
use std::sync::Arc;

use arrow::array::BooleanArray;
use arrow::compute::filter_record_batch;
use arrow::record_batch::RecordBatch;
use frazil_log::commit::replica::Replica;
use frazil_log::error::{Error, Result};
use frazil_log::format::page::{Place, StreamKey};
use frazil_log::id::{Bucket, FieldId, Offset};
use frazil_log::state::tables::Table;
use futures::{StreamExt, TryStreamExt, stream};

use super::filter::{Filter, Known, Nulls, Value};
use super::reader::{
    FETCHES, OutputColumn, ReadPage, ReadRequest, available, output_schema, read_place, row_bytes,
    user_columns,
};
use super::tail::TailRing;

/// The most rows that one read looks at.
const ROWS_MAX: u64 = 1 << 20;

/// The most stored bytes that one read fetches.
const BYTES_MAX: u64 = 64 << 20;

/// Rows whose places are looked up at once.
const STEP_ROWS: u64 = 100_000;

/// Stored bytes that are fetched at once.
const STEP_BYTES: u64 = 8 << 20;

/// A place that is ruled out counts as so many rows that were looked at.
const RULED_OUT_ROWS: u64 = 64;

/// One read under way.
struct Scan<'a> {
    replica: &'a Replica,
    tail: &'a TailRing,
    table: &'a Table,
    filter: &'a Filter,
    /// With the columns that only the filter needs, behind those of the answer.
    request: ReadRequest,
    fields: Vec<FieldId>,
    /// How many columns the answer has.
    columns: usize,
    found: Found,
    /// Rows and bytes that may still be looked at.
    rows: u64,
    bytes: u64,
}

/// What was found, and what may still be.
struct Found {
    batches: Vec<RecordBatch>,
    rows_left: usize,
    bytes_left: u64,
    ruled_out_bytes: u64,
}

/// Reads what is folded; see [`super::reader::read`].
pub(super) async fn scan(
    replica: &Replica,
    tail: &TailRing,
    table: &Table,
    request: &ReadRequest,
    filter: &Filter,
) -> Result<ReadPage> {
    let mut columns = request.columns.clone();
    columns.extend(filter.columns().iter().filter(|column| !request.columns.contains(column)));
    let request_of_all = ReadRequest { columns, ..request.clone() };
    let mut scan = Scan {
        replica,
        tail,
        table,
        filter,
        fields: user_columns(&table.spec, &request_of_all),
        request: request_of_all,
        columns: request.columns.len(),
        found: Found {
            batches: Vec::new(),
            rows_left: request.rows_max,
            bytes_left: request.bytes_max,
            ruled_out_bytes: 0,
        },
        rows: ROWS_MAX,
        bytes: BYTES_MAX,
    };
    let mut next = request.from.clone();
    let mut starts = Vec::new();
    let mut waiting = available(table, &request.from);
    while let Some((bucket, offsets)) = waiting.pop() {
        if scan.is_done() {
            break;
        }
        let start = offsets.start;
        let end = scan.bucket(bucket, offsets, waiting.len()).await?;
        starts.resize(scan.found.batches.len(), (bucket, start));
        next.insert(bucket, end);
    }
    let Found { batches, ruled_out_bytes, .. } = scan.found;
    let rows = batches.iter().map(RecordBatch::num_rows).sum();
    let schema = output_schema(&table.spec, &request.columns);
    Ok(ReadPage { schema, batches, starts, rows, next, ruled_out_bytes })
}

impl Scan<'_> {
    fn is_done(&self) -> bool {
        self.found.rows_left == 0 || self.found.bytes_left == 0 || self.rows == 0 || self.bytes == 0
    }

    /// Looks at a bucket's rows, for a share of what may be found and looked at; says how far it came.
    async fn bucket(&mut self, bucket: Bucket, offsets: Range<Offset>, others: usize) -> Result<Offset> {
        let parts = others + 1;
        let keep_rows =
            self.found.rows_left - (self.found.rows_left / parts).max(1).min(self.found.rows_left);
        let keep_work = self.rows - (self.rows / parts as u64).max(1).min(self.rows);
        let key = self.table.rows_key(bucket);
        let mut at = offsets.start;
        while at < offsets.end && self.found.rows_left > keep_rows && self.rows > keep_work && !self.is_done()
        {
            let step = STEP_ROWS.min(self.rows - keep_work);
            let end = offsets.end.min(at.saturating_add(step));
            let places = self.replica.places(&key, at..end).await?;
            let places = self.choose(key, places);
            let came_to = self.look(key, places, keep_rows).await?;
            if came_to == at {
                return Err(Error::internal(format!(
                    "a scan of bucket {bucket} does not get past offset {at}"
                )));
            }
            at = came_to;
        }
        Ok(at)
    }

    /// Says of each place whether it must be read, and leaves out what would be too much at once.
    fn choose(&mut self, key: StreamKey, places: Vec<Place>) -> Vec<(Place, bool)> {
        let mut step = STEP_BYTES.min(self.bytes);
        let mut chosen = Vec::new();
        for place in places {
            let rows = place.offsets.end - place.offsets.start;
            let per_row = row_bytes(&place, &self.fields);
            if !self.filter.may_match(&|column| known(self.table, key.bucket, &place, column)) {
                self.rows = self.rows.saturating_sub(RULED_OUT_ROWS.min(rows));
                self.found.ruled_out_bytes += per_row.saturating_mul(rows);
                chosen.push((place, false));
                continue;
            }
            let has_read = chosen.iter().any(|(_, read)| *read);
            let fits = (step / per_row).min(rows);
            let take = if has_read { fits } else { fits.max(1) };
            step = step.saturating_sub(take.saturating_mul(per_row));
            self.bytes = self.bytes.saturating_sub(take.saturating_mul(per_row));
            self.rows = self.rows.saturating_sub(take);
            chosen
                .extend(place.cut(&(place.offsets.start..place.offsets.start + take)).map(|cut| (cut, true)));
            if take < rows || self.rows == 0 {
                break;
            }
        }
        chosen
    }

    /// Reads places and keeps the wanted rows; says how far it came.
    async fn look(&mut self, key: StreamKey, places: Vec<(Place, bool)>, keep_rows: usize) -> Result<Offset> {
        let mut at = places.first().map_or(0, |(place, _)| place.offsets.start);
        let (sources, table, request) = ((self.replica, self.tail), self.table, &self.request);
        let fields = &self.fields;
        let schema = output_schema(&table.spec, &request.columns);
        let mut read = stream::iter(places.into_iter().map(|(place, is_read)| {
            let schema = &schema;
            async move {
                let per_row = row_bytes(&place, fields);
                let offsets = place.offsets.clone();
                let batches = match is_read {
                    true => read_place(sources, table, key, place, request, schema).await?,
                    false => Vec::new(),
                };
                Ok::<_, Error>((offsets, per_row, batches))
            }
        }))
        .buffered(FETCHES);
        while let Some((offsets, per_row, batches)) = read.try_next().await? {
            at = offsets.start;
            for batch in batches {
                let most = self.found.rows_left.saturating_sub(keep_rows);
                let (taken, wanted) = wanted(self.filter, request, self.columns, &batch, most)?;
                at += taken as u64;
                self.found.add(wanted, per_row);
                if taken < batch.num_rows() || self.found.rows_left <= keep_rows || self.found.bytes_left == 0
                {
                    return Ok(at);
                }
            }
            at = offsets.end;
        }
        Ok(at)
    }
}

impl Found {
    fn add(&mut self, batch: RecordBatch, per_row: u64) {
        self.rows_left = self.rows_left.saturating_sub(batch.num_rows());
        self.bytes_left = self.bytes_left.saturating_sub(per_row.saturating_mul(batch.num_rows() as u64));
        if batch.num_rows() > 0 {
            self.batches.push(batch);
        }
    }
}

/// The wanted rows of a batch, at most so many, in the answer's columns; and how many rows that took.
fn wanted(
    filter: &Filter,
    request: &ReadRequest,
    columns: usize,
    batch: &RecordBatch,
    most: usize,
) -> Result<(usize, RecordBatch)> {
    let fault = |error| Error::internal(format!("a filter cannot be evaluated: {error}"));
    let source = |column: OutputColumn| {
        let at = request.columns.iter().position(|known| *known == column)?;
        batch.columns().get(at).map(Arc::clone)
    };
    let mask = filter.mask(batch.num_rows(), &source).map_err(fault)?;
    let beyond = mask.values().set_indices().nth(most);
    let last = most.checked_sub(1).and_then(|last| mask.values().set_indices().nth(last));
    let taken = match (beyond, last) {
        (Some(_), last) => last.map_or(0, |last| last + 1),
        (None, _) => batch.num_rows(),
    };
    let answer: Vec<usize> = (0..columns).collect();
    let rows = batch.slice(0, taken).project(&answer).map_err(fault)?;
    let mask = BooleanArray::new(mask.values().slice(0, taken), None);
    Ok((taken, filter_record_batch(&rows, &mask).map_err(fault)?))
}

/// What the slice index knows of a column in a place.
fn known(table: &Table, bucket: Bucket, place: &Place, column: OutputColumn) -> Known {
    let between = |min, max| Known { min: Some(min), max: Some(max), nulls: Nulls::None };
    let number = |number: u64| i64::try_from(number).map(Value::Integer).unwrap_or(Value::Integer(i64::MAX));
    match column {
        OutputColumn::Bucket => {
            between(Value::Integer(i64::from(bucket.0)), Value::Integer(i64::from(bucket.0)))
        }
        OutputColumn::Offset => {
            between(number(place.offsets.start), number(place.offsets.end.saturating_sub(1)))
        }
        OutputColumn::Timestamp => {
            let (min, max) = place.slice.times.unwrap_or((place.time, place.time));
            between(Value::Integer(min), Value::Integer(max))
        }
        OutputColumn::Op => between(Value::Text("+I".to_owned()), Value::Text("+I".to_owned())),
        OutputColumn::User(at) => {
            let column = table.spec.schema.columns.get(at);
            let of = column.and_then(|column| {
                let mut statistics = place.slice.statistics.iter();
                statistics.find(|of| of.field == column.id).zip(Some(&column.ty))
            });
            let Some((of, ty)) = of else {
                return Known::default();
            };
            let nulls = match of.nulls {
                0 => Nulls::None,
                nulls if nulls >= place.slice.rows => Nulls::All,
                _ => Nulls::Some,
            };
            Known { min: Value::of_bound(ty, &of.min), max: Value::of_bound(ty, &of.max), nulls }
        }
    }
}

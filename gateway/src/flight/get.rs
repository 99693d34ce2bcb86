//! DoGet: rows from a position, a message a batch, each with the position behind it.
//!
//! Invariants:
//! * the schema comes first, also where there is no row; then at least one message, if only an empty batch that tells the position;
//! * `app_metadata` of a message is `{"next":…}`: who goes on there misses no row and sees none twice;
//! * nothing is read ahead: the next rows are read when the client has taken the last; a page is small where many read.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use arrow::array::AsArray;
use arrow::datatypes::{Int32Type, Int64Type, SchemaRef};
use arrow::ipc::CompressionType;
use arrow::ipc::writer::{CompressionContext, DictionaryTracker, IpcDataGenerator, IpcWriteOptions};
use arrow::record_batch::RecordBatch;
use arrow_flight::{FlightData, SchemaAsIpc};
use frazil_log::id::{Bucket, Offset};
use frazil_log::segment::batch_bytes;
use futures::Stream;
use futures::stream::try_unfold;
use serde_json::{Value, json};

use super::Flight;
use super::names::Asked;
use crate::app::{Consume, Page, Table};
use crate::consume::encode::{Format, arrow_fields};
use crate::consume::position::{From, Position};
use crate::consume::reader::OutputColumn;
use crate::error::Problem;
use crate::http::request::params::ConsumeParams;
use crate::worker::on_worker;

/// About the most bytes of a message.
const MESSAGE_BYTES_MAX: usize = 2 << 20;

/// Bytes of a page: of one reader, and of all together while each has the least.
const PAGE_BYTES_MAX: usize = 4 << 20;
const PAGE_BYTES_MIN: usize = 64 << 10;
const PAGES_BYTES_MAX: usize = 64 << 20;

/// Rows of a page, if the client does not say.
const PAGE_ROWS_MAX: usize = 100_000;

/// How long one read of a follower waits at the tail before it looks again.
const FOLLOW_WAIT: Duration = Duration::from_secs(10);

/// What a ticket asks for.
#[derive(Clone, Debug)]
pub(super) struct Query {
    request: Consume,
    /// The columns of the answer among those that are read.
    shown: Vec<usize>,
    schema: SchemaRef,
    /// The most rows of all pages, or of each when following.
    rows_max: Option<usize>,
    /// The most bytes of a page; given, it is the only page unless following.
    bytes_max: Option<usize>,
    follow: bool,
    compression: Option<CompressionType>,
}

impl Query {
    /// Reads what is asked of a table.
    pub(super) fn of(mut asked: Asked, table: &Table) -> Result<Self, Problem> {
        let compression = match asked.take("compression") {
            None => None,
            Some(Value::String(codec)) if codec == "none" => None,
            Some(Value::String(codec)) if codec == "lz4" => Some(CompressionType::LZ4_FRAME),
            Some(Value::String(codec)) if codec == "zstd" => Some(CompressionType::ZSTD),
            Some(other) => {
                return Err(Problem::unsupported(format!("compression={other}: write none, lz4 or zstd")));
            }
        };
        let given = |name: &str| asked.members.contains_key(name);
        let (limited, sized) = (given("limit"), given("max_bytes"));
        let params = ConsumeParams::read(asked.params()?, format)?;
        let (mut request, projection) = params.ask(table)?;
        let schema = arrow_fields(projection.columns());
        let shown = (0..request.columns.len()).collect();
        // Where a batch ends is read off its rows.
        for column in [OutputColumn::Bucket, OutputColumn::Offset] {
            if !request.columns.contains(&column) {
                request.columns.push(column);
            }
        }
        Ok(Self {
            shown,
            schema,
            rows_max: limited.then_some(request.limit),
            bytes_max: sized.then_some(request.bytes_max),
            follow: params.follow,
            compression,
            request,
        })
    }

    /// The schema of the answer.
    pub(super) fn schema(&self) -> &SchemaRef {
        &self.schema
    }

    /// What is asked.
    pub(super) fn request(&self) -> &Consume {
        &self.request
    }

    /// Whether every row from the position on is in the answer.
    pub(super) fn is_all(&self) -> bool {
        self.rows_max.is_none() && self.bytes_max.is_none() && !self.follow
    }

    fn options(&self) -> Result<IpcWriteOptions, Problem> {
        IpcWriteOptions::default()
            .try_with_compression(self.compression)
            .map_err(|error| Problem::internal(format!("options of Arrow messages: {error}")))
    }
}

/// Flight answers in Arrow only.
fn format(asked: Option<&str>, _follow: bool) -> Result<Format, Problem> {
    match asked {
        None | Some("arrow") => Ok(Format::ArrowStream),
        Some(other) => Err(Problem::unsupported(format!("format={other}: Flight answers in Arrow"))),
    }
}

/// The messages of an answer.
pub(super) async fn get(
    flight: &Arc<Flight>,
    query: Query,
) -> Result<impl Stream<Item = Result<FlightData, Problem>> + Send + use<>, Problem> {
    let ends =
        if query.follow || query.bytes_max.is_some() { None } else { Some(tails(flight, &query).await?) };
    let schema = FlightData::from(SchemaAsIpc::new(&query.schema, &query.options()?));
    let reader = Reader {
        flight: Arc::clone(flight),
        seat: Seat::take(&flight.readers),
        position: BTreeMap::new(),
        ends,
        rows: 0,
        told: None,
        waiting: VecDeque::new(),
        ended: false,
        query,
    };
    Ok(try_unfold((Some(schema), reader), |(schema, mut reader)| async move {
        if let Some(schema) = schema {
            return Ok(Some((schema, (None, reader))));
        }
        let message = reader.next().await?;
        Ok(message.map(|message| (message, (None, reader))))
    }))
}

/// Where the buckets that are asked for end now: a read that does not follow ends there.
async fn tails(flight: &Flight, query: &Query) -> Result<BTreeMap<Bucket, Offset>, Problem> {
    let request = &query.request;
    let offsets = flight.app.offsets(&request.database, &request.table).await?;
    let tails = offsets.into_iter().map(|it| (Bucket(it.bucket), it.latest));
    Ok(tails.filter(|(bucket, _)| request.bucket.is_none_or(|only| only == *bucket)).collect())
}

/// One that reads; counted, so that pages are small where many do.
struct Seat(Arc<AtomicUsize>);

impl Seat {
    fn take(readers: &Arc<AtomicUsize>) -> Self {
        readers.fetch_add(1, Ordering::Relaxed);
        Self(Arc::clone(readers))
    }

    fn page_bytes(&self) -> usize {
        (PAGES_BYTES_MAX / self.0.load(Ordering::Relaxed).max(1)).clamp(PAGE_BYTES_MIN, PAGE_BYTES_MAX)
    }
}

impl Drop for Seat {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

struct Reader {
    flight: Arc<Flight>,
    seat: Seat,
    query: Query,
    /// Where each bucket stands, behind the rows that were sent.
    position: BTreeMap<Bucket, Offset>,
    ends: Option<BTreeMap<Bucket, Offset>>,
    rows: usize,
    /// The position that the client knows.
    told: Option<String>,
    /// Rows that were read, each with the position behind them.
    waiting: VecDeque<(RecordBatch, String)>,
    ended: bool,
}

impl Reader {
    async fn next(&mut self) -> Result<Option<FlightData>, Problem> {
        loop {
            if let Some((batch, next)) = self.waiting.pop_front() {
                let message = self.encode(batch, &next).await?;
                self.told = Some(next);
                return Ok(Some(message));
            }
            if self.ended {
                return Ok(None);
            }
            self.read().await?;
        }
    }

    async fn read(&mut self) -> Result<(), Problem> {
        let rows_left = self.query.rows_max.map(|max| if self.query.follow { max } else { max - self.rows });
        self.query.request.limit = rows_left.unwrap_or(PAGE_ROWS_MAX).min(PAGE_ROWS_MAX);
        self.query.request.bytes_max = self.query.bytes_max.unwrap_or(self.seat.page_bytes());
        let page = self.flight.app.consume(self.query.request.clone()).await?;
        let next = page.next.clone();
        let caught_up = page.caught_up;
        self.rows += self.take(page)?;
        self.query.request.from = From::Position(next.clone());
        self.query.request.wait = if self.query.follow { FOLLOW_WAIT } else { Duration::ZERO };
        self.ended = !self.query.follow
            && (caught_up
                || self.query.bytes_max.is_some()
                || self.query.rows_max.is_some_and(|max| self.rows >= max)
                || self.ends.as_ref().is_some_and(|ends| {
                    ends.iter().all(|(bucket, end)| next.get(*bucket).is_some_and(|next| next >= *end))
                }));
        let text = next.to_string();
        let is_news = self.waiting.is_empty() && self.told.as_deref() != Some(text.as_str());
        if is_news {
            self.waiting.push_back((RecordBatch::new_empty(Arc::clone(&self.query.schema)), text));
        }
        Ok(())
    }

    /// Cuts a page into messages; answers how many rows it has.
    fn take(&mut self, page: Page) -> Result<usize, Problem> {
        let mut rows = 0;
        let mut pieces = Vec::new();
        for batch in page.batches.iter().filter(|batch| batch.num_rows() > 0) {
            rows += batch.num_rows();
            let messages = batch_bytes(batch).div_ceil(MESSAGE_BYTES_MAX).max(1);
            let piece_rows = batch.num_rows().div_ceil(messages);
            for start in (0..batch.num_rows()).step_by(piece_rows) {
                let piece = batch.slice(start, piece_rows.min(batch.num_rows() - start));
                pieces.push(self.place(piece)?);
            }
        }
        // Before its first row in this page, a bucket stands there; without any, where the page ends.
        let mut firsts = BTreeMap::new();
        for (bucket, offsets, _) in &pieces {
            firsts.entry(*bucket).or_insert(offsets.start);
        }
        for (bucket, end) in &page.next.0 {
            self.position.entry(*bucket).or_insert(*firsts.get(bucket).unwrap_or(end));
        }
        let last = pieces.len().saturating_sub(1);
        for (number, (bucket, offsets, piece)) in pieces.into_iter().enumerate() {
            self.position.insert(bucket, offsets.end);
            let next = match number == last {
                true => page.next.to_string(),
                false => Position(self.position.clone()).to_string(),
            };
            self.waiting.push_back((piece, next));
        }
        self.position = page.next.0;
        Ok(rows)
    }

    /// A batch's bucket and offsets, and its columns that were asked for.
    fn place(&self, batch: RecordBatch) -> Result<(Bucket, std::ops::Range<Offset>, RecordBatch), Problem> {
        let fault = || Problem::internal("rows without bucket and offset");
        let at =
            |wanted: OutputColumn| self.query.request.columns.iter().position(|column| *column == wanted);
        let (bucket, offset) = at(OutputColumn::Bucket).zip(at(OutputColumn::Offset)).ok_or_else(fault)?;
        let buckets = batch.column(bucket).as_primitive_opt::<Int32Type>().ok_or_else(fault)?;
        let offsets = batch.column(offset).as_primitive_opt::<Int64Type>().ok_or_else(fault)?;
        let (first, last) = offsets.values().first().zip(offsets.values().last()).ok_or_else(fault)?;
        let bucket = u32::try_from(buckets.value(0)).map(Bucket).map_err(|_| fault())?;
        let first = u64::try_from(*first).map_err(|_| fault())?;
        let end = u64::try_from(*last).map_err(|_| fault())? + 1;
        let shown = batch.project(&self.query.shown).and_then(|shown| {
            // The same fields, but the schema that was sent.
            shown.with_schema(Arc::clone(&self.query.schema))
        });
        let shown = shown.map_err(|error| Problem::internal(format!("columns of an answer: {error}")))?;
        Ok((bucket, first..end, shown))
    }

    async fn encode(&self, batch: RecordBatch, next: &str) -> Result<FlightData, Problem> {
        let options = self.query.options()?;
        let size = if self.query.compression.is_some() { batch_bytes(&batch) } else { 0 };
        let metadata = json!({"next": next}).to_string();
        on_worker(size, move || {
            let encoded = IpcDataGenerator::default().encode(
                &batch,
                &mut DictionaryTracker::new(true),
                &options,
                &mut CompressionContext::default(),
            );
            let (_, encoded) = encoded
                .map_err(|error| Problem::internal(format!("rows do not make an Arrow message: {error}")))?;
            Ok(FlightData::from(encoded).with_app_metadata(metadata))
        })
        .await
    }
}

//! Reading a stream: the schema first, then a batch at a time in the table's Arrow form.

use std::sync::Arc;
use std::time::Duration;

use arrow::record_batch::RecordBatch;
use arrow_flight::FlightData;
use frazil_log::id::Bucket;
use frazil_log::schema::ensure::{TableRequest, build_with};
use frazil_log::schema::sql::columns_sql;
use prost::Message;
use tokio::time::{Instant, timeout};
use tonic::Streaming;

use super::memory::Held;
use crate::app::{Ensured, Table};
use crate::consume::position::Position;
use crate::error::{Kind, Problem};
use crate::flight::Flight;
use crate::flight::names::Asked;
use crate::flight::status::{of_stream, too_large};
use crate::http::request::params::{ProduceParams, no_such_bucket};
use crate::produce::decode::arrow_stream::messages::{self, Read};
use crate::worker::on_worker;

/// What gRPC puts before each message.
const FRAME_BYTES: usize = 5;

/// Where a stream's rows go.
#[derive(Debug)]
pub(super) struct Target {
    pub(super) table: Table,
    pub(super) bucket: Option<Bucket>,
    /// Where the stream must begin.
    pub(super) expected_offset: Option<Position>,
    /// How long a batch waits for its verdict.
    pub(super) timeout: Duration,
    /// Whether the client did not say so.
    pub(super) patient: bool,
    /// The table that was created for it, as `name (columns)`.
    pub(super) created: Option<String>,
    /// The parameters that change what rows mean.
    meaning: String,
}

/// One request of a stream.
#[derive(Debug)]
pub(super) struct Batch {
    pub(super) rows: RecordBatch,
    /// Rule 3; 0 where nobody counts.
    pub(super) hash: u128,
    pub(super) decode_time: Duration,
}

/// What is still to be read of a stream.
#[derive(Debug)]
pub(super) struct Intake {
    stream: Messages,
    decoder: messages::Messages,
    hashed: bool,
}

/// A stream's messages, and the memory that they hold.
#[derive(Debug)]
pub(super) struct Messages {
    flight: Arc<Flight>,
    stream: Streaming<FlightData>,
    held: Option<Arc<Held>>,
    /// Bytes of the newest message, held until the next is asked for.
    newest: usize,
}

impl Messages {
    pub(super) fn new(flight: &Arc<Flight>, stream: Streaming<FlightData>, held: Option<Arc<Held>>) -> Self {
        Self { flight: Arc::clone(flight), stream, held, newest: 0 }
    }

    async fn next(&mut self) -> Result<Option<FlightData>, Problem> {
        let options = &self.flight.options;
        if let Some(held) = &self.held {
            held.release(self.newest);
        }
        loop {
            let Ok(message) = timeout(options.body_timeout, self.stream.message()).await else {
                if self.held.as_ref().is_some_and(|held| held.is_stuck(options.body_timeout)) {
                    let seconds = options.body_timeout.as_secs();
                    return Err(Problem::malformed(format!("a message did not arrive within {seconds} s")));
                }
                continue;
            };
            let starved = || self.held.as_ref().and_then(|held| held.starved());
            let message = message.map_err(|status| {
                starved().unwrap_or_else(|| of_stream(&status, options.request_bytes_max))
            })?;
            self.newest = message.as_ref().map_or(0, |message| message.encoded_len() + FRAME_BYTES);
            return Ok(message);
        }
    }
}

impl Intake {
    /// Reads the descriptor and the schema; nothing if the stream ends before them. Batches are `hashed` for producers that count.
    pub(super) async fn open(
        mut stream: Messages,
        hashed: bool,
    ) -> Result<Option<(Self, Arc<Target>)>, Problem> {
        let Some(mut first) = stream.next().await? else {
            return Ok(None);
        };
        let descriptor = first.flight_descriptor.take();
        let descriptor =
            descriptor.ok_or_else(|| Problem::malformed("the stream does not begin with a descriptor"))?;
        let asked = Asked::of_descriptor(&descriptor)?;
        while first.data_header.is_empty() {
            match stream.next().await? {
                Some(next) => first = next,
                None => return Ok(None),
            }
        }
        let flight = Arc::clone(&stream.flight);
        let decoder = messages::Messages::open(&first.data_header, flight.options.decode)?;
        let target = target(&flight, asked, &decoder).await?;
        Ok(Some((Self { stream, decoder, hashed }, Arc::new(target))))
    }

    /// Reads the next batch; nothing at the stream's end.
    pub(super) async fn next(mut self, target: Arc<Target>) -> Result<Option<(Self, Batch)>, Problem> {
        loop {
            let Some(message) = self.stream.next().await? else {
                return Ok(None);
            };
            if message.data_header.is_empty() {
                continue; // the client's own notes
            }
            let request_bytes_max = self.stream.flight.options.request_bytes_max;
            if message.data_body.len() > request_bytes_max {
                return Err(too_large(request_bytes_max));
            }
            let (target, hashed) = (Arc::clone(&target), self.hashed);
            let mut decoder = self.decoder;
            let (read, batch) = on_worker(message.data_body.len(), move || {
                let batch = decode(&mut decoder, &message, &target, hashed)?;
                Ok((decoder, batch))
            })
            .await?;
            self.decoder = read;
            if let Some(batch) = batch {
                return Ok(Some((self, batch)));
            }
        }
    }
}

fn decode(
    decoder: &mut messages::Messages,
    message: &FlightData,
    target: &Target,
    hashed: bool,
) -> Result<Option<Batch>, Problem> {
    let began = Instant::now();
    let Read::Batch(given) = decoder.read(&message.data_header, &message.data_body)? else {
        return Ok(None);
    };
    let hash = match hashed {
        true => decoder.hash(&target.meaning, &message.data_header, &message.data_body),
        false => 0,
    };
    let rows = decoder.cast(given, &target.table.spec.schema)?;
    Ok(Some(Batch { rows, hash, decode_time: began.elapsed() }))
}

/// The table that the rows go to, created if it is asked for and not there.
async fn target(flight: &Flight, asked: Asked, decoder: &messages::Messages) -> Result<Target, Problem> {
    let params = ProduceParams::read(asked.params()?)?;
    let (database, name) = (&asked.database, &asked.table);
    let (table, created) = match flight.app.table(database, name).await {
        Ok(table) => (table, None),
        Err(problem) if params.create && problem.kind() == Kind::NoSuchTable => {
            let spec = build_with(decoder.infer()?, &TableRequest::default())?;
            let words = format!("{name} ({})", columns_sql(&spec.schema));
            match flight.app.ensure_table(database, name, spec).await? {
                Ensured::Created(table) => (table, Some(words)),
                Ensured::Same(table) => (table, None),
                // Another one came first: the rows fit it or they do not.
                Ensured::Different(_) => (flight.app.table(database, name).await?, None),
            }
        }
        Err(problem) => return Err(problem),
    };
    let buckets = table.spec.buckets;
    if let Some(bucket) = params.bucket.filter(|bucket| bucket.0 >= buckets) {
        return Err(no_such_bucket(bucket, buckets));
    }
    // An expected offset is about where a stream begins; a retry may begin elsewhere in it.
    let bucket = params.bucket.map_or_else(String::new, |bucket| bucket.to_string());
    let expected = params.expected_offset.as_ref();
    Ok(Target {
        bucket: params.bucket,
        expected_offset: expected.map(|expected| expected.resolve(params.bucket, buckets)).transpose()?,
        timeout: params.timeout.unwrap_or(flight.options.request_deadline),
        patient: params.timeout.is_none(),
        created,
        meaning: format!("rows;format=flight;bucket={bucket};"),
        table,
    })
}

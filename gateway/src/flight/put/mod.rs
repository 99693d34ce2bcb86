//! DoPut: each record batch of a stream is one request.
//!
//! Invariants:
//! * batches go into the log in the stream's order: one is read only when the one before it has its place;
//! * the first batch that is refused ends the stream, and nothing behind it is written;
//! * a client that reads no acknowledgements is not waited for: the newest replaces those it has not read;
//! * memory is bounded: one batch is read at a time, and those in flight are bounded by count and bytes, and by the gateway's buffer.
//!
//! Start reading at [`put`]: it answers at once and leaves [`Put`] to drive the stream; [`intake`] reads it, [`memory`] counts what arrives.

mod acks;
mod intake;
pub(super) mod memory;

use std::sync::Arc;

use arrow_flight::{FlightData, PutResult};
use frazil_log::segment::batch_bytes;
use futures::future::{BoxFuture, OptionFuture};
use futures::stream::{FuturesOrdered, StreamExt, unfold};
use futures::{FutureExt, Stream};
use tokio::sync::watch;
use tonic::Streaming;
use tonic::metadata::MetadataMap;

use self::acks::Acks;
use self::intake::{Batch, Intake, Messages, Target};
use self::memory::Held;
use super::Flight;
use crate::app::{Ack, Admission, Produce, Producer};
use crate::error::{Kind, Problem};
use crate::http::request::params::producer;

/// The most batches of a stream that wait for their verdict.
const BATCHES_MAX: usize = 1024;

/// As many of an idempotent producer: so many answers are remembered for a retry.
const PRODUCER_BATCHES_MAX: usize = 64;

/// The most bytes of a stream that wait for their verdict, but always one batch.
const BYTES_MAX: usize = 64 << 20;

/// How far a stream has come.
#[derive(Clone, Debug, Default)]
struct Progress {
    acks: Acks,
    end: Option<Result<(), Problem>>,
}

/// Takes a stream, and answers with what becomes of it.
pub(super) fn put(
    flight: &Arc<Flight>,
    metadata: &MetadataMap,
    held: Option<Arc<Held>>,
    stream: Streaming<FlightData>,
) -> Result<impl Stream<Item = Result<PutResult, Problem>> + Send + use<>, Problem> {
    let producer = producer(&metadata.clone().into_headers())?;
    let (told, progress) = watch::channel(Progress::default());
    let put = Put { flight: Arc::clone(flight), producer, told };
    // The stream goes on while nobody reads its answer, and ends with it.
    let driver = AbortOnDrop(tokio::spawn(put.run(Messages::new(flight, stream, held))));
    let answers = Answers { progress, _driver: driver, told: None, ended: false };
    Ok(unfold(answers, |mut answers| async move {
        let answer = answers.next().await?;
        Some((answer, answers))
    }))
}

/// What the client is told, when it asks.
struct Answers {
    progress: watch::Receiver<Progress>,
    _driver: AbortOnDrop,
    /// Batches that the newest acknowledgement spoke of.
    told: Option<u64>,
    ended: bool,
}

struct AbortOnDrop(tokio::task::JoinHandle<()>);

impl Drop for AbortOnDrop {
    fn drop(&mut self) {
        self.0.abort();
    }
}

impl Answers {
    async fn next(&mut self) -> Option<Result<PutResult, Problem>> {
        loop {
            if self.ended {
                return None;
            }
            let progress = self.progress.borrow_and_update().clone();
            let news = progress.acks.batches > self.told.unwrap_or(0);
            match progress.end {
                Some(Ok(())) => self.ended = true,
                Some(Err(problem)) if !news => {
                    self.ended = true;
                    return Some(Err(problem));
                }
                _ => {}
            }
            if news || self.ended {
                self.told = Some(progress.acks.batches);
                return Some(Ok(PutResult { app_metadata: progress.acks.json().into() }));
            }
            if self.progress.changed().await.is_err() && self.progress.borrow().end.is_none() {
                self.ended = true; // the driver panicked
                return Some(Err(Problem::internal("the stream met a state that is not known")));
            }
        }
    }
}

/// Drives one stream.
struct Put {
    flight: Arc<Flight>,
    producer: Option<Producer>,
    told: watch::Sender<Progress>,
}

/// What became of a batch, and the bytes that it held.
type Verdict = (usize, Result<Ack, Problem>);

/// The batch that has no place yet: no other is read before it has.
type Entering = Option<BoxFuture<'static, ()>>;

impl Put {
    async fn run(self, stream: Messages) {
        let ended = self.drive(stream).await;
        self.told.send_modify(|progress| progress.end = Some(ended));
    }

    async fn drive(&self, stream: Messages) -> Result<(), Problem> {
        let Some((intake, target)) = Intake::open(stream, self.producer.is_some()).await? else {
            return Err(Problem::malformed("the stream is empty: it begins with a descriptor and a schema"));
        };
        self.told.send_modify(|progress| progress.acks = Acks::new(target.created.clone()));
        let mut in_flight: FuturesOrdered<BoxFuture<'static, Verdict>> = FuturesOrdered::new();
        let mut bytes = 0usize;
        let mut entering: Entering = None;
        let mut reading = Some(intake.next(Arc::clone(&target)).boxed());
        let (mut sent, mut done) = (0u64, 0u64);
        let batches_max = if self.producer.is_some() { PRODUCER_BATCHES_MAX } else { BATCHES_MAX };
        let mut refused = None;
        while reading.is_some() || !in_flight.is_empty() {
            let room = in_flight.len() < batches_max && (bytes < BYTES_MAX || in_flight.is_empty());
            // What an expected offset is about, the batches behind it are about too.
            let room = room && !(target.expected_offset.is_some() && sent == 1 && done == 0);
            let may_read = entering.is_none() && room;
            tokio::select! {
                biased;
                Some((held, verdict)) = in_flight.next() => {
                    let ack = verdict.map_err(|problem| problem.with("batch", done))?;
                    bytes -= held;
                    done += 1;
                    // Its place came before its verdict.
                    entering = entering.filter(|_| done < sent);
                    self.told.send_modify(|progress| progress.acks.add(&ack));
                }
                Some(()) = OptionFuture::from(entering.as_mut()) => entering = None,
                Some(read) = OptionFuture::from(reading.as_mut().filter(|_| may_read)) => {
                    reading = None;
                    let (intake, batch) = match read {
                        Ok(Some(read)) => read,
                        Ok(None) => continue,
                        // What was sent before it is written, and told first.
                        Err(problem) => {
                            refused = Some(problem.with("batch", sent));
                            continue;
                        }
                    };
                    let held = batch_bytes(&batch.rows);
                    let (request, admission) = (self.request(&target, batch, sent)?, Admission::default());
                    let told = admission.clone();
                    entering = Some(async move { told.told().await }.boxed());
                    let submitted = submit(Arc::clone(&self.flight), request, admission, target.patient);
                    in_flight.push_back(submitted.map(move |verdict| (held, verdict)).boxed());
                    bytes += held;
                    sent += 1;
                    reading = Some(intake.next(Arc::clone(&target)).boxed());
                }
            }
        }
        refused.map_or(Ok(()), Err)
    }

    fn request(&self, target: &Target, batch: Batch, number: u64) -> Result<Produce, Problem> {
        let producer = match &self.producer {
            None => None,
            Some(producer) => {
                let seq = producer.seq.checked_add(number);
                let seq = seq.ok_or_else(|| Problem::malformed("Producer-Seq: no sequence is that high"))?;
                Some(Producer { seq, ..producer.clone() })
            }
        };
        let table = &target.table;
        Ok(Produce {
            database: table.database.clone(),
            table: table.name.clone(),
            checked: Some((table.id, table.spec.schema.id)),
            create: None,
            batch: batch.rows,
            bucket: target.bucket,
            expected_offset: target.expected_offset.clone().filter(|_| number == 0),
            producer,
            request_hash: batch.hash,
            timeout: target.timeout,
            decode_time: batch.decode_time,
        })
    }
}

/// Brings a batch into the log. Where the buffer is full it waits, and with it the stream, unless the client said for how long.
async fn submit(
    flight: Arc<Flight>,
    request: Produce,
    admission: Admission,
    patient: bool,
) -> Result<Ack, Problem> {
    loop {
        match flight.app.produce_in_order(request.clone(), admission.clone()).await {
            Err(problem) if patient && problem.kind() == Kind::Overloaded => {}
            answer => return answer,
        }
    }
}

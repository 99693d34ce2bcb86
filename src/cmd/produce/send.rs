//! A batch, sent until it is acknowledged or refused.

use std::cell::{Cell, RefCell};
use std::fmt;
use std::time::Duration;

use reqwest::Method;
use serde::Deserialize;
use tokio::time::{Instant, sleep};

use super::Format;
use super::input::Batch;
use super::place::explain;
use crate::client::retry::{Decision, decide};
use crate::client::{Client, Failure, Request, TableName};

/// Sends the batches of one run under one producer.
#[derive(Debug)]
pub(super) struct Sender {
    client: Client,
    table: TableName,
    pub(super) producer_id: String,
    pub(super) producer_epoch: u64,
    timeout: Duration,
    /// All sequence numbers below this one are acknowledged.
    acked: Cell<u64>,
    progress_at: Cell<Instant>,
    retries: Cell<u64>,
    /// Why nothing moves, while nothing does.
    trouble: RefCell<Option<String>>,
}

/// A batch that is durable.
#[derive(Clone, Debug)]
pub(super) struct Sent {
    pub(super) ack: Ack,
    /// Bytes of the body.
    pub(super) bytes: u64,
    /// From the first attempt to the answer.
    pub(super) took: Duration,
}

/// What the gateway answers.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(default)]
pub(super) struct Ack {
    pub(super) rows: u64,
    pub(super) slot: Option<u64>,
    pub(super) duplicate: bool,
    pub(super) created: Option<String>,
    pub(super) buckets: Option<Vec<BucketRange>>,
}

/// The offsets of a batch's rows in one bucket.
#[derive(Clone, Copy, Debug, Default, PartialEq, Deserialize)]
#[serde(default)]
pub(super) struct BucketRange {
    pub(super) bucket: u32,
    pub(super) start: u64,
    pub(super) end: u64,
}

/// Why a run ended before its file.
#[derive(Debug)]
pub(super) enum Stopped {
    /// The file cannot be read or cut.
    Input(anyhow::Error),
    /// A batch was refused, or could not be brought to anyone.
    Batch { batch: Batch, failure: Failure },
    /// No acknowledgement came for too long.
    TimedOut { after: Duration, last: Failure },
    /// The gateway does not know what it acknowledged.
    Forgotten { expected: u64, acked: u64 },
    /// ctrl-c.
    Interrupted,
}

impl Sender {
    pub(super) fn new(
        client: Client,
        table: TableName,
        producer_id: String,
        producer_epoch: u64,
        timeout: Duration,
    ) -> Self {
        Self {
            client,
            table,
            producer_id,
            producer_epoch,
            timeout,
            acked: Cell::new(0),
            progress_at: Cell::new(Instant::now()),
            retries: Cell::new(0),
            trouble: RefCell::new(None),
        }
    }

    /// How often something was sent again.
    pub(super) fn retries(&self) -> u64 {
        self.retries.get()
    }

    /// Why nothing moves, if nothing does.
    pub(super) fn trouble(&self) -> Option<String> {
        self.trouble.borrow().clone()
    }

    /// Sends a batch until there is a verdict.
    pub(super) async fn send(&self, seq: u64, batch: Batch, create: bool) -> Result<Sent, Stopped> {
        let request = self.request(seq, &batch, create);
        let started = Instant::now();
        if seq == 0 {
            self.progress_at.set(started);
        }
        let mut attempt = 0_u32;
        loop {
            attempt = attempt.saturating_add(1);
            let failure = match self.attempt(&request).await {
                Ok(ack) => {
                    self.note_progress(seq);
                    let bytes = batch.body.len() as u64;
                    return Ok(Sent { ack, bytes, took: started.elapsed() });
                }
                Err(failure) => failure,
            };
            let nobody_there = matches!(failure, Failure::Unreachable { .. }) && seq == 0 && attempt == 1;
            let Decision::Again(pause) = decide(&failure, attempt) else {
                return Err(Stopped::Batch { batch, failure });
            };
            if nobody_there {
                return Err(Stopped::Batch { batch, failure });
            }
            if let Some(expected) = gap(&failure)
                && expected < self.acked.get()
            {
                return Err(Stopped::Forgotten { expected, acked: self.acked.get() });
            }
            if self.progress_at.get().elapsed() > self.timeout {
                return Err(Stopped::TimedOut { after: self.timeout, last: failure });
            }
            self.retries.set(self.retries.get() + 1);
            if gap(&failure).is_none() {
                *self.trouble.borrow_mut() = Some(failure.to_string());
            }
            // Many producers that met the same trouble do not come back at the same moment.
            sleep(pause.mul_f64(rand::random_range(1.0..1.25))).await;
        }
    }

    async fn attempt(&self, request: &Request) -> Result<Ack, Failure> {
        let answer = self.client.send(request).await?;
        let strange = |error| Failure::Strange(format!("the acknowledgement makes no sense: {error}"));
        serde_json::from_slice(&answer.body).map_err(strange)
    }

    fn request(&self, seq: u64, batch: &Batch, create: bool) -> Request {
        let content_type = match batch.format {
            Format::Ndjson => "application/x-ndjson",
            Format::Json => "application/json",
            Format::Arrow => "application/vnd.apache.arrow.stream",
            Format::Csv => "text/csv",
        };
        let request = self.client.request(Method::POST, &self.table.path(&["rows"]));
        let request = if create { request.query("create", "true") } else { request };
        request
            .header("producer-id", &self.producer_id)
            .header("producer-epoch", &self.producer_epoch.to_string())
            .header("producer-seq", &seq.to_string())
            .body(content_type, batch.body.clone())
    }

    fn note_progress(&self, seq: u64) {
        // A sequence number is only taken behind its predecessor: all before it are in.
        self.acked.set(self.acked.get().max(seq + 1));
        self.progress_at.set(Instant::now());
        *self.trouble.borrow_mut() = None;
    }
}

/// The sequence number that the gateway waits for.
fn gap(failure: &Failure) -> Option<u64> {
    failure.problem().filter(|problem| problem.slug() == "sequence-gap")?.number("expected")
}

impl Stopped {
    /// The message; `name` is the file's.
    pub(super) fn told(&self, name: &str) -> String {
        match self {
            Self::Batch { batch, failure } => explain(name, batch, failure),
            other => other.to_string(),
        }
    }
}

impl fmt::Display for Stopped {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Input(error) => write!(f, "{error:#}"),
            Self::Batch { failure, .. } => failure.fmt(f),
            Self::TimedOut { after, last } => {
                let after = humantime::format_duration(*after);
                write!(f, "nothing was acknowledged for {after}; the last attempt: {last}")
            }
            Self::Forgotten { expected, acked } => write!(
                f,
                "the gateway expects Producer-Seq {expected}, though all below {acked} were acknowledged: \
                 it forgot this producer, or speaks for another store now; check before sending more"
            ),
            Self::Interrupted => f.write_str("interrupted"),
        }
    }
}

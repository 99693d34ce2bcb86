//! A gateway's process: the real replica, ingress and committer behind a simulated door.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use arrow::array::{ArrayRef, Int64Array, StringArray, new_null_array};
use arrow::record_batch::RecordBatch;
use frazil_gateway::consume::tail::{TailMetrics, TailRing};
use frazil_gateway::memory::Share;
use frazil_gateway::metrics::Metrics;
use frazil_gateway::peers::transport::Transport;
use frazil_gateway::produce::accumulator::Limits;
use frazil_gateway::produce::flush::{Act, BucketRows};
use frazil_gateway::produce::health::Health;
use frazil_gateway::produce::ingress::{Answer, Failure, Ingress, IngressOptions, Request};
use frazil_log::commit::create::create_log;
use frazil_log::commit::replica::Replica;
use frazil_log::error::{Error, ErrorKind};
use frazil_log::format::commit::ProducerStamp;
use frazil_log::format::entry::Entry;
use frazil_log::format::positions::{ExpectedPosition, StoredPosition};
use frazil_log::format::slice::Codec;
use frazil_log::id::{Bucket, Name, Offset};
use frazil_log::schema::arrow_form::arrow_schema;
use frazil_log::state::tables::Table;
use frazil_log::state::verdict::{Acceptance, Refusal};
use parking_lot::Mutex;
use tokio::sync::oneshot;
use tokio::time::{Instant, sleep};

use crate::client::Gateways;
use crate::history::ROWS_MAX;
use crate::history::violation::Kind;
use crate::node::Process;
use crate::node::network::Network;

/// The tail ring's size: room for a few flushes, so that it has to let go.
const TAIL_BYTES_MAX: usize = 32 << 10;

/// How often a request finds that its group came or went meanwhile.
const GENERATIONS_TRIED_MAX: usize = 5;

/// Rows of a request for one table.
#[derive(Clone, Debug)]
pub(crate) struct Part {
    /// The table.
    pub(crate) table: Name,
    /// The bucket; none: the gateway's sticky one.
    pub(crate) bucket: Option<u32>,
    /// How many rows.
    pub(crate) rows: u64,
    /// Taken only at this offset.
    pub(crate) expected: Option<Offset>,
}

/// The content of a request: the same bytes at each try.
#[derive(Clone, Debug)]
pub(crate) struct Content {
    /// Its number in the history.
    pub(crate) uid: u64,
    /// Its rows.
    pub(crate) parts: Vec<Part>,
    /// Where a group stands from then on.
    pub(crate) stands: Option<Stands>,
    /// Bytes of padding a row.
    pub(crate) pad: usize,
}

/// A position that a request stores in a group.
#[derive(Clone, Debug)]
pub(crate) struct Stands {
    /// The group.
    pub(crate) group: Name,
    /// The table.
    pub(crate) table: Name,
    /// The bucket.
    pub(crate) bucket: u32,
    /// Its offset.
    pub(crate) offset: Offset,
    /// What must be stored before.
    pub(crate) expected: ExpectedPosition,
}

/// What a client hears.
#[derive(Clone, Debug)]
pub(crate) enum Heard {
    /// Taken.
    Acked(Acceptance),
    /// Taken once; offsets forgotten.
    Forgotten,
    /// Refused by the log.
    Refused(Refusal),
    /// A gap: nothing was proposed.
    Gap,
    /// Nothing was proposed.
    NotWritten,
    /// Maybe.
    Unknown,
}

/// A running gateway.
#[derive(Clone, Debug)]
pub(crate) struct Gateway {
    /// Its process.
    pub(crate) process: Process,
    ingress: Arc<Mutex<Option<Ingress>>>,
    sticky: u64,
}

/// How gateways of a run are set up.
#[derive(Clone, Debug)]
pub(crate) struct GatewayOptions {
    /// Slots in flight.
    pub(crate) flights_max: usize,
    /// Rows up to so many bytes travel inside the commit.
    pub(crate) inline_bytes_max: u64,
    /// Whether it writes checkpoints.
    pub(crate) checkpoints: bool,
    /// Whether gateways reach each other.
    pub(crate) peers: bool,
}

impl Gateway {
    /// Starts one; it is ready some time later.
    pub(crate) fn start(process: Process, gateways: Gateways, options: &GatewayOptions, sticky: u64) -> Self {
        let gateway = Self { process, ingress: Arc::default(), sticky };
        let (own, options) = (gateway.clone(), options.clone());
        gateway.process.env.spawn(async move { own.open(options, gateways).await });
        gateway
    }

    async fn open(self, options: GatewayOptions, gateways: Gateways) {
        let process = &self.process;
        let writer = process.writer();
        let incarnation = writer.incarnation;
        let replica = loop {
            match self.open_replica(&writer).await {
                Ok(replica) => break replica,
                Err(error) => {
                    if !error.is_retryable() {
                        return self.stopped("opening", &error);
                    }
                    sleep(Duration::from_secs(1)).await;
                }
            }
        };
        let ingress_options = IngressOptions {
            limits: Limits { flush_bytes_max: 4 << 10, ..Limits::default() },
            inline_bytes_max: options.inline_bytes_max,
            buffer: Share::new(1 << 20),
            buffer_wait_max: Duration::from_secs(5),
            committer: Process::committer_options(options.flights_max),
            peers: options
                .peers
                .then(|| Arc::new(Network::new(process.clone(), gateways)) as Arc<dyn Transport>),
        };
        let health = Arc::new(Health::new(process.env.clone()));
        let tail = TailRing::new(TAIL_BYTES_MAX, TailMetrics::default());
        let ingress =
            Ingress::start(replica.clone(), writer, ingress_options, health, Metrics::default(), tail);
        process.world.note("gateway ready", process.node as u64, replica.next(), || {
            format!("node {} at slot {}", process.node, replica.next())
        });
        *self.ingress.lock() = Some(ingress);
        if options.checkpoints {
            replica.keep_checkpointing(incarnation, false).await;
        }
    }

    async fn open_replica(&self, writer: &frazil_log::format::commit::WriterInfo) -> Result<Replica, Error> {
        let process = &self.process;
        let world = &process.world;
        create_log(&process.store, &world.database, &process.env, writer).await?;
        Replica::open(
            process.store.clone(),
            world.database.clone(),
            process.env.clone(),
            world.protocol.clone(),
        )
        .await
    }

    /// An error that no fault of the store explains.
    pub(crate) fn stopped(&self, doing: &str, error: &Error) {
        if matches!(
            error.kind(),
            ErrorKind::Internal
                | ErrorKind::Diverged
                | ErrorKind::Corrupt
                | ErrorKind::NotFound
                | ErrorKind::Unsupported
        ) {
            let words = format!("node {} {doing}: {:?} {error}", self.process.node, error.kind());
            self.process.world.violate(Kind::Stopped, words);
        }
    }

    /// Its ingress, once it is ready.
    pub(crate) fn ingress(&self) -> Option<Ingress> {
        self.ingress.lock().clone()
    }

    /// Whether it is ready and runs.
    pub(crate) fn serves(&self) -> bool {
        self.process.runs() && self.ingress.lock().is_some()
    }

    /// Sends it a request.
    pub(crate) fn submit(
        &self,
        content: Content,
        producer: Option<ProducerStamp>,
        deadline: Duration,
    ) -> oneshot::Receiver<Heard> {
        self.process.world.history.lock().sent(content.uid, self.process.node);
        let gateway = self.clone();
        self.process.run(async move {
            let Some(ingress) = gateway.ingress() else { return Heard::NotWritten };
            let bytes = content.parts.iter().map(|part| part.rows).sum::<u64>() * (content.pad as u64 + 16);
            let deadline = Instant::now() + deadline;
            for _ in 0..GENERATIONS_TRIED_MAX {
                let acts = match gateway.acts(&ingress, &content).await {
                    Ok(acts) => acts,
                    Err(heard) => return heard,
                };
                let request = Request {
                    acts,
                    request_hash: if producer.is_some() { u128::from(content.uid) } else { 0 },
                    producer: producer.clone(),
                    bytes: usize::try_from(bytes).unwrap_or(usize::MAX),
                    deadline,
                };
                let heard = gateway.heard(ingress.submit(request).await);
                // The group came or went meanwhile: its generation is looked up again, as the door of `/write` does.
                if !matches!(heard, Heard::Refused(Refusal::GroupGeneration { .. })) {
                    return heard;
                }
            }
            Heard::NotWritten
        })
    }

    /// Puts anything without rows into the log.
    pub(crate) fn submit_act(
        &self,
        act: impl FnOnce(&Ingress) -> Option<Act> + Send + 'static,
        deadline: Duration,
    ) -> oneshot::Receiver<Heard> {
        let gateway = self.clone();
        self.process.run(async move {
            let Some(ingress) = gateway.ingress() else { return Heard::NotWritten };
            let Some(act) = act(&ingress) else { return Heard::NotWritten };
            let deadline = Instant::now() + deadline;
            let request = Request { acts: vec![act], producer: None, request_hash: 0, bytes: 256, deadline };
            gateway.heard(ingress.submit(request).await)
        })
    }

    fn heard(&self, outcome: Result<Answer, Failure>) -> Heard {
        match outcome {
            Ok(Answer::Accepted { acceptance, duplicate }) => {
                if duplicate {
                    self.process.world.note("duplicate answered", 0, 0, String::new);
                }
                Heard::Acked(acceptance)
            }
            Ok(Answer::Forgotten) => Heard::Forgotten,
            Err(Failure::Refused(refusal)) => Heard::Refused(refusal),
            Err(Failure::Gap { expected }) => {
                self.process.world.note("gap at the door", expected, 0, String::new);
                Heard::Gap
            }
            Err(Failure::ReadOnly(_)) => {
                self.process.world.note("read-only", 0, 0, String::new);
                Heard::NotWritten
            }
            Err(Failure::Overloaded | Failure::Draining | Failure::NotProposed) => Heard::NotWritten,
            Err(Failure::Unknown) => Heard::Unknown,
            Err(Failure::Failed(error)) => {
                self.stopped("writing", &error);
                Heard::Unknown
            }
        }
    }

    /// A request's rows as the gateway's door would make them.
    pub(crate) async fn acts(&self, ingress: &Ingress, content: &Content) -> Result<Vec<Act>, Heard> {
        let mut acts = Vec::with_capacity(content.parts.len());
        let mut first = content.uid * ROWS_MAX;
        for part in &content.parts {
            let table = match named(ingress, &part.table) {
                Some(table) => table,
                None => {
                    let confirmed = ingress.replica().confirm_tail().await;
                    confirmed.map_err(|error| {
                        self.stopped("confirming the tail", &error);
                        Heard::NotWritten
                    })?;
                    named(ingress, &part.table).ok_or(Heard::NotWritten)?
                }
            };
            acts.push(Act::Append(self.rows(&table, part, first, content.pad)));
            first += part.rows;
        }
        if let Some(stands) = &content.stands {
            acts.push(Act::Entry(stands.entry(ingress).ok_or(Heard::NotWritten)?));
        }
        Ok(acts)
    }

    fn rows(&self, table: &Table, part: &Part, first: u64, pad: usize) -> BucketRows {
        let ids = (first..first + part.rows).map(|id| i64::try_from(id).unwrap_or(i64::MAX));
        let ids: ArrayRef = Arc::new(Int64Array::from_iter_values(ids));
        let pads = (0..part.rows).map(|_| "p".repeat(pad));
        let pads: ArrayRef = Arc::new(StringArray::from_iter_values(pads));
        let schema = arrow_schema(&table.spec.schema);
        let others = schema.fields().iter().skip(2).map(|field| new_null_array(field.data_type(), ids.len()));
        let columns = [Arc::clone(&ids), pads].into_iter().chain(others).collect();
        let rows = RecordBatch::try_new(Arc::clone(&schema), columns);
        let sticky = u32::try_from(self.sticky % u64::from(table.spec.buckets.max(1))).unwrap_or(0);
        BucketRows {
            table: table.id,
            bucket: Bucket(part.bucket.unwrap_or(sticky)),
            schema: table.spec.schema.id,
            columns: table.spec.schema.columns.iter().map(|column| column.id).collect(),
            codec: Codec::None,
            rows: rows.expect("columns of the table's types"),
            expected_offset: part.expected,
        }
    }
}

impl Stands {
    /// For the group as this gateway knows it.
    fn entry(&self, ingress: &Ingress) -> Option<Entry> {
        let table = named(ingress, &self.table)?.id;
        let position = StoredPosition {
            table,
            offsets: BTreeMap::from([(Bucket(self.bucket), self.offset)]),
            expected: self.expected.clone(),
        };
        let generation = ingress.replica().fold().state.groups().generation(&self.group);
        Some(Entry::PositionsStored { group: self.group.clone(), generation, positions: vec![position] })
    }
}

fn named(ingress: &Ingress, name: &Name) -> Option<Table> {
    ingress.replica().fold().state.tables().named(name).cloned()
}

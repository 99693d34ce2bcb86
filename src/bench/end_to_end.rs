//! From an acknowledgement to a follower on another gateway: two gateways on one store, real sockets between them, beside raw PUTs of the
//! same run.
//!
//! Both gateways are in this process, so that they share one store and its played latency; what they tell each other goes over gRPC as
//! between machines. A second run has a follower that hears no pushes: what is left then is the poll.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, anyhow};
use arrow::array::{Int64Array, RecordBatch};
use async_trait::async_trait;
use frazil_gateway::app::{Application, Consume, Produce};
use frazil_gateway::consume::position::From;
use frazil_gateway::consume::reader::OutputColumn;
use frazil_gateway::consume::tail::{TailMetrics, TailRing};
use frazil_gateway::http;
use frazil_gateway::memory::{Ledger, Share};
use frazil_gateway::metrics::Metrics;
use frazil_gateway::peers::grpc::GrpcTransport;
use frazil_gateway::peers::message::{ProposeAnswer, ProposeRequest, TailRequest};
use frazil_gateway::peers::transport::{Pushes, Transport, Unreachable};
use frazil_gateway::produce::ingress::IngressOptions;
use frazil_gateway::server;
use frazil_gateway::service::{Gateway, Parts};
use frazil_log::commit::index::PageCache;
use frazil_log::env::Env;
use frazil_log::format::commit::WriterInfo;
use frazil_log::id::Name;
use frazil_log::protocol::Protocol;
use frazil_log::schema::arrow_form::arrow_schema;
use frazil_log::schema::ensure::{TableRequest, build};
use frazil_log::store::{CreateOutcome, Path, PutPayload, Store};
use prometheus_client::registry::Registry;
use serde::Serialize;
use tokio::net::TcpListener;
use tokio::sync::mpsc;
use tokio::time::{Instant, sleep, sleep_until};

use super::latency::{Latencies, Summary};

/// How long a request may take.
const DEADLINE: Duration = Duration::from_secs(25);

/// How long a follower waits for rows at a time.
const WAIT: Duration = Duration::from_secs(10);

/// Rows that are not seen so long after the last was written are lost.
const SEEN_MAX: Duration = Duration::from_secs(10);

/// Before the first row that counts: connections, the first subscription.
const WARM_UP: Duration = Duration::from_secs(3);

const TAIL_BYTES_MAX: usize = 64 << 20;

const READ_BYTES_MAX: usize = 64 << 20;

/// What was measured.
#[derive(Debug, Serialize)]
pub(crate) struct Report {
    /// The store in words.
    pub(crate) store: String,
    /// With pushes, then without.
    pub(crate) runs: Vec<Run>,
}

/// One run.
#[derive(Debug, Serialize)]
pub(crate) struct Run {
    /// Whether the leader's pushes came through.
    pub(crate) pushed: bool,
    /// From the acknowledgement until the row was seen.
    pub(crate) seen: Summary,
    /// Acknowledgements.
    pub(crate) ack: Summary,
    /// Raw PUTs beside them.
    pub(crate) raw: Summary,
    /// seen ÷ raw, at the median.
    pub(crate) p50_ratio: f64,
}

/// Measures both, and removes what was written.
pub(crate) async fn measure(store: &Store, run: Duration, rate: f64) -> anyhow::Result<Report> {
    let env = Env::system();
    let mut runs = Vec::new();
    for pushed in [true, false] {
        let database = super::fresh_database("bench", env.ulid())?;
        let measured = tokio::select! {
            biased;
            _ = tokio::signal::ctrl_c() => Err(anyhow!("interrupted")),
            measured = measure_in(store, &database, &env, pushed, (run, rate)) => measured,
        };
        let removed = super::remove(store, &database).await;
        runs.push(measured?);
        removed.with_context(|| format!("removing what lies below {database}/"))?;
    }
    Ok(Report { store: store.description().to_owned(), runs })
}

/// A way to other gateways on which no push comes.
#[derive(Debug)]
struct Deaf(GrpcTransport);

#[async_trait]
impl Transport for Deaf {
    async fn propose(&self, address: &str, request: ProposeRequest) -> Result<ProposeAnswer, Unreachable> {
        self.0.propose(address, request).await
    }

    async fn tail(&self, address: &str, _: TailRequest) -> Result<Pushes, Unreachable> {
        Err(Unreachable(format!("{address}: pushes are lost on purpose")))
    }

    async fn drain(&self, address: &str) -> Result<(), Unreachable> {
        self.0.drain(address).await
    }
}

async fn gateway(store: &Store, env: &Env, pushed: bool) -> anyhow::Result<Gateway> {
    let listener = TcpListener::bind(SocketAddr::from(([127, 0, 0, 1], 0))).await?;
    let address = listener.local_addr()?.to_string();
    let transport = GrpcTransport::new(None).map_err(|error| anyhow!("{error}"))?;
    let peers: Arc<dyn Transport> = if pushed { Arc::new(transport) } else { Arc::new(Deaf(transport)) };
    let gateway = Gateway::new(Parts {
        store: store.clone(),
        env: env.clone(),
        protocol: Protocol::SHIPPED,
        writer: WriterInfo {
            incarnation: env.ulid(),
            version: env!("CARGO_PKG_VERSION").to_owned(),
            address,
            zone: String::new(),
            put_p99_us: 0,
        },
        ingress: IngressOptions { peers: Some(peers), ..IngressOptions::default() },
        reads: Share::new(READ_BYTES_MAX),
        pages: PageCache::default(),
        memory: Ledger::default(),
        registry: Arc::new(Registry::default()),
        metrics: Metrics::default(),
        tail: TailRing::new(TAIL_BYTES_MAX, TailMetrics::default()),
    });
    let options = http::Options { member: Some(Arc::new(gateway.clone())), ..http::Options::default() };
    let router = http::router(Arc::new(gateway.clone()), env, options);
    env.spawn(server::serve(listener, router, std::future::pending()));
    Ok(gateway)
}

async fn measure_in(
    store: &Store,
    database: &Name,
    env: &Env,
    pushed: bool,
    (run, rate): (Duration, f64),
) -> anyhow::Result<Run> {
    let (leader, follower) = (gateway(store, env, true).await?, gateway(store, env, pushed).await?);
    leader.ensure_database(database).await?;
    let name = Name::new("rows")?;
    let request = TableRequest { columns: Some("id BIGINT NOT NULL".to_owned()), ..TableRequest::default() };
    leader.ensure_table(database, &name, build(&request)?).await?;
    let (seen, mut seen_at) = mpsc::unbounded_channel();
    let following = follow(follower, database.clone(), name.clone(), seen);
    let writing = async {
        let mut writer = Writer::new(leader, store.clone(), database.clone(), name)?;
        writer.write_for(WARM_UP, rate, false).await?;
        writer.write_for(run, rate, true).await?;
        sleep(WAIT.min(SEEN_MAX) / 4).await;
        anyhow::Ok(writer)
    };
    let writer = tokio::select! {
        biased;
        written = writing => written?,
        failed = following => return Err(failed),
    };
    let mut first_seen: BTreeMap<i64, Instant> = BTreeMap::new();
    while let Ok((id, at)) = seen_at.try_recv() {
        first_seen.entry(id).or_insert(at);
    }
    let mut seen = Latencies::new()?;
    for (id, acked) in &writer.acked {
        // A row may be seen before its own client hears of it.
        seen.add(
            first_seen.get(id).map(|at| at.saturating_duration_since(*acked).max(Duration::from_micros(1))),
        );
    }
    let (seen, ack, raw) = (seen.summary(), writer.acks.summary(), writer.raws.summary());
    let p50_ratio = seen.p50_ms / raw.p50_ms;
    Ok(Run { pushed, seen, ack, raw, p50_ratio })
}

struct Writer {
    gateway: Gateway,
    store: Store,
    database: Name,
    table: Name,
    next: i64,
    acked: Vec<(i64, Instant)>,
    acks: Latencies,
    raws: Latencies,
}

impl Writer {
    fn new(gateway: Gateway, store: Store, database: Name, table: Name) -> anyhow::Result<Self> {
        let (acks, raws) = (Latencies::new()?, Latencies::new()?);
        Ok(Self { gateway, store, database, table, next: 0, acked: Vec::new(), acks, raws })
    }

    /// One row after the other at a fixed rate, and a raw PUT after each.
    async fn write_for(&mut self, time: Duration, rate: f64, counts: bool) -> anyhow::Result<()> {
        let until = Instant::now() + time;
        let mut start = Instant::now();
        while start < until {
            sleep_until(start).await;
            let (id, began) = (self.next, Instant::now());
            self.next += 1;
            self.produce(id).await?;
            let acked = Instant::now();
            if counts {
                self.acks.add(Some(acked - began));
                self.acked.push((id, acked));
            }
            let took = self.raw(id).await;
            if counts {
                self.raws.add(took);
            }
            start = (start + Duration::from_secs_f64(1.0 / rate)).max(Instant::now());
        }
        Ok(())
    }

    async fn produce(&self, id: i64) -> anyhow::Result<()> {
        let known = self.gateway.table(&self.database, &self.table).await?;
        let schema = Arc::new(arrow_schema(&known.spec.schema).as_ref().clone());
        let batch = RecordBatch::try_new(schema, vec![Arc::new(Int64Array::from(vec![id]))])?;
        let request = Produce {
            database: self.database.clone(),
            table: self.table.clone(),
            checked: Some((known.id, known.spec.schema.id)),
            create: None,
            batch,
            bucket: None,
            expected_offset: None,
            producer: None,
            request_hash: 0,
            timeout: DEADLINE,
            decode_time: Duration::ZERO,
        };
        self.gateway.produce(request).await?;
        Ok(())
    }

    async fn raw(&self, id: i64) -> Option<Duration> {
        let path = Path::from(format!("{}/raw/{id:020}", self.database));
        let began = Instant::now();
        match self.store.create_if_absent(&path, PutPayload::from(vec![0; 1 << 10])).await {
            CreateOutcome::Committed => Some(began.elapsed()),
            _ => None,
        }
    }
}

/// Reads on for ever; tells each row when it is here. Returns what went wrong.
async fn follow(
    gateway: Gateway,
    database: Name,
    table: Name,
    seen: mpsc::UnboundedSender<(i64, Instant)>,
) -> anyhow::Error {
    let mut from = From::Earliest;
    loop {
        let page = async {
            let known = gateway.table(&database, &table).await?;
            let request = Consume {
                database: database.clone(),
                table: table.clone(),
                id: known.id,
                schema: known.spec.schema.id,
                columns: vec![OutputColumn::User(0)],
                from: from.clone(),
                bucket: None,
                limit: 1_000,
                bytes_max: 1 << 20,
                wait: WAIT,
                filter: None,
                group: None,
            };
            gateway.consume(request).await
        };
        match page.await {
            Err(problem) => return anyhow!("{problem}"),
            Ok(page) => {
                let now = Instant::now();
                for batch in &page.batches {
                    let ids = batch.column(0).as_any().downcast_ref::<Int64Array>();
                    let ids = ids.into_iter().flat_map(|ids| ids.values().iter());
                    for id in ids {
                        if seen.send((*id, now)).is_err() {
                            return anyhow!("nobody counts any more");
                        }
                    }
                }
                from = From::Position(page.next);
            }
        }
    }
}

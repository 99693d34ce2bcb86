//! Acknowledgements beside raw create-only PUTs of the same size: same store, same wrapper, same run, turn by turn.
//!
//! *Open loop*: requests start at a fixed rate whatever became of the ones before, and are measured from when they should have
//! started. *Closed loop*: one client that waits for each answer; with the default budget of slot PUTs, and without one.

use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, anyhow, ensure};
use arrow::array::{Int64Array, RecordBatch, StringArray};
use frazil_gateway::consume::tail::{TailMetrics, TailRing};
use frazil_gateway::metrics::Metrics;
use frazil_gateway::produce::accumulator::Limits;
use frazil_gateway::produce::flush::{Act, BucketRows};
use frazil_gateway::produce::health::Health;
use frazil_gateway::produce::ingress::{Answer, Ingress, IngressOptions, Request};
use frazil_log::commit::create::create_log;
use frazil_log::commit::replica::Replica;
use frazil_log::env::Env;
use frazil_log::format::entry::Entry;
use frazil_log::id::{Bucket, Name, Slot, TableId};
use frazil_log::protocol::Protocol;
use frazil_log::schema::TableSpec;
use frazil_log::schema::arrow_form::arrow_schema;
use frazil_log::schema::ensure::{TableRequest, build};
use frazil_log::schema::options::Options as TableOptions;
use frazil_log::store::{CreateOutcome, Metered, Metrics as StoreMetrics, Path, PutPayload, Store, paths};
use rand::rngs::StdRng;
use rand::{Rng, RngCore, SeedableRng};
use serde::Serialize;
use tokio::sync::mpsc;
use tokio::time::{Instant, sleep, sleep_until};

use super::latency::{Latencies, Summary};

/// What S3 asks for a thousand PUTs, in dollars.
pub(crate) const DOLLARS_PER_1000_PUTS: f64 = 0.005;

/// Thirty days.
pub(crate) const SECONDS_A_MONTH: f64 = 2_592_000.0;

/// How long a request may take.
const DEADLINE: Duration = Duration::from_secs(25);

/// The pause before a raw PUT that was not answered is sent again: the committer's own.
const RETRY_PAUSE: Duration = Duration::from_millis(50);

/// A timer is this coarse: the rest of the way to a start is waited for by yielding.
const TIMER_SLACK: Duration = Duration::from_millis(2);

/// What "without a budget" means, in slot PUTs a second.
const NO_BUDGET: f64 = 1e6;

/// What to measure.
#[derive(Clone, Debug)]
pub(crate) struct Options {
    /// How long each run takes.
    pub(crate) run: Duration,
    /// Requests a second of the open loop.
    pub(crate) rate: f64,
    /// Bytes of a row's payload, which do not compress.
    pub(crate) row_bytes: usize,
    /// Whether a start is met to the microsecond, by yielding; timers alone are a millisecond or two late.
    pub(crate) exact_starts: bool,
}

/// What was measured.
#[derive(Debug, Serialize)]
pub(crate) struct Report {
    /// The store in words.
    pub(crate) store: String,
    /// Bytes of a commit object, and so of a raw PUT.
    pub(crate) object_bytes: u64,
    /// What the dollars are reckoned with.
    pub(crate) dollars_per_1000_puts: f64,
    /// What the dollars are reckoned with.
    pub(crate) seconds_a_month: f64,
    /// The runs.
    pub(crate) runs: Vec<Run>,
}

/// One run.
#[derive(Debug, Serialize)]
pub(crate) struct Run {
    /// Which.
    pub(crate) run: String,
    /// The budget of slot PUTs a second; none: without.
    pub(crate) budget_puts_per_second: Option<f64>,
    /// Acknowledgements, through the whole path.
    pub(crate) ack: Summary,
    /// Raw PUTs.
    pub(crate) raw: Summary,
    /// ack ÷ raw
    pub(crate) p50_ratio: f64,
    /// ack ÷ raw
    pub(crate) p99_ratio: f64,
    /// ack − raw
    pub(crate) p50_difference_ms: f64,
    /// ack − raw
    pub(crate) p99_difference_ms: f64,
    /// Slot PUTs for each acknowledgement.
    pub(crate) puts_per_ack: f64,
    /// All requests to the store, reads and second copies too, for each acknowledgement.
    pub(crate) requests_per_ack: f64,
    /// All requests for each raw PUT: more than one where it was refused and sent again.
    pub(crate) requests_per_raw: f64,
    /// Late PUTs that were sent a second time.
    pub(crate) hedges_sent: u64,
    /// Second copies that were answered first.
    pub(crate) hedges_won: u64,
    /// Slot PUTs a second of a client that does nothing but this.
    pub(crate) puts_per_second: f64,
    /// What they cost.
    pub(crate) dollars_a_month: f64,
}

/// Measures, and removes what it wrote.
pub(crate) async fn measure(store: &Store, options: &Options, env: &Env) -> anyhow::Result<Report> {
    let database = super::fresh_database("bench", env.ulid())?;
    let measured = tokio::select! {
        biased;
        _ = tokio::signal::ctrl_c() => Err(anyhow!("interrupted")),
        measured = measure_in(store, &database, env, options) => measured,
    };
    let removed = super::remove(store, &database)
        .await
        .with_context(|| format!("removing what lies below {database}/"));
    let report = measured?;
    removed?;
    Ok(report)
}

async fn measure_in(store: &Store, database: &Name, env: &Env, options: &Options) -> anyhow::Result<Report> {
    let mut bench = Bench::open(store, database, env, options).await?;
    let runs = vec![
        bench.open_loop().await?,
        bench.closed_loop(Limits::default()).await?,
        bench.closed_loop(no_budget()).await?,
    ];
    Ok(Report {
        store: store.description().to_owned(),
        object_bytes: u64::try_from(bench.raw_payload.len())?,
        dollars_per_1000_puts: DOLLARS_PER_1000_PUTS,
        seconds_a_month: SECONDS_A_MONTH,
        runs,
    })
}

fn no_budget() -> Limits {
    Limits { slot_puts_per_second: NO_BUDGET, slot_puts_burst: NO_BUDGET, ..Limits::default() }
}

/// A store, and what was sent to it.
#[derive(Clone)]
struct Counted {
    store: Store,
    sent: StoreMetrics,
}

impl Counted {
    fn new(store: &Store) -> Self {
        let sent = StoreMetrics::default();
        let counts = sent.clone();
        Self { store: store.clone().wrapped(|inner| Arc::new(Metered::new(inner, counts))), sent }
    }
}

struct Bench {
    replica: Replica,
    acks: Counted,
    raws: Counted,
    spec: TableSpec,
    options: Options,
    raw_payload: bytes::Bytes,
    raw_prefix: Path,
    sent: u64,
}

const TABLE: TableId = TableId(1);

impl Bench {
    async fn open(store: &Store, database: &Name, env: &Env, options: &Options) -> anyhow::Result<Self> {
        create_log(store, database, env, &super::writer(env)).await?;
        let (acks, raws) = (Counted::new(store), Counted::new(store));
        let replica =
            Replica::open(acks.store.clone(), database.clone(), env.clone(), Protocol::SHIPPED).await?;
        let columns = Some("id BIGINT NOT NULL, body STRING NOT NULL".to_owned());
        let spec = build(&TableRequest { columns, ..TableRequest::default() })?;
        let raw_prefix = Path::from(format!("{database}/raw"));
        let options = options.clone();
        let mut bench = Self {
            replica,
            acks,
            raws,
            spec,
            options,
            raw_payload: bytes::Bytes::new(),
            raw_prefix,
            sent: 0,
        };
        let ingress = bench.start(no_budget());
        let create = Entry::TableCreated {
            table: TABLE,
            name: Name::new("bench")?,
            uuid: env.uuid(),
            spec: bench.spec.clone(),
        };
        submit(&ingress, vec![Act::Entry(create)], 256).await?;
        // One acknowledgement tells how long a commit is.
        let slot = bench.next_ack(&ingress)?.send().await?;
        let commit =
            store.get(&paths::log(database, slot)).await?.context("the commit just acknowledged is there")?;
        let mut payload = vec![0; commit.bytes.len()];
        StdRng::seed_from_u64(1).fill_bytes(&mut payload);
        bench.raw_payload = payload.into();
        ingress.drain(DEADLINE).await;
        Ok(bench)
    }

    /// The way into the log as a gateway has it.
    fn start(&self, limits: Limits) -> Ingress {
        let env = self.replica.env();
        let options = IngressOptions { limits, ..IngressOptions::default() };
        let health = Arc::new(Health::new(env.clone()));
        let tail = TailRing::new(0, TailMetrics::default());
        Ingress::start(self.replica.clone(), super::writer(env), options, health, Metrics::default(), tail)
    }

    fn next_ack(&mut self, ingress: &Ingress) -> anyhow::Result<Ack> {
        self.sent += 1;
        let mut random = StdRng::seed_from_u64(self.sent);
        let body: String =
            (0..self.options.row_bytes).map(|_| char::from(random.random_range(b' '..=b'~'))).collect();
        let ids = Int64Array::from(vec![i64::try_from(self.sent)?]);
        let columns: Vec<arrow::array::ArrayRef> =
            vec![Arc::new(ids), Arc::new(StringArray::from(vec![body]))];
        let rows = BucketRows {
            table: TABLE,
            bucket: Bucket(0),
            schema: self.spec.schema.id,
            columns: self.spec.schema.columns.iter().map(|column| column.id).collect(),
            codec: TableOptions::parse(&self.spec.options)?.compression,
            rows: RecordBatch::try_new(arrow_schema(&self.spec.schema), columns)?,
            expected_offset: None,
        };
        Ok(Ack { ingress: ingress.clone(), rows, bytes: self.options.row_bytes })
    }

    fn sent_so_far(&self) -> Sent {
        Sent {
            slots: self.replica.next(),
            for_acks: self.acks.sent.requests_total(),
            for_raws: self.raws.sent.requests_total(),
        }
    }

    fn next_raw(&mut self) -> Raw {
        self.sent += 1;
        let path = Path::from(format!("{}/{:020}", self.raw_prefix, self.sent));
        Raw { store: self.raws.store.clone(), path, payload: self.raw_payload.clone() }
    }

    async fn open_loop(&mut self) -> anyhow::Result<Run> {
        let (rate, ingress) = (self.options.rate, self.start(Limits::default()));
        ensure!(rate.is_finite() && rate > 0.0, "the rate must be above 0");
        let interval = Duration::from_secs_f64(1.0 / rate);
        let (answers, mut answered) = mpsc::unbounded_channel();
        let exact = self.options.exact_starts;
        let (start, before) = (Instant::now() + interval, self.sent_so_far());
        let mut at = start;
        while at < start + self.options.run {
            let ack = self.next_ack(&ingress)?;
            spawn_at((at, exact), answers.clone(), true, async move { ack.send().await.map(drop) });
            let raw = self.next_raw();
            spawn_at((at + interval / 2, exact), answers.clone(), false, async move { raw.send().await });
            at += interval;
            sleep_until(at - interval / 2).await;
        }
        drop(answers);
        let (mut acks, mut raws) = (Latencies::new()?, Latencies::new()?);
        while let Some((is_ack, took)) = answered.recv().await {
            if is_ack { &mut acks } else { &mut raws }.add(took);
        }
        let sent = self.sent_so_far().since(&before);
        let hedges = ingress.committer().hedger().counts();
        ingress.drain(DEADLINE).await;
        let name = format!("open loop, {rate} requests/s");
        let budget = Some(Limits::default().slot_puts_per_second);
        Ok(Run::new(name, budget, (acks.summary(), raws.summary()), (&sent, hedges), at - start))
    }

    async fn closed_loop(&mut self, limits: Limits) -> anyhow::Result<Run> {
        let ingress = self.start(limits);
        let (mut acks, mut raws) = (Latencies::new()?, Latencies::new()?);
        let (start, before) = (Instant::now(), self.sent_so_far());
        let mut in_acks = Duration::ZERO;
        while start.elapsed() < self.options.run {
            let (ack, sent) = (self.next_ack(&ingress)?, Instant::now());
            let answer = ack.send().await;
            in_acks += sent.elapsed();
            acks.add(answer.is_ok().then(|| sent.elapsed()));
            let (raw, sent) = (self.next_raw(), Instant::now());
            let answer = raw.send().await;
            raws.add(answer.is_ok().then(|| sent.elapsed()));
        }
        let sent = self.sent_so_far().since(&before);
        let hedges = ingress.committer().hedger().counts();
        ingress.drain(DEADLINE).await;
        let budget = (limits.slot_puts_per_second < NO_BUDGET).then_some(limits.slot_puts_per_second);
        let name = if budget.is_some() {
            "closed loop, 1 client, default budget"
        } else {
            "closed loop, 1 client, no budget"
        };
        Ok(Run::new(name.to_owned(), budget, (acks.summary(), raws.summary()), (&sent, hedges), in_acks))
    }
}

/// What was sent to the store.
#[derive(Clone, Debug)]
struct Sent {
    slots: Slot,
    for_acks: u64,
    for_raws: u64,
}

impl Sent {
    fn since(&self, before: &Self) -> Self {
        Self {
            slots: self.slots - before.slots,
            for_acks: self.for_acks - before.for_acks,
            for_raws: self.for_raws - before.for_raws,
        }
    }
}

/// Starts a request at a point in time and measures it from there, even if it started late.
fn spawn_at(
    (at, exact): (Instant, bool),
    answers: mpsc::UnboundedSender<(bool, Option<Duration>)>,
    is_ack: bool,
    request: impl Future<Output = anyhow::Result<()>> + Send + 'static,
) {
    drop(tokio::spawn(async move {
        sleep_until(if exact { at - TIMER_SLACK } else { at }).await;
        while exact && Instant::now() < at {
            tokio::task::yield_now().await;
        }
        let answer = request.await;
        // Nobody listens any more once it was interrupted.
        answers.send((is_ack, answer.is_ok().then(|| at.elapsed()))).unwrap_or_default();
    }));
}

struct Ack {
    ingress: Ingress,
    rows: BucketRows,
    bytes: usize,
}

impl Ack {
    /// The slot that took it.
    async fn send(self) -> anyhow::Result<Slot> {
        submit(&self.ingress, vec![Act::Append(self.rows)], self.bytes).await
    }
}

async fn submit(ingress: &Ingress, acts: Vec<Act>, bytes: usize) -> anyhow::Result<Slot> {
    let deadline = Instant::now() + DEADLINE;
    let answer = ingress.submit(Request { acts, producer: None, request_hash: 0, bytes, deadline }).await;
    match answer {
        Ok(Answer::Accepted { acceptance, .. }) => Ok(acceptance.slot),
        other => Err(anyhow!("a request of the benchmark was not taken: {other:?}")),
    }
}

struct Raw {
    store: Store,
    path: Path,
    payload: bytes::Bytes,
}

impl Raw {
    /// One create-only PUT; sent again until it is known to be there, as an acknowledgement is.
    async fn send(self) -> anyhow::Result<()> {
        let deadline = Instant::now() + DEADLINE;
        loop {
            match self.store.create_if_absent(&self.path, PutPayload::from(self.payload.clone())).await {
                CreateOutcome::Committed | CreateOutcome::Lost => return Ok(()),
                CreateOutcome::Unknown(_) if Instant::now() < deadline => sleep(RETRY_PAUSE).await,
                CreateOutcome::Unknown(error) | CreateOutcome::Denied(error) => return Err(error.into()),
            }
        }
    }
}

impl Run {
    fn new(
        run: String,
        budget: Option<f64>,
        (ack, raw): (Summary, Summary),
        (sent, (hedges_sent, hedges_won)): (&Sent, (u64, u64)),
        time: Duration,
    ) -> Self {
        #[expect(clippy::cast_precision_loss, reason = "numbers of requests in a benchmark")]
        let number = |count: u64| count as f64;
        let (slots, acks) = (number(sent.slots), number(ack.count));
        // What a closed loop saves up while it waits for raw PUTs it would not have by itself.
        let puts_per_second =
            (slots / time.as_secs_f64().max(f64::EPSILON)).min(budget.unwrap_or(f64::INFINITY));
        Self {
            run,
            budget_puts_per_second: budget,
            p50_ratio: ack.p50_ms / raw.p50_ms,
            p99_ratio: ack.p99_ms / raw.p99_ms,
            p50_difference_ms: ack.p50_ms - raw.p50_ms,
            p99_difference_ms: ack.p99_ms - raw.p99_ms,
            puts_per_ack: slots / acks.max(1.0),
            requests_per_ack: number(sent.for_acks) / acks.max(1.0),
            requests_per_raw: number(sent.for_raws) / number(raw.count).max(1.0),
            hedges_sent,
            hedges_won,
            puts_per_second,
            dollars_a_month: puts_per_second * SECONDS_A_MONTH * DOLLARS_PER_1000_PUTS / 1_000.0,
            ack,
            raw,
        }
    }
}

#[cfg(test)]
mod tests {
    use frazil_log::store::StoreOptions;

    use super::*;
    use crate::bench::s3_like::S3Like;

    #[test]
    fn ten_puts_a_second_cost_what_s3_asks() {
        let summary = Summary { count: 600, failed: 0, p50_ms: 30.0, p99_ms: 60.0, max_ms: 90.0 };
        let sent = Sent { slots: 600, for_acks: 660, for_raws: 600 };
        let run = Run::new(
            String::new(),
            Some(10.0),
            (summary.clone(), summary),
            (&sent, (0, 0)),
            Duration::from_secs(60),
        );
        assert!((run.puts_per_second - 10.0).abs() < 1e-9);
        assert!((run.dollars_a_month - 129.6).abs() < 1e-6, "{}", run.dollars_a_month);
        assert!((run.requests_per_ack - 1.1).abs() < 1e-9 && (run.requests_per_raw - 1.0).abs() < 1e-9);
        assert!((run.p50_ratio - 1.0).abs() < 1e-9 && run.p50_difference_ms.abs() < 1e-9);
    }

    #[tokio::test]
    async fn a_short_measurement_answers_everything_and_leaves_nothing() {
        let store = Store::open("memory://", &StoreOptions::default()).unwrap();
        let options =
            Options { run: Duration::from_millis(600), rate: 20.0, row_bytes: 100, exact_starts: true };
        let report = measure(&store, &options, &Env::system()).await.unwrap();
        assert_eq!(report.runs.len(), 3);
        assert_eq!(report.runs[0].ack.count, 12);
        assert_eq!(report.runs[0].raw.count, 12);
        for run in &report.runs {
            assert_eq!(run.ack.failed + run.raw.failed, 0, "{run:?}");
            assert!(run.ack.count > 0 && run.puts_per_second > 0.0, "{run:?}");
        }
        assert!(
            (500..1_000).contains(&report.object_bytes),
            "header and 100 bytes of row: {}",
            report.object_bytes
        );
        assert!(store.list(&Path::default(), None, 1).await.unwrap().is_empty());
    }
    /// The paused clock of the test's runtime: hours pass in seconds.
    #[derive(Debug)]
    struct Paused(Instant);

    impl frazil_log::env::Clock for Paused {
        fn now(&self) -> frazil_log::env::Moment {
            let boot = self.0.elapsed();
            let wall = i64::try_from(boot.as_micros()).unwrap() + 1_767_225_600_000_000;
            frazil_log::env::Moment { boot, wall }
        }
    }

    async fn open_loop_on(bad: bool, seed: u64) -> Run {
        let env = Env { clock: Arc::new(Paused(Instant::now())), ..Env::system() };
        let store = Store::open("memory://", &StoreOptions::default()).unwrap();
        let store = store.wrapped(|inner| Arc::new(S3Like::new(inner, seed, bad)));
        let options =
            Options { run: Duration::from_secs(400), rate: 5.0, row_bytes: 100, exact_starts: false };
        let database = crate::bench::fresh_database("bench", env.ulid()).unwrap();
        let mut bench = Bench::open(&store, &database, &env, &options).await.unwrap();
        bench.open_loop().await.unwrap()
    }

    #[tokio::test(start_paused = true)]
    async fn on_a_store_like_s3_the_slowest_acknowledgements_are_faster_than_its_slowest_puts() {
        let run = open_loop_on(false, 7).await;
        assert!((1_999..=2_001).contains(&run.ack.count) && run.ack.failed == 0, "{run:?}");
        assert!(run.p50_ratio <= 1.15 && run.p99_ratio < 1.0, "{run:?}");
        assert!(run.requests_per_ack <= 1.1 * run.requests_per_raw && run.hedges_won > 0, "{run:?}");
    }

    #[tokio::test(start_paused = true)]
    async fn where_whole_spells_are_slow_nothing_collapses() {
        let run = open_loop_on(true, 7).await;
        assert_eq!(run.ack.failed, 0, "{run:?}");
        assert!(run.p99_ratio <= 1.2 && run.requests_per_ack <= 1.1 * run.requests_per_raw, "{run:?}");
    }
}

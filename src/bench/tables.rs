//! Many tables in one database, many of them written each second; then a start.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use anyhow::anyhow;
use arrow::array::{Int64Array, RecordBatch};
use frazil_gateway::consume::reader::{OutputColumn, ReadRequest, read};
use frazil_gateway::consume::tail::{TailMetrics, TailRing};
use frazil_gateway::metrics::Metrics;
use frazil_gateway::produce::flush::{Act, BucketRows};
use frazil_gateway::produce::health::Health;
use frazil_gateway::produce::ingress::{Ingress, IngressOptions, Request};
use frazil_log::commit::create::create_log;
use frazil_log::commit::replica::Replica;
use frazil_log::env::Env;
use frazil_log::format::entry::Entry;
use frazil_log::format::slice::Codec;
use frazil_log::id::{Bucket, Name, TableId};
use frazil_log::protocol::Protocol;
use frazil_log::schema::TableSpec;
use frazil_log::schema::arrow_form::arrow_schema;
use frazil_log::schema::ensure::{TableRequest, build};
use frazil_log::store::Store;
use futures::future;
use serde::Serialize;
use tokio::time::{Instant, sleep_until};

use super::latency::{Latencies, Summary};

/// Tables that one request creates.
const CREATED_AT_ONCE: u64 = 500;

/// Requests that write to the table that is read after the start, each to a slot of its own.
const RARE_SLICES: u64 = 3;

/// More than it holds.
const READ_ROWS_MAX: usize = 1_000;
const READ_BYTES_MAX: u64 = 1 << 20;

/// How long a request may take.
const DEADLINE: Duration = Duration::from_secs(25);

/// What to measure.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Options {
    /// How many tables there are.
    pub(crate) tables: u64,
    /// How many of them are written each second, by a request of one row each.
    pub(crate) written_a_second: u64,
    /// For how many seconds.
    pub(crate) seconds: u64,
}

/// What was measured.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct Measured {
    /// The store in words.
    pub(crate) store: String,
    /// How many tables there were.
    pub(crate) tables: u64,
    /// How many of them were written each second.
    pub(crate) written_a_second: u64,
    /// How long each acknowledgement took.
    pub(crate) ack: Summary,
    /// How long the writing took: more seconds than asked for where the gateway does not keep up.
    pub(crate) written_in_seconds: f64,
    /// How many slots were written.
    pub(crate) slots: u64,
    /// Names of proposals that the state remembers.
    pub(crate) names: usize,
    /// Bytes of the state.
    pub(crate) state_bytes: usize,
    /// How long it took to encode it, which folding waits for.
    pub(crate) state_encoded_in_seconds: f64,
    /// How long a start took.
    pub(crate) ready_seconds: f64,
    /// Requests sent meanwhile.
    pub(crate) ready_requests: u64,
    /// Requests of a read of a table that was written once, before all that: after the start, to the confirmed tail.
    pub(crate) rare_requests: u64,
    /// The slices in which its rows lie.
    pub(crate) rare_slices: u64,
}

/// Measures, and removes what it wrote.
pub(crate) async fn measure(store: &Store, options: Options) -> anyhow::Result<Measured> {
    let env = Env::system();
    let database = super::fresh_database("tables", env.ulid())?;
    let measured = measure_in(store, &database, &env, options).await;
    let removed = super::remove(store, &database).await;
    let measured = measured?;
    removed?;
    Ok(measured)
}

async fn measure_in(store: &Store, database: &Name, env: &Env, options: Options) -> anyhow::Result<Measured> {
    let writer = super::writer(env);
    create_log(store, database, env, &writer).await?;
    let open = || Replica::open(store.clone(), database.clone(), env.clone(), Protocol::SHIPPED);
    let replica = open().await?;
    let health = Arc::new(Health::new(env.clone()));
    let (ingress_options, metrics) = (IngressOptions::default(), Metrics::default());
    let tail = TailRing::new(0, TailMetrics::default());
    let ingress = Ingress::start(replica.clone(), writer.clone(), ingress_options, health, metrics, tail);
    let (checkpointing, incarnation) = (replica.clone(), writer.incarnation);
    env.spawn(async move { checkpointing.keep_checkpointing(incarnation, true).await });
    let spec =
        build(&TableRequest { columns: Some("id BIGINT NOT NULL".to_owned()), ..TableRequest::default() })?;
    create_tables(&ingress, env, &spec, options.tables + 1).await?;
    let rare = TableId(options.tables + 1);
    for _ in 0..RARE_SLICES {
        write_one(&ingress, &spec, rare).await?;
    }

    let (begun, slots_before) = (Instant::now(), replica.next());
    let ack = write(&ingress, &spec, options).await?;
    let written_in = begun.elapsed();
    ingress.drain(DEADLINE).await;
    let encoding = Instant::now();
    let (state_bytes, names) = {
        let fold = replica.fold();
        (fold.state.encode().len(), fold.state.names().len())
    };
    let state_encoded_in = encoding.elapsed();

    let (requests, begun) = (store.metrics().requests_total(), Instant::now());
    let again = open().await?;
    let ready = begun.elapsed();
    let ready_requests = store.metrics().requests_total() - requests;
    anyhow::ensure!(again.fold().folded() == replica.fold().folded(), "the start folded to another state");
    again.warm_index().await;
    let requests_before_read = store.metrics().requests_total();
    read_all(&again, rare).await?;
    let rare_requests = store.metrics().requests_total() - requests_before_read;
    Ok(Measured {
        store: store.description().to_owned(),
        tables: options.tables,
        written_a_second: options.written_a_second,
        ack,
        written_in_seconds: written_in.as_secs_f64(),
        slots: replica.next() - slots_before,
        names,
        state_bytes,
        state_encoded_in_seconds: state_encoded_in.as_secs_f64(),
        ready_seconds: ready.as_secs_f64(),
        ready_requests,
        rare_requests,
        rare_slices: RARE_SLICES,
    })
}

async fn create_tables(ingress: &Ingress, env: &Env, spec: &TableSpec, tables: u64) -> anyhow::Result<()> {
    for first in (1..=tables).step_by(usize::try_from(CREATED_AT_ONCE)?) {
        let ids = first..(first + CREATED_AT_ONCE).min(tables + 1);
        let acts = ids.map(|id| {
            let name = Name::new(format!("table_{id}"))?;
            let created =
                Entry::TableCreated { table: TableId(id), name, uuid: env.uuid(), spec: spec.clone() };
            Ok(Act::Entry(created))
        });
        submit(ingress, acts.collect::<anyhow::Result<_>>()?).await?;
    }
    Ok(())
}

/// Each second a request of one row for each of so many tables, at even intervals; in turn each table comes.
async fn write(ingress: &Ingress, spec: &TableSpec, options: Options) -> anyhow::Result<Summary> {
    let mut latencies = Latencies::new()?;
    let (start, interval) = (Instant::now(), Duration::from_secs(1).div_f64(options.written_a_second as f64));
    for second in 0..options.seconds {
        let begin = start + Duration::from_secs(second);
        sleep_until(begin).await;
        let requests = (0..options.written_a_second).map(async |n| {
            let table = (second * options.written_a_second + n) % options.tables + 1;
            sleep_until(begin + interval.mul_f64(n as f64)).await;
            write_one(ingress, spec, TableId(table)).await
        });
        for took in future::join_all(requests).await {
            latencies.add(Some(took?));
        }
    }
    Ok(latencies.summary())
}

async fn write_one(ingress: &Ingress, spec: &TableSpec, table: TableId) -> anyhow::Result<Duration> {
    let ids = Int64Array::from(vec![i64::try_from(table.0)?]);
    let rows = BucketRows {
        table,
        bucket: Bucket(0),
        schema: spec.schema.id,
        columns: spec.schema.columns.iter().map(|column| column.id).collect(),
        codec: Codec::None,
        rows: RecordBatch::try_new(arrow_schema(&spec.schema), vec![Arc::new(ids)])?,
        expected_offset: None,
    };
    let sent = Instant::now();
    submit(ingress, vec![Act::Append(rows)]).await?;
    Ok(sent.elapsed())
}

/// Reads a table as a consumer does: to the tail, which is confirmed for it.
async fn read_all(replica: &Replica, table: TableId) -> anyhow::Result<()> {
    replica.confirm_tail().await?;
    let known = replica.fold().state.tables().live(table).cloned();
    let request = ReadRequest {
        from: BTreeMap::from([(Bucket(0), 0)]),
        columns: vec![OutputColumn::User(0)],
        rows_max: READ_ROWS_MAX,
        bytes_max: READ_BYTES_MAX,
        filter: None,
    };
    let known = known.ok_or_else(|| anyhow!("the table that is read is gone"))?;
    let page = read(replica, &TailRing::new(0, TailMetrics::default()), &known, &request).await?;
    anyhow::ensure!(page.rows as u64 == RARE_SLICES, "a table of {RARE_SLICES} rows has {}", page.rows);
    Ok(())
}

async fn submit(ingress: &Ingress, acts: Vec<Act>) -> anyhow::Result<()> {
    let deadline = Instant::now() + DEADLINE;
    let request = Request { bytes: 256 * acts.len(), acts, producer: None, request_hash: 0, deadline };
    let answer = ingress.submit(request).await;
    answer.map(drop).map_err(|failure| anyhow!("a request of the benchmark was not taken: {failure:?}"))
}

#[cfg(test)]
mod tests {
    use frazil_log::store::StoreOptions;

    use super::*;

    #[tokio::test]
    async fn every_table_is_written_and_a_start_finds_the_same_state() {
        let store = Store::open("memory://", &StoreOptions::default()).unwrap();
        let options = Options { tables: 700, written_a_second: 100, seconds: 2 };
        let measured = measure(&store, options).await.unwrap();
        assert_eq!((measured.ack.count, measured.ack.failed), (200, 0));
        assert_eq!(
            measured.names, 206,
            "the log's beginning, two requests that created, three and two hundred that wrote"
        );
        assert!(measured.rare_requests >= measured.rare_slices, "nothing was read: {measured:?}");
        assert!(measured.state_bytes > 700 * 50 && measured.ready_requests > 0, "{measured:?}");
    }
}

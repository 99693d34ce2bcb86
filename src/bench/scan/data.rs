//! The rows that are scanned: twenty columns of incompressible text, written as a gateway writes.

use std::sync::Arc;
use std::time::Duration;

use anyhow::Context;
use arrow::array::{ArrayRef, StringArray};
use arrow::record_batch::RecordBatch;
use frazil_gateway::consume::tail::TailRing;
use frazil_gateway::metrics::Metrics;
use frazil_gateway::produce::accumulator::Limits;
use frazil_gateway::produce::flush::{Act, BucketRows, act_bytes};
use frazil_gateway::produce::health::Health;
use frazil_gateway::produce::ingress::{Answer, Ingress, IngressOptions, Request};
use frazil_log::commit::create::create_log;
use frazil_log::commit::replica::Replica;
use frazil_log::env::Env;
use frazil_log::format::commit::WriterInfo;
use frazil_log::format::entry::Entry;
use frazil_log::id::{Bucket, Name, TableId};
use frazil_log::protocol::Protocol;
use frazil_log::schema::TableSpec;
use frazil_log::schema::arrow_form::arrow_schema;
use frazil_log::schema::ensure::{TableRequest, build};
use frazil_log::schema::options::Options as TableOptions;
use frazil_log::store::Store;
use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};
use tokio::time::Instant;

/// Columns of a row.
pub(crate) const COLUMNS: usize = 20;

/// Bytes of a value: twenty of them, with their offsets, are 2 KB.
const VALUE_BYTES: usize = 98;

/// Rows of a request.
const REQUEST_ROWS: usize = 2_000;

/// Letters of which values are made: 6 bits each.
const LETTERS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";

pub(super) const TABLE: TableId = TableId(1);

/// Writes a log with one table of so many rows; what the gateway would keep of them is in `tail`.
pub(super) async fn write(
    store: &Store,
    database: &Name,
    (rows, compression): (usize, &str),
    tail: &TailRing,
) -> anyhow::Result<Replica> {
    let env = Env::system();
    let writer = WriterInfo {
        incarnation: env.ulid(),
        version: env!("CARGO_PKG_VERSION").to_owned(),
        address: String::new(),
        zone: String::new(),
        put_p99_us: 0,
    };
    create_log(store, database, &env, &writer).await?;
    let replica = Replica::open(store.clone(), database.clone(), env.clone(), Protocol::SHIPPED).await?;
    let limits = Limits { slot_puts_per_second: 1_000.0, slot_puts_burst: 1_000.0, ..Limits::default() };
    let options = IngressOptions { limits, ..IngressOptions::default() };
    let health = Arc::new(Health::new(env.clone()));
    let ingress = Ingress::start(replica.clone(), writer, options, health, Metrics::default(), tail.clone());
    let spec = spec(compression)?;
    let name = Name::new("scanned")?;
    let created = Entry::TableCreated { table: TABLE, name, uuid: env.uuid(), spec: spec.clone() };
    submit(&ingress, Act::Entry(created)).await?;
    let mut random = StdRng::seed_from_u64(1);
    let mut left = rows;
    while left > 0 {
        // A few requests at a time, as a busy producer has them: one flush, and one segment.
        let mut requests = Vec::new();
        while left > 0 && requests.len() < 8 {
            let count = left.min(REQUEST_ROWS);
            left -= count;
            requests.push(submit(&ingress, Act::Append(batch(&spec, count, &mut random)?)));
        }
        futures::future::try_join_all(requests).await?;
    }
    ingress.drain(Duration::from_secs(30)).await;
    Ok(replica)
}

fn spec(compression: &str) -> anyhow::Result<TableSpec> {
    let columns: Vec<String> = (0..COLUMNS).map(|n| format!("c{n} STRING NOT NULL")).collect();
    let options = [("compression".to_owned(), compression.into())].into_iter().collect();
    Ok(build(&TableRequest { columns: Some(columns.join(", ")), options, ..TableRequest::default() })?)
}

fn batch(spec: &TableSpec, rows: usize, random: &mut StdRng) -> anyhow::Result<BucketRows> {
    let column = |random: &mut StdRng| -> ArrayRef {
        let mut value = || -> String {
            (0..VALUE_BYTES).map(|_| char::from(LETTERS[usize::from(random.random::<u8>() % 64)])).collect()
        };
        Arc::new(StringArray::from_iter_values((0..rows).map(|_| value())))
    };
    let columns: Vec<ArrayRef> = (0..COLUMNS).map(|_| column(random)).collect();
    Ok(BucketRows {
        table: TABLE,
        bucket: Bucket(0),
        schema: spec.schema.id,
        columns: spec.schema.columns.iter().map(|column| column.id).collect(),
        codec: TableOptions::parse(&spec.options)?.compression,
        rows: RecordBatch::try_new(arrow_schema(&spec.schema), columns)?,
        expected_offset: None,
    })
}

async fn submit(ingress: &Ingress, act: Act) -> anyhow::Result<()> {
    let bytes = act_bytes(&act);
    let deadline = Instant::now() + Duration::from_secs(120);
    let request = Request { acts: vec![act], producer: None, request_hash: 0, bytes, deadline };
    let answer = ingress.submit(request).await;
    let taken = matches!(answer, Ok(Answer::Accepted { .. }));
    taken.then_some(()).with_context(|| format!("a write was not taken: {answer:?}"))
}

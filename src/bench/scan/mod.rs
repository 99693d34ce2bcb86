//! Scans beside a plain GET of the same bytes: from the tail ring, from the cache in memory and on an SSD, and from the store.
//!
//! Each scan is measured twice: by the read engine of a gateway ([`frazil_gateway::consume::reader`]), which ends in record batches, and
//! as a client gets it ([`client`]). Invariant: each scan returns every row, and is measured against the plain GET of the same run.

mod client;
mod data;

use std::ops::Range;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, ensure};
use frazil_cache::{CacheOptions, CachedStore, Metrics as CacheMetrics, SsdOptions};
use frazil_gateway::consume::reader::{OutputColumn, ReadPage, ReadRequest, read};
use frazil_gateway::consume::tail::{TailMetrics, TailRing};
use frazil_log::commit::replica::Replica;
use frazil_log::env::Env;
use frazil_log::format::page::{Place, StreamKey};
use frazil_log::id::{Bucket, Name, Offset};
use frazil_log::protocol::Protocol;
use frazil_log::state::tables::Table;
use frazil_log::store::{Op, Path, Store};
use futures::future::try_join_all;
use futures::{StreamExt, TryStreamExt, stream};
use serde::Serialize;
use tokio::time::Instant;

pub(crate) use self::data::COLUMNS;

/// How a scan is measured.
#[derive(Clone, Debug)]
pub(crate) struct Options {
    /// Rows of about 2 KB.
    pub(crate) rows: usize,
    /// The table's option `compression`.
    pub(crate) compression: String,
    /// Each scan is repeated so often, and the fastest counts.
    pub(crate) repeats: usize,
    /// Where the SSD's files lie meanwhile.
    pub(crate) directory: PathBuf,
}

/// One scan.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct Scan {
    /// Where the bytes came from.
    pub(crate) source: &'static str,
    /// Columns that were read.
    pub(crate) columns: usize,
    /// How long it took.
    pub(crate) seconds: f64,
    /// Rows a second.
    pub(crate) rows_per_second: f64,
    /// Stored bytes of these columns a second, in MiB.
    pub(crate) mib_per_second: f64,
    /// Against the plain GET of all.
    pub(crate) of_plain: f64,
    /// Rows a second as a client gets them, over a connection.
    pub(crate) client_rows_per_second: f64,
    /// Bytes that the store sent, by the stored bytes of these columns.
    pub(crate) fetched_ratio: f64,
    /// Requests that the store got.
    pub(crate) requests: u64,
}

/// What came out.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct Report {
    /// Where it lay.
    pub(crate) store: String,
    /// Rows.
    pub(crate) rows: usize,
    /// The table's option.
    pub(crate) compression: String,
    /// Bytes of all objects that hold rows.
    pub(crate) stored_bytes: u64,
    /// The plain GET of them, whole, so many at a time as a scan fetches places.
    pub(crate) plain_mib_per_second: f64,
    /// Plain GETs of just the ranges where one column lies, all at once: rows a second. Nobody reads it faster from this store.
    pub(crate) ranges_rows_per_second: f64,
    /// The scans.
    pub(crate) scans: Vec<Scan>,
}

/// Objects of the plain GET that are under way at once: as many places as a scan fetches at once.
const FETCHES: usize = 8;

/// Bytes of a page of a scan.
const PAGE_BYTES: u64 = 64 << 20;

/// Measures all sources on one store, and removes what was written.
pub(crate) async fn measure(store: &Store, options: &Options) -> anyhow::Result<Report> {
    let database = super::fresh_database("scan", Env::system().ulid())?;
    let measured = measure_in(store, &database, options).await;
    let removed = super::remove(store, &database).await;
    let measured = measured?;
    removed?;
    Ok(measured)
}

async fn measure_in(store: &Store, database: &Name, options: &Options) -> anyhow::Result<Report> {
    let ring = TailRing::new(usize::MAX, TailMetrics::default());
    let written = (options.rows, options.compression.as_str());
    let writer = data::write(store, database, written, &ring).await?;
    let objects = objects(store, &writer).await?;
    let stored_bytes = objects.iter().map(|(_, size)| size).sum();
    let plain = fastest(options, async || get_all(store, &objects).await).await?;
    let ranges = fastest(options, async || get_column(store, &writer).await).await?;
    let mut report = Report {
        store: store.description().to_owned(),
        rows: options.rows,
        compression: options.compression.clone(),
        stored_bytes,
        plain_mib_per_second: mib(stored_bytes) / plain.as_secs_f64(),
        ranges_rows_per_second: options.rows as f64 / ranges.as_secs_f64(),
        scans: Vec::new(),
    };
    let empty = TailRing::new(0, TailMetrics::default());
    measure_source("ring", &writer, &ring, options, &mut report).await?;
    drop(ring);
    measure_source("store", &writer, &empty, options, &mut report).await?;

    let memory_bytes = usize::try_from(stored_bytes)?.saturating_mul(6) + (64 << 20);
    let memory = CacheOptions { memory_bytes, ssd: None, shards: 0 };
    let cache = open_cache(store, &memory).await;
    let replica = over(store, &cache, database).await?;
    scan(&replica, &empty, COLUMNS).await?; // fills it
    measure_source("memory", &replica, &empty, options, &mut report).await?;
    drop((cache, replica));

    let bytes = usize::try_from(stored_bytes)?.saturating_mul(2) + (256 << 20);
    let ssd = SsdOptions { directory: options.directory.clone(), bytes };
    let filling = CacheOptions { memory_bytes, ssd: Some(ssd), shards: 0 };
    let cache = open_cache(store, &filling).await;
    scan(&over(store, &cache, database).await?, &empty, COLUMNS).await?;
    cache.close().await;
    drop(cache);
    // Opened again with little memory: what is read comes from the files.
    let cache = open_cache(store, &CacheOptions { memory_bytes: 16 << 20, ..filling }).await;
    let replica = over(store, &cache, database).await?;
    measure_source("ssd", &replica, &empty, options, &mut report).await?;
    cache.close().await;
    Ok(report)
}

async fn fastest(
    options: &Options,
    measured: impl AsyncFn() -> anyhow::Result<Duration>,
) -> anyhow::Result<Duration> {
    let mut best = Duration::MAX;
    for _ in 0..options.repeats {
        best = best.min(measured().await?);
    }
    Ok(best)
}

async fn open_cache(store: &Store, options: &CacheOptions) -> CachedStore {
    CachedStore::open(store.object_store(), crate::cache::classify(), options, CacheMetrics::default()).await
}

async fn over(store: &Store, cache: &CachedStore, database: &Name) -> anyhow::Result<Replica> {
    let cache = cache.clone();
    let store = store.clone().wrapped(|_| Arc::new(cache));
    Ok(Replica::open(store, database.clone(), Env::system(), Protocol::SHIPPED).await?)
}

/// All columns, then one of them.
async fn measure_source(
    source: &'static str,
    replica: &Replica,
    tail: &TailRing,
    options: &Options,
    report: &mut Report,
) -> anyhow::Result<()> {
    for columns in [COLUMNS, 1] {
        let wanted = columns_bytes(&places(replica).await?, columns);
        let mut best: Option<Scan> = None;
        for _ in 0..options.repeats {
            let metrics = replica.store().metrics();
            let (requests, bytes) = (metrics.requests_total(), metrics.bytes(Op::Get));
            let (took, rows) = scan(replica, tail, columns).await?;
            ensure!(rows == options.rows, "{source}: {rows} rows were read of {}", options.rows);
            let seconds = took.as_secs_f64();
            let mib_per_second = mib(wanted) / seconds;
            let found = Scan {
                source,
                columns,
                seconds,
                rows_per_second: rows as f64 / seconds,
                mib_per_second,
                of_plain: mib_per_second / report.plain_mib_per_second,
                client_rows_per_second: 0.0,
                fetched_ratio: (metrics.bytes(Op::Get) - bytes) as f64 / wanted as f64,
                requests: metrics.requests_total() - requests,
            };
            if best.as_ref().is_none_or(|best| found.seconds < best.seconds) {
                best = Some(found);
            }
        }
        let Some(best) = best else { continue };
        let mut client: f64 = 0.0;
        for _ in 0..options.repeats {
            let (took, rows) = client::scan(replica, tail, columns).await?;
            ensure!(rows == options.rows, "{source}: a client got {rows} rows of {}", options.rows);
            client = client.max(rows as f64 / took.as_secs_f64());
        }
        report.scans.push(Scan { client_rows_per_second: client, ..best });
    }
    Ok(())
}

/// Reads all rows, page by page, as a consumer does.
async fn scan(replica: &Replica, tail: &TailRing, columns: usize) -> anyhow::Result<(Duration, usize)> {
    let table = table(replica)?;
    let begun = Instant::now();
    let (mut rows, mut from): (usize, Offset) = (0, 0);
    while let Some((read, next)) = page(replica, tail, &table, columns, from).await? {
        rows += read.rows;
        from = next;
    }
    Ok((begun.elapsed(), rows))
}

/// The next page, and where the one behind it begins; none at the end.
async fn page(
    replica: &Replica,
    tail: &TailRing,
    table: &Table,
    columns: usize,
    from: Offset,
) -> anyhow::Result<Option<(ReadPage, Offset)>> {
    let request = ReadRequest {
        from: [(Bucket(0), from)].into_iter().collect(),
        columns: wanted(columns).map(OutputColumn::User).collect(),
        rows_max: usize::MAX,
        bytes_max: PAGE_BYTES,
        filter: None,
    };
    let page = read(replica, tail, table, &request).await?;
    let next = page.next.get(&Bucket(0)).copied().unwrap_or(from);
    Ok((page.rows > 0).then_some((page, next)))
}

fn table(replica: &Replica) -> anyhow::Result<Table> {
    replica.fold().state.tables().live(data::TABLE).cloned().context("the table is there")
}

async fn places(replica: &Replica) -> anyhow::Result<Vec<Place>> {
    let table = table(replica)?;
    let key: StreamKey = table.rows_key(Bucket(0));
    let end = replica.fold().state.tables().tail(&key).next;
    Ok(replica.places(&key, 0..end).await?)
}

/// All columns, or one in the midst: the first lies next to what is read anyhow.
fn wanted(columns: usize) -> Range<usize> {
    if columns == COLUMNS { 0..COLUMNS } else { COLUMNS / 2..COLUMNS / 2 + columns }
}

/// Stored bytes of so many columns.
fn columns_bytes(places: &[Place], columns: usize) -> u64 {
    let batches = places.iter().flat_map(|place| &place.slice.batches);
    let chunks = batches.flat_map(|batch| batch.chunks.get(wanted(columns)).unwrap_or_default());
    chunks.map(|chunk| chunk.len).sum()
}

/// The objects that hold the rows, each once, and how long they are.
async fn objects(store: &Store, replica: &Replica) -> anyhow::Result<Vec<(Path, u64)>> {
    let mut objects: Vec<(Path, u64)> = Vec::new();
    for place in places(replica).await? {
        let path = replica.object_path(&place.object);
        if !objects.iter().any(|(known, _)| *known == path) {
            let head = store.get_prefix(&path, 1).await?.context("an object just written is there")?;
            objects.push((path, head.size));
        }
    }
    Ok(objects)
}

async fn get_all(store: &Store, objects: &[(Path, u64)]) -> anyhow::Result<Duration> {
    let begun = Instant::now();
    let gets = objects
        .iter()
        .map(|(path, _)| async move { store.get(path).await?.context("an object just written is there") });
    let mut gets = stream::iter(gets).buffer_unordered(FETCHES);
    while gets.try_next().await?.is_some() {}
    Ok(begun.elapsed())
}

/// Where one column lies, and nothing else, by plain GETs.
async fn get_column(store: &Store, replica: &Replica) -> anyhow::Result<Duration> {
    let mut asked: Vec<(Path, Range<u64>)> = Vec::new();
    for place in places(replica).await? {
        let mut start = place.body_start + place.slice.body_offset;
        for batch in &place.slice.batches {
            let body = start + u64::from(batch.metadata_len);
            for chunk in batch.chunks.get(wanted(1)).unwrap_or_default() {
                let from = body + chunk.offset;
                asked.push((replica.object_path(&place.object), from..from + chunk.len));
            }
            start = body + batch.body_len;
        }
    }
    let begun = Instant::now();
    let gets = asked.iter().map(|(path, range)| async move {
        let bytes = store.get_ranges(path, std::slice::from_ref(range)).await?;
        bytes.context("an object just written is there")
    });
    try_join_all(gets).await?;
    Ok(begun.elapsed())
}

fn mib(bytes: u64) -> f64 {
    bytes as f64 / f64::from(1 << 20)
}

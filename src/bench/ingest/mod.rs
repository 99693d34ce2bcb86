//! What a gateway spends on rows: each way in gets a gateway process of its own, the same rows, and a warm-up; then the process's CPU
//! time and what it wrote are read before and after. A raw PUT of the same bytes stands beside, through the same store crate.

pub(crate) mod process;
pub(crate) mod rows;
pub(crate) mod send;

use std::time::Duration;

use anyhow::{Context, ensure};
use arrow::ipc::writer::StreamWriter;
use arrow::record_batch::RecordBatch;
use bytes::Bytes;
use frazil_gateway::flight::client::Client;
use frazil_log::env::Env;
use frazil_log::segment::batch_bytes;
use frazil_log::store::{CreateOutcome, Path, PutPayload, Store};
use serde::Serialize;
use serde_json::json;
use tokio::time::Instant;

use self::process::{Gateway, Spent, own_cpu};

/// How long a case may take in all.
const CASE_MAX: Duration = Duration::from_secs(600);

/// Rows that are sent before anything is measured, in bytes: above all that a gateway holds by default.
const WARM_UP_BYTES: usize = 512 << 20;

/// What to measure.
#[derive(Clone, Debug)]
pub(crate) struct Options {
    /// Uncompressed Arrow to send in each case, in bytes.
    pub(crate) bytes: usize,
    /// Rows of a batch.
    pub(crate) batch_rows: usize,
    /// Streams (or HTTP connections) at once.
    pub(crate) streams: usize,
    /// Where each gateway keeps its rows.
    pub(crate) store: String,
    /// Which ways in: a part of their names, or all.
    pub(crate) only: Option<String>,
}

/// A way in.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Case {
    /// `flight` or `json`.
    pub(crate) door: &'static str,
    /// The table's option `compression`.
    pub(crate) stored: &'static str,
    /// The most CPU seconds per GiB of Arrow.
    pub(crate) target: Option<f64>,
}

/// The ways in, and what each may cost.
pub(crate) const CASES: [Case; 4] = [
    Case { door: "flight", stored: "none", target: Some(1.0) },
    Case { door: "flight", stored: "lz4", target: Some(2.0) },
    Case { door: "flight", stored: "zstd", target: None },
    Case { door: "json", stored: "lz4", target: Some(12.0) },
];

/// What a case came to.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct Measured {
    pub(crate) door: &'static str,
    pub(crate) stored: &'static str,
    pub(crate) rows: u64,
    pub(crate) arrow_bytes: u64,
    pub(crate) sent_bytes: u64,
    pub(crate) stored_bytes: u64,
    pub(crate) seconds: f64,
    pub(crate) rows_per_second: f64,
    pub(crate) mib_per_second: f64,
    pub(crate) cpu_seconds: f64,
    pub(crate) cpu_seconds_per_gib: f64,
    pub(crate) rss_bytes_max: u64,
    pub(crate) target: Option<f64>,
    pub(crate) met: Option<bool>,
}

/// A raw PUT of the same bytes.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct Raw {
    pub(crate) object_bytes: u64,
    pub(crate) bytes: u64,
    pub(crate) mib_per_second: f64,
    pub(crate) cpu_seconds_per_gib: f64,
}

/// All of it.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct Report {
    pub(crate) store: String,
    pub(crate) batch_rows: usize,
    pub(crate) batch_bytes: usize,
    pub(crate) streams: usize,
    pub(crate) raw: Raw,
    pub(crate) cases: Vec<Measured>,
}

/// Measures each case.
pub(crate) async fn measure(options: &Options, said: impl Fn(&Measured)) -> anyhow::Result<Report> {
    let batches = rows::batches(options.batch_rows)?;
    let bytes = batches.iter().map(batch_bytes).sum::<usize>() / batches.len();
    ensure!(bytes > 0 && options.streams > 0, "nothing to send");
    let raw = raw(options, &batches).await?;
    let mut cases = Vec::new();
    for case in CASES {
        let name = format!("{}-{}", case.door, case.stored);
        if options.only.as_ref().is_some_and(|only| !name.contains(only.as_str())) {
            continue;
        }
        let measured = tokio::time::timeout(CASE_MAX, one(options, case, &batches, bytes)).await;
        let measured = measured.with_context(|| format!("{name} took longer than {CASE_MAX:?}"))??;
        said(&measured);
        cases.push(measured);
    }
    ensure!(!cases.is_empty(), "no case of that name");
    Ok(Report {
        store: options.store.clone(),
        batch_rows: options.batch_rows,
        batch_bytes: bytes,
        streams: options.streams,
        raw,
        cases,
    })
}

async fn one(
    options: &Options,
    case: Case,
    batches: &[RecordBatch],
    bytes: usize,
) -> anyhow::Result<Measured> {
    let gateway = Gateway::start(&options.store).await?;
    let table = format!("ingest_{}", Env::system().ulid().to_string().to_lowercase());
    let mut client = Client::connect(gateway.url(), None).await?;
    let create = json!({"table": table, "columns": rows::COLUMNS, "options": {"compression": case.stored}});
    client.act("table.create", &create.to_string()).await?;
    let rounds = (options.bytes / options.streams).div_ceil(bytes).max(1);
    // The allocator, the connection's windows and the flush's pace settle first, and what a gateway holds on to (the buffer, the tail
    // ring) is filled once.
    let warm_up = (WARM_UP_BYTES / options.streams).div_ceil(bytes);
    send::send(&gateway, case.door, &table, batches, (options.streams, warm_up)).await?;
    let (before, began) = (gateway.spent().await?, Instant::now());
    let sent = send::send(&gateway, case.door, &table, batches, (options.streams, rounds)).await?;
    let seconds = began.elapsed().as_secs_f64();
    let after = gateway.spent().await?;
    let Spent { cpu_seconds, put_bytes, rss_bytes_max } = after;
    let cpu = cpu_seconds - before.cpu_seconds;
    #[expect(clippy::cast_precision_loss, reason = "figures for people")]
    let (arrow, rows) = (sent.arrow_bytes as f64, sent.rows as f64);
    let per_gib = cpu / (arrow / f64::from(1 << 30));
    Ok(Measured {
        door: case.door,
        stored: case.stored,
        rows: sent.rows,
        arrow_bytes: sent.arrow_bytes,
        sent_bytes: sent.sent_bytes,
        stored_bytes: put_bytes - before.put_bytes,
        seconds,
        rows_per_second: rows / seconds,
        mib_per_second: arrow / f64::from(1 << 20) / seconds,
        cpu_seconds: cpu,
        cpu_seconds_per_gib: per_gib,
        rss_bytes_max,
        target: case.target,
        met: case.target.map(|target| per_gib <= target),
    })
}

/// PUTs the rows' Arrow bytes as objects of 8 MiB, and removes them.
async fn raw(options: &Options, batches: &[RecordBatch]) -> anyhow::Result<Raw> {
    const OBJECT_BYTES: usize = 8 << 20;
    let store: Store = crate::store_args::open_or_create(&options.store)?;
    let mut stream = StreamWriter::try_new(Vec::new(), &batches[0].schema())?;
    for batch in batches.iter().cycle() {
        stream.write(batch)?;
        if stream.get_ref().len() >= OBJECT_BYTES {
            break;
        }
    }
    let body = Bytes::from(stream.into_inner()?);
    let ulid = Env::system().ulid().to_string().to_lowercase();
    let count = options.bytes.div_ceil(body.len()).max(1);
    let path = |n: usize| Path::from(format!("ingest_raw_{ulid}/{n:06}"));
    let (cpu, began) = (own_cpu()?, Instant::now());
    for n in 0..count {
        match store.create_if_absent(&path(n), PutPayload::from(body.clone())).await {
            CreateOutcome::Committed => {}
            other => anyhow::bail!("a raw PUT was not committed: {other:?}"),
        }
    }
    let (cpu, seconds) = (own_cpu()? - cpu, began.elapsed().as_secs_f64());
    store.delete_many(&(0..count).map(path).collect::<Vec<_>>()).await?;
    let bytes = (body.len() * count) as u64;
    #[expect(clippy::cast_precision_loss, reason = "figures for people")]
    let total = bytes as f64;
    Ok(Raw {
        object_bytes: body.len() as u64,
        bytes,
        mib_per_second: total / f64::from(1 << 20) / seconds,
        cpu_seconds_per_gib: cpu / (total / f64::from(1 << 30)),
    })
}

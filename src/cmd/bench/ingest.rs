//! `frazil bench ingest`: what rows cost a gateway.

use std::process::ExitCode;

use crate::bench::ingest::{self, Measured, Report};
use crate::store_args::{self, Output, OutputArgs, bytes_text, note, plain_table, say};

/// Arguments.
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// Where each gateway that is started keeps its rows; a directory that is removed again if it is not given. With memory:// the
    /// gateway's own memory is the store, and in the figures
    #[arg(long, value_name = "URL")]
    store: Option<String>,
    /// Uncompressed Arrow of each case, in MiB
    #[arg(long, default_value_t = 512, value_name = "N")]
    mib: usize,
    /// Rows of a batch
    #[arg(long, default_value_t = 8192, value_name = "N")]
    batch_rows: usize,
    /// Streams at once
    #[arg(long, default_value_t = 2, value_name = "N")]
    streams: usize,
    /// Only the cases whose names (flight-none, flight-lz4, flight-zstd, json-lz4) have this in them
    #[arg(long, value_name = "TEXT")]
    only: Option<String>,
    #[command(flatten)]
    output: OutputArgs,
}

/// Measures, and prints what came out.
pub(super) fn run(args: &Args) -> anyhow::Result<ExitCode> {
    let name = format!("frazil-bench-ingest-{}", frazil_log::env::Env::system().ulid());
    let directory = std::env::temp_dir().join(name);
    let store = args.store.clone().unwrap_or_else(|| format!("file://{}", directory.display()));
    let options = ingest::Options {
        bytes: args.mib << 20,
        batch_rows: args.batch_rows,
        streams: args.streams,
        store,
        only: args.only.clone(),
    };
    let report = store_args::block_on(ingest::measure(&options, |case: &Measured| {
        let per_gib = case.cpu_seconds_per_gib;
        note(format_args!("{} stored {}: {per_gib:.2} CPU-s/GiB", case.door, case.stored));
    }));
    if directory.exists() {
        std::fs::remove_dir_all(&directory)?;
    }
    let report = report?;
    match args.output.output {
        Output::Json => say(serde_json::to_value(&report)?),
        Output::Table => print(&report),
    }
    let missed = report.cases.iter().any(|case| case.met == Some(false));
    Ok(if missed { ExitCode::FAILURE } else { ExitCode::SUCCESS })
}

fn print(report: &Report) {
    let head = [
        "door",
        "stored",
        "rows/s",
        "Arrow MiB/s",
        "gateway CPU-s/GiB",
        "target",
        "Arrow",
        "sent",
        "stored",
        "RSS max",
    ];
    let mut table = plain_table(&head);
    for case in &report.cases {
        let target = match (case.target, case.met) {
            (Some(target), Some(true)) => format!("≤ {target:.1}: met"),
            (Some(target), _) => format!("≤ {target:.1}: missed by {:.2}", case.cpu_seconds_per_gib - target),
            (None, _) => "none".to_owned(),
        };
        table.add_row([
            case.door.to_owned(),
            case.stored.to_owned(),
            format!("{:.0}", case.rows_per_second),
            format!("{:.0}", case.mib_per_second),
            format!("{:.2}", case.cpu_seconds_per_gib),
            target,
            bytes_text(case.arrow_bytes),
            bytes_text(case.sent_bytes),
            bytes_text(case.stored_bytes),
            bytes_text(case.rss_bytes_max),
        ]);
    }
    let raw = &report.raw;
    table.add_row([
        "raw PUT".to_owned(),
        "as it is".to_owned(),
        "-".to_owned(),
        format!("{:.0}", raw.mib_per_second),
        format!("{:.2}", raw.cpu_seconds_per_gib),
        "-".to_owned(),
        bytes_text(raw.bytes),
        bytes_text(raw.bytes),
        bytes_text(raw.bytes),
        "-".to_owned(),
    ]);
    say(table);
    say(format_args!(
        "{}: {} streams, batches of {} rows and {}; Arrow is uncompressed, CPU is the gateway process's (raw PUT: this one's)",
        report.store,
        report.streams,
        report.batch_rows,
        bytes_text(report.batch_bytes as u64)
    ));
}

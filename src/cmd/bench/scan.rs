//! `frazil bench scan`: reads beside plain GETs of the same bytes.

use std::process::ExitCode;

use serde_json::json;

use crate::bench::scan::{self, COLUMNS, Report, Scan};
use crate::output::number::thousands;
use crate::store_args::{self, Output, OutputArgs, bytes_text, open_or_create, plain_table, say};

/// A scan of all columns against the plain GET.
const FULL_WIDTH_MIN: f64 = 0.7;

/// Rows a second of one column against all of them.
const NARROW_MIN: f64 = 15.0;

/// Bytes fetched for one column against its own.
const FETCHED_MAX: f64 = 1.3;

/// Arguments.
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// The store; what is written lies below a fresh database, which is removed again
    #[arg(long, env = "FRAZIL_STORE", value_name = "URL")]
    store: String,
    /// Rows of 20 columns and about 2 KB
    #[arg(long, default_value_t = 100_000, value_name = "N")]
    rows: usize,
    /// How the table is compressed: none, lz4, zstd
    #[arg(long, default_value = "none", value_name = "CODEC")]
    compression: String,
    /// Each scan is repeated so often; the fastest counts
    #[arg(long, default_value_t = 3, value_name = "N")]
    repeats: usize,
    #[command(flatten)]
    output: OutputArgs,
}

/// Measures, and prints what came out.
pub(super) fn run(args: &Args) -> anyhow::Result<ExitCode> {
    let name = format!("frazil-bench-scan-{}", frazil_log::env::Env::system().ulid());
    let directory = std::env::temp_dir().join(name);
    let options = scan::Options {
        rows: args.rows.max(1),
        compression: args.compression.clone(),
        repeats: args.repeats.max(1),
        directory: directory.clone(),
    };
    let report = store_args::block_on(async {
        let store = open_or_create(&args.store)?;
        scan::measure(&store, &options).await
    });
    if directory.exists() {
        std::fs::remove_dir_all(&directory)?;
    }
    let report = report?;
    let targets = targets(&report);
    match args.output.output {
        Output::Json => {
            let mut json = serde_json::to_value(&report)?;
            let targets = targets.iter().map(|target| json!({"words": target.words, "met": target.met}));
            json["targets"] = targets.collect();
            say(json);
        }
        Output::Table => print(&report, &targets),
    }
    Ok(ExitCode::SUCCESS)
}

struct Target {
    words: String,
    met: bool,
}

fn targets(report: &Report) -> Vec<Target> {
    let find = |source: &str, columns: usize| {
        report.scans.iter().find(|scan| scan.source == source && scan.columns == columns)
    };
    let mut targets = Vec::new();
    let mut sources: Vec<&str> = report.scans.iter().map(|scan| scan.source).collect();
    sources.dedup();
    for source in sources {
        let (Some(full), Some(one)) = (find(source, COLUMNS), find(source, 1)) else { continue };
        // From the ring nothing is copied before it is sent: both cost a pointer a batch, and the connection tells them apart.
        let (what, narrow) = match source {
            "ring" => ("client's ", one.client_rows_per_second / full.client_rows_per_second),
            _ => ("", one.rows_per_second / full.rows_per_second),
        };
        targets.push(Target {
            words: format!(
                "{source}: full width at least {FULL_WIDTH_MIN} × plain GET: {:.2}",
                full.of_plain
            ),
            met: full.of_plain >= FULL_WIDTH_MIN,
        });
        targets.push(Target {
            words: format!(
                "{source}: 1 of {COLUMNS} columns at least {NARROW_MIN} × the {what}rows/s: {narrow:.1}"
            ),
            met: narrow >= NARROW_MIN,
        });
        targets.push(Target {
            words: format!("{source}: fetched at most {FETCHED_MAX} × the column: {:.2}", one.fetched_ratio),
            met: one.fetched_ratio <= FETCHED_MAX,
        });
    }
    targets
}

fn print(report: &Report, targets: &[Target]) {
    say(format_args!(
        "{}: {} rows of {COLUMNS} columns, {} stored, compression {}; plain GET {:.0} MiB/s, plain GETs of one column's ranges {:.0} rows/s",
        report.store,
        thousands(report.rows as u64),
        bytes_text(report.stored_bytes),
        report.compression,
        report.plain_mib_per_second,
        report.ranges_rows_per_second
    ));
    let mut table = plain_table(&[
        "source",
        "columns",
        "seconds",
        "rows/s",
        "MiB/s",
        "× plain GET",
        "client's rows/s",
        "fetched ×",
        "requests",
    ]);
    for Scan {
        source,
        columns,
        seconds,
        rows_per_second,
        mib_per_second,
        of_plain,
        client_rows_per_second,
        fetched_ratio,
        requests,
    } in &report.scans
    {
        table.add_row([
            (*source).to_owned(),
            columns.to_string(),
            format!("{seconds:.3}"),
            format!("{rows_per_second:.0}"),
            format!("{mib_per_second:.0}"),
            format!("{of_plain:.2}"),
            format!("{client_rows_per_second:.0}"),
            format!("{fetched_ratio:.2}"),
            requests.to_string(),
        ]);
    }
    say(table);
    for target in targets {
        say(format_args!("target: {} → {}", target.words, if target.met { "met" } else { "MISSED" }));
    }
}

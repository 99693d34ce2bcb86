//! `frazil bench end-to-end`: from an acknowledgement to a follower on another gateway.

use std::process::ExitCode;
use std::time::Duration;

use serde_json::json;

use super::wrap::{self, Wrap};
use crate::bench::end_to_end::{Report, Run, measure};
use crate::bench::latency::Summary;
use crate::store_args::{self, Output, OutputArgs, plain_table, say};

/// With pushes: the median from ack to seen, over a raw PUT's.
const RATIO_MAX: f64 = 0.3;

/// Without: the 99th percentile, in milliseconds.
const LOST_P99_MS_MAX: f64 = 1_000.0;

/// Arguments.
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// The store; what is written lies below fresh databases, which are removed again
    #[arg(long, env = "FRAZIL_STORE", value_name = "URL")]
    store: String,
    /// Play latency before the store
    #[arg(long, value_enum)]
    wrap: Option<Wrap>,
    /// How long each of the two runs takes
    #[arg(long, default_value_t = 30, value_name = "N")]
    seconds: u64,
    /// Rows a second
    #[arg(long, default_value_t = 5.0, value_name = "N")]
    rate: f64,
    #[command(flatten)]
    output: OutputArgs,
}

/// Measures, and prints what came out.
pub(super) fn run(args: &Args) -> anyhow::Result<ExitCode> {
    anyhow::ensure!(args.rate > 0.0, "--rate must be above 0");
    let report = store_args::block_on(async {
        measure(&wrap::open(&args.store, args.wrap)?, Duration::from_secs(args.seconds), args.rate).await
    })?;
    let met = report.runs.iter().all(is_met);
    match args.output.output {
        Output::Json => {
            let mut json = serde_json::to_value(&report)?;
            json["wrap"] = json!(args.wrap.map(|wrap| format!("{wrap:?}")));
            json["target"] = json!({"words": TARGET, "met": met});
            say(json);
        }
        Output::Table => print(&report, met),
    }
    Ok(ExitCode::SUCCESS)
}

const TARGET: &str = "seen: with pushes p50 at most 0.3 × a raw PUT's p50; with pushes lost p99 at most 1,000 ms; no row unseen";

fn is_met(run: &Run) -> bool {
    let fast = if run.pushed { run.p50_ratio <= RATIO_MAX } else { run.seen.p99_ms <= LOST_P99_MS_MAX };
    fast && run.seen.failed == 0
}

fn print(report: &Report, met: bool) {
    say(format_args!("{}; two gateways, a row a request", report.store));
    let mut table = plain_table(&["pushes", "", "p50 ms", "p99 ms", "max ms", "count", "missed", "p50 ×"]);
    for run in &report.runs {
        let number = |value: f64| format!("{value:.2}");
        let mut row = |first: &str, what: &str, summary: &Summary, ratio: String| {
            table.add_row([
                first.to_owned(),
                what.to_owned(),
                number(summary.p50_ms),
                number(summary.p99_ms),
                number(summary.max_ms),
                summary.count.to_string(),
                summary.failed.to_string(),
                ratio,
            ]);
        };
        row(if run.pushed { "heard" } else { "lost" }, "ack → seen", &run.seen, number(run.p50_ratio));
        row("", "ack", &run.ack, String::new());
        row("", "raw PUT", &run.raw, String::new());
    }
    say(table);
    say(format_args!("target: {TARGET} → {}", if met { "met" } else { "MISSED" }));
}

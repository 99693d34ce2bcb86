//! `frazil bench ack`: acknowledgements beside raw PUTs.

use std::process::ExitCode;
use std::sync::Arc;

use clap::ValueEnum;
use serde_json::json;

use crate::bench::ack::{self, DOLLARS_PER_1000_PUTS, Report, SECONDS_A_MONTH};
use crate::bench::latency::Summary;
use crate::bench::s3_like::S3Like;
use crate::store_args::{self, Output, OutputArgs, bytes_text, open_or_create, plain_table, say};

/// The seed of played latency.
pub(super) const SEED: u64 = 20_260_115;

/// The open loop's p50 over a raw PUT's, on a store like S3.
const RATIO_MAX: f64 = 1.15;

/// The open loop's p50 above a raw PUT's, on a store nearby.
const DIFFERENCE_MS_MAX: f64 = 1.0;

/// Arguments.
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// The store; what is written lies below a fresh database, which is removed again
    #[arg(long, env = "FRAZIL_STORE", value_name = "URL")]
    store: String,
    /// Play latency before the store
    #[arg(long, value_enum)]
    wrap: Option<Wrap>,
    /// How long each of the three runs takes
    #[arg(long, default_value_t = 30, value_name = "N")]
    seconds: u64,
    /// Requests a second of the open loop
    #[arg(long, default_value_t = 5.0, value_name = "N")]
    rate: f64,
    /// Bytes of the one row of a request
    #[arg(long, default_value = "1KiB", value_name = "SIZE")]
    bytes: bytesize::ByteSize,
    #[command(flatten)]
    output: OutputArgs,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(super) enum Wrap {
    /// Log-normal latency, p50 30 ms, p99 200 ms
    S3Like,
    /// Besides: slow spells, a slow connection, bursts of 503
    S3LikeSlow,
}

/// Measures, and prints what came out.
pub(super) fn run(args: &Args) -> anyhow::Result<ExitCode> {
    let options = ack::Options {
        run: std::time::Duration::from_secs(args.seconds),
        rate: args.rate,
        row_bytes: usize::try_from(args.bytes.as_u64())?,
    };
    let report = store_args::block_on(async {
        let store = open_or_create(&args.store)?;
        let store = match args.wrap {
            None => store,
            Some(wrap) => store.wrapped(|inner| Arc::new(S3Like::new(inner, SEED, wrap == Wrap::S3LikeSlow))),
        };
        ack::measure(&store, &options).await
    })?;
    let target = target(&report, args.wrap);
    match args.output.output {
        Output::Json => {
            let mut json = serde_json::to_value(&report)?;
            json["wrap"] = json!(args.wrap.map(|wrap| format!("{wrap:?}")));
            json["target"] = json!({"words": target.words, "met": target.met});
            say(json);
        }
        Output::Table => print_ack(&report, args.wrap, &target),
    }
    Ok(ExitCode::SUCCESS)
}

struct Target {
    words: String,
    met: bool,
}

/// The target of the open loop, the first run.
fn target(report: &Report, wrap: Option<Wrap>) -> Target {
    let Some(open) = report.runs.first() else { return Target { words: String::new(), met: true } };
    match wrap {
        Some(_) => Target {
            words: format!("open loop p50 at most {RATIO_MAX} × raw: {:.3}", open.p50_ratio),
            met: open.p50_ratio <= RATIO_MAX,
        },
        None => Target {
            words: format!(
                "open loop p50 at most {DIFFERENCE_MS_MAX} ms above raw: {:.2} ms",
                open.p50_difference_ms
            ),
            met: open.p50_difference_ms <= DIFFERENCE_MS_MAX,
        },
    }
}

fn print_ack(report: &Report, wrap: Option<Wrap>, target: &Target) {
    let wrapped =
        wrap.map_or(String::new(), |wrap| format!(", behind played latency ({wrap:?}, seed {SEED})"));
    say(format_args!(
        "{}{wrapped}; commits and raw PUTs of {}",
        report.store,
        bytes_text(report.object_bytes)
    ));
    let head =
        ["run", "", "p50 ms", "p99 ms", "count", "failed", "p50 ×", "p99 ×", "p50 + ms", "PUT/s", "$/month"];
    let mut table = plain_table(&head);
    for run in &report.runs {
        let number = |value: f64| format!("{value:.2}");
        let cells = |summary: &Summary| {
            [
                number(summary.p50_ms),
                number(summary.p99_ms),
                summary.count.to_string(),
                summary.failed.to_string(),
            ]
        };
        let rest =
            [run.p50_ratio, run.p99_ratio, run.p50_difference_ms, run.puts_per_second, run.dollars_a_month];
        table.add_row(
            [run.run.clone(), "ack".into()].into_iter().chain(cells(&run.ack)).chain(rest.map(number)),
        );
        table.add_row([String::new(), "raw PUT".into()].into_iter().chain(cells(&run.raw)));
    }
    say(table);
    say(format_args!(
        "$/month = PUT/s × {SECONDS_A_MONTH} s × ${DOLLARS_PER_1000_PUTS} per 1,000 PUTs; the default budget is 10 slot PUTs a second, burst 20"
    ));
    say(format_args!("target: {} → {}", target.words, if target.met { "met" } else { "MISSED" }));
}

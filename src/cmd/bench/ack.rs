//! `frazil bench ack`: acknowledgements beside raw PUTs.

use std::process::ExitCode;

use frazil_log::env::Env;
use serde_json::json;

use super::wrap::{self, SEED, Wrap};
use crate::bench::ack::{self, DOLLARS_PER_1000_PUTS, Report, SECONDS_A_MONTH};
use crate::bench::latency::Summary;
use crate::store_args::{self, Output, OutputArgs, bytes_text, plain_table, say};

/// The open loop's p50 over a raw PUT's, on a store like S3.
const RATIO_MAX: f64 = 1.15;

/// Its p99 over a raw PUT's: below it where PUTs are slow one by one, a little above where all are slow together.
const P99_RATIO_END: f64 = 1.0;
const SLOW_P99_RATIO_MAX: f64 = 1.2;

/// Requests for an acknowledgement over requests for a raw PUT.
const REQUESTS_RATIO_MAX: f64 = 1.1;

/// The open loop's p50 above a raw PUT's, on a store nearby.
const DIFFERENCE_MS_MAX: f64 = 1.0;

/// Arguments.
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// The store, or s3-like or s3-like-slow: memory behind played latency; what is written lies below a fresh database, which is removed again
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
    /// End with exit code 1 if a target is missed
    #[arg(long)]
    check: bool,
    #[command(flatten)]
    output: OutputArgs,
}

/// Measures, and prints what came out.
pub(super) fn run(args: &Args) -> anyhow::Result<ExitCode> {
    let options = ack::Options {
        run: std::time::Duration::from_secs(args.seconds),
        rate: args.rate,
        row_bytes: usize::try_from(args.bytes.as_u64())?,
        exact_starts: true,
    };
    let (url, wrap) = place(args);
    let report = store_args::block_on(async {
        ack::measure(&wrap::open(url, wrap)?, &options, &Env::system()).await
    })?;
    let target = target(&report, wrap);
    match args.output.output {
        Output::Json => {
            let mut json = serde_json::to_value(&report)?;
            json["wrap"] = json!(wrap.map(|wrap| format!("{wrap:?}")));
            json["target"] = json!({"words": target.words, "met": target.met});
            say(json);
        }
        Output::Table => print_ack(&report, wrap, &target),
    }
    Ok(if args.check && !target.met { ExitCode::FAILURE } else { ExitCode::SUCCESS })
}

/// The store's URL, and what is played before it.
fn place(args: &Args) -> (&str, Option<Wrap>) {
    match args.store.as_str() {
        "s3-like" => ("memory://", args.wrap.or(Some(Wrap::S3Like))),
        "s3-like-slow" => ("memory://", Some(Wrap::S3LikeSlow)),
        url => (url, args.wrap),
    }
}

struct Target {
    words: String,
    met: bool,
}

/// The target of the open loop, the first run.
fn target(report: &Report, wrap: Option<Wrap>) -> Target {
    let Some(open) = report.runs.first() else { return Target { words: String::new(), met: true } };
    let requests = open.requests_per_ack / open.requests_per_raw.max(f64::EPSILON);
    match wrap {
        Some(Wrap::S3Like) => Target {
            words: format!(
                "open loop p50 at most {RATIO_MAX} × raw: {:.3}; p99 below {P99_RATIO_END} ×: {:.3}; requests at most {REQUESTS_RATIO_MAX} ×: {requests:.3}",
                open.p50_ratio, open.p99_ratio
            ),
            met: open.p50_ratio <= RATIO_MAX
                && open.p99_ratio < P99_RATIO_END
                && requests <= REQUESTS_RATIO_MAX,
        },
        Some(Wrap::S3LikeSlow) => Target {
            words: format!(
                "open loop p99 at most {SLOW_P99_RATIO_MAX} × raw: {:.3}; requests at most {REQUESTS_RATIO_MAX} ×: {requests:.3}",
                open.p99_ratio
            ),
            met: open.p99_ratio <= SLOW_P99_RATIO_MAX && requests <= REQUESTS_RATIO_MAX,
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
    let head = [
        "run",
        "",
        "p50 ms",
        "p99 ms",
        "count",
        "failed",
        "requests each",
        "hedges",
        "won",
        "p50 ×",
        "p99 ×",
        "p50 + ms",
        "PUT/s",
        "$/month",
    ];
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
        let hedges = [number(run.requests_per_ack), run.hedges_sent.to_string(), run.hedges_won.to_string()];
        let rest =
            [run.p50_ratio, run.p99_ratio, run.p50_difference_ms, run.puts_per_second, run.dollars_a_month];
        let ack = [run.run.clone(), "ack".into()].into_iter().chain(cells(&run.ack));
        table.add_row(ack.chain(hedges).chain(rest.map(number)));
        let raw = [String::new(), "raw PUT".into()].into_iter().chain(cells(&run.raw));
        table.add_row(raw.chain([number(run.requests_per_raw)]));
    }
    say(table);
    say(format_args!(
        "$/month = PUT/s × {SECONDS_A_MONTH} s × ${DOLLARS_PER_1000_PUTS} per 1,000 PUTs; the default budget is 10 slot PUTs a second, burst 20"
    ));
    say(format_args!("target: {} → {}", target.words, if target.met { "met" } else { "MISSED" }));
}

//! `frazil bench`: measures next to the raw store, in the same run.

use std::process::ExitCode;
use std::sync::Arc;

use anyhow::Context;
use clap::{Subcommand, ValueEnum};
use frazil_log::id::Slot;
use frazil_log::store::Store;
use serde_json::json;

use crate::bench::ack::{self, DOLLARS_PER_1000_PUTS, Report, SECONDS_A_MONTH};
use crate::bench::cold::{self, Measured};
use crate::bench::latency::Summary;
use crate::bench::s3_like::S3Like;
use crate::store_args::{self, Output, OutputArgs, bytes_text, note, open_or_create, plain_table, say};

/// The seed of played latency.
const SEED: u64 = 20_260_115;

/// The open loop's p50 over a raw PUT's, on a store like S3.
const RATIO_MAX: f64 = 1.15;

/// The open loop's p50 above a raw PUT's, on a store nearby.
const DIFFERENCE_MS_MAX: f64 = 1.0;

/// Arguments.
#[derive(Debug, clap::Args)]
#[command(after_help = "Example: frazil bench ack --store memory:// --wrap s3-like")]
pub(crate) struct Args {
    #[command(subcommand)]
    verb: Verb,
}

#[derive(Debug, Subcommand)]
enum Verb {
    /// Acknowledgements beside raw create-only PUTs of the same size, on the same store
    #[command(after_help = "Example: frazil bench ack --store s3://bucket/prefix --seconds 60 -o json")]
    Ack(AckArgs),
    /// Cold starts on synthetic logs of 10^4, 10^5, … slots
    #[command(after_help = "Example: frazil bench cold 1000000")]
    Cold(ColdArgs),
}

#[derive(Debug, clap::Args)]
struct AckArgs {
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
enum Wrap {
    /// Log-normal latency, p50 30 ms, p99 200 ms
    S3Like,
    /// Besides: slow spells, a slow connection, bursts of 503
    S3LikeSlow,
}

#[derive(Debug, clap::Args)]
struct ColdArgs {
    /// A number of slots (then also each tenth of it, from 10,000 on), or several with commas
    slots: String,
    /// Where the logs lie; if it is not given, in memory, and one of 10,000 slots in a temporary directory
    #[arg(long, value_name = "URL")]
    store: Option<String>,
    #[command(flatten)]
    output: OutputArgs,
}

/// Measures.
pub(crate) fn run(args: Args) -> anyhow::Result<ExitCode> {
    match args.verb {
        Verb::Ack(args) => run_ack(&args),
        Verb::Cold(args) => run_cold(&args),
    }
}

fn run_ack(args: &AckArgs) -> anyhow::Result<ExitCode> {
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

/// The sizes to measure, ascending.
fn sizes(text: &str) -> anyhow::Result<Vec<Slot>> {
    let parse = |part: &str| {
        part.trim()
            .replace('_', "")
            .parse::<Slot>()
            .with_context(|| format!("{part:?} is no number of slots"))
    };
    let mut sizes: Vec<Slot> = text.split(',').map(parse).collect::<Result<_, _>>()?;
    if let [largest] = sizes[..] {
        let tenths = std::iter::successors(Some(10_000), |slots: &Slot| slots.checked_mul(10));
        sizes = tenths.take_while(|slots| *slots < largest).chain([largest]).collect();
    }
    sizes.sort_unstable();
    sizes.dedup();
    anyhow::ensure!(
        sizes.iter().all(|slots| (1..=cold::SLOTS_MAX).contains(slots)),
        "give 1 to {} slots",
        cold::SLOTS_MAX
    );
    Ok(sizes)
}

fn run_cold(args: &ColdArgs) -> anyhow::Result<ExitCode> {
    let sizes = sizes(&args.slots)?;
    let groups = store_args::block_on(async {
        let in_memory = args.store.is_none();
        let mut group = Vec::new();
        for slots in sizes {
            let store = open_or_create(args.store.as_deref().unwrap_or("memory://"))?;
            group.push(measure_cold(&store, slots).await?);
        }
        let mut groups = vec![group];
        if in_memory {
            groups.push(vec![measure_in_directory().await?]);
        }
        anyhow::Ok(groups)
    })?;
    let missed: Vec<String> = groups.iter().flat_map(|group| cold::missed(group)).collect();
    let measured: Vec<&Measured> = groups.iter().flatten().collect();
    match args.output.output {
        Output::Json => say(json!({"logs": measured, "missed": missed})),
        Output::Table => print_cold(&measured, &missed),
    }
    Ok(if missed.is_empty() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

async fn measure_cold(store: &Store, slots: Slot) -> anyhow::Result<Measured> {
    let measured = cold::measure(store, slots).await?;
    note(format_args!("{slots} slots: written in {:.1} s", measured.written_in_seconds));
    Ok(measured)
}

/// The smallest log on a real disk.
async fn measure_in_directory() -> anyhow::Result<Measured> {
    let name = format!("frazil-bench-cold-{}", frazil_log::env::Env::system().ulid());
    let directory = std::env::temp_dir().join(name);
    let url = directory.to_str().context("the temporary directory's name is UTF-8")?;
    let measured = async { measure_cold(&open_or_create(url)?, 10_000).await }.await;
    let removed =
        std::fs::remove_dir_all(&directory).with_context(|| format!("removing {}", directory.display()));
    let measured = measured?;
    removed?;
    Ok(measured)
}

fn print_cold(measured: &[&Measured], missed: &[String]) {
    let mut table =
        plain_table(&["slots", "ready", "requests", "state", "checkpoint", "pages", "slots kept", "store"]);
    for one in measured {
        table.add_row([
            one.slots.to_string(),
            format!("{:.0} ms", one.ready_seconds * 1_000.0),
            one.requests.to_string(),
            format!("{} B", one.state_bytes),
            format!("{} B", one.checkpoint_bytes),
            one.pages.to_string(),
            one.slots_kept.to_string(),
            one.store.clone(),
        ]);
    }
    say(table);
    missed.iter().for_each(|missed| say(format_args!("target missed: {missed}")));
    if missed.is_empty() {
        say("targets met: ready < 1 s, state bytes equal, checkpoint at most +4 KiB per factor of 16");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_number_means_its_tenths_too() {
        assert_eq!(sizes("1000000").unwrap(), [10_000, 100_000, 1_000_000]);
        assert_eq!(sizes("25_000").unwrap(), [10_000, 25_000]);
        assert_eq!(sizes("500").unwrap(), [500]);
        assert_eq!(sizes("3000,1000").unwrap(), [1_000, 3_000]);
        assert!(sizes("many").is_err() && sizes("0").is_err() && sizes("9000000").is_err());
    }
}

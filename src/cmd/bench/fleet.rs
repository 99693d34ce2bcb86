//! `frazil bench fleet`: gateways on one bucket, one, three and ten.

use std::process::ExitCode;
use std::time::Duration;

use serde_json::json;

use crate::bench::fleet::{Report, measure};
use crate::store_args::{self, Output, OutputArgs, plain_table, say};

/// Slot PUTs a second that the fleet has together, and what checkpoints and lost slots may add.
const BUDGET: f64 = 10.0;
const BUDGET_SLACK: f64 = 1.1;

/// Processor time of three gateways over that of one.
const CPU_RATIO_MAX: f64 = 1.3;

/// How long writes may stand still when the leader is killed, in milliseconds.
const PAUSE_MS_MAX: f64 = 2_000.0;

/// Arguments.
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// A store that processes can share; what is written lies below fleet-… there, and is removed again
    #[arg(long, env = "FRAZIL_STORE", value_name = "URL")]
    store: String,
    /// How many gateways, one fleet after the other
    #[arg(long, value_delimiter = ',', default_values_t = [1, 3, 10], value_name = "N")]
    gateways: Vec<usize>,
    /// How long each fleet is under load
    #[arg(long, default_value_t = 20, value_name = "N")]
    seconds: u64,
    /// Requests a second, over all gateways
    #[arg(long, default_value_t = 100.0, value_name = "N")]
    rate: f64,
    #[command(flatten)]
    output: OutputArgs,
}

/// Measures, and prints what came out.
pub(super) fn run(args: &Args) -> anyhow::Result<ExitCode> {
    anyhow::ensure!(args.gateways.iter().all(|size| (1..=64).contains(size)), "--gateways: 1 to 64 each");
    let run = Duration::from_secs(args.seconds);
    let report = store_args::block_on(measure(&args.store, &args.gateways, run, args.rate))?;
    let targets = targets(&report);
    match args.output.output {
        Output::Json => {
            let mut json = serde_json::to_value(&report)?;
            let shown = targets.iter().map(|(words, met)| json!({"words": words, "met": met}));
            json["targets"] = shown.collect();
            say(json);
        }
        Output::Table => print(&report, &targets),
    }
    Ok(ExitCode::SUCCESS)
}

fn targets(report: &Report) -> Vec<(String, bool)> {
    let mut targets = Vec::new();
    for run in &report.runs {
        let words = format!("{} gateways: at most {BUDGET} PUT/s", run.gateways);
        targets.push((words, run.puts_per_second <= BUDGET * BUDGET_SLACK));
        targets.push((format!("{} gateways: no request failed", run.gateways), run.failed == 0));
        if let Some(pause) = run.leader_killed_pause_ms {
            let words =
                format!("{} gateways: leader killed, writes go on in {PAUSE_MS_MAX} ms", run.gateways);
            targets.push((words, pause < PAUSE_MS_MAX));
        }
    }
    let cpus = |size| report.runs.iter().find(|run| run.gateways == size).map(|run| run.cpus);
    if let (Some(one), Some(three)) = (cpus(1), cpus(3)) {
        let words = format!("processor time of 3 at most {CPU_RATIO_MAX} × of 1: {:.2}", three / one);
        targets.push((words, three <= one * CPU_RATIO_MAX));
    }
    targets
}

fn print(report: &Report, targets: &[(String, bool)]) {
    say(format_args!("{}; {} requests a second in all", report.store, report.rate));
    let head =
        ["gateways", "ack p50 ms", "p99 ms", "count", "failed", "PUT/s", "CPUs", "handed over", "in vain"];
    let mut table = plain_table(&[head.as_slice(), &["leader killed: pause ms"]].concat());
    for run in &report.runs {
        table.add_row([
            run.gateways.to_string(),
            format!("{:.2}", run.ack.p50_ms),
            format!("{:.2}", run.ack.p99_ms),
            run.ack.count.to_string(),
            run.failed.to_string(),
            format!("{:.2}", run.puts_per_second),
            format!("{:.3}", run.cpus),
            run.handed_over.to_string(),
            run.handed_over_in_vain.to_string(),
            run.leader_killed_pause_ms.map_or_else(|| "-".to_owned(), |pause| format!("{pause:.0}")),
        ]);
    }
    say(table);
    for (words, met) in targets {
        say(format_args!("target: {words} → {}", if *met { "met" } else { "MISSED" }));
    }
}

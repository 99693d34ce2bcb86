//! `frazil bench tables`: a database of many tables.

use std::process::ExitCode;

use serde_json::json;

use crate::bench::tables::{self, Measured};
use crate::store_args::{self, Output, OutputArgs, bytes_text, open_or_create, plain_table, say};

/// A start takes less, in seconds.
const READY_SECONDS_END: f64 = 1.0;

/// Requests that a read of a table costs besides one for each of its slices.
const RARE_REQUESTS_MAX: u64 = 3;

/// The targets in words.
const TARGET: &str =
    "ready < 1 s, a table that is seldom written is read with at most 3 requests + its slices";

/// Arguments.
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// Tables of the database
    #[arg(default_value_t = 10_000)]
    tables: u64,
    /// Tables written each second, by a request of one row each
    #[arg(long, default_value_t = 1_000, value_name = "N")]
    written: u64,
    /// For how long; names of proposals are remembered for 1,000 slots, which is 100 s at the default pace
    #[arg(long, default_value_t = 120, value_name = "N")]
    seconds: u64,
    /// Where the log lies
    #[arg(long, default_value = "memory://", value_name = "URL")]
    store: String,
    #[command(flatten)]
    output: OutputArgs,
}

/// Measures, and prints what came out.
pub(super) fn run(args: &Args) -> anyhow::Result<ExitCode> {
    anyhow::ensure!(
        args.tables > 0 && args.written > 0,
        "give at least one table, and one written each second"
    );
    let options =
        tables::Options { tables: args.tables, written_a_second: args.written, seconds: args.seconds };
    let measured =
        store_args::block_on(async { tables::measure(&open_or_create(&args.store)?, options).await })?;
    let met = measured.ready_seconds < READY_SECONDS_END
        && measured.rare_requests <= RARE_REQUESTS_MAX + measured.rare_slices;
    match args.output.output {
        Output::Json => {
            let mut json = serde_json::to_value(&measured)?;
            json["target"] = json!({"words": TARGET, "met": met});
            say(json);
        }
        Output::Table => print(&measured, met),
    }
    Ok(if met { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

fn print(measured: &Measured, met: bool) {
    let mut table = plain_table(&["", ""]);
    let ms = |seconds: f64| format!("{:.0} ms", seconds * 1_000.0);
    let rows = [
        ("store", measured.store.clone()),
        ("tables", format!("{}, {} written each second", measured.tables, measured.written_a_second)),
        (
            "acks",
            format!(
                "{}, p50 {:.0} ms, p99 {:.0} ms",
                measured.ack.count, measured.ack.p50_ms, measured.ack.p99_ms
            ),
        ),
        ("written in", format!("{:.1} s, {} slots", measured.written_in_seconds, measured.slots)),
        ("state", format!("{}, {} names", bytes_text(measured.state_bytes as u64), measured.names)),
        ("state encoded in", ms(measured.state_encoded_in_seconds)),
        ("ready", format!("{}, {} requests", ms(measured.ready_seconds), measured.ready_requests)),
        (
            "a seldom table",
            format!("{} requests for {} slices", measured.rare_requests, measured.rare_slices),
        ),
    ];
    for (name, value) in rows {
        table.add_row([name.to_owned(), value]);
    }
    say(table);
    say(format_args!("target: {TARGET} → {}", if met { "met" } else { "MISSED" }));
}

//! `frazil verify`: checks every object of a store, with every process dead or alive.

use std::process::ExitCode;
use std::time::Duration;

use anyhow::Context;
use frazil_log::env::Env;
use frazil_log::id::{Name, TimeMicros};
use indicatif::{ProgressBar, ProgressStyle};
use serde_json::json;

use crate::store_args::{self, Output, OutputArgs, StoreArgs, bytes_text, note, say};
use crate::verify::{Options, Report, verify};

/// Corruption was found.
const CORRUPT: u8 = 4;

/// Arguments.
#[derive(Debug, clap::Args)]
#[command(after_help = "Example: frazil verify --store s3://bucket/prefix --since 2h\n\n\
    Exit codes: 0 no corruption; 4 corruption; 1 the store, or a later version's object, could not be read.")]
pub(crate) struct Args {
    #[command(flatten)]
    store: StoreArgs,
    /// One database; all if it is not given
    #[arg(long, value_name = "NAME")]
    database: Option<String>,
    /// Decode every slice too, and compare its rows with the counts and statistics in the headers
    #[arg(long)]
    deep: bool,
    /// Begin at the newest checkpoint that is older than this: RFC 3339, or a length of time such as 2h
    #[arg(long, value_name = "TIME")]
    since: Option<String>,
    #[command(flatten)]
    output: OutputArgs,
}

/// Verifies.
pub(crate) fn run(args: Args) -> anyhow::Result<ExitCode> {
    let now = Env::system().now().wall;
    let options = Options {
        database: args.database.as_deref().map(store_args::database).transpose()?,
        deep: args.deep,
        since: args.since.as_deref().map(|since| parse_since(since, now)).transpose()?,
        protocol: crate::config::protocol(),
        now,
    };
    let report = store_args::block_on(async {
        let store = args.store.open()?;
        let bar = progress_bar();
        let progress = |report: &Report| {
            bar.set_message(format!("{} objects, {}", report.objects, bytes_text(report.bytes)));
        };
        let report = verify(&store, &options, &progress).await;
        bar.finish_and_clear();
        report
    })?;
    print(&report, args.output.output, options.database.as_ref())?;
    Ok(exit_code(&report))
}

/// What to tell the shell.
fn exit_code(report: &Report) -> ExitCode {
    match (report.corruptions.is_empty(), report.unreadable.is_empty()) {
        (false, _) => ExitCode::from(CORRUPT),
        (true, false) => ExitCode::FAILURE,
        (true, true) => ExitCode::SUCCESS,
    }
}

/// It draws only where somebody looks.
fn progress_bar() -> ProgressBar {
    let bar = ProgressBar::new_spinner();
    if let Ok(style) = ProgressStyle::with_template("{spinner} {msg}  {elapsed}") {
        bar.set_style(style);
    }
    bar.enable_steady_tick(Duration::from_millis(200));
    bar
}

/// A point in time, or how long ago.
fn parse_since(text: &str, now: TimeMicros) -> anyhow::Result<TimeMicros> {
    if let Ok(time) = chrono::DateTime::parse_from_rfc3339(text) {
        return Ok(time.timestamp_micros());
    }
    let ago = humantime::parse_duration(text.trim_start_matches('-'));
    let ago = ago.with_context(|| {
        format!("--since {text:?}: give a time such as 2026-01-31T10:00:00Z, or a length such as 2h")
    })?;
    Ok(now.saturating_sub(i64::try_from(ago.as_micros()).unwrap_or(i64::MAX)))
}

fn print(report: &Report, output: Output, only: Option<&Name>) -> anyhow::Result<()> {
    if output == Output::Json {
        let mut json = serde_json::to_value(report)?;
        json["ok"] = json!(report.corruptions.is_empty() && report.unreadable.is_empty());
        json["database"] = json!(only);
        say(json);
        return Ok(());
    }
    report.remarks.iter().for_each(|remark| note(format_args!("note: {remark}")));
    for database in &report.databases {
        let slot = |slot: Option<u64>| slot.map_or("-".to_owned(), |slot| slot.to_string());
        note(format_args!(
            "{}: folded {}..{}, {} checkpoints agree, {} places of rows, {} unreferenced segments, {} unlisted pages",
            database.database,
            slot(database.folded_from),
            slot(database.folded_to),
            database.checkpoints_agreeing,
            database.places,
            database.segments_unreferenced,
            database.pages_unlisted
        ));
        if database.slices_decoded + database.slices_of_no_table > 0 {
            let (decoded, unknown) = (database.slices_decoded, database.slices_of_no_table);
            note(format_args!(
                "{}: {decoded} slices decoded, {unknown} of forgotten tables",
                database.database
            ));
        }
    }
    report.unreadable.iter().for_each(|fault| say(format_args!("not known to this version: {fault}")));
    report.corruptions.iter().for_each(say);
    match report.corruptions.len() {
        0 => say(format_args!("verified {} objects, {} bytes: no corruption", report.objects, report.bytes)),
        count => say(format_args!("found {count} corruptions")),
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn since_is_a_time_or_how_long_ago() {
        let now = 1_000_000_000_000;
        assert_eq!(parse_since("1970-01-01T00:00:01Z", now).unwrap(), 1_000_000);
        assert_eq!(parse_since("2h", now).unwrap(), now - 7_200_000_000);
        assert_eq!(parse_since("-15m", now).unwrap(), now - 900_000_000);
        assert!(parse_since("yesterday", now).unwrap_err().to_string().contains("2h"));
    }
}

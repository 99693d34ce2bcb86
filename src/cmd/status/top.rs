//! `frazil top`: what a gateway does now: `frazil status` over the time between two looks, with rates, again and again.

use std::io::{IsTerminal, stdout};
use std::process::ExitCode;
use std::time::Duration;

use anyhow::Context;
use serde_json::{Value, json};
use tokio::time::{Instant, sleep};

use super::{Look, look, view};
use crate::client::{self, Client, ObjectArgs};
use crate::output::{Format, number, print};

/// The shortest pause between two looks: each costs the gateway a scrape.
const INTERVAL_MIN: Duration = Duration::from_millis(200);

/// Takes a terminal's cursor home and empties what lies below it.
const CLEAR: &str = "\x1b[H\x1b[2J";

/// Arguments of `frazil top`.
#[derive(Debug, clap::Args)]
#[command(
    after_help = "Examples:\n  frazil top --url http://gateway-1:7777\n  frazil top --interval 10s --count 6 -o json\n\n\
    Counts and times are those of the interval, not since the gateway began. With -o json: a document a line."
)]
pub(crate) struct Args {
    #[command(flatten)]
    common: ObjectArgs,
    /// The time between two looks
    #[arg(long, value_name = "DURATION", default_value = "2s", value_parser = humantime::parse_duration)]
    interval: Duration,
    /// End after so many intervals; else on ctrl-c
    #[arg(long, value_name = "N")]
    count: Option<u64>,
}

/// Looks until it has looked often enough, or ctrl-c.
///
/// # Errors
/// If no gateway answers, or it does not let us in.
pub(crate) fn run(args: Args) -> anyhow::Result<ExitCode> {
    anyhow::ensure!(args.interval >= INTERVAL_MIN, "--interval: at least {} ms", INTERVAL_MIN.as_millis());
    anyhow::ensure!(
        matches!(args.common.output, Format::Table | Format::Json),
        "what `frazil top` prints is a page or a document each time: use -o table or -o json"
    );
    client::run(async {
        tokio::select! {
            biased;
            interrupted = tokio::signal::ctrl_c() => interrupted.context("ctrl-c cannot be listened for")?,
            watched = watch(&args) => watched?,
        }
        Ok(ExitCode::SUCCESS)
    })
}

async fn watch(args: &Args) -> anyhow::Result<()> {
    let client = Client::new(&args.common.endpoint)?;
    let is_page = args.common.output == Format::Table;
    let clear = if is_page && stdout().is_terminal() { CLEAR } else { "" };
    let (mut before, mut at) = (look(&client).await?, Instant::now());
    let mut left = args.count;
    while left != Some(0) {
        sleep(args.interval).await;
        let (after, now) = (look(&client).await?, Instant::now());
        let document = interval(client.shown_url(), &before, &after, now - at);
        print(&if is_page { format!("{clear}{}", page(&document)) } else { document.to_string() })?;
        (before, at) = (after, now);
        left = left.map(|left| left.saturating_sub(1));
    }
    Ok(())
}

/// What lies between two looks, as a document. PURE.
fn interval(url: &str, before: &Look, after: &Look, took: Duration) -> Value {
    let metrics = after.metrics.since(&before.metrics);
    let mut document = view::document(url, after.state.as_deref(), &after.cluster, &metrics);
    let seconds = took.as_secs_f64();
    // Not `sum`: that of nothing is minus zero.
    let rate = |name: &str| metrics.of(name).fold(0.0, |sum, (_, value)| sum + value) / seconds;
    let acks = metrics.histogram("frazil_ack_stage_seconds", "stage", "total").count() / seconds;
    document["seconds"] = json!(seconds);
    document["per_second"] = json!({
        "rows_produced": rate("frazil_rows_produced_total"),
        "rows_consumed": rate("frazil_rows_consumed_total"),
        "acks": acks,
        "store_requests": rate("frazil_store_requests_total"),
    });
    document
}

/// The document as a person reads it.
fn page(document: &Value) -> String {
    let rate = |name: &str| number::short(document["per_second"][name].as_f64().unwrap_or(0.0));
    format!(
        " rows in {}/s   rows out {}/s   acks {}/s   store {} requests/s   over {}\n{}",
        rate("rows_produced"),
        rate("rows_consumed"),
        rate("acks"),
        rate("store_requests"),
        number::seconds(document["seconds"].as_f64().unwrap_or(0.0)),
        view::for_people(document)
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::client::metrics::Metrics;

    fn look(rows: u64, puts: u64, fast: u64, slow: u64) -> Look {
        let scrape = format!(
            "frazil_rows_produced_total {rows}\nfrazil_store_requests_total{{op=\"put\",result=\"ok\"}} {puts}\n\
             frazil_ack_stage_seconds_bucket{{stage=\"total\",le=\"0.1\"}} {fast}\n\
             frazil_ack_stage_seconds_bucket{{stage=\"total\",le=\"10\"}} {slow}\n\
             frazil_ack_stage_seconds_bucket{{stage=\"total\",le=\"+Inf\"}} {slow}\n"
        );
        Look { state: Some("ready".into()), cluster: json!({}), metrics: Metrics::parse(&scrape) }
    }

    #[test]
    fn what_was_before_does_not_count() {
        // A thousand slow acknowledgements long ago, ten fast ones now.
        let (before, after) = (look(5_000, 1_000, 0, 1_000), look(9_000, 1_020, 10, 1_010));
        let document = interval("u", &before, &after, Duration::from_secs(2));
        assert_eq!(document["per_second"]["rows_produced"], 2_000.0);
        assert_eq!(
            (&document["per_second"]["acks"], &document["per_second"]["store_requests"]),
            (&json!(5.0), &json!(10.0))
        );
        assert_eq!(document["ack_stages"][0]["p99_ms"], 99.0);
        let page = page(&document);
        assert!(
            page.starts_with(
                " rows in 2.0k/s   rows out 0/s   acks 5/s   store 10 requests/s   over 2.0 s\n"
            ),
            "{page}"
        );
    }

    #[test]
    fn a_gateway_that_began_anew_counts_from_nothing() {
        let document = interval("u", &look(5_000, 9, 9, 9), &look(100, 1, 1, 1), Duration::from_secs(1));
        assert_eq!(document["per_second"]["rows_produced"], 100.0);
    }
}

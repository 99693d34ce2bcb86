//! `frazil cost`: requests and bytes to dollars a month.
//!
//! [`sources`] says what is used: as a gateway counted it, or as it lies in a store; [`bill()`] is the arithmetic, PURE, also for a load in
//! words; [`mod@prices`] is the table.

mod bill;
mod prices;
mod sources;

use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use frazil_log::store::Store;
use serde_json::{Value, json};

use self::bill::{Bill, Load, Usage, bill, kafka, usage_of};
use self::prices::{Class, Prices, prices};
use crate::client::{self, Client, ObjectArgs};
use crate::output::number::thousands;
use crate::output::{self, Format, Listing, print_json};
use crate::store_args;

/// After so long the requests of a start no longer count much.
const SHORT_SECONDS: f64 = 600.0;

/// Arguments.
#[derive(Debug, clap::Args)]
#[command(
    after_help = "Examples:\n  frazil cost                                    what this gateway has sent, at its rate since it started\n  \
    frazil cost --window 60s --gateways 3          the same over a minute from now, for three such gateways\n  \
    frazil cost --mb-per-second 5 --gateways 2 --consumers 3 --retention 7d     a load that is only planned\n  \
    frazil cost --store s3://bucket/prefix         what lies there\n\n\
    A month has 30 days. Machines, KMS and traffic out of the region are not counted; neither are pages of a LIST beyond the first."
)]
pub(crate) struct Args {
    #[command(flatten)]
    common: ObjectArgs,
    /// Count the bytes that lie in this store
    #[arg(long, value_name = "URL", conflicts_with_all = ["window", "mb_per_second"])]
    store: Option<String>,
    /// Ask the gateway twice, so far apart, rather than take the rate since its start
    #[arg(long, value_name = "DURATION", value_parser = humantime::parse_duration, conflicts_with = "mb_per_second")]
    window: Option<Duration>,
    /// A load in words: MB (10^6 bytes) of stored rows a second, of all gateways together
    #[arg(long, value_name = "N", value_parser = positive)]
    mb_per_second: Option<f64>,
    /// Slot PUTs a second of each gateway, for a load in words
    #[arg(long, default_value_t = 10.0, value_name = "N", value_parser = positive, requires = "mb_per_second")]
    puts_per_second: f64,
    /// How often all rows are read as they come, for a load in words
    #[arg(long, default_value_t = 1, value_name = "N", requires = "mb_per_second")]
    consumers: u32,
    /// For how long rows are kept, for a load in words
    #[arg(long, default_value = "7d", value_name = "DURATION", value_parser = humantime::parse_duration, requires = "mb_per_second")]
    retention: Duration,
    /// How many such gateways there are
    #[arg(long, default_value_t = 1, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=1000))]
    gateways: u32,
    /// Whose prices
    #[arg(long, value_enum, default_value = "standard", value_name = "CLASS")]
    class: Class,
    /// Prices of your own: a TOML file, such as `put_per_1000 = 0.0054`
    #[arg(long, value_name = "FILE")]
    prices: Option<PathBuf>,
}

fn positive(text: &str) -> Result<f64, String> {
    match text.parse::<f64>() {
        Ok(number) if number.is_finite() && number >= 0.0 => Ok(number),
        _ => Err("expected a number from 0 on".to_owned()),
    }
}

/// What was asked about.
struct Subject {
    words: String,
    usage: Usage,
    stored_by_kind: Value,
    load: Option<Load>,
}

/// Asks, counts, prints.
pub(crate) fn run(args: Args) -> anyhow::Result<ExitCode> {
    let prices = prices(args.class, args.prices.as_deref())?;
    let subject = subject(&args)?;
    let bill = bill(&subject.usage, &prices);
    let kafka = subject.load.map(|load| kafka(&load, &prices));
    match args.common.output {
        Format::Table => output::print(&for_people(&subject, &bill, kafka.as_ref(), &prices))?,
        Format::Json => print_json(&json!({
            "subject": subject.words, "usage_a_month": subject.usage, "stored_bytes": subject.stored_by_kind,
            "bill": bill, "kafka": kafka, "prices": prices,
        }))?,
        other => listing(&bill).print(other, &Value::Null)?,
    }
    Ok(ExitCode::SUCCESS)
}

fn subject(args: &Args) -> anyhow::Result<Subject> {
    if let Some(mb) = args.mb_per_second {
        let load = Load {
            puts_per_second: args.puts_per_second,
            bytes_per_second: mb * 1e6,
            gateways: f64::from(args.gateways),
            consumers: f64::from(args.consumers),
            retention_seconds: args.retention.as_secs_f64(),
        };
        let words = format!(
            "{mb} MB/s over {} with {} slot PUTs a second each, read {} ×, kept {}",
            gateways(args.gateways),
            args.puts_per_second,
            args.consumers,
            humantime::format_duration(args.retention)
        );
        return Ok(Subject { words, usage: usage_of(&load), stored_by_kind: Value::Null, load: Some(load) });
    }
    if let Some(url) = &args.store {
        let stored = store_args::block_on(async {
            let store: Store = store_args::StoreArgs { url: url.clone() }.open()?;
            sources::stored(&store).await
        })?;
        let bytes: u64 = stored.values().sum();
        let usage = Usage::default().with_stored(bytes as f64);
        return Ok(Subject {
            words: format!("what lies in {url}"),
            usage,
            stored_by_kind: json!(stored),
            load: None,
        });
    }
    let mut found = None;
    client::run(async {
        let client = Client::new(&args.common.endpoint)?;
        found = Some(sources::of_gateway(&client, args.window).await?);
        Ok(ExitCode::SUCCESS)
    })?;
    let (usage, seconds) = found.unwrap_or_default();
    let words = format!(
        "{} such as {}, at its rate over {}{}",
        gateways(args.gateways),
        args.common.endpoint.url,
        humantime::format_duration(Duration::try_from_secs_f64(seconds.round()).unwrap_or_default()),
        if args.window.is_none() && seconds < SHORT_SECONDS {
            " (short: its start counts much; --window leaves that out)"
        } else {
            ""
        }
    );
    let usage = usage.times(f64::from(args.gateways));
    Ok(Subject { words, usage, stored_by_kind: Value::Null, load: None })
}

fn gateways(count: u32) -> String {
    if count == 1 { "1 gateway".to_owned() } else { format!("{count} gateways") }
}

fn listing(bill: &Bill) -> Listing {
    let mut listing = Listing::new(&["what", "a month", "unit", "dollars"]);
    for line in &bill.lines {
        listing.push(vec![
            json!(line.what),
            json!(quantity(line.quantity)),
            json!(line.unit),
            json!(format!("{:.2}", line.dollars)),
        ]);
    }
    listing
}

fn quantity(quantity: f64) -> String {
    if quantity < 100.0 {
        return format!("{quantity:.1}");
    }
    format!("{quantity:.0}").parse().map_or_else(|_| format!("{quantity:e}"), thousands)
}

fn for_people(subject: &Subject, bill: &Bill, kafka: Option<&Bill>, prices: &Prices) -> String {
    let mut text = format!("{}; {}\n", subject.words, prices.name);
    if let Some(kinds) = subject.stored_by_kind.as_object() {
        for (kind, bytes) in kinds {
            text.push_str(&format!(" {kind}: {}\n", store_args::bytes_text(bytes.as_u64().unwrap_or(0))));
        }
    }
    text.push_str(&listing(bill).table());
    text.push_str(&format!(" ${:.2} a month\n", bill.total));
    if let Some(kafka) = kafka {
        text.push_str("Kafka with three replicas in three zones, its machines not counted:\n");
        text.push_str(&listing(kafka).table());
        text.push_str(&format!(" ${:.2} a month\n", kafka.total));
    }
    text
}

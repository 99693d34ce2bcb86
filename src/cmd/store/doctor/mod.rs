//! `frazil doctor`: looks at a store as a gateway would, with every process dead or alive, and says what to do.
//!
//! Invariant: what is written lies under `frazil-probe/` and is removed again, whatever was found. Nothing is made: a directory
//! that is not there stays so.
//!
//! Start reading at [`examine`]. A bucket is looked at by [`crate::bucket`], a directory by [`directory`], the log by [`logs`],
//! times by [`speed`]; [`probe`] is the one that each start of a process sends.

mod directory;
mod logs;
mod print;
mod probe;
mod speed;

use std::process::ExitCode;
use std::time::Duration;

use anyhow::Context;
use frazil_log::env::Env;
use frazil_log::store::{Store, StoreOptions, s3_access};
use serde::Serialize;

use crate::bucket::BucketClient;
use crate::bucket::judge::{Finding, Level, judge, without_credentials};
use crate::bucket::observe::{Writes, observe};
use crate::config;
use crate::store_args::{self, OutputArgs};

/// The store would be refused, or is dangerous.
const REFUSED: u8 = 3;

/// Arguments.
#[derive(Debug, clap::Args)]
#[command(
    after_help = "Examples:\n  frazil doctor s3://bucket/prefix\n  frazil doctor s3://bucket/prefix --probe 20s -o json\n\n\
    It writes a few small objects under frazil-probe/ and removes them; --probe 20s sends some 2,000 PUTs and GETs (about $0.01 on S3).\n\n\
    Exit codes: 0 nothing fails (there may be warnings); 3 something fails: a gateway would refuse this store, or rows would be lost; \
    2 usage; 1 doctor itself failed."
)]
pub(crate) struct Args {
    /// The store: s3://bucket/prefix, file:///path, a path, or memory://
    #[arg(value_name = "URL", required_unless_present = "store")]
    url: Option<String>,
    /// The same, as other commands name it
    #[arg(long, env = "FRAZIL_STORE", value_name = "URL")]
    store: Option<String>,
    /// Measure for so long: requests at rates that double, until the store refuses or the time is over
    #[arg(long, value_name = "DURATION", value_parser = humantime::parse_duration)]
    probe: Option<Duration>,
    /// Write and delete nothing: for credentials that may only read
    #[arg(long)]
    read_only: bool,
    #[command(flatten)]
    output: OutputArgs,
}

/// What was found.
#[derive(Clone, Debug, Default, Serialize)]
struct Report {
    /// The store, as it was asked for.
    store: String,
    /// Whether nothing fails.
    ok: bool,
    /// In the order of looking.
    findings: Vec<Finding>,
    /// Times; nothing if it was not come so far.
    #[serde(skip_serializing_if = "Option::is_none")]
    measured: Option<speed::Measured>,
    /// The databases there are.
    databases: Vec<logs::Summary>,
}

/// Looks, and prints what was found.
pub(crate) fn run(args: Args) -> anyhow::Result<ExitCode> {
    let url = args
        .url
        .as_ref()
        .or(args.store.as_ref())
        .context("name a store: frazil doctor s3://bucket/prefix")?;
    let writes = if args.read_only { Writes::Never } else { Writes::Allowed };
    let mut report = store_args::block_on(examine(url, writes, args.probe))?;
    report.store.clone_from(url);
    report.ok = report.findings.iter().all(|finding| finding.level != Level::Fail);
    print::print(&report, args.output.output)?;
    Ok(if report.ok { ExitCode::SUCCESS } else { ExitCode::from(REFUSED) })
}

async fn examine(url: &str, writes: Writes, ramp: Option<Duration>) -> anyhow::Result<Report> {
    let environment = config::environment();
    let options = StoreOptions { environment, ..StoreOptions::default() };
    let env = Env::system();
    let mut report = Report::default();
    if let Some(access) = s3_access(url, &options)? {
        match BucketClient::new(access).await {
            Err(error) => report.findings.push(without_credentials(&error.to_string())),
            Ok(client) => {
                let facts = Box::pin(observe(&client, &env.ulid().to_string(), writes)).await;
                report.findings = judge(&facts);
            }
        }
    } else if let Some(path) = store_args::directory(url) {
        report.findings = directory::examine(path, writes);
    }
    let goes = report.findings.iter().all(|finding| finding.level != Level::Fail);
    let there = store_args::directory(url).is_none_or(std::path::Path::is_dir);
    if goes && there {
        let store = Store::open(url, &options).with_context(|| format!("opening the store {url}"))?;
        deeper(&store, &env, writes, ramp, &mut report).await?;
    }
    Ok(report)
}

/// What makes sense only once the store lets itself be used.
async fn deeper(
    store: &Store,
    env: &Env,
    writes: Writes,
    ramp: Option<Duration>,
    report: &mut Report,
) -> anyhow::Result<()> {
    if store.home().is_none() {
        report.findings.push(Finding::warn(
            "durability",
            "memory is gone when the process ends, and each process has its own",
            "for anything that should last: a directory, or s3://bucket/prefix",
        ));
    }
    if writes == Writes::Allowed {
        report.findings.extend(probe::examine(store, env).await);
        if report.findings.iter().any(|finding| finding.level == Level::Fail) {
            return Ok(());
        }
        let measured = speed::measure(store, env, ramp).await?;
        report.findings.extend(speed::judge(&measured));
        report.measured = Some(measured);
    }
    let (findings, databases) = logs::examine(store).await;
    report.findings.extend(findings);
    report.databases = databases;
    Ok(())
}

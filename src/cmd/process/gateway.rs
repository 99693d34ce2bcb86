//! `frazil gateway`: one of any number of stateless gateways on a store.

use std::process::ExitCode;

use crate::config::{self, ProcessArgs, Settings};
use crate::node::{self, Node, Running};
use crate::telemetry;

/// Arguments.
#[derive(Debug, clap::Args)]
#[command(
    after_help = "Example:\n  frazil gateway --store s3://bucket/prefix --listen 0.0.0.0:7777 --token \"$TOKEN\""
)]
pub struct Args {
    #[command(flatten)]
    process: ProcessArgs,
}

pub fn run(args: Args) -> anyhow::Result<ExitCode> {
    run_process(args.process, None, |node| node::gateway(node, false, banner))
}

/// Settles the settings, opens the store and runs a process on it. Wrong settings: a word to the user, and exit code 2.
#[expect(clippy::print_stderr, reason = "a command's word to its user")]
pub fn run_process<F>(
    args: ProcessArgs,
    default_store: Option<&str>,
    run: impl FnOnce(Node) -> F,
) -> anyhow::Result<ExitCode>
where
    F: Future<Output = anyhow::Result<ExitCode>>,
{
    let settings = match args.settle(default_store) {
        Ok(settings) => settings,
        Err(error) => {
            eprintln!("frazil: {error:#}");
            return Ok(ExitCode::from(2));
        }
    };
    telemetry::begin(settings.log_format, config::environment().get("FRAZIL_LOG").map(String::as_str));
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    let code = runtime.block_on(async {
        let store = settings.store.clone();
        match Node::open(settings).await {
            Ok(node) => run(node).await,
            Err(error) => Ok(node::refuse(&store, &error)),
        }
    });
    runtime.shutdown_timeout(std::time::Duration::from_millis(500));
    code
}

fn banner(running: &Running, settings: &Settings) {
    let auth = if settings.token.is_some() { "auth token" } else { "auth off" };
    print_banner(&[format!(
        "frazil {}  gateway http://{}   store {}   {auth}",
        env!("CARGO_PKG_VERSION"),
        running.address,
        running.store
    )]);
}

/// The banner goes to standard output, so that a program that starts the process can read the address.
#[expect(clippy::print_stdout, reason = "the banner is this command's output")]
pub fn print_banner(lines: &[String]) {
    for line in lines {
        println!("{line}");
    }
}

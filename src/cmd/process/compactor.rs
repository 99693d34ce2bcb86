//! `frazil compactor`: the worker that keeps every log of a store tidy. Any number may run; any one may be killed.

use std::process::ExitCode;

use crate::cmd::gateway::{print_banner, run_process};
use crate::config::ProcessArgs;
use crate::node;

/// Arguments.
#[derive(Debug, clap::Args)]
#[command(
    after_help = "Example:\n  frazil compactor --store s3://bucket/prefix\n\nIt opens a port only if --listen is given: /health, /ready, /version and /metrics."
)]
pub struct Args {
    #[command(flatten)]
    process: ProcessArgs,
}

pub fn run(args: Args) -> anyhow::Result<ExitCode> {
    run_process(args.process, None, |node| {
        node::compactor(node, |store, address| {
            let port =
                address.map_or(String::new(), |address| format!("   metrics http://{address}/metrics"));
            print_banner(&[format!("frazil {}  compactor   store {store}{port}", env!("CARGO_PKG_VERSION"))]);
        })
    })
}

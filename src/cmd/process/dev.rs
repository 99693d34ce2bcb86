//! `frazil dev`: everything in one process, on a local directory.

use std::process::ExitCode;

use bytesize::ByteSize;

use crate::cmd::gateway::{print_banner, run_process};
use crate::config::{ProcessArgs, Settings};
use crate::node::{self, Running};

/// Where `dev` keeps its data unless told otherwise.
const DEFAULT_STORE: &str = "file://./frazil-data";

/// Arguments.
#[derive(Debug, clap::Args)]
#[command(after_help = "Example:\n  frazil dev\n  frazil dev --store memory:// --listen 127.0.0.1:0")]
pub struct Args {
    #[command(flatten)]
    process: ProcessArgs,
}

pub fn run(args: Args) -> anyhow::Result<ExitCode> {
    run_process(args.process, Some(DEFAULT_STORE), |node| node::gateway(node, true, banner))
}

fn banner(running: &Running, settings: &Settings) {
    let url = format!("http://{}", running.address);
    let path = settings.store.strip_prefix("file://").unwrap_or(&settings.store);
    let fsync = if settings.store.starts_with("file:") || !settings.store.contains("://") {
        " (fsync on)"
    } else {
        ""
    };
    let auth = if settings.token.is_some() { "auth token" } else { "auth off (loopback only)" };
    let memory = ByteSize(settings.budget.memory);
    print_banner(&[
        format!(
            "frazil {}  http+flight {url}   data {path}{fsync}   memory {memory}   {auth}",
            env!("CARGO_PKG_VERSION")
        ),
        format!(
            "  try      curl '{}/v1/databases/default/tables/clicks/rows?create=true' -d '[{{\"id\":1,\"url\":\"/home\"}}]'",
            url.trim_start_matches("http://").replace("127.0.0.1", "localhost")
        ),
        format!("  follow   frazil consume clicks -f{}", url_flag(running)),
        format!("  load     frazil produce clicks FILE{}", url_flag(running)),
        "  help     frazil --help     stop  ctrl-c".to_owned(),
    ]);
}

/// Commands find the default address by themselves.
fn url_flag(running: &Running) -> String {
    if running.address.port() == 7777 { String::new() } else { format!(" --url http://{}", running.address) }
}

//! The command `frazil`: one binary for every process and every verb.
//!
//! Start reading at [`cmd`] for what a user types, at [`node`] for how a process is put together.

#![expect(
    unreachable_pub,
    reason = "a binary has no outside: `pub` says what a module offers to its neighbours"
)]

mod bench;
mod bucket;
mod cache;
mod client;
mod cmd;
mod config;
mod node;
mod output;
mod store_args;
mod stored_log;
mod telemetry;
mod verify;

use std::process::ExitCode;

use clap::Parser;

/// Buffers of all sizes come and go with every flush, on other threads than they came from, and must be given back to the system
/// while the load lasts (docs/decisions: connections and memory).
#[global_allocator]
static ALLOCATOR: tikv_jemallocator::Jemalloc = tikv_jemallocator::Jemalloc;

fn main() -> ExitCode {
    cmd::run(cmd::Cli::parse())
}

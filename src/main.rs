//! The command `frazil`: one binary for every process and every verb.
//!
//! Start reading at [`cmd`] for what a user types, at [`node`] for how a process is put together.

mod cmd;
mod config;
mod node;
mod telemetry;

use std::process::ExitCode;

use clap::Parser;

fn main() -> ExitCode {
    cmd::run(cmd::Cli::parse())
}

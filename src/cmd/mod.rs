//! What a user types: a noun and a verb for objects, a bare verb for data. One file a command.
//!
//! Exit codes: 0 done · 1 failed · 2 usage · 3 refused by the store probe · 4 corruption found.

mod bench;
mod bucket;
mod completions;
mod consume;
mod cost;
mod database;
mod group;
mod process;
mod produce;
mod status;
mod store;
mod table;

use std::process::ExitCode;

use clap::{Parser, Subcommand};

use self::process::{compactor, dev, gateway};
use self::store::{doctor, log, verify};

/// An object-store-native store for streams and tables: a bucket is the whole cluster.
#[derive(Debug, Parser)]
#[command(name = "frazil", version, propagate_version = true, max_term_width = 100)]
#[command(after_help = "Start with: frazil dev")]
pub struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Run everything in one process on a local directory
    Dev(dev::Args),
    /// Run a gateway on a store
    Gateway(gateway::Args),
    /// Run the worker that keeps a store tidy (page merge, roll-up, trim, orphan sweep)
    Compactor(compactor::Args),
    /// Set up a bucket of S3, and print what IAM must allow
    Bucket(bucket::Args),
    /// Create, list, describe and drop databases
    Database(database::Args),
    /// Create, list, describe, alter, drop and restore tables
    Table(table::Args),
    /// List, show, store and reset the positions of groups of consumers
    Group(group::Args),
    /// Write the rows of a file or of standard input into a table
    Produce(produce::Args),
    /// Read rows of a table, and follow it
    Consume(consume::Args),
    /// Look into a store's commit log; needs no running gateway
    Log(log::Args),
    /// Check every object of a store; needs no running gateway
    Verify(verify::Args),
    /// Look at a store as a gateway would, and say what to do about what is wrong; needs no running gateway
    Doctor(doctor::Args),
    /// Say how a gateway and its store are doing
    Status(status::Args),
    /// Show what a gateway does now, again and again
    Top(status::top::Args),
    /// Requests and bytes to dollars a month: of a gateway, a store, or a load in words
    Cost(cost::Args),
    /// Measure, next to the raw store in the same run
    Bench(bench::Args),
    /// Print completions for a shell
    Completions(completions::Args),
}

/// Runs one command to its exit code.
pub fn run(cli: Cli) -> ExitCode {
    let outcome = match cli.command {
        Command::Dev(args) => dev::run(args),
        Command::Gateway(args) => gateway::run(args),
        Command::Compactor(args) => compactor::run(args),
        Command::Bucket(args) => bucket::run(args),
        Command::Database(args) => database::run(args),
        Command::Table(args) => table::run(args),
        Command::Group(args) => group::run(args),
        Command::Produce(args) => produce::run(args),
        Command::Consume(args) => consume::run(args),
        Command::Log(args) => log::run(args),
        Command::Verify(args) => verify::run(args),
        Command::Doctor(args) => doctor::run(args),
        Command::Status(args) => status::run(args),
        Command::Top(args) => status::top::run(args),
        Command::Cost(args) => cost::run(args),
        Command::Bench(args) => bench::run(args),
        Command::Completions(args) => completions::run(args),
    };
    outcome.unwrap_or_else(|error| {
        complain(&error);
        ExitCode::FAILURE
    })
}

#[expect(clippy::print_stderr, reason = "a command's last word to its user")]
fn complain(error: &anyhow::Error) {
    eprintln!("frazil: {error:#}");
}

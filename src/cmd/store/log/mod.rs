//! `frazil log`: look into a store's commit log, with every process dead.
//!
//! One file a verb: [`ls`] lists slots, [`show`] prints one, [`state`] prints what folding them means.

mod ls;
mod show;
mod state;

use std::process::ExitCode;

use clap::Subcommand;

use crate::store_args::{self, OutputArgs, StoreArgs};

/// Arguments.
#[derive(Debug, clap::Args)]
#[command(after_help = "Example: frazil log ls --store s3://bucket/prefix --from 1000 --limit 20")]
pub(crate) struct Args {
    #[command(subcommand)]
    verb: Verb,
}

#[derive(Debug, Subcommand)]
enum Verb {
    /// List slots: when, by whom, how much
    #[command(after_help = "Example: frazil log ls --store ./frazil-data")]
    Ls(ls::Args),
    /// Print one commit, verified, with the verdicts on its proposals where they can be folded
    #[command(after_help = "Example: frazil log show 1187 --store ./frazil-data -o json")]
    Show(show::Args),
    /// Print the state that folding the log gives: tables, tails, checkpoints, index pages
    #[command(after_help = "Example: frazil log state --at 1000 --store ./frazil-data")]
    State(state::Args),
}

/// Which log, and how to answer.
#[derive(Debug, clap::Args)]
struct LogArgs {
    #[command(flatten)]
    store: StoreArgs,
    /// The database
    #[arg(long, default_value = "default", value_name = "NAME")]
    database: String,
    #[command(flatten)]
    output: OutputArgs,
}

/// Runs the verb.
pub(crate) fn run(args: Args) -> anyhow::Result<ExitCode> {
    store_args::block_on(async {
        match args.verb {
            Verb::Ls(args) => ls::run(args).await,
            Verb::Show(args) => show::run(args).await,
            Verb::State(args) => state::run(args).await,
        }
    })?;
    Ok(ExitCode::SUCCESS)
}

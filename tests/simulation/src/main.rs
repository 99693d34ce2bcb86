//! Deterministic simulation of the commit log: gateways, producers and janitors on one faulty store, all from one seed.
//!
//! The code under test is the real one: [`frazil_log`]'s replica, committer, fold and checkpoints, [`frazil_gateway`]'s ingress and
//! door, [`frazil_compactor`]'s janitor. Simulated is what surrounds it: time, chance, tasks ([`node`]), the store
//! ([`world::store`]), clients ([`client`]), hand-over ([`client::handover`]).
//!
//! **Modelled.** Virtual time of days. Per process: freezing at any await for seconds to days, killing and starting again under a new
//! incarnation, clocks that jump or stand still (never all of them for long: rule 13), partitions from the store. Per request:
//! latency, time-outs, 503, 409, lost answers, answers evaluated long before they are delivered, PUTs applied late, also after their
//! sender was told an error or has died, and applied twice. Late PUTs into trimmed slots make ghosts. Per client: plain appends,
//! idempotent producers that pipeline, retry anywhere, and raise their epoch, `expected_offset`, atomic writes, groups whose workers store
//! positions with their rows and compete, groups deleted and made again, tables made and
//! dropped, strong reads, rows read back.
//!
//! **Judged**, at once ([`history`]): each acknowledged request is in the log, once, at its offsets; refused and expired ones never;
//! a plain request at most once; a producer's rows in order; strong reads see everything that was in the log before them; no node's
//! fold is another than the log's (nobody believed a ghost); a position is stored over none but the expected one, and in no other generation of its group
//! ([`history::groups`]); no node stops; a second fold written from the rules' text agrees with
//! the first ([`history::reference`]). At the end: everybody gets on within a minute, the janitors get through a round, and a process that
//! starts then reads back every row.
//!
//! **Not modelled.** The wire (HTTP, the hand-over's RPC), corrupt bytes, two versions of the program, a store that breaks
//! create-if-absent, real concurrency of threads (one thread polls all tasks), memory limits.
//!
//! **Planted bugs** ([`mod@mutants`]): a simulation that finds nothing proves nothing until it has found something.
//!
//! Start reading at [`run`], then [`run::scenario`].

mod client;
mod history;
mod mutants;
mod node;
mod report;
mod run;
#[cfg(test)]
mod tests;
mod world;

use std::process::ExitCode;

use clap::{Parser, Subcommand};
use frazil_log::planted::Planted;

use crate::mutants::{MUTANTS, Mutant};
use crate::report::Counts;
use crate::run::scenario::Scenario;
use crate::run::{Outcome, play};

/// Deterministic simulation of Frazil's protocol.
#[derive(Debug, Parser)]
#[command(name = "frazil-simulation", version)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Plays seeds without a bug; all must be clean. Example: `frazil-simulation simulate 1000`
    Simulate {
        /// How many seeds.
        count: u64,
        /// The first one.
        #[arg(long, default_value_t = 0)]
        from: u64,
    },
    /// Plants each bug and looks for it. Example: `frazil-simulation mutants`
    Mutants {
        /// How many seeds a bug may take.
        #[arg(default_value_t = 500)]
        max_seeds: u64,
        /// Only this trace.
        #[arg(long)]
        only: Option<String>,
    },
    /// Plays one seed again. Example: `frazil-simulation replay 17 --bug T-x1 --verbose`
    Replay {
        /// The seed.
        seed: u64,
        /// With this trace's bug, in its kind of run.
        #[arg(long)]
        bug: Option<String>,
        /// That kind of run, but without the bug.
        #[arg(long)]
        without: bool,
        /// Prints every event.
        #[arg(long)]
        verbose: bool,
    },
}

#[expect(clippy::print_stdout, reason = "a command's output")]
fn say(line: impl std::fmt::Display) {
    println!("{line}");
}

fn main() -> ExitCode {
    let fine = match Cli::parse().command {
        Command::Simulate { count, from } => simulate(from, count),
        Command::Mutants { max_seeds, only } => mutants(max_seeds, only.as_deref()),
        Command::Replay { seed, bug, without, verbose } => replay(seed, bug.as_deref(), !without, verbose),
    };
    if fine { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

/// The run of a seed without a bug.
fn clean_run(seed: u64, verbose: bool) -> Outcome {
    play(seed, |dice| Scenario::draw(dice, Planted::NONE), verbose)
}

fn simulate(from: u64, count: u64) -> bool {
    let mut counts = Counts::default();
    let mut dirty = 0u64;
    for seed in from..from.saturating_add(count) {
        let outcome = clean_run(seed, false);
        counts.add(&outcome.trace);
        if let Some(violation) = outcome.violation {
            dirty += 1;
            say(format_args!("seed {seed}: {violation}"));
            say(format_args!("  replay: frazil-simulation replay {seed} --verbose"));
        }
    }
    counts.lines().iter().for_each(say);
    let missing = counts.missing();
    if count >= 1_000 && !missing.is_empty() {
        say(format_args!("these runs contained no {}", missing.join(", no ")));
    }
    say(format_args!("{} seeds clean", count - dirty));
    dirty == 0 && (count < 1_000 || missing.is_empty())
}

fn mutants(max_seeds: u64, only: Option<&str>) -> bool {
    let (mut found, mut all) = (0usize, 0usize);
    for mutant in
        MUTANTS.iter().filter(|mutant| only.is_none_or(|only| mutant.trace.eq_ignore_ascii_case(only)))
    {
        all += 1;
        let search = mutant.find(max_seeds);
        match search.seed {
            Some(seed) => {
                found += 1;
                say(format_args!("{:6} found with {} seeds: {}", mutant.trace, seed + 1, mutant.story));
                say(format_args!("         {}", search.words));
            }
            None => say(format_args!(
                "{:6} NOT FOUND in {max_seeds} seeds ({} other violations): {}",
                mutant.trace, search.others, search.words
            )),
        }
    }
    say(format_args!("{found} of {all} planted bugs found"));
    found == all
}

fn replay(seed: u64, bug: Option<&str>, planted: bool, verbose: bool) -> bool {
    let outcome = match bug {
        None => clean_run(seed, verbose),
        Some(trace) => match Mutant::named(trace) {
            Some(mutant) => mutant.run(seed, planted, verbose),
            None => {
                say(format_args!("there is no trace {trace}"));
                return false;
            }
        },
    };
    outcome.trace.lines.iter().flatten().for_each(say);
    say(format_args!("trace hash {:016x}", outcome.trace.hash));
    match outcome.violation {
        Some(violation) => {
            say(format_args!("seed {seed}: {violation}"));
            false
        }
        None => {
            say(format_args!("seed {seed} is clean"));
            true
        }
    }
}

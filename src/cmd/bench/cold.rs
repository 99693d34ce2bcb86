//! `frazil bench cold`: cold starts of logs with a long life behind them.

use std::process::ExitCode;

use anyhow::Context;
use frazil_log::id::Slot;
use frazil_log::store::Store;
use serde_json::json;

use crate::bench::cold::{self, Measured};
use crate::store_args::{self, Output, OutputArgs, note, open_or_create, plain_table, say};

/// Arguments.
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// A number of slots (then also each tenth of it, from 10,000 on), or several with commas
    slots: String,
    /// Where the logs lie; if it is not given, in memory, and one of 10,000 slots in a temporary directory
    #[arg(long, value_name = "URL")]
    store: Option<String>,
    #[command(flatten)]
    output: OutputArgs,
}

/// The sizes to measure, ascending.
fn sizes(text: &str) -> anyhow::Result<Vec<Slot>> {
    let parse = |part: &str| {
        part.trim()
            .replace('_', "")
            .parse::<Slot>()
            .with_context(|| format!("{part:?} is no number of slots"))
    };
    let mut sizes: Vec<Slot> = text.split(',').map(parse).collect::<Result<_, _>>()?;
    if let [largest] = sizes[..] {
        let tenths = std::iter::successors(Some(10_000), |slots: &Slot| slots.checked_mul(10));
        sizes = tenths.take_while(|slots| *slots < largest).chain([largest]).collect();
    }
    sizes.sort_unstable();
    sizes.dedup();
    anyhow::ensure!(
        sizes.iter().all(|slots| (1..=cold::SLOTS_MAX).contains(slots)),
        "give 1 to {} slots",
        cold::SLOTS_MAX
    );
    Ok(sizes)
}

/// Measures, and prints what came out.
pub(super) fn run(args: &Args) -> anyhow::Result<ExitCode> {
    let sizes = sizes(&args.slots)?;
    let groups = store_args::block_on(async {
        let in_memory = args.store.is_none();
        let mut group = Vec::new();
        for slots in sizes {
            let store = open_or_create(args.store.as_deref().unwrap_or("memory://"))?;
            group.push(measure_cold(&store, slots).await?);
        }
        let mut groups = vec![group];
        if in_memory {
            groups.push(vec![measure_in_directory().await?]);
        }
        anyhow::Ok(groups)
    })?;
    let missed: Vec<String> = groups.iter().flat_map(|group| cold::missed(group)).collect();
    let measured: Vec<&Measured> = groups.iter().flatten().collect();
    match args.output.output {
        Output::Json => say(json!({"logs": measured, "missed": missed})),
        Output::Table => print_cold(&measured, &missed),
    }
    Ok(if missed.is_empty() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

async fn measure_cold(store: &Store, slots: Slot) -> anyhow::Result<Measured> {
    let measured = cold::measure(store, slots).await?;
    note(format_args!("{slots} slots: written in {:.1} s", measured.written_in_seconds));
    Ok(measured)
}

/// The smallest log on a real disk.
async fn measure_in_directory() -> anyhow::Result<Measured> {
    let name = format!("frazil-bench-cold-{}", frazil_log::env::Env::system().ulid());
    let directory = std::env::temp_dir().join(name);
    let url = directory.to_str().context("the temporary directory's name is UTF-8")?;
    let measured = async { measure_cold(&open_or_create(url)?, 10_000).await }.await;
    let removed =
        std::fs::remove_dir_all(&directory).with_context(|| format!("removing {}", directory.display()));
    let measured = measured?;
    removed?;
    Ok(measured)
}

fn print_cold(measured: &[&Measured], missed: &[String]) {
    let mut table =
        plain_table(&["slots", "ready", "requests", "state", "checkpoint", "pages", "slots kept", "store"]);
    for one in measured {
        table.add_row([
            one.slots.to_string(),
            format!("{:.0} ms", one.ready_seconds * 1_000.0),
            one.requests.to_string(),
            format!("{} B", one.state_bytes),
            format!("{} B", one.checkpoint_bytes),
            one.pages.to_string(),
            one.slots_kept.to_string(),
            one.store.clone(),
        ]);
    }
    say(table);
    missed.iter().for_each(|missed| say(format_args!("target missed: {missed}")));
    if missed.is_empty() {
        say("targets met: ready < 1 s, state bytes equal, checkpoint at most +4 KiB per factor of 16");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_number_means_its_tenths_too() {
        assert_eq!(sizes("1000000").unwrap(), [10_000, 100_000, 1_000_000]);
        assert_eq!(sizes("25_000").unwrap(), [10_000, 25_000]);
        assert_eq!(sizes("500").unwrap(), [500]);
        assert_eq!(sizes("3000,1000").unwrap(), [1_000, 3_000]);
        assert!(sizes("many").is_err() && sizes("0").is_err() && sizes("9000000").is_err());
    }
}

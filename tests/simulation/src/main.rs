//! simulation
mod acts;
mod bucket;
mod client;
mod dice;
mod gateway;
mod handover;
mod history;
mod node;
mod reference;
mod run;
mod scenario;
mod store;
mod trace;
mod violation;
mod weather;
mod worker;
mod world;

use frazil_log::planted::Planted;

fn main() {
    let args: Vec<String> = std::env::args().collect();
    let from: u64 = args[1].parse().unwrap();
    let to: u64 = args[2].parse().unwrap();
    let verbose = args.len() > 3;
    let mut counts = std::collections::BTreeMap::new();
    for seed in from..to {
        let start = std::time::Instant::now();
        let outcome = run::play(seed, |dice| scenario::Scenario::draw(dice, Planted::NONE), verbose);
        if let Some(lines) = &outcome.trace.lines {
            for line in lines {
                println!("{line}");
            }
        }
        for (what, count) in &outcome.trace.counts {
            *counts.entry(*what).or_insert(0u64) += count;
        }
        if let Some(v) = &outcome.violation {
            println!("seed {seed}: {v} ({:?})", start.elapsed());
        }
        if verbose {
            println!("hash {:x} {:?}", outcome.trace.hash, start.elapsed());
        }
    }
    for (w, c) in counts {
        println!("{w:40} {c}");
    }
}

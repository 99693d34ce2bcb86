//! Tests of the simulation itself, and a short simulation.

use frazil_log::planted::{Bug, Planted};

use crate::clean_run;
use crate::history::violation::Kind;
use crate::mutants::{MUTANTS, Mutant};
use crate::report::Counts;
use crate::run::play;
use crate::run::scenario::{Act, Scenario};

/// How many seeds a planted bug may take.
const SEEDS_MAX: u64 = 500;

#[test]
fn the_same_seed_makes_the_same_trace_to_the_microsecond() {
    for seed in [0, 7, 1_234_567] {
        let (first, second) = (clean_run(seed, true).trace, clean_run(seed, true).trace);
        let lines = |lines: &Option<Vec<String>>| lines.clone().unwrap_or_default();
        for (one, other) in lines(&first.lines).iter().zip(&lines(&second.lines)) {
            assert_eq!(one, other, "seed {seed}");
        }
        assert_eq!((first.hash, first.counts), (second.hash, second.counts), "seed {seed}");
        assert_ne!(first.hash, clean_run(seed + 1, false).trace.hash);
    }
}

#[test]
fn words_do_not_change_a_trace() {
    assert_eq!(clean_run(3, true).trace.hash, clean_run(3, false).trace.hash);
}

#[test]
fn sixty_seeds_are_clean_and_contain_faults() {
    let mut counts = Counts::default();
    for seed in 0..60 {
        let outcome = clean_run(seed, false);
        assert!(outcome.violation.is_none(), "seed {seed}: {:?}", outcome.violation);
        counts.add(&outcome.trace);
    }
    assert!(counts.missing().is_empty(), "sixty runs without {:?}", counts.missing());
}

#[test]
fn every_planted_bug_is_found() {
    for mutant in &MUTANTS {
        let found = mutant.find(SEEDS_MAX);
        assert!(found.seed.is_some(), "{}: {} others; {}", mutant.trace, found.others, found.words);
    }
}

#[test]
fn without_its_bug_the_run_that_finds_it_is_clean() {
    for mutant in &MUTANTS {
        let found = mutant.find(SEEDS_MAX).seed.expect("the test above says why not");
        for seed in [0, 1, 2, found] {
            let outcome = mutant.run(seed, false, false);
            assert!(
                outcome.violation.is_none(),
                "{} without its bug, seed {seed}: {:?}",
                mutant.trace,
                outcome.violation
            );
        }
    }
}

#[test]
fn a_failing_seed_fails_again_in_the_same_way() {
    let mutant = Mutant::named("t-X1").expect("names are compared without case");
    let seed = mutant.find(SEEDS_MAX).seed.expect("it is found");
    let (first, again) = (mutant.run(seed, true, false), mutant.run(seed, true, true));
    let words = |outcome: &crate::run::Outcome| outcome.violation.as_ref().map(ToString::to_string);
    assert!(words(&first).is_some());
    assert_eq!(words(&first), words(&again));
    assert_eq!(first.trace.hash, again.trace.hash);
    let told = again.trace.lines.unwrap_or_default();
    assert!(told.iter().any(|line| line.contains("violation")), "the trace names what was wrong");
}

#[test]
fn each_planted_bug_stands_in_the_page_of_the_rules() {
    let page = include_str!("../../../docs/rules.md");
    for mutant in &MUTANTS {
        assert!(page.contains(mutant.trace), "docs/rules.md does not name {}", mutant.trace);
        for bug in mutant.bugs {
            assert!(
                page.contains(&format!("`{bug:?}`")),
                "docs/rules.md does not name {bug:?} ({})",
                mutant.trace
            );
        }
    }
}

#[test]
fn no_two_traces_have_one_name() {
    let mut names: Vec<&str> = MUTANTS.iter().map(|mutant| mutant.trace).collect();
    names.sort_unstable();
    names.dedup();
    assert_eq!(names.len(), MUTANTS.len());
}

#[test]
fn what_finds_the_bugs_of_hedges_finds_nothing_of_names_alone() {
    let mutant = Mutant::named("H-x1").expect("a trace");
    let planted = Planted::NONE.with(Bug::NamesOff);
    for seed in 0..60 {
        let violation = mutant.run_with(seed, planted, false).violation;
        assert!(violation.is_none(), "seed {seed}: {violation:?}");
    }
}

#[test]
fn giving_up_an_unknown_slot_is_safe_with_names() {
    let planted = Planted::NONE.with(Bug::GiveUpUnknown);
    let weights =
        [(Act::Plain, 30), (Act::Produce, 30), (Act::HandOver, 10), (Act::Seconds, 20), (Act::Read, 10)];
    for seed in 0..30 {
        let scenario = |dice: &crate::world::dice::Dice| {
            Scenario { storm: true, late_max_s: 60, reference: true, ..Scenario::draw(dice, planted) }
                .only(&weights)
        };
        let violation = play(seed, scenario, false).violation;
        // Who gives up waits for a hole that nobody fills: it is no way to live, but no row is doubled or lost.
        assert!(violation.as_ref().is_none_or(|it| it.kind == Kind::Stuck), "seed {seed}: {violation:?}");
    }
}

#[test]
fn clocks_that_jump_stop_nobody() {
    let weights =
        [(Act::Plain, 60), (Act::Clock, 40), (Act::Seconds, 30), (Act::Freeze, 3), (Act::Produce, 10)];
    for seed in 0..60 {
        let scenario = |dice: &crate::world::dice::Dice| {
            let drawn = Scenario::draw(dice, Planted::NONE);
            Scenario { acts: 120, gateways: 2, ..drawn }.only(&weights)
        };
        let violation = play(seed, scenario, false).violation;
        assert!(violation.is_none(), "seed {seed}: {violation:?}");
    }
}

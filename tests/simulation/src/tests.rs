//! Tests of the simulation itself, and a short simulation.

use crate::clean_run;
use crate::mutants::{MUTANTS, Mutant};
use crate::report::Counts;

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
fn there_are_nineteen_traces_of_nineteen_names() {
    let mut names: Vec<&str> = MUTANTS.iter().map(|mutant| mutant.trace).collect();
    names.sort_unstable();
    names.dedup();
    assert_eq!(names.len(), 19);
}

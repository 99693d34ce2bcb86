//! The planted bugs: for each trace of the model the switch, the kind of run in which it is likely, and what must be found.
//!
//! A run of a mutant is a run like any other; only the weights of acts and faults lean towards the trace, as its line says. The same
//! runs without the switch must be clean.

use frazil_log::planted::{Bug, Planted};

use crate::history::violation::{Kind, Shape};
use crate::run::scenario::{Act, Scenario};
use crate::run::{Outcome, play};
use crate::world::dice::Dice;

/// One trace of the model.
#[derive(Debug)]
pub(crate) struct Mutant {
    /// Its name in the model.
    pub(crate) trace: &'static str,
    /// The switches.
    pub(crate) bugs: &'static [Bug],
    /// The shortest way to it, in one line.
    pub(crate) story: &'static str,
    /// The kinds of violation that it is.
    pub(crate) kinds: &'static [Kind],
    /// How the history must look, where traces share a switch.
    pub(crate) shape: Option<Shape>,
    lean: fn(Scenario) -> Scenario,
}

const SECONDS_ONLY: [(Act, u32); 4] =
    [(Act::Days, 0), (Act::Minutes, 0), (Act::LongSleep, 0), (Act::ColdStart, 0)];

/// Seconds of traffic over several gateways; no hours, so that unresolved slots cost no polling.
fn traffic(scenario: Scenario) -> Scenario {
    let scenario = Scenario { peers: false, late_max_s: 60, gateways: 3, ..scenario };
    scenario.weigh(&SECONDS_ONLY).weigh(&[(Act::Stutter, 0), (Act::Clock, 0), (Act::Partition, 0)])
}

/// Rows read back, of segments too.
fn reading_back(scenario: Scenario) -> Scenario {
    Scenario { inline_bytes_max: 100, gateways: 4, ..scenario }.weigh(&[(Act::Consume, 40), (Act::Read, 20)])
}

/// Hand-overs in front.
fn handing_over(scenario: Scenario) -> Scenario {
    traffic(scenario).weigh(&[(Act::HandOver, 60), (Act::Produce, 4)])
}

/// Hand-overs of requests with `expected_offset`, which no second copy can double.
fn handing_over_expecting(scenario: Scenario) -> Scenario {
    Scenario { hand_overs_expect: 1.0, buckets: 1, rows_end: 2, ..handing_over(scenario) }
        .weigh(&[(Act::Plain, 30)])
}

/// Hand-overs that arrive a window later.
fn handing_over_late(scenario: Scenario) -> Scenario {
    handing_over(scenario).weigh(&[(Act::Plain, 30), (Act::Freeze, 10)])
}

/// Lost answers and late PUTs, one bucket.
fn stormy(scenario: Scenario) -> Scenario {
    Scenario { storm: true, ..traffic(scenario) }.weigh(&[(Act::Calm, 0), (Act::Crash, 0)])
}

/// Several slots in flight.
fn slots_ahead(scenario: Scenario) -> Scenario {
    Scenario { flights_max: 4, buckets: 1, ..stormy(scenario) }.weigh(&[(Act::Plain, 40)])
}

/// Pipelining producers that retry seldom.
fn pipelining(scenario: Scenario) -> Scenario {
    let scenario =
        traffic(scenario).weigh(&[(Act::Produce, 80), (Act::Plain, 20), (Act::Crash, 0), (Act::Freeze, 2)]);
    Scenario { pipelining: 4, flights_max: 4, impatience_us: 8_000_000, ..scenario }
}

/// Pipelining producers that retry soon, elsewhere.
fn impatient(scenario: Scenario) -> Scenario {
    Scenario { impatience_us: 20_000, ..pipelining(scenario) }
}

/// The same, and each gateway has one slot in flight, so that what comes meanwhile goes into one slot; the first gateway often sleeps.
fn impatient_in_one_slot(scenario: Scenario) -> Scenario {
    let scenario = Scenario { flights_max: 1, pipelining: 2, gateways: 2, ..impatient(scenario) };
    scenario.weigh(&[(Act::Freeze, 25), (Act::Plain, 40), (Act::HandOver, 0)])
}

/// Retries of requests with `expected_offset`.
fn impatient_expecting(scenario: Scenario) -> Scenario {
    Scenario {
        impatience_us: 20_000,
        pipelining: 1,
        buckets: 1,
        producers_expect: 0.8,
        rows_end: 2,
        ..traffic(scenario)
    }
    .weigh(&[(Act::Produce, 60), (Act::Plain, 40), (Act::Freeze, 15), (Act::HandOver, 0)])
}

/// Nodes that sleep for days while the log is trimmed.
fn sleeping(scenario: Scenario) -> Scenario {
    Scenario { peers: false, acts: 30, gateways: 3, connect: 0.8, ..scenario }.weigh(&[
        (Act::LongSleep, 30),
        (Act::Partition, 0),
        (Act::Stutter, 0),
    ])
}

/// The same, and no clock of a machine goes on while it is frozen.
fn sleeping_without_clocks(scenario: Scenario) -> Scenario {
    Scenario { clocks_stall: true, ..sleeping(scenario) }
}

/// Gateways that hand over to each other, over a bad network.
fn among_peers(scenario: Scenario) -> Scenario {
    Scenario { peers: true, ..traffic(scenario) }.weigh(&[(Act::Plain, 40), (Act::HandOver, 0)])
}

/// Nodes that sleep for days, and hear what was pushed to them meanwhile.
fn sleeping_among_peers(scenario: Scenario) -> Scenario {
    Scenario { peers: true, ..sleeping(scenario) }
}

/// Cold starts beside checkpoints and trims.
fn starting_cold(scenario: Scenario) -> Scenario {
    Scenario { acts: 30, gateways: 3, gateways_checkpoint: false, ..scenario }
        .weigh(&[(Act::ColdStart, 30), (Act::Storm, 0)])
}

/// A node that catches up slowly. The ages are nearer to each other, so that few steps last longer than the longer.
fn stuttering(mut scenario: Scenario) -> Scenario {
    scenario.protocol.checkpoint_age_min = scenario.protocol.proof_age_max * 3 / 2;
    let scenario = Scenario { acts: 12, gateways: 3, gateways_checkpoint: false, ..scenario };
    scenario.only(&[(Act::Stutter, 10), (Act::Plain, 3), (Act::Read, 3), (Act::Seconds, 3)])
}

/// Segments whose commits come days late.
fn straggling(scenario: Scenario) -> Scenario {
    let scenario = Scenario { inline_bytes_max: 0, acts: 30, gateways: 3, ..scenario };
    scenario.weigh(&[(Act::Straggle, 30), (Act::LongSleep, 0), (Act::ColdStart, 0), (Act::Stutter, 0)])
}

/// Late PUTs with second copies, nobody hands over, and no day passes, so that nobody begins again from a checkpoint: without names two
/// copies of a request come of hedges alone.
fn hedging(scenario: Scenario) -> Scenario {
    let scenario = stormy(scenario).weigh(&[(Act::HandOver, 0), (Act::Straggle, 0)]);
    scenario.weigh(&[(Act::Plain, 60), (Act::Produce, 0), (Act::Freeze, 0)])
}

/// Workers of groups through several gateways.
fn in_groups(scenario: Scenario) -> Scenario {
    traffic(scenario).weigh(&[(Act::Group, 60), (Act::HandOver, 0)])
}

/// Tables altered by several at once.
fn altering(scenario: Scenario) -> Scenario {
    traffic(scenario).weigh(&[(Act::Alter, 60)])
}

/// Rows that expire, by several at once.
fn expiring(scenario: Scenario) -> Scenario {
    traffic(scenario).weigh(&[(Act::Expire, 60)])
}

/// The traces: nineteen of the model, then those of what was built on it.
pub(crate) const MUTANTS: [Mutant; 32] = [
    Mutant {
        trace: "A-x1",
        bugs: &[Bug::NamesOff],
        story: "no names: a gateway hands a request over, gets no answer, writes it too; both copies are taken",
        kinds: &[Kind::Doubled],
        shape: None,
        lean: handing_over,
    },
    Mutant {
        trace: "A-x2",
        bugs: &[Bug::NoGapCheck],
        story: "no gap check: #1, then the retry of #0 through another gateway, in one slot; #0 is \"a duplicate\" and lost",
        kinds: &[Kind::AckLost],
        shape: Some(Shape::RetryInOneSlot),
        lean: impatient_in_one_slot,
    },
    Mutant {
        trace: "A-x2b",
        bugs: &[Bug::NoGapCheck],
        story: "no gap check: #0 through one gateway, #1 through another, whose slot is first; #0 is \"a duplicate\" and lost",
        kinds: &[Kind::AckLost],
        shape: Some(Shape::TwoGateways),
        lean: pipelining,
    },
    Mutant {
        trace: "A-x2c",
        bugs: &[Bug::NoGapCheck],
        story: "no gap check: one gateway, #0 in slot N, #1 in N+1; a competitor takes N; #0 comes again and is \"a duplicate\"",
        kinds: &[Kind::AckLost],
        shape: Some(Shape::SlotsAhead),
        lean: pipelining,
    },
    Mutant {
        trace: "A-x3",
        bugs: &[Bug::RefusalKeepsSequence],
        story: "a refusal leaves the sequence: the retry is refused and answered, the first copy comes later and is taken",
        kinds: &[Kind::RefusedInLog],
        shape: None,
        lean: impatient_expecting,
    },
    Mutant {
        trace: "A-x4",
        bugs: &[Bug::NamesOff],
        story: "no names: one copy of a handed-over append is refused and answered, the other comes later, where it fits",
        kinds: &[Kind::RefusedInLog],
        shape: None,
        lean: handing_over_expecting,
    },
    Mutant {
        trace: "A-x5",
        bugs: &[Bug::SequencePerBucket],
        story: "sequences per bucket: a retry through another gateway goes into that one's bucket, and is taken again",
        kinds: &[Kind::Doubled],
        shape: None,
        lean: impatient,
    },
    Mutant {
        trace: "A-x6",
        bugs: &[Bug::GiveUpUnknown, Bug::NamesOff],
        story: "an unanswered slot is given up for the next one, and no names: the late PUT lands too",
        kinds: &[Kind::Doubled],
        shape: None,
        lean: stormy,
    },
    Mutant {
        trace: "A-x7",
        bugs: &[Bug::AckPastHole],
        story: "slot N+1 is acknowledged while N is open: what was acknowledged is not in the log, or elsewhere",
        kinds: &[Kind::AckLost, Kind::AckMoved],
        shape: None,
        lean: slots_ahead,
    },
    Mutant {
        trace: "T-x1",
        bugs: &[Bug::NoProof],
        story: "a 404 is the tail: a node behind the trim point answers a strong read from old state",
        kinds: &[Kind::StaleRead],
        shape: None,
        lean: sleeping,
    },
    Mutant {
        trace: "T-x2",
        bugs: &[Bug::AgeCheckedBeforeSend],
        story: "the age is checked, the process sleeps for days, the PUT lands in a trimmed slot and is acknowledged",
        kinds: &[Kind::AckLost],
        shape: None,
        lean: sleeping,
    },
    Mutant {
        trace: "T-x3",
        bugs: &[Bug::OldestKeptIsProof],
        story: "a PUT is compared with the oldest slot in a LIST, which is the ghost that it has just made",
        kinds: &[Kind::AckLost],
        shape: None,
        lean: sleeping,
    },
    Mutant {
        trace: "T-x4",
        bugs: &[Bug::SlotAgeForTrim],
        story: "slots go by their own age: checkpoint and trim follow at once, between a starter's LIST and its GET",
        kinds: &[Kind::StaleRead],
        shape: None,
        lean: starting_cold,
    },
    Mutant {
        trace: "T-x5",
        bugs: &[Bug::PresentIsProof],
        story: "a present slot is a proof: a node that catches up step by step meets a trimmed one and takes it for the tail",
        kinds: &[Kind::StaleRead],
        shape: None,
        lean: stuttering,
    },
    Mutant {
        trace: "T-x6",
        bugs: &[Bug::AgeFromSend],
        story: "the age is counted from the sending: a PUT of a node that knows nothing of the last days lands and is acknowledged",
        kinds: &[Kind::AckLost],
        shape: None,
        lean: sleeping,
    },
    Mutant {
        trace: "T-x7",
        bugs: &[Bug::StopwatchStalls],
        story: "all clocks of a machine stand still while it sleeps: an old proof looks young",
        kinds: &[Kind::AckLost, Kind::StaleRead],
        shape: None,
        lean: sleeping_without_clocks,
    },
    Mutant {
        trace: "T-x8",
        bugs: &[Bug::TrimBeforeCheckpoint],
        story: "slots go before the checkpoint is there: a 404 and a LIST that shows no checkpoint",
        kinds: &[Kind::StaleRead],
        shape: None,
        lean: starting_cold,
    },
    Mutant {
        trace: "W-x1",
        bugs: &[Bug::NoBaseCheck],
        story: "names are forgotten after a window, old proposals are taken: a copy handed over comes a window later",
        kinds: &[Kind::Doubled],
        shape: None,
        lean: handing_over_late,
    },
    Mutant {
        trace: "W-x2",
        bugs: &[Bug::SweepByAge],
        story: "unreferenced segments go by age: the commit of a dead writer lands days later and refers to one",
        kinds: &[Kind::BytesGone],
        shape: None,
        lean: straggling,
    },
    Mutant {
        trace: "H-x1",
        bugs: &[Bug::HedgeNewPutId, Bug::NamesOff],
        story: "a hedge has a put_id of its own, and no names: its copy takes the slot, is taken for another's, and the flush is written again",
        kinds: &[Kind::Doubled],
        shape: None,
        lean: hedging,
    },
    Mutant {
        trace: "H-x2",
        bugs: &[Bug::HedgeLostIsLost, Bug::NamesOff],
        story: "a hedge's 412 is a lost slot, and no names: the first copy was the winner, and the flush is written again",
        kinds: &[Kind::Doubled],
        shape: None,
        lean: hedging,
    },
    Mutant {
        trace: "P-x1",
        bugs: &[Bug::AckFromAccept],
        story: "what the leader accepted is answered at once: it is not in the log, or elsewhere",
        kinds: &[Kind::AckLost, Kind::AckMoved],
        shape: None,
        lean: among_peers,
    },
    Mutant {
        trace: "P-x2",
        bugs: &[Bug::RenameHandedOver],
        story: "what was handed over in vain is written under another name: the leader had written it after all",
        kinds: &[Kind::Doubled],
        shape: None,
        lean: among_peers,
    },
    Mutant {
        trace: "P-x3",
        bugs: &[Bug::PushIsProof],
        story: "a pushed slot is a proof: a node that slept folds what was pushed, and takes a trimmed slot for the tail",
        kinds: &[Kind::StaleRead, Kind::AckLost],
        shape: None,
        lean: sleeping_among_peers,
    },
    Mutant {
        trace: "P-x4",
        bugs: &[Bug::PushBeforeFolded],
        story: "a slot is pushed when its PUT leaves: it is lost to another, and the follower has folded what is not in the log",
        kinds: &[Kind::Stopped, Kind::Diverged, Kind::AckLost, Kind::AckMoved, Kind::StaleRead],
        shape: None,
        lean: among_peers,
    },
    Mutant {
        trace: "C-a",
        bugs: &[Bug::CacheAbsence],
        story: "a cache remembers a 404: what was the tail once is the tail for ever",
        kinds: &[Kind::StaleRead, Kind::Stuck],
        shape: None,
        lean: reading_back,
    },
    Mutant {
        trace: "C-l",
        bugs: &[Bug::CacheLength],
        story: "a cache takes a part of a segment for all of it: the rest is read as cut short",
        kinds: &[Kind::BytesGone, Kind::Stopped],
        shape: None,
        lean: reading_back,
    },
    Mutant {
        trace: "G-x1",
        bugs: &[Bug::PartsApplied],
        story: "a request is taken entry by entry: its position is refused, its rows are in the log",
        kinds: &[Kind::RefusedInLog],
        shape: None,
        lean: in_groups,
    },
    Mutant {
        trace: "G-x2",
        bugs: &[Bug::ExpectedPositionOff],
        story: "the expected position is not compared: of two workers who read the same rows both store what they made of them",
        kinds: &[Kind::LostUpdate],
        shape: None,
        lean: in_groups,
    },
    Mutant {
        trace: "G-x3",
        bugs: &[Bug::GenerationOff],
        story: "the generation is not compared: a late write for a deleted group moves the one that was made after it",
        kinds: &[Kind::ForeignGeneration],
        shape: None,
        lean: in_groups,
    },
    Mutant {
        trace: "S-x1",
        bugs: &[Bug::AlterUnversioned],
        story: "the version is not compared: of two who alter the same table both are taken, and one change is gone",
        kinds: &[Kind::LostUpdate],
        shape: None,
        lean: altering,
    },
    Mutant {
        trace: "S-x2",
        bugs: &[Bug::ExpiryUnconditional],
        story: "where a bucket begins is not compared: a late expiry makes it begin where the rows are gone",
        kinds: &[Kind::WentBack],
        shape: None,
        lean: expiring,
    },
];

/// What came of the search for one bug.
#[derive(Debug)]
pub(crate) struct Found {
    /// The seed that found it.
    pub(crate) seed: Option<u64>,
    /// What was seen.
    pub(crate) words: String,
    /// Other kinds of violation on the way.
    pub(crate) others: usize,
}

impl Mutant {
    /// By its trace's name.
    pub(crate) fn named(trace: &str) -> Option<&'static Self> {
        MUTANTS.iter().find(|mutant| mutant.trace.eq_ignore_ascii_case(trace))
    }

    /// The run of a seed, with the bug or without.
    pub(crate) fn run(&self, seed: u64, planted: bool, verbose: bool) -> Outcome {
        let bugs = if planted { self.bugs } else { &[] };
        self.run_with(seed, bugs.iter().fold(Planted::NONE, |set, bug| set.with(*bug)), verbose)
    }

    /// Its kind of run, with any bugs.
    pub(crate) fn run_with(&self, seed: u64, set: Planted, verbose: bool) -> Outcome {
        let scenario = |dice: &Dice| {
            let drawn = (self.lean)(Scenario::draw(dice, set));
            // The switch of T-x7 is one of the simulated clocks.
            Scenario { clocks_stall: set.has(Bug::StopwatchStalls), ..drawn }
        };
        play(seed, scenario, verbose)
    }

    /// Looks for the bug.
    pub(crate) fn find(&self, seeds_max: u64) -> Found {
        let mut found = Found { seed: None, words: String::new(), others: 0 };
        for seed in 0..seeds_max {
            let Some(violation) = self.run(seed, true, false).violation else { continue };
            let fits = self.shape.is_none() || violation.shape == self.shape;
            if self.kinds.contains(&violation.kind) && fits {
                return Found { seed: Some(seed), words: violation.to_string(), ..found };
            }
            found.others += 1;
            found.words = format!("only others, such as {violation} {:?}", violation.shape);
        }
        found
    }
}

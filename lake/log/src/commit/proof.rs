//! Rule 10: when a node may believe what it saw of a slot.
//!
//! An observation (a 404, a commit, an own PUT that was Committed) of slot N is true if N had not been trimmed, that is, if no
//! checkpoint covered N for long. A *proof* of that is a LIST of the checkpoints that shows none covering N, or a 404 or an own
//! Committed that was itself believed. It holds for `proof_age_max`, by one stopwatch, from before its request was sent to after
//! the observation's answer came; trim acts only a hundred times later (rule 11). Reading a present slot proves nothing.

use std::time::Duration;

use crate::env::Moment;
use crate::planted::{Bug, Planted};

/// The stopwatch of a replica.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Proof {
    /// From before the request of the last proof was sent.
    since: Option<Moment>,
}

/// What was observed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Observation {
    /// 404
    Absent,
    /// A commit was read.
    Present,
    /// An own PUT was answered: Committed.
    Created,
}

impl Proof {
    /// A proof whose request was sent at `sent`.
    pub(super) fn begin(&mut self, sent: Moment) {
        if self.since.is_none_or(|since| sent.since(&since) > Duration::ZERO) {
            self.since = Some(sent);
        }
    }

    /// Whether an observation whose request was sent at `sent`, and whose answer is here `now`, may be believed without a LIST.
    pub(super) fn covers(
        &self,
        sent: Moment,
        now: Moment,
        what: Observation,
        age_max: Duration,
        planted: Planted,
    ) -> bool {
        if planted.has(Bug::NoProof) {
            return true;
        }
        let Some(since) = self.since else { return false };
        let until = match what {
            Observation::Created if planted.has(Bug::AgeCheckedBeforeSend) => sent,
            _ => now,
        };
        let from = match what {
            Observation::Created if planted.has(Bug::AgeFromSend) => sent,
            _ => since,
        };
        until.since(&from) <= age_max
    }

    /// An observation was believed: a 404 or an own Committed is a proof itself.
    pub(super) fn believed(&mut self, sent: Moment, what: Observation, planted: Planted) {
        match what {
            Observation::Absent | Observation::Created => self.begin(sent),
            Observation::Present if planted.has(Bug::PresentIsProof) => self.begin(sent),
            Observation::Present => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MAX: Duration = Duration::from_secs(600);

    fn at(seconds: u64) -> Moment {
        Moment { boot: Duration::from_secs(seconds), wall: i64::try_from(seconds).unwrap() * 1_000_000 }
    }

    #[test]
    fn an_answer_that_came_late_is_not_covered() {
        let mut proof = Proof::default();
        proof.begin(at(100));
        assert!(proof.covers(at(690), at(700), Observation::Absent, MAX, Planted::NONE));
        assert!(!proof.covers(at(690), at(701), Observation::Created, MAX, Planted::NONE));
    }

    #[test]
    fn either_clock_ends_a_proof() {
        let mut proof = Proof::default();
        proof.begin(at(100));
        let wall_jumped = Moment { wall: at(900).wall, ..at(101) };
        let wall_fell_back = Moment { wall: at(1).wall, ..at(800) };
        assert!(!proof.covers(wall_jumped, wall_jumped, Observation::Absent, MAX, Planted::NONE));
        assert!(!proof.covers(wall_fell_back, wall_fell_back, Observation::Absent, MAX, Planted::NONE));
    }

    #[test]
    fn a_present_slot_proves_nothing_and_a_believed_404_does() {
        let mut proof = Proof::default();
        proof.begin(at(100));
        proof.believed(at(600), Observation::Present, Planted::NONE);
        assert!(!proof.covers(at(800), at(800), Observation::Absent, MAX, Planted::NONE));
        proof.believed(at(600), Observation::Absent, Planted::NONE);
        assert!(proof.covers(at(800), at(800), Observation::Absent, MAX, Planted::NONE));
    }
}

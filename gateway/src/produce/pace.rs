//! When the next flush is handed over, and how long its acceptance is waited for. PURE: time comes in as a number.
//!
//! A leader whose tokens are short writes at its own pace, and says with each acceptance when that is. What comes meanwhile is
//! gathered here and handed over just in time: a message for each of the leader's slots rather than one for each few requests. A
//! wrong word costs a slot's wait at most, so it is believed within reason.

use std::time::Duration;

use frazil_log::id::Incarnation;

use super::accumulator::Upcoming;

/// A hand-over that is not accepted in so long is written here (rule 14).
pub const ACCEPT_TIME: Duration = Duration::from_millis(50);

/// The same where leaders are known to take longer: a busy machine, another continent.
const ACCEPT_TIME_MAX: Duration = Duration::from_millis(400);

/// An acceptance may take so many times what the last one took.
const ACCEPT_TIMES: u32 = 4;

/// The pause between two hand-overs, whatever the leader says: what comes meanwhile goes together.
pub const HAND_OVER_PAUSE: Duration = Duration::from_millis(10);

/// How much earlier than needed a hand-over leaves, besides the time that the last one took.
const EARLY: Duration = Duration::from_millis(4);

/// A leader's word about its flushes is believed up to here.
const WORD_MAX: Duration = Duration::from_secs(1);

/// What is known of how leaders answer.
#[derive(Debug)]
pub struct Pace {
    accept_time: Duration,
    handed: Option<Duration>,
    held: Option<(Incarnation, Duration)>,
}

impl Default for Pace {
    fn default() -> Self {
        Self { accept_time: ACCEPT_TIME, handed: None, held: None }
    }
}

impl Pace {
    /// How long an acceptance is waited for.
    pub fn accept_time(&self) -> Duration {
        self.accept_time
    }

    /// How much longer what waits is gathered before it is handed over to this leader.
    pub fn hold(&self, leader: Incarnation, now: Duration) -> Duration {
        let pause = self.handed.map_or(Duration::ZERO, |at| (at + HAND_OVER_PAUSE).saturating_sub(now));
        let held = self.held.filter(|(by, _)| *by == leader).map(|(_, until)| until.saturating_sub(now));
        pause.max(held.unwrap_or_default())
    }

    /// A hand-over leaves.
    pub fn handed(&mut self, now: Duration) {
        self.handed = Some(now);
    }

    /// A leader accepted, so long after it was asked, and said when it flushes.
    pub fn accepted(&mut self, leader: Incarnation, took: Duration, upcoming: Upcoming, now: Duration) {
        let usual = (took * ACCEPT_TIMES).max(self.accept_time * 7 / 8);
        self.accept_time = usual.clamp(ACCEPT_TIME, ACCEPT_TIME_MAX);
        let (wait, pause) = (upcoming.wait.min(WORD_MAX), upcoming.pause.min(WORD_MAX));
        let (flushed, early) = ((now + wait).saturating_sub(took / 2), took + EARLY);
        // The flush that takes this one, if there is time to reach it once more, else the one after it.
        let next = if now + early + HAND_OVER_PAUSE < flushed { flushed } else { flushed + pause };
        self.held = Some((leader, next.saturating_sub(early)));
    }

    /// A leader did not answer in time: it is dead, or everything here is slow, and then the next one may take longer.
    pub fn timed_out(&mut self) {
        self.accept_time = (self.accept_time * 2).min(ACCEPT_TIME_MAX);
    }
}

#[cfg(test)]
mod tests {
    use frazil_log::id::Ulid;
    use proptest::prelude::*;

    use super::*;

    fn ms(ms: u64) -> Duration {
        Duration::from_millis(ms)
    }

    fn leader(n: u128) -> Incarnation {
        Ulid::from(n)
    }

    fn upcoming(wait: u64, pause: u64) -> Upcoming {
        Upcoming { wait: ms(wait), pause: ms(pause) }
    }

    #[test]
    fn a_leader_with_tokens_holds_nothing_up() {
        let mut pace = Pace::default();
        assert_eq!(pace.hold(leader(1), ms(0)), ms(0));
        pace.handed(ms(100));
        assert_eq!(pace.hold(leader(1), ms(103)), ms(7));
        pace.accepted(leader(1), ms(1), upcoming(0, 0), ms(103));
        assert_eq!(pace.hold(leader(1), ms(110)), ms(0));
    }

    #[test]
    fn what_comes_is_gathered_for_the_leaders_next_slot() {
        let mut pace = Pace::default();
        pace.handed(ms(1_000));
        pace.accepted(leader(1), ms(2), upcoming(61, 100), ms(1_002));
        assert_eq!(pace.hold(leader(1), ms(1_012)), ms(44), "until a little before 1,062");
        // Handed over in time for the flush at 1,062; the next one is at 1,162.
        pace.handed(ms(1_056));
        pace.accepted(leader(1), ms(2), upcoming(5, 100), ms(1_058));
        assert_eq!(pace.hold(leader(1), ms(1_058)), ms(1_156 - 1_058));
        assert_eq!(pace.hold(leader(2), ms(1_070)), ms(0), "another leader has another pace");
    }

    #[test]
    fn what_is_slow_for_all_is_waited_for_and_a_dead_leader_not_for_ever() {
        let mut pace = Pace::default();
        (0..9).for_each(|_| pace.timed_out());
        assert_eq!(pace.accept_time(), ACCEPT_TIME_MAX);
        pace.accepted(leader(1), ms(80), upcoming(0, 0), ms(0));
        assert_eq!(pace.accept_time(), ms(350));
        (0..40).for_each(|_| pace.accepted(leader(1), ms(2), upcoming(0, 0), ms(0)));
        assert_eq!(pace.accept_time(), ACCEPT_TIME);
    }

    proptest! {
        #[test]
        fn no_word_of_a_leader_holds_for_long(took in 0u64..10_000, wait: u64, pause: u64, now in 0u64..1 << 40) {
            let mut pace = Pace::default();
            pace.handed(ms(now));
            let word = Upcoming { wait: Duration::from_micros(wait), pause: Duration::from_micros(pause) };
            pace.accepted(leader(1), ms(took), word, ms(now));
            prop_assert!(pace.hold(leader(1), ms(now)) <= WORD_MAX * 2);
            prop_assert!(pace.accept_time() <= ACCEPT_TIME_MAX);
        }
    }
}

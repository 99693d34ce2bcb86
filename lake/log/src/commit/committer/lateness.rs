//! When a PUT is late enough to be sent again, and whether that may be paid for. PURE: time comes in as a number.
//!
//! A PUT is late once it has taken longer than 95 of 100 of its size class. Of a store whose answers are slow one by one the second
//! copy is then nearly always the faster. Of a store that is slow *altogether* it is one more request for a store that has enough:
//! so what counts as late grows with how slow the last answers were, and with how long those that are still out have taken.
//!
//! Invariant: extra requests (second copies, and the reads that tell whose a slot is) are at most `extra_percent` of the PUTs, from
//! the first PUT on: credit is earned before it is spent.

use std::collections::{BTreeMap, VecDeque};
use std::time::Duration;

use super::times::{SizeClass, TimesBySize};

/// Whether and when a PUT is sent a second time.
#[derive(Clone, Copy, Debug)]
pub struct HedgeOptions {
    /// Whether at all.
    pub enabled: bool,
    /// Extra requests, of a hundred PUTs.
    pub extra_percent: u32,
    /// How many times of a size class must be known.
    pub samples_min: usize,
    /// No PUT is late before this, however fast the store is: below, our own scheduling is what is measured.
    pub after_min: Duration,
}

impl Default for HedgeOptions {
    fn default() -> Self {
        Self { enabled: true, extra_percent: 10, samples_min: 20, after_min: Duration::from_millis(10) }
    }
}

/// What an extra request costs, in percent of a PUT.
const EXTRA_COST: i64 = 100;

/// Extra requests that may be saved up.
const SAVED_MAX: i64 = 10 * EXTRA_COST;

/// PUTs that may have two copies out at once: what their losers hold in memory is bounded by this.
const HEDGED_MAX: usize = 4;

/// The percentile beyond which a PUT is late.
const LATE_PERCENT: usize = 95;

/// How many of the newest answers tell how slow the store is now.
const RECENT: usize = 8;

/// How many times its usual median the store may take before it counts as slow altogether: eight answers of a fair store vary so much.
const FAIR_SLOWNESS: f64 = 2.0;

/// The PUTs of one process to one log.
#[derive(Debug)]
pub(super) struct Lateness {
    options: HedgeOptions,
    times: TimesBySize,
    /// Of the newest answers: how many times the median of their class they took.
    recent: VecDeque<f64>,
    out: BTreeMap<u64, Out>,
    next: u64,
    credit: i64,
}

#[derive(Clone, Copy, Debug)]
struct Out {
    sent: Duration,
    class: SizeClass,
    hedged: bool,
}

impl Lateness {
    pub(super) fn new(options: HedgeOptions) -> Self {
        let (times, recent, out) = (TimesBySize::default(), VecDeque::new(), BTreeMap::new());
        Self { options, times, recent, out, next: 0, credit: 0 }
    }

    /// A PUT leaves; the number stands for it.
    pub(super) fn sent(&mut self, bytes: u64, now: Duration) -> u64 {
        self.credit = (self.credit + i64::from(self.options.extra_percent)).min(SAVED_MAX);
        self.next += 1;
        self.out.insert(self.next, Out { sent: now, class: SizeClass::of(bytes), hedged: false });
        self.next
    }

    /// Its first copy was answered.
    pub(super) fn answered(&mut self, put: u64, now: Duration) {
        let Some(out) = self.out.remove(&put) else { return };
        let took = now.saturating_sub(out.sent);
        if let Some(slowness) = self.slowness(out.class, took) {
            self.recent.push_back(slowness);
            if self.recent.len() > RECENT {
                self.recent.pop_front();
            }
        }
        self.times.add(out.class, took);
    }

    /// Its first copy is waited for no longer, or was not answered.
    pub(super) fn forget(&mut self, put: u64) {
        self.out.remove(&put);
    }

    /// How much longer a PUT may take before it is late; `None`: it is never sent again.
    pub(super) fn late_in(&self, put: u64, now: Duration) -> Option<Duration> {
        let out = self.out.get(&put).filter(|out| self.options.enabled && !out.hedged)?;
        let usual = self.times.quantile(out.class, LATE_PERCENT, self.options.samples_min)?;
        let late = usual.mul_f64(self.weather(put, now)).max(self.options.after_min);
        Some((out.sent + late).saturating_sub(now))
    }

    /// A late PUT asks for its second copy.
    pub(super) fn hedge(&mut self, put: u64) -> bool {
        let hedged = self.out.values().filter(|out| out.hedged).count();
        let Some(out) = self.out.get_mut(&put) else { return false };
        if self.credit < EXTRA_COST || hedged >= HEDGED_MAX {
            return false;
        }
        out.hedged = true;
        self.credit -= EXTRA_COST;
        true
    }

    /// A second copy cost another request: a read that tells whose the slot is.
    pub(super) fn charge(&mut self) {
        self.credit -= EXTRA_COST;
    }

    /// By how much the store is slower now than usual; 1 while it is fair.
    fn weather(&self, but: u64, now: Duration) -> f64 {
        // What is out for so long already will take about as long again.
        let still_out = self.out.iter().filter(|(put, _)| **put != but).filter_map(|(_, out)| {
            self.slowness(out.class, now.saturating_sub(out.sent) * 2)
                .filter(|slowness| *slowness > FAIR_SLOWNESS)
        });
        let mut seen: Vec<f64> = self.recent.iter().copied().chain(still_out).collect();
        seen.drain(..seen.len().saturating_sub(RECENT));
        seen.sort_unstable_by(f64::total_cmp);
        let median = seen.get(seen.len() / 2).copied().unwrap_or(1.0);
        (median / FAIR_SLOWNESS).max(1.0)
    }

    fn slowness(&self, class: SizeClass, took: Duration) -> Option<f64> {
        let median = self.times.quantile(class, 50, self.options.samples_min)?;
        Some(took.as_secs_f64() / median.as_secs_f64().max(1e-6))
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn ms(ms: u64) -> Duration {
        Duration::from_millis(ms)
    }

    /// PUTs of 21 … 120 ms, one after the other.
    fn warm(options: HedgeOptions) -> (Lateness, Duration) {
        let (mut lateness, mut now) = (Lateness::new(options), Duration::ZERO);
        for n in 0..100 {
            let put = lateness.sent(1_000, now);
            now += ms(21 + n * 37 % 100);
            lateness.answered(put, now);
        }
        (lateness, now)
    }

    #[test]
    fn a_put_is_late_after_its_classes_p95_and_not_before_enough_is_known() {
        let (mut lateness, now) = warm(HedgeOptions::default());
        let put = lateness.sent(1_000, now);
        assert_eq!(lateness.late_in(put, now), Some(ms(115)));
        assert_eq!(lateness.late_in(put, now + ms(100)), Some(ms(15)));
        assert_eq!(lateness.late_in(put, now + ms(116)), Some(Duration::ZERO));
        assert!(lateness.hedge(put));
        assert_eq!(lateness.late_in(put, now + ms(200)), None, "at most two copies");
        let large = lateness.sent(32 << 20, now);
        assert_eq!(lateness.late_in(large, now + ms(9_000)), None);
    }

    #[test]
    fn switched_off_nothing_is_late() {
        let (mut lateness, now) = warm(HedgeOptions { enabled: false, ..HedgeOptions::default() });
        let put = lateness.sent(1_000, now);
        assert_eq!(lateness.late_in(put, now + ms(9_000)), None);
    }

    #[test]
    fn a_fast_store_is_not_asked_twice_for_our_own_delays() {
        let (mut lateness, mut now) = (Lateness::new(HedgeOptions::default()), Duration::ZERO);
        for _ in 0..100 {
            let put = lateness.sent(1_000, now);
            now += ms(1);
            lateness.answered(put, now);
        }
        let put = lateness.sent(1_000, now);
        assert_eq!(lateness.late_in(put, now), Some(ms(10)));
    }

    #[test]
    fn where_everything_is_slow_late_is_later() {
        let (mut lateness, mut now) = warm(HedgeOptions::default());
        for _ in 0..6 {
            let put = lateness.sent(1_000, now);
            now += ms(600);
            lateness.answered(put, now);
        }
        let put = lateness.sent(1_000, now);
        let late = lateness.late_in(put, now).unwrap();
        assert!(late > ms(400), "{late:?}");
        // The store recovers: eight fair answers later a PUT is late as before.
        for _ in 0..8 {
            let put = lateness.sent(1_000, now);
            now += ms(60);
            lateness.answered(put, now);
        }
        let put = lateness.sent(1_000, now);
        assert!(lateness.late_in(put, now).unwrap() <= ms(600), "the p95 itself has learnt");
    }

    #[test]
    fn those_still_out_tell_of_a_spell_before_anything_is_answered() {
        let (mut lateness, now) = warm(HedgeOptions::default());
        let first = lateness.sent(1_000, now);
        for _ in 0..7 {
            lateness.sent(1_000, now + ms(10));
        }
        assert!(lateness.late_in(first, now + ms(400)).unwrap() > Duration::ZERO);
    }

    #[test]
    fn the_losers_in_memory_are_bounded() {
        let (mut lateness, now) = warm(HedgeOptions::default());
        let puts: Vec<u64> = (0..10).map(|_| lateness.sent(1_000, now)).collect();
        assert_eq!(puts.iter().filter(|put| lateness.hedge(**put)).count(), HEDGED_MAX);
        lateness.answered(puts[0], now);
        assert!(lateness.hedge(puts[9]));
    }

    proptest! {
        #[test]
        fn extra_requests_never_exceed_their_share(
            steps in prop::collection::vec((0u64..500, any::<bool>(), any::<bool>()), 1..400),
            extra_percent in 0u32..50,
        ) {
            let options = HedgeOptions { extra_percent, ..HedgeOptions::default() };
            let (mut lateness, mut now) = (Lateness::new(options), Duration::ZERO);
            let (mut puts, mut extra) = (0u64, 0u64);
            for (took, asks, answered) in steps {
                let put = lateness.sent(1_000, now);
                puts += 1;
                now += ms(took);
                if asks && lateness.hedge(put) {
                    extra += 1;
                }
                if answered { lateness.answered(put, now) } else { lateness.forget(put) }
                prop_assert!(extra * 100 <= puts * u64::from(extra_percent));
            }
        }
    }
}

//! What waits to be flushed, and when it is. PURE: time comes in as a number.
//!
//! Flushing is by budget, not only by timer: a slot PUT costs a token of a bucket that fills at a fixed rate. With a token there
//! and nothing in flight a request is flushed at once, so a producer at a few requests a second sees one PUT; under load the
//! tokens run short and batches grow by themselves; idle costs nothing.

use std::collections::VecDeque;
use std::time::Duration;

/// The limits of an accumulator.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// A flush is not made longer than this, except by one request that alone is longer.
    pub flush_bytes_max: u64,
    /// Slot PUTs a second, on average.
    pub slot_puts_per_second: f64,
    /// Slot PUTs that may be saved up.
    pub slot_puts_burst: f64,
}

impl Default for Limits {
    fn default() -> Self {
        Self { flush_bytes_max: 64 << 20, slot_puts_per_second: 10.0, slot_puts_burst: 20.0 }
    }
}

/// What to do now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Decision {
    /// Nothing waits.
    Idle,
    /// [Take](Accumulator::take) and write.
    Flush,
    /// Ask again after this long, or when a flight ends, or when something is added.
    Wait(Duration),
    /// Ask again when a flight ends.
    WaitForFlight,
}

/// When what waits is flushed, as far as that can be told.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Upcoming {
    /// Until the next flush.
    pub wait: Duration,
    /// From then until the one after it; nothing if that need not wait for a token.
    pub pause: Duration,
}

/// What waits to be flushed, in order.
#[derive(Debug)]
pub struct Accumulator<T> {
    limits: Limits,
    waiting: VecDeque<(T, u64)>,
    bytes: u64,
    tokens: f64,
    filled: Duration,
    last_flush: Option<Duration>,
}

impl<T> Accumulator<T> {
    /// An empty one with a full bucket.
    pub fn new(limits: Limits) -> Self {
        Self {
            limits,
            waiting: VecDeque::new(),
            bytes: 0,
            tokens: limits.slot_puts_burst,
            filled: Duration::ZERO,
            last_flush: None,
        }
    }

    /// Adds one request.
    pub fn push(&mut self, request: T, bytes: u64) {
        self.bytes += bytes;
        self.waiting.push_back((request, bytes));
    }

    /// Removes the waiting requests that match: they were never written anywhere.
    pub fn remove(&mut self, matches: impl Fn(&T) -> bool) -> bool {
        let before = self.waiting.len();
        self.waiting.retain(|(request, _)| !matches(request));
        self.bytes = self.waiting.iter().map(|(_, bytes)| bytes).sum();
        self.waiting.len() < before
    }

    /// Whether a waiting request matches.
    pub fn any(&self, matches: impl Fn(&T) -> bool) -> bool {
        self.waiting.iter().any(|(request, _)| matches(request))
    }

    /// Takes what matches, in order, up to a flush's bytes, for another to write: it costs no token here.
    pub fn take_matching(&mut self, matches: impl Fn(&T) -> bool) -> Vec<T> {
        let (mut taken, mut kept, mut bytes) = (Vec::new(), VecDeque::new(), 0);
        for (request, len) in std::mem::take(&mut self.waiting) {
            let fits = taken.is_empty() || bytes + len <= self.limits.flush_bytes_max;
            if fits && matches(&request) {
                bytes += len;
                taken.push(request);
            } else {
                kept.push_back((request, len));
            }
        }
        self.waiting = kept;
        self.bytes -= bytes;
        taken
    }

    /// Bytes that wait.
    pub fn bytes(&self) -> u64 {
        self.bytes
    }

    /// Requests that wait.
    pub fn len(&self) -> usize {
        self.waiting.len()
    }

    /// Whether nothing waits.
    pub fn is_empty(&self) -> bool {
        self.waiting.is_empty()
    }

    /// What to do at `now` with so many flushes in flight, and `free` more allowed.
    pub fn decide(&mut self, now: Duration, in_flight: usize, free: usize) -> Decision {
        self.fill(now);
        if self.waiting.is_empty() {
            return Decision::Idle;
        }
        if free == 0 {
            return Decision::WaitForFlight;
        }
        if self.bytes >= self.limits.flush_bytes_max {
            return Decision::Flush;
        }
        // While something is in flight, saved tokens are kept for when it is answered: flushes leave at the average rate.
        let interval = Duration::from_secs_f64(1.0 / self.limits.slot_puts_per_second);
        let since_last = self.last_flush.map_or(interval, |last| now.saturating_sub(last));
        let for_pace = if in_flight == 0 { Duration::ZERO } else { interval.saturating_sub(since_last) };
        let for_token =
            Duration::from_secs_f64((1.0 - self.tokens).max(0.0) / self.limits.slot_puts_per_second);
        match for_pace.max(for_token) {
            Duration::ZERO => Decision::Flush,
            wait => Decision::Wait(wait.max(Duration::from_millis(1))),
        }
    }

    /// What to tell those who hand over: while tokens are short, flushes come when a token does.
    pub fn upcoming(&mut self, now: Duration, in_flight: usize, free: usize) -> Upcoming {
        let wait = match self.decide(now, in_flight, free) {
            Decision::Wait(wait) => wait,
            Decision::Flush => Duration::ZERO,
            Decision::Idle | Decision::WaitForFlight => return Upcoming::default(),
        };
        let rate = self.limits.slot_puts_per_second;
        let tokens = self.tokens + wait.as_secs_f64() * rate - 1.0;
        Upcoming { wait, pause: Duration::from_secs_f64((1.0 - tokens).max(0.0) / rate) }
    }

    /// Requests that were sent besides cost what a flush costs.
    pub fn charge(&mut self, requests: u64) {
        self.tokens -= Duration::from_secs(requests).as_secs_f64();
    }

    /// Takes the next flush.
    pub fn take(&mut self, now: Duration) -> Vec<T> {
        self.fill(now);
        self.tokens -= 1.0;
        self.last_flush = Some(now);
        let mut taken = Vec::new();
        let mut bytes = 0;
        while let Some((_, next)) = self.waiting.front() {
            if !taken.is_empty() && bytes + next > self.limits.flush_bytes_max {
                break;
            }
            if let Some((request, len)) = self.waiting.pop_front() {
                bytes += len;
                taken.push(request);
            }
        }
        self.bytes -= bytes;
        taken
    }

    fn fill(&mut self, now: Duration) {
        let elapsed = now.saturating_sub(self.filled).as_secs_f64();
        self.filled = self.filled.max(now);
        self.tokens =
            (self.tokens + elapsed * self.limits.slot_puts_per_second).min(self.limits.slot_puts_burst);
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn ms(ms: u64) -> Duration {
        Duration::from_millis(ms)
    }

    #[test]
    fn a_lone_request_leaves_at_once_and_idle_asks_for_nothing() {
        let mut accumulator = Accumulator::new(Limits::default());
        assert_eq!(accumulator.decide(ms(0), 0, 4), Decision::Idle);
        accumulator.push("a", 10);
        assert_eq!(accumulator.decide(ms(1), 0, 4), Decision::Flush);
        assert_eq!(accumulator.take(ms(1)), ["a"]);
        assert_eq!(accumulator.decide(ms(2), 1, 3), Decision::Idle);
    }

    #[test]
    fn with_something_in_flight_a_flush_waits_for_its_pace() {
        let mut accumulator = Accumulator::new(Limits::default());
        accumulator.push(1, 10);
        accumulator.take(ms(0));
        accumulator.push(2, 10);
        assert_eq!(accumulator.decide(ms(30), 1, 3), Decision::Wait(ms(70)));
        assert_eq!(accumulator.decide(ms(30), 0, 4), Decision::Flush);
        assert_eq!(accumulator.decide(ms(30), 4, 0), Decision::WaitForFlight);
        assert_eq!(accumulator.decide(ms(100), 1, 3), Decision::Flush);
    }

    #[test]
    fn a_hedge_costs_a_token() {
        let limits = Limits { slot_puts_burst: 2.0, ..Limits::default() };
        let mut accumulator = Accumulator::new(limits);
        accumulator.push(1, 10);
        accumulator.push(2, 10);
        accumulator.charge(1);
        assert_eq!(accumulator.decide(ms(0), 0, 4), Decision::Flush);
        accumulator.take(ms(0));
        accumulator.push(3, 10);
        assert_eq!(accumulator.decide(ms(0), 0, 4), Decision::Wait(ms(100)));
    }

    #[test]
    fn when_it_flushes_next_can_be_told_while_tokens_are_short() {
        let limits = Limits { slot_puts_burst: 2.0, ..Limits::default() };
        let mut accumulator = Accumulator::new(limits);
        assert_eq!(accumulator.upcoming(ms(0), 0, 4), Upcoming::default());
        accumulator.push(1, 10);
        assert_eq!(accumulator.upcoming(ms(0), 0, 4), Upcoming::default(), "the next one has a token too");
        accumulator.take(ms(0));
        accumulator.push(2, 10);
        assert_eq!(accumulator.upcoming(ms(0), 0, 4), Upcoming { wait: ms(0), pause: ms(100) });
        accumulator.take(ms(0));
        accumulator.push(3, 10);
        assert_eq!(accumulator.upcoming(ms(60), 0, 4), Upcoming { wait: ms(40), pause: ms(100) });
        assert_eq!(
            accumulator.upcoming(ms(60), 4, 0),
            Upcoming::default(),
            "nobody knows when a flight ends"
        );
    }

    #[test]
    fn a_full_flush_does_not_wait() {
        let mut accumulator = Accumulator::new(Limits { flush_bytes_max: 100, ..Limits::default() });
        accumulator.push(1, 1);
        accumulator.take(ms(0));
        (0..30).for_each(|request| accumulator.push(request, 30));
        assert_eq!(accumulator.decide(ms(1), 1, 3), Decision::Flush);
        assert_eq!(accumulator.take(ms(1)), [0, 1, 2]);
    }

    #[test]
    fn what_another_writes_costs_no_token_and_keeps_its_order() {
        let mut accumulator = Accumulator::new(Limits { flush_bytes_max: 50, ..Limits::default() });
        (0..10).for_each(|request| accumulator.push(request, 10));
        assert!(accumulator.any(|request| request % 2 == 1));
        assert_eq!(accumulator.take_matching(|request| request % 2 == 1), [1, 3, 5, 7, 9]);
        assert!(!accumulator.any(|request| request % 2 == 1));
        assert_eq!((accumulator.len(), accumulator.bytes()), (5, 50));
        (0..30).for_each(|_| drop(accumulator.take_matching(|_| true)));
        accumulator.push(1, 10);
        assert_eq!(accumulator.decide(ms(0), 0, 4), Decision::Flush);
    }

    proptest! {
        #[test]
        fn the_budget_holds_and_everything_leaves_in_order(arrivals in prop::collection::vec(0u64..40, 1..300)) {
            let mut accumulator = Accumulator::new(Limits::default());
            let (mut now, mut flushes, mut left) = (0, 0u32, Vec::new());
            for (request, gap) in arrivals.iter().enumerate() {
                now += gap;
                accumulator.push(request, 10);
                if accumulator.decide(ms(now), 0, 4) == Decision::Flush {
                    flushes += 1;
                    left.extend(accumulator.take(ms(now)));
                }
            }
            prop_assert!(f64::from(flushes) <= 20.0 + 10.0 * Duration::from_millis(now).as_secs_f64() + 1.0);
            while !accumulator.is_empty() {
                now += 100;
                left.extend(accumulator.take(ms(now)));
            }
            prop_assert_eq!(left, (0..arrivals.len()).collect::<Vec<_>>());
            prop_assert_eq!(accumulator.bytes(), 0);
        }
    }
}

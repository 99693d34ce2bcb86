//! Whether the store can be written: a circuit breaker over the outcomes of slot PUTs.
//!
//! A store that cannot be written puts the gateway into *read-only* mode: produce is answered 503 at once, reads go on, and a
//! probe asks until the store writes again. One log line an episode.

use std::time::Duration;

use frazil_log::env::{Env, Moment};
use frazil_log::error::ErrorKind;
use parking_lot::Mutex;

/// PUTs that failed for so long without one success between open the breaker.
const FAILING_FOR: Duration = Duration::from_secs(1);

/// A PUT that has not been answered for so long does so alone.
const HANGING_FOR: Duration = Duration::from_secs(5);

/// How long an answer asks a client to wait.
pub const RETRY_AFTER: Duration = Duration::from_secs(2);

/// The breaker of one gateway's store.
#[derive(Debug)]
pub struct Health {
    env: Env,
    seen: Mutex<Seen>,
}

#[derive(Debug, Default)]
struct Seen {
    failing_since: Option<Moment>,
    last_error: String,
    denied: bool,
    open_since: Option<Moment>,
    in_flight: Vec<(u64, Moment)>,
    next_flight: u64,
}

impl Health {
    /// A closed breaker.
    pub fn new(env: Env) -> Self {
        Self { env, seen: Mutex::new(Seen::default()) }
    }

    /// A PUT leaves; the number is given back when it [ends](Self::end).
    pub fn begin(&self) -> u64 {
        let mut seen = self.seen.lock();
        seen.next_flight += 1;
        let flight = seen.next_flight;
        seen.in_flight.push((flight, self.env.now()));
        flight
    }

    /// A PUT is over, however.
    pub fn end(&self, flight: u64) {
        self.seen.lock().in_flight.retain(|(number, _)| *number != flight);
    }

    /// The store answered a write.
    pub fn succeeded(&self) {
        let mut seen = self.seen.lock();
        seen.failing_since = None;
        let now = self.env.now();
        seen.in_flight.iter_mut().for_each(|(_, since)| *since = now);
        if let Some(since) = seen.open_since.take() {
            tracing::info!(
                for_seconds = now.since(&since).as_secs(),
                "the store can be written again: read-only mode ends"
            );
        }
    }

    /// The store failed a write.
    pub fn failed(&self, kind: ErrorKind, error: &str) {
        let mut seen = self.seen.lock();
        let now = self.env.now();
        seen.failing_since.get_or_insert(now);
        error.clone_into(&mut seen.last_error);
        seen.denied = kind == ErrorKind::Denied;
        seen.open_if_due(now, true);
    }

    /// Why produce is refused now, if it is.
    pub fn read_only(&self) -> Option<String> {
        let mut seen = self.seen.lock();
        // One failure, and then nothing to write for hours, is no reason: only the next failure says that it lasts.
        seen.open_if_due(self.env.now(), false);
        seen.open_since.map(|_| seen.last_error.clone())
    }
}

impl Seen {
    fn open_if_due(&mut self, now: Moment, failed_now: bool) {
        if self.open_since.is_some() {
            return;
        }
        let failing = failed_now && self.failing_since.is_some_and(|since| now.since(&since) >= FAILING_FOR);
        let hanging = self.in_flight.iter().any(|(_, since)| now.since(since) >= HANGING_FOR);
        if !failing && !hanging {
            return;
        }
        if !failing {
            self.last_error = format!("a write has not been answered for {} s", HANGING_FOR.as_secs());
        }
        self.open_since = Some(now);
        let next = if self.denied {
            "give this process that permission; `frazil doctor` tries each by name"
        } else {
            "look at the store; `frazil status` shows its error rates, `frazil doctor` what it answers"
        };
        tracing::error!(
            error = self.last_error,
            "the store cannot be written: read-only mode; produce answers 503, reads go on, and writing goes on by itself; next: {next}"
        );
    }
}

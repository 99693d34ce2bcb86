//! What happened in a run: a hash over every event, a count of each kind, and words if somebody reads them.

use std::collections::BTreeMap;

/// The trace of a run.
#[derive(Clone, Debug)]
pub(crate) struct Trace {
    /// Over every event with its time: equal runs, equal hashes.
    pub(crate) hash: u64,
    /// How often each kind of event was seen.
    pub(crate) counts: BTreeMap<&'static str, u64>,
    /// The events in words, if they were asked for.
    pub(crate) lines: Option<Vec<String>>,
}

const PRIME: u64 = 0x9E37_79B9_7F4A_7C15;

impl Trace {
    /// An empty one.
    pub(crate) fn new(verbose: bool) -> Self {
        Self { hash: PRIME, counts: BTreeMap::new(), lines: verbose.then(Vec::new) }
    }

    /// Notes an event.
    pub(crate) fn note(
        &mut self,
        at_us: u64,
        what: &'static str,
        a: u64,
        b: u64,
        words: impl FnOnce() -> String,
    ) {
        let first = u64::from(what.as_bytes().first().copied().unwrap_or(0));
        for part in [at_us, first << 32 | what.len() as u64, a, b] {
            self.hash = (self.hash.rotate_left(23) ^ part).wrapping_mul(PRIME);
        }
        *self.counts.entry(what).or_default() += 1;
        if let Some(lines) = &mut self.lines {
            lines.push(format!("{} {what}: {}", clock(at_us), words()));
        }
    }
}

/// Days, hours, minutes, seconds since the run began.
fn clock(us: u64) -> String {
    let (seconds, millis) = (us / 1_000_000, us / 1_000 % 1_000);
    let (days, hours, minutes) = (seconds / 86_400, seconds / 3_600 % 24, seconds / 60 % 60);
    format!("{days}d {hours:02}:{minutes:02}:{:02}.{millis:03}", seconds % 60)
}

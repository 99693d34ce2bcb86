//! One run's world: its time, its bucket, what happened in it.

pub(crate) mod bucket;
pub(crate) mod dice;
pub(crate) mod store;
pub(crate) mod trace;
pub(crate) mod weather;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use frazil_log::id::{Name, TimeMicros};
use frazil_log::protocol::Protocol;
use parking_lot::Mutex;
use tokio::time::Instant;

use crate::history::History;
use crate::history::violation::{Kind, Violation};
use crate::world::bucket::Bucket;
use crate::world::dice::Dice;
use crate::world::trace::Trace;
use crate::world::weather::Weather;

/// The store's clock when a run begins: 2026-01-01T00:00:00Z.
const EPOCH_US: TimeMicros = 1_767_225_600_000_000;

/// What all parts of a run share.
#[derive(Debug)]
pub(crate) struct World {
    /// The protocol's numbers, bugs included.
    pub(crate) protocol: Protocol,
    /// The seed.
    pub(crate) seed: u64,
    /// The database.
    pub(crate) database: Name,
    /// What the store draws its faults from.
    pub(crate) store_dice: Dice,
    /// What the network between gateways draws its faults from.
    pub(crate) network_dice: Dice,
    /// The bucket as it is.
    pub(crate) bucket: Mutex<Bucket>,
    /// How likely which fault is now.
    pub(crate) weather: Mutex<Weather>,
    /// What clients asked and were told, and what the log says.
    pub(crate) history: Mutex<History>,
    trace: Mutex<Trace>,
    violation: Mutex<Option<Violation>>,
    partitioned: Mutex<BTreeMap<usize, bool>>,
    calm: AtomicBool,
    start: Instant,
}

impl World {
    /// A fresh one.
    pub(crate) fn new(seed: u64, protocol: Protocol, verbose: bool, with_reference: bool) -> Arc<Self> {
        let database = Name::new("default").expect("a fixed name that is allowed");
        Arc::new(Self {
            history: Mutex::new(History::new(&protocol, with_reference)),
            protocol,
            seed,
            database,
            store_dice: Dice::new(seed, 1),
            network_dice: Dice::new(seed, 2),
            bucket: Mutex::new(Bucket::default()),
            weather: Mutex::new(Weather::calm()),
            trace: Mutex::new(Trace::new(verbose)),
            violation: Mutex::new(None),
            partitioned: Mutex::new(BTreeMap::new()),
            calm: AtomicBool::new(false),
            start: Instant::now(),
        })
    }

    /// Microseconds since the run began.
    pub(crate) fn elapsed_us(&self) -> u64 {
        u64::try_from((Instant::now() - self.start).as_micros()).unwrap_or(u64::MAX)
    }

    /// The store's clock.
    pub(crate) fn store_time(&self) -> TimeMicros {
        EPOCH_US + i64::try_from(self.elapsed_us()).unwrap_or(i64::MAX / 2)
    }

    /// Notes an event: counted, hashed, and told if somebody listens.
    pub(crate) fn note(&self, what: &'static str, a: u64, b: u64, words: impl FnOnce() -> String) {
        self.trace.lock().note(self.elapsed_us(), what, a, b, words);
    }

    /// Notes something that may not be. The first one ends the run.
    pub(crate) fn violate(&self, kind: Kind, words: String) {
        self.note("violation", 0, 0, || words.clone());
        let mut violation = self.violation.lock();
        if violation.is_none() {
            *violation = Some(Violation { kind, words, shape: None });
        }
    }

    /// Takes over what a check found.
    pub(crate) fn judge(&self, found: Result<(), Violation>) {
        if let Err(found) = found {
            self.note("violation", 0, 0, || found.words.clone());
            self.violation.lock().get_or_insert(found);
        }
    }

    /// The first violation.
    pub(crate) fn violation(&self) -> Option<Violation> {
        self.violation.lock().clone()
    }

    /// Brings the history up to date with the log in the bucket, and judges what is new there.
    pub(crate) fn fold(&self) {
        let found = {
            let bucket = self.bucket.lock();
            self.history.lock().fold(&bucket)
        };
        self.judge(found);
    }

    /// Cuts a node off, or lets it back.
    pub(crate) fn partition(&self, node: usize, cut: bool) {
        self.partitioned.lock().insert(node, cut);
    }

    /// Whether a node is cut off.
    pub(crate) fn is_cut_off(&self, node: usize) -> bool {
        self.partitioned.lock().get(&node).copied().unwrap_or(false)
    }

    /// No fault begins from here on.
    pub(crate) fn stop_faults(&self) {
        self.calm.store(true, Ordering::SeqCst);
    }

    /// Whether the faults have stopped.
    pub(crate) fn faults_have_stopped(&self) -> bool {
        self.calm.load(Ordering::SeqCst)
    }

    /// Ends the run: the trace as it is.
    pub(crate) fn take_trace(&self) -> Trace {
        std::mem::replace(&mut self.trace.lock(), Trace::new(false))
    }
}

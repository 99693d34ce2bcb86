//! What kind of run a seed makes: how many of what, how often which act, which numbers the protocol has.

use std::time::Duration;

use frazil_log::planted::Planted;
use frazil_log::protocol::Protocol;

use crate::world::dice::Dice;

/// Things that a run does, one after the other.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Act {
    /// Plain requests through random gateways, at about the same time.
    Plain,
    /// Requests of producers.
    Produce,
    /// A request with `expected_offset`.
    Expect,
    /// A request for two buckets or two tables at once.
    Atomic,
    /// Workers of a group, with rows and positions in one request; now and then the group is deleted.
    Group,
    /// A strong read.
    Read,
    /// Rows read back.
    Consume,
    /// A hand-over.
    HandOver,
    /// A table made, or dropped, or a dropped one restored.
    Ddl,
    /// A table altered by several at about the same time.
    Alter,
    /// Rows that expire, by several at about the same time.
    Expire,
    /// Milliseconds to seconds go by.
    Seconds,
    /// Minutes go by.
    Minutes,
    /// Hours or days go by.
    Days,
    /// A gateway stands still for a while.
    Freeze,
    /// A gateway stands still for days, just after a request came in; meanwhile the others go on, and the log is trimmed.
    LongSleep,
    /// A gateway starts far behind, and stands still at each step.
    Stutter,
    /// A process is killed, and started again.
    Crash,
    /// A gateway drains, then is started again.
    Drain,
    /// A node is cut off from the store.
    Partition,
    /// A wall clock jumps.
    Clock,
    /// A janitor's round.
    Janitor,
    /// Checkpoints, a trim, and a cold start, at the same time.
    ColdStart,
    /// A gateway uploads a segment and dies; its commit comes a day later, after a janitor's round.
    Straggle,
    /// The store gets bad.
    Storm,
    /// The store gets well.
    Calm,
}

/// All acts, with the weight that each has by default.
pub(crate) const ACTS: [(Act, u32); 26] = [
    (Act::Plain, 12),
    (Act::Produce, 24),
    (Act::Expect, 5),
    (Act::Atomic, 3),
    (Act::Group, 5),
    (Act::Read, 8),
    (Act::Consume, 5),
    (Act::HandOver, 8),
    (Act::Ddl, 3),
    (Act::Alter, 2),
    (Act::Expire, 2),
    (Act::Seconds, 14),
    (Act::Minutes, 4),
    (Act::Days, 3),
    (Act::Freeze, 5),
    (Act::LongSleep, 1),
    (Act::Stutter, 1),
    (Act::Crash, 5),
    (Act::Drain, 2),
    (Act::Partition, 2),
    (Act::Clock, 2),
    (Act::Janitor, 5),
    (Act::ColdStart, 1),
    (Act::Straggle, 1),
    (Act::Storm, 5),
    (Act::Calm, 3),
];

/// What kind of run.
#[derive(Clone, Debug)]
pub(crate) struct Scenario {
    /// The protocol's numbers, bugs included.
    pub(crate) protocol: Protocol,
    /// How many gateways.
    pub(crate) gateways: usize,
    /// How many acts.
    pub(crate) acts: usize,
    /// How often which.
    pub(crate) weights: Vec<(Act, u32)>,
    /// Slots in flight a gateway.
    pub(crate) flights_max: usize,
    /// See [`crate::node::gateway::GatewayOptions`].
    pub(crate) inline_bytes_max: u64,
    /// Whether gateways write checkpoints; else only janitors do.
    pub(crate) gateways_checkpoint: bool,
    /// Buckets of the main table.
    pub(crate) buckets: u32,
    /// Whether all clocks of a machine stand still while it is frozen (T-x7).
    pub(crate) clocks_stall: bool,
    /// The shortest time that a producer waits before it tries elsewhere, in microseconds.
    pub(crate) impatience_us: u64,
    /// Whether a producer has several requests open.
    pub(crate) pipelining: usize,
    /// The longest that a late copy of a PUT is on its way, in seconds.
    pub(crate) late_max_s: u64,
    /// Fewer rows than this a request.
    pub(crate) rows_end: u64,
    /// How often a producer's request names an offset.
    pub(crate) producers_expect: f64,
    /// How often a handed-over request names an offset.
    pub(crate) hand_overs_expect: f64,
    /// How often a request needs a new connection, at least.
    pub(crate) connect: f64,
    /// Whether gateways hand over to and push to each other.
    pub(crate) peers: bool,
    /// Whether the store is bad from the beginning.
    pub(crate) storm: bool,
    /// Whether the reference fold judges too (it knows no bugs).
    pub(crate) reference: bool,
}

impl Scenario {
    /// The run of a seed, with bugs or without.
    pub(crate) fn draw(dice: &Dice, planted: Planted) -> Self {
        let mut protocol = Protocol::SHIPPED;
        protocol.fold.window_slots = dice.range(8, 13);
        protocol.fold.checkpoint_slots = dice.range(5, 9);
        protocol.fold.producer_verdicts_max = if dice.happens(0.3) { 3 } else { 64 };
        protocol.fold.planted = planted;
        Self {
            gateways: 2 + dice.index(3),
            acts: 40 + dice.index(60),
            weights: ACTS.to_vec(),
            flights_max: 1 + dice.index(4),
            inline_bytes_max: if dice.happens(0.5) { 400 } else { 8 << 20 },
            gateways_checkpoint: dice.happens(0.7),
            buckets: 1 + u32::try_from(dice.index(3)).unwrap_or(0),
            clocks_stall: false,
            impatience_us: 200_000,
            pipelining: 1 + dice.index(4),
            late_max_s: 3 * 86_400,
            rows_end: 5,
            producers_expect: 0.15,
            hand_overs_expect: 0.5,
            connect: 0.0,
            storm: dice.happens(0.3),
            peers: dice.happens(0.6),
            reference: planted == Planted::NONE,
            protocol,
        }
    }

    /// Changes one weight.
    #[must_use]
    pub(crate) fn weigh(mut self, changes: &[(Act, u32)]) -> Self {
        for (act, weight) in &mut self.weights {
            if let Some((_, changed)) = changes.iter().find(|(changed, _)| changed == act) {
                *weight = *changed;
            }
        }
        self
    }

    /// Only these acts.
    #[must_use]
    pub(crate) fn only(mut self, weights: &[(Act, u32)]) -> Self {
        self.weights = weights.to_vec();
        self
    }

    /// Whether trim may rely on a checkpoint so old.
    pub(crate) fn trim_age(&self) -> Duration {
        self.protocol.checkpoint_age_min
    }

    /// Draws the next act.
    pub(crate) fn next(&self, dice: &Dice) -> Act {
        let weights: Vec<u32> = self.weights.iter().map(|(_, weight)| *weight).collect();
        self.weights[dice.weighted(&weights)].0
    }
}

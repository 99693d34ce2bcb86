//! The numbers of the protocol: one struct, constant in every shipped binary.
//!
//! Their relations carry the safety argument (rules 1, 4, 10, 11): a proof is two orders of magnitude younger than the age at
//! which trim may act on a checkpoint. The test-only feature `scaled-protocol` shrinks all ages in the same ratio.

use std::time::Duration;

use crate::id::Slot;
use crate::planted::Planted;

/// The protocol's numbers.
#[derive(Clone, Debug)]
pub struct Protocol {
    /// How long a proof that a slot is not trimmed may be relied on (rule 10).
    pub proof_age_max: Duration,
    /// How old a checkpoint must be before slots below it may be deleted (rule 11).
    pub checkpoint_age_min: Duration,
    /// The fold's own numbers, the same in every node of a log.
    pub fold: FoldRules,
}

/// What the fold depends on besides the log.
#[derive(Clone, Debug)]
pub struct FoldRules {
    /// A proposal (or a segment) named at `base` is refused in slots above `base + window_slots` (rules 1 and 12).
    pub window_slots: Slot,
    /// A checkpoint is due each so many slots.
    pub checkpoint_slots: Slot,
    /// Or when so many bytes of headers have come since the last.
    pub checkpoint_header_bytes: u64,
    /// A producer is forgotten after so long without a request, by log time (rule 4).
    pub producer_idle_max: Duration,
    /// How many verdicts of a producer are remembered (rule 3).
    pub producer_verdicts_max: usize,
    /// How long a dropped table is kept, by log time.
    pub dropped_kept: Duration,
    /// How much groups may hold.
    pub groups: GroupLimits,
    /// Bugs planted by a test; none in a shipped binary.
    pub planted: Planted,
}

/// What bounds the groups of a database.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct GroupLimits {
    /// Groups of a database.
    pub groups_max: usize,
    /// Tables that a group stands in.
    pub tables_max: usize,
    /// Offsets that all groups of a database store together.
    pub offsets_max: usize,
}

const MINUTE: Duration = Duration::from_secs(60);
const DAY: Duration = Duration::from_secs(24 * 60 * 60);

impl Protocol {
    /// The numbers of every shipped binary.
    pub const SHIPPED: Self = Self {
        proof_age_max: MINUTE.saturating_mul(10),
        checkpoint_age_min: DAY,
        fold: FoldRules {
            window_slots: 1_000,
            checkpoint_slots: 1_000,
            checkpoint_header_bytes: 64 << 20,
            producer_idle_max: DAY.saturating_mul(7),
            producer_verdicts_max: 64,
            dropped_kept: DAY,
            groups: GroupLimits { groups_max: 10_000, tables_max: 1_000, offsets_max: 1_000_000 },
            planted: Planted::NONE,
        },
    };

    /// All ages divided by `divisor`, and a checkpoint (and window) of `slots`: for tests only.
    #[cfg(feature = "scaled-protocol")]
    #[must_use]
    pub fn scaled(divisor: u32, slots: Slot) -> Self {
        let mut protocol = Self::SHIPPED;
        protocol.proof_age_max /= divisor;
        protocol.checkpoint_age_min /= divisor;
        protocol.fold.producer_idle_max /= divisor;
        protocol.fold.dropped_kept /= divisor;
        protocol.fold.checkpoint_slots = slots;
        protocol.fold.window_slots = slots;
        protocol
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_proof_is_far_younger_than_what_trim_acts_on() {
        let shipped = Protocol::SHIPPED;
        assert!(shipped.proof_age_max * 100 < shipped.checkpoint_age_min);
        assert!(shipped.fold.producer_idle_max > shipped.checkpoint_age_min);
    }
}

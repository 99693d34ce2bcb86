//! How far above the tail a flight aims that loses slot after slot (rule 14). PURE.
//!
//! Whoever cannot reach the leader, and is slower than it, loses every race for the next slot: by the time its PUT arrives, the slot is
//! taken. So it leaves slots out, for the leader to fill, which is evidently writing: 1, 2, 4 … of them.
//!
//! Invariants: nothing is left out before two losses, nor by who leads, nor while the tail stands still: a hole is filled by whoever
//! writes next, not left to others.

use crate::id::Slot;

/// The most slots that are left out.
pub(super) const AHEAD_MAX: Slot = 64;

/// The losses of one flight.
#[derive(Clone, Copy, Debug)]
pub(super) struct Losses {
    count: u32,
    /// The tail when it aimed last.
    tail: Slot,
}

impl Losses {
    /// A flight that aims for the first time.
    pub(super) fn none(tail: Slot) -> Self {
        Self { count: 0, tail }
    }

    /// How many there were.
    pub(super) fn count(&self) -> u32 {
        self.count
    }

    /// One more; the tail is now here. How many slots to leave out.
    pub(super) fn lost(&mut self, tail: Slot, leads: bool) -> Slot {
        let moved = tail > self.tail;
        self.tail = tail;
        self.count = self.count.saturating_add(1);
        if self.count < 2 || leads || !moved {
            return 0;
        }
        1u64.checked_shl(self.count - 2).map_or(AHEAD_MAX, |ahead| ahead.min(AHEAD_MAX))
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn it_aims_ahead_after_two_losses_and_doubles_up_to_the_most() {
        let mut losses = Losses::none(7);
        let aims: Vec<Slot> = (8..20).map(|tail| losses.lost(tail, false)).collect();
        assert_eq!(aims, [0, 1, 2, 4, 8, 16, 32, 64, 64, 64, 64, 64]);
    }

    #[test]
    fn who_leads_and_who_sees_a_hole_aims_at_the_tail() {
        let mut losses = Losses::none(7);
        losses.lost(8, false);
        assert_eq!(losses.lost(9, true), 0);
        assert_eq!(losses.lost(9, false), 0, "the tail stands still");
        assert_eq!(losses.lost(10, false), 4);
    }

    proptest! {
        /// A leader that writes up to 64 slots while a PUT of ours is on its way starves nobody.
        #[test]
        fn nobody_starves_beside_a_fast_leader(paces in prop::collection::vec(1u64..=AHEAD_MAX, 12)) {
            let (mut losses, mut tail, mut aimed) = (Losses::none(0), 0, 0);
            for (tries, pace) in paces.into_iter().enumerate() {
                tail += pace; // what it writes until our PUT arrives
                if aimed >= tail {
                    return Ok(());
                }
                prop_assert!(tries < 9, "lost {tries} times, and aimed at {aimed} with the tail at {tail}");
                aimed = tail + losses.lost(tail, false);
            }
        }

        #[test]
        fn a_slot_below_is_left_out_only_while_the_tail_moves(
            steps in prop::collection::vec((0u64..3, any::<bool>()), 1..60),
        ) {
            let (mut losses, mut tail) = (Losses::none(0), 0);
            for (count, (step, leads)) in (1u32..).zip(steps) {
                tail += step;
                let ahead = losses.lost(tail, leads);
                prop_assert_eq!(ahead > 0, count >= 2 && !leads && step > 0);
                prop_assert!(ahead <= AHEAD_MAX);
            }
        }
    }
}

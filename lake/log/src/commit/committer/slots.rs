//! Which slots this process holds or knows to be taken. PURE.

use std::collections::BTreeSet;

use crate::id::Slot;

/// Which slots are in flight, and which are known to be taken although they are not folded yet.
#[derive(Debug, Default)]
pub(super) struct Slots {
    pub(super) aimed: BTreeSet<Slot>,
    pub(super) taken: BTreeSet<Slot>,
}

impl Slots {
    /// The first slot from `next` on that nobody is known to hold, `ahead` slots left out.
    pub(super) fn aim(&mut self, next: Slot, ahead: Slot) -> Slot {
        self.taken.retain(|slot| *slot >= next);
        let mut slot = next.saturating_add(ahead);
        while self.is_held(slot) {
            slot += 1;
        }
        self.aimed.insert(slot);
        slot
    }

    /// Takes the slots from `next` to below `end` that nobody is known to hold, at most so many.
    pub(super) fn aim_at_holes(&mut self, next: Slot, end: Slot, count_max: usize) -> Vec<Slot> {
        let holes: Vec<Slot> = (next..end).filter(|slot| !self.is_held(*slot)).take(count_max).collect();
        self.aimed.extend(&holes);
        holes
    }

    /// Whether there is a slot from `next` to below `end` that nobody is known to hold.
    pub(super) fn has_holes(&self, next: Slot, end: Slot) -> bool {
        (next..end).any(|slot| !self.is_held(slot))
    }

    fn is_held(&self, slot: Slot) -> bool {
        self.aimed.contains(&slot) || self.taken.contains(&slot)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn slots_are_taken_once_and_holes_are_what_nobody_holds() {
        let mut slots = Slots::default();
        assert_eq!([slots.aim(5, 0), slots.aim(5, 0), slots.aim(5, 4), slots.aim(5, 3)], [5, 6, 9, 8]);
        slots.taken.insert(7);
        assert_eq!(slots.aim(5, 2), 10);
        slots.aimed.remove(&5);
        assert_eq!(slots.aim_at_holes(5, 13, 2), [5, 11]);
        assert!(slots.has_holes(5, 13) && !slots.has_holes(5, 12) && !slots.has_holes(13, 13));
        assert_eq!(slots.aim_at_holes(5, 13, 8), [12]);
        assert!(slots.aim_at_holes(5, 13, 8).is_empty());
    }
}

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
    /// The first slot from `next` on that nobody is known to hold.
    pub(super) fn aim(&mut self, next: Slot) -> Slot {
        self.taken.retain(|slot| *slot >= next);
        let mut slot = next;
        while self.aimed.contains(&slot) || self.taken.contains(&slot) {
            slot += 1;
        }
        self.aimed.insert(slot);
        slot
    }
}

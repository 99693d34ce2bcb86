//! Holes below an own commit that nobody fills: whoever writes next does, and that is who waits for them (rules 6 and 14).
//!
//! A hole is filled with a commit of nothing: no name is proposed twice for it, and where the leader was only slow, one of both PUTs
//! loses, as ever.

use futures::FutureExt;
use futures::future::{BoxFuture, try_join_all};

use super::landing::Landed;
use super::{Committer, Flush};
use crate::error::Result;
use crate::id::Slot;

/// Holes that are filled at once.
const FILLED_AT_ONCE_MAX: usize = 8;

/// Slots that this process aims at, until it is dropped.
struct Aimed<'c> {
    committer: &'c Committer,
    slots: Vec<Slot>,
}

impl Drop for Aimed<'_> {
    fn drop(&mut self) {
        let mut slots = self.committer.inner.slots.lock();
        slots.aimed.retain(|slot| !self.slots.contains(slot));
    }
}

impl Committer {
    /// Fills the holes below a slot that no flight of this process holds. One that somebody else fills meanwhile is left to the fold.
    pub(super) fn fill_holes(&self, end: Slot) -> BoxFuture<'_, Result<()>> {
        async move {
            loop {
                let next = self.inner.replica.next();
                let slots = self.inner.slots.lock().aim_at_holes(next, end, FILLED_AT_ONCE_MAX);
                if slots.is_empty() {
                    return Ok(());
                }
                let aimed = Aimed { committer: self, slots };
                try_join_all(aimed.slots.iter().map(|slot| self.fill(*slot))).await?;
            }
        }
        .boxed()
    }

    async fn fill(&self, slot: Slot) -> Result<()> {
        if self.fly(slot, &Flush::default(), &|_| {}).await? == Landed::Lost {
            self.inner.slots.lock().taken.insert(slot);
        }
        Ok(())
    }
}

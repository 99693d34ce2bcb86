//! One flush on its way: slot after slot, until one is ours.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::OwnedSemaphorePermit;

use super::ahead::Losses;
use super::landing::Landed;
use super::{Committer, Flush};
use crate::error::Result;
use crate::format::segment::ObjectId;
use crate::id::Slot;

/// A slot that is about to be written.
#[derive(Debug)]
pub struct Flight {
    committer: Committer,
    slot: Slot,
    losses: Losses,
    _permit: OwnedSemaphorePermit,
}

/// What came of one try.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Tried {
    /// It is in this slot, and folded.
    Folded(Slot),
    /// Another writer has the slot.
    Lost,
}

impl Flight {
    pub(super) fn new(committer: Committer, slot: Slot, permit: OwnedSemaphorePermit) -> Self {
        let losses = Losses::none(committer.inner.replica.next());
        Self { committer, slot, losses, _permit: permit }
    }

    /// Writes a flush. Returns the slot, once it is folded.
    ///
    /// Proposals may be named by any gateway: each is answered by its own gateway's fold. A lost slot is tried again further on,
    /// for as long as the store needs: what must end is ended by the caller, who then does not know the outcome.
    ///
    /// # Errors
    /// Only such as no later attempt can mend: a header over the limit, a fold that stopped.
    pub async fn write(mut self, flush: Flush) -> Result<Slot> {
        loop {
            if let Tried::Folded(slot) = self.try_write(&flush, |_| {}).await? {
                return Ok(slot);
            }
        }
    }

    /// Writes a flush to one slot. Lost: the winner's slot is folded, and the flight has another slot; the same proposals may be
    /// written there, or be handed over to the winner (rule 14). `leaves` is told before the PUT leaves which object it makes if it
    /// wins: its slot may be folded, and its rows asked for, before the PUT is answered.
    ///
    /// # Errors
    /// As [`write`](Self::write).
    pub async fn try_write(
        &mut self,
        flush: &Flush,
        leaves: impl Fn(ObjectId) + Send + Sync,
    ) -> Result<Tried> {
        let inner = Arc::clone(&self.committer.inner);
        if self.committer.fly(self.slot, flush, &leaves).await? == Landed::Ours {
            inner.replica.wait_for(self.slot + 1).await;
            return Ok(Tried::Folded(self.slot));
        }
        inner.slots.lock().taken.insert(self.slot);
        // Fold what the winner wrote, and aim at the next slot, or ahead of it (rule 14); after two losses not in step with the others.
        if self.losses.count() == 0 {
            self.committer.until_ok(|| inner.replica.advance_past(self.slot)).await?;
        } else {
            // The winner may be many slots further by now: from the slot behind the lost one on, it would be one lost PUT for each.
            self.committer.until_ok(|| async { inner.replica.confirm_tail().await.map(drop) }).await?;
        }
        let leads = self.committer.leads();
        let ahead = self.losses.lost(inner.replica.next(), leads);
        if self.losses.count() >= 2 {
            // A process that slept during its only PUTs knows times of minutes.
            let p50 = self
                .committer
                .put_time(50)
                .unwrap_or(Duration::from_millis(20))
                .min(inner.options.retry_pause_max);
            let jitter =
                inner.replica.env().entropy.bits() % u64::try_from(p50.as_micros().max(1)).unwrap_or(1);
            tokio::time::sleep(Duration::from_micros(jitter)).await;
        }
        let mut slots = inner.slots.lock();
        slots.aimed.remove(&self.slot);
        self.slot = slots.aim(inner.replica.next(), ahead);
        Ok(Tried::Lost)
    }
}

impl Drop for Flight {
    fn drop(&mut self) {
        self.committer.inner.slots.lock().aimed.remove(&self.slot);
    }
}

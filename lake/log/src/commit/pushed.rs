//! Slots pushed by one node to another: a hint that saves requests.
//!
//! Invariants:
//! * only what is Committed and folded here is pushed, in slot order (rule 6): it is sent where it is folded;
//! * a pushed slot is taken like one that was read: folded in its turn, under this node's own proof, and no proof itself (rule 10). A
//!   slot never changes once it is Committed, so a push that comes late says nothing wrong, and one that is lost says nothing.

use std::sync::Arc;

use bytes::Bytes;
use tokio::sync::broadcast;

use super::proof::Observation;
use super::replica::{Arrived, Replica};
use crate::error::Result;
use crate::format::commit::Commit;
use crate::id::{Slot, Ulid};

/// Slots that a follower may lag behind before it must read by itself.
pub(super) const FOLDED_KEPT: usize = 64;

/// Rows of at most so many bytes are kept for those who push them.
const BODY_BYTES_MAX: u64 = 512 << 10;

/// Own commits in flight whose rows are remembered: more than there are flights.
const BODIES_MAX: usize = 16;

/// A pushed slot so far above the fold is not kept: this node must read anyway.
const AHEAD_MAX: Slot = 64;

/// A slot that was folded here.
#[derive(Clone, Debug)]
pub struct FoldedSlot {
    /// The commit.
    pub commit: Arc<Commit>,
    /// Its body, if this node wrote it and it is small.
    pub body: Option<Vec<Bytes>>,
}

/// Bodies of own commits that are not folded yet, oldest first.
#[derive(Debug, Default)]
pub(super) struct Bodies(Vec<(Ulid, Vec<Bytes>)>);

impl Bodies {
    fn keep(&mut self, put_id: Ulid, body: Vec<Bytes>) {
        if self.0.len() >= BODIES_MAX {
            self.0.remove(0);
        }
        self.0.push((put_id, body));
    }

    fn take(&mut self, put_id: Ulid) -> Option<Vec<Bytes>> {
        let index = self.0.iter().position(|(kept, _)| *kept == put_id)?;
        Some(self.0.remove(index).1)
    }
}

impl Replica {
    /// Each slot that is folded from now on, in order. Who reads too slowly is told how many were lost.
    pub fn folded_slots(&self) -> broadcast::Receiver<FoldedSlot> {
        self.inner.folded.subscribe()
    }

    /// A commit of this node leaves: its rows may be wanted where it is pushed.
    pub(super) fn keep_body(&self, commit: &Commit, body: &[Bytes]) {
        if self.inner.folded.receiver_count() > 0 && commit.envelope.body_bytes <= BODY_BYTES_MAX {
            self.inner.bodies.lock().keep(commit.header.put_id, body.to_vec());
        }
    }

    /// Tells those who listen; in the order of folding, since the fold's lock is held.
    pub(super) fn tell_folded(&self, commit: &Commit) {
        let body = self.inner.bodies.lock().take(commit.header.put_id);
        if self.inner.folded.receiver_count() > 0 {
            drop(self.inner.folded.send(FoldedSlot { commit: Arc::new(commit.clone()), body })); // nobody is left
        }
    }

    /// Another node pushed a slot. Folds what can be folded now.
    ///
    /// # Errors
    /// Those of asking for a proof.
    pub async fn deliver_pushed(&self, commit: Commit) -> Result<()> {
        let (slot, next) = (commit.header.slot, self.next());
        if (next..next.saturating_add(AHEAD_MAX)).contains(&slot) {
            let sent = self.env().now();
            let arrived = Arrived { commit, sent, what: Observation::Present };
            // What an own PUT was answered says more.
            self.inner.arrived.lock().entry(slot).or_insert(arrived);
        }
        while self.fold_arrived().await? {}
        Ok(())
    }
}

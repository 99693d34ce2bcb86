//! Handing own requests over to the leader, and writing them here if that comes to nothing (rule 14).
//!
//! Invariants:
//! * only requests of this gateway's own clients are handed over, under the names that they keep wherever they are written;
//! * a leader's word that it accepted answers nobody: the fates come from the own fold.

use std::sync::atomic::Ordering;
use std::time::Duration;

use bytes::Bytes;
use frazil_log::commit::committer::{Flush, Parcel};
use frazil_log::id::ProposalName;
use frazil_log::planted::Bug;
use tokio::time::{Instant, sleep_until, timeout};

use super::{Ingress, Queued, Ready};
use crate::metrics::{AckStage, HandOver};
use crate::peers::message::{MESSAGE_BYTES_MAX, ProposeRequest, Taken};
use crate::produce::flush::{self, Pending};
use crate::produce::router::Leader;
use crate::produce::upload;

/// A flush that is with the leader is looked for this often, where the leader does not push its slots.
const POLL_PAUSE: Duration = Duration::from_millis(100);

/// The same where it does: a push may be lost.
const POLL_PAUSE_PUSHED: Duration = Duration::from_millis(500);

/// Whether something is to be handed over.
pub(super) enum Due {
    /// There is nothing, or nobody to hand it over to.
    Nothing,
    /// It has just left.
    Handed,
    /// After this long.
    In(Duration),
}

impl Ingress {
    /// Whom to hand over to; nobody: write here.
    pub(crate) fn leader(&self) -> Option<Leader> {
        self.inner.options.peers.as_ref()?;
        let fold = self.inner.replica.fold();
        self.inner.router.lock().leader(fold.writers().leader(), self.clock())
    }

    /// Hands over what waits, if there is a leader and it is time.
    pub(super) fn hand_over_due(&self) -> Due {
        if !self.inner.accumulator.lock().any(Queued::is_fresh) {
            return Due::Nothing;
        }
        let Some(leader) = self.leader() else { return Due::Nothing };
        let hold = {
            let (now, mut pace) = (self.clock(), self.inner.pace.lock());
            // What is too much for one hand-over waits for no other.
            let full = self.inner.accumulator.lock().bytes() >= leader.rows_bytes_max;
            let hold = if full { Duration::ZERO } else { pace.hold(leader.incarnation, now) };
            if hold.is_zero() {
                pace.handed(now);
            }
            hold
        };
        if !hold.is_zero() {
            return Due::In(hold);
        }
        let taken = self.inner.accumulator.lock().take_matching(Queued::is_fresh);
        let (mut pending, now) = (Vec::with_capacity(taken.len()), self.env().now());
        for queued in taken {
            if let Queued::Fresh { pending: request, since } = queued {
                self.inner.metrics.ack_stage(AckStage::Buffer, now.since(&since));
                pending.push(request);
            }
        }
        self.hand_over(pending, leader);
        Due::Handed
    }

    fn hand_over(&self, pending: Vec<Pending>, leader: Leader) {
        let ingress = self.clone();
        self.while_handed_over(async move {
            let built = match flush::build(&pending, leader.rows_bytes_max) {
                Ok(built) => built,
                Err(error) => return ingress.fail(&pending, error),
            };
            let mut flush = built.flush;
            match upload::segments(&ingress.inner.committer, built.uploads).await {
                Ok(segments) => flush.segments = segments,
                Err(error) => return ingress.fail(&pending, error),
            }
            ingress.see_through(flush, leader).await;
        });
    }

    /// Hands over a flush that lost its slot here.
    pub(super) fn hand_over_flush(&self, flush: Flush, leader: Leader) {
        let ingress = self.clone();
        self.while_handed_over(async move { ingress.see_through(flush, leader).await });
    }

    /// A task that a drain waits for.
    fn while_handed_over(&self, task: impl Future<Output = ()> + Send + 'static) {
        let ingress = self.clone();
        self.inner.handed_over.fetch_add(1, Ordering::SeqCst);
        self.env().spawn(async move {
            task.await;
            ingress.inner.handed_over.fetch_sub(1, Ordering::SeqCst);
            ingress.inner.wake.notify_one();
            ingress.inner.idle.notify_waiters();
        });
    }

    /// Offers a flush to the leader, and waits until it is folded here. If it is not taken, or not folded in time, it is written here.
    async fn see_through(&self, flush: Flush, leader: Leader) {
        let began = self.env().now();
        self.inner.interest.handed_over();
        let names: Vec<ProposalName> = flush.proposals.iter().map(|proposal| proposal.name).collect();
        let outcome = match self.offer(&flush, &leader).await {
            HandOver::Folded if self.answers_for_the_leader(&flush) => HandOver::Folded,
            HandOver::Folded if self.are_decided(names, leader.fold_time).await => HandOver::Folded,
            HandOver::Folded => HandOver::NotFolded,
            other => other,
        };
        self.inner.metrics.handed_over(outcome);
        let took = self.env().now().since(&began);
        self.inner.metrics.ack_stage(AckStage::Peer, took);
        if outcome == HandOver::Folded {
            return self.inner.router.lock().kept_its_word(leader.incarnation);
        }
        self.avoid(&leader);
        self.write_here(flush);
    }

    /// Planted bug P-x1: a leader's word is taken for the fold's.
    fn answers_for_the_leader(&self, flush: &Flush) -> bool {
        let planted = self.inner.replica.protocol().fold.planted.has(Bug::AckFromAccept);
        if planted {
            self.inner.committer.acknowledge_unwritten(flush);
        }
        planted
    }

    /// The same proposals under the same names: if both copies land, the fold takes one (rule 1).
    fn write_here(&self, mut flush: Flush) {
        if self.inner.replica.protocol().fold.planted.has(Bug::RenameHandedOver) {
            flush.proposals.iter_mut().for_each(|proposal| proposal.name = self.next_name());
        }
        let bytes = flush.body_bytes().max(1);
        self.inner.accumulator.lock().push(Queued::Ready(Ready { flush, _memory: None }), bytes);
        self.inner.wake.notify_one();
    }

    /// [`HandOver::Folded`] here means that it was accepted: folded is what it must become.
    async fn offer(&self, flush: &Flush, leader: &Leader) -> HandOver {
        let Some(peers) = &self.inner.options.peers else { return HandOver::Unreachable };
        let (folded, log_uuid) = {
            let fold = self.inner.replica.fold();
            (fold.folded(), fold.state.identity().uuid)
        };
        let parcel = Parcel { log_uuid, from: self.inner.writer.clone(), folded, flush: flush.clone() };
        let Ok(pieces) = parcel.seal() else { return HandOver::Refused };
        let parcel: Bytes = pieces.concat().into();
        if parcel.len() > MESSAGE_BYTES_MAX / 2 {
            return HandOver::Refused;
        }
        let request = ProposeRequest { database: self.inner.replica.database().to_string(), parcel };
        let (accept_time, asked) = (self.inner.pace.lock().accept_time(), self.clock());
        match timeout(accept_time, peers.propose(&leader.address, request)).await {
            Ok(Ok(answer)) if answer.taken() == Taken::Accepted => {
                let now = self.clock();
                let took = now.saturating_sub(asked);
                self.inner.pace.lock().accepted(leader.incarnation, took, answer.upcoming(), now);
                HandOver::Folded
            }
            Ok(Ok(answer)) => {
                tracing::debug!(
                    leader = leader.address,
                    taken = answer.taken().label(),
                    why = answer.why,
                    "not taken"
                );
                HandOver::Refused
            }
            Ok(Err(error)) => {
                tracing::debug!(leader = leader.address, %error, "the leader cannot be reached");
                HandOver::Unreachable
            }
            Err(_) => {
                self.inner.pace.lock().timed_out();
                HandOver::Unreachable
            }
        }
    }

    /// Waits until nobody waits for these proposals any more: each has its fate, or its client has gone.
    async fn are_decided(&self, mut names: Vec<ProposalName>, limit: Duration) -> bool {
        let replica = &self.inner.replica;
        let deadline = Instant::now() + limit;
        let mut next = replica.watch();
        loop {
            next.mark_unchanged();
            names.retain(|name| replica.awaits(name));
            if names.is_empty() {
                return true;
            }
            let now = Instant::now();
            if now >= deadline {
                return false;
            }
            let pause = if self.is_pushed_to() { POLL_PAUSE_PUSHED } else { POLL_PAUSE };
            tokio::select! {
                biased;
                changed = next.changed() => drop(changed),
                () = sleep_until(deadline.min(now + pause)) => drop(replica.poll_tail(pause).await), // or the next one
            }
        }
    }

    /// This leader did not take what it was offered, or is going down: for a while it is not asked.
    pub(crate) fn avoid(&self, leader: &Leader) {
        self.inner.router.lock().avoid(leader.incarnation, self.clock());
    }
}

//! One slot's PUTs, and what became of it.
//!
//! Invariant: an answer is Ours or Lost only by what is folded or read (rules 5 and 10), never by the store's word alone.

use std::sync::Arc;
use std::time::Duration;

use super::hedge::{Hedged, Which};
use super::{Committer, Flush, PutSeenAs};
use crate::commit::replica::SlotRead;
use crate::env::Moment;
use crate::error::{Error, ErrorKind, Result};
use crate::format::commit::{Commit, CommitHeader, WriterInfo};
use crate::format::envelope::Sealed;
use crate::format::segment::ObjectId;
use crate::id::Slot;
use crate::planted::Bug;
use crate::store::{CreateOutcome, PutPayload, paths};

/// How often a commit that waits for the slots below looks for them, at least and at most; between, four times the p50 of a PUT. A tail
/// that stood still for so long is nobody's.
const LOOK_PAUSE: (Duration, Duration) = (Duration::from_millis(100), Duration::from_millis(500));

/// What became of one slot.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Landed {
    Ours,
    Lost,
}

impl Committer {
    /// One slot, until it is Committed or Lost.
    pub(super) async fn fly(
        &self,
        slot: Slot,
        flush: &Flush,
        leaves: &(impl Fn(ObjectId) + Send + Sync),
    ) -> Result<Landed> {
        let replica = &self.inner.replica;
        let (commit, sealed) = self.seal(slot, flush)?;
        leaves(ObjectId::Commit { slot, put_id: commit.header.put_id });
        replica.keep_body(&commit, &sealed.body);
        if replica.protocol().fold.planted.has(Bug::PushBeforeFolded) {
            replica.tell_folded(&commit);
        }
        let path = paths::log(replica.database(), slot);
        let mut pause = self.inner.options.retry_pause;
        loop {
            let sent = replica.env().now();
            // `sent` is from before the first copy: an observation is as old as that, whichever copy made it (rule 10).
            let put = self.inner.hedger.create(&path, |which| self.payload(which, slot, &sealed, flush));
            let hedged = if replica.put_needs_proof() {
                // The first write after a pause: the LIST goes beside the PUT (rule 10).
                let (hedged, proof) = futures::join!(put, replica.refresh_proof());
                drop(proof); // no proof now: the observation itself will ask again
                hedged
            } else {
                put.await
            };
            let took = replica.env().now().since(&sent);
            self.note(&hedged.outcome, took);
            if let Some(landed) = self.resolve(&commit, sent, hedged).await? {
                return Ok(landed);
            }
            tokio::time::sleep(pause).await;
            pause = (pause * 2).min(self.inner.options.retry_pause_max);
        }
    }

    /// Planted bug P-x1: proposals are answered as if they were in the next slot.
    pub fn acknowledge_unwritten(&self, flush: &Flush) {
        if let Ok((commit, _)) = self.seal(self.inner.replica.next(), flush) {
            self.inner.replica.acknowledge_past_hole(&commit);
        }
    }

    fn seal(&self, slot: Slot, flush: &Flush) -> Result<(Commit, Sealed)> {
        let replica = &self.inner.replica;
        let (folded, log_uuid) = {
            let fold = replica.fold();
            (fold.folded(), fold.state.identity().uuid)
        };
        let put_p99 = self.put_time(99).unwrap_or_default();
        let header = CommitHeader {
            slot,
            log_uuid,
            put_id: replica.env().ulid(),
            folded,
            time: replica.env().now().wall,
            writer: WriterInfo {
                put_p99_us: u64::try_from(put_p99.as_micros()).unwrap_or(u64::MAX),
                ..self.inner.writer.clone()
            },
            encryption_key_id: String::new(),
            segments: flush.segments.clone(),
            slices: flush.slices.clone(),
            proposals: flush.proposals.clone(),
        };
        let sealed = header.seal(flush.body.clone())?;
        Ok((Commit::of_sealed(header, &sealed), sealed))
    }

    /// Both copies are the same bytes.
    fn payload(&self, which: Which, slot: Slot, sealed: &Sealed, flush: &Flush) -> PutPayload {
        let planted = self.inner.replica.protocol().fold.planted;
        if planted.has(Bug::HedgeNewPutId)
            && which == Which::Second
            && let Ok((_, other)) = self.seal(slot, flush)
        {
            return other.pieces().collect();
        }
        sealed.pieces().collect()
    }

    fn note(&self, outcome: &CreateOutcome, took: Duration) {
        let seen = match outcome {
            CreateOutcome::Committed => {
                self.inner.times.lock().add(took);
                PutSeenAs::Answered(took)
            }
            CreateOutcome::Lost => PutSeenAs::Answered(took),
            CreateOutcome::Unknown(error) | CreateOutcome::Denied(error) => {
                PutSeenAs::Failed(Arc::new(Error::new(error.kind(), error.to_string())))
            }
        };
        (self.inner.listener)(seen);
    }

    /// What an answer means; `None`: the same bytes must be sent again.
    async fn resolve(&self, commit: &Commit, sent: Moment, hedged: Hedged) -> Result<Option<Landed>> {
        let replica = &self.inner.replica;
        let slot = commit.header.slot;
        if matches!(hedged.outcome, CreateOutcome::Committed) {
            return self.committed(commit, sent).await.map(Some);
        }
        if let Some(landed) = self.folded_as(commit) {
            return Ok(Some(landed));
        }
        if hedged.by == Which::Second && replica.protocol().fold.planted.has(Bug::HedgeLostIsLost) {
            return Ok(Some(Landed::Lost));
        }
        // 412, a time-out, a 5xx: whose slot is it?
        let Some(read) = self.read_beside(slot, hedged).await else {
            return self.committed(commit, sent).await.map(Some);
        };
        match read {
            Ok(SlotRead::Present(found)) if found.is_same_put(commit) => {
                self.believe_ours(commit, sent).await.map(Some)
            }
            Ok(SlotRead::Present(_)) => Ok(Some(Landed::Lost)),
            Ok(SlotRead::Absent) if replica.next() > slot => {
                Ok(self.folded_as(commit).or(Some(Landed::Lost)))
            }
            Ok(SlotRead::Absent) if replica.protocol().fold.planted.has(Bug::GiveUpUnknown) => {
                Ok(Some(Landed::Lost))
            }
            Ok(SlotRead::Absent) => Ok(None),
            Err(error) if error.is_retryable() || error.kind() == ErrorKind::Denied => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// Reads a slot; `None`: meanwhile the other copy of its PUT was answered Committed.
    async fn read_beside(&self, slot: Slot, hedged: Hedged) -> Option<Result<SlotRead>> {
        let replica = &self.inner.replica;
        let Some(other) = hedged.other else { return Some(replica.read_slot(slot).await) };
        self.inner.hedger.charge();
        tokio::select! {
            biased;
            Ok(CreateOutcome::Committed) = other => None,
            read = replica.read_slot(slot) => Some(read),
        }
    }

    async fn committed(&self, commit: &Commit, sent: Moment) -> Result<Landed> {
        let answered = self.inner.replica.env().now();
        let landed = self.believe_ours(commit, sent).await?;
        (self.inner.listener)(PutSeenAs::Folded(self.inner.replica.env().now().since(&answered)));
        Ok(landed)
    }

    /// Our PUT stands in its slot: it waits for its turn to be folded. If a checkpoint came in between (we slept), the fold knows
    /// better.
    async fn believe_ours(&self, commit: &Commit, sent: Moment) -> Result<Landed> {
        let replica = &self.inner.replica;
        let slot = commit.header.slot;
        self.until_ok(|| replica.deliver(commit.clone(), sent)).await?;
        let mut tail = replica.next();
        loop {
            if let Some(landed) = self.folded_as(commit) {
                return Ok(landed);
            }
            if replica.next() > slot {
                return Ok(Landed::Lost); // a checkpoint jumped over it: what came of it is not known here
            }
            // A hole below: its own flight fills it, or whoever wrote it is folded by reading.
            tokio::select! {
                biased;
                () = replica.wait_for(slot + 1) => {}
                () = tokio::time::sleep(self.look_pause(replica.next(), slot)) => {
                    self.until_ok(|| async { replica.confirm_tail().await.map(drop) }).await?;
                    let before = std::mem::replace(&mut tail, replica.next());
                    if before == tail {
                        self.fill_holes(slot).await?;
                    }
                }
            }
        }
    }

    /// How long who waits above `next..end` does without a look: as long as may be if all of that is on its way here.
    fn look_pause(&self, next: Slot, end: Slot) -> Duration {
        let (least, most) = LOOK_PAUSE;
        if !self.inner.slots.lock().has_holes(next, end) {
            return most;
        }
        self.put_time(50).map_or(most, |p50| (p50 * 4).clamp(least, most))
    }

    fn folded_as(&self, commit: &Commit) -> Option<Landed> {
        let seen = self.inner.replica.put_at(commit.header.slot)?;
        let ours = seen.put_id == commit.header.put_id && seen.content_hash == commit.envelope.content_hash;
        Some(if ours { Landed::Ours } else { Landed::Lost })
    }
}

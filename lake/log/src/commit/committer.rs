//! Writing slots: up to k in flight, each retried until it is Committed or Lost; nothing is acknowledged before it is folded.
//!
//! Invariants:
//! * a slot is ours when put_id and content hash are equal (rule 5): the fold decides, a PUT's answer is only a hint;
//! * an Unknown slot is asked for again with the same bytes, never given up for the next (A-x6);
//! * a flush that lost its slot goes into a later one under the same names (rule 1), so nothing is doubled.
//!
//! Start reading at [`Flight::write`].

use std::collections::{BTreeSet, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use parking_lot::Mutex;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use super::replica::{Replica, SlotRead};
use crate::env::Moment;
use crate::error::{Error, ErrorKind, Result};
use crate::format::commit::{Commit, CommitHeader, Proposal, SegmentRef, WriterInfo};
use crate::format::envelope::Sealed;
use crate::format::segment::ObjectId;
use crate::format::slice::Slice;
use crate::id::Slot;
use crate::planted::Bug;
use crate::store::{CreateOutcome, PutPayload, paths};

/// How a committer writes.
#[derive(Clone, Debug)]
pub struct CommitterOptions {
    /// Slots in flight at once.
    pub flights_max: usize,
    /// The first pause after a PUT that was not answered; doubled up to `retry_pause_max`.
    pub retry_pause: Duration,
    /// The longest pause.
    pub retry_pause_max: Duration,
}

impl Default for CommitterOptions {
    fn default() -> Self {
        Self {
            flights_max: 4,
            retry_pause: Duration::from_millis(50),
            retry_pause_max: Duration::from_secs(1),
        }
    }
}

/// What goes into one slot: proposals, the slices they name, the rows.
#[derive(Clone, Debug, Default)]
pub struct Flush {
    /// In the order in which they are folded.
    pub proposals: Vec<Proposal>,
    /// Segments that were uploaded before.
    pub segments: Vec<SegmentRef>,
    /// The slices.
    pub slices: Vec<Slice>,
    /// The rows of the slices at home in the commit.
    pub body: Vec<Bytes>,
}

/// What is seen of the store while writing; a health watch listens.
#[derive(Clone, Debug)]
pub enum PutSeenAs {
    /// It answered: Committed or Lost.
    Answered(Duration),
    /// A Committed slot is folded, so long after its answer.
    Folded(Duration),
    /// It did not answer, or with an error.
    Failed(Arc<Error>),
}

/// Listens to the outcome of every PUT.
pub type PutListener = Arc<dyn Fn(PutSeenAs) + Send + Sync>;

/// Writes the slots of one log for one process. Cheap to clone.
#[derive(Clone)]
pub struct Committer {
    inner: Arc<Inner>,
}

struct Inner {
    replica: Replica,
    writer: WriterInfo,
    options: CommitterOptions,
    permits: Arc<Semaphore>,
    slots: Mutex<Slots>,
    times: Mutex<PutTimes>,
    listener: PutListener,
}

impl std::fmt::Debug for Committer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Committer").field("database", self.inner.replica.database()).finish_non_exhaustive()
    }
}

/// Which slots are in flight, and which are known to be taken although they are not folded yet.
#[derive(Debug, Default)]
struct Slots {
    aimed: BTreeSet<Slot>,
    taken: BTreeSet<Slot>,
}

impl Slots {
    /// The first slot from `next` on that nobody is known to hold.
    fn aim(&mut self, next: Slot) -> Slot {
        self.taken.retain(|slot| *slot >= next);
        let mut slot = next;
        while self.aimed.contains(&slot) || self.taken.contains(&slot) {
            slot += 1;
        }
        self.aimed.insert(slot);
        slot
    }
}

/// The last PUT times: what quantiles are read from.
#[derive(Debug, Default)]
struct PutTimes(VecDeque<Duration>);

const PUT_TIMES_KEPT: usize = 256;

impl PutTimes {
    fn add(&mut self, time: Duration) {
        self.0.push_back(time);
        if self.0.len() > PUT_TIMES_KEPT {
            self.0.pop_front();
        }
    }

    fn quantile(&self, percent: usize) -> Option<Duration> {
        let mut sorted: Vec<Duration> = self.0.iter().copied().collect();
        sorted.sort_unstable();
        sorted.get(sorted.len().saturating_sub(1) * percent / 100).copied()
    }
}

/// A slot that is about to be written.
#[derive(Debug)]
pub struct Flight {
    committer: Committer,
    slot: Slot,
    _permit: OwnedSemaphorePermit,
}

impl Flight {
    /// Writes a flush. Returns the slot, once it is folded.
    ///
    /// Proposals may be named by any gateway: each is answered by its own gateway's fold. A lost slot is tried again further on,
    /// for as long as the store needs: what must end is ended by the caller, who then does not know the outcome.
    ///
    /// # Errors
    /// Only such as no later attempt can mend: a header over the limit, a fold that stopped.
    pub async fn write(self, flush: Flush) -> Result<Slot> {
        self.write_telling(flush, |_| {}).await
    }

    /// [Writes](Self::write), and tells before each PUT leaves which object it makes if it wins: its slot may be folded, and its rows
    /// asked for, before the PUT is answered.
    ///
    /// # Errors
    /// As [`Flight::write`].
    pub async fn write_telling(
        mut self,
        flush: Flush,
        leaves: impl Fn(ObjectId) + Send + Sync,
    ) -> Result<Slot> {
        let inner = Arc::clone(&self.committer.inner);
        let mut losses = 0u32;
        loop {
            if self.committer.fly(self.slot, &flush, &leaves).await? == Landed::Ours {
                inner.replica.wait_for(self.slot + 1).await;
                return Ok(self.slot);
            }
            losses += 1;
            inner.slots.lock().taken.insert(self.slot);
            // Fold what the winner wrote, and aim at the first absent slot; after two losses not in step with the others.
            self.committer.until_ok(|| inner.replica.advance_past(self.slot)).await?;
            if losses >= 2 {
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
            self.slot = slots.aim(inner.replica.next());
        }
    }
}

impl Drop for Flight {
    fn drop(&mut self) {
        self.committer.inner.slots.lock().aimed.remove(&self.slot);
    }
}

/// What became of one slot.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Landed {
    Ours,
    Lost,
}

impl Committer {
    /// A committer that writes as `writer`.
    pub fn new(
        replica: Replica,
        writer: WriterInfo,
        options: CommitterOptions,
        listener: PutListener,
    ) -> Self {
        let permits = Arc::new(Semaphore::new(options.flights_max));
        let inner = Inner {
            replica,
            writer,
            options,
            permits,
            slots: Mutex::new(Slots::default()),
            times: Mutex::new(PutTimes::default()),
            listener,
        };
        Self { inner: Arc::new(inner) }
    }

    /// The log that it writes.
    pub fn replica(&self) -> &Replica {
        &self.inner.replica
    }

    /// How many more flushes could be in flight now.
    pub fn flights_free(&self) -> usize {
        self.inner.permits.available_permits()
    }

    /// Waits until one more flush could be in flight, whoever's flight ends.
    pub async fn flight_freed(&self) {
        drop(self.inner.permits.acquire().await); // never closed
    }

    /// A quantile of the last PUT times.
    pub fn put_time(&self, percent: usize) -> Option<Duration> {
        self.inner.times.lock().quantile(percent)
    }

    /// Waits while k are in flight, then takes the next slot that nobody is known to hold. Flights leave in the order of this
    /// call's returns.
    pub async fn reserve(&self) -> Result<Flight> {
        let permit = Arc::clone(&self.inner.permits).acquire_owned().await;
        let permit = permit.map_err(|_| Error::internal("the committer was closed"))?;
        let slot = self.inner.slots.lock().aim(self.inner.replica.next());
        Ok(Flight { committer: self.clone(), slot, _permit: permit })
    }

    /// [Reserves](Self::reserve) and writes.
    pub async fn write(&self, flush: Flush) -> Result<Slot> {
        self.reserve().await?.write(flush).await
    }

    /// One slot, until it is Committed or Lost.
    async fn fly(
        &self,
        slot: Slot,
        flush: &Flush,
        leaves: &(impl Fn(ObjectId) + Send + Sync),
    ) -> Result<Landed> {
        let replica = &self.inner.replica;
        let (commit, sealed) = self.seal(slot, flush)?;
        leaves(ObjectId::Commit { slot, put_id: commit.header.put_id });
        let path = paths::log(replica.database(), slot);
        let mut pause = self.inner.options.retry_pause;
        loop {
            let sent = replica.env().now();
            let payload: PutPayload = sealed.pieces().collect();
            let outcome = if replica.put_needs_proof() {
                // The first write after a pause: the LIST goes beside the PUT (rule 10).
                let put = replica.store().create_if_absent(&path, payload);
                let (outcome, proof) = futures::join!(put, replica.refresh_proof());
                drop(proof); // no proof now: the observation itself will ask again
                outcome
            } else {
                replica.store().create_if_absent(&path, payload).await
            };
            let took = replica.env().now().since(&sent);
            self.note(&outcome, took);
            if let Some(landed) = self.resolve(&commit, sent, outcome).await? {
                return Ok(landed);
            }
            tokio::time::sleep(pause).await;
            pause = (pause * 2).min(self.inner.options.retry_pause_max);
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
    async fn resolve(&self, commit: &Commit, sent: Moment, outcome: CreateOutcome) -> Result<Option<Landed>> {
        let replica = &self.inner.replica;
        let slot = commit.header.slot;
        if matches!(outcome, CreateOutcome::Committed) {
            let answered = replica.env().now();
            let landed = self.believe_ours(commit, sent).await?;
            (self.inner.listener)(PutSeenAs::Folded(replica.env().now().since(&answered)));
            return Ok(Some(landed));
        }
        if let Some(landed) = self.folded_as(commit) {
            return Ok(Some(landed));
        }
        // 412, a time-out, a 5xx: whose slot is it?
        match replica.read_slot(slot).await {
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

    /// Our PUT stands in its slot: it waits for its turn to be folded. If a checkpoint came in between (we slept), the fold knows
    /// better.
    async fn believe_ours(&self, commit: &Commit, sent: Moment) -> Result<Landed> {
        let replica = &self.inner.replica;
        let slot = commit.header.slot;
        self.until_ok(|| replica.deliver(commit.clone(), sent)).await?;
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
                () = tokio::time::sleep(Duration::from_millis(500)) => {
                    self.until_ok(|| async { replica.confirm_tail().await.map(drop) }).await?;
                }
            }
        }
    }

    fn folded_as(&self, commit: &Commit) -> Option<Landed> {
        let seen = self.inner.replica.put_at(commit.header.slot)?;
        let ours = seen.put_id == commit.header.put_id && seen.content_hash == commit.envelope.content_hash;
        Some(if ours { Landed::Ours } else { Landed::Lost })
    }

    /// Repeats what a store that comes and goes may refuse for a while.
    async fn until_ok<F: Future<Output = Result<()>>>(&self, attempt: impl Fn() -> F) -> Result<()> {
        let mut pause = self.inner.options.retry_pause;
        loop {
            match attempt().await {
                Err(error) if error.is_retryable() || error.kind() == ErrorKind::Denied => {
                    (self.inner.listener)(PutSeenAs::Failed(Arc::new(error)));
                    tokio::time::sleep(pause).await;
                    pause = (pause * 2).min(self.inner.options.retry_pause_max);
                }
                other => return other,
            }
        }
    }
}

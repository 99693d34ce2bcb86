//! Writing slots: up to k in flight, each retried until it is Committed or Lost; nothing is acknowledged before it is folded.
//!
//! Invariants:
//! * a slot is ours when put_id and content hash are equal (rule 5): the fold decides, a PUT's answer is only a hint;
//! * an Unknown slot is asked for again with the same bytes, never given up for the next (A-x6);
//! * a flush that lost its slot goes into a later one under the same names (rule 1), so nothing is doubled;
//! * a hole below an own commit is left to the leader while it writes, and filled here when it does not (rule 14).
//!
//! Start reading at [`Flight::write`]; one slot's PUTs and what their answers mean are in [`landing`], second copies of late ones
//! in [`hedge`], how far ahead a loser aims in [`ahead`], and who fills the holes in [`holes`]. A [`Parcel`] is a flush on its way to another gateway.

mod ahead;
mod flight;
mod flush;
pub mod hedge;
mod holes;
mod landing;
mod lateness;
mod parcel;
mod slots;
#[cfg(test)]
mod tests;
mod times;

use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use tokio::sync::Semaphore;

pub use self::flight::{Flight, Tried};
pub use self::flush::Flush;
use self::hedge::Hedger;
pub use self::lateness::HedgeOptions;
pub use self::parcel::Parcel;
use self::slots::Slots;
use self::times::PutTimes;
use super::replica::Replica;
use crate::error::{Error, ErrorKind, Result};
use crate::format::commit::WriterInfo;
use crate::id::Slot;

/// How a committer writes.
#[derive(Clone, Debug)]
pub struct CommitterOptions {
    /// Slots in flight at once.
    pub flights_max: usize,
    /// The first pause after a PUT that was not answered; doubled up to `retry_pause_max`.
    pub retry_pause: Duration,
    /// The longest pause.
    pub retry_pause_max: Duration,
    /// When a late PUT is sent again.
    pub hedge: HedgeOptions,
}

impl Default for CommitterOptions {
    fn default() -> Self {
        Self {
            flights_max: 4,
            retry_pause: Duration::from_millis(50),
            retry_pause_max: Duration::from_secs(1),
            hedge: HedgeOptions::default(),
        }
    }
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
    /// It is late, and a second copy leaves.
    Hedged,
    /// The second copy was answered first.
    HedgeWon,
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
    hedger: Hedger,
    listener: PutListener,
}

impl std::fmt::Debug for Committer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Committer").field("database", self.inner.replica.database()).finish_non_exhaustive()
    }
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
        let (store, env) = (replica.store().clone(), replica.env().clone());
        let hedger = Hedger::new(store, env, options.hedge, Arc::clone(&listener));
        let inner = Inner {
            hedger,
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

    /// What sends late PUTs again; segments go through it too.
    pub fn hedger(&self) -> &Hedger {
        &self.inner.hedger
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
        let slot = self.inner.slots.lock().aim(self.inner.replica.next(), 0);
        Ok(Flight::new(self.clone(), slot, permit))
    }

    /// [Reserves](Self::reserve) and writes.
    pub async fn write(&self, flush: Flush) -> Result<Slot> {
        self.reserve().await?.write(flush).await
    }

    /// Whether the last slot that gateways wrote is this process's.
    fn leads(&self) -> bool {
        let fold = self.inner.replica.fold();
        fold.writers().leader().is_some_and(|last| last.info.incarnation == self.inner.writer.incarnation)
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

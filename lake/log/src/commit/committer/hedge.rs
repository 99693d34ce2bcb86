//! A PUT that may be sent twice: the same bytes, so the same put_id; the first answer that says something wins.
//!
//! Invariants:
//! * at most two copies are out, and extra requests are bounded (see [`super::lateness`]);
//! * an answer of either copy is only a hint, as ever: whose the object is, its put_id tells (rule 5). Above all, *Lost* for one copy
//!   may mean that the other has won;
//! * the copy that lost is left to end by itself: what it may still do is what any late PUT may do.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use futures::FutureExt;
use parking_lot::Mutex;
use tokio::sync::oneshot;

use super::lateness::{HedgeOptions, Lateness};
use super::{PutListener, PutSeenAs};
use crate::env::Env;
use crate::store::{CreateOutcome, Path, PutPayload, Store};

/// Which copy of a PUT.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Which {
    /// The one that left first.
    First,
    /// The hedge.
    Second,
}

/// What came of a PUT and maybe its second copy.
#[derive(Debug)]
pub struct Hedged {
    /// The first answer that says something.
    pub outcome: CreateOutcome,
    /// Who was answered so.
    pub by: Which,
    /// What the other copy is answered, if it is still out.
    pub other: Option<oneshot::Receiver<CreateOutcome>>,
}

/// Sends PUTs of one process to one log. Cheap to clone.
#[derive(Clone)]
pub struct Hedger {
    inner: Arc<Inner>,
}

struct Inner {
    store: Store,
    env: Env,
    lateness: Mutex<Lateness>,
    listener: PutListener,
    sent: AtomicU64,
    won: AtomicU64,
}

impl std::fmt::Debug for Hedger {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Hedger").field("store", &self.inner.store).finish_non_exhaustive()
    }
}

/// A first copy that is out.
struct Out {
    hedger: Hedger,
    put: u64,
}

impl Drop for Out {
    fn drop(&mut self) {
        self.hedger.inner.lateness.lock().forget(self.put);
    }
}

impl Hedger {
    pub(super) fn new(store: Store, env: Env, options: HedgeOptions, listener: PutListener) -> Self {
        let lateness = Mutex::new(Lateness::new(options));
        let (sent, won) = (AtomicU64::new(0), AtomicU64::new(0));
        Self { inner: Arc::new(Inner { store, env, lateness, listener, sent, won }) }
    }

    /// Second copies: sent, and answered first.
    pub fn counts(&self) -> (u64, u64) {
        (self.inner.sent.load(Ordering::Relaxed), self.inner.won.load(Ordering::Relaxed))
    }

    /// Creates an object if its key is free, with a second copy when the first one is late.
    pub async fn create(&self, path: &Path, payload: impl Fn(Which) -> PutPayload) -> Hedged {
        let bytes = payload(Which::First);
        let length = bytes.content_length() as u64;
        let put = self.inner.lateness.lock().sent(length, self.inner.env.now().boot);
        let out = Out { hedger: self.clone(), put };
        let mut first = self.clone().first_copy(path.clone(), bytes, out).boxed();
        tokio::select! {
            biased;
            outcome = &mut first => return Hedged { outcome, by: Which::First, other: None },
            () = self.until_late(put) => {}
        }
        self.inner.sent.fetch_add(1, Ordering::Relaxed);
        (self.inner.listener)(PutSeenAs::Hedged);
        let mut second = self.clone().copy(path.clone(), payload(Which::Second)).boxed();
        let (outcome, by) = tokio::select! {
            biased;
            outcome = &mut first => (outcome, Which::First),
            outcome = &mut second => (outcome, Which::Second),
        };
        let other = if by == Which::First { second } else { first };
        if matches!(outcome, CreateOutcome::Unknown(_) | CreateOutcome::Denied(_)) {
            // It says nothing; the other copy may yet.
            let later = other.await;
            let by = if by == Which::First { Which::Second } else { Which::First };
            return Hedged { outcome: later, by, other: None };
        }
        if by == Which::Second {
            self.inner.won.fetch_add(1, Ordering::Relaxed);
            (self.inner.listener)(PutSeenAs::HedgeWon);
        }
        let (answer, answered) = oneshot::channel();
        self.inner.env.spawn(async move { drop(answer.send(other.await)) }); // nobody may listen any more
        Hedged { outcome, by, other: Some(answered) }
    }

    /// A second copy made a read necessary, which counts as an extra request too.
    pub(super) fn charge(&self) {
        self.inner.lateness.lock().charge();
    }

    async fn copy(self, path: Path, payload: PutPayload) -> CreateOutcome {
        self.inner.store.create_if_absent(&path, payload).await
    }

    async fn first_copy(self, path: Path, payload: PutPayload, out: Out) -> CreateOutcome {
        let outcome = self.inner.store.create_if_absent(&path, payload).await;
        if matches!(outcome, CreateOutcome::Committed | CreateOutcome::Lost) {
            self.inner.lateness.lock().answered(out.put, self.inner.env.now().boot);
        }
        outcome
    }

    /// Ends when a second copy may leave; never, if none may.
    async fn until_late(&self, put: u64) {
        loop {
            let wait = self.inner.lateness.lock().late_in(put, self.inner.env.now().boot);
            match wait {
                Some(wait) if wait.is_zero() => break,
                // The clock may be coarser than the timer, and what is late may have moved meanwhile.
                Some(wait) => tokio::time::sleep(wait.max(std::time::Duration::from_millis(1))).await,
                None => std::future::pending().await,
            }
        }
        if !self.inner.lateness.lock().hedge(put) {
            std::future::pending::<()>().await;
        }
    }
}

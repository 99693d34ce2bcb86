//! From a request to its verdict: admission, the door for sequences, a name, a flush, a slot, the fold's answer.
//!
//! Invariants:
//! * an answer comes only from this gateway's own fold (rule 1), or says that the outcome is not known;
//! * one request is one proposal (rule 2); it gets another name only when the fold has passed the first one's window;
//! * what was proposed and met a gap is proposed again until it has a verdict or the deadline comes (rule 3);
//! * what was handed over is written here under the same names if it is not accepted, or not folded in time (rule 14);
//! * memory is bounded: bytes of waiting and flying requests hold permits.
//!
//! Start reading at [`Ingress::submit`] (`submit`), then `flusher` (what leaves when, and where to), `handover` (to the leader) and
//! `accept` (as the leader).

mod accept;
mod flusher;
mod handover;
mod kept;
mod submit;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::time::Duration;

use frazil_log::commit::committer::{Committer, CommitterOptions, Flush, PutSeenAs};
use frazil_log::commit::replica::Replica;
use frazil_log::env::{Env, Moment};
use frazil_log::error::Error;
use frazil_log::format::commit::{ProducerStamp, WriterInfo};
use frazil_log::id::ProposalName;
use frazil_log::state::verdict::{Acceptance, Refusal};
use parking_lot::Mutex;
use tokio::sync::{Notify, watch};
use tokio::time::{Instant, timeout_at};

use super::accumulator::{Accumulator, Limits};
use super::door::Door;
use super::flush::{Act, Pending};
use super::health::Health;
use super::pace::Pace;
use super::router::Router;
use crate::consume::tail::TailRing;
use crate::memory::{Held, Share};
use crate::metrics::{AckStage, Metrics};
use crate::peers::interest::Interest;
use crate::peers::listen;
use crate::peers::transport::Transport;

/// The limits of an ingress.
#[derive(Clone, Debug)]
pub struct IngressOptions {
    /// When to flush.
    pub limits: Limits,
    /// Rows up to this many bytes a flush travel inside the commit.
    pub inline_bytes_max: u64,
    /// What requests that wait or fly take: one share for all databases of a process.
    pub buffer: Share,
    /// How long a request waits for room in the buffer before it is told to come later.
    pub buffer_wait_max: Duration,
    /// How slots are written.
    pub committer: CommitterOptions,
    /// The way to other gateways; none: everything is written here.
    pub peers: Option<Arc<dyn Transport>>,
}

impl Default for IngressOptions {
    fn default() -> Self {
        Self {
            limits: Limits::default(),
            inline_bytes_max: 8 << 20,
            buffer: Share::new(256 << 20),
            buffer_wait_max: Duration::from_secs(5),
            committer: CommitterOptions::default(),
            peers: None,
        }
    }
}

/// A request that passed its decoder.
#[derive(Clone, Debug)]
pub struct Request {
    /// What it does.
    pub acts: Vec<Act>,
    /// Who sent it.
    pub producer: Option<ProducerStamp>,
    /// See [`frazil_log::format::commit::Proposal::request_hash`].
    pub request_hash: u128,
    /// About how many bytes it holds.
    pub bytes: usize,
    /// When the client no longer waits.
    pub deadline: Instant,
}

/// A request that was taken.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Answer {
    /// With these offsets; maybe by an earlier request of the same sequence.
    Accepted {
        /// The slot and offsets.
        acceptance: Acceptance,
        /// See [`Decided`](frazil_log::state::verdict::Fate::Decided).
        duplicate: bool,
    },
    /// A duplicate whose offsets are forgotten.
    Forgotten,
}

/// A request that was not taken, or may have been.
#[derive(Debug)]
pub enum Failure {
    /// The log refused it; nothing was written.
    Refused(Refusal),
    /// The producer's sequence must first reach `expected`; nothing was proposed.
    Gap {
        /// What the log would take.
        expected: u64,
    },
    /// The buffer stayed full; nothing was proposed.
    Overloaded,
    /// The store cannot be written; nothing was proposed.
    ReadOnly(String),
    /// The process is going down; nothing was proposed.
    Draining,
    /// The deadline came before it was proposed.
    NotProposed,
    /// It was proposed, and the deadline came before its verdict.
    Unknown,
    /// It could not be put into a commit; nothing was proposed.
    Failed(Error),
}

/// The way into one log. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Ingress {
    inner: Arc<Inner>,
}

#[derive(Debug)]
struct Inner {
    replica: Replica,
    committer: Committer,
    options: IngressOptions,
    writer: WriterInfo,
    router: Mutex<Router>,
    pace: Mutex<Pace>,
    health: Arc<Health>,
    metrics: Metrics,
    tail: TailRing,
    names: AtomicU64,
    accumulator: Mutex<Accumulator<Queued>>,
    wake: Notify,
    idle: Notify,
    in_flight: AtomicUsize,
    /// Flushes that are with the leader.
    handed_over: AtomicUsize,
    /// Why a flush could not be built, for the requests in it.
    failed: Mutex<BTreeMap<ProposalName, Arc<Error>>>,
    door: Door,
    /// Second copies of PUTs that have not cost a token of the flush budget yet.
    hedges_unpaid: Arc<AtomicU64>,
    draining: watch::Sender<bool>,
    interest: Interest,
    /// Whether the leader pushes its slots here.
    pushed_to: AtomicBool,
    started: Moment,
}

/// What waits for a slot.
#[derive(Debug)]
enum Queued {
    /// A request of this gateway; it may be handed over.
    Fresh {
        /// The request.
        pending: Pending,
        /// Since when it waits.
        since: Moment,
    },
    /// A flush that is written here and nowhere else: one that another gateway handed over, or one that the leader did not write.
    Ready(Ready),
}

#[derive(Debug)]
struct Ready {
    flush: Flush,
    /// The memory that another gateway's flush holds; an own one's requests hold theirs.
    _memory: Option<Held>,
}

impl Queued {
    fn is_fresh(&self) -> bool {
        matches!(self, Self::Fresh { .. })
    }

    fn is_ready(&self) -> bool {
        matches!(self, Self::Ready(_))
    }
}

impl Ingress {
    /// Opens the way into a log, and starts its flusher.
    pub fn start(
        replica: Replica,
        writer: WriterInfo,
        options: IngressOptions,
        health: Arc<Health>,
        metrics: Metrics,
        tail: TailRing,
    ) -> Self {
        let env = replica.env().clone();
        let heard = (Arc::clone(&health), metrics.clone());
        let hedges_unpaid = Arc::new(AtomicU64::new(0));
        let unpaid = Arc::clone(&hedges_unpaid);
        let listener = Arc::new(move |seen: PutSeenAs| match seen {
            PutSeenAs::Answered(took) => {
                heard.0.succeeded();
                heard.1.ack_stage(AckStage::Store, took);
            }
            PutSeenAs::Folded(after) => heard.1.ack_stage(AckStage::Order, after),
            PutSeenAs::Failed(error) => heard.0.failed(error.kind(), &error.to_string()),
            PutSeenAs::Hedged => {
                unpaid.fetch_add(1, Ordering::SeqCst);
                heard.1.hedges_sent_total.inc();
            }
            PutSeenAs::HedgeWon => drop(heard.1.hedges_won_total.inc()),
        });
        let committer = Committer::new(replica.clone(), writer.clone(), options.committer.clone(), listener);
        let inner = Arc::new(Inner {
            accumulator: Mutex::new(Accumulator::new(options.limits)),
            door: Door::default(),
            hedges_unpaid,
            names: AtomicU64::new(0),
            wake: Notify::new(),
            idle: Notify::new(),
            in_flight: AtomicUsize::new(0),
            handed_over: AtomicUsize::new(0),
            router: Mutex::new(Router::new(writer.clone())),
            pace: Mutex::default(),
            failed: Mutex::new(BTreeMap::new()),
            draining: watch::Sender::new(false),
            interest: Interest::default(),
            pushed_to: AtomicBool::new(false),
            started: env.now(),
            replica,
            committer,
            options,
            writer,
            health,
            metrics,
            tail,
        });
        let flusher = Self { inner };
        let ingress = flusher.clone();
        env.spawn(async move { flusher.flush_until_drained().await });
        if let Some(peers) = ingress.inner.options.peers.clone() {
            env.spawn(listen::listen(ingress.clone(), peers));
        }
        ingress
    }

    /// The log that it leads into.
    pub fn replica(&self) -> &Replica {
        &self.inner.replica
    }

    /// What writes the slots; it also takes proposals that another gateway named.
    pub fn committer(&self) -> &Committer {
        &self.inner.committer
    }

    /// Who wants to hear of new slots.
    pub fn interest(&self) -> &Interest {
        &self.inner.interest
    }

    /// What it counts.
    pub fn metrics(&self) -> &Metrics {
        &self.inner.metrics
    }

    /// Who writes here.
    pub fn writer(&self) -> &WriterInfo {
        &self.inner.writer
    }

    /// Whether the leader pushes its slots here now.
    pub fn is_pushed_to(&self) -> bool {
        self.inner.pushed_to.load(Ordering::SeqCst)
    }

    pub(crate) fn set_pushed_to(&self, pushed_to: bool) {
        self.inner.pushed_to.store(pushed_to, Ordering::SeqCst);
    }

    /// Waits until it takes no more requests.
    pub(crate) async fn drained(&self) {
        drop(self.inner.draining.subscribe().wait_for(|draining| *draining).await);
    }

    fn is_draining(&self) -> bool {
        *self.inner.draining.borrow()
    }

    /// The newest rows, of this log and of others.
    pub fn tail(&self) -> &TailRing {
        &self.inner.tail
    }

    /// Takes no more requests, and waits until those inside have left, or `limit` is over.
    pub async fn drain(&self, limit: Duration) {
        self.inner.draining.send_replace(true);
        let deadline = Instant::now() + limit;
        while !self.is_idle() {
            if timeout_at(deadline, self.inner.idle.notified()).await.is_err() {
                return;
            }
        }
        self.inner.wake.notify_one();
    }

    fn is_idle(&self) -> bool {
        self.inner.in_flight.load(Ordering::SeqCst) == 0
            && self.inner.handed_over.load(Ordering::SeqCst) == 0
            && self.inner.accumulator.lock().is_empty()
    }

    /// What flushes are paced by: never the wall clock, which may be set back, and would fill no tokens until it has caught up.
    fn clock(&self) -> Duration {
        self.env().now().boot.saturating_sub(self.inner.started.boot)
    }

    fn env(&self) -> &Env {
        self.inner.replica.env()
    }
}

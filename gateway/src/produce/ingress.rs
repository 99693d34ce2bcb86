//! From a request to its verdict: admission, the door for sequences, a name, a flush, a slot, the fold's answer.
//!
//! Invariants:
//! * an answer comes only from this gateway's own fold (rule 1), or says that the outcome is not known;
//! * one request is one proposal (rule 2); it gets another name only when the fold has passed the first one's window;
//! * what was proposed and met a gap is proposed again until it has a verdict or the deadline comes (rule 3);
//! * memory is bounded: bytes of waiting and flying requests hold permits.
//!
//! Start reading at [`Ingress::submit`].

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::time::Duration;

use frazil_log::commit::committer::{Committer, CommitterOptions, Flight, PutSeenAs};
use frazil_log::commit::replica::Replica;
use frazil_log::env::{Env, Moment};
use frazil_log::error::{Error, Result};
use frazil_log::format::commit::{ProducerStamp, WriterInfo};
use frazil_log::format::segment::ObjectId;
use frazil_log::format::slice::SliceHome;
use frazil_log::id::{Incarnation, ProposalName};
use frazil_log::state::verdict::{Acceptance, Fate, Refusal, Verdict};
use frazil_log::store::{ClockVerdict, CreateOutcome, PutPayload, paths, skew};
use parking_lot::Mutex;
use tokio::sync::Notify;
use tokio::time::{Instant, sleep, sleep_until, timeout_at};

use super::accumulator::{Accumulator, Decision, Limits};
use super::door::Door;
use super::flush::{self, Act, Built, Pending};
use super::health::Health;
use super::upload;
use crate::app::Admission;
use crate::consume::tail::TailRing;
use crate::memory::{Held, Share};
use crate::metrics::{AckStage, Metrics};

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
}

impl Default for IngressOptions {
    fn default() -> Self {
        Self {
            limits: Limits::default(),
            inline_bytes_max: 8 << 20,
            buffer: Share::new(256 << 20),
            buffer_wait_max: Duration::from_secs(5),
            committer: CommitterOptions::default(),
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
        /// See [`Fate::Decided`].
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
    incarnation: Incarnation,
    health: Arc<Health>,
    metrics: Metrics,
    tail: TailRing,
    names: AtomicU64,
    accumulator: Mutex<Accumulator<Queued>>,
    wake: Notify,
    idle: Notify,
    in_flight: AtomicUsize,
    /// Why a flush could not be built, for the requests in it.
    failed: Mutex<BTreeMap<ProposalName, Arc<Error>>>,
    door: Door,
    /// Second copies of PUTs that have not cost a token of the flush budget yet.
    hedges_unpaid: Arc<AtomicU64>,
    draining: AtomicBool,
    started: Moment,
}

#[derive(Debug)]
struct Queued {
    pending: Pending,
    since: Moment,
}

/// The pause before a request that met a gap is proposed again, unless a slot is folded first.
const GAP_PAUSE: Duration = Duration::from_millis(20);

/// How often a store that could not be written is asked again while nothing is in flight.
const PROBE_PAUSE: Duration = Duration::from_secs(5);

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
        let incarnation = writer.incarnation;
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
        let committer = Committer::new(replica.clone(), writer, options.committer.clone(), listener);
        let inner = Arc::new(Inner {
            accumulator: Mutex::new(Accumulator::new(options.limits)),
            door: Door::default(),
            hedges_unpaid,
            names: AtomicU64::new(0),
            wake: Notify::new(),
            idle: Notify::new(),
            in_flight: AtomicUsize::new(0),
            failed: Mutex::new(BTreeMap::new()),
            draining: AtomicBool::new(false),
            started: env.now(),
            replica,
            committer,
            options,
            incarnation,
            health,
            metrics,
            tail,
        });
        let flusher = Self { inner };
        let ingress = flusher.clone();
        env.spawn(async move { flusher.flush_until_drained().await });
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

    /// The newest rows, of this log and of others.
    pub fn tail(&self) -> &TailRing {
        &self.inner.tail
    }

    /// Brings a request into the log and waits for its verdict.
    pub async fn submit(&self, request: Request) -> Result<Answer, Failure> {
        self.submit_in_order(request, &Admission::default()).await
    }

    /// As [`Self::submit`], and tells `admission` once it is queued: what is submitted afterwards comes after it.
    pub async fn submit_in_order(&self, request: Request, admission: &Admission) -> Result<Answer, Failure> {
        if self.inner.draining.load(Ordering::SeqCst) {
            return Err(Failure::Draining);
        }
        if let Some(why) = self.inner.health.read_only() {
            // The breaker may have opened just now, with the flusher asleep: it is the flusher who probes.
            self.inner.wake.notify_one();
            return Err(Failure::ReadOnly(why));
        }
        self.check_clock().await?;
        let _memory = self.make_room(&request).await?;
        let _seat = match &request.producer {
            None => None,
            Some(stamp) => {
                match self
                    .inner
                    .door
                    .pass(&self.inner.replica, &self.inner.committer, stamp, request.request_hash)
                    .await
                {
                    Ok(seat) => Some(seat),
                    Err(known) => return known,
                }
            }
        };
        self.propose(request, admission).await
    }

    /// Takes no more requests, and waits until those inside have left, or `limit` is over.
    pub async fn drain(&self, limit: Duration) {
        self.inner.draining.store(true, Ordering::SeqCst);
        let deadline = Instant::now() + limit;
        while !self.is_idle() {
            if timeout_at(deadline, self.inner.idle.notified()).await.is_err() {
                return;
            }
        }
        self.inner.wake.notify_one();
    }

    /// Rule 13: whose clock is far from the store's does not write. A difference may be that of a machine that slept since the last
    /// answer, so it must show in a fresh one.
    async fn check_clock(&self) -> Result<(), Failure> {
        if self.clock_ahead_ms().is_none() {
            return Ok(());
        }
        if let Err(error) = self.inner.replica.confirm_tail().await {
            return Err(Failure::ReadOnly(error.to_string()));
        }
        match self.clock_ahead_ms() {
            None => Ok(()),
            Some(ms) => Err(Failure::ReadOnly(format!(
                "this machine's clock differs from the store's by {} s: set it (NTP)",
                ms / 1_000
            ))),
        }
    }

    /// How far the own clock is ahead, if that is too far to write; the store's is known from its answers.
    fn clock_ahead_ms(&self) -> Option<i64> {
        let seen = self.inner.replica.store().date_latest()?;
        let since = i64::try_from(seen.received.elapsed().as_micros()).unwrap_or(i64::MAX);
        let received = self.env().now().wall.saturating_sub(since);
        let skew = skew(seen.date, received..=received);
        (skew.verdict() == ClockVerdict::StopWriting).then_some(skew.ms)
    }

    fn is_idle(&self) -> bool {
        self.inner.in_flight.load(Ordering::SeqCst) == 0 && self.inner.accumulator.lock().is_empty()
    }

    async fn make_room(&self, request: &Request) -> Result<Held, Failure> {
        let deadline = request.deadline.min(Instant::now() + self.inner.options.buffer_wait_max);
        self.inner.options.buffer.take(request.bytes, deadline).await.ok_or(Failure::Overloaded)
    }

    async fn propose(&self, request: Request, admission: &Admission) -> Result<Answer, Failure> {
        let replica = &self.inner.replica;
        let deadline = request.deadline;
        let mut pending = self.name(request);
        // Whether a copy may have left this gateway before the one that waits now.
        let mut left_before = false;
        loop {
            let verdict = replica.expect(pending.name);
            self.queue(pending.clone());
            admission.tell();
            let fate = match timeout_at(deadline, verdict).await {
                Ok(Ok(fate)) => fate,
                Ok(Err(_)) => match self.after_silence(&pending)? {
                    Some(fate) => fate,
                    None => {
                        left_before = true;
                        continue;
                    }
                },
                Err(_) => return Err(self.give_up(&pending, left_before)),
            };
            left_before = true;
            match fate {
                Fate::Decided { verdict: Verdict::Accepted(acceptance), duplicate } => {
                    return Ok(Answer::Accepted { acceptance, duplicate });
                }
                Fate::Forgotten => return Ok(Answer::Forgotten),
                Fate::Decided { verdict: Verdict::Refused(Refusal::Expired), .. } => {
                    self.rename(&mut pending);
                }
                Fate::Decided { verdict: Verdict::Refused(refusal), .. } => {
                    return Err(Failure::Refused(refusal));
                }
                Fate::Gap { .. } => {
                    let mut next = replica.watch();
                    next.mark_unchanged();
                    tokio::select! {
                        biased;
                        _ = next.changed() => {}
                        () = sleep(GAP_PAUSE) => {}
                    }
                    if self.is_past_window(&pending) {
                        self.rename(&mut pending);
                    }
                }
            }
        }
    }

    /// The answer was dropped: the flush failed, or the fold jumped to a checkpoint.
    fn after_silence(&self, pending: &Pending) -> Result<Option<Fate>, Failure> {
        if let Some(error) = self.inner.failed.lock().remove(&pending.name) {
            return Err(Failure::Failed(Error::new(error.kind(), error.to_string())));
        }
        let fold = self.inner.replica.fold();
        if let Some(fate) = fold.state.names().get(&pending.name) {
            return Ok(Some(fate.clone()));
        }
        drop(fold);
        // Slots were passed over unseen: a name whose window they ended may have had its verdict there.
        if self.is_past_window(pending) { Err(Failure::Unknown) } else { Ok(None) }
    }

    fn give_up(&self, pending: &Pending, left_before: bool) -> Failure {
        self.inner.replica.forget(&pending.name);
        let waiting = self.inner.accumulator.lock().remove(|queued| queued.pending.name == pending.name);
        if waiting && !left_before { Failure::NotProposed } else { Failure::Unknown }
    }

    fn is_past_window(&self, pending: &Pending) -> bool {
        let fold = self.inner.replica.fold();
        fold.state.is_expired(pending.base, fold.state.next())
    }

    fn next_name(&self) -> ProposalName {
        ProposalName {
            incarnation: self.inner.incarnation,
            n: self.inner.names.fetch_add(1, Ordering::SeqCst),
        }
    }

    fn name(&self, request: Request) -> Pending {
        Pending {
            name: self.next_name(),
            base: self.inner.replica.next(),
            producer: request.producer,
            request_hash: request.request_hash,
            acts: request.acts,
        }
    }

    /// Rule 1: only once the fold has passed the old name's window without a verdict.
    fn rename(&self, pending: &mut Pending) {
        self.inner.replica.forget(&pending.name);
        pending.name = self.next_name();
        pending.base = self.inner.replica.next();
    }

    fn queue(&self, pending: Pending) {
        let bytes = pending.acts.iter().map(flush::act_bytes).sum::<usize>() as u64;
        let queued = Queued { pending, since: self.inner.replica.env().now() };
        self.inner.accumulator.lock().push(queued, bytes);
        self.inner.wake.notify_one();
    }

    /// What flushes are paced by: never the wall clock, which may be set back, and would fill no tokens until it has caught up.
    fn clock(&self) -> Duration {
        self.env().now().boot.saturating_sub(self.inner.started.boot)
    }

    fn env(&self) -> &Env {
        self.inner.replica.env()
    }

    async fn flush_until_drained(&self) {
        let inner = &self.inner;
        let mut probe_at: Option<Instant> = None;
        loop {
            let in_flight = inner.in_flight.load(Ordering::SeqCst);
            let free = inner.committer.flights_free();
            let decision = {
                let mut accumulator = inner.accumulator.lock();
                accumulator.charge(inner.hedges_unpaid.swap(0, Ordering::SeqCst));
                accumulator.decide(self.clock(), in_flight, free)
            };
            match decision {
                Decision::Flush => self.flush().await,
                Decision::Idle if inner.draining.load(Ordering::SeqCst) && in_flight == 0 => {
                    inner.idle.notify_waiters();
                    return;
                }
                Decision::Idle if inner.health.read_only().is_some() && in_flight == 0 => {
                    // A fixed moment: requests that are refused meanwhile wake this loop, and must not put the probe off.
                    let at = *probe_at.get_or_insert_with(|| Instant::now() + PROBE_PAUSE);
                    tokio::select! {
                        biased;
                        () = sleep_until(at) => {
                            probe_at = None;
                            self.probe().await;
                        }
                        () = inner.wake.notified() => {}
                    }
                }
                Decision::Idle => inner.wake.notified().await,
                // The flights are not only this ingress's: others write through the committer too, and wake nobody here.
                Decision::WaitForFlight => {
                    tokio::select! {
                        biased;
                        () = inner.wake.notified() => {}
                        () = inner.committer.flight_freed() => {}
                    }
                }
                Decision::Wait(pause) => {
                    tokio::select! {
                        biased;
                        () = inner.wake.notified() => {}
                        () = sleep(pause) => {}
                    }
                }
            }
        }
    }

    async fn flush(&self) {
        let inner = &self.inner;
        let taken = inner.accumulator.lock().take(self.clock());
        let now = self.env().now();
        for queued in &taken {
            inner.metrics.ack_stage(AckStage::Buffer, now.since(&queued.since));
        }
        let pending: Vec<Pending> = taken.into_iter().map(|queued| queued.pending).collect();
        let built = match flush::build(&pending, inner.options.inline_bytes_max) {
            Ok(built) => built,
            Err(error) => return self.fail(&pending, error),
        };
        let names: Vec<ProposalName> = pending.iter().map(|pending| pending.name).collect();
        let flight = match inner.committer.reserve().await {
            Ok(flight) => flight,
            Err(error) => return self.fail(&pending, error),
        };
        inner.in_flight.fetch_add(1, Ordering::SeqCst);
        let ingress = self.clone();
        self.env().spawn(async move {
            let watched = ingress.inner.health.begin();
            let written = ingress.write(flight, built).await;
            ingress.inner.health.end(watched);
            match written {
                // Also where no PUT was answered, and the slot was read to find ours in it.
                Ok(()) => ingress.inner.health.succeeded(),
                Err(error) => {
                    tracing::error!(%error, "a flush could not be written; run `frazil verify`");
                    ingress.fail_names(&names, error);
                }
            }
            ingress.inner.in_flight.fetch_sub(1, Ordering::SeqCst);
            ingress.inner.wake.notify_one();
            ingress.inner.idle.notify_waiters();
        });
    }

    /// Segments, then the slot. The rows are in the tail ring before anybody can be woken by the fold.
    async fn write(&self, flight: Flight, built: Built) -> Result<()> {
        let Built { mut flush, uploads, rows } = built;
        flush.segments = upload::segments(&self.inner.committer, uploads).await?;
        let (segments, slices) = (flush.segments.clone(), flush.slices.clone());
        let tail = self.inner.tail.clone();
        let keep = move |commit: ObjectId| {
            for (slice, rows) in slices.iter().zip(&rows) {
                let object = match slice.home {
                    SliceHome::Here => Some(commit),
                    SliceHome::Segment(index) => {
                        segments.get(index as usize).map(|segment| ObjectId::Segment(segment.id))
                    }
                };
                let kept = object.map(|object| tail.insert(object, slice, rows.clone()));
                if let Some(Err(error)) = kept {
                    tracing::error!(%error, "rows do not fit their slice; please report this");
                }
            }
        };
        flight.write_telling(flush, keep).await.map(drop)
    }

    fn fail(&self, pending: &[Pending], error: Error) {
        let names: Vec<ProposalName> = pending.iter().map(|pending| pending.name).collect();
        self.fail_names(&names, error);
    }

    fn fail_names(&self, names: &[ProposalName], error: Error) {
        let error = Arc::new(error);
        for name in names {
            self.inner.failed.lock().insert(*name, Arc::clone(&error));
            self.inner.replica.forget(name);
        }
    }

    /// While read-only with nothing in flight: a small object tells whether the store writes again.
    async fn probe(&self) {
        let path = paths::probe(self.env().ulid());
        let store = self.inner.replica.store();
        match store.create_if_absent(&path, PutPayload::from_static(b"frazil")).await {
            CreateOutcome::Committed | CreateOutcome::Lost => {
                self.inner.health.succeeded();
                drop(store.delete_many(&[path]).await); // swept with the other probes otherwise
            }
            CreateOutcome::Unknown(error) | CreateOutcome::Denied(error) => {
                self.inner.health.failed(error.kind(), &error.to_string());
            }
        }
    }
}

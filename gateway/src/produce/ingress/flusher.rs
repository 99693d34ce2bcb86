//! What leaves the accumulator, when, and where to: into a slot, or to the leader.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use frazil_log::commit::committer::{Flight, Flush, Tried};
use frazil_log::error::{Error, Result};
use frazil_log::id::ProposalName;
use frazil_log::store::{CreateOutcome, PutPayload, paths};
use tokio::time::{Instant, sleep, sleep_until};

use super::handover::Due;
use super::kept::{self, Kept};
use super::{Ingress, Queued, Ready};
use crate::metrics::AckStage;
use crate::produce::accumulator::Decision;
use crate::produce::flush::{self, Built, Pending};
use crate::produce::pace::HAND_OVER_PAUSE;
use crate::produce::upload;

/// A flush up to this long is encoded at once; a longer one on a thread that holds up no request.
const ENCODED_HERE_BYTES_MAX: usize = 1 << 20;

/// How often a store that could not be written is asked again while nothing is in flight.
const PROBE_PAUSE: Duration = Duration::from_secs(5);

impl Ingress {
    pub(super) async fn flush_until_drained(&self) {
        let inner = &self.inner;
        let mut probe_at: Option<Instant> = None;
        loop {
            let in_flight = inner.in_flight.load(Ordering::SeqCst);
            let Some(decision) = self.next_step(in_flight) else { continue };
            match decision {
                Decision::Flush => self.flush().await,
                Decision::Idle if self.is_draining() && self.is_idle() => {
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

    /// What to do with what waits; nothing more now if it has just been handed over.
    fn next_step(&self, in_flight: usize) -> Option<Decision> {
        match self.hand_over_due() {
            Due::Nothing => Some(self.decide(in_flight)),
            Due::Handed => None,
            Due::In(pause) if self.inner.accumulator.lock().any(Queued::is_ready) => {
                Some(match self.decide(in_flight) {
                    Decision::Wait(longer) => Decision::Wait(longer.min(pause)),
                    Decision::WaitForFlight | Decision::Idle => Decision::Wait(pause.min(HAND_OVER_PAUSE)),
                    Decision::Flush => Decision::Flush,
                })
            }
            Due::In(pause) => Some(Decision::Wait(pause)),
        }
    }

    fn decide(&self, in_flight: usize) -> Decision {
        let free = self.inner.committer.flights_free();
        let mut accumulator = self.inner.accumulator.lock();
        accumulator.charge(self.inner.hedges_unpaid.swap(0, Ordering::SeqCst));
        accumulator.decide(self.clock(), in_flight, free)
    }

    /// Encodes what is taken: a long flush where it holds up no request.
    async fn build(&self, pending: &[Pending]) -> Result<Built> {
        let inline_bytes_max = self.inner.options.inline_bytes_max;
        let bytes: usize = pending.iter().flat_map(|pending| &pending.acts).map(flush::act_bytes).sum();
        if bytes <= ENCODED_HERE_BYTES_MAX {
            return flush::build(pending, inline_bytes_max);
        }
        let pending = pending.to_vec(); // its rows are shared, not copied
        let built = tokio::task::spawn_blocking(move || flush::build(&pending, inline_bytes_max)).await;
        built.unwrap_or_else(|error| Err(Error::internal(format!("encoding a flush did not end: {error}"))))
    }

    async fn flush(&self) {
        let inner = &self.inner;
        // Counted before anything is waited for: what is taken is neither in the accumulator nor, else, anywhere.
        inner.in_flight.fetch_add(1, Ordering::SeqCst);
        let taken = inner.accumulator.lock().take(self.clock());
        let now = self.env().now();
        let (mut pending, mut ready) = (Vec::new(), Vec::new());
        for queued in taken {
            match queued {
                Queued::Fresh { pending: request, since } => {
                    inner.metrics.ack_stage(AckStage::Buffer, now.since(&since));
                    pending.push(request);
                }
                Queued::Ready(flush) => ready.push(flush),
            }
        }
        let built = match self.build(&pending).await {
            Ok(built) => built,
            Err(error) => {
                self.fail(&pending, error);
                Built::default()
            }
        };
        let names: Vec<ProposalName> = built
            .flush
            .proposals
            .iter()
            .chain(ready.iter().flat_map(|ready| &ready.flush.proposals))
            .map(|proposal| proposal.name)
            .collect();
        let flight = match inner.committer.reserve().await {
            Ok(flight) => flight,
            Err(error) => {
                inner.in_flight.fetch_sub(1, Ordering::SeqCst);
                inner.idle.notify_waiters();
                return self.fail_names(&names, error);
            }
        };
        let ingress = self.clone();
        self.env().spawn(async move {
            let watched = ingress.inner.health.begin();
            let written = ingress.write(flight, built, ready).await;
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

    /// Writes own requests and flushes of others into one slot. Who loses it hands its own over to the winner (rule 14); what others
    /// handed over stays here. The rows are in the tail ring before anybody can be woken by the fold.
    async fn write(&self, mut flight: Flight, built: Built, ready: Vec<Ready>) -> Result<()> {
        let inner = &self.inner;
        let Built { flush: mut own, uploads, rows } = built;
        own.segments = upload::segments(&inner.committer, uploads).await?;
        let mut kept: Vec<Kept> = rows.into_iter().map(Kept::Decoded).collect();
        let (mut others, mut inside) = (Flush::default(), own.body_bytes());
        for Ready { flush, .. } in &ready {
            let mut flush = flush.clone();
            kept.extend(Kept::encoded(&flush));
            inside += flush.body_bytes();
            if inside > inner.options.inline_bytes_max {
                flush = upload::outside(&inner.committer, flush).await?;
            }
            others.append(flush)?;
        }
        loop {
            let mut all = own.clone();
            all.append(others.clone())?;
            if all.proposals.is_empty() {
                return Ok(());
            }
            let keep = |commit| kept::keep(&inner.tail, commit, &all, &kept);
            if let Tried::Folded(_) = flight.try_write(&all, keep).await? {
                return Ok(());
            }
            if !own.proposals.is_empty()
                && let Some(leader) = self.leader()
            {
                kept.drain(..own.slices.len());
                self.hand_over_flush(std::mem::take(&mut own), leader);
            }
        }
    }

    pub(super) fn fail(&self, pending: &[Pending], error: Error) {
        let names: Vec<ProposalName> = pending.iter().map(|pending| pending.name).collect();
        self.fail_names(&names, error);
    }

    fn fail_names(&self, names: &[ProposalName], error: Error) {
        let error = Arc::new(error);
        // Others' proposals are told by silence: their gateways write them.
        let own = names.iter().filter(|name| name.incarnation == self.inner.writer.incarnation);
        for name in own {
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

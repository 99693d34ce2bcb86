//! One request, from admission to its verdict.

use std::sync::atomic::Ordering;
use std::time::Duration;

use frazil_log::error::Error;
use frazil_log::id::ProposalName;
use frazil_log::state::verdict::{Fate, Refusal, Verdict};
use frazil_log::store::{ClockVerdict, skew};
use tokio::time::{Instant, sleep, timeout_at};

use super::{Answer, Failure, Ingress, Queued, Request};
use crate::app::Admission;
use crate::memory::Held;
use crate::produce::flush::{self, Pending};

/// The pause before a request that met a gap is proposed again, unless a slot is folded first.
const GAP_PAUSE: Duration = Duration::from_millis(20);

impl Ingress {
    /// Brings a request into the log and waits for its verdict.
    pub async fn submit(&self, request: Request) -> Result<Answer, Failure> {
        self.submit_in_order(request, &Admission::default()).await
    }

    /// As [`Self::submit`], and tells `admission` once it is queued: what is submitted afterwards comes after it.
    pub async fn submit_in_order(&self, request: Request, admission: &Admission) -> Result<Answer, Failure> {
        if self.is_draining() {
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
            let verdict = replica.expect(pending.name, pending.base);
            self.queue(pending.clone());
            admission.tell();
            let fate = match timeout_at(deadline, verdict).await {
                Ok(Ok(fate)) => fate,
                Ok(Err(_)) => return Err(self.after_silence(&pending)),
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

    /// The answer was dropped: the flush failed, or slots were passed over unseen in which it may have had its verdict.
    fn after_silence(&self, pending: &Pending) -> Failure {
        match self.inner.failed.lock().remove(&pending.name) {
            Some(error) => Failure::Failed(Error::new(error.kind(), error.to_string())),
            None => Failure::Unknown,
        }
    }

    fn give_up(&self, pending: &Pending, left_before: bool) -> Failure {
        self.inner.replica.forget(&pending.name);
        let waiting = self.inner.accumulator.lock().remove(
            |queued| matches!(queued, Queued::Fresh { pending: waiting, .. } if waiting.name == pending.name),
        );
        if waiting && !left_before { Failure::NotProposed } else { Failure::Unknown }
    }

    fn is_past_window(&self, pending: &Pending) -> bool {
        let fold = self.inner.replica.fold();
        fold.state.is_expired(pending.base, fold.state.next())
    }

    pub(super) fn next_name(&self) -> ProposalName {
        ProposalName {
            incarnation: self.inner.writer.incarnation,
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
        let queued = Queued::Fresh { pending, since: self.inner.replica.env().now() };
        self.inner.accumulator.lock().push(queued, bytes);
        self.inner.wake.notify_one();
    }
}

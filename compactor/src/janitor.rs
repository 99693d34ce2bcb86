//! Rounds of tidying one log.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use frazil_log::commit::committer::{Committer, Flush};
use frazil_log::commit::open;
use frazil_log::commit::replica::Replica;
use frazil_log::error::{Error, ErrorKind, Result};
use frazil_log::format::commit::{Proposal, SegmentRef};
use frazil_log::format::entry::Entry;
use frazil_log::format::page::StreamKey;
use frazil_log::format::slice::Slice;
use frazil_log::id::{Incarnation, ProposalName, SegmentId, Slot};
use frazil_log::state::verdict::{Fate, Verdict};
use tokio::sync::Mutex;

use crate::metrics::Metrics;
use crate::retention::{Counted, Oldest};
use crate::sweep::Referenced;
use crate::{pages, retention, rollup, sweep, trim};

/// How a janitor works.
#[derive(Clone, Debug)]
pub struct JanitorOptions {
    /// Rolled-up slices are about this long at most.
    pub slice_bytes_max: u64,
    /// A segment takes slices until it is this long.
    pub segment_bytes_max: u64,
    /// The pause after a round that found new slots.
    pub pause_min: Duration,
    /// Delete also in a log that was made elsewhere: it was moved, not copied.
    pub moved: bool,
    /// The longest pause while nothing comes: an idle log costs this seldom a look.
    pub pause_max: Duration,
}

impl Default for JanitorOptions {
    fn default() -> Self {
        Self {
            slice_bytes_max: 32 << 20,
            segment_bytes_max: 64 << 20,
            moved: false,
            pause_min: Duration::from_secs(10),
            pause_max: Duration::from_secs(60 * 60),
        }
    }
}

/// What one round did.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Report {
    /// Checkpoints written.
    pub checkpoints: u64,
    /// Pages merged into others.
    pub pages_merged: u64,
    /// Rows written anew.
    pub rows_rolled_up: u64,
    /// Rows that are no longer kept.
    pub rows_expired: u64,
    /// Slots deleted.
    pub slots_trimmed: u64,
    /// Checkpoints and pages deleted.
    pub derived_deleted: u64,
    /// Unreferenced segments and forgotten probes deleted.
    pub orphans_swept: u64,
}

/// Keeps one log tidy.
#[derive(Debug)]
pub struct Janitor {
    pub(crate) replica: Replica,
    pub(crate) committer: Committer,
    pub(crate) options: JanitorOptions,
    pub(crate) metrics: Metrics,
    incarnation: Incarnation,
    names: AtomicU64,
    pub(crate) memory: Mutex<Memory>,
}

/// What a janitor remembers from round to round: advice that saves requests, nothing more.
#[derive(Debug, Default)]
pub(crate) struct Memory {
    /// The newest checkpoint that was rolled up to, merged and swept at.
    pub(crate) done: Option<Slot>,
    /// The segments that each page refers to.
    pub(crate) referenced: BTreeMap<(Slot, Slot), Referenced>,
    /// When the first rows of each bucket arrived.
    pub(crate) oldest: BTreeMap<StreamKey, Oldest>,
    /// How many bytes each bucket of a table with `retention.bytes` holds.
    pub(crate) counted: BTreeMap<StreamKey, Counted>,
}

impl Janitor {
    /// A janitor of the log that `committer` writes.
    pub fn new(committer: Committer, options: JanitorOptions, metrics: Metrics) -> Self {
        let replica = committer.replica().clone();
        let incarnation = replica.env().ulid();
        Self {
            replica,
            committer,
            options,
            metrics,
            incarnation,
            names: AtomicU64::new(0),
            memory: Mutex::new(Memory::default()),
        }
    }

    /// Works until the process ends: soon after new slots, else ever more seldom.
    ///
    /// `watches`: somebody else in this process folds the log, so that new slots are seen without asking.
    pub async fn run(&self, watches: bool) {
        let mut next = self.replica.watch();
        let mut pause = self.options.pause_min;
        loop {
            let quiet = self.tell_of_round().await;
            pause = if quiet { (pause * 2).min(self.options.pause_max) } else { self.options.pause_min };
            if watches && quiet {
                next.mark_unchanged();
                drop(tokio::time::timeout(self.options.pause_max, next.changed()).await);
            }
            tokio::time::sleep(if watches { self.options.pause_min } else { pause }).await;
        }
    }

    /// One round and a line about it. Whether nothing new was found.
    async fn tell_of_round(&self) -> bool {
        let before = self.replica.next();
        match self.round().await {
            Ok(report) => {
                if report != Report::default() {
                    tracing::info!(database = %self.replica.database(), ?report, "a janitor's round");
                }
                self.replica.next() == before
            }
            Err(error) => {
                tracing::warn!(database = %self.replica.database(), %error, "a janitor's round failed; it tries again");
                false
            }
        }
    }

    /// One round: rows that need not be kept; checkpoints that are due; then, once a checkpoint, roll-up, page merge, sweep; then trim.
    pub async fn round(&self) -> Result<Report> {
        self.metrics.rounds_total.inc();
        let outcome = self.work().await;
        if outcome.is_err() {
            self.metrics.round_failures_total.inc();
        }
        outcome
    }

    async fn work(&self) -> Result<Report> {
        let mut report = Report::default();
        let mut memory = self.memory.lock().await;
        self.replica.confirm_tail().await?;
        let moved_from = self.replica.moved_from().filter(|_| !self.options.moved);
        if moved_from.is_none() {
            retention::expire(self, &mut memory, &mut report).await?;
        }
        trim::before_checkpoint(self, &mut report).await?;
        loop {
            let Some(due) = self.replica.fold().due.first().cloned() else { break };
            self.replica.write_checkpoint(&due).await?;
            report.checkpoints += 1;
        }
        let checkpoints =
            open::checkpoints(self.replica.store(), self.replica.database(), trim::CHECKPOINTS_MAX).await?;
        let Some((newest, _)) = checkpoints.first() else { return Ok(report) };
        if *newest > self.replica.next() {
            // Written by others since the tail was confirmed: what it covers must be folded here before it is worked on.
            self.replica.confirm_tail().await?;
        }
        if memory.done != Some(*newest) {
            rollup::roll_up(self, *newest, &mut report).await?;
            pages::merge(self, &mut report).await?;
            match &moved_from {
                Some((made, here)) => self.tell_of_move(made, here),
                None => sweep::sweep(self, &mut memory, &mut report).await?,
            }
            memory.done = Some(*newest);
            memory.counted.clear();
        }
        if moved_from.is_some() {
            return Ok(report);
        }
        trim::trim(self, &checkpoints, &mut report).await?;
        Ok(report)
    }

    fn tell_of_move(&self, made: &str, here: &str) {
        tracing::warn!(
            database = %self.replica.database(), made, here,
            "this log was made elsewhere, so nothing expires, is trimmed or swept; next: start with --moved if it was moved, not copied"
        );
    }

    /// Puts entries of the janitor's own into the log, and waits for the verdict.
    pub(crate) async fn propose(
        &self,
        entries: Vec<Entry>,
        segments: Vec<SegmentRef>,
        slices: Vec<Slice>,
    ) -> Result<Verdict> {
        let name =
            ProposalName { incarnation: self.incarnation, n: self.names.fetch_add(1, Ordering::SeqCst) };
        let proposal = Proposal { name, base: self.replica.next(), producer: None, request_hash: 0, entries };
        let fate = self.replica.expect(name, proposal.base);
        self.committer.write(Flush { proposals: vec![proposal], segments, slices, body: Vec::new() }).await?;
        match fate.await {
            Ok(Fate::Decided { verdict, .. }) => Ok(verdict),
            Ok(Fate::Gap { .. } | Fate::Forgotten) => {
                Err(Error::internal("a proposal without a producer has no sequence"))
            }
            Err(_) => Err(Error::new(
                ErrorKind::Unavailable,
                "the verdict of a janitor's proposal is not known: the next round looks again",
            )),
        }
    }

    /// A fresh name for a segment (rule 12).
    pub(crate) fn segment_id(&self) -> SegmentId {
        SegmentId { base: self.replica.next(), ulid: self.replica.env().ulid() }
    }
}

//! Following a log: read the next slots, believe them by rule 10, fold them, wake who waits.
//!
//! Invariants:
//! * slots are folded in order, only what is Committed, only under a proof (rules 6 and 10);
//! * one advance at a time; a tail confirmation serves only those who came before it was sent (rule 18);
//! * an idle replica sends nothing.
//!
//! Start reading at [`Replica::advance`].

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use futures::future;
use parking_lot::{Mutex, RwLock, RwLockReadGuard};
use tokio::sync::{broadcast, oneshot, watch};

use super::fold::waiting::Waiting;
use super::fold::{Fold, PutSeen};
use super::index::PageCache;
use super::open;
use super::proof::{Observation, Proof};
use super::pushed::{Bodies, FOLDED_KEPT, FoldedSlot};
use crate::env::{Env, Moment};
use crate::error::{Error, ErrorKind, Result, ResultExt};
use crate::format::commit::Commit;
use crate::format::envelope::{ENVELOPE_BYTES, Envelope, ObjectKind};
use crate::id::{Name, ProposalName, Slot};
use crate::planted::Bug;
use crate::protocol::Protocol;
use crate::state::State;
use crate::state::verdict::Fate;
use crate::store::{Path, Store, paths};

/// The first bytes of a commit that are asked for: most headers end before.
const HEAD_BYTES: u64 = 64 << 10;

/// The most slots read at once while catching up.
const READ_AHEAD_MAX: usize = 32;

/// One log, followed. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Replica {
    pub(super) inner: Arc<Inner>,
}

#[derive(Debug)]
pub(super) struct Inner {
    store: Store,
    database: Name,
    env: Env,
    protocol: Protocol,
    fold: RwLock<Fold>,
    proof: Mutex<Proof>,
    turn: tokio::sync::Mutex<Turn>,
    asked: AtomicU64,
    /// Why this node folds no more (rule 9).
    stopped: OnceLock<String>,
    /// How often the fold began again from a checkpoint.
    jumps: AtomicU64,
    polls: tokio::sync::Mutex<()>,
    polled: Mutex<Option<Moment>>,
    next: watch::Sender<Slot>,
    waiting: Mutex<Waiting>,
    /// Own commits that were answered Committed, and pushed ones, that wait for their turn.
    pub(super) arrived: Mutex<BTreeMap<Slot, Arrived>>,
    /// Rows of own commits that are not folded yet, for who pushes them.
    pub(super) bodies: Mutex<Bodies>,
    pub(super) folded: broadcast::Sender<FoldedSlot>,
    pub(super) pages: PageCache,
}

/// A commit that waits for its turn.
#[derive(Debug)]
pub(super) struct Arrived {
    pub(super) commit: Commit,
    /// From before the own PUT left, or when a push came.
    pub(super) sent: Moment,
    pub(super) what: Observation,
}

/// What only the one who reads on may touch.
#[derive(Debug)]
struct Turn {
    /// The tail was confirmed for all who had asked by then.
    confirmed: u64,
}

/// What reading a slot found.
#[derive(Debug)]
pub enum SlotRead {
    /// Nothing.
    Absent,
    /// A commit.
    Present(Box<Commit>),
}

impl Replica {
    /// Opens the log of a database: the newest checkpoint that can be read, then the slots after it.
    ///
    /// # Errors
    /// `NotFound` if there is no such database; `Corrupt`, naming the object, if neither checkpoint nor slots can be read.
    pub async fn open(store: Store, database: Name, env: Env, protocol: Protocol) -> Result<Self> {
        Self::open_beside(store, database, env, protocol, PageCache::default()).await
    }

    /// [Opens](Self::open) a log beside others that keep their index pages in the same place.
    ///
    /// # Errors
    /// As [`Replica::open`].
    pub async fn open_beside(
        store: Store,
        database: Name,
        env: Env,
        protocol: Protocol,
        pages: PageCache,
    ) -> Result<Self> {
        let sent = env.now();
        let fold = open::load(&store, &database, &protocol.fold).await?;
        let mut proof = Proof::default();
        proof.begin(sent);
        let replica = Self {
            inner: Arc::new(Inner {
                next: watch::Sender::new(fold.state.next()),
                fold: RwLock::new(fold),
                proof: Mutex::new(proof),
                turn: tokio::sync::Mutex::new(Turn { confirmed: 0 }),
                asked: AtomicU64::new(0),
                stopped: OnceLock::new(),
                jumps: AtomicU64::new(0),
                polls: tokio::sync::Mutex::new(()),
                polled: Mutex::new(None),
                waiting: Mutex::default(),
                arrived: Mutex::new(BTreeMap::new()),
                bodies: Mutex::default(),
                folded: broadcast::Sender::new(FOLDED_KEPT),
                pages,
                store,
                database,
                env,
                protocol,
            }),
        };
        replica.confirm_tail().await?;
        Ok(replica)
    }

    /// The store.
    pub fn store(&self) -> &Store {
        &self.inner.store
    }

    /// The database.
    pub fn database(&self) -> &Name {
        &self.inner.database
    }

    /// Clock, chance, tasks.
    pub fn env(&self) -> &Env {
        &self.inner.env
    }

    /// The protocol's numbers.
    pub fn protocol(&self) -> &Protocol {
        &self.inner.protocol
    }

    /// What is folded. Hold it briefly: folding waits meanwhile.
    pub fn fold(&self) -> RwLockReadGuard<'_, Fold> {
        self.inner.fold.read()
    }

    pub(super) fn fold_mut(&self) -> parking_lot::RwLockWriteGuard<'_, Fold> {
        self.inner.fold.write()
    }

    pub(super) fn page_cache(&self) -> &PageCache {
        &self.inner.pages
    }

    /// Where the log was made and where it lies now, if that is not the same place: a copied prefix is a different log.
    pub fn moved_from(&self) -> Option<(String, String)> {
        let made = self.fold().state.identity().home.clone();
        let here = self.inner.store.home().unwrap_or_default();
        (!made.is_empty() && made != here).then_some((made, here))
    }

    /// The next slot to fold.
    pub fn next(&self) -> Slot {
        *self.inner.next.borrow()
    }

    /// Sees each new value of [`next`](Self::next).
    pub fn watch(&self) -> watch::Receiver<Slot> {
        self.inner.next.subscribe()
    }

    /// Waits until everything below `slot` is folded, by whomever; it sends nothing itself.
    pub async fn wait_for(&self, slot: Slot) {
        let mut next = self.watch();
        drop(next.wait_for(|next| *next >= slot).await); // the sender lives as long as this replica
    }

    /// Waits for the fate of a proposal of that base; at once if it has one. A dropped answer means: not known, and no longer waited for.
    pub fn expect(&self, name: ProposalName, base: Slot) -> oneshot::Receiver<Fate> {
        let fold = self.inner.fold.read();
        self.inner.waiting.lock().expect(name, base, fold.state.names().get(&name))
    }

    /// Nobody waits for a proposal any more.
    pub fn forget(&self, name: &ProposalName) {
        self.inner.waiting.lock().forget(name);
    }

    /// Whether somebody waits for the fate of a proposal.
    pub fn awaits(&self, name: &ProposalName) -> bool {
        self.inner.waiting.lock().awaits(name)
    }

    /// Reads the header of a slot. It is believed by nobody yet.
    pub async fn read_slot(&self, slot: Slot) -> Result<SlotRead> {
        let path = paths::log(&self.inner.database, slot);
        match read_commit(&self.inner.store, &path, slot).await? {
            Some(commit) => Ok(SlotRead::Present(Box::new(commit))),
            None => Ok(SlotRead::Absent),
        }
    }

    /// Folds up to the tail: the first absent slot (rule 6). Answers the slot that is the tail, as it was at some moment after
    /// the call: everything acknowledged anywhere before the call is folded.
    pub async fn confirm_tail(&self) -> Result<Slot> {
        let ticket = self.inner.asked.fetch_add(1, Ordering::SeqCst) + 1;
        let mut turn = self.inner.turn.lock().await;
        if turn.confirmed >= ticket {
            return Ok(self.next());
        }
        // Who asks from here on came after the request was sent, and is not served by it.
        let served = self.inner.asked.load(Ordering::SeqCst);
        let tail = self.advance(None).await?;
        turn.confirmed = served;
        Ok(tail)
    }

    /// [Confirms](Self::confirm_tail) the tail unless somebody began to less than `pause` ago: any number of waiting readers cost one
    /// request each `pause`. Answers when it may be asked for again, so that nobody's turn comes just too early.
    pub async fn poll_tail(&self, pause: Duration) -> Result<Duration> {
        let _turn = self.inner.polls.lock().await;
        let now = self.inner.env.now();
        if let Some(age) = self.inner.polled.lock().map(|at| now.since(&at)).filter(|age| *age < pause) {
            return Ok(pause.saturating_sub(age));
        }
        self.confirm_tail().await?;
        *self.inner.polled.lock() = Some(now);
        Ok(pause.saturating_sub(self.inner.env.now().since(&now)))
    }

    /// Folds until `slot` is folded or shown to be absent.
    pub async fn advance_past(&self, slot: Slot) -> Result<()> {
        let _turn = self.inner.turn.lock().await;
        if self.next() <= slot {
            self.advance(Some(slot)).await?;
        }
        Ok(())
    }

    /// An own PUT was answered Committed; `sent` is from before it left. Folds what can be folded now.
    pub async fn deliver(&self, commit: Commit, sent: Moment) -> Result<()> {
        let slot = commit.header.slot;
        if self.inner.protocol.fold.planted.has(Bug::AckPastHole) && slot > self.next() {
            self.acknowledge_past_hole(&commit);
        }
        self.inner.arrived.lock().insert(slot, Arrived { commit, sent, what: Observation::Created });
        // No turn is needed while the proof is young: an acknowledgement never waits for somebody's read.
        while self.fold_arrived().await? {}
        Ok(())
    }

    /// A fresh proof (rule 10): a LIST that may go beside a PUT. Begins again from a checkpoint that covers the next slot.
    pub async fn refresh_proof(&self) -> Result<()> {
        if !self.proof_is_old() {
            return Ok(());
        }
        self.prove().await.map(drop)
    }

    /// Whether the next observation would need a LIST.
    pub fn proof_is_old(&self) -> bool {
        let now = self.inner.env.now();
        let age_max = self.inner.protocol.proof_age_max;
        !self.inner.proof.lock().covers(
            now,
            now,
            Observation::Absent,
            age_max,
            self.inner.protocol.fold.planted,
        )
    }

    /// Whether a PUT that leaves now needs a LIST beside it. The planted designs that judge a PUT otherwise (T-x3, T-x6) send none.
    pub(super) fn put_needs_proof(&self) -> bool {
        let planted = self.inner.protocol.fold.planted;
        self.proof_is_old() && !planted.has(Bug::AgeFromSend) && !planted.has(Bug::OldestKeptIsProof)
    }

    async fn advance(&self, goal: Option<Slot>) -> Result<Slot> {
        if let Some(why) = self.inner.stopped.get() {
            return Err(Error::new(ErrorKind::Diverged, why.clone()));
        }
        let mut read_ahead = 1;
        loop {
            while self.fold_arrived().await? {}
            let from = self.next();
            if goal.is_some_and(|goal| from > goal) {
                return Ok(from);
            }
            let sent = self.inner.env.now();
            let jumps = self.inner.jumps.load(Ordering::SeqCst);
            let window = from..from + read_ahead as Slot;
            let reads = future::join_all(window.clone().map(|slot| self.read_slot(slot))).await;
            for (slot, read) in window.zip(reads) {
                let (what, commit) = match read.context(|| format!("folding slot {slot}"))? {
                    SlotRead::Absent => (Observation::Absent, None),
                    SlotRead::Present(commit) => (Observation::Present, Some(commit)),
                };
                // A proof is of the next slot. When the fold began again meanwhile, here or in another task of this node, the proof is
                // of a later one: what was read says nothing, a 404 least of all.
                let believed = self.believe(sent, what).await?;
                if !believed || self.inner.jumps.load(Ordering::SeqCst) != jumps {
                    break;
                }
                match commit {
                    None => return Ok(self.next()),
                    Some(commit) => match self.absorb(&commit) {
                        Err(error) if error.kind() == ErrorKind::Diverged => {
                            if let Err(error) = self.judge_divergence(&commit, error).await {
                                return Err(self.stop(error));
                            }
                            self.absorb(&commit)?;
                        }
                        absorbed => absorbed?,
                    },
                }
            }
            read_ahead = (read_ahead * 2).min(READ_AHEAD_MAX);
        }
    }

    /// Folds the commit that waits for the next slot, if there is one: an own one, or one that was pushed.
    pub(super) async fn fold_arrived(&self) -> Result<bool> {
        let next = self.next();
        let taken = {
            let mut arrived = self.inner.arrived.lock();
            arrived.retain(|slot, _| *slot >= next);
            arrived.remove(&next)
        };
        let Some(Arrived { commit, sent, what }) = taken else { return Ok(false) };
        let planted = self.inner.protocol.fold.planted;
        if what == Observation::Present && planted.has(Bug::PushIsProof) {
            self.inner.proof.lock().begin(sent);
        }
        if self.believe(sent, what).await? {
            match self.absorb(&commit) {
                // What was pushed is asked for again, at the store: whoever pushes cannot stop a node.
                Err(error) if what == Observation::Present => {
                    tracing::warn!(database = %self.inner.database, %error, "a pushed slot does not fit");
                    return Ok(false);
                }
                absorbed => absorbed?,
            }
        }
        Ok(true)
    }

    /// Rule 10. `false`: a checkpoint covers the slot, and the fold began again from it.
    async fn believe(&self, sent: Moment, what: Observation) -> Result<bool> {
        let protocol = &self.inner.protocol;
        let planted = protocol.fold.planted;
        let now = self.inner.env.now();
        let covered = self.inner.proof.lock().covers(sent, now, what, protocol.proof_age_max, planted);
        if !covered {
            if planted.has(Bug::OldestKeptIsProof) && what == Observation::Created {
                return self.oldest_kept_is_not_above().await;
            }
            if !self.prove().await? {
                return Ok(false);
            }
        }
        self.inner.proof.lock().believed(sent, what, planted);
        Ok(true)
    }

    /// LISTs the checkpoints. `false`: one covers the next slot, and the fold began again from it.
    async fn prove(&self) -> Result<bool> {
        let sent = self.inner.env.now();
        let next = self.next();
        let newest = open::newest_checkpoint(&self.inner.store, &self.inner.database).await?;
        if newest.is_none_or(|slot| slot <= next) {
            self.inner.proof.lock().begin(sent);
            return Ok(true);
        }
        self.begin_again(sent, newest.unwrap_or(next)).await?;
        Ok(false)
    }

    /// This node fell behind the trim point (or slept): the newest checkpoint takes the fold's place. A LIST sent at `sent` showed
    /// that it covers the slots below `newest`.
    async fn begin_again(&self, sent: Moment, newest: Slot) -> Result<()> {
        let loaded = open::load(&self.inner.store, &self.inner.database, &self.inner.protocol.fold).await?;
        let (before, next) = {
            let mut fold = self.inner.fold.write();
            let (before, next) = (fold.state.next(), loaded.state.next());
            if next > before {
                *fold = loaded;
                self.inner.jumps.fetch_add(1, Ordering::SeqCst);
            }
            (before, next)
        };
        if next <= before && before >= newest {
            // Somebody else of this node came there meanwhile, under a proof of their own.
            self.inner.proof.lock().begin(sent);
            return Ok(());
        }
        if next <= before {
            return Err(Error::corrupt(format!(
                "a checkpoint covers slot {before} of database {}, but cannot be read: this node cannot know what came after",
                self.inner.database
            )));
        }
        self.inner.proof.lock().begin(sent);
        tracing::info!(database = %self.inner.database, from = before, to = next, "began again from a checkpoint");
        self.inner.arrived.lock().retain(|slot, _| *slot >= next);
        {
            let fold = self.inner.fold.read();
            let (names, next) = (fold.state.names(), fold.state.next());
            self.inner
                .waiting
                .lock()
                .jumped(|name| names.get(name), |base| fold.state.is_expired(base, next));
        }
        self.inner.next.send_replace(next);
        Ok(())
    }

    /// Rule 9: the odd one stops. An error that may pass (a store that is away) stops nobody.
    fn stop(&self, error: Error) -> Error {
        if error.kind() == ErrorKind::Diverged && self.inner.stopped.set(error.to_string()).is_ok() {
            tracing::error!(database = %self.inner.database, %error, "this node folds no more; next: run `frazil verify`, then restart it with the version that the others run");
        }
        error
    }

    /// Why this node folds no more, if so.
    pub fn stopped(&self) -> Option<&str> {
        self.inner.stopped.get().map(String::as_str)
    }

    /// Folds a commit if it is the next; it may have been folded meanwhile.
    fn absorb(&self, commit: &Commit) -> Result<()> {
        let mut fold = self.inner.fold.write();
        if commit.header.slot != fold.state.next() {
            return Ok(());
        }
        let applied = fold.absorb(commit).context(|| format!("folding slot {}", commit.header.slot))?;
        self.inner.waiting.lock().tell(applied.fates);
        // Before the lock is let go, so that readers of `next` never see it go back.
        self.inner.next.send_replace(fold.state.next());
        self.tell_folded(commit);
        Ok(())
    }

    /// What was folded in a slot, if it is remembered.
    pub fn put_at(&self, slot: Slot) -> Option<PutSeen> {
        self.fold().put_at(slot)
    }

    /// Planted bug T-x3: an old observation is compared with the oldest slot in a LIST.
    async fn oldest_kept_is_not_above(&self) -> Result<bool> {
        let prefix = paths::log_prefix(&self.inner.database);
        let oldest = self.inner.store.list(&prefix, None, 1).await?;
        let next = paths::log(&self.inner.database, self.next());
        Ok(oldest.first().is_none_or(|listed| listed.path <= next))
    }

    /// Planted bug A-x7: the fold jumps over a hole to answer an own commit.
    pub(super) fn acknowledge_past_hole(&self, commit: &Commit) {
        let mut state: State = self.fold().state.clone();
        state.skip_to(commit.header.slot);
        let Ok(applied) = state.apply(commit) else { return };
        self.inner.waiting.lock().tell(applied.fates);
    }
}

/// Reads the header of the commit at `path`; the body only as far as it comes along.
pub(crate) async fn read_commit(store: &Store, path: &Path, slot: Slot) -> Result<Option<Commit>> {
    let Some(head) = store.get_prefix(path, HEAD_BYTES).await? else { return Ok(None) };
    let object = path.as_ref();
    let envelope = Envelope::decode(object, &head.bytes, ObjectKind::Commit)?;
    if envelope.body_start() <= head.bytes.len() as u64 || head.size <= head.bytes.len() as u64 {
        return Commit::decode(object, &head.bytes, slot).map(Some);
    }
    let rest = head.bytes.len() as u64..envelope.body_start();
    let Some(rest) = store.get_ranges(path, std::slice::from_ref(&rest)).await? else { return Ok(None) };
    let mut bytes = head.bytes.to_vec();
    rest.iter().for_each(|piece| bytes.extend_from_slice(piece));
    debug_assert!(bytes.len() >= ENVELOPE_BYTES);
    Commit::decode(object, &bytes, slot).map(Some)
}

impl Error {
    /// Whether an error of reading means that the object was trimmed meanwhile (rule 27).
    pub fn is_stale(&self) -> bool {
        self.kind() == ErrorKind::Stale
    }
}

//! Writing checkpoints down. Due ones are a function of the log, so any node may write one; the first to do so wins.
//!
//! Invariants: the page is durable before the checkpoint that lists it; two writers of one slot write the same state bytes, and
//! a difference stops the loser (rule 9).

use std::ops::Range;
use std::time::Duration;

use super::fold::DueCheckpoint;
use super::replica::Replica;
use crate::error::{Error, ErrorKind, Result, ResultExt};
use crate::format::checkpoint::{Checkpoint, PageRef, seal_checkpoint};
use crate::format::envelope::Sealed;
use crate::id::{Incarnation, Slot};
use crate::plan::pages;
use crate::store::paths::{self, Key};
use crate::store::{CreateOutcome, Path, PutPayload};

/// Who did not write the last slot before a checkpoint leaves it to who did, for so many slots.
const PATIENCE_SLOTS: Slot = 64;

/// How long to wait before a checkpoint that could not be written is tried again.
const RETRY_PAUSE: Duration = Duration::from_secs(5);

/// More index pages than this are never listed: sixteen levels of fifteen, and those not swapped out yet.
const PAGES_LISTED_MAX: usize = 10_000;

/// Whether a checkpoint was there or had to be made.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Written {
    /// This call wrote it.
    Here,
    /// Somebody else had.
    Elsewhere,
}

impl Replica {
    /// Writes due checkpoints as the fold reaches them, until the process ends. It sends nothing while nothing is due.
    ///
    /// `eager`: also those whose last slot was written by others (the janitor does; a gateway leaves them to their writer for a while).
    pub async fn keep_checkpointing(&self, incarnation: Incarnation, eager: bool) {
        let mut next = self.watch();
        loop {
            let due = self.fold().due.first().cloned();
            let at = *next.borrow_and_update();
            let ripe =
                due.filter(|due| eager || due.last_writer == incarnation || at >= due.slot + PATIENCE_SLOTS);
            let Some(due) = ripe else {
                if next.changed().await.is_err() {
                    return;
                }
                continue;
            };
            if let Err(error) = self.write_checkpoint(&due).await {
                if error.kind() == ErrorKind::Diverged {
                    tracing::error!(database = %self.database(), slot = due.slot, %error, "a checkpoint differs from this node's fold");
                    return;
                }
                tracing::warn!(database = %self.database(), slot = due.slot, %error, "a checkpoint could not be written; trying again");
                tokio::time::sleep(RETRY_PAUSE).await;
            }
        }
    }

    /// Writes one due checkpoint, or takes over the one that is there.
    pub async fn write_checkpoint(&self, due: &DueCheckpoint) -> Result<Written> {
        let path = paths::checkpoint(self.database(), due.slot);
        if let Some(found) = self.store().get(&path).await? {
            self.adopt(due, &path, &Checkpoint::decode(path.as_ref(), &found.bytes, due.slot)?)?;
            return Ok(Written::Elsewhere);
        }
        let page_path = paths::index(self.database(), due.from, due.slot);
        self.create(&page_path, &due.page).await.context(|| format!("writing index page {page_path}"))?;
        let page =
            PageRef { from: due.from, to: due.slot, level: 0, bytes: due.page.envelope.object_bytes() };
        let list = self.page_list(page).await?;
        let uuid = self.fold().state.identity().uuid;
        let sealed = seal_checkpoint(uuid, due.slot, due.log_hash, due.state.clone(), due.features, &list)?;
        self.create(&path, &sealed).await.context(|| format!("writing checkpoint {path}"))?;
        let found = self.store().get(&path).await?.ok_or_else(|| {
            Error::new(ErrorKind::Unavailable, format!("{path}: written, but not found when read back"))
        })?;
        self.adopt(due, &path, &Checkpoint::decode(path.as_ref(), &found.bytes, due.slot)?)?;
        tracing::info!(database = %self.database(), slot = due.slot, state_bytes = due.state.len(), pages = list.len(), "checkpoint");
        Ok(Written::Here)
    }

    /// Rule 9: the state at a slot is one.
    fn adopt(&self, due: &DueCheckpoint, path: &Path, found: &Checkpoint) -> Result<()> {
        if found.state != due.state {
            return Err(Error::new(
                ErrorKind::Diverged,
                format!(
                    "{path}: the state at slot {} differs from this node's fold (log hash {:032x} there, {:032x} here); one of \
                 the two programs is wrong; this node does not write checkpoints any more: run `frazil verify`",
                    due.slot, found.header.log_hash, due.log_hash
                ),
            ));
        }
        self.fold_mut().settle(due.slot, found.pages.clone());
        self.keep_own_page(due);
        Ok(())
    }

    /// The pages up to and with `page`; merged ones that the janitor has written take the place of theirs.
    async fn page_list(&self, page: PageRef) -> Result<Vec<PageRef>> {
        let mut list: Vec<PageRef> =
            self.fold().pages.iter().filter(|old| old.to <= page.from).cloned().collect();
        let reached = list.last().map_or(0, |last| last.to);
        if reached != page.from {
            return Err(Error::internal(format!(
                "index pages end at slot {reached}, the next begins at {}",
                page.from
            )));
        }
        list.push(page);
        if list.len() < pages::MERGE_FAN_IN {
            return Ok(list);
        }
        let stored = self.store().list(&paths::index_prefix(self.database()), None, PAGES_LISTED_MAX).await?;
        let stored: Vec<(Range<Slot>, u64)> = stored
            .into_iter()
            .filter_map(|listed| match Key::parse(&listed.path) {
                Some(Key::Index { from, to, .. }) => Some((from..to, listed.size)),
                _ => None,
            })
            .collect();
        Ok(pages::swap_in_merged(list, &stored))
    }

    /// Creates an object whose bytes are a function of its name; who loses finds the same bytes there.
    pub async fn create(&self, path: &Path, sealed: &Sealed) -> Result<()> {
        let payload: PutPayload = sealed.pieces().collect();
        match self.store().create_if_absent(path, payload).await {
            CreateOutcome::Committed | CreateOutcome::Lost => Ok(()),
            CreateOutcome::Unknown(error) | CreateOutcome::Denied(error) => Err(error),
        }
    }
}

//! A replica's memory: the folded state, the slice index since the last checkpoint, and what is known of recent slots. No I/O.
//!
//! Invariant: the state and the index move together, one whole slot at a time; every slot below the pages' end lies in a page,
//! every later one in a sealed layer or in `recent`.

pub(crate) mod waiting;
pub mod writers;

use std::collections::BTreeMap;

use bytes::Bytes;

use self::writers::Writers;
use crate::error::{Error, ErrorKind, Result};
use crate::format::checkpoint::PageRef;
use crate::format::commit::Commit;
use crate::format::envelope::Sealed;
use crate::format::page::{self, Place, PlaceMap, StreamKey};
use crate::id::{Offset, Slot, Ulid};
use crate::plan::places::{self, Search};
use crate::state::{Applied, State};

/// For how many slots back a node remembers log hashes and PUT ids.
const REMEMBERED_SLOTS: usize = 4_096;

/// What a replica knows.
#[derive(Debug)]
pub struct Fold {
    /// The state.
    pub state: State,
    /// The pages of the newest checkpoint known to be durable, oldest first.
    pub pages: Vec<PageRef>,
    /// Checkpoints that are due and not known to be durable, oldest first.
    pub due: Vec<DueCheckpoint>,
    recent: PlaceMap,
    hashes: BTreeMap<Slot, u128>,
    puts: BTreeMap<Slot, PutSeen>,
    writers: Writers,
}

/// A checkpoint, as this node's fold would write it.
#[derive(Clone, Debug)]
pub struct DueCheckpoint {
    /// It covers the slots below this.
    pub slot: Slot,
    /// The first slot of its own page.
    pub from: Slot,
    /// The log hash at `slot`.
    pub log_hash: u128,
    /// The state's canonical bytes.
    pub state: Bytes,
    /// The feature bits that their reader must know.
    pub features: u64,
    /// Its page.
    pub page: Sealed,
    /// What the page says.
    pub places: PlaceMap,
    /// Who wrote the slot before it, and so is the first to write it down.
    pub last_writer: Ulid,
}

/// What was folded in a slot.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PutSeen {
    /// The PUT.
    pub put_id: Ulid,
    /// Its content hash.
    pub content_hash: u128,
}

impl Fold {
    /// Begins after a checkpoint (or slot 0), whose slots lie in `pages`.
    pub fn new(state: State, pages: Vec<PageRef>) -> Self {
        let hashes = BTreeMap::from([(state.next(), state.log_hash())]);
        Self {
            state,
            pages,
            due: Vec::new(),
            recent: PlaceMap::new(),
            hashes,
            puts: BTreeMap::new(),
            writers: Writers::default(),
        }
    }

    /// Folds the next slot. On an error nothing has changed.
    pub fn absorb(&mut self, commit: &Commit) -> Result<Applied> {
        let (slot, hash) = commit.header.folded;
        if let Some(own) = self.hashes.get(&slot)
            && *own != hash
            && commit.header.slot != 0
        {
            return Err(Error::new(
                ErrorKind::Diverged,
                format!(
                    "log hash at slot {slot}: this node folded {own:032x}, the writer of slot {} ({} {}) folded {hash:032x}; \
                 one of the two is wrong, and this node stops before it answers anything (rule 9)",
                    commit.header.slot, commit.header.writer.incarnation, commit.header.writer.version
                ),
            ));
        }
        self.absorb_unchecked(commit)
    }

    /// Folds the next slot, whatever its writer folded.
    pub(super) fn absorb_unchecked(&mut self, commit: &Commit) -> Result<Applied> {
        let from = self.state.boundary();
        let applied = self.state.apply(commit)?;
        self.note(commit, &applied, from)?;
        Ok(applied)
    }

    /// The log hash at a slot, if it is remembered.
    pub fn hash_at(&self, slot: Slot) -> Option<u128> {
        self.hashes.get(&slot).copied()
    }

    /// Takes in what [`State::begin`] or [`State::apply`] did.
    pub(super) fn note(&mut self, commit: &Commit, applied: &Applied, from: Slot) -> Result<()> {
        places::add_slot(&mut self.recent, commit, applied);
        self.hashes.insert(self.state.next(), self.state.log_hash());
        let seen = PutSeen { put_id: applied.put_id, content_hash: applied.content_hash };
        self.puts.insert(applied.slot, seen);
        self.writers.note(applied.slot, &commit.header.writer);
        while self.hashes.len() > REMEMBERED_SLOTS {
            self.hashes.pop_first();
        }
        while self.puts.len() > REMEMBERED_SLOTS {
            self.puts.pop_first();
        }
        if applied.boundary {
            let places = std::mem::take(&mut self.recent);
            let slot = self.state.next();
            let log_hash = self.state.log_hash();
            let page = page::seal_page(self.state.identity().uuid, from..slot, log_hash, &places)?;
            let (state, features) = (self.state.encode(), self.state.features());
            let last_writer = commit.header.writer.incarnation;
            self.due.push(DueCheckpoint { slot, from, log_hash, state, features, page, places, last_writer });
        }
        Ok(())
    }

    /// What was folded in a slot, if it is remembered.
    pub fn put_at(&self, slot: Slot) -> Option<PutSeen> {
        self.puts.get(&slot).copied()
    }

    /// Who wrote the last slots.
    pub fn writers(&self) -> &Writers {
        &self.writers
    }

    /// The state's slot and log hash, as a commit names them.
    pub fn folded(&self) -> (Slot, u128) {
        (self.state.next(), self.state.log_hash())
    }

    /// Looks for offsets in memory, newest layer first.
    pub fn search(&self, search: &mut Search, key: &StreamKey) {
        search.look_into_map(&self.recent, key);
        self.due.iter().rev().for_each(|due| search.look_into_map(&due.places, key));
    }

    /// Every place in memory, newest layer first; layers may shadow each other.
    pub fn layers(&self) -> impl Iterator<Item = &PlaceMap> {
        std::iter::once(&self.recent).chain(self.due.iter().rev().map(|due| &due.places))
    }

    /// The checkpoint of `slot` is durable, with these pages: what memory held of the slots below is let go.
    pub fn settle(&mut self, slot: Slot, pages: Vec<PageRef>) {
        self.due.retain(|due| due.slot > slot);
        if self.pages.last().is_none_or(|last| last.to <= slot) {
            self.pages = pages;
        }
    }

    /// How many places memory holds.
    pub fn places_in_memory(&self) -> usize {
        self.layers().map(|map| map.values().map(Vec::len).sum::<usize>()).sum()
    }
}

/// The offsets from `from` to `to` of places that were found, or what is missing.
pub fn complete(search: Search, key: &StreamKey) -> Result<Vec<Place>> {
    if let Some(missing) = search.missing().first() {
        let missing: std::ops::Range<Offset> = missing.clone();
        return Err(Error::internal(format!(
            "table {} bucket {}: no object is known to hold offsets {missing:?}",
            key.table, key.bucket
        )));
    }
    Ok(search.finish())
}

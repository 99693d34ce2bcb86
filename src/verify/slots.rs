//! The slots: each read whole, all folded in order from the oldest state that is kept.
//!
//! Where the fold cannot go on (a commit that cannot be decoded, an absent slot) it begins again at the next checkpoint above, so
//! that one corrupt object hides as little as may be. An absent slot is *trimmed* below the checkpoints that trim relies on, *lost*
//! if a checkpoint or a later writer had folded it, and else a *hole*: the log ends there (rule 6).

use std::ops::Range;

use frazil_log::commit::fold::Fold;
use frazil_log::format::commit::Commit;
use frazil_log::format::entry::Entry;
use frazil_log::format::segment::ObjectId;
use frazil_log::format::slice::SliceHome;
use frazil_log::id::{Slot, TimeMicros};
use frazil_log::plan::trim::{CheckpointSeen, trim_point};
use frazil_log::state::State;
use frazil_log::store::paths::{self, Key};
use frazil_log::{Error, ErrorKind};
use futures::{StreamExt, TryStreamExt};

use super::object::{self, Checked, Fault};
use super::stored::{Held, digest};
use super::{Check, deep, keys};
use crate::stored_log::REQUESTS_MAX;

/// How far the store's clock may be ahead of this machine's, in microseconds.
const CLOCK_SLACK: TimeMicros = 60_000_000;

/// A slot that was read.
struct SlotRead {
    slot: Slot,
    object: String,
    length: usize,
    checked: Checked<Commit>,
    /// Kept for decoding its rows.
    held: Option<Held>,
}

impl Check<'_> {
    /// Reads every slot from the start on, and folds.
    pub(super) async fn check_slots(&mut self) -> anyhow::Result<()> {
        let (fetch, start, deep) = (self.fetch.clone(), self.start, self.options.deep);
        let slots = keys(self.store, paths::log_prefix(&self.database)).try_filter_map(async |listed| {
            Ok(match Key::parse(&listed.path) {
                Some(Key::Log { slot, .. }) if slot >= start => Some((slot, listed)),
                _ => None,
            })
        });
        let mut slots = slots
            .map_ok(|(slot, listed)| {
                let fetch = fetch.clone();
                async move {
                    let Some(held) = fetch.get(&listed.path, listed.size).await? else { return Ok(None) };
                    let object = listed.path.to_string();
                    let checked = object::commit(&object, &held.bytes, slot);
                    let length = held.bytes.len();
                    Ok::<_, Error>(Some(SlotRead {
                        slot,
                        object,
                        length,
                        checked,
                        held: deep.then_some(held),
                    }))
                }
            })
            .try_buffered(REQUESTS_MAX)
            .boxed();
        while let Some(read) = slots.try_next().await? {
            if let Some(read) = read {
                self.take_slot(read).await?; // one that is gone by now is absent: the next one shows it
            }
        }
        self.end_slots().await
    }

    async fn take_slot(&mut self, read: SlotRead) -> anyhow::Result<()> {
        self.count(read.length);
        let intact = read.checked.faults.is_empty();
        self.tell_all(read.checked.faults);
        if let Some(commit) = &read.checked.content {
            self.note_slices(commit);
        }
        self.fold_slot(read.slot, read.checked.content.as_ref()).await?;
        if let Some((commit, held)) = read.checked.content.as_ref().zip(read.held).filter(|_| intact) {
            for slice in commit.header.slices.iter().filter(|slice| slice.home == SliceHome::Here) {
                let start = commit.envelope.body_start();
                let checked = deep::check(&read.object, &held.bytes, start, slice, &self.tables);
                self.take_decoded(checked);
            }
        }
        Ok(())
    }

    pub(super) fn note_slices(&mut self, commit: &Commit) {
        let id = ObjectId::Commit { slot: commit.header.slot, put_id: commit.header.put_id };
        let start = commit.envelope.body_start();
        let here = commit.header.slices.iter().filter(|slice| slice.home == SliceHome::Here);
        self.slices.extend(here.map(|slice| digest(&id, start, slice)));
    }

    async fn fold_slot(&mut self, slot: Slot, commit: Option<&Commit>) -> anyhow::Result<()> {
        self.judge_first(slot);
        if slot == 0 && self.fold.is_none() {
            self.begin(commit);
            return self.at_checkpoint().await;
        }
        loop {
            let next = self.fold.as_ref().filter(|_| self.stuck.is_none()).map(|fold| fold.state.next());
            match next {
                Some(next) if next == slot => break,
                Some(next) if next > slot => return Ok(()),
                Some(next) => self.judge_absent(next..slot, commit).await?,
                None if self.resume(Some(slot)).await? => {}
                None => {
                    self.found.slots_not_folded += 1;
                    self.judge_above_hole(slot, commit);
                    return Ok(());
                }
            }
        }
        match (commit, &mut self.fold) {
            (Some(commit), Some(fold)) => match fold.absorb(commit) {
                Ok(_) => self.learn_tables(commit),
                Err(error) => self.cannot_fold(slot, &error),
            },
            // Told already: its header is at fault.
            _ => self.stuck = Some(slot),
        }
        self.at_checkpoint().await
    }

    fn begin(&mut self, commit: Option<&Commit>) {
        let begun = commit.map(|commit| State::begin(commit, self.options.protocol.fold.clone()));
        match begun {
            Some(Ok((state, _))) => {
                if state.identity().database != self.database {
                    let found = format!("that of database {}", state.identity().database);
                    self.remark(format_args!("slot 0 is {found}: a copied prefix"));
                }
                self.found.folded_from = Some(0);
                self.fold = Some(Fold::new(state, Vec::new()));
            }
            Some(Err(error)) => self.cannot_fold(0, &error),
            None => self.stuck = Some(0),
        }
    }

    fn cannot_fold(&mut self, slot: Slot, error: &Error) {
        self.stuck = Some(slot);
        let object = paths::log(&self.database, slot);
        let expected = format!("a commit that follows slot {}", slot.saturating_sub(1));
        let unreadable = error.kind() == ErrorKind::Unsupported;
        self.tell(Fault { unreadable, ..Fault::new(object.as_ref(), None, expected, error.to_string()) });
    }

    fn learn_tables(&mut self, commit: &Commit) {
        let mut entries = commit.header.proposals.iter().flat_map(|proposal| &proposal.entries);
        if self.options.deep
            && entries.any(|entry| matches!(entry, Entry::TableCreated { .. } | Entry::TableAltered { .. }))
            && let Some(fold) = self.fold.take()
        {
            self.learn(&fold.state);
            self.fold = Some(fold);
        }
    }

    /// Begins again at the oldest checkpoint above where the fold is stuck (and at most `slot`); whether there was one.
    async fn resume(&mut self, slot: Option<Slot>) -> anyhow::Result<bool> {
        let above = self.stuck.map_or(self.start, |stuck| (stuck + 1).max(self.start));
        let until = slot.unwrap_or(Slot::MAX);
        if above > until {
            return Ok(false);
        }
        let between = self.checkpoints.range(above..=until).filter(|(_, known)| known.usable);
        let usable: Vec<Slot> = between.map(|(slot, _)| *slot).collect();
        for at in usable {
            if let Some((_, Checked { content: Some((state, checkpoint)), .. })) =
                self.read_checkpoint(at).await?
            {
                self.found.folded_from.get_or_insert(at);
                self.fold = Some(Fold::new(state, checkpoint.pages));
                (self.stuck, self.hole) = (None, false);
                return Ok(true);
            }
        }
        Ok(false)
    }

    /// The oldest slot that trim cannot have deleted, as the janitor itself reckons it (rule 11).
    fn kept_from(&self) -> Slot {
        let newest_first = self.checkpoints.iter().rev();
        let seen: Vec<CheckpointSeen> = newest_first
            .map(|(slot, known)| CheckpointSeen { slot: *slot, written: known.written })
            .collect();
        let newest = seen.iter().map(|seen| seen.written).max().unwrap_or(TimeMicros::MIN);
        // The janitor goes by the store's clock, which may be ahead of this one.
        let now = self.options.now.max(newest).saturating_add(CLOCK_SLACK);
        trim_point(&seen, now, self.options.protocol.checkpoint_age_min).map_or(0, |point| point.slot)
    }

    /// Trim deletes from the first slot on: what it cannot have deleted is there.
    fn judge_first(&mut self, slot: Slot) {
        if self.first.is_none() {
            self.first = Some(slot);
            let from = self.kept_from().max(self.start);
            let why = match self.checkpoints.keys().next_back() {
                Some(newest) if *newest > from => format!("the checkpoint of slot {newest} covers"),
                _ => format!("slot {slot} follows"),
            };
            self.tell_lost(from..slot, &why);
        }
    }

    /// Slots in the midst of the log are absent; the fold is stuck there.
    async fn judge_absent(&mut self, absent: Range<Slot>, above: Option<&Commit>) -> anyhow::Result<()> {
        self.look_for_new_checkpoints().await?;
        self.stuck = Some(absent.start);
        let newest = self.checkpoints.keys().next_back().copied().unwrap_or(0);
        if newest > absent.start {
            let lost = absent.start.max(self.kept_from())..absent.end.min(newest);
            self.tell_lost(lost, &format!("the checkpoint of slot {newest} covers"));
            return Ok(());
        }
        self.hole = true;
        self.remark(format_args!(
            "slot {} is a hole: what lies above is not committed until somebody fills it",
            absent.start
        ));
        if let Some(above) = above {
            self.judge_above_hole(above.header.slot, Some(above));
        }
        Ok(())
    }

    /// Nobody writes above a hole after folding it: if one says so, it was no hole.
    fn judge_above_hole(&mut self, slot: Slot, commit: Option<&Commit>) {
        if let Some((hole, commit)) = self.stuck.filter(|_| self.hole).zip(commit)
            && commit.header.folded.0 > hole
        {
            self.hole = false; // told once
            self.tell_lost(
                hole..commit.header.folded.0.min(slot),
                &format!("the writer of slot {slot} had folded"),
            );
        }
    }

    fn tell_lost(&mut self, lost: Range<Slot>, why: &str) {
        if lost.is_empty() {
            return;
        }
        let object = paths::log(&self.database, lost.start);
        let which = if lost.end - lost.start == 1 {
            format!("slot {}", lost.start)
        } else {
            format!("slots {}..{}", lost.start, lost.end)
        };
        self.tell(Fault::new(
            object.as_ref(),
            None,
            format!("the commits of {which}, which {why}"),
            "nothing",
        ));
    }

    /// If a checkpoint was written of the state that the fold has now: is it the same?
    async fn at_checkpoint(&mut self) -> anyhow::Result<()> {
        let Some(next) = self.fold.as_ref().filter(|_| self.stuck.is_none()).map(|fold| fold.state.next())
        else {
            return Ok(());
        };
        if !self.checkpoints.get(&next).is_some_and(|known| known.usable) {
            return Ok(());
        }
        let Some((_, Checked { content: Some((_, checkpoint)), .. })) = self.read_checkpoint(next).await?
        else {
            return Ok(());
        };
        let Some(fold) = &mut self.fold else { return Ok(()) };
        let (own, own_hash) = (fold.state.encode(), fold.state.log_hash());
        if own != checkpoint.state {
            let object = paths::checkpoint(&self.database, next);
            let expected =
                format!("the state that its slots fold to, {} bytes, log hash {own_hash:032x}", own.len());
            let found =
                format!("{} bytes, log hash {:032x}", checkpoint.state.len(), checkpoint.header.log_hash);
            self.tell(Fault::new(object.as_ref(), None, expected, found));
            return Ok(());
        }
        let due = fold.due.iter().find(|due| due.slot == next);
        let page = due.map(|due| (due.from, due.page.envelope.content_hash));
        fold.settle(next, checkpoint.pages);
        self.found.checkpoints_agreeing += 1;
        if let Some((from, expected)) = page
            && let Some(Some(found)) = self.pages.get(&(from, next))
            && *found != expected
        {
            let object = paths::index(&self.database, from, next);
            let (expected, found) =
                (format!("the page of what its slots hold, {expected:032x}"), format!("{found:032x}"));
            self.tell(Fault::new(object.as_ref(), None, expected, found));
        }
        Ok(())
    }

    /// After the last slot.
    async fn end_slots(&mut self) -> anyhow::Result<()> {
        let newest = self.checkpoints.keys().next_back().copied();
        let next = self.fold.as_ref().filter(|_| self.stuck.is_none()).map(|fold| fold.state.next());
        if let Some((next, newest)) = next.zip(newest)
            && next < newest
        {
            self.stuck = Some(next);
            self.tell_lost(
                next.max(self.kept_from())..newest,
                &format!("the checkpoint of slot {newest} covers"),
            );
        }
        while (self.fold.is_none() || self.stuck.is_some()) && self.resume(None).await? {
            let next = self.fold.as_ref().map_or(0, |fold| fold.state.next());
            // Another may follow: the newest has the newest list of pages.
            if newest.is_some_and(|newest| next < newest) {
                self.stuck = Some(next);
            }
        }
        let tail = self.fold.as_ref().map(|fold| fold.state.next());
        self.found.folded_to = tail;
        if tail.is_none() {
            let expected = "slot 0 or a checkpoint, from which the log can be folded";
            self.tell(Fault::new(self.database.clone().as_str(), None, expected, "neither that can be read"));
        }
        if let Some(fold) = self.fold.take() {
            self.learn(&fold.state);
            self.fold = Some(fold);
        }
        if self.found.slots_not_folded > 0 {
            let count = self.found.slots_not_folded;
            self.remark(format_args!(
                "{count} slots were read but not folded: they lie below the oldest usable checkpoint, above a hole, or behind a fault"
            ));
        }
        Ok(())
    }
}

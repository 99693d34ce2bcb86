//! The fold: what the log means. PURE.
//!
//! `State::apply(commit)` is a function of the state and the commit alone: no clock, no chance, no store. Every node that folds
//! the same slots has the same state, byte for byte, and the same [log hash](State::log_hash).
//!
//! Invariants (checked always; a breach stops the node):
//! * slots are folded in order, each once, all of one log;
//! * offsets of a bucket are gapless: they are only ever given out here;
//! * a name gets one fate, a producer's sequence one verdict (rules 1 and 3);
//! * commit time never falls (rule 13);
//! * the fold is total: bad input is a refusal (rule 8).
//!
//! Start reading at [`State::apply`], then [`proposal`] (how a proposal is judged), [`producers`], [`names`], [`tables`], [`groups`].

mod amendments;
pub mod groups;
pub mod names;
pub mod producers;
pub mod proposal;
pub mod tables;
pub mod verdict;

#[cfg(test)]
mod tests;

use std::borrow::Cow;

use bytes::Bytes;
use serde::Serialize;
use xxhash_rust::xxh3::xxh3_128;

use self::groups::Groups;
use self::names::Names;
use self::producers::{Admission, Producers};
use self::proposal::{Effect, Placed};
use self::tables::Tables;
use self::verdict::{Acceptance, Fate, Refusal, Verdict};
use crate::error::{Error, Result};
use crate::format::commit::{Commit, CommitHeader, ProducerStamp, Proposal};
use crate::format::entry::{self, Entry};
use crate::format::envelope::{FEATURE_AMENDMENTS, FEATURE_GROUPS};
use crate::format::wire::{Reader, Writer};
use crate::id::{Name, ProposalName, Slot, TimeMicros, Ulid, Uuid};
use crate::planted::Bug;
use crate::protocol::FoldRules;

/// The tags of the families that came later.
const GROUPS: u8 = 1;
const AMENDMENTS: u8 = 2;

/// Which log this is; said once, in slot 0.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct LogIdentity {
    /// The log's UUID.
    pub uuid: Uuid,
    /// The database.
    pub database: Name,
    /// Where it was made.
    pub home: String,
    /// When, by its creator's clock.
    pub created: TimeMicros,
}

/// The result of folding slots in order.
#[derive(Clone, Debug)]
pub struct State {
    identity: LogIdentity,
    alive: bool,
    next: Slot,
    log_hash: u128,
    time: TimeMicros,
    boundary: Slot,
    header_bytes: u64,
    tables: Tables,
    producers: Producers,
    names: Names,
    groups: Groups,
    rules: FoldRules,
}

/// What folding one slot brought.
#[derive(Clone, Debug)]
pub struct Applied {
    /// The slot.
    pub slot: Slot,
    /// The PUT that was folded there.
    pub put_id: Ulid,
    /// Its content hash.
    pub content_hash: u128,
    /// The slot's commit time.
    pub time: TimeMicros,
    /// What became of each proposal, in order.
    pub fates: Vec<(ProposalName, Fate)>,
    /// Rows that got their offsets.
    pub placed: Vec<Placed>,
    /// Rows that lie elsewhere from now on.
    pub moved: Vec<Placed>,
    /// Whether a checkpoint of the next slot is due.
    pub boundary: bool,
}

impl State {
    /// Folds slot 0.
    pub fn begin(commit: &Commit, rules: FoldRules) -> Result<(Self, Applied)> {
        let first = commit.header.proposals.first().map(|proposal| proposal.entries.as_slice());
        let Some([Entry::LogCreated { log_uuid, database, home }]) = first else {
            return Err(Error::corrupt("slot 0: expected the entry that creates the log, found another"));
        };
        if commit.header.slot != 0
            || *log_uuid != commit.header.log_uuid
            || commit.header.proposals.len() != 1
        {
            return Err(Error::corrupt(
                "slot 0: expected nothing but the entry that creates the log, found more",
            ));
        }
        let time = commit.header.time;
        let identity =
            LogIdentity { uuid: *log_uuid, database: database.clone(), home: home.clone(), created: time };
        let mut state = Self {
            identity,
            alive: true,
            next: 0,
            log_hash: 0,
            time,
            boundary: 0,
            header_bytes: 0,
            tables: Tables::default(),
            producers: Producers::default(),
            names: Names::default(),
            groups: Groups::default(),
            rules,
        };
        let accepted = Verdict::Accepted(Acceptance { slot: 0, appended: Vec::new() });
        let proposal = &commit.header.proposals[0];
        let fate = Fate::Decided { verdict: accepted, duplicate: false };
        state.names.remember(proposal.name, 0, fate.clone());
        let applied = state.close_slot(commit, vec![(proposal.name, fate)], Vec::new(), Vec::new());
        Ok((state, applied))
    }

    /// Folds the next slot.
    ///
    /// # Errors
    /// A commit of another log or another slot: the caller mixed them up, or the bucket was. The state is unchanged.
    pub fn apply(&mut self, commit: &Commit) -> Result<Applied> {
        let header = &commit.header;
        if header.log_uuid != self.identity.uuid {
            return Err(Error::corrupt(format!(
                "slot {}: expected log {}, found a commit of log {}",
                header.slot, self.identity.uuid, header.log_uuid
            )));
        }
        if header.slot != self.next {
            return Err(Error::internal(format!(
                "slot {} was folded where {} comes next",
                header.slot, self.next
            )));
        }
        self.time = self.time.max(header.time);
        self.names.forget_before(header.slot, self.rules.window_slots);
        self.producers.forget_idle(self.time, &self.rules);
        let kept = i64::try_from(self.rules.dropped_kept.as_micros()).unwrap_or(i64::MAX);
        let forgotten = self.tables.forget_dropped_before(self.time.saturating_sub(kept));
        self.groups.forget_tables(&forgotten);
        let (mut fates, mut placed, mut moved) = (Vec::new(), Vec::new(), Vec::new());
        for proposal in &header.proposals {
            let fate = self.fold_proposal(header, proposal, &mut placed, &mut moved);
            fates.push((proposal.name, fate));
        }
        Ok(self.close_slot(commit, fates, placed, moved))
    }

    fn fold_proposal(
        &mut self,
        header: &CommitHeader,
        proposal: &Proposal,
        placed: &mut Vec<Placed>,
        moved: &mut Vec<Placed>,
    ) -> Fate {
        if !self.rules.planted.has(Bug::NamesOff)
            && let Some(fate) = self.names.get(&proposal.name)
        {
            return fate.clone();
        }
        let refused = |refusal| Fate::Decided { verdict: Verdict::Refused(refusal), duplicate: false };
        if self.is_expired(proposal.base, header.slot) && !self.rules.planted.has(Bug::NoBaseCheck) {
            return refused(Refusal::Expired);
        }
        let fate = match &proposal.producer {
            // Nobody can have folded what comes later; taken, it could be taken again once its name is forgotten.
            _ if proposal.base > header.slot => refused(Refusal::Invalid { check: 10 }),
            None => Fate::Decided { verdict: self.decide(header, proposal, placed, moved), duplicate: false },
            Some(stamp) => {
                let stamp = self.counted(stamp, header, proposal);
                match self.producers.admit(&stamp, proposal.request_hash, &self.rules) {
                    Admission::Answer(fate) => fate,
                    Admission::Take => {
                        let verdict = self.decide(header, proposal, placed, moved);
                        self.producers.note(&stamp, proposal.request_hash, &verdict, self.time, &self.rules);
                        Fate::Decided { verdict, duplicate: false }
                    }
                }
            }
        };
        if !matches!(fate, Fate::Gap { .. }) {
            // A base above the slot would be remembered for ever.
            self.names.remember(proposal.name, proposal.base.min(header.slot), fate.clone());
        }
        fate
    }

    /// The stamp that is counted: the request's own, one sequence per producer and database.
    fn counted<'a>(
        &self,
        stamp: &'a ProducerStamp,
        header: &CommitHeader,
        proposal: &Proposal,
    ) -> Cow<'a, ProducerStamp> {
        if self.rules.planted.has(Bug::SequencePerBucket)
            && let Some(Entry::Appended { slice, .. }) = proposal.entries.first()
            && let Some(slice) = header.slices.get(*slice as usize)
        {
            return Cow::Owned(ProducerStamp {
                id: format!("{}#{}", stamp.id, slice.bucket),
                ..stamp.clone()
            });
        }
        Cow::Borrowed(stamp)
    }

    fn decide(
        &mut self,
        header: &CommitHeader,
        proposal: &Proposal,
        placed: &mut Vec<Placed>,
        moved: &mut Vec<Placed>,
    ) -> Verdict {
        match proposal::judge(self, header, proposal) {
            Err(refusal) => {
                if self.rules.planted.has(Bug::PartsApplied) {
                    let effects = proposal::judge_until_refused(self, header, proposal);
                    self.take_and_tell(effects, header.slot, placed, moved);
                }
                Verdict::Refused(refusal)
            }
            Ok(effects) => {
                let appended = proposal::appended(&effects);
                self.take_and_tell(effects, header.slot, placed, moved);
                Verdict::Accepted(Acceptance { slot: header.slot, appended })
            }
        }
    }

    fn take_and_tell(
        &mut self,
        effects: Vec<Effect<'_>>,
        slot: Slot,
        placed: &mut Vec<Placed>,
        moved: &mut Vec<Placed>,
    ) {
        self.take(&effects, slot, self.time);
        for effect in effects {
            match effect {
                Effect::Append(one) => placed.push(one),
                Effect::RollUp { parts, .. } => moved.extend(parts),
                Effect::DatabaseAlive(_)
                | Effect::CreateTable { .. }
                | Effect::DropTable(_)
                | Effect::AlterTable { .. }
                | Effect::RestoreTable(_)
                | Effect::Expire { .. }
                | Effect::StorePositions { .. }
                | Effect::DeleteGroup(_) => {}
            }
        }
    }

    /// Hashes the slot in, and says whether a checkpoint is due (a function of the log: every node agrees).
    fn close_slot(
        &mut self,
        commit: &Commit,
        fates: Vec<(ProposalName, Fate)>,
        placed: Vec<Placed>,
        moved: Vec<Placed>,
    ) -> Applied {
        let slot = commit.header.slot;
        let mut w = Writer::new();
        w.u128(self.log_hash);
        w.varint(slot);
        w.u128(commit.entries_hash);
        fates.iter().for_each(|(_, fate)| fate.encode(&mut w));
        self.log_hash = xxh3_128(&w.into_bytes());
        self.next = slot + 1;
        self.header_bytes += u64::from(commit.envelope.header_bytes);
        let boundary = self.next - self.boundary >= self.rules.checkpoint_slots
            || self.header_bytes >= self.rules.checkpoint_header_bytes;
        if boundary {
            self.boundary = self.next;
            self.header_bytes = 0;
        }
        let (put_id, content_hash) = (commit.header.put_id, commit.envelope.content_hash);
        Applied { slot, put_id, content_hash, time: self.time, fates, placed, moved, boundary }
    }

    /// Whether something named at `base` is too old for `slot` (rules 1 and 12).
    pub fn is_expired(&self, base: Slot, slot: Slot) -> bool {
        base.saturating_add(self.rules.window_slots) < slot
    }

    /// Which log this is.
    pub fn identity(&self) -> &LogIdentity {
        &self.identity
    }

    /// Whether the database exists (it may be dropped and come again in the same log).
    pub fn is_alive(&self) -> bool {
        self.alive
    }

    /// The next slot to fold.
    pub fn next(&self) -> Slot {
        self.next
    }

    /// The running hash over all folded slots' entries and fates (rule 9).
    pub fn log_hash(&self) -> u128 {
        self.log_hash
    }

    /// The commit time of the last slot.
    pub fn time(&self) -> TimeMicros {
        self.time
    }

    /// The slot of the last checkpoint that was due.
    pub fn boundary(&self) -> Slot {
        self.boundary
    }

    /// The tables.
    pub fn tables(&self) -> &Tables {
        &self.tables
    }

    /// The producers.
    pub fn producers(&self) -> &Producers {
        &self.producers
    }

    /// The names that are remembered.
    pub fn names(&self) -> &Names {
        &self.names
    }

    /// The groups.
    pub fn groups(&self) -> &Groups {
        &self.groups
    }

    /// The numbers that it folds by.
    pub fn rules(&self) -> &FoldRules {
        &self.rules
    }

    /// Planted bug A-x7: passes over slots that were not folded.
    pub(crate) fn skip_to(&mut self, slot: Slot) {
        if self.rules.planted.has(Bug::AckPastHole) {
            self.next = self.next.max(slot);
        }
    }

    /// The canonical bytes: equal states, equal bytes.
    pub fn encode(&self) -> Bytes {
        let mut w = Writer::new();
        w.uuid(self.identity.uuid);
        w.text(self.identity.database.as_str());
        w.text(&self.identity.home);
        w.zigzag(self.identity.created);
        w.flag(self.alive);
        w.varint(self.next);
        w.u128(self.log_hash);
        w.zigzag(self.time);
        w.varint(self.boundary);
        w.varint(self.header_bytes);
        // Families as records: a later version may add one behind without touching these.
        w.record(|w| self.tables.encode(w));
        w.record(|w| self.producers.encode(w));
        w.record(|w| self.names.encode(w));
        // Families that came later: a tag and a record each, tags ascending, only those that have something to say.
        if !self.groups.is_untouched() {
            w.u8(GROUPS);
            w.record(|w| self.groups.encode(w));
        }
        if self.is_amended() {
            w.u8(AMENDMENTS);
            w.record(|w| amendments::encode(&self.tables, w));
        }
        w.into_bytes().into()
    }

    fn is_amended(&self) -> bool {
        amendments::any(&self.tables)
    }

    /// The feature bits that a reader of its bytes must know.
    pub fn features(&self) -> u64 {
        let amendments = if self.is_amended() { FEATURE_AMENDMENTS } else { 0 };
        let groups = if self.groups.is_untouched() { 0 } else { FEATURE_GROUPS };
        let refusals = self.names.iter().fold(0, |bits, (_, _, fate)| bits | fate.features());
        amendments | groups | refusals | self.producers.features()
    }

    /// Reads canonical bytes, which begin at byte `at` of `object`.
    pub fn decode(object: &str, at: u64, bytes: &[u8], rules: FoldRules) -> Result<Self> {
        let mut r = Reader::new(object, at, bytes);
        let identity = LogIdentity {
            uuid: r.uuid()?,
            database: entry::name(&mut r)?,
            home: r.text()?,
            created: r.zigzag()?,
        };
        let (alive, next, log_hash, time) = (r.flag()?, r.counter()?, r.u128()?, r.zigzag()?);
        let here = r.clone();
        let (boundary, header_bytes) = (r.varint()?, r.counter()?);
        if boundary > next {
            return Err(here.corrupt(&format!("a checkpoint at most at slot {next}"), boundary));
        }
        let (mut tables, producers, names) = {
            let (mut tables, mut producers, mut names) = (r.record()?, r.record()?, r.record()?);
            let decoded = (
                Tables::decode(&mut tables)?,
                Producers::decode(&mut producers)?,
                Names::decode(&mut names, next)?,
            );
            tables.finish()?;
            producers.finish()?;
            names.finish()?;
            decoded
        };
        let mut last_tag = None;
        let mut groups = Groups::default();
        while r.remaining() > 0 {
            let (here, tag) = r.tag()?;
            if Some(tag) <= last_tag {
                return Err(here.corrupt("families in order, each once", tag));
            }
            last_tag = Some(tag);
            match tag {
                GROUPS => {
                    let mut record = r.record()?;
                    groups = Groups::decode(&mut record, &tables)?;
                    record.finish()?;
                }
                AMENDMENTS => {
                    let mut record = r.record()?;
                    amendments::decode(&mut tables, &mut record)?;
                    record.finish()?;
                }
                other => return Err(here.unknown("a family of the state", other)),
            }
        }
        r.finish()?;
        Ok(Self {
            identity,
            alive,
            next,
            log_hash,
            time,
            boundary,
            header_bytes,
            tables,
            producers,
            names,
            groups,
            rules,
        })
    }
}

//! The reference fold: the rules 1 to 4 written a second time, from the text, without a look at the code under test.
//!
//! It judges names, producers, `expected_offset`, tables, groups and offsets. What it does not judge (roll-ups, limits of specs, what
//! may follow a spec, databases, entries that contradict their header) it takes over.

use std::collections::BTreeMap;

use frazil_log::format::commit::{Commit, Proposal};
use frazil_log::format::entry::Entry;
use frazil_log::format::positions::{ExpectedPosition, StoredPosition};
use frazil_log::format::slice::SliceHome;
use frazil_log::id::ProposalName;
use frazil_log::protocol::FoldRules;
use frazil_log::state::Applied;
use frazil_log::state::verdict::{Fate, Refusal, Verdict};

use crate::history::violation::{Kind, Violation};

/// An answer, as coarse as a client cares.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Said {
    /// `(table, bucket, start, end)`, in order.
    Taken(Vec<(u64, u32, u64, u64)>),
    Refused,
    /// Refused, but only this copy: the same request may come again, and its sequence is not used up.
    NotAsKnown,
    Expired,
    Gap(u64),
    Forgotten,
}

#[derive(Debug)]
struct Producer {
    epoch: u64,
    next: u64,
    seen: i64,
    verdicts: BTreeMap<u64, (u128, Said)>,
}

#[derive(Debug, Default)]
struct Table {
    name: String,
    buckets: u32,
    /// When.
    dropped: Option<i64>,
    /// How often.
    altered: u64,
    tails: BTreeMap<u32, u64>,
    /// The first offset that is kept of a bucket.
    kept: BTreeMap<u32, u64>,
}

/// The rules once more.
#[derive(Debug)]
pub(crate) struct Reference {
    window: u64,
    idle_us: i64,
    verdicts_max: usize,
    time: i64,
    names: BTreeMap<ProposalName, (u64, Said)>,
    producers: BTreeMap<String, Producer>,
    tables: BTreeMap<u64, Table>,
    tables_made: u64,
    dropped_kept_us: i64,
    groups: BTreeMap<String, Group>,
    generations: u64,
}

/// What a group stores, by table and bucket.
#[derive(Clone, Debug, Default)]
struct Group {
    generation: u64,
    offsets: BTreeMap<(u64, u32), u64>,
}

impl Table {
    fn lives(&self) -> bool {
        self.dropped.is_none()
    }

    /// What becomes of a live table; false: refused.
    fn become_by(&mut self, entry: &Entry, time: i64) -> bool {
        match entry {
            Entry::TableDropped { .. } => {
                self.dropped = Some(time);
                true
            }
            Entry::TableAltered { version, .. } => {
                let fits = self.altered == *version;
                self.altered += u64::from(fits);
                fits
            }
            Entry::RowsExpired { bucket, from, to, .. } => {
                let kept = self.kept.entry(bucket.0).or_default();
                let next = self.tails.get(&bucket.0).copied().unwrap_or(0);
                let fits = kept == from && from < to && *to <= next;
                if fits {
                    *kept = *to;
                }
                fits
            }
            _ => false,
        }
    }
}

impl Reference {
    /// Before slot 0.
    pub(crate) fn new(rules: &FoldRules) -> Self {
        Self {
            window: rules.window_slots,
            idle_us: i64::try_from(rules.producer_idle_max.as_micros()).unwrap_or(i64::MAX),
            verdicts_max: rules.producer_verdicts_max,
            time: i64::MIN,
            names: BTreeMap::new(),
            producers: BTreeMap::new(),
            tables: BTreeMap::new(),
            tables_made: 0,
            dropped_kept_us: i64::try_from(rules.dropped_kept.as_micros()).unwrap_or(i64::MAX),
            groups: BTreeMap::new(),
            generations: 0,
        }
    }

    /// Folds one slot and compares.
    pub(crate) fn fold(&mut self, commit: &Commit, applied: &Applied) -> Result<(), Violation> {
        let slot = commit.header.slot;
        self.time = self.time.max(commit.header.time);
        self.names.retain(|_, (base, _)| *base + self.window >= slot);
        let (time, idle) = (self.time, self.idle_us);
        self.producers.retain(|_, producer| producer.seen.saturating_add(idle) >= time);
        let kept = self.dropped_kept_us;
        self.tables
            .retain(|_, table| table.dropped.is_none_or(|dropped| dropped >= time.saturating_sub(kept)));
        for (proposal, (name, fate)) in commit.header.proposals.iter().zip(&applied.fates) {
            let judged = self.judge(commit, proposal);
            let code = said(fate);
            let own = judged.unwrap_or_else(|| code.clone());
            if own != code || *name != proposal.name {
                let words =
                    format!("slot {slot}, proposal {name}: the fold says {fate:?}, the reference {own:?}");
                return Err(Violation::new(Kind::ReferenceDiffers, words));
            }
        }
        Ok(())
    }

    /// `None`: not judged here.
    fn judge(&mut self, commit: &Commit, proposal: &Proposal) -> Option<Said> {
        let slot = commit.header.slot;
        if let Some((_, said)) = self.names.get(&proposal.name) {
            return Some(said.clone());
        }
        if proposal.base + self.window < slot {
            return Some(Said::Expired);
        }
        let said = match &proposal.producer {
            None => self.act(commit, proposal)?,
            Some(stamp) => {
                let known = self.producers.get(&stamp.id);
                let (epoch, next) = known.map_or((stamp.epoch, 0), |known| (known.epoch, known.next));
                if stamp.epoch < epoch || known.is_none() && stamp.seq > 0 {
                    Said::Refused
                } else if stamp.epoch == epoch && stamp.seq < next {
                    match known.and_then(|known| known.verdicts.get(&stamp.seq)) {
                        None => Said::Forgotten,
                        Some((hash, _)) if *hash != proposal.request_hash => Said::Refused,
                        Some((_, said)) => said.clone(),
                    }
                } else if stamp.seq > if stamp.epoch > epoch { 0 } else { next } {
                    return Some(Said::Gap(if stamp.epoch > epoch { 0 } else { next }));
                } else {
                    let said = self.act(commit, proposal)?;
                    if !matches!(said, Said::Expired | Said::NotAsKnown) {
                        self.remember(stamp, proposal.request_hash, &said);
                    }
                    said
                }
            }
        };
        self.names.insert(proposal.name, (proposal.base, said.clone()));
        Some(said)
    }

    fn remember(&mut self, stamp: &frazil_log::format::commit::ProducerStamp, hash: u128, said: &Said) {
        let fresh = || Producer { epoch: stamp.epoch, next: 0, seen: 0, verdicts: BTreeMap::new() };
        let producer = self.producers.entry(stamp.id.clone()).or_insert_with(fresh);
        if stamp.epoch > producer.epoch {
            *producer = fresh();
        }
        producer.next = stamp.seq + 1;
        producer.seen = self.time;
        producer.verdicts.insert(stamp.seq, (hash, said.clone()));
        while producer.verdicts.len() > self.verdicts_max {
            producer.verdicts.pop_first();
        }
    }

    /// Takes a proposal whole or not at all.
    fn act(&mut self, commit: &Commit, proposal: &Proposal) -> Option<Said> {
        let mut tails: BTreeMap<(u64, u32), u64> = BTreeMap::new();
        let mut appended: Vec<(u64, u32, u64, u64)> = Vec::new();
        let mut groups: BTreeMap<String, Option<Group>> = BTreeMap::new();
        for entry in &proposal.entries {
            match entry {
                Entry::Appended { slice, rows, expected_offset, .. } => {
                    let slice = commit.header.slices.get(*slice as usize)?;
                    if let SliceHome::Segment(index) = slice.home
                        && commit.header.segments.get(index as usize)?.id.base + self.window
                            < commit.header.slot
                    {
                        return Some(Said::Expired);
                    }
                    let (id, bucket) = (slice.table.0, slice.bucket.0);
                    let Some(table) =
                        self.tables.get(&id).filter(|table| table.lives() && bucket < table.buckets)
                    else {
                        return Some(Said::Refused);
                    };
                    let tail =
                        tails.entry((id, bucket)).or_insert(table.tails.get(&bucket).copied().unwrap_or(0));
                    if expected_offset.is_some_and(|expected| expected != *tail) {
                        return Some(Said::Refused);
                    }
                    let start = *tail;
                    *tail += u64::from(*rows);
                    match appended.iter_mut().find(|run| (run.0, run.1, run.3) == (id, bucket, start)) {
                        Some(run) => run.3 = *tail,
                        None => appended.push((id, bucket, start, *tail)),
                    }
                }
                Entry::TableCreated { .. }
                | Entry::TableDropped { .. }
                | Entry::TableRestored { .. }
                | Entry::TableAltered { .. }
                | Entry::RowsExpired { .. } => {
                    if !self.act_on_table(entry) {
                        return Some(Said::Refused);
                    }
                }
                Entry::PositionsStored { .. } | Entry::GroupDeleted { .. } => {
                    if let Some(refused) = self.act_on_group(entry, &tails, &mut groups) {
                        return Some(refused);
                    }
                }
                Entry::LogCreated { .. }
                | Entry::DatabaseCreated
                | Entry::DatabaseDropped
                | Entry::RolledUp { .. } => return None,
            }
        }
        for ((id, bucket), tail) in tails {
            self.tables.get_mut(&id)?.tails.insert(bucket, tail);
        }
        self.take_groups(groups);
        Some(Said::Taken(appended))
    }

    /// What becomes of a table by an entry, which is all that its proposal does; false: refused.
    fn act_on_table(&mut self, entry: &Entry) -> bool {
        let time = self.time;
        let taken = |tables: &BTreeMap<u64, Table>, name: &str| {
            tables.values().any(|known| known.lives() && known.name == name)
        };
        match entry {
            Entry::TableCreated { table, name, spec, .. } => {
                let fits = !taken(&self.tables, name.as_str()) && table.0 == self.tables_made + 1;
                if fits {
                    let made = Table { name: name.to_string(), buckets: spec.buckets, ..Table::default() };
                    self.tables_made += 1;
                    self.tables.insert(self.tables_made, made);
                }
                fits
            }
            Entry::TableRestored { table, dropped } => {
                let known = self.tables.get(&table.0).filter(|known| known.dropped == Some(*dropped));
                let fits = known.is_some_and(|known| !taken(&self.tables, &known.name));
                if fits && let Some(known) = self.tables.get_mut(&table.0) {
                    known.dropped = None;
                }
                fits
            }
            Entry::TableDropped { table, .. }
            | Entry::TableAltered { table, .. }
            | Entry::RowsExpired { table, .. } => {
                let known = self.tables.get_mut(&table.0).filter(|known| known.lives());
                known.is_some_and(|known| known.become_by(entry, time))
            }
            _ => false,
        }
    }

    /// What becomes of a group by an entry; an answer: it is not taken.
    fn act_on_group(
        &self,
        entry: &Entry,
        tails: &BTreeMap<(u64, u32), u64>,
        groups: &mut BTreeMap<String, Option<Group>>,
    ) -> Option<Said> {
        let known = |group: &str| self.groups.get(group);
        match entry {
            Entry::PositionsStored { group, generation, positions } => {
                let known = known(group.as_str());
                if known.map_or(0, |known| known.generation) != *generation {
                    return Some(Said::NotAsKnown);
                }
                let mut new = known.cloned().unwrap_or_default();
                let fits = positions.iter().all(|position| self.stands(&mut new, position, tails));
                groups.insert(group.to_string(), Some(new));
                (!fits).then_some(Said::Refused)
            }
            Entry::GroupDeleted { group, generation } => {
                let fits = known(group.as_str()).is_some_and(|known| known.generation == *generation);
                groups.insert(group.to_string(), None);
                (!fits).then_some(Said::NotAsKnown)
            }
            _ => None,
        }
    }

    fn take_groups(&mut self, groups: BTreeMap<String, Option<Group>>) {
        for (name, group) in groups {
            match group {
                None => drop(self.groups.remove(&name)),
                Some(mut group) => {
                    if group.generation == 0 {
                        self.generations += 1;
                        group.generation = self.generations;
                    }
                    self.groups.insert(name, group);
                }
            }
        }
    }

    /// Stores a position in a group if it may stand there.
    fn stands(
        &self,
        group: &mut Group,
        position: &StoredPosition,
        tails: &BTreeMap<(u64, u32), u64>,
    ) -> bool {
        let id = position.table.0;
        let Some(table) = self.tables.get(&id).filter(|table| table.lives()) else { return false };
        let expected = match &position.expected {
            ExpectedPosition::Any => true,
            ExpectedPosition::Nothing => group.offsets.keys().all(|(table, _)| *table != id),
            ExpectedPosition::Exactly(expected) => {
                expected.iter().all(|(bucket, at)| group.offsets.get(&(id, bucket.0)).copied() == *at)
            }
        };
        let reached = position.offsets.iter().all(|(bucket, offset)| {
            let tail = tails.get(&(id, bucket.0)).or_else(|| table.tails.get(&bucket.0));
            bucket.0 < table.buckets && *offset <= tail.copied().unwrap_or(0)
        });
        group.offsets.extend(position.offsets.iter().map(|(bucket, offset)| ((id, bucket.0), *offset)));
        expected && reached
    }
}

fn said(fate: &Fate) -> Said {
    match fate {
        Fate::Decided { verdict: Verdict::Accepted(acceptance), .. } => {
            let runs = acceptance.appended.iter().map(|it| (it.table.0, it.bucket.0, it.start, it.end));
            Said::Taken(runs.collect())
        }
        Fate::Decided { verdict: Verdict::Refused(Refusal::Expired), .. } => Said::Expired,
        Fate::Decided { verdict: Verdict::Refused(Refusal::GroupGeneration { .. }), .. } => Said::NotAsKnown,
        Fate::Decided { verdict: Verdict::Refused(_), .. } => Said::Refused,
        Fate::Forgotten => Said::Forgotten,
        Fate::Gap { expected } => Said::Gap(*expected),
    }
}

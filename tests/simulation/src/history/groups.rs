//! Groups as the log tells them, kept a second time: a stored position is compared before it is stored, a group that was deleted takes
//! no write of its former life, and rows and positions of a request are taken together.

use std::collections::{BTreeMap, BTreeSet};

use frazil_log::format::commit::Commit;
use frazil_log::format::entry::Entry;
use frazil_log::format::positions::{ExpectedPosition, StoredPosition};
use frazil_log::id::{Bucket, Name, Offset, TableId};
use frazil_log::state::verdict::{Fate, Verdict};
use frazil_log::state::{Applied, State};

use crate::history::violation::{Kind, Violation};

type Offsets = BTreeMap<(TableId, Bucket), Offset>;

/// What every group stores, by the entries that were taken.
#[derive(Debug, Default)]
pub(crate) struct Groups {
    generations: u64,
    by_name: BTreeMap<Name, (u64, Offsets)>,
}

impl Groups {
    /// Follows one slot: each entry that was taken must have been allowed, and the state must be what comes of them.
    pub(crate) fn fold(
        &mut self,
        commit: &Commit,
        applied: &Applied,
        state: &State,
    ) -> Result<u64, Violation> {
        let (mut stored, mut names) = (0, BTreeSet::new());
        for (proposal, (name, fate)) in commit.header.proposals.iter().zip(&applied.fates) {
            let now = matches!(fate, Fate::Decided { verdict: Verdict::Accepted(taken), duplicate: false }
                if taken.slot == applied.slot);
            // A second copy in the slot has the first one's fate, unless that was a gap.
            if !now || !names.insert(*name) {
                continue;
            }
            for entry in &proposal.entries {
                match entry {
                    Entry::PositionsStored { group, generation, positions } => {
                        self.check(applied.slot, group, *generation)?;
                        self.store(applied.slot, group, positions)?;
                        stored += 1;
                    }
                    Entry::GroupDeleted { group, generation } => {
                        self.check(applied.slot, group, *generation)?;
                        self.by_name.remove(group);
                        stored += 1;
                    }
                    _ => {}
                }
            }
        }
        self.compare(applied.slot, state)?;
        Ok(stored)
    }

    fn check(&self, slot: u64, group: &Name, generation: u64) -> Result<(), Violation> {
        let actual = self.by_name.get(group).map_or(0, |(generation, _)| *generation);
        if actual == generation {
            return Ok(());
        }
        let words = format!(
            "slot {slot}: group {group} of generation {actual} took a write for generation {generation}"
        );
        Err(Violation::new(Kind::ForeignGeneration, words))
    }

    fn store(&mut self, slot: u64, group: &Name, positions: &[StoredPosition]) -> Result<(), Violation> {
        if !self.by_name.contains_key(group) {
            self.generations += 1;
            self.by_name.insert(group.clone(), (self.generations, Offsets::new()));
        }
        let Some((_, stored)) = self.by_name.get_mut(group) else { return Ok(()) };
        for StoredPosition { table, offsets, expected } in positions {
            let holds = match expected {
                ExpectedPosition::Any => true,
                ExpectedPosition::Nothing => stored.keys().all(|(known, _)| known != table),
                ExpectedPosition::Exactly(expected) => {
                    expected.iter().all(|(bucket, offset)| stored.get(&(*table, *bucket)).copied() == *offset)
                }
            };
            if !holds {
                let words = format!(
                    "slot {slot}: group {group} was stored where {expected:?} was expected, over {stored:?}"
                );
                return Err(Violation::new(Kind::LostUpdate, words));
            }
            stored.extend(offsets.iter().map(|(bucket, offset)| ((*table, *bucket), *offset)));
        }
        Ok(())
    }

    /// The state may have forgotten what is of forgotten tables.
    fn compare(&self, slot: u64, state: &State) -> Result<(), Violation> {
        let known = |table: TableId| state.tables().any(table).is_some();
        let own = self.by_name.iter().map(|(name, (generation, offsets))| {
            let kept = offsets.iter().filter(|((table, _), _)| known(*table));
            (name.clone(), (*generation, kept.map(|(at, offset)| (*at, *offset)).collect::<Offsets>()))
        });
        let theirs = state.groups().iter().map(|(name, group)| {
            let all = group.positions.iter().flat_map(|(table, offsets)| {
                offsets.iter().map(|(bucket, offset)| ((*table, *bucket), *offset))
            });
            (name.clone(), (group.generation, all.collect::<Offsets>()))
        });
        let (own, theirs): (Vec<_>, Vec<_>) = (own.collect(), theirs.collect());
        if own == theirs {
            return Ok(());
        }
        let words =
            format!("after slot {slot} the fold has the groups {theirs:?}, the entries taken make {own:?}");
        Err(Violation::new(Kind::ReferenceDiffers, words))
    }
}

//! Judging what is stored of groups: the generation first, then that the positions make sense, then what was expected.

use std::collections::{BTreeMap, BTreeSet};

use super::{Effect, Overlay};
use crate::format::page::StreamKey;
use crate::format::positions::{ExpectedPosition, StoredPosition};
use crate::id::{Bucket, Name, Offset, Stream};
use crate::planted::Bug;
use crate::state::groups::{Group, Groups};
use crate::state::verdict::{GroupLimit, Refusal};

/// More buckets than this are not told of a position that was expected elsewhere.
const ACTUAL_BUCKETS_MAX: usize = 64;

/// What a half-checked proposal has done to groups.
#[derive(Default)]
pub(super) struct GroupsSeen<'a> {
    names: BTreeSet<&'a Name>,
    /// The database was dropped, and all groups with it.
    cleared: bool,
    /// Groups, and offsets of all of them, by now.
    held: (usize, usize),
}

impl GroupsSeen<'_> {
    pub(super) fn new(groups: &Groups) -> Self {
        Self { held: (groups.len(), groups.offsets()), ..Self::default() }
    }

    pub(super) fn clear(&mut self) {
        self.cleared = true;
        self.held = (0, 0);
    }
}

impl<'s, 'a> Overlay<'s, 'a> {
    pub(super) fn judge_positions(
        &mut self,
        name: &'a Name,
        generation: u64,
        positions: &'a [StoredPosition],
    ) -> Result<Effect<'a>, Refusal> {
        let group = self.judge_generation(name, generation)?;
        let mut tables = BTreeSet::new();
        for position in positions {
            if !tables.insert(position.table) {
                return Err(Refusal::Invalid { check: 31 });
            }
            self.judge_position(name, group, position)?;
        }
        self.judge_room(group, positions)?;
        Ok(Effect::StorePositions { group: name, positions })
    }

    pub(super) fn judge_group_deleted(
        &mut self,
        name: &'a Name,
        generation: u64,
    ) -> Result<Effect<'a>, Refusal> {
        let Some(group) = self.judge_generation(name, generation)? else {
            return Err(Refusal::GroupGeneration { group: name.clone(), actual: 0 });
        };
        self.groups.held.0 -= 1;
        self.groups.held.1 -= group.offsets();
        Ok(Effect::DeleteGroup(name))
    }

    /// Rule 7: a late write of a group's former life finds another generation.
    fn judge_generation(&mut self, name: &'a Name, generation: u64) -> Result<Option<&'s Group>, Refusal> {
        if !self.groups.names.insert(name) {
            return Err(Refusal::Invalid { check: 30 });
        }
        let group = self.state.groups.get(name).filter(|_| !self.groups.cleared);
        let actual = group.map_or(0, |group| group.generation);
        if actual != generation && !self.state.rules.planted.has(Bug::GenerationOff) {
            return Err(Refusal::GroupGeneration { group: name.clone(), actual });
        }
        Ok(group)
    }

    fn judge_position(
        &self,
        name: &Name,
        group: Option<&Group>,
        position: &StoredPosition,
    ) -> Result<(), Refusal> {
        let table = position.table;
        let spec = self.spec(table).ok_or(Refusal::NoSuchTable { table })?;
        if position.offsets.is_empty() {
            return Err(Refusal::Invalid { check: 32 });
        }
        let expected = match &position.expected {
            ExpectedPosition::Exactly(offsets) => offsets.keys().next_back(),
            ExpectedPosition::Any | ExpectedPosition::Nothing => None,
        };
        for bucket in position.offsets.keys().next_back().into_iter().chain(expected) {
            if bucket.0 >= spec.buckets {
                return Err(Refusal::NoSuchBucket { table, bucket: *bucket });
            }
        }
        if !self.state.rules.planted.has(Bug::ExpectedPositionOff)
            && let Some(actual) = elsewhere(group, position)
        {
            return Err(Refusal::ExpectedPosition { group: name.clone(), table, actual });
        }
        for (bucket, offset) in &position.offsets {
            let latest = self.next(&StreamKey { table, bucket: *bucket, stream: Stream::Rows });
            if *offset > latest {
                return Err(Refusal::PositionBeyondTail { table, bucket: *bucket, offset: *offset, latest });
            }
        }
        Ok(())
    }

    fn judge_room(&mut self, group: Option<&Group>, positions: &[StoredPosition]) -> Result<(), Refusal> {
        let limits = &self.state.rules.groups;
        let full = |limit, max: usize| Err(Refusal::GroupsFull { limit, max: max as u64 });
        let (tables, more) = Group::growth(group, positions);
        self.groups.held.0 += usize::from(group.is_none());
        self.groups.held.1 += more;
        if group.is_none() && self.groups.held.0 > limits.groups_max {
            return full(GroupLimit::Groups, limits.groups_max);
        }
        if tables > 0 && group.map_or(0, |group| group.positions.len()) + tables > limits.tables_max {
            return full(GroupLimit::Tables, limits.tables_max);
        }
        if more > 0 && self.groups.held.1 > limits.offsets_max {
            return full(GroupLimit::Offsets, limits.offsets_max);
        }
        Ok(())
    }
}

/// What is stored, where it is not what was expected.
fn elsewhere(group: Option<&Group>, position: &StoredPosition) -> Option<BTreeMap<Bucket, Option<Offset>>> {
    let stored = group.and_then(|group| group.positions.get(&position.table));
    match &position.expected {
        ExpectedPosition::Any => None,
        ExpectedPosition::Nothing => {
            let stored = stored.into_iter().flatten().map(|(bucket, offset)| (*bucket, Some(*offset)));
            let actual: BTreeMap<_, _> = stored.take(ACTUAL_BUCKETS_MAX).collect();
            (!actual.is_empty()).then_some(actual)
        }
        ExpectedPosition::Exactly(expected) => {
            let at = |bucket: &Bucket| stored.and_then(|stored| stored.get(bucket)).copied();
            let differs = expected.iter().any(|(bucket, offset)| at(bucket) != *offset);
            let actual = expected.keys().take(ACTUAL_BUCKETS_MAX).map(|bucket| (*bucket, at(bucket)));
            differs.then(|| actual.collect())
        }
    }
}

//! What of the log's prefix may go (rule 11), and which checkpoints stay.

use std::collections::BTreeSet;
use std::time::Duration;

use crate::format::page::StreamKey;
use crate::id::{Slot, TimeMicros};
use crate::state::State;

/// A checkpoint as a LIST shows it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CheckpointSeen {
    /// It covers the slots below this.
    pub slot: Slot,
    /// When it was written, by the store's clock.
    pub written: TimeMicros,
}

/// In how many parts the time before a checkpoint may justify a trim is cut; one checkpoint a part is kept on the way.
const LADDER_RUNGS: u32 = 24;

fn age(seen: &CheckpointSeen, now: TimeMicros) -> Duration {
    Duration::from_micros(u64::try_from(now.saturating_sub(seen.written)).unwrap_or(0))
}

/// The slot below which everything is covered by a checkpoint that is old enough, and not between the two newest.
///
/// `checkpoints` newest first, `now` by the store's clock.
pub fn trim_point(
    checkpoints: &[CheckpointSeen],
    now: TimeMicros,
    age_min: Duration,
) -> Option<CheckpointSeen> {
    let second_newest = checkpoints.get(1)?;
    checkpoints.iter().find(|seen| age(seen, now) >= age_min && seen.slot <= second_newest.slot).copied()
}

/// Whose rows still lie only in slots below a checkpoint whose state is `then`; nothing may go before they are rolled up.
///
/// Rows of a dropped table are let go once the log has forgotten the table: as long as it is known it may be restored.
pub fn holders(current: &State, then: &State) -> Vec<StreamKey> {
    let mut holders = Vec::new();
    for table in then.tables().all() {
        if current.tables().known(table.id).is_none() {
            continue;
        }
        for ((bucket, stream), tail) in &table.buckets {
            let key = StreamKey { table: table.id, bucket: *bucket, stream: *stream };
            if current.tables().tail(&key).settled() < tail.next {
                holders.push(key);
            }
        }
    }
    holders
}

/// The checkpoints that may be deleted: all but the two newest, the one that a trim relies on and those after it at the pace of
/// a ladder, so that there is always one that will soon be old enough.
pub fn checkpoints_to_delete(
    checkpoints: &[CheckpointSeen],
    now: TimeMicros,
    age_min: Duration,
) -> Vec<Slot> {
    let rung = (age_min / LADDER_RUNGS).max(Duration::from_micros(1)).as_micros();
    let base = trim_point(checkpoints, now, age_min);
    let mut rungs = BTreeSet::new();
    let oldest_first = checkpoints.iter().enumerate().rev();
    let doomed = oldest_first.filter_map(|(index, seen)| {
        let below_base = base.is_some_and(|base| seen.slot < base.slot);
        let first_of_rung = !below_base && rungs.insert(u128::from(seen.written.unsigned_abs()) / rung);
        let is_base = base == Some(*seen);
        (index >= 2 && !is_base && !first_of_rung).then_some(seen.slot)
    });
    doomed.collect()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const DAY: Duration = Duration::from_secs(86_400);
    const HOUR: i64 = 3_600_000_000;

    fn seen(slots_and_hours: &[(Slot, i64)]) -> Vec<CheckpointSeen> {
        slots_and_hours
            .iter()
            .map(|(slot, hour)| CheckpointSeen { slot: *slot, written: hour * HOUR })
            .collect()
    }

    #[test]
    fn only_a_checkpoint_of_a_day_trims_and_the_two_newest_never_do() {
        let list = seen(&[(3_000, 50), (2_000, 30), (1_000, 10)]);
        assert_eq!(trim_point(&list, 33 * HOUR, DAY), None);
        assert_eq!(trim_point(&list, 34 * HOUR, DAY).map(|seen| seen.slot), Some(1_000));
        assert_eq!(trim_point(&list, 54 * HOUR, DAY).map(|seen| seen.slot), Some(2_000));
        assert_eq!(trim_point(&list, 999 * HOUR, DAY).map(|seen| seen.slot), Some(2_000));
        assert_eq!(trim_point(&list[..1], 999 * HOUR, DAY), None);
    }

    proptest! {
        #[test]
        fn a_trim_point_is_kept_and_one_comes_within_a_rung_of_age(gaps in prop::collection::vec(1i64..600, 3..200)) {
            let mut minutes = 0;
            let list: Vec<_> = gaps.iter().enumerate().map(|(index, gap)| {
                minutes += gap;
                CheckpointSeen { slot: (index as u64 + 1) * 1_000, written: minutes * HOUR / 60 }
            }).collect();
            let list: Vec<_> = list.into_iter().rev().collect();
            let now = list[0].written;
            let doomed = checkpoints_to_delete(&list, now, DAY);
            let kept: Vec<_> = list.iter().copied().filter(|seen| !doomed.contains(&seen.slot)).collect();
            prop_assert!(kept.contains(&list[0]) && kept.contains(&list[1]));
            prop_assert_eq!(trim_point(&list, now, DAY), trim_point(&kept, now, DAY));
            // Deleting again deletes nothing: the ladder is stable.
            prop_assert!(checkpoints_to_delete(&kept, now, DAY).is_empty());
            let days = (list[0].written - list[list.len() - 1].written) / (24 * HOUR) + 1;
            prop_assert!(kept.len() as i64 <= 24 * days.min(2) + 5, "{} kept", kept.len());
        }
    }
}

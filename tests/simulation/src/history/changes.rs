//! What tables become, as the log tells it, kept a second time: nobody alters what is something else by then, and rows that were not
//! kept any more are not kept again.

use std::collections::BTreeMap;

use frazil_log::format::commit::Commit;
use frazil_log::format::entry::Entry;
use frazil_log::format::page::StreamKey;
use frazil_log::id::{Offset, TableId};
use frazil_log::state::verdict::{Fate, Verdict};
use frazil_log::state::{Applied, State};

use crate::history::violation::{Kind, Violation};

/// What became of every table, by the entries that were taken.
#[derive(Debug, Default)]
pub(crate) struct Changes {
    versions: BTreeMap<TableId, u64>,
    earliest: BTreeMap<StreamKey, Offset>,
}

impl Changes {
    /// Follows one slot: each entry that was taken must have been allowed, and the state must be what comes of them.
    pub(crate) fn fold(
        &mut self,
        commit: &Commit,
        applied: &Applied,
        state: &State,
        seen: &mut BTreeMap<&'static str, u64>,
    ) -> Result<(), Violation> {
        let slot = applied.slot;
        let mut count = |what| *seen.entry(what).or_default() += 1;
        let mut names = std::collections::BTreeSet::new();
        for (proposal, (name, fate)) in commit.header.proposals.iter().zip(&applied.fates) {
            let now = matches!(fate, Fate::Decided { verdict: Verdict::Accepted(taken), duplicate: false }
                if taken.slot == slot);
            // A second copy in the slot has the first one's fate, unless that was a gap.
            if !now || !names.insert(*name) {
                continue;
            }
            for entry in &proposal.entries {
                match entry {
                    Entry::TableAltered { table, version, .. } => {
                        self.alter(slot, *table, *version)?;
                        count("tables altered");
                    }
                    Entry::TableRestored { .. } => count("tables restored"),
                    Entry::RowsExpired { table, bucket, stream, to, .. } => {
                        let key = StreamKey { table: *table, bucket: *bucket, stream: *stream };
                        self.expire(slot, key, *to)?;
                        count("expiries");
                    }
                    _ => {}
                }
            }
        }
        self.compare(slot, state)
    }

    fn alter(&mut self, slot: u64, table: TableId, version: u64) -> Result<(), Violation> {
        let actual = self.versions.entry(table).or_default();
        if *actual != version {
            let words = format!(
                "slot {slot}: {table} was altered {actual} times, and took what was made of version {version}"
            );
            return Err(Violation::new(Kind::LostUpdate, words));
        }
        *actual += 1;
        Ok(())
    }

    fn expire(&mut self, slot: u64, key: StreamKey, to: Offset) -> Result<(), Violation> {
        let earliest = self.earliest.entry(key).or_default();
        if to < *earliest {
            let words = format!("slot {slot}: {key:?} began at {earliest}, and begins at {to} again");
            return Err(Violation::new(Kind::WentBack, words));
        }
        *earliest = to;
        Ok(())
    }

    fn compare(&self, slot: u64, state: &State) -> Result<(), Violation> {
        for table in state.tables().all() {
            let version = self.versions.get(&table.id).copied().unwrap_or(0);
            let expired = table.buckets.iter().find(|((bucket, stream), tail)| {
                let key = StreamKey { table: table.id, bucket: *bucket, stream: *stream };
                self.earliest.get(&key).copied().unwrap_or(0) != tail.earliest
            });
            if table.version != version || expired.is_some() {
                let words = format!(
                    "after slot {slot} the fold has {} of version {} that begins at {expired:?}, the entries taken make version {version} and {:?}",
                    table.id, table.version, self.earliest
                );
                return Err(Violation::new(Kind::ReferenceDiffers, words));
            }
        }
        Ok(())
    }
}

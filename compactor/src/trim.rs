//! Trim: forgetting the log's prefix (rule 11). The order is the safety: the checkpoint is old, read back and decoded, then every row
//! below it is shown to lie in segments or to be kept no more, then the slots go.

use frazil_log::commit::open;
use frazil_log::error::{Error, ErrorKind, Result};
use frazil_log::format::checkpoint::PageRef;
use frazil_log::id::{Slot, TimeMicros};
use frazil_log::plan::trim::{CheckpointSeen, checkpoints_to_delete, holders, trim_point};
use frazil_log::planted::Bug;
use frazil_log::store::paths::{self, Key};
use frazil_log::store::{CreateOutcome, Listed, Path, PutPayload};

use crate::janitor::{Janitor, Report};

/// Checkpoints looked at a round; the ladder keeps about fifty.
pub(crate) const CHECKPOINTS_MAX: usize = 1_000;

/// Slots deleted between two looks at how far it has come.
const SLOTS_A_BATCH: usize = 1_000;

/// Trims what may go, given the checkpoints newest first.
pub(crate) async fn trim(
    janitor: &Janitor,
    checkpoints: &[(Slot, Listed)],
    report: &mut Report,
) -> Result<()> {
    let replica = &janitor.replica;
    let seen: Vec<CheckpointSeen> = checkpoints
        .iter()
        .map(|(slot, listed)| CheckpointSeen { slot: *slot, written: listed.last_modified })
        .collect();
    let age_min = replica.protocol().checkpoint_age_min;
    let by_slot_age = replica.protocol().fold.planted.has(Bug::SlotAgeForTrim);
    // By the own clock nothing is near its age: the store need not be asked for the time.
    let own = replica.env().now().wall.saturating_add(60_000_000);
    if trim_point(&seen, own, age_min).is_none() && !by_slot_age {
        return Ok(());
    }
    let now = store_time(janitor).await?;
    let point = if by_slot_age { seen.first().copied() } else { trim_point(&seen, now, age_min) };
    let Some(point) = point else { return Ok(()) };
    let rules = &replica.protocol().fold;
    let Some(then) = open::read_checkpoint(replica.store(), replica.database(), point.slot, rules).await?
    else {
        return Ok(());
    };
    let holders = holders(&replica.fold().state, &then.state);
    if !holders.is_empty() {
        tracing::debug!(database = %replica.database(), slot = point.slot, waiting = holders.len(), "trim waits for a roll-up");
        return Ok(());
    }
    delete_slots_below(janitor, point.slot, by_slot_age.then_some(now), report).await?;
    delete_derived(janitor, &seen, now, report).await
}

/// Planted bug T-x8: the slots go before the checkpoint that covers them is there.
pub(crate) async fn before_checkpoint(janitor: &Janitor, report: &mut Report) -> Result<()> {
    if janitor.replica.protocol().fold.planted.has(Bug::TrimBeforeCheckpoint) {
        let due = janitor.replica.fold().due.first().map(|due| due.slot);
        if let Some(slot) = due {
            delete_slots_below(janitor, slot, None, report).await?;
        }
    }
    Ok(())
}

/// The store's clock (rule 13), as an object just written shows it.
pub(crate) async fn store_time(janitor: &Janitor) -> Result<TimeMicros> {
    let store = janitor.replica.store();
    let path = paths::probe(janitor.replica.env().ulid());
    match store.create_if_absent(&path, PutPayload::from_static(b"time")).await {
        // The name is fresh: who has it is a copy of this very PUT.
        CreateOutcome::Committed | CreateOutcome::Lost => {}
        CreateOutcome::Unknown(error) | CreateOutcome::Denied(error) => return Err(error),
    }
    let written = store.get(&path).await?.map(|object| object.last_modified);
    store.delete_many(&[path]).await?;
    written.ok_or_else(|| Error::new(ErrorKind::Unavailable, "an object just written is not there"))
}

async fn delete_slots_below(
    janitor: &Janitor,
    point: Slot,
    older_than: Option<TimeMicros>,
    report: &mut Report,
) -> Result<()> {
    let replica = &janitor.replica;
    let age_min = i64::try_from(replica.protocol().checkpoint_age_min.as_micros()).unwrap_or(i64::MAX);
    let mut after: Option<Path> = None;
    loop {
        let listed = replica
            .store()
            .list(&paths::log_prefix(replica.database()), after.as_ref(), SLOTS_A_BATCH)
            .await?;
        let below = |listed: &&Listed| matches!(Key::parse(&listed.path), Some(Key::Log { slot, .. }) if slot < point);
        let old = |listed: &&Listed| {
            older_than.is_none_or(|now| now.saturating_sub(listed.last_modified) >= age_min)
        };
        let reached = listed.iter().any(|listed| !below(&listed));
        after = listed.last().map(|listed| listed.path.clone());
        let doomed: Vec<Path> =
            listed.iter().filter(below).filter(old).map(|listed| listed.path.clone()).collect();
        if !doomed.is_empty() {
            replica.store().delete_many(&doomed).await?;
            report.slots_trimmed += doomed.len() as u64;
            janitor.metrics.slots_trimmed_total.inc_by(doomed.len() as u64);
        }
        if reached || after.is_none() {
            return Ok(());
        }
    }
}

/// Checkpoints off the ladder, and pages that a longer one has replaced in every list that is kept.
async fn delete_derived(
    janitor: &Janitor,
    seen: &[CheckpointSeen],
    now: TimeMicros,
    report: &mut Report,
) -> Result<()> {
    let replica = &janitor.replica;
    let age_min = replica.protocol().checkpoint_age_min;
    let doomed = checkpoints_to_delete(seen, now, age_min);
    let kept_oldest = seen.iter().rev().find(|seen| !doomed.contains(&seen.slot));
    let mut paths: Vec<Path> =
        doomed.iter().map(|slot| paths::checkpoint(replica.database(), *slot)).collect();
    if let Some(oldest) = kept_oldest {
        paths.extend(replaced_pages(janitor, oldest.slot).await?);
    }
    if !paths.is_empty() {
        replica.store().delete_many(&paths).await?;
        report.derived_deleted += paths.len() as u64;
    }
    Ok(())
}

/// Lists only ever swap pages for longer ones: what the oldest kept list has replaced, no later one names.
async fn replaced_pages(janitor: &Janitor, oldest: Slot) -> Result<Vec<Path>> {
    let replica = &janitor.replica;
    let rules = &replica.protocol().fold;
    let Some(oldest) = open::read_checkpoint(replica.store(), replica.database(), oldest, rules).await?
    else {
        return Ok(Vec::new());
    };
    if oldest.pages.iter().all(|page| page.level == 0) {
        return Ok(Vec::new());
    }
    let stored = replica.store().list(&paths::index_prefix(replica.database()), None, 100_000).await?;
    let replaced = |listed: &Listed| {
        let Some(Key::Index { from, to, .. }) = Key::parse(&listed.path) else { return false };
        let longer =
            |page: &&PageRef| page.from <= from && to <= page.to && (page.from, page.to) != (from, to);
        oldest.pages.iter().find(longer).is_some()
    };
    Ok(stored.into_iter().filter(replaced).map(|listed| listed.path).collect())
}

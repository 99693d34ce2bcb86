//! The orphan sweep: segments that nothing refers to and nothing can refer to any more (rule 12), and probes left behind.

use std::collections::btree_map::Entry;
use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use frazil_log::error::Result;
use frazil_log::format::page::{PlaceMap, StreamKey};
use frazil_log::format::segment::ObjectId;
use frazil_log::id::{Offset, SegmentId};
use frazil_log::planted::Bug;
use frazil_log::store::paths::{self, Key};
use frazil_log::store::{Listed, Path};

use crate::janitor::{Janitor, Memory, Report};

/// Segments looked at at once.
const SEGMENTS_A_LOOK: usize = 10_000;

/// A probe object this old was left behind by a process that was killed.
const PROBE_AGE_MAX: Duration = Duration::from_secs(60 * 60);

/// Segments by the sequence whose rows lie there, and the end of the last of these.
pub(crate) type Referenced = BTreeMap<(StreamKey, SegmentId), Offset>;

/// Sweeps one log, and the root's probes.
pub(crate) async fn sweep(janitor: &Janitor, memory: &mut Memory, report: &mut Report) -> Result<()> {
    let replica = &janitor.replica;
    let prefix = paths::segment_prefix(replica.database());
    let mut after: Option<Path> = None;
    loop {
        let listed = replica.store().list(&prefix, after.as_ref(), SEGMENTS_A_LOOK).await?;
        after = listed.last().map(|object| object.path.clone());
        let ends = listed.len() < SEGMENTS_A_LOOK;
        // Only then what is referred to: a segment that is listed and past the window has had its last chance already.
        replica.confirm_tail().await?;
        sweep_listed(janitor, memory, listed, report).await?;
        if ends {
            return sweep_probes(janitor, report).await;
        }
    }
}

async fn sweep_listed(
    janitor: &Janitor,
    memory: &mut Memory,
    listed: Vec<Listed>,
    report: &mut Report,
) -> Result<()> {
    let mut doomed: Vec<(SegmentId, Path)> = Vec::new();
    for object in listed {
        if let Some(Key::Segment { id, .. }) = Key::parse(&object.path)
            && is_past_window(janitor, id, &object)
        {
            doomed.push((id, object.path));
        }
    }
    if doomed.is_empty() {
        return Ok(());
    }
    let referenced = referenced(janitor, memory).await?;
    doomed.retain(|(id, _)| !referenced.contains(id));
    let paths: Vec<Path> = doomed.into_iter().map(|(_, path)| path).collect();
    delete(janitor, &paths, report).await
}

/// Rule 12: no slot can take a proposal that names it any more.
fn is_past_window(janitor: &Janitor, id: SegmentId, object: &Listed) -> bool {
    let protocol = janitor.replica.protocol();
    if protocol.fold.planted.has(Bug::SweepByAge) {
        let age = janitor.replica.env().now().wall.saturating_sub(object.last_modified);
        return Duration::from_micros(u64::try_from(age).unwrap_or(0)) > protocol.checkpoint_age_min;
    }
    let fold = janitor.replica.fold();
    fold.state.is_expired(id.base, fold.state.next())
}

/// Every segment that a page or memory refers to; places that are shadowed by newer ones count too, those of tables that are
/// forgotten and of rows that are no longer kept do not.
async fn referenced(janitor: &Janitor, memory: &mut Memory) -> Result<BTreeSet<SegmentId>> {
    let replica = &janitor.replica;
    let (mut recent, pages) = {
        let fold = replica.fold();
        (fold.layers().map(segments).collect::<Vec<_>>(), fold.pages.clone())
    };
    memory.referenced.retain(|(from, to), _| pages.iter().any(|page| page.from == *from && page.to == *to));
    for page in &pages {
        if let Entry::Vacant(unknown) = memory.referenced.entry((page.from, page.to)) {
            let places = replica.read_page(page).await?;
            unknown.insert(segments(&places));
        }
    }
    recent.extend(memory.referenced.values().cloned());
    let fold = replica.fold();
    let tables = fold.state.tables();
    let is_kept =
        |key: &StreamKey, end: Offset| tables.known(key.table).is_some() && tables.tail(key).earliest < end;
    let kept = recent.iter().flatten().filter(|((key, _), end)| is_kept(key, **end));
    Ok(kept.map(|((_, id), _)| *id).collect())
}

/// The segments that places lie in, and the end of the last offsets there, by sequence.
fn segments(places: &PlaceMap) -> Referenced {
    let mut ends = Referenced::new();
    for (key, place) in places.iter().flat_map(|(key, places)| places.iter().map(move |place| (key, place))) {
        if let ObjectId::Segment(id) = place.object {
            let end = ends.entry((*key, id)).or_default();
            *end = place.offsets.end.max(*end);
        }
    }
    ends
}

async fn sweep_probes(janitor: &Janitor, report: &mut Report) -> Result<()> {
    let probes = janitor.replica.store().list(&paths::probe_prefix(), None, 1_000).await?;
    let now = janitor.replica.env().now().wall;
    let age_max = i64::try_from(PROBE_AGE_MAX.as_micros()).unwrap_or(i64::MAX);
    let old = probes.into_iter().filter(|probe| now.saturating_sub(probe.last_modified) > age_max);
    let paths: Vec<Path> = old.map(|probe| probe.path).collect();
    delete(janitor, &paths, report).await
}

async fn delete(janitor: &Janitor, paths: &[Path], report: &mut Report) -> Result<()> {
    if paths.is_empty() {
        return Ok(());
    }
    janitor.replica.store().delete_many(paths).await?;
    report.orphans_swept += paths.len() as u64;
    janitor.metrics.orphans_swept_total.inc_by(paths.len() as u64);
    Ok(())
}

//! Page merge: sixteen pages become one object; the next checkpoint lists it in their place.

use frazil_log::error::Result;
use frazil_log::format::checkpoint::PageRef;
use frazil_log::format::page::{decode_page, seal_page};
use frazil_log::plan::pages::{merge as merge_maps, merged_slots, next_merge};
use frazil_log::store::paths;

use crate::janitor::{Janitor, Report};

/// Merges what can be merged in the newest list. A merged page is found by the next checkpoint's writer, whoever that is.
pub(crate) async fn merge(janitor: &Janitor, report: &mut Report) -> Result<()> {
    let replica = &janitor.replica;
    let pages: Vec<PageRef> = replica.fold().pages.clone();
    let Some(run) = next_merge(&pages) else { return Ok(()) };
    let Some(slots) = merged_slots(run) else { return Ok(()) };
    let mut maps = Vec::with_capacity(run.len());
    let mut log_hash = 0;
    for page in run {
        let path = paths::index(replica.database(), page.from, page.to);
        // The hash at the end of the run is the last page's: a merged page is a function of its pages.
        match replica.store().get(&path).await? {
            Some(object) => {
                let (header, places) = decode_page(path.as_ref(), &object.bytes, &page.slots())?;
                log_hash = header.log_hash;
                maps.push(places);
            }
            None => return Ok(()), // another janitor merged and a checkpoint swapped meanwhile
        }
    }
    let merged = merge_maps(maps);
    let log_uuid = replica.fold().state.identity().uuid;
    let sealed = seal_page(log_uuid, slots.clone(), log_hash, &merged)?;
    replica.create(&paths::index(replica.database(), slots.start, slots.end), &sealed).await?;
    janitor.metrics.pages_merged_total.inc_by(run.len() as u64);
    report.pages_merged += run.len() as u64;
    Ok(())
}

//! The index: every row that can be read has a place, and every place an object that holds its slice.
//!
//! Layers are looked at newest first. A place that newer ones shadow wholly is never read again, and its object may be trimmed.

use std::collections::BTreeMap;

use frazil_log::format::checkpoint::PageRef;
use frazil_log::format::page::{Place, PlaceMap, StreamKey};
use frazil_log::format::segment::ObjectId;
use frazil_log::id::Offset;
use frazil_log::store::paths;

use super::Check;
use super::object::{self, Fault};
use super::offsets::Offsets;
use super::stored::digest;

/// Places whose object is looked at once more; of further ones only the number is told.
const DOUBTS_MAX: usize = 10_000;

/// What is known so far, newest layers first.
#[derive(Default)]
struct Seen {
    offsets: BTreeMap<StreamKey, Offsets>,
    /// Places that no object read so far agrees with, one for each slice.
    doubts: BTreeMap<u64, Place>,
    doubts_more: u64,
    /// Whether a page could not be read: then what has no place is no news.
    incomplete: bool,
}

impl Check<'_> {
    /// Follows every visible place to its object, and looks for offsets that have none.
    pub(super) async fn check_index(&mut self) -> anyhow::Result<()> {
        let Some(fold) = self.fold.take() else { return Ok(()) };
        let mut seen = Seen::default();
        for layer in fold.layers() {
            self.visit(layer, &mut seen, &fold.state);
        }
        let start = self.start;
        for page in fold.pages.iter().rev().filter(|page| page.to > start) {
            match self.read_page(page).await? {
                Some(layer) => self.visit(&layer, &mut seen, &fold.state),
                None => seen.incomplete = true,
            }
        }
        let listed: Vec<(u64, u64)> = fold.pages.iter().map(|page| (page.from, page.to)).collect();
        let unlisted = self.pages.keys().filter(|page| !listed.contains(page)).count();
        self.found.pages_unlisted = u64::try_from(unlisted).unwrap_or(u64::MAX);
        self.settle_doubts(&mut seen).await?;
        if self.start == 0 && !seen.incomplete {
            self.check_offsets(&seen, &fold.state);
        }
        self.fold = Some(fold);
        Ok(())
    }

    fn visit(&mut self, layer: &PlaceMap, seen: &mut Seen, state: &frazil_log::state::State) {
        for (key, places) in layer {
            // Rows of a dropped table may be trimmed at any time.
            if state.tables().live(key.table).is_none() {
                continue;
            }
            // What expired may be gone at any time.
            let kept = state.tables().tail(key).earliest..Offset::MAX;
            let offsets = seen.offsets.entry(*key).or_default();
            for place in places.iter().filter(|place| !is_below(&place.object, self.start)) {
                let Some(place) = place.cut(&kept) else { continue };
                if offsets.covers(&place.offsets) {
                    continue;
                }
                offsets.insert(place.offsets.clone());
                self.found.places += 1;
                if let ObjectId::Segment(id) = &place.object {
                    self.segments.remove(id);
                }
                let digest = digest(&place.object, place.body_start, &place.slice);
                if self.slices.contains(&digest) {
                    continue;
                }
                if seen.doubts.len() < DOUBTS_MAX {
                    seen.doubts.entry(digest).or_insert(place);
                } else {
                    seen.doubts_more += 1;
                }
            }
        }
    }

    async fn read_page(&mut self, page: &PageRef) -> anyhow::Result<Option<PlaceMap>> {
        let path = paths::index(&self.database, page.from, page.to);
        let Some(found) = self.store.get(&path).await? else {
            let expected = format!("the index page that the newest checkpoint lists, {} bytes", page.bytes);
            self.tell(Fault::new(path.as_ref(), None, expected, "nothing"));
            return Ok(None);
        };
        let checked = object::page(path.as_ref(), &found.bytes, &page.slots());
        if !self.at_fault.contains(path.as_ref()) {
            self.tell_all(checked.faults);
        }
        Ok(checked.content.map(|(_, places)| places))
    }

    /// Looks once more at the objects of places that nothing agreed with: they may be newer than the LIST.
    async fn settle_doubts(&mut self, seen: &mut Seen) -> anyhow::Result<()> {
        for (digest, place) in std::mem::take(&mut seen.doubts) {
            let path = match place.object {
                ObjectId::Commit { slot, .. } => paths::log(&self.database, slot),
                ObjectId::Segment(id) => paths::segment(&self.database, id),
            };
            if self.at_fault.contains(path.as_ref()) || self.slices.contains(&digest) {
                continue; // told already; or read meanwhile
            }
            let there = self.examine(&place.object).await?;
            if self.slices.contains(&digest) || self.at_fault.contains(path.as_ref()) {
                continue;
            }
            if !there && self.has_moved_on().await? {
                self.remark(format_args!(
                    "{path} was trimmed meanwhile: verify again to see its rows where they lie now"
                ));
                continue;
            }
            let body = place.slice.object_range(place.body_start);
            let found = if there { "an object with other rows" } else { "nothing" };
            let expected = format!("{}, as the index says", rows_text(&place));
            self.tell(Fault::new(path.as_ref(), there.then_some(body), expected, found));
        }
        if seen.doubts_more > 0 {
            let more = format!("{} more places without their object", seen.doubts_more);
            self.tell(Fault::new(
                self.database.clone().as_str(),
                None,
                "places that refer to what is there",
                more,
            ));
        }
        Ok(())
    }

    /// Whether the log was written on and perhaps trimmed since this began: a checkpoint came.
    async fn has_moved_on(&mut self) -> anyhow::Result<bool> {
        let before = self.checkpoints.len();
        self.look_for_new_checkpoints().await?;
        Ok(self.checkpoints.len() > before)
    }

    fn check_offsets(&mut self, seen: &Seen, state: &frazil_log::state::State) {
        for table in state.tables().by_name() {
            for ((bucket, stream), tail) in &table.buckets {
                let key = StreamKey { table: table.id, bucket: *bucket, stream: *stream };
                let known = seen.offsets.get(&key).cloned().unwrap_or_default();
                let object = format!("{} table {} bucket {bucket}", self.database, table.name);
                for gap in known.gaps(tail.earliest..tail.next) {
                    let expected = format!("rows at offsets {}..{}", gap.start, gap.end);
                    self.tell(Fault::new(&object, None, expected, "no place of them in the index"));
                }
                if let Some(beyond) = known.beyond(tail.next) {
                    let found = format!("places of offsets {}..{}", beyond.start, beyond.end);
                    self.tell(Fault::new(&object, None, format!("rows below offset {}", tail.next), found));
                }
            }
        }
    }
}

/// Whether an object was written before the first slot that is looked at.
fn is_below(object: &ObjectId, start: u64) -> bool {
    match object {
        ObjectId::Commit { slot, .. } => *slot < start,
        ObjectId::Segment(id) => id.base < start,
    }
}

fn rows_text(place: &Place) -> String {
    let (offsets, slice) = (&place.offsets, &place.slice);
    let whose = match place.object {
        ObjectId::Commit { put_id, .. } => format!("the commit with put_id {put_id}"),
        ObjectId::Segment(id) => format!("segment {id}"),
    };
    format!(
        "{whose} with offsets {}..{} of table {} bucket {}",
        offsets.start, offsets.end, slice.table, slice.bucket
    )
}

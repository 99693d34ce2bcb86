//! Pages and places together: cut anywhere, a log says the same.

use std::ops::Range;

use proptest::prelude::*;

use super::pages::{MERGE_FAN_IN, MERGED_PAGE_BYTES_MAX, merge, merged_slots, next_merge, swap_in_merged};
use super::places::tests::some_place;
use super::places::{Search, lay_over};
use crate::format::checkpoint::PageRef;
use crate::format::page::{PlaceMap, seal_page};
use crate::id::{Slot, Uuid};

/// Which offsets each slot wrote: rows that arrived, or older ones written anew.
fn history() -> impl Strategy<Value = Vec<Range<u64>>> {
    let slot = (any::<bool>(), 0..100u64, 1..9u64);
    prop::collection::vec(slot, 1..60).prop_map(|slots| {
        let mut end = 0;
        slots
            .into_iter()
            .map(|(arrives, from, rows)| {
                let start = if arrives || end == 0 { end } else { from % end };
                let offsets =
                    start..if arrives { start + rows } else { (start + rows).min(end.max(start + 1)) };
                end = end.max(offsets.end);
                offsets
            })
            .collect()
    })
}

fn laid(history: &[Range<u64>], first_slot: usize) -> PlaceMap {
    let mut map = PlaceMap::new();
    for (slot, offsets) in (first_slot..).zip(history) {
        let place = some_place(offsets.clone(), slot as u64 + 1);
        lay_over(map.entry(place.slice.key()).or_default(), place);
    }
    map
}

/// The history as pages that end at the cuts.
fn paged(history: &[Range<u64>], mut cuts: Vec<usize>) -> Vec<PlaceMap> {
    cuts.extend([0, history.len()]);
    cuts.sort_unstable();
    cuts.windows(2).map(|pair| laid(&history[pair[0]..pair[1]], pair[0])).collect()
}

fn page(from: Slot, to: Slot, level: u8, bytes: u64) -> PageRef {
    PageRef { from, to, level, bytes }
}

proptest! {
    #[test]
    fn a_merged_page_is_the_page_of_all_its_slots(
        history in history(), cuts in prop::collection::vec(any::<prop::sample::Index>(), 0..5),
    ) {
        let cuts = cuts.into_iter().map(|cut| cut.index(history.len() + 1)).collect();
        let sealed = |map: &PlaceMap| seal_page(Uuid::from_u128(1), 0..60, 7, map).unwrap().to_vec();
        let merged = merge(paged(&history, cuts));
        prop_assert_eq!(sealed(&merged), sealed(&laid(&history, 0)));
    }

    #[test]
    fn a_search_through_pages_newest_first_finds_the_newest_place_of_each_offset(
        history in history(), cuts in prop::collection::vec(any::<prop::sample::Index>(), 0..5), from: u64, rows in 1..200u64,
    ) {
        let cuts = cuts.into_iter().map(|cut| cut.index(history.len() + 1)).collect();
        let end = history.iter().map(|offsets| offsets.end).max().unwrap_or(0);
        let (from, to) = (from % end, (from % end + rows).min(end));
        let key = some_place(0..1, 1).slice.key();
        let mut search = Search::new(from..to);
        paged(&history, cuts).iter().rev().for_each(|page| search.look_into_map(page, &key));
        prop_assert!(search.missing().is_empty());
        let mut at = from;
        for place in search.finish() {
            prop_assert_eq!(place.offsets.start, at);
            at = place.offsets.end;
            for offset in place.offsets.clone() {
                let newest = (1..).zip(&history).filter(|(_, offsets)| offsets.contains(&offset)).last().unwrap();
                prop_assert_eq!(place.slice.checksum, newest.0);
                let row = u64::from(place.first_row) + offset - place.offsets.start;
                prop_assert_eq!(row, offset - newest.1.start);
            }
        }
        prop_assert_eq!(at, to);
    }

    #[test]
    fn pages_of_any_lengths_are_merged_without_overflow(bytes in prop::collection::vec(any::<u64>(), 0..40)) {
        let list: Vec<PageRef> = (0..).zip(&bytes).map(|(slot, bytes)| page(slot, slot + 1, 0, *bytes)).collect();
        if let Some(run) = next_merge(&list) {
            prop_assert_eq!(run.len(), MERGE_FAN_IN);
            prop_assert!(run.iter().all(|page| page.bytes <= MERGED_PAGE_BYTES_MAX));
        }
    }

    #[test]
    fn a_list_stays_gapless_whatever_pages_lie_in_the_store(
        pages in 1..70u64, stored in prop::collection::vec((0..70u64, 1..70u64), 0..20), level: u8,
    ) {
        let list: Vec<PageRef> = (0..pages).map(|slot| page(slot, slot + 1, level, 10)).collect();
        let stored: Vec<_> = stored.into_iter().map(|(from, slots)| (from..from + slots, 99)).collect();
        let swapped = swap_in_merged(list.clone(), &stored);
        let end = swapped.iter().try_fold(0, |end, page| (page.from == end && page.to > end).then_some(page.to));
        prop_assert_eq!(end, Some(pages));
        for page in &swapped {
            let merged = stored.iter().any(|(slots, _)| *slots == page.slots() && slots.end - slots.start == 16);
            prop_assert!(list.contains(page) || merged && page.level == level.saturating_add(1));
        }
    }
}

#[test]
fn a_run_is_merged_only_of_one_level_and_covers_its_slots() {
    let mut list: Vec<PageRef> = (0..15).map(|slot| page(slot, slot + 1, 0, 1)).collect();
    assert!(next_merge(&list).is_none());
    list.push(page(15, 16, 1, 1));
    assert!(next_merge(&list).is_none());
    list[15].level = 0;
    assert_eq!(merged_slots(next_merge(&list).unwrap()), Some(0..16));
    let whole = [(0..16, 7)];
    assert_eq!(swap_in_merged(list.clone(), &whole), [page(0, 16, 1, 7)]);
    // A page of other slots, or of a list that goes no higher, is nobody's.
    assert_eq!(swap_in_merged(list.clone(), &[(0..15, 7), (1..16, 7)]), list);
    let top: Vec<PageRef> = list.into_iter().map(|page| PageRef { level: u8::MAX, ..page }).collect();
    assert_eq!(swap_in_merged(top.clone(), &whole), top);
}

//! Merging index pages 16:1, so that their number grows with the logarithm of history.

use std::ops::Range;

use crate::format::checkpoint::PageRef;
use crate::format::page::PlaceMap;
use crate::id::Slot;
use crate::plan::places;

/// How many pages become one.
pub const MERGE_FAN_IN: usize = 16;

/// Pages are not merged into one longer than this: what merges must fit a worker's memory.
pub const MERGED_PAGE_BYTES_MAX: u64 = 64 << 20;

/// The oldest run of sixteen pages of one level that may become one.
pub fn next_merge(pages: &[PageRef]) -> Option<&[PageRef]> {
    pages.windows(MERGE_FAN_IN).find(|run| {
        run.iter().all(|page| page.level == run[0].level)
            && run.iter().fold(0, |sum: u64, page| sum.saturating_add(page.bytes)) <= MERGED_PAGE_BYTES_MAX
    })
}

/// The slots that the page merged from a run covers.
pub fn merged_slots(run: &[PageRef]) -> Option<Range<Slot>> {
    Some(run.first()?.from..run.last()?.to)
}

/// Merges pages, oldest first.
pub fn merge(pages: impl IntoIterator<Item = PlaceMap>) -> PlaceMap {
    let mut merged = PlaceMap::new();
    pages.into_iter().for_each(|page| places::lay_map_over(&mut merged, &page));
    merged
}

/// Puts merged pages that are in the store into a list, in place of those that they were merged from.
///
/// `stored` are pages by slots and bytes, as a LIST shows them. Only a page that replaces a whole run of the list is taken.
pub fn swap_in_merged(list: Vec<PageRef>, stored: &[(Range<Slot>, u64)]) -> Vec<PageRef> {
    let mut list = list;
    while let Some((at, merged)) = find_swap(&list, stored) {
        list.splice(at..at + MERGE_FAN_IN, [merged]);
    }
    list
}

fn find_swap(list: &[PageRef], stored: &[(Range<Slot>, u64)]) -> Option<(usize, PageRef)> {
    list.windows(MERGE_FAN_IN).enumerate().find_map(|(at, run)| {
        let slots = merged_slots(run)?;
        let (_, bytes) = stored.iter().find(|(range, _)| *range == slots)?;
        let level = run[0].level.checked_add(1)?;
        let one_level = run.iter().all(|page| page.level == run[0].level);
        one_level.then_some((at, PageRef { from: slots.start, to: slots.end, level, bytes: *bytes }))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_list_of_merged_pages_grows_with_the_logarithm() {
        let mut list: Vec<PageRef> = Vec::new();
        let mut stored = Vec::new();
        for index in 0..5_000u64 {
            list.push(PageRef { from: index * 10, to: index * 10 + 10, level: 0, bytes: 100 });
            while let Some(run) = next_merge(&list) {
                stored.push((merged_slots(run).unwrap(), 1_000));
                list = swap_in_merged(list, &stored);
            }
            assert!(list.windows(2).all(|pair| pair[0].to == pair[1].from));
            assert_eq!((list[0].from, list[list.len() - 1].to), (0, index * 10 + 10));
            assert!(list.len() <= 15 * 4, "{} pages after {index}", list.len());
        }
    }

    #[test]
    fn pages_too_long_together_stay_apart() {
        let page =
            |index: u64| PageRef { from: index, to: index + 1, level: 0, bytes: MERGED_PAGE_BYTES_MAX / 8 };
        assert!(next_merge(&(0..40).map(page).collect::<Vec<_>>()).is_none());
    }
}

//! Pages that followers have read and not sent yet, within one share of memory: who does not take its rows loses its page.
//!
//! Invariant: all pages together are within the limit, however many followers there are and however slowly they read. A follower
//! whose page went reads it again, from the row that it had come to.

use std::collections::BTreeMap;
use std::sync::Arc;

use arrow::record_batch::RecordBatch;
use parking_lot::Mutex;

use crate::app::Page;

/// The pages of all followers. Cheap to clone.
#[derive(Clone, Debug)]
pub struct KeptPages {
    pages: Arc<Mutex<Pages>>,
    bytes_max: usize,
}

#[derive(Debug, Default)]
struct Pages {
    /// The one that was put away longest ago first.
    pages: BTreeMap<u64, (Page, usize)>,
    bytes: usize,
    next: u64,
}

/// A page that was put away; dropped, it is gone.
#[derive(Debug)]
pub(crate) struct Kept {
    pages: KeptPages,
    ticket: u64,
}

impl KeptPages {
    /// Room for pages of so many bytes.
    pub fn new(bytes_max: usize) -> Self {
        Self { pages: Arc::default(), bytes_max }
    }

    /// What is kept now.
    pub fn bytes(&self) -> usize {
        self.pages.lock().bytes
    }

    /// The most that is kept.
    pub fn bytes_max(&self) -> usize {
        self.bytes_max
    }

    /// Puts a page away. Others that were put away longer ago may go for it.
    pub(crate) fn keep(&self, mut page: Page) -> Kept {
        page.held = None; // counted here from now on
        let bytes = page.batches.iter().map(RecordBatch::get_array_memory_size).sum::<usize>();
        let mut pages = self.pages.lock();
        let ticket = pages.next;
        pages.next += 1;
        pages.bytes += bytes;
        pages.pages.insert(ticket, (page, bytes));
        while pages.bytes > self.bytes_max
            && let Some((_, (_, bytes))) = pages.pages.pop_first()
        {
            pages.bytes -= bytes;
        }
        Kept { pages: self.clone(), ticket }
    }
}

impl Kept {
    /// The page, if it is still there.
    pub(crate) fn take(&self) -> Option<Page> {
        let mut pages = self.pages.pages.lock();
        let (page, bytes) = pages.pages.remove(&self.ticket)?;
        pages.bytes -= bytes;
        Some(page)
    }
}

impl Drop for Kept {
    fn drop(&mut self) {
        drop(self.take());
    }
}

#[cfg(test)]
mod tests {
    use arrow::array::Int64Array;
    use arrow::datatypes::{DataType, Field, Schema};

    use super::*;
    use crate::consume::position::Position;

    fn page(rows: i64) -> Page {
        let schema = Arc::new(Schema::new(vec![Field::new("id", DataType::Int64, false)]));
        let ids = Arc::new(Int64Array::from_iter_values(0..rows));
        let batch = RecordBatch::try_new(schema, vec![ids]).unwrap();
        Page {
            batches: vec![batch],
            starts: Vec::new(),
            next: Position::default(),
            caught_up: true,
            held: None,
        }
    }

    #[test]
    fn the_page_that_waits_longest_goes_first_and_the_limit_holds() {
        let pages = KeptPages::new(20_000);
        let kept: Vec<Kept> = (0..5).map(|_| pages.keep(page(1_000))).collect();
        assert!(pages.bytes() <= 20_000);
        assert!(kept[0].take().is_none() && kept[2].take().is_none());
        assert_eq!(kept[4].take().map(|page| page.batches[0].num_rows()), Some(1_000));
        assert!(kept[4].take().is_none(), "a page is taken once");
        drop(kept);
        assert_eq!(pages.bytes(), 0);
    }
}

//! What a stream's batches came to, added up. PURE.
//!
//! Invariants: an acknowledgement speaks of every batch up to the newest acknowledged one, so that a client may read any of them, or
//! only the last; its size does not grow with the stream.

use std::collections::VecDeque;

use frazil_log::id::Slot;
use serde::Serialize;

use crate::app::{Ack, BucketRange};

/// The most ranges that are told; when the rows of others lie between more, the oldest are left out.
const RANGES_MAX: usize = 64;

/// HTTP's answer, over all batches of a stream so far.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub(super) struct Acks {
    /// Batches that are durable.
    pub(super) batches: u64,
    rows: u64,
    slot: Option<Slot>,
    /// Whether earlier requests wrote all of them.
    duplicate: bool,
    /// How many of the batches earlier requests wrote.
    duplicates: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    created: Option<String>,
    /// Where the rows are; null once a duplicate too old to be remembered is among them.
    buckets: Option<VecDeque<BucketRange>>,
    /// Whether older ranges are left out.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    buckets_cut: bool,
}

impl Acks {
    /// Of a stream that created a table, or did not.
    pub(super) fn new(created: Option<String>) -> Self {
        Self { created, buckets: Some(VecDeque::new()), ..Self::default() }
    }

    /// Adds the next batch.
    pub(super) fn add(&mut self, ack: &Ack) {
        self.batches += 1;
        self.rows += ack.rows;
        self.slot = self.slot.max(ack.slot);
        self.duplicates += u64::from(ack.duplicate);
        self.duplicate = self.duplicates == self.batches;
        match (&mut self.buckets, &ack.buckets) {
            (Some(ranges), Some(new)) => new.iter().for_each(|range| push(ranges, *range)),
            (ranges, _) => *ranges = None,
        }
        while let Some(ranges) = self.buckets.as_mut().filter(|ranges| ranges.len() > RANGES_MAX) {
            ranges.pop_front();
            self.buckets_cut = true;
        }
    }

    /// As it is sent.
    pub(super) fn json(&self) -> String {
        serde_json::to_string(self).expect("numbers and texts make JSON")
    }
}

/// Lengthens the bucket's newest range, or begins another.
fn push(ranges: &mut VecDeque<BucketRange>, range: BucketRange) {
    match ranges.iter_mut().rev().find(|known| known.bucket == range.bucket) {
        Some(known) if known.end == range.start => known.end = range.end,
        _ => ranges.push_back(range),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ack(rows: u64, slot: u64, duplicate: bool, ranges: &[(u32, u64, u64)]) -> Ack {
        let range = |&(bucket, start, end): &(u32, u64, u64)| BucketRange { bucket, start, end };
        let buckets = Some(ranges.iter().map(range).collect());
        Ack { rows, slot: Some(slot), duplicate, created: None, buckets }
    }

    #[test]
    fn batches_add_up_to_the_answer_of_one_request() {
        let mut acks = Acks::new(None);
        acks.add(&ack(3, 7, false, &[(0, 10, 12), (1, 0, 1)]));
        acks.add(&ack(2, 8, false, &[(0, 12, 14)]));
        let expected = r#"{"batches":2,"rows":5,"slot":8,"duplicate":false,"duplicates":0,"buckets":[{"bucket":0,"start":10,"end":14},{"bucket":1,"start":0,"end":1}]}"#;
        assert_eq!(acks.json(), expected);
        acks.add(&ack(1, 9, true, &[(0, 20, 21)]));
        assert!(acks.json().contains(r#""duplicate":false,"duplicates":1"#));
        assert!(acks.json().ends_with(r#"{"bucket":0,"start":20,"end":21}]}"#));
    }

    #[test]
    fn an_acknowledgement_does_not_grow_with_the_stream() {
        let mut acks = Acks::new(Some("t (id BIGINT)".to_owned()));
        (0..10_000).for_each(|n| acks.add(&ack(1, n, false, &[(0, 2 * n, 2 * n + 1)])));
        assert!(acks.json().len() < 8 << 10 && acks.json().contains("buckets_cut"));
        acks.add(&Ack { rows: 1, slot: None, duplicate: true, created: None, buckets: None });
        assert!(
            acks.json().contains(r#""rows":10001,"slot":9999"#) && acks.json().contains(r#""buckets":null"#)
        );
    }
}

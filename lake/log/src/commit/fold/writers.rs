//! Who wrote the last slots: who leads, and who else is there. A hint that saves requests; it grants nothing. PURE.

use crate::format::commit::WriterInfo;
use crate::id::{Incarnation, Slot};

/// The most writers that are remembered: the last that wrote.
const WRITERS_MAX: usize = 64;

/// A process that wrote a slot lately.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SeenWriter {
    /// What it said of itself.
    pub info: WriterInfo,
    /// The last slot that it wrote.
    pub slot: Slot,
}

/// The writers of the slots that this node folded, the last first.
#[derive(Clone, Debug, Default)]
pub struct Writers {
    seen: Vec<SeenWriter>,
}

impl Writers {
    /// A slot was folded.
    pub(super) fn note(&mut self, slot: Slot, writer: &WriterInfo) {
        match self.seen.first_mut() {
            Some(first) if first.info == *writer => first.slot = slot,
            _ => {
                self.seen.retain(|seen| seen.info.incarnation != writer.incarnation);
                self.seen.insert(0, SeenWriter { info: writer.clone(), slot });
                self.seen.truncate(WRITERS_MAX);
            }
        }
    }

    /// Who leads: who wrote the last slot, of those that others can reach. A compactor writes now and then and takes no requests:
    /// it has no address, and its slots change no leader.
    pub fn leader(&self) -> Option<&SeenWriter> {
        self.seen.iter().find(|seen| !seen.info.address.is_empty())
    }

    /// One by its incarnation.
    pub fn find(&self, incarnation: Incarnation) -> Option<&SeenWriter> {
        self.seen.iter().find(|seen| seen.info.incarnation == incarnation)
    }

    /// All of them, the last first.
    pub fn iter(&self) -> impl Iterator<Item = &SeenWriter> {
        self.seen.iter()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::id::Ulid;

    fn writer(n: u128, address: &str) -> WriterInfo {
        WriterInfo {
            incarnation: Ulid::from(n),
            version: String::new(),
            address: address.to_owned(),
            zone: String::new(),
            put_p99_us: 0,
        }
    }

    #[test]
    fn who_wrote_last_and_can_be_reached_leads() {
        let mut writers = Writers::default();
        assert_eq!(writers.leader(), None);
        writers.note(1, &writer(1, "a:1"));
        writers.note(2, &writer(2, "b:1"));
        writers.note(3, &writer(3, ""));
        assert_eq!(
            writers.leader().map(|leader| (leader.info.address.as_str(), leader.slot)),
            Some(("b:1", 2))
        );
        writers.note(4, &writer(1, "a:1"));
        assert_eq!(writers.leader().map(|leader| leader.slot), Some(4));
        assert_eq!(writers.iter().count(), 3);
    }

    #[test]
    fn few_are_remembered() {
        let mut writers = Writers::default();
        (0..1_000u64).for_each(|n| writers.note(n, &writer(u128::from(n), "a:1")));
        assert_eq!(writers.iter().count(), WRITERS_MAX);
        assert_eq!(writers.leader().map(|leader| leader.slot), Some(999));
    }
}

//! The bucket as it is, and what was ever in it.

use std::collections::{BTreeMap, BTreeSet};

use bytes::Bytes;
use frazil_log::id::{SegmentId, Slot, TimeMicros};
use frazil_log::store::Path;
use frazil_log::store::paths::Key;

/// An object.
#[derive(Clone, Debug)]
pub(crate) struct Stored {
    /// Its bytes.
    pub(crate) bytes: Bytes,
    /// When it was written, by the store's clock.
    pub(crate) modified: TimeMicros,
}

/// What came of a PUT.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Applied {
    /// The key was free.
    Created,
    /// The key was free, but it was a slot that had been used and trimmed.
    Ghost,
    /// The key was free, and slots above it were in use.
    HoleFilled,
    /// The key was taken.
    Taken,
}

/// All objects, and the truth about the log: what stood first in each slot.
#[derive(Debug, Default)]
pub(crate) struct Bucket {
    objects: BTreeMap<Path, Stored>,
    /// What each slot held first. Whatever comes later into a slot is a ghost.
    pub(crate) first: BTreeMap<Slot, Bytes>,
    /// Every segment that ever was.
    pub(crate) segments: BTreeMap<SegmentId, Bytes>,
    /// Slots that were deleted.
    pub(crate) trimmed: BTreeSet<Slot>,
}

impl Bucket {
    /// Writes an object if its key is free.
    pub(crate) fn create(&mut self, path: &Path, bytes: &Bytes, now: TimeMicros) -> Applied {
        if self.objects.contains_key(path) {
            return Applied::Taken;
        }
        self.objects.insert(path.clone(), Stored { bytes: bytes.clone(), modified: now });
        match Key::parse(path) {
            Some(Key::Log { slot, .. }) => {
                if self.first.contains_key(&slot) {
                    return Applied::Ghost;
                }
                let hole = self.first.last_key_value().is_some_and(|(last, _)| *last > slot);
                self.first.insert(slot, bytes.clone());
                if hole { Applied::HoleFilled } else { Applied::Created }
            }
            Some(Key::Segment { id, .. }) => {
                self.segments.insert(id, bytes.clone());
                Applied::Created
            }
            _ => Applied::Created,
        }
    }

    /// Reads an object.
    pub(crate) fn get(&self, path: &Path) -> Option<Stored> {
        self.objects.get(path).cloned()
    }

    /// The objects below a prefix, in order.
    pub(crate) fn list(&self, prefix: &Path) -> Vec<(Path, Stored)> {
        let below = |(path, _): &(&Path, &Stored)| path.prefix_matches(prefix);
        let from = self.objects.range(prefix.clone()..);
        from.take_while(below).map(|(path, stored)| (path.clone(), stored.clone())).collect()
    }

    /// Deletes an object; says whether it was there.
    pub(crate) fn delete(&mut self, path: &Path) -> bool {
        let was_there = self.objects.remove(path).is_some();
        if was_there && let Some(Key::Log { slot, .. }) = Key::parse(path) {
            self.trimmed.insert(slot);
        }
        was_there
    }
}

//! Reading whole objects, a few at a time; and the objects that stand for themselves: checkpoints, index pages, segments.

use std::sync::Arc;

use bytes::Bytes;
use frazil_log::format::segment::{ObjectId, SegmentHeader};
use frazil_log::format::slice::Slice;
use frazil_log::id::{SegmentId, Slot, TimeMicros};
use frazil_log::state::State;
use frazil_log::store::paths::{self, Key};
use frazil_log::store::{Path, Store};
use frazil_log::{Error, ErrorKind, Result};
use futures::{StreamExt, TryStreamExt};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use xxhash_rust::xxh3::Xxh3;

use super::object::{self, Checked, Fault};
use super::{BYTES_AT_ONCE, Check, Known, deep, keys};
use crate::stored_log::REQUESTS_MAX;

/// Gets objects whole, within a budget of bytes.
#[derive(Clone)]
pub(super) struct Fetch {
    pub(super) store: Store,
    pub(super) room: Arc<Semaphore>,
}

/// An object, and the room that it takes while it is held.
pub(super) struct Held {
    pub(super) bytes: Bytes,
    _room: OwnedSemaphorePermit,
}

impl Fetch {
    /// Reads an object of about `size` bytes; `None` if it is gone.
    pub(super) async fn get(&self, path: &Path, size: u64) -> Result<Option<Held>> {
        let kib = (size.min(BYTES_AT_ONCE) >> 10).max(1);
        let kib = u32::try_from(kib).map_err(|_| Error::internal("the budget is below 4 TiB"))?;
        let room = Arc::clone(&self.room).acquire_many_owned(kib).await;
        let room = room.map_err(|_| Error::internal("the budget was closed"))?;
        let object = self.store.get(path).await?;
        Ok(object.map(|object| Held { bytes: object.bytes, _room: room }))
    }
}

/// Names a slice in an object: what a place of the index must agree on with the header of what it refers to.
pub(super) fn digest(object: &ObjectId, body_start: u64, slice: &Slice) -> u64 {
    let mut hasher = Xxh3::new();
    match object {
        ObjectId::Commit { slot, put_id } => {
            hasher.update(&[0]);
            hasher.update(&slot.to_le_bytes());
            hasher.update(&put_id.to_bytes());
        }
        ObjectId::Segment(id) => {
            hasher.update(&[1]);
            hasher.update(&id.base.to_le_bytes());
            hasher.update(&id.ulid.to_bytes());
        }
    }
    for number in
        [body_start, slice.body_offset, slice.bytes, u64::from(slice.rows), slice.checksum, slice.table.0]
    {
        hasher.update(&number.to_le_bytes());
    }
    hasher.update(&slice.bucket.0.to_le_bytes());
    hasher.digest()
}

/// A segment that was read.
struct SegmentRead {
    id: SegmentId,
    object: String,
    length: usize,
    checked: Checked<(u64, SegmentHeader)>,
    held: Held,
}

impl Check<'_> {
    /// Reads every checkpoint; finds the first slot that is looked at.
    pub(super) async fn check_checkpoints(&mut self) -> anyhow::Result<()> {
        let listed: Vec<_> = keys(self.store, paths::checkpoint_prefix(&self.database)).try_collect().await?;
        let slots = listed.into_iter().filter_map(|listed| match Key::parse(&listed.path) {
            Some(Key::Checkpoint { slot, .. }) => Some((slot, listed)),
            _ => None,
        });
        for (slot, listed) in slots {
            self.check_checkpoint(slot, listed.last_modified).await?;
            let is_old = self.options.since.is_some_and(|since| listed.last_modified <= since);
            if is_old && self.checkpoints.get(&slot).is_some_and(|known| known.usable) {
                self.start = self.start.max(slot);
            }
        }
        Ok(())
    }

    /// Reads the checkpoints that were written since, and those only.
    pub(super) async fn look_for_new_checkpoints(&mut self) -> anyhow::Result<()> {
        let listed = frazil_log::commit::open::checkpoints(self.store, &self.database, REQUESTS_MAX).await?;
        for (slot, listed) in listed {
            if !self.checkpoints.contains_key(&slot) {
                self.check_checkpoint(slot, listed.last_modified).await?;
            }
        }
        Ok(())
    }

    async fn check_checkpoint(&mut self, slot: Slot, written: TimeMicros) -> anyhow::Result<()> {
        let Some(read) = self.read_checkpoint(slot).await? else { return Ok(()) };
        let (length, checked) = read;
        self.count(length);
        self.checkpoints.insert(slot, Known { usable: checked.content.is_some(), written });
        self.tell_all(checked.faults);
        if let Some((state, _)) = checked.content {
            self.learn(&state);
        }
        Ok(())
    }

    /// Reads and decodes a checkpoint with its state; `None` if it is gone.
    pub(super) async fn read_checkpoint(&self, slot: Slot) -> Result<Option<(usize, Checked<Loaded>)>> {
        let path = paths::checkpoint(&self.database, slot);
        // Past the budget: it may be asked for while slots that wait for it hold all of it.
        let Some(found) = self.store.get(&path).await? else { return Ok(None) };
        let object = path.as_ref();
        let Checked { content, mut faults } = object::checkpoint(object, &found.bytes, slot);
        let content = content.and_then(|(envelope, checkpoint)| {
            let start = envelope.body_start();
            let range = start..start + checkpoint.header.state_bytes;
            let expected = format!("the state of database {} at slot {slot}", self.database);
            match State::decode(object, start, &checkpoint.state, self.options.protocol.fold.clone()) {
                Ok(state) => {
                    let identity = state.identity();
                    let fits = state.next() == slot
                        && identity.database == self.database
                        && identity.uuid == checkpoint.header.log_uuid
                        && state.log_hash() == checkpoint.header.log_hash;
                    if fits {
                        return Some((state, checkpoint));
                    }
                    let found = format!("that of {} at slot {}", identity.database, state.next());
                    faults.push(Fault::new(object, range, expected, found));
                }
                Err(error) => faults.push(Fault::of_decoder(object, range, &expected, &error)),
            }
            None
        });
        Ok(Some((found.bytes.len(), Checked { content, faults })))
    }

    /// Reads every index page.
    pub(super) async fn check_pages(&mut self) -> anyhow::Result<()> {
        let (fetch, start) = (self.fetch.clone(), self.start);
        let read = keys(self.store, paths::index_prefix(&self.database)).try_filter_map(async |listed| {
            Ok(match Key::parse(&listed.path) {
                Some(Key::Index { from, to, .. }) if to > start => Some((from, to, listed)),
                _ => None,
            })
        });
        let mut read = read
            .map_ok(|(from, to, listed)| {
                let fetch = fetch.clone();
                async move {
                    let Some(held) = fetch.get(&listed.path, listed.size).await? else { return Ok(None) };
                    let Checked { content, faults } =
                        object::page(listed.path.as_ref(), &held.bytes, &(from..to));
                    let hash = content.map(|(envelope, _)| envelope.content_hash);
                    Ok::<_, Error>(Some((from, to, held.bytes.len(), Checked { content: hash, faults })))
                }
            })
            .try_buffered(REQUESTS_MAX)
            .boxed();
        while let Some(page) = read.try_next().await? {
            let Some((from, to, length, checked)) = page else { continue };
            self.count(length);
            self.pages.insert((from, to), checked.content);
            self.tell_all(checked.faults);
        }
        Ok(())
    }

    /// Reads every segment.
    pub(super) async fn check_segments(&mut self) -> anyhow::Result<()> {
        let (fetch, start, since) = (self.fetch.clone(), self.start, self.options.since);
        let read = keys(self.store, paths::segment_prefix(&self.database)).try_filter_map(async |listed| {
            Ok(match Key::parse(&listed.path) {
                Some(Key::Segment { id, .. })
                    if id.base >= start || since.is_none_or(|since| listed.last_modified >= since) =>
                {
                    Some((id, listed))
                }
                _ => None,
            })
        });
        let mut read = read
            .map_ok(|(id, listed)| {
                let fetch = fetch.clone();
                async move {
                    let Some(held) = fetch.get(&listed.path, listed.size).await? else { return Ok(None) };
                    Ok::<_, Error>(Some(read_segment(listed.path.as_ref(), id, held)))
                }
            })
            .try_buffered(REQUESTS_MAX)
            .boxed();
        while let Some(read) = read.try_next().await? {
            if let Some(read) = read {
                self.segments.insert(read.id);
                self.take_segment(read);
            }
        }
        Ok(())
    }

    fn take_segment(&mut self, read: SegmentRead) {
        self.count(read.length);
        let intact = read.checked.faults.is_empty();
        self.tell_all(read.checked.faults);
        let Some((body_start, header)) = read.checked.content else { return };
        if let Some(fold) = &self.fold
            && fold.state.identity().uuid != header.log_uuid
        {
            let expected = format!("log {}", fold.state.identity().uuid);
            self.tell(Fault::new(
                &read.object,
                None,
                expected,
                format!("a segment of log {}", header.log_uuid),
            ));
        }
        let id = ObjectId::Segment(read.id);
        self.slices.extend(header.slices.iter().map(|slice| digest(&id, body_start, slice)));
        if self.options.deep && intact {
            for slice in &header.slices {
                let checked = deep::check(&read.object, &read.held.bytes, body_start, slice, &self.tables);
                self.take_decoded(checked);
            }
        }
    }

    /// Reads one object that a place refers to and that no LIST showed; whether it was there.
    pub(super) async fn examine(&mut self, id: &ObjectId) -> anyhow::Result<bool> {
        let path = match id {
            ObjectId::Commit { slot, .. } => paths::log(&self.database, *slot),
            ObjectId::Segment(id) => paths::segment(&self.database, *id),
        };
        let held = match self.fetch.get(&path, 0).await {
            Ok(Some(held)) => held,
            Ok(None) => return Ok(false),
            Err(error) if error.kind() == ErrorKind::NotFound => return Ok(false),
            Err(error) => return Err(error.into()),
        };
        match id {
            ObjectId::Commit { slot, .. } => {
                let checked = object::commit(path.as_ref(), &held.bytes, *slot);
                self.tell_all(checked.faults);
                if let Some(commit) = &checked.content {
                    self.note_slices(commit);
                }
            }
            ObjectId::Segment(id) => self.take_segment(read_segment(path.as_ref(), *id, held)),
        }
        Ok(true)
    }
}

/// A checkpoint with its state decoded.
pub(super) type Loaded = (State, frazil_log::format::checkpoint::Checkpoint);

fn read_segment(object: &str, id: SegmentId, held: Held) -> SegmentRead {
    let Checked { content, faults } = object::segment(object, &held.bytes, id);
    let content = content.map(|(envelope, header)| (envelope.body_start(), header));
    let length = held.bytes.len();
    SegmentRead { id, object: object.to_owned(), length, checked: Checked { content, faults }, held }
}

//! The tail ring: decoded rows of the newest slots, shared by all who read there.
//!
//! Rows are kept by the identity of the object that they lie in (slot and put_id, or segment) and their slice in it. A reader finds
//! the *places* of the offsets that it wants in its own fold, as ever, and asks here before it asks the store. So nobody has to
//! know offsets to keep rows: an ingress keeps a flush's before its PUT leaves, and whoever is woken by the fold finds them.
//!
//! Invariants:
//! * nothing is served that is not folded, and never a gap: the fold alone says which rows an offset is (rule 6); a slot that was
//!   lost, or a ghost in it, has another put_id, and its rows are asked for by nobody;
//! * rows that only came as bytes are checked as those of the store are, when somebody first wants them;
//! * any number of readers of one slice that is not here cost one read and one decode;
//! * memory is bounded in bytes, exactly: see [`ring`].
//!
//! Start reading at [`TailRing::insert`] for the way in and at [`TailRing::read_place`] for the way out.

mod ring;
#[cfg(test)]
mod tests;

use std::collections::BTreeMap;
use std::sync::Arc;

use arrow::datatypes::FieldRef;
use arrow::record_batch::RecordBatch;
use bytes::Bytes;
use frazil_log::commit::replica::Replica;
use frazil_log::error::{Error, Result};
use frazil_log::format::page::Place;
use frazil_log::format::segment::ObjectId;
use frazil_log::format::slice::Slice;
use frazil_log::id::Slot;
use frazil_log::segment::{BodyPlace, decode, row_range};
use futures::FutureExt;
use futures::future::{BoxFuture, Shared, WeakShared};
use parking_lot::Mutex;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::registry::Registry;

use self::ring::{Ring, Rows, RowsId};

/// Rows that came in one of so many newest slots are kept for others by who reads them; older ones are somebody's catching up.
const FRESH_SLOTS: Slot = 16;

/// The rows of a whole slice, or why they cannot be had, for all who wait for them.
type Read = Result<Arc<[RecordBatch]>, Arc<Error>>;
type Reading = Shared<BoxFuture<'static, Read>>;

/// The newest rows of all databases of a gateway. Cheap to clone.
#[derive(Clone, Debug)]
pub struct TailRing {
    inner: Arc<Inner>,
}

#[derive(Debug)]
struct Inner {
    ring: Mutex<Ring>,
    reading: Mutex<BTreeMap<RowsId, WeakShared<BoxFuture<'static, Read>>>>,
    metrics: TailMetrics,
}

/// What a tail ring counts.
#[derive(Clone, Debug, Default)]
pub struct TailMetrics {
    /// Places served from it.
    pub hits_total: Counter,
    /// Places that had to be read elsewhere.
    pub misses_total: Counter,
    /// Slices decoded for it.
    pub decodes_total: Counter,
    /// Slices that had to go.
    pub evictions_total: Counter,
    /// Bytes that it holds alive.
    pub bytes: Gauge,
    /// Slices that it holds.
    pub entries: Gauge,
}

impl TailMetrics {
    /// Registers everything under its name.
    pub fn register(&self, registry: &mut Registry) {
        registry.register("frazil_tail_hits", "Places read from the tail ring", self.hits_total.clone());
        registry.register("frazil_tail_misses", "Places the tail ring had not", self.misses_total.clone());
        registry.register("frazil_tail_decodes", "Slices decoded for it", self.decodes_total.clone());
        registry.register("frazil_tail_evictions", "Slices it let go", self.evictions_total.clone());
        registry.register("frazil_tail_bytes", "Bytes it holds", self.bytes.clone());
        registry.register("frazil_tail_entries", "Slices it holds", self.entries.clone());
    }
}

impl TailRing {
    /// A ring that holds at most so many bytes; with 0 it holds nothing.
    pub fn new(bytes_max: usize, metrics: TailMetrics) -> Self {
        let ring = Mutex::new(Ring::new(bytes_max));
        Self { inner: Arc::new(Inner { ring, reading: Mutex::new(BTreeMap::new()), metrics }) }
    }

    /// Keeps the rows of a slice of an object: all of them, all its columns in its order. The object need not be written yet.
    ///
    /// # Errors
    /// `Internal` if they are not as many rows or columns as the slice says.
    pub fn insert(&self, object: ObjectId, slice: &Slice, batches: Vec<RecordBatch>) -> Result<()> {
        check(slice, &batches)?;
        self.keep(RowsId::new(object, slice), Rows::Decoded(batches.into()));
        Ok(())
    }

    /// Keeps a slice as it lies in an object that is not ours: its bytes are checked and decoded when somebody wants its rows.
    pub fn insert_encoded(&self, object: ObjectId, slice: &Slice, bytes: Bytes) {
        self.keep(RowsId::new(object, slice), Rows::Encoded(bytes));
    }

    /// Reads a place as [`Replica::read_place`] does, without asking the store or decoding if its rows are here.
    ///
    /// # Errors
    /// Those of [`Replica::read_place`].
    pub async fn read_place(
        &self,
        replica: &Replica,
        place: &Place,
        fields: &[FieldRef],
        wanted: &[usize],
    ) -> Result<Vec<RecordBatch>> {
        let id = RowsId::of(place);
        let kept = self.inner.ring.lock().get(&id).cloned();
        let whole = match kept {
            Some(Rows::Decoded(batches)) => {
                self.inner.metrics.hits_total.inc();
                batches
            }
            Some(Rows::Encoded(bytes)) => {
                self.inner.metrics.hits_total.inc();
                self.shared(id, replica, place, fields, Some(bytes)).await?
            }
            None => {
                self.inner.metrics.misses_total.inc();
                if !is_fresh(place, replica.next()) || self.is_too_large(place) {
                    return replica.read_place(place, fields, wanted).await;
                }
                self.shared(id, replica, place, fields, None).await?
            }
        };
        let rows = row_range(&whole, u64::from(place.first_row), place.offsets.end - place.offsets.start)?;
        let project = |batch: &RecordBatch| {
            let projected = batch.project(wanted);
            projected.map_err(|error| Error::internal(format!("a kept slice lacks a column: {error}")))
        };
        rows.iter().map(project).collect()
    }

    /// Reads a whole slice, with all who want it at the moment, and keeps it.
    async fn shared(
        &self,
        id: RowsId,
        replica: &Replica,
        place: &Place,
        fields: &[FieldRef],
        bytes: Option<Bytes>,
    ) -> Result<Arc<[RecordBatch]>> {
        let reading = {
            let mut all = self.inner.reading.lock();
            match all.get(&id).and_then(WeakShared::upgrade) {
                Some(reading) => reading,
                None => {
                    let (ring, replica) = (self.clone(), replica.clone());
                    let (place, fields) = (whole_slice(place), fields.to_vec());
                    let read = async move { ring.read_whole(id, &replica, &place, &fields, bytes).await };
                    let reading: Reading = read.boxed().shared();
                    all.retain(|_, other| other.upgrade().is_some());
                    all.extend(reading.downgrade().map(|weak| (id, weak)));
                    reading
                }
            }
        };
        reading.await.map_err(|error| Error::new(error.kind(), error.to_string()))
    }

    async fn read_whole(
        &self,
        id: RowsId,
        replica: &Replica,
        place: &Place,
        fields: &[FieldRef],
        bytes: Option<Bytes>,
    ) -> Read {
        self.inner.metrics.decodes_total.inc();
        let decoded = bytes.map(|bytes| {
            let path = replica.object_path(&place.object);
            let body = BodyPlace { object: path.as_ref(), start: place.body_start };
            let batches = decode(&place.slice, &bytes, fields, &body)?;
            check(&place.slice, &batches).map(|()| batches)
        });
        let batches = match decoded {
            Some(Ok(batches)) => batches,
            // What somebody sent is not what is stored, or nothing was sent: the store has it.
            Some(Err(_)) | None => {
                let all: Vec<usize> = (0..fields.len()).collect();
                replica.read_place(place, fields, &all).await.map_err(Arc::new)?
            }
        };
        let batches: Arc<[RecordBatch]> = batches.into();
        self.keep(id, Rows::Decoded(Arc::clone(&batches)));
        Ok(batches)
    }

    fn keep(&self, id: RowsId, rows: Rows) {
        let metrics = &self.inner.metrics;
        let mut ring = self.inner.ring.lock();
        let evicted = ring.insert(id, rows);
        metrics.evictions_total.inc_by(evicted as u64);
        metrics.bytes.set(i64::try_from(ring.bytes()).unwrap_or(i64::MAX));
        metrics.entries.set(i64::try_from(ring.len()).unwrap_or(i64::MAX));
    }

    /// Whether a slice would leave little room for others.
    fn is_too_large(&self, place: &Place) -> bool {
        place.slice.bytes > (self.inner.ring.lock().bytes_max() / 4) as u64
    }

    /// Bytes that it holds alive now.
    pub fn bytes(&self) -> usize {
        self.inner.ring.lock().bytes()
    }
}

/// Whether the rows of a place came in one of the newest slots. A rolled-up slice carries the times of older rows.
fn is_fresh(place: &Place, next: Slot) -> bool {
    let slot = match place.object {
        ObjectId::Commit { slot, .. } => slot,
        ObjectId::Segment(id) => id.base,
    };
    place.slice.times.is_none() && slot.saturating_add(FRESH_SLOTS) >= next
}

/// The place of all the rows of its slice.
fn whole_slice(place: &Place) -> Place {
    let start = place.offsets.start.saturating_sub(u64::from(place.first_row));
    let offsets = start..start.saturating_add(u64::from(place.slice.rows));
    Place { offsets, first_row: 0, ..place.clone() }
}

fn check(slice: &Slice, batches: &[RecordBatch]) -> Result<()> {
    let rows: usize = batches.iter().map(RecordBatch::num_rows).sum();
    let columns = batches.iter().all(|batch| batch.num_columns() == slice.columns.len());
    if rows as u64 == u64::from(slice.rows) && columns {
        return Ok(());
    }
    Err(Error::internal(format!(
        "{rows} rows given for a slice of {} rows and {} columns",
        slice.rows,
        slice.columns.len()
    )))
}

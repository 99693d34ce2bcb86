//! What the tail ring keeps, and when it lets go. PURE.
//!
//! Invariants (a property test against a model, `tests.rs`):
//! * `bytes` is exactly what the kept entries hold alive: each Arrow allocation once, however many entries and arrays share it, and
//!   a fixed overhead an entry and array; it never exceeds `bytes_max`;
//! * the oldest entry goes first: what is kept is the newest run of what was inserted;
//! * what was kept under a name never changes its rows.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;

use arrow::array::{Array, ArrayData};
use arrow::buffer::Buffer;
use arrow::record_batch::RecordBatch;
use bytes::Bytes;
use frazil_log::format::page::Place;
use frazil_log::format::segment::ObjectId;
use frazil_log::format::slice::Slice;

/// Names the rows of one slice for ever: an object is written once, and its identity stands in the name (rule 5), so a ghost in the
/// same slot has another.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct RowsId {
    object: ObjectId,
    body_offset: u64,
}

impl RowsId {
    pub(super) fn new(object: ObjectId, slice: &Slice) -> Self {
        Self { object, body_offset: slice.body_offset }
    }

    pub(super) fn of(place: &Place) -> Self {
        Self::new(place.object, &place.slice)
    }
}

/// The rows of a slice.
#[derive(Clone, Debug)]
pub(super) enum Rows {
    /// All its rows and columns.
    Decoded(Arc<[RecordBatch]>),
    /// Its bytes as they lie in the object, not looked at yet.
    Encoded(Bytes),
}

/// What an entry takes beside its buffers, and what each array does.
const ENTRY_BYTES: usize = 256;
const ARRAY_BYTES: usize = 192;

/// Entries, oldest first, within a number of bytes.
#[derive(Debug)]
pub(super) struct Ring {
    bytes_max: usize,
    bytes: usize,
    entries: BTreeMap<RowsId, Rows>,
    /// From the oldest to the newest.
    order: VecDeque<RowsId>,
    /// By address: how long the allocation is, and how many of the kept arrays' buffers lie in it.
    allocations: BTreeMap<usize, (usize, usize)>,
}

impl Ring {
    pub(super) fn new(bytes_max: usize) -> Self {
        Self {
            bytes_max,
            bytes: 0,
            entries: BTreeMap::new(),
            order: VecDeque::new(),
            allocations: BTreeMap::new(),
        }
    }

    pub(super) fn bytes(&self) -> usize {
        self.bytes
    }

    pub(super) fn bytes_max(&self) -> usize {
        self.bytes_max
    }

    pub(super) fn len(&self) -> usize {
        self.entries.len()
    }

    pub(super) fn get(&self, id: &RowsId) -> Option<&Rows> {
        self.entries.get(id)
    }

    /// Keeps rows as the newest; what was only encoded before keeps its age. Returns how many entries had to go.
    pub(super) fn insert(&mut self, id: RowsId, rows: Rows) -> usize {
        match (self.entries.remove(&id), &rows) {
            (None, _) => self.order.push_back(id),
            (Some(before @ Rows::Encoded(_)), Rows::Decoded(_)) => self.release(&before),
            (Some(before), _) => {
                self.entries.insert(id, before);
                return 0;
            }
        }
        self.hold(&rows);
        self.entries.insert(id, rows);
        let mut evicted = 0;
        while self.bytes > self.bytes_max {
            let Some(oldest) = self.order.pop_front() else { break };
            if let Some(rows) = self.entries.remove(&oldest) {
                self.release(&rows);
                evicted += 1;
            }
        }
        evicted
    }

    fn hold(&mut self, rows: &Rows) {
        self.bytes += ENTRY_BYTES;
        each_piece(rows, &mut |piece| match piece {
            Piece::Array => self.bytes += ARRAY_BYTES,
            Piece::Allocation(address, bytes) => {
                let held = self.allocations.entry(address).or_insert((bytes, 0));
                if held.1 == 0 {
                    self.bytes += held.0;
                }
                held.1 += 1;
            }
        });
    }

    fn release(&mut self, rows: &Rows) {
        self.bytes -= ENTRY_BYTES;
        each_piece(rows, &mut |piece| match piece {
            Piece::Array => self.bytes -= ARRAY_BYTES,
            Piece::Allocation(address, _) => {
                if let Some(held) = self.allocations.get_mut(&address) {
                    held.1 -= 1;
                    if held.1 == 0 {
                        self.bytes -= held.0;
                        self.allocations.remove(&address);
                    }
                }
            }
        });
    }
}

/// What an entry holds alive.
enum Piece {
    Array,
    Allocation(usize, usize),
}

fn each_piece(rows: &Rows, visit: &mut impl FnMut(Piece)) {
    match rows {
        Rows::Encoded(bytes) if bytes.is_empty() => {}
        Rows::Encoded(bytes) => visit(Piece::Allocation(bytes.as_ptr().addr(), bytes.len())),
        Rows::Decoded(batches) => {
            let columns = batches.iter().flat_map(RecordBatch::columns);
            columns.for_each(|column| each_buffer(&column.to_data(), visit));
        }
    }
}

fn each_buffer(data: &ArrayData, visit: &mut impl FnMut(Piece)) {
    visit(Piece::Array);
    let mut allocation = |buffer: &Buffer| {
        if buffer.capacity() > 0 {
            visit(Piece::Allocation(buffer.data_ptr().addr().get(), buffer.capacity()));
        }
    };
    data.buffers().iter().for_each(&mut allocation);
    if let Some(nulls) = data.nulls() {
        allocation(nulls.buffer());
    }
    data.child_data().iter().for_each(|child| each_buffer(child, visit));
}

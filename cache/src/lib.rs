//! An object store that remembers: memory and SSD in front of another.
//!
//! Objects are read in ranges; what was read is kept in [pages](mod@page), and given again without a request. Only the composition root
//! knows that there is a cache, and says what each object is for ([`Class`]).
//!
//! **Invariants**
//! * An answer is bytes of *one* version of the object, as it stood at some moment since it was first read here: pages carry the
//!   version that they are of (tag and size), and pages of two never stand in one answer. A key that came to hold another object (a
//!   late PUT into a trimmed slot) may so be answered as it was before; who must know what stands there now reads with
//!   [`Class::Bypass`], which also replaces what is remembered.
//! * Absence is never remembered, nor any error: a 404 is asked for again each time, and was asked of the store after the question.
//! * Concurrent readers of the same bytes cost one request; no byte is fetched that was not asked for.
//! * Memory and SSD are bounded in bytes; a scan takes its own share and drives out nothing of the tail's.
//! * A broken, full or missing SSD costs speed, never an answer; a flipped bit in its files is never served.
//!
//! **Deliberately absent**: writing back, invalidation by time, retries, knowledge of formats.
//!
//! Start reading at [`CachedStore`].

mod flight;
mod metrics;
mod page;
pub mod planted;
mod store;
mod tier;

#[cfg(test)]
mod tests;

pub use metrics::Metrics;
pub use store::{Access, CachedStore, Class, Classify};
pub use tier::{CacheOptions, SSD_BYTES_MIN, SsdOptions};

//! The bytes of slices: from record batches to a body and back. PURE, but for [`fetch`].
//!
//! Invariants:
//! * a slice's bytes are Arrow IPC record batch messages as [`crate::format::slice`] draws them, nothing else;
//! * what is decoded was checked first: layout against length, bytes against checksums, flatbuffer against layout and
//!   fields, claimed sizes against rows and [`DECODED_BYTES_MAX`]; and Arrow's own validation is never skipped. So no
//!   bytes can panic a reader, and a flipped bit is named, never served;
//! * columns are decoded in place where their bytes are aligned; the arrays keep the bytes they came from alive.
//!
//! Start reading at [`builder`] for the way out and at [`reader`] for the way in; [`projection`] plans which byte ranges
//! some columns need, [`fetch`] gets them. What keeps hostile bytes from Arrow is in `layout`, `message`, `walk` and
//! `buffer`.

mod buffer;
pub mod builder;
pub mod fetch;
pub mod fuzz;
mod layout;
mod message;
pub mod projection;
pub mod reader;
pub mod rows;
pub mod statistics;
mod walk;

#[cfg(test)]
mod tests;

pub use builder::{Body, BodyBuilder, SliceMeta, stream_messages};
pub use fetch::{RangeSource, read_slice};
pub use layout::BodyPlace;
pub use projection::{Projection, decode_projected};
pub use reader::{decode, decode_columns};
pub use rows::{batch_bytes, join, row_range};

/// The most bytes that the buffers of one slice may have once decompressed.
///
/// Bounds what a few hostile bytes can make a reader allocate; [`BodyBuilder`] refuses to write more.
pub const DECODED_BYTES_MAX: u64 = 1 << 30;

//! Rows out: positions, reading rows, and record batches as bytes.
//!
//! Start reading at [`reader`]; where a consumer stands is a [`position`], what it gets is written by [`encode`].

pub mod encode;
pub(crate) mod follow;
pub mod position;
pub mod reader;

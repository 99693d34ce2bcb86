//! Rows out: positions, reading by position, and record batches as bytes.
//!
//! Start reading at [`position`], [`reader`] and [`encode`].

pub mod encode;
pub(crate) mod follow;
pub mod kept;
pub mod position;
pub mod reader;
pub mod tail;

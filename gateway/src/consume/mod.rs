//! Rows out: positions, reading by position, and record batches as bytes.
//!
//! Start reading at [`position`], [`reader`] and [`encode`].

pub mod encode;
pub mod filter;
pub(crate) mod follow;
pub mod kept;
pub mod position;
pub mod reader;
mod scan;
pub(crate) mod seek;
pub mod tail;

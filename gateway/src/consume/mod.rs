//! Rows out: positions, and record batches as bytes.
//!
//! Start reading at [`position`] and [`encode`].

pub mod encode;
pub(crate) mod follow;
pub mod position;

//! Rows out: positions, and record batches as bytes.
//!
//! Start reading at [`position`] and [`encode`].

pub mod encode;
pub mod position;

//! The commit path and the fold's life: open, follow, write, check point, find. The I/O ring around [`crate::state`].
//!
//! Start reading at [`replica`] (following), then [`committer`] (writing); [`proof`] says what may be believed, [`checkpoint`]
//! and [`index`] keep what is derived, [`open`] starts cold.

pub mod checkpoint;
pub mod committer;
pub mod create;
pub mod fold;
pub mod index;
pub mod open;
mod proof;
pub mod pushed;
mod refold;
pub mod replica;
mod rows;
#[cfg(test)]
pub(crate) mod tests;

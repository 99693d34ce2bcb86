//! Rows in: from the bytes of a request to a record batch in the table's Arrow form, and from there into the log.
//!
//! Start reading at [`decode`], then [`ingress`]; [`accumulator`] says when to flush, [`door`] keeps sequences, [`health`]
//! watches the store, [`router`] knows the leader, [`pace`] its
//! pace.

pub mod accumulator;
pub mod decode;
pub mod door;
pub mod flush;
pub mod health;
pub mod ingress;
pub mod pace;
pub mod router;
mod upload;

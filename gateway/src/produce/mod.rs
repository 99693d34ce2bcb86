//! Rows in: from the bytes of a request to rows in the log.
//!
//! Start reading at [`decode`]: a request becomes a batch; then [`ingress`].

pub mod accumulator;
pub mod decode;
pub mod door;
pub mod flush;
pub mod health;
pub mod ingress;
mod upload;

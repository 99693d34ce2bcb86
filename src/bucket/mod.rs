//! What an operator needs around the bucket: what the store's own library does not do, and what must be right before a gateway
//! starts on it.
//!
//! **Invariants**
//! * The bucket is reached as a gateway reaches it: endpoint, region, path style and credentials come from
//!   [`frazil_log::store::s3_access`], never from a second reading of the environment.
//! * Looking changes nothing: what is written lies under `frazil-probe/` and is removed again; settings are only changed by
//!   [`create`].
//! * What was seen are [`facts`]; what to think of them is [`judge`]d without I/O, so that each judgement has a test.
//!
//! Start reading at [`observe`], which asks, then [`judge`].

mod client;
pub(crate) mod create;
pub(crate) mod facts;
mod fault;
pub(crate) mod judge;
pub(crate) mod observe;
pub(crate) mod policy;

pub(crate) use client::BucketClient;
pub(crate) use fault::{Fault, FaultKind};

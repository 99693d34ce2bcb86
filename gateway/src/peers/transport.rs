//! The way to other gateways, as a trait: gRPC in a process, a faulty network in the simulation.

use std::fmt;

use async_trait::async_trait;
use futures::stream::BoxStream;

use super::message::{ProposeAnswer, ProposeRequest, TailMessage, TailRequest};

/// What a leader pushes, until it ends.
pub type Pushes = BoxStream<'static, Result<TailMessage, Unreachable>>;

/// Reaches other gateways by the addresses that stand in their commits.
///
/// Messages may be lost, doubled, or come late: nothing that depends on one may be wrong without it, or with two.
#[async_trait]
pub trait Transport: Send + Sync + fmt::Debug {
    /// Offers a flush to a leader.
    async fn propose(&self, address: &str, request: ProposeRequest) -> Result<ProposeAnswer, Unreachable>;

    /// Listens to a leader's slots.
    async fn tail(&self, address: &str, request: TailRequest) -> Result<Pushes, Unreachable>;

    /// Asks a gateway to drain.
    async fn drain(&self, address: &str) -> Result<(), Unreachable>;
}

/// The other one did not answer: why.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Unreachable(pub String);

impl fmt::Display for Unreachable {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

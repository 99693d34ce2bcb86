//! What gateways tell each other: protobuf messages, without a compiler for them. Their numbers never change; the version is in the
//! service's name.

use bytes::Bytes;

/// The service.
pub const SERVICE: &str = "frazil.peer.v1.Peer";

/// The most bytes of one message, either way.
pub const MESSAGE_BYTES_MAX: usize = 8 << 20;

/// A flush for the leader.
#[derive(Clone, PartialEq, Eq, prost::Message)]
pub struct ProposeRequest {
    /// The database.
    #[prost(string, tag = "1")]
    pub database: String,
    /// A [`Parcel`](frazil_log::commit::committer::Parcel).
    #[prost(bytes = "bytes", tag = "2")]
    pub parcel: Bytes,
}

/// Whether it was taken.
#[derive(Clone, PartialEq, Eq, prost::Message)]
pub struct ProposeAnswer {
    /// What became of it.
    #[prost(enumeration = "Taken", tag = "1")]
    pub taken: i32,
    /// Why not, in words.
    #[prost(string, tag = "2")]
    pub why: String,
}

/// What became of a hand-over at the leader.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, prost::Enumeration)]
#[repr(i32)]
pub enum Taken {
    /// A number that this version does not know: not taken.
    Unspecified = 0,
    /// It waits for a slot there.
    Accepted = 1,
    /// The leader is going down.
    Draining = 2,
    /// The leader cannot write the store.
    ReadOnly = 3,
    /// The leader's buffer is full.
    Overloaded = 4,
    /// The leader does not have that database open, or it is another log.
    NoSuchDatabase = 5,
    /// It is not a parcel.
    Invalid = 6,
}

impl Taken {
    /// As a metric's label.
    pub fn label(self) -> &'static str {
        match self {
            Self::Unspecified | Self::Invalid => "invalid",
            Self::Accepted => "accepted",
            Self::Draining => "draining",
            Self::ReadOnly => "read-only",
            Self::Overloaded => "overloaded",
            Self::NoSuchDatabase => "no-such-database",
        }
    }
}

impl ProposeAnswer {
    /// An answer with its reason.
    pub fn new(taken: Taken, why: impl Into<String>) -> Self {
        Self { taken: taken.into(), why: why.into() }
    }
}

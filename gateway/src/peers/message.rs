//! What gateways tell each other: protobuf messages, without a compiler for them. Their numbers never change; the version is in the
//! service's name.

use std::time::Duration;

use bytes::Bytes;

use crate::produce::accumulator::Upcoming;

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
    /// It leaves in so long; 0 where that is not known.
    #[prost(uint64, tag = "3")]
    pub flush_in_us: u64,
    /// What comes after it leaves so much later; 0 where that need not wait.
    #[prost(uint64, tag = "4")]
    pub flush_pause_us: u64,
}

/// What a listener wants to hear.
#[derive(Clone, PartialEq, Eq, prost::Message)]
pub struct TailRequest {
    /// The database.
    #[prost(string, tag = "1")]
    pub database: String,
    /// Whether readers wait: rows of small commits come along.
    #[prost(bool, tag = "2")]
    pub rows: bool,
}

/// A slot that the leader has folded. The first of a stream has no head: its pushes begin at `slot`.
#[derive(Clone, PartialEq, Eq, prost::Message)]
pub struct TailMessage {
    /// The slot.
    #[prost(uint64, tag = "1")]
    pub slot: u64,
    /// Envelope and header, as they stand in the slot.
    #[prost(bytes = "bytes", tag = "2")]
    pub head: Bytes,
    /// The rows.
    #[prost(message, optional, tag = "3")]
    pub rows: Option<SlotRows>,
    /// The leader is going down: nothing more comes.
    #[prost(bool, tag = "4")]
    pub draining: bool,
}

/// The rows of a slot.
#[derive(Clone, PartialEq, Eq, prost::Message)]
pub struct SlotRows {
    /// The body, as it stands in the slot.
    #[prost(bytes = "bytes", tag = "1")]
    pub body: Bytes,
}

/// Nothing.
#[derive(Clone, Copy, PartialEq, Eq, prost::Message)]
pub struct Empty {}

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
        Self { taken: taken.into(), why: why.into(), ..Self::default() }
    }

    /// It was taken, and leaves then.
    pub fn accepted(upcoming: Upcoming) -> Self {
        let us = |time: Duration| u64::try_from(time.as_micros()).unwrap_or(u64::MAX);
        let (flush_in_us, flush_pause_us) = (us(upcoming.wait), us(upcoming.pause));
        Self { taken: Taken::Accepted.into(), why: String::new(), flush_in_us, flush_pause_us }
    }

    /// When the one that took it flushes.
    pub fn upcoming(&self) -> Upcoming {
        let us = Duration::from_micros;
        Upcoming { wait: us(self.flush_in_us), pause: us(self.flush_pause_us) }
    }
}

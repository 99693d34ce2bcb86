//! The names of things: databases, tables, buckets, slots, proposals.
//!
//! Ids that are easily confused are newtypes. [`Slot`] and [`Offset`] are plain counters with arithmetic everywhere,
//! so they stay aliases; their names in signatures say which is meant.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};
pub use ulid::Ulid;
pub use uuid::Uuid;

use crate::error::{Error, Result};

/// A place in a commit log. Slot 0 creates the log.
pub type Slot = u64;

/// A gapless row number in one (table, bucket, stream). Counts from 0.
pub type Offset = u64;

/// Microseconds since 1970-01-01T00:00:00Z.
pub type TimeMicros = i64;

/// The number of a schema within its table; a table starts with schema 0.
pub type SchemaId = u32;

/// A column's id, never given twice within a table (Iceberg's field ids).
pub type FieldId = i32;

/// A table's number within its database's log; given by the fold, never given twice.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct TableId(pub u64);

/// A horizontal part of a table; the unit of row order.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Bucket(pub u32);

/// Which of a bucket's two offset sequences a slice belongs to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Stream {
    /// The rows that clients wrote.
    Rows = 0,
    /// The changelog that the owner of a primary-key table wrote.
    Changelog = 1,
}

/// One run of one process: a ULID made at its start.
pub type Incarnation = Ulid;

/// The name of a proposal: who took it from the client, and its count there (rule 1).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct ProposalName {
    /// The gateway run that the client spoke to.
    pub incarnation: Incarnation,
    /// Counts from 0 within the incarnation.
    pub n: u64,
}

/// The name of a segment object: the slot its writer had folded, and a ULID (rule 12).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct SegmentId {
    /// The slot that the writer had folded when it named the segment.
    pub base: Slot,
    /// Makes the name unique.
    pub ulid: Ulid,
}

/// A checked name of a database, table or group: `[a-z_][a-z0-9_]*`, at most 128 bytes, not beginning with `__`.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Name(String);

/// The longest database, table or group name, in bytes.
pub const NAME_BYTES_MAX: usize = 128;

impl Name {
    /// Checks a name.
    pub fn new(name: impl Into<String>) -> Result<Self> {
        let name = name.into();
        let mut bytes = name.bytes();
        let first_fits = bytes.next().is_some_and(|b| b == b'_' || b.is_ascii_lowercase());
        let rest_fits = bytes.all(|b| b == b'_' || b.is_ascii_lowercase() || b.is_ascii_digit());
        if !first_fits || !rest_fits || name.len() > NAME_BYTES_MAX || name.starts_with("__") {
            return Err(Error::invalid(format!(
                "name {name:?} is not allowed: use [a-z_][a-z0-9_]*, at most {NAME_BYTES_MAX} bytes, not beginning with __"
            )));
        }
        Ok(Self(name))
    }

    /// The name as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl TryFrom<String> for Name {
    type Error = Error;
    fn try_from(name: String) -> Result<Self> {
        Self::new(name)
    }
}

impl FromStr for Name {
    type Err = Error;
    fn from_str(name: &str) -> Result<Self> {
        Self::new(name)
    }
}

impl From<Name> for String {
    fn from(name: Name) -> Self {
        name.0
    }
}

impl fmt::Display for Name {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Display for TableId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.0)
    }
}

impl fmt::Debug for TableId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "table {}", self.0)
    }
}

impl fmt::Display for Bucket {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.0)
    }
}

impl fmt::Debug for Bucket {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "bucket {}", self.0)
    }
}

impl fmt::Display for ProposalName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.incarnation, self.n)
    }
}

impl fmt::Display for SegmentId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:020}-{}", self.base, self.ulid)
    }
}

//! A flush on its way from the gateway that a client spoke to, to the one that writes the slots (rule 14). PURE.
//!
//! Its bytes are those of a commit for slot 0 that is never written: the log's own encoder and decoders, bounds and checksums serve.
//!
//! Invariants, checked before anything in it is used:
//! * it is of the same log, whole, and its slices are the bytes that they claim to be;
//! * each proposal is named by the gateway that sends it: what was handed over once is never handed on;
//! * it holds only what requests make: no roll-up, no beginning of a log.

#[cfg(test)]
mod tests;

use bytes::Bytes;
use xxhash_rust::xxh3::xxh3_64;

use super::Flush;
use crate::error::{Error, Result};
use crate::format::commit::{Commit, CommitHeader, WriterInfo};
use crate::format::entry::Entry;
use crate::format::slice::SliceHome;
use crate::id::{Slot, Ulid, Uuid};

/// What decoders call it.
const NAME: &str = "a handed-over flush";

/// A flush, who hands it over, and in which log.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Parcel {
    /// The log.
    pub log_uuid: Uuid,
    /// Who hands it over.
    pub from: WriterInfo,
    /// What the sender had folded.
    pub folded: (Slot, u128),
    /// The flush.
    pub flush: Flush,
}

impl Parcel {
    /// Its bytes, in pieces.
    ///
    /// # Errors
    /// `Invalid` for a header above the limit.
    pub fn seal(&self) -> Result<Vec<Bytes>> {
        let header = CommitHeader {
            slot: 0,
            log_uuid: self.log_uuid,
            put_id: Ulid::nil(),
            folded: self.folded,
            time: 0,
            writer: self.from.clone(),
            encryption_key_id: String::new(),
            segments: self.flush.segments.clone(),
            slices: self.flush.slices.clone(),
            proposals: self.flush.proposals.clone(),
        };
        Ok(header.seal(self.flush.body.clone())?.pieces().collect())
    }

    /// Reads one.
    ///
    /// # Errors
    /// `Corrupt` for bytes that are not one; `Unsupported` for what a newer version writes; `Invalid` for one that may not be handed
    /// over.
    pub fn open(bytes: &Bytes, log_uuid: Uuid) -> Result<Self> {
        let commit = Commit::decode(NAME, bytes, 0)?;
        commit.envelope.verify(NAME, bytes)?;
        let CommitHeader { log_uuid: found, writer, folded, segments, slices, proposals, .. } = commit.header;
        if found != log_uuid {
            return Err(Error::invalid(format!("{NAME} is of log {found}, this gateway's is {log_uuid}")));
        }
        if proposals.iter().any(|proposal| proposal.name.incarnation != writer.incarnation) {
            return Err(Error::invalid(format!("{NAME} holds a proposal that its sender did not name")));
        }
        let entries = proposals.iter().flat_map(|proposal| &proposal.entries);
        for entry in entries {
            if matches!(entry, Entry::LogCreated { .. } | Entry::RolledUp { .. }) {
                return Err(Error::invalid(format!("{NAME} holds an entry that no request makes")));
            }
        }
        let body = body_of(bytes, commit.envelope.body_start())?;
        for slice in slices.iter().filter(|slice| slice.home == SliceHome::Here) {
            let range = slice.object_range(0);
            let rows = usize::try_from(range.start).ok().zip(usize::try_from(range.end).ok());
            let rows = rows.and_then(|(start, end)| body.get(start..end));
            if rows.map(xxh3_64) != Some(slice.checksum) {
                return Err(Error::corrupt(format!(
                    "{NAME}: the rows at {range:?} are not what its slice says"
                )));
            }
        }
        let body = if body.is_empty() { Vec::new() } else { vec![body] };
        Ok(Self { log_uuid, from: writer, folded, flush: Flush { proposals, segments, slices, body } })
    }
}

fn body_of(bytes: &Bytes, start: u64) -> Result<Bytes> {
    let start = usize::try_from(start).ok().filter(|start| *start <= bytes.len());
    start.map(|start| bytes.slice(start..)).ok_or_else(|| Error::corrupt(format!("{NAME} has no body")))
}

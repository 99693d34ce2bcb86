//! Checkpoints: the fold's state written down, and the list of index pages.
//!
//! ```text
//!   header: log uuid · slot · log hash · writer's version · lengths of state and list
//!   body:   state (canonical bytes, compared by rule 9) ‖ page list: from · to · level · bytes …
//! ```
//!
//! A checkpoint *of slot S* covers every slot below S: who loads it folds S next. The page list is advice: two checkpoints of
//! one slot may differ in it, never in the state.

use std::ops::Range;

use bytes::Bytes;
use serde::Serialize;

use super::envelope::{self, ENVELOPE_BYTES, Envelope, ObjectKind, Sealed};
use super::hex;
use super::wire::{Reader, Writer};
use crate::error::{Error, Result};
use crate::id::{Slot, Uuid};

/// What a checkpoint says before its state.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct CheckpointHeader {
    /// The log.
    pub log_uuid: Uuid,
    /// It covers the slots below this.
    pub slot: Slot,
    /// The log hash there.
    #[serde(serialize_with = "hex::u128")]
    pub log_hash: u128,
    /// The version of the program that wrote it.
    pub version: String,
    /// Bytes of the state.
    pub state_bytes: u64,
    /// Bytes of the page list.
    pub list_bytes: u64,
}

impl CheckpointHeader {
    /// The byte at which the state begins in an object of so many bytes.
    pub fn state_start(&self, object_bytes: u64) -> u64 {
        object_bytes.saturating_sub(self.list_bytes).saturating_sub(self.state_bytes)
    }
}

/// An index page, by the slots that it covers.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
pub struct PageRef {
    /// The first slot.
    pub from: Slot,
    /// The slot after the last.
    pub to: Slot,
    /// 0 as written with a checkpoint; n + 1 merged from pages of level n.
    pub level: u8,
    /// The object's length in bytes.
    pub bytes: u64,
}

impl PageRef {
    /// The slots.
    pub fn slots(&self) -> Range<Slot> {
        self.from..self.to
    }
}

/// A whole checkpoint.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Checkpoint {
    /// Its header.
    pub header: CheckpointHeader,
    /// The feature bits that a reader of the state must know.
    pub features: u64,
    /// The state's canonical bytes.
    pub state: Bytes,
    /// The pages that cover the slots below it, oldest first, without a gap.
    pub pages: Vec<PageRef>,
}

/// Seals a checkpoint, written by this version. `features`: what a reader of the state must know.
pub fn seal_checkpoint(
    log_uuid: Uuid,
    slot: Slot,
    log_hash: u128,
    state: Bytes,
    features: u64,
    pages: &[PageRef],
) -> Result<Sealed> {
    let header = CheckpointHeader {
        log_uuid,
        slot,
        log_hash,
        version: env!("CARGO_PKG_VERSION").to_owned(),
        state_bytes: state.len() as u64,
        list_bytes: 0,
    };
    Checkpoint { header, features, state, pages: pages.to_vec() }.seal()
}

impl Checkpoint {
    /// Seals it; the lengths in its header are taken from its parts.
    pub fn seal(&self) -> Result<Sealed> {
        let mut list = Writer::new();
        list.count(self.pages.len());
        for page in &self.pages {
            list.varint(page.from);
            list.varint(page.to);
            list.u8(page.level);
            list.varint(page.bytes);
        }
        let list = Bytes::from(list.into_bytes());
        let mut header = Writer::new();
        header.uuid(self.header.log_uuid);
        header.varint(self.header.slot);
        header.u128(self.header.log_hash);
        header.text(&self.header.version);
        header.count(self.state.len());
        header.count(list.len());
        envelope::seal_with(ObjectKind::Checkpoint, self.features, header, vec![self.state.clone(), list])
    }

    /// Reads the whole checkpoint of `slot`, verified.
    pub fn decode(object: &str, bytes: &Bytes, slot: Slot) -> Result<Self> {
        let envelope = Envelope::decode(object, bytes, ObjectKind::Checkpoint)?;
        envelope.verify(object, bytes)?;
        let mut r = Reader::new(object, ENVELOPE_BYTES as u64, envelope.header(object, bytes)?);
        let here = r.clone();
        let header = CheckpointHeader {
            log_uuid: r.uuid()?,
            slot: r.varint()?,
            log_hash: r.u128()?,
            version: r.text()?,
            state_bytes: r.varint()?,
            list_bytes: r.varint()?,
        };
        envelope::finish_header(r)?;
        if header.slot != slot
            || header.state_bytes.checked_add(header.list_bytes) != Some(envelope.body_bytes)
        {
            return Err(
                here.corrupt(&format!("the checkpoint of slot {slot}"), format!("slot {}", header.slot))
            );
        }
        let start =
            usize::try_from(envelope.body_start()).map_err(|_| Error::internal("headers fit memory"))?;
        let split =
            start + usize::try_from(header.state_bytes).map_err(|_| Error::internal("bodies fit memory"))?;
        let mut r = Reader::new(object, split as u64, &bytes[split..]);
        let here = r.clone();
        let pages = r.sequence(4, |r| {
            Ok(PageRef { from: r.varint()?, to: r.varint()?, level: r.u8()?, bytes: r.varint()? })
        })?;
        let tiled = pages
            .iter()
            .try_fold(0, |end, page| (page.from == end && page.from < page.to).then_some(page.to));
        if tiled != Some(slot) {
            return Err(here.corrupt(&format!("pages that tile the slots below {slot}"), "others"));
        }
        r.finish()?;
        Ok(Self { header, features: envelope.features, state: bytes.slice(start..split), pages })
    }
}

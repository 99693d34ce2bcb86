//! The header of a segment: rows outside of a commit.
//!
//! ```text
//!   log uuid · base · ulid · encryption key id
//!   sources: for each object that the rows came from: slot and put_id, or segment (none for a fresh flush)
//!   slices …      the body offsets count from the segment's own body
//! ```

use bytes::Bytes;
use serde::Serialize;

use super::commit::{decode_segment, encode_segment};
use super::envelope::{self, ENVELOPE_BYTES, Envelope, ObjectKind, Sealed};
use super::slice::{SLICE_BYTES_MIN, Slice, SliceHome};
use super::wire::{Reader, Writer};
use crate::error::Result;
use crate::id::{SegmentId, Slot, Ulid, Uuid};

/// What a segment says before its rows.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct SegmentHeader {
    /// The log that it belongs to.
    pub log_uuid: Uuid,
    /// Its name, again: an object under another key is not this segment.
    pub id: SegmentId,
    /// The key that the body is encrypted with; empty: none.
    pub encryption_key_id: String,
    /// Where the rows came from; empty for a fresh flush.
    pub sources: Vec<ObjectId>,
    /// The slices, all at home here.
    pub slices: Vec<Slice>,
}

/// An object that rows lie in, with the identity that makes a ghost or a stranger visible (rule 27).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum ObjectId {
    /// The commit in a slot.
    Commit {
        /// The slot.
        slot: Slot,
        /// The PUT that was folded there.
        put_id: Ulid,
    },
    /// A segment.
    Segment(SegmentId),
}

impl ObjectId {
    pub(crate) fn encode(self, w: &mut Writer) {
        match self {
            Self::Commit { slot, put_id } => {
                w.u8(0);
                w.varint(slot);
                w.ulid(put_id);
            }
            Self::Segment(id) => {
                w.u8(1);
                encode_segment(id, w);
            }
        }
    }

    pub(crate) fn decode(r: &mut Reader<'_>) -> Result<Self> {
        let (here, tag) = r.tag()?;
        match tag {
            0 => Ok(Self::Commit { slot: r.varint()?, put_id: r.ulid()? }),
            1 => Ok(Self::Segment(decode_segment(r)?)),
            other => Err(here.unknown("object kind", other)),
        }
    }
}

impl SegmentHeader {
    /// Seals the header with its body.
    ///
    /// # Errors
    /// `Internal` if what was sealed could not be read back: it must not be written.
    pub fn seal(&self, body: Vec<Bytes>) -> Result<Sealed> {
        let mut w = Writer::new();
        w.uuid(self.log_uuid);
        encode_segment(self.id, &mut w);
        w.text(&self.encryption_key_id);
        w.count(self.sources.len());
        self.sources.iter().for_each(|source| source.encode(&mut w));
        w.count(self.slices.len());
        self.slices.iter().for_each(|slice| slice.encode(&mut w));
        let sealed = envelope::seal(ObjectKind::Segment, w, body)?;
        Self::decode("a segment not yet written", &sealed.head, self.id)
            .map_err(|error| envelope::not_readable(&error))?;
        Ok(sealed)
    }

    /// Reads envelope and header out of a prefix of the segment `id`.
    pub fn decode(object: &str, prefix: &[u8], id: SegmentId) -> Result<(Envelope, Self)> {
        let envelope = Envelope::decode(object, prefix, ObjectKind::Segment)?;
        let mut r = Reader::new(object, ENVELOPE_BYTES as u64, envelope.header(object, prefix)?);
        let here = r.clone();
        let header = Self {
            log_uuid: r.uuid()?,
            id: decode_segment(&mut r)?,
            encryption_key_id: r.text()?,
            sources: r.sequence(18, ObjectId::decode)?,
            slices: r.sequence(SLICE_BYTES_MIN, Slice::decode)?,
        };
        envelope::finish_header(r)?;
        if header.id != id {
            return Err(here.corrupt(&format!("segment {id}"), header.id));
        }
        if header.slices.iter().any(|slice| slice.home != SliceHome::Here) {
            return Err(here.corrupt("slices at home in the segment", "one in another"));
        }
        if header.slices.iter().any(|slice| slice.object_range(0).end > envelope.body_bytes) {
            return Err(here.corrupt("slices within the body", "one beyond it"));
        }
        Ok((envelope, header))
    }
}

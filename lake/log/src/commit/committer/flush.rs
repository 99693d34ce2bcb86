//! What goes into one slot, and how several become one. PURE.

use bytes::Bytes;

use crate::error::{Error, Result};
use crate::format::commit::{Proposal, SegmentRef};
use crate::format::slice::{Slice, SliceHome};

/// What goes into one slot: proposals, the slices they name, the rows.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Flush {
    /// In the order in which they are folded.
    pub proposals: Vec<Proposal>,
    /// Segments that were uploaded before.
    pub segments: Vec<SegmentRef>,
    /// The slices.
    pub slices: Vec<Slice>,
    /// The rows of the slices at home in the commit.
    pub body: Vec<Bytes>,
}

impl Flush {
    /// How long the rows are that travel inside the commit.
    pub fn body_bytes(&self) -> u64 {
        self.body.iter().map(|piece| piece.len() as u64).sum()
    }

    /// Puts another flush behind this one, so that both take one slot. Its proposals keep their names; the places that they name
    /// move. Slices of one bucket stay apart: joining them would mean decoding rows.
    ///
    /// # Errors
    /// `Invalid` for more slices or segments than a header can number; the flush is as it was then.
    pub fn append(&mut self, other: Self) -> Result<()> {
        let too_many = |_| Error::invalid("a flush holds below 2^32 slices and segments");
        u32::try_from(self.slices.len() + other.slices.len()).map_err(too_many)?;
        u32::try_from(self.segments.len() + other.segments.len()).map_err(too_many)?;
        let slices_before = u32::try_from(self.slices.len()).map_err(too_many)?;
        let segments_before = u32::try_from(self.segments.len()).map_err(too_many)?;
        // Whoever built this one ended it at a multiple of 8, as all slices end; one that did not is padded.
        let body_before = self.body_bytes().next_multiple_of(8);
        let padding = usize::try_from(body_before - self.body_bytes()).unwrap_or(0);
        if padding > 0 && !other.body.is_empty() {
            self.body.push(Bytes::from(vec![0; padding]));
        }
        for mut slice in other.slices {
            match &mut slice.home {
                SliceHome::Here => slice.body_offset = slice.body_offset.saturating_add(body_before),
                SliceHome::Segment(index) => *index = index.saturating_add(segments_before),
            }
            self.slices.push(slice);
        }
        for mut proposal in other.proposals {
            let slices = proposal.entries.iter_mut().flat_map(|entry| entry.slices_mut());
            slices.for_each(|slice| *slice = slice.saturating_add(slices_before));
            self.proposals.push(proposal);
        }
        self.segments.extend(other.segments);
        self.body.extend(other.body);
        Ok(())
    }
}

//! Names of proposals, and the first fate of each (rule 1).
//!
//! Invariant: a name is remembered as long as a copy of its proposal could still be taken: until `base + window` is below the
//! next slot. So the memory is bounded by the window, and no copy is ever judged twice.

use std::collections::{BTreeMap, BTreeSet};

use super::verdict::Fate;
use crate::error::Result;
use crate::format::commit::{decode_name, encode_name};
use crate::format::wire::{Reader, Writer};
use crate::id::{ProposalName, Slot};

/// The least bytes of an encoded name: incarnation, count, base, fate.
const NAME_BYTES_MIN: usize = 19;

/// The remembered names.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Names {
    fates: BTreeMap<ProposalName, (Slot, Fate)>,
    by_base: BTreeSet<(Slot, ProposalName)>,
}

impl Names {
    /// The fate of a name, if it has one.
    pub fn get(&self, name: &ProposalName) -> Option<&Fate> {
        self.fates.get(name).map(|(_, fate)| fate)
    }

    /// How many are remembered.
    pub fn len(&self) -> usize {
        self.fates.len()
    }

    /// Whether none is.
    pub fn is_empty(&self) -> bool {
        self.fates.is_empty()
    }

    pub(super) fn remember(&mut self, name: ProposalName, base: Slot, fate: Fate) {
        self.fates.insert(name, (base, fate));
        self.by_base.insert((base, name));
    }

    /// Each name with its base and fate, ascending.
    pub fn iter(&self) -> impl Iterator<Item = (&ProposalName, Slot, &Fate)> {
        self.fates.iter().map(|(name, (base, fate))| (name, *base, fate))
    }

    pub(super) fn forget_before(&mut self, next: Slot, window: Slot) {
        while let Some((base, name)) = self.by_base.first().copied()
            && base.saturating_add(window) < next
        {
            self.by_base.pop_first();
            self.fates.remove(&name);
        }
    }

    pub(super) fn encode(&self, w: &mut Writer) {
        w.count(self.fates.len());
        for (name, (base, fate)) in &self.fates {
            encode_name(*name, w);
            w.varint(*base);
            fate.encode(w);
        }
    }

    /// Reads the names of a state whose next slot is `next`.
    pub(super) fn decode(r: &mut Reader<'_>, next: Slot) -> Result<Self> {
        let mut names = Self::default();
        for _ in 0..r.count(NAME_BYTES_MIN)? {
            let here = r.clone();
            let (name, base) = (decode_name(r)?, r.varint()?);
            if names.fates.last_key_value().is_some_and(|(last, _)| *last >= name) {
                return Err(here.corrupt("names ascending, each once", name));
            }
            if base >= next {
                return Err(here.corrupt(&format!("a name given before slot {next}"), base));
            }
            names.remember(name, base, Fate::decode(r)?);
        }
        Ok(names)
    }
}

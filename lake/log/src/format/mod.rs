//! Bytes: what every object in the bucket looks like. PURE.
//!
//! Invariants:
//! * header first: everything that the fold needs stands in the first bytes of an object;
//! * versioned forever: the golden files of every version ever written stay readable, and never change;
//! * nothing is skipped: an unknown kind, version, feature or field stops the reader with words (rule 8);
//! * hostile bytes cost an error that names object, byte, expected and found: no panic, no unbounded allocation.
//!
//! Start reading at [`envelope`], then [`commit`] and [`entry`]; [`mod@slice`] draws the rows, [`page`] and [`checkpoint`] what is
//! derived from them. [`wire`] is the alphabet.

pub mod checkpoint;
pub mod commit;
pub mod entry;
pub mod envelope;
mod hex;
pub mod page;
pub mod positions;
pub mod segment;
pub mod slice;
pub(crate) mod spec;
pub mod wire;

#[cfg(test)]
pub(crate) mod tests;

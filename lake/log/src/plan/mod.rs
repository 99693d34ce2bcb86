//! Decisions about what to read, rewrite and delete, as functions of values. PURE.
//!
//! Start reading at [`places`] (where rows lie, layer over layer) and [`columns`] (how a slice of any schema is read); [`pages`] says which index pages to merge, [`rollup`] which
//! rows to write anew, [`retention`] which need not be kept, [`trim`] what may go.

pub mod columns;
pub mod pages;
pub mod places;
pub mod retention;
pub mod rollup;
pub mod trim;

#[cfg(test)]
mod tests;

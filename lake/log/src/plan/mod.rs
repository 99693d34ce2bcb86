//! Decisions about what to read, rewrite and delete, as functions of values. PURE.
//!
//! Start reading at [`places`] (where rows lie, layer over layer); [`pages`] says which index pages to merge, [`rollup`] which
//! rows to write anew, [`trim`] what may go.

pub mod pages;
pub mod places;
pub mod rollup;
pub mod trim;

#[cfg(test)]
mod tests;

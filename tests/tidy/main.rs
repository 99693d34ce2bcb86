//! The rules of this repository, as tests: what a reviewer would otherwise say twice.
//!
//! Each rule reads the tree as text, names every place that breaks it, and says what to do. A rule that finds nothing to look at fails.

mod crates;
mod docs;
mod modules;
mod purity;
mod size;
mod tree;

/// Fails with every complaint, one a line.
pub(crate) fn none(complaints: &[String], rule: &str) {
    assert!(complaints.is_empty(), "{rule}\n  {}", complaints.join("\n  "));
}

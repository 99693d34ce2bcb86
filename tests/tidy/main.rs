//! The rules of this repository, as tests: what a reviewer would otherwise say twice.
//!
//! Each rule reads the tree as text, names every place that breaks it, and says what to do. A rule that finds nothing to look at fails.

#[cfg(test)]
mod config;
#[cfg(test)]
mod crates;
#[cfg(test)]
mod docs;
#[cfg(test)]
mod modules;
#[cfg(test)]
mod purity;
#[cfg(test)]
mod size;
#[cfg(test)]
mod tree;

/// Fails with every complaint, one a line.
#[cfg(test)]
pub(crate) fn none(complaints: &[String], rule: &str) {
    assert!(complaints.is_empty(), "{rule}\n  {}", complaints.join("\n  "));
}

//! Frazil's worker. Today: the [janitor](Janitor), the compactor's jobs without Iceberg.
//!
//! Invariants:
//! * any number of workers may run, and any one may be killed at any time: each act is a proposal that the fold takes or
//!   refuses, an object created under its own name, or a delete of what nobody may need any more;
//! * nothing is deleted but below a checkpoint of a day that was read back (rule 11), or unreferenced and past the window (12);
//! * rows stop being kept by an entry in the log alone, never by a delete;
//! * memory is bounded by one segment and one group of pages at a time.
//!
//! Start reading at [`Janitor::round`].

mod janitor;
mod metrics;
mod pages;
mod retention;
mod rollup;
mod sweep;
mod trim;

#[cfg(test)]
mod tests;

pub use janitor::{Janitor, JanitorOptions, Report};
pub use metrics::Metrics;

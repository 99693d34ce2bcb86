//! How a table may change: which spec may follow which, and what a list of changes makes of one. PURE.
//!
//! Invariants:
//! * [`check_successor`] is the fold's: it decides verdicts, so it depends on two specs and nothing else, and never changes without a
//!   feature bit;
//! * whatever it takes, rows of the older schema are valid rows of the newer: columns that came are null, types only widened,
//!   `NOT NULL` only ever goes. So old rows are read for ever, and rows in flight may be taken as long as
//!   [nothing of them would be lost](keeps_all);
//! * what [`alter()`] makes, [`check_successor`] takes.

mod adapt;
mod alter;
mod path;
mod successor;
#[cfg(test)]
mod tests;

pub use adapt::{absent, adapt};
pub use alter::{Add, AlterRequest, CHANGES_MAX, Change, Move, Rename, Unset, Widen, alter};
pub use successor::{check_successor, keeps_all};

/// Schemas that a table may have had.
pub const SCHEMAS_MAX: usize = 1_000;

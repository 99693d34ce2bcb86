//! Frazil's commit log.
pub mod commit;
pub mod env;
pub mod error;
pub mod format;
#[doc(hidden)]
pub mod fuzz;
pub mod id;
pub mod plan;
pub mod planted;
pub mod protocol;
pub mod schema;
pub mod segment;
pub mod state;
pub mod store;

pub use error::{Error, ErrorKind, Result};

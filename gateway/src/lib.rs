//! (written next)
pub mod metrics;
pub mod produce;

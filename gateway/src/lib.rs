//! (written next)
pub mod consume;
pub mod metrics;
pub mod produce;

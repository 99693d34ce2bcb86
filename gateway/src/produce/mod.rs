//! (written next)
pub mod accumulator;
pub mod door;
pub mod flush;
pub mod health;
pub mod ingress;
mod upload;

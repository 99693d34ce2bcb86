//! Frazil's doors, and what lies right behind them: rows in (produce) and rows out (consume).
//!
//! Invariants:
//! * a door translates only: it turns a request into a call of [`app::Application`] and the answer into bytes;
//! * what one side writes the other reads: [`consume::encode`] and [`produce::decode`] are each other's reverse;
//! * bytes from the network never panic the process, and decode to a bounded amount of memory.
//!
//! Start reading at [`server`] (connections), [`app`] (what the doors need), [`http`] and [`flight`], then [`service`] (what the doors open onto), [`produce`] and [`consume`]; problems are in
//! [`error`]; [`peers`] are other gateways.

pub mod app;
pub mod consume;
pub mod error;
pub mod flight;
pub mod http;
pub mod memory;
pub mod metrics;
pub mod peers;
pub mod produce;
pub mod server;
pub mod service;
mod worker;

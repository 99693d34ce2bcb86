//! What is kept, for how long, and where: trim, retention, and the cache on a disk of one's own.

mod cache;
mod retention;
mod trim;

use crate::support::frazil::{Start, scaled_binary};
use crate::support::store::Store;

const SCALE: &str = "20000"; // 24 h are 4.3 s, 10 min are 30 ms
const CHECKPOINT_SLOTS: &str = "20";
const PROTOCOL: [(&str, &str); 2] =
    [("FRAZIL_TEST_PROTOCOL_SCALE", SCALE), ("FRAZIL_TEST_CHECKPOINT_SLOTS", CHECKPOINT_SLOTS)];

/// A process whose protocol's ages are divided; nothing else differs.
fn scaled(verb: &str, store: &Store) -> Start {
    let start = Start::new(verb, store).binary(scaled_binary());
    PROTOCOL.iter().fold(start, |start, (name, value)| start.env(name, value))
}

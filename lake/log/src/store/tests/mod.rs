//! Tests of the store: on memory, on a directory, on fakes that misbehave, and over HTTP against a scripted server.

mod backends;
mod fake;
mod http;
mod misbehaving;
mod server;

use std::time::Duration;

use super::{PutPayload, RetryPolicy};
use crate::id::{TimeMicros, Ulid};

/// No test waits longer for anything.
const PATIENCE: Duration = Duration::from_secs(30);

fn payload(text: &str) -> PutPayload {
    PutPayload::from_bytes(bytes::Bytes::copy_from_slice(text.as_bytes()))
}

fn quick_retry() -> RetryPolicy {
    RetryPolicy {
        attempts_max: 3,
        pause_first: Duration::from_millis(1),
        pause_max: Duration::from_millis(2),
        total_max: Duration::from_secs(5),
    }
}

/// The real wall clock: memory and directories stamp objects with it.
#[expect(clippy::disallowed_methods, reason = "the stores under test read it too")]
fn wall() -> TimeMicros {
    chrono::DateTime::<chrono::Utc>::from(std::time::SystemTime::now()).timestamp_micros()
}

fn ulid() -> Ulid {
    Ulid::from(0x0123_4567_89ab_cdef_0123_4567_89ab_cdef_u128)
}

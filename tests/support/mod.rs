//! What the black-box tests stand on: real processes (Frazil, MinIO), a store that breaks its promise, a network that fails, the checker.
//!
//! Invariants: each test owns its processes, directories and ports (port 0, or a port just found free); each wait has a time-out; what a test
//! needs and does not find fails it with the command that gets it. Start at [`frazil::Frazil`] and [`store::Store`].

pub(crate) mod checker;
pub(crate) mod fake_s3;
pub(crate) mod flip;
pub(crate) mod frazil;
pub(crate) mod http;
pub(crate) mod minio;
pub(crate) mod process;
pub(crate) mod proxy;
pub(crate) mod s3_proxy;
pub(crate) mod store;
mod tests;

use std::net::TcpListener;
use std::path::PathBuf;
use std::time::Duration;

use tokio::time::{Instant, sleep};

/// A path below the root of the repository.
pub(crate) fn repository(path: &str) -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join(path)
}

/// A tool that a script gets; fails with the name of the script where it is missing. `variable` may name another.
pub(crate) fn tool(name: &str, variable: &str, script: &str) -> PathBuf {
    let path = setting(variable).map_or_else(|| repository("target/tools").join(name), PathBuf::from);
    assert!(path.exists(), "{} is missing: run {script}", path.display());
    path
}

/// A setting of the tests themselves.
#[expect(
    clippy::disallowed_methods,
    reason = "tests are set by their environment, and this is where they read it"
)]
pub(crate) fn setting(name: &str) -> Option<String> {
    std::env::var(name).ok()
}

/// Tries until `attempt` gives a value, or fails with the last reason.
pub(crate) async fn eventually<T>(
    what: &str,
    within: Duration,
    mut attempt: impl AsyncFnMut() -> Result<T, String>,
) -> T {
    let deadline = Instant::now() + within;
    loop {
        match attempt().await {
            Ok(value) => return value,
            Err(why) if Instant::now() >= deadline => panic!("{what}: not within {within:?}: {why}"),
            Err(_) => sleep(Duration::from_millis(20)).await,
        }
    }
}

/// A port that was free a moment ago.
pub(crate) fn free_port() -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port is free");
    listener.local_addr().expect("a bound socket has an address").port()
}

/// `127.0.0.1` and a port that was free a moment ago: for a process that is started again in its place.
pub(crate) fn free_address() -> String {
    format!("127.0.0.1:{}", free_port())
}

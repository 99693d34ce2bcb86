//! `frazil bench`: what an acknowledgement costs beside a raw PUT, and what a start costs after a long life.
//!
//! Invariants: both sides of a comparison go through the same store, the same wrapper and the same run; what was written is
//! removed again; a target that is missed is said.
//!
//! [`ack`] measures acknowledgements, [`cold`] cold starts, [`ingest`] what rows cost a gateway, [`scan`] reads, [`tables`] a database of
//! many tables; [`s3_like`] plays S3's latency, [`latency`] holds what was measured.

pub(crate) mod ack;
pub(crate) mod cold;
pub(crate) mod end_to_end;
pub(crate) mod fleet;
pub(crate) mod ingest;
pub(crate) mod latency;
pub(crate) mod s3_like;
pub(crate) mod scan;
pub(crate) mod tables;

use frazil_log::env::Env;
use frazil_log::format::commit::WriterInfo;
use frazil_log::id::Name;
use frazil_log::store::{Path, Store};

/// Keys that are deleted at once.
const KEYS_AT_ONCE: usize = 10_000;

/// Removes all objects of a database that a measurement made.
async fn remove(store: &Store, database: &Name) -> frazil_log::Result<()> {
    remove_below(store, &Path::from(database.as_str())).await
}

/// Removes all objects below a prefix.
async fn remove_below(store: &Store, prefix: &Path) -> frazil_log::Result<()> {
    loop {
        let listed = store.list(prefix, None, KEYS_AT_ONCE).await?;
        if listed.is_empty() {
            return Ok(());
        }
        let paths: Vec<Path> = listed.into_iter().map(|listed| listed.path).collect();
        store.delete_many(&paths).await?;
    }
}

/// A name that no database has.
fn fresh_database(kind: &str, ulid: frazil_log::id::Ulid) -> frazil_log::Result<Name> {
    Name::new(format!("{kind}_{}", ulid.to_string().to_lowercase()))
}

/// Who writes, in a benchmark.
fn writer(env: &Env) -> WriterInfo {
    WriterInfo {
        incarnation: env.ulid(),
        version: env!("CARGO_PKG_VERSION").to_owned(),
        address: String::new(),
        zone: String::new(),
        put_p99_us: 0,
    }
}

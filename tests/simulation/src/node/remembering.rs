//! The cache before a process's store, as the composition root puts it there; in memory, so that a run is the same each time.

use std::sync::Arc;

use frazil_cache::planted::{Bug as CacheBug, Planted as CachePlanted};
use frazil_cache::{Access, CacheOptions, CachedStore, Class, Classify, Metrics};
use frazil_log::planted::{Bug, Planted};
use frazil_log::store::paths::Key;
use frazil_log::store::{Fresh, Path, Store};

/// Room for a part of a run's objects, so that it has to let go.
const MEMORY_BYTES: usize = 64 << 10;

/// The store behind a cache.
pub(crate) fn remembering(store: Store, planted: Planted) -> Store {
    let options = CacheOptions { memory_bytes: MEMORY_BYTES, ssd: None, shards: 1 };
    let bugs =
        [(Bug::CacheAbsence, CacheBug::AbsenceRemembered), (Bug::CacheLength, CacheBug::LengthOfWhatCame)];
    let bugs = bugs.into_iter().filter(|(bug, _)| planted.has(*bug));
    let bugs = bugs.fold(CachePlanted::default(), |planted, (_, bug)| planted.with(bug));
    store.wrapped(|objects| {
        Arc::new(CachedStore::planted(objects, classify(), &options, Metrics::default(), bugs))
    })
}

fn classify() -> Classify {
    Arc::new(|path: &Path, access: Access<'_>| {
        let is_fresh = matches!(access, Access::Get(options) if options.extensions.get::<Fresh>().is_some());
        match Key::parse(path) {
            _ if is_fresh => Class::Bypass,
            Some(Key::Log { .. }) => Class::Tail,
            Some(Key::Index { .. }) => Class::Index,
            Some(Key::Segment { .. }) => Class::Scan,
            Some(Key::Checkpoint { .. } | Key::Probe { .. }) | None => Class::Bypass,
        }
    })
}

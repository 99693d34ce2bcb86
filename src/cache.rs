//! The cache before a process's bucket: whether there is one, and what each object is for.
//!
//! Invariant: what must be known as it is now is never answered by what is remembered: checkpoints and probes, whose age counts, and
//! whatever is read `Fresh`.

use std::collections::BTreeMap;
use std::sync::Arc;

use frazil_cache::{Access, CacheOptions, CachedStore, Class, Classify, Metrics, SsdOptions};
use frazil_log::id::{Name, Slot};
use frazil_log::store::paths::Key;
use frazil_log::store::{Fresh, Path, Store};
use parking_lot::Mutex;
use prometheus_client::registry::Registry;

use crate::config::Settings;

/// Slots that are no further behind the newest seen are the tail's; older ones are somebody's catching up. About a checkpoint's
/// distance: what is older is being rolled up.
const TAIL_SLOTS: Slot = 1_024;

/// Puts a cache before the store of a gateway, if the settings want one: on buckets, where each read is a request; on a directory
/// the machine's own cache does it, so only if a `cache_dir` is given; `memory://` is memory.
pub async fn before(
    store: Store,
    settings: &Settings,
    registry: &mut Registry,
) -> (Store, Option<CachedStore>) {
    let metrics = Metrics::default();
    metrics.register(registry);
    let is_bucket = ["s3://", "gs://", "az://"].iter().any(|scheme| settings.store.starts_with(scheme));
    let wanted = is_bucket || settings.cache_dir.is_some();
    if !wanted || settings.cache_memory_bytes == 0 || settings.store.starts_with("memory://") {
        return (store, None);
    }
    let ssd = settings.cache_dir.clone();
    let options = CacheOptions {
        memory_bytes: settings.cache_memory_bytes,
        ssd: ssd.map(|directory| SsdOptions { directory, bytes: settings.cache_bytes }),
        shards: 0,
    };
    let cache = CachedStore::open(store.object_store(), classify(), &options, metrics).await;
    let cached = cache.clone();
    (store.wrapped(|_| Arc::new(cached)), Some(cache))
}

/// What each object of a log is for.
pub fn classify() -> Classify {
    let newest: Mutex<BTreeMap<Name, Slot>> = Mutex::default();
    Arc::new(move |path: &Path, access: Access<'_>| {
        if let Access::Get(options) = access
            && options.extensions.get::<Fresh>().is_some()
        {
            return Class::Bypass;
        }
        match (Key::parse(path), access) {
            (Some(Key::Log { database, slot }), _) => {
                let mut newest = newest.lock();
                let newest = newest.entry(database).or_default();
                *newest = slot.max(*newest);
                if slot.saturating_add(TAIL_SLOTS) >= *newest { Class::Tail } else { Class::Scan }
            }
            (Some(Key::Index { .. }), _) => Class::Index,
            (Some(Key::Segment { .. }), Access::Get(_)) => Class::Scan,
            (Some(Key::Segment { .. }), Access::Put) => Class::Compaction,
            (Some(Key::Checkpoint { .. } | Key::Probe { .. }) | None, _) => Class::Bypass,
        }
    })
}

#[cfg(test)]
mod tests {
    use frazil_log::id::{SegmentId, Ulid};
    use frazil_log::store::paths;
    use object_store::GetOptions;

    use super::*;

    #[test]
    fn the_newest_slots_are_the_tail_and_what_must_be_fresh_is_not_remembered() {
        let (classify, database) = (classify(), Name::new("default").unwrap());
        let plain = GetOptions::default();
        let get = |path: &Path| classify(path, Access::Get(&plain));
        assert_eq!(get(&paths::log(&database, 5)), Class::Tail);
        assert_eq!(classify(&paths::log(&database, 5_000), Access::Put), Class::Tail);
        assert_eq!(get(&paths::log(&database, 5)), Class::Scan);
        assert_eq!(get(&paths::log(&Name::new("other").unwrap(), 5)), Class::Tail);
        assert_eq!(get(&paths::index(&database, 0, 1_000)), Class::Index);
        let segment = paths::segment(&database, SegmentId { base: 1, ulid: Ulid::nil() });
        assert_eq!((get(&segment), classify(&segment, Access::Put)), (Class::Scan, Class::Compaction));
        assert_eq!(get(&paths::checkpoint(&database, 5)), Class::Bypass);
        let mut fresh = GetOptions::default();
        fresh.extensions.insert(Fresh);
        assert_eq!(classify(&paths::log(&database, 5_000), Access::Get(&fresh)), Class::Bypass);
    }
}

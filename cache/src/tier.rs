//! Where pages are kept: memory, and behind it an SSD; two shares of each, so that a scan never drives out the tail.
//!
//! Invariants:
//! * a share's pages in memory never weigh more than its bytes (a property test), and the SSD's files are never longer than theirs;
//! * whatever the SSD does wrong (full, gone, flipped bits) is a miss, never an error and never wrong bytes.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use foyer::{
    BlockEngineConfig, Cache, CacheBuilder, DeviceBuilder, Event, EventListener, FsDeviceBuilder,
    HybridCache, HybridCacheBuilder, HybridCachePolicy, PsyncIoEngineConfig, RecoverMode, S3FifoConfig,
    Source,
};

use crate::metrics::Metrics;
use crate::page::{Page, PageKey};

/// Sizes of a cache.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CacheOptions {
    /// Memory for pages, and for what is on its way to the SSD.
    pub memory_bytes: usize,
    /// A directory of its own on a local SSD; none: memory alone.
    pub ssd: Option<SsdOptions>,
    /// Memory is divided into so many parts that are locked apart; 0: as many as fit.
    pub shards: usize,
}

/// The SSD of a cache.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SsdOptions {
    /// The directory; made if it is not there.
    pub directory: PathBuf,
    /// How many bytes its files may have, at least [`SSD_BYTES_MIN`].
    pub bytes: usize,
}

/// The smallest SSD cache that makes sense, in bytes.
pub const SSD_BYTES_MIN: usize = 64 << 20;

/// What a share of the pages is for, and how large it is.
struct ShareSize {
    name: &'static str,
    memory_percent: usize,
    ssd_percent: usize,
}

/// The tail and index pages: read again and again, by many.
const HOT: ShareSize = ShareSize { name: "hot", memory_percent: 75, ssd_percent: 25 };
/// What somebody catches up with: mostly read once.
const SCAN: ShareSize = ShareSize { name: "scan", memory_percent: 25, ssd_percent: 75 };

/// Both shares.
#[derive(Debug)]
pub(crate) struct Tiers {
    hot: Share,
    scan: Share,
    metrics: Metrics,
}

#[derive(Debug)]
struct Share {
    name: &'static str,
    pages: Pages,
    /// About what can wait for the SSD without being dropped.
    queue_bytes: usize,
    metrics: Metrics,
}

enum Pages {
    Memory(Cache<PageKey, Page>),
    Hybrid(HybridCache<PageKey, Page>),
}

impl std::fmt::Debug for Pages {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Memory(_) => "Memory",
            Self::Hybrid(_) => "Hybrid",
        })
    }
}

struct Evictions(&'static str, Metrics);

impl EventListener for Evictions {
    type Key = PageKey;
    type Value = Page;

    fn on_leave(&self, reason: Event, _: &PageKey, _: &Page) {
        if reason == Event::Evict {
            self.1.evicted(self.0);
        }
    }
}

impl Tiers {
    /// Memory alone.
    pub(crate) fn memory(options: &CacheOptions, metrics: &Metrics) -> Self {
        let share = |size: &ShareSize| Share::memory(size, options, options.memory_bytes, metrics);
        Self { hot: share(&HOT), scan: share(&SCAN), metrics: metrics.clone() }
    }

    /// Memory, and the SSD if it can be used: what it holds from before is found again. Else it is said once, and memory is used.
    pub(crate) async fn open(options: &CacheOptions, metrics: &Metrics) -> Self {
        let Some(ssd) = &options.ssd else { return Self::memory(options, metrics) };
        let opened = async {
            make_writable(&ssd.directory)?;
            let hot = Share::hybrid(&HOT, options, ssd, metrics).await?;
            let scan = Share::hybrid(&SCAN, options, ssd, metrics).await?;
            Ok::<_, foyer::Error>(Self { hot, scan, metrics: metrics.clone() })
        };
        match opened.await {
            Ok(tiers) => tiers,
            Err(error) => {
                tracing::warn!(
                    directory = %ssd.directory.display(), %error,
                    "the cache's directory cannot be used, so the cache is in memory alone; give --cache-dir a directory that can be written, then restart"
                );
                Self::memory(options, metrics)
            }
        }
    }

    /// The page, and the tier it was found in.
    pub(crate) async fn get(&self, key: &PageKey) -> Option<(Page, &'static str)> {
        let found = match self.hot.get(key).await {
            Some(found) => Some(found),
            None => self.scan.get(key).await,
        };
        self.metrics.found(found.as_ref().map_or("none", |(_, tier)| tier));
        found
    }

    /// Keeps a page, with what is in memory of it already.
    pub(crate) fn insert(&self, hot: bool, key: PageKey, page: Page) {
        // Where the page is already, it stays: a scan through the tail brings it nothing new.
        let share = if hot || self.hot.peek(&key).is_some() { &self.hot } else { &self.scan };
        let page = match share.peek(&key) {
            Some(known) => known.with(page),
            None => page,
        };
        share.insert(key, page);
    }

    /// Forgets a page.
    pub(crate) fn remove(&self, key: &PageKey) {
        self.hot.remove(key);
        self.scan.remove(key);
    }

    /// Bytes that the pages in memory weigh, and the most that they may.
    pub(crate) fn usage(&self) -> (usize, usize) {
        let (hot, scan) = (self.hot.usage(), self.scan.usage());
        (hot.0 + scan.0, hot.1 + scan.1)
    }

    /// Writes down what is only in memory.
    pub(crate) async fn close(&self) {
        for share in [&self.hot, &self.scan] {
            if let Pages::Hybrid(pages) = &share.pages {
                share.write_down(pages).await;
                if let Err(error) = pages.close().await {
                    tracing::warn!(%error, "the cache could not be written down; the next start begins with what is there");
                }
            }
        }
    }
}

impl Share {
    fn memory(size: &ShareSize, options: &CacheOptions, bytes: usize, metrics: &Metrics) -> Self {
        let bytes = bytes / 100 * size.memory_percent;
        let shards = shards(options, bytes);
        let share_bytes = bytes / shards;
        let pages = CacheBuilder::new(bytes)
            .with_shards(shards)
            .with_eviction_config(S3FifoConfig::default())
            .with_weighter(|key: &PageKey, page: &Page| page.weight(key))
            .with_filter(move |key: &PageKey, page: &Page| page.weight(key) <= share_bytes)
            .with_event_listener(Arc::new(Evictions(size.name, metrics.clone())))
            .build();
        Self { name: size.name, pages: Pages::Memory(pages), queue_bytes: 0, metrics: metrics.clone() }
    }

    async fn hybrid(
        size: &ShareSize,
        options: &CacheOptions,
        ssd: &SsdOptions,
        metrics: &Metrics,
    ) -> foyer::Result<Self> {
        // What waits to be written is memory too: a queue and a buffer for each share.
        let buffer = (options.memory_bytes / 16).clamp(2 << 20, 64 << 20);
        let bytes = options.memory_bytes.saturating_sub(4 * buffer).max(8 << 20) / 100 * size.memory_percent;
        let shards = shards(options, bytes);
        let share_bytes = bytes / shards;
        let ssd_bytes = ssd.bytes.max(SSD_BYTES_MIN) / 100 * size.ssd_percent;
        let device = FsDeviceBuilder::new(ssd.directory.join(size.name)).with_capacity(ssd_bytes).build()?;
        let engine = BlockEngineConfig::new(device)
            .with_block_size((ssd_bytes / 8).clamp(2 << 20, 16 << 20))
            .with_buffer_pool_size(buffer)
            .with_submit_queue_size_threshold(buffer);
        let pages = HybridCacheBuilder::new()
            .with_name(size.name)
            .with_policy(HybridCachePolicy::WriteOnEviction)
            .with_flush_on_close(true)
            .with_event_listener(Arc::new(Evictions(size.name, metrics.clone())))
            .with_metrics_registry(metrics.of_foyer())
            .memory(bytes)
            .with_shards(shards)
            .with_eviction_config(S3FifoConfig::default())
            .with_weighter(|key: &PageKey, page: &Page| page.weight(key))
            .with_filter(move |key: &PageKey, page: &Page| page.weight(key) <= share_bytes)
            .storage()
            .with_io_engine_config(PsyncIoEngineConfig::new())
            .with_engine_config(engine)
            .with_recover_mode(RecoverMode::Quiet)
            .build()
            .await?;
        Ok(Self {
            name: size.name,
            pages: Pages::Hybrid(pages),
            queue_bytes: buffer / 4,
            metrics: metrics.clone(),
        })
    }

    /// Writes the pages in memory to the SSD, no faster than it takes them: what its queue has no room for is dropped silently.
    async fn write_down(&self, pages: &HybridCache<PageKey, Page>) {
        loop {
            let (mut left, mut went) = (self.queue_bytes, false);
            let fits = |key: &PageKey, page: &Page| {
                let goes = left > 0;
                left = left.saturating_sub(page.weight(key));
                went |= goes;
                goes
            };
            pages.memory().flush_if(fits).await;
            if !went {
                return;
            }
            pages.storage().wait().await;
        }
    }

    async fn get(&self, key: &PageKey) -> Option<(Page, &'static str)> {
        match &self.pages {
            Pages::Memory(pages) => pages.get(key).map(|entry| (entry.value().clone(), "memory")),
            Pages::Hybrid(pages) => match pages.get(key).await {
                Ok(entry) => entry.map(|entry| {
                    let tier = if entry.source() == Source::Disk { "ssd" } else { "memory" };
                    (entry.value().clone(), tier)
                }),
                Err(error) => {
                    tracing::debug!(%error, "the cache's SSD could not give a page back");
                    self.metrics.ssd_failed();
                    None
                }
            },
        }
    }

    /// The page, if it is in memory.
    fn peek(&self, key: &PageKey) -> Option<Page> {
        match &self.pages {
            Pages::Memory(pages) => pages.get(key).map(|entry| entry.value().clone()),
            Pages::Hybrid(pages) => pages.memory().get(key).map(|entry| entry.value().clone()),
        }
    }

    fn insert(&self, key: PageKey, page: Page) {
        match &self.pages {
            Pages::Memory(pages) => drop(pages.insert(key, page)),
            Pages::Hybrid(pages) => drop(pages.insert(key, page)),
        }
        self.metrics.holds(self.name, self.usage().0);
    }

    fn remove(&self, key: &PageKey) {
        match &self.pages {
            Pages::Memory(pages) => drop(pages.remove(key)),
            Pages::Hybrid(pages) => pages.remove(key),
        }
    }

    /// Bytes that its pages in memory weigh, and the most that they may.
    fn usage(&self) -> (usize, usize) {
        match &self.pages {
            Pages::Memory(pages) => (pages.usage(), pages.capacity()),
            Pages::Hybrid(pages) => (pages.memory().usage(), pages.memory().capacity()),
        }
    }
}

/// Parts that are locked apart, each with room for a few pages.
fn shards(options: &CacheOptions, bytes: usize) -> usize {
    if options.shards > 0 { options.shards } else { (bytes / (16 << 20)).clamp(1, 16) }
}

/// Whether files can be made in a directory, before anything relies on it.
fn make_writable(directory: &Path) -> foyer::Result<()> {
    let probe = directory.join("frazil-cache-probe");
    let tried = std::fs::create_dir_all(directory)
        .and_then(|()| std::fs::write(&probe, b"frazil"))
        .and_then(|()| std::fs::remove_file(&probe));
    tried.map_err(foyer::Error::io_error)
}

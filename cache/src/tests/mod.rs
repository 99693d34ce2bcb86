//! The cache before a store that counts, waits and fails.

mod reading;
mod ssd;
mod versions;

use std::fmt;
use std::ops::Range;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use futures::stream::BoxStream;
use object_store::memory::InMemory;
use object_store::path::Path;
use object_store::{
    CopyOptions, Error, GetOptions, GetRange, GetResult, ListResult, MultipartUpload, ObjectMeta,
    ObjectStore, ObjectStoreExt, PutMode, PutMultipartOptions, PutOptions, PutPayload, PutResult, Result,
};
use parking_lot::Mutex;

use crate::{Access, CacheOptions, CachedStore, Class, Classify, Metrics};

const P: u64 = crate::page::PAGE_BYTES;

/// A store that counts what it is asked, takes its time, and fails when told to.
#[derive(Debug, Default)]
pub(super) struct Probe {
    inner: InMemory,
    gets: Mutex<Vec<Option<GetRange>>>,
    under_way: AtomicUsize,
    slow: AtomicBool,
    slow_back: AtomicBool,
    hangs: AtomicBool,
    fails: AtomicBool,
}

impl Probe {
    fn gets(&self) -> usize {
        self.gets.lock().len()
    }

    fn take_gets(&self) -> Vec<Option<GetRange>> {
        std::mem::take(&mut self.gets.lock())
    }

    async fn lay(&self, path: &str, bytes: Vec<u8>) {
        self.inner.put(&Path::from(path), bytes.into()).await.unwrap();
    }
}

impl fmt::Display for Probe {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a probe")
    }
}

#[async_trait]
impl ObjectStore for Probe {
    async fn put_opts(&self, path: &Path, payload: PutPayload, options: PutOptions) -> Result<PutResult> {
        self.inner.put_opts(path, payload, options).await
    }

    async fn put_multipart_opts(
        &self,
        path: &Path,
        options: PutMultipartOptions,
    ) -> Result<Box<dyn MultipartUpload>> {
        self.inner.put_multipart_opts(path, options).await
    }

    async fn get_opts(&self, path: &Path, options: GetOptions) -> Result<GetResult> {
        self.gets.lock().push(options.range.clone());
        self.under_way.fetch_add(1, Ordering::SeqCst);
        if self.slow.load(Ordering::SeqCst) {
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
        if self.fails.load(Ordering::SeqCst) {
            return Err(Error::Generic { store: "probe", source: "it was told to fail".into() });
        }
        if self.hangs.load(Ordering::SeqCst) {
            std::future::pending::<()>().await;
        }
        let result = self.inner.get_opts(path, options).await;
        if self.slow_back.load(Ordering::SeqCst) {
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
        result
    }

    fn delete_stream(&self, paths: BoxStream<'static, Result<Path>>) -> BoxStream<'static, Result<Path>> {
        self.inner.delete_stream(paths)
    }

    fn list(&self, prefix: Option<&Path>) -> BoxStream<'static, Result<ObjectMeta>> {
        self.inner.list(prefix)
    }

    async fn list_with_delimiter(&self, prefix: Option<&Path>) -> Result<ListResult> {
        self.inner.list_with_delimiter(prefix).await
    }

    async fn copy_opts(&self, from: &Path, to: &Path, options: CopyOptions) -> Result<()> {
        self.inner.copy_opts(from, to, options).await
    }
}

/// Bytes that tell where they are from.
fn content(seed: u64, size: u64) -> Vec<u8> {
    (0..size).map(|at| u8::try_from((at.wrapping_mul(31) ^ (at >> 9) ^ seed) % 256).unwrap()).collect()
}

/// By the first segment of the path.
fn classify() -> Classify {
    Arc::new(|path: &Path, _: Access<'_>| match path.as_ref().split('/').next() {
        Some("scan") => Class::Scan,
        Some("index") => Class::Index,
        Some("compaction") => Class::Compaction,
        Some("bypass") => Class::Bypass,
        _ => Class::Tail,
    })
}

fn in_memory(probe: &Arc<Probe>, memory_bytes: usize) -> CachedStore {
    let options = CacheOptions { memory_bytes, ssd: None, shards: 1 };
    CachedStore::in_memory(
        Arc::clone(probe) as Arc<dyn ObjectStore>,
        classify(),
        &options,
        Metrics::default(),
    )
}

async fn read(store: &impl ObjectStore, path: &str, range: Range<u64>) -> Result<Bytes> {
    let options = GetOptions { range: Some(GetRange::Bounded(range)), ..GetOptions::default() };
    store.get_opts(&Path::from(path), options).await?.bytes().await
}

fn create() -> PutOptions {
    PutOptions { mode: PutMode::Create, ..PutOptions::default() }
}

//! The store itself: reads through pages, everything else passed on.

use std::fmt;
use std::ops::Range;
use std::sync::Arc;

use std::collections::BTreeSet;

use async_trait::async_trait;
use bytes::{Bytes, BytesMut};
use chrono::DateTime;
use futures::future::{join_all, try_join_all};
use futures::stream::{self, BoxStream};
use futures::{FutureExt, StreamExt};
use object_store::path::Path;
use object_store::{
    Attributes, CopyOptions, Error, Extensions, GetOptions, GetRange, GetResult, GetResultPayload,
    ListResult, MultipartUpload, ObjectMeta, ObjectStore, PutMode, PutMultipartOptions, PutOptions,
    PutPayload, PutResult, Result,
};
use parking_lot::Mutex;

use crate::flight::{Cover, Fetch, Fetched, Flight, Flights, Turn, own};
use crate::metrics::Metrics;
use crate::page::{Page, PageKey, Version, pages, part};
use crate::planted::{Bug, Planted};
use crate::tier::{CacheOptions, Tiers};

/// What an object is read or written for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Class {
    /// The newest rows: read by many, soon.
    Tail,
    /// The index: read again and again.
    Index,
    /// Older rows: somebody catches up.
    Scan,
    /// Read once, to be written anew: what is here is used, and nothing is kept.
    Compaction,
    /// What stands in the store now: nothing of here is used, and what is known otherwise is forgotten.
    Bypass,
}

/// How an object is touched.
#[derive(Clone, Copy, Debug)]
pub enum Access<'a> {
    /// It is read.
    Get(&'a GetOptions),
    /// It is written.
    Put,
}

/// Says what an object is for.
pub type Classify = Arc<dyn Fn(&Path, Access<'_>) -> Class + Send + Sync>;

/// A read of more pages than this is passed on: it would only drive out others.
const PAGES_MAX: u64 = 1024;

/// An object store that remembers what was read of another. Cheap to clone.
#[derive(Clone)]
pub struct CachedStore {
    inner: Arc<Inner>,
}

struct Inner {
    objects: Arc<dyn ObjectStore>,
    classify: Classify,
    tiers: Tiers,
    flights: Flights,
    metrics: Metrics,
    planted: Planted,
    /// Only with [`Bug::AbsenceRemembered`].
    absent: Mutex<BTreeSet<Arc<str>>>,
}

impl fmt::Debug for CachedStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("CachedStore").field("objects", &self.inner.objects).finish_non_exhaustive()
    }
}

impl fmt::Display for CachedStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}, remembered", self.inner.objects)
    }
}

impl CachedStore {
    /// A cache before a store. If the SSD cannot be used that is said once, and memory is.
    pub async fn open(
        objects: Arc<dyn ObjectStore>,
        classify: Classify,
        options: &CacheOptions,
        metrics: Metrics,
    ) -> Self {
        let tiers = Tiers::open(options, &metrics).await;
        Self::assemble(objects, classify, tiers, metrics, Planted::default())
    }

    /// A cache in memory alone; it needs no runtime, and does the same each time.
    pub fn in_memory(
        objects: Arc<dyn ObjectStore>,
        classify: Classify,
        options: &CacheOptions,
        metrics: Metrics,
    ) -> Self {
        Self::planted(objects, classify, options, metrics, Planted::default())
    }

    /// The same, with bugs: for the simulation.
    pub fn planted(
        objects: Arc<dyn ObjectStore>,
        classify: Classify,
        options: &CacheOptions,
        metrics: Metrics,
        planted: Planted,
    ) -> Self {
        let tiers = Tiers::memory(options, &metrics);
        Self::assemble(objects, classify, tiers, metrics, planted)
    }

    fn assemble(
        objects: Arc<dyn ObjectStore>,
        classify: Classify,
        tiers: Tiers,
        metrics: Metrics,
        planted: Planted,
    ) -> Self {
        let (flights, absent) = (Flights::default(), Mutex::default());
        let inner = Inner { objects, classify, tiers, flights, metrics, planted, absent };
        Self { inner: Arc::new(inner) }
    }

    /// Writes down on the SSD what is only in memory: the next start finds it.
    pub async fn close(&self) {
        self.inner.tiers.close().await;
    }

    /// What it counts.
    pub fn metrics(&self) -> &Metrics {
        &self.inner.metrics
    }

    /// Bytes that the pages in memory weigh, and the most that they may.
    pub fn usage(&self) -> (usize, usize) {
        self.inner.tiers.usage()
    }

    /// Reads a range; to the object's end if it ends before.
    async fn read(&self, read: Read) -> Result<GetResult> {
        let Some(Known { version, range, mut pieces, missing }) = self.look(&read).await else {
            return self.fetch_all(&read).await;
        };
        let cover = |missing: &Range<u64>| self.cover(&read, missing, Turn::default()).flights;
        let flights: Vec<Flight> = missing.iter().flat_map(cover).collect();
        // Anything odd (an error of one of several fetches, another version) is settled by one plain request.
        let Ok(fetched) = try_join_all(flights).await else { return self.pass(&read).await };
        for Fetched { meta, start, bytes } in fetched {
            if !version_of(&meta).is(&version) {
                self.inner.forget(&read, &range);
                return self.pass(&read).await;
            }
            pieces.push((start, bytes));
        }
        match assemble(&range, pieces) {
            Some(bytes) => answer(&read.path, &version, range, bytes),
            None => self.pass(&read).await,
        }
    }

    /// Nothing is known of the object: its size comes with its bytes.
    async fn fetch_all(&self, read: &Read) -> Result<GetResult> {
        let asked = self.inner.flights.ask();
        let Cover { flights, left } = self.cover(read, &read.range, Turn::default());
        let mut alone = flights.len() == 1;
        let mut fetched = try_join_all(flights).await;
        if fetched.is_err() && left < asked {
            // Whoever asked before was told so; it may have come to be since.
            let flights = self.cover(read, &read.range, asked).flights;
            alone = flights.len() == 1;
            fetched = try_join_all(flights).await;
        }
        let fetched = match fetched {
            Ok(fetched) => fetched,
            Err(error) if alone => return Err(own(error)),
            Err(_) => return self.pass(read).await,
        };
        let Some(version) = fetched.first().map(|first| version_of(&first.meta)) else {
            return self.pass(read).await;
        };
        let range = read.range.start..read.range.end.min(version.size);
        let same = fetched.iter().all(|fetched| version_of(&fetched.meta).is(&version));
        let pieces = fetched.into_iter().map(|fetched| (fetched.start, fetched.bytes)).collect();
        match assemble(&range, pieces) {
            Some(bytes) if same => answer(&read.path, &version, range, bytes),
            _ => self.pass(read).await,
        }
    }

    /// What is here of a range, and what is not; nothing if nothing is known of the object.
    async fn look(&self, read: &Read) -> Option<Known> {
        let tiers = &self.inner.tiers;
        let get = async |number: u64| (number, tiers.get(&read.page(number)).await);
        let numbers = pages(&read.range);
        let mut looked = Vec::new();
        let rest = if numbers.end - numbers.start > PAGES_MAX {
            // Of an object whose size is not known the first page tells how many there are.
            let first = get(numbers.start).await;
            let size = first.1.as_ref()?.0.version.size;
            looked.push(first);
            numbers.start + 1..pages(&(read.range.start..size.max(read.range.start))).end
        } else {
            numbers
        };
        if rest.end.saturating_sub(rest.start) > PAGES_MAX {
            return None;
        }
        looked.extend(join_all(rest.map(get)).await);
        let version = looked.iter().find_map(|(_, page)| Some(page.as_ref()?.0.version.clone()))?;
        let range = read.range.start..read.range.end.min(version.size);
        if range.is_empty() {
            return None; // beyond the end: the store has the words for it
        }
        let mut known = Known { version, range, pieces: Vec::new(), missing: Vec::new() };
        for (number, page) in looked {
            let wanted = part(&known.range, number);
            let (have, lacks) = match &page {
                _ if wanted.is_empty() => continue,
                Some((page, _)) if page.version.is(&known.version) => page.find(&wanted),
                _ => (Vec::new(), vec![wanted]),
            };
            if let Some((_, tier)) = page {
                self.inner.metrics.read(tier, have.iter().map(|(_, bytes)| bytes.len() as u64).sum());
            }
            known.pieces.extend(have);
            // What is missing on both sides of a border is one request.
            for lacks in lacks {
                match known.missing.last_mut() {
                    Some(last) if last.end == lacks.start => last.end = lacks.end,
                    _ => known.missing.push(lacks),
                }
            }
        }
        Some(known)
    }

    /// What brings a range, of what left after `after`.
    fn cover(&self, read: &Read, wanted: &Range<u64>, after: Turn) -> Cover {
        let fetch = |range: Range<u64>| -> Fetch {
            let (store, read) = (self.clone(), read.clone());
            async move { store.fetch(&read, range).await.map_err(Arc::new) }.boxed()
        };
        self.inner.flights.cover(&read.key, wanted, after, fetch)
    }

    /// One GET, remembered.
    async fn fetch(&self, read: &Read, range: Range<u64>) -> Result<Fetched> {
        let range = match (range.start, range.end) {
            (0, u64::MAX) => None,
            (start, u64::MAX) => Some(GetRange::Offset(start)),
            _ => Some(GetRange::Bounded(range)),
        };
        let options = GetOptions { range, extensions: read.extensions.clone(), ..GetOptions::default() };
        let result = self.inner.objects.get_opts(&read.path, options).await;
        self.inner.note_absence(read, &result);
        let result = result?;
        let (mut meta, start) = (result.meta.clone(), result.range.start);
        let bytes = result.bytes().await?;
        if self.inner.planted.has(Bug::LengthOfWhatCame) {
            meta.size = start + bytes.len() as u64;
        }
        self.inner.metrics.read("none", bytes.len() as u64);
        if read.class != Class::Compaction {
            self.inner.remember(read, &version_of(&meta), start, &bytes);
        }
        Ok(Fetched { meta, start, bytes })
    }

    /// The request as it came, past all that is known; what it brings replaces it.
    async fn pass(&self, read: &Read) -> Result<GetResult> {
        let Fetched { meta, start, bytes } = self.fetch(read, read.range.clone()).await?;
        let range = start..start + bytes.len() as u64;
        answer(&read.path, &version_of(&meta), range, bytes)
    }

    /// What stands there now; what is known of another version is forgotten.
    async fn bypass(&self, read: &Read, options: GetOptions) -> Result<GetResult> {
        let result = self.inner.objects.get_opts(&read.path, options).await;
        let now = match &result {
            Ok(result) => Some((version_of(&result.meta), result.range.clone())),
            Err(Error::NotFound { .. }) => None,
            Err(_) => return result,
        };
        let range = now.as_ref().map_or(0..1, |(_, range)| range.clone());
        for number in std::iter::once(0).chain(pages(&range).take(index(PAGES_MAX))) {
            let known = self.inner.tiers.get(&read.page(number)).await;
            let same = known.zip(now.as_ref()).is_some_and(|((page, _), (now, _))| page.version.is(now));
            if !same {
                self.inner.tiers.remove(&read.page(number));
            }
        }
        result
    }
}

/// A read on its way.
#[derive(Clone, Debug)]
struct Read {
    path: Path,
    key: Arc<str>,
    class: Class,
    range: Range<u64>,
    extensions: Extensions,
}

impl Read {
    fn new(path: &Path, class: Class, range: Range<u64>, extensions: Extensions) -> Self {
        Self { path: path.clone(), key: path.as_ref().into(), class, range, extensions }
    }

    fn page(&self, number: u64) -> PageKey {
        PageKey { path: Arc::clone(&self.key), number }
    }
}

/// What is known of a range.
struct Known {
    version: Version,
    /// The range, within the object.
    range: Range<u64>,
    pieces: Vec<(u64, Bytes)>,
    missing: Vec<Range<u64>>,
}

impl Inner {
    /// Keeps bytes of an object, page by page; each page has its own copy, so that what is counted is what is held.
    fn remember(&self, read: &Read, version: &Version, start: u64, bytes: &Bytes) {
        let range = start..start + bytes.len() as u64;
        for number in pages(&range) {
            let part = part(&range, number);
            if !part.is_empty() {
                let own = Bytes::copy_from_slice(&bytes[index(part.start - start)..index(part.end - start)]);
                let hot = matches!(read.class, Class::Tail | Class::Index);
                self.tiers.insert(hot, read.page(number), Page::new(version.clone(), part.start, own));
            }
        }
    }

    fn note_absence(&self, read: &Read, result: &Result<GetResult>) {
        if self.planted.has(Bug::AbsenceRemembered) && matches!(result, Err(Error::NotFound { .. })) {
            self.absent.lock().insert(Arc::clone(&read.key));
        }
    }

    fn forget(&self, read: &Read, range: &Range<u64>) {
        pages(range).for_each(|number| self.tiers.remove(&read.page(number)));
    }
}

fn index(offset: u64) -> usize {
    usize::try_from(offset).expect("an offset within bytes in memory")
}

fn version_of(meta: &ObjectMeta) -> Version {
    Version { e_tag: meta.e_tag.clone(), size: meta.size, modified: meta.last_modified.timestamp_micros() }
}

/// The bytes of a range, of pieces that may overlap; nothing if they leave a gap. One piece is not copied.
fn assemble(range: &Range<u64>, mut pieces: Vec<(u64, Bytes)>) -> Option<Bytes> {
    let within = |start: u64, bytes: &Bytes| start <= range.start && start + bytes.len() as u64 >= range.end;
    if let Some((start, bytes)) = pieces.iter().find(|(start, bytes)| within(*start, bytes)) {
        return Some(bytes.slice(index(range.start - start)..index(range.end - start)));
    }
    pieces.sort_by_key(|(start, _)| *start);
    let mut whole = BytesMut::with_capacity(usize::try_from(range.end - range.start).ok()?);
    let mut at = range.start;
    for (start, bytes) in pieces {
        let end = (start + bytes.len() as u64).min(range.end);
        if start > at {
            return None;
        }
        if end > at {
            whole.extend_from_slice(&bytes[index(at - start)..index(end - start)]);
            at = end;
        }
    }
    (at == range.end).then(|| whole.freeze())
}

fn answer(path: &Path, version: &Version, range: Range<u64>, bytes: Bytes) -> Result<GetResult> {
    let last_modified = DateTime::from_timestamp_micros(version.modified).unwrap_or_default();
    let meta = ObjectMeta {
        location: path.clone(),
        last_modified,
        size: version.size,
        e_tag: version.e_tag.clone(),
        version: None,
    };
    Ok(GetResult {
        payload: GetResultPayload::Stream(stream::once(async move { Ok(bytes) }).boxed()),
        meta,
        range,
        attributes: Attributes::default(),
        extensions: Extensions::default(),
    })
}

/// The range of a plain read; nothing for a read with conditions, or whose range only the store can tell.
fn plain_range(options: &GetOptions) -> Option<Range<u64>> {
    let GetOptions {
        if_match,
        if_none_match,
        if_modified_since,
        if_unmodified_since,
        range,
        version,
        head,
        ..
    } = options;
    let conditions = if_match.is_some()
        || if_none_match.is_some()
        || if_modified_since.is_some()
        || if_unmodified_since.is_some()
        || version.is_some();
    match range {
        _ if conditions || *head => None,
        None => Some(0..u64::MAX),
        Some(GetRange::Bounded(range)) if range.start < range.end => Some(range.clone()),
        Some(_) => None,
    }
}

#[async_trait]
impl ObjectStore for CachedStore {
    async fn put_opts(&self, path: &Path, payload: PutPayload, options: PutOptions) -> Result<PutResult> {
        let class = (self.inner.classify)(path, Access::Put);
        let keep = matches!(class, Class::Tail | Class::Index) && options.mode == PutMode::Create;
        let extensions = options.extensions.clone();
        let kept = keep.then(|| payload.clone());
        let result = self.inner.objects.put_opts(path, payload, options).await?;
        // Own, new and durable: the next reader need not ask. Without a tag nothing would tell it from another version.
        if let (Some(payload), Some(e_tag)) = (kept, &result.e_tag) {
            let size = payload.content_length() as u64;
            let version = Version { e_tag: Some(e_tag.clone()), size, modified: 0 };
            let read = Read::new(path, class, 0..size, extensions);
            let mut start = 0;
            for bytes in &payload {
                self.inner.remember(&read, &version, start, bytes);
                start += bytes.len() as u64;
            }
        }
        Ok(result)
    }

    async fn put_multipart_opts(
        &self,
        path: &Path,
        options: PutMultipartOptions,
    ) -> Result<Box<dyn MultipartUpload>> {
        self.inner.objects.put_multipart_opts(path, options).await
    }

    async fn get_opts(&self, path: &Path, options: GetOptions) -> Result<GetResult> {
        let class = (self.inner.classify)(path, Access::Get(&options));
        let Some(range) = plain_range(&options) else {
            return self.inner.objects.get_opts(path, options).await;
        };
        let read = Read::new(path, class, range, options.extensions.clone());
        let planted = self.inner.planted;
        if planted.has(Bug::AbsenceRemembered) && self.inner.absent.lock().contains(&read.key) {
            return Err(Error::NotFound { path: path.to_string(), source: "remembered".into() });
        }
        if class == Class::Bypass { self.bypass(&read, options).await } else { self.read(read).await }
    }

    fn delete_stream(&self, paths: BoxStream<'static, Result<Path>>) -> BoxStream<'static, Result<Path>> {
        self.inner.objects.delete_stream(paths)
    }

    fn list(&self, prefix: Option<&Path>) -> BoxStream<'static, Result<ObjectMeta>> {
        self.inner.objects.list(prefix)
    }

    fn list_with_offset(
        &self,
        prefix: Option<&Path>,
        offset: &Path,
    ) -> BoxStream<'static, Result<ObjectMeta>> {
        self.inner.objects.list_with_offset(prefix, offset)
    }

    async fn list_with_delimiter(&self, prefix: Option<&Path>) -> Result<ListResult> {
        self.inner.objects.list_with_delimiter(prefix).await
    }

    async fn copy_opts(&self, from: &Path, to: &Path, options: CopyOptions) -> Result<()> {
        self.inner.objects.copy_opts(from, to, options).await
    }
}

//! Finding rows: memory first, then index pages, newest first.

use std::collections::BTreeMap;
use std::ops::Range;
use std::sync::Arc;

use bytes::Bytes;
use futures::future;
use parking_lot::Mutex;
use uuid::Uuid;

use super::fold::{self, DueCheckpoint, Fold};
use super::open;
use super::replica::{Replica, SlotRead};
use crate::error::{Error, ErrorKind, Result, ResultExt};
use crate::format::checkpoint::PageRef;
use crate::format::envelope::Envelope;
use crate::format::page::{PageHeader, Place, PlaceMap, StreamKey, decode_page};
use crate::format::segment::ObjectId;
use crate::id::{Offset, Slot};
use crate::plan::places::Search;
use crate::store::paths;

/// The first bytes of a page that are asked for: the directory of a page of few tables, or a whole small page.
const PAGE_HEAD_BYTES: u64 = 256 << 10;

/// How many checkpoints are looked at for a newer page list.
const CHECKPOINTS_LOOKED_AT_MAX: usize = 16;

/// How many newer page lists a read goes on with, when pages are merged under it.
const LISTS_TRIED_MAX: usize = 3;

/// Page headers that are read ahead at once.
const PAGES_AT_ONCE: usize = 8;

/// Bytes of page headers and parts that are kept, about, unless somebody says how many.
const PAGE_CACHE_BYTES_MAX: usize = 64 << 20;

/// How much larger pieces of pages are decoded than they are stored, about.
const DECODED_FACTOR: usize = 4;

/// What a kept message takes beside its bytes, about, in stored bytes.
const MESSAGE_OVERHEAD_BYTES: usize = 32;

/// Decoded pieces of pages, so that a scan does not read a page for each of its steps. Pages never change, so a piece is right
/// as long as its page is listed. Any number of replicas may share one. Cheap to clone.
#[derive(Clone, Debug)]
pub struct PageCache {
    pieces: Arc<Mutex<Pieces>>,
    bytes_max: usize,
}

/// A page of a log: its identity, and its slots.
type PageKey = (Uuid, Slot, Slot);

#[derive(Debug, Default)]
struct Pieces {
    headers: BTreeMap<PageKey, Arc<LoadedHeader>>,
    parts: BTreeMap<(PageKey, StreamKey), Arc<Vec<Place>>>,
    /// What messages of slices say of their bytes, by where it lies: some columns of them are then one request, not two.
    messages: BTreeMap<(ObjectId, u64, u64), Bytes>,
    bytes: usize,
}

impl Default for PageCache {
    fn default() -> Self {
        Self::new(PAGE_CACHE_BYTES_MAX)
    }
}

#[derive(Debug)]
struct LoadedHeader {
    envelope: Envelope,
    header: PageHeader,
}

impl PageCache {
    /// One of about so many bytes.
    pub fn new(bytes_max: usize) -> Self {
        Self { pieces: Arc::default(), bytes_max }
    }

    /// What it holds, about.
    pub fn bytes(&self) -> usize {
        self.pieces.lock().bytes
    }

    fn header(&self, page: &PageKey) -> Option<Arc<LoadedHeader>> {
        self.pieces.lock().headers.get(page).map(Arc::clone)
    }

    fn part(&self, page: &PageKey, key: &StreamKey) -> Option<Arc<Vec<Place>>> {
        self.pieces.lock().parts.get(&(*page, *key)).map(Arc::clone)
    }

    fn keep_header(&self, page: PageKey, header: &Arc<LoadedHeader>) {
        let mut pieces = self.pieces.lock();
        pieces.make_room(header.envelope.header_bytes as usize, self.bytes_max);
        pieces.headers.insert(page, Arc::clone(header));
    }

    fn keep_part(&self, page: PageKey, key: StreamKey, places: &Arc<Vec<Place>>, bytes: usize) {
        let mut pieces = self.pieces.lock();
        pieces.make_room(bytes, self.bytes_max);
        pieces.parts.insert((page, key), Arc::clone(places));
    }

    /// A few bytes of an object that were read before.
    pub(super) fn message(&self, object: ObjectId, range: &Range<u64>) -> Option<Bytes> {
        self.pieces.lock().messages.get(&(object, range.start, range.end)).cloned()
    }

    /// Keeps a few bytes of an object. Nobody has checked them yet: who finds them wrong [forgets](Self::forget_messages) them.
    pub(super) fn keep_message(&self, object: ObjectId, range: &Range<u64>, bytes: &[u8]) {
        let mut pieces = self.pieces.lock();
        let key = (object, range.start, range.end);
        if !pieces.messages.contains_key(&key) {
            pieces.make_room(bytes.len() / DECODED_FACTOR + MESSAGE_OVERHEAD_BYTES, self.bytes_max);
            pieces.messages.insert(key, Bytes::copy_from_slice(bytes));
        }
    }

    /// Forgets all bytes of an object.
    pub(super) fn forget_messages(&self, object: ObjectId) {
        self.pieces.lock().messages.retain(|(kept, ..), _| *kept != object);
    }
}

impl Pieces {
    /// Starts afresh when full: pieces are cheap to read again, and no order of use needs to be kept.
    fn make_room(&mut self, stored: usize, bytes_max: usize) {
        let bytes = stored.saturating_mul(DECODED_FACTOR);
        self.bytes = self.bytes.saturating_add(bytes);
        if self.bytes > bytes_max {
            *self = Self { bytes, ..Self::default() };
        }
    }
}

impl Replica {
    /// Where `offsets` of a sequence lie, ascending, without a gap. They must have been given out.
    ///
    /// # Errors
    /// `Corrupt` if a page that is needed cannot be read and the slots that it was made of are gone.
    pub async fn places(&self, key: &StreamKey, offsets: Range<Offset>) -> Result<Vec<Place>> {
        for _ in 0..LISTS_TRIED_MAX {
            match self.find(key, offsets.clone()).await {
                Err(error) if error.is_stale() => {} // pages were merged meanwhile: a newer list is here now
                found => return found,
            }
        }
        self.find(key, offsets).await
    }

    async fn find(&self, key: &StreamKey, offsets: Range<Offset>) -> Result<Vec<Place>> {
        let mut search = Search::new(offsets);
        let pages = {
            let fold = self.fold();
            fold.search(&mut search, key);
            if search.missing().is_empty() {
                return fold::complete(search, key);
            }
            fold.pages.clone()
        };
        for page in pages.iter().rev() {
            if search.missing().is_empty() {
                break;
            }
            let header = self.page_header(page).await?;
            let Some(part) = header.header.part(key).filter(|part| search.wants(&part.offsets)) else {
                continue;
            };
            let places = match self.page_cache().part(&self.page_key(page), key) {
                Some(places) => places,
                None => {
                    let places = Arc::new(self.read_part(page, &header, key).await?);
                    let bytes = part.body.end - part.body.start;
                    self.page_cache().keep_part(
                        self.page_key(page),
                        *key,
                        &places,
                        usize::try_from(bytes).unwrap_or(usize::MAX),
                    );
                    places
                }
            };
            search.look_into(&places);
        }
        fold::complete(search, key)
    }

    fn page_key(&self, page: &PageRef) -> PageKey {
        (self.fold().state.identity().uuid, page.from, page.to)
    }

    /// Reads the directories of all listed pages that are not here yet, newest first, a few at once: so that the first read of a rare
    /// table does not look into one page after the other. Half of the page cache is left for parts.
    pub async fn warm_index(&self) {
        let mut pages = self.fold().pages.clone();
        pages.reverse();
        let mut bytes_left = (self.page_cache().bytes_max / DECODED_FACTOR / 2) as u64;
        pages.retain(|page| {
            let most = page.bytes.min(PAGE_HEAD_BYTES);
            let fits = most <= bytes_left;
            bytes_left = bytes_left.saturating_sub(most);
            fits
        });
        for some in pages.chunks(PAGES_AT_ONCE) {
            for header in future::join_all(some.iter().map(|page| self.page_header(page))).await {
                if let Err(error) = header {
                    // Whoever needs the page reads it again, and is told.
                    tracing::debug!(database = %self.database(), %error, "an index page could not be read ahead");
                }
            }
        }
    }

    /// The page of a checkpoint that was made here need not be read to be known.
    pub(super) fn keep_own_page(&self, due: &DueCheckpoint) {
        let page =
            PageRef { from: due.from, to: due.slot, level: 0, bytes: due.page.envelope.object_bytes() };
        if let Ok((envelope, header)) =
            PageHeader::decode("a page made here", &due.page.to_vec(), &page.slots())
        {
            self.page_cache().keep_header(self.page_key(&page), &Arc::new(LoadedHeader { envelope, header }));
        }
    }

    async fn page_header(&self, page: &PageRef) -> Result<Arc<LoadedHeader>> {
        if let Some(header) = self.page_cache().header(&self.page_key(page)) {
            return Ok(header);
        }
        let path = paths::index(self.database(), page.from, page.to);
        let loaded = async {
            let Some(head) = self.store().get_prefix(&path, PAGE_HEAD_BYTES).await? else {
                return Err(self.page_is_gone(page).await);
            };
            let envelope =
                Envelope::decode(path.as_ref(), &head.bytes, crate::format::envelope::ObjectKind::IndexPage)?;
            let mut bytes = head.bytes.to_vec();
            if (bytes.len() as u64) < envelope.body_start() && head.size > bytes.len() as u64 {
                let rest = bytes.len() as u64..envelope.body_start();
                let Some(rest) = self.store().get_ranges(&path, &[rest]).await? else {
                    return Err(self.page_is_gone(page).await);
                };
                rest.iter().for_each(|piece| bytes.extend_from_slice(piece));
            }
            let (envelope, header) = PageHeader::decode(path.as_ref(), &bytes, &page.slots())?;
            Ok(LoadedHeader { envelope, header })
        };
        let loaded: Arc<LoadedHeader> = match loaded.await {
            Ok(loaded) => Arc::new(loaded),
            Err(error) => Arc::new(self.rebuild(page, error).await?),
        };
        self.page_cache().keep_header(self.page_key(page), &loaded);
        Ok(loaded)
    }

    async fn read_part(&self, page: &PageRef, loaded: &LoadedHeader, key: &StreamKey) -> Result<Vec<Place>> {
        let Some(part) = loaded.header.part(key) else { return Ok(Vec::new()) };
        let path = paths::index(self.database(), page.from, page.to);
        let read = async {
            let range = part.object_range(&loaded.envelope);
            let Some(bytes) = self.store().get_ranges(&path, &[range]).await? else {
                return Err(self.page_is_gone(page).await);
            };
            let bytes = bytes.into_iter().next().unwrap_or_default();
            part.decode_places(path.as_ref(), &loaded.envelope, &bytes)
        };
        match read.await {
            Ok(places) => Ok(places),
            Err(error) => {
                self.rebuild(page, error).await?;
                let rebuilt = self.page_cache().part(&self.page_key(page), key);
                Ok(rebuilt.map(|places| places.as_ref().clone()).unwrap_or_default())
            }
        }
    }

    /// Reads a page whole, past the cache: for merging and sweeping.
    pub async fn read_page(&self, page: &PageRef) -> Result<PlaceMap> {
        let path = paths::index(self.database(), page.from, page.to);
        let read = async {
            let Some(object) = self.store().get(&path).await? else {
                return Err(self.page_is_gone(page).await);
            };
            decode_page(path.as_ref(), &object.bytes, &page.slots()).map(|(_, places)| places)
        };
        match read.await {
            Ok(places) => Ok(places),
            Err(error) => self.refold(page, &error).await?.ok_or(error),
        }
    }

    /// A page of a list that is no longer the newest may have been merged and deleted: the newest list tells, and takes the place of
    /// the old one. `Stale`: confirm the tail, and find the places again.
    async fn page_is_gone(&self, page: &PageRef) -> Error {
        let is_behind = match self.renew_pages().await {
            Ok(is_behind) => is_behind,
            Err(error) => return error,
        };
        let still_listed = self.fold().pages.contains(page);
        let kind = if still_listed && !is_behind { ErrorKind::Corrupt } else { ErrorKind::Stale };
        Error::new(
            kind,
            format!(
                "{}: expected an index page, found nothing",
                paths::index(self.database(), page.from, page.to)
            ),
        )
    }

    /// Takes over the page list of the newest checkpoint that is folded here. Says whether there are newer ones.
    async fn renew_pages(&self) -> Result<bool> {
        let checkpoints = open::checkpoints(self.store(), self.database(), CHECKPOINTS_LOOKED_AT_MAX).await?;
        let next = self.next();
        let is_behind = checkpoints.first().is_some_and(|(newest, _)| *newest > next);
        for (slot, _) in checkpoints.into_iter().filter(|(slot, _)| *slot <= next) {
            let read =
                open::read_checkpoint(self.store(), self.database(), slot, &self.protocol().fold).await?;
            if let Some(found) = read {
                self.fold_mut().settle(slot, found.pages);
                break;
            }
        }
        Ok(is_behind)
    }

    /// A page that cannot be read is made again from its slots, if they and the checkpoint before them are still there.
    async fn rebuild(&self, page: &PageRef, error: Error) -> Result<LoadedHeader> {
        let Some(places) = self.refold(page, &error).await? else { return Err(error) };
        let sealed =
            crate::format::page::seal_page(self.fold().state.identity().uuid, page.slots(), 0, &places)?;
        let (envelope, header) = PageHeader::decode("a page made again", &sealed.to_vec(), &page.slots())?;
        for (key, places) in places {
            let bytes = places.len() * size_of::<Place>();
            self.page_cache().keep_part(self.page_key(page), key, &Arc::new(places), bytes);
        }
        Ok(LoadedHeader { envelope, header })
    }

    async fn refold(&self, page: &PageRef, error: &Error) -> Result<Option<PlaceMap>> {
        if error.kind() != ErrorKind::Corrupt {
            return Ok(None);
        }
        let rules = &self.protocol().fold;
        let begun = if page.from == 0 {
            open::begin(self.store(), self.database(), rules).await
        } else {
            open::read_checkpoint(self.store(), self.database(), page.from, rules).await
        };
        let Ok(Some(mut fold)) = begun else { return Ok(None) };
        tracing::error!(
            database = %self.database(), from = page.from, to = page.to, %error,
            "an index page cannot be read; making it again from its slots; run `frazil verify`"
        );
        while fold.state.next() < page.to {
            let slot = fold.state.next();
            let read = self
                .read_slot(slot)
                .await
                .context(|| format!("making index page {}-{} again", page.from, page.to))?;
            let SlotRead::Present(commit) = read else { return Ok(None) };
            fold.absorb(&commit)?;
        }
        Ok(places_up_to(fold, page.to))
    }
}

fn places_up_to(fold: Fold, slot: Slot) -> Option<PlaceMap> {
    fold.due.into_iter().find(|due| due.slot == slot).map(|due| due.places)
}

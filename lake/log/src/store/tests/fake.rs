//! An object store that misbehaves as told, above memory.

use std::fmt;
use std::future::pending;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use futures::StreamExt;
use futures::stream::BoxStream;
use object_store::memory::InMemory;
use object_store::path::Path;
use object_store::{
    CopyOptions, Error, GetOptions, GetResult, ListResult, MultipartUpload, ObjectMeta, ObjectStore,
    ObjectStoreExt, PutMode, PutMultipartOptions, PutOptions, PutPayload, PutResult, Result,
};

use crate::store::{ConflictingRequest, Store};

/// What a PUT does.
pub(super) enum Put {
    Honest,
    /// Ignores create-if-absent: 200, and the bytes are replaced.
    Replace,
    /// 200, but the bytes that were there stay.
    Pretend,
    /// Looks first, writes later: right in sequence, wrong in a race.
    LookThenReplace,
    /// Writes, and then fails.
    WriteThenFail(Failure),
    Fail(Failure),
    Hang,
}

#[derive(Clone, Copy)]
pub(super) enum Failure {
    Unavailable,
    Denied,
    Unauthenticated,
    NotImplemented,
    Conflict,
    Precondition,
    Exists,
}

impl Failure {
    fn error(self) -> Error {
        let (path, source) = ("fake".to_owned(), "as told".into());
        match self {
            Self::Unavailable => Error::Generic { store: "fake", source },
            Self::Denied => Error::PermissionDenied { path, source },
            Self::Unauthenticated => Error::Unauthenticated { path, source },
            Self::NotImplemented => Error::NotImplemented { operation: path, implementer: "fake".to_owned() },
            Self::Conflict => Error::AlreadyExists { path, source: Box::new(ConflictingRequest) },
            Self::Precondition => Error::Precondition { path, source },
            Self::Exists => Error::AlreadyExists { path, source },
        }
    }
}

type PutPlan = Box<dyn Fn(u32) -> Put + Send + Sync>;
type Plan = Box<dyn Fn(u32) -> Option<Failure> + Send + Sync>;

/// Each plan is asked with the number of the call, from 0.
pub(super) struct Fake {
    inner: InMemory,
    put: PutPlan,
    get: Plan,
    list: Plan,
    delete: Plan,
    pub(super) puts: AtomicU32,
    pub(super) gets: AtomicU32,
    pub(super) lists: AtomicU32,
    deletes: AtomicU32,
    /// Lists come in this order by location, or backwards.
    backwards: bool,
    gets_hang: bool,
}

impl Fake {
    pub(super) fn new() -> Self {
        Self {
            inner: InMemory::new(),
            put: Box::new(|_| Put::Honest),
            get: Box::new(|_| None),
            list: Box::new(|_| None),
            delete: Box::new(|_| None),
            puts: AtomicU32::new(0),
            gets: AtomicU32::new(0),
            lists: AtomicU32::new(0),
            deletes: AtomicU32::new(0),
            backwards: false,
            gets_hang: false,
        }
    }

    pub(super) fn put(mut self, plan: impl Fn(u32) -> Put + Send + Sync + 'static) -> Self {
        self.put = Box::new(plan);
        self
    }

    pub(super) fn get(mut self, plan: impl Fn(u32) -> Option<Failure> + Send + Sync + 'static) -> Self {
        self.get = Box::new(plan);
        self
    }

    pub(super) fn list(mut self, plan: impl Fn(u32) -> Option<Failure> + Send + Sync + 'static) -> Self {
        self.list = Box::new(plan);
        self
    }

    pub(super) fn delete(mut self, plan: impl Fn(u32) -> Option<Failure> + Send + Sync + 'static) -> Self {
        self.delete = Box::new(plan);
        self
    }

    pub(super) fn listing_backwards(mut self) -> Self {
        self.backwards = true;
        self
    }

    pub(super) fn hanging_gets(mut self) -> Self {
        self.gets_hang = true;
        self
    }

    pub(super) fn store(self) -> (Store, Arc<Self>) {
        let fake = Arc::new(self);
        let objects = Arc::<Self>::clone(&fake);
        (Store::from_object_store(objects, "a fake"), fake)
    }

    fn listed(&self, all: BoxStream<'static, Result<ObjectMeta>>) -> BoxStream<'static, Result<ObjectMeta>> {
        let failure = (self.list)(self.lists.fetch_add(1, Ordering::Relaxed));
        let backwards = self.backwards;
        let objects = async move {
            let mut objects: Vec<_> = all.collect().await;
            if backwards {
                objects.reverse();
            }
            // A failing list breaks off in the middle.
            if let Some(failure) = failure {
                objects.truncate(objects.len() / 2);
                objects.push(Err(failure.error()));
            }
            futures::stream::iter(objects)
        };
        futures::stream::once(objects).flatten().boxed()
    }
}

impl fmt::Debug for Fake {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Fake")
    }
}

impl fmt::Display for Fake {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Fake")
    }
}

#[async_trait::async_trait]
impl ObjectStore for Fake {
    async fn put_opts(&self, location: &Path, payload: PutPayload, opts: PutOptions) -> Result<PutResult> {
        let replace = PutOptions { mode: PutMode::Overwrite, ..opts.clone() };
        match (self.put)(self.puts.fetch_add(1, Ordering::Relaxed)) {
            Put::Honest => self.inner.put_opts(location, payload, opts).await,
            Put::Replace => self.inner.put_opts(location, payload, replace).await,
            Put::Pretend => match self.inner.put_opts(location, payload, opts).await {
                Err(_) => {
                    Ok(PutResult { e_tag: None, version: None, extensions: object_store::Extensions::new() })
                }
                done => done,
            },
            Put::LookThenReplace => match self.inner.head(location).await {
                Ok(_) => Err(Failure::Exists.error()),
                Err(_) => {
                    tokio::task::yield_now().await;
                    self.inner.put_opts(location, payload, replace).await
                }
            },
            Put::WriteThenFail(failure) => {
                self.inner.put_opts(location, payload, opts).await?;
                Err(failure.error())
            }
            Put::Fail(failure) => Err(failure.error()),
            Put::Hang => pending().await,
        }
    }

    async fn put_multipart_opts(
        &self,
        location: &Path,
        opts: PutMultipartOptions,
    ) -> Result<Box<dyn MultipartUpload>> {
        self.inner.put_multipart_opts(location, opts).await
    }

    async fn get_opts(&self, location: &Path, options: GetOptions) -> Result<GetResult> {
        let failure = (self.get)(self.gets.fetch_add(1, Ordering::Relaxed));
        if self.gets_hang {
            return pending().await;
        }
        match failure {
            Some(failure) => Err(failure.error()),
            None => self.inner.get_opts(location, options).await,
        }
    }

    fn delete_stream(&self, locations: BoxStream<'static, Result<Path>>) -> BoxStream<'static, Result<Path>> {
        match (self.delete)(self.deletes.fetch_add(1, Ordering::Relaxed)) {
            Some(failure) => locations.map(move |_| Err(failure.error())).boxed(),
            None => self.inner.delete_stream(locations),
        }
    }

    fn list(&self, prefix: Option<&Path>) -> BoxStream<'static, Result<ObjectMeta>> {
        self.listed(self.inner.list(prefix))
    }

    fn list_with_offset(
        &self,
        prefix: Option<&Path>,
        offset: &Path,
    ) -> BoxStream<'static, Result<ObjectMeta>> {
        self.listed(self.inner.list_with_offset(prefix, offset))
    }

    async fn list_with_delimiter(&self, prefix: Option<&Path>) -> Result<ListResult> {
        self.inner.list_with_delimiter(prefix).await
    }

    async fn copy_opts(&self, from: &Path, to: &Path, options: CopyOptions) -> Result<()> {
        self.inner.copy_opts(from, to, options).await
    }
}

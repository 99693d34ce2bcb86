//! The bucket: opened by URL, written only by create-if-absent, read with bounded retries, counted to the last request.
//!
//! **Invariants**
//! * Nothing is ever overwritten: the only write is [`Store::create_if_absent`], and it is sent once. Whoever wants to
//!   know what became of a [`CreateOutcome::Unknown`] reads the object (rule 5); a retry below it would hide the answer.
//! * Paths are relative to the store's root; [`paths`] alone builds and parses them.
//! * A 404 is `None` only when the key is absent: a missing bucket or a denied read is an error, never an empty log.
//! * Lists come in key order, whatever the backend does.
//!
//! Start at [`Store::open`], then [`Store::probe`], which refuses a store that does not honour create-if-absent.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use object_store::ObjectStore;

pub mod conformance;
mod create;
mod failure;
mod list;
mod metering;
mod open;
pub mod paths;
mod probe;
mod read;
mod retry;
#[cfg(test)]
mod tests;
mod wire;

pub use create::{ConflictingRequest, CreateOutcome};
pub use list::Listed;
pub use metering::{Labels, Metered, Metrics, Op, Outcome};
pub use object_store::PutPayload;
pub use object_store::path::Path;
pub use open::{S3Access, s3_access};
pub use probe::{ClockVerdict, PROBE_TIMEOUT, ProbeReport, Skew, skew};
pub use read::{OBJECT_BYTES_MAX, ObjectHead};
pub use retry::RetryPolicy;
pub use wire::StoreDate;

/// How a store is opened. The composition root reads the environment; this crate does not.
#[derive(Clone, Debug)]
pub struct StoreOptions {
    /// The variables that configure a cloud: `AWS_*` for S3, `GOOGLE_*` for GCS, `AZURE_*` for Azure; others are ignored.
    pub environment: BTreeMap<String, String>,
    /// The longest that one request may take. For a PUT the outcome is unknown after it.
    pub request_timeout: Duration,
    /// The longest that connecting may take; part of the request's time.
    pub connect_timeout: Duration,
    /// How reads, lists and deletes are tried again. Commits never are.
    pub retry: RetryPolicy,
    /// Where requests are counted; give the same one to several stores to add them up.
    pub metrics: Metrics,
}

impl Default for StoreOptions {
    fn default() -> Self {
        Self {
            environment: BTreeMap::new(),
            request_timeout: Duration::from_secs(10),
            connect_timeout: Duration::from_secs(3),
            retry: RetryPolicy::default(),
            metrics: Metrics::default(),
        }
    }
}

/// Whether a backend's lists come in key order by themselves.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Listing {
    /// In key order: a list can stop early, and a retried one go on where it was.
    Ordered,
    /// In any order: all below the prefix is listed, and the first keys are kept.
    Unordered,
}

/// In the extensions of a read: what stands in the store *now* is wanted. A layer that remembers must ask.
#[derive(Clone, Copy, Debug)]
pub struct Fresh;

/// A bucket, or what stands for one, from its root downwards. Cheap to clone.
#[derive(Clone)]
pub struct Store {
    objects: Arc<dyn ObjectStore>,
    description: Arc<str>,
    home: Option<Arc<str>>,
    listing: Listing,
    request_timeout: Duration,
    retry: RetryPolicy,
    metrics: Metrics,
    dates: wire::Dates,
    fresh: bool,
}

impl Store {
    /// Opens a store by URL: `file:///path`, `file://./relative`, a plain path, `s3://bucket/prefix`, `memory://`, and
    /// with the crate's features `gcp` and `azure` also `gs://bucket/prefix` and `az://container/prefix`.
    ///
    /// A local directory is created. Nothing is sent to a remote store yet: see [`Store::probe`].
    ///
    /// # Errors
    /// `Invalid` for a URL or a variable that does not make sense, `Unsupported` for a scheme that this build lacks,
    /// `Denied` or `Unavailable` when the directory cannot be made.
    pub fn open(url: &str, options: &StoreOptions) -> crate::Result<Self> {
        open::open(url, options)
    }

    /// Takes any [`ObjectStore`] as the store, with the default options; it is metered, but not known to list in order.
    pub fn from_object_store(objects: Arc<dyn ObjectStore>, description: &str) -> Self {
        let parts =
            Parts { objects, description: description.to_owned(), home: None, listing: Listing::Unordered };
        Self::assemble(parts, &StoreOptions::default(), wire::Dates::default())
    }

    fn assemble(parts: Parts, options: &StoreOptions, dates: wire::Dates) -> Self {
        Self {
            objects: Arc::new(Metered::new(parts.objects, options.metrics.clone())),
            description: parts.description.into(),
            home: parts.home.map(Into::into),
            listing: parts.listing,
            request_timeout: options.request_timeout,
            retry: options.retry.clone(),
            metrics: options.metrics.clone(),
            dates,
            fresh: false,
        }
    }

    /// The same store, whose reads are answered by what stands there now, past every layer that [remembers](Self::wrapped).
    #[must_use]
    pub fn fresh(&self) -> Self {
        Self { fresh: true, ..self.clone() }
    }

    /// Puts a layer (a cache) above the store. What the layer answers by itself is no request and is not counted.
    /// The layer must pass on `extensions` and keep the order of lists.
    #[must_use]
    pub fn wrapped(mut self, wrap: impl FnOnce(Arc<dyn ObjectStore>) -> Arc<dyn ObjectStore>) -> Self {
        self.objects = wrap(self.objects);
        self
    }

    /// Replaces how reads, lists and deletes are tried again.
    #[must_use]
    pub fn with_retry(mut self, retry: RetryPolicy) -> Self {
        self.retry = retry;
        self
    }

    /// Replaces the longest that one request may take.
    #[must_use]
    pub fn with_request_timeout(mut self, request_timeout: Duration) -> Self {
        self.request_timeout = request_timeout;
        self
    }

    /// The rooted and metered store itself, for libraries that bring their own layout (below a prefix of theirs).
    pub fn object_store(&self) -> Arc<dyn ObjectStore> {
        Arc::clone(&self.objects)
    }

    /// What slot 0 records as the log's home: `s3://bucket/prefix`, or the directory's canonical path.
    /// None for memory and for stores that were not opened by URL: they cannot be copied elsewhere.
    pub fn home(&self) -> Option<String> {
        self.home.as_deref().map(str::to_owned)
    }

    /// The store in words, for banners and messages.
    pub fn description(&self) -> &str {
        &self.description
    }

    /// The requests that this store has sent, as metrics.
    pub fn metrics(&self) -> &Metrics {
        &self.metrics
    }

    /// The `Date` of the store's newest answer to a PUT or GET (rules 10 and 13); None where there is no such header.
    pub fn date_latest(&self) -> Option<StoreDate> {
        self.dates.latest()
    }
}

impl fmt::Debug for Store {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Store")
            .field("description", &self.description)
            .field("home", &self.home)
            .finish_non_exhaustive()
    }
}

/// A backend as `open` built it.
struct Parts {
    objects: Arc<dyn ObjectStore>,
    description: String,
    home: Option<String>,
    listing: Listing,
}

//! Requests under way: whoever needs bytes that somebody is fetching already waits for those.
//!
//! Invariants:
//! * no byte of an object is asked of the store twice at a time;
//! * a reader that goes away takes no fetch along: who still waits carries it on; if nobody does, it ends;
//! * an error reaches all who wait for it, and is forgotten.

use std::collections::BTreeMap;
use std::fmt;
use std::ops::Range;
use std::sync::Arc;

use bytes::Bytes;
use futures::FutureExt;
use futures::future::{BoxFuture, Shared, WeakShared};
use object_store::{Error, ObjectMeta};
use parking_lot::Mutex;

/// What a GET brought: the object, where its bytes begin, and they.
#[derive(Clone, Debug)]
pub(crate) struct Fetched {
    pub(crate) meta: ObjectMeta,
    pub(crate) start: u64,
    pub(crate) bytes: Bytes,
}

/// A fetch, and its answer for all who wait.
pub(crate) type Fetch = BoxFuture<'static, Result<Fetched, Arc<Error>>>;
pub(crate) type Flight = Shared<Fetch>;

struct InFlight {
    range: Range<u64>,
    fetch: WeakShared<Fetch>,
}

/// The fetches under way, by object.
#[derive(Default)]
pub(crate) struct Flights {
    all: Mutex<BTreeMap<Arc<str>, Vec<InFlight>>>,
}

impl fmt::Debug for Flights {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Flights").field("objects", &self.all.lock().len()).finish()
    }
}

impl Flights {
    /// Flights that bring all of a range: those under way, and new ones for what nobody fetches.
    pub(crate) fn cover(
        &self,
        path: &Arc<str>,
        wanted: &Range<u64>,
        fetch: impl Fn(Range<u64>) -> Fetch,
    ) -> Vec<Flight> {
        let mut all = self.all.lock();
        all.retain(|_, flights| {
            flights.retain(|flight| flight.fetch.upgrade().is_some());
            !flights.is_empty()
        });
        let flights = all.entry(Arc::clone(path)).or_default();
        flights.sort_by_key(|flight| flight.range.start);
        let (mut joined, mut gaps, mut at) = (Vec::new(), Vec::new(), wanted.start);
        for flight in flights.iter().filter(|flight| flight.range.start < wanted.end) {
            let Some(under_way) = flight.fetch.upgrade().filter(|_| flight.range.end > at) else { continue };
            if flight.range.start > at {
                gaps.push(at..flight.range.start);
            }
            joined.push(under_way);
            at = flight.range.end;
        }
        if at < wanted.end {
            gaps.push(at..wanted.end);
        }
        for range in gaps {
            let flight: Flight = fetch(range.clone()).shared();
            flights.extend(flight.downgrade().map(|fetch| InFlight { range, fetch }));
            joined.push(flight);
        }
        joined
    }
}

/// An error of a fetch that several waited for.
#[derive(Debug)]
struct OfSharedFetch(Arc<Error>);

impl fmt::Display for OfSharedFetch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl std::error::Error for OfSharedFetch {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        std::error::Error::source(&*self.0)
    }
}

/// The error itself for the only one who waited; else one of the same kind.
pub(crate) fn own(error: Arc<Error>) -> Error {
    let error = match Arc::try_unwrap(error) {
        Ok(error) => return error,
        Err(shared) => shared,
    };
    let source = Box::new(OfSharedFetch(Arc::clone(&error)));
    match &*error {
        Error::NotFound { path, .. } => Error::NotFound { path: path.clone(), source },
        Error::AlreadyExists { path, .. } => Error::AlreadyExists { path: path.clone(), source },
        Error::Precondition { path, .. } => Error::Precondition { path: path.clone(), source },
        Error::NotModified { path, .. } => Error::NotModified { path: path.clone(), source },
        Error::PermissionDenied { path, .. } => Error::PermissionDenied { path: path.clone(), source },
        Error::Unauthenticated { path, .. } => Error::Unauthenticated { path: path.clone(), source },
        Error::NotSupported { .. } => Error::NotSupported { source },
        Error::Generic { store, .. } => Error::Generic { store, source },
        _ => Error::Generic { store: "cache", source },
    }
}

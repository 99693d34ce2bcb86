//! Requests under way: whoever needs bytes that somebody is fetching already waits for those.
//!
//! Invariants:
//! * no byte of an object is asked of the store twice at a time, unless the first request is [late](JOINED_TIME_MAX): readers who give
//!   up and come again must not keep one alive that hangs;
//! * a reader that goes away takes no fetch along: who still waits carries it on; if nobody does, it ends;
//! * bytes may be older than the question, since objects do not change; an error may not: a 404 says nothing to who asks later;
//! * an error reaches all who waited when it was asked for, and is forgotten.

use std::collections::BTreeMap;
use std::fmt;
use std::ops::Range;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use futures::FutureExt;
use futures::future::{BoxFuture, Shared, WeakShared};
use object_store::{Error, ObjectMeta};
use parking_lot::Mutex;
use tokio::time::Instant;

/// A fetch that is out for longer is joined by nobody more: below any request's time-out, above what a store that is merely slow takes.
pub(crate) const JOINED_TIME_MAX: Duration = Duration::from_secs(5);

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

/// A place in the order of questions and fetches.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Turn(u64);

struct InFlight {
    range: Range<u64>,
    turn: Turn,
    since: Instant,
    fetch: WeakShared<Fetch>,
}

/// The fetches under way, by object.
#[derive(Default)]
pub(crate) struct Flights {
    all: Mutex<UnderWay>,
}

#[derive(Default)]
struct UnderWay {
    turns: u64,
    by_object: BTreeMap<Arc<str>, Vec<InFlight>>,
}

impl UnderWay {
    fn turn(&mut self) -> Turn {
        self.turns += 1;
        Turn(self.turns)
    }
}

/// What brings a range.
pub(crate) struct Cover {
    pub(crate) flights: Vec<Flight>,
    /// When the first of them left.
    pub(crate) left: Turn,
}

impl fmt::Debug for Flights {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Flights").field("objects", &self.all.lock().by_object.len()).finish()
    }
}

impl Flights {
    /// The turn of a question that comes now.
    pub(crate) fn ask(&self) -> Turn {
        self.all.lock().turn()
    }

    /// Flights that bring all of a range: those under way that left after `after`, and new ones for what they do not bring.
    pub(crate) fn cover(
        &self,
        path: &Arc<str>,
        wanted: &Range<u64>,
        after: Turn,
        fetch: impl Fn(Range<u64>) -> Fetch,
    ) -> Cover {
        let now = Instant::now();
        let mut all = self.all.lock();
        all.by_object.retain(|_, flights| {
            flights.retain(|flight| now < flight.since + JOINED_TIME_MAX && flight.fetch.upgrade().is_some());
            !flights.is_empty()
        });
        let turn = all.turn();
        let flights = all.by_object.entry(Arc::clone(path)).or_default();
        flights.sort_by_key(|flight| flight.range.start);
        let mut cover = Cover { flights: Vec::new(), left: turn };
        let (mut gaps, mut at) = (Vec::new(), wanted.start);
        for flight in flights.iter().filter(|flight| flight.range.start < wanted.end && flight.turn > after) {
            let Some(under_way) = flight.fetch.upgrade().filter(|_| flight.range.end > at) else { continue };
            if flight.range.start > at {
                gaps.push(at..flight.range.start);
            }
            cover.flights.push(under_way);
            cover.left = cover.left.min(flight.turn);
            at = flight.range.end;
        }
        if at < wanted.end {
            gaps.push(at..wanted.end);
        }
        for range in gaps {
            let flight: Flight = fetch(range.clone()).shared();
            let under_way = |fetch| InFlight { range, turn, since: now, fetch };
            flights.extend(flight.downgrade().map(under_way));
            cover.flights.push(flight);
        }
        cover
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

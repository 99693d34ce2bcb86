//! Reads: the first bytes of an object, all of it, or some ranges. Absent is `None`; transient failures are retried.

use std::ops::Range;

use bytes::Bytes;
use object_store::path::Path;
use object_store::{GetOptions, GetRange, coalesce_ranges};

use super::failure::{Action, failure, may_be_out_of_range};
use super::retry::Retry;
use super::wire::Answer;
use super::{Fresh, Store};
use crate::error::{Error, ErrorKind, Result};
use crate::id::TimeMicros;

/// The largest object that is read whole, in bytes. Frazil writes none that comes near: a larger one is foreign.
pub const OBJECT_BYTES_MAX: u64 = 1 << 30;

/// Ranges so many bytes apart or less share a GET. Who asks has planned what a request is worth (`segment/fetch.rs`): more would
/// bring wide columns along with a narrow one.
const GAP_BYTES_MAX: u64 = 4 << 10;

/// An object, or its first bytes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ObjectHead {
    /// The bytes that were asked for; fewer if the object is shorter.
    pub bytes: Bytes,
    /// The size of the whole object, in bytes.
    pub size: u64,
    /// When it was written, by the store's clock, in microseconds since 1970 (S3: cut to seconds).
    pub last_modified: TimeMicros,
}

/// A failed attempt, before it is known whether the range was at fault.
enum Fault {
    Range(Error),
    Other(Error),
}

impl Store {
    /// Reads at most the first `bytes_max` bytes: one ranged GET. None if the key is absent.
    pub async fn get_prefix(&self, path: &Path, bytes_max: u64) -> Result<Option<ObjectHead>> {
        let range = 0..bytes_max.clamp(1, OBJECT_BYTES_MAX);
        let mut retry = Retry::new(&self.retry);
        loop {
            let attempt = retry.attempt(self.request_timeout, self.prefix_once(path, range.clone())).await;
            match attempt {
                Ok(head) => return Ok(Some(head)),
                Err(error) if error.kind() == ErrorKind::NotFound => return Ok(None),
                Err(error) if retry.again(&error).await => {}
                Err(error) => return Err(error),
            }
        }
    }

    /// Reads an object whole. None if the key is absent.
    ///
    /// # Errors
    /// `Unsupported` for one larger than [`OBJECT_BYTES_MAX`].
    pub async fn get(&self, path: &Path) -> Result<Option<ObjectHead>> {
        let mut retry = Retry::new(&self.retry);
        loop {
            let request = async { self.get_once(path, None).await.map_err(Fault::into_error) };
            match retry.attempt(self.request_timeout, request).await {
                Ok(head) => return Ok(Some(head)),
                Err(error) if error.kind() == ErrorKind::NotFound => return Ok(None),
                Err(error) if retry.again(&error).await => {}
                Err(error) => return Err(error),
            }
        }
    }

    /// Reads byte ranges, in the order given; near ones share a GET. None if the key is absent. An empty range is empty.
    ///
    /// # Errors
    /// `Corrupt` if a range reaches past the object's end: ranges come from headers, so the object was cut short.
    pub async fn get_ranges(&self, path: &Path, ranges: &[Range<u64>]) -> Result<Option<Vec<Bytes>>> {
        if let Some(range) = ranges.iter().find(|range| range.start > range.end) {
            return Err(Error::invalid(format!("byte range {range:?} of {path} ends before it starts")));
        }
        let asked: Vec<_> = ranges.iter().filter(|range| range.start < range.end).cloned().collect();
        let fetch = |range| self.range(path, range);
        match coalesce_ranges(&asked, fetch, GAP_BYTES_MAX).await {
            Ok(found) => {
                let mut found = found.into_iter();
                let bytes = |range: &Range<u64>| {
                    if range.start < range.end { found.next() } else { Some(Bytes::new()) }
                };
                Ok(ranges.iter().map(bytes).collect())
            }
            Err(error) if error.kind() == ErrorKind::NotFound => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// Reads one range, which is not empty, in full.
    async fn range(&self, path: &Path, range: Range<u64>) -> Result<Bytes> {
        let mut retry = Retry::new(&self.retry);
        loop {
            match retry.attempt(self.request_timeout, self.range_once(path, range.clone())).await {
                Ok(bytes) => return Ok(bytes),
                Err(error) if retry.again(&error).await => {}
                Err(error) => return Err(error),
            }
        }
    }

    async fn range_once(&self, path: &Path, range: Range<u64>) -> Result<Bytes> {
        match self.get_once(path, Some(range.clone())).await {
            Ok(head) if u64::try_from(head.bytes.len()) == Ok(range.end - range.start) => Ok(head.bytes),
            Ok(head) => Err(cut_short(path, &range, head.size)),
            Err(Fault::Other(error)) => Err(error),
            Err(Fault::Range(error)) => {
                let size = self.head_once(path).await?.size;
                if size < range.end { Err(cut_short(path, &range, size)) } else { Err(error) }
            }
        }
    }

    /// No store can answer a range of an empty object: then its size is asked for.
    async fn prefix_once(&self, path: &Path, range: Range<u64>) -> Result<ObjectHead> {
        match self.get_once(path, Some(range)).await {
            Ok(head) => Ok(head),
            Err(Fault::Other(error)) => Err(error),
            Err(Fault::Range(error)) => {
                let head = self.head_once(path).await?;
                if head.size == 0 { Ok(head) } else { Err(error) }
            }
        }
    }

    async fn head_once(&self, path: &Path) -> Result<ObjectHead> {
        let answer = Answer::default();
        let options = GetOptions { head: true, extensions: answer.extensions(), ..GetOptions::default() };
        let result = self.objects.get_opts(path, options).await;
        let meta = result.map_err(|error| failure(Action::Get, path, answer.status(), error))?.meta;
        let last_modified = meta.last_modified.timestamp_micros();
        Ok(ObjectHead { bytes: Bytes::new(), size: meta.size, last_modified })
    }

    async fn get_once(&self, path: &Path, range: Option<Range<u64>>) -> Result<ObjectHead, Fault> {
        let answer = Answer::default();
        let mut extensions = answer.extensions();
        if self.fresh {
            extensions.insert(Fresh);
        }
        let options = GetOptions { range: range.map(GetRange::Bounded), extensions, ..GetOptions::default() };
        let fault = |error| {
            let of_range = may_be_out_of_range(answer.status(), &error);
            let error = failure(Action::Get, path, answer.status(), error);
            if of_range { Fault::Range(error) } else { Fault::Other(error) }
        };
        let result = self.objects.get_opts(path, options).await.map_err(fault)?;
        let (meta, length) = (result.meta.clone(), result.range.end - result.range.start);
        if length > OBJECT_BYTES_MAX {
            let message =
                format!("{path} has {length} bytes; the most that is read at once is {OBJECT_BYTES_MAX}");
            return Err(Fault::Other(Error::unsupported(message)));
        }
        let bytes = result.bytes().await.map_err(fault)?;
        if u64::try_from(bytes.len()) != Ok(length) {
            let message = format!("GET {path} ended after {} of {length} bytes", bytes.len());
            return Err(Fault::Other(Error::new(ErrorKind::Unavailable, message)));
        }
        Ok(ObjectHead { bytes, size: meta.size, last_modified: meta.last_modified.timestamp_micros() })
    }
}

impl Fault {
    fn into_error(self) -> Error {
        match self {
            Self::Range(error) | Self::Other(error) => error,
        }
    }
}

fn cut_short(path: &Path, range: &Range<u64>, size: u64) -> Error {
    let Range { start, end } = range;
    Error::corrupt(format!(
        "{path}, bytes {start}..{end}: expected an object of at least {end} bytes, found {size}"
    ))
}

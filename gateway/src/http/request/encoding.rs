//! `Content-Encoding` undone while a body arrives.
//!
//! Invariants:
//! * a body that unpacks to far more than was sent is given up as soon as that shows, not when it is whole;
//! * an unpacker's own memory is bounded: gzip's by its format, zstd's by the window that HTTP allows (RFC 9659).

use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use async_compression::tokio::bufread::{GzipDecoder, ZstdDecoder};
use async_compression::zstd::DParameter;
use axum::body::BodyDataStream;
use axum::http::{HeaderMap, header};
use bytes::Bytes;
use futures::{Stream, StreamExt};
use tokio::io::AsyncRead;
use tokio_util::io::{ReaderStream, StreamReader};

use crate::error::{Kind, Problem};

/// What is taken, for `Accept-Encoding`.
pub(in crate::http) const ACCEPTED: &str = "gzip, zstd";

/// Bytes that unpack to so many times their number are no rows, once they are more than [`RATIO_BYTES_MIN`].
const RATIO_MAX: usize = 250;
const RATIO_BYTES_MIN: usize = 1 << 20;

/// The largest zstd window, as a power of two: 8 MiB.
const WINDOW_LOG_MAX: u32 = 23;

/// Bytes unpacked at once.
const CHUNK_BYTES: usize = 64 << 10;

/// How a body is packed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::http) enum Encoding {
    Identity,
    Gzip,
    Zstd,
}

/// A body's bytes as they were before they were packed.
pub(super) type Unpacked<'b> = Pin<Box<dyn Stream<Item = Result<Bytes, Problem>> + Send + 'b>>;

impl Encoding {
    /// The one that the headers name.
    ///
    /// # Errors
    /// `unsupported-media-type` for others, and for several over each other.
    pub(in crate::http) fn of(headers: &HeaderMap) -> Result<Self, Problem> {
        let mut named = headers.get_all(header::CONTENT_ENCODING).iter();
        let (first, more) = (named.next(), named.next());
        let Some(first) = first else {
            return Ok(Self::Identity);
        };
        let text = first.to_str().unwrap_or_default().trim().to_ascii_lowercase();
        match text.as_str() {
            "" | "identity" if more.is_none() => Ok(Self::Identity),
            "gzip" | "x-gzip" if more.is_none() => Ok(Self::Gzip),
            "zstd" if more.is_none() => Ok(Self::Zstd),
            _ => Err(Problem::new(
                Kind::UnsupportedMediaType,
                format!("Content-Encoding {first:?} is not known: pack the body once, as gzip or zstd, or not at all"),
            )
            .with("accept_encoding", ACCEPTED)),
        }
    }
}

/// The body's bytes, unpacked; of a packed body no more than `packed_bytes_max` bytes are taken.
pub(super) fn unpack(encoding: Encoding, body: &mut BodyDataStream, packed_bytes_max: usize) -> Unpacked<'_> {
    let whole = body.map(|chunk| chunk.map_err(|error| format!("the body was cut off: {error}")));
    if encoding == Encoding::Identity {
        return Box::pin(whole.map(|chunk| chunk.map_err(Problem::malformed)));
    }
    let taken = Arc::new(AtomicUsize::new(0));
    let counter = Arc::clone(&taken);
    let packed = whole.map(move |chunk| {
        let chunk = chunk.map_err(io::Error::other)?;
        let before = counter.fetch_add(chunk.len(), Ordering::Relaxed);
        if before.saturating_add(chunk.len()) > packed_bytes_max {
            return Err(io::Error::other(TooLarge(packed_bytes_max)));
        }
        Ok(chunk)
    });
    let reader = StreamReader::new(packed);
    let unpacked: Pin<Box<dyn AsyncRead + Send + '_>> = if encoding == Encoding::Gzip {
        let mut decoder = GzipDecoder::new(reader);
        decoder.multiple_members(true);
        Box::pin(decoder)
    } else {
        let mut decoder = ZstdDecoder::with_params(reader, &[DParameter::window_log_max(WINDOW_LOG_MAX)]);
        decoder.multiple_members(true);
        Box::pin(decoder)
    };
    let mut given = 0_usize;
    Box::pin(ReaderStream::with_capacity(unpacked, CHUNK_BYTES).map(move |chunk| {
        let chunk = chunk.map_err(|error| broken(encoding, &error))?;
        given = given.saturating_add(chunk.len());
        if given > RATIO_BYTES_MIN && given / RATIO_MAX > taken.load(Ordering::Relaxed) {
            return Err(Problem::new(
                Kind::TooLarge,
                format!(
                    "the body unpacks to more than {RATIO_MAX} times its bytes, as no rows do: send smaller requests, or send it unpacked"
                ),
            ));
        }
        Ok(chunk)
    }))
}

#[derive(Debug)]
struct TooLarge(usize);

impl std::fmt::Display for TooLarge {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "the body is larger than {} bytes", self.0)
    }
}

impl std::error::Error for TooLarge {}

fn broken(encoding: Encoding, error: &io::Error) -> Problem {
    let name = if encoding == Encoding::Gzip { "gzip" } else { "zstd" };
    if let Some(too_large) = error.get_ref().and_then(|inner| inner.downcast_ref::<TooLarge>()) {
        return Problem::new(Kind::TooLarge, too_large.to_string()).with("limit", too_large.0);
    }
    let problem = match error.kind() {
        io::ErrorKind::UnexpectedEof => format!("the body is {name} that is cut off"),
        _ => format!("the body is no {name}, as Content-Encoding says: {error}"),
    };
    Problem::malformed(problem)
}

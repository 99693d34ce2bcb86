//! A request's body, whole and bounded: one by its own limit, all together by the memory that bodies may take.

use std::sync::Arc;
use std::time::Duration;

use axum::body::{Body, BodyDataStream};
use axum::http::{HeaderMap, header};
use bytes::{Bytes, BytesMut};
use futures::StreamExt;
use tokio::sync::Semaphore;
use tokio::time::{Instant, timeout};

use super::encoding::{Encoding, Unpacked, unpack};
use crate::error::{Kind, Problem};
use crate::http::Options;
use crate::memory::{Held, Share};

/// What a body whose size is not known takes at first.
const STEP_BYTES: usize = 64 << 10;

/// How long a body waits for memory before it is refused.
const ADMISSION_WAIT: Duration = Duration::from_millis(500);

/// A refused body is read, and thrown away, up to so many bytes and for so long.
const DRAINED_BYTES_MAX: usize = 128 << 20;
const DRAIN_TIME_MAX: Duration = Duration::from_secs(5);

/// Admits bodies while there is memory for them.
#[derive(Debug)]
pub(in crate::http) struct Bodies {
    memory: Share,
    bytes_max: usize,
    timeout: Duration,
}

/// A body, and the memory that it holds until it is dropped.
#[derive(Debug)]
pub(in crate::http) struct Admitted {
    pub(in crate::http) bytes: Bytes,
    _memory: Held,
}

impl Bodies {
    pub(in crate::http) fn new(options: &Options) -> Self {
        // A body of the largest size must always fit, also while it is unpacked.
        let largest = options.request_bytes_max.saturating_mul(2);
        let fits = options.bodies.bytes_max() >= largest;
        Self {
            memory: if fits { options.bodies.clone() } else { Share::new(largest) },
            bytes_max: options.request_bytes_max,
            timeout: options.body_timeout,
        }
    }

    /// The memory that bodies may take, in KiB.
    pub(in crate::http) fn memory(&self) -> Arc<Semaphore> {
        self.memory.units()
    }

    /// Reads a body, unpacked.
    ///
    /// # Errors
    /// `too-large` over the limit, `overloaded` without memory, `unsupported-media-type` if it is packed in another way than
    /// gzip or zstd, `malformed` if it is cut.
    pub(in crate::http) async fn read(&self, headers: &HeaderMap, body: Body) -> Result<Admitted, Problem> {
        let encoding = Encoding::of(headers)?;
        let mut body = body.into_data_stream();
        let length = headers
            .get(header::CONTENT_LENGTH)
            .and_then(|length| length.to_str().ok()?.parse::<usize>().ok());
        if length.is_some_and(|length| length > self.bytes_max) {
            drain(body).await;
            return Err(self.too_large());
        }
        let known = length.filter(|_| encoding == Encoding::Identity);
        let mut memory = self.reserve(known.unwrap_or(STEP_BYTES.min(self.bytes_max))).await?;
        let unpacked = unpack(encoding, &mut body, self.bytes_max);
        let read = timeout(self.timeout, self.collect(unpacked, known, encoding, &mut memory)).await;
        let read = read.unwrap_or_else(|_| {
            Err(Problem::malformed(format!("the body did not arrive within {} s", self.timeout.as_secs())))
        });
        match read {
            Ok(bytes) => {
                // What unpacking took besides is free again.
                memory.shrink(bytes.len());
                Ok(Admitted { bytes, _memory: memory })
            }
            Err(problem) => {
                drop(memory);
                if matches!(problem.kind(), Kind::TooLarge | Kind::Overloaded) {
                    drain(body).await;
                }
                Err(problem)
            }
        }
    }

    /// Waits a moment for memory.
    pub(in crate::http) async fn reserve(&self, bytes: usize) -> Result<Held, Problem> {
        let memory = self.memory.take(bytes, Instant::now() + ADMISSION_WAIT).await;
        memory.ok_or_else(|| {
            Problem::new(Kind::Overloaded, "the gateway holds as many request bodies as its memory allows")
        })
    }

    async fn collect(
        &self,
        mut body: Unpacked<'_>,
        length: Option<usize>,
        encoding: Encoding,
        memory: &mut Held,
    ) -> Result<Bytes, Problem> {
        // An unpacker looks back at what it gave, and keeps a copy of it for that.
        let copies = if encoding == Encoding::Identity { 1 } else { 2 };
        let mut whole: Option<BytesMut> = None;
        let mut first: Option<Bytes> = None;
        let mut total = 0usize;
        while let Some(chunk) = body.next().await {
            let chunk = chunk?;
            total = total.saturating_add(chunk.len());
            if total > self.bytes_max {
                return Err(self.too_large());
            }
            let held = memory.bytes();
            let needed = total.saturating_mul(copies);
            if needed > held {
                let more = needed.max(held.saturating_mul(2)).min(self.bytes_max * copies).max(needed);
                memory.merge(self.reserve(more - held).await?);
            }
            // A body of one chunk is not copied.
            match (first.take(), &mut whole) {
                (None, None) => first = Some(chunk),
                (earlier, _) => {
                    let capacity = length.unwrap_or_default().max(total);
                    let whole = whole.get_or_insert_with(|| BytesMut::with_capacity(capacity));
                    whole.extend_from_slice(&earlier.unwrap_or_default());
                    whole.extend_from_slice(&chunk);
                }
            }
        }
        Ok(first.or_else(|| whole.map(BytesMut::freeze)).unwrap_or_default())
    }

    fn too_large(&self) -> Problem {
        Problem::new(Kind::TooLarge, format!("the body is larger than {} bytes", self.bytes_max))
            .with("limit", self.bytes_max)
    }
}

/// Lets a client finish sending what was refused, within reason: one that is cut off in the middle never reads the answer.
async fn drain(mut body: BodyDataStream) {
    let mut total = 0;
    let discard = async {
        while let Some(Ok(chunk)) = body.next().await {
            total += chunk.len();
            if total > DRAINED_BYTES_MAX {
                return;
            }
        }
    };
    drop(timeout(DRAIN_TIME_MAX, discard).await);
}

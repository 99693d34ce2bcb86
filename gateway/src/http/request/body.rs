//! A request's body, whole and bounded: one by its own limit, all together by the memory that bodies may take.

use std::sync::Arc;
use std::time::Duration;

use axum::body::{Body, BodyDataStream};
use axum::http::{HeaderMap, header};
use bytes::{Bytes, BytesMut};
use futures::StreamExt;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::timeout;

use crate::error::{Kind, Problem};
use crate::http::Options;

/// Memory is counted in units of so many bytes.
const UNIT_BYTES: usize = 1 << 10;

/// How long a body waits for memory before it is refused.
const ADMISSION_WAIT: Duration = Duration::from_millis(500);

/// A refused body is read, and thrown away, up to so many bytes and for so long.
const DRAINED_BYTES_MAX: usize = 128 << 20;
const DRAIN_TIME_MAX: Duration = Duration::from_secs(5);

/// Admits bodies while there is memory for them.
#[derive(Debug)]
pub(in crate::http) struct Bodies {
    memory: Arc<Semaphore>,
    bytes_max: usize,
    timeout: Duration,
}

/// A body, and the memory that it holds until it is dropped.
#[derive(Debug)]
pub(in crate::http) struct Admitted {
    pub(in crate::http) bytes: Bytes,
    _memory: OwnedSemaphorePermit,
}

impl Bodies {
    pub(in crate::http) fn new(options: &Options) -> Self {
        // A body of the largest size must always fit.
        let together = options.bodies_bytes_max.max(options.request_bytes_max);
        Self {
            memory: Arc::new(Semaphore::new(units(together).min(u32::MAX >> 1) as usize)),
            bytes_max: options.request_bytes_max,
            timeout: options.body_timeout,
        }
    }

    /// Reads a body.
    ///
    /// # Errors
    /// `too-large` over the limit, `overloaded` without memory, `unsupported` if it is compressed, `malformed` if it is cut.
    pub(in crate::http) async fn read(&self, headers: &HeaderMap, body: Body) -> Result<Admitted, Problem> {
        refuse_compressed(headers)?;
        let length = headers
            .get(header::CONTENT_LENGTH)
            .and_then(|length| length.to_str().ok()?.parse::<usize>().ok());
        if length.is_some_and(|length| length > self.bytes_max) {
            drain(body.into_data_stream()).await;
            return Err(self.too_large());
        }
        let reserve = units(length.unwrap_or(self.bytes_max));
        let memory = timeout(ADMISSION_WAIT, Arc::clone(&self.memory).acquire_many_owned(reserve)).await;
        let Ok(Ok(memory)) = memory else {
            return Err(Problem::new(
                Kind::Overloaded,
                "the gateway holds as many request bodies as its memory allows",
            ));
        };
        let read = timeout(self.timeout, self.collect(body.into_data_stream(), length.unwrap_or(0))).await;
        let bytes = read.map_err(|_| {
            Problem::malformed(format!("the body did not arrive within {} s", self.timeout.as_secs()))
        })??;
        Ok(Admitted { bytes, _memory: memory })
    }

    async fn collect(&self, mut body: BodyDataStream, length: usize) -> Result<Bytes, Problem> {
        let mut whole: Option<BytesMut> = None;
        let mut first: Option<Bytes> = None;
        let mut total = 0usize;
        while let Some(chunk) = body.next().await {
            let chunk =
                chunk.map_err(|error| Problem::malformed(format!("the body was cut off: {error}")))?;
            total = total.saturating_add(chunk.len());
            if total > self.bytes_max {
                drain(body).await;
                return Err(self.too_large());
            }
            // A body of one chunk is not copied.
            match (first.take(), &mut whole) {
                (None, None) => first = Some(chunk),
                (earlier, _) => {
                    let whole = whole.get_or_insert_with(|| BytesMut::with_capacity(length.max(total)));
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

fn units(bytes: usize) -> u32 {
    u32::try_from(bytes.div_ceil(UNIT_BYTES)).unwrap_or(u32::MAX)
}

fn refuse_compressed(headers: &HeaderMap) -> Result<(), Problem> {
    match headers.get(header::CONTENT_ENCODING) {
        Some(encoding) if encoding != "identity" => Err(Problem::unsupported(format!(
            "Content-Encoding {encoding:?}: compressed bodies are not supported in this version"
        ))),
        _ => Ok(()),
    }
}

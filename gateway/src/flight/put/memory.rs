//! The memory that messages take on their way in: counted as their bytes arrive, over all calls, together with HTTP's bodies.
//!
//! Invariant: a stream that gets no memory is not read further, so that HTTP/2 holds its client back; after a while it is told to come
//! again, so that half messages never wait for each other.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use axum::body::Body;
use axum::extract::{Request, State};
use axum::middleware::Next;
use axum::response::Response;
use futures::StreamExt;
use parking_lot::Mutex;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::{Instant, timeout};

use crate::error::{Kind, Problem};

/// Memory is counted in units of so many bytes, as in HTTP's bodies.
const UNIT_BYTES: usize = 1 << 10;

/// How long a stream waits for memory.
const WAIT_MAX: Duration = Duration::from_secs(5);

/// What all calls together may take.
#[derive(Clone, Debug)]
pub(in crate::flight) struct Memory {
    pub(in crate::flight) units: Arc<Semaphore>,
    /// The most bytes of one message: a stream never holds more.
    pub(in crate::flight) message_bytes_max: usize,
}

/// What one call holds.
#[derive(Debug)]
pub(in crate::flight) struct Held {
    memory: Memory,
    starved: AtomicBool,
    state: Mutex<Account>,
}

#[derive(Debug)]
struct Account {
    /// Bytes that arrived and are not released.
    bytes: usize,
    permit: Option<OwnedSemaphorePermit>,
    /// Since when the oldest of them may be waiting for the rest of its message.
    since: Instant,
}

/// Counts what arrives for a call.
pub(in crate::flight) async fn meter(
    State(memory): State<Memory>,
    mut request: Request,
    next: Next,
) -> Response {
    let account = Account { bytes: 0, permit: None, since: Instant::now() };
    let held = Arc::new(Held { memory, starved: AtomicBool::new(false), state: Mutex::new(account) });
    request.extensions_mut().insert(Arc::clone(&held));
    let metered = request.map(|body| {
        Body::from_stream(body.into_data_stream().then(move |chunk| {
            let held = Arc::clone(&held);
            async move {
                let chunk = chunk?;
                held.take(chunk.len()).await?;
                Ok::<_, axum::Error>(chunk)
            }
        }))
    });
    next.run(metered).await
}

impl Held {
    async fn take(&self, bytes: usize) -> Result<(), axum::Error> {
        let missing = {
            let mut state = self.state.lock();
            if state.bytes == 0 {
                state.since = Instant::now();
            }
            // More than a message is what its client encodes in an odd way: not memory.
            let message_bytes_max = self.memory.message_bytes_max.saturating_add(UNIT_BYTES);
            state.bytes = state.bytes.saturating_add(bytes).min(message_bytes_max);
            let have = state.permit.as_ref().map_or(0, OwnedSemaphorePermit::num_permits);
            state.bytes.div_ceil(UNIT_BYTES).saturating_sub(have)
        };
        if missing == 0 {
            return Ok(());
        }
        let units = u32::try_from(missing).unwrap_or(u32::MAX);
        let more = timeout(WAIT_MAX, Arc::clone(&self.memory.units).acquire_many_owned(units)).await;
        let Ok(Ok(more)) = more else {
            self.starved.store(true, Ordering::Relaxed);
            return Err(axum::Error::new("no memory for the rest of the message"));
        };
        let mut state = self.state.lock();
        match &mut state.permit {
            Some(permit) => permit.merge(more),
            none => *none = Some(more),
        }
        Ok(())
    }

    /// Gives back what a message took that is no longer held here.
    pub(super) fn release(&self, bytes: usize) {
        let mut state = self.state.lock();
        state.bytes = state.bytes.saturating_sub(bytes);
        state.since = Instant::now();
        let wanted = state.bytes.div_ceil(UNIT_BYTES);
        if let Some(permit) = &mut state.permit {
            drop(permit.split(permit.num_permits().saturating_sub(wanted)));
        }
    }

    /// The problem of a stream that got no memory.
    pub(super) fn starved(&self) -> Option<Problem> {
        let starved = self.starved.load(Ordering::Relaxed);
        starved.then(|| Problem::new(Kind::Overloaded, "the gateway holds as much as its memory allows"))
    }

    /// Whether half a message has been waiting for its rest for so long.
    pub(super) fn is_stuck(&self, limit: Duration) -> bool {
        let state = self.state.lock();
        state.bytes > 0 && state.since.elapsed() >= limit
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn held(memory: &Memory) -> Held {
        let account = Account { bytes: 0, permit: None, since: Instant::now() };
        Held { memory: memory.clone(), starved: AtomicBool::new(false), state: Mutex::new(account) }
    }

    #[tokio::test(start_paused = true)]
    async fn streams_share_memory_and_get_it_back() {
        let memory = Memory { units: Arc::new(Semaphore::new(4)), message_bytes_max: 8 << 10 };
        let (a, b) = (held(&memory), held(&memory));
        a.take(1500).await.unwrap();
        a.take(1500).await.unwrap();
        b.take(1000).await.unwrap();
        assert_eq!(memory.units.available_permits(), 0);
        b.take(1000).await.unwrap_err();
        assert!(b.starved().is_some() && a.starved().is_none());
        a.release(3000);
        assert_eq!(memory.units.available_permits(), 3);
        drop((a, b));
        assert_eq!(memory.units.available_permits(), 4);
    }

    #[tokio::test(start_paused = true)]
    async fn half_a_message_is_stuck_after_a_while_and_an_idle_stream_is_not() {
        let memory = Memory { units: Arc::new(Semaphore::new(4)), message_bytes_max: 8 << 10 };
        let stream = held(&memory);
        let limit = Duration::from_secs(25);
        tokio::time::advance(limit * 2).await;
        assert!(!stream.is_stuck(limit));
        stream.take(10).await.unwrap();
        assert!(!stream.is_stuck(limit));
        tokio::time::advance(limit).await;
        assert!(stream.is_stuck(limit));
    }

    #[tokio::test]
    async fn what_a_client_encodes_in_an_odd_way_is_not_counted_for_ever() {
        let memory = Memory { units: Arc::new(Semaphore::new(100)), message_bytes_max: 8 << 10 };
        let stream = held(&memory);
        for _ in 0..1000 {
            stream.take(1 << 10).await.unwrap();
        }
        assert_eq!(memory.units.available_permits(), 100 - 9);
    }
}

//! A whole answer on its way to its client: given out in pieces, and dropped when the client stops taking them.
//!
//! Invariant: a client that takes nothing for [`STALL_MAX`] holds none of the memory that reads share; its connection is reset once it
//! goes on, so that it never takes a part for the whole.

use std::collections::VecDeque;
use std::io;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Weak};
use std::time::Duration;

use axum::body::Body;
use bytes::{Bytes, BytesMut};
use futures::stream::unfold;
use parking_lot::Mutex;
use tokio::time::sleep;

use crate::memory::Held;

/// How long a client may take for one piece.
const STALL_MAX: Duration = Duration::from_secs(30);

/// Bytes of a piece; a copy, since what the connection queues would keep all of the answer otherwise.
const PIECE_BYTES: usize = 64 << 10;

struct Sending {
    /// What is not given out yet; nothing once it was dropped.
    left: Mutex<Option<Left>>,
    /// How many pieces were given out.
    pieces: AtomicU64,
}

struct Left {
    bytes: VecDeque<Bytes>,
    _held: Option<Arc<Held>>,
}

impl Sending {
    fn next(&self) -> Option<io::Result<Bytes>> {
        let mut left = self.left.lock();
        let Some(Left { bytes, .. }) = left.as_mut() else {
            return Some(Err(io::Error::other("the client took nothing for too long")));
        };
        let mut piece = BytesMut::with_capacity(PIECE_BYTES.min(bytes.iter().map(Bytes::len).sum()));
        while piece.len() < PIECE_BYTES
            && let Some(mut next) = bytes.pop_front()
        {
            piece.extend_from_slice(&next.split_to(next.len().min(PIECE_BYTES - piece.len())));
            if !next.is_empty() {
                bytes.push_front(next);
            }
        }
        self.pieces.fetch_add(1, Ordering::Relaxed);
        (!piece.is_empty()).then(|| Ok(piece.freeze()))
    }
}

/// An answer and the memory that it takes, which is given back when the client has taken it, or takes no more.
pub(super) fn body(bytes: Vec<Bytes>, held: Option<Arc<Held>>) -> Body {
    let left = Left { bytes: bytes.into(), _held: held };
    if left.bytes.iter().map(Bytes::len).sum::<usize>() <= PIECE_BYTES {
        return Body::from(left.bytes.iter().flatten().copied().collect::<Vec<u8>>());
    }
    let left = Some(left);
    let sending = Arc::new(Sending { left: Mutex::new(left), pieces: AtomicU64::new(0) });
    drop(tokio::spawn(watch(Arc::downgrade(&sending))));
    Body::from_stream(unfold(sending, |sending| async move {
        let piece = sending.next()?;
        Some((piece, sending))
    }))
}

/// Drops what is left once no piece was taken for a while.
async fn watch(sending: Weak<Sending>) {
    let mut seen = None;
    while let Some(sending) = sending.upgrade() {
        let pieces = sending.pieces.load(Ordering::Relaxed);
        if seen.replace(pieces) == Some(pieces) {
            *sending.left.lock() = None;
            return;
        }
        drop(sending);
        sleep(STALL_MAX).await;
    }
}

#[cfg(test)]
mod tests {
    use futures::StreamExt;
    use tokio::time::Instant;

    use super::*;
    use crate::memory::Share;

    #[tokio::test(start_paused = true)]
    async fn who_takes_an_answer_slowly_gets_all_of_it_and_who_stops_holds_no_memory() {
        let share = Share::new(1 << 20);
        let bytes: Vec<u8> = (0..10 * PIECE_BYTES + 1).map(|at| at.to_le_bytes()[0]).collect();
        let answer = async || {
            let held = share.take(bytes.len(), Instant::now()).await.unwrap();
            body(vec![bytes[..9].to_vec().into(), bytes[9..].to_vec().into()], Some(Arc::new(held)))
                .into_data_stream()
        };
        let (mut slow, mut taken) = (answer().await, Vec::new());
        while let Some(piece) = slow.next().await {
            taken.extend_from_slice(&piece.unwrap());
            sleep(STALL_MAX - Duration::from_secs(1)).await;
        }
        assert!(taken == bytes, "{} bytes", taken.len());
        drop(slow);
        assert_eq!(share.used(), 0);

        let mut stopped = answer().await;
        stopped.next().await.unwrap().unwrap();
        assert!(share.used() > 0);
        sleep(STALL_MAX * 3).await;
        assert_eq!(share.used(), 0);
        stopped.next().await.unwrap().unwrap_err();
    }
}

//! Work that is heavy on the processor, kept off the threads that answer requests.

use crate::error::Problem;

/// Work on more bytes than this leaves the threads that answer requests.
const INLINE_BYTES_MAX: usize = 64 << 10;

/// Does work on so many bytes where it holds up no other request.
pub(crate) async fn on_worker<T: Send + 'static>(
    bytes: usize,
    work: impl FnOnce() -> Result<T, Problem> + Send + 'static,
) -> Result<T, Problem> {
    if bytes <= INLINE_BYTES_MAX {
        return work();
    }
    let done = tokio::task::spawn_blocking(work).await;
    done.map_err(|error| Problem::internal(format!("work on the rows did not end: {error}")))?
}

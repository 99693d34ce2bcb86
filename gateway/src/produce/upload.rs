//! Segments first, then the commit that refers to them.

use std::time::Duration;

use frazil_log::commit::committer::{Committer, Flush};
use frazil_log::error::Result;
use frazil_log::format::commit::SegmentRef;
use frazil_log::format::segment::SegmentHeader;
use frazil_log::format::slice::SliceHome;
use frazil_log::id::SegmentId;
use frazil_log::store::{CreateOutcome, PutPayload, paths};
use futures::future;
use tokio::time::sleep;

use super::flush::Upload;

/// The longest pause between tries.
const PAUSE_MAX: Duration = Duration::from_secs(1);

/// Uploads a flush's segments in parallel; the flush must name them.
pub(super) async fn segments(committer: &Committer, uploads: Vec<Upload>) -> Result<Vec<SegmentRef>> {
    // Named by what is folded now (rule 12): the fold refuses the flush if it takes a window's time to land.
    future::try_join_all(uploads.into_iter().map(|upload| segment(committer, upload))).await
}

/// Moves the rows inside a flush into a segment.
pub(super) async fn outside(committer: &Committer, mut flush: Flush) -> Result<Flush> {
    let inside = flush.slices.iter_mut().filter(|slice| slice.home == SliceHome::Here);
    let mut slices = Vec::new();
    for slice in inside {
        slices.push(slice.clone());
        slice.home = SliceHome::Segment(u32::try_from(flush.segments.len()).unwrap_or(u32::MAX));
    }
    if !slices.is_empty() {
        let upload = Upload { slices, body: std::mem::take(&mut flush.body) };
        flush.segments.push(segment(committer, upload).await?);
    }
    Ok(flush)
}

async fn segment(committer: &Committer, upload: Upload) -> Result<SegmentRef> {
    let replica = committer.replica();
    let id = SegmentId { base: replica.next(), ulid: replica.env().ulid() };
    let log_uuid = replica.fold().state.identity().uuid;
    let header = SegmentHeader {
        log_uuid,
        id,
        encryption_key_id: String::new(),
        sources: Vec::new(),
        slices: upload.slices,
    };
    let sealed = header.seal(upload.body)?;
    let path = paths::segment(replica.database(), id);
    let mut pause = Duration::from_millis(50);
    loop {
        let put = committer.hedger().create(&path, |_| sealed.pieces().collect::<PutPayload>());
        match put.await.outcome {
            // The name is ours alone: who has it wrote these bytes.
            CreateOutcome::Committed | CreateOutcome::Lost => {
                return Ok(SegmentRef { id, body_start: sealed.envelope.body_start() });
            }
            CreateOutcome::Unknown(error) | CreateOutcome::Denied(error) if error.is_retryable() => {}
            CreateOutcome::Unknown(error) | CreateOutcome::Denied(error) => return Err(error),
        }
        sleep(pause).await;
        pause = (pause * 2).min(PAUSE_MAX);
    }
}

//! The other side of a push: listening to the leader for as long as somebody here wants to know.
//!
//! Invariants:
//! * while nobody wants to know, nobody is listened to and nothing is sent;
//! * what is heard is folded by the replica under its own proof (rule 10), and a gap is read from the store;
//! * rows that come along wait in the tail ring, where they are checked before they are served.

use std::time::Duration;

use bytes::Bytes;
use frazil_log::error::Result;
use frazil_log::format::commit::Commit;
use frazil_log::format::segment::ObjectId;
use frazil_log::format::slice::SliceHome;
use futures::StreamExt;
use tokio::time::{sleep, timeout};

use super::interest::Wanted;
use super::message::{SlotRows, TailMessage, TailRequest};
use super::transport::{Pushes, Transport};
use crate::produce::ingress::Ingress;
use crate::produce::router::Leader;

/// How often a listener looks whether it is still wanted, and listens to the right one.
const LOOK_PAUSE: Duration = Duration::from_secs(1);

/// How long a leader may take to answer.
const ANSWER_TIME: Duration = Duration::from_secs(1);

/// A gap is read from the store at most this often.
const GAP_PAUSE: Duration = Duration::from_millis(20);

/// What the decoder calls it.
const NAME: &str = "a pushed slot";

/// Listens for ever; asks nobody anything while nothing is wanted.
pub(crate) async fn listen(ingress: Ingress, peers: std::sync::Arc<dyn Transport>) {
    loop {
        let wanted = ingress.interest().wanted();
        if wanted == Wanted::Nothing {
            ingress.interest().changed().await;
            continue;
        }
        let Some(leader) = ingress.leader() else {
            // This gateway leads, or nobody does: until another one writes.
            let mut next = ingress.replica().watch();
            next.mark_unchanged();
            tokio::select! {
                biased;
                changed = next.changed() => drop(changed),
                () = sleep(LOOK_PAUSE) => {}
            }
            continue;
        };
        let database = ingress.replica().database().to_string();
        let request = TailRequest { database, rows: wanted == Wanted::Rows };
        if let Ok(Ok(pushes)) = timeout(ANSWER_TIME, peers.tail(&leader.address, request)).await {
            ingress.set_pushed_to(true);
            hear(&ingress, pushes, &leader, wanted).await;
            ingress.set_pushed_to(false);
        }
        sleep(LOOK_PAUSE / 2).await;
    }
}

/// Hears one leader out: until it ends, another leads, or something else is wanted.
async fn hear(ingress: &Ingress, mut pushes: Pushes, leader: &Leader, wanted: Wanted) {
    loop {
        let message = tokio::select! {
            biased;
            message = pushes.next() => Some(message),
            () = ingress.interest().changed() => None,
            () = sleep(LOOK_PAUSE) => None,
        };
        match message {
            None => {}
            Some(Some(Ok(message))) if message.draining => return ingress.avoid(leader),
            Some(Some(Ok(message))) => {
                if let Err(error) = take(ingress, message).await {
                    tracing::debug!(leader = leader.address, %error, "a push could not be used");
                    return;
                }
            }
            Some(Some(Err(_)) | None) => return,
        }
        let same = ingress.leader().is_some_and(|now| now.incarnation == leader.incarnation);
        if !same || ingress.interest().wanted() != wanted {
            return;
        }
    }
}

/// One pushed slot, or the place where a leader's pushes begin.
async fn take(ingress: &Ingress, message: TailMessage) -> Result<()> {
    let replica = ingress.replica();
    let TailMessage { slot, head, rows, .. } = message;
    if head.is_empty() {
        if slot > replica.next() {
            replica.confirm_tail().await?;
        }
        return Ok(());
    }
    let commit = Commit::decode(NAME, &head, slot)?;
    if let Some(SlotRows { body }) = rows {
        keep_rows(ingress, &commit, &head, &body)?;
    }
    ingress.metrics().heard(replica.env().now().wall.saturating_sub(commit.header.time));
    replica.deliver_pushed(commit).await?;
    if replica.next() <= slot {
        replica.poll_tail(GAP_PAUSE).await?;
    }
    Ok(())
}

/// Rows are kept for those who will be woken by the fold. That they are those of the commit is seen by its content hash.
fn keep_rows(ingress: &Ingress, commit: &Commit, head: &Bytes, body: &Bytes) -> Result<()> {
    let whole: Bytes = [head.as_ref(), body.as_ref()].concat().into();
    commit.envelope.verify(NAME, &whole)?;
    let object = ObjectId::Commit { slot: commit.header.slot, put_id: commit.header.put_id };
    for slice in commit.header.slices.iter().filter(|slice| slice.home == SliceHome::Here) {
        let range = slice.object_range(0);
        let place = usize::try_from(range.start).ok().zip(usize::try_from(range.end).ok());
        if let Some((start, end)) = place.filter(|(_, end)| *end <= body.len()) {
            ingress.tail().insert_encoded(object, slice, body.slice(start..end));
        }
    }
    Ok(())
}

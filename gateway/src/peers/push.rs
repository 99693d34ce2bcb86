//! The leader's side of a push: slots as they are folded, for as long as somebody listens.

use frazil_log::commit::pushed::FoldedSlot;
use futures::Stream;
use futures::stream::unfold;
use tokio::sync::broadcast;
use tokio::sync::broadcast::error::RecvError;

use super::message::{SlotRows, TailMessage};
use crate::produce::ingress::Ingress;

struct Push {
    ingress: Ingress,
    slots: broadcast::Receiver<FoldedSlot>,
    rows: bool,
    greeted: bool,
    done: bool,
}

/// What is folded here from now on. The first message says where that begins. The stream ends if the other side is too slow, or, with a
/// word, if this gateway is going down.
pub fn push(ingress: &Ingress, rows: bool) -> impl Stream<Item = TailMessage> + Send + use<> {
    // Subscribed before `next` is read: a slot may come twice, none is left out.
    let slots = ingress.replica().folded_slots();
    let push = Push { ingress: ingress.clone(), slots, rows, greeted: false, done: false };
    unfold(push, |mut push| async move {
        let message = push.next().await?;
        push.ingress.metrics().pushed();
        Some((message, push))
    })
}

impl Push {
    async fn next(&mut self) -> Option<TailMessage> {
        if self.done {
            return None;
        }
        if !self.greeted {
            self.greeted = true;
            return Some(TailMessage { slot: self.ingress.replica().next(), ..TailMessage::default() });
        }
        tokio::select! {
            biased;
            () = self.ingress.drained() => {
                self.done = true;
                Some(TailMessage { draining: true, ..TailMessage::default() })
            }
            slot = self.slots.recv() => match slot {
                Ok(slot) => Some(self.message(&slot)),
                Err(RecvError::Lagged(_) | RecvError::Closed) => None,
            },
        }
    }

    fn message(&self, slot: &FoldedSlot) -> TailMessage {
        let rows =
            slot.body.as_ref().filter(|_| self.rows).map(|body| SlotRows { body: body.concat().into() });
        TailMessage { slot: slot.commit.header.slot, head: slot.commit.head(), rows, draining: false }
    }
}

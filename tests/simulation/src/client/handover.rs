//! Hand-over in memory: a proposal named by one gateway is given to another one's committer, and maybe written by the first as well.
//!
//! The wire between gateways comes later; the committer takes proposals that others named from the first day.

use std::sync::Arc;
use std::time::Duration;

use frazil_gateway::produce::flush::{Pending, build};
use frazil_log::id::ProposalName;
use frazil_log::state::verdict::{Fate, Refusal, Verdict};
use tokio::time::{sleep, timeout};

use crate::client::take_answer;
use crate::node::gateway::{Content, Gateway, Heard};
use crate::world::World;

/// How a proposal is handed over.
#[derive(Clone, Debug)]
pub(crate) struct Manner {
    /// How long the message is on its way.
    pub(crate) on_its_way: Duration,
    /// How long the first gateway waits before it writes itself; none: it does not.
    pub(crate) own_after: Option<Duration>,
    /// How long it waits for the verdict altogether.
    pub(crate) deadline: Duration,
}

/// `from` hands a plain request over to `to`.
pub(crate) async fn hand_over(
    world: Arc<World>,
    from: Gateway,
    to: Gateway,
    content: Content,
    manner: Manner,
) {
    let uid = content.uid;
    world.history.lock().sent(uid, from.process.node);
    world.note("handed over", uid, to.process.node as u64, || {
        format!(
            "request {uid} from node {} to node {}: {:?}, {manner:?}",
            from.process.node, to.process.node, content.parts
        )
    });
    let (own, deadline) = (from.clone(), manner.deadline);
    let verdict = from.process.run(async move {
        match timeout(deadline, ask(own, to, content, manner)).await {
            Ok(heard) => heard,
            Err(_) => Heard::Unknown,
        }
    });
    take_answer(&world, uid, verdict.await.unwrap_or(Heard::Unknown), true);
}

async fn ask(from: Gateway, to: Gateway, content: Content, manner: Manner) -> Heard {
    let Some(ingress) = from.ingress() else { return Heard::NotWritten };
    let acts = match from.acts(&ingress, &content).await {
        Ok(acts) => acts,
        Err(heard) => return heard,
    };
    let replica = ingress.replica().clone();
    let pending = Pending {
        name: ProposalName { incarnation: from.process.env.ulid(), n: 0 },
        base: replica.next(),
        producer: None,
        request_hash: 0,
        acts,
    };
    let fate = replica.expect(pending.name, pending.base);
    let copy = pending.clone();
    let on_its_way = manner.on_its_way;
    drop(tokio::spawn(async move {
        sleep(on_its_way).await;
        // Whom it reaches is a process that lives then.
        drop(to.process.run(write(to.clone(), copy)));
    }));
    if let Some(after) = manner.own_after {
        let (own, copy) = (from.clone(), pending.clone());
        from.process.env.spawn(async move {
            sleep(after).await;
            write(own, copy).await;
        });
    }
    match fate.await {
        Ok(Fate::Decided { verdict: Verdict::Accepted(acceptance), .. }) => Heard::Acked(acceptance),
        // The first copy that is judged says it: an earlier one would have been remembered.
        Ok(Fate::Decided { verdict: Verdict::Refused(Refusal::Expired), .. }) => {
            from.process.world.note("handed over too late", 0, 0, String::new);
            Heard::Refused(Refusal::Expired)
        }
        Ok(Fate::Decided { verdict: Verdict::Refused(refusal), .. }) => Heard::Refused(refusal),
        Ok(Fate::Forgotten | Fate::Gap { .. }) | Err(_) => Heard::Unknown,
    }
}

async fn write(gateway: Gateway, pending: Pending) {
    let Some(ingress) = gateway.ingress() else { return };
    let Ok(built) = build(&[pending], u64::MAX) else { return };
    if let Err(error) = ingress.committer().write(built.flush).await {
        gateway.stopped("writing what was handed over", &error);
    }
}

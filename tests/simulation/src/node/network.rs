//! The way from one gateway to another: messages are lost, doubled, late, and out of order.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use frazil_gateway::peers::message::{ProposeAnswer, ProposeRequest, TailMessage, TailRequest};
use frazil_gateway::peers::push::push;
use frazil_gateway::peers::transport::{Pushes, Transport, Unreachable};
use futures::StreamExt;
use futures::stream::unfold;
use tokio::sync::mpsc;
use tokio::time::sleep;

use super::Process;
use crate::client::Gateways;
use crate::node::gateway::Gateway;
use crate::world::World;

/// What the address of a machine's gateway begins with.
const ADDRESS: &str = "node-";

/// The address of a machine's gateway.
pub(crate) fn address(node: usize) -> String {
    format!("{ADDRESS}{node}")
}

/// The network as one process sees it.
#[derive(Debug)]
pub(crate) struct Network {
    own: Process,
    gateways: Gateways,
}

/// What happens to a message.
struct Way {
    lost: bool,
    doubled: bool,
    takes: Duration,
}

fn way(world: &World) -> Way {
    let dice = &world.network_dice;
    if world.faults_have_stopped() {
        return Way { lost: false, doubled: false, takes: Duration::from_micros(dice.range(100, 2_000)) };
    }
    let slow = dice.happens(0.05);
    Way {
        lost: dice.happens(0.08),
        doubled: dice.happens(0.08),
        takes: Duration::from_micros(dice.log_range(100, if slow { 20_000_000 } else { 20_000 })),
    }
}

impl Network {
    pub(crate) fn new(own: Process, gateways: Gateways) -> Self {
        Self { own, gateways }
    }

    /// Whoever listens at an address now; nobody if it does not run.
    fn at(&self, address: &str) -> Result<Gateway, Unreachable> {
        let node: Option<usize> = address.strip_prefix(ADDRESS).and_then(|node| node.parse().ok());
        let gateway = node.and_then(|node| self.gateways.lock().get(node).cloned());
        let gateway =
            gateway.filter(|gateway| !gateway.process.gate.is_dead() && gateway.ingress().is_some());
        gateway.ok_or_else(|| Unreachable(format!("nobody listens at {address}")))
    }

    fn lost() -> Unreachable {
        Unreachable("lost".to_owned())
    }
}

#[async_trait]
impl Transport for Network {
    async fn propose(&self, address: &str, request: ProposeRequest) -> Result<ProposeAnswer, Unreachable> {
        let world = Arc::clone(&self.own.world);
        let to = self.at(address)?;
        let (there, back) = (way(&world), way(&world));
        if there.lost {
            world.note("hand-over lost", to.process.node as u64, 0, String::new);
            return Err(Self::lost());
        }
        world.note("hand-over", self.own.node as u64, to.process.node as u64, || {
            format!("node {} to node {}", self.own.node, to.process.node)
        });
        let deliver = {
            let (to, parcel) = (to.clone(), request.parcel);
            move || to.process.run(accept(to.clone(), parcel.clone()))
        };
        if there.doubled {
            let (again, later) = (deliver.clone(), way(&world).takes * 4);
            drop(tokio::spawn(async move {
                sleep(later).await;
                drop(again());
            }));
        }
        // It arrives although the sender may have stopped waiting.
        let arrived = tokio::spawn(async move {
            sleep(there.takes).await;
            deliver().await
        });
        let answer = arrived.await.map_err(|_| Self::lost())?.map_err(|_| Self::lost())?;
        sleep(back.takes).await;
        if back.lost { Err(Self::lost()) } else { answer.ok_or_else(Self::lost) }
    }

    async fn tail(&self, address: &str, request: TailRequest) -> Result<Pushes, Unreachable> {
        let world = Arc::clone(&self.own.world);
        let to = self.at(address)?;
        let (sender, receiver) = mpsc::unbounded_channel();
        sleep(way(&world).takes).await;
        let pusher = to.clone();
        to.process.env.spawn(async move {
            let Some(ingress) = pusher.ingress() else { return };
            let mut pushes = std::pin::pin!(push(&ingress, request.rows));
            while let Some(message) = pushes.next().await {
                if sender.is_closed() {
                    return;
                }
                send(&world, &sender, message);
            }
        });
        Ok(unfold(receiver, |mut receiver| async move { Some((Ok(receiver.recv().await?), receiver)) })
            .boxed())
    }

    async fn drain(&self, address: &str) -> Result<(), Unreachable> {
        self.at(address).map(drop)
    }
}

async fn accept(to: Gateway, parcel: bytes::Bytes) -> Option<ProposeAnswer> {
    Some(to.ingress()?.accept(&parcel))
}

/// Each message takes its own time: they overtake each other.
fn send(world: &Arc<World>, sender: &mpsc::UnboundedSender<TailMessage>, message: TailMessage) {
    let fate = way(world);
    if fate.lost {
        world.note("push lost", message.slot, 0, String::new);
        return;
    }
    world.note("push", message.slot, 0, String::new);
    for copy in 0..=u32::from(fate.doubled) {
        let (sender, message) = (sender.clone(), message.clone());
        let takes = fate.takes * (1 + copy * 3);
        drop(tokio::spawn(async move {
            sleep(takes).await;
            drop(sender.send(message)); // nobody listens any more
        }));
    }
}

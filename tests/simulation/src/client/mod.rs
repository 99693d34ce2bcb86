//! Clients: plain writers that send once, idempotent producers that retry anywhere, strong readers, consumers.

pub(crate) mod handover;

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use arrow::array::AsArray;
use arrow::datatypes::{FieldRef, Int64Type};
use frazil_gateway::produce::ingress::Ingress;
use frazil_log::error::{Error, ErrorKind};
use frazil_log::format::commit::ProducerStamp;
use frazil_log::format::page::StreamKey;
use frazil_log::id::Offset;
use frazil_log::schema::arrow_form::arrow_field;
use frazil_log::state::verdict::Refusal;
use parking_lot::Mutex;
use tokio::sync::{mpsc, oneshot};
use tokio::time::{sleep, timeout};

use crate::history::Told;
use crate::history::violation::Kind;
use crate::node::gateway::{Content, Gateway, Heard};
use crate::world::World;
use crate::world::dice::Dice;

/// The gateways as clients know them: by number; a restarted one takes its place.
pub(crate) type Gateways = Arc<Mutex<Vec<Gateway>>>;

/// An idempotent producer.
#[derive(Debug)]
pub(crate) struct Producer {
    /// Its id.
    pub(crate) id: String,
    /// Its place.
    pub(crate) state: Mutex<ProducerState>,
}

/// Where a producer is in its sequence.
#[derive(Debug, Default)]
pub(crate) struct ProducerState {
    /// Its epoch.
    pub(crate) epoch: u64,
    /// The sequence of its next request.
    pub(crate) next: u64,
    /// Sequences that have no answer yet.
    pub(crate) open: BTreeSet<u64>,
    /// A request was given up: nothing more in this epoch.
    pub(crate) stuck: bool,
}

impl Producer {
    /// The stamp of its next request, if it may send one: with few open, and none so old that its verdict may be forgotten.
    pub(crate) fn next_stamp(&self, open_max: usize, verdicts_max: usize) -> Option<ProducerStamp> {
        let mut state = self.state.lock();
        if state.stuck && state.open.is_empty() {
            *state = ProducerState { epoch: state.epoch + 1, ..ProducerState::default() };
        }
        let span = state.open.first().map_or(0, |oldest| state.next - oldest);
        if state.stuck || state.open.len() >= open_max || span >= verdicts_max as u64 {
            return None;
        }
        let stamp = ProducerStamp { id: self.id.clone(), epoch: state.epoch, seq: state.next };
        state.next += 1;
        state.open.insert(stamp.seq);
        Some(stamp)
    }
}

/// How a producer tries.
#[derive(Clone, Debug)]
pub(crate) struct Patience {
    /// How often.
    pub(crate) tries_max: usize,
    /// How long it waits for an answer before it tries elsewhere (the first try goes on).
    pub(crate) wait_us: (u64, u64),
    /// The chance that a retry goes to the same gateway.
    pub(crate) same_gateway: f64,
}

/// Sends a plain request once.
pub(crate) async fn plain(world: Arc<World>, gateway: Gateway, content: Content) {
    plain_for(world, gateway, content, Duration::from_secs(25)).await;
}

/// Sends a plain request once, and waits for so long.
pub(crate) async fn plain_for(world: Arc<World>, gateway: Gateway, content: Content, deadline: Duration) {
    let uid = content.uid;
    world.note("plain request", uid, gateway.process.node as u64, || {
        format!("{uid} to node {}: {:?}", gateway.process.node, content.parts)
    });
    let heard = gateway.submit(content, None, deadline).await;
    take_answer(&world, uid, heard.unwrap_or(Heard::Unknown), true);
}

/// Tells the history what a client heard; says whether it was definite. `alone`: no other copy of the request is anywhere.
pub(crate) fn take_answer(world: &World, uid: u64, heard: Heard, alone: bool) -> bool {
    world.note("heard", uid, 0, || format!("request {uid}: {heard:?}"));
    let told = match heard {
        Heard::Acked(acceptance) => Told::Acked(acceptance),
        Heard::Forgotten => Told::Forgotten,
        // These say nothing of another copy (rule 3), and leave the sequence where it was.
        Heard::Refused(
            Refusal::Fenced { .. }
            | Refusal::UnknownProducer
            | Refusal::Expired
            | Refusal::GroupGeneration { .. },
        ) if !alone => {
            return false;
        }
        Heard::Refused(Refusal::SequenceConflict) => {
            world.violate(
                Kind::Contradiction,
                format!("request {uid} came again with the same bytes and was called a conflict"),
            );
            return true;
        }
        Heard::Refused(refusal) => {
            world.note("refused", uid, 0, || format!("{refusal:?}"));
            Told::Refused(refusal)
        }
        Heard::Gap | Heard::NotWritten if alone => Told::NotWritten,
        Heard::Gap | Heard::NotWritten | Heard::Unknown => return false,
    };
    let definite = told != Told::NotWritten;
    world.fold();
    let found = world.history.lock().tell(uid, told);
    world.judge(found);
    definite
}

/// One request of a producer, and how it is to be brought into the log.
#[derive(Debug)]
pub(crate) struct Errand {
    /// The run.
    pub(crate) world: Arc<World>,
    /// Whom it may be sent to.
    pub(crate) gateways: Gateways,
    /// Who sends it.
    pub(crate) producer: Arc<Producer>,
    /// Its place in the sequence.
    pub(crate) stamp: ProducerStamp,
    /// What it says.
    pub(crate) content: Content,
    /// How it is tried.
    pub(crate) patience: Patience,
    /// What it draws from.
    pub(crate) dice: Arc<Dice>,
}

impl Errand {
    /// Tries through gateway `first`, then through any, until there is a definite answer.
    pub(crate) async fn run(self, first: usize) {
        let (answer, mut answers) = mpsc::unbounded_channel::<bool>();
        let mut at = first;
        let mut definite = false;
        for attempt in 0..self.patience.tries_max {
            self.send(at, attempt, answer.clone());
            let wait = self.dice.log_range(self.patience.wait_us.0, self.patience.wait_us.1);
            if let Ok(Some(true)) = timeout(Duration::from_micros(wait), answers.recv()).await {
                definite = true;
                break;
            }
            sleep(Duration::from_micros(self.dice.range(1_000, 300_000))).await;
            if !self.dice.happens(self.patience.same_gateway) {
                at = self.dice.index(self.gateways.lock().len());
            }
        }
        // The tries that still run are waited for: a late answer counts too.
        drop(answer);
        while !definite && let Some(answered) = answers.recv().await {
            definite = answered;
        }
        let mut state = self.producer.state.lock();
        state.open.remove(&self.stamp.seq);
        state.stuck |= !definite;
    }

    fn send(&self, at: usize, attempt: usize, answer: mpsc::UnboundedSender<bool>) {
        let Some(gateway) = self.gateways.lock().get(at).cloned() else { return };
        let (world, uid, stamp) = (Arc::clone(&self.world), self.content.uid, &self.stamp);
        world.note("sequenced request", uid, at as u64, || {
            format!("{uid}: {} epoch {} #{} to node {at}, try {attempt}", stamp.id, stamp.epoch, stamp.seq)
        });
        let heard = gateway.submit(self.content.clone(), Some(stamp.clone()), Duration::from_secs(20));
        drop(tokio::spawn(async move {
            let heard = heard.await.unwrap_or(Heard::Unknown);
            answer.send(take_answer(&world, uid, heard, false)).ok(); // it may have its answer already
        }));
    }
}

/// A strong read: everything acknowledged before it must be seen, and nothing else.
pub(crate) async fn strong_read(world: Arc<World>, gateway: Gateway) {
    let Some(ingress) = gateway.ingress() else { return };
    world.fold();
    let known = world.history.lock().tail();
    let replica = ingress.replica().clone();
    let read = gateway.process.run(async move {
        let _waiting = ingress.interest().reader();
        let tail = replica.confirm_tail().await?;
        let folded = replica.fold().folded();
        Ok::<_, Error>((tail, folded))
    });
    match read.await {
        Ok(Ok((tail, folded))) => {
            world.note("strong read", tail, known, || {
                format!(
                    "node {} says that the tail is {tail}, the log had {known} slots",
                    gateway.process.node
                )
            });
            if tail < known {
                let words = format!(
                    "node {} took slot {tail} for the tail, {known} slots were there before it was asked",
                    gateway.process.node
                );
                return world.violate(Kind::StaleRead, words);
            }
            check_fold(&world, gateway.process.node, folded);
        }
        Ok(Err(error)) => gateway.stopped("confirming the tail", &error),
        Err(_) => {}
    }
}

/// A node's fold is the log's.
pub(crate) fn check_fold(world: &World, node: usize, (next, hash): (u64, u128)) {
    world.fold();
    let own = world.history.lock().hash_at(next);
    if own != Some(hash) {
        let words =
            format!("node {node} folded slots below {next} to {hash:032x}, the log gives {own:032x?}");
        world.violate(Kind::Diverged, words);
    }
}

/// Reads rows back through a node's index.
pub(crate) async fn consume(
    world: Arc<World>,
    gateway: Gateway,
    key: StreamKey,
    from: Offset,
    ids: Vec<u64>,
    must: bool,
) -> bool {
    let Some(ingress) = gateway.ingress() else { return false };
    let to = from + ids.len() as u64;
    // What the tail ring answers, the store is not asked: what must be there is read from the store, and of the rest a half.
    let by_ring = !must && (from + to).is_multiple_of(2);
    let read = gateway.process.run(async move { read_ids(&ingress, by_ring, &key, from, to).await });
    let Ok(read) = read.await else { return false };
    match read {
        Ok(Some(found)) if found == ids => {
            world.note("rows read back", found.len() as u64, from, || {
                format!("{key:?} from {from}: {}", found.len())
            });
            true
        }
        Ok(Some(found)) => {
            let words = format!(
                "node {} reads {key:?} from {from} as {found:?}, the log has {ids:?}",
                gateway.process.node
            );
            world.violate(Kind::BytesGone, words);
            true
        }
        Ok(None) => false,
        Err(error) => {
            world.fold();
            if world.history.lock().earliest(&key) > from {
                world.note("rows expired before they were read", from, 0, String::new);
                return true;
            }
            let gone = matches!(error.kind(), ErrorKind::Corrupt | ErrorKind::NotFound | ErrorKind::Internal);
            if gone || must && error.kind() == ErrorKind::Stale {
                let words = format!(
                    "node {} reads {key:?} from {from} to {to}: {:?} {error}",
                    gateway.process.node,
                    error.kind()
                );
                world.violate(Kind::BytesGone, words);
            }
            false
        }
    }
}

/// The row ids of some offsets; none if the node has not folded them.
async fn read_ids(
    ingress: &Ingress,
    by_ring: bool,
    key: &StreamKey,
    from: Offset,
    to: Offset,
) -> Result<Option<Vec<u64>>, Error> {
    let replica = ingress.replica();
    let table = replica.fold().state.tables().live(key.table).cloned();
    let Some(table) = table.filter(|_| replica.fold().state.tables().tail(key).next >= to) else {
        return Ok(None);
    };
    let mut ids = Vec::new();
    for place in replica.places(key, from..to).await? {
        let named = |field: &i32| {
            table.spec.schema.columns.iter().find(|column| column.id == *field).map(arrow_field)
        };
        let time = || {
            arrow_field(&table.spec.schema.columns[0]).with_name("__timestamp").with_data_type(timestamp())
        };
        let fields: Vec<FieldRef> =
            place.slice.columns.iter().map(|field| named(field).unwrap_or_else(time).into()).collect();
        let batches = if by_ring {
            ingress.tail().read_place(replica, &place, &fields, &[0]).await?
        } else {
            replica.read_place(&place, &fields, &[0]).await?
        };
        for batch in batches {
            ids.extend(
                batch.column(0).as_primitive::<Int64Type>().values().iter().map(|id| id.unsigned_abs()),
            );
        }
    }
    Ok(Some(ids))
}

fn timestamp() -> arrow::datatypes::DataType {
    arrow::datatypes::DataType::Timestamp(arrow::datatypes::TimeUnit::Microsecond, Some("UTC".into()))
}

/// Waits for an answer that may never come.
pub(crate) async fn within<T>(limit: Duration, answer: oneshot::Receiver<T>) -> Option<T> {
    timeout(limit, answer).await.ok()?.ok()
}

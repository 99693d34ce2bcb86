//! What clients do in a run.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use frazil_gateway::produce::flush;
use frazil_log::format::commit::ProducerStamp;
use frazil_log::format::entry::Entry;
use frazil_log::format::positions::ExpectedPosition;
use frazil_log::id::{Bucket, Name};
use tokio::time::sleep;

use super::Run;
use crate::client::handover::{self, Manner};
use crate::client::{self, Errand, Patience, Producer, within};
use crate::node::gateway::{Content, Gateway, Part, Stands};

impl Run {
    /// Rows for the main table.
    pub(crate) fn content(&self, rows: u64, bucket: Option<u32>) -> Content {
        let part = Part { table: self.main.clone(), bucket, rows, expected: None };
        self.content_of(vec![part], None)
    }

    fn content_of(&self, parts: Vec<Part>, producer: Option<ProducerStamp>) -> Content {
        let rows = parts.iter().map(|part| part.rows).sum();
        let uid = self.world.history.lock().ask(producer, rows);
        Content { uid, parts, stands: None, pad: if self.dice.happens(0.3) { 120 } else { 4 } }
    }

    pub(super) fn some_table(&self) -> Name {
        let scratch = self.scratch.lock();
        if scratch.is_empty() || self.dice.happens(0.9) {
            self.main.clone()
        } else {
            scratch[self.dice.index(scratch.len())].clone()
        }
    }

    fn rows(&self) -> u64 {
        self.dice.range(1, self.scenario.rows_end)
    }

    pub(super) fn bucket(&self) -> u32 {
        u32::try_from(self.dice.range(0, u64::from(self.scenario.buckets))).unwrap_or(0)
    }

    /// Starts a client's task within the next moments.
    fn soon(&self, task: impl Future<Output = ()> + Send + 'static) {
        let after = Duration::from_micros(self.dice.range(0, 120_000));
        self.client(async move {
            sleep(after).await;
            task.await;
        });
    }

    pub(crate) fn plain(&self, count: usize) {
        for _ in 0..count {
            let bucket = self.dice.happens(0.5).then(|| self.bucket());
            let part = Part { table: self.some_table(), bucket, rows: self.rows(), expected: None };
            let bucket = if part.table == self.main { part.bucket } else { None };
            let content = self.content_of(vec![Part { bucket, ..part }], None);
            self.soon(client::plain(Arc::clone(&self.world), self.any_gateway(), content));
        }
    }

    pub(super) fn produce(&self, count: usize) {
        for _ in 0..count {
            let Some((producer, stamp)) = self.some_producer() else { continue };
            let bucket = self.dice.happens(self.scenario.producers_expect.max(0.4)).then(|| self.bucket());
            let expected = self.expected_for(bucket, self.scenario.producers_expect);
            let part = Part { table: self.main.clone(), bucket, rows: self.rows(), expected };
            let content = self.content_of(vec![part], Some(stamp.clone()));
            self.send_on_until_answered(producer, stamp, content);
        }
    }

    /// A producer brings a request into the log, through one gateway or another.
    fn send_on_until_answered(&self, producer: Arc<Producer>, stamp: ProducerStamp, content: Content) {
        let impatience = self.scenario.impatience_us;
        let patience = Patience {
            tries_max: 2 + self.dice.index(8),
            wait_us: (if self.dice.happens(0.2) { impatience / 20 } else { impatience }, 20_000_000),
            same_gateway: if self.dice.happens(0.5) { 0.7 } else { 0.2 },
        };
        let first = self.dice.index(self.gateways.lock().len());
        let errand = Errand {
            world: Arc::clone(&self.world),
            gateways: Arc::clone(&self.gateways),
            producer,
            stamp,
            content,
            patience,
            dice: Arc::clone(&self.dice),
        };
        self.soon(errand.run(first));
    }

    /// A producer that may send something now, and its stamp.
    fn some_producer(&self) -> Option<(Arc<Producer>, ProducerStamp)> {
        let producer = Arc::clone(&self.producers[self.dice.index(self.producers.len())]);
        let verdicts_max = self.scenario.protocol.fold.producer_verdicts_max;
        let stamp = producer.next_stamp(self.scenario.pipelining, verdicts_max)?;
        Some((producer, stamp))
    }

    /// An offset near the tail: right, or soon right, or wrong.
    fn expected_for(&self, bucket: Option<u32>, p: f64) -> Option<u64> {
        let bucket = bucket?;
        if !self.dice.happens(p) {
            return None;
        }
        self.world.fold();
        Some(self.world.history.lock().next_offset(&self.main, bucket) + self.dice.range(0, 5))
    }

    pub(super) fn expect(&self) {
        let bucket = self.bucket();
        let expected = self.expected_for(Some(bucket), 1.0);
        let part = Part { table: self.main.clone(), bucket: Some(bucket), rows: self.rows(), expected };
        let content = self.content_of(vec![part], None);
        self.soon(client::plain(Arc::clone(&self.world), self.any_gateway(), content));
        for _ in 0..self.dice.index(3) {
            let other = self.content(self.rows(), Some(bucket));
            self.soon(client::plain(Arc::clone(&self.world), self.any_gateway(), other));
        }
    }

    pub(super) fn atomic(&self) {
        let first = Part { table: self.main.clone(), bucket: Some(0), rows: 2, expected: None };
        let second = Part { table: self.some_table(), bucket: None, rows: 1, expected: None };
        let content = self.content_of(vec![first, second], None);
        self.soon(client::plain(Arc::clone(&self.world), self.any_gateway(), content));
    }

    /// Workers of one group, at about the same time: each reads where it stands, and writes rows with where it stands then. Now and then
    /// somebody deletes the group.
    pub(super) fn group(&self) {
        let group = Name::new(format!("g{}", self.dice.index(2))).expect("a letter and a digit");
        for _ in 0..1 + self.dice.index(3) {
            if self.dice.happens(0.25) {
                self.delete_group(group.clone());
                continue;
            }
            let bucket = self.bucket();
            self.world.fold();
            let (stored, tail) = {
                let history = self.world.history.lock();
                (history.stands(&group, &self.main, bucket), history.next_offset(&self.main, bucket))
            };
            let expected = match (self.dice.index(8), stored) {
                (0, _) => ExpectedPosition::Any,
                (1, None) => ExpectedPosition::Nothing,
                _ => ExpectedPosition::Exactly(BTreeMap::from([(Bucket(bucket), stored)])),
            };
            let offset = self.dice.range(0, tail + 2);
            let first = Part { table: self.main.clone(), bucket: None, rows: 2, expected: None };
            let second = Part { table: self.some_table(), bucket: None, rows: 1, expected: None };
            let table = self.main.clone();
            let stands = Some(Stands { group: group.clone(), table, bucket, offset, expected });
            // Half of the workers count their requests: what is not answered they send again, position and all.
            let producer = if self.dice.happens(0.5) { self.some_producer() } else { None };
            let stamp = producer.as_ref().map(|(_, stamp)| stamp.clone());
            let content = Content { stands, ..self.content_of(vec![first, second], stamp) };
            match producer {
                Some((producer, stamp)) => {
                    self.world.note("position of a producer", content.uid, 0, String::new);
                    self.send_on_until_answered(producer, stamp, content);
                }
                None => self.soon(client::plain(Arc::clone(&self.world), self.any_gateway(), content)),
            }
        }
    }

    fn delete_group(&self, group: Name) {
        let gateway = self.any_gateway();
        self.client(async move {
            let deleted = gateway.submit_act(
                move |ingress| {
                    let generation = ingress.replica().fold().state.groups().get(&group)?.generation;
                    Some(flush::Act::Entry(Entry::GroupDeleted { group, generation }))
                },
                Duration::from_secs(20),
            );
            drop(within(Duration::from_secs(30), deleted).await);
        });
    }

    pub(crate) fn read(&self) {
        self.soon(client::strong_read(Arc::clone(&self.world), self.any_gateway()));
    }

    pub(super) fn consume(&self) {
        self.world.fold();
        let (key, from, ids) = {
            let history = self.world.history.lock();
            let all: Vec<_> = history.visible().filter(|(_, _, ids)| !ids.is_empty()).collect();
            if all.is_empty() {
                return;
            }
            let (key, earliest, ids) = all[self.dice.index(all.len())];
            let from = self.dice.index(ids.len());
            let to = (from + 1 + self.dice.index(20)).min(ids.len());
            (*key, earliest + from as u64, ids[from..to].to_vec())
        };
        let (world, gateway) = (Arc::clone(&self.world), self.any_gateway());
        self.soon(async move {
            client::consume(world, gateway, key, from, ids, false).await;
        });
    }

    pub(super) fn hand_over(&self) {
        let (from, to) = (self.any_gateway(), self.any_gateway());
        let bucket = self.bucket();
        let expected = self.expected_for(Some(bucket), self.scenario.hand_overs_expect);
        let part = Part { table: self.main.clone(), bucket: Some(bucket), rows: self.rows(), expected };
        let content = self.content_of(vec![part], None);
        let manner = Manner {
            on_its_way: Duration::from_micros(self.dice.log_range(500, 60_000_000)),
            own_after: self
                .dice
                .happens(0.7)
                .then(|| Duration::from_micros(self.dice.log_range(1_000, 4_000_000))),
            deadline: Duration::from_secs(self.dice.range(5, 120)),
        };
        self.soon(handover::hand_over(Arc::clone(&self.world), from, to, content, manner));
        for _ in 0..self.dice.index(4) {
            let other = self.content(self.rows(), Some(bucket));
            self.soon(client::plain(Arc::clone(&self.world), self.any_gateway(), other));
        }
    }

    pub(super) fn read_at(&self, gateway: &Gateway) {
        self.client(client::strong_read(Arc::clone(&self.world), gateway.clone()));
    }
}

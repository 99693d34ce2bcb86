//! The acts of a run.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use frazil_gateway::produce::flush;
use frazil_log::format::entry::Entry;
use frazil_log::id::Name;
use tokio::time::sleep;

use crate::client::{self, Patience, within};
use crate::gateway::{Content, Gateway, Part};
use crate::handover::{self, Manner};
use crate::run::{FIRST_WORKER, Run};
use crate::scenario::Act;

const MINUTE_S: u64 = 60;
const HOUR_S: u64 = 3_600;

impl Run {
    /// Does one thing.
    pub(crate) async fn act(&self, act: Act) {
        self.world.note("act", act as u64, 0, || format!("{act:?}"));
        match act {
            Act::Plain => self.plain(1 + self.dice.index(6)),
            Act::Produce => self.produce(1 + self.dice.index(6)),
            Act::Expect => self.expect(),
            Act::Atomic => self.atomic(),
            Act::Read => self.read(),
            Act::Consume => self.consume(),
            Act::HandOver => self.hand_over(),
            Act::Ddl => self.ddl(),
            Act::Seconds => sleep(Duration::from_micros(self.dice.log_range(1_000, 4_000_000))).await,
            Act::Minutes => sleep(Duration::from_secs(self.dice.range(MINUTE_S, 25 * MINUTE_S))).await,
            Act::Days => sleep(Duration::from_secs(self.dice.range(4 * HOUR_S, 50 * HOUR_S))).await,
            Act::Freeze => self.freeze(),
            Act::LongSleep => self.long_sleep().await,
            Act::Stutter => self.stutter().await,
            Act::Crash => self.crash(),
            Act::Partition => self.partition(),
            Act::Clock => self.jump_clock(),
            Act::Janitor => self.janitor(),
            Act::ColdStart => self.cold_start().await,
            Act::Straggle => self.straggle().await,
            Act::Storm => self.storm(),
            Act::Calm => self.calm(),
        }
    }

    /// Rows for the main table.
    pub(crate) fn content(&self, rows: u64, bucket: Option<u32>) -> Content {
        let part = Part { table: self.main.clone(), bucket, rows, expected: None };
        self.content_of(vec![part], None)
    }

    fn content_of(&self, parts: Vec<Part>, producer: Option<frazil_log::format::commit::ProducerStamp>) -> Content {
        let rows = parts.iter().map(|part| part.rows).sum();
        let uid = self.world.history.lock().ask(producer, rows);
        Content { uid, parts, pad: if self.dice.happens(0.3) { 120 } else { 4 } }
    }

    fn some_table(&self) -> Name {
        let scratch = self.scratch.lock();
        if scratch.is_empty() || self.dice.happens(0.9) { self.main.clone() } else { scratch[self.dice.index(scratch.len())].clone() }
    }

    fn rows(&self) -> u64 {
        self.dice.range(1, self.scenario.rows_end)
    }

    fn bucket(&self) -> u32 {
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

    fn produce(&self, count: usize) {
        for _ in 0..count {
            let producer = Arc::clone(&self.producers[self.dice.index(self.producers.len())]);
            let Some(stamp) = producer.next_stamp(self.scenario.pipelining, self.scenario.protocol.fold.producer_verdicts_max) else { continue };
            let bucket = self.dice.happens(self.scenario.producers_expect.max(0.4)).then(|| self.bucket());
            let expected = self.expected_for(bucket, self.scenario.producers_expect);
            let part = Part { table: self.main.clone(), bucket, rows: self.rows(), expected };
            let content = self.content_of(vec![part], Some(stamp.clone()));
            let impatience = self.scenario.impatience_us;
            let patience = Patience {
                tries_max: 2 + self.dice.index(8),
                wait_us: (if self.dice.happens(0.2) { impatience / 20 } else { impatience }, 20_000_000),
                same_gateway: if self.dice.happens(0.5) { 0.7 } else { 0.2 },
            };
            let first = self.dice.index(self.gateways.lock().len());
            let (world, gateways, dice) = (Arc::clone(&self.world), Arc::clone(&self.gateways), Arc::clone(&self.dice));
            self.soon(client::produce(world, gateways, producer, stamp, content, patience, dice, first));
        }
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

    fn expect(&self) {
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

    fn atomic(&self) {
        let first = Part { table: self.main.clone(), bucket: Some(0), rows: 2, expected: None };
        let second = Part { table: self.some_table(), bucket: None, rows: 1, expected: None };
        let content = self.content_of(vec![first, second], None);
        self.soon(client::plain(Arc::clone(&self.world), self.any_gateway(), content));
    }

    pub(crate) fn read(&self) {
        self.soon(client::strong_read(Arc::clone(&self.world), self.any_gateway()));
    }

    fn consume(&self) {
        self.world.fold();
        let (key, from, ids) = {
            let history = self.world.history.lock();
            let all: Vec<_> = history.visible().filter(|(_, ids)| !ids.is_empty()).collect();
            if all.is_empty() {
                return;
            }
            let (key, ids) = all[self.dice.index(all.len())];
            let from = self.dice.index(ids.len());
            let to = (from + 1 + self.dice.index(20)).min(ids.len());
            (*key, from as u64, ids[from..to].to_vec())
        };
        let (world, gateway) = (Arc::clone(&self.world), self.any_gateway());
        self.soon(async move {
            client::consume(world, gateway, key, from, ids, false).await;
        });
    }

    fn hand_over(&self) {
        let (from, to) = (self.any_gateway(), self.any_gateway());
        let bucket = self.bucket();
        let expected = self.expected_for(Some(bucket), self.scenario.hand_overs_expect);
        let part = Part { table: self.main.clone(), bucket: Some(bucket), rows: self.rows(), expected };
        let content = self.content_of(vec![part], None);
        let manner = Manner {
            on_its_way: Duration::from_micros(self.dice.log_range(500, 60_000_000)),
            own_after: self.dice.happens(0.7).then(|| Duration::from_micros(self.dice.log_range(1_000, 4_000_000))),
            deadline: Duration::from_secs(self.dice.range(5, 120)),
        };
        self.soon(handover::hand_over(Arc::clone(&self.world), from, to, content, manner));
        for _ in 0..self.dice.index(4) {
            let other = self.content(self.rows(), Some(bucket));
            self.soon(client::plain(Arc::clone(&self.world), self.any_gateway(), other));
        }
    }

    fn ddl(&self) {
        let dropped = {
            let mut scratch = self.scratch.lock();
            if scratch.len() > 1 { Some(scratch.remove(0)) } else { None }
        };
        match dropped {
            Some(name) => {
                self.world.note("table dropped", 0, 0, || name.to_string());
                let gateway = self.any_gateway();
                self.client(async move {
                    let dropped = gateway.submit_act(
                        move |ingress| {
                            let table = ingress.replica().fold().state.tables().named(&name)?.id;
                            let time = ingress.replica().env().now().wall;
                            Some(flush::Act::Entry(Entry::TableDropped { table, time }))
                        },
                        Duration::from_secs(20),
                    );
                    drop(within(Duration::from_secs(30), dropped).await);
                });
            }
            None => {
                let n = self.scratch_made.fetch_add(1, Ordering::SeqCst);
                let name = Name::new(format!("t{n}")).expect("a letter and digits");
                self.scratch.lock().push(name.clone());
                self.create(name);
            }
        }
    }

    fn create(&self, name: Name) {
        let gateway = self.any_gateway();
        self.client(async move {
            let made = gateway.submit_act(
                move |ingress| {
                    let fold = ingress.replica().fold();
                    let table = fold.state.tables().next_id();
                    let spec = fold.state.tables().by_name().next()?.spec.clone();
                    let uuid = ingress.replica().env().uuid();
                    Some(flush::Act::Entry(Entry::TableCreated { table, name, uuid, spec }))
                },
                Duration::from_secs(20),
            );
            drop(within(Duration::from_secs(30), made).await);
        });
    }

    /// Freezes a gateway for so long; says nothing more of it.
    pub(crate) fn freeze_for(&self, gateway: &Gateway, time: Duration) {
        gateway.process.gate.freeze();
        self.world.note("frozen", gateway.process.node as u64, time.as_secs(), || {
            format!("node {} for {time:?}", gateway.process.node)
        });
        let (process, world) = (gateway.process.clone(), Arc::clone(&self.world));
        let all_stall = self.scenario.clocks_stall;
        let boot_stalls = self.dice.happens(0.3);
        drop(tokio::spawn(async move {
            sleep(time).await;
            let us = i64::try_from(time.as_micros()).unwrap_or(i64::MAX);
            if all_stall {
                process.clock.stall_boot(us);
                process.clock.jump_wall(-us);
            } else if boot_stalls {
                world.note("boot clock stood still", process.node as u64, 0, String::new);
                process.clock.stall_boot(us);
            }
            process.gate.thaw();
            world.note("thawed", process.node as u64, 0, || format!("node {}", process.node));
        }));
    }

    fn freeze(&self) {
        let gateway = self.any_gateway();
        let time = match self.dice.index(10) {
            0..6 => Duration::from_micros(self.dice.log_range(10_000, 60_000_000)),
            6..9 => Duration::from_secs(self.dice.range(MINUTE_S, 40 * MINUTE_S)),
            _ => Duration::from_secs(self.dice.range(HOUR_S, 60 * HOUR_S)),
        };
        self.freeze_for(&gateway, time);
    }

    /// One sleeps for days with a request in hand; the others write, check point and trim.
    async fn long_sleep(&self) {
        let sleeper = self.any_gateway();
        let age = self.scenario.trim_age();
        let time = age * 3 + Duration::from_secs(self.dice.range(0, HOUR_S));
        let idle_only = self.dice.happens(0.4);
        if self.dice.happens(0.5) {
            self.read_at(&sleeper);
            sleep(Duration::from_millis(300)).await;
        }
        if !idle_only {
            let content = self.content(2, None);
            self.client(client::plain_for(Arc::clone(&self.world), sleeper.clone(), content, time * 2));
            sleep(Duration::from_micros(self.dice.log_range(100, 60_000))).await;
            self.freeze_for(&sleeper, time);
        } else if self.dice.happens(0.5) {
            self.freeze_for(&sleeper, time);
        }
        self.write_much(&sleeper, 3).await;
        sleep(age / 2).await;
        self.rounds().await;
        sleep(age + Duration::from_secs(HOUR_S)).await;
        self.rounds().await;
        sleep(age * 3 / 2 + Duration::from_secs(HOUR_S)).await;
        // It is awake. What does it believe?
        if idle_only && self.dice.happens(0.7) {
            let content = self.content(2, None);
            self.client(client::plain(Arc::clone(&self.world), sleeper.clone(), content));
        } else {
            self.client(client::strong_read(Arc::clone(&self.world), sleeper.clone()));
        }
        sleep(Duration::from_secs(self.dice.range(1, 60))).await;
    }

    /// So many checkpoints' worth of slots, not by `but`.
    async fn write_much(&self, but: &Gateway, checkpoints: u64) {
        self.calm();
        let slots = self.scenario.protocol.fold.checkpoint_slots * checkpoints + 1;
        self.world.fold();
        let goal = self.world.history.lock().tail() + slots;
        for _ in 0..slots * 3 {
            let others: Vec<Gateway> = {
                let gateways = self.gateways.lock();
                gateways.iter().filter(|one| one.process.node != but.process.node && one.serves()).cloned().collect()
            };
            if others.is_empty() {
                return;
            }
            let gateway = others[self.dice.index(others.len())].clone();
            let content = self.content(1, None);
            self.client(client::plain(Arc::clone(&self.world), gateway, content));
            sleep(Duration::from_millis(150)).await;
            self.world.fold();
            if self.world.history.lock().tail() >= goal {
                return;
            }
        }
    }

    /// Each worker's round, one after the other.
    async fn rounds(&self) {
        let workers = self.workers.lock().clone();
        for worker in workers {
            let Some(round) = worker.round() else { continue };
            drop(within(Duration::from_secs(120), round).await);
        }
    }

    /// A gateway that starts at slot 0 and is frozen again and again while it catches up.
    async fn stutter(&self) {
        let node = self.dice.index(self.gateways.lock().len());
        let proof = self.scenario.protocol.proof_age_max;
        let running = self.gateways.lock()[node].clone();
        self.write_much(&running, 6).await;
        running.process.gate.kill();
        self.world.note("crash", node as u64, 0, || format!("node {node}"));
        let gateway = self.start_gateway(node);
        let steps = 6 + self.dice.index(8);
        let janitor_at = self.dice.index(2);
        for step in 0..steps {
            // An answer that comes while it sleeps is two naps younger than the proof before.
            sleep(Duration::from_millis(self.dice.range(15, 60))).await;
            let asleep = proof * 45 / 100;
            self.freeze_for(&gateway, asleep);
            sleep(asleep / 2).await;
            if step >= janitor_at {
                let worker = self.workers.lock()[step % 2].clone();
                let round = worker.round();
                self.client(async move {
                    if let Some(round) = round {
                        drop(round.await);
                    }
                });
            }
            sleep(asleep / 2).await;
        }
        self.read_at(&gateway);
    }

    fn read_at(&self, gateway: &Gateway) {
        self.client(client::strong_read(Arc::clone(&self.world), gateway.clone()));
    }

    fn crash(&self) {
        if self.dice.happens(0.2) {
            let index = self.dice.index(self.workers.lock().len());
            self.workers.lock()[index].process.gate.kill();
            self.world.note("crash", (FIRST_WORKER + index) as u64, 0, || format!("worker {index}"));
            self.restart_worker(index);
            return;
        }
        let gateway = self.any_gateway();
        let node = gateway.process.node;
        gateway.process.gate.kill();
        self.world.note("crash", node as u64, 0, || format!("node {node}"));
        let from_checkpoint = self.world.bucket.lock().list(&frazil_log::store::paths::checkpoint_prefix(&self.world.database));
        if !from_checkpoint.is_empty() {
            self.world.note("restart from a checkpoint", node as u64, 0, String::new);
        }
        self.start_gateway(node);
    }

    fn partition(&self) {
        let node = self.any_gateway().process.node;
        let seconds = self.dice.log_range(1, 100);
        self.world.note("partition", node as u64, seconds, || format!("node {node} for {seconds} s"));
        self.world.partition(node, true);
        let world = Arc::clone(&self.world);
        drop(tokio::spawn(async move {
            sleep(Duration::from_secs(seconds)).await;
            world.partition(node, false);
        }));
    }

    fn jump_clock(&self) {
        let gateway = self.any_gateway();
        let us = i64::try_from(self.dice.log_range(10_000, 3_600_000_000)).unwrap_or(0);
        let us = if self.dice.happens(0.5) { us } else { -us };
        self.world.note("clock jump", gateway.process.node as u64, us.unsigned_abs(), || {
            format!("node {} by {} ms", gateway.process.node, us / 1_000)
        });
        gateway.process.clock.jump_wall(us);
    }

    fn janitor(&self) {
        let worker = self.workers.lock()[self.dice.index(2)].clone();
        if self.dice.happens(0.15) {
            self.world.note("worker frozen", worker.process.node as u64, 0, String::new);
            let time = Duration::from_secs(self.dice.log_range(1, 30 * HOUR_S));
            let after = Duration::from_micros(self.dice.log_range(1_000, 400_000));
            let process = worker.process.clone();
            drop(tokio::spawn(async move {
                sleep(after).await;
                if process.world.faults_have_stopped() {
                    return;
                }
                process.gate.freeze();
                sleep(time).await;
                process.gate.thaw();
            }));
        }
        if let Some(round) = worker.round() {
            self.client(async move {
                drop(round.await);
            });
        }
    }

    /// Old slots without a checkpoint; then checkpoints, a trim and a cold start at one moment.
    async fn cold_start(&self) {
        let node = self.dice.index(self.gateways.lock().len());
        let running = self.gateways.lock()[node].clone();
        self.write_much(&running, 3).await;
        sleep(self.scenario.trim_age() + Duration::from_secs(HOUR_S)).await;
        running.process.gate.kill();
        self.world.note("crash", node as u64, 0, || format!("node {node}"));
        let gateway = self.start_gateway(node);
        sleep(Duration::from_micros(self.dice.log_range(1_000, 200_000))).await;
        if self.dice.happens(0.7) {
            self.freeze_for(&gateway, Duration::from_micros(self.dice.log_range(500_000, 20_000_000)));
        }
        self.rounds().await;
        sleep(Duration::from_secs(25)).await;
        self.read_at(&gateway);
        sleep(Duration::from_secs(2)).await;
    }

    /// A segment is uploaded, its commit is a day late, its writer is dead; a janitor that knows nothing sweeps meanwhile.
    async fn straggle(&self) {
        self.calm();
        let tidy = self.workers.lock()[0].clone();
        for _ in 0..2 {
            if let Some(round) = tidy.round() {
                drop(within(Duration::from_secs(120), round).await);
            }
        }
        let gateway = self.any_gateway();
        let node = gateway.process.node;
        let age = self.scenario.trim_age().as_secs();
        self.world.weather.lock().commits_held_s = Some((age + 2 * HOUR_S, age * 2));
        let content = self.content(4, None);
        self.client(client::plain(Arc::clone(&self.world), gateway.clone(), content));
        sleep(Duration::from_millis(self.dice.range(60, 600))).await;
        gateway.process.gate.kill();
        self.world.note("crash", node as u64, 0, || format!("node {node}"));
        self.calm();
        self.start_gateway(node);
        sleep(Duration::from_secs(age + HOUR_S)).await;
        self.restart_worker(1);
        sleep(Duration::from_secs(5)).await;
        let sweeper = self.workers.lock()[1].clone();
        if let Some(round) = sweeper.round() {
            drop(within(Duration::from_secs(120), round).await);
        }
        sleep(Duration::from_secs(age)).await;
    }
}

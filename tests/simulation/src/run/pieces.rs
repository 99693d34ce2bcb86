//! Acts of a run: which is done how, and those that are a little play of their own.

use std::sync::Arc;
use std::time::Duration;

use tokio::time::sleep;

use super::scenario::Act;
use super::{HOUR_S, MINUTE_S, Run};
use crate::client::{self, within};
use crate::node::gateway::Gateway;

impl Run {
    /// Does one thing.
    pub(crate) async fn act(&self, act: Act) {
        self.world.note("act", act as u64, 0, || format!("{act:?}"));
        match act {
            Act::Plain => self.plain(1 + self.dice.index(6)),
            Act::Produce => self.produce(1 + self.dice.index(6)),
            Act::Expect => self.expect(),
            Act::Atomic => self.atomic(),
            Act::Group => self.group(),
            Act::Read => self.read(),
            Act::Consume => self.consume(),
            Act::HandOver => self.hand_over(),
            Act::Ddl => self.ddl(),
            Act::Alter => self.alter(),
            Act::Expire => self.expire(),
            Act::Seconds => sleep(Duration::from_micros(self.dice.log_range(1_000, 4_000_000))).await,
            Act::Minutes => sleep(Duration::from_secs(self.dice.range(MINUTE_S, 25 * MINUTE_S))).await,
            Act::Days => sleep(Duration::from_secs(self.dice.range(4 * HOUR_S, 50 * HOUR_S))).await,
            Act::Freeze => self.freeze(),
            Act::LongSleep => self.long_sleep().await,
            Act::Stutter => self.stutter().await,
            Act::Crash => self.crash(),
            Act::Drain => self.drain(),
            Act::Partition => self.partition(),
            Act::Clock => self.jump_clock(),
            Act::Janitor => self.janitor(),
            Act::ColdStart => self.cold_start().await,
            Act::Straggle => self.straggle().await,
            Act::Storm => self.storm(),
            Act::Calm => self.calm(),
        }
    }

    /// One sleeps for days with a request in hand; the others write, check point and trim.
    async fn long_sleep(&self) {
        let sleeper = self.any_gateway();
        let age = self.scenario.trim_age();
        let time = age * 3 + Duration::from_secs(self.dice.range(0, HOUR_S));
        let idle_only = self.dice.happens(0.4);
        if self.scenario.peers {
            // It listens to another when it falls asleep: what is pushed meanwhile waits for it.
            self.write_much(&sleeper, 0).await;
            self.read_at(&sleeper);
            sleep(Duration::from_secs(2)).await;
        }
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
                gateways
                    .iter()
                    .filter(|one| one.process.node != but.process.node && one.serves())
                    .cloned()
                    .collect()
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
            within(Duration::from_secs(120), round).await;
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
                within(Duration::from_secs(120), round).await;
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
            within(Duration::from_secs(120), round).await;
        }
        sleep(Duration::from_secs(age)).await;
    }
}

//! What goes wrong with processes in a run.

use std::sync::Arc;
use std::time::Duration;

use frazil_log::store::paths;
use tokio::time::sleep;

use super::{FIRST_WORKER, HOUR_S, MINUTE_S, Run};
use crate::node::gateway::Gateway;

impl Run {
    /// Freezes a gateway for so long, unless it is frozen; says nothing more of it.
    pub(crate) fn freeze_for(&self, gateway: &Gateway, time: Duration) {
        if gateway.process.gate.is_frozen() {
            return;
        }
        gateway.process.gate.freeze();
        self.world.note("frozen", gateway.process.node as u64, time.as_secs(), || {
            format!("node {} for {time:?}", gateway.process.node)
        });
        let (process, world) = (gateway.process.clone(), Arc::clone(&self.world));
        let all_stall = self.scenario.clocks_stall;
        let boot_stalls = self.dice.happens(0.3);
        drop(tokio::spawn(async move {
            sleep(time).await;
            if !process.gate.is_frozen() {
                return; // the end thaws everybody: a clock that stood still for longer would go back
            }
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

    pub(super) fn freeze(&self) {
        let gateway = self.any_gateway();
        let time = match self.dice.index(10) {
            0..6 => Duration::from_micros(self.dice.log_range(10_000, 60_000_000)),
            6..9 => Duration::from_secs(self.dice.range(MINUTE_S, 40 * MINUTE_S)),
            _ => Duration::from_secs(self.dice.range(HOUR_S, 60 * HOUR_S)),
        };
        self.freeze_for(&gateway, time);
    }

    pub(super) fn crash(&self) {
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
        let from_checkpoint = self.world.bucket.lock().list(&paths::checkpoint_prefix(&self.world.database));
        if !from_checkpoint.is_empty() {
            self.world.note("restart from a checkpoint", node as u64, 0, String::new);
        }
        self.start_gateway(node);
    }

    /// A gateway is told to stop: it hands leadership on, ends, and is started again.
    pub(super) fn drain(&self) {
        let gateway = self.any_gateway();
        let Some(ingress) = gateway.ingress() else { return };
        let node = gateway.process.node;
        self.world.note("drain", node as u64, 0, || format!("node {node}"));
        let drained = gateway.process.run(async move { ingress.drain(Duration::from_secs(8)).await });
        let gate = Arc::clone(&gateway.process.gate);
        // Started again at once: the old process still answers what it took.
        let fresh = self.start_gateway(node);
        self.world.note("started beside the draining one", fresh.process.node as u64, 0, String::new);
        self.client(async move {
            drop(tokio::time::timeout(Duration::from_secs(10), drained).await);
            gate.kill();
        });
    }

    pub(super) fn partition(&self) {
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

    pub(super) fn jump_clock(&self) {
        let gateway = self.any_gateway();
        let us = i64::try_from(self.dice.log_range(10_000, 3_600_000_000)).unwrap_or(0);
        let us = if self.dice.happens(0.5) { us } else { -us };
        self.world.note("clock jump", gateway.process.node as u64, us.unsigned_abs(), || {
            format!("node {} by {} ms", gateway.process.node, us / 1_000)
        });
        gateway.process.clock.jump_wall(us);
    }

    pub(super) fn janitor(&self) {
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
}

//! One run: a scenario played with a seed, then the end, when the faults have stopped and everything must be right.

mod changes;
mod faults;
mod pieces;
pub(crate) mod scenario;
mod traffic;

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use frazil_gateway::produce::flush;
use frazil_log::format::entry::Entry;
use frazil_log::id::Name;
use frazil_log::schema::TableSpec;
use frazil_log::schema::ensure::{TableRequest, build};
use parking_lot::Mutex;
use tokio::runtime::Builder;
use tokio::time::sleep;

use crate::client::{self, Gateways, Producer, within};
use crate::history::violation::{Kind, Violation};
use crate::node::Process;
use crate::node::gateway::{Gateway, GatewayOptions, Heard};
use crate::node::worker::Worker;
use crate::run::scenario::Scenario;
use crate::world::World;
use crate::world::dice::Dice;
use crate::world::trace::Trace;
use crate::world::weather::Weather;

/// What came of a run.
#[derive(Debug)]
pub(crate) struct Outcome {
    /// What was wrong.
    pub(crate) violation: Option<Violation>,
    /// What happened.
    pub(crate) trace: Trace,
}

/// Machine numbers of workers begin here.
pub(crate) const FIRST_WORKER: usize = 100;

/// What a table is made of.
fn spec(buckets: u32) -> Option<TableSpec> {
    let request = TableRequest {
        columns: Some("id BIGINT NOT NULL, pad STRING".into()),
        buckets: Some(buckets),
        // Runs last for months: what expires is asked for by an act, and what was acknowledged is read back at the end.
        options: [("retention".to_owned(), "infinite".into())].into(),
        ..TableRequest::default()
    };
    build(&request).ok()
}

const MINUTE_S: u64 = 60;
const HOUR_S: u64 = 3_600;

/// A run in progress.
#[derive(Debug)]
pub(crate) struct Run {
    pub(crate) world: Arc<World>,
    pub(crate) dice: Arc<Dice>,
    pub(crate) scenario: Scenario,
    pub(crate) gateways: Gateways,
    pub(crate) workers: Mutex<Vec<Worker>>,
    pub(crate) producers: Vec<Arc<Producer>>,
    pub(crate) main: Name,
    pub(crate) scratch: Mutex<Vec<Name>>,
    pub(crate) scratch_made: AtomicUsize,
    columns_made: AtomicUsize,
    pub(crate) open: Arc<AtomicUsize>,
    runs: AtomicUsize,
    options: GatewayOptions,
}

/// Plays a scenario to its end.
pub(crate) fn play(seed: u64, scenario: impl FnOnce(&Dice) -> Scenario, verbose: bool) -> Outcome {
    let runtime = Builder::new_current_thread().enable_time().start_paused(true).build();
    let runtime = runtime.expect("a runtime without I/O needs nothing of its machine");
    let outcome = runtime.block_on(async {
        let dice = Arc::new(Dice::new(seed, 0));
        let run = Run::new(seed, scenario(&dice), dice, verbose);
        run.play().await;
        run.close();
        let violation = run.world.violation();
        let mut trace = run.world.take_trace();
        for (what, count) in &run.world.history.lock().seen {
            *trace.counts.entry(what).or_default() += count;
        }
        Outcome { violation, trace }
    });
    runtime.shutdown_background();
    outcome
}

impl Run {
    fn new(seed: u64, scenario: Scenario, dice: Arc<Dice>, verbose: bool) -> Self {
        let world = World::new(seed, scenario.protocol.clone(), verbose, scenario.reference);
        let options = GatewayOptions {
            flights_max: scenario.flights_max,
            inline_bytes_max: scenario.inline_bytes_max,
            checkpoints: scenario.gateways_checkpoint,
            peers: scenario.peers,
        };
        let producers = (0..3).map(|n| Arc::new(Producer { id: format!("p{n}"), state: Mutex::default() }));
        Self {
            world,
            dice,
            gateways: Arc::default(),
            workers: Mutex::new(Vec::new()),
            producers: producers.collect(),
            main: Name::new("events").expect("a fixed name that is allowed"),
            scratch: Mutex::new(Vec::new()),
            scratch_made: AtomicUsize::new(0),
            columns_made: AtomicUsize::new(0),
            open: Arc::default(),
            runs: AtomicUsize::new(0),
            options,
            scenario,
        }
    }

    async fn play(&self) {
        self.calm();
        self.begin().await;
        if self.scenario.storm {
            self.storm();
        }
        for _ in 0..self.scenario.acts {
            if self.world.violation().is_some() {
                return;
            }
            self.act(self.scenario.next(&self.dice)).await;
            self.check_folds();
        }
        self.end().await;
    }

    async fn begin(&self) {
        for node in 0..self.scenario.gateways {
            self.start_gateway(node);
        }
        self.workers.lock().push(Worker::start(self.process(FIRST_WORKER)));
        self.workers.lock().push(Worker::start(self.process(FIRST_WORKER + 1)));
        self.wait_ready().await;
        self.make_table(self.main.clone(), self.scenario.buckets).await;
    }

    fn process(&self, node: usize) -> Process {
        let run = self.runs.fetch_add(1, Ordering::SeqCst);
        Process::start(&self.world, node, run as u64)
    }

    /// Starts the gateway of a machine, or starts it again.
    pub(crate) fn start_gateway(&self, node: usize) -> Gateway {
        let process = self.process(node);
        let gateway = Gateway::start(process, Arc::clone(&self.gateways), &self.options, node as u64);
        let mut gateways = self.gateways.lock();
        if node < gateways.len() {
            gateways[node] = gateway.clone();
        } else {
            gateways.push(gateway.clone());
        }
        gateway
    }

    /// Starts a worker again.
    pub(crate) fn restart_worker(&self, index: usize) {
        let worker = Worker::start(self.process(FIRST_WORKER + index));
        self.workers.lock()[index] = worker;
    }

    /// Waits until every gateway that runs is ready.
    async fn wait_ready(&self) {
        for _ in 0..600 {
            let ready =
                self.gateways.lock().iter().all(|gateway| gateway.serves() || !gateway.process.runs());
            let workers = self.workers.lock().iter().all(|worker| worker.serves() || !worker.process.runs());
            if ready && workers || self.world.violation().is_some() {
                return;
            }
            sleep(Duration::from_millis(100)).await;
        }
        self.world.violate(Kind::Stuck, "a process has not become ready within a minute".into());
    }

    /// Makes a table; its id must be the next one, so it is asked again.
    pub(crate) async fn make_table(&self, name: Name, buckets: u32) -> bool {
        let Some(spec) = spec(buckets) else { return false };
        for _ in 0..10 {
            let gateway = self.any_gateway();
            let (name, spec) = (name.clone(), spec.clone());
            let made = gateway.submit_act(
                move |ingress| {
                    let table = ingress.replica().fold().state.tables().next_id();
                    let uuid = ingress.replica().env().uuid();
                    Some(flush::Act::Entry(Entry::TableCreated { table, name, uuid, spec }))
                },
                Duration::from_secs(20),
            );
            match within(Duration::from_secs(30), made).await {
                Some(Heard::Acked(_)) => return true,
                Some(Heard::Refused(frazil_log::state::verdict::Refusal::TableExists { .. })) => return true,
                _ => sleep(Duration::from_millis(500)).await,
            }
        }
        false
    }

    /// A random gateway; one that serves, if there is one.
    pub(crate) fn any_gateway(&self) -> Gateway {
        let gateways = self.gateways.lock();
        let serving: Vec<&Gateway> = gateways.iter().filter(|gateway| gateway.serves()).collect();
        match serving.len() {
            0 => gateways[self.dice.index(gateways.len())].clone(),
            many => serving[self.dice.index(many)].clone(),
        }
    }

    /// Starts a client's task; the end waits for it.
    pub(crate) fn client(&self, task: impl Future<Output = ()> + Send + 'static) {
        let open = Arc::clone(&self.open);
        open.fetch_add(1, Ordering::SeqCst);
        drop(tokio::spawn(async move {
            task.await;
            open.fetch_sub(1, Ordering::SeqCst);
        }));
    }

    /// The store gets bad.
    pub(crate) fn storm(&self) {
        self.world.note("storm", 0, 0, String::new);
        let stormy = Weather::stormy();
        let connect = stormy.connect.max(self.scenario.connect);
        *self.world.weather.lock() = Weather { late_max_s: self.scenario.late_max_s, connect, ..stormy };
    }

    /// The store gets well.
    pub(crate) fn calm(&self) {
        let calm = Weather::calm();
        *self.world.weather.lock() = Weather { connect: calm.connect.max(self.scenario.connect), ..calm };
    }

    /// Nobody's fold is another than the log's.
    fn check_folds(&self) {
        self.world.fold();
        let gateways = self.gateways.lock().clone();
        for gateway in gateways.iter().filter(|gateway| gateway.serves()) {
            let Some(ingress) = gateway.ingress() else { continue };
            let folded = ingress.replica().fold().folded();
            client::check_fold(&self.world, gateway.process.node, folded);
        }
    }

    /// The faults stop. Everybody must go on, and everything must be right.
    async fn end(&self) {
        self.calm();
        self.world.stop_faults();
        let gateways = self.gateways.lock().clone();
        for (node, gateway) in gateways.iter().enumerate() {
            self.world.partition(node, false);
            gateway.process.gate.thaw();
            if gateway.process.gate.is_dead() {
                self.start_gateway(node);
            }
        }
        for (index, worker) in self.workers.lock().clone().iter().enumerate() {
            self.world.partition(FIRST_WORKER + index, false);
            worker.process.gate.thaw();
            if worker.process.gate.is_dead() {
                self.restart_worker(index);
            }
        }
        self.wait_ready().await;
        self.wait_for_clients().await;
        self.everybody_goes_on().await;
        // Copies that are still on their way come down; the log is tidied once more; then all is read.
        sleep(Duration::from_secs(self.scenario.late_max_s + 86_400)).await;
        self.tidy().await;
        self.everybody_goes_on().await;
        self.check_folds();
        self.read_everything().await;
    }

    async fn wait_for_clients(&self) {
        for _ in 0..1_000 {
            if self.open.load(Ordering::SeqCst) == 0 || self.world.violation().is_some() {
                return;
            }
            sleep(Duration::from_secs(1)).await;
        }
        let open = self.open.load(Ordering::SeqCst);
        self.world.violate(
            Kind::Stuck,
            format!("{open} requests have no answer long after the faults have stopped"),
        );
    }

    /// Each gateway gets a request of its own into the log within a minute.
    async fn everybody_goes_on(&self) {
        let gateways = self.gateways.lock().clone();
        for gateway in gateways {
            if self.world.violation().is_some() {
                return;
            }
            let mut went = false;
            for _ in 0..12 {
                let content = self.content(1, None);
                let heard = gateway.submit(content.clone(), None, Duration::from_secs(10));
                let heard = within(Duration::from_secs(20), heard).await.unwrap_or(Heard::Unknown);
                client::take_answer(&self.world, content.uid, heard.clone(), true);
                if matches!(heard, Heard::Acked(_)) {
                    went = true;
                    break;
                }
                sleep(Duration::from_secs(5)).await;
            }
            if !went {
                let words = format!(
                    "node {} gets nothing into the log although the faults have stopped",
                    gateway.process.node
                );
                self.world.violate(Kind::Stuck, words);
            }
            client::strong_read(Arc::clone(&self.world), gateway).await;
        }
    }

    async fn tidy(&self) {
        for _ in 0..10 {
            let workers = self.workers.lock().clone();
            let mut all = true;
            for worker in workers {
                let Some(round) = worker.round() else { continue };
                all &= within(Duration::from_secs(600), round).await == Some(true);
            }
            if all || self.world.violation().is_some() {
                return;
            }
        }
        self.world.violate(
            Kind::Stuck,
            "the janitors do not get through a round although the faults have stopped".into(),
        );
    }

    /// A process that starts now reads every row.
    async fn read_everything(&self) {
        let fresh = self.start_gateway(self.scenario.gateways);
        self.wait_ready().await;
        self.world.fold();
        let all: Vec<_> = {
            let history = self.world.history.lock();
            history.visible().map(|(key, earliest, ids)| (*key, earliest, ids.to_vec())).collect()
        };
        for (key, earliest, ids) in all {
            if self.world.violation().is_some() {
                return;
            }
            let world = Arc::clone(&self.world);
            let mut read = false;
            for _ in 0..5 {
                read = client::consume(Arc::clone(&world), fresh.clone(), key, earliest, ids.clone(), true)
                    .await;
                if read || self.world.violation().is_some() {
                    break;
                }
                sleep(Duration::from_secs(1)).await;
            }
            if !read && self.world.violation().is_none() {
                self.world.violate(Kind::BytesGone, format!("{key:?} cannot be read back"));
            }
        }
    }

    /// Ends every process, so that nothing keeps the run's memory alive.
    fn close(&self) {
        let history = self.world.history.lock();
        self.world.note("requests", history.requests() as u64, history.answered() as u64, String::new);
        drop(history);
        for gateway in self.gateways.lock().iter() {
            gateway.process.gate.kill();
        }
        for worker in self.workers.lock().iter() {
            worker.process.gate.kill();
        }
    }
}

//! A process: its clock, its chance, its tasks; it can be frozen at any await, and killed.

pub(crate) mod gateway;
mod remembering;
pub(crate) mod worker;

use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use frazil_log::commit::committer::{CommitterOptions, HedgeOptions};
use frazil_log::env::{Clock, Entropy, Env, Moment, Spawn, Task};
use frazil_log::format::commit::WriterInfo;
use frazil_log::id::{TimeMicros, Ulid};
use frazil_log::store::Store;
use parking_lot::Mutex;
use tokio::sync::oneshot;
use tokio::task::AbortHandle;

use self::remembering::remembering;
use crate::world::World;
use crate::world::dice::Dice;
use crate::world::store::FaultyStore;

/// What a machine's clocks say besides the truth. Both are microseconds.
#[derive(Debug)]
pub(crate) struct NodeClock {
    world: Arc<World>,
    boot_off: AtomicI64,
    wall_off: AtomicI64,
}

impl NodeClock {
    /// Sets the wall clock forwards or backwards.
    pub(crate) fn jump_wall(&self, by_us: i64) {
        self.wall_off.fetch_add(by_us, Ordering::SeqCst);
    }

    /// The boot clock stood still for so long.
    pub(crate) fn stall_boot(&self, for_us: i64) {
        self.boot_off.fetch_sub(for_us, Ordering::SeqCst);
    }
}

impl Clock for NodeClock {
    fn now(&self) -> Moment {
        let boot =
            i64::try_from(self.world.elapsed_us()).unwrap_or(i64::MAX) + self.boot_off.load(Ordering::SeqCst);
        let wall: TimeMicros = self.world.store_time() + self.wall_off.load(Ordering::SeqCst);
        Moment { boot: Duration::from_micros(u64::try_from(boot).unwrap_or(0)), wall }
    }
}

#[derive(Debug)]
struct NodeEntropy(Dice);

impl Entropy for NodeEntropy {
    fn ulid(&self, wall: TimeMicros) -> Ulid {
        let random = u128::from(self.0.bits()) << 64 | u128::from(self.0.bits());
        Ulid::from_parts(u64::try_from(wall / 1000).unwrap_or(0), random)
    }

    fn bits(&self) -> u64 {
        self.0.bits()
    }
}

/// Through it each poll of a process's tasks goes.
#[derive(Debug, Default)]
pub(crate) struct Gate {
    state: Mutex<GateState>,
}

#[derive(Debug, Default)]
struct GateState {
    frozen: bool,
    dead: bool,
    waiting: Vec<Waker>,
    tasks: Vec<AbortHandle>,
}

impl Gate {
    /// Whether the process was killed.
    pub(crate) fn is_dead(&self) -> bool {
        self.state.lock().dead
    }

    /// Whether the process stands still.
    pub(crate) fn is_frozen(&self) -> bool {
        self.state.lock().frozen
    }

    /// No task runs from here on.
    pub(crate) fn freeze(&self) {
        self.state.lock().frozen = true;
    }

    /// Tasks go on where they were.
    pub(crate) fn thaw(&self) {
        let waiting = {
            let mut state = self.state.lock();
            state.frozen = false;
            std::mem::take(&mut state.waiting)
        };
        waiting.into_iter().for_each(Waker::wake);
    }

    /// All tasks are gone.
    pub(crate) fn kill(&self) {
        let tasks = {
            let mut state = self.state.lock();
            state.dead = true;
            std::mem::take(&mut state.tasks)
        };
        tasks.iter().for_each(AbortHandle::abort);
    }
}

/// A task behind a gate.
struct Gated {
    gate: Arc<Gate>,
    task: Task,
}

impl Future for Gated {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        {
            let mut state = self.gate.state.lock();
            if state.dead {
                return Poll::Ready(());
            }
            if state.frozen {
                state.waiting.push(cx.waker().clone());
                return Poll::Pending;
            }
        }
        self.task.as_mut().poll(cx)
    }
}

#[derive(Debug)]
struct GatedTasks(Arc<Gate>);

impl Spawn for GatedTasks {
    fn spawn(&self, task: Task) {
        if self.0.is_dead() {
            return;
        }
        let handle = tokio::spawn(Gated { gate: Arc::clone(&self.0), task }).abort_handle();
        let mut state = self.0.state.lock();
        if state.tasks.len() > 64 {
            state.tasks.retain(|task| !task.is_finished());
        }
        state.tasks.push(handle);
    }
}

/// One run of one process.
#[derive(Clone, Debug)]
pub(crate) struct Process {
    /// Its machine.
    pub(crate) node: usize,
    /// The run.
    pub(crate) world: Arc<World>,
    /// What freezes and kills it.
    pub(crate) gate: Arc<Gate>,
    /// Its clock.
    pub(crate) clock: Arc<NodeClock>,
    /// What it takes from its machine.
    pub(crate) env: Env,
    /// The store as it sees it.
    pub(crate) store: Store,
}

impl Process {
    /// The `run`th process on machine `node`.
    pub(crate) fn start(world: &Arc<World>, node: usize, run: u64) -> Self {
        let gate = Arc::new(Gate::default());
        let clock = Arc::new(NodeClock {
            world: Arc::clone(world),
            boot_off: AtomicI64::new(0),
            wall_off: AtomicI64::new(0),
        });
        let stream = 1_000 * (node as u64 + 1) + run;
        let env = Env {
            clock: Arc::clone(&clock) as Arc<dyn Clock>,
            entropy: Arc::new(NodeEntropy(Dice::new(world.seed, stream))),
            tasks: Arc::new(GatedTasks(Arc::clone(&gate))),
        };
        let faulty =
            FaultyStore { world: Arc::clone(world), node, gate: Arc::clone(&gate), puts_out: Arc::default() };
        let store = Store::from_object_store(Arc::new(faulty), "the faulty store");
        // Every second machine has a cache: its runs must be as right as the others'.
        let store = if node % 2 == 1 { remembering(store, world.protocol.fold.planted) } else { store };
        Self { node, world: Arc::clone(world), gate, clock, env, store }
    }

    /// Whether it can do anything now.
    pub(crate) fn runs(&self) -> bool {
        !self.gate.is_dead() && !self.gate.is_frozen()
    }

    /// Runs something in the process. The answer never comes if the process is killed.
    pub(crate) fn run<T: Send + 'static>(
        &self,
        work: impl Future<Output = T> + Send + 'static,
    ) -> oneshot::Receiver<T> {
        let (answer, answered) = oneshot::channel();
        self.env.spawn(async move { drop(answer.send(work.await)) });
        answered
    }

    /// What it writes into its commits.
    pub(crate) fn writer(&self) -> WriterInfo {
        WriterInfo {
            incarnation: self.env.ulid(),
            version: "simulated".into(),
            address: String::new(),
            zone: String::new(),
            put_p99_us: 0,
        }
    }

    /// How it writes slots.
    pub(crate) fn committer_options(flights_max: usize) -> CommitterOptions {
        // Runs are short: who hedges after twenty PUTs, and one of ten, would hardly ever do it here.
        let hedge = HedgeOptions { samples_min: 3, extra_percent: 60, ..HedgeOptions::default() };
        CommitterOptions { flights_max, hedge, ..CommitterOptions::default() }
    }
}

//! What a process takes from its machine: time, chance, tasks. Passed in, so that a simulation can own all three.

use std::fmt;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use crate::id::{TimeMicros, Ulid};

/// A reading of both clocks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Moment {
    /// Time since the machine started, suspended time included.
    pub boot: Duration,
    /// The wall clock.
    pub wall: TimeMicros,
}

impl Moment {
    /// How long ago `earlier` was: what either clock says, whichever says more (rule 10).
    pub fn since(&self, earlier: &Self) -> Duration {
        let boot = self.boot.saturating_sub(earlier.boot);
        let wall = u64::try_from(self.wall.saturating_sub(earlier.wall)).unwrap_or(0);
        boot.max(Duration::from_micros(wall))
    }
}

/// Reads clocks.
pub trait Clock: fmt::Debug + Send + Sync {
    /// Now.
    fn now(&self) -> Moment;
}

/// Makes names nobody else makes.
pub trait Entropy: fmt::Debug + Send + Sync {
    /// A ULID whose time is `wall`.
    fn ulid(&self, wall: TimeMicros) -> Ulid;
    /// Sixty-four random bits.
    fn bits(&self) -> u64;
}

/// A task on its way.
pub type Task = Pin<Box<dyn Future<Output = ()> + Send>>;

/// Starts tasks.
pub trait Spawn: fmt::Debug + Send + Sync {
    /// Starts a task that runs until it ends.
    fn spawn(&self, task: Task);
}

/// A process's clock, chance and tasks.
#[derive(Clone, Debug)]
pub struct Env {
    /// Time.
    pub clock: Arc<dyn Clock>,
    /// Chance.
    pub entropy: Arc<dyn Entropy>,
    /// Tasks.
    pub tasks: Arc<dyn Spawn>,
}

impl Env {
    /// The machine's own, on the current Tokio runtime.
    pub fn system() -> Self {
        Self { clock: Arc::new(SystemClock), entropy: Arc::new(SystemEntropy), tasks: Arc::new(TokioTasks) }
    }

    /// Now.
    pub fn now(&self) -> Moment {
        self.clock.now()
    }

    /// A fresh ULID.
    pub fn ulid(&self) -> Ulid {
        self.entropy.ulid(self.now().wall)
    }

    /// A fresh random UUID.
    pub fn uuid(&self) -> uuid::Uuid {
        let (high, low) = (self.entropy.bits(), self.entropy.bits());
        uuid::Builder::from_random_bytes((u128::from(high) << 64 | u128::from(low)).to_be_bytes()).into_uuid()
    }

    /// Starts a task.
    pub fn spawn(&self, task: impl Future<Output = ()> + Send + 'static) {
        self.tasks.spawn(Box::pin(task));
    }
}

#[derive(Debug)]
struct SystemClock;

impl Clock for SystemClock {
    #[expect(clippy::disallowed_methods, reason = "the one place where the wall clock is read")]
    fn now(&self) -> Moment {
        let boot = rustix::time::clock_gettime(rustix::time::ClockId::Boottime);
        let since_epoch =
            std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap_or_default();
        Moment {
            boot: Duration::new(boot.tv_sec.unsigned_abs(), u32::try_from(boot.tv_nsec).unwrap_or(0)),
            wall: i64::try_from(since_epoch.as_micros()).unwrap_or(i64::MAX),
        }
    }
}

#[derive(Debug)]
struct SystemEntropy;

impl Entropy for SystemEntropy {
    fn ulid(&self, wall: TimeMicros) -> Ulid {
        let random = u128::from(self.bits()) << 64 | u128::from(self.bits());
        Ulid::from_parts(u64::try_from(wall / 1000).unwrap_or(0), random)
    }

    #[expect(clippy::disallowed_methods, reason = "the one place where chance is drawn")]
    fn bits(&self) -> u64 {
        uuid::Uuid::new_v4().as_u64_pair().0
    }
}

#[derive(Debug)]
struct TokioTasks;

impl Spawn for TokioTasks {
    fn spawn(&self, task: Task) {
        drop(tokio::spawn(task));
    }
}

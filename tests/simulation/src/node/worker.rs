//! A worker's process: the real janitor, one round at a time.

use std::sync::Arc;
use std::time::Duration;

use frazil_compactor::{Janitor, JanitorOptions, Metrics};
use frazil_log::commit::committer::Committer;
use frazil_log::commit::replica::Replica;
use frazil_log::error::{Error, ErrorKind};
use parking_lot::Mutex;
use tokio::sync::oneshot;
use tokio::time::sleep;

use crate::history::violation::Kind;
use crate::node::Process;

/// A running worker.
#[derive(Clone, Debug)]
pub(crate) struct Worker {
    /// Its process.
    pub(crate) process: Process,
    janitor: Arc<Mutex<Option<Arc<Janitor>>>>,
}

impl Worker {
    /// Starts one.
    pub(crate) fn start(process: Process) -> Self {
        let worker = Self { process, janitor: Arc::default() };
        let own = worker.clone();
        worker.process.env.spawn(async move { own.open().await });
        worker
    }

    async fn open(self) {
        let (process, world) = (&self.process, &self.process.world);
        let replica = loop {
            let opened = Replica::open(
                process.store.clone(),
                world.database.clone(),
                process.env.clone(),
                world.protocol.clone(),
            )
            .await;
            match opened {
                Ok(replica) => break replica,
                // No gateway has made the database yet.
                Err(error) if error.is_retryable() || error.kind() == ErrorKind::NotFound => {
                    sleep(Duration::from_secs(1)).await;
                }
                Err(error) => return self.stopped("opening", &error),
            }
        };
        let options = Process::committer_options(1);
        let committer = Committer::new(replica, process.writer(), options, Arc::new(|_| {}));
        let options =
            JanitorOptions { slice_bytes_max: 600, segment_bytes_max: 1_200, ..JanitorOptions::default() };
        *self.janitor.lock() = Some(Arc::new(Janitor::new(committer, options, Metrics::default())));
    }

    /// Whether it is ready and runs.
    pub(crate) fn serves(&self) -> bool {
        self.process.runs() && self.janitor.lock().is_some()
    }

    /// One round; says whether it went well.
    pub(crate) fn round(&self) -> Option<oneshot::Receiver<bool>> {
        let janitor = self.janitor.lock().clone()?;
        let own = self.clone();
        let round = self.process.run(async move {
            match janitor.round().await {
                Ok(report) => {
                    let note = |what, count: u64| {
                        if count > 0 {
                            own.process
                                .world
                                .note(what, count, 0, || format!("{count} by node {}", own.process.node));
                        }
                    };
                    note("janitor's checkpoints", report.checkpoints);
                    note("trims", report.slots_trimmed);
                    note("sweeps", report.orphans_swept);
                    note("page merges", report.pages_merged);
                    note("derived objects deleted", report.derived_deleted);
                    note("rows rolled up", report.rows_rolled_up);
                    true
                }
                Err(error) => {
                    own.process.world.note("janitor's round failed", 0, 0, || format!("{error}"));
                    own.stopped("tidying", &error);
                    false
                }
            }
        });
        Some(round)
    }

    fn stopped(&self, doing: &str, error: &Error) {
        if matches!(
            error.kind(),
            ErrorKind::Internal
                | ErrorKind::Diverged
                | ErrorKind::Corrupt
                | ErrorKind::NotFound
                | ErrorKind::Unsupported
        ) {
            let words = format!("worker {} {doing}: {:?} {error}", self.process.node, error.kind());
            self.process.world.violate(Kind::Stopped, words);
        }
    }
}

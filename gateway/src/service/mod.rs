//! What the doors open onto: the databases of one store, each with its log followed and its way in.
//!
//! Invariants:
//! * a database is opened when it is first asked for, `default` at the start; an open one that nobody asks costs no requests;
//! * whatever is answered of the log comes from this process's own fold.
//!
//! Start reading at [`Gateway::start`]; [`application`] is the trait that the doors call, one file a verb beside it.

mod alter;
mod application;
mod consume;
mod database;
mod groups;
mod member;
mod problems;
mod produce;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use frazil_log::commit::create::create_log;
use frazil_log::commit::index::PageCache;
use frazil_log::env::{Env, Moment};
use frazil_log::error::Result;
use frazil_log::format::commit::WriterInfo;
use frazil_log::id::Name;
use frazil_log::protocol::Protocol;
use frazil_log::store::Store;
use parking_lot::Mutex;
use prometheus_client::registry::Registry;

pub use self::database::Database;
use crate::consume::tail::TailRing;
use crate::memory::{Ledger, Share};
use crate::metrics::Metrics;
use crate::produce::health::Health;
use crate::produce::ingress::IngressOptions;

/// What a gateway is made of.
#[derive(Debug)]
pub struct Parts {
    /// The store.
    pub store: Store,
    /// Clock, chance, tasks.
    pub env: Env,
    /// The protocol's numbers.
    pub protocol: Protocol,
    /// Who it says it is in its commits.
    pub writer: WriterInfo,
    /// Limits of each database's way in.
    pub ingress: IngressOptions,
    /// What reading and encoding rows takes.
    pub reads: Share,
    /// What index pages take, all databases together.
    pub pages: PageCache,
    /// Where the memory goes.
    pub memory: Ledger,
    /// Where everything is counted.
    pub registry: Arc<Registry>,
    /// What it counts itself.
    pub metrics: Metrics,
    /// The newest rows of all databases.
    pub tail: TailRing,
}

/// The databases of one store, served. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Gateway {
    inner: Arc<Inner>,
}

#[derive(Debug)]
struct Inner {
    parts: Parts,
    health: Arc<Health>,
    started: Moment,
    databases: Mutex<BTreeMap<Name, Arc<Database>>>,
    opening: tokio::sync::Mutex<()>,
    ready: AtomicBool,
    draining: AtomicBool,
}

/// The database that always exists.
pub const DEFAULT_DATABASE: &str = "default";

impl Gateway {
    /// A gateway that serves nothing yet.
    pub fn new(parts: Parts) -> Self {
        let inner = Inner {
            health: Arc::new(Health::new(parts.env.clone())),
            started: parts.env.now(),
            databases: Mutex::new(BTreeMap::new()),
            opening: tokio::sync::Mutex::new(()),
            ready: AtomicBool::new(false),
            draining: AtomicBool::new(false),
            parts,
        };
        Self { inner: Arc::new(inner) }
    }

    /// Creates the default database if need be, and folds it.
    pub async fn start(&self) -> Result<Arc<Database>> {
        let default = Name::new(DEFAULT_DATABASE)?;
        let parts = &self.inner.parts;
        create_log(&parts.store, &default, &parts.env, &parts.writer).await?;
        let database = self.open(&default).await?;
        self.inner.ready.store(true, Ordering::SeqCst);
        Ok(database)
    }

    /// Opens a database, or finds it open.
    pub async fn open(&self, name: &Name) -> Result<Arc<Database>> {
        if let Some(open) = self.inner.databases.lock().get(name) {
            return Ok(Arc::clone(open));
        }
        // One at a time: two replicas of one log in one process would cost twice and be confusing.
        let _opening = self.inner.opening.lock().await;
        if let Some(open) = self.inner.databases.lock().get(name) {
            return Ok(Arc::clone(open));
        }
        let opened = Arc::new(Database::open(&self.inner.parts, &self.inner.health, name).await?);
        self.inner.databases.lock().insert(name.clone(), Arc::clone(&opened));
        Ok(opened)
    }

    /// The databases that are open.
    pub fn opened(&self) -> Vec<Arc<Database>> {
        self.inner.databases.lock().values().cloned().collect()
    }

    /// Takes no more writes, and waits until those inside are answered, or `limit` is over.
    pub async fn drain(&self, limit: Duration) {
        self.inner.draining.store(true, Ordering::SeqCst);
        let databases = self.opened();
        futures::future::join_all(databases.iter().map(|database| database.ingress().drain(limit))).await;
    }

    /// Whether it is going down.
    pub fn is_draining(&self) -> bool {
        self.inner.draining.load(Ordering::SeqCst)
    }
}

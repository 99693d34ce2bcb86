//! One open database: its log, followed, and the way into it.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use frazil_log::commit::replica::Replica;
use frazil_log::error::Result;
use frazil_log::id::{Bucket, Name};
use frazil_log::state::tables::Table;

use super::Parts;
use crate::produce::health::Health;
use crate::produce::ingress::Ingress;

/// One open database.
#[derive(Debug)]
pub struct Database {
    name: Name,
    ingress: Ingress,
    sticky: AtomicU32,
}

impl Database {
    pub(super) async fn open(parts: &Parts, health: &Arc<Health>, name: &Name) -> Result<Self> {
        let (store, env, protocol) = (parts.store.clone(), parts.env.clone(), parts.protocol.clone());
        let replica = Replica::open_beside(store, name.clone(), env, protocol, parts.pages.clone()).await?;
        if let Some((made, here)) = replica.moved_from() {
            tracing::warn!(database = %name, made, here, "this log was made elsewhere: if this is a copy, whoever writes the original writes a different log");
        }
        let ingress = Ingress::start(
            replica.clone(),
            parts.writer.clone(),
            parts.ingress.clone(),
            Arc::clone(health),
            parts.metrics.clone(),
            parts.tail.clone(),
        );
        let incarnation = parts.writer.incarnation;
        parts.env.spawn(async move {
            let checkpoints = replica.keep_checkpointing(incarnation, false);
            futures::join!(replica.warm_index(), checkpoints);
        });
        Ok(Self { name: name.clone(), ingress, sticky: AtomicU32::new(0) })
    }

    /// Its name.
    pub fn name(&self) -> &Name {
        &self.name
    }

    /// Its log.
    pub fn replica(&self) -> &Replica {
        self.ingress.replica()
    }

    /// The way in.
    pub fn ingress(&self) -> &Ingress {
        &self.ingress
    }

    /// A live table by its name, as folded here.
    pub fn table(&self, name: &Name) -> Option<Table> {
        self.replica().fold().state.tables().named(name).cloned()
    }

    /// The bucket for rows without a bucket key: sticky for a while, so that slices are few, then the next.
    pub(super) fn sticky_bucket(&self, buckets: u32) -> Bucket {
        const REQUESTS_A_BUCKET: u32 = 64;
        let turn = self.sticky.fetch_add(1, Ordering::Relaxed) / REQUESTS_A_BUCKET;
        Bucket(turn % buckets.max(1))
    }
}

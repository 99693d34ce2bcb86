//! What this gateway answers to others.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use frazil_log::id::Name;
use futures::StreamExt;
use futures::stream::BoxStream;

use super::{Database, Gateway};
use crate::peers::grpc::Member;
use crate::peers::message::{ProposeAnswer, ProposeRequest, TailMessage, TailRequest, Taken};
use crate::peers::push::push;

/// How long requests have to be answered once it was told to drain.
const DRAIN_LIMIT: Duration = Duration::from_secs(30);

#[async_trait]
impl Member for Gateway {
    async fn propose(&self, request: ProposeRequest) -> ProposeAnswer {
        match self.open_already(&request.database) {
            Some(open) => open.ingress().accept(&request.parcel),
            None => {
                ProposeAnswer::new(Taken::NoSuchDatabase, "this gateway does not have that database open")
            }
        }
    }

    fn tail(&self, request: TailRequest) -> Option<BoxStream<'static, TailMessage>> {
        Some(push(self.open_already(&request.database)?.ingress(), request.rows).boxed())
    }

    fn drain_now(&self) {
        tracing::info!("told to drain: writes are refused from here on; stop this process when it suits");
        let gateway = self.clone();
        self.inner.parts.env.spawn(async move { gateway.drain(DRAIN_LIMIT).await });
    }
}

impl Gateway {
    /// Who leads a log has it open: names that come from outside open nothing.
    fn open_already(&self, database: &str) -> Option<Arc<Database>> {
        let name = Name::new(database).ok()?;
        self.inner.databases.lock().get(&name).cloned()
    }
}

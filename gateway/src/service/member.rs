//! What this gateway answers to others.

use async_trait::async_trait;
use frazil_log::id::Name;

use super::Gateway;
use crate::peers::grpc::Member;
use crate::peers::message::{ProposeAnswer, ProposeRequest, Taken};

#[async_trait]
impl Member for Gateway {
    async fn propose(&self, request: ProposeRequest) -> ProposeAnswer {
        // Who leads a log has it open: names that come from outside open nothing.
        let name = Name::new(request.database.as_str()).ok();
        let open = name.and_then(|name| self.inner.databases.lock().get(&name).cloned());
        match open {
            Some(open) => open.ingress().accept(&request.parcel),
            None => {
                ProposeAnswer::new(Taken::NoSuchDatabase, "this gateway does not have that database open")
            }
        }
    }
}

//! The gateways of the store, as this one knows them: those that wrote lately.

use std::collections::BTreeMap;
use std::time::Duration;

use frazil_log::id::{Incarnation, Slot};
use serde_json::{Value, json};
use tokio::time::timeout;

use super::Gateway;
use crate::error::{Kind, Problem};
use crate::peers::grpc::Member as _;

/// How long another gateway may take to answer.
const ANSWER_TIME: Duration = Duration::from_secs(5);

/// A process that wrote lately.
struct Member {
    address: String,
    zone: String,
    version: String,
    /// The last slot that it wrote, by database.
    last_slots: BTreeMap<String, Slot>,
    leads: Vec<String>,
}

impl Gateway {
    /// The members, and what is pushed here.
    pub(super) fn members(&self) -> Value {
        let mut members: BTreeMap<Incarnation, Member> = BTreeMap::new();
        let own = &self.inner.parts.writer;
        for database in self.opened() {
            let name = database.name().to_string();
            let fold = database.replica().fold();
            let leader = fold.writers().leader().map(|leader| leader.info.incarnation);
            for seen in fold.writers().iter() {
                let member = members.entry(seen.info.incarnation).or_insert_with(|| Member::of(&seen.info));
                member.last_slots.insert(name.clone(), seen.slot);
                if leader == Some(seen.info.incarnation) {
                    member.leads.push(name.clone());
                }
            }
        }
        members.entry(own.incarnation).or_insert_with(|| Member::of(own));
        let shown = members.into_iter().map(|(id, member)| {
            json!({
                "id": id.to_string(),
                "self": id == own.incarnation,
                "address": member.address,
                "zone": member.zone,
                "version": member.version,
                "last_slot": member.last_slots,
                "leads": member.leads,
            })
        });
        shown.collect()
    }

    pub(super) async fn drain_one(&self, id: &str) -> Result<Value, Problem> {
        let told = json!({"id": id, "state": "draining"});
        let incarnation = Incarnation::from_string(id).map_err(|_| no_such_member(id))?;
        if incarnation == self.inner.parts.writer.incarnation {
            self.drain_now();
            return Ok(told);
        }
        let address = self.opened().iter().find_map(|database| {
            let fold = database.replica().fold();
            fold.writers().find(incarnation).map(|seen| seen.info.address.clone())
        });
        let address = address.filter(|address| !address.is_empty()).ok_or_else(|| no_such_member(id))?;
        let Some(peers) = &self.inner.parts.ingress.peers else { return Err(no_such_member(id)) };
        match timeout(ANSWER_TIME, peers.drain(&address)).await {
            Ok(Ok(())) => Ok(told),
            Ok(Err(error)) => Err(unanswered(&error.to_string())),
            Err(_) => Err(unanswered(&address)),
        }
    }
}

impl Member {
    fn of(writer: &frazil_log::format::commit::WriterInfo) -> Self {
        Self {
            address: writer.address.clone(),
            zone: writer.zone.clone(),
            version: writer.version.clone(),
            last_slots: BTreeMap::new(),
            leads: Vec::new(),
        }
    }
}

fn no_such_member(id: &str) -> Problem {
    Problem::new(
        Kind::NoSuchRoute,
        format!("there is no gateway {id:?} to be reached: GET /v1/cluster lists them"),
    )
}

fn unanswered(why: &str) -> Problem {
    Problem::new(Kind::OutcomeUnknown, format!("that gateway did not answer, tell it again ({why})"))
}

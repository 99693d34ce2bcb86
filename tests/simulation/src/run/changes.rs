//! What becomes of tables in a run: made, altered, dropped, restored, and rows that expire.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use frazil_gateway::produce::flush;
use frazil_gateway::produce::ingress::Ingress;
use frazil_log::format::entry::Entry;
use frazil_log::id::{Bucket, Name, Stream};
use frazil_log::schema::evolution::{Add, Change, alter};
use tokio::time::sleep;

use super::{HOUR_S, Run, spec};
use crate::client::within;
use crate::node::gateway::Heard;

impl Run {
    /// Puts what a gateway makes of what it knows by then into the log; what it knows may be old.
    fn propose(
        &self,
        what: &'static str,
        after: Duration,
        make: impl FnOnce(&Ingress) -> Option<Entry> + Send + 'static,
    ) -> impl Future<Output = ()> + Send + 'static {
        let (gateways, world) = (Arc::clone(&self.gateways), Arc::clone(&self.world));
        let at = self.dice.index(gateways.lock().len());
        async move {
            sleep(after).await;
            let gateway = gateways.lock()[at].clone();
            let act = move |ingress: &Ingress| Some(flush::Act::Entry(make(ingress)?));
            let made = gateway.submit_act(act, Duration::from_secs(20));
            let heard = within(Duration::from_secs(30), made).await;
            let taken = matches!(heard, Some(Heard::Acked(_)));
            world.note(what, u64::from(taken), 0, || format!("{heard:?}"));
        }
    }

    fn soon_after(&self) -> Duration {
        Duration::from_micros(self.dice.range(0, 120_000))
    }

    /// Some alter a table at about the same time: each adds a column of its own, or sets an option, to what its gateway knows.
    pub(super) fn alter(&self) {
        let name = self.some_table();
        for _ in 0..1 + self.dice.index(3) {
            let change = if self.dice.happens(0.3) {
                let n = self.columns_made.fetch_add(1, Ordering::SeqCst);
                Change::Add(Add {
                    name: format!("c{n}"),
                    ty: "INT".into(),
                    comment: None,
                    first: false,
                    after: None,
                    before: None,
                })
            } else {
                let codec = ["none", "lz4", "zstd"][self.dice.index(3)];
                Change::Set(BTreeMap::from([("compression".to_owned(), codec.into())]))
            };
            let name = name.clone();
            let altered = self.propose("alter", self.soon_after(), move |ingress| {
                let fold = ingress.replica().fold();
                let table = fold.state.tables().named(&name)?;
                let spec = alter(&table.spec, &[change]).ok()?;
                Some(Entry::TableAltered { table: table.id, version: table.version, spec })
            });
            self.client(altered);
        }
    }

    /// Some expire rows of a bucket at about the same time, up to where each would.
    pub(super) fn expire(&self) {
        let (name, bucket) = (self.some_table(), Bucket(self.bucket()));
        for _ in 0..1 + self.dice.index(3) {
            let (name, percent) = (name.clone(), self.dice.range(0, 30));
            let expired = self.propose("expire", self.soon_after(), move |ingress| {
                let fold = ingress.replica().fold();
                let table = fold.state.tables().named(&name)?;
                let tail = table.rows_tail(bucket);
                let to = tail.earliest + 1 + (tail.next - tail.earliest) * percent / 100;
                let (table, stream) = (table.id, Stream::Rows);
                (to <= tail.next).then_some(Entry::RowsExpired {
                    table,
                    bucket,
                    stream,
                    from: tail.earliest,
                    to,
                })
            });
            self.client(expired);
        }
    }

    /// A dropped table is restored some time later, if it is still kept then and its name is free. Nobody waits for it at the end.
    fn restore(&self) {
        let after = Duration::from_micros(self.dice.log_range(10_000, 30 * HOUR_S * 1_000_000));
        let restored = self.propose("restore", after, move |ingress| {
            let fold = ingress.replica().fold();
            let (table, dropped) = fold.state.tables().all().find_map(|it| Some((it.id, it.dropped?)))?;
            Some(Entry::TableRestored { table, dropped })
        });
        drop(tokio::spawn(restored));
    }

    pub(super) fn ddl(&self) {
        let dropped = {
            let mut scratch = self.scratch.lock();
            if scratch.len() > 1 { Some(scratch.remove(0)) } else { None }
        };
        match dropped {
            Some(name) => {
                self.world.note("table dropped", 0, 0, || name.to_string());
                let gateway = self.any_gateway();
                self.client(async move {
                    let dropped = gateway.submit_act(
                        move |ingress| {
                            let table = ingress.replica().fold().state.tables().named(&name)?.id;
                            let time = ingress.replica().env().now().wall;
                            Some(flush::Act::Entry(Entry::TableDropped { table, time }))
                        },
                        Duration::from_secs(20),
                    );
                    drop(within(Duration::from_secs(30), dropped).await);
                });
                if self.dice.happens(0.8) {
                    self.restore();
                }
            }
            None => {
                let n = self.scratch_made.fetch_add(1, Ordering::SeqCst);
                let name = Name::new(format!("t{n}")).expect("a letter and digits");
                self.scratch.lock().push(name.clone());
                self.create(name);
            }
        }
    }

    fn create(&self, name: Name) {
        let (gateway, spec) = (self.any_gateway(), spec(self.scenario.buckets));
        self.client(async move {
            let made = gateway.submit_act(
                move |ingress| {
                    let fold = ingress.replica().fold();
                    let table = fold.state.tables().next_id();
                    let uuid = ingress.replica().env().uuid();
                    Some(flush::Act::Entry(Entry::TableCreated { table, name, uuid, spec: spec? }))
                },
                Duration::from_secs(20),
            );
            drop(within(Duration::from_secs(30), made).await);
        });
    }
}

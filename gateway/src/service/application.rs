//! The doors' trait over the log.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use async_trait::async_trait;
use frazil_log::commit::create::{Created, create_log};
use frazil_log::error::ErrorKind;
use frazil_log::format::entry::Entry;
use frazil_log::id::{Bucket, Name};
use frazil_log::schema::TableSpec;
use frazil_log::schema::ensure::difference;
use frazil_log::state::tables;
use frazil_log::state::verdict::Refusal;
use serde_json::{Value, json};
use tokio::time::Instant;

use super::alter::dropped_tables;
use super::problems::{no_such_database, no_such_table, of_failure};
use super::{Database, Gateway};
use crate::app;
use crate::app::{Application, Ensured};
use crate::consume::position::{From, Position};
use crate::error::Problem;
use crate::metrics;
use crate::produce::flush::{Act, act_bytes};
use crate::produce::ingress::{Answer, Failure, Request};

/// How long an act without rows waits for its verdict.
const DEADLINE: Duration = Duration::from_secs(25);

/// How often a table is created under the next id before the competition is taken for a fault.
const ID_ATTEMPTS: usize = 16;

#[async_trait]
impl Application for Gateway {
    async fn databases(&self) -> Result<Vec<app::Database>, Problem> {
        let mut all = Vec::new();
        for name in self.inner.parts.store.list_databases().await? {
            match self.database(&name).await {
                Ok(database) => all.push(database),
                Err(problem) if problem.kind() == crate::error::Kind::NoSuchDatabase => {}
                Err(problem) => return Err(problem),
            }
        }
        Ok(all)
    }

    async fn database(&self, database: &Name) -> Result<app::Database, Problem> {
        let open = self.database_named(database).await?;
        Ok(describe_database(&open))
    }

    async fn ensure_database(&self, database: &Name) -> Result<Ensured<app::Database>, Problem> {
        let parts = &self.inner.parts;
        let created = create_log(&parts.store, database, &parts.env, &parts.writer).await?;
        let open = self.open(database).await?;
        open.replica().confirm_tail().await?;
        let alive = open.replica().fold().state.is_alive();
        if alive && created == Created::Here {
            return Ok(Ensured::Created(describe_database(&open)));
        }
        if alive {
            return Ok(Ensured::Same(describe_database(&open)));
        }
        match self.act(&open, Entry::DatabaseCreated).await {
            Ok(_) => Ok(Ensured::Created(describe_database(&open))),
            Err(Failure::Refused(Refusal::DatabaseExists)) => Ok(Ensured::Same(describe_database(&open))),
            Err(failure) => Err(of_failure(&open, None, failure)),
        }
    }

    async fn drop_database(&self, database: &Name) -> Result<(), Problem> {
        let open = self.database_named(database).await?;
        let dropped = self.act(&open, Entry::DatabaseDropped).await;
        dropped.map(drop).map_err(|failure| of_failure(&open, None, failure))
    }

    async fn tables(&self, database: &Name, list: app::TableList) -> Result<app::Tables, Problem> {
        let open = self.database_named(database).await?;
        open.replica().confirm_tail().await?;
        if list.dropped {
            return dropped_tables(&open, &list);
        }
        let after = list.after.map(Name::new).transpose()?;
        let fold = open.replica().fold();
        let mut found: Vec<app::Table> = fold
            .state
            .tables()
            .page(&list.prefix, after.as_ref())
            .take(list.limit.saturating_add(1))
            .map(|table| describe_table(database, table))
            .collect();
        let more = found.len() > list.limit;
        found.truncate(list.limit);
        let next = found.last().filter(|_| more).map(|table| table.name.to_string());
        Ok(app::Tables { tables: found, next })
    }

    async fn table(&self, database: &Name, table: &Name) -> Result<app::Table, Problem> {
        let open = self.database_named(database).await?;
        if let Some(known) = open.table(table) {
            return Ok(describe_table(database, &known));
        }
        open.replica().confirm_tail().await?;
        let known = open.table(table).ok_or_else(|| no_such_table(database, table))?;
        Ok(describe_table(database, &known))
    }

    async fn ensure_table(
        &self,
        database: &Name,
        table: &Name,
        spec: TableSpec,
    ) -> Result<Ensured<app::Table>, Problem> {
        let open = self.database_named(database).await?;
        open.replica().confirm_tail().await?;
        for _ in 0..ID_ATTEMPTS {
            if let Some(known) = open.table(table) {
                return Ok(match difference(&known.spec, &spec) {
                    None => Ensured::Same(describe_table(database, &known)),
                    Some(difference) => Ensured::Different(difference),
                });
            }
            let id = open.replica().fold().state.tables().next_id();
            let uuid = self.inner.parts.env.uuid();
            let entry = Entry::TableCreated { table: id, name: table.clone(), uuid, spec: spec.clone() };
            match self.act(&open, entry).await {
                Ok(_) => {
                    let known = open.table(table).ok_or_else(|| no_such_table(database, table))?;
                    return Ok(Ensured::Created(describe_table(database, &known)));
                }
                Err(Failure::Refused(Refusal::TableExists { .. } | Refusal::TableIdTaken { .. })) => {}
                Err(failure) => return Err(of_failure(&open, Some(table), failure)),
            }
        }
        Err(Problem::internal("tables are being created faster than this request can get an id"))
    }

    async fn table_confirmed(&self, database: &Name, table: &Name) -> Result<app::Table, Problem> {
        let open = self.database_named(database).await?;
        open.replica().confirm_tail().await?;
        let known = open.table(table).ok_or_else(|| no_such_table(database, table))?;
        Ok(describe_table(database, &known))
    }

    async fn alter_table(
        &self,
        database: &Name,
        table: &Name,
        alter: app::Alter,
    ) -> Result<app::Table, Problem> {
        self.alter(database, table, alter).await
    }

    async fn restore_table(&self, database: &Name, which: app::Dropped) -> Result<app::Table, Problem> {
        self.restore(database, which).await
    }

    async fn drop_table(&self, database: &Name, table: &Name) -> Result<(), Problem> {
        let open = self.database_named(database).await?;
        open.replica().confirm_tail().await?;
        let known = open.table(table).ok_or_else(|| no_such_table(database, table))?;
        let entry = Entry::TableDropped { table: known.id, time: self.inner.parts.env.now().wall };
        let dropped = self.act(&open, entry).await;
        dropped.map(drop).map_err(|failure| of_failure(&open, Some(table), failure))
    }

    async fn produce(&self, request: app::Produce) -> Result<app::Ack, Problem> {
        self.append(request, &app::Admission::default()).await
    }

    async fn produce_in_order(
        &self,
        request: app::Produce,
        admission: app::Admission,
    ) -> Result<app::Ack, Problem> {
        self.append(request, &admission).await
    }

    async fn write(&self, request: app::Write) -> Result<app::WriteAck, Problem> {
        self.write_all(request, &app::Admission::default()).await
    }

    async fn consume(&self, request: app::Consume) -> Result<app::Page, Problem> {
        self.read_page(request).await
    }

    async fn offsets(&self, database: &Name, table: &Name) -> Result<Vec<app::BucketOffsets>, Problem> {
        let open = self.database_named(database).await?;
        open.replica().confirm_tail().await?;
        let known = open.table(table).ok_or_else(|| no_such_table(database, table))?;
        let offsets = |bucket| app::BucketOffsets {
            bucket,
            earliest: known.rows_tail(Bucket(bucket)).earliest,
            covered: None,
            latest: known.rows_tail(Bucket(bucket)).next,
        };
        Ok((0..known.spec.buckets).map(offsets).collect())
    }

    async fn groups(&self, database: &Name, list: app::GroupList) -> Result<app::Groups, Problem> {
        self.list_groups(database, list).await
    }

    async fn group(&self, database: &Name, group: &Name) -> Result<app::Group, Problem> {
        self.read_group(database, group).await
    }

    async fn store_group(&self, request: app::StoreGroup) -> Result<Ensured<app::Group>, Problem> {
        self.store_positions(request).await
    }

    async fn delete_group(
        &self,
        database: &Name,
        group: &Name,
        if_generation: Option<u64>,
    ) -> Result<(), Problem> {
        self.remove_group(database, group, if_generation).await
    }

    async fn position(&self, database: &Name, table: &Name, from: From) -> Result<Position, Problem> {
        self.position_of(database, table, &from).await
    }

    async fn cluster(&self) -> Result<Value, Problem> {
        let parts = &self.inner.parts;
        let databases = self.opened();
        let databases: Vec<Value> = databases.iter().map(|open| database_status(open)).collect();
        Ok(json!({
            "version": parts.writer.version,
            "incarnation": parts.writer.incarnation.to_string(),
            "address": parts.writer.address,
            "uptime_seconds": parts.env.now().since(&self.inner.started).as_secs(),
            "state": state_word(self.readiness()),
            "store": parts.store.description(),
            "store_requests": parts.store.metrics().requests_total(),
            "last_error": self.inner.health.read_only(),
            "memory": parts.memory.to_json(),
            "databases": databases,
            "members": self.members(),
        }))
    }

    async fn drain_member(&self, id: &str) -> Result<Value, Problem> {
        self.drain_one(id).await
    }

    fn readiness(&self) -> app::Readiness {
        if self.is_draining() {
            app::Readiness::Draining
        } else if !self.inner.ready.load(Ordering::SeqCst) {
            app::Readiness::Folding
        } else if self.inner.health.read_only().is_some() {
            app::Readiness::ReadOnly
        } else {
            app::Readiness::Ready
        }
    }

    fn metrics(&self) -> String {
        metrics::text(&self.inner.parts.registry)
    }

    fn store(&self) -> String {
        self.inner.parts.store.description().to_owned()
    }
}

impl Gateway {
    /// A database that exists, opened.
    pub(super) async fn database_named(&self, name: &Name) -> Result<Arc<Database>, Problem> {
        let open = match self.open(name).await {
            Ok(open) => open,
            Err(error) if error.kind() == ErrorKind::NotFound => return Err(no_such_database(name)),
            Err(error) => return Err(error.into()),
        };
        if open.replica().fold().state.is_alive() {
            return Ok(open);
        }
        open.replica().confirm_tail().await?;
        let alive = open.replica().fold().state.is_alive();
        if alive { Ok(open) } else { Err(no_such_database(name)) }
    }

    /// One entry without rows.
    pub(super) async fn act(&self, database: &Database, entry: Entry) -> Result<Answer, Failure> {
        let act = Act::Entry(entry);
        let request = Request {
            bytes: act_bytes(&act),
            acts: vec![act],
            producer: None,
            request_hash: 0,
            deadline: Instant::now() + DEADLINE,
        };
        database.ingress().submit(request).await
    }
}

fn state_word(readiness: app::Readiness) -> &'static str {
    match readiness {
        app::Readiness::Ready => "ready",
        app::Readiness::ReadOnly => "read-only",
        app::Readiness::Folding => "folding",
        app::Readiness::Draining => "draining",
    }
}

fn describe_database(open: &Database) -> app::Database {
    let fold = open.replica().fold();
    app::Database {
        name: open.name().to_string(),
        log_uuid: fold.state.identity().uuid.to_string(),
        tables: fold.state.tables().live_count() as u64,
    }
}

pub(super) fn describe_table(database: &Name, table: &tables::Table) -> app::Table {
    app::Table {
        database: database.clone(),
        name: table.name.clone(),
        id: table.id,
        uuid: table.uuid,
        spec: table.spec.clone(),
        version: table.version,
        schemas: table.schemas.clone(),
        gone: None,
    }
}

fn database_status(open: &Database) -> Value {
    let (hedges_sent, hedges_won) = open.ingress().committer().hedger().counts();
    let fold = open.replica().fold();
    json!({
        "database": open.name().to_string(),
        "slot": fold.state.next(),
        "log_hash": format!("{:032x}", fold.state.log_hash()),
        "tables": fold.state.tables().live_count(),
        "producers": fold.state.producers().len(),
        "checkpoint": fold.pages.last().map(|page| page.to),
        "places_in_memory": fold.places_in_memory(),
        "pushed_to": open.ingress().is_pushed_to(),
        "hedges_sent": hedges_sent,
        "hedges_won": hedges_won,
    })
}

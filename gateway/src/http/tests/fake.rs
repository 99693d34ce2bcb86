//! A store in memory behind the door: just enough of one to see that the door asks the right things.

use std::collections::BTreeMap;
use std::time::Duration;

use arrow::record_batch::RecordBatch;
use async_trait::async_trait;
use frazil_log::id::{Bucket, Name, TableId, Uuid};
use frazil_log::schema::ensure::difference;
use frazil_log::schema::{TableSpec, evolution};
use parking_lot::Mutex;
use tokio::sync::Notify;

use crate::app::{
    Ack, Alter, Application, BucketOffsets, BucketRange, Consume, Database, Dropped, Ensured, Group,
    GroupList, Groups, Page, Produce, Readiness, StoreGroup, Table, TableList, Tables, Write, WriteAck,
};
use crate::consume::encode::tests::assemble;
use crate::consume::position::{From, Position};
use crate::error::{Kind, Problem};

#[derive(Debug, Default)]
pub(super) struct Fake {
    pub(super) tables: Mutex<BTreeMap<String, (Table, Vec<RecordBatch>)>>,
    /// The requests to produce, as they came.
    pub(super) produced: Mutex<Vec<Produce>>,
    /// What the next consume answers instead.
    pub(super) fail_consume: Mutex<Option<Problem>>,
    /// What the consume after the next one answers.
    pub(super) fail_later: Mutex<Option<Problem>>,
    /// A table that someone else creates just before the next produce.
    pub(super) race: Mutex<Option<TableSpec>>,
    pub(super) readiness: Mutex<Option<Readiness>>,
    appended: Notify,
}

impl Fake {
    fn insert(&self, name: &Name, spec: TableSpec) -> Table {
        let mut tables = self.tables.lock();
        let table = Table {
            database: Name::new("default").unwrap(),
            name: name.clone(),
            id: TableId(u64::try_from(tables.len()).unwrap() + 1),
            uuid: Uuid::nil(),
            spec,
            version: 0,
            schemas: Vec::new(),
            gone: None,
        };
        tables.insert(name.to_string(), (table.clone(), Vec::new()));
        table
    }

    fn rows(&self, table: &Name) -> Result<u64, Problem> {
        let tables = self.tables.lock();
        let (_, batches) = tables.get(table.as_str()).ok_or_else(|| no_such_table(table))?;
        Ok(batches.iter().map(|batch| u64::try_from(batch.num_rows()).unwrap()).sum())
    }

    fn read(&self, request: &Consume) -> Result<Page, Problem> {
        let tables = self.tables.lock();
        let (table, batches) =
            tables.get(request.table.as_str()).ok_or_else(|| no_such_table(&request.table))?;
        let latest = batches.iter().map(|batch| u64::try_from(batch.num_rows()).unwrap()).sum();
        let from = begin(&request.from, latest);
        if from > latest {
            return Err(Problem::new(
                Kind::BeyondTail,
                format!("offset {from} of bucket 0: the tail is {latest}"),
            ));
        }
        let (mut rows, mut start, mut left) = (Vec::new(), 0u64, request.limit);
        let mut next = from;
        for batch in batches {
            let end = start + u64::try_from(batch.num_rows()).unwrap();
            let skip = usize::try_from(from.saturating_sub(start)).unwrap().min(batch.num_rows());
            let take = (batch.num_rows() - skip).min(left);
            if take > 0 {
                let batch = batch.slice(skip, take);
                let start = start + u64::try_from(skip).unwrap();
                next = start + u64::try_from(take).unwrap();
                rows.push(assemble(&batch, &request.columns, &table.spec, i64::try_from(start).unwrap()));
                left -= take;
            }
            start = end;
        }
        Ok(Page {
            starts: rows.iter().map(|_| (Bucket(0), from)).collect(),
            batches: rows,
            next: Position([(Bucket(0), next)].into()),
            caught_up: next == latest,
            held: None,
        })
    }
}

fn no_such_table(table: &Name) -> Problem {
    Problem::new(Kind::NoSuchTable, format!("there is no table {table}"))
}

fn no_such_group(group: &Name) -> Problem {
    Problem::new(Kind::NoSuchGroup, format!("there is no group {group}"))
}

fn check_database(database: &Name) -> Result<(), Problem> {
    if database.as_str() == "default" {
        return Ok(());
    }
    Err(Problem::new(Kind::NoSuchDatabase, format!("there is no database {database}")))
}

fn described(name: &str) -> Database {
    Database { name: name.to_owned(), log_uuid: Uuid::nil().to_string(), tables: 0 }
}

#[async_trait]
impl Application for Fake {
    async fn databases(&self) -> Result<Vec<Database>, Problem> {
        Ok(vec![described("default")])
    }

    async fn database(&self, database: &Name) -> Result<Database, Problem> {
        check_database(database).map(|()| described("default"))
    }

    async fn ensure_database(&self, database: &Name) -> Result<Ensured<Database>, Problem> {
        match database.as_str() {
            "default" => Ok(Ensured::Same(described("default"))),
            "panic" => panic!("asked to"),
            name => Ok(Ensured::Created(described(name))),
        }
    }

    async fn drop_database(&self, database: &Name) -> Result<(), Problem> {
        check_database(database)?;
        Err(Problem::new(Kind::NotEmpty, "the database has 1 table"))
    }

    async fn tables(&self, database: &Name, list: TableList) -> Result<Tables, Problem> {
        check_database(database)?;
        assert!(!list.dropped, "nothing that was dropped is kept here");
        let tables = self.tables.lock();
        let listed = tables
            .iter()
            .filter(|(name, _)| name.starts_with(&list.prefix) && Some(*name) > list.after.as_ref());
        let mut listed: Vec<Table> = listed.map(|(_, (table, _))| table.clone()).collect();
        let next = (listed.len() > list.limit).then(|| listed[list.limit - 1].name.to_string());
        listed.truncate(list.limit);
        Ok(Tables { tables: listed, next })
    }

    async fn table(&self, database: &Name, table: &Name) -> Result<Table, Problem> {
        check_database(database)?;
        let tables = self.tables.lock();
        tables.get(table.as_str()).map(|(table, _)| table.clone()).ok_or_else(|| no_such_table(table))
    }

    async fn ensure_table(
        &self,
        database: &Name,
        table: &Name,
        spec: TableSpec,
    ) -> Result<Ensured<Table>, Problem> {
        match self.table(database, table).await {
            Ok(existing) => match difference(&existing.spec, &spec) {
                None => Ok(Ensured::Same(existing)),
                Some(difference) => Ok(Ensured::Different(difference)),
            },
            Err(_) => Ok(Ensured::Created(self.insert(table, spec))),
        }
    }

    async fn table_confirmed(&self, database: &Name, table: &Name) -> Result<Table, Problem> {
        self.table(database, table).await
    }

    async fn alter_table(&self, database: &Name, table: &Name, alter: Alter) -> Result<Table, Problem> {
        check_database(database)?;
        let mut tables = self.tables.lock();
        let (known, _) = tables.get_mut(table.as_str()).ok_or_else(|| no_such_table(table))?;
        let current = known.spec.schema.id;
        if alter.expected.is_some_and(|expected| !expected.contains(&current)) {
            return Err(Problem::new(Kind::SchemaChanged, "it is another").with("current", current));
        }
        known.spec = evolution::alter(&known.spec, &alter.changes)?;
        known.version += 1;
        Ok(known.clone())
    }

    async fn restore_table(&self, _database: &Name, which: Dropped) -> Result<Table, Problem> {
        Err(Problem::new(Kind::NoSuchTable, format!("{which:?} was not dropped")))
    }

    async fn drop_table(&self, _database: &Name, table: &Name) -> Result<(), Problem> {
        self.tables.lock().remove(table.as_str()).map(|_| ()).ok_or_else(|| no_such_table(table))
    }

    async fn produce(&self, request: Produce) -> Result<Ack, Problem> {
        self.produced.lock().push(request.clone());
        if let Some(spec) = self.race.lock().take() {
            self.insert(&request.table, spec);
            return Err(Problem::new(Kind::Exists, "it is there"));
        }
        if let Some(spec) = request.create {
            self.insert(&request.table, spec);
        }
        let start = self.rows(&request.table)?;
        let expected = request.expected_offset.and_then(|position| position.get(Bucket(0)));
        if expected.is_some_and(|expected| expected != start) {
            return Err(Problem::new(Kind::ExpectedOffset, "the tail is elsewhere").with("actual", start));
        }
        let rows = u64::try_from(request.batch.num_rows()).unwrap();
        self.tables.lock().get_mut(request.table.as_str()).unwrap().1.push(request.batch);
        self.appended.notify_waiters();
        let buckets = Some(vec![BucketRange { bucket: 0, start, end: start + rows }]);
        Ok(Ack { rows, slot: Some(7), duplicate: false, created: None, buckets })
    }

    async fn consume(&self, request: Consume) -> Result<Page, Problem> {
        if let Some(problem) = self.fail_consume.lock().take() {
            return Err(problem);
        }
        *self.fail_consume.lock() = self.fail_later.lock().take();
        let appended = self.appended.notified();
        let page = self.read(&request)?;
        if !page.batches.is_empty() || request.wait == Duration::ZERO {
            return Ok(page);
        }
        if tokio::time::timeout(request.wait, appended).await.is_err() {
            return Ok(page);
        }
        match self.fail_consume.lock().take() {
            Some(problem) => Err(problem),
            None => self.read(&request),
        }
    }

    async fn offsets(&self, database: &Name, table: &Name) -> Result<Vec<BucketOffsets>, Problem> {
        check_database(database)?;
        Ok(vec![BucketOffsets { bucket: 0, earliest: 0, covered: None, latest: self.rows(table)? }])
    }

    async fn write(&self, request: Write) -> Result<WriteAck, Problem> {
        Err(Problem::internal(format!(
            "{} tables: writes are tested before a real gateway",
            request.parts.len()
        )))
    }

    async fn groups(&self, _database: &Name, _list: GroupList) -> Result<Groups, Problem> {
        Ok(Groups { groups: Vec::new(), next: None })
    }

    async fn group(&self, _database: &Name, group: &Name) -> Result<Group, Problem> {
        Err(no_such_group(group))
    }

    async fn store_group(&self, request: StoreGroup) -> Result<Ensured<Group>, Problem> {
        Err(no_such_group(&request.group))
    }

    async fn delete_group(
        &self,
        _database: &Name,
        group: &Name,
        _if_generation: Option<u64>,
    ) -> Result<(), Problem> {
        Err(no_such_group(group))
    }

    async fn position(&self, database: &Name, table: &Name, from: From) -> Result<Position, Problem> {
        check_database(database)?;
        Ok(Position([(Bucket(0), begin(&from, self.rows(table)?))].into()))
    }

    async fn cluster(&self) -> Result<serde_json::Value, Problem> {
        Ok(serde_json::json!({"members": []}))
    }

    async fn drain_member(&self, id: &str) -> Result<serde_json::Value, Problem> {
        Ok(serde_json::json!({"id": id, "state": "draining"}))
    }

    fn readiness(&self) -> Readiness {
        self.readiness.lock().unwrap_or(Readiness::Ready)
    }

    fn metrics(&self) -> String {
        "# EOF\n".to_owned()
    }

    fn store(&self) -> String {
        "memory://".to_owned()
    }
}

fn begin(from: &From, latest: u64) -> u64 {
    match from {
        From::Earliest => 0,
        From::Latest => latest,
        From::Offset(offset) => *offset,
        From::Position(position) => position.get(Bucket(0)).unwrap_or(0),
        // One row a second, the first at 0 s.
        From::Time(time) => u64::try_from(time.div_euclid(1_000_000)).unwrap_or(0).min(latest),
        From::Ago(_) => latest,
    }
}

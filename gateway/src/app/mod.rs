//! What the doors need from behind them: one trait, so that HTTP (and later Flight) translate and nothing else.
//!
//! Invariants of an implementation:
//! * a call that answers `Ok` has happened durably; a [`Problem`]'s outcome says what is known of one that has not;
//! * deadlines are kept by the implementation: `timeout` and `wait` are upper bounds on how long a call takes;
//! * what a read at the tail answers was confirmed against the store.

mod groups;
mod write;

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use arrow::record_batch::RecordBatch;
use async_trait::async_trait;
use frazil_log::id::{Bucket, Name, Offset, SchemaId, Slot, TableId, TimeMicros, Uuid};
use frazil_log::schema::evolution::Change;
use frazil_log::schema::{Schema, TableSpec};
use serde::Serialize;
use tokio::sync::Notify;
use utoipa::ToSchema;

pub use self::groups::{Group, GroupList, GroupTable, Groups, Lag, Stand, StoreGroup};
pub use self::write::{Part, TableAck, Write, WriteAck};
use crate::consume::filter::Filter;
use crate::consume::position::{From, Position};
use crate::consume::reader::OutputColumn;
use crate::error::Problem;
use crate::memory::Held;

/// The store, as the doors use it.
#[async_trait]
pub trait Application: Send + Sync + fmt::Debug {
    /// The names of the databases, sorted.
    async fn databases(&self) -> Result<Vec<Database>, Problem>;

    /// One database; `no-such-database` if it is not there.
    async fn database(&self, database: &Name) -> Result<Database, Problem>;

    /// Creates a database unless it is there.
    async fn ensure_database(&self, database: &Name) -> Result<Ensured<Database>, Problem>;

    /// Drops a database; `not-empty` while it has tables.
    async fn drop_database(&self, database: &Name) -> Result<(), Problem>;

    /// A page of tables whose names begin with `prefix`.
    async fn tables(&self, database: &Name, list: TableList) -> Result<Tables, Problem>;

    /// One table as this gateway knows it; asked before each produce and consume, so it must be cheap when it is known,
    /// and confirm the tail before it answers `no-such-table`.
    async fn table(&self, database: &Name, table: &Name) -> Result<Table, Problem>;

    /// Creates a table unless one like it is there.
    async fn ensure_table(
        &self,
        database: &Name,
        table: &Name,
        spec: TableSpec,
    ) -> Result<Ensured<Table>, Problem>;

    /// One table, the tail confirmed first.
    async fn table_confirmed(&self, database: &Name, table: &Name) -> Result<Table, Problem>;

    /// Makes all changes of a list, or none; `schema-changed` if the table's schema is not one of `expected`.
    async fn alter_table(&self, database: &Name, table: &Name, alter: Alter) -> Result<Table, Problem>;

    /// Brings back a table that was dropped and is still kept, under its name.
    async fn restore_table(&self, database: &Name, which: Dropped) -> Result<Table, Problem>;

    /// Drops a table: the name is free at once, the id is not used again.
    async fn drop_table(&self, database: &Name, table: &Name) -> Result<(), Problem>;

    /// Appends the rows of one request: all of them or none.
    ///
    /// With `create`, the table and its rows are one proposal. If a table of that name is there by then the answer is
    /// `exists`, nothing was written and no sequence was used up: the door decodes again against that table. If the table
    /// is not the one of `checked` any more, the answer is `schema-changed` (or `no-such-table`).
    async fn produce(&self, request: Produce) -> Result<Ack, Problem>;

    /// As [`Application::produce`], and tells `admission` once these rows come before all that is asked for afterwards. What is
    /// refused before that is never told.
    async fn produce_in_order(&self, request: Produce, admission: Admission) -> Result<Ack, Problem> {
        let ack = self.produce(request).await?;
        admission.tell();
        Ok(ack)
    }

    /// Writes rows of several tables and positions of several groups: all of it or nothing. Tables to create are as in
    /// [`produce`](Self::produce), which is the write of one table.
    async fn write(&self, request: Write) -> Result<WriteAck, Problem>;

    /// Reads rows. A bucket that a given position does not name is read from its earliest offset.
    async fn consume(&self, request: Consume) -> Result<Page, Problem>;

    /// The offsets of a table's buckets, the tail confirmed.
    async fn offsets(&self, database: &Name, table: &Name) -> Result<Vec<BucketOffsets>, Problem>;

    /// Groups by name, those after `after` that begin with `prefix`, at most `limit`.
    async fn groups(&self, database: &Name, list: GroupList) -> Result<Groups, Problem>;

    /// One group, the tail confirmed; `no-such-group` if it is not there.
    async fn group(&self, database: &Name, group: &Name) -> Result<Group, Problem>;

    /// Stores positions: all or none.
    async fn store_group(&self, request: StoreGroup) -> Result<Ensured<Group>, Problem>;

    /// Deletes a group; one that is made again later does not know its positions.
    async fn delete_group(
        &self,
        database: &Name,
        group: &Name,
        if_generation: Option<u64>,
    ) -> Result<(), Problem>;

    /// Where in each bucket a read `from` there would begin, the tail confirmed.
    async fn position(&self, database: &Name, table: &Name, from: From) -> Result<Position, Problem>;

    /// What the gateway knows of the cluster and of itself, as JSON.
    async fn cluster(&self) -> Result<serde_json::Value, Problem>;

    /// Has a gateway take no more writes, this one or another, by its incarnation; it goes on answering reads.
    async fn drain_member(&self, id: &str) -> Result<serde_json::Value, Problem>;

    /// Whether this process should get requests.
    fn readiness(&self) -> Readiness;

    /// All metrics in the OpenMetrics text format.
    fn metrics(&self) -> String;

    /// Where the data lies, for the banner: a URL without credentials.
    fn store(&self) -> String;
}

/// A database, described.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, ToSchema)]
pub struct Database {
    /// Its name.
    pub name: String,
    /// The UUID of its log.
    pub log_uuid: String,
    /// How many tables it has.
    pub tables: u64,
}

/// What a PUT came to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Ensured<T> {
    /// It is new.
    Created(T),
    /// It was there, and the same.
    Same(T),
    /// It was there, and differs: how, in a sentence.
    Different(String),
}

/// Which tables to list.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TableList {
    /// Only names that begin with this.
    pub prefix: String,
    /// Only what comes after this, the `next` of an earlier page.
    pub after: Option<String>,
    /// At most so many.
    pub limit: usize,
    /// Those that were dropped and can be restored, oldest first, in place of those that are there.
    pub dropped: bool,
}

/// A page of a list of tables.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Tables {
    /// The tables, sorted by name; dropped ones by id, since several may have had one name.
    pub tables: Vec<Table>,
    /// What to go on after, if there are more.
    pub next: Option<String>,
}

/// A table, described.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Table {
    /// Its database.
    pub database: Name,
    /// Its name.
    pub name: Name,
    /// Its number in the database's log.
    pub id: TableId,
    /// Its UUID.
    pub uuid: Uuid,
    /// What it is; rows are written under its schema.
    pub spec: TableSpec,
    /// How many times it was altered.
    pub version: u64,
    /// The schemas that it had before, oldest first.
    pub schemas: Vec<Arc<Schema>>,
    /// Since when it is gone, if it is.
    pub gone: Option<Gone>,
}

/// A table that was dropped.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Gone {
    /// When.
    pub at: TimeMicros,
    /// Until when it can be restored.
    pub kept_until: TimeMicros,
}

/// How to change a table.
#[derive(Clone, Debug, PartialEq)]
pub struct Alter {
    /// The changes, made one after the other.
    pub changes: Vec<Change>,
    /// Only if the table's schema is one of these.
    pub expected: Option<Vec<SchemaId>>,
}

/// Which dropped table to bring back.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Dropped {
    /// The newest of this name.
    Named(Name),
    /// The one of this UUID.
    Uuid(Uuid),
}

/// Rows to append.
#[derive(Clone, Debug)]
pub struct Produce {
    /// The database.
    pub database: Name,
    /// The table.
    pub table: Name,
    /// The table and schema that the rows were checked against; nothing if `create` is given.
    pub checked: Option<(TableId, SchemaId)>,
    /// The table to create with the rows.
    pub create: Option<TableSpec>,
    /// The rows, in the schema's Arrow form; may be none.
    pub batch: RecordBatch,
    /// The bucket that all rows go to, if the client chose one.
    pub bucket: Option<Bucket>,
    /// The tails that must be exactly these.
    pub expected_offset: Option<Position>,
    /// The producer's headers.
    pub producer: Option<Producer>,
    /// XXH3-128 of the body and of the parameters that change its meaning; the table's id is not in it.
    pub request_hash: u128,
    /// How long the client waits for the verdict.
    pub timeout: Duration,
    /// How long the body took from bytes to Arrow.
    pub decode_time: Duration,
}

/// How a producer that sends on before it is answered learns that its rows have their place in the order.
#[derive(Clone, Debug, Default)]
pub struct Admission(Arc<Notify>);

impl Admission {
    /// Says that they have.
    pub fn tell(&self) {
        self.0.notify_one();
    }

    /// Waits until they have.
    pub async fn told(&self) {
        self.0.notified().await;
    }
}

/// One request of an idempotent producer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Producer {
    /// `Producer-Id`
    pub id: String,
    /// `Producer-Epoch`
    pub epoch: u64,
    /// `Producer-Seq`
    pub seq: u64,
}

/// What was written.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, ToSchema)]
pub struct Ack {
    /// How many rows the request has.
    pub rows: u64,
    /// The slot that they are in; null for a duplicate too old to be remembered.
    pub slot: Option<Slot>,
    /// Whether an earlier request wrote them.
    pub duplicate: bool,
    /// The table that the request created, as `name (columns)`; the door fills it in.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub created: Option<String>,
    /// Where they are; null for a duplicate too old to be remembered.
    pub buckets: Option<Vec<BucketRange>>,
}

/// Offsets given to rows: `start..end`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, ToSchema)]
pub struct BucketRange {
    /// The bucket.
    pub bucket: u32,
    /// The first row's offset.
    pub start: Offset,
    /// The offset after the last row's.
    pub end: Offset,
}

/// Rows to read.
#[derive(Clone, Debug)]
pub struct Consume {
    /// The database.
    pub database: Name,
    /// The table.
    pub table: Name,
    /// The table that the columns were looked up in.
    pub id: TableId,
    /// Its schema then. If it is another by now the answer is `schema-changed`: look the columns up again.
    pub schema: SchemaId,
    /// The columns to read, in this order.
    pub columns: Vec<OutputColumn>,
    /// Where to begin.
    pub from: From,
    /// Begin where this group stands instead, in the buckets where it does.
    pub group: Option<Name>,
    /// The only bucket to read, or all.
    pub bucket: Option<Bucket>,
    /// At most so many rows.
    pub limit: usize,
    /// At most so many bytes of values, but always one row.
    pub bytes_max: usize,
    /// How long to wait for the first row.
    pub wait: Duration,
    /// Only rows of which this is true; then a page may be empty though rows follow, and has moved on all the same.
    pub filter: Option<Arc<Filter>>,
}

/// Rows that were read.
#[derive(Clone, Debug)]
pub struct Page {
    /// The rows, bucket by bucket in order of offset, with the columns asked for.
    pub batches: Vec<RecordBatch>,
    /// Of each batch: its bucket, and the offset from which what it came of was read; several batches may come of one place.
    pub starts: Vec<(Bucket, Offset)>,
    /// Where to go on: every bucket asked for.
    pub next: Position,
    /// Whether `next` is the tail, confirmed.
    pub caught_up: bool,
    /// The memory that the rows take.
    pub held: Option<Arc<Held>>,
}

/// The offsets of a bucket.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, ToSchema)]
pub struct BucketOffsets {
    /// The bucket.
    pub bucket: u32,
    /// The first row that is kept.
    pub earliest: Offset,
    /// The first row that is not in the lake; absent for a table without a lake.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub covered: Option<Offset>,
    /// The offset that the next row gets.
    pub latest: Offset,
}

/// Whether a process should get requests.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Readiness {
    /// Reads and writes.
    Ready,
    /// Reads; the store cannot be written.
    ReadOnly,
    /// Not yet: the log is being folded.
    Folding,
    /// No longer: the process is stopping.
    Draining,
}

//! Writing: rows of any number of tables, and positions of any number of groups, as one act.

use std::collections::BTreeMap;
use std::time::Duration;

use arrow::record_batch::RecordBatch;
use frazil_log::id::{Bucket, Name, SchemaId, Slot, TableId};
use frazil_log::schema::TableSpec;
use serde::Serialize;
use utoipa::ToSchema;

use super::{BucketRange, Produce, Producer, Stand};
use crate::consume::position::Position;

/// One request: all of it or nothing, in one slot.
#[derive(Clone, Debug)]
pub struct Write {
    /// The database.
    pub database: Name,
    /// The rows, each table once.
    pub parts: Vec<Part>,
    /// Where groups stand from then on, each group once.
    pub groups: Vec<(Name, Vec<Stand>)>,
    /// The producer's headers.
    pub producer: Option<Producer>,
    /// XXH3-128 of what the request means; the tables' ids are not in it.
    pub request_hash: u128,
    /// How long the client waits for the verdict.
    pub timeout: Duration,
    /// How long the body took from bytes to Arrow.
    pub decode_time: Duration,
}

/// The rows of a request for one table.
#[derive(Clone, Debug)]
pub struct Part {
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
}

/// What was written.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, ToSchema)]
pub struct WriteAck {
    /// How many rows the request has.
    pub rows: u64,
    /// The slot that all of it is in; null for a duplicate too old to be remembered.
    pub slot: Option<Slot>,
    /// Whether an earlier request wrote it.
    pub duplicate: bool,
    /// Where the rows are, by table.
    pub tables: BTreeMap<String, TableAck>,
}

/// What was written to one table.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, ToSchema)]
pub struct TableAck {
    /// How many rows the request has for it.
    pub rows: u64,
    /// The table that the request created, as `name (columns)`; the door fills it in.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub created: Option<String>,
    /// Where they are; null for a duplicate too old to be remembered.
    pub buckets: Option<Vec<BucketRange>>,
}

impl From<Produce> for Write {
    fn from(request: Produce) -> Self {
        let part = Part {
            table: request.table,
            checked: request.checked,
            create: request.create,
            batch: request.batch,
            bucket: request.bucket,
            expected_offset: request.expected_offset,
        };
        Self {
            database: request.database,
            parts: vec![part],
            groups: Vec::new(),
            producer: request.producer,
            request_hash: request.request_hash,
            timeout: request.timeout,
            decode_time: request.decode_time,
        }
    }
}

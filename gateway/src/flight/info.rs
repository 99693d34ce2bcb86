//! What there is to get: GetFlightInfo, GetSchema, ListFlights.

use std::sync::Arc;

use arrow::datatypes::Schema as ArrowSchema;
use arrow::ipc::writer::IpcWriteOptions;
use arrow_flight::{FlightDescriptor, FlightEndpoint, FlightInfo, SchemaAsIpc, SchemaResult, Ticket};
use futures::Stream;
use futures::stream::try_unfold;

use super::Flight;
use super::get::Query;
use super::names::Asked;
use crate::app::{BucketOffsets, Database, Table, TableList};
use crate::consume::position::From;
use crate::error::Problem;
use crate::http::request::params::name;

/// Tables of one page of a list.
const PAGE_TABLES: usize = 1000;

/// One endpoint a bucket, and how many rows there are.
pub(super) async fn info(flight: &Flight, descriptor: FlightDescriptor) -> Result<FlightInfo, Problem> {
    let asked = Asked::of_descriptor(&descriptor)?;
    let table = flight.app.table(&asked.database, &asked.table).await?;
    let query = Query::of(asked.clone(), &table)?;
    let offsets = flight.app.offsets(&asked.database, &asked.table).await?;
    let (mut info, mut records) = (described(query.schema())?, Some(0u64));
    for bucket in offsets.iter().filter(|it| query.request().bucket.is_none_or(|only| only.0 == it.bucket)) {
        info = info.with_endpoint(endpoint(&asked, bucket.bucket));
        records = records.zip(rows(bucket, &query)).map(|(sum, rows)| sum.saturating_add(rows));
    }
    let records = records.filter(|_| query.is_all()).and_then(|records| i64::try_from(records).ok());
    Ok(info.with_descriptor(descriptor).with_total_records(records.unwrap_or(-1)))
}

/// The schema of the answer to a descriptor.
pub(super) async fn schema(flight: &Flight, descriptor: &FlightDescriptor) -> Result<SchemaResult, Problem> {
    let asked = Asked::of_descriptor(descriptor)?;
    let table = flight.app.table(&asked.database, &asked.table).await?;
    let query = Query::of(asked, &table)?;
    let options = IpcWriteOptions::default();
    SchemaAsIpc::new(query.schema(), &options).try_into().map_err(unwritable)
}

/// All tables of all databases, those whose name begins with the criteria: `clicks`, or `db.clicks` for one database.
pub(super) fn list(
    flight: &Arc<Flight>,
    criteria: &[u8],
) -> Result<impl Stream<Item = Result<FlightInfo, Problem>> + Send + use<>, Problem> {
    let criteria =
        std::str::from_utf8(criteria).map_err(|_| Problem::malformed("the criteria are not text"))?;
    let (database, prefix) = match criteria.split_once('.') {
        Some((database, prefix)) => (Some(name(database)?.to_string()), prefix.to_owned()),
        None => (None, criteria.to_owned()),
    };
    let list = List {
        flight: Arc::clone(flight),
        only: database,
        prefix,
        databases: None,
        page: Vec::new(),
        after: None,
    };
    Ok(try_unfold(list, |mut list| async move {
        let found = list.next().await?;
        Ok(found.map(|found| (found, list)))
    }))
}

/// A walk over databases and pages of their tables.
struct List {
    flight: Arc<Flight>,
    only: Option<String>,
    prefix: String,
    /// Those still to be walked, the next one last.
    databases: Option<Vec<Database>>,
    /// Tables still to be told, the next one last.
    page: Vec<Table>,
    after: Option<String>,
}

impl List {
    async fn next(&mut self) -> Result<Option<FlightInfo>, Problem> {
        if self.databases.is_none() {
            let mut databases = match &self.only {
                Some(only) => vec![self.flight.app.database(&name(only)?).await?],
                None => self.flight.app.databases().await?,
            };
            databases.reverse();
            self.databases = Some(databases);
        }
        loop {
            if let Some(table) = self.page.pop() {
                return self.info(&table).map(Some);
            }
            let Some(database) = self.databases.as_ref().and_then(|databases| databases.last()) else {
                return Ok(None);
            };
            let list = TableList {
                prefix: self.prefix.clone(),
                after: self.after.take(),
                limit: PAGE_TABLES,
                dropped: false,
            };
            let found = self.flight.app.tables(&name(&database.name)?, list).await?;
            self.page = found.tables;
            self.page.reverse();
            self.after = found.next;
            if self.after.is_none() {
                self.databases.as_mut().and_then(Vec::pop);
            }
        }
    }

    fn info(&self, table: &Table) -> Result<FlightInfo, Problem> {
        let path = vec![table.database.to_string(), table.name.to_string()];
        let descriptor = FlightDescriptor::new_path(path);
        let asked = Asked::of_descriptor(&descriptor)?;
        let query = Query::of(asked.clone(), table)?;
        let info = described(query.schema())?.with_descriptor(descriptor);
        Ok((0..table.spec.buckets).fold(info, |info, bucket| info.with_endpoint(endpoint(&asked, bucket))))
    }
}

fn described(schema: &ArrowSchema) -> Result<FlightInfo, Problem> {
    FlightInfo::new().try_with_schema(schema).map_err(unwritable)
}

/// Where a bucket is to be had: from whoever answered.
fn endpoint(asked: &Asked, bucket: u32) -> FlightEndpoint {
    FlightEndpoint::new().with_ticket(Ticket::new(asked.ticket(bucket)))
}

/// How many rows a bucket has from where it is asked for; nothing where that is not known without reading.
fn rows(bucket: &BucketOffsets, query: &Query) -> Option<u64> {
    if query.request().filter.is_some() {
        return None;
    }
    let from = match &query.request().from {
        From::Time(_) | From::Ago(_) => return None,
        From::Earliest => bucket.earliest,
        From::Latest => bucket.latest,
        From::Offset(offset) => *offset,
        From::Position(position) => {
            position.get(frazil_log::id::Bucket(bucket.bucket)).unwrap_or(bucket.earliest)
        }
    };
    Some(bucket.latest.saturating_sub(from))
}

fn unwritable(error: arrow::error::ArrowError) -> Problem {
    Problem::internal(format!("a schema does not make an Arrow message: {error}"))
}

//! Reading at a position: from the fold, the tail confirmed where the answer depends on it.

use std::collections::BTreeMap;
use std::time::Duration;

use frazil_log::id::{Bucket, Offset};
use frazil_log::state::tables::Table;
use tokio::time::{Instant, sleep_until};

use super::Gateway;
use super::database::Database;
use super::problems::no_such_table;
use crate::consume::position::{From, Position};
use crate::consume::reader::{ReadPage, ReadRequest, read};
use crate::error::{Kind, Problem};
use crate::http::app::{Consume, Page};

/// A waiting read looks for slots of other gateways this often; any number of them cost one request each.
const POLL_PAUSE: Duration = Duration::from_millis(400);

impl Gateway {
    pub(super) async fn read_page(&self, request: Consume) -> Result<Page, Problem> {
        let database = self.database_named(&request.database).await?;
        let deadline = Instant::now() + request.wait;
        let table = pinned_table(&database, &request)?;
        let mut read_request = ReadRequest {
            from: resolve(&database, &table, &request).await?,
            columns: request.columns.clone(),
            rows_max: request.limit,
            bytes_max: request.bytes_max as u64,
        };
        loop {
            let page = read(database.replica(), &table, &read_request).await?;
            if page.rows > 0 && !reaches_end(&database, &table, &page) {
                return self.answer(page, false);
            }
            // The end of what is folded: the tail says whether it is the end of all.
            database.replica().confirm_tail().await?;
            let caught_up = reaches_end(&database, &table, &page);
            if page.rows > 0 || (caught_up && Instant::now() >= deadline) {
                return self.answer(page, caught_up);
            }
            if caught_up {
                wait_for_rows(&database, &table, &page, deadline).await?;
                pinned_table(&database, &request)?;
            }
            read_request.from = page.next;
        }
    }

    fn answer(&self, page: ReadPage, caught_up: bool) -> Result<Page, Problem> {
        self.inner.parts.metrics.rows_consumed_total.inc_by(page.rows as u64);
        Ok(Page { batches: page.batches, next: Position(page.next), caught_up })
    }
}

/// The table that the columns were looked up in; a table dropped and made again is another.
fn pinned_table(database: &Database, request: &Consume) -> Result<Table, Problem> {
    let fold = database.replica().fold();
    let table = fold.state.tables().live(request.id).filter(|table| table.name == request.table);
    table.cloned().ok_or_else(|| no_such_table(&request.database, &request.table))
}

/// Where each bucket begins.
async fn resolve(
    database: &Database,
    table: &Table,
    request: &Consume,
) -> Result<BTreeMap<Bucket, Offset>, Problem> {
    let buckets: Vec<Bucket> = match request.bucket {
        Some(bucket) => vec![bucket],
        None => (0..table.spec.buckets).map(Bucket).collect(),
    };
    if request.from == From::Latest {
        database.replica().confirm_tail().await?;
        return Ok(buckets.iter().map(|bucket| (*bucket, tail(database, table, *bucket))).collect());
    }
    let from: BTreeMap<Bucket, Offset> = buckets
        .into_iter()
        .map(|bucket| {
            let offset = match &request.from {
                From::Earliest | From::Latest => 0,
                From::Offset(offset) => *offset,
                From::Position(position) => position.get(bucket).unwrap_or(0),
            };
            (bucket, offset)
        })
        .collect();
    let beyond = |from: &BTreeMap<Bucket, Offset>| {
        from.iter().map(|(bucket, offset)| (*bucket, *offset)).find(|(bucket, offset)| *offset > tail(database, table, *bucket))
    };
    if beyond(&from).is_some() {
        database.replica().confirm_tail().await?;
        if let Some((bucket, offset)) = beyond(&from) {
            let latest = tail(database, table, bucket);
            return Err(Problem::new(
                Kind::BeyondTail,
                format!("bucket {bucket}: from={offset}, but the next row gets offset {latest}"),
            )
            .with("bucket", bucket.0)
            .with("latest", latest));
        }
    }
    Ok(from)
}

fn tail(database: &Database, table: &Table, bucket: Bucket) -> Offset {
    database.replica().fold().state.tables().tail(&table.rows_key(bucket)).next
}

fn reaches_end(database: &Database, table: &Table, page: &ReadPage) -> bool {
    let fold = database.replica().fold();
    page.next.iter().all(|(bucket, next)| *next >= fold.state.tables().tail(&table.rows_key(*bucket)).next)
}

/// Waits until there is a row, the table goes, or the deadline comes. Sends a request each [`POLL_PAUSE`], shared by all who wait.
async fn wait_for_rows(database: &Database, table: &Table, page: &ReadPage, deadline: Instant) -> Result<(), Problem> {
    let replica = database.replica();
    let mut next = replica.watch();
    while Instant::now() < deadline {
        next.mark_unchanged();
        if !reaches_end(database, table, page) || replica.fold().state.tables().live(table.id).is_none() {
            return Ok(());
        }
        tokio::select! {
            biased;
            changed = next.changed() => drop(changed),
            () = sleep_until(deadline.min(Instant::now() + POLL_PAUSE)) => replica.poll_tail(POLL_PAUSE).await?,
        }
    }
    Ok(())
}

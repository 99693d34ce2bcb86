//! Reading at a position: from the fold, the tail confirmed where the answer depends on it.

use std::collections::BTreeMap;
use std::ops::Range;
use std::sync::Arc;
use std::time::Duration;

use arrow::record_batch::RecordBatch;
use frazil_log::id::{Bucket, Name, Offset, TimeMicros};
use frazil_log::state::tables::{BucketTail, Table};
use tokio::time::{Instant, sleep_until};

use super::Gateway;
use super::database::Database;
use super::groups::stored_offsets;
use super::problems::{no_such_table, schema_changed};
use crate::app::{Consume, Page};
use crate::consume::position::{From, Position};
use crate::consume::reader::{ReadPage, ReadRequest, read};
use crate::consume::seek::first_at;
use crate::error::{Kind, Problem};
use crate::memory::Held;

/// How long a read waits for memory before it is refused.
const MEMORY_WAIT: Duration = Duration::from_secs(5);

/// As large a row is taken to be before it is read.
const ROW_BYTES: usize = 4 << 10;

/// A waiting read looks for slots of other gateways this often; any number of them cost one request each.
const POLL_PAUSE: Duration = Duration::from_millis(400);

/// Its own turn, where polling takes about as long as the pause.
const POLL_PAUSE_MIN: Duration = Duration::from_millis(50);

impl Gateway {
    pub(super) async fn read_page(&self, request: Consume) -> Result<Page, Problem> {
        let database = self.database_named(&request.database).await?;
        let deadline = Instant::now() + request.wait;
        let table = pinned_table(&database, &request)?;
        let mut read_request = ReadRequest {
            from: self.begin(&database, &table, &request).await?,
            columns: request.columns.clone(),
            rows_max: request.limit,
            bytes_max: request.bytes_max as u64,
            filter: request.filter.clone(),
        };
        let mut begun = read_request.from.clone();
        // Once a read has confirmed the tail, rows that come while it waits are answered as they come: what was acknowledged
        // before the read is in it. Whether they are all it does not say then.
        let mut confirmed = false;
        loop {
            if let Some(problem) = no_longer_kept(&database, &table, &read_request.from) {
                // Rows expired since the beginning was looked up: it begins later now. Where a group stands it does not move.
                if request.from == From::Earliest && read_request.from == begun {
                    read_request.from = self.begin(&database, &table, &request).await?;
                    if read_request.from != begun {
                        begun.clone_from(&read_request.from);
                        continue;
                    }
                }
                return Err(problem);
            }
            // A read that will reach the end of what is folded confirms the tail first: then the end is the end. How far a filter
            // gets is not known before.
            let ahead = rows_ahead(&database, &table, &read_request.from);
            let reaches_end = request.filter.is_some() || ahead <= request.limit as u64;
            let confirms = reaches_end && !(confirmed && ahead > 0);
            if confirms {
                database.replica().confirm_tail().await?;
                confirmed = true;
            }
            // As it is folded now: the read goes no further than this.
            let table = pinned_table(&database, &request)?;
            let ahead = rows_ahead(&database, &table, &read_request.from);
            let mut held = self.take_memory(&request, ahead).await?;
            let page = match read(database.replica(), &self.inner.parts.tail, &table, &read_request).await {
                Ok(page) => page,
                // The rows are gone since they expired: the look above says so.
                Err(error) if no_longer_kept(&database, &table, &read_request.from).is_some() => {
                    tracing::debug!(%error, "rows expired under a read");
                    continue;
                }
                Err(error) => return Err(error.into()),
            };
            held.shrink(page.batches.iter().map(RecordBatch::get_array_memory_size).sum());
            let caught_up = confirms && rows_ahead(&database, &table, &page.next) == 0;
            self.inner.parts.metrics.filter_skipped_bytes_total.inc_by(page.ruled_out_bytes);
            let moved_on = caught_up || request.filter.is_some();
            if page.rows > 0 || (moved_on && Instant::now() >= deadline) {
                self.inner.parts.metrics.rows_consumed_total.inc_by(page.rows as u64);
                return Ok(Page {
                    batches: page.batches,
                    starts: page.starts,
                    next: Position(page.next),
                    caught_up,
                    held: Some(Arc::new(held)),
                });
            }
            drop(held);
            if caught_up {
                wait_for_rows(&database, &table, &page, deadline).await?;
            }
            read_request.from = page.next;
        }
    }

    /// Memory for a read of at most so many rows: what it may become is held while it is read, what it is from then on.
    async fn take_memory(&self, request: &Consume, rows: u64) -> Result<Held, Problem> {
        let rows = usize::try_from(rows).unwrap_or(usize::MAX).min(request.limit);
        let bytes = request.bytes_max.min(rows.saturating_mul(ROW_BYTES));
        let held = self.inner.parts.reads.take(bytes, Instant::now() + MEMORY_WAIT).await;
        held.ok_or_else(|| {
            Problem::new(Kind::Overloaded, "the gateway reads and sends as many rows as its memory allows")
        })
    }
}

impl Gateway {
    pub(super) async fn position_of(
        &self,
        name: &Name,
        table: &Name,
        from: &From,
    ) -> Result<Position, Problem> {
        let database = self.database_named(name).await?;
        database.replica().confirm_tail().await?;
        let table = database.table(table).ok_or_else(|| no_such_table(name, table))?;
        self.resolve(&database, &table, from, None).await.map(Position)
    }

    /// Where each bucket begins: where the group stands, else at `from`.
    async fn begin(
        &self,
        database: &Database,
        table: &Table,
        request: &Consume,
    ) -> Result<BTreeMap<Bucket, Offset>, Problem> {
        let mut begin = self.resolve(database, table, &request.from, request.bucket).await?;
        if let Some(group) = &request.group {
            // Another gateway may have stored it a moment ago.
            database.replica().confirm_tail().await?;
            for (bucket, stored) in stored_offsets(database, group, table.id) {
                if let Some(offset) = begin.get_mut(&bucket) {
                    *offset = stored;
                }
            }
        }
        Ok(begin)
    }

    /// What `from` means for each bucket asked for.
    async fn resolve(
        &self,
        database: &Database,
        table: &Table,
        from: &From,
        bucket: Option<Bucket>,
    ) -> Result<BTreeMap<Bucket, Offset>, Problem> {
        let buckets = || match bucket {
            Some(bucket) => bucket.0..bucket.0.saturating_add(1),
            None => 0..table.spec.buckets,
        };
        let each = |offset: &dyn Fn(Bucket) -> Offset| {
            buckets().map(|bucket| (Bucket(bucket), offset(Bucket(bucket)))).collect::<BTreeMap<_, _>>()
        };
        let earliest = |bucket| tail_of(database, table, bucket).earliest;
        let begin = match from {
            From::Earliest => each(&earliest),
            From::Offset(offset) => each(&|_| *offset),
            From::Position(position) => {
                each(&|bucket| position.get(bucket).unwrap_or_else(|| earliest(bucket)))
            }
            From::Latest => {
                database.replica().confirm_tail().await?;
                return Ok(each(&|bucket| tail(database, table, bucket)));
            }
            From::Time(time) => return self.at_time(database, table, buckets(), *time).await,
            From::Ago(ago) => {
                let ago = i64::try_from(ago.as_micros()).unwrap_or(i64::MAX);
                let time = self.inner.parts.env.now().wall.saturating_sub(ago);
                return self.at_time(database, table, buckets(), time).await;
            }
        };
        within_tail(database, table, &begin).await?;
        Ok(begin)
    }

    /// The first rows at or after a time, of all that were written before it was asked for.
    async fn at_time(
        &self,
        database: &Database,
        table: &Table,
        buckets: Range<u32>,
        time: TimeMicros,
    ) -> Result<BTreeMap<Bucket, Offset>, Problem> {
        let replica = database.replica();
        replica.confirm_tail().await?;
        let mut begin = BTreeMap::new();
        for bucket in buckets.map(Bucket) {
            begin.insert(bucket, first_at((replica, &self.inner.parts.tail), table, bucket, time).await?);
        }
        Ok(begin)
    }
}

/// The table that the columns were looked up in; a table dropped and made again is another.
fn pinned_table(database: &Database, request: &Consume) -> Result<Table, Problem> {
    let fold = database.replica().fold();
    let table = fold.state.tables().live(request.id).filter(|table| table.name == request.table);
    let table = table.ok_or_else(|| no_such_table(&request.database, &request.table))?;
    if table.spec.schema.id != request.schema {
        return Err(schema_changed(table.spec.schema.id));
    }
    Ok(table.clone())
}

/// Refuses offsets that nothing has been given yet, by a confirmed tail.
async fn within_tail(
    database: &Database,
    table: &Table,
    from: &BTreeMap<Bucket, Offset>,
) -> Result<(), Problem> {
    let beyond = || {
        from.iter()
            .map(|(bucket, offset)| (*bucket, *offset))
            .find(|(bucket, offset)| *offset > tail(database, table, *bucket))
    };
    if beyond().is_none() {
        return Ok(());
    }
    database.replica().confirm_tail().await?;
    let Some((bucket, offset)) = beyond() else {
        return Ok(());
    };
    let latest = tail(database, table, bucket);
    let problem = Problem::new(
        Kind::BeyondTail,
        format!("bucket {bucket}: from={offset}, but the next row gets offset {latest}"),
    );
    Err(problem.with("bucket", bucket.0).with("latest", latest))
}

fn tail(database: &Database, table: &Table, bucket: Bucket) -> Offset {
    tail_of(database, table, bucket).next
}

fn tail_of(database: &Database, table: &Table, bucket: Bucket) -> BucketTail {
    database.replica().fold().state.tables().tail(&table.rows_key(bucket))
}

/// The first bucket whose rows at a position are no longer kept.
fn no_longer_kept(database: &Database, table: &Table, from: &BTreeMap<Bucket, Offset>) -> Option<Problem> {
    let expired = |(bucket, from): (&Bucket, &Offset)| {
        let earliest = tail_of(database, table, *bucket).earliest;
        (*from < earliest).then_some((*bucket, *from, earliest))
    };
    let (bucket, from, earliest) = from.iter().find_map(expired)?;
    let detail = format!(
        "bucket {bucket}: offset {from} is no longer kept, the earliest is {earliest}: go on from there, knowing that the rows \
         before it are gone"
    );
    Some(Problem::new(Kind::Trimmed, detail).with("bucket", bucket.0).with("earliest", earliest))
}

/// How many rows lie between a position and the end of what is folded.
fn rows_ahead(database: &Database, table: &Table, from: &BTreeMap<Bucket, Offset>) -> u64 {
    let fold = database.replica().fold();
    let ahead = |(bucket, from): (&Bucket, &Offset)| {
        fold.state.tables().tail(&table.rows_key(*bucket)).next.saturating_sub(*from)
    };
    from.iter().map(ahead).sum()
}

/// Waits until there is a row, the table goes, or the deadline comes. Sends a request each [`POLL_PAUSE`], shared by all who wait.
async fn wait_for_rows(
    database: &Database,
    table: &Table,
    page: &ReadPage,
    deadline: Instant,
) -> Result<(), Problem> {
    let replica = database.replica();
    let _waiting = database.ingress().interest().reader();
    let mut next = replica.watch();
    let mut poll_at = Instant::now() + POLL_PAUSE;
    while Instant::now() < deadline {
        next.mark_unchanged();
        if rows_ahead(database, table, &page.next) > 0
            || replica.fold().state.tables().live(table.id).is_none()
        {
            return Ok(());
        }
        tokio::select! {
            biased;
            // What comes is pushed, or written here: there is no need to ask.
            changed = next.changed() => {
                drop(changed);
                poll_at = Instant::now() + POLL_PAUSE;
            }
            () = sleep_until(deadline.min(poll_at)) => {
                let due_in = replica.poll_tail(POLL_PAUSE).await?;
                poll_at = Instant::now() + due_in.max(POLL_PAUSE_MIN);
            }
        }
    }
    Ok(())
}

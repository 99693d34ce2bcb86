//! Retention: rows that are older than a table keeps, or beyond the bytes that it keeps, are let go by an entry in the log. Their slots
//! and segments then go as others do: slots by trim, segments by the sweep.
//!
//! Invariants: ages are by the store's clock (rule 13); an entry names the offset that it goes on from, so of two janitors one is
//! refused (rule 7); only whole slices go.

use std::collections::BTreeMap;
use std::time::Duration;

use frazil_log::error::Result;
use frazil_log::format::entry::Entry;
use frazil_log::format::page::{Place, StreamKey};
use frazil_log::id::{Bucket, Offset, Stream, TimeMicros};
use frazil_log::plan::retention::{beyond_bytes, older_than, stored_bytes};
use frazil_log::schema::options::{Options, Retention};
use frazil_log::state::tables::Table;
use frazil_log::state::verdict::Verdict;

use crate::janitor::{Janitor, Memory, Report};
use crate::trim::store_time;

/// Entries of one proposal.
const ENTRIES_MAX: usize = 500;

/// Offsets looked at first; eight times more each time that all of them are old.
const LOOK_OFFSETS: u64 = 4_096;

/// Rows go once they are older, or more, than asked by this part: a slot for each slice would cost more than it frees.
const SLACK_PART: u32 = 64;

/// The store's clock may be ahead of the own one by this much.
const CLOCK_SLACK: TimeMicros = 60_000_000;

/// What is known of a bucket's bytes from an earlier round.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Counted {
    /// The rows that were counted: from here,
    from: Offset,
    /// to here.
    to: Offset,
    bytes: u64,
}

/// What is known of a bucket from an earlier round.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Oldest {
    /// The first offset then.
    earliest: Offset,
    /// The commit time of its rows.
    time: TimeMicros,
}

/// One bucket's rows that are kept.
struct Kept {
    key: StreamKey,
    from: Offset,
    next: Offset,
}

/// Lets go what need not be kept any more.
pub(crate) async fn expire(janitor: &Janitor, memory: &mut Memory, report: &mut Report) -> Result<()> {
    let tables: Vec<Table> = janitor.replica.fold().state.tables().by_name().cloned().collect();
    memory.oldest.retain(|key, _| tables.iter().any(|table| table.id == key.table));
    memory.counted.retain(|key, _| tables.iter().any(|table| table.id == key.table));
    let mut now = None;
    let mut entries = Vec::new();
    for table in &tables {
        // A later version may have options that say what is kept: then nothing goes.
        let Ok(options) = Options::parse(&table.spec.options) else { continue };
        let mut ends = BTreeMap::new();
        if let Retention::For(age) = options.retention {
            by_age(janitor, memory, table, age, &mut now, &mut ends).await?;
        }
        if let Some(bytes) = options.retention_bytes {
            by_bytes(janitor, memory, table, bytes, &mut ends).await?;
        }
        for kept in kept(table) {
            if let Some(to) = ends.get(&kept.key) {
                let StreamKey { table, bucket, stream } = kept.key;
                entries.push(Entry::RowsExpired { table, bucket, stream, from: kept.from, to: *to });
            }
        }
    }
    for entries in entries.chunks(ENTRIES_MAX) {
        propose(janitor, entries, report).await?;
    }
    Ok(())
}

/// The buckets of a table that hold rows.
fn kept(table: &Table) -> Vec<Kept> {
    let rows = |((bucket, stream), tail): (&(Bucket, Stream), &frazil_log::state::tables::BucketTail)| {
        let key = StreamKey { table: table.id, bucket: *bucket, stream: *stream };
        (tail.earliest < tail.next).then_some(Kept { key, from: tail.earliest, next: tail.next })
    };
    table.buckets.iter().filter_map(rows).collect()
}

async fn by_age(
    janitor: &Janitor,
    memory: &mut Memory,
    table: &Table,
    age: Duration,
    now: &mut Option<TimeMicros>,
    ends: &mut BTreeMap<StreamKey, Offset>,
) -> Result<()> {
    let age = micros(age);
    let slack = age / i64::from(SLACK_PART);
    for kept in kept(table) {
        let oldest = oldest(janitor, memory, &kept).await?;
        // By the own clock nothing is near its age: the store need not be asked for the time.
        let own = janitor.replica.env().now().wall.saturating_add(CLOCK_SLACK);
        if oldest.saturating_add(age + slack) > own {
            continue;
        }
        let now = match *now {
            Some(now) => now,
            None => *now.insert(store_time(janitor).await?),
        };
        if oldest.saturating_add(age + slack) > now {
            continue;
        }
        match end_of_old(janitor, &kept, now.saturating_sub(age)).await? {
            Some(end) => drop(ends.insert(kept.key, end)),
            // Rolled up meanwhile, with younger rows: asked for anew.
            None => drop(memory.oldest.remove(&kept.key)),
        }
    }
    Ok(())
}

/// The commit time of a bucket's first rows; remembered, since most rounds find nothing old.
async fn oldest(janitor: &Janitor, memory: &mut Memory, kept: &Kept) -> Result<TimeMicros> {
    if let Some(known) = memory.oldest.get(&kept.key).filter(|known| known.earliest == kept.from) {
        return Ok(known.time);
    }
    let places = janitor.replica.places(&kept.key, kept.from..kept.from + 1).await?;
    let time = places.first().map_or(TimeMicros::MAX, |place| place.time);
    memory.oldest.insert(kept.key, Oldest { earliest: kept.from, time });
    Ok(time)
}

/// The offset up to which whole slices are older than `cutoff`.
async fn end_of_old(janitor: &Janitor, kept: &Kept, cutoff: TimeMicros) -> Result<Option<Offset>> {
    let mut look = LOOK_OFFSETS;
    loop {
        let to = kept.next.min(kept.from.saturating_add(look));
        let mut places: Vec<Place> = janitor.replica.places(&kept.key, kept.from..to).await?;
        let all_old = places.iter().all(|place| place.time < cutoff);
        if all_old && to < kept.next {
            look = look.saturating_mul(8);
            continue;
        }
        // What was asked for may end within a slice: that one stays.
        if to < kept.next {
            places.pop();
        }
        return Ok(older_than(&places, cutoff));
    }
}

async fn by_bytes(
    janitor: &Janitor,
    memory: &mut Memory,
    table: &Table,
    bytes_min: u64,
    ends: &mut BTreeMap<StreamKey, Offset>,
) -> Result<()> {
    let bytes_max = bytes_min.saturating_add(bytes_min / u64::from(SLACK_PART));
    if counted(janitor, memory, table).await? <= bytes_max {
        return Ok(());
    }
    let mut buckets = BTreeMap::new();
    for kept in kept(table) {
        let from = ends.get(&kept.key).copied().unwrap_or(kept.from);
        if from < kept.next {
            buckets.insert(kept.key, janitor.replica.places(&kept.key, from..kept.next).await?);
        }
    }
    if stored_bytes(buckets.values().flatten()) > bytes_max {
        ends.extend(beyond_bytes(&buckets, bytes_min));
    }
    // Counted exactly now: the next round goes on from what it will be when these rows are gone.
    for (key, places) in &buckets {
        let from = ends.get(key).copied().or(places.first().map(|place| place.offsets.start));
        let to = places.last().map(|place| place.offsets.end);
        if let (Some(from), Some(to)) = (from, to) {
            let left = places.iter().filter(|place| place.offsets.start >= from);
            memory.counted.insert(*key, Counted { from, to, bytes: stored_bytes(left) });
        }
    }
    Ok(())
}

/// About how many bytes a table holds, at least: only the rows that came since an earlier round are looked at. Roll-ups change how
/// long rows are, so all are counted anew once a checkpoint.
async fn counted(janitor: &Janitor, memory: &mut Memory, table: &Table) -> Result<u64> {
    let mut bytes = 0_u64;
    for kept in kept(table) {
        let known = memory.counted.entry(kept.key).or_default();
        if known.from != kept.from || known.to > kept.next {
            *known = Counted { from: kept.from, to: kept.from, bytes: 0 };
        }
        if known.to < kept.next {
            let new = janitor.replica.places(&kept.key, known.to..kept.next).await?;
            known.bytes = known.bytes.saturating_add(stored_bytes(new.iter()));
            known.to = kept.next;
        }
        bytes = bytes.saturating_add(known.bytes);
    }
    Ok(bytes)
}

/// Says so in the log. A refusal means that another janitor was first, or a table went: the next round looks again.
async fn propose(janitor: &Janitor, entries: &[Entry], report: &mut Report) -> Result<()> {
    let rows = entries.iter().map(|entry| match entry {
        Entry::RowsExpired { from, to, .. } => to.saturating_sub(*from),
        _ => 0,
    });
    let rows: u64 = rows.sum();
    match janitor.propose(entries.to_vec(), Vec::new(), Vec::new()).await? {
        Verdict::Accepted(_) => {
            report.rows_expired += rows;
            janitor.metrics.rows_expired_total.inc_by(rows);
        }
        Verdict::Refused(refusal) => {
            tracing::debug!(database = %janitor.replica.database(), ?refusal, "rows did not expire; the next round looks again");
        }
    }
    Ok(())
}

fn micros(duration: Duration) -> TimeMicros {
    i64::try_from(duration.as_micros()).unwrap_or(i64::MAX / 4)
}

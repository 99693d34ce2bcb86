//! `frazil verify`: every object of a store against its checksums, the log against its fold, the index against what it points at.
//!
//! Invariants:
//! * nothing is written; nothing that was read is trusted before its checksum held;
//! * every corruption is collected, not only the first; one that follows from another is not told twice where that can be known;
//! * memory is bounded: at most [`BYTES_AT_ONCE`] of objects, eight bytes a slice, and one checkpoint's worth of index;
//! * a store that is written and trimmed meanwhile is not corrupt.
//!
//! Start reading at [`verify`]; [`object`] checks one object's bytes, [`slots`] folds, [`index`] asks where each row lies,
//! [`deep`] decodes the rows.

mod deep;
mod index;
pub(crate) mod object;
mod offsets;
mod slots;
mod stored;

#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use anyhow::Context;
use frazil_log::commit::fold::Fold;
use frazil_log::id::{Name, SegmentId, Slot, TableId, TimeMicros};
use frazil_log::protocol::Protocol;
use frazil_log::state::State;
use frazil_log::state::tables::Table;
use frazil_log::store::paths::Key;
use frazil_log::store::{Listed, Path, Store};
use futures::stream::{self, BoxStream};
use futures::{StreamExt, TryStreamExt};
use serde::Serialize;
use tokio::sync::Semaphore;

use self::object::Fault;
use self::stored::Fetch;

/// Objects are held up to so many bytes at once; a longer one alone.
pub(crate) const BYTES_AT_ONCE: u64 = 256 << 20;

/// Keys of one LIST: a directory is walked whole for each, S3 sends a hundred requests.
const KEYS_AT_ONCE: usize = 100_000;

/// Of each kind of remark, so many are told one by one.
const REMARKS_MAX: usize = 20;

/// What to verify, and how.
#[derive(Clone, Debug)]
pub(crate) struct Options {
    /// One database; else all.
    pub(crate) database: Option<Name>,
    /// Decode every slice to Arrow and compare rows with what the headers say.
    pub(crate) deep: bool,
    /// From the newest checkpoint that is not younger than this on; else all.
    pub(crate) since: Option<TimeMicros>,
    /// The protocol's numbers.
    pub(crate) protocol: Protocol,
    /// Now, by the own clock.
    pub(crate) now: TimeMicros,
}

/// What was found.
#[derive(Debug, Default, Serialize)]
pub(crate) struct Report {
    /// Objects read.
    pub(crate) objects: u64,
    /// Their bytes.
    pub(crate) bytes: u64,
    /// Bytes that are not what was written, rows that are nowhere.
    pub(crate) corruptions: Vec<Fault>,
    /// What only a later version can read.
    pub(crate) unreadable: Vec<Fault>,
    /// What is no corruption but worth knowing.
    pub(crate) remarks: Vec<String>,
    /// By database.
    pub(crate) databases: Vec<DatabaseReport>,
}

/// What was found of one database.
#[derive(Debug, Default, Serialize)]
pub(crate) struct DatabaseReport {
    /// Its name.
    pub(crate) database: String,
    /// The slot at which the fold began.
    pub(crate) folded_from: Option<Slot>,
    /// The slot that the fold reached.
    pub(crate) folded_to: Option<Slot>,
    /// Slots that were read but not folded: below the first checkpoint, above a hole, behind a corrupt one.
    pub(crate) slots_not_folded: u64,
    /// Checkpoints whose state is the fold's.
    pub(crate) checkpoints_agreeing: u64,
    /// Places of rows that were followed to their object.
    pub(crate) places: u64,
    /// Segments that no row lies in: being uploaded, or for the orphan sweep.
    pub(crate) segments_unreferenced: u64,
    /// Index pages that the newest checkpoint does not list: merged ones on either side of a swap.
    pub(crate) pages_unlisted: u64,
    /// Slices decoded (deep).
    pub(crate) slices_decoded: u64,
    /// Slices of tables that are not known any more (deep).
    pub(crate) slices_of_no_table: u64,
}

/// Sees how far it has come.
pub(crate) type Progress<'a> = &'a (dyn Fn(&Report) + Sync);

/// Verifies a store.
///
/// # Errors
/// Only if the store cannot be read; what is wrong with its bytes is in the report.
pub(crate) async fn verify(
    store: &Store,
    options: &Options,
    progress: Progress<'_>,
) -> anyhow::Result<Report> {
    let mut report = Report::default();
    let databases = look_around(store, options, &mut report).await?;
    for database in databases {
        let mut check = Check::new(store, database, options, &mut report, progress);
        check.run().await?;
    }
    Ok(report)
}

/// All databases that have any object, with what does not belong here told.
async fn look_around(
    store: &Store,
    options: &Options,
    report: &mut Report,
) -> anyhow::Result<BTreeSet<Name>> {
    let (mut databases, mut foreign, mut probes) = (BTreeSet::new(), 0usize, 0u64);
    let mut keys = keys(store, Path::default());
    while let Some(listed) = keys.try_next().await.context("listing the store")? {
        match Key::parse(&listed.path) {
            Some(
                Key::Log { database, .. }
                | Key::Checkpoint { database, .. }
                | Key::Index { database, .. }
                | Key::Segment { database, .. },
            ) => drop(databases.insert(database)),
            Some(Key::Probe { .. }) => probes += 1,
            None => {
                foreign += 1;
                if foreign <= REMARKS_MAX {
                    report.remarks.push(format!("{}: a foreign key, {} bytes", listed.path, listed.size));
                }
            }
        }
    }
    if foreign > REMARKS_MAX {
        report.remarks.push(format!("{} more foreign keys", foreign - REMARKS_MAX));
    }
    if probes > 0 {
        report
            .remarks
            .push(format!("{probes} objects of start-up probes were left behind; they may be deleted"));
    }
    if let Some(only) = &options.database {
        databases.retain(|database| database == only);
    }
    anyhow::ensure!(!databases.is_empty(), "there is no database to verify in {}", store.description());
    Ok(databases)
}

/// All keys below a prefix, in order, read as they are needed.
fn keys(store: &Store, prefix: Path) -> BoxStream<'_, frazil_log::Result<Listed>> {
    let pages = stream::try_unfold(Some(None::<Path>), move |after| {
        let prefix = prefix.clone();
        async move {
            let Some(after) = after else { return Ok(None) };
            let listed = store.list(&prefix, after.as_ref(), KEYS_AT_ONCE).await?;
            let next =
                (listed.len() == KEYS_AT_ONCE).then(|| listed.last().map(|listed| listed.path.clone()));
            Ok::<_, frazil_log::Error>(Some((stream::iter(listed.into_iter().map(Ok)), next)))
        }
    });
    pages.try_flatten().boxed()
}

/// A checkpoint that was read.
#[derive(Clone, Copy, Debug)]
struct Known {
    /// Whether it could be decoded.
    usable: bool,
    /// When it was written, by the store's clock.
    written: TimeMicros,
}

/// One database under examination.
struct Check<'a> {
    store: &'a Store,
    database: Name,
    options: &'a Options,
    report: &'a mut Report,
    progress: Progress<'a>,
    fetch: Fetch,
    found: DatabaseReport,
    /// The first slot that is looked at; above 0 only with `since`.
    start: Slot,
    checkpoints: BTreeMap<Slot, Known>,
    /// By slots: the content hash; none if it could not be decoded.
    pages: BTreeMap<(Slot, Slot), Option<u128>>,
    /// Segments that were listed and that no visible place has named yet.
    segments: BTreeSet<SegmentId>,
    /// Digests of all slices in all objects read.
    slices: BTreeSet<u64>,
    /// Keys of objects that are told of already.
    at_fault: BTreeSet<String>,
    /// All tables seen, as they were last.
    tables: BTreeMap<TableId, Table>,
    fold: Option<Fold>,
    /// The first slot that is there.
    first: Option<Slot>,
    /// The slot at which the fold cannot go on.
    stuck: Option<Slot>,
    /// Whether the slot where it is stuck is absent, and the log ends there for all that is known.
    hole: bool,
}

impl<'a> Check<'a> {
    fn new(
        store: &'a Store,
        database: Name,
        options: &'a Options,
        report: &'a mut Report,
        progress: Progress<'a>,
    ) -> Self {
        let permits = usize::try_from(BYTES_AT_ONCE >> 10).unwrap_or(usize::MAX);
        let fetch = Fetch { store: store.clone(), room: Arc::new(Semaphore::new(permits)) };
        Self {
            found: DatabaseReport { database: database.to_string(), ..DatabaseReport::default() },
            store,
            database,
            options,
            report,
            progress,
            fetch,
            start: 0,
            checkpoints: BTreeMap::new(),
            pages: BTreeMap::new(),
            segments: BTreeSet::new(),
            slices: BTreeSet::new(),
            at_fault: BTreeSet::new(),
            tables: BTreeMap::new(),
            fold: None,
            first: None,
            stuck: None,
            hole: false,
        }
    }

    async fn run(&mut self) -> anyhow::Result<()> {
        let doing = format!("verifying database {}", self.database);
        let checks = async {
            self.check_checkpoints().await?;
            self.check_pages().await?;
            self.check_slots().await?;
            self.check_segments().await?;
            self.check_index().await
        };
        checks.await.context(doing)?;
        self.found.segments_unreferenced = self.segments.len().try_into().unwrap_or(u64::MAX);
        self.report.databases.push(std::mem::take(&mut self.found));
        Ok(())
    }

    fn count(&mut self, bytes: usize) {
        self.report.objects += 1;
        self.report.bytes += u64::try_from(bytes).unwrap_or(u64::MAX);
        (self.progress)(self.report);
    }

    fn tell(&mut self, fault: Fault) {
        self.at_fault.insert(fault.object.clone());
        if fault.unreadable { &mut self.report.unreadable } else { &mut self.report.corruptions }.push(fault);
    }

    fn tell_all(&mut self, faults: Vec<Fault>) {
        faults.into_iter().for_each(|fault| self.tell(fault));
    }

    fn remark(&mut self, remark: impl std::fmt::Display) {
        self.report.remarks.push(format!("{}: {remark}", self.database));
    }

    /// Remembers what tables look like, for decoding their rows.
    fn learn(&mut self, state: &State) {
        for table in state.tables().all() {
            if self.tables.get(&table.id).is_none_or(|known| known.version < table.version) {
                self.tables.insert(table.id, Table { buckets: BTreeMap::new(), ..table.clone() });
            }
        }
    }
}

//! A log as a busy, steady database leaves it: fixed tables and clients, two requests a slot, trimmed below its last two
//! checkpoints.
//!
//! Commits are sealed and folded, checkpoints and pages made and merged by the code that real processes run; only what a real log
//! would still have is stored. Rows of trimmed slots are gone as if their retention were over: a start does not read rows.

use std::collections::VecDeque;
use std::ops::Range;
use std::sync::Arc;

use anyhow::{Context, ensure};
use arrow::array::{ArrayRef, Int64Array, RecordBatch, StringArray};
use bytes::Bytes;
use frazil_log::commit::fold::{DueCheckpoint, Fold};
use frazil_log::format::checkpoint::{PageRef, seal_checkpoint};
use frazil_log::format::commit::{Commit, CommitHeader, ProducerStamp, Proposal, WriterInfo};
use frazil_log::format::entry::Entry;
use frazil_log::format::envelope::Sealed;
use frazil_log::format::page::{decode_page, seal_page};
use frazil_log::format::slice::{Codec, Slice, SliceOp};
use frazil_log::id::{Bucket, Name, ProposalName, Slot, Stream, TableId, Ulid, Uuid};
use frazil_log::plan::pages::{merge, merged_slots, next_merge, swap_in_merged};
use frazil_log::protocol::Protocol;
use frazil_log::schema::TableSpec;
use frazil_log::schema::arrow_form::arrow_schema;
use frazil_log::schema::ensure::{TableRequest, build};
use frazil_log::segment::{BodyBuilder, SliceMeta};
use frazil_log::state::State;
use frazil_log::state::verdict::{Fate, Verdict};
use frazil_log::store::{CreateOutcome, Path, PutPayload, Store, paths};

use super::Written;

/// The first slots of every log, see the module above: from 2^14 on to 2^21 a number takes three bytes, and the oldest request that
/// is remembered is 4,096 slots old.
pub(super) const WARM_UP_SLOTS: Slot = 21_500;

/// The most slots: beyond, sequences would take a byte more.
pub(crate) const SLOTS_MAX: Slot = 1_000_000;

const TABLES: u64 = 4;
const BUCKETS: u32 = 4;
const PRODUCERS: u64 = 128;
const REQUESTS_A_SLOT: u64 = 2;
const ROWS_A_REQUEST: u32 = 8;

/// The first slot that has rows: slot 0 makes the log, slot 1 the tables.
const FIRST_ROWS: Slot = 2;

/// When the log began, and how far its slots are apart, in microseconds.
const BEGUN: i64 = 1_700_000_000_000_000;
const PACE: i64 = 1_000_000;

/// A slice ready to be put into any commit, with its rows.
struct Shape {
    slice: Slice,
    body: Vec<Bytes>,
    bytes: u64,
}

/// Writes a log that is [`WARM_UP_SLOTS`] longer than `slots`.
pub(super) async fn write(store: &Store, database: &Name, slots: Slot) -> anyhow::Result<Written> {
    ensure!((1..=SLOTS_MAX).contains(&slots), "give 1 to {SLOTS_MAX} slots");
    let tail = slots + WARM_UP_SLOTS;
    let every = Protocol::SHIPPED.fold.checkpoint_slots;
    let keep_from = (tail / every - 1) * every;
    let mut log = Log::begin(store, database, keep_from)?;
    for slot in 1..tail {
        log.step(slot).await?;
    }
    log.finish().await
}

struct Log<'a> {
    store: &'a Store,
    database: &'a Name,
    keep_from: Slot,
    kept: u64,
    spec: TableSpec,
    shapes: Vec<Shape>,
    writer: WriterInfo,
    fold: Fold,
    list: Vec<PageRef>,
    merged: Vec<(Range<Slot>, u64)>,
    /// Pages that were swapped out, with the checkpoint that first did without.
    replaced: VecDeque<(Slot, Path)>,
    newest: Option<(u64, u64)>,
}

impl<'a> Log<'a> {
    fn begin(store: &'a Store, database: &'a Name, keep_from: Slot) -> anyhow::Result<Self> {
        let columns = Some("id BIGINT NOT NULL, note STRING".to_owned());
        let spec = build(&TableRequest { columns, buckets: Some(BUCKETS), ..TableRequest::default() })?;
        let writer = WriterInfo {
            incarnation: Ulid::from(1u128),
            version: env!("CARGO_PKG_VERSION").to_owned(),
            address: "10.0.0.1:7777".to_owned(),
            zone: "a".to_owned(),
            put_p99_us: 200_000,
        };
        let uuid = Uuid::from_u128(7);
        let created = Entry::LogCreated { log_uuid: uuid, database: database.clone(), home: String::new() };
        let name = ProposalName { incarnation: Ulid::from(9u128), n: 0 };
        let first = Proposal { name, base: 0, producer: None, request_hash: 0, entries: vec![created] };
        let header = header(0, (0, 0), uuid, &writer, vec![first]);
        let sealed = header.seal(Vec::new())?;
        let (state, _) = State::begin(&Commit::of_sealed(header, &sealed), Protocol::SHIPPED.fold)?;
        Ok(Self {
            store,
            database,
            keep_from,
            kept: 0,
            shapes: shapes(&spec)?,
            spec,
            writer,
            fold: Fold::new(state, Vec::new()),
            list: Vec::new(),
            merged: Vec::new(),
            replaced: VecDeque::new(),
            newest: None,
        })
    }

    async fn step(&mut self, slot: Slot) -> anyhow::Result<()> {
        let uuid = self.fold.state.identity().uuid;
        let mut header = header(slot, self.fold.folded(), uuid, &self.writer, Vec::new());
        let body =
            if slot < FIRST_ROWS { self.create_tables(&mut header)? } else { self.append(&mut header)? };
        let sealed = header.seal(body)?;
        let applied = self.fold.absorb(&Commit::of_sealed(header, &sealed))?;
        ensure!(
            applied
                .fates
                .iter()
                .all(|(_, fate)| matches!(fate, Fate::Decided { verdict: Verdict::Accepted(_), .. })),
            "the synthetic log was refused at slot {slot}: {:?}",
            applied.fates
        );
        if slot >= self.keep_from {
            self.put(&paths::log(self.database, slot), &sealed).await?;
            self.kept += 1;
        }
        match self.fold.due.pop() {
            Some(due) => self.check_point(&due).await,
            None => Ok(()),
        }
    }

    fn create_tables(&self, header: &mut CommitHeader) -> anyhow::Result<Vec<Bytes>> {
        for table in 1..=TABLES {
            let uuid = Uuid::from_u128(u128::from(table));
            let name = Name::new(format!("table_{table}"))?;
            let entry = Entry::TableCreated { table: TableId(table), name, uuid, spec: self.spec.clone() };
            let name = ProposalName { incarnation: Ulid::from(8u128), n: table };
            header.proposals.push(Proposal {
                name,
                base: 1,
                producer: None,
                request_hash: 0,
                entries: vec![entry],
            });
        }
        Ok(Vec::new())
    }

    /// Two requests of two producers, each for one bucket; the slots' writers take turns.
    fn append(&self, header: &mut CommitHeader) -> anyhow::Result<Vec<Bytes>> {
        let slot = header.slot;
        let (mut body, mut offset) = (Vec::new(), 0);
        header.writer.incarnation = Ulid::from(u128::from(1 + slot % 2));
        for index in 0..REQUESTS_A_SLOT {
            let request = (slot - FIRST_ROWS) * REQUESTS_A_SLOT + index;
            let shape = usize::try_from(request)? % self.shapes.len();
            let shape = self.shapes.get(shape).context("there are shapes")?;
            header.slices.push(Slice { body_offset: offset, ..shape.slice.clone() });
            body.extend(shape.body.iter().cloned());
            offset += shape.bytes;
            let entry = Entry::Appended {
                slice: u32::try_from(index)?,
                first_row: 0,
                rows: ROWS_A_REQUEST,
                expected_offset: None,
            };
            let id = format!("producer-{:04}", request % PRODUCERS);
            header.proposals.push(Proposal {
                name: ProposalName {
                    incarnation: header.writer.incarnation,
                    n: slot / 2 * REQUESTS_A_SLOT + index,
                },
                base: slot,
                producer: Some(ProducerStamp { id, epoch: 0, seq: request / PRODUCERS }),
                request_hash: u128::from(request) << 64 | 1,
                entries: vec![entry],
            });
        }
        Ok(body)
    }

    async fn put(&self, path: &Path, sealed: &Sealed) -> anyhow::Result<()> {
        let payload: PutPayload = sealed.pieces().collect();
        match self.store.create_if_absent(path, payload).await {
            CreateOutcome::Committed => Ok(()),
            CreateOutcome::Lost => anyhow::bail!("{path} was there already"),
            CreateOutcome::Unknown(error) | CreateOutcome::Denied(error) => Err(error.into()),
        }
    }

    async fn check_point(&mut self, due: &DueCheckpoint) -> anyhow::Result<()> {
        self.put(&paths::index(self.database, due.from, due.slot), &due.page).await?;
        self.list.push(PageRef {
            from: due.from,
            to: due.slot,
            level: 0,
            bytes: due.page.envelope.object_bytes(),
        });
        let before = self.list.clone();
        self.list = swap_in_merged(before.clone(), &self.merged);
        for page in before.iter().filter(|page| !self.list.contains(page)) {
            self.replaced.push_back((due.slot, paths::index(self.database, page.from, page.to)));
        }
        self.merged.clear();
        if due.slot >= self.keep_from {
            let uuid = self.fold.state.identity().uuid;
            let sealed =
                seal_checkpoint(uuid, due.slot, due.log_hash, due.state.clone(), due.features, &self.list)?;
            self.put(&paths::checkpoint(self.database, due.slot), &sealed).await?;
            self.newest = Some((u64::try_from(due.state.len())?, sealed.envelope.object_bytes()));
        }
        self.fold.settle(due.slot, self.list.clone());
        self.merge_pages(due.log_hash).await?;
        // No list that is kept names them: the two newest were written after the swap.
        let every = Protocol::SHIPPED.fold.checkpoint_slots;
        while let Some((_, path)) = self.replaced.pop_front_if(|(swapped, _)| *swapped + every < due.slot) {
            self.store.delete_many(&[path]).await?;
        }
        Ok(())
    }

    /// What the janitor does between two checkpoints: the next list has the merged page.
    async fn merge_pages(&mut self, log_hash: u128) -> anyhow::Result<()> {
        let Some(run) = next_merge(&self.list) else { return Ok(()) };
        let slots = merged_slots(run).context("a run has pages")?;
        let mut maps = Vec::with_capacity(run.len());
        for page in run {
            let path = paths::index(self.database, page.from, page.to);
            let object = self.store.get(&path).await?.with_context(|| format!("{path} is listed"))?;
            maps.push(decode_page(path.as_ref(), &object.bytes, &page.slots())?.1);
        }
        let uuid = self.fold.state.identity().uuid;
        let sealed = seal_page(uuid, slots.clone(), log_hash, &merge(maps))?;
        self.put(&paths::index(self.database, slots.start, slots.end), &sealed).await?;
        self.merged.push((slots, sealed.envelope.object_bytes()));
        Ok(())
    }

    async fn finish(self) -> anyhow::Result<Written> {
        let paths: Vec<Path> = self.replaced.into_iter().map(|(_, path)| path).collect();
        self.store.delete_many(&paths).await?;
        let (state_bytes, checkpoint_bytes) = self.newest.context("a log this long has a checkpoint")?;
        let (tail, log_hash) = self.fold.folded();
        Ok(Written { tail, log_hash, state_bytes, checkpoint_bytes, pages: self.list, slots_kept: self.kept })
    }
}

fn header(
    slot: Slot,
    folded: (Slot, u128),
    log_uuid: Uuid,
    writer: &WriterInfo,
    proposals: Vec<Proposal>,
) -> CommitHeader {
    CommitHeader {
        slot,
        log_uuid,
        put_id: Ulid::from(u128::from(slot) << 64),
        folded,
        time: BEGUN.saturating_add(PACE.saturating_mul(i64::try_from(slot).unwrap_or(i64::MAX))),
        writer: writer.clone(),
        encryption_key_id: String::new(),
        segments: Vec::new(),
        slices: Vec::new(),
        proposals,
    }
}

/// One slice for each bucket of each table.
fn shapes(spec: &TableSpec) -> anyhow::Result<Vec<Shape>> {
    let ids: Vec<i64> = (0..i64::from(ROWS_A_REQUEST)).collect();
    let notes: Vec<String> =
        ids.iter().map(|id| format!("frazil is the ice that forms in flowing water, {id}")).collect();
    let columns: Vec<ArrayRef> = vec![Arc::new(Int64Array::from(ids)), Arc::new(StringArray::from(notes))];
    let rows = RecordBatch::try_new(arrow_schema(&spec.schema), columns)?;
    let keys =
        (1..=TABLES).flat_map(|table| (0..BUCKETS).map(move |bucket| (TableId(table), Bucket(bucket))));
    let shape = |(table, bucket)| {
        let meta = SliceMeta {
            table,
            bucket,
            stream: Stream::Rows,
            schema: spec.schema.id,
            columns: spec.schema.columns.iter().map(|column| column.id).collect(),
            op: SliceOp::Append,
            codec: Codec::Lz4,
            times: None,
            source: None,
        };
        let mut builder = BodyBuilder::new();
        builder.push(meta, std::slice::from_ref(&rows))?;
        let body = builder.finish();
        let slice = body.slices.into_iter().next().context("one slice was pushed")?;
        Ok(Shape { slice, body: body.chunks, bytes: body.bytes })
    };
    keys.map(shape).collect()
}

//! Roll-up: rows that lie scattered over commits are written anew into large segments, so that a replay is fast and the commits may
//! be trimmed. The rows keep their offsets, and each its commit time in a column of its own.

use std::sync::Arc;

use arrow::array::{ArrayRef, TimestampMicrosecondArray};
use arrow::datatypes::{FieldRef, Schema as ArrowSchema, SchemaRef};
use arrow::record_batch::RecordBatch;
use bytes::Bytes;
use frazil_log::commit::open;
use frazil_log::error::{Error, ErrorKind, Result};
use frazil_log::format::commit::SegmentRef;
use frazil_log::format::entry::{Entry, RolledPart};
use frazil_log::format::page::Place;
use frazil_log::format::segment::{ObjectId, SegmentHeader};
use frazil_log::format::slice::{Slice, SliceHome, SliceOp};
use frazil_log::id::{Slot, TableId};
use frazil_log::plan::columns::timestamp_field;
use frazil_log::plan::rollup::{Run, Work, runs, work};
use frazil_log::schema::Schema;
use frazil_log::schema::arrow_form::arrow_field;
use frazil_log::schema::options::Options;
use frazil_log::segment::{BodyBuilder, SliceMeta};
use frazil_log::state::tables::Table;
use frazil_log::state::verdict::Verdict;
use frazil_log::store::paths;
use futures::{StreamExt, TryStreamExt, stream};

use crate::janitor::{Janitor, Report};

/// Places read at once.
const READS: usize = 8;

/// Rolls up everything below the checkpoint of `slot`.
pub(crate) async fn roll_up(janitor: &Janitor, slot: Slot, report: &mut Report) -> Result<()> {
    let replica = &janitor.replica;
    let rules = &replica.protocol().fold;
    let Some(then) = open::read_checkpoint(replica.store(), replica.database(), slot, rules).await? else {
        return Ok(());
    };
    let all = work(&replica.fold().state, &then.state);
    let mut segment = SegmentDraft::default();
    for one in all {
        match add(janitor, &one, &mut segment, report).await {
            // The others go on; trim waits for this one.
            Err(error) if error.kind() == ErrorKind::Corrupt => tracing::error!(
                database = %replica.database(), table = %one.key.table, bucket = %one.key.bucket, %error,
                "rows cannot be read, so they are not rolled up and the log is not trimmed; next: `frazil verify`"
            ),
            added => added?,
        }
    }
    publish(janitor, &mut segment, report).await
}

/// What is collected for one segment: slices, and what to say of them in the log.
#[derive(Debug, Default)]
struct SegmentDraft {
    body: BodyBuilder,
    sources: Vec<ObjectId>,
    entries: Vec<Entry>,
    slices: u32,
    rows: u64,
}

async fn add(janitor: &Janitor, work: &Work, segment: &mut SegmentDraft, report: &mut Report) -> Result<()> {
    let Some(table) = table_of(janitor, work.key.table) else { return Ok(()) };
    let places = janitor.replica.places(&work.key, work.kept.clone()).await?;
    let (mut from, mut parts) = (work.offsets.start, Vec::new());
    for run in runs(places, janitor.options.slice_bytes_max) {
        let end = run.places.last().map_or(run.start(), |place| place.offsets.end);
        let start = run.start();
        write_run(janitor, work, &table, run, segment).await?;
        parts.push(RolledPart { start, slice: segment.slices });
        segment.slices += 1;
        if segment.body.bytes() >= janitor.options.segment_bytes_max {
            segment.entries.push(entry(work, from, end, std::mem::take(&mut parts)));
            publish(janitor, segment, report).await?;
            from = end;
        }
    }
    if from < work.offsets.end {
        segment.entries.push(entry(work, from, work.offsets.end, parts));
    }
    Ok(())
}

fn entry(work: &Work, from: u64, to: u64, parts: Vec<RolledPart>) -> Entry {
    let key = work.key;
    Entry::RolledUp { table: key.table, bucket: key.bucket, stream: key.stream, from, to, parts }
}

fn table_of(janitor: &Janitor, table: TableId) -> Option<Table> {
    janitor.replica.fold().state.tables().live(table).cloned()
}

/// Reads a run and adds it to the body as one slice.
async fn write_run(
    janitor: &Janitor,
    work: &Work,
    table: &Table,
    run: Run,
    segment: &mut SegmentDraft,
) -> Result<()> {
    segment.sources.extend(run.places.iter().map(|place| place.object));
    // A run's rows stay in the schema that they were written in: nothing is lost, and nothing needs to be known of what comes.
    let written = table.schema(run.schema).ok_or_else(|| {
        Error::corrupt(format!("rows of table {} in schema {}, which it never had", table.id, run.schema))
    })?;
    let (fields, schema) = fields(written);
    let times = run.places.iter().map(|place| place.time);
    let times = times.clone().min().zip(times.max());
    let reads = run.places.into_iter().map(|place| read_place(janitor, place, &fields, &schema));
    let batches: Vec<Vec<RecordBatch>> = stream::iter(reads).buffered(READS).try_collect().await?;
    let batches: Vec<RecordBatch> = batches.into_iter().flatten().collect();
    let mut columns: Vec<i32> = written.columns.iter().map(|column| column.id).collect();
    columns.push(table.spec.pseudo.timestamp);
    let meta = SliceMeta {
        table: work.key.table,
        bucket: work.key.bucket,
        stream: work.key.stream,
        schema: run.schema,
        columns,
        op: SliceOp::Append,
        codec: Options::parse(&table.spec.options)?.compression,
        times,
        source: None,
    };
    segment.rows += batches.iter().map(|batch| batch.num_rows() as u64).sum::<u64>();
    segment.body.push_joined(meta, &batches)?;
    Ok(())
}

/// The columns of slices of a schema, and the Arrow schema of rolled-up ones.
fn fields(written: &Schema) -> (Vec<FieldRef>, SchemaRef) {
    let fields: Vec<FieldRef> = written.columns.iter().map(|column| Arc::new(arrow_field(column))).collect();
    let all: Vec<FieldRef> = fields.iter().cloned().chain([Arc::new(timestamp_field())]).collect();
    (fields, Arc::new(ArrowSchema::new(all)))
}

async fn read_place(
    janitor: &Janitor,
    place: Place,
    fields: &[FieldRef],
    schema: &SchemaRef,
) -> Result<Vec<RecordBatch>> {
    let wanted: Vec<usize> = (0..fields.len()).collect();
    let read = janitor.replica.read_place(&place, fields, &wanted).await?;
    let with_time = read.into_iter().map(|batch| {
        let time = TimestampMicrosecondArray::from_value(place.time, batch.num_rows()).with_timezone("UTC");
        let columns = batch.columns().iter().cloned().chain([Arc::new(time) as ArrayRef]).collect();
        RecordBatch::try_new(Arc::clone(schema), columns)
            .map_err(|error| Error::internal(format!("a slice's columns are its schema's: {error}")))
    });
    with_time.collect()
}

/// Writes the segment, then says so in the log. A refusal means that another janitor was first: its roll-up is as good, and
/// this segment is swept.
async fn publish(janitor: &Janitor, draft: &mut SegmentDraft, report: &mut Report) -> Result<()> {
    let draft = std::mem::take(draft);
    if draft.entries.is_empty() {
        return Ok(());
    }
    let (segments, slices) = if draft.slices == 0 {
        (Vec::new(), Vec::new())
    } else {
        let body = draft.body.finish();
        let (segment, slices) = write_segment(janitor, body.slices, body.chunks, draft.sources).await?;
        (vec![segment], slices)
    };
    if let Verdict::Accepted(_) = janitor.propose(draft.entries, segments, slices).await? {
        report.rows_rolled_up += draft.rows;
        janitor.metrics.rows_rolled_up_total.inc_by(draft.rows);
    }
    Ok(())
}

async fn write_segment(
    janitor: &Janitor,
    slices: Vec<Slice>,
    body: Vec<Bytes>,
    mut sources: Vec<ObjectId>,
) -> Result<(SegmentRef, Vec<Slice>)> {
    sources.sort_unstable();
    sources.dedup();
    let id = janitor.segment_id();
    let log_uuid = janitor.replica.fold().state.identity().uuid;
    let elsewhere =
        slices.iter().map(|slice| Slice { home: SliceHome::Segment(0), ..slice.clone() }).collect();
    let header = SegmentHeader { log_uuid, id, encryption_key_id: String::new(), sources, slices };
    let sealed = header.seal(body)?;
    let path = paths::segment(janitor.replica.database(), id);
    janitor.replica.create(&path, &sealed).await?;
    // Rows are about to be trimmed on the strength of this object: it is read back once.
    let found = janitor.replica.store().get(&path).await?;
    let found =
        found.ok_or_else(|| Error::new(ErrorKind::Unavailable, format!("{path}: written, but not found")))?;
    let (envelope, _) = SegmentHeader::decode(path.as_ref(), &found.bytes, id)?;
    envelope.verify(path.as_ref(), &found.bytes)?;
    Ok((SegmentRef { id, body_start: envelope.body_start() }, elsewhere))
}

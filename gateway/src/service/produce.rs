//! Writing: decoded batches become rows by table and bucket; with positions of groups, they are one proposal.

use arrow::array::UInt32Array;
use arrow::compute::take_record_batch;
use arrow::record_batch::RecordBatch;
use frazil_log::format::commit::ProducerStamp;
use frazil_log::format::entry::Entry;
use frazil_log::id::{Bucket, TableId};
use frazil_log::schema::TableSpec;
use frazil_log::schema::bucket::{assign, key_columns};
use frazil_log::schema::options::Options;
use frazil_log::state::verdict::Refusal;
use tokio::time::Instant;
use xxhash_rust::xxh3::Xxh3;

use super::Gateway;
use super::database::Database;
use super::problems::{no_such_table, of_failure, schema_changed, sequence_used_up};
use crate::app::{Ack, Admission, BucketRange, Part, Produce, TableAck, Write, WriteAck};
use crate::consume::position::Position;
use crate::error::Problem;
use crate::metrics::AckStage;
use crate::produce::flush::{Act, BucketRows, act_bytes};
use crate::produce::ingress::{Answer, Failure, Request};

/// How often a table is created under the next id before the competition is taken for a fault.
const ID_ATTEMPTS: usize = 16;

impl Gateway {
    /// A write of one table.
    pub(super) async fn append(&self, request: Produce, admission: &Admission) -> Result<Ack, Problem> {
        let ack = self.write_all(Write::from(request), admission).await?;
        let buckets = ack.tables.into_values().next().and_then(|table| table.buckets);
        Ok(Ack { rows: ack.rows, slot: ack.slot, duplicate: ack.duplicate, created: None, buckets })
    }

    /// Rows of all tables and positions of all groups are one proposal: one verdict, one slot (rule 2).
    pub(super) async fn write_all(&self, request: Write, admission: &Admission) -> Result<WriteAck, Problem> {
        let began = self.inner.parts.env.now();
        self.inner.parts.metrics.ack_stage(AckStage::Decode, request.decode_time);
        let database = self.database_named(&request.database).await?;
        let deadline = Instant::now() + request.timeout;
        let only = match request.parts.as_slice() {
            [part] if request.groups.is_empty() => Some(part.table.clone()),
            _ => None,
        };
        for _ in 0..ID_ATTEMPTS {
            let targets = targets(&database, &request)?;
            let mut acts = Vec::new();
            for (part, (table, spec)) in request.parts.iter().zip(&targets) {
                acts.extend(part_acts(&database, *table, spec, part)?);
            }
            for (group, stands) in &request.groups {
                acts.push(Act::Entry(self.positions_entry(&database, group, stands).await?));
            }
            let submission = Request {
                bytes: acts.iter().map(act_bytes).sum::<usize>().max(1),
                acts,
                producer: request.producer.clone().map(|producer| ProducerStamp {
                    id: producer.id,
                    epoch: producer.epoch,
                    seq: producer.seq,
                }),
                request_hash: hash(&targets, &request),
                deadline,
            };
            match database.ingress().submit_in_order(submission, admission).await {
                Ok(answer) => {
                    let took = self.inner.parts.env.now().since(&began);
                    self.inner.parts.metrics.ack_stage(AckStage::Total, took);
                    return Ok(self.ack(&targets, &request, answer));
                }
                // Another table was created first: the same rows go into the next id.
                Err(Failure::Refused(Refusal::TableIdTaken { .. })) => {}
                // A group came or went meanwhile: its generation is looked up again.
                Err(Failure::Refused(Refusal::GroupGeneration { .. })) => {}
                Err(Failure::Refused(Refusal::SchemaChanged { current, .. }))
                    if request.producer.is_some() =>
                {
                    return Err(sequence_used_up(current));
                }
                Err(failure) => return Err(of_failure(&database, only.as_ref(), failure)),
            }
        }
        Err(Problem::internal("tables or groups come and go faster than this request can name them"))
    }

    fn ack(&self, targets: &[(TableId, TableSpec)], request: &Write, answer: Answer) -> WriteAck {
        let sent = |part: &Part| part.batch.num_rows() as u64;
        let rows = request.parts.iter().map(sent).sum();
        let (acceptance, duplicate) = match answer {
            Answer::Forgotten => (None, true),
            Answer::Accepted { acceptance, duplicate } => (Some(acceptance), duplicate),
        };
        let slot = acceptance.as_ref().map(|acceptance| acceptance.slot);
        let tables = request.parts.iter().zip(targets).map(|(part, (table, _))| {
            let buckets = acceptance.as_ref().map(|acceptance| {
                let own = acceptance.appended.iter().filter(|appended| appended.table == *table);
                own.map(|it| BucketRange { bucket: it.bucket.0, start: it.start, end: it.end }).collect()
            });
            (part.table.to_string(), TableAck { rows: sent(part), created: None, buckets })
        });
        let tables = tables.collect();
        if !duplicate {
            self.inner.parts.metrics.rows_produced_total.inc_by(rows);
        }
        WriteAck { rows, slot, duplicate, tables }
    }
}

/// Each part's table: its id and definition; of one to be created, the id that it will have.
fn targets(database: &Database, request: &Write) -> Result<Vec<(TableId, TableSpec)>, Problem> {
    let fold = database.replica().fold();
    let tables = fold.state.tables();
    let mut created = 0;
    let targets = request.parts.iter().map(|part| match (&part.create, part.checked) {
        (Some(spec), _) => {
            created += 1;
            Ok((TableId(tables.next_id().0 + created - 1), spec.clone()))
        }
        (None, Some((id, checked))) => match tables.live(id) {
            // The rows are in the schema that they were checked against, which may have been altered since: the log takes them
            // as they are if nothing of them is lost.
            Some(table) => match table.schema(checked) {
                Some(schema) => Ok((id, TableSpec { schema: schema.clone(), ..table.spec.clone() })),
                None => Err(schema_changed(table.spec.schema.id)),
            },
            None => Err(no_such_table(&request.database, &part.table)),
        },
        (None, None) => Err(Problem::internal("rows without a table")),
    });
    targets.collect()
}

/// Rule 3: a retry sends the same bytes to the same tables.
fn hash(targets: &[(TableId, TableSpec)], request: &Write) -> u128 {
    if request.producer.is_none() {
        return 0;
    }
    let mut hasher = Xxh3::new();
    targets.iter().for_each(|(table, _)| hasher.update(&table.0.to_le_bytes()));
    hasher.update(&request.request_hash.to_le_bytes());
    hasher.digest128()
}

fn part_acts(
    database: &Database,
    table: TableId,
    spec: &TableSpec,
    part: &Part,
) -> Result<Vec<Act>, Problem> {
    let mut acts = Vec::new();
    if let Some(spec) = &part.create {
        acts.push(Act::Entry(Entry::TableCreated {
            table,
            name: part.table.clone(),
            uuid: database.replica().env().uuid(),
            spec: spec.clone(),
        }));
    }
    let codec = Options::parse(&spec.options)?.compression;
    let mut expected = part.expected_offset.clone().unwrap_or_default();
    for (bucket, rows) in by_bucket(database, spec, part)? {
        acts.push(Act::Append(BucketRows {
            table,
            bucket,
            schema: spec.schema.id,
            columns: spec.schema.columns.iter().map(|column| column.id).collect(),
            codec,
            rows,
            expected_offset: expected.0.remove(&bucket),
        }));
    }
    match expected.0.keys().next() {
        None => Ok(acts),
        Some(bucket) => Err(Problem::malformed(format!(
            "expected_offset names bucket {bucket} of table {}, but no row of this request goes there",
            part.table
        ))),
    }
}

/// Splits a batch by bucket, buckets ascending, the order of rows kept.
fn by_bucket(
    database: &Database,
    spec: &TableSpec,
    part: &Part,
) -> Result<Vec<(Bucket, RecordBatch)>, Problem> {
    let batch = &part.batch;
    if batch.num_rows() == 0 {
        return Ok(Vec::new());
    }
    if let Some(bucket) = part.bucket.or_else(|| only_bucket(spec, part.expected_offset.as_ref())) {
        return Ok(vec![(bucket, batch.clone())]);
    }
    if spec.bucket_by.is_empty() {
        return Ok(vec![(database.sticky_bucket(spec.buckets), batch.clone())]);
    }
    let columns = key_columns(&spec.schema, &spec.bucket_by)?;
    let assigned = assign(batch, &columns, spec.buckets)?;
    let mut rows: std::collections::BTreeMap<u32, Vec<u32>> = std::collections::BTreeMap::new();
    for (row, bucket) in (0u32..).zip(&assigned) {
        rows.entry(*bucket).or_default().push(row);
    }
    if rows.len() == 1 {
        return Ok(rows.into_keys().map(|bucket| (Bucket(bucket), batch.clone())).collect());
    }
    let split = rows.into_iter().map(|(bucket, rows)| {
        let taken = take_record_batch(batch, &UInt32Array::from(rows));
        let taken = taken.map_err(|error| Problem::internal(format!("splitting rows by bucket: {error}")))?;
        Ok((Bucket(bucket), taken))
    });
    split.collect()
}

/// The one bucket that rows without a key can go to: there is but one, or an expected offset names it.
fn only_bucket(spec: &TableSpec, expected: Option<&Position>) -> Option<Bucket> {
    if spec.buckets == 1 {
        return Some(Bucket(0));
    }
    let mut named = expected?.0.keys();
    let first = named.next().copied();
    if spec.bucket_by.is_empty() && named.next().is_none() { first } else { None }
}

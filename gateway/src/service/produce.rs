//! Appending: a decoded batch becomes rows by bucket, then one proposal.

use arrow::array::UInt32Array;
use arrow::compute::take_record_batch;
use arrow::record_batch::RecordBatch;
use frazil_log::format::commit::ProducerStamp;
use frazil_log::format::entry::Entry;
use frazil_log::id::{Bucket, TableId};
use frazil_log::schema::TableSpec;
use frazil_log::schema::bucket::{assign, key_columns};
use frazil_log::schema::options::Options;
use frazil_log::state::verdict::{Acceptance, Refusal};
use tokio::time::Instant;
use xxhash_rust::xxh3::Xxh3;

use super::Gateway;
use super::database::Database;
use super::problems::{no_such_table, of_failure, schema_changed};
use crate::app::{Ack, Admission, BucketRange, Produce};
use crate::consume::position::Position;
use crate::error::Problem;
use crate::metrics::AckStage;
use crate::produce::flush::{Act, BucketRows, act_bytes};
use crate::produce::ingress::{Answer, Failure, Request};

/// How often a table is created under the next id before the competition is taken for a fault.
const ID_ATTEMPTS: usize = 16;

impl Gateway {
    pub(super) async fn append(&self, request: Produce, admission: &Admission) -> Result<Ack, Problem> {
        let began = self.inner.parts.env.now();
        self.inner.parts.metrics.ack_stage(AckStage::Decode, request.decode_time);
        let database = self.database_named(&request.database).await?;
        let deadline = Instant::now() + request.timeout;
        for _ in 0..ID_ATTEMPTS {
            let (table, spec) = target(&database, &request)?;
            let acts = acts(&database, table, &spec, &request)?;
            let submission = Request {
                bytes: acts.iter().map(act_bytes).sum::<usize>().max(1),
                acts,
                producer: request.producer.clone().map(|producer| ProducerStamp {
                    id: producer.id,
                    epoch: producer.epoch,
                    seq: producer.seq,
                }),
                request_hash: hash(table, &request),
                deadline,
            };
            match database.ingress().submit_in_order(submission, admission).await {
                Ok(answer) => {
                    let took = self.inner.parts.env.now().since(&began);
                    self.inner.parts.metrics.ack_stage(AckStage::Total, took);
                    return Ok(self.ack(table, &request, answer));
                }
                // Another table was created first: the same rows go into the next id.
                Err(Failure::Refused(Refusal::TableIdTaken { .. })) if request.create.is_some() => {}
                Err(failure) => return Err(of_failure(&database, Some(&request.table), failure)),
            }
        }
        Err(Problem::internal("tables are being created faster than this request can get an id"))
    }

    fn ack(&self, table: TableId, request: &Produce, answer: Answer) -> Ack {
        let sent = request.batch.num_rows() as u64;
        match answer {
            Answer::Forgotten => {
                Ack { rows: sent, slot: None, duplicate: true, created: None, buckets: None }
            }
            Answer::Accepted { acceptance: Acceptance { slot, appended }, duplicate } => {
                let own = appended.iter().filter(|appended| appended.table == table);
                let buckets: Vec<BucketRange> =
                    own.map(|it| BucketRange { bucket: it.bucket.0, start: it.start, end: it.end }).collect();
                if !duplicate {
                    self.inner.parts.metrics.rows_produced_total.inc_by(sent);
                }
                Ack { rows: sent, slot: Some(slot), duplicate, created: None, buckets: Some(buckets) }
            }
        }
    }
}

/// The table's id and definition: the checked one, or the one to be created.
fn target(database: &Database, request: &Produce) -> Result<(TableId, TableSpec), Problem> {
    let fold = database.replica().fold();
    let tables = fold.state.tables();
    match (&request.create, request.checked) {
        (Some(spec), _) => Ok((tables.next_id(), spec.clone())),
        (None, Some((id, checked))) => match tables.live(id) {
            // The rows are in the schema that they were checked against, which may have been altered since: the log takes them
            // as they are if nothing of them is lost.
            Some(table) => match table.schema(checked) {
                Some(schema) => Ok((id, TableSpec { schema: schema.clone(), ..table.spec.clone() })),
                None => Err(schema_changed(table.spec.schema.id)),
            },
            None => Err(no_such_table(&request.database, &request.table)),
        },
        (None, None) => Err(Problem::internal("a produce without a table")),
    }
}

/// Rule 3: a retry sends the same bytes to the same table.
fn hash(table: TableId, request: &Produce) -> u128 {
    if request.producer.is_none() {
        return 0;
    }
    let mut hasher = Xxh3::new();
    hasher.update(&table.0.to_le_bytes());
    hasher.update(&request.request_hash.to_le_bytes());
    hasher.digest128()
}

fn acts(
    database: &Database,
    table: TableId,
    spec: &TableSpec,
    request: &Produce,
) -> Result<Vec<Act>, Problem> {
    let mut acts = Vec::new();
    if let Some(spec) = &request.create {
        acts.push(Act::Entry(Entry::TableCreated {
            table,
            name: request.table.clone(),
            uuid: database.replica().env().uuid(),
            spec: spec.clone(),
        }));
    }
    let codec = Options::parse(&spec.options)?.compression;
    let mut expected = request.expected_offset.clone().unwrap_or_default();
    for (bucket, rows) in by_bucket(database, spec, request)? {
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
            "expected_offset names bucket {bucket}, but no row of this request goes there"
        ))),
    }
}

/// Splits a batch by bucket, buckets ascending, the order of rows kept.
fn by_bucket(
    database: &Database,
    spec: &TableSpec,
    request: &Produce,
) -> Result<Vec<(Bucket, RecordBatch)>, Problem> {
    let batch = &request.batch;
    if batch.num_rows() == 0 {
        return Ok(Vec::new());
    }
    if let Some(bucket) = request.bucket.or_else(|| only_bucket(spec, request.expected_offset.as_ref())) {
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

use std::collections::BTreeSet;
use std::time::Duration;

use arrow::array::{Array, ArrayData, AsArray, Int64Array, StringArray};
use arrow::buffer::Buffer;
use arrow::datatypes::{DataType, Field, Int64Type, Schema};
use frazil_log::commit::committer::{Committer, CommitterOptions, Flush};
use frazil_log::commit::create::create_log;
use frazil_log::env::Env;
use frazil_log::format::commit::{Proposal, WriterInfo};
use frazil_log::format::entry::Entry;
use frazil_log::format::page::StreamKey;
use frazil_log::format::slice::{Codec, SliceHome, SliceOp};
use frazil_log::id::{Bucket, Name, ProposalName, Stream, TableId, Ulid};
use frazil_log::protocol::Protocol;
use frazil_log::schema::arrow_form::arrow_schema;
use frazil_log::schema::ensure::{TableRequest, build};
use frazil_log::segment::{BodyBuilder, SliceMeta};
use frazil_log::store::{Op, Outcome, Store, StoreOptions};
use proptest::prelude::*;

use super::*;
use crate::metrics::Metrics;
use crate::produce::flush::{Act, BucketRows};
use crate::produce::health::Health;
use crate::produce::ingress::{Answer, Ingress, IngressOptions, Request};

/// A slice of some table, at a place of its object, with so many rows of two columns.
fn slice_at(body_offset: u64, rows: u32) -> Slice {
    Slice {
        table: TableId(1),
        bucket: Bucket(0),
        stream: Stream::Rows,
        schema: 0,
        columns: vec![1, 2],
        op: SliceOp::Append,
        codec: Codec::None,
        home: SliceHome::Here,
        body_offset,
        bytes: 0,
        rows,
        times: None,
        source: None,
        batches: Vec::new(),
        statistics: Vec::new(),
        checksum: 0,
    }
}

fn object(number: u64) -> ObjectId {
    ObjectId::Commit { slot: number, put_id: Ulid::from_parts(number, u128::from(number)) }
}

fn batch(rows: usize) -> RecordBatch {
    let numbers = Arc::new(Int64Array::from_iter_values((0..rows).map(|row| row as i64)));
    let texts =
        Arc::new(StringArray::from_iter((0..rows).map(|row| (row % 3 > 0).then(|| "x".repeat(row % 7)))));
    let fields = vec![Field::new("n", DataType::Int64, false), Field::new("s", DataType::Utf8, true)];
    RecordBatch::try_new(Arc::new(Schema::new(fields)), vec![numbers, texts]).unwrap()
}

/// What some entries hold alive, counted without the ring's bookkeeping.
fn held(entries: &[(RowsId, Rows)]) -> usize {
    fn look(data: &ArrayData, seen: &mut BTreeMap<usize, usize>, arrays: &mut usize) {
        *arrays += 1;
        let nulls = data.nulls().map(|nulls| nulls.buffer().clone());
        for buffer in data.buffers().iter().cloned().chain(nulls) {
            let buffer: Buffer = buffer;
            seen.insert(buffer.data_ptr().addr().get(), buffer.capacity());
        }
        data.child_data().iter().for_each(|child| look(child, seen, arrays));
    }
    let (mut seen, mut arrays) = (BTreeMap::new(), 0);
    for (_, rows) in entries {
        match rows {
            Rows::Encoded(bytes) => drop(seen.insert(bytes.as_ptr().addr(), bytes.len())),
            Rows::Decoded(batches) => {
                let columns = batches.iter().flat_map(RecordBatch::columns);
                columns.for_each(|column| look(&column.to_data(), &mut seen, &mut arrays));
            }
        }
    }
    entries.len() * 256 + arrays * 192 + seen.values().sum::<usize>()
}

#[derive(Clone, Debug)]
enum Step {
    /// A batch of its own.
    Own(u64, usize),
    /// A part of one of a few large batches: entries share its buffers.
    Part(u64, usize, usize, usize),
    /// Bytes only.
    Bytes(u64, usize),
}

fn step() -> impl Strategy<Value = Step> {
    let id = 0u64..24;
    prop_oneof![
        (id.clone(), 1usize..200).prop_map(|(id, rows)| Step::Own(id, rows)),
        (id.clone(), 0usize..3, 0usize..400, 1usize..100)
            .prop_map(|(id, of, first, rows)| Step::Part(id, of, first, rows)),
        (id, 1usize..4_000).prop_map(|(id, bytes)| Step::Bytes(id, bytes)),
    ]
}

proptest! {
    #[test]
    fn the_ring_keeps_the_newest_run_within_its_bytes(
        steps in prop::collection::vec(step(), 1..120),
        bytes_max in 0usize..60_000,
    ) {
        let shared: Vec<RecordBatch> = (0..3).map(|_| batch(500)).collect();
        let mut ring = Ring::new(bytes_max);
        // The model: all that was inserted and is not known to be gone, oldest first.
        let mut model: Vec<(RowsId, Rows)> = Vec::new();
        for step in steps {
            let (number, rows) = match step {
                Step::Own(id, rows) => (id, Rows::Decoded(vec![batch(rows)].into())),
                Step::Part(id, of, first, rows) => (id, Rows::Decoded(vec![shared[of].slice(first, rows)].into())),
                Step::Bytes(id, bytes) => (id, Rows::Encoded(Bytes::from(vec![0; bytes]))),
            };
            let id = RowsId::new(object(number), &slice_at(0, 1));
            ring.insert(id, rows.clone());
            match model.iter().position(|(known, _)| *known == id) {
                None => model.push((id, rows)),
                Some(at) if matches!((&model[at].1, &rows), (Rows::Encoded(_), Rows::Decoded(_))) => model[at].1 = rows,
                Some(_) => {}
            }
            while held(&model) > bytes_max {
                model.remove(0);
            }
            prop_assert_eq!(ring.bytes(), held(&model));
            prop_assert!(ring.bytes() <= bytes_max);
            prop_assert_eq!(ring.len(), model.len());
            for (id, rows) in &model {
                match (ring.get(id), rows) {
                    (Some(Rows::Decoded(kept)), Rows::Decoded(rows)) => prop_assert_eq!(kept, rows),
                    (Some(Rows::Encoded(kept)), Rows::Encoded(bytes)) => prop_assert_eq!(kept, bytes),
                    (kept, _) => prop_assert!(false, "{id:?} is kept as {kept:?}"),
                }
            }
        }
    }
}

#[test]
fn rows_that_do_not_fit_their_slice_are_refused() {
    let ring = TailRing::new(1 << 20, TailMetrics::default());
    ring.insert(object(1), &slice_at(0, 5), vec![batch(5)]).unwrap();
    assert!(ring.insert(object(2), &slice_at(0, 5), vec![batch(4)]).is_err());
    let mut narrow = slice_at(0, 5);
    narrow.columns.pop();
    assert!(ring.insert(object(3), &narrow, vec![batch(5)]).is_err());
}

/// A log with a table of one column, and who writes it.
struct World {
    store: Store,
    committer: Committer,
    names: u64,
    _directory: tempfile::TempDir,
}

const TABLE: TableId = TableId(1);

fn key() -> StreamKey {
    StreamKey { table: TABLE, bucket: Bucket(0), stream: Stream::Rows }
}

impl World {
    /// On a directory: unlike memory, it makes its readers wait.
    async fn new() -> Self {
        let directory = tempfile::tempdir().unwrap();
        let store = Store::open(directory.path().to_str().unwrap(), &StoreOptions::default()).unwrap();
        let env = Env::system();
        let database = Name::new("default").unwrap();
        let writer = WriterInfo {
            incarnation: env.ulid(),
            version: "test".into(),
            address: String::new(),
            zone: String::new(),
            put_p99_us: 0,
        };
        create_log(&store, &database, &env, &writer).await.unwrap();
        let replica = Replica::open(store.clone(), database, env, Protocol::SHIPPED).await.unwrap();
        let committer = Committer::new(replica, writer, CommitterOptions::default(), Arc::new(|_| {}));
        let mut world = Self { store, committer, names: 0, _directory: directory };
        let request = TableRequest { columns: Some("n BIGINT NOT NULL".into()), ..TableRequest::default() };
        let (name, uuid) = (Name::new("numbers").unwrap(), world.replica().env().uuid());
        let created = Entry::TableCreated { table: TABLE, name, uuid, spec: build(&request).unwrap() };
        let proposals = vec![world.proposal(vec![created])];
        world.committer.write(Flush { proposals, ..Flush::default() }).await.unwrap();
        world
    }

    fn replica(&self) -> &Replica {
        self.committer.replica()
    }

    fn proposal(&mut self, entries: Vec<Entry>) -> Proposal {
        self.names += 1;
        let name = ProposalName { incarnation: self.replica().env().ulid(), n: self.names };
        Proposal { name, base: self.replica().next(), producer: None, request_hash: 0, entries }
    }

    fn fields(&self) -> Vec<FieldRef> {
        let fold = self.replica().fold();
        let schema = &fold.state.tables().live(TABLE).unwrap().spec.schema;
        arrow_schema(schema).fields().to_vec()
    }

    /// One slot with these numbers, each run a request of its own; those at odd places expect an offset that is wrong, and are refused.
    /// `kept`: what is kept in the ring before the PUT leaves.
    async fn append(&mut self, runs: &[(i64, i64)], ring: Option<&TailRing>) {
        let rows = Int64Array::from_iter_values(runs.iter().flat_map(|(from, to)| *from..*to));
        let schema = Arc::new(Schema::new(self.fields()));
        let batch = RecordBatch::try_new(schema, vec![Arc::new(rows)]).unwrap();
        let meta = SliceMeta {
            table: TABLE,
            bucket: Bucket(0),
            stream: Stream::Rows,
            schema: 0,
            columns: vec![1],
            op: SliceOp::Append,
            codec: Codec::None,
            times: None,
            source: None,
        };
        let mut builder = BodyBuilder::new();
        builder.push(meta, std::slice::from_ref(&batch)).unwrap();
        let body = builder.finish();
        let (mut first_row, mut proposals) = (0, Vec::new());
        for (number, (from, to)) in runs.iter().enumerate() {
            let rows = u32::try_from(to - from).unwrap();
            let expected_offset = (number % 2 == 1).then_some(u64::MAX);
            proposals.push(self.proposal(vec![Entry::Appended {
                slice: 0,
                first_row,
                rows,
                expected_offset,
            }]));
            first_row += rows;
        }
        let slice = body.slices[0].clone();
        let flush = Flush { proposals, slices: body.slices, body: body.chunks, ..Flush::default() };
        let ring = ring.cloned();
        let keep = move |object| {
            if let Some(ring) = &ring {
                ring.insert(object, &slice, vec![batch.clone()]).unwrap();
            }
        };
        self.committer.reserve().await.unwrap().try_write(&flush, keep).await.unwrap();
    }

    async fn read(&self, ring: &TailRing, offsets: std::ops::Range<u64>) -> Vec<i64> {
        let mut numbers = Vec::new();
        for place in self.replica().places(&key(), offsets).await.unwrap() {
            for batch in ring.read_place(self.replica(), &place, &self.fields(), &[0]).await.unwrap() {
                numbers.extend(batch.column(0).as_primitive::<Int64Type>().values());
            }
        }
        numbers
    }

    fn gets(&self) -> u64 {
        self.store.metrics().requests(Op::Get, Outcome::Ok)
    }
}

#[tokio::test]
async fn own_rows_are_read_without_a_request_and_without_copying() {
    let mut world = World::new().await;
    let ring = TailRing::new(1 << 20, TailMetrics::default());
    world.append(&[(0, 10), (90, 95), (10, 30)], Some(&ring)).await;
    let gets = world.gets();
    // What was refused in the midst of the slice has no offsets, and is not among the rows.
    assert_eq!(world.read(&ring, 0..30).await, (0..30).collect::<Vec<_>>());
    assert_eq!(world.read(&ring, 7..12).await, [7, 8, 9, 10, 11]);
    assert_eq!((world.gets(), ring.inner.metrics.decodes_total.get()), (gets, 0));

    let place = &world.replica().places(&key(), 3..5).await.unwrap()[0];
    let read = ring.read_place(world.replica(), place, &world.fields(), &[0]).await.unwrap();
    let again = ring.read_place(world.replica(), place, &world.fields(), &[0]).await.unwrap();
    let address = |batches: &[RecordBatch]| batches[0].column(0).to_data().buffers()[0].as_ptr();
    assert_eq!(address(&read), address(&again));
    let nothing = ring.read_place(world.replica(), place, &world.fields(), &[]).await.unwrap();
    assert_eq!((nothing[0].num_columns(), nothing[0].num_rows()), (0, 2));
}

#[tokio::test]
async fn a_thousand_readers_cost_one_read_and_one_decode() {
    let mut world = World::new().await;
    let ring = TailRing::new(1 << 20, TailMetrics::default());
    world.append(&[(0, 10)], None).await;
    let gets = world.gets();
    let readers = (0..1_000).map(|_| world.read(&ring, 0..10));
    let read = futures::future::join_all(readers).await;
    assert!(read.iter().all(|numbers| *numbers == (0..10).collect::<Vec<_>>()));
    assert_eq!(ring.inner.metrics.decodes_total.get(), 1);
    assert_eq!(world.gets() - gets, 1);
    assert!(ring.inner.reading.lock().values().all(|reading| reading.upgrade().is_none()));
}

#[tokio::test]
async fn a_reader_that_goes_away_leaves_the_read_to_the_others() {
    let mut world = World::new().await;
    let ring = TailRing::new(1 << 20, TailMetrics::default());
    let mut left = 0;
    // A directory may have answered before the first reader is asked whether it still waits.
    for number in 0..50 {
        world.append(&[(number, number + 1)], None).await;
        let offset = u64::try_from(number).unwrap();
        let gone = futures::poll!(Box::pin(world.read(&ring, offset..offset + 1)).as_mut()).is_pending();
        let read = tokio::time::timeout(Duration::from_secs(5), world.read(&ring, offset..offset + 1)).await;
        assert_eq!(read.unwrap(), [number]);
        left += usize::from(gone);
    }
    assert!(left > 0, "no reader ever went away while it waited");
}

#[tokio::test]
async fn bytes_that_were_sent_are_checked_and_a_lie_is_read_from_the_store_instead() {
    let mut world = World::new().await;
    world.append(&[(0, 10)], None).await;
    let place = world.replica().places(&key(), 0..10).await.unwrap().remove(0);
    let path = world.replica().object_path(&place.object);
    let start = place.body_start + place.slice.body_offset;
    let range = start..start + place.slice.bytes;
    let good = world.store.get_ranges(&path, &[range]).await.unwrap().unwrap().remove(0);
    for flip in [None, Some(good.len() - 1), Some(3)] {
        let ring = TailRing::new(1 << 20, TailMetrics::default());
        let mut bytes = good.to_vec();
        if let Some(flip) = flip {
            bytes[flip] ^= 0x10;
        }
        ring.insert_encoded(place.object, &place.slice, bytes.into());
        let gets = world.gets();
        assert_eq!(world.read(&ring, 0..10).await, (0..10).collect::<Vec<_>>());
        assert_eq!(world.gets() > gets, flip.is_some(), "{flip:?}");
    }
}

#[tokio::test]
async fn rows_of_a_slot_that_was_lost_are_asked_for_by_nobody() {
    let mut world = World::new().await;
    let ring = TailRing::new(1 << 20, TailMetrics::default());
    // Somebody else's commit wins the slot: under the same slot number the ring holds other rows.
    let slot = world.replica().next();
    let lost = ObjectId::Commit { slot, put_id: world.replica().env().ulid() };
    world.append(&[(0, 10)], None).await;
    let place = world.replica().places(&key(), 0..10).await.unwrap().remove(0);
    let wrong = RecordBatch::try_new(
        Arc::new(Schema::new(world.fields())),
        vec![Arc::new(Int64Array::from_iter_values(100..110))],
    );
    ring.insert(lost, &place.slice, vec![wrong.unwrap()]).unwrap();
    assert_eq!(world.read(&ring, 0..10).await, (0..10).collect::<Vec<_>>());
}

#[tokio::test]
async fn what_is_not_fresh_is_read_in_columns_and_not_kept() {
    let mut world = World::new().await;
    let ring = TailRing::new(1 << 20, TailMetrics::default());
    for slot in 0..i64::try_from(FRESH_SLOTS).unwrap() + 1 {
        world.append(&[(slot, slot + 1)], None).await;
    }
    let all = FRESH_SLOTS + 1;
    assert_eq!(world.read(&ring, 0..all).await, (0..i64::try_from(all).unwrap()).collect::<Vec<_>>());
    let kept: BTreeSet<u64> = (0..all)
        .filter(|slot| {
            let place = futures::executor::block_on(world.replica().places(&key(), *slot..*slot + 1))
                .unwrap()
                .remove(0);
            ring.inner.ring.lock().get(&RowsId::of(&place)).is_some()
        })
        .collect();
    assert_eq!(kept, (1..all).collect());
}

/// Through the ingress, inside the commit and in segments: the rows are in the ring before the fold wakes anybody.
#[tokio::test]
async fn what_an_ingress_wrote_is_in_the_ring_when_it_is_folded() {
    for inline_bytes_max in [1 << 20, 0] {
        let world = World::new().await;
        let ring = TailRing::new(1 << 20, TailMetrics::default());
        let replica = world.replica().clone();
        let writer = WriterInfo {
            incarnation: replica.env().ulid(),
            version: "test".into(),
            address: String::new(),
            zone: String::new(),
            put_p99_us: 0,
        };
        let options = IngressOptions { inline_bytes_max, ..IngressOptions::default() };
        let health = Arc::new(Health::new(replica.env().clone()));
        let ingress =
            Ingress::start(replica.clone(), writer, options, health, Metrics::default(), ring.clone());
        let rows = RecordBatch::try_new(
            Arc::new(Schema::new(world.fields())),
            vec![Arc::new(Int64Array::from_iter_values(0..10))],
        );
        let act = Act::Append(BucketRows {
            table: TABLE,
            bucket: Bucket(0),
            schema: 0,
            columns: vec![1],
            codec: Codec::None,
            rows: rows.unwrap(),
            expected_offset: None,
        });
        let request = Request {
            acts: vec![act],
            producer: None,
            request_hash: 0,
            bytes: 80,
            deadline: tokio::time::Instant::now() + Duration::from_secs(10),
        };
        let first = replica.next();
        let follower = async {
            replica.wait_for(first + 1).await;
            let gets = world.gets();
            (world.read(&ring, 0..10).await, world.gets() - gets)
        };
        let (answer, (read, gets)) = futures::join!(ingress.submit(request), follower);
        assert!(matches!(answer, Ok(Answer::Accepted { .. })), "{answer:?}");
        assert_eq!(read, (0..10).collect::<Vec<_>>());
        assert_eq!((gets, ring.inner.metrics.decodes_total.get()), (0, 0));
    }
}

//! The janitor on a memory store with scaled ages: roll-up, trim, page merge, sweep, and cold starts after each.

use std::sync::Arc;
use std::time::Duration;

use arrow::array::{Int64Array, RecordBatch};
use frazil_log::commit::committer::{Committer, CommitterOptions, Flush};
use frazil_log::commit::create::create_log;
use frazil_log::commit::replica::Replica;
use frazil_log::env::Env;
use frazil_log::format::commit::{Proposal, SegmentRef, WriterInfo};
use frazil_log::format::entry::Entry;
use frazil_log::format::page::StreamKey;
use frazil_log::format::segment::{ObjectId, SegmentHeader};
use frazil_log::format::slice::{Codec, SliceOp};
use frazil_log::id::{Bucket, Name, ProposalName, SegmentId, Slot, Stream, TableId};
use frazil_log::protocol::Protocol;
use frazil_log::schema::arrow_form::{arrow_field, arrow_schema};
use frazil_log::schema::ensure::{TableRequest, build};
use frazil_log::schema::evolution::{Change, alter};
use frazil_log::segment::{BodyBuilder, SliceMeta};
use frazil_log::store::{Store, StoreOptions, paths};

use crate::{Janitor, JanitorOptions, Metrics};

const SLOTS: Slot = 10;

struct World {
    store: Store,
    env: Env,
    protocol: Protocol,
    committer: Committer,
    names: u64,
}

fn name(text: &str) -> Name {
    Name::new(text).unwrap()
}

fn writer(env: &Env) -> WriterInfo {
    WriterInfo {
        incarnation: env.ulid(),
        version: "test".into(),
        address: String::new(),
        zone: String::new(),
        put_p99_us: 0,
    }
}

impl World {
    /// A log with one table; a day is `day`, a checkpoint comes each ten slots.
    async fn new(day: Duration) -> Self {
        let store = Store::open("memory://", &StoreOptions::default()).unwrap();
        let env = Env::system();
        create_log(&store, &name("default"), &env, &writer(&env)).await.unwrap();
        let divisor =
            u32::try_from(Protocol::SHIPPED.checkpoint_age_min.as_micros() / day.as_micros()).unwrap();
        let protocol = Protocol::scaled(divisor, SLOTS);
        let committer = open(&store, &env, &protocol).await;
        let mut world = Self { store, env, protocol, committer, names: 0 };
        let request = TableRequest { columns: Some("n BIGINT NOT NULL".into()), ..TableRequest::default() };
        let entry = Entry::TableCreated {
            table: TableId(1),
            name: name("numbers"),
            uuid: world.env.uuid(),
            spec: build(&request).unwrap(),
        };
        world.propose(vec![entry], Flush::default()).await;
        world
    }

    /// Alters the table.
    async fn alter(&mut self, change: &str) {
        let change: Change = serde_json::from_str(change).unwrap();
        let (version, spec) = {
            let fold = self.committer.replica().fold();
            let table = fold.state.tables().live(TableId(1)).unwrap();
            (table.version, alter(&table.spec, &[change]).unwrap())
        };
        self.propose(vec![Entry::TableAltered { table: TableId(1), version, spec }], Flush::default()).await;
    }

    fn earliest(&self) -> u64 {
        self.committer.replica().fold().state.tables().tail(&key()).earliest
    }

    async fn segments(&self) -> usize {
        self.store.list(&paths::segment_prefix(&name("default")), None, 10_000).await.unwrap().len()
    }

    async fn propose(&mut self, entries: Vec<Entry>, flush: Flush) -> Slot {
        self.names += 1;
        let name = ProposalName { incarnation: self.env.ulid(), n: self.names };
        let base = self.committer.replica().next();
        let proposal = Proposal { name, base, producer: None, request_hash: 0, entries };
        self.committer.write(Flush { proposals: vec![proposal], ..flush }).await.unwrap()
    }

    /// One slot with these numbers.
    async fn append(&mut self, numbers: std::ops::Range<i64>) -> Slot {
        let body = self.body(numbers.clone());
        let entry = appended(&numbers);
        self.propose(vec![entry], Flush { slices: body.slices, body: body.chunks, ..Flush::default() }).await
    }

    fn body(&self, numbers: std::ops::Range<i64>) -> frazil_log::segment::Body {
        let fold = self.committer.replica().fold();
        let schema = fold.state.tables().live(TableId(1)).unwrap().schema(0).unwrap().clone();
        let rows = Arc::new(Int64Array::from_iter_values(numbers));
        let batch = RecordBatch::try_new(arrow_schema(&schema), vec![rows]).unwrap();
        let meta = SliceMeta {
            table: TableId(1),
            bucket: Bucket(0),
            stream: Stream::Rows,
            schema: 0,
            columns: vec![schema.columns[0].id],
            op: SliceOp::Append,
            codec: Codec::None,
            times: None,
            source: None,
        };
        let mut builder = BodyBuilder::new();
        builder.push(meta, &[batch]).unwrap();
        builder.finish()
    }

    fn janitor(&self) -> Janitor {
        Janitor::new(self.committer.clone(), JanitorOptions::default(), Metrics::default())
    }

    /// All numbers, as a node that starts cold reads them.
    async fn read_cold(&self) -> Vec<i64> {
        let replica = open(&self.store, &self.env, &self.protocol).await.replica().clone();
        read(&replica).await
    }

    async fn slots_kept(&self) -> usize {
        self.store.list(&paths::log_prefix(&name("default")), None, 10_000).await.unwrap().len()
    }
}

fn appended(numbers: &std::ops::Range<i64>) -> Entry {
    let rows = u32::try_from(numbers.end - numbers.start).unwrap();
    Entry::Appended { slice: 0, first_row: 0, rows, expected_offset: None }
}

async fn open(store: &Store, env: &Env, protocol: &Protocol) -> Committer {
    let replica = Replica::open(store.clone(), name("default"), env.clone(), protocol.clone()).await.unwrap();
    Committer::new(replica, writer(env), CommitterOptions::default(), Arc::new(|_| {}))
}

fn key() -> StreamKey {
    StreamKey { table: TableId(1), bucket: Bucket(0), stream: Stream::Rows }
}

async fn read(replica: &Replica) -> Vec<i64> {
    let (tail, spec) = {
        let fold = replica.fold();
        (fold.state.tables().tail(&key()), fold.state.tables().live(TableId(1)).unwrap().spec.clone())
    };
    let mut numbers = Vec::new();
    for place in replica.places(&key(), tail.earliest..tail.next).await.unwrap() {
        let time = arrow::datatypes::DataType::Timestamp(
            arrow::datatypes::TimeUnit::Microsecond,
            Some("UTC".into()),
        );
        let mut fields = vec![Arc::new(arrow_field(&spec.schema.columns[0]))];
        if place.slice.columns.len() == 2 {
            fields.push(Arc::new(arrow::datatypes::Field::new("__timestamp", time, false)));
        }
        for batch in replica.read_place(&place, &fields, &[0]).await.unwrap() {
            let column = batch.column(0).as_any().downcast_ref::<Int64Array>().unwrap();
            numbers.extend(column.values().iter().copied());
        }
    }
    numbers
}

fn expected(end: i64) -> Vec<i64> {
    (0..end).collect()
}

#[tokio::test]
async fn rows_are_rolled_up_and_keep_their_offsets() {
    let mut world = World::new(Duration::from_secs(3_600)).await;
    for n in 0..25 {
        world.append(n * 4..n * 4 + 4).await;
    }
    let report = world.janitor().round().await.unwrap();
    assert_eq!((report.checkpoints, report.slots_trimmed), (2, 0));
    assert!(report.rows_rolled_up >= 60, "{report:?}");
    let places = world.committer.replica().places(&key(), 0..60).await.unwrap();
    assert!(places.iter().all(|place| matches!(place.object, ObjectId::Segment(_))), "{places:?}");
    assert_eq!(read(world.committer.replica()).await, expected(100));
    assert_eq!(world.read_cold().await, expected(100));
    assert_eq!(world.janitor().round().await.unwrap().rows_rolled_up, 0, "a second round finds nothing");
}

#[tokio::test]
async fn slots_below_an_old_checkpoint_go_and_a_cold_start_finds_every_row() {
    let mut world = World::new(Duration::from_secs(1)).await;
    for n in 0..45 {
        world.append(n * 2..n * 2 + 2).await;
    }
    let janitor = world.janitor();
    assert_eq!(janitor.round().await.unwrap().slots_trimmed, 0, "no checkpoint is a day old");
    let before = world.slots_kept().await;
    tokio::time::sleep(Duration::from_millis(2_200)).await;
    let report = janitor.round().await.unwrap();
    assert!(report.slots_trimmed > 20, "{report:?}");
    assert_eq!(world.slots_kept().await, before - usize::try_from(report.slots_trimmed).unwrap());
    assert_eq!(world.read_cold().await, expected(90));
    assert_eq!(read(world.committer.replica()).await, expected(90));
    for n in 45..60 {
        world.append(n * 2..n * 2 + 2).await;
    }
    assert_eq!(world.read_cold().await, expected(120));
}

#[tokio::test]
async fn pages_are_merged_and_the_next_checkpoint_lists_the_merged_one() {
    let mut world = World::new(Duration::from_secs(3_600)).await;
    let janitor = world.janitor();
    for n in 0..175 {
        world.append(n..n + 1).await;
        if n % 10 == 9 {
            janitor.round().await.unwrap();
        }
    }
    let pages = world.committer.replica().fold().pages.clone();
    assert!(pages.iter().any(|page| page.level == 1), "{pages:?}");
    assert!(pages.len() < 10, "{pages:?}");
    assert_eq!(world.read_cold().await, expected(175));
}

#[tokio::test]
async fn an_unreferenced_segment_goes_once_its_window_is_past_and_not_before() {
    let mut world = World::new(Duration::from_secs(3_600)).await;
    let id = SegmentId { base: world.committer.replica().next(), ulid: world.env.ulid() };
    let body = world.body(0..3);
    let log_uuid = world.committer.replica().fold().state.identity().uuid;
    let header = SegmentHeader {
        log_uuid,
        id,
        encryption_key_id: String::new(),
        sources: Vec::new(),
        slices: body.slices.clone(),
    };
    let sealed = header.seal(body.chunks).unwrap();
    let path = paths::segment(&name("default"), id);
    world.committer.replica().create(&path, &sealed).await.unwrap();
    let janitor = world.janitor();
    for n in 0..9 {
        world.append(n..n + 1).await;
    }
    janitor.round().await.unwrap();
    assert!(world.store.get(&path).await.unwrap().is_some(), "its window is not past");
    for n in 9..25 {
        world.append(n..n + 1).await;
    }
    assert!(janitor.round().await.unwrap().orphans_swept >= 1);
    assert!(world.store.get(&path).await.unwrap().is_none());
    // A flush that names it now comes too late: rows whose bytes are gone never get offsets.
    let slices = body.slices.into_iter().map(|slice| frazil_log::format::slice::Slice {
        home: frazil_log::format::slice::SliceHome::Segment(0),
        ..slice
    });
    let segments = vec![SegmentRef { id, body_start: sealed.envelope.body_start() }];
    world
        .propose(vec![appended(&(0..3))], Flush { slices: slices.collect(), segments, ..Flush::default() })
        .await;
    assert_eq!(world.read_cold().await, expected(25));
}

#[tokio::test]
async fn two_janitors_at_once_do_no_harm() {
    let mut world = World::new(Duration::from_secs(1)).await;
    for n in 0..45 {
        world.append(n..n + 1).await;
    }
    let other = Janitor::new(
        open(&world.store, &world.env, &world.protocol).await,
        JanitorOptions::default(),
        Metrics::default(),
    );
    let janitor = world.janitor();
    for _ in 0..3 {
        let (a, b) = tokio::join!(janitor.round(), other.round());
        assert!(a.is_ok() && b.is_ok(), "{a:?} {b:?}");
        tokio::time::sleep(Duration::from_millis(800)).await;
    }
    assert!(world.slots_kept().await < 30);
    assert_eq!(world.read_cold().await, expected(45));
}

#[tokio::test]
async fn rows_older_than_their_retention_go_and_the_others_keep_their_offsets() {
    let mut world = World::new(Duration::from_secs(3_600)).await;
    world.alter(r#"{"set":{"retention":"1s"}}"#).await;
    for n in 0..25 {
        world.append(n..n + 1).await;
    }
    let janitor = world.janitor();
    let report = janitor.round().await.unwrap();
    assert_eq!((report.rows_expired, world.earliest()), (0, 0), "they are too young");
    assert!(report.rows_rolled_up > 0 && world.segments().await == 1);
    tokio::time::sleep(Duration::from_millis(1_200)).await;
    for n in 25..28 {
        world.append(n..n + 1).await;
    }
    assert_eq!(janitor.round().await.unwrap().rows_expired, 25);
    assert_eq!(world.earliest(), 25);
    assert_eq!(world.read_cold().await, [25, 26, 27]);
    assert_eq!(janitor.round().await.unwrap().rows_expired, 0, "a second round finds nothing");
    // Nobody refers to their segment any more: past its window it goes.
    world.alter(r#"{"set":{"retention":"infinite"}}"#).await;
    for n in 28..50 {
        world.append(n..n + 1).await;
    }
    assert!(janitor.round().await.unwrap().orphans_swept >= 1);
    assert_eq!(world.read_cold().await, (25..50).collect::<Vec<_>>());
    for n in 50..52 {
        world.append(n..n + 1).await;
    }
    assert_eq!(read(world.committer.replica()).await, (25..52).collect::<Vec<_>>());
}

#[tokio::test]
async fn rows_beyond_the_bytes_of_their_table_go_oldest_first() {
    let mut world = World::new(Duration::from_secs(3_600)).await;
    let janitor = world.janitor();
    for n in 0..5 {
        world.append(n * 10..n * 10 + 10).await;
    }
    let places = world.committer.replica().places(&key(), 0..50).await.unwrap();
    let each = places[0].slice.bytes;
    assert_eq!(janitor.round().await.unwrap().rows_expired, 0);
    world.alter(&format!(r#"{{"set":{{"retention.bytes":"{}B"}}}}"#, each * 3)).await;
    assert_eq!(janitor.round().await.unwrap().rows_expired, 20);
    assert_eq!(world.read_cold().await, (20..50).collect::<Vec<_>>());
    world.append(50..60).await;
    assert_eq!(janitor.round().await.unwrap().rows_expired, 10);
    assert_eq!((world.earliest(), janitor.round().await.unwrap().rows_expired), (30, 0));
}

#[tokio::test]
async fn two_janitors_expire_rows_once() {
    let mut world = World::new(Duration::from_secs(3_600)).await;
    world.alter(r#"{"set":{"retention":"1ms"}}"#).await;
    for n in 0..5 {
        world.append(n..n + 1).await;
    }
    let committer = open(&world.store, &world.env, &world.protocol).await;
    let other = Janitor::new(committer, JanitorOptions::default(), Metrics::default());
    let janitor = world.janitor();
    tokio::time::sleep(Duration::from_millis(20)).await;
    let (a, b) = tokio::join!(janitor.round(), other.round());
    assert_eq!(a.unwrap().rows_expired + b.unwrap().rows_expired, 5);
    assert_eq!(world.earliest(), 5);
}

#[tokio::test]
async fn slices_of_different_schemas_are_rolled_up_and_trimmed() {
    let mut world = World::new(Duration::from_secs(1)).await;
    for n in 0..12 {
        world.append(n..n + 1).await;
    }
    world.alter(r#"{"add":{"name":"ref","type":"STRING"}}"#).await;
    // Who has not heard of it goes on writing as before.
    for n in 12..30 {
        world.append(n..n + 1).await;
    }
    let report = world.janitor().round().await.unwrap();
    assert!(report.rows_rolled_up >= 25, "{report:?}");
    assert_eq!(world.read_cold().await, expected(30));
}

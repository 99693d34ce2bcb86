//! The commit path on a memory store: create, write, fold, open again.

use std::sync::Arc;

use arrow::array::{ArrayRef, Int64Array, StringArray};
use arrow::record_batch::RecordBatch;
use futures::StreamExt;
use futures::stream::{self, BoxStream};
use object_store::memory::InMemory;
use object_store::{
    CopyOptions, GetOptions, GetResult, ListResult, MultipartUpload, ObjectMeta, ObjectStore, ObjectStoreExt,
    PutMultipartOptions, PutOptions, PutResult,
};
use parking_lot::Mutex;

use super::committer::{Committer, CommitterOptions, Flush};
use super::create::{Created, create_log};
use super::replica::Replica;
use crate::env::Env;
use crate::format::commit::{Proposal, WriterInfo};
use crate::format::entry::Entry;
use crate::format::page::{Place, StreamKey};
use crate::format::segment::ObjectId;
use crate::format::slice::{Codec, SliceOp};
use crate::id::{Bucket, Name, ProposalName, SegmentId, Stream, TableId};
use crate::protocol::Protocol;
use crate::schema::arrow_form::arrow_schema;
use crate::schema::ensure::{TableRequest, build};
use crate::segment::{BodyBuilder, SliceMeta};
use crate::state::verdict::{Fate, Refusal, Verdict};
use crate::store::{Path, PutPayload, Store, StoreOptions, paths};

pub(crate) fn writer(env: &Env) -> WriterInfo {
    WriterInfo {
        incarnation: env.ulid(),
        version: "test".into(),
        address: String::new(),
        zone: String::new(),
        put_p99_us: 0,
    }
}

pub(crate) fn create_table(table: u64, name: &str, env: &Env) -> Entry {
    let request =
        TableRequest { columns: Some("id BIGINT NOT NULL, url STRING".into()), ..TableRequest::default() };
    let spec = build(&request).unwrap();
    Entry::TableCreated { table: TableId(table), name: Name::new(name).unwrap(), uuid: env.uuid(), spec }
}

async fn node(store: &Store, env: &Env) -> Committer {
    let replica = Replica::open(store.clone(), Name::new("default").unwrap(), env.clone(), Protocol::SHIPPED);
    let replica = replica.await.unwrap();
    Committer::new(replica, writer(env), CommitterOptions::default(), Arc::new(|_| {}))
}

fn proposal(n: u64, base: u64, env: &Env, entry: Entry) -> Proposal {
    let name = ProposalName { incarnation: env.ulid(), n };
    Proposal { name, base, producer: None, request_hash: 0, entries: vec![entry] }
}

#[tokio::test]
async fn what_one_node_writes_another_folds_to_the_same_hash() {
    let store = Store::open("memory://", &StoreOptions::default()).unwrap();
    let env = Env::system();
    let database = Name::new("default").unwrap();
    assert_eq!(create_log(&store, &database, &env, &writer(&env)).await.unwrap(), Created::Here);
    assert_eq!(create_log(&store, &database, &env, &writer(&env)).await.unwrap(), Created::Before);
    let (a, b) = (node(&store, &env).await, node(&store, &env).await);

    let first = proposal(0, a.replica().next(), &env, create_table(1, "clicks", &env));
    let fate = a.replica().expect(first.name, first.base);
    assert_eq!(a.write(Flush { proposals: vec![first], ..Flush::default() }).await.unwrap(), 1);
    assert!(matches!(fate.await.unwrap(), Fate::Decided { verdict: Verdict::Accepted(_), duplicate: false }));

    // b does not know of it, loses slot 1, folds it and is refused in slot 2.
    let second = proposal(0, b.replica().next(), &env, create_table(1, "clicks", &env));
    let fate = b.replica().expect(second.name, second.base);
    assert_eq!(b.write(Flush { proposals: vec![second], ..Flush::default() }).await.unwrap(), 2);
    let Fate::Decided { verdict: Verdict::Refused(refusal), .. } = fate.await.unwrap() else { panic!() };
    assert_eq!(refusal, Refusal::TableExists { table: TableId(1) });

    assert_eq!(a.replica().confirm_tail().await.unwrap(), 3);
    let c = node(&store, &env).await;
    for node in [&b, &c] {
        assert_eq!(node.replica().fold().folded(), a.replica().fold().folded());
        assert_eq!(node.replica().fold().state.encode(), a.replica().fold().state.encode());
    }
}

#[tokio::test]
async fn a_thousand_slots_later_a_cold_start_begins_at_the_checkpoint() {
    let store = Store::open("memory://", &StoreOptions::default()).unwrap();
    let env = Env::system();
    let database = Name::new("default").unwrap();
    create_log(&store, &database, &env, &writer(&env)).await.unwrap();
    let a = node(&store, &env).await;
    for n in 0..1_005u64 {
        let name = format!("t{n}");
        let entry = create_table(n + 1, &name, &env);
        a.write(Flush { proposals: vec![proposal(n, n + 1, &env, entry)], ..Flush::default() })
            .await
            .unwrap();
    }
    let due = a.replica().fold().due.clone();
    assert_eq!(due.iter().map(|due| due.slot).collect::<Vec<_>>(), [1_000]);
    a.replica().write_checkpoint(&due[0]).await.unwrap();
    assert_eq!(a.replica().fold().due.len(), 0);
    let before = store.metrics().requests_total();
    let b = node(&store, &env).await;
    assert_eq!(b.replica().fold().folded(), a.replica().fold().folded());
    assert!(store.metrics().requests_total() - before < 40, "{}", store.metrics().requests_total() - before);
}

/// One row for each of some tables, in one slot.
fn rows_of(tables: impl Iterator<Item = u64>, n: u64, base: u64, env: &Env) -> Flush {
    let schema = arrow_schema(&spec_of_two_columns().schema);
    let columns: Vec<ArrayRef> =
        vec![Arc::new(Int64Array::from(vec![1])), Arc::new(StringArray::from(vec!["/home"]))];
    let batch = RecordBatch::try_new(Arc::clone(&schema), columns).unwrap();
    let (mut builder, mut entries) = (BodyBuilder::new(), Vec::new());
    for (table, slice) in tables.zip(0u32..) {
        let meta = SliceMeta {
            table: TableId(table),
            bucket: Bucket(0),
            stream: Stream::Rows,
            schema: 0,
            columns: vec![1, 2],
            op: SliceOp::Append,
            codec: Codec::None,
            times: None,
            source: None,
        };
        builder.push(meta, std::slice::from_ref(&batch)).unwrap();
        entries.push(Entry::Appended { slice, first_row: 0, rows: 1, expected_offset: None });
    }
    let body = builder.finish();
    let name = ProposalName { incarnation: env.ulid(), n };
    let proposals = vec![Proposal { name, base, producer: None, request_hash: 0, entries }];
    Flush { proposals, slices: body.slices, body: body.chunks, ..Flush::default() }
}

fn spec_of_two_columns() -> crate::schema::TableSpec {
    let columns = Some("id BIGINT NOT NULL, url STRING".into());
    build(&TableRequest { columns, ..TableRequest::default() }).unwrap()
}

#[tokio::test]
async fn a_rare_table_among_ten_thousand_is_found_with_three_requests() {
    let store = Store::open("memory://", &StoreOptions::default()).unwrap();
    let (env, database) = (Env::system(), Name::new("default").unwrap());
    create_log(&store, &database, &env, &writer(&env)).await.unwrap();
    let mut protocol = Protocol::SHIPPED;
    protocol.fold.checkpoint_slots = 10;
    let open =
        async || Replica::open(store.clone(), database.clone(), env.clone(), protocol.clone()).await.unwrap();
    let a = Committer::new(open().await, writer(&env), CommitterOptions::default(), Arc::new(|_| {}));
    for slot in 0..10u64 {
        let creates = (slot * 1_000..(slot + 1) * 1_000).map(|table| {
            let entry = create_table(table + 1, &format!("t{table}"), &env);
            proposal(table, a.replica().next(), &env, entry)
        });
        a.write(Flush { proposals: creates.collect(), ..Flush::default() }).await.unwrap();
    }
    // Table 7 is written once, then the others, for three pages more.
    a.write(rows_of([7].into_iter(), 1, a.replica().next(), &env)).await.unwrap();
    for slot in 0..35u64 {
        let busy = (0..200).map(|n| 100 + (slot * 200 + n) % 9_000);
        a.write(rows_of(busy, 1, a.replica().next(), &env)).await.unwrap();
        loop {
            let due = a.replica().fold().due.first().cloned();
            let Some(due) = due else { break };
            a.replica().write_checkpoint(&due).await.unwrap();
        }
    }
    let key = StreamKey { table: TableId(7), bucket: Bucket(0), stream: Stream::Rows };
    let b = open().await;
    assert!(b.fold().pages.len() >= 4, "{} pages", b.fold().pages.len());
    b.warm_index().await;
    for (who, replica) in [("who wrote", a.replica()), ("who started", &b)] {
        let before = store.metrics().requests_total();
        replica.confirm_tail().await.unwrap();
        let places = replica.places(&key, 0..1).await.unwrap();
        let requests = store.metrics().requests_total() - before;
        assert!(requests <= 3, "{who}: {requests} requests to find one row");
        assert_eq!(places.len(), 1);
        replica.places(&key, 0..1).await.unwrap();
        assert_eq!(store.metrics().requests_total() - before, requests, "found twice");
    }
}

#[tokio::test]
async fn what_long_messages_say_of_their_bytes_is_asked_once() {
    let store = Store::open("memory://", &StoreOptions::default()).unwrap();
    let (env, database) = (Env::system(), Name::new("default").unwrap());
    create_log(&store, &database, &env, &writer(&env)).await.unwrap();
    let replica =
        Replica::open(store.clone(), database.clone(), env.clone(), Protocol::SHIPPED).await.unwrap();
    let column =
        || Arc::new(StringArray::from_iter_values((0..4_000).map(|n| format!("{n:0100}")))) as ArrayRef;
    let columns = (0..4).map(|n| (format!("c{n}"), column()));
    let batch = RecordBatch::try_from_iter(columns).unwrap();
    let meta = SliceMeta {
        table: TableId(1),
        bucket: Bucket(0),
        stream: Stream::Rows,
        schema: 0,
        columns: vec![1, 2, 3, 4],
        op: SliceOp::Append,
        codec: Codec::None,
        times: None,
        source: None,
    };
    let mut builder = BodyBuilder::new();
    builder.push(meta, std::slice::from_ref(&batch)).unwrap();
    let body = builder.finish();
    let object = ObjectId::Segment(SegmentId { base: 1, ulid: env.ulid() });
    let path = replica.object_path(&object);
    let put = store.create_if_absent(&path, body.chunks.iter().cloned().collect()).await;
    assert!(matches!(put, crate::store::CreateOutcome::Committed));
    let slice = Arc::new(body.slices[0].clone());
    let place = Place { offsets: 0..4_000, first_row: 0, time: 0, object, body_start: 0, slice };
    let fields = batch.schema().fields().to_vec();
    for requests in [2, 1, 1] {
        let before = store.metrics().requests_total();
        let read = replica.read_place(&place, &fields, &[2]).await.unwrap();
        assert_eq!(read, [batch.project(&[2]).unwrap()]);
        assert_eq!(store.metrics().requests_total() - before, requests);
    }
    // Another column needs no more than its own bytes; and what is gone is noticed, whatever is known of it.
    let before = store.metrics().requests_total();
    replica.read_place(&place, &fields, &[1]).await.unwrap();
    assert_eq!(store.metrics().requests_total() - before, 1);
    store.delete_many(&[path]).await.unwrap();
    assert!(replica.read_place(&place, &fields, &[2]).await.unwrap_err().is_stale());
}

/// A store in which a list of checkpoints is old when it comes: so often, the newest of it is replaced meanwhile.
#[derive(Debug, Default)]
struct Moving {
    inner: InMemory,
    /// What takes the place of the newest checkpoint, the next one last.
    coming: Mutex<Vec<(Path, PutPayload)>>,
}

impl std::fmt::Display for Moving {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("a store that moves on")
    }
}

#[async_trait::async_trait]
impl ObjectStore for Moving {
    async fn put_opts(
        &self,
        at: &Path,
        payload: PutPayload,
        options: PutOptions,
    ) -> object_store::Result<PutResult> {
        self.inner.put_opts(at, payload, options).await
    }

    async fn put_multipart_opts(
        &self,
        at: &Path,
        options: PutMultipartOptions,
    ) -> object_store::Result<Box<dyn MultipartUpload>> {
        self.inner.put_multipart_opts(at, options).await
    }

    async fn get_opts(&self, at: &Path, options: GetOptions) -> object_store::Result<GetResult> {
        self.inner.get_opts(at, options).await
    }

    fn delete_stream(
        &self,
        paths: BoxStream<'static, object_store::Result<Path>>,
    ) -> BoxStream<'static, object_store::Result<Path>> {
        self.inner.delete_stream(paths)
    }

    fn list(&self, prefix: Option<&Path>) -> BoxStream<'static, object_store::Result<ObjectMeta>> {
        let listed = futures::executor::block_on(self.inner.list(prefix).collect::<Vec<_>>());
        let newest = listed.iter().flatten().map(|meta| meta.location.clone()).min();
        if let Some((path, bytes)) = self.coming.lock().pop() {
            futures::executor::block_on(self.inner.put(&path, bytes)).unwrap();
            futures::executor::block_on(self.inner.delete(&newest.unwrap())).unwrap();
        }
        stream::iter(listed).boxed()
    }

    async fn list_with_delimiter(&self, prefix: Option<&Path>) -> object_store::Result<ListResult> {
        self.inner.list_with_delimiter(prefix).await
    }

    async fn copy_opts(&self, from: &Path, to: &Path, options: CopyOptions) -> object_store::Result<()> {
        self.inner.copy_opts(from, to, options).await
    }
}

#[tokio::test]
async fn a_checkpoint_that_went_since_the_list_is_no_reason_to_take_an_older_one() {
    let moving = Arc::new(Moving::default());
    let store = Store::from_object_store(Arc::clone(&moving) as Arc<dyn ObjectStore>, "moving");
    let (env, database) = (Env::system(), Name::new("default").unwrap());
    create_log(&store, &database, &env, &writer(&env)).await.unwrap();
    let mut protocol = Protocol::SHIPPED;
    protocol.fold.checkpoint_slots = 10;
    let open = async || Replica::open(store.clone(), database.clone(), env.clone(), protocol.clone()).await;
    let a =
        Committer::new(open().await.unwrap(), writer(&env), CommitterOptions::default(), Arc::new(|_| {}));
    while a.replica().next() <= 60 {
        a.write(Flush::default()).await.unwrap();
        let due = a.replica().fold().due.first().cloned();
        if let Some(due) = due {
            a.replica().write_checkpoint(&due).await.unwrap();
        }
    }
    // Checkpoints 10 and 20 are there; the others come, each in the stead of the one before, while somebody starts.
    let replace = async |slots: &[u64]| {
        for slot in slots {
            let path = paths::checkpoint(&database, *slot);
            let bytes = moving.inner.get(&path).await.unwrap().bytes().await.unwrap();
            moving.inner.delete(&path).await.unwrap();
            moving.coming.lock().insert(0, (path, bytes.into()));
        }
    };
    replace(&[30, 40, 50]).await;
    moving.inner.delete(&paths::checkpoint(&database, 60)).await.unwrap();
    let loaded = super::open::load(&store, &database, &protocol.fold).await.unwrap();
    assert_eq!(loaded.state.next(), 50, "an older checkpoint's slots may be gone");
}

//! A small store with every kind of object, written through the committer, then spoilt in every way.

use std::fs;
use std::path::{Path as FilePath, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use arrow::array::{ArrayRef, Int64Array, RecordBatch, StringArray};
use bytes::Bytes;
use frazil_compactor::{Janitor, JanitorOptions};
use frazil_log::commit::committer::{Committer, CommitterOptions, Flush};
use frazil_log::commit::create::create_log;
use frazil_log::commit::replica::Replica;
use frazil_log::env::Env;
use frazil_log::format::commit::{Proposal, SegmentRef, WriterInfo};
use frazil_log::format::entry::Entry;
use frazil_log::format::segment::SegmentHeader;
use frazil_log::format::slice::{Codec, Slice, SliceHome, SliceOp};
use frazil_log::id::{Bucket, Name, ProposalName, SegmentId, Stream, TableId};
use frazil_log::protocol::{FoldRules, Protocol};
use frazil_log::schema::TableSpec;
use frazil_log::schema::arrow_form::arrow_schema;
use frazil_log::schema::ensure::{TableRequest, build};
use frazil_log::segment::{Body, BodyBuilder, SliceMeta};
use frazil_log::store::paths::{self, Key};
use frazil_log::store::{CreateOutcome, Path, PutPayload, Store, StoreOptions};

use super::object::{Fault, checkpoint, commit, page, segment};
use super::{Options, Report, verify};

/// So few slots to a checkpoint, that a short log has several.
const CHECKPOINT_SLOTS: u64 = 6;

/// Slots 2 to 13 have rows; the last, in a segment, comes after them.
const ROW_SLOTS: u64 = 12;

fn protocol() -> Protocol {
    let fold = FoldRules { checkpoint_slots: CHECKPOINT_SLOTS, ..Protocol::SHIPPED.fold };
    Protocol { fold, ..Protocol::SHIPPED }
}

fn options() -> Options {
    Options { database: None, deep: false, since: None, protocol: protocol(), now: Env::system().now().wall }
}

fn database() -> Name {
    Name::new("default").unwrap()
}

fn spec() -> TableSpec {
    let columns = Some("id BIGINT NOT NULL, note STRING".to_owned());
    build(&TableRequest { columns, buckets: Some(2), ..TableRequest::default() }).unwrap()
}

fn body(rows: i64, bucket: u32) -> Body {
    let spec = spec();
    let meta = SliceMeta {
        table: TableId(1),
        bucket: Bucket(bucket),
        stream: Stream::Rows,
        schema: 0,
        columns: spec.schema.columns.iter().map(|column| column.id).collect(),
        op: SliceOp::Append,
        codec: Codec::Lz4,
        times: None,
        source: None,
    };
    let ids = Int64Array::from_iter_values(0..rows);
    let notes: StringArray = (0..rows).map(|row| (row % 3 > 0).then(|| format!("note {row}"))).collect();
    let columns: Vec<ArrayRef> = vec![Arc::new(ids), Arc::new(notes)];
    let batch = RecordBatch::try_new(arrow_schema(&spec.schema), columns).unwrap();
    let mut builder = BodyBuilder::new();
    builder.push(meta, &[batch]).unwrap();
    builder.finish()
}

struct Writer {
    committer: Committer,
    env: Env,
    n: u64,
}

impl Writer {
    async fn open(store: &Store) -> Self {
        Self::open_with(store, protocol()).await
    }

    async fn open_with(store: &Store, protocol: Protocol) -> Self {
        let env = Env::system();
        let writer = WriterInfo {
            incarnation: env.ulid(),
            version: "test".into(),
            address: String::new(),
            zone: String::new(),
            put_p99_us: 0,
        };
        create_log(store, &database(), &env, &writer).await.unwrap();
        let replica = Replica::open(store.clone(), database(), env.clone(), protocol).await.unwrap();
        let committer = Committer::new(replica, writer, CommitterOptions::default(), Arc::new(|_| {}));
        Self { committer, env, n: 0 }
    }

    async fn write(&mut self, entry: Entry, flush: Flush) {
        self.n += 1;
        let replica = self.committer.replica();
        let name = ProposalName { incarnation: self.env.ulid(), n: self.n };
        let proposal =
            Proposal { name, base: replica.next(), producer: None, request_hash: 0, entries: vec![entry] };
        self.committer.write(Flush { proposals: vec![proposal], ..flush }).await.unwrap();
        let due = replica.fold().due.clone();
        for due in due {
            replica.write_checkpoint(&due).await.unwrap();
        }
    }

    async fn rows(&mut self, bucket: u32) {
        let body = body(5, bucket);
        let entry = Entry::Appended { slice: 0, first_row: 0, rows: 5, expected_offset: None };
        self.write(entry, Flush { slices: body.slices, body: body.chunks, ..Flush::default() }).await;
    }

    async fn segment(&mut self) {
        let replica = self.committer.replica();
        let id = SegmentId { base: replica.next(), ulid: self.env.ulid() };
        let body = body(40, 0);
        let log_uuid = replica.fold().state.identity().uuid;
        let header = SegmentHeader {
            log_uuid,
            id,
            encryption_key_id: String::new(),
            sources: Vec::new(),
            slices: body.slices.clone(),
        };
        let sealed = header.seal(body.chunks).unwrap();
        let put = replica
            .store()
            .create_if_absent(&paths::segment(&database(), id), sealed.pieces().collect())
            .await;
        assert!(matches!(put, CreateOutcome::Committed));
        let slices: Vec<Slice> =
            body.slices.into_iter().map(|slice| Slice { home: SliceHome::Segment(0), ..slice }).collect();
        let segments = vec![SegmentRef { id, body_start: sealed.envelope.body_start() }];
        let entry = Entry::Appended { slice: 0, first_row: 0, rows: 40, expected_offset: None };
        self.write(entry, Flush { segments, slices, ..Flush::default() }).await;
    }
}

struct Written {
    directory: tempfile::TempDir,
    store: Store,
}

async fn written() -> Written {
    let directory = tempfile::tempdir().unwrap();
    let store = Store::open(directory.path().to_str().unwrap(), &StoreOptions::default()).unwrap();
    let mut writer = Writer::open(&store).await;
    let (name, uuid) = (Name::new("clicks").unwrap(), writer.env.uuid());
    writer.write(Entry::TableCreated { table: TableId(1), name, uuid, spec: spec() }, Flush::default()).await;
    for slot in 0..ROW_SLOTS {
        writer.rows(u32::try_from(slot % 2).unwrap()).await;
    }
    writer.segment().await;
    Written { directory, store }
}

fn objects(directory: &FilePath) -> Vec<PathBuf> {
    let mut found = Vec::new();
    let mut waiting = vec![directory.to_owned()];
    while let Some(next) = waiting.pop() {
        for entry in fs::read_dir(next).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() { waiting.push(path) } else { found.push(path) }
        }
    }
    found.sort();
    found
}

impl Written {
    fn key(&self, object: &FilePath) -> String {
        object
            .strip_prefix(fs::canonicalize(self.directory.path()).unwrap())
            .unwrap()
            .to_str()
            .unwrap()
            .to_owned()
    }

    fn objects(&self) -> Vec<PathBuf> {
        objects(&fs::canonicalize(self.directory.path()).unwrap())
    }

    fn file(&self, path: &Path) -> PathBuf {
        self.directory.path().join(path.as_ref())
    }

    async fn verify(&self, deep: bool) -> Report {
        let options = Options { deep, ..options() };
        verify(&self.store, &options, &|_| {}).await.unwrap()
    }
}

fn clean(report: &Report) {
    assert!(report.corruptions.is_empty() && report.unreadable.is_empty(), "{report:#?}");
}

#[tokio::test]
async fn a_store_as_it_was_written_is_clean_and_all_of_it_was_looked_at() {
    let written = written().await;
    let objects = written.objects();
    let report = written.verify(true).await;
    clean(&report);
    assert_eq!(report.objects, u64::try_from(objects.len()).unwrap());
    let bytes: u64 = objects.iter().map(|object| fs::metadata(object).unwrap().len()).sum();
    assert_eq!(report.bytes, bytes);
    let found = &report.databases[0];
    assert_eq!((found.folded_from, found.folded_to), (Some(0), Some(ROW_SLOTS + 3)));
    assert_eq!(found.checkpoints_agreeing, 2);
    assert_eq!(found.slices_decoded, ROW_SLOTS + 1);
    assert_eq!(found.places, ROW_SLOTS + 1);
    assert_eq!((found.segments_unreferenced, found.pages_unlisted, found.slots_not_folded), (0, 0, 0));
    assert!(report.remarks.is_empty(), "{:?}", report.remarks);
}

#[tokio::test]
async fn each_flipped_byte_is_named_with_its_object_and_a_range_that_holds_it() {
    let written = written().await;
    let mut flipped = 0;
    for object in written.objects() {
        let whole = fs::read(&object).unwrap();
        let key = written.key(&object);
        for at in (0..24).map(|n| (whole.len() - 1) * n / 23) {
            let mut bytes = whole.clone();
            bytes[at] ^= 1 << (at % 8);
            fs::write(&object, &bytes).unwrap();
            let report = written.verify(at % 2 == 0).await;
            let holds = |fault: &Fault| {
                let at = u64::try_from(at).unwrap();
                fault.object == key && fault.bytes.as_ref().is_some_and(|range| range.contains(&at))
            };
            assert!(report.corruptions.iter().any(holds), "byte {at} of {key}: {:#?}", report.corruptions);
            let others: Vec<_> = report.corruptions.iter().filter(|fault| fault.object != key).collect();
            assert!(others.is_empty(), "one flip is one object's: byte {at} of {key}: {others:#?}");
            flipped += 1;
        }
        fs::write(&object, &whole).unwrap();
    }
    assert!(flipped > 400, "{flipped}");
    clean(&written.verify(false).await);
}

#[tokio::test]
async fn every_byte_of_every_kind_of_object_is_under_some_checksum() {
    let written = written().await;
    for object in written.objects() {
        let key = written.key(&object);
        let whole = fs::read(&object).unwrap();
        let parsed = Key::parse(&Path::from(key.as_str())).unwrap();
        let faults = |bytes: &Bytes| match &parsed {
            Key::Log { slot, .. } => commit(&key, bytes, *slot).faults,
            Key::Checkpoint { slot, .. } => checkpoint(&key, bytes, *slot).faults,
            Key::Index { from, to, .. } => page(&key, bytes, &(*from..*to)).faults,
            Key::Segment { id, .. } => segment(&key, bytes, *id).faults,
            Key::Probe { .. } => panic!("a probe was left"),
        };
        assert!(faults(&whole.clone().into()).is_empty(), "{key}");
        for at in 0..whole.len() {
            let mut bytes = whole.clone();
            bytes[at] ^= 0x10;
            let at = u64::try_from(at).unwrap();
            let found = faults(&bytes.into());
            assert!(
                found.iter().any(|fault| fault.bytes.clone().is_some_and(|range| range.contains(&at))),
                "{key} {at}: {found:?}"
            );
        }
        for length in 0..whole.len() {
            assert!(!faults(&whole[..length].to_vec().into()).is_empty(), "{key} cut to {length}");
        }
        let longer = [whole.as_slice(), &[0]].concat();
        assert!(!faults(&longer.into()).is_empty(), "{key} with a byte more");
    }
}

#[tokio::test]
async fn a_flipped_row_is_narrowed_to_its_column() {
    let written = written().await;
    let object = written.file(&paths::log(&database(), 3));
    let mut bytes = fs::read(&object).unwrap();
    let read = commit("x", &bytes, 3).content.unwrap();
    let (slice, start) = (&read.header.slices[0], read.envelope.body_start());
    let batch = &slice.batches[0];
    let chunk = batch.chunks[1];
    let from = start + slice.body_offset + u64::from(batch.metadata_len) + chunk.offset;
    bytes[usize::try_from(from).unwrap() + 1] ^= 1;
    fs::write(&object, &bytes).unwrap();
    let report = written.verify(false).await;
    assert_eq!(report.corruptions.len(), 1, "{:#?}", report.corruptions);
    assert_eq!(report.corruptions[0].bytes, Some(from..from + chunk.len));
    let words = report.corruptions[0].to_string();
    assert!(
        words.contains(&format!("bytes {from}..{}: expected column 2 checksum", from + chunk.len)),
        "{words}"
    );
}

#[tokio::test]
async fn a_lost_object_of_each_kind_is_told() {
    let written = written().await;
    for object in written.objects() {
        let key = written.key(&object);
        let whole = fs::read(&object).unwrap();
        fs::remove_file(&object).unwrap();
        let report = written.verify(false).await;
        let told = report.corruptions.iter().any(|fault| fault.object == key);
        match Key::parse(&Path::from(key.as_str())).unwrap() {
            // Nothing shows that the last slot ever was, nor that a checkpoint was written in time.
            Key::Log { slot, .. } if slot == ROW_SLOTS + 2 => {}
            // Only the newest checkpoint's list is needed; a trimmed log has no older one.
            Key::Checkpoint { .. } => clean(&report),
            Key::Log { slot, .. } => assert!(told, "slot {slot}: {report:#?}"),
            _ => assert!(told, "{key}: {report:#?}"),
        }
        fs::write(&object, &whole).unwrap();
    }
}

#[tokio::test]
async fn slots_that_trim_would_have_kept_are_missed_and_a_ghost_is_seen() {
    let written = written().await;
    // Everything below the older checkpoint goes, with the rows of bucket 0 and 1 there.
    for slot in 0..CHECKPOINT_SLOTS {
        fs::remove_file(written.file(&paths::log(&database(), slot))).unwrap();
    }
    let young = written.verify(false).await;
    let words = young.corruptions.first().map(ToString::to_string).unwrap_or_default();
    assert!(
        words.contains("the commits of slots 0..6, which the checkpoint of slot 12 covers, found nothing"),
        "{young:#?}"
    );

    // Trim acts on a checkpoint of a day.
    let old = fs::File::open(written.file(&paths::checkpoint(&database(), CHECKPOINT_SLOTS))).unwrap();
    old.set_modified(old.metadata().unwrap().modified().unwrap() - Duration::from_secs(2 * 86_400)).unwrap();
    let report = written.verify(false).await;
    let found = &report.databases[0];
    assert_eq!((found.folded_from, found.folded_to), (Some(CHECKPOINT_SLOTS), Some(ROW_SLOTS + 3)));
    let gone: Vec<&str> = report.corruptions.iter().map(|fault| fault.object.as_str()).collect();
    let expected: Vec<String> =
        (2..CHECKPOINT_SLOTS).map(|slot| paths::log(&database(), slot).to_string()).collect();
    let mut gone: Vec<String> = gone.into_iter().map(str::to_owned).collect();
    gone.sort();
    assert_eq!(
        gone, expected,
        "trim never deletes rows that were not rolled up: they are missed, the slots as such are not"
    );

    let ghost = fs::read(written.file(&paths::log(&database(), 8))).unwrap();
    let mut header = commit("x", &ghost, 8).content.unwrap().header;
    header.put_id = Env::system().ulid();
    let body_start = commit("x", &ghost, 8).content.unwrap().envelope.body_start();
    let rows = Bytes::from(ghost[usize::try_from(body_start).unwrap()..].to_vec());
    fs::write(written.file(&paths::log(&database(), 8)), header.seal(vec![rows]).unwrap().to_vec()).unwrap();
    let report = written.verify(false).await;
    assert!(
        report.corruptions.iter().any(|fault| fault.object == paths::log(&database(), 8).as_ref()),
        "{report:#?}"
    );
}

#[tokio::test]
async fn a_log_that_the_janitor_trimmed_is_clean() {
    let directory = tempfile::tempdir().unwrap();
    let store = Store::open(directory.path().to_str().unwrap(), &StoreOptions::default()).unwrap();
    let (fold, checkpoint_age_min) = (protocol().fold, Duration::ZERO);
    let at_once = Protocol { checkpoint_age_min, fold, ..Protocol::SHIPPED };
    let mut writer = Writer::open_with(&store, at_once.clone()).await;
    let (name, uuid) = (Name::new("clicks").unwrap(), writer.env.uuid());
    writer.write(Entry::TableCreated { table: TableId(1), name, uuid, spec: spec() }, Flush::default()).await;
    let janitor = Janitor::new(
        writer.committer.clone(),
        JanitorOptions::default(),
        frazil_compactor::Metrics::default(),
    );
    let (mut trimmed, mut merged) = (0, 0);
    for slot in 0..130u32 {
        writer.rows(slot % 2).await;
        if slot % 13 == 0 {
            let round = janitor.round().await.unwrap();
            (trimmed, merged) = (trimmed + round.slots_trimmed, merged + round.pages_merged);
        }
    }
    assert!(trimmed > 50 && merged > 0, "{trimmed} slots trimmed, {merged} pages merged");
    for deep in [false, true] {
        let options = Options { deep, protocol: at_once.clone(), ..options() };
        let report = verify(&store, &options, &|_| {}).await.unwrap();
        clean(&report);
        assert!(report.databases[0].folded_from > Some(0), "{report:#?}");
    }
    // Under the shipped ages nothing can have been trimmed yet.
    let report = verify(&store, &options(), &|_| {}).await.unwrap();
    assert!(
        report.corruptions.iter().any(|fault| fault.expected.starts_with("the commits of slots 0..")),
        "{report:#?}"
    );
}

#[tokio::test]
async fn a_hole_is_a_remark_and_a_slot_that_a_later_writer_had_folded_is_lost() {
    let written = written().await;
    let last = written.file(&paths::log(&database(), ROW_SLOTS + 2));
    let bytes = fs::read(&last).unwrap();
    // A slot far above, by a writer who had folded no further: nobody filled the slots between.
    let mut header = commit("x", &bytes, ROW_SLOTS + 2).content.unwrap().header;
    (header.slot, header.segments, header.slices, header.proposals) =
        (40, Vec::new(), Vec::new(), Vec::new());
    let above = written.file(&paths::log(&database(), 40));
    fs::write(&above, header.seal(Vec::new()).unwrap().to_vec()).unwrap();
    let report = written.verify(false).await;
    clean(&report);
    assert!(
        report.remarks.iter().any(|remark| remark.contains(&format!("slot {} is a hole", ROW_SLOTS + 3))),
        "{report:#?}"
    );
    assert_eq!(report.databases[0].slots_not_folded, 1);

    header.folded.0 = ROW_SLOTS + 5;
    fs::write(&above, header.seal(Vec::new()).unwrap().to_vec()).unwrap();
    let report = written.verify(false).await;
    let words = report.corruptions.first().map(ToString::to_string).unwrap_or_default();
    assert!(
        words.contains("the commits of slots 15..17, which the writer of slot 40 had folded, found nothing"),
        "{report:#?}"
    );
}

#[tokio::test]
async fn a_checkpoint_of_another_state_and_a_commit_of_another_hash_are_told() {
    let written = written().await;
    let path = paths::checkpoint(&database(), CHECKPOINT_SLOTS);
    let bytes = Bytes::from(fs::read(written.file(&path)).unwrap());
    let (_, read) = checkpoint("x", &bytes, CHECKPOINT_SLOTS).content.unwrap();
    let mut state = read.state.to_vec();
    let at = state.windows(6).position(|window| window == b"clicks").unwrap();
    state[at] = b'k';
    let forged = frazil_log::format::checkpoint::seal_checkpoint(
        read.header.log_uuid,
        CHECKPOINT_SLOTS,
        read.header.log_hash,
        state.into(),
        read.features,
        &read.pages,
    );
    fs::write(written.file(&path), forged.unwrap().to_vec()).unwrap();
    let report = written.verify(false).await;
    assert_eq!(report.corruptions.len(), 1, "{report:#?}");
    assert_eq!(report.corruptions[0].object, path.as_ref());
    fs::write(written.file(&path), &bytes).unwrap();

    let object = written.file(&paths::log(&database(), 9));
    let whole = fs::read(&object).unwrap();
    let read = commit("x", &whole, 9).content.unwrap();
    let mut header = read.header;
    header.folded.1 ^= 1;
    let rows = Bytes::from(whole[usize::try_from(read.envelope.body_start()).unwrap()..].to_vec());
    fs::write(&object, header.seal(vec![rows]).unwrap().to_vec()).unwrap();
    let report = written.verify(false).await;
    let words = report.corruptions.first().map(ToString::to_string).unwrap_or_default();
    assert!(words.contains("log hash at slot 9"), "{report:#?}");
}

#[tokio::test]
async fn deep_compares_rows_with_what_the_header_says_of_them() {
    let written = written().await;
    let object = written.file(&paths::log(&database(), 14));
    let whole = fs::read(&object).unwrap();
    let read = commit("x", &whole, 14).content.unwrap();
    assert!(read.header.slices.iter().all(|slice| slice.home == SliceHome::Segment(0)));
    let segment_file =
        written.objects().into_iter().find(|object| written.key(object).contains("/segment/")).unwrap();
    let bytes = fs::read(&segment_file).unwrap();
    let Some(Key::Segment { id, .. }) = Key::parse(&Path::from(written.key(&segment_file))) else { panic!() };
    let (envelope, mut header) = segment("x", &bytes, id).content.unwrap();
    header.slices[0].statistics[0].max = 38i64.to_le_bytes().to_vec();
    let rows = Bytes::from(bytes[usize::try_from(envelope.body_start()).unwrap()..].to_vec());
    fs::write(&segment_file, header.seal(vec![rows]).unwrap().to_vec()).unwrap();
    clean(&written.verify(false).await);
    let report = written.verify(true).await;
    assert_eq!(report.corruptions.len(), 1, "{report:#?}");
    assert!(report.corruptions[0].expected.contains("column id with values up to"), "{report:#?}");
}

#[tokio::test]
async fn since_reads_only_what_came_after_and_foreign_keys_are_remarks() {
    let written = written().await;
    fs::write(written.directory.path().join("default").join("notes.txt"), "x").unwrap();
    let put = written
        .store
        .create_if_absent(&paths::probe(Env::system().ulid()), PutPayload::from_static(b"x"))
        .await;
    assert!(matches!(put, CreateOutcome::Committed));
    let all = written.verify(false).await;
    clean(&all);
    assert!(
        all.remarks.iter().any(|remark| remark.contains("default/notes.txt: a foreign key")),
        "{:?}",
        all.remarks
    );
    assert!(all.remarks.iter().any(|remark| remark.contains("probes")), "{:?}", all.remarks);

    let options = Options { database: Some(database()), since: Some(i64::MAX), ..options() };
    let report = verify(&written.store, &options, &|_| {}).await.unwrap();
    clean(&report);
    assert_eq!(report.databases[0].folded_from, Some(2 * CHECKPOINT_SLOTS));
    assert_eq!(report.databases[0].folded_to, all.databases[0].folded_to);
    assert!(report.objects < all.objects);

    let options = Options { database: Some(Name::new("other").unwrap()), ..options };
    let error = verify(&written.store, &options, &|_| {}).await.unwrap_err();
    assert!(error.to_string().contains("no database"), "{error}");
}

//! The real backends: memory and a directory pass the suite; URLs, homes, counters.

use std::sync::Arc;

use bytes::Bytes;
use object_store::memory::InMemory;
use object_store::prefix::PrefixStore;
use prometheus_client::registry::Registry;

use super::{PATIENCE, payload, ulid, wall};
use crate::error::ErrorKind;
use crate::id::Name;
use crate::store::conformance::conformance;
use crate::store::{
    ClockVerdict, CreateOutcome, Op, Outcome, PROBE_TIMEOUT, Path, Store, StoreOptions, paths,
};

fn open(url: &str) -> Store {
    Store::open(url, &StoreOptions::default()).unwrap()
}

async fn passes(store: &Store) {
    let verdict = tokio::time::timeout(PATIENCE, conformance(store)).await.unwrap();
    assert_eq!(verdict, Ok(()), "{store:?}");
    let report = store.probe(ulid(), &wall, PROBE_TIMEOUT).await.unwrap();
    assert_eq!(report.skew.map(|skew| skew.verdict()), Some(ClockVerdict::Good));
    assert_eq!(store.list(&paths::probe_prefix(), None, 10).await.unwrap(), Vec::new());
}

#[tokio::test]
async fn memory_passes_the_suite() {
    passes(&open("memory://")).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_directory_passes_the_suite() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("made/on the way");
    passes(&open(path.to_str().unwrap())).await;
}

#[tokio::test]
async fn a_store_that_is_handed_in_passes_the_suite_also_below_a_prefix_and_under_a_layer() {
    passes(&Store::from_object_store(Arc::new(InMemory::new()), "handed in")).await;
    let below = PrefixStore::new(InMemory::new(), "a/b");
    passes(&Store::from_object_store(Arc::new(below), "below a prefix")).await;
    passes(&open("memory://").wrapped(|inner| Arc::new(PrefixStore::new(inner, "layer")))).await;
}

#[test]
fn what_the_store_does_may_move_between_threads() {
    fn sendable<T: Send>(value: T) -> T {
        value
    }
    let (store, path) = (open("memory://"), Path::from("a"));
    drop(sendable(store.create_if_absent(&path, payload("x"))));
    drop(sendable(store.get_prefix(&path, 1)));
    drop(sendable(store.get_ranges(&path, &[])));
    drop(sendable(store.list(&path, None, 1)));
    drop(sendable(store.list_databases()));
    drop(sendable(store.delete_many(&[])));
    drop(sendable(store.probe(ulid(), &wall, PROBE_TIMEOUT)));
    drop(sendable(conformance(&store)));
}

#[tokio::test]
async fn each_opening_of_memory_is_a_store_of_its_own() {
    let (one, other) = (open("memory://"), open("memory://"));
    let path = Path::from("a/b");
    assert!(matches!(one.create_if_absent(&path, payload("x")).await, CreateOutcome::Committed));
    assert_eq!(other.get(&path).await.unwrap(), None);
    assert_eq!(one.clone().get(&path).await.unwrap().unwrap().bytes, Bytes::from_static(b"x"));
}

#[tokio::test]
async fn a_directory_is_the_same_store_however_it_is_written() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("data");
    let plain = open(path.to_str().unwrap());
    let again = open(&format!("file://{}/", path.display()));
    let dotted = open(directory.path().join("data/../data").to_str().unwrap());
    let database = Name::new("default").unwrap();
    let slot = paths::log(&database, 0);

    assert!(matches!(plain.create_if_absent(&slot, payload("x")).await, CreateOutcome::Committed));

    assert!(matches!(again.create_if_absent(&slot, payload("y")).await, CreateOutcome::Lost));
    let canonical = path.canonicalize().unwrap();
    for store in [plain, again, dotted] {
        assert_eq!(store.home().as_deref(), canonical.to_str());
        assert!(store.description().contains("fsync on"));
        assert_eq!(store.list_databases().await.unwrap(), vec![database.clone()]);
    }
}

#[test]
fn the_home_of_a_bucket_is_its_url_and_memory_has_none() {
    let mut options = StoreOptions::default();
    for (name, value) in [
        ("AWS_ACCESS_KEY_ID", "k"),
        ("AWS_SECRET_ACCESS_KEY", "s"),
        ("AWS_ENDPOINT_URL", "http://127.0.0.1:9"),
        ("AWS_REGION", ""),
    ] {
        options.environment.insert(name.to_owned(), value.to_owned());
    }
    for (url, home) in [("s3://bucket/p/q/", "s3://bucket/p/q"), ("s3://bucket", "s3://bucket")] {
        let store = Store::open(url, &options).unwrap();
        assert_eq!(store.home().as_deref(), Some(home));
        assert_eq!(store.description(), format!("{home} at http://127.0.0.1:9"));
    }
    assert_eq!(open("memory://").home(), None);

    options.environment.insert("AWS_ENDPOINT_URL".to_owned(), "localhost:9000".to_owned());
    let error = Store::open("s3://bucket", &options).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Invalid);
    assert!(error.to_string().contains("AWS_ENDPOINT_URL"), "{error}");
}

#[cfg(not(any(feature = "gcp", feature = "azure")))]
#[test]
fn a_cloud_that_is_not_built_in_names_its_feature() {
    for (url, feature) in [("gs://b/p", "--features gcp"), ("az://c/p", "--features azure")] {
        let error = Store::open(url, &StoreOptions::default()).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Unsupported);
        assert!(error.to_string().contains(feature), "{error}");
    }
}

#[tokio::test]
async fn a_file_in_place_of_the_directory_is_refused() {
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("file");
    std::fs::write(&file, "x").unwrap();
    for path in [file.clone(), file.join("below")] {
        let error = Store::open(path.to_str().unwrap(), &StoreOptions::default()).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Invalid, "{error}");
    }
}

#[tokio::test]
async fn databases_are_directories_with_a_slot_0_or_a_checkpoint() {
    let store = open("memory://");
    let name = |name: &str| Name::new(name).unwrap();
    for path in [
        paths::log(&name("started"), 0),
        paths::log(&name("holed"), 3),
        paths::checkpoint(&name("trimmed"), 5_000),
        paths::probe(ulid()),
        Path::from("some-thing/log/00000000000000000000"),
    ] {
        assert!(matches!(store.create_if_absent(&path, payload("x")).await, CreateOutcome::Committed));
    }
    assert_eq!(store.list_databases().await.unwrap(), vec![name("started"), name("trimmed")]);
}

#[tokio::test]
async fn requests_and_bytes_are_counted_by_operation_and_result() {
    let store = open("memory://");
    let (path, absent) = (Path::from("a/b"), Path::from("a/c"));
    store.create_if_absent(&path, payload("0123456789")).await;
    store.create_if_absent(&path, payload("again")).await;
    store.get_prefix(&path, 4).await.unwrap();
    store.get(&absent).await.unwrap();
    store.get_ranges(&path, &[0..1, 3..5]).await.unwrap();
    store.list(&Path::from("a"), None, 1).await.unwrap();
    store.delete_many(&[path, absent]).await.unwrap();

    let metrics = store.metrics();
    for (op, outcome, count) in [
        (Op::Put, Outcome::Ok, 1),
        (Op::Put, Outcome::Exists, 1),
        (Op::Get, Outcome::Ok, 2),
        (Op::Get, Outcome::NotFound, 1),
        (Op::List, Outcome::Ok, 1),
        (Op::Delete, Outcome::Ok, 2),
        (Op::Head, Outcome::Ok, 0),
    ] {
        assert_eq!(metrics.requests(op, outcome), count, "{op:?} {outcome:?}");
    }
    assert_eq!(metrics.requests_total(), 8);
    assert_eq!(metrics.bytes(Op::Put), 10);
    assert_eq!(metrics.bytes(Op::Get), 4 + 5);

    let mut registry = Registry::default();
    metrics.register(&mut registry);
    let mut text = String::new();
    prometheus_client::encoding::text::encode(&mut text, &registry).unwrap();
    for line in [
        "frazil_store_requests_total{op=\"put\",result=\"exists\"} 1",
        "frazil_store_bytes_total{op=\"put\"} 10",
        "frazil_store_request_seconds_count{op=\"get\"} 3",
    ] {
        assert!(text.contains(line), "{line} is not in\n{text}");
    }
}

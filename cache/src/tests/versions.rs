//! Keys that come to hold another object, and what is written through.

use super::*;

async fn replace(probe: &Probe, path: &str, bytes: Vec<u8>) {
    probe.inner.delete(&Path::from(path)).await.unwrap();
    probe.lay(path, bytes).await;
}

#[tokio::test]
async fn two_versions_never_stand_in_one_answer() {
    for size in [3 * P, 3 * P - 7] {
        let probe = Arc::new(Probe::default());
        let store = in_memory(&probe, 64 << 20);
        probe.lay("tail/a", content(1, 3 * P)).await;
        read(&store, "tail/a", 0..P).await.unwrap();
        replace(&probe, "tail/a", content(2, size)).await;
        // The first page is of the old one, the others can only be of the new one.
        let read_again = read(&store, "tail/a", 0..size).await.unwrap();
        assert!(read_again == content(2, size), "two versions in one answer");
        // And that is what is remembered from now on.
        probe.take_gets();
        assert!(
            read(&store, "tail/a", 0..P).await.unwrap() == content(2, size)[..usize::try_from(P).unwrap()]
        );
        assert_eq!(probe.gets(), 0);
    }
}

#[tokio::test]
async fn a_bypass_says_what_stands_there_now_and_others_learn_it() {
    let probe = Arc::new(Probe::default());
    let fresh = Arc::new(AtomicBool::new(false));
    let asked = Arc::clone(&fresh);
    let classify: Classify = Arc::new(
        move |_: &Path, _: Access<'_>| {
            if asked.load(Ordering::SeqCst) { Class::Bypass } else { Class::Tail }
        },
    );
    let options = CacheOptions { memory_bytes: 64 << 20, ssd: None, shards: 1 };
    let objects = Arc::clone(&probe) as Arc<dyn ObjectStore>;
    let store = CachedStore::in_memory(objects, classify, &options, Metrics::default());
    probe.lay("a", content(1, 100)).await;
    read(&store, "a", 0..100).await.unwrap();
    replace(&probe, "a", content(2, 90)).await;
    // A cache remembers ...
    assert_eq!(read(&store, "a", 0..100).await.unwrap(), content(1, 100));
    fresh.store(true, Ordering::SeqCst);
    assert_eq!(read(&store, "a", 0..100).await.unwrap(), content(2, 90));
    fresh.store(false, Ordering::SeqCst);
    // ... until it is shown.
    assert_eq!(read(&store, "a", 0..100).await.unwrap(), content(2, 90));
    probe.inner.delete(&Path::from("a")).await.unwrap();
    fresh.store(true, Ordering::SeqCst);
    assert!(matches!(read(&store, "a", 0..100).await, Err(Error::NotFound { .. })));
    fresh.store(false, Ordering::SeqCst);
    assert!(matches!(read(&store, "a", 0..100).await, Err(Error::NotFound { .. })));
}

#[tokio::test]
async fn an_own_fresh_object_is_read_without_a_request() {
    let probe = Arc::new(Probe::default());
    let store = in_memory(&probe, 64 << 20);
    let bytes = content(1, 2 * P + 100);
    let payload: PutPayload = bytes.chunks(300_000).map(Bytes::copy_from_slice).collect();
    store.put_opts(&Path::from("tail/a"), payload, create()).await.unwrap();
    assert!(read(&store, "tail/a", 0..3 * P).await.unwrap() == bytes);
    assert!(
        store.get_opts(&Path::from("tail/a"), GetOptions::default()).await.unwrap().bytes().await.unwrap()
            == bytes
    );
    assert_eq!(probe.gets(), 0);
}

#[tokio::test]
async fn an_object_that_lost_its_key_is_not_remembered() {
    let probe = Arc::new(Probe::default());
    let store = in_memory(&probe, 64 << 20);
    probe.lay("tail/a", content(1, 100)).await;
    let lost = store.put_opts(&Path::from("tail/a"), content(2, 100).into(), create()).await;
    assert!(matches!(lost, Err(Error::AlreadyExists { .. })));
    assert_eq!(read(&store, "tail/a", 0..100).await.unwrap(), content(1, 100));
    // What is not the tail's is written, not kept.
    store.put_opts(&Path::from("scan/a"), content(3, 100).into(), create()).await.unwrap();
    read(&store, "scan/a", 0..100).await.unwrap();
    assert_eq!(probe.gets(), 2);
}

//! What is read, what is asked of the store for it, and how much memory it takes.

use futures::future::join_all;
use proptest::prelude::*;

use super::*;

fn range(size: u64) -> impl Strategy<Value = Option<GetRange>> {
    let near = prop_oneof![0..size + 3, Just(P - 1), Just(P), Just(P + 1), Just(2 * P), Just(size)];
    prop_oneof![
        Just(None),
        (near.clone(), 0..2 * P).prop_map(|(start, length)| Some(GetRange::Bounded(start..start + length))),
        (near.clone(), near).prop_map(|(one, other)| Some(GetRange::Bounded(one.min(other)..one.max(other)))),
        (0..size + 3).prop_map(|start| Some(GetRange::Offset(start))),
        (0..size + 3).prop_map(|length| Some(GetRange::Suffix(length))),
    ]
}

fn sizes() -> impl Strategy<Value = u64> {
    prop_oneof![Just(0), Just(1), Just(P - 1), Just(P), Just(P + 1), Just(2 * P), Just(3 * P + 5), 1..4 * P]
}

fn reads() -> impl Strategy<Value = (u64, Vec<(usize, Option<GetRange>)>)> {
    sizes().prop_flat_map(|size| (Just(size), prop::collection::vec((0usize..6, range(size)), 1..40)))
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]
    #[test]
    fn an_answer_is_the_stores_whatever_is_remembered(
        (size, reads) in reads(),
        memory_bytes in prop_oneof![Just(0usize), Just(3 << 20), Just(64 << 20)],
    ) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap();
        runtime.block_on(async {
            let probe = Arc::new(Probe::default());
            let store = in_memory(&probe, memory_bytes);
            let paths = ["tail/a", "tail/b", "scan/a", "index/a", "compaction/a", "bypass/a"];
            for (seed, path) in (0..).zip(paths) {
                probe.lay(path, content(seed, size)).await;
            }
            for (path, range) in reads {
                let path = Path::from(paths[path]);
                let options = || GetOptions { range: range.clone(), ..GetOptions::default() };
                let expected = match probe.inner.get_opts(&path, options()).await {
                    Ok(result) => Ok((result.meta.clone(), result.range.clone(), result.bytes().await.unwrap())),
                    Err(error) => Err(error.to_string()),
                };
                let found = match store.get_opts(&path, options()).await {
                    Ok(result) => Ok((result.meta.clone(), result.range.clone(), result.bytes().await.unwrap())),
                    Err(error) => Err(error.to_string()),
                };
                match (expected, found) {
                    (Ok((mut meta, range, bytes)), Ok((found, found_range, found_bytes))) => {
                        // A time is kept in microseconds.
                        meta.last_modified = found.last_modified;
                        assert_eq!((meta, range), (found, found_range));
                        assert!(bytes == found_bytes, "other bytes");
                    }
                    (expected, found) => assert_eq!(expected, found),
                }
                let (used, most) = store.usage();
                assert!(used <= most && most <= memory_bytes, "{used} bytes used of {most}");
            }
        });
    }
}

#[tokio::test(start_paused = true)]
async fn fifty_readers_of_the_same_bytes_cost_one_request() {
    let probe = Arc::new(Probe::default());
    probe.slow.store(true, Ordering::SeqCst);
    probe.lay("tail/a", content(1, 3 * P)).await;
    let store = in_memory(&probe, 64 << 20);
    let readers = (0..50).map(|_| read(&store, "tail/a", P / 2..2 * P + 10));
    let expected = content(1, 3 * P);
    for bytes in join_all(readers).await {
        assert!(bytes.unwrap() == expected[index(P / 2)..index(2 * P + 10)]);
    }
    assert_eq!(probe.gets(), 1);
    // Now remembered.
    read(&store, "tail/a", P..P + 10).await.unwrap();
    assert_eq!(probe.gets(), 1);
}

#[tokio::test(start_paused = true)]
async fn readers_of_overlapping_bytes_ask_for_each_byte_once() {
    let probe = Arc::new(Probe::default());
    probe.slow.store(true, Ordering::SeqCst);
    probe.lay("tail/a", content(1, 4 * P)).await;
    let store = in_memory(&probe, 64 << 20);
    let ranges = [10..2 * P, P..3 * P, 5..20, 0..4 * P, 2 * P..2 * P + 1];
    let expected = content(1, 4 * P);
    let readers = join_all(ranges.iter().map(|range| read(&store, "tail/a", range.clone()))).await;
    for (range, bytes) in ranges.iter().zip(readers) {
        assert!(bytes.unwrap() == expected[index(range.start)..index(range.end)], "{range:?}");
    }
    let asked: u64 = probe
        .take_gets()
        .into_iter()
        .map(|range| match range {
            Some(GetRange::Bounded(range)) => range.end - range.start,
            other => panic!("{other:?}"),
        })
        .sum();
    assert_eq!(asked, 4 * P);
}

#[tokio::test]
async fn no_byte_is_fetched_that_was_not_asked_for_and_neighbours_come_in_one_request() {
    let probe = Arc::new(Probe::default());
    probe.lay("scan/a", content(1, 6 * P)).await;
    let store = in_memory(&probe, 64 << 20);
    read(&store, "scan/a", 100..200).await.unwrap();
    read(&store, "scan/a", 3 * P + 1..3 * P + 2).await.unwrap();
    probe.take_gets();
    // Three pages with one byte known in the midst: what lies on both sides of a border is one request.
    read(&store, "scan/a", 150..5 * P).await.unwrap();
    let bounded = |range| Some(GetRange::Bounded(range));
    assert_eq!(probe.take_gets(), [bounded(200..3 * P + 1), bounded(3 * P + 2..5 * P)]);
    read(&store, "scan/a", 100..5 * P).await.unwrap();
    assert_eq!(probe.gets(), 0);
}

#[tokio::test(start_paused = true)]
async fn a_reader_that_goes_away_takes_no_fetch_along() {
    let probe = Arc::new(Probe::default());
    probe.slow.store(true, Ordering::SeqCst);
    probe.lay("tail/a", content(1, 100)).await;
    let store = in_memory(&probe, 64 << 20);
    let mut first = Box::pin(read(&store, "tail/a", 0..100));
    assert!(futures::poll!(&mut first).is_pending());
    let mut second = Box::pin(read(&store, "tail/a", 0..100));
    assert!(futures::poll!(&mut second).is_pending());
    drop(first);
    assert_eq!(second.await.unwrap(), content(1, 100));
    assert_eq!(probe.gets(), 1);
    // All go away: the next one asks anew.
    let mut third = Box::pin(read(&store, "tail/b", 0..100));
    assert!(futures::poll!(&mut third).is_pending());
    drop(third);
    probe.lay("tail/b", content(2, 100)).await;
    assert_eq!(read(&store, "tail/b", 0..100).await.unwrap(), content(2, 100));
}

#[tokio::test(start_paused = true)]
async fn readers_who_come_again_do_not_keep_a_fetch_alive_that_hangs() {
    let probe = Arc::new(Probe::default());
    probe.lay("tail/a", content(1, 100)).await;
    let store = in_memory(&probe, 64 << 20);
    probe.hangs.store(true, Ordering::SeqCst);
    let patience = Duration::from_secs(10);
    // Each gives up before the next one would: somebody always waits.
    let first = tokio::spawn({
        let store = store.clone();
        async move { tokio::time::timeout(patience, read(&store, "tail/a", 0..100)).await }
    });
    tokio::time::sleep(Duration::from_secs(4)).await;
    probe.hangs.store(false, Ordering::SeqCst);
    let joined = tokio::time::timeout(patience, read(&store, "tail/a", 0..100));
    let later = async {
        tokio::time::sleep(Duration::from_secs(3)).await;
        read(&store, "tail/a", 0..100).await
    };
    let (joined, later) = futures::join!(joined, later);
    assert!(joined.is_err() && first.await.unwrap().is_err());
    assert_eq!((later.unwrap().len(), probe.gets()), (100, 2));
}

#[tokio::test(start_paused = true)]
async fn absence_is_no_answer_to_who_asked_later() {
    let probe = Arc::new(Probe::default());
    probe.slow_back.store(true, Ordering::SeqCst);
    let store = in_memory(&probe, 64 << 20);
    let mut early = Box::pin(read(&store, "tail/a", 0..100));
    assert!(futures::poll!(&mut early).is_pending());
    probe.lay("tail/a", content(1, 100)).await;
    // They join it, and find that it says nothing to them; of their own requests one is enough.
    let late = join_all((0..10).map(|_| read(&store, "tail/a", 0..100)));
    let (early, late) = futures::join!(early, late);
    assert!(matches!(early, Err(Error::NotFound { .. })), "{early:?}");
    for bytes in late {
        assert_eq!(bytes.unwrap(), content(1, 100));
    }
    assert_eq!(probe.gets(), 2);
}

#[tokio::test(start_paused = true)]
async fn an_error_reaches_all_who_wait_and_is_forgotten() {
    let probe = Arc::new(Probe::default());
    probe.slow.store(true, Ordering::SeqCst);
    let store = in_memory(&probe, 64 << 20);
    // Not there: each is told so, and none believes it for longer.
    for answer in join_all((0..10).map(|_| read(&store, "tail/a", 0..100))).await {
        assert!(matches!(answer, Err(Error::NotFound { .. })), "{answer:?}");
    }
    // One for the first, and one for all who asked after it.
    assert_eq!(probe.gets(), 2);
    probe.lay("tail/a", content(1, 100)).await;
    assert_eq!(read(&store, "tail/a", 0..100).await.unwrap(), content(1, 100));

    probe.fails.store(true, Ordering::SeqCst);
    for answer in join_all((0..10).map(|_| read(&store, "tail/b", 0..100))).await {
        assert!(answer.unwrap_err().to_string().contains("told to fail"));
    }
    probe.fails.store(false, Ordering::SeqCst);
    probe.lay("tail/b", content(2, 100)).await;
    assert_eq!(read(&store, "tail/b", 0..100).await.unwrap(), content(2, 100));
}

#[tokio::test]
async fn a_scan_of_ten_times_the_cache_leaves_the_tail_where_it_is() {
    let probe = Arc::new(Probe::default());
    let store = in_memory(&probe, 32 << 20);
    for number in 0..16 {
        probe.lay(&format!("tail/{number}"), content(number, P)).await;
        read(&store, &format!("tail/{number}"), 0..P).await.unwrap();
    }
    for number in 0..320 {
        probe.lay(&format!("scan/{number}"), content(number, P)).await;
        read(&store, &format!("scan/{number}"), 0..P).await.unwrap();
    }
    probe.take_gets();
    for number in 0..16 {
        read(&store, &format!("tail/{number}"), 0..P).await.unwrap();
    }
    assert_eq!(probe.gets(), 0, "the tail was driven out");
    assert!(store.metrics().evictions("scan") > 250);
    assert_eq!(store.metrics().evictions("hot"), 0);
}

#[tokio::test]
async fn what_is_read_to_be_written_anew_is_not_kept() {
    let probe = Arc::new(Probe::default());
    probe.lay("compaction/a", content(1, 100)).await;
    let store = in_memory(&probe, 64 << 20);
    read(&store, "compaction/a", 0..100).await.unwrap();
    read(&store, "compaction/a", 0..100).await.unwrap();
    assert_eq!((probe.gets(), store.usage().0), (2, 0));
}

#[tokio::test]
async fn heads_and_conditions_are_the_stores() {
    let probe = Arc::new(Probe::default());
    probe.lay("tail/a", content(1, 100)).await;
    let store = in_memory(&probe, 64 << 20);
    let path = Path::from("tail/a");
    let e_tag = store.get_opts(&path, GetOptions::default()).await.unwrap().meta.e_tag;
    probe.take_gets();
    assert_eq!(store.head(&path).await.unwrap().size, 100);
    let unchanged = GetOptions { if_none_match: e_tag.clone(), ..GetOptions::default() };
    assert!(matches!(store.get_opts(&path, unchanged).await, Err(Error::NotModified { .. })));
    let other = GetOptions { if_match: Some("\"other\"".into()), ..GetOptions::default() };
    assert!(matches!(store.get_opts(&path, other).await, Err(Error::Precondition { .. })));
    assert_eq!(probe.gets(), 3);
}

fn index(offset: u64) -> usize {
    usize::try_from(offset).unwrap()
}

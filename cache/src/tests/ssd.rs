//! The SSD behind the memory: restarts, flipped bits, and directories that cannot be used.

use std::path::{Path as FilePath, PathBuf};

use super::*;
use crate::{SSD_BYTES_MIN, SsdOptions};

async fn open(probe: &Arc<Probe>, directory: &FilePath) -> (CachedStore, Metrics) {
    let ssd = SsdOptions { directory: directory.to_owned(), bytes: 4 * SSD_BYTES_MIN };
    let options = CacheOptions { memory_bytes: 32 << 20, ssd: Some(ssd), shards: 1 };
    let metrics = Metrics::default();
    let objects = Arc::clone(probe) as Arc<dyn ObjectStore>;
    (CachedStore::open(objects, classify(), &options, metrics.clone()).await, metrics)
}

/// More objects than the memory holds.
const OBJECTS: u64 = 160;

/// All of them, read once.
async fn fill(probe: &Arc<Probe>, store: &CachedStore) {
    for number in 0..OBJECTS {
        probe.lay(&format!("tail/{number}"), content(number, P)).await;
        read(store, &format!("tail/{number}"), 0..P).await.unwrap();
        // What is written faster than the SSD takes it is dropped.
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

/// All are read right; how many without a request.
async fn found(probe: &Arc<Probe>, store: &CachedStore) -> usize {
    probe.take_gets();
    for number in 0..OBJECTS {
        let bytes = read(store, &format!("tail/{number}"), 0..P).await.unwrap();
        assert!(bytes == content(number, P), "tail/{number} is wrong");
    }
    usize::try_from(OBJECTS).unwrap() - probe.gets()
}

fn files(directory: &FilePath) -> Vec<PathBuf> {
    let mut all = Vec::new();
    for entry in std::fs::read_dir(directory).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() { all.extend(files(&path)) } else { all.push(path) }
    }
    all
}

#[tokio::test(flavor = "multi_thread")]
async fn what_left_memory_is_found_on_the_ssd_and_all_of_it_after_a_restart() {
    let directory = tempfile::tempdir().unwrap();
    let probe = Arc::new(Probe::default());
    let (store, metrics) = open(&probe, directory.path()).await;
    fill(&probe, &store).await;
    assert!(found(&probe, &store).await >= 144, "{} dropped", metrics.ssd_dropped());
    assert!(metrics.pages("ssd") > 0);
    store.close().await;
    let written: u64 = files(directory.path()).iter().map(|file| file.metadata().unwrap().len()).sum();
    assert!(written <= 4 * SSD_BYTES_MIN as u64, "{written} bytes of files");
    drop(store);

    let (store, metrics) = open(&probe, directory.path()).await;
    assert!(found(&probe, &store).await >= 144);
    assert!(metrics.pages("ssd") >= 144);
    store.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_only_in_memory_is_written_down_at_the_end_however_fast_it_came() {
    let directory = tempfile::tempdir().unwrap();
    let probe = Arc::new(Probe::default());
    let (store, _) = open(&probe, directory.path()).await;
    for number in 0..12 {
        probe.lay(&format!("tail/{number}"), content(number, P)).await;
        read(&store, &format!("tail/{number}"), 0..P).await.unwrap();
    }
    store.close().await;
    drop(store);
    let (store, _) = open(&probe, directory.path()).await;
    probe.take_gets();
    for number in 0..12 {
        assert!(read(&store, &format!("tail/{number}"), 0..P).await.unwrap() == content(number, P));
    }
    assert_eq!(probe.gets(), 0, "every page is on the SSD");
    store.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn no_flipped_bit_of_its_files_is_ever_served() {
    let directory = tempfile::tempdir().unwrap();
    let probe = Arc::new(Probe::default());
    let (store, _) = open(&probe, directory.path()).await;
    fill(&probe, &store).await;
    store.close().await;
    drop(store);
    let mut flipped = 0;
    for file in files(directory.path()) {
        let mut bytes = std::fs::read(&file).unwrap();
        for at in (0..bytes.len()).step_by(100_003).filter(|at| bytes.get(*at).is_some()).collect::<Vec<_>>()
        {
            if bytes[at] != 0 {
                bytes[at] ^= 0x40;
                flipped += 1;
            }
        }
        std::fs::write(&file, bytes).unwrap();
    }
    assert!(flipped > 100, "{flipped} bits flipped");
    let (store, metrics) = open(&probe, directory.path()).await;
    let kept = found(&probe, &store).await;
    assert!(
        kept < usize::try_from(OBJECTS).unwrap(),
        "not one page was hit: {} failures",
        metrics.ssd_failures()
    );
    store.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_file_that_was_cut_short_or_is_nonsense_costs_requests_alone() {
    let directory = tempfile::tempdir().unwrap();
    let probe = Arc::new(Probe::default());
    let (store, _) = open(&probe, directory.path()).await;
    fill(&probe, &store).await;
    store.close().await;
    drop(store);
    for (number, file) in files(directory.path()).into_iter().enumerate() {
        let bytes = std::fs::read(&file).unwrap();
        match number % 3 {
            0 => std::fs::write(&file, &bytes[..bytes.len() / 3]).unwrap(),
            1 => std::fs::write(&file, vec![0xA5; bytes.len()]).unwrap(),
            _ => std::fs::remove_file(&file).unwrap(),
        }
    }
    let (store, _) = open(&probe, directory.path()).await;
    found(&probe, &store).await;
    fill(&probe, &store).await;
    assert!(found(&probe, &store).await >= 30, "it does not remember any more");
    store.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_directory_that_cannot_be_used_leaves_the_memory() {
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("file");
    std::fs::write(&file, b"not a directory").unwrap();
    let probe = Arc::new(Probe::default());
    let (store, _) = open(&probe, &file.join("below")).await;
    probe.lay("tail/a", content(1, 100)).await;
    for _ in 0..3 {
        assert_eq!(read(&store, "tail/a", 0..100).await.unwrap(), content(1, 100));
    }
    assert_eq!(probe.gets(), 1);
    store.close().await;
}

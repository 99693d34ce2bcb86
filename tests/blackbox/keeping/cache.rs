//! `--cache-dir`: what was read is found again after a restart; a disk that lies costs requests alone.

use std::path::{Path, PathBuf};
use std::time::Duration;

use serde_json::{Value, json};

use crate::support::frazil::{Frazil, Start};
use crate::support::store::Store;
use crate::table;

const REQUESTS: u64 = 6;
const ROWS: u64 = 20;
const ROW_BYTES: usize = 100_000;
const STOP_MAX: Duration = Duration::from_secs(30);

#[tokio::test]
async fn what_was_read_is_found_on_the_disk_after_a_restart_and_a_spoilt_disk_is_survived() {
    let store = Store::file();
    let directory = tempfile::tempdir().expect("a temporary directory can be made");
    let cached = |directory: &Path| {
        let start = Start::new("gateway", &store).arg("--cache-dir").arg(&directory.display().to_string());
        start.arg("--cache-bytes").arg("128MiB").arg("--memory").arg("512MiB")
    };
    let mut writer = cached(directory.path()).run().await;
    let rows = format!("{}/rows", table("drift"));
    writer
        .http
        .put(&table("drift"), r#"{"columns":"id BIGINT, note STRING","options":{"compression":"none"}}"#)
        .await
        .ok(201);
    for request in 0..REQUESTS {
        let body: Vec<Value> = (request * ROWS..(request + 1) * ROWS).map(row).collect();
        writer.http.post(&rows, &json!(body).to_string()).await.ok(200);
    }
    all_is_read(&writer, &rows).await;
    assert_eq!(writer.terminate(STOP_MAX).await.0, Some(0), "{}", writer.stderr());

    let mut warm = cached(directory.path()).run().await;
    all_is_read(&warm, &rows).await;
    let (found, fetched) = (read_bytes(&warm, "ssd").await, read_bytes(&warm, "none").await);
    assert!(found >= 4.0 * 1024.0 * 1024.0, "{found} bytes of the disk, {fetched} of the store");
    assert!(fetched < found / 10.0, "{found} bytes of the disk, {fetched} of the store");
    warm.kill();

    let flipped = spoil(directory.path());
    assert!(flipped > 100, "{flipped} bytes were spoilt");
    let spoilt = cached(directory.path()).run().await;
    all_is_read(&spoilt, &rows).await;
    let fetched = read_bytes(&spoilt, "none").await;
    assert!(fetched > 0.0, "what the disk had was spoilt, so the store was asked");
    spoilt.http.post(&rows, &json!([row(REQUESTS * ROWS)]).to_string()).await.ok(200);
}

fn row(id: u64) -> Value {
    json!({"id": id, "note": format!("{id} ").repeat(ROW_BYTES / (id.to_string().len() + 1))})
}

/// Every row, whole, as it was written.
async fn all_is_read(frazil: &Frazil, rows: &str) {
    let mut seen = 0;
    while seen < REQUESTS * ROWS {
        let page = frazil.http.get(&format!("{rows}?from={seen}&limit=30")).await.ok(200);
        let page = page.as_array().expect("rows are an array");
        assert!(!page.is_empty(), "row {seen} is missing");
        for found in page {
            assert!(*found == row(seen), "row {seen} is wrong");
            seen += 1;
        }
    }
}

async fn read_bytes(frazil: &Frazil, tier: &str) -> f64 {
    frazil.metric("frazil_cache_read_bytes_total", &format!("tier=\"{tier}\"")).await
}

/// Flips bits all over the files of a directory, where there are any.
fn spoil(directory: &Path) -> usize {
    let mut flipped = 0;
    for file in files(directory) {
        let mut bytes = std::fs::read(&file).expect("a file of the cache can be read");
        for byte in bytes.iter_mut().step_by(10_007).filter(|byte| **byte != 0) {
            *byte ^= 0x40;
            flipped += 1;
        }
        std::fs::write(&file, bytes).expect("a file of the cache can be written");
    }
    flipped
}

fn files(directory: &Path) -> Vec<PathBuf> {
    let listing = std::fs::read_dir(directory).expect("the cache's directory can be listed");
    let paths = listing.map(|entry| entry.expect("an entry can be read").path());
    paths.flat_map(|path| if path.is_dir() { files(&path) } else { vec![path] }).collect()
}

//! A flipped bit is named, never served: in each kind of object, by `verify`, by a consume that needs it, and by a start.

use std::path::{Path, PathBuf};

use serde_json::json;

use crate::support::flip::{Flipped, spread};
use crate::support::frazil::{Done, Frazil, Start, command_with, scaled_binary};
use crate::support::store::Store;
use crate::table;

/// Few slots to a checkpoint, so that a short log has several; the ages are the shipped ones.
const CHECKPOINT_SLOTS: &str = "20";
const PROTOCOL: [(&str, &str); 2] =
    [("FRAZIL_TEST_PROTOCOL_SCALE", "1"), ("FRAZIL_TEST_CHECKPOINT_SLOTS", CHECKPOINT_SLOTS)];
const SMALL_ROWS: u64 = 70;
const KINDS: [&str; 4] = ["/log/", "/checkpoint/", "/index/", "/segment/"];

fn start(store: &Store) -> Start {
    let start = Start::new("gateway", store).binary(scaled_binary());
    PROTOCOL.iter().fold(start, |start, (name, value)| start.env(name, value))
}

async fn verify(store: &Store) -> Done {
    command_with(scaled_binary(), &["verify", "--store", &store.url], store, &PROTOCOL).await
}

/// A store with every kind of object: many small commits of `snow`, one request of `hail` too large to go inline.
async fn written() -> Store {
    let store = Store::file();
    let frazil = start(&store).run().await;
    let http = &frazil.http;
    for name in ["snow", "hail"] {
        http.put(&table(name), r#"{"columns":"id BIGINT NOT NULL, note STRING"}"#).await.ok(201);
    }
    for id in 0..SMALL_ROWS {
        http.post(&format!("{}/rows", table("snow")), &json!([{"id": id, "note": "flake"}]).to_string())
            .await
            .ok(200);
    }
    http.post(&format!("{}/rows", table("hail")), &large_rows()).await.ok(200);
    drop(frazil);
    store
}

/// About 12 MiB that do not compress away: more than the inline limit.
fn large_rows() -> String {
    let mut state = 0x9E37_79B9_7F4A_7C15_u64;
    let rows = (0..6000).map(|id| {
        let note: String = (0..130)
            .map(|_| {
                state ^= state << 13;
                state ^= state >> 7;
                state ^= state << 17;
                format!("{state:016x}")
            })
            .collect();
        json!({"id": id, "note": note})
    });
    json!(rows.collect::<Vec<_>>()).to_string()
}

#[track_caller]
fn assert_named(done: &Done, key: &str, at: usize) {
    let words = format!("{}\n{}", done.stdout, done.stderr);
    assert_eq!(done.code, Some(4), "{key}, byte {at}: {words}");
    assert!(words.contains(key), "{key}, byte {at} is named: {words}");
    for part in ["expected", "found"] {
        assert!(words.contains(part), "{part}, in {key}, byte {at}: {words}");
    }
    let has_range = words.split_whitespace().any(|word| {
        let range = word.trim_matches(|character: char| !character.is_ascii_digit()).split_once("..");
        range.is_some_and(|(from, to)| from.parse::<u64>().is_ok() && to.parse::<u64>().is_ok())
    });
    assert!(has_range, "the byte range of the checksum that failed, in {key}, byte {at}: {words}");
}

#[tokio::test]
async fn verify_names_a_flipped_bit_in_each_kind_of_object() {
    let store = written().await;
    let clean = verify(&store).await;
    assert_eq!(clean.code, Some(0), "{clean:?}");
    for kind in KINDS {
        let objects = store.objects(kind);
        let (Some(first), Some(last)) = (objects.first(), objects.last()) else {
            panic!("the store has no object of the kind {kind}")
        };
        for object in [first, last] {
            for at in spread(object, 5) {
                let flipped = Flipped::at(object, at);
                assert_named(&verify(&store).await, &store.key(object), at);
                drop(flipped);
            }
        }
    }
    let clean = verify(&store).await;
    assert_eq!(clean.code, Some(0), "whole again: {clean:?}");
}

#[tokio::test]
async fn a_consume_that_needs_the_flipped_rows_fails_and_other_tables_answer() {
    let store = written().await;
    let segment = store.objects("/segment/").pop().expect("a large request makes a segment");
    let middle = spread(&segment, 1)[1];
    let _flipped = Flipped::at(&segment, middle);
    let frazil = start(&store).run().await;

    let answer = frazil.http.attempt("GET", &format!("{}/rows?limit=100000", table("hail")), &[], None).await;
    if let Ok(answer) = &answer {
        assert!(answer.status >= 500, "it fails: {} {:.300}", answer.status, answer.text);
        assert!(answer.text.contains(&store.key(&segment)), "it names the object: {:.600}", answer.text);
    }
    let other = frazil.http.get(&format!("{}/rows?limit=1000", table("snow"))).await.ok(200);
    assert_eq!(other.as_array().map(|rows| rows.len() as u64), Some(SMALL_ROWS));
    frazil.http.post(&format!("{}/rows", table("snow")), r#"[{"id":70}]"#).await.ok(200);
    frazil.http.get("/ready").await.ok(200);
}

#[tokio::test]
async fn a_start_uses_the_older_checkpoint_where_the_newest_is_spoilt() {
    let store = written().await;
    let checkpoints = store.objects("/checkpoint/");
    assert!(checkpoints.len() > 1, "there is an older checkpoint: {checkpoints:?}");
    let newest = &checkpoints[0]; // the newest is listed first
    for at in spread(newest, 2) {
        let flipped = Flipped::at(newest, at);
        let frazil = start(&store).run().await;
        assert_all_rows(&frazil).await;
        assert!(frazil.stderr().contains(&store.key(newest)), "the operator is told: {}", frazil.stderr());
        drop((frazil, flipped));
    }
}

#[tokio::test]
async fn a_start_goes_on_or_names_a_spoilt_index_page() {
    let store = written().await;
    for page in store.objects("/index/") {
        let flipped = Flipped::at(&page, spread(&page, 1)[1]);
        assert_whole_or_named(&store, &page).await;
        drop(flipped);
    }
}

#[tokio::test]
async fn a_running_gateway_goes_on_and_a_start_stops_at_a_spoilt_header_it_needs() {
    let store = written().await;
    let running = start(&store).run().await;
    let newest = store.objects("/log/").pop().expect("there are slots");
    let _flipped = Flipped::at(&newest, 20); // in the header of a slot above every checkpoint
    assert_all_rows_of_snow(&running).await;
    running.http.post(&format!("{}/rows", table("snow")), r#"[{"id":70}]"#).await.ok(200);
    drop(running);

    let mut process = start(&store).process();
    let code = process.wait(std::time::Duration::from_secs(20)).await;
    assert!(code.is_some_and(|code| code != 0), "it must not guess: {}", process.words());
    assert!(process.words().contains(&store.key(&newest)), "it names the object: {}", process.words());
}

/// A start either shows every row, or stops, or refuses a read, with the object's name; it never shows fewer.
async fn assert_whole_or_named(store: &Store, object: &Path) {
    let key = store.key(object);
    let frazil = start(store).run().await;
    for (name, rows) in [("snow", SMALL_ROWS), ("hail", 6000)] {
        let answer = frazil.http.get(&format!("{}/rows?limit=100000&columns=id", table(name))).await;
        let whole =
            answer.status == 200 && answer.json().as_array().map(|found| found.len() as u64) == Some(rows);
        let named = answer.status >= 500 && answer.text.contains(&key);
        assert!(whole || named, "{name}: {} {:.300}", answer.status, answer.text);
    }
}

async fn assert_all_rows_of_snow(frazil: &Frazil) {
    let snow = frazil.http.get(&format!("{}/rows?limit=1000", table("snow"))).await.ok(200);
    assert_eq!(snow.as_array().map(|rows| rows.len() as u64), Some(SMALL_ROWS));
}

async fn assert_all_rows(frazil: &Frazil) {
    assert_all_rows_of_snow(frazil).await;
    let hail =
        frazil.http.get(&format!("{}/rows?limit=100000&columns=id,__offset", table("hail"))).await.ok(200);
    assert_eq!(hail.as_array().map(Vec::len), Some(6000));
}

/// Where the checker's tests and these agree: a page's path is its key.
#[test]
fn a_key_is_the_path_below_the_store() {
    let store = Store::file();
    let path: PathBuf = store.path().join("default/log/1");
    assert_eq!(store.key(&path), "default/log/1");
}

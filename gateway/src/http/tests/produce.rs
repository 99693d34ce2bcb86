use axum::body::Body;
use axum::http::StatusCode;
use bytes::Bytes;
use frazil_log::schema::ensure::{TableRequest, build};
use serde_json::json;

use super::{Door, Options, ROWS};
use crate::memory::Share;

#[tokio::test]
async fn rows_that_do_not_fit_are_named_and_nothing_is_added() {
    let door = Door::with_clicks(Options::default()).await;
    let problem = door.post("clicks/rows", r#"[{"id":3},{"id":"x"}]"#).await;
    assert_eq!(problem.problem(), "422 invalid-rows: row 1, column \"id\": expected BIGINT, found \"x\"");
    assert_eq!(
        (&problem.json()["outcome"], &problem.json()["retry"]),
        (&json!("not-committed"), &json!("never"))
    );
    assert!(door.app.produced.lock().is_empty());
}

#[tokio::test]
async fn create_makes_the_table_with_its_rows() {
    let door = Door::new();
    assert!(door.post("clicks/rows", ROWS).await.problem().starts_with("404 no-such-table"));
    let ack = door.post("clicks/rows?create=true", ROWS).await.json();
    assert_eq!(ack["created"], "clicks (id BIGINT, url STRING)");
    let ack = door.post("clicks/rows?create=true", ROWS).await.json();
    assert!(ack.get("created").is_none());
    assert!(door.app.produced.lock()[1].checked.is_some());
    assert!(
        door.post("new/rows?create=true", r#"[{"a":null}]"#).await.problem().starts_with("422 invalid-rows")
    );
    assert!(door.get("new").await.problem().starts_with("404"));
}

#[tokio::test]
async fn rows_are_checked_again_when_another_created_the_table() {
    let door = Door::new();
    let spec = |columns: &str| {
        build(&TableRequest { columns: Some(columns.to_owned()), ..TableRequest::default() }).unwrap()
    };
    *door.app.race.lock() = Some(spec("id INT, url STRING"));
    let ack = door.post("clicks/rows?create=true", ROWS).await.json();
    assert_eq!((&ack["rows"], ack.get("created")), (&json!(2), None));
    *door.app.race.lock() = Some(spec("id INT"));
    assert!(
        door.post("other/rows?create=true", ROWS)
            .await
            .problem()
            .starts_with("422 invalid-rows: row 0, column \"url\"")
    );
}

#[tokio::test]
async fn producers_say_who_they_are_or_nothing() {
    let door = Door::with_clicks(Options::default()).await;
    let all = ["Producer-Id: p", "Producer-Epoch: 0", "Producer-Seq: 18446744073709551615"];
    assert_eq!(door.send("POST clicks/rows", ROWS, &all).await.status, StatusCode::OK);
    let producer = door.app.produced.lock()[0].producer.clone().unwrap();
    assert_eq!((producer.id.as_str(), producer.epoch, producer.seq), ("p", 0, u64::MAX));
    for headers in [
        &all[..1],
        &all[1..],
        &["Producer-Id: a b", all[1], all[2]],
        &["Producer-Id: p", "Producer-Epoch: -1", all[2]],
        &[all[0], all[1], all[2], all[2]],
    ] {
        let problem = door.send("POST clicks/rows", ROWS, headers).await.problem();
        assert!(problem.starts_with("400 malformed"), "{headers:?}: {problem}");
    }
    let long = format!("Producer-Id: {}", "x".repeat(129));
    assert!(door.send("POST clicks/rows", ROWS, &[&long, all[1], all[2]]).await.problem().starts_with("400"));
}

#[tokio::test]
async fn a_retry_has_the_hash_of_the_first_and_other_requests_have_others() {
    let door = Door::with_clicks(Options::default()).await;
    for (path, body) in [
        ("clicks/rows?timeout=5s", ROWS),
        ("clicks/rows?create=true", ROWS),
        ("clicks/rows?bucket=0", ROWS),
        ("clicks/rows?expected_offset=6", ROWS),
        ("clicks/rows", r#"[{"id":1,"url":"a"},{"id":2,"url":"c"}]"#),
    ] {
        assert_eq!(door.post(path, body).await.status, StatusCode::OK, "{path}");
    }
    let mut hashes: Vec<u128> = door.app.produced.lock().iter().map(|request| request.request_hash).collect();
    assert_eq!(hashes[0], hashes[1]);
    hashes.dedup();
    hashes.sort_unstable();
    hashes.dedup();
    assert_eq!(hashes.len(), 4);
}

#[tokio::test]
async fn expected_offsets_are_passed_on_and_refusals_carry_what_is() {
    let door = Door::with_clicks(Options::default()).await;
    door.post("clicks/rows", ROWS).await;
    let refused = door.post("clicks/rows?expected_offset=0", ROWS).await;
    assert!(refused.problem().starts_with("412 expected-offset"));
    assert_eq!(refused.json()["actual"], 2);
    assert_eq!(door.post("clicks/rows?expected_offset=0:2", ROWS).await.status, StatusCode::OK);
    assert!(
        door.post("clicks/rows?expected_offset=1:2", ROWS).await.problem().starts_with("404 no-such-bucket")
    );
    assert!(door.post("clicks/rows?bucket=1", ROWS).await.problem().starts_with("404 no-such-bucket"));
    door.send("PUT wide", r#"{"columns":"id BIGINT, url STRING","buckets":4}"#, &[]).await;
    assert!(door.post("wide/rows?expected_offset=0", ROWS).await.problem().starts_with("400 malformed"));
    assert_eq!(door.post("wide/rows?expected_offset=0&bucket=3", ROWS).await.status, StatusCode::OK);
}

#[tokio::test]
async fn bodies_are_refused_when_too_large_or_packed_or_strange() {
    let door = Door::with_clicks(Options { request_bytes_max: 100, ..Options::default() }).await;
    let large = format!("[{}]", vec![r#"{"id":1}"#; 20].join(","));
    let problem =
        door.send("POST clicks/rows", large.clone(), &[&format!("Content-Length: {}", large.len())]).await;
    assert!(problem.problem().starts_with("413 too-large"));
    let chunks =
        futures::stream::iter((0..20).map(|_| Ok::<_, std::io::Error>(Bytes::from_static(b"          "))));
    assert!(
        door.send("POST clicks/rows", Body::from_stream(chunks), &[])
            .await
            .problem()
            .starts_with("413 too-large")
    );
    let chunks = futures::stream::iter(
        ["[{\"id\"", ":1}", "]"].map(|part| Ok::<_, std::io::Error>(Bytes::from(part))),
    );
    assert_eq!(door.send("POST clicks/rows", Body::from_stream(chunks), &[]).await.json()["rows"], 1);
    let cut = futures::stream::iter([Ok(Bytes::from_static(b"[")), Err(std::io::Error::other("reset"))]);
    assert!(
        door.send("POST clicks/rows", Body::from_stream(cut), &[])
            .await
            .problem()
            .starts_with("400 malformed: the body was cut")
    );
    for (header, problem) in [
        ("Content-Encoding: gzip", "400 malformed: the body is no gzip"),
        ("Content-Encoding: zstd", "400 malformed: the body is no zstd"),
        ("Content-Encoding: br", "415 unsupported-media-type: Content-Encoding \"br\""),
        ("Content-Encoding: gzip, zstd", "415 unsupported-media-type: Content-Encoding"),
        ("Content-Type: text/csv", "422 invalid-rows: row 0, column \"[]\""),
        ("Content-Type: text/html", "415 unsupported-media-type"),
    ] {
        let found = door.send("POST clicks/rows", "[]", &[header]).await.problem();
        assert!(found.starts_with(problem), "{header}: {found}");
    }
}

#[tokio::test(start_paused = true)]
async fn bodies_wait_for_memory_and_are_refused_without_it() {
    let options = Options { request_bytes_max: 2048, bodies: Share::new(2048), ..Options::default() };
    let door = Door::with_clicks(options).await;
    // Twice the largest request is always there: a packed body and what it unpacks to.
    let slow = || Body::from_stream(futures::stream::pending::<Result<Bytes, std::io::Error>>());
    let slow = futures::future::join(
        door.send("POST clicks/rows", slow(), &[]),
        door.send("POST clicks/rows", slow(), &["Content-Encoding: gzip"]),
    );
    let third = async {
        tokio::task::yield_now().await;
        door.post("clicks/rows", ROWS).await
    };
    let ((first, packed), third) = tokio::join!(slow, third);
    assert!(packed.problem().starts_with("400 malformed: the body did not arrive within 25 s"));
    assert!(third.problem().starts_with("429 overloaded"));
    assert_eq!(third.headers["retry-after"], "1");
    assert!(first.problem().starts_with("400 malformed: the body did not arrive within 25 s"));
    assert_eq!(door.post("clicks/rows", ROWS).await.status, StatusCode::OK);
}

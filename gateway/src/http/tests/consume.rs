use std::time::Duration;

use axum::body::Body;
use axum::http::StatusCode;
use futures::StreamExt;
use serde_json::json;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tower::ServiceExt;

use super::{Door, Options, ROWS};
use crate::consume::kept::KeptPages;
use crate::error::{Kind, Problem};

#[tokio::test]
async fn rows_go_in_and_come_out() {
    let door = Door::with_clicks(Options::default()).await;
    let ack = door.post("clicks/rows", ROWS).await;
    assert_eq!(
        ack.body,
        r#"{"rows":2,"slot":7,"duplicate":false,"buckets":[{"bucket":0,"start":0,"end":2}]}"#
    );
    let answer = door.get("clicks/rows?from=1&columns=*,__offset").await;
    assert_eq!(answer.body, r#"[{"id":2,"url":"b","__offset":1}]"#);
    assert_eq!(
        (&answer.headers["frazil-next"], &answer.headers["frazil-caught-up"]),
        (&"0:2".parse().unwrap(), &"true".parse().unwrap())
    );
    let first = door.get("clicks/rows?limit=1&format=ndjson").await;
    assert_eq!(first.body, "{\"id\":1,\"url\":\"a\"}\n");
    assert_eq!(
        (&first.headers["frazil-next"], &first.headers["frazil-caught-up"]),
        (&"0:1".parse().unwrap(), &"false".parse().unwrap())
    );
    assert_eq!(
        door.get("clicks/offsets").await.json(),
        json!({"buckets":[{"bucket":0,"earliest":0,"latest":2}]})
    );
    let arrow = door.send("GET clicks/rows", "", &["Accept: application/vnd.apache.arrow.stream"]).await;
    assert_eq!(arrow.headers["content-type"], "application/vnd.apache.arrow.stream");
}

#[tokio::test]
async fn what_was_read_can_be_written() {
    let door = Door::with_clicks(Options::default()).await;
    door.post("clicks/rows", ROWS).await;
    for (accept, type_) in [
        ("json", "application/json"),
        ("ndjson", "application/x-ndjson"),
        ("arrow", "application/vnd.apache.arrow.stream"),
    ] {
        let url = format!(
            "/v1/databases/default/tables/clicks/rows?columns=*,__bucket,__offset,__timestamp,__op&limit=2&format={accept}"
        );
        let response = door
            .router
            .clone()
            .oneshot(axum::http::Request::get(url).body(Body::empty()).unwrap())
            .await
            .unwrap();
        let body = axum::body::to_bytes(response.into_body(), 1 << 20).await.unwrap();
        let ack = door.send("POST clicks/rows", body, &[&format!("Content-Type: {type_}")]).await;
        assert_eq!((ack.status, &ack.json()["rows"]), (StatusCode::OK, &json!(2)), "{}", ack.body);
    }
}

#[tokio::test(start_paused = true)]
async fn a_long_poll_waits_for_the_first_row() {
    let door = Door::with_clicks(Options::default()).await;
    let empty = door.get("clicks/rows?wait=2s").await;
    assert_eq!((empty.body.as_str(), &empty.headers["frazil-next"]), ("[]", &"0:0".parse().unwrap()));
    let post = async {
        tokio::time::sleep(Duration::from_secs(1)).await;
        door.post("clicks/rows", ROWS).await
    };
    let (polled, _) = tokio::join!(door.get("clicks/rows?wait=10s"), post);
    assert_eq!(polled.body, ROWS);
}

#[tokio::test(start_paused = true)]
async fn following_goes_on_until_a_problem_resets_the_connection() {
    let door = Door::with_clicks(Options::default()).await;
    door.post("clicks/rows", ROWS).await;
    let url = "/v1/databases/default/tables/clicks/rows?from=1&follow=true";
    let response = door
        .router
        .clone()
        .oneshot(axum::http::Request::get(url).body(Body::empty()).unwrap())
        .await
        .unwrap();
    assert_eq!(response.headers()["content-type"], "application/x-ndjson");
    assert!(!response.headers().contains_key("frazil-next"));
    let mut body = response.into_body().into_data_stream();
    assert_eq!(body.next().await.unwrap().unwrap(), "{\"id\":2,\"url\":\"b\"}\n");
    let (lines, _) = tokio::join!(body.next(), door.post("clicks/rows", r#"{"id":3}"#));
    assert_eq!(lines.unwrap().unwrap(), "{\"id\":3,\"url\":null}\n");
    *door.app.fail_consume.lock() = Some(Problem::new(Kind::Draining, "stopping"));
    let last: serde_json::Value = serde_json::from_slice(&body.next().await.unwrap().unwrap()).unwrap();
    assert_eq!(last["type"], "/errors/draining");
    assert!(body.next().await.unwrap().is_err());
    assert!(body.next().await.is_none());
}

#[tokio::test(start_paused = true)]
async fn a_follower_whose_page_went_gets_each_row_once() {
    let rows = |from: u32| {
        let rows: Vec<_> =
            (from..from + 700).map(|id| json!({"id": id, "url": "x".repeat(id as usize % 90)})).collect();
        serde_json::Value::Array(rows).to_string()
    };
    for bytes_max in [0, 1 << 30] {
        let options = Options { follows: KeptPages::new(bytes_max), ..Options::default() };
        let door = Door::with_clicks(options).await;
        door.post("clicks/rows", &rows(0)).await;
        door.post("clicks/rows", &rows(700)).await;
        let url = "/v1/databases/default/tables/clicks/rows?from=1&columns=id,__offset&follow=true";
        let request = axum::http::Request::get(url).body(Body::empty()).unwrap();
        let mut body = door.router.clone().oneshot(request).await.unwrap().into_body().into_data_stream();
        let (mut text, mut pieces) = (Vec::new(), 0);
        while text.iter().filter(|byte| **byte == b'\n').count() < 1_399 {
            text.extend_from_slice(&body.next().await.unwrap().unwrap());
            pieces += 1;
        }
        let row = |id: u32| format!("{{\"id\":{id},\"__offset\":{id}}}\n");
        let expected: String = (1..1_400).map(row).collect();
        assert_eq!(String::from_utf8(text).unwrap(), expected);
        assert!(pieces >= 4, "rows become text a piece at a time: {pieces}");
        let url = "clicks/rows?from=1&columns=id,__offset&format=sse";
        let event = |id: u32| format!("id: 0:{}\ndata: {}\n", id + 1, row(id));
        let expected: String = (1..1_400).map(event).collect();
        assert_eq!(events(&door, url, &[], 1_399).await, expected, "events, too");
    }
}

#[tokio::test]
async fn a_follow_that_cannot_begin_is_a_plain_problem() {
    let door = Door::with_clicks(Options::default()).await;
    *door.app.fail_consume.lock() = Some(Problem::new(Kind::Trimmed, "gone").with("earliest", 7));
    let problem = door.get("clicks/rows?follow=true&from=1").await;
    assert!(problem.problem().starts_with("410 trimmed"));
    assert_eq!(problem.json()["earliest"], 7);
}

/// What a client on a real connection reads until it ends.
async fn raw(door: &Door, path: &str) -> (String, Option<std::io::ErrorKind>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let server = tokio::spawn(crate::server::serve(listener, door.router.clone(), std::future::pending()));
    let mut client = TcpStream::connect(address).await.unwrap();
    let request = format!("GET {path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n");
    client.write_all(request.as_bytes()).await.unwrap();
    let mut read = Vec::new();
    let end = tokio::time::timeout(Duration::from_secs(30), client.read_to_end(&mut read)).await.unwrap();
    server.abort();
    (String::from_utf8_lossy(&read).into_owned(), end.err().map(|error| error.kind()))
}

#[tokio::test]
async fn a_failed_follow_never_looks_like_an_end() {
    let door = Door::with_clicks(Options::default()).await;
    door.post("clicks/rows", ROWS).await;
    let path = "/v1/databases/default/tables/clicks/rows";
    let (whole, _) = raw(&door, &format!("{path}?format=ndjson")).await;
    assert!(whole.ends_with("{\"id\":2,\"url\":\"b\"}\n"), "{whole}");
    *door.app.fail_later.lock() = Some(Problem::new(Kind::Draining, "stopping"));
    let (cut, _) = raw(&door, &format!("{path}?follow=true")).await;
    assert!(cut.contains("transfer-encoding: chunked") && cut.contains("/errors/draining"), "{cut}");
    assert!(!cut.ends_with("0\r\n\r\n"), "the last chunk was sent as if all were well: {cut}");
}

/// What a stream of events sends, until so many blank lines.
async fn events(door: &Door, path: &str, headers: &[(&str, &str)], blocks: usize) -> String {
    let mut request = axum::http::Request::get(format!("/v1/databases/default/tables/{path}"));
    for (name, value) in headers {
        request = request.header(*name, *value);
    }
    let response = door.router.clone().oneshot(request.body(Body::empty()).unwrap()).await.unwrap();
    assert_eq!(response.headers()["content-type"], "text/event-stream");
    let mut body = response.into_body().into_data_stream();
    let mut text = String::new();
    while text.matches("\n\n").count() < blocks {
        text.push_str(std::str::from_utf8(&body.next().await.unwrap().unwrap()).unwrap());
    }
    text
}

#[tokio::test(start_paused = true)]
async fn events_carry_the_position_behind_their_row_and_go_on_from_there() {
    let door = Door::with_clicks(Options::default()).await;
    door.post("clicks/rows", ROWS).await;
    let both = "id: 0:1\ndata: {\"id\":1,\"url\":\"a\"}\n\nid: 0:2\ndata: {\"id\":2,\"url\":\"b\"}\n\n";
    assert_eq!(events(&door, "clicks/rows?format=sse", &[], 2).await, both);
    let accept = ("accept", "text/event-stream");
    assert_eq!(events(&door, "clicks/rows", &[accept], 2).await, both);
    let id = ("last-event-id", "0:1");
    let second = "id: 0:2\ndata: {\"id\":2}\n\n";
    assert_eq!(events(&door, "clicks/rows?columns=id", &[accept, id], 1).await, second);
    // At the tail there is a sign of life, and later another.
    let beats = events(&door, "clicks/rows?format=sse&from=latest", &[], 2).await;
    assert_eq!(beats, "id: 0:2\n: heartbeat\n\n".repeat(2));
    let problem = door.send("GET clicks/rows?format=sse", "", &["Last-Event-ID: soon"]).await.problem();
    assert!(problem.starts_with("400 malformed"), "{problem}");
}

#[tokio::test(start_paused = true)]
async fn events_end_with_the_problem_and_a_reset() {
    let door = Door::with_clicks(Options::default()).await;
    door.post("clicks/rows", ROWS).await;
    *door.app.fail_later.lock() = Some(Problem::new(Kind::Trimmed, "gone").with("earliest", 7));
    let url = "/v1/databases/default/tables/clicks/rows?format=sse&follow=true";
    let request = axum::http::Request::get(url).body(Body::empty()).unwrap();
    let mut body = door.router.clone().oneshot(request).await.unwrap().into_body().into_data_stream();
    body.next().await.unwrap().unwrap();
    let last = body.next().await.unwrap().unwrap();
    let last = std::str::from_utf8(&last).unwrap();
    assert!(last.starts_with("event: error\ndata: {\"type\":\"/errors/trimmed\""), "{last}");
    assert!(last.ends_with("}\n\n"), "{last}");
    assert!(body.next().await.unwrap().is_err());
    assert!(body.next().await.is_none());
}

#[tokio::test]
async fn changes_of_a_log_table_are_its_rows() {
    let door = Door::with_clicks(Options::default()).await;
    door.post("clicks/rows", ROWS).await;
    let changes = door.get("clicks/changes?from=snapshot").await;
    assert_eq!(changes.body, r#"[{"__op":"+I","id":1,"url":"a"},{"__op":"+I","id":2,"url":"b"}]"#);
    assert_eq!(changes.headers["frazil-next"], "0:2");
    assert_eq!(door.get("clicks/changes?columns=id&format=csv&from=1").await.body, "id\n2\n");
    assert!(door.get("clicks/changes?x=1").await.problem().starts_with("422 unsupported"));
}

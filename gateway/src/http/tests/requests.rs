use axum::body::Body;
use axum::http::StatusCode;
use bytes::Bytes;
use frazil_log::schema::ensure::{TableRequest, build};
use futures::StreamExt;
use serde_json::json;
use tower::ServiceExt;

use super::{Door, Options};
use crate::error::{Kind, Problem};
use crate::http::app::Readiness;

const ROWS: &str = r#"[{"id":1,"url":"a"},{"id":2,"url":"b"}]"#;

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
        (
            &answer.headers["frazil-next"],
            &answer.headers["frazil-caught-up"]
        ),
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
    let arrow = door
        .send(
            "GET clicks/rows",
            "",
            &["Accept: application/vnd.apache.arrow.stream"],
        )
        .await;
    assert_eq!(
        arrow.headers["content-type"],
        "application/vnd.apache.arrow.stream"
    );
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
        let ack = door
            .send("POST clicks/rows", body, &[&format!("Content-Type: {type_}")])
            .await;
        assert_eq!(
            (ack.status, &ack.json()["rows"]),
            (StatusCode::OK, &json!(2)),
            "{}",
            ack.body
        );
    }
}

#[tokio::test]
async fn a_table_is_ensured_by_put() {
    let door = Door::with_clicks(Options::default()).await;
    let same = door
        .send(
            "PUT clicks",
            r#"{"columns":"id BIGINT NOT NULL, url STRING"}"#,
            &["Content-Type: application/json"],
        )
        .await;
    assert_eq!(same.status, StatusCode::OK);
    assert_eq!(same.json()["columns"], "id BIGINT NOT NULL, url STRING");
    assert_eq!(same.json()["options"]["retention"], "7d");
    assert!(same.json()["notes"][0].as_str().unwrap().contains("not enforced"));
    let other = door
        .send("PUT clicks", r#"{"columns":"id INT NOT NULL, url STRING"}"#, &[])
        .await
        .problem();
    assert!(
        other.starts_with("409 exists: table clicks is there and differs: column id"),
        "{other}"
    );
    let wrong = door
        .send("PUT x", r#"{"columns":"id BIGINT","colour":"red"}"#, &[])
        .await
        .problem();
    assert!(
        wrong.starts_with("422 unsupported: unknown field `colour`"),
        "{wrong}"
    );
    assert!(
        door.send("PUT x", r#"{"columns":}"#, &[])
            .await
            .problem()
            .starts_with("400 malformed")
    );
    assert!(
        door.send("PUT x", r#"{"columns":"id FOO"}"#, &[])
            .await
            .problem()
            .starts_with("400 malformed")
    );
    assert!(
        door.send("PUT X", r#"{"columns":"id INT"}"#, &[])
            .await
            .problem()
            .starts_with("400 malformed: name \"X\"")
    );
    assert!(
        door.send("PUT x", r#"{"columns":"id INT","primary_key":["id"]}"#, &[])
            .await
            .problem()
            .starts_with("422 unsupported")
    );
    assert_eq!(
        door.send("DELETE clicks", "", &[]).await.status,
        StatusCode::NO_CONTENT
    );
    assert!(
        door.get("clicks")
            .await
            .problem()
            .starts_with("404 no-such-table")
    );
}

#[tokio::test]
async fn tables_are_listed_in_pages() {
    let door = Door::with_clicks(Options::default()).await;
    for table in ["click2", "other"] {
        door.send(&format!("PUT {table}"), r#"{"columns":"id INT"}"#, &[])
            .await;
    }
    let page = door
        .get("/v1/databases/default/tables?prefix=cl&limit=1")
        .await
        .json();
    assert_eq!(
        (&page["tables"][0]["name"], &page["next"]),
        (&json!("click2"), &json!("click2"))
    );
    let page = door
        .get("/v1/databases/default/tables?prefix=cl&after=click2")
        .await
        .json();
    assert_eq!(
        (&page["tables"][0]["name"], &page["next"]),
        (&json!("clicks"), &json!(null))
    );
}

#[tokio::test]
async fn rows_that_do_not_fit_are_named_and_nothing_is_added() {
    let door = Door::with_clicks(Options::default()).await;
    let problem = door.post("clicks/rows", r#"[{"id":3},{"id":"x"}]"#).await;
    assert_eq!(
        problem.problem(),
        "422 invalid-rows: row 1, column \"id\": expected BIGINT, found \"x\""
    );
    assert_eq!(
        (&problem.json()["outcome"], &problem.json()["retry"]),
        (&json!("not-committed"), &json!("never"))
    );
    assert!(door.app.produced.lock().is_empty());
}

#[tokio::test]
async fn create_makes_the_table_with_its_rows() {
    let door = Door::new();
    assert!(
        door.post("clicks/rows", ROWS)
            .await
            .problem()
            .starts_with("404 no-such-table")
    );
    let ack = door.post("clicks/rows?create=true", ROWS).await.json();
    assert_eq!(ack["created"], "clicks (id BIGINT, url STRING)");
    let ack = door.post("clicks/rows?create=true", ROWS).await.json();
    assert!(ack.get("created").is_none());
    assert!(door.app.produced.lock()[1].checked.is_some());
    assert!(
        door.post("new/rows?create=true", r#"[{"a":null}]"#)
            .await
            .problem()
            .starts_with("422 invalid-rows")
    );
    assert!(door.get("new").await.problem().starts_with("404"));
}

#[tokio::test]
async fn rows_are_checked_again_when_another_created_the_table() {
    let door = Door::new();
    let spec = |columns: &str| {
        build(&TableRequest {
            columns: Some(columns.to_owned()),
            ..TableRequest::default()
        })
        .unwrap()
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
    let all = [
        "Producer-Id: p",
        "Producer-Epoch: 0",
        "Producer-Seq: 18446744073709551615",
    ];
    assert_eq!(
        door.send("POST clicks/rows", ROWS, &all).await.status,
        StatusCode::OK
    );
    let producer = door.app.produced.lock()[0].producer.clone().unwrap();
    assert_eq!(
        (producer.id.as_str(), producer.epoch, producer.seq),
        ("p", 0, u64::MAX)
    );
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
    assert!(
        door.send("POST clicks/rows", ROWS, &[&long, all[1], all[2]])
            .await
            .problem()
            .starts_with("400")
    );
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
    let mut hashes: Vec<u128> = door
        .app
        .produced
        .lock()
        .iter()
        .map(|request| request.request_hash)
        .collect();
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
    assert_eq!(
        door.post("clicks/rows?expected_offset=0:2", ROWS).await.status,
        StatusCode::OK
    );
    assert!(
        door.post("clicks/rows?expected_offset=1:2", ROWS)
            .await
            .problem()
            .starts_with("404 no-such-bucket")
    );
    assert!(
        door.post("clicks/rows?bucket=1", ROWS)
            .await
            .problem()
            .starts_with("404 no-such-bucket")
    );
    door.send(
        "PUT wide",
        r#"{"columns":"id BIGINT, url STRING","buckets":4}"#,
        &[],
    )
    .await;
    assert!(
        door.post("wide/rows?expected_offset=0", ROWS)
            .await
            .problem()
            .starts_with("400 malformed")
    );
    assert_eq!(
        door.post("wide/rows?expected_offset=0&bucket=3", ROWS)
            .await
            .status,
        StatusCode::OK
    );
}

#[tokio::test]
async fn parameters_are_refused_by_name() {
    let door = Door::with_clicks(Options::default()).await;
    for (line, problem) in [
        (
            "GET clicks/rows?filter=id%3E1",
            "422 unsupported: parameter filter",
        ),
        ("GET clicks/rows?group=g", "422 unsupported: parameter group"),
        ("GET clicks/rows?fromm=1", "422 unsupported: parameter \"fromm\""),
        ("GET clicks/rows?format=csv", "422 unsupported: format=csv"),
        ("GET clicks/rows?format=sse", "422 unsupported: format=sse"),
        (
            "GET clicks/rows?format=json&follow=true",
            "422 unsupported: follow=true",
        ),
        ("GET clicks/rows?from=snapshot", "422 unsupported: from=snapshot"),
        ("GET clicks/rows?from=-15m", "422 unsupported: from=-15m"),
        ("GET clicks/rows?from=soon", "400 malformed: from=\"soon\""),
        (
            "GET clicks/rows?from=0:1,7:1",
            "404 no-such-bucket: there is no bucket 7",
        ),
        ("GET clicks/rows?from=99", "416 beyond-tail"),
        ("GET clicks/rows?bucket=1", "404 no-such-bucket"),
        (
            "GET clicks/rows?columns=x",
            "422 unsupported: columns: the table has no column \"x\"",
        ),
        ("GET clicks/rows?limit=0", "400 malformed: limit=0"),
        (
            "GET clicks/rows?limit=1&limit=2",
            "400 malformed: parameter limit is given twice",
        ),
        ("GET clicks/rows?max_bytes=65MiB", "400 malformed: max_bytes"),
        ("GET clicks/rows?wait=10", "400 malformed: wait"),
        ("GET clicks/rows?wait=1d", "400 malformed: wait=1d"),
        (
            "GET clicks/offsets?at=2026-01-01",
            "422 unsupported: parameter at",
        ),
        ("POST clicks/rows?op=upsert", "422 unsupported: parameter op"),
        (
            "POST clicks/rows?columns=id",
            "422 unsupported: parameter columns",
        ),
        ("POST clicks/rows?timeout=0s", "400 malformed: timeout"),
        ("PUT clicks?x=1", "422 unsupported: parameter \"x\""),
        ("GET /v1/databases/nope/tables", "404 no-such-database"),
        ("DELETE /v1/databases/default", "409 not-empty"),
    ] {
        let found = door.send(line, "[]", &[]).await.problem();
        assert!(found.starts_with(problem), "{line}: {found}");
    }
    let accept = door
        .send("GET clicks/rows", "", &["Accept: text/csv"])
        .await
        .problem();
    assert!(
        accept.starts_with("422 unsupported: Accept: text/csv"),
        "{accept}"
    );
    assert_eq!(
        door.send("GET clicks/rows", "", &["Accept: text/html, */*;q=0.8"])
            .await
            .status,
        StatusCode::OK
    );
}

#[tokio::test]
async fn bodies_are_refused_when_too_large_or_packed_or_strange() {
    let door = Door::with_clicks(Options {
        request_bytes_max: 100,
        ..Options::default()
    })
    .await;
    let large = format!("[{}]", vec![r#"{"id":1}"#; 20].join(","));
    let problem = door
        .send(
            "POST clicks/rows",
            large.clone(),
            &[&format!("Content-Length: {}", large.len())],
        )
        .await;
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
    assert_eq!(
        door.send("POST clicks/rows", Body::from_stream(chunks), &[])
            .await
            .json()["rows"],
        1
    );
    let cut = futures::stream::iter([Ok(Bytes::from_static(b"[")), Err(std::io::Error::other("reset"))]);
    assert!(
        door.send("POST clicks/rows", Body::from_stream(cut), &[])
            .await
            .problem()
            .starts_with("400 malformed: the body was cut")
    );
    for (header, problem) in [
        ("Content-Encoding: gzip", "422 unsupported: Content-Encoding"),
        ("Content-Type: text/csv", "422 unsupported: Content-Type text/csv"),
        ("Content-Type: text/html", "415 unsupported-media-type"),
    ] {
        let found = door.send("POST clicks/rows", "[]", &[header]).await.problem();
        assert!(found.starts_with(problem), "{header}: {found}");
    }
}

#[tokio::test(start_paused = true)]
async fn bodies_wait_for_memory_and_are_refused_without_it() {
    let options = Options {
        request_bytes_max: 2048,
        bodies_bytes_max: 2048,
        ..Options::default()
    };
    let door = Door::with_clicks(options).await;
    let slow = Body::from_stream(futures::stream::pending::<Result<Bytes, std::io::Error>>());
    let first = door.send("POST clicks/rows", slow, &[]);
    let second = async {
        tokio::task::yield_now().await;
        door.post("clicks/rows", ROWS).await
    };
    let (first, second) = tokio::join!(first, second);
    assert!(second.problem().starts_with("429 overloaded"));
    assert_eq!(second.headers["retry-after"], "1");
    assert!(
        first
            .problem()
            .starts_with("400 malformed: the body did not arrive within 25 s")
    );
    assert_eq!(door.post("clicks/rows", ROWS).await.status, StatusCode::OK);
}

#[tokio::test(start_paused = true)]
async fn a_long_poll_waits_for_the_first_row() {
    let door = Door::with_clicks(Options::default()).await;
    let empty = door.get("clicks/rows?wait=2s").await;
    assert_eq!(
        (empty.body.as_str(), &empty.headers["frazil-next"]),
        ("[]", &"0:0".parse().unwrap())
    );
    let post = async {
        tokio::time::sleep(std::time::Duration::from_secs(1)).await;
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

#[tokio::test]
async fn a_follow_that_cannot_begin_is_a_plain_problem() {
    let door = Door::with_clicks(Options::default()).await;
    *door.app.fail_consume.lock() = Some(Problem::new(Kind::Trimmed, "gone").with("earliest", 7));
    let problem = door.get("clicks/rows?follow=true&from=1").await;
    assert!(problem.problem().starts_with("410 trimmed"));
    assert_eq!(problem.json()["earliest"], 7);
}

#[tokio::test]
async fn the_token_opens_the_door() {
    let door = Door::with(Options {
        token: Some("secret".to_owned()),
        ..Options::default()
    });
    for path in ["/health", "/ready", "/version"] {
        assert_eq!(door.get(path).await.status, StatusCode::OK, "{path}");
    }
    for path in ["/", "/metrics", "/openapi.json", "/v1/databases", "/v1/nothing"] {
        let answer = door.get(path).await;
        assert!(answer.problem().starts_with("401 unauthenticated"), "{path}");
        assert_eq!(answer.headers["www-authenticate"], "Bearer");
    }
    for header in [
        "Authorization: Bearer secre",
        "Authorization: Basic secret",
        "Authorization: secret",
    ] {
        assert_eq!(
            door.send("GET /v1/databases", "", &[header]).await.status,
            StatusCode::UNAUTHORIZED
        );
    }
    assert_eq!(
        door.send("GET /v1/databases", "", &["Authorization: bearer secret"])
            .await
            .status,
        StatusCode::OK
    );
}

#[tokio::test]
async fn a_request_has_an_id() {
    let door = Door::new();
    let given = door.send("GET /nope", "", &["X-Request-Id: mine-1"]).await;
    assert_eq!(
        (&given.headers["x-request-id"], &given.json()["request_id"]),
        (&"mine-1".parse().unwrap(), &json!("mine-1"))
    );
    let made = door.send("GET /health", "", &["X-Request-Id: not plain"]).await;
    assert_eq!(made.headers["x-request-id"].len(), 26);
}

#[tokio::test]
async fn a_panic_is_a_problem() {
    let door = Door::new();
    assert!(
        door.send("PUT /v1/databases/panic", "", &[])
            .await
            .problem()
            .starts_with("500 internal")
    );
}

#[tokio::test]
async fn readiness_is_lost_only_while_folding_and_draining() {
    let door = Door::new();
    for (readiness, status, state) in [
        (Readiness::Ready, 200, "ready"),
        (Readiness::ReadOnly, 200, "read-only"),
        (Readiness::Folding, 503, "folding"),
        (Readiness::Draining, 503, "draining"),
    ] {
        *door.app.readiness.lock() = Some(readiness);
        let answer = door.get("/ready").await;
        assert_eq!(
            (answer.status.as_u16(), &answer.json()["state"]),
            (status, &json!(state))
        );
    }
}

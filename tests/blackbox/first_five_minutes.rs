//! What a newcomer types, through two gateways on one store: each scenario on a directory and on a real MinIO.

use std::time::Duration;

use serde_json::{Value, json};
use tokio::time::{Instant, timeout};

use crate::support::frazil::{Frazil, Start, command};
use crate::support::store::Store;
use crate::table;

/// Two gateways, `a` and `b`, on one store.
struct World {
    store: Store,
    a: Frazil,
    b: Frazil,
}

impl World {
    async fn on(store: Store) -> Self {
        let (a, b) = (Frazil::gateway(&store).await, Frazil::gateway(&store).await);
        Self { store, a, b }
    }

    /// Makes `visits (key BIGINT NOT NULL, page STRING)` and gives the path of its rows.
    async fn visits(&self) -> String {
        self.a
            .http
            .put(
                &table("visits"),
                r#"{"columns":"key BIGINT NOT NULL, page STRING"}"#,
            )
            .await
            .ok(201);
        format!("{}/rows", table("visits"))
    }
}

macro_rules! on_each_store {
    ($($scenario:ident),* $(,)?) => {
        mod file {
            use super::{Store, World};
            $(#[tokio::test] async fn $scenario() { super::$scenario(&World::on(Store::file()).await).await; })*
        }
        mod minio {
            use super::{Store, World};
            $(#[tokio::test] async fn $scenario() { super::$scenario(&World::on(Store::minio().await).await).await; })*
        }
    };
}

on_each_store!(
    a_table_is_ensured,
    rows_are_acked_with_their_places,
    rows_are_read_from_a_position_through_either_gateway,
    a_follower_sees_rows_of_either_gateway_within_a_second,
    a_long_poll_is_answered_by_a_row_written_elsewhere,
    a_bad_row_refuses_its_whole_request,
    a_repeated_request_adds_nothing_through_either_gateway,
    an_append_may_expect_an_offset,
    a_table_may_be_inferred_from_its_rows,
    what_a_read_returns_a_write_accepts,
    buckets_count_their_offsets_apart,
    a_dropped_name_is_free_at_once,
    a_place_that_is_not_there_is_named,
    the_command_does_what_curl_does,
);

async fn a_table_is_ensured(world: &World) {
    let path = table("readings");
    let body = r#"{"columns":"sensor BIGINT NOT NULL, name STRING, at TIMESTAMP(6) WITH TIME ZONE"}"#;
    let made = world.a.http.put(&path, body).await.ok(201);
    assert!(
        made["uuid"].is_string() && made["schema_id"].is_number(),
        "{made}"
    );
    assert!(
        made["columns"].is_string() && made["schema"].is_object(),
        "both forms are shown: {made}"
    );
    world.a.http.put(&path, body).await.ok(200);
    let elsewhere = world.b.http.put(&path, body).await.ok(200);
    assert_eq!(elsewhere["uuid"], made["uuid"]);

    for (other, column) in [
        (
            r#"{"columns":"sensor STRING NOT NULL, name STRING, at TIMESTAMP(6) WITH TIME ZONE"}"#,
            "sensor",
        ),
        (
            r#"{"columns":"sensor BIGINT NOT NULL, name STRING NOT NULL, at TIMESTAMP(6) WITH TIME ZONE"}"#,
            "name",
        ),
        (
            r#"{"columns":"sensor BIGINT NOT NULL, name STRING, at TIMESTAMP(6)"}"#,
            "at",
        ),
    ] {
        let problem = world.b.http.put(&path, other).await.problem(409, "exists");
        let detail = problem["detail"].as_str().unwrap_or("");
        assert!(detail.contains(column), "it says what differs: {problem}");
    }
    let listed = world.b.http.get("/v1/databases/default/tables").await.ok(200);
    let names: Vec<&str> = listed["tables"]
        .as_array()
        .into_iter()
        .flatten()
        .filter_map(name_of)
        .collect();
    assert_eq!(names, ["readings"], "{listed}");
}

/// An entry of a list is a name, or an object with one.
fn name_of(entry: &Value) -> Option<&str> {
    entry.as_str().or_else(|| entry["name"].as_str())
}

/// Three rows through one gateway, one through the other; the path of the rows and the two acks.
async fn four_visits(world: &World) -> (String, Value, Value) {
    let rows = world.visits().await;
    let body = r#"[{"key":7,"page":"/home"},{"key":8,"page":"/buy"},{"key":9,"page":null}]"#;
    let first = world.a.http.post(&rows, body).await.ok(200);
    let second = world.b.http.post(&rows, r#"{"key":10,"page":"x"}"#).await.ok(200);
    (rows, first, second)
}

async fn rows_are_acked_with_their_places(world: &World) {
    let (_, first, second) = four_visits(world).await;
    assert_eq!(
        (&first["rows"], &first["duplicate"]),
        (&json!(3), &json!(false)),
        "{first}"
    );
    assert!(first["slot"].as_u64().is_some_and(|slot| slot > 0), "{first}");
    assert_eq!(first["buckets"], json!([{"bucket":0,"start":0,"end":3}]));
    let places = json!([{"bucket":0,"start":3,"end":4}]);
    assert_eq!(
        second["buckets"], places,
        "one object is one row, and the other gateway goes on"
    );
}

async fn rows_are_read_from_a_position_through_either_gateway(world: &World) {
    let (rows, _, _) = four_visits(world).await;
    for http in [&world.a.http, &world.b.http] {
        let answer = http
            .get(&format!("{rows}?from=1&limit=2&columns=*,__offset"))
            .await;
        let expected = json!([{"key":8,"page":"/buy","__offset":1},{"key":9,"page":null,"__offset":2}]);
        assert_eq!(answer.ok(200), expected);
        assert_eq!(answer.header("Frazil-Next"), "0:3");
        let rest = http.get(&format!("{rows}?from=0:3&columns=page,__bucket")).await;
        assert_eq!(rest.ok(200), json!([{"page":"x","__bucket":0}]));
        assert_eq!(
            (rest.header("Frazil-Next"), rest.header("Frazil-Caught-Up")),
            ("0:4", "true")
        );
        let all = http.get(&rows).await.ok(200);
        assert_eq!(
            all.as_array().map(Vec::len),
            Some(4),
            "from=earliest is the default: {all}"
        );
        assert!(
            all[0].get("__offset").is_none(),
            "`*` holds no pseudo-column: {all}"
        );
        let offsets = http.get(&format!("{}/offsets", table("visits"))).await.ok(200);
        let bounds = (
            &offsets["buckets"][0]["earliest"],
            &offsets["buckets"][0]["latest"],
        );
        assert_eq!(bounds, (&json!(0), &json!(4)), "{offsets}");
    }
}

async fn a_follower_sees_rows_of_either_gateway_within_a_second(world: &World) {
    let rows = world.visits().await;
    world.a.http.post(&rows, r#"[{"key":1}]"#).await.ok(200);
    for (writer, reader, key) in [
        (&world.a, &world.a, 2),
        (&world.a, &world.b, 3),
        (&world.b, &world.a, 4),
    ] {
        let mut stream = reader
            .http
            .open(&format!("{rows}?from=latest&follow=true&format=ndjson"))
            .await;
        assert_eq!(stream.status(), 200);
        let body = format!(r#"[{{"key":{key}}},{{"key":{}}}]"#, key * 10);
        writer.http.post(&rows, &body).await.ok(200);
        let acked = Instant::now();
        let mut text = String::new();
        while text.lines().filter(|line| line.contains("key")).count() < 2 {
            let piece = timeout(Duration::from_secs(10), stream.chunk())
                .await
                .expect("rows come in time");
            let piece = piece
                .expect("the stream goes on")
                .expect("the stream does not end");
            text.push_str(&String::from_utf8_lossy(&piece));
        }
        assert!(
            acked.elapsed() < Duration::from_secs(1),
            "it took {:?}",
            acked.elapsed()
        );
        let found: Vec<Value> = text
            .lines()
            .filter_map(|line| serde_json::from_str(line).ok())
            .collect();
        assert_eq!(
            found.iter().map(|row| row["key"].clone()).collect::<Vec<_>>(),
            [json!(key), json!(key * 10)]
        );
    }
}

async fn a_long_poll_is_answered_by_a_row_written_elsewhere(world: &World) {
    let rows = world.visits().await;
    world.a.http.post(&rows, r#"[{"key":1}]"#).await.ok(200);
    let nothing = world.b.http.get(&format!("{rows}?from=0:1&wait=200ms")).await;
    assert_eq!(nothing.ok(200), json!([]));
    assert_eq!(
        (nothing.header("Frazil-Next"), nothing.header("Frazil-Caught-Up")),
        ("0:1", "true")
    );
    let path = format!("{rows}?from=0:1&wait=20s");
    let (answer, ack) = tokio::join!(world.b.http.get(&path), async {
        tokio::time::sleep(Duration::from_millis(300)).await;
        let ack = world.a.http.post(&rows, r#"[{"key":2}]"#).await.ok(200);
        (ack, Instant::now())
    });
    assert_eq!(answer.ok(200), json!([{"key":2,"page":null}]), "{}", ack.0);
    assert!(
        ack.1.elapsed() < Duration::from_secs(1),
        "it took {:?} after the ack",
        ack.1.elapsed()
    );
}

async fn a_bad_row_refuses_its_whole_request(world: &World) {
    let rows = world.visits().await;
    let answer = world
        .a
        .http
        .post(
            &rows,
            r#"[{"key":3},{"key":"n/a"},{"page":"no key"},{"key":4,"pgae":"x"}]"#,
        )
        .await;
    let problem = answer.problem(422, "invalid-rows");
    let detail = problem["detail"].as_str().unwrap_or("");
    for words in ["row 1", "\"key\"", "BIGINT", "\"n/a\""] {
        assert!(detail.contains(words), "{words} in {detail}");
    }
    assert_eq!(
        (&problem["outcome"], &problem["retry"]),
        (&json!("not-committed"), &json!("never"))
    );
    let errors: Vec<(u64, &str)> = problem["errors"]
        .as_array()
        .into_iter()
        .flatten()
        .filter_map(|e| Some((e["row"].as_u64()?, e["kind"].as_str()?)))
        .collect();
    assert_eq!(
        errors,
        [(1, "wrong-type"), (2, "missing"), (3, "unknown-column")],
        "{problem}"
    );
    assert_eq!(problem["errors"][0]["pointer"], "/1/key");
    world
        .a
        .http
        .post(&rows, r#"[{"key":9223372036854775808}]"#)
        .await
        .problem(422, "invalid-rows");
    world
        .a
        .http
        .post(&rows, r#"[{"key":1"#)
        .await
        .problem(400, "malformed");
    assert_eq!(
        world.b.http.get(&rows).await.ok(200),
        json!([]),
        "nothing was added"
    );
}

async fn a_repeated_request_adds_nothing_through_either_gateway(world: &World) {
    let rows = world.visits().await;
    let (a, b, body) = (&world.a.http, &world.b.http, r#"[{"key":1},{"key":2}]"#);
    let first = a.post_as(&rows, "p-1", 0, body).await.ok(200);
    assert_eq!(first["duplicate"], false);
    for gateway in [a, b] {
        let again = gateway.post_as(&rows, "p-1", 0, body).await.ok(200);
        assert_eq!(
            (&again["buckets"], &again["duplicate"]),
            (&first["buckets"], &json!(true)),
            "{again}"
        );
    }
    for gateway in [a, b] {
        let gap = gateway
            .post_as(&rows, "p-1", 5, body)
            .await
            .problem(409, "sequence-gap");
        assert_eq!(gap["expected"], 1, "{gap}");
        let unknown = gateway
            .post_as(&rows, "p-2", 1, body)
            .await
            .problem(409, "sequence-gap");
        assert_eq!(unknown["expected"], 0, "{unknown}");
        gateway
            .post_as(&rows, "p-1", 0, r#"[{"key":3}]"#)
            .await
            .problem(409, "sequence-conflict");
    }
    let next = b.post_as(&rows, "p-1", 1, body).await.ok(200);
    assert_eq!(next["buckets"], json!([{"bucket":0,"start":2,"end":4}]));

    let epoch_one = [
        ("Producer-Id", "p-1"),
        ("Producer-Epoch", "1"),
        ("Producer-Seq", "0"),
    ];
    let newer = a
        .request("POST", &rows, &epoch_one, Some(body.as_bytes().to_vec()))
        .await
        .ok(200);
    assert_eq!(
        (&newer["duplicate"], &newer["buckets"][0]["start"]),
        (&json!(false), &json!(4))
    );
    b.post_as(&rows, "p-1", 2, body)
        .await
        .problem(409, "producer-fenced");
    let found = b.get(&rows).await.ok(200);
    assert_eq!(found.as_array().map(Vec::len), Some(6), "{found}");
}

async fn an_append_may_expect_an_offset(world: &World) {
    let rows = world.visits().await;
    world
        .a
        .http
        .post(&format!("{rows}?expected_offset=0"), r#"[{"key":1},{"key":2}]"#)
        .await
        .ok(200);
    for gateway in [&world.a, &world.b] {
        let problem = gateway
            .http
            .post(&format!("{rows}?expected_offset=0"), r#"[{"key":3}]"#)
            .await
            .problem(412, "expected-offset");
        assert!(problem["actual"].to_string().contains('2'), "{problem}");
        assert_eq!(problem["outcome"], "not-committed");
    }
    let ack = world
        .b
        .http
        .post(&format!("{rows}?expected_offset=2"), r#"[{"key":3}]"#)
        .await
        .ok(200);
    assert_eq!(ack["buckets"][0]["start"], 2);
    // A refusal by the log uses up the sequence, and the same sequence gets the same refusal.
    for gateway in [&world.a, &world.b] {
        gateway
            .http
            .post_as(&format!("{rows}?expected_offset=1"), "p", 0, r#"[{"key":4}]"#)
            .await
            .problem(412, "expected-offset");
    }
    world
        .a
        .http
        .post_as(&format!("{rows}?expected_offset=3"), "p", 1, r#"[{"key":4}]"#)
        .await
        .ok(200);
}

async fn a_table_may_be_inferred_from_its_rows(world: &World) {
    let rows = format!("{}/rows", table("moves"));
    world
        .a
        .http
        .post(&rows, r#"[{"id":1}]"#)
        .await
        .problem(404, "no-such-table");
    let ack = world
        .a
        .http
        .post(
            &format!("{rows}?create=true"),
            r#"[{"id":1,"to":"e4"},{"id":2,"to":"e5"}]"#,
        )
        .await
        .ok(200);
    assert_eq!(ack["created"], "moves (id BIGINT, to STRING)");
    assert_eq!(ack["buckets"], json!([{"bucket":0,"start":0,"end":2}]));
    let second = world
        .b
        .http
        .post(&format!("{rows}?create=true"), r#"[{"id":3,"to":"Nf3"}]"#)
        .await
        .ok(200);
    assert!(second.get("created").is_none_or(Value::is_null), "{second}");
    assert_eq!(second["buckets"][0]["start"], 2);
}

async fn what_a_read_returns_a_write_accepts(world: &World) {
    let columns = "b BOOLEAN, i INT, l BIGINT, r REAL, d DOUBLE, m DECIMAL(15,2), day DATE, t TIME, ts TIMESTAMP(6), tz TIMESTAMP(6) WITH TIME ZONE, \
                   s STRING, u UUID, f FIXED(3), x BINARY, a ARRAY<INT>, o MAP<STRING,BIGINT>, st STRUCT<p INT, q STRING>, v VECTOR(2)";
    let (from, to) = (table("every_type"), table("every_type_again"));
    let http = &world.a.http;
    http.put(&from, &json!({ "columns": columns }).to_string())
        .await
        .ok(201);
    http.put(&to, &json!({ "columns": columns }).to_string())
        .await
        .ok(201);
    let row = json!({
        "b": true, "i": -7, "l": i64::MAX, "r": 1.5, "d": "NaN", "m": "1234567890123.45", "day": "2026-02-28", "t": "23:59:59.999999",
        "ts": "2026-02-28T12:00:00.000001", "tz": "2026-02-28T12:00:00.000001Z", "s": "grüße \"✓\"", "u": "7d444840-9dc0-11d1-b245-5ffdce74fad2",
        "f": "AQID", "x": "3q2+7w==", "a": [1, null, 3], "o": {"k": 9_007_199_254_740_993_i64}, "st": {"p": 1, "q": null}, "v": [0.5, -0.25]
    });
    let null_row: Value = row
        .as_object()
        .into_iter()
        .flatten()
        .map(|(name, _)| (name.clone(), Value::Null))
        .collect();
    http.post(&format!("{from}/rows"), &json!([row, null_row]).to_string())
        .await
        .ok(200);
    let first = http.get(&format!("{from}/rows")).await.ok(200);
    assert_eq!(first[0]["m"], "1234567890123.45", "decimals are strings");
    assert_eq!(first[0]["l"], i64::MAX, "64-bit integers keep their last digit");
    assert_eq!(
        (&first[0]["d"], &first[0]["x"], &first[0]["s"]),
        (&json!("NaN"), &json!("3q2+7w=="), &row["s"])
    );

    let arrow = "application/vnd.apache.arrow.stream";
    for (format, content_type) in [
        ("json", "application/json"),
        ("ndjson", "application/x-ndjson"),
        ("arrow", arrow),
    ] {
        let read = world.b.http.get(&format!("{from}/rows?format={format}")).await;
        assert_eq!(read.status, 200, "{format}: {read:?}");
        assert!(
            read.header("content-type").starts_with(content_type),
            "{format}: {read:?}"
        );
        let by_accept = world
            .b
            .http
            .request("GET", &format!("{from}/rows"), &[("accept", content_type)], None)
            .await;
        assert_eq!(by_accept.bytes, read.bytes, "{format} by Accept");
        let written = http
            .request(
                "POST",
                &format!("{to}/rows"),
                &[("content-type", content_type)],
                Some(read.bytes),
            )
            .await;
        assert_eq!(written.ok(200)["rows"], 2, "{format}");
    }
    let copied = world.b.http.get(&format!("{to}/rows")).await.ok(200);
    let expected: Vec<Value> = first.as_array().into_iter().flatten().cloned().collect();
    assert_eq!(
        copied,
        json!([expected.clone(), expected.clone(), expected].concat())
    );
}

async fn buckets_count_their_offsets_apart(world: &World) {
    let body = r#"{"columns":"key BIGINT NOT NULL, page STRING","buckets":3,"bucket_by":["key"]}"#;
    world.a.http.put(&table("visits"), body).await.ok(201);
    let rows = format!("{}/rows", table("visits"));
    for gateway in [&world.a, &world.b] {
        let body: Vec<Value> = (0..40)
            .map(|key| json!({"key": key, "page": format!("/{key}")}))
            .collect();
        let ack = gateway.http.post(&rows, &json!(body).to_string()).await.ok(200);
        let places = ack["buckets"].as_array().cloned().unwrap_or_default();
        let acked: u64 = places
            .iter()
            .filter_map(|place| Some(place["end"].as_u64()? - place["start"].as_u64()?))
            .sum();
        assert_eq!(acked, 40, "{ack}");
        assert!(
            places.len() > 1,
            "40 keys fall into more than one of 3 buckets: {ack}"
        );
    }
    let all = world
        .b
        .http
        .get(&format!("{rows}?columns=key,__bucket,__offset"))
        .await;
    let found = all.ok(200);
    assert_eq!(found.as_array().map(Vec::len), Some(80));
    let mut bucket_of = std::collections::BTreeMap::new();
    let mut next = [0_u64; 3];
    for row in found.as_array().into_iter().flatten() {
        let bucket = usize::try_from(row["__bucket"].as_u64().expect("a bucket is a number"))
            .expect("a bucket is small");
        assert_eq!(
            row["__offset"], next[bucket],
            "offsets are gapless and in order within a bucket: {row}"
        );
        next[bucket] += 1;
        let key = row["key"].as_u64().expect("a key is a number");
        assert_eq!(
            *bucket_of.entry(key).or_insert(bucket),
            bucket,
            "a key keeps its bucket: {row}"
        );
    }
    let position = format!("0:{},1:{},2:{}", next[0], next[1], next[2]);
    assert_eq!(all.header("Frazil-Next"), position);
    let one = world.a.http.get(&format!("{rows}?bucket=1&columns=key")).await;
    assert_eq!(
        one.ok(200).as_array().map(|rows| rows.len() as u64),
        Some(next[1])
    );
}

async fn a_dropped_name_is_free_at_once(world: &World) {
    let rows = world.visits().await;
    world.a.http.post(&rows, r#"[{"key":1}]"#).await.ok(200);
    let old = world.a.http.get(&table("visits")).await.ok(200);
    world
        .a
        .http
        .request("DELETE", "/v1/databases/default", &[], None)
        .await
        .problem(409, "not-empty");
    let dropped = world.b.http.request("DELETE", &table("visits"), &[], None).await;
    assert!(matches!(dropped.status, 200 | 204), "{dropped:?}");
    for gateway in [&world.a, &world.b] {
        gateway.http.get(&rows).await.problem(404, "no-such-table");
        gateway
            .http
            .post(&rows, r#"[{"key":1}]"#)
            .await
            .problem(404, "no-such-table");
    }
    let new = world
        .a
        .http
        .put(&table("visits"), r#"{"columns":"key STRING"}"#)
        .await
        .ok(201);
    assert_ne!(new["uuid"], old["uuid"]);
    let ack = world.b.http.post(&rows, r#"[{"key":"a"}]"#).await.ok(200);
    assert_eq!(ack["buckets"][0]["start"], 0, "the new table has its own offsets");
}

async fn a_place_that_is_not_there_is_named(world: &World) {
    let rows = world.visits().await;
    world.a.http.post(&rows, r#"[{"key":1}]"#).await.ok(200);
    let http = &world.b.http;
    http.get(&format!("{}/rows", table("nowhere")))
        .await
        .problem(404, "no-such-table");
    http.get("/v1/databases/nowhere/tables/visits/rows")
        .await
        .problem(404, "no-such-database");
    http.get(&format!("{rows}?bucket=9"))
        .await
        .problem(404, "no-such-bucket");
    http.get(&format!("{rows}?from=0:2"))
        .await
        .problem(416, "beyond-tail");
    http.get(&format!("{rows}?from=0:x"))
        .await
        .problem(400, "malformed");
    http.get(&format!("{rows}?from=0:1")).await.ok(200);
    let headers = [("content-type", "image/png")];
    let answer = http
        .request("POST", &rows, &headers, Some(b"no rows".to_vec()))
        .await;
    answer.problem(415, "unsupported-media-type");
    let wide = format!(r#"[{{"key":1,"page":"{}"}}]"#, "x".repeat(17 << 20));
    http.post(&rows, &wide).await.problem(413, "too-large");
    http.put(&table("Not A Name"), r#"{"columns":"a INT"}"#)
        .await
        .problem(400, "malformed");
    for path in ["/health", "/ready", "/version", "/metrics", "/openapi.json", "/"] {
        assert_eq!(http.get(path).await.status, 200, "{path}");
    }
}

async fn the_command_does_what_curl_does(world: &World) {
    let (store, url) = (&world.store, world.a.url());
    let scratch = tempfile::tempdir().expect("a temporary directory can be made");
    let file = scratch.path().join("more.ndjson");
    let lines: String = (0..1000)
        .map(|key| format!("{{\"key\":{key},\"page\":\"/{key}\"}}\n"))
        .collect();
    std::fs::write(&file, lines).expect("a file can be written");
    let file = file.to_str().expect("the path is UTF-8");

    let made = command(
        &[
            "table",
            "create",
            "visits",
            "key BIGINT NOT NULL, page STRING",
            "--url",
            url,
        ],
        store,
    )
    .await;
    assert_eq!(made.code, Some(0), "{made:?}");
    let produced = command(&["produce", "visits", file, "--url", url], store).await;
    assert_eq!(produced.code, Some(0), "{produced:?}");
    let consumed = command(
        &[
            "consume",
            "visits",
            "--from",
            "998",
            "-o",
            "json",
            "--url",
            world.b.url(),
        ],
        store,
    )
    .await;
    assert_eq!(consumed.code, Some(0), "{consumed:?}");
    assert!(
        consumed.stdout.contains("/998")
            && consumed.stdout.contains("/999")
            && !consumed.stdout.contains("/997"),
        "{consumed:?}"
    );
    let listed = command(&["table", "list", "-o", "json", "--url", url], store).await;
    assert!(
        listed.code == Some(0) && listed.stdout.contains("visits"),
        "{listed:?}"
    );
    let status = command(&["status", "--url", url], store).await;
    assert_eq!(status.code, Some(0), "{status:?}");
    let log = command(&["log", "ls", "--store", &store.url], store).await;
    assert!(log.code == Some(0) && log.stdout.lines().count() > 1, "{log:?}");
    let verified = command(&["verify", "--store", &store.url], store).await;
    assert_eq!(verified.code, Some(0), "{verified:?}");
    let missing = command(&["consume", "nowhere", "--url", url], store).await;
    assert_eq!(missing.code, Some(1), "{missing:?}");
    let usage = command(&["no-such-verb"], store).await;
    assert_eq!(usage.code, Some(2), "{usage:?}");
}

#[tokio::test]
async fn the_banner_of_dev_can_be_pasted() {
    let store = Store::file();
    let frazil = Frazil::dev(&store).await;
    let banner = frazil.stdout();
    assert!(
        frazil.started_in < Duration::from_secs(2),
        "the banner took {:?}",
        frazil.started_in
    );
    for words in [
        frazil.url(),
        "/v1/databases/default/tables/clicks/rows?create=true",
        "frazil consume clicks -f",
        "frazil produce clicks",
        "fsync on",
    ] {
        assert!(banner.contains(words), "{words} in {banner}");
    }
    assert!(
        banner.contains(&*store.path().to_string_lossy()),
        "the data path is shown: {banner}"
    );
    assert!(
        !banner.contains("iceberg"),
        "a line for a door appears once that door is open: {banner}"
    );
}

#[tokio::test]
async fn a_token_is_asked_for_and_a_process_without_one_stays_on_loopback() {
    let store = Store::file();
    let mut open = Start::new("gateway", &store).listen("0.0.0.0:0").process();
    let code = open.wait(Duration::from_secs(10)).await;
    assert!(
        code.is_some_and(|code| code != 0) && open.words().contains("token"),
        "{}",
        open.words()
    );

    let frazil = Start::new("gateway", &store)
        .env("FRAZIL_TOKEN", "ice")
        .run()
        .await;
    let tables = "/v1/databases/default/tables";
    frazil.http.get(tables).await.problem(401, "unauthenticated");
    let wrong = frazil
        .http
        .request("GET", tables, &[("authorization", "Bearer snow")], None)
        .await;
    wrong.problem(401, "unauthenticated");
    frazil
        .http
        .request("GET", tables, &[("authorization", "Bearer ice")], None)
        .await
        .ok(200);

    let mut insecure = Start::new("gateway", &store)
        .listen("0.0.0.0:0")
        .arg("--insecure")
        .process();
    tokio::time::sleep(Duration::from_secs(1)).await;
    assert!(
        insecure.ended().is_none(),
        "told --insecure, it listens: {}",
        insecure.words()
    );
}

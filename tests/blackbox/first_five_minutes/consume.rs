//! Consume: from a position, as it comes, in each format.

use std::time::Duration;

use serde_json::{Value, json};
use tokio::time::{Instant, timeout};

use super::World;
use crate::table;

super::on_each_store!(
    rows_are_acked_with_their_places,
    rows_are_read_from_a_position_through_either_gateway,
    a_follower_sees_rows_of_either_gateway_within_a_second,
    a_long_poll_is_answered_by_a_row_written_elsewhere,
    a_long_poll_for_one_row_is_answered_when_many_come_at_once,
    what_a_read_returns_a_write_accepts,
);

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
    assert_eq!((&first["rows"], &first["duplicate"]), (&json!(3), &json!(false)), "{first}");
    assert!(first["slot"].as_u64().is_some_and(|slot| slot > 0), "{first}");
    assert_eq!(first["buckets"], json!([{"bucket":0,"start":0,"end":3}]));
    let places = json!([{"bucket":0,"start":3,"end":4}]);
    assert_eq!(second["buckets"], places, "one object is one row, and the other gateway goes on");
}

async fn rows_are_read_from_a_position_through_either_gateway(world: &World) {
    let (rows, _, _) = four_visits(world).await;
    for http in [&world.a.http, &world.b.http] {
        let answer = http.get(&format!("{rows}?from=1&limit=2&columns=*,__offset")).await;
        let expected = json!([{"key":8,"page":"/buy","__offset":1},{"key":9,"page":null,"__offset":2}]);
        assert_eq!(answer.ok(200), expected);
        assert_eq!(answer.header("Frazil-Next"), "0:3");
        let rest = http.get(&format!("{rows}?from=0:3&columns=page,__bucket")).await;
        assert_eq!(rest.ok(200), json!([{"page":"x","__bucket":0}]));
        assert_eq!((rest.header("Frazil-Next"), rest.header("Frazil-Caught-Up")), ("0:4", "true"));
        let all = http.get(&rows).await.ok(200);
        assert_eq!(all.as_array().map(Vec::len), Some(4), "from=earliest is the default: {all}");
        assert!(all[0].get("__offset").is_none(), "`*` holds no pseudo-column: {all}");
        let offsets = http.get(&format!("{}/offsets", table("visits"))).await.ok(200);
        let bounds = (&offsets["buckets"][0]["earliest"], &offsets["buckets"][0]["latest"]);
        assert_eq!(bounds, (&json!(0), &json!(4)), "{offsets}");
    }
}

async fn a_follower_sees_rows_of_either_gateway_within_a_second(world: &World) {
    let rows = world.visits().await;
    world.a.http.post(&rows, r#"[{"key":1}]"#).await.ok(200);
    for (writer, reader, key) in [(&world.a, &world.a, 2), (&world.a, &world.b, 3), (&world.b, &world.a, 4)] {
        let mut stream = reader.http.open(&format!("{rows}?from=latest&follow=true&format=ndjson")).await;
        assert_eq!(stream.status(), 200);
        let body = format!(r#"[{{"key":{key}}},{{"key":{}}}]"#, key * 10);
        writer.http.post(&rows, &body).await.ok(200);
        let acked = Instant::now();
        let mut text = String::new();
        while text.lines().filter(|line| line.contains("key")).count() < 2 {
            let piece = timeout(Duration::from_secs(10), stream.chunk()).await.expect("rows come in time");
            let piece = piece.expect("the stream goes on").expect("the stream does not end");
            text.push_str(&String::from_utf8_lossy(&piece));
        }
        assert!(acked.elapsed() < Duration::from_secs(1), "it took {:?}", acked.elapsed());
        let found: Vec<Value> = text.lines().filter_map(|line| serde_json::from_str(line).ok()).collect();
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
    assert_eq!((nothing.header("Frazil-Next"), nothing.header("Frazil-Caught-Up")), ("0:1", "true"));
    let path = format!("{rows}?from=0:1&wait=20s");
    let (answer, ack) = tokio::join!(world.b.http.get(&path), async {
        tokio::time::sleep(Duration::from_millis(300)).await;
        let ack = world.a.http.post(&rows, r#"[{"key":2}]"#).await.ok(200);
        (ack, Instant::now())
    });
    assert_eq!(answer.ok(200), json!([{"key":2,"page":null}]), "{}", ack.0);
    assert!(ack.1.elapsed() < Duration::from_secs(1), "it took {:?} after the ack", ack.1.elapsed());
}

/// More rows than were asked for need no look at the tail; they must be seen all the same.
async fn a_long_poll_for_one_row_is_answered_when_many_come_at_once(world: &World) {
    let rows = world.visits().await;
    let http = world.a.http.clone();
    let path = format!("{rows}?from=0&limit=1&wait=10s&columns=key");
    let waiting = tokio::spawn(async move { http.get(&path).await });
    tokio::time::sleep(Duration::from_millis(500)).await;
    world.a.http.post(&rows, r#"[{"key":1},{"key":2},{"key":3}]"#).await.ok(200);
    let answer =
        timeout(Duration::from_secs(5), waiting).await.expect("it is answered").expect("it does not panic");
    assert_eq!(answer.ok(200), json!([{"key":1}]));
}

async fn what_a_read_returns_a_write_accepts(world: &World) {
    let columns = "b BOOLEAN, i INT, l BIGINT, r REAL, d DOUBLE, m DECIMAL(15,2), day DATE, t TIME, ts TIMESTAMP(6), tz TIMESTAMP(6) WITH TIME ZONE, \
                   s STRING, u UUID, f FIXED(3), x BINARY, a ARRAY<INT>, o MAP<STRING,BIGINT>, st STRUCT<p INT, q STRING>, v VECTOR(2)";
    let (from, to) = (table("every_type"), table("every_type_again"));
    let http = &world.a.http;
    http.put(&from, &json!({ "columns": columns }).to_string()).await.ok(201);
    http.put(&to, &json!({ "columns": columns }).to_string()).await.ok(201);
    let row = json!({
        "b": true, "i": -7, "l": i64::MAX, "r": 1.5, "d": "NaN", "m": "1234567890123.45", "day": "2026-02-28", "t": "23:59:59.999999",
        "ts": "2026-02-28T12:00:00.000001", "tz": "2026-02-28T12:00:00.000001Z", "s": "grüße \"✓\"", "u": "7d444840-9dc0-11d1-b245-5ffdce74fad2",
        "f": "AQID", "x": "3q2+7w==", "a": [1, null, 3], "o": {"k": 9_007_199_254_740_993_i64}, "st": {"p": 1, "q": null}, "v": [0.5, -0.25]
    });
    let null_row: Value =
        row.as_object().into_iter().flatten().map(|(name, _)| (name.clone(), Value::Null)).collect();
    http.post(&format!("{from}/rows"), &json!([row, null_row]).to_string()).await.ok(200);
    let first = http.get(&format!("{from}/rows")).await.ok(200);
    assert_eq!(first[0]["m"], "1234567890123.45", "decimals are strings");
    assert_eq!(first[0]["l"], i64::MAX, "64-bit integers keep their last digit");
    assert_eq!(
        (&first[0]["d"], &first[0]["x"], &first[0]["s"]),
        (&json!("NaN"), &json!("3q2+7w=="), &row["s"])
    );

    let arrow = "application/vnd.apache.arrow.stream";
    for (format, content_type) in
        [("json", "application/json"), ("ndjson", "application/x-ndjson"), ("arrow", arrow)]
    {
        let read = world.b.http.get(&format!("{from}/rows?format={format}")).await;
        assert_eq!(read.status, 200, "{format}: {read:?}");
        assert!(read.header("content-type").starts_with(content_type), "{format}: {read:?}");
        let by_accept =
            world.b.http.request("GET", &format!("{from}/rows"), &[("accept", content_type)], None).await;
        assert_eq!(by_accept.bytes, read.bytes, "{format} by Accept");
        let written = http
            .request("POST", &format!("{to}/rows"), &[("content-type", content_type)], Some(read.bytes))
            .await;
        assert_eq!(written.ok(200)["rows"], 2, "{format}");
    }
    let copied = world.b.http.get(&format!("{to}/rows")).await.ok(200);
    let expected: Vec<Value> = first.as_array().into_iter().flatten().cloned().collect();
    assert_eq!(copied, json!([expected.clone(), expected.clone(), expected].concat()));
}

//! Tables: ensured, inferred, listed, dropped, and named when they are not there.

use serde_json::{Value, json};

use super::World;
use crate::table;

super::on_each_store!(
    a_table_is_ensured,
    a_table_may_be_inferred_from_its_rows,
    a_dropped_name_is_free_at_once,
    a_place_that_is_not_there_is_named,
);

async fn a_table_is_ensured(world: &World) {
    let path = table("readings");
    let body = r#"{"columns":"sensor BIGINT NOT NULL, name STRING, at TIMESTAMP(6) WITH TIME ZONE"}"#;
    let made = world.a.http.put(&path, body).await.ok(201);
    assert!(made["uuid"].is_string() && made["schema_id"].is_number(), "{made}");
    assert!(made["columns"].is_string() && made["schema"].is_object(), "both forms are shown: {made}");
    world.a.http.put(&path, body).await.ok(200);
    let elsewhere = world.b.http.put(&path, body).await.ok(200);
    assert_eq!(elsewhere["uuid"], made["uuid"]);

    for (other, column) in [
        (r#"{"columns":"sensor STRING NOT NULL, name STRING, at TIMESTAMP(6) WITH TIME ZONE"}"#, "sensor"),
        (
            r#"{"columns":"sensor BIGINT NOT NULL, name STRING NOT NULL, at TIMESTAMP(6) WITH TIME ZONE"}"#,
            "name",
        ),
        (r#"{"columns":"sensor BIGINT NOT NULL, name STRING, at TIMESTAMP(6)"}"#, "at"),
    ] {
        let problem = world.b.http.put(&path, other).await.problem(409, "exists");
        let detail = problem["detail"].as_str().unwrap_or("");
        assert!(detail.contains(column), "it says what differs: {problem}");
    }
    let listed = world.b.http.get("/v1/databases/default/tables").await.ok(200);
    let names: Vec<&str> = listed["tables"].as_array().into_iter().flatten().filter_map(name_of).collect();
    assert_eq!(names, ["readings"], "{listed}");
}

/// An entry of a list is a name, or an object with one.
fn name_of(entry: &Value) -> Option<&str> {
    entry.as_str().or_else(|| entry["name"].as_str())
}

async fn a_table_may_be_inferred_from_its_rows(world: &World) {
    let rows = format!("{}/rows", table("moves"));
    world.a.http.post(&rows, r#"[{"id":1}]"#).await.problem(404, "no-such-table");
    let ack = world
        .a
        .http
        .post(&format!("{rows}?create=true"), r#"[{"id":1,"to":"e4"},{"id":2,"to":"e5"}]"#)
        .await
        .ok(200);
    assert_eq!(ack["created"], "moves (id BIGINT, to STRING)");
    assert_eq!(ack["buckets"], json!([{"bucket":0,"start":0,"end":2}]));
    let second = world.b.http.post(&format!("{rows}?create=true"), r#"[{"id":3,"to":"Nf3"}]"#).await.ok(200);
    assert!(second.get("created").is_none_or(Value::is_null), "{second}");
    assert_eq!(second["buckets"][0]["start"], 2);
}

async fn a_dropped_name_is_free_at_once(world: &World) {
    let rows = world.visits().await;
    world.a.http.post(&rows, r#"[{"key":1}]"#).await.ok(200);
    let old = world.a.http.get(&table("visits")).await.ok(200);
    world.a.http.request("DELETE", "/v1/databases/default", &[], None).await.problem(409, "not-empty");
    let dropped = world.b.http.request("DELETE", &table("visits"), &[], None).await;
    assert!(matches!(dropped.status, 200 | 204), "{dropped:?}");
    for gateway in [&world.a, &world.b] {
        gateway.http.get(&rows).await.problem(404, "no-such-table");
        gateway.http.post(&rows, r#"[{"key":1}]"#).await.problem(404, "no-such-table");
    }
    let new = world.a.http.put(&table("visits"), r#"{"columns":"key STRING"}"#).await.ok(201);
    assert_ne!(new["uuid"], old["uuid"]);
    let ack = world.b.http.post(&rows, r#"[{"key":"a"}]"#).await.ok(200);
    assert_eq!(ack["buckets"][0]["start"], 0, "the new table has its own offsets");
}

async fn a_place_that_is_not_there_is_named(world: &World) {
    let rows = world.visits().await;
    world.a.http.post(&rows, r#"[{"key":1}]"#).await.ok(200);
    let http = &world.b.http;
    http.get(&format!("{}/rows", table("nowhere"))).await.problem(404, "no-such-table");
    http.get("/v1/databases/nowhere/tables/visits/rows").await.problem(404, "no-such-database");
    http.get(&format!("{rows}?bucket=9")).await.problem(404, "no-such-bucket");
    http.get(&format!("{rows}?from=0:2")).await.problem(416, "beyond-tail");
    http.get(&format!("{rows}?from=0:x")).await.problem(400, "malformed");
    http.get(&format!("{rows}?from=0:1")).await.ok(200);
    let headers = [("content-type", "image/png")];
    let answer = http.request("POST", &rows, &headers, Some(b"no rows".to_vec())).await;
    answer.problem(415, "unsupported-media-type");
    let wide = format!(r#"[{{"key":1,"page":"{}"}}]"#, "x".repeat(17 << 20));
    http.post(&rows, &wide).await.problem(413, "too-large");
    http.put(&table("Not A Name"), r#"{"columns":"a INT"}"#).await.problem(400, "malformed");
    for path in ["/health", "/ready", "/version", "/metrics", "/openapi.json", "/"] {
        assert_eq!(http.get(path).await.status, 200, "{path}");
    }
}

//! Groups before a real gateway: stored, compared, read from, deleted.

use serde_json::{Value, json};

use super::{Answer, Door};

const GROUP: &str = "/v1/databases/default/groups/etl";

/// A gateway with three rows in `clicks`, and table `many` of three buckets.
async fn door() -> Door {
    let door = Door::real().await;
    let rows = r#"[{"id":1,"url":"a"},{"id":2,"url":"b"},{"id":3,"url":"c"}]"#;
    assert_eq!(door.post("clicks/rows?create=true", rows).await.status, 200);
    let many = r#"{"columns":"id BIGINT NOT NULL","buckets":3}"#;
    assert_eq!(door.send("PUT many", many, &[]).await.status, 201);
    for bucket in 0..3 {
        let rows = r#"[{"id":1},{"id":2}]"#;
        assert_eq!(door.post(&format!("many/rows?bucket={bucket}"), rows).await.status, 200);
    }
    door
}

async fn put(door: &Door, body: &str) -> Answer {
    door.send(&format!("PUT {GROUP}"), body.to_owned(), &[]).await
}

#[track_caller]
fn positions(answer: &Answer) -> Value {
    assert!(answer.status.is_success(), "{}", answer.body);
    answer.json()["positions"].clone()
}

#[tokio::test]
async fn a_position_is_stored_if_the_expected_one_is_there() {
    let door = door().await;
    let first = put(&door, r#"{"positions":{"clicks":"0:1"},"expected":{"clicks":null}}"#).await;
    assert_eq!((first.status.as_u16(), positions(&first)), (201, json!({"clicks": "0:1"})));
    let again = put(&door, r#"{"positions":{"clicks":"0:1"},"expected":{"clicks":null}}"#).await;
    assert!(again.problem().starts_with("412 expected-position: group etl, table clicks"), "{}", again.body);
    assert_eq!((&again.json()["actual"], &again.json()["outcome"]), (&json!("0:1"), &json!("not-committed")));
    let moved = put(&door, r#"{"positions":{"clicks":"0:3"},"expected":{"clicks":"0:1"}}"#).await;
    assert_eq!((moved.status.as_u16(), positions(&moved)), (200, json!({"clicks": "0:3"})));
    let stale = put(&door, r#"{"positions":{"clicks":"0:2"},"expected":{"clicks":"0:1"}}"#).await;
    assert_eq!(stale.json()["actual"], "0:3");
}

#[tokio::test]
async fn workers_store_buckets_of_their_own() {
    let door = door().await;
    positions(&put(&door, r#"{"positions":{"many":"0:1"}}"#).await);
    let mine = r#"{"positions":{"many":"2:2"},"expected":{"many":"2:-"}}"#;
    assert_eq!(positions(&put(&door, mine).await), json!({"many": "0:1,2:2"}));
    let late = put(&door, mine).await;
    assert_eq!(late.json()["actual"], "2:2");
    let other = put(&door, r#"{"positions":{"many":"1:1"},"expected":{"many":"1:0"}}"#).await;
    assert_eq!((other.status.as_u16(), &other.json()["actual"]), (412, &Value::Null));
    let lag = put(&door, r#"{"positions":{}}"#).await.json()["lag"]["many"].clone();
    assert_eq!(lag["rows"], 3, "one of bucket 0 and both of bucket 1");
    assert!(lag["seconds"].as_f64().is_some_and(|seconds| seconds < 60.0), "{lag}");
}

#[tokio::test]
async fn what_get_returns_put_accepts() {
    let door = door().await;
    positions(&put(&door, r#"{"positions":{"clicks":"0:1","many":"0:1,2:2"}}"#).await);
    let read = door.get(GROUP).await;
    assert_eq!(read.headers["etag"], "\"1\"");
    assert_eq!(door.send(&format!("DELETE {GROUP}"), "", &[]).await.status, 204);
    assert_eq!(door.get(GROUP).await.problem().split(':').next(), Some("404 no-such-group"));
    let back = put(&door, &read.body).await;
    assert_eq!((positions(&back), &back.json()["generation"]), (positions(&read), &json!(2)));
    let listed = door.get("/v1/databases/default/groups?prefix=e&limit=1").await.json();
    assert_eq!((&listed["groups"][0]["group"], &listed["next"]), (&json!("etl"), &Value::Null));
}

#[tokio::test]
async fn a_generation_that_is_over_is_not_written_nor_deleted() {
    let door = door().await;
    positions(&put(&door, r#"{"positions":{"clicks":"0:1"}}"#).await);
    assert_eq!(door.send(&format!("DELETE {GROUP}"), "", &["If-Match: \"1\""]).await.status, 204);
    positions(&put(&door, r#"{"positions":{"clicks":"0:1"}}"#).await);
    let body = r#"{"positions":{"clicks":"0:3"}}"#;
    let late = door.send(&format!("PUT {GROUP}"), body, &["If-Match: \"1\""]).await;
    assert!(late.problem().starts_with("412 expected-position: group etl was deleted and made again"));
    let late = door.send(&format!("DELETE {GROUP}"), "", &["If-Match: 1"]).await;
    assert_eq!(late.status, 412, "{}", late.body);
    assert_eq!(door.send(&format!("PUT {GROUP}"), body, &["If-Match: \"2\""]).await.status, 200);
}

#[tokio::test]
async fn a_consumer_begins_where_its_group_stands() {
    let door = door().await;
    positions(&put(&door, r#"{"positions":{"clicks":"0:2","many":"1:2"}}"#).await);
    let ids = |answer: Answer| -> Vec<u64> {
        answer.json().as_array().unwrap().iter().map(|row| row["id"].as_u64().unwrap()).collect()
    };
    assert_eq!(ids(door.get("clicks/rows?group=etl").await), [3]);
    assert_eq!(ids(door.get("clicks/rows?group=other&from=1").await), [2, 3]);
    assert_eq!(ids(door.get("many/rows?group=etl").await), [1, 2, 1, 2]);
    assert_eq!(ids(door.get("many/rows?group=etl&from=latest").await), [] as [u64; 0]);
    assert_eq!(door.get("many/rows?group=etl&bucket=1").await.headers["frazil-next"], "1:2");
}

#[tokio::test]
async fn what_cannot_be_stored_is_refused_by_name() {
    let door = door().await;
    for (body, problem) in [
        (r#"{"positions":{"clicks":"0:4"}}"#, "416 beyond-tail: table clicks, bucket 0: position 4"),
        (r#"{"positions":{"clix":"0:4"}}"#, "404 no-such-table: there is no table clix"),
        (r#"{"positions":{"clicks":"1:4"}}"#, "404 no-such-bucket"),
        (r#"{"positions":{"clicks":"soon"}}"#, "400 malformed: \"soon\" is no position"),
        (r#"{"positions":{"clicks":"0:1"},"expected":{"many":"0:1"}}"#, "400 malformed: expected names"),
        (r#"{"positions":{"clicks":"0:1"},"expected":{"clicks":"0:1,0:-"}}"#, "400 malformed: the position"),
        (r#"{"positions":{"clicks":"0:1"},"commit":true}"#, "422 unsupported: unknown field `commit`"),
        (r#"{"expected":{}}"#, "400 malformed: missing field `positions`"),
    ] {
        let answer = put(&door, body).await;
        assert!(answer.problem().starts_with(problem), "{body}: {}", answer.problem());
    }
    let csv = door.send(&format!("PUT {GROUP}"), "a,b", &["Content-Type: text/csv"]).await;
    assert!(csv.problem().starts_with("415 unsupported-media-type"));
    assert_eq!(door.get(GROUP).await.status, 404);
}

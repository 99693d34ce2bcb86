//! The atomic write before a real gateway: JSON and forms, whole or not at all, named errors, retries.

use serde_json::{Value, json};

use super::{Answer, Door};

const WRITE: &str = "POST /v1/databases/default/write";
const FORM: &str = "Content-Type: multipart/form-data; boundary=xx";

/// A gateway with tables `orders (id, total)`, `stock (item, left)` and one row in `clicks`.
async fn door() -> Door {
    let door = Door::real().await;
    for (table, columns) in
        [("orders", "id BIGINT NOT NULL, total DECIMAL(38,2)"), ("stock", "item STRING, left BIGINT")]
    {
        let answer = door.send(&format!("PUT {table}"), format!(r#"{{"columns":"{columns}"}}"#), &[]).await;
        assert_eq!(answer.status, 201, "{}", answer.body);
    }
    assert_eq!(door.post("clicks/rows?create=true", r#"[{"id":1}]"#).await.status, 200);
    door
}

async fn write(door: &Door, body: &str, headers: &[&str]) -> Answer {
    door.send(WRITE, body.to_owned(), headers).await
}

async fn rows(door: &Door, table: &str) -> Value {
    door.get(&format!("{table}/rows")).await.json()
}

/// Parts with a name, a type and a body.
fn form(parts: &[(&str, &str, &str)]) -> String {
    let part = |(name, content_type, body): &(&str, &str, &str)| {
        let content_type =
            if content_type.is_empty() { String::new() } else { format!("Content-Type: {content_type}\r\n") };
        format!("--xx\r\nContent-Disposition: form-data; name=\"{name}\"\r\n{content_type}\r\n{body}\r\n")
    };
    format!("{}--xx--\r\n", parts.iter().map(part).collect::<String>())
}

#[tokio::test]
async fn rows_of_several_tables_and_positions_share_a_slot() {
    let door = door().await;
    let body = r#"{"tables":{"orders":{"rows":[{"id":1,"total":12345678901234567890123456.78}]},
        "stock":{"op":"append","rows":[{"item":"a","left":2},{"item":"b","left":3}]}},
        "expected_offset":{"orders":{"0":0},"stock":"0:0"},
        "positions":{"etl":{"clicks":"0:1"}},"expected":{"etl":{"clicks":null}}}"#;
    let ack = write(&door, body, &[]).await;
    assert_eq!(ack.status, 200, "{}", ack.body);
    let ack = ack.json();
    assert_eq!((&ack["rows"], &ack["duplicate"]), (&json!(3), &json!(false)));
    assert_eq!(ack["tables"]["stock"], json!({"rows": 2, "buckets": [{"bucket": 0, "start": 0, "end": 2}]}));
    assert_eq!(rows(&door, "orders").await, json!([{"id": 1, "total": "12345678901234567890123456.78"}]));
    let slots: Vec<Value> = vec![ack["slot"].clone()];
    assert!(slots[0].is_u64());
    let group = door.get("/v1/databases/default/groups/etl").await.json();
    assert_eq!((&group["positions"]["clicks"], &group["lag"]["clicks"]["rows"]), (&json!("0:1"), &json!(0)));

    // The same again: the position stands elsewhere now, and so nothing is written.
    let again = write(&door, r#"{"tables":{"stock":{"rows":[{"item":"c"}]}},"positions":{"etl":{"clicks":"0:1"}},"expected":{"etl":{"clicks":"0:0"}}}"#, &[]).await;
    assert!(again.problem().starts_with("412 expected-position: group etl, table clicks"), "{}", again.body);
    assert_eq!(again.json()["actual"], "0:1");
    assert_eq!(rows(&door, "stock").await.as_array().unwrap().len(), 2);
    let tail = write(&door, r#"{"tables":{"stock":{"rows":[{"item":"c"}]},"orders":{"rows":[{"id":2}]}},"expected_offset":{"orders":0}}"#, &[]).await;
    assert!(tail.problem().starts_with("412 expected-offset: table orders, bucket 0"), "{}", tail.body);
    assert_eq!((&tail.json()["table"], &tail.json()["actual"]), (&json!("orders"), &json!(1)));
    assert_eq!(rows(&door, "stock").await.as_array().unwrap().len(), 2);
}

#[tokio::test]
async fn a_form_has_a_table_a_part_in_any_format() {
    let door = door().await;
    let body = form(&[
        ("orders", "application/x-ndjson", "{\"id\":1,\"total\":\"1.50\"}\n{\"id\":2}\n"),
        ("stock", "text/csv", "item,left\na,1\n"),
        ("__positions", "application/json", r#"{"etl":{"clicks":"0:1"}}"#),
        ("__expected", "", r#"{"etl":{"clicks":null}}"#),
        ("__expected_offset", "", r#"{"stock":{"0":0}}"#),
    ]);
    let ack = write(&door, &body, &[FORM]).await;
    assert_eq!(ack.status, 200, "{}", ack.body);
    assert_eq!(ack.json()["tables"]["orders"]["buckets"], json!([{"bucket": 0, "start": 0, "end": 2}]));
    assert_eq!(rows(&door, "stock").await, json!([{"item": "a", "left": 1}]));
    let refused = write(&door, &body, &[FORM]).await;
    assert!(refused.problem().starts_with("412 "), "{}", refused.body);
    assert_eq!(rows(&door, "orders").await.as_array().unwrap().len(), 2);

    let made = form(&[("fresh", "text/csv", "a,b\n1,x\n"), ("orders", "", r#"[{"id":3}]"#)]);
    let ack = door.send(&format!("{WRITE}?create=true"), made, &[FORM]).await;
    assert_eq!(ack.json()["tables"]["fresh"]["created"], "fresh (a BIGINT, b STRING)", "{}", ack.body);
    assert_eq!(rows(&door, "fresh").await, json!([{"a": 1, "b": "x"}]));
}

#[tokio::test]
async fn a_retry_is_known_whatever_its_boundary() {
    let door = door().await;
    let headers = ["Producer-Id: p", "Producer-Epoch: 0", "Producer-Seq: 0"];
    let parts = [("orders", "application/json", r#"[{"id":1}]"#), ("stock", "text/csv", "item\na\n")];
    let body = form(&parts);
    let first = write(&door, &body, &[&headers[..], &[FORM]].concat()).await.json();
    let other = "Content-Type: multipart/form-data; boundary=yy";
    let again = write(&door, &body.replace("--xx", "--yy"), &[&headers[..], &[other]].concat()).await.json();
    assert_eq!((&first["duplicate"], &again["duplicate"]), (&json!(false), &json!(true)));
    assert_eq!((&first["slot"], &first["tables"]), (&again["slot"], &again["tables"]));
    let different = form(&[parts[0], ("stock", "text/csv", "item\nb\n")]);
    let conflict = write(&door, &different, &[&headers[..], &[FORM]].concat()).await;
    assert!(conflict.problem().starts_with("409 sequence-conflict"), "{}", conflict.body);
    assert_eq!(rows(&door, "stock").await, json!([{"item": "a", "left": null}]));

    // A refusal by the log uses the sequence up, and is given again.
    let headers = ["Producer-Id: p", "Producer-Epoch: 0", "Producer-Seq: 1"];
    let stale = r#"{"tables":{"stock":{"rows":[{"item":"b"}]}},"expected_offset":{"stock":0}}"#;
    for _ in 0..2 {
        assert_eq!(write(&door, stale, &headers).await.json()["actual"], 1);
    }
}

#[tokio::test]
async fn what_is_wrong_is_named_with_its_table() {
    let door = door().await;
    let wrong = r#"{"tables":{"stock":{"rows":[{"item":"a"}]},"orders":{"rows":[{"id":1},{"id":2},{"id":3,"total":"n/a"}]}}}"#;
    let answer = write(&door, wrong, &[]).await;
    assert!(
        answer.problem().starts_with("422 invalid-rows: table orders: row 2, column \"total\""),
        "{}",
        answer.body
    );
    assert_eq!(answer.json()["errors"][0]["pointer"], "/tables/orders/rows/2/total");
    for (body, problem) in [
        ("{}", "400 malformed: the request names neither"),
        (r#"{"tables":{"nope":{"rows":[{"id":1}]}}}"#, "404 no-such-table: there is no table nope"),
        (r#"{"tables":{"orders":{"op":"upsert","rows":[]}}}"#, "422 unsupported: table orders: op=upsert"),
        (
            r#"{"tables":{"orders":{"rows":[],"columns":"id"}}}"#,
            "422 unsupported: table orders: member \"columns\"",
        ),
        (r#"{"tables":{"orders":{}}}"#, "400 malformed: table orders: rows are missing"),
        (r#"{"tables":{"orders":{"rows":[{"id":1}]}},"commit":1}"#, "422 unsupported: member \"commit\""),
        (r#"{"tables":{"orders":{"rows":[{"id":1}}}"#, "400 malformed: line 1, column"),
        (
            r#"{"tables":{"orders":{"rows":[]},"orders":{"rows":[]}}}"#,
            "400 malformed: member \"orders\" is given twice",
        ),
        (
            r#"{"tables":{},"expected_offset":{"orders":{"0":1}}}"#,
            "400 malformed: expected_offset names table orders",
        ),
        (
            r#"{"positions":{"etl":{"clicks":"0:1"}},"expected":{"elt":{"clicks":null}}}"#,
            "400 malformed: expected names group elt",
        ),
        (r#"{"positions":{"etl":{"clicks":"0:9"}}}"#, "416 beyond-tail: table clicks, bucket 0"),
        (
            r#"{"tables":{"orders":{"rows":[{"id":1}],"bucket":7}},"expected_offset":{"orders":"9:1"}}"#,
            "404 no-such-bucket",
        ),
    ] {
        let answer = write(&door, body, &[]).await;
        assert!(answer.problem().starts_with(problem), "{body}: {}", answer.problem());
    }
    for (parts, problem) in [
        (
            form(&[("orders", "", r#"[{"id":1}]"#), ("orders", "", r#"[{"id":2}]"#)]),
            "400 malformed: table orders is given twice",
        ),
        (form(&[("__commit", "", "{}")]), "422 unsupported: part \"__commit\""),
        (form(&[("__positions", "", "{")]), "400 malformed: part __positions"),
        (form(&[("orders", "image/png", "x")]), "415 unsupported-media-type: table orders"),
        ("--xx\r\nnothing".to_owned(), "400 malformed: the form is broken"),
    ] {
        let answer = write(&door, &parts, &[FORM]).await;
        assert!(answer.problem().starts_with(problem), "{parts}: {}", answer.problem());
    }
    let none = write(&door, "x", &["Content-Type: multipart/form-data"]).await;
    assert!(none.problem().starts_with("400 malformed: the form"), "{}", none.body);
    for table in ["orders", "stock"] {
        assert_eq!(rows(&door, table).await, json!([]), "{table}");
    }
}

#[tokio::test]
async fn positions_of_a_group_that_comes_and_goes_are_stored_in_it() {
    let door = door().await;
    let body = r#"{"tables":{"stock":{"rows":[{"item":"a"}]}},"positions":{"etl":{"clicks":"0:1"},"other":{"stock":"0:1"}}}"#;
    for generation in [1, 3] {
        assert_eq!(write(&door, body, &[]).await.status, 200);
        let group = door.get("/v1/databases/default/groups/etl").await.json();
        assert_eq!(group["generation"], generation, "{group}");
        assert_eq!(door.send("DELETE /v1/databases/default/groups/etl", "", &[]).await.status, 204);
    }
}

//! A table that changes under its readers: old rows are read as the table is now, through every door and in every format.

use std::process::Command;
use std::time::Duration;

use reqwest::Response;
use serde_json::{Value, json};
use tokio::time::timeout;

use crate::support::frazil::{Frazil, binary, command};
use crate::support::http::Http;
use crate::support::process::Process;
use crate::support::store::Store;
use crate::support::{eventually, repository, tool};
use crate::table;

const PIECE_MAX: Duration = Duration::from_secs(10);
const COMMAND_MAX: Duration = Duration::from_secs(20);

/// A stream of which as much is read as is wanted.
struct Stream {
    response: Response,
    text: String,
}

impl Stream {
    async fn open(http: &Http, path: &str) -> Self {
        let response = http.open(path).await;
        assert_eq!(response.status(), 200, "{path}");
        Self { response, text: String::new() }
    }

    /// All that came until a text is in it.
    async fn until(&mut self, wanted: &str) -> &str {
        while !self.text.contains(wanted) {
            let piece = timeout(PIECE_MAX, self.response.chunk()).await;
            let piece = piece.unwrap_or_else(|_| panic!("no {wanted:?} in {}", self.text));
            let piece = piece.expect("the stream goes on").expect("the stream does not end");
            self.text.push_str(&String::from_utf8_lossy(&piece));
        }
        &self.text
    }

    /// The rows that its lines are, or its events' data.
    fn rows(&self) -> Vec<Value> {
        let row = |line: &str| serde_json::from_str(line.strip_prefix("data: ").unwrap_or(line)).ok();
        self.text.lines().filter_map(row).collect()
    }
}

/// Three rows of the first schema.
async fn shop(frazil: &Frazil) -> String {
    let columns = r#"{"columns":"id INT NOT NULL, name STRING, old STRING, price REAL"}"#;
    frazil.http.put(&table("shop"), columns).await.ok(201);
    let rows = format!("{}/rows", table("shop"));
    let body = r#"[{"id":1,"name":"ink","old":"x","price":1.5},{"id":2,"name":null,"old":"y","price":2.5},{"id":3,"name":"pen","price":null}]"#;
    frazil.http.post(&rows, body).await.ok(200);
    rows
}

const CHANGES: &str = r#"{"alter":[{"add":{"name":"ref","type":"STRING"}},{"rename":{"from":"name","to":"title"}},
    {"widen":{"column":"id","type":"BIGINT"}},{"widen":{"column":"price","type":"DOUBLE"}},{"drop":"old"},
    {"move":{"column":"ref","after":"id"}}]}"#;
const NEW_ROW: &str = r#"[{"id":9000000000,"ref":"r","title":"cap","price":3.25}]"#;
const CSV: &str = "id,ref,title,price\n1,,ink,1.5\n2,,,2.5\n3,,pen,\n9000000000,r,cap,3.25\n";

/// Alters the table, and writes a row that fits it only now.
async fn alter(frazil: &Frazil, rows: &str) {
    let patch = |if_match: &'static str| async move {
        frazil.http.request("PATCH", &table("shop"), &[("If-Match", if_match)], Some(CHANGES.into())).await
    };
    patch("\"7\"").await.problem(412, "schema-changed");
    let altered = patch("\"0\"").await;
    assert_eq!(altered.header("etag"), "\"1\"", "{altered:?}");
    assert_eq!(altered.ok(200)["columns"], "id BIGINT NOT NULL, ref STRING, title STRING, price DOUBLE");
    patch("\"0\"").await.problem(412, "schema-changed");
    frazil.http.post(rows, NEW_ROW).await.ok(200);
    let old = frazil.http.post(rows, r#"[{"id":5,"name":"gum"}]"#).await.problem(422, "invalid-rows");
    assert!(
        old["detail"].as_str().is_some_and(|detail| detail.contains("title")),
        "the new name is told: {old}"
    );
}

#[tokio::test]
async fn old_rows_are_read_as_the_table_is_now_through_every_door() {
    let store = Store::file();
    let frazil = Frazil::gateway(&store).await;
    let rows = shop(&frazil).await;
    let mut lines =
        Stream::open(&frazil.http, &format!("{rows}?follow=true&format=ndjson&filter=id%20%3C%3E%202")).await;
    let mut events = Stream::open(&frazil.http, &format!("{rows}?format=sse")).await;
    lines.until("\"id\":3").await;
    events.until("\"id\":3").await;
    let csv = consume(&frazil, "csv");
    let ndjson = consume(&frazil, "ndjson");
    for process in [&csv, &ndjson] {
        printed(process, "pen").await;
    }
    let mut flight = flight(&frazil);
    printed(&flight, "waiting").await;

    alter(&frazil, &rows).await;
    let new = json!({"id": 9_000_000_000_i64, "ref": "r", "title": "cap", "price": 3.25});
    lines.until("cap").await;
    let old = |id: i64, name: Value, old: &str, price: Value| json!({"id": id, "name": name, "old": old, "price": price});
    let (ink, pen) =
        (old(1, json!("ink"), "x", json!(1.5)), json!({"id": 3, "name": "pen", "old": null, "price": null}));
    assert_eq!(
        lines.rows(),
        [ink.clone(), pen.clone(), new.clone()],
        "a follower goes on with the new names"
    );
    events.until("cap").await;
    assert_eq!(events.rows(), [ink, old(2, Value::Null, "y", json!(2.5)), pen, new], "and so do events");

    assert_eq!(frazil.http.get(&format!("{rows}?format=csv")).await.text, CSV);
    for (filter, ids) in [
        ("title = 'ink' OR ref = 'r'", json!([{"id": 1}, {"id": 9_000_000_000_i64}])),
        ("ref IS NULL AND price > 2", json!([{"id": 2}])),
        ("id > 4294967296", json!([{"id": 9_000_000_000_i64}])),
    ] {
        let filter = filter.replace(' ', "%20").replace('=', "%3D");
        assert_eq!(
            frazil.http.get(&format!("{rows}?columns=id&filter={filter}")).await.ok(200),
            ids,
            "{filter}"
        );
    }
    for gone in ["columns=old", "columns=name", "filter=old%20IS%20NULL"] {
        frazil.http.get(&format!("{rows}?{gone}")).await.problem(422, "unsupported");
    }
    assert_eq!(flight.wait(COMMAND_MAX).await, Some(0), "{}", flight.words());

    commands_end_or_go_on(&frazil, &store, csv, ndjson).await;
    let cold = Frazil::gateway(&store).await;
    assert_eq!(
        cold.http.get(&format!("{rows}?format=csv")).await.text,
        CSV,
        "and by a gateway that begins now"
    );
}

/// One CSV text has one header: it ends with words and the place to go on from. Lines go on.
async fn commands_end_or_go_on(frazil: &Frazil, store: &Store, mut csv: Process, ndjson: Process) {
    assert_eq!(csv.wait(COMMAND_MAX).await, Some(1), "{}", csv.words());
    assert_eq!(csv.stdout.text(), "id,name,old,price\n1,ink,x,1.5\n2,,y,2.5\n3,pen,,");
    let words = csv.stderr.text();
    assert!(words.contains("columns changed") && words.contains("--from 0:3"), "{words}");
    let go_on = ["consume", "shop", "-o", "csv", "--from", "0:3", "--url", frazil.url()];
    assert_eq!(command(&go_on, store).await.stdout, "id,ref,title,price\n9000000000,r,cap,3.25");
    printed(&ndjson, "cap").await;
}

#[tokio::test]
async fn a_dropped_table_comes_back_with_its_rows_and_its_schema() {
    let store = Store::file();
    let frazil = Frazil::gateway(&store).await;
    let rows = shop(&frazil).await;
    alter(&frazil, &rows).await;
    let described = frazil.http.get(&table("shop")).await.ok(200);
    let drop = async || frazil.http.request("DELETE", &table("shop"), &[], None).await;
    assert_eq!(drop().await.status, 204);
    frazil.http.get(&rows).await.problem(404, "no-such-table");
    frazil.http.put(&table("shop"), r#"{"columns":"other INT"}"#).await.ok(201);
    let restore = async || frazil.http.post(&format!("{}/restore", table("shop")), "").await;
    restore().await.problem(409, "exists");
    assert_eq!(drop().await.status, 204);
    let uuid = described["uuid"].as_str().unwrap_or_default();
    can_be_restored(&frazil, &store, uuid).await;
    let restored = frazil.http.post(&format!("{}/restore?uuid={uuid}", table("shop")), "").await.ok(200);
    assert_eq!((&restored["schema_id"], &restored["uuid"]), (&json!(1), &described["uuid"]));
    assert_eq!(frazil.http.get(&format!("{rows}?format=csv")).await.text, CSV);
    frazil.http.post(&rows, NEW_ROW).await.ok(200);
    let cold = Frazil::gateway(&store).await;
    assert_eq!(cold.http.get(&format!("{}/offsets", table("shop"))).await.ok(200)["buckets"][0]["latest"], 5);
    assert_eq!(drop().await.status, 204);
    assert_eq!(restore().await.ok(200)["uuid"], described["uuid"], "the newest of the name");
}

/// Both tables of the name are listed, oldest first, also page by page and by the command.
async fn can_be_restored(frazil: &Frazil, store: &Store, uuid: &str) {
    let list =
        async |query: &str| frazil.http.get(&format!("/v1/databases/default/tables?{query}")).await.ok(200);
    assert_eq!(list("prefix=shop").await["tables"], json!([]));
    let both = list("dropped=true&prefix=shop").await;
    let uuids: Vec<&Value> =
        both["tables"].as_array().into_iter().flatten().map(|table| &table["uuid"]).collect();
    assert_eq!((uuids.len(), uuids[0]), (2, &json!(uuid)), "{both}");
    let first = &both["tables"][0];
    assert!(first["kept_until"].as_str() > first["dropped"].as_str(), "{first}");
    let page = list("dropped=true&limit=1").await;
    assert_eq!(page["tables"][0], *first);
    let after = page["next"].as_str().expect("there is another");
    let page = list(&format!("dropped=true&limit=1&after={after}")).await;
    assert_eq!((&page["tables"][0], &page["next"]), (&both["tables"][1], &Value::Null));
    frazil.http.get("/v1/databases/default/groups?dropped=true").await.problem(422, "unsupported");
    let said = command(&["table", "list", "--dropped", "--url", frazil.url()], store).await;
    assert!(
        said.code == Some(0) && said.stdout.contains(uuid) && said.stdout.contains("kept until"),
        "{said:?}"
    );
}

#[tokio::test]
async fn a_sequence_that_a_dropped_column_used_up_is_not_sent_again() {
    let store = Store::file();
    let (one, behind) = (Frazil::gateway(&store).await, Frazil::gateway(&store).await);
    // The other gateway must not have folded the change yet: it may have, then it is tried with another table.
    for attempt in 0..10 {
        let name = table(&format!("t{attempt}"));
        let rows = format!("{name}/rows");
        one.http.put(&name, r#"{"columns":"id INT, old STRING"}"#).await.ok(201);
        behind.http.get(&rows).await.ok(200);
        let drop = br#"{"alter":[{"drop":"old"}]}"#.to_vec();
        one.http.request("PATCH", &name, &[], Some(drop)).await.ok(200);
        let producer = format!("p{attempt}");
        let refused = behind.http.post_as(&rows, &producer, 0, r#"[{"id":1,"old":"x"}]"#).await;
        if refused.status == 422 {
            continue;
        }
        let problem = refused.problem(412, "schema-changed");
        assert_eq!((&problem["retry"], &problem["current"]), (&json!("never"), &json!(1)), "{problem}");
        let again = one.http.post_as(&rows, &producer, 0, r#"[{"id":1}]"#).await;
        again.problem(409, "sequence-conflict");
        behind.http.post_as(&rows, &producer, 1, r#"[{"id":1}]"#).await.ok(200);
        assert_eq!(one.http.get(&rows).await.ok(200), json!([{"id": 1}]));
        return;
    }
    panic!("the other gateway was never behind");
}

/// `frazil consume shop -f` in a format.
fn consume(frazil: &Frazil, format: &str) -> Process {
    let mut command = Command::new(binary());
    Process::start(command.args(["consume", "shop", "-f", "-o", format, "--url", frazil.url()]))
}

/// A script that follows by Flight while the table changes.
fn flight(frazil: &Frazil) -> Process {
    let mut command = Command::new(tool("python/bin/python", "FRAZIL_PYTHON", "tests/tools/python.sh"));
    command.arg(repository("tests/blackbox/flight/altered.py")).env("PYTHONDONTWRITEBYTECODE", "1");
    Process::start(command.arg(format!("grpc://{}", frazil.address())))
}

async fn printed(process: &Process, wanted: &str) {
    eventually(&format!("{wanted:?} is printed"), COMMAND_MAX, async || {
        if process.stdout.text().contains(wanted) { Ok(()) } else { Err(process.words()) }
    })
    .await;
}

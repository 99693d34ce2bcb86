//! What the design speaks of and is not there yet is refused by name: never ignored, never half done.

use crate::support::frazil::{Frazil, command};
use crate::support::http::Answer;
use crate::support::store::Store;
use crate::table;

const COLUMNS: &str = r#""columns":"id BIGINT NOT NULL, day DATE""#;

async fn gateway() -> (Store, Frazil) {
    let store = Store::file();
    let frazil = Frazil::gateway(&store).await;
    frazil.http.put(&table("rime"), &format!("{{{COLUMNS}}}")).await.ok(201);
    frazil.http.post(&format!("{}/rows", table("rime")), r#"[{"id":1}]"#).await.ok(200);
    (store, frazil)
}

#[track_caller]
fn names(answer: &Answer, what: &str) {
    let problem = answer.problem(422, "unsupported");
    let detail = problem["detail"].as_str().unwrap_or("");
    assert!(detail.contains(what), "{what} is named: {problem}");
    assert_eq!(problem["retry"], "never", "{problem}");
}

#[tokio::test]
async fn a_parameter_of_a_later_version_is_named() {
    let (_store, frazil) = gateway().await;
    let rows = format!("{}/rows", table("rime"));
    for (query, what) in [("format=sse", "sse")] {
        names(&frazil.http.get(&format!("{rows}?{query}")).await, what);
    }
    for (query, what) in [("op=upsert", "op"), ("op=delete", "op"), ("columns=id", "columns")] {
        names(&frazil.http.post(&format!("{rows}?{query}"), r#"[{"id":2}]"#).await, what);
    }
    let left = frazil.http.get(&rows).await.ok(200);
    assert_eq!(left.as_array().map(Vec::len), Some(1), "nothing was added: {left}");
}

#[tokio::test]
async fn an_option_of_a_later_version_is_named() {
    let (_store, frazil) = gateway().await;
    for (extra, what) in
        [(r#""primary_key":["id"]"#, "primary_key"), (r#""options":{"lake.enabled":true}"#, "lake.enabled")]
    {
        names(&frazil.http.put(&table("hoar"), &format!("{{{COLUMNS},{extra}}}")).await, what);
    }
    frazil.http.get(&table("hoar")).await.problem(404, "no-such-table");
    frazil
        .http
        .put(&table("hoar"), &format!(r#"{{{COLUMNS},"options":{{"retention":"30d"}}}}"#))
        .await
        .ok(201);
    let shown = frazil.http.get(&table("hoar")).await;
    assert!(shown.text.contains("30d"), "{shown:?}");
}

#[tokio::test]
async fn a_verb_of_a_later_version_is_named() {
    let (_store, frazil) = gateway().await;
    let t = table("rime");
    for (method, path, what) in [("GET", format!("{t}/lookup?id=1"), "lookup")] {
        let body = (method != "GET").then(|| b"{}".to_vec());
        names(&frazil.http.request(method, &path, &[], body).await, what);
    }
}

#[tokio::test]
async fn a_command_of_a_later_version_is_refused() {
    let (store, frazil) = gateway().await;
    let lookup = command(&["lookup", "rime", "id=1", "--url", frazil.url()], &store).await;
    assert!(lookup.code.is_some_and(|code| code != 0) && lookup.stderr.contains("lookup"), "{lookup:?}");
}

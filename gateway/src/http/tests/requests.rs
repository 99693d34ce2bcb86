use axum::http::StatusCode;
use serde_json::json;

use super::{Door, Options};
use crate::app::Readiness;

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
    let other = door.send("PUT clicks", r#"{"columns":"id INT NOT NULL, url STRING"}"#, &[]).await.problem();
    assert!(other.starts_with("409 exists: table clicks is there and differs: column id"), "{other}");
    let wrong = door.send("PUT x", r#"{"columns":"id BIGINT","colour":"red"}"#, &[]).await.problem();
    assert!(wrong.starts_with("422 unsupported: unknown field `colour`"), "{wrong}");
    assert!(door.send("PUT x", r#"{"columns":}"#, &[]).await.problem().starts_with("400 malformed"));
    assert!(door.send("PUT x", r#"{"columns":"id FOO"}"#, &[]).await.problem().starts_with("400 malformed"));
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
    assert_eq!(door.send("DELETE clicks", "", &[]).await.status, StatusCode::NO_CONTENT);
    assert!(door.get("clicks").await.problem().starts_with("404 no-such-table"));
}

#[tokio::test]
async fn tables_are_listed_in_pages() {
    let door = Door::with_clicks(Options::default()).await;
    for table in ["click2", "other"] {
        door.send(&format!("PUT {table}"), r#"{"columns":"id INT"}"#, &[]).await;
    }
    let page = door.get("/v1/databases/default/tables?prefix=cl&limit=1").await.json();
    assert_eq!((&page["tables"][0]["name"], &page["next"]), (&json!("click2"), &json!("click2")));
    let page = door.get("/v1/databases/default/tables?prefix=cl&after=click2").await.json();
    assert_eq!((&page["tables"][0]["name"], &page["next"]), (&json!("clicks"), &json!(null)));
}

#[tokio::test]
async fn parameters_are_refused_by_name() {
    let door = Door::with_clicks(Options::default()).await;
    for (line, problem) in [
        ("GET clicks/rows?filter=id%3E", "400 malformed: filter, line 1, column"),
        (
            "GET clicks/rows?filter=nope%3E1",
            "422 unsupported: filter: the table has no column \"nope\"; it has id, url",
        ),
        ("GET clicks/rows?group=G", "400 malformed: name \"G\""),
        ("GET clicks/rows?fromm=1", "422 unsupported: parameter \"fromm\""),
        ("GET clicks/rows?format=csv&follow=true", "422 unsupported: follow=true"),
        ("GET clicks/rows?format=xml", "422 unsupported: format=\"xml\" is not known"),
        ("GET clicks/rows?format=json&follow=true", "422 unsupported: follow=true"),
        ("GET clicks/rows?from=-15", "400 malformed: \"-15\" is no time"),
        ("GET clicks/rows?from=soon", "400 malformed: from=\"soon\""),
        ("GET clicks/rows?from=0:1,7:1", "404 no-such-bucket: there is no bucket 7"),
        ("GET clicks/rows?from=99", "416 beyond-tail"),
        ("GET clicks/rows?bucket=1", "404 no-such-bucket"),
        ("GET clicks/rows?columns=x", "422 unsupported: columns: the table has no column \"x\""),
        ("GET clicks/rows?limit=0", "400 malformed: limit=0"),
        ("GET clicks/rows?limit=1&limit=2", "400 malformed: parameter limit is given twice"),
        ("GET clicks/rows?max_bytes=65MiB", "400 malformed: max_bytes"),
        ("GET clicks/rows?wait=10", "400 malformed: wait"),
        ("GET clicks/rows?wait=1d", "400 malformed: wait=1d"),
        ("GET clicks/offsets?at=2026-01-32", "400 malformed: \"2026-01-32\" is no time"),
        ("GET clicks/offsets?at=7:1", "404 no-such-bucket"),
        ("POST clicks/rows?op=upsert", "422 unsupported: parameter op"),
        ("POST clicks/rows?columns=id", "422 unsupported: parameter columns"),
        ("POST clicks/rows?timeout=0s", "400 malformed: timeout"),
        ("PUT clicks?x=1", "422 unsupported: parameter \"x\""),
        ("GET /v1/databases/nope/tables", "404 no-such-database"),
        ("DELETE /v1/databases/default", "409 not-empty"),
    ] {
        let found = door.send(line, "[]", &[]).await.problem();
        assert!(found.starts_with(problem), "{line}: {found}");
    }
    let accept = door.send("GET clicks/rows", "", &["Accept: text/html"]).await.problem();
    assert!(accept.starts_with("422 unsupported: Accept: text/html"), "{accept}");
    assert_eq!(
        door.send("GET clicks/rows", "", &["Accept: text/html, */*;q=0.8"]).await.status,
        StatusCode::OK
    );
}

#[tokio::test]
async fn the_token_opens_the_door() {
    let door = Door::with(Options { token: Some("secret".to_owned()), ..Options::default() });
    for path in ["/health", "/ready", "/version"] {
        assert_eq!(door.get(path).await.status, StatusCode::OK, "{path}");
    }
    for path in ["/", "/metrics", "/openapi.json", "/v1/databases", "/v1/nothing"] {
        let answer = door.get(path).await;
        assert!(answer.problem().starts_with("401 unauthenticated"), "{path}");
        assert_eq!(answer.headers["www-authenticate"], "Bearer");
    }
    for header in ["Authorization: Bearer secre", "Authorization: Basic secret", "Authorization: secret"] {
        assert_eq!(door.send("GET /v1/databases", "", &[header]).await.status, StatusCode::UNAUTHORIZED);
    }
    assert_eq!(
        door.send("GET /v1/databases", "", &["Authorization: bearer secret"]).await.status,
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
    assert!(door.send("PUT /v1/databases/panic", "", &[]).await.problem().starts_with("500 internal"));
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
        assert_eq!((answer.status.as_u16(), &answer.json()["state"]), (status, &json!(state)));
    }
}

use axum::http::StatusCode;
use serde_json::json;

use super::{Door, Options};

#[tokio::test]
async fn a_table_is_altered_by_patch() {
    let door = Door::with_clicks(Options::default()).await;
    let changes = r#"{"alter":[{"add":{"name":"ref","type":"STRING","after":"id"}},{"rename":{"from":"url","to":"link"}}]}"#;
    let altered = door.send("PATCH clicks", changes, &["If-Match: \"0\""]).await;
    assert_eq!(altered.status, StatusCode::OK, "{}", altered.body);
    assert_eq!(altered.headers["etag"], "\"1\"");
    assert_eq!(altered.json()["schema_id"], 1);
    assert_eq!(altered.json()["columns"], "id BIGINT NOT NULL, ref STRING, link STRING");
    let now = door.get("clicks").await;
    assert_eq!((&now.headers["etag"], now.json()), (&altered.headers["etag"], altered.json()));
}

#[tokio::test]
async fn a_stale_if_match_changes_nothing() {
    let door = Door::with_clicks(Options::default()).await;
    let add = |name: &str| json!({"alter": [{"add": {"name": name, "type": "INT"}}]}).to_string();
    assert_eq!(door.send("PATCH clicks", add("a"), &["If-Match: *"]).await.status, StatusCode::OK);
    for stale in ["If-Match: \"0\"", "If-Match: 0", "If-Match: W/\"1\"", "If-Match: \"0\", \"2\""] {
        let answer = door.send("PATCH clicks", add("b"), &[stale]).await;
        assert!(answer.problem().starts_with("412 schema-changed"), "{stale}: {}", answer.body);
        assert_eq!(answer.json()["current"], 1, "{stale}");
    }
    assert_eq!(door.get("clicks").await.json()["columns"], "id BIGINT NOT NULL, url STRING, a INT");
    let one_of = door.send("PATCH clicks", add("b"), &["If-Match: \"0\", \"1\""]).await;
    assert_eq!((one_of.status, &one_of.headers["etag"]), (StatusCode::OK, &"\"2\"".parse().unwrap()));
}

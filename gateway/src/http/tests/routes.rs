use std::collections::BTreeSet;

use serde_json::Value;

use super::Door;
use crate::error::table::TABLE;
use crate::http::fallback::PLANNED;

/// Every route of this version.
const ROUTES: [&str; 26] = [
    "get /",
    "get /health",
    "get /metrics",
    "get /openapi.json",
    "get /ready",
    "get /v1/cluster",
    "get /v1/databases",
    "delete /v1/databases/{db}",
    "get /v1/databases/{db}",
    "put /v1/databases/{db}",
    "get /v1/databases/{db}/groups",
    "delete /v1/databases/{db}/groups/{group}",
    "get /v1/databases/{db}/groups/{group}",
    "put /v1/databases/{db}/groups/{group}",
    "get /v1/databases/{db}/tables",
    "delete /v1/databases/{db}/tables/{table}",
    "get /v1/databases/{db}/tables/{table}",
    "patch /v1/databases/{db}/tables/{table}",
    "put /v1/databases/{db}/tables/{table}",
    "get /v1/databases/{db}/tables/{table}/changes",
    "get /v1/databases/{db}/tables/{table}/offsets",
    "post /v1/databases/{db}/tables/{table}/restore",
    "get /v1/databases/{db}/tables/{table}/rows",
    "post /v1/databases/{db}/tables/{table}/rows",
    "post /v1/databases/{db}/write",
    "get /version",
];

async fn document(door: &Door) -> Value {
    door.get("/openapi.json").await.json()
}

fn documented(document: &Value) -> BTreeSet<String> {
    let paths = document["paths"].as_object().unwrap().iter();
    let routes = paths.flat_map(|(path, item)| {
        item.as_object().unwrap().keys().map(move |method| format!("{method} {path}"))
    });
    routes.collect()
}

#[tokio::test]
async fn the_document_has_every_route_and_no_other() {
    let door = Door::new();
    let expected: BTreeSet<String> = ROUTES.iter().map(|&route| route.to_owned()).collect();
    assert_eq!(documented(&document(&door).await), expected);
}

#[tokio::test]
async fn every_documented_route_is_answered_and_no_other_method_of_its_path() {
    let door = Door::new();
    let routes = documented(&document(&door).await);
    let paths: BTreeSet<&str> = routes.iter().map(|route| route.split_once(' ').unwrap().1).collect();
    for path in paths {
        let url = path.replace("{db}", "default").replace("{table}", "clicks").replace("{group}", "etl");
        for method in ["get", "put", "post", "delete"] {
            let answer = door.send(&format!("{} {url}", method.to_uppercase()), "", &[]).await;
            let kind =
                if answer.status.is_success() { String::new() } else { answer.json()["type"].to_string() };
            let routed = !kind.contains("no-such-route") && !kind.contains("method-not-allowed");
            assert_eq!(routed, routes.contains(&format!("{method} {path}")), "{method} {path}");
            if !routed {
                let allowed = answer.headers["allow"].to_str().unwrap().to_lowercase();
                let documented = ["get", "put", "post", "delete"]
                    .into_iter()
                    .filter(|method| routes.contains(&format!("{method} {path}")));
                documented.for_each(|method| assert!(allowed.contains(method), "{path}: {allowed}"));
            }
        }
    }
}

#[tokio::test]
async fn the_document_lists_every_kind_of_problem() {
    let document = document(&Door::new()).await;
    let listed =
        document["components"]["schemas"]["Problem"]["properties"]["type"]["enum"].as_array().unwrap();
    let kinds: Vec<String> = TABLE.iter().map(|row| format!("/errors/{}", row.slug)).collect();
    assert_eq!(listed.iter().map(|kind| kind.as_str().unwrap()).collect::<Vec<_>>(), kinds);
    let rows = &document["paths"]["/v1/databases/{db}/tables/{table}/rows"];
    assert!(rows["post"]["responses"]["default"]["content"]["application/problem+json"].is_object());
}

#[tokio::test]
async fn what_is_not_there_yet_is_named() {
    let door = Door::new();
    for path in PLANNED {
        let url = path
            .replace("{db}", "d")
            .replace("{table}", "t")
            .replace("{group}", "g")
            .replace("{id}", "1")
            .replace("{*rest}", "v1/config");
        for method in ["GET", "POST", "PUT", "DELETE"] {
            let problem = door.send(&format!("{method} {url}"), "", &[]).await.problem();
            assert_eq!(problem, format!("422 unsupported: {method} {url} is not supported in this version"));
        }
    }
}

#[tokio::test]
async fn an_unknown_url_is_answered_with_what_is_near() {
    let answer = Door::new().get("/v1/databases/default/tables/clicks/row").await;
    assert!(answer.problem().starts_with("404 no-such-route"));
    let nearby = answer.json()["nearby"].clone();
    assert!(
        nearby.as_array().unwrap().contains(&"/v1/databases/{db}/tables/{table}/rows".into()),
        "{nearby}"
    );
}

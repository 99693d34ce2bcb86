//! Retention by age and by bytes: rows go from the beginning of each bucket, and whoever still wants them is told.

use std::time::Duration;

use serde_json::{Value, json};
use tokio::time::sleep;

use super::{PROTOCOL, scaled};
use crate::support::eventually;
use crate::support::frazil::{Frazil, command_with, scaled_binary};
use crate::support::store::Store;
use crate::table;

const AGE: Duration = Duration::from_secs(2);
const ROUND_MAX: Duration = Duration::from_secs(60);
const ROWS: u64 = 25;
const ROW_BYTES: usize = 10_000;
const KEPT_BYTES: u64 = 100 << 10;

#[tokio::test]
async fn rows_go_by_age_and_by_bytes_and_who_stands_below_the_earliest_is_told() {
    let store = Store::file();
    let frazil = scaled("gateway", &store).run().await;
    let kept_bytes = KEPT_BYTES.to_string();
    let options = [
        ("aged", json!({"retention": "2s"})),
        ("capped", json!({"retention": "infinite", "retention.bytes": kept_bytes, "compression": "none"})),
        ("whole", json!({})),
    ];
    for (name, options) in options {
        let spec = json!({"columns": "id BIGINT NOT NULL, note STRING", "options": options});
        frazil.http.put(&table(name), &spec.to_string()).await.ok(201);
    }
    for id in 0..ROWS {
        for name in ["aged", "capped", "whole"] {
            let row = json!([{"id": id, "note": "x".repeat(ROW_BYTES)}]).to_string();
            frazil.http.post(&format!("{}/rows", table(name)), &row).await.ok(200);
        }
    }
    let group = "/v1/databases/default/groups/slow";
    let positions = r#"{"positions":{"aged":"0:3","capped":"0:3","whole":"0:3"}}"#;
    frazil.http.put(group, positions).await.ok(201);
    sleep(AGE + AGE / 32).await;

    let compactor = scaled("compactor", &store).process();
    let earliest = eventually("rows expire", ROUND_MAX, async || {
        let (aged, capped) = (earliest(&frazil, "aged").await, earliest(&frazil, "capped").await);
        if aged == ROWS && capped > 0 {
            Ok(capped)
        } else {
            Err(format!("{aged}, {capped}: {}", compactor.words()))
        }
    })
    .await;
    let left = (ROWS - earliest) * ROW_BYTES as u64;
    assert!(left >= KEPT_BYTES, "at least what was asked for stays: {left} bytes");
    assert!(left <= KEPT_BYTES + KEPT_BYTES / 64 + 2 * ROW_BYTES as u64, "and not much more: {left} bytes");
    assert_eq!(self::earliest(&frazil, "whole").await, 0);

    readers_are_told(&frazil, earliest).await;
    let ack = frazil.http.post(&format!("{}/rows", table("aged")), r#"[{"id":1}]"#).await.ok(200);
    assert_eq!(ack["buckets"], json!([{"bucket":0,"start":ROWS,"end":ROWS + 1}]), "offsets go on");
    drop((frazil, compactor));

    let cold = scaled("gateway", &store).run().await;
    readers_are_told(&cold, earliest).await;
    let verify = command_with(scaled_binary(), &["verify", "--store", &store.url], &store, &PROTOCOL).await;
    assert_eq!(verify.code, Some(0), "{verify:?}");
}

/// What is left of `capped` is read from its earliest row on; below it, by whatever way, a reader is told.
async fn readers_are_told(frazil: &Frazil, earliest: u64) {
    let rows = format!("{}/rows", table("capped"));
    let all = frazil.http.get(&format!("{rows}?columns=id,__offset")).await.ok(200);
    let expected: Vec<Value> = (earliest..ROWS).map(|id| json!({"id": id, "__offset": id})).collect();
    assert_eq!(all, json!(expected));
    let from = earliest - 1;
    for query in [
        "from=0".to_owned(),
        format!("from=0:{from}"),
        "group=slow".to_owned(),
        "group=slow&from=latest".to_owned(),
    ] {
        let problem = frazil.http.get(&format!("{rows}?{query}")).await.problem(410, "trimmed");
        assert_eq!(
            (&problem["bucket"], &problem["earliest"]),
            (&json!(0), &json!(earliest)),
            "{query}: {problem}"
        );
        assert_eq!(problem["retry"], "never", "{query}: {problem}");
    }
    let follow = format!("{rows}?from=0&follow=true&format=ndjson");
    frazil.http.get(&follow).await.problem(410, "trimmed");
    frazil.http.get(&format!("{}/rows?group=slow", table("aged"))).await.problem(410, "trimmed");
    let whole = frazil.http.get(&format!("{}/rows?group=slow&columns=id", table("whole"))).await.ok(200);
    assert_eq!(whole[0]["id"], 3, "another table of the group goes on where it stood");
    let group = frazil.http.get("/v1/databases/default/groups/slow").await.ok(200);
    assert_eq!(group["positions"]["capped"], "0:3", "nobody moves a position: {group}");
}

async fn earliest(frazil: &Frazil, name: &str) -> u64 {
    let offsets = frazil.http.get(&format!("{}/offsets", table(name))).await.ok(200);
    offsets["buckets"][0]["earliest"].as_u64().expect("an offset is a number")
}

//! A prefix that is really trimmed, and a cold start on what is left. The protocol's ages are divided (24 h become seconds); nothing else differs.

use std::time::Duration;

use serde_json::Value;

use super::{PROTOCOL, scaled};
use crate::support::eventually;
use crate::support::frazil::{Frazil, command_with, scaled_binary};
use crate::support::store::Store;
use crate::table;

const TRIM_MAX: Duration = Duration::from_secs(120);
const ROWS: &str = r#"[{"id":1,"note":"a"},{"id":2,"note":"b"}]"#;

#[tokio::test]
async fn a_trimmed_bucket_is_started_on_cold_and_has_each_row_once() {
    let mut store = Store::minio().await;
    let frazil = scaled("dev", &store).run().await;
    let rows = format!("{}/rows", table("drift"));
    frazil.http.put(&table("drift"), r#"{"columns":"id BIGINT NOT NULL, note STRING"}"#).await.ok(201);

    let mut written = 0;
    let left = eventually("the first slots are trimmed", TRIM_MAX, async || {
        frazil.http.post(&rows, ROWS).await.ok(200);
        written += 2;
        let slots = slots(&mut store).await;
        if slots.first().is_some_and(|first| *first > 1) {
            Ok(slots)
        } else {
            Err(format!("{written} rows, slots {slots:?}"))
        }
    })
    .await;
    assert!(left.len() > 1, "the newest slots stay: {left:?}");
    drop(frazil);

    let cold = scaled("gateway", &store).run().await;
    assert_eq!(offsets_of_all_rows(&cold).await, (0..written).collect::<Vec<u64>>());
    each_time_finds_its_first_row(&cold).await;
    cold.http.post(&rows, ROWS).await.ok(200);
    let verify = command_with(scaled_binary(), &["verify", "--store", &store.url], &store, &PROTOCOL).await;
    assert_eq!(verify.code, Some(0), "{verify:?}");
}

/// The slots there are, in order.
async fn slots(store: &mut Store) -> Vec<u64> {
    let keys = store.server().keys("a/prefix/default/log").await;
    let mut slots: Vec<u64> = keys.iter().filter_map(|key| key.rsplit('/').next()?.parse().ok()).collect();
    slots.sort_unstable();
    slots
}

/// Rolled-up rows have times of their own, and a read may begin at each.
async fn each_time_finds_its_first_row(frazil: &Frazil) {
    let rows =
        frazil.http.get(&format!("{}/rows?limit=100000&columns=__offset,__timestamp", table("drift"))).await;
    let rows = rows.ok(200);
    let rows = rows.as_array().expect("rows are an array");
    let time = |row: &Value| row["__timestamp"].as_str().unwrap_or_default().to_owned();
    let count = rows.len();
    for row in [0, 1, count / 3, count / 2, count - 3, count - 1] {
        let first = rows.iter().position(|other| time(other) >= time(&rows[row])).expect("the row itself");
        let at = format!("{}/offsets?at={}", table("drift"), time(&rows[row]));
        let found = frazil.http.get(&at).await.ok(200);
        assert_eq!(found["position"], format!("0:{first}"), "row {row} of {count}: {found}");
    }
}

async fn offsets_of_all_rows(frazil: &Frazil) -> Vec<u64> {
    let (mut offsets, mut from) = (Vec::new(), "earliest".to_owned());
    loop {
        let answer = frazil.http.get(&format!("{}/rows?from={from}&columns=__offset", table("drift"))).await;
        let page = answer.ok(200);
        offsets.extend(page.as_array().into_iter().flatten().filter_map(|row| row["__offset"].as_u64()));
        answer.header("Frazil-Next").clone_into(&mut from);
        if answer.header("Frazil-Caught-Up") == "true" || page == Value::Array(Vec::new()) {
            return offsets;
        }
    }
}

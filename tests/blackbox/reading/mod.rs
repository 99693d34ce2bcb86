//! The other ways to read and write: a beginning by time, filters, CSV, packed bodies.

mod altered;
mod reach;

use std::time::Duration;

use serde_json::{Value, json};
use tokio::time::sleep;

use crate::support::frazil::Frazil;
use crate::support::store::Store;
use crate::table;

const COLUMNS: &str = r#"{"columns":"id BIGINT NOT NULL, name STRING, total DECIMAL(9,2), tags ARRAY<STRING>",
    "buckets":3,"bucket_by":["id"]}"#;

/// Rows in nine commits, `name` absent in each fourth.
async fn orders(frazil: &Frazil) -> String {
    frazil.http.put(&table("orders"), COLUMNS).await.ok(201);
    let rows = format!("{}/rows", table("orders"));
    for commit in 0..9 {
        let body: Vec<Value> = (commit * 20..commit * 20 + 20)
            .map(|id| match id % 4 {
                0 => json!({"id": id, "total": format!("{id}.50")}),
                _ => json!({"id": id, "name": format!("n{}", id % 7), "total": format!("{id}.00"), "tags": ["a", "b,\"c"]}),
            })
            .collect();
        frazil.http.post(&rows, &json!(body).to_string()).await.ok(200);
    }
    rows
}

/// The ids of all pages from a place on; pages may be empty.
async fn ids(frazil: &Frazil, rows: &str, query: &str) -> Vec<i64> {
    let (mut found, mut from) = (Vec::new(), "earliest".to_owned());
    for _ in 0..500 {
        let page = frazil.http.get(&format!("{rows}?from={from}&columns=id&{query}")).await;
        found.extend(page.ok(200).as_array().into_iter().flatten().filter_map(|row| row["id"].as_i64()));
        if page.header("Frazil-Caught-Up") == "true" {
            found.sort_unstable();
            return found;
        }
        page.header("Frazil-Next").clone_into(&mut from);
    }
    panic!("{query}: 500 pages and no end");
}

#[tokio::test]
async fn a_filter_gives_the_rows_that_it_means_and_each_once() {
    let store = Store::file();
    let frazil = Frazil::gateway(&store).await;
    let rows = orders(&frazil).await;
    let all = 0..180_i64;
    for (filter, wanted) in [
        ("id >= 170", all.clone().filter(|id| *id >= 170).collect::<Vec<_>>()),
        ("ID BETWEEN 17 AND 21 AND name IS NOT NULL", vec![17, 18, 19, 21]),
        ("name IS NULL", all.clone().filter(|id| id % 4 == 0).collect()),
        ("NOT (name LIKE 'n1%')", all.clone().filter(|id| id % 4 != 0 && id % 7 != 1).collect()),
        ("total < 3 OR total = 176.5", vec![0, 1, 2, 176]),
        ("id IN (5, 7, 7000)", vec![5, 7]),
        ("__offset = 0", Vec::new()),
        ("id = -1", Vec::new()),
    ] {
        let encoded = filter.replace('%', "%25").replace(' ', "%20").replace('=', "%3D").replace('\'', "%27");
        for limit in [1, 3, 1000] {
            let found = ids(&frazil, &rows, &format!("limit={limit}&filter={encoded}")).await;
            if filter.starts_with("__offset") {
                assert_eq!(found.len(), 3, "one a bucket: {found:?}");
            } else {
                assert_eq!(found, wanted, "{filter}, {limit} a page");
            }
        }
    }
    let metrics = frazil.http.get("/metrics").await.text;
    let skipped = metrics.lines().find_map(|line| line.strip_prefix("frazil_filter_skipped_bytes_total "));
    assert!(skipped.is_some_and(|bytes| bytes != "0"), "statistics ruled places out: {skipped:?}");
    let wrong = frazil.http.get(&format!("{rows}?filter=nope%3D1")).await.problem(422, "unsupported");
    assert!(
        wrong["detail"].as_str().is_some_and(|detail| detail.contains("nope") && detail.contains("id, name"))
    );
    let wrong = frazil.http.get(&format!("{rows}?filter=id%3D%3D")).await.problem(400, "malformed");
    assert!(wrong["column"].is_u64(), "{wrong}");
}

#[tokio::test]
async fn a_read_begins_at_a_time() {
    let store = Store::file();
    let frazil = Frazil::gateway(&store).await;
    let rows = format!("{}/rows", table("clicks"));
    for id in 0..5 {
        frazil
            .http
            .post(&format!("{rows}?create=true"), &json!([{"id": id}, {"id": id}]).to_string())
            .await
            .ok(200);
        sleep(Duration::from_millis(20)).await;
    }
    let all = frazil.http.get(&format!("{rows}?columns=__offset,__timestamp")).await.ok(200);
    for row in all.as_array().into_iter().flatten() {
        let time = row["__timestamp"].as_str().expect("times are text");
        let first = row["__offset"].as_u64().expect("offsets are numbers") & !1;
        let at = frazil.http.get(&format!("{}/offsets?at={time}", table("clicks"))).await.ok(200);
        assert_eq!(at["position"], format!("0:{first}"), "{at}");
        let page = frazil.http.get(&format!("{rows}?from={time}&columns=__offset&limit=1")).await.ok(200);
        assert_eq!(page[0]["__offset"], first);
    }
    for (from, next) in [("2100-01-01T00:00:00Z", 10), ("1970-01-01", 0), ("-15m", 0)] {
        let at = frazil.http.get(&format!("{}/offsets?at={from}", table("clicks"))).await.ok(200);
        assert_eq!(at["position"], format!("0:{next}"), "{from}");
    }
    frazil.http.get(&format!("{rows}?from=2026-01-01T00:00:00")).await.problem(400, "malformed");
}

#[tokio::test]
async fn csv_that_is_read_can_be_written() {
    let store = Store::file();
    let frazil = Frazil::gateway(&store).await;
    let rows = orders(&frazil).await;
    let csv = frazil.http.get(&format!("{rows}?format=csv&columns=*,__offset")).await;
    assert_eq!((csv.status, csv.header("content-type")), (200, "text/csv"));
    assert!(csv.text.starts_with("id,name,total,tags,__offset\n"), "{}", csv.text);
    frazil.http.put(&table("copies"), COLUMNS).await.ok(201);
    let copies = format!("{}/rows", table("copies"));
    let ack = frazil.http.request("POST", &copies, &[("content-type", "text/csv")], Some(csv.bytes)).await;
    assert_eq!(ack.ok(200)["rows"], 180);
    assert_eq!(frazil.http.get(&copies).await.ok(200), frazil.http.get(&rows).await.ok(200));
    let body = b"id,total\n1,2.00\nx,3\n".to_vec();
    let refused = frazil.http.request("POST", &copies, &[("content-type", "text/csv")], Some(body)).await;
    let refused = refused.problem(422, "invalid-rows");
    assert_eq!((&refused["errors"][0]["row"], &refused["errors"][0]["column"]), (&json!(1), &json!("id")));
}

#[tokio::test]
async fn events_resume_behind_the_last_one_seen() {
    let store = Store::file();
    let frazil = Frazil::gateway(&store).await;
    let rows = orders(&frazil).await;
    let (mut seen, mut last) = (Vec::new(), String::new());
    for take in [7, 40, 1000] {
        let url =
            format!("{}{rows}?format=sse&columns=id,__offset,__bucket&filter=id%20%3E%3D%2060", frazil.url());
        let stream = reqwest::Client::new().get(url).header("Last-Event-ID", &last).send().await;
        let mut stream = stream.expect("the gateway answers");
        let (mut text, mut taken) = (String::new(), 0);
        'reading: while taken < take {
            let chunk = stream.chunk().await.expect("the stream goes on").expect("it does not end");
            text.push_str(&String::from_utf8_lossy(&chunk));
            while let Some((event, rest)) = text.split_once("\n\n") {
                let field =
                    |name: &str| event.lines().find_map(|line| line.strip_prefix(name)).map(str::to_owned);
                let (id, data) = (field("id: "), field("data: "));
                text = rest.to_owned();
                let Some(data) = data else { break 'reading };
                seen.push(serde_json::from_str::<Value>(&data).expect("data is JSON")["id"].as_i64());
                last = id.expect("an event has an id");
                taken += 1;
                if taken == take {
                    break 'reading;
                }
            }
        }
    }
    seen.sort_unstable();
    assert_eq!(seen, (60..180).map(Some).collect::<Vec<_>>(), "each once, over three connections");
    let changes =
        frazil.http.get(&format!("{}/changes?from=snapshot&limit=1", table("orders"))).await.ok(200);
    assert_eq!(changes[0]["__op"], "+I");
}

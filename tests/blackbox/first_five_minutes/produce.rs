//! Produce: a whole request or nothing of it, once, at its place.

use serde_json::{Value, json};

use super::World;
use crate::table;

super::on_each_store!(
    a_bad_row_refuses_its_whole_request,
    a_repeated_request_adds_nothing_through_either_gateway,
    an_append_may_expect_an_offset,
    buckets_count_their_offsets_apart,
);

async fn a_bad_row_refuses_its_whole_request(world: &World) {
    let rows = world.visits().await;
    let answer =
        world.a.http.post(&rows, r#"[{"key":3},{"key":"n/a"},{"page":"no key"},{"key":4,"pgae":"x"}]"#).await;
    let problem = answer.problem(422, "invalid-rows");
    let detail = problem["detail"].as_str().unwrap_or("");
    for words in ["row 1", "\"key\"", "BIGINT", "\"n/a\""] {
        assert!(detail.contains(words), "{words} in {detail}");
    }
    assert_eq!((&problem["outcome"], &problem["retry"]), (&json!("not-committed"), &json!("never")));
    let errors: Vec<(u64, &str)> = problem["errors"]
        .as_array()
        .into_iter()
        .flatten()
        .filter_map(|e| Some((e["row"].as_u64()?, e["kind"].as_str()?)))
        .collect();
    assert_eq!(errors, [(1, "wrong-type"), (2, "missing"), (3, "unknown-column")], "{problem}");
    assert_eq!(problem["errors"][0]["pointer"], "/1/key");
    world.a.http.post(&rows, r#"[{"key":9223372036854775808}]"#).await.problem(422, "invalid-rows");
    world.a.http.post(&rows, r#"[{"key":1"#).await.problem(400, "malformed");
    assert_eq!(world.b.http.get(&rows).await.ok(200), json!([]), "nothing was added");
}

async fn a_repeated_request_adds_nothing_through_either_gateway(world: &World) {
    let rows = world.visits().await;
    let (a, b, body) = (&world.a.http, &world.b.http, r#"[{"key":1},{"key":2}]"#);
    let first = a.post_as(&rows, "p-1", 0, body).await.ok(200);
    assert_eq!(first["duplicate"], false);
    for gateway in [a, b] {
        let again = gateway.post_as(&rows, "p-1", 0, body).await.ok(200);
        assert_eq!((&again["buckets"], &again["duplicate"]), (&first["buckets"], &json!(true)), "{again}");
    }
    for gateway in [a, b] {
        let gap = gateway.post_as(&rows, "p-1", 5, body).await.problem(409, "sequence-gap");
        assert_eq!(gap["expected"], 1, "{gap}");
        let unknown = gateway.post_as(&rows, "p-2", 1, body).await.problem(409, "sequence-gap");
        assert_eq!(unknown["expected"], 0, "{unknown}");
        gateway.post_as(&rows, "p-1", 0, r#"[{"key":3}]"#).await.problem(409, "sequence-conflict");
    }
    let next = b.post_as(&rows, "p-1", 1, body).await.ok(200);
    assert_eq!(next["buckets"], json!([{"bucket":0,"start":2,"end":4}]));

    let epoch_one = [("Producer-Id", "p-1"), ("Producer-Epoch", "1"), ("Producer-Seq", "0")];
    let newer = a.request("POST", &rows, &epoch_one, Some(body.as_bytes().to_vec())).await.ok(200);
    assert_eq!((&newer["duplicate"], &newer["buckets"][0]["start"]), (&json!(false), &json!(4)));
    b.post_as(&rows, "p-1", 2, body).await.problem(409, "producer-fenced");
    let found = b.get(&rows).await.ok(200);
    assert_eq!(found.as_array().map(Vec::len), Some(6), "{found}");
}

async fn an_append_may_expect_an_offset(world: &World) {
    let rows = world.visits().await;
    world.a.http.post(&format!("{rows}?expected_offset=0"), r#"[{"key":1},{"key":2}]"#).await.ok(200);
    for gateway in [&world.a, &world.b] {
        let problem = gateway
            .http
            .post(&format!("{rows}?expected_offset=0"), r#"[{"key":3}]"#)
            .await
            .problem(412, "expected-offset");
        assert!(problem["actual"].to_string().contains('2'), "{problem}");
        assert_eq!(problem["outcome"], "not-committed");
    }
    let ack = world.b.http.post(&format!("{rows}?expected_offset=2"), r#"[{"key":3}]"#).await.ok(200);
    assert_eq!(ack["buckets"][0]["start"], 2);
    // A refusal by the log uses up the sequence, and the same sequence gets the same refusal.
    for gateway in [&world.a, &world.b] {
        gateway
            .http
            .post_as(&format!("{rows}?expected_offset=1"), "p", 0, r#"[{"key":4}]"#)
            .await
            .problem(412, "expected-offset");
    }
    world.a.http.post_as(&format!("{rows}?expected_offset=3"), "p", 1, r#"[{"key":4}]"#).await.ok(200);
}

async fn buckets_count_their_offsets_apart(world: &World) {
    let body = r#"{"columns":"key BIGINT NOT NULL, page STRING","buckets":3,"bucket_by":["key"]}"#;
    world.a.http.put(&table("visits"), body).await.ok(201);
    let rows = format!("{}/rows", table("visits"));
    for gateway in [&world.a, &world.b] {
        let body: Vec<Value> = (0..40).map(|key| json!({"key": key, "page": format!("/{key}")})).collect();
        let ack = gateway.http.post(&rows, &json!(body).to_string()).await.ok(200);
        let places = ack["buckets"].as_array().cloned().unwrap_or_default();
        let acked: u64 =
            places.iter().filter_map(|place| Some(place["end"].as_u64()? - place["start"].as_u64()?)).sum();
        assert_eq!(acked, 40, "{ack}");
        assert!(places.len() > 1, "40 keys fall into more than one of 3 buckets: {ack}");
    }
    let all = world.b.http.get(&format!("{rows}?columns=key,__bucket,__offset")).await;
    let found = all.ok(200);
    assert_eq!(found.as_array().map(Vec::len), Some(80));
    let mut bucket_of = std::collections::BTreeMap::new();
    let mut next = [0_u64; 3];
    for row in found.as_array().into_iter().flatten() {
        let bucket = usize::try_from(row["__bucket"].as_u64().expect("a bucket is a number"))
            .expect("a bucket is small");
        assert_eq!(row["__offset"], next[bucket], "offsets are gapless and in order within a bucket: {row}");
        next[bucket] += 1;
        let key = row["key"].as_u64().expect("a key is a number");
        assert_eq!(*bucket_of.entry(key).or_insert(bucket), bucket, "a key keeps its bucket: {row}");
    }
    let position = format!("0:{},1:{},2:{}", next[0], next[1], next[2]);
    assert_eq!(all.header("Frazil-Next"), position);
    let one = world.a.http.get(&format!("{rows}?bucket=1&columns=key")).await;
    assert_eq!(one.ok(200).as_array().map(|rows| rows.len() as u64), Some(next[1]));
}

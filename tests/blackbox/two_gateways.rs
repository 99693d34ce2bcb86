//! Several gateways on one bucket: each may write, all show the same.

use std::time::Duration;

use tokio::time::{Instant, sleep};

use crate::support::checker::Checker;
use crate::support::frazil::Frazil;
use crate::support::setting;
use crate::support::store::Store;
use crate::table;

#[tokio::test]
async fn two_gateways_on_a_directory_lose_and_double_nothing() {
    two_gateways(&Store::file()).await;
}

#[tokio::test]
async fn two_gateways_on_a_bucket_lose_and_double_nothing() {
    two_gateways(&Store::minio().await).await;
}

#[tokio::test]
async fn a_gateway_that_is_frozen_and_wakes_up_believes_nothing_old() {
    let store = Store::minio().await;
    let (a, mut b) = (Frazil::gateway(&store).await, Frazil::gateway(&store).await);
    let checker = Checker::start(&[a.url(), b.url()], 8, &[]);
    for _ in 0..2 {
        sleep(Duration::from_secs(1)).await;
        b.signal("STOP");
        sleep(Duration::from_secs(2)).await;
        b.signal("CONT");
    }
    checker.verdict(Duration::from_secs(180)).await;
}

#[tokio::test]
async fn a_gateway_hands_over_hears_of_rows_and_goes_on_alone() {
    let store = Store::minio().await;
    let (mut a, b) = (Frazil::gateway(&store).await, Frazil::gateway(&store).await);
    let rows = format!("{}/rows", table("handed"));
    a.http.post(&format!("{rows}?create=true"), r#"[{"id":0}]"#).await.ok(200);
    // On a busy machine an offer may not be accepted within its 50 ms, and then either may lead.
    let both =
        async |metric: &str, labels: &str| a.metric(metric, labels).await + b.metric(metric, labels).await;
    let deadline = Instant::now() + Duration::from_secs(20);
    while both("frazil_handed_over_total", "folded").await < 1.0 {
        assert!(Instant::now() < deadline, "each writes for itself: {}", b.stderr());
        a.http.post(&rows, r#"[{"id":1}]"#).await.ok(200);
        b.http.post(&rows, r#"[{"id":2}]"#).await.ok(200);
    }
    assert!(both("frazil_handed_in_total", "accepted").await >= 1.0);

    let url = format!("{rows}?from=latest&wait=10s");
    let waiting = b.http.get(&url);
    let writing = async {
        sleep(Duration::from_millis(1500)).await; // b listens by then
        a.http.post(&rows, r#"[{"id":4}]"#).await.ok(200)
    };
    let (seen, _) = tokio::join!(waiting, writing);
    assert_eq!(seen.ok(200).as_array().map(Vec::len), Some(1));
    assert!(both("frazil_pushes_heard_total", "").await >= 1.0, "nothing was pushed");

    a.kill();
    let killed = Instant::now();
    b.http.post(&rows, r#"[{"id":5}]"#).await.ok(200);
    assert!(killed.elapsed() < Duration::from_secs(2), "{:?}", killed.elapsed());
    let members = b.http.get("/v1/cluster").await.ok(200);
    assert!(members["members"].as_array().is_some_and(|members| members.len() >= 2), "{members}");
}

async fn two_gateways(store: &Store) {
    let seconds = setting("FRAZIL_TWO_GATEWAYS_SECONDS")
        .map_or(6, |seconds| seconds.parse().expect("seconds are a number"));
    let (a, b) = (Frazil::gateway(store).await, Frazil::gateway(store).await);
    let scratch = tempfile::tempdir().expect("a temporary directory can be made");
    let journal = scratch.path().join("acks.jsonl");
    let journal_text = journal.to_str().expect("the path is UTF-8");
    let checker =
        Checker::start(&[a.url(), b.url()], seconds, &["--journal", journal_text, "--buckets", "2"]);
    let acked = checker.verdict(Duration::from_secs(180)).await;

    let third = Frazil::gateway(store).await;
    let seen = Checker::verify(&[third.url(), a.url()], &journal).verdict(Duration::from_secs(180)).await;
    assert_eq!(seen, acked, "a gateway started later shows the same rows");
}

//! Several gateways on one bucket: each may write, all show the same.

use std::time::Duration;

use tokio::time::sleep;

use crate::support::checker::Checker;
use crate::support::frazil::Frazil;
use crate::support::setting;
use crate::support::store::Store;

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

//! The store goes away, hangs, or cuts its connections: writers are told at once, readers go on, nothing is lost or doubled, and it heals by itself.

mod load;

use std::time::Duration;

use tokio::time::{Instant, sleep};

use crate::support::checker::Checker;
use crate::support::frazil::{Frazil, Start};
use crate::support::proxy::{Mode, Proxy};
use crate::support::store::Store;
use crate::support::{eventually, setting};
use crate::table;

/// The breaker opens within 2 s of the first failure; the rest is slack of a busy machine.
const BREAKER_MAX: Duration = Duration::from_secs(5);
const AT_ONCE: Duration = Duration::from_secs(1);
const HEALS_WITHIN: Duration = Duration::from_secs(30);
const ROW: &str = r#"[{"id":1}]"#;

async fn make_table(frazil: &Frazil) -> String {
    frazil.http.put(&table("tides"), r#"{"columns":"id BIGINT NOT NULL"}"#).await.ok(201);
    format!("{}/rows", table("tides"))
}

#[tokio::test]
async fn a_store_that_is_away_under_load_costs_refusals_and_no_row() {
    let away = setting("FRAZIL_OUTAGE_SECONDS")
        .map_or(8, |seconds| seconds.parse().expect("FRAZIL_OUTAGE_SECONDS is a number"));
    let mut store = Store::minio().await;
    let frazil = Frazil::gateway(&store).await;
    let rows = make_table(&frazil).await;
    frazil.http.post(&rows, ROW).await.ok(200);
    let checker = Checker::start(&[frazil.url()], away + 8, &[]);
    sleep(Duration::from_secs(2)).await;

    store.server().stop();
    let stopped = Instant::now();
    let refused = eventually("produce is refused at once", BREAKER_MAX, async || {
        let since = Instant::now();
        let answer = frazil.http.post(&format!("{rows}?timeout=1s"), ROW).await;
        if answer.status == 503 && since.elapsed() < AT_ONCE {
            Ok(answer)
        } else {
            Err(format!("{answer:?}"))
        }
    })
    .await;
    let problem = refused.problem(503, "store-unavailable");
    assert_eq!(problem["outcome"], "not-committed", "{problem}");
    assert!(refused.header("Retry-After").parse::<u64>().is_ok(), "{refused:?}");
    let ready = frazil.http.get("/ready").await.ok(200);
    assert_eq!(ready["state"], "read-only", "{ready}");

    sleep(Duration::from_secs(away).saturating_sub(stopped.elapsed())).await;
    store.server().restart().await;
    eventually("it goes on by itself", HEALS_WITHIN, async || {
        let answer = frazil.http.post(&rows, ROW).await;
        if answer.status == 200 { Ok(()) } else { Err(format!("{answer:?}")) }
    })
    .await;
    let ready = frazil.http.get("/ready").await.ok(200);
    assert_ne!(ready["state"], "read-only", "{ready}");
    checker.verdict(Duration::from_secs(180)).await;
}

#[tokio::test]
async fn a_store_that_hangs_is_answered_for_by_the_deadline() {
    let mut store = Store::minio().await;
    let frazil = Frazil::gateway(&store).await;
    let rows = make_table(&frazil).await;
    frazil.http.post_as(&rows, "moon", 0, ROW).await.ok(200);

    store.server().freeze();
    let since = Instant::now();
    let answer = frazil.http.post_as(&format!("{rows}?timeout=2s"), "moon", 1, ROW).await;
    let took = since.elapsed();
    store.server().thaw();
    assert!(took < Duration::from_secs(5), "the deadline was 2 s, the answer came after {took:?}");
    let kind = if answer.status == 504 { "outcome-unknown" } else { "store-unavailable" };
    let problem = answer.problem(if answer.status == 504 { 504 } else { 503 }, kind);
    assert_ne!(problem["retry"], "never", "{problem}");
    exactly_one_more(&frazil, &rows).await;
}

#[tokio::test]
async fn an_answer_that_is_lost_is_found_again() {
    let mut store = Store::minio().await;
    let proxy = Proxy::start(store.server().address()).await;
    store.environment = store.server().environment(&proxy.endpoint());
    let frazil = Frazil::gateway(&store).await;
    let rows = make_table(&frazil).await;
    frazil.http.post_as(&rows, "moon", 0, ROW).await.ok(200);

    // The PUT reaches the store; that it did, does not reach the gateway.
    proxy.set(Mode::HoldAnswers);
    let answer = frazil.http.post_as(&format!("{rows}?timeout=2s"), "moon", 1, ROW).await;
    let problem = answer.problem(504, "outcome-unknown");
    assert_eq!(problem["outcome"], "unknown", "{problem}");
    proxy.set(Mode::Cut);
    sleep(Duration::from_millis(300)).await;
    proxy.set(Mode::Pass);
    exactly_one_more(&frazil, &rows).await;
}

/// The same sequence again until it is acked; then there are two rows, and not three.
async fn exactly_one_more(frazil: &Frazil, rows: &str) {
    let ack = eventually("the same sequence is acked", HEALS_WITHIN, async || {
        let answer = frazil.http.post_as(rows, "moon", 1, ROW).await;
        if answer.status == 200 { Ok(answer.json()) } else { Err(format!("{answer:?}")) }
    })
    .await;
    assert_eq!(ack["buckets"][0]["start"], 1, "{ack}");
    let found = frazil.http.get(rows).await.ok(200);
    assert_eq!(found.as_array().map(Vec::len), Some(2), "{found}");
}

#[tokio::test]
async fn connections_that_are_cut_again_and_again_lose_and_double_nothing() {
    let mut store = Store::minio().await;
    let proxy = Proxy::start(store.server().address()).await;
    store.environment = store.server().environment(&proxy.endpoint());
    let frazil = Start::new("dev", &store).run().await;
    let checker = Checker::start(&[frazil.url()], 10, &[]);
    for n in 0..8 {
        sleep(Duration::from_millis(700)).await;
        proxy.set(if n % 2 == 0 { Mode::Cut } else { Mode::Stall });
        sleep(Duration::from_millis(100 + 60 * n)).await;
        proxy.set(Mode::Pass);
    }
    checker.verdict(Duration::from_secs(180)).await;
}

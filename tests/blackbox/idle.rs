//! Left alone, it asks nothing of the store; and each number that it shows is explained.

use std::time::Duration;

use tokio::time::{Instant, sleep};

use crate::support::frazil::Frazil;
use crate::support::store::Store;
use crate::support::{repository, setting};
use crate::table;

/// By the second minute whatever a start sets going has come to rest.
const SETTLES_WITHIN: Duration = Duration::from_secs(120);

/// What three of them may use in a second: one in a hundred of one processor.
const IDLE_CPU_MAX: Duration = Duration::from_millis(10);
const REQUESTS: &str = "frazil_store_requests";

#[tokio::test]
async fn an_idle_process_asks_nothing_of_the_store() {
    let flat = setting("FRAZIL_IDLE_SECONDS")
        .map_or(10, |seconds| seconds.parse().expect("FRAZIL_IDLE_SECONDS is a number"));
    let store = Store::file();
    let frazil = Frazil::dev(&store).await;
    frazil.http.post(&format!("{}/rows?create=true", table("leaves")), r#"[{"id":1}]"#).await.ok(200);
    let mut requests = frazil.metric(REQUESTS, "").await;
    assert!(requests > 0.0, "{REQUESTS} counts nothing: the test shows nothing");
    let deadline = Instant::now() + SETTLES_WITHIN;
    loop {
        sleep(Duration::from_secs(flat)).await;
        let now = frazil.metric(REQUESTS, "").await;
        if now.total_cmp(&requests).is_eq() {
            break;
        }
        assert!(Instant::now() < deadline, "{} requests in the last {flat} s", now - requests);
        requests = now;
    }
    let rows = frazil.http.get(&format!("{}/rows", table("leaves"))).await.ok(200);
    assert_eq!(rows.as_array().map(Vec::len), Some(1), "it still answers");
}

#[tokio::test]
async fn idle_gateways_that_know_each_other_ask_nothing_and_rest() {
    let flat = setting("FRAZIL_IDLE_SECONDS")
        .map_or(6, |seconds| seconds.parse().expect("FRAZIL_IDLE_SECONDS is a number"));
    let store = Store::minio().await;
    let mut fleet = Vec::new();
    for _ in 0..3 {
        fleet.push(Frazil::gateway(&store).await);
    }
    let rows = format!("{}/rows", table("leaves"));
    fleet[0].http.post(&format!("{rows}?create=true"), r#"[{"id":1}]"#).await.ok(200);
    for n in 0..12 {
        fleet[n % 3].http.post(&rows, r#"[{"id":2}]"#).await.ok(200);
        fleet[n % 3].http.get(&format!("{rows}?limit=1")).await.ok(200);
    }
    let sum = async |metric: &str| {
        let mut sum = 0.0;
        for gateway in &fleet {
            sum += gateway.metric(metric, "").await;
        }
        sum
    };
    assert!(
        sum("frazil_handed_over_total").await >= 1.0,
        "they do not know each other: the test shows nothing"
    );
    let used = || fleet.iter().map(Frazil::cpu_time).sum::<Duration>();
    let (mut requests, deadline) = (sum(REQUESTS).await, Instant::now() + SETTLES_WITHIN);
    loop {
        let before = used();
        sleep(Duration::from_secs(flat)).await;
        let spent = used().saturating_sub(before);
        let now = sum(REQUESTS).await;
        if now.total_cmp(&requests).is_eq()
            && spent <= IDLE_CPU_MAX * u32::try_from(flat).expect("seconds are few")
        {
            break;
        }
        let asked = now - requests;
        assert!(
            Instant::now() < deadline,
            "{asked} requests in the last {flat} s, {spent:?} of processor time"
        );
        requests = now;
    }
}

#[tokio::test]
async fn each_metric_served_is_on_its_page() {
    let store = Store::file();
    let frazil = Frazil::dev(&store).await;
    frazil.http.post(&format!("{}/rows?create=true", table("leaves")), r#"[{"id":1}]"#).await.ok(200);
    let served = frazil.http.get("/metrics").await;
    let page = std::fs::read_to_string(repository("docs/metrics.md")).expect("docs/metrics.md is there");
    let names: Vec<&str> =
        served.text.lines().filter_map(|line| line.strip_prefix("# TYPE ")?.split(' ').next()).collect();
    assert!(names.iter().any(|name| name.starts_with(REQUESTS)), "{names:?}");
    assert!(names.iter().any(|name| name.starts_with("frazil_ack_stage_seconds")), "{names:?}");
    for name in names {
        assert!(name.starts_with("frazil_"), "{name} does not say whose it is");
        assert!(page.contains(name), "{name} is not on docs/metrics.md");
    }
}

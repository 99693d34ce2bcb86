//! Left alone, it asks nothing of the store; and each number that it shows is explained.

use std::time::Duration;

use tokio::time::{Instant, sleep};

use crate::support::frazil::Frazil;
use crate::support::store::Store;
use crate::support::{repository, setting};
use crate::table;

/// By the second minute whatever a start sets going has come to rest.
const SETTLES_WITHIN: Duration = Duration::from_secs(120);
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

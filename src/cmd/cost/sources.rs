//! What is used, as a gateway counted it or as it lies in a store.

use std::collections::BTreeMap;
use std::time::Duration;

use anyhow::ensure;
use frazil_log::store::{Path, Store};
use reqwest::Method;
use serde_json::Value;

use super::bill::{MONTH_SECONDS, Usage};
use crate::client::Client;
use crate::client::metrics::Metrics;

/// Objects that are listed at a time.
const PAGE: usize = 10_000;

/// What a gateway has sent so far, and for how long it has been up.
#[derive(Clone, Copy, Debug, Default)]
struct Counted {
    usage: Usage,
    up_seconds: f64,
}

/// A month's use at the rate since the gateway's start, or over a window from now.
pub(super) async fn of_gateway(client: &Client, window: Option<Duration>) -> anyhow::Result<(Usage, f64)> {
    let first = scrape(client).await?;
    let (usage, seconds) = match window {
        None => (first.usage, first.up_seconds),
        Some(window) => {
            tokio::time::sleep(window).await;
            let second = scrape(client).await?;
            ensure!(
                second.up_seconds >= first.up_seconds,
                "the gateway was started again meanwhile: ask once more"
            );
            (between(&first.usage, &second.usage), second.up_seconds - first.up_seconds)
        }
    };
    ensure!(
        seconds >= 1.0,
        "the gateway has been up for less than a second: ask again later, or with --window 60s"
    );
    Ok((usage.times(MONTH_SECONDS / seconds), seconds))
}

async fn scrape(client: &Client) -> anyhow::Result<Counted> {
    let cluster: Value = client.json(&client.request(Method::GET, &["v1", "cluster"])).await?;
    let scrape = client.send(&client.request(Method::GET, &["metrics"])).await?;
    let metrics = Metrics::parse(&String::from_utf8_lossy(&scrape.body));
    Ok(Counted {
        usage: counted(&metrics),
        up_seconds: cluster["uptime_seconds"].as_f64().unwrap_or_default(),
    })
}

/// What was billed: also what found nothing (404) or lost (412); not what failed.
fn counted(metrics: &Metrics) -> Usage {
    let mut usage = Usage::default();
    for (labels, count) in metrics.of("frazil_store_requests_total") {
        let result = labels.get("result").map_or("", String::as_str);
        if result == "error" {
            continue;
        }
        match labels.get("op").map_or("", String::as_str) {
            "put" => usage.puts += count,
            "get" | "head" => usage.gets += count,
            "list" => usage.lists += count,
            _ => {}
        }
    }
    for (labels, bytes) in metrics.of("frazil_store_bytes_total") {
        match labels.get("op").map_or("", String::as_str) {
            "put" => usage.bytes_put += bytes,
            "get" => usage.bytes_got += bytes,
            _ => {}
        }
    }
    usage
}

fn between(first: &Usage, second: &Usage) -> Usage {
    Usage {
        puts: second.puts - first.puts,
        gets: second.gets - first.gets,
        lists: second.lists - first.lists,
        bytes_put: second.bytes_put - first.bytes_put,
        bytes_got: second.bytes_got - first.bytes_got,
        bytes_stored: 0.0,
    }
}

/// Bytes in a store by what they are for: `log`, `segment`, `index`, `checkpoint`, or `other`.
pub(super) async fn stored(store: &Store) -> anyhow::Result<BTreeMap<String, u64>> {
    let mut bytes = BTreeMap::new();
    for database in store.list_databases().await? {
        let prefix = Path::from(database.as_str());
        let mut after = None;
        loop {
            let listed = store.list(&prefix, after.as_ref(), PAGE).await?;
            for object in &listed {
                *bytes.entry(kind(&object.path)).or_default() += object.size;
            }
            match listed.last() {
                Some(last) if listed.len() == PAGE => after = Some(last.path.clone()),
                _ => break,
            }
        }
    }
    Ok(bytes)
}

fn kind(path: &Path) -> String {
    let kind = path.as_ref().split('/').nth(1).unwrap_or("");
    if ["log", "segment", "index", "checkpoint"].contains(&kind) { kind } else { "other" }.to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_billed_is_counted_and_errors_are_not() {
        let usage = counted(&Metrics::parse(
            "frazil_store_requests_total{op=\"put\",result=\"ok\"} 10\n\
             frazil_store_requests_total{op=\"put\",result=\"exists\"} 2\n\
             frazil_store_requests_total{op=\"put\",result=\"error\"} 5\n\
             frazil_store_requests_total{op=\"get\",result=\"not_found\"} 3\n\
             frazil_store_requests_total{op=\"head\",result=\"ok\"} 1\n\
             frazil_store_requests_total{op=\"list\",result=\"ok\"} 4\n\
             frazil_store_requests_total{op=\"delete\",result=\"ok\"} 7\n\
             frazil_store_bytes_total{op=\"put\"} 100\n",
        ));
        assert_eq!(usage, Usage { puts: 12.0, gets: 4.0, lists: 4.0, bytes_put: 100.0, ..Usage::default() });
    }

    #[test]
    fn objects_are_sorted_by_what_they_are_for() {
        assert_eq!(kind(&Path::from("default/log/00000000000000000001")), "log");
        assert_eq!(kind(&Path::from("default/kv/x")), "other");
    }
}

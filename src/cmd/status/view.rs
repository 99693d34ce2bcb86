//! A gateway's answers → one document → words. Pure.

use std::collections::BTreeMap;
use std::fmt::Write;

use serde_json::{Map, Value, json};

use crate::client::metrics::{Histogram, Metrics};
use crate::output::{Listing, number};

/// The stages of an acknowledgement, and what to do where one is the slowest.
const STAGES: [(&str, &str); 7] = [
    (
        "decode",
        "reading rows takes the most time: the gateway lacks processor time, or requests are very large",
    ),
    (
        "buffer",
        "rows wait for a flush: the pace of commits is the limit, so larger requests or more gateways help",
    ),
    ("token", "rows wait for the pace of commits: larger requests, or a higher pace, help"),
    (
        "store",
        "the store's PUT is the slowest stage: compare it with the store's own latency above, and with `frazil doctor`",
    ),
    ("order", "commits wait for the slots before them: look for PUTs that were slow or sent again"),
    ("fold", "folding takes the most time: the gateway lacks processor time"),
    ("peer", "rows wait for another gateway: look at its status"),
];

/// The store is called slow from this p99 of a PUT on, in seconds.
const PUT_SLOW_SECONDS: f64 = 1.0;

/// The store is called faulty from this share of failed requests on.
const ERROR_SHARE_HIGH: f64 = 0.01;

/// A share of the memory is called full from here on.
const MEMORY_SHARE_HIGH: f64 = 0.8;

/// The document that programs get.
pub(super) fn document(url: &str, state: Option<&str>, cluster: &Value, metrics: &Metrics) -> Value {
    let state = state.or_else(|| cluster["state"].as_str()).unwrap_or("unknown");
    let store = store(metrics);
    let stages = stages(metrics);
    let slowest = slowest(&stages);
    let mut document = Map::from_iter([
        ("url".to_owned(), json!(url)),
        ("state".to_owned(), json!(state)),
        ("cluster".to_owned(), cluster.clone()),
        ("store".to_owned(), store),
        ("ack_stages".to_owned(), json!(stages)),
        ("slowest_stage".to_owned(), json!(slowest)),
    ]);
    let hint = hint(&document);
    document.insert("hint".to_owned(), json!(hint));
    Value::Object(document)
}

/// Requests by operation: how many, how many failed, and how long they took.
fn store(metrics: &Metrics) -> Value {
    let mut counts: BTreeMap<&str, (f64, f64)> = BTreeMap::new();
    for (labels, count) in metrics.of("frazil_store_requests_total") {
        let Some(op) = labels.get("op") else { continue };
        let (all, errors) = counts.entry(op).or_default();
        *all += count;
        if labels.get("result").is_some_and(|result| result == "error") {
            *errors += count;
        }
    }
    let bytes: BTreeMap<&str, f64> = metrics
        .of("frazil_store_bytes_total")
        .filter_map(|(labels, bytes)| Some((labels.get("op")?.as_str(), bytes)))
        .collect();
    let operations = counts.into_iter().map(|(op, (all, errors))| {
        let took = metrics.histogram("frazil_store_request_seconds", "op", op);
        json!({
            "op": op, "requests": whole(all), "errors": whole(errors),
            "bytes": bytes.get(op).map(|bytes| whole(*bytes)), "p50_ms": ms(&took, 0.5), "p99_ms": ms(&took, 0.99),
        })
    });
    Value::Array(operations.collect())
}

/// The stages of acknowledgements in the order that rows pass them, the total last.
fn stages(metrics: &Metrics) -> Vec<Value> {
    const NAME: &str = "frazil_ack_stage_seconds";
    let mut names = metrics.label_values(NAME, "stage");
    let rank = |name: &String| {
        let known = STAGES.iter().position(|(stage, _)| stage == name).unwrap_or(STAGES.len());
        (name == "total", known)
    };
    names.sort_by_key(rank);
    let stage = |name: String| {
        let took = metrics.histogram(NAME, "stage", &name);
        let count = whole(took.count());
        json!({"stage": name, "count": count, "p50_ms": ms(&took, 0.5), "p99_ms": ms(&took, 0.99)})
    };
    names.into_iter().map(stage).filter(|stage| stage["count"] != 0).collect()
}

/// The stage that takes longest at the median.
fn slowest(stages: &[Value]) -> Option<String> {
    let parts = stages.iter().filter(|stage| stage["stage"] != "total");
    let timed = parts.filter_map(|stage| Some((stage["p50_ms"].as_f64()?, stage["stage"].as_str()?)));
    timed.max_by(|a, b| a.0.total_cmp(&b.0)).map(|(_, stage)| stage.to_owned())
}

/// What to look at first.
fn hint(document: &Map<String, Value>) -> Option<String> {
    let cluster = document.get("cluster").unwrap_or(&Value::Null);
    match document.get("state").and_then(Value::as_str) {
        Some("read-only") => {
            let error = cluster["last_error"].as_str().map(|error| format!(" ({error})")).unwrap_or_default();
            return Some(format!(
                "the store cannot be written{error}: rows are refused with 503 until it can; reading goes on; it is tried by itself"
            ));
        }
        Some("folding") => {
            return Some("it is starting: it folds the log, and answers when that is done".to_owned());
        }
        Some("draining") => return Some("it is stopping: send requests to another gateway".to_owned()),
        _ => {}
    }
    let operations = document.get("store").and_then(Value::as_array).into_iter().flatten();
    let (mut requests, mut errors, mut put_p99) = (0.0, 0.0, None);
    for operation in operations {
        requests += operation["requests"].as_f64().unwrap_or(0.0);
        errors += operation["errors"].as_f64().unwrap_or(0.0);
        if operation["op"] == "put" {
            put_p99 = operation["p99_ms"].as_f64().map(|ms| ms / 1000.0);
        }
    }
    if requests > 0.0 && errors / requests >= ERROR_SHARE_HIGH {
        return Some(format!(
            "{:.1} % of the store's requests fail: look at the gateway's log for the first",
            100.0 * errors / requests
        ));
    }
    if let Some((share, part, words)) = fullest(cluster) {
        return Some(format!("the memory for {share} is {:.0} % full: {words}", 100.0 * part));
    }
    if let Some(p99) = put_p99.filter(|p99| *p99 >= PUT_SLOW_SECONDS) {
        return Some(format!("the store is slow: p99 of a PUT is {}", number::seconds(p99)));
    }
    let slowest = document.get("slowest_stage").and_then(Value::as_str)?;
    let known = STAGES.iter().find(|(stage, _)| *stage == slowest)?;
    Some(known.1.to_owned())
}

/// The fullest of the shares that make somebody wait; caches are meant to be full.
fn fullest(cluster: &Value) -> Option<(&'static str, f64, &'static str)> {
    const WAITED_FOR: [(&str, &str); 3] = [
        ("buffer", "rows come faster than they are written"),
        ("bodies", "requests come faster than they are decoded"),
        ("reads", "rows are asked for faster than clients take them"),
    ];
    let shares = cluster["memory"].as_array().into_iter().flatten();
    let filled = shares.filter_map(|share| {
        let (name, words) = WAITED_FOR.iter().find(|(name, _)| share["share"] == *name)?;
        let (bytes, max) = (share["bytes"].as_f64()?, share["bytes_max"].as_f64()?);
        (max > 0.0 && bytes / max >= MEMORY_SHARE_HIGH).then_some((*name, bytes / max, *words))
    });
    filled.max_by(|a, b| a.1.total_cmp(&b.1))
}

/// The document as a person reads it.
pub(super) fn for_people(document: &Value) -> String {
    let cluster = &document["cluster"];
    let mut text = String::new();
    let text_of = |value: &Value| value.as_str().unwrap_or("?").to_owned();
    line(&mut text, "gateway", &{
        let version =
            cluster["version"].as_str().map(|version| format!("   frazil {version}")).unwrap_or_default();
        let up =
            cluster["uptime_seconds"].as_u64().map(|up| format!("   up {}", uptime(up))).unwrap_or_default();
        format!("{}   {}{version}{up}", text_of(&document["url"]), text_of(&document["state"]))
    });
    if let Some(store) = cluster["store"].as_str() {
        line(&mut text, "store", store);
    }
    if let Some(error) = cluster["last_error"].as_str() {
        line(&mut text, "last error", error);
    }
    section(&mut text, &databases(cluster));
    section(&mut text, &memory(cluster));
    section(&mut text, &operations(&document["store"]));
    section(&mut text, &ack_stages(document));
    if let Some(hint) = document["hint"].as_str() {
        text.push('\n');
        line(&mut text, "hint", hint);
    }
    text
}

fn line(text: &mut String, label: &str, value: &str) {
    writeln!(text, " {label:10}  {value}").expect("writing to a string cannot fail");
}

fn section(text: &mut String, listing: &Option<Listing>) {
    if let Some(listing) = listing {
        text.push('\n');
        text.push_str(&listing.table());
    }
}

fn databases(cluster: &Value) -> Option<Listing> {
    let databases = cluster["databases"].as_array().filter(|databases| !databases.is_empty())?;
    let mut listing = Listing::new(&["database", "next slot", "checkpoint", "tables", "producers", "hedges"]);
    for database in databases {
        let hedges = database["hedges_sent"].as_u64().zip(database["hedges_won"].as_u64());
        let hedges = hedges.map_or(Value::Null, |(sent, won)| json!(format!("{won} of {sent} won")));
        let [name, slot, checkpoint, tables, producers] =
            ["database", "slot", "checkpoint", "tables", "producers"].map(|member| database[member].clone());
        listing.push(vec![name, slot, checkpoint, tables, producers, hedges]);
    }
    Some(listing)
}

fn memory(cluster: &Value) -> Option<Listing> {
    let shares = cluster["memory"].as_array().filter(|shares| !shares.is_empty())?;
    let mut listing = Listing::new(&["memory", "held", "at most"]);
    for share in shares {
        let bytes =
            |member: &str| share[member].as_u64().map_or(Value::Null, |bytes| json!(number::bytes(bytes)));
        listing.push(vec![share["share"].clone(), bytes("bytes"), bytes("bytes_max")]);
    }
    Some(listing)
}

fn operations(store: &Value) -> Option<Listing> {
    let operations = store.as_array().filter(|operations| !operations.is_empty())?;
    let mut listing = Listing::new(&["store", "requests", "errors", "moved", "p50", "p99"]);
    for operation in operations {
        let moved = operation["bytes"].as_u64().map_or(Value::Null, |bytes| json!(number::bytes(bytes)));
        let count = |member: &str| {
            operation[member].as_u64().map_or(Value::Null, |count| json!(number::thousands(count)))
        };
        let op = operation["op"].as_str().unwrap_or_default().to_uppercase();
        let (p50, p99) = (shown_ms(&operation["p50_ms"]), shown_ms(&operation["p99_ms"]));
        listing.push(vec![json!(op), count("requests"), count("errors"), moved, p50, p99]);
    }
    Some(listing)
}

fn ack_stages(document: &Value) -> Option<Listing> {
    let stages = document["ack_stages"].as_array().filter(|stages| !stages.is_empty())?;
    let mut listing = Listing::new(&["ack stage", "p50", "p99", ""]);
    for stage in stages {
        let mark = if stage["stage"] == document["slowest_stage"] { "slowest" } else { "" };
        let (p50, p99) = (shown_ms(&stage["p50_ms"]), shown_ms(&stage["p99_ms"]));
        listing.push(vec![stage["stage"].clone(), p50, p99, json!(mark)]);
    }
    Some(listing)
}

fn shown_ms(ms: &Value) -> Value {
    ms.as_f64().map_or(Value::Null, |ms| json!(number::seconds(ms / 1000.0)))
}

/// `3 d 4 h`, `4 h 12 min`, `12 min`, `7 s`.
fn uptime(seconds: u64) -> String {
    let (days, hours, minutes) = (seconds / 86_400, seconds / 3_600 % 24, seconds / 60 % 60);
    match (days, hours, minutes) {
        (0, 0, 0) => format!("{seconds} s"),
        (0, 0, _) => format!("{minutes} min"),
        (0, ..) => format!("{hours} h {minutes} min"),
        _ => format!("{days} d {hours} h"),
    }
}

/// A quantile in milliseconds, to the microsecond.
fn ms(histogram: &Histogram, share: f64) -> Option<f64> {
    histogram.quantile(share).map(|seconds| (seconds * 1e6).round() / 1e3)
}

/// A counter's value as the whole number that it is.
#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "a float saturates; counters are not negative"
)]
fn whole(value: f64) -> u64 {
    value.round() as u64
}

#[cfg(test)]
mod tests {
    use super::*;

    const SCRAPE: &str = "frazil_store_requests_total{op=\"put\",result=\"ok\"} 990\n\
        frazil_store_requests_total{op=\"put\",result=\"error\"} 2\n\
        frazil_store_requests_total{op=\"get\",result=\"not_found\"} 1208\n\
        frazil_store_bytes_total{op=\"put\"} 88080384\n\
        frazil_store_request_seconds_bucket{op=\"put\",le=\"0.02\"} 0\n\
        frazil_store_request_seconds_bucket{op=\"put\",le=\"0.04\"} 992\n\
        frazil_store_request_seconds_bucket{op=\"put\",le=\"+Inf\"} 992\n\
        frazil_ack_stage_seconds_bucket{stage=\"total\",le=\"0.1\"} 10\n\
        frazil_ack_stage_seconds_bucket{stage=\"total\",le=\"+Inf\"} 10\n\
        frazil_ack_stage_seconds_bucket{stage=\"store\",le=\"0.04\"} 10\n\
        frazil_ack_stage_seconds_bucket{stage=\"store\",le=\"+Inf\"} 10\n\
        frazil_ack_stage_seconds_bucket{stage=\"decode\",le=\"0.001\"} 10\n\
        frazil_ack_stage_seconds_bucket{stage=\"decode\",le=\"+Inf\"} 10\n\
        frazil_ack_stage_seconds_bucket{stage=\"order\",le=\"0.001\"} 0\n\
        frazil_ack_stage_seconds_bucket{stage=\"order\",le=\"+Inf\"} 0\n";

    fn cluster() -> Value {
        json!({"version": "0.1.0", "uptime_seconds": 3720, "state": "ready", "store": "s3://b/p", "last_error": null,
            "databases": [{"database": "default", "slot": 1187, "checkpoint": 1000, "tables": 2, "producers": 3,
                "hedges_sent": 4, "hedges_won": 3}],
            "memory": [{"share": "buffer", "bytes": 1024, "bytes_max": 67_108_864},
                {"share": "tail", "bytes": 1_048_576, "bytes_max": 1_048_576}]})
    }

    #[test]
    fn a_healthy_gateway_is_told_on_a_page() {
        let document = document("http://x:1", Some("ready"), &cluster(), &Metrics::parse(SCRAPE));
        assert_eq!(
            for_people(&document),
            " gateway     http://x:1   ready   frazil 0.1.0   up 1 h 2 min\n \
              store       s3://b/p\n\n \
              database  next slot  checkpoint  tables  producers  hedges\n \
              default        1187        1000       2          3  3 of 4 won\n\n \
              memory  held   at most\n \
              buffer  1 KiB  64 MiB\n \
              tail    1 MiB  1 MiB\n\n \
              store  requests  errors  moved   p50    p99\n \
              GET    1,208     0       ·       ·      ·\n \
              PUT    992       2       84 MiB  30 ms  40 ms\n\n \
              ack stage  p50     p99\n \
              decode     0.5 ms  1.0 ms\n \
              store      20 ms   40 ms   slowest\n \
              total      50 ms   99 ms\n\n \
              hint        the store's PUT is the slowest stage: compare it with the store's own latency above, and with `frazil doctor`\n"
        );
        assert_eq!(document["store"][1]["requests"], 992);
        assert_eq!(document["slowest_stage"], "store");
    }

    #[test]
    fn trouble_is_named_before_all_else() {
        let hint = |state: &str, cluster: &Value, scrape: &str| {
            let document = document("u", Some(state), cluster, &Metrics::parse(scrape));
            document["hint"].as_str().unwrap_or_default().to_owned()
        };
        let mut read_only = cluster();
        read_only["last_error"] = json!("PutObject: AccessDenied");
        let told = hint("read-only", &read_only, SCRAPE);
        assert!(told.contains("cannot be written (PutObject: AccessDenied)"), "{told}");
        assert!(hint("draining", &cluster(), "").contains("stopping"));
        assert!(hint("folding", &json!({}), "").contains("starting"));
        let failing = SCRAPE.replace("\"error\"} 2", "\"error\"} 2000");
        assert!(hint("ready", &cluster(), &failing).contains("% of the store's requests fail"));
        let mut full = cluster();
        full["memory"][0]["bytes"] = json!(60_000_000);
        assert!(hint("ready", &full, SCRAPE).contains("memory for buffer is 89 % full: rows come faster"));
        assert_eq!(hint("ready", &cluster(), ""), "", "nothing happened yet: nothing to say");
    }

    #[test]
    fn a_gateway_that_says_little_is_shown_all_the_same() {
        let document = document("http://x:1", None, &json!({}), &Metrics::parse(""));
        assert_eq!(for_people(&document), " gateway     http://x:1   unknown\n");
    }

    #[test]
    fn uptime_is_rounded_to_what_matters() {
        for (seconds, text) in [(7, "7 s"), (720, "12 min"), (15_120, "4 h 12 min"), (273_600, "3 d 4 h")] {
            assert_eq!(uptime(seconds), text);
        }
    }
}

//! How fast a store is from here, and from which rate on it refuses.

use std::time::Duration;

use anyhow::Context;
use frazil_log::env::Env;
use frazil_log::id::Ulid;
use frazil_log::store::{CreateOutcome, Path, PutPayload, RetryPolicy, Store, paths};
use serde::Serialize;
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep_until, timeout};

use crate::bench::latency::{Latencies, Summary};
use crate::bucket::judge::Finding;

/// Requests of each kind, one after the other.
const SAMPLES: u128 = 20;

/// How long all of them may take.
const SAMPLING_MAX: Duration = Duration::from_secs(20);

/// PUTs a second, and as many GETs, of each step of a ramp.
const RATES: [u32; 6] = [10, 20, 40, 80, 160, 320];

/// Requests of a step that may be under way at once: a store that hangs does not gather them without end.
const UNDER_WAY_MAX: usize = 1_000;

/// A PUT this slow at its median is a store far away.
const FAR_MS: f64 = 300.0;

/// What a gateway adds to its PUT (docs/performance.md).
const OWN_MS: f64 = 0.3;

const BYTES: &[u8] = &[b'f'; 1024];

/// What was measured.
#[derive(Clone, Debug, Serialize)]
pub(super) struct Measured {
    /// PUTs of 1 KiB, one after the other.
    pub(super) put: Summary,
    /// GETs of them.
    pub(super) get: Summary,
    /// LISTs of a prefix with them.
    pub(super) list: Summary,
    /// Steps of rising rates.
    pub(super) ramp: Vec<Step>,
}

/// One rate of a ramp.
#[derive(Clone, Debug, Serialize)]
pub(super) struct Step {
    /// PUTs a second, and GETs.
    pub(super) rate: u32,
    /// PUTs.
    pub(super) put: Summary,
    /// GETs.
    pub(super) get: Summary,
    /// Requests that were refused as too many.
    pub(super) throttled: u64,
}

enum Sent {
    Put(Result<Duration, frazil_log::Error>),
    Get(Result<Duration, frazil_log::Error>),
}

/// Measures; what was written is removed again.
pub(super) async fn measure(store: &Store, env: &Env, ramp: Option<Duration>) -> anyhow::Result<Measured> {
    // A refusal that is tried again is not seen.
    let store = store.clone().with_retry(RetryPolicy { attempts_max: 1, ..RetryPolicy::default() });
    let keys = Keys::new(env.ulid());
    let mut written = Vec::new();
    let measured = measure_and_note(&store, &keys, ramp, &mut written).await;
    let removed = store.clone().with_retry(RetryPolicy::default()).delete_many(&written).await;
    let measured = measured?;
    removed.context("removing what was written for measuring")?;
    Ok(measured)
}

async fn measure_and_note(
    store: &Store,
    keys: &Keys,
    ramp: Option<Duration>,
    written: &mut Vec<Path>,
) -> anyhow::Result<Measured> {
    let (mut put, mut get, mut list) = (Latencies::new()?, Latencies::new()?, Latencies::new()?);
    let end = Instant::now() + SAMPLING_MAX;
    for n in 0..SAMPLES {
        if Instant::now() > end {
            break;
        }
        let key = keys.at(n);
        written.push(key.clone());
        put.add(put_once(store, &key).await.ok());
        get.add(get_once(store, &key).await.ok());
        let since = Instant::now();
        let listed = store.list(&paths::probe_prefix(), None, 10).await;
        list.add(listed.is_ok().then(|| since.elapsed()));
    }
    let mut steps = Vec::new();
    if let Some(ramp) = ramp {
        let each = ramp / u32::try_from(RATES.len())?;
        let mut next = SAMPLES;
        for rate in RATES {
            let step = step(store, keys, rate, each, &mut next, written).await?;
            let refused = step.throttled > 0;
            steps.push(step);
            if refused {
                break;
            }
        }
    }
    Ok(Measured { put: put.summary(), get: get.summary(), list: list.summary(), ramp: steps })
}

/// Keys that are probes' own: a janitor sweeps them, should this process be killed.
struct Keys(u128);

impl Keys {
    fn new(ulid: Ulid) -> Self {
        Self(u128::from(ulid))
    }

    fn at(&self, n: u128) -> Path {
        paths::probe(Ulid::from(self.0.wrapping_add(n)))
    }
}

/// Requests at a fixed rate, whatever comes back.
async fn step(
    store: &Store,
    keys: &Keys,
    rate: u32,
    each: Duration,
    next: &mut u128,
    written: &mut Vec<Path>,
) -> anyhow::Result<Step> {
    let (mut put, mut get, mut throttled) = (Latencies::new()?, Latencies::new()?, 0);
    let start = Instant::now();
    let mut under_way = JoinSet::new();
    let mut count = |sent: Sent| {
        let (latencies, sent) = match sent {
            Sent::Put(sent) => (&mut put, sent),
            Sent::Get(sent) => (&mut get, sent),
        };
        throttled += u64::from(sent.as_ref().is_err_and(is_throttled));
        latencies.add(sent.ok());
    };
    for n in 0.. {
        let due = Duration::from_secs(1) * n / rate;
        if due >= each {
            break;
        }
        sleep_until(start + due).await;
        let (key, there) = (keys.at(*next), keys.at(0));
        *next += 1;
        written.push(key.clone());
        let (putting, getting) = (store.clone(), store.clone());
        under_way.spawn(async move { Sent::Put(put_once(&putting, &key).await) });
        under_way.spawn(async move { Sent::Get(get_once(&getting, &there).await) });
        while let Some(sent) = under_way.try_join_next() {
            count(sent?);
        }
        if under_way.len() >= UNDER_WAY_MAX {
            break;
        }
    }
    // What does not come within the longest request has failed, and is let go.
    let rest = timeout(SAMPLING_MAX, async {
        while let Some(sent) = under_way.join_next().await {
            count(sent?);
        }
        Ok::<(), tokio::task::JoinError>(())
    });
    rest.await.unwrap_or(Ok(()))?;
    Ok(Step { rate, put: put.summary(), get: get.summary(), throttled })
}

async fn put_once(store: &Store, key: &Path) -> Result<Duration, frazil_log::Error> {
    let since = Instant::now();
    match store.create_if_absent(key, PutPayload::from_static(BYTES)).await {
        CreateOutcome::Committed | CreateOutcome::Lost => Ok(since.elapsed()),
        CreateOutcome::Unknown(error) | CreateOutcome::Denied(error) => Err(error),
    }
}

async fn get_once(store: &Store, key: &Path) -> Result<Duration, frazil_log::Error> {
    let since = Instant::now();
    store.get(key).await.map(|_| since.elapsed())
}

/// Whether an error is a 503 SlowDown or its like. The store's library passes on no more than the words.
fn is_throttled(error: &frazil_log::Error) -> bool {
    let words = error.to_string();
    ["SlowDown", "Slow Down", "503 Service Unavailable", "429 Too Many Requests", "TooManyRequests"]
        .iter()
        .any(|word| words.contains(word))
}

/// What to think of it. PURE.
pub(super) fn judge(measured: &Measured) -> Vec<Finding> {
    let Measured { put, get, list, ramp } = measured;
    let times = format!(
        "PUT {}, GET {}, LIST {} (p50/p99 of {}, 1 KiB)",
        pair(put),
        pair(get),
        pair(list),
        put.count
    );
    let failed = put.failed + get.failed + list.failed;
    let mut findings = vec![if failed > 0 {
        Finding::warn(
            "latency",
            format!("{times}; {failed} requests failed"),
            "run this again; if requests go on failing, look at the store and at the network to it",
        )
    } else if put.p50_ms > FAR_MS {
        Finding::warn(
            "latency",
            times,
            "run gateways in the bucket's region; each acknowledgement waits for one PUT",
        )
    } else {
        Finding::ok("latency", times)
    }];
    if put.count > 0 {
        findings.push(Finding::ok(
            "ack",
            format!(
                "an acknowledgement takes about {} (p50) and {} (p99): one PUT; under load up to 100 ms more, for its place among 10 PUTs a second",
                ms(put.p50_ms + OWN_MS),
                ms(put.p99_ms + OWN_MS)
            ),
        ));
    }
    findings.extend(throttling(ramp));
    findings
}

fn throttling(ramp: &[Step]) -> Option<Finding> {
    let last = ramp.last()?;
    let refused: u64 = ramp.iter().map(|step| step.throttled).sum();
    let lost: u64 = ramp.iter().map(|step| step.put.failed + step.get.failed).sum();
    let says = format!(
        "up to {} PUTs and GETs a second: {refused} refused as too many, {} failed otherwise; PUT {} at the last rate",
        last.rate,
        lost.saturating_sub(refused),
        pair(&last.put)
    );
    Some(match (refused, lost) {
        (0, 0) => Finding::ok("throttling", says),
        (0, _) => {
            Finding::warn("throttling", says, "run this again; look at the store and at the network to it")
        }
        _ => Finding::warn(
            "throttling",
            says,
            "a gateway sends 10 PUTs a second and database; if that is near, spread databases over prefixes or buckets, or ask AWS to partition the prefix; S3 also grows with the load of some minutes",
        ),
    })
}

fn pair(summary: &Summary) -> String {
    match summary.count {
        0 => "none answered".to_owned(),
        _ => format!("{}/{}", ms(summary.p50_ms), ms(summary.p99_ms)),
    }
}

fn ms(ms: f64) -> String {
    if ms < 10.0 { format!("{ms:.1} ms") } else { format!("{ms:.0} ms") }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::bucket::judge::Level;

    fn summary(p50_ms: f64, failed: u64) -> Summary {
        Summary { count: 20, failed, p50_ms, p99_ms: 2.0 * p50_ms, max_ms: 3.0 * p50_ms }
    }

    fn measured(p50_ms: f64, failed: u64, throttled: Option<u64>) -> Measured {
        let ramp = throttled.map(|throttled| Step {
            rate: 40,
            put: summary(p50_ms, throttled),
            get: summary(1.0, 0),
            throttled,
        });
        Measured {
            put: summary(p50_ms, failed),
            get: summary(1.0, 0),
            list: summary(1.0, 0),
            ramp: ramp.into_iter().collect(),
        }
    }

    fn levels(measured: &Measured) -> Vec<(String, Level)> {
        judge(measured).into_iter().map(|finding| (finding.check, finding.level)).collect()
    }

    #[test]
    fn slow_failing_and_refusing_stores_are_warned_of() {
        let is = |check: &str, level| (check.to_owned(), level);
        assert_eq!(levels(&measured(30.0, 0, None)), [is("latency", Level::Ok), is("ack", Level::Ok)]);
        assert_eq!(levels(&measured(301.0, 0, None))[0], is("latency", Level::Warn));
        assert_eq!(levels(&measured(30.0, 1, None))[0], is("latency", Level::Warn));
        assert_eq!(levels(&measured(30.0, 0, Some(0)))[2], is("throttling", Level::Ok));
        assert_eq!(levels(&measured(30.0, 0, Some(3)))[2], is("throttling", Level::Warn));
    }

    #[test]
    fn the_estimate_is_one_put_and_a_little() {
        let ack = &judge(&measured(30.0, 0, None))[1];
        assert!(ack.says.contains("30 ms (p50) and 60 ms (p99)"), "{}", ack.says);
    }

    #[tokio::test]
    async fn measuring_leaves_nothing_behind() {
        let store = Store::open("memory://", &frazil_log::store::StoreOptions::default()).unwrap();
        let measured = measure(&store, &Env::system(), Some(Duration::from_millis(60))).await.unwrap();
        assert_eq!((measured.put.count, measured.put.failed, measured.ramp.len()), (20, 0, RATES.len()));
        assert!(measured.ramp.iter().all(|step| step.throttled == 0 && step.get.failed == 0));
        assert!(store.list(&paths::probe_prefix(), None, 10).await.unwrap().is_empty());
    }
}

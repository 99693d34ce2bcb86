//! A store that answers as slowly as S3 does, and at times as badly.
//!
//! Latency is log-normal with p50 30 ms and p99 200 ms. In bad weather besides, for all requests alike: everything slow for 2 s of
//! each 20 s, one connection of sixteen slow, and bursts of 503. [`Weather`] decides, from a seed and the time; the rest waits.

use std::fmt;
use std::ops::Range;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use futures::StreamExt;
use futures::stream::BoxStream;
use object_store::path::Path;
use object_store::{
    CopyOptions, GetOptions, GetResult, ListResult, MultipartUpload, ObjectMeta, ObjectStore,
    PutMultipartOptions, PutOptions, PutPayload, PutResult, Result,
};
use parking_lot::Mutex;
use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};
use tokio::time::{Instant, sleep};

/// Half of the requests are faster.
pub(crate) const P50: Duration = Duration::from_millis(30);

/// One in a hundred is slower.
pub(crate) const P99: Duration = Duration::from_millis(200);

/// The 99th percentile of the normal distribution.
const NORMAL_P99: f64 = 2.326_347_9;

/// Connections that requests are spread over.
const CONNECTIONS: u32 = 16;

/// For how long the weather of one kind is the same, in bad weather.
const PERIOD: Duration = Duration::from_secs(20);

/// How long everything is slow within a period, and by how much.
const SLOW_FOR: Duration = Duration::from_secs(2);
const SLOW_FACTOR: f64 = 8.0;

/// How long requests are refused within a period, and how many of them.
const BURST_FOR: Duration = Duration::from_millis(400);
const BURST_SHARE: f64 = 0.5;

/// How soon a refusal comes.
const REFUSED_AFTER: Duration = Duration::from_millis(5);

/// What happens to one request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Reply {
    after: Duration,
    refused: bool,
}

/// The store's mood: a function of the seed, the order of requests and the time. PURE.
#[derive(Debug)]
struct Weather {
    random: StdRng,
    seed: u64,
    bad: bool,
}

impl Weather {
    fn new(seed: u64, bad: bool) -> Self {
        Self { random: StdRng::seed_from_u64(seed), seed, bad }
    }

    fn reply(&mut self, now: Duration) -> Reply {
        let mut factor = 1.0;
        let connection = self.random.random_range(0..CONNECTIONS);
        let latency = self.log_normal();
        let unlucky = self.random.random::<f64>() < BURST_SHARE;
        if self.bad {
            let period = now.as_secs() / PERIOD.as_secs();
            let mut plan = StdRng::seed_from_u64(self.seed ^ (period.wrapping_add(1) << 8));
            let within = Duration::from_secs(period * PERIOD.as_secs()).abs_diff(now);
            let slow_from = PERIOD.mul_f64(plan.random_range(0.1..0.4));
            let burst_from = PERIOD.mul_f64(plan.random_range(0.6..0.9));
            if connection == plan.random_range(0..CONNECTIONS)
                || (slow_from..slow_from + SLOW_FOR).contains(&within)
            {
                factor = SLOW_FACTOR;
            }
            if unlucky && (burst_from..burst_from + BURST_FOR).contains(&within) {
                return Reply { after: REFUSED_AFTER, refused: true };
            }
        }
        Reply { after: latency.mul_f64(factor), refused: false }
    }

    /// Box and Muller's way to a normal distribution, and its exponential.
    fn log_normal(&mut self) -> Duration {
        let (radius, angle): (f64, f64) = (1.0 - self.random.random::<f64>(), self.random.random());
        let normal = (-2.0 * radius.ln()).sqrt() * (std::f64::consts::TAU * angle).cos();
        let sigma = (P99.as_secs_f64() / P50.as_secs_f64()).ln() / NORMAL_P99;
        P50.mul_f64((sigma * normal).exp())
    }
}

/// A store behind such weather.
#[derive(Debug)]
pub(crate) struct S3Like {
    inner: Arc<dyn ObjectStore>,
    weather: Mutex<Weather>,
    start: Instant,
}

impl S3Like {
    /// Puts weather before a store.
    pub(crate) fn new(inner: Arc<dyn ObjectStore>, seed: u64, bad: bool) -> Self {
        Self { inner, weather: Mutex::new(Weather::new(seed, bad)), start: Instant::now() }
    }

    /// Waits as long as the request takes; it takes effect somewhere in between.
    async fn through<T>(&self, request: impl Future<Output = Result<T>>) -> Result<T> {
        let reply = self.weather.lock().reply(self.start.elapsed());
        sleep(reply.after / 2).await;
        if reply.refused {
            return Err(object_store::Error::Generic {
                store: "S3",
                source: "503: Slow Down (played)".into(),
            });
        }
        let answer = request.await;
        sleep(reply.after / 2).await;
        answer
    }
}

impl fmt::Display for S3Like {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "S3-like({})", self.inner)
    }
}

#[async_trait::async_trait]
impl ObjectStore for S3Like {
    async fn put_opts(&self, location: &Path, payload: PutPayload, opts: PutOptions) -> Result<PutResult> {
        self.through(self.inner.put_opts(location, payload, opts)).await
    }

    async fn put_multipart_opts(
        &self,
        location: &Path,
        opts: PutMultipartOptions,
    ) -> Result<Box<dyn MultipartUpload>> {
        self.through(self.inner.put_multipart_opts(location, opts)).await
    }

    async fn get_opts(&self, location: &Path, options: GetOptions) -> Result<GetResult> {
        self.through(self.inner.get_opts(location, options)).await
    }

    async fn get_ranges(&self, location: &Path, ranges: &[Range<u64>]) -> Result<Vec<Bytes>> {
        self.through(self.inner.get_ranges(location, ranges)).await
    }

    /// Undisturbed: nothing that is measured deletes.
    fn delete_stream(&self, locations: BoxStream<'static, Result<Path>>) -> BoxStream<'static, Result<Path>> {
        self.inner.delete_stream(locations)
    }

    fn list(&self, prefix: Option<&Path>) -> BoxStream<'static, Result<ObjectMeta>> {
        let reply = self.weather.lock().reply(self.start.elapsed());
        let inner = self.inner.list(prefix);
        let pause = futures::stream::once(sleep(reply.after)).filter_map(|()| std::future::ready(None));
        pause.chain(inner).boxed()
    }

    async fn list_with_delimiter(&self, prefix: Option<&Path>) -> Result<ListResult> {
        self.through(self.inner.list_with_delimiter(prefix)).await
    }

    async fn copy_opts(&self, from: &Path, to: &Path, options: CopyOptions) -> Result<()> {
        self.through(self.inner.copy_opts(from, to, options)).await
    }
}

#[cfg(test)]
mod tests {
    use object_store::memory::InMemory;
    use object_store::{ObjectStoreExt, PutMode};

    use super::*;

    fn replies(bad: bool) -> Vec<Reply> {
        let mut weather = Weather::new(1, bad);
        (0..200_000u64).map(|n| weather.reply(Duration::from_millis(n))).collect()
    }

    #[test]
    fn fair_weather_has_the_quantiles_that_it_claims_and_no_refusals() {
        let replies = replies(false);
        assert!(replies.iter().all(|reply| !reply.refused));
        let mut latencies: Vec<Duration> = replies.iter().map(|reply| reply.after).collect();
        latencies.sort_unstable();
        let close = |found: Duration, expected: Duration| {
            (found.as_secs_f64() / expected.as_secs_f64() - 1.0).abs() < 0.03
        };
        assert!(close(latencies[100_000], P50), "{:?}", latencies[100_000]);
        assert!(close(latencies[198_000], P99), "{:?}", latencies[198_000]);
    }

    #[test]
    fn bad_weather_is_correlated_and_the_same_seed_plays_it_again() {
        let played = replies(true);
        assert_eq!(played, replies(true));
        let refused = played.iter().filter(|reply| reply.refused).count();
        assert!((1_000..4_000).contains(&refused), "ten bursts of 400 ms, every second request: {refused}");
        // Over a second a fair store never has a median like this; over a slow spell each second has.
        let slow_seconds = played.chunks(1_000).filter(|second| {
            let mut latencies: Vec<Duration> = second.iter().map(|reply| reply.after).collect();
            latencies.sort_unstable();
            latencies[500] > P50 * 4
        });
        assert!((10..=20).contains(&slow_seconds.count()));
    }

    #[tokio::test(start_paused = true)]
    async fn a_request_takes_its_time_and_still_does_what_it_is_for() {
        let store = S3Like::new(Arc::new(InMemory::new()), 1, false);
        let start = Instant::now();
        let path = Path::from("a");
        let create = || PutOptions { mode: PutMode::Create, ..PutOptions::default() };
        store.put_opts(&path, "x".into(), create()).await.unwrap();
        assert!(start.elapsed() > Duration::from_millis(2));
        assert!(store.put_opts(&path, "y".into(), create()).await.is_err());
        assert_eq!(store.get(&path).await.unwrap().bytes().await.unwrap(), "x");
        assert_eq!(store.list(None).count().await, 1);
    }
}

//! Counts what is sent to the store: requests are the bill.
//!
//! [`Metered`] sits directly above the backend, below any cache, so that only real requests count. What it cannot see
//! through the trait: the pages of a list (one `list` a call, however many thousand keys it brings), and how deletes are
//! bundled (one `delete` a key; S3 takes up to 1,000 in a request, and deletes are free there).

use std::fmt;
use std::ops::Range;
use std::sync::Arc;

use bytes::Bytes;
use futures::StreamExt;
use futures::stream::BoxStream;
use object_store::path::Path;
use object_store::{
    CopyOptions, Error, GetOptions, GetResult, ListResult, MultipartUpload, OBJECT_STORE_COALESCE_DEFAULT,
    ObjectMeta, ObjectStore, ObjectStoreExt, PutMultipartOptions, PutOptions, PutPayload, PutResult, Result,
    UploadPart, coalesce_ranges,
};
use prometheus_client::encoding::{EncodeLabelSet, EncodeLabelValue, LabelValueEncoder};
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::histogram::Histogram;
use prometheus_client::registry::{Registry, Unit};
use tokio::time::Instant;

/// The operation of a request: the label `op`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Op {
    /// `get`: an object, or a range of one, was read.
    Get,
    /// `put`: an object, or a part of one, was written.
    Put,
    /// `list`: keys were listed.
    List,
    /// `delete`: a key was deleted.
    Delete,
    /// `head`: an object's size and time were asked for.
    Head,
}

/// How a request ended: the label `result`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Outcome {
    /// `ok`: as asked.
    Ok,
    /// `not_found`: the key is absent.
    NotFound,
    /// `exists`: the key was taken, so a create lost.
    Exists,
    /// `error`: anything else.
    Error,
}

impl EncodeLabelValue for Op {
    fn encode(&self, encoder: &mut LabelValueEncoder<'_>) -> fmt::Result {
        let text = match self {
            Self::Get => "get",
            Self::Put => "put",
            Self::List => "list",
            Self::Delete => "delete",
            Self::Head => "head",
        };
        text.encode(encoder)
    }
}

impl EncodeLabelValue for Outcome {
    fn encode(&self, encoder: &mut LabelValueEncoder<'_>) -> fmt::Result {
        let text = match self {
            Self::Ok => "ok",
            Self::NotFound => "not_found",
            Self::Exists => "exists",
            Self::Error => "error",
        };
        text.encode(encoder)
    }
}

/// The labels of `frazil_store_requests_total`.
#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
pub struct Labels {
    /// The operation.
    pub op: Op,
    /// How it ended.
    pub result: Outcome,
}

/// The label of the other families.
#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct OpLabel {
    op: Op,
}

/// The store's metrics. Clones count into the same families.
#[derive(Clone, Debug)]
pub struct Metrics {
    requests: Family<Labels, Counter>,
    bytes: Family<OpLabel, Counter>,
    seconds: Family<OpLabel, Histogram, fn() -> Histogram>,
}

/// From a memory store to a request's time-out, in seconds.
const SECONDS: [f64; 14] =
    [0.0005, 0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1.0, 2.0, 5.0, 10.0];

impl Default for Metrics {
    fn default() -> Self {
        let histogram: fn() -> Histogram = || Histogram::new(SECONDS);
        let seconds = Family::new_with_constructor(histogram);
        Self { requests: Family::default(), bytes: Family::default(), seconds }
    }
}

impl Metrics {
    /// Registers `frazil_store_requests_total{op,result}`, `frazil_store_bytes_total{op}` and
    /// `frazil_store_request_seconds{op}` (of GET and PUT).
    pub fn register(&self, registry: &mut Registry) {
        let help = "Requests sent to the object store: a list counts once, a delete once a key";
        registry.register("frazil_store_requests", help, self.requests.clone());
        let help = "Bytes of the objects written to and read from the object store";
        registry.register("frazil_store_bytes", help, self.bytes.clone());
        let help = "Time until a PUT was answered, or a GET began to be";
        registry.register_with_unit("frazil_store_request", help, Unit::Seconds, self.seconds.clone());
    }

    /// The requests of an operation that ended in one way.
    pub fn requests(&self, op: Op, result: Outcome) -> u64 {
        self.requests.get(&Labels { op, result }).map_or(0, |counter| counter.get())
    }

    /// All requests.
    pub fn requests_total(&self) -> u64 {
        let ops = [Op::Get, Op::Put, Op::List, Op::Delete, Op::Head];
        let results = [Outcome::Ok, Outcome::NotFound, Outcome::Exists, Outcome::Error];
        ops.iter().flat_map(|op| results.iter().map(|result| self.requests(*op, *result))).sum()
    }

    /// The bytes that an operation moved.
    pub fn bytes(&self, op: Op) -> u64 {
        self.bytes.get(&OpLabel { op }).map_or(0, |counter| counter.get())
    }

    fn begin(&self, op: Op) -> Request {
        Request { metrics: self.clone(), op, start: Instant::now(), ended: false }
    }

    fn moved(&self, op: Op, bytes: u64) {
        self.bytes.get_or_create(&OpLabel { op }).inc_by(bytes);
    }
}

/// A request under way. One that is given up before it ends was sent all the same: it counts as an error.
struct Request {
    metrics: Metrics,
    op: Op,
    start: Instant,
    ended: bool,
}

impl Request {
    fn end<T>(mut self, result: &Result<T>) {
        self.count(match result {
            Ok(_) => Outcome::Ok,
            Err(Error::NotFound { .. }) => Outcome::NotFound,
            Err(Error::AlreadyExists { .. } | Error::Precondition { .. } | Error::NotModified { .. }) => {
                Outcome::Exists
            }
            Err(_) => Outcome::Error,
        });
    }

    fn count(&mut self, result: Outcome) {
        self.ended = true;
        self.metrics.requests.get_or_create(&Labels { op: self.op, result }).inc();
        if matches!(self.op, Op::Get | Op::Put) {
            let seconds = self.start.elapsed().as_secs_f64();
            self.metrics.seconds.get_or_create(&OpLabel { op: self.op }).observe(seconds);
        }
    }
}

impl Drop for Request {
    fn drop(&mut self) {
        if !self.ended {
            self.count(Outcome::Error);
        }
    }
}

/// A store that counts.
#[derive(Debug)]
pub struct Metered {
    inner: Arc<dyn ObjectStore>,
    metrics: Metrics,
}

impl Metered {
    /// Counts what reaches `inner` from here on.
    pub fn new(inner: Arc<dyn ObjectStore>, metrics: Metrics) -> Self {
        Self { inner, metrics }
    }

    /// One request from the first poll on; an error after that takes the place of a further one.
    fn count_list(
        &self,
        objects: BoxStream<'static, Result<ObjectMeta>>,
    ) -> BoxStream<'static, Result<ObjectMeta>> {
        let state = (objects, self.metrics.clone(), true);
        futures::stream::unfold(state, |(mut objects, metrics, first)| async move {
            let request = first.then(|| metrics.begin(Op::List));
            let next = objects.next().await;
            match (request, next.as_ref()) {
                (Some(request), Some(result)) => request.end(result),
                (Some(request), None) => request.end(&Ok(())),
                (None, Some(result @ Err(_))) => metrics.begin(Op::List).end(result),
                (None, _) => {}
            }
            next.map(|next| (next, (objects, metrics, false)))
        })
        .boxed()
    }
}

impl fmt::Display for Metered {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.inner)
    }
}

fn bytes_of(payload: &PutPayload) -> u64 {
    u64::try_from(payload.content_length()).unwrap_or(u64::MAX)
}

#[async_trait::async_trait]
impl ObjectStore for Metered {
    async fn put_opts(&self, location: &Path, payload: PutPayload, opts: PutOptions) -> Result<PutResult> {
        let (bytes, request) = (bytes_of(&payload), self.metrics.begin(Op::Put));
        let result = self.inner.put_opts(location, payload, opts).await;
        request.end(&result);
        if result.is_ok() {
            self.metrics.moved(Op::Put, bytes);
        }
        result
    }

    async fn put_multipart_opts(
        &self,
        location: &Path,
        opts: PutMultipartOptions,
    ) -> Result<Box<dyn MultipartUpload>> {
        let request = self.metrics.begin(Op::Put);
        let result = self.inner.put_multipart_opts(location, opts).await;
        request.end(&result);
        let metrics = self.metrics.clone();
        result.map(|inner| -> Box<dyn MultipartUpload> { Box::new(MeteredUpload { inner, metrics }) })
    }

    async fn get_opts(&self, location: &Path, options: GetOptions) -> Result<GetResult> {
        let request = self.metrics.begin(if options.head { Op::Head } else { Op::Get });
        let op = request.op;
        let result = self.inner.get_opts(location, options).await;
        request.end(&result);
        if let Some(found) = result.as_ref().ok().filter(|_| op == Op::Get) {
            self.metrics.moved(op, found.range.end - found.range.start);
        }
        result
    }

    /// Splits here, not in the backend, so that each GET counts.
    async fn get_ranges(&self, location: &Path, ranges: &[Range<u64>]) -> Result<Vec<Bytes>> {
        let fetch = |range| self.get_range(location, range);
        coalesce_ranges(ranges, fetch, OBJECT_STORE_COALESCE_DEFAULT).await
    }

    fn delete_stream(&self, locations: BoxStream<'static, Result<Path>>) -> BoxStream<'static, Result<Path>> {
        let metrics = self.metrics.clone();
        self.inner
            .delete_stream(locations)
            .inspect(move |result| metrics.begin(Op::Delete).end(result))
            .boxed()
    }

    fn list(&self, prefix: Option<&Path>) -> BoxStream<'static, Result<ObjectMeta>> {
        self.count_list(self.inner.list(prefix))
    }

    fn list_with_offset(
        &self,
        prefix: Option<&Path>,
        offset: &Path,
    ) -> BoxStream<'static, Result<ObjectMeta>> {
        self.count_list(self.inner.list_with_offset(prefix, offset))
    }

    async fn list_with_delimiter(&self, prefix: Option<&Path>) -> Result<ListResult> {
        let request = self.metrics.begin(Op::List);
        let result = self.inner.list_with_delimiter(prefix).await;
        request.end(&result);
        result
    }

    async fn copy_opts(&self, from: &Path, to: &Path, options: CopyOptions) -> Result<()> {
        let request = self.metrics.begin(Op::Put);
        let result = self.inner.copy_opts(from, to, options).await;
        request.end(&result);
        result
    }
}

/// An upload in parts, each of which is a request.
#[derive(Debug)]
struct MeteredUpload {
    inner: Box<dyn MultipartUpload>,
    metrics: Metrics,
}

#[async_trait::async_trait]
impl MultipartUpload for MeteredUpload {
    fn put_part(&mut self, data: PutPayload) -> UploadPart {
        let (bytes, metrics) = (bytes_of(&data), self.metrics.clone());
        let part = self.inner.put_part(data);
        Box::pin(async move {
            let request = metrics.begin(Op::Put);
            let result = part.await;
            request.end(&result);
            if result.is_ok() {
                metrics.moved(Op::Put, bytes);
            }
            result
        })
    }

    async fn complete(&mut self) -> Result<PutResult> {
        let request = self.metrics.begin(Op::Put);
        let result = self.inner.complete().await;
        request.end(&result);
        result
    }

    async fn abort(&mut self) -> Result<()> {
        let request = self.metrics.begin(Op::Delete);
        let result = self.inner.abort().await;
        request.end(&result);
        result
    }
}

//! The faulty store, as one process sees it.
//!
//! A request that has left its sender is the network's: it is applied whatever becomes of the sender, when the dice say so, and
//! maybe twice. Its answer is evaluated at one moment and delivered at another. Creating is atomic; nothing else is promised.

use std::fmt;
use std::hash::{Hash, Hasher};
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use frazil_log::store::paths::Key;
use frazil_log::store::{ConflictingRequest, Path};
use futures::stream::{self, BoxStream};
use futures::{FutureExt, StreamExt};
use object_store::{
    CopyOptions, Error, Extensions, GetOptions, GetResult, GetResultPayload, ListResult, MultipartUpload,
    ObjectMeta, ObjectStore, PutMultipartOptions, PutOptions, PutPayload, PutResult, Result,
};
use parking_lot::Mutex;
use tokio::sync::oneshot;
use tokio::time::sleep;

use crate::node::Gate;
use crate::world::World;
use crate::world::bucket::{Applied, Stored};
use crate::world::weather::Weather;

/// The store as seen from one process.
#[derive(Clone, Debug)]
pub(crate) struct FaultyStore {
    /// The run.
    pub(crate) world: Arc<World>,
    /// The process's machine.
    pub(crate) node: usize,
    /// Whether the process lives.
    pub(crate) gate: Arc<Gate>,
    /// PUTs of the process that are not answered yet.
    pub(crate) puts_out: Arc<Mutex<Vec<Path>>>,
}

impl fmt::Display for FaultyStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "the faulty store of node {}", self.node)
    }
}

/// How a PUT fares.
enum PutFate {
    /// Applied, answered.
    Fine,
    /// Answered 503, not applied.
    Refused,
    /// Answered 409, not applied.
    Conflict,
    /// Applied, answered 503.
    AppliedThenError,
    /// Applied, never answered.
    AnswerLost,
    /// Answered 503 (or never), applied after so many microseconds.
    Late { answered: bool, after_us: u64 },
}

/// A PUT that the process waits for.
struct PutOut<'a> {
    store: &'a FaultyStore,
    path: Path,
}

impl<'a> PutOut<'a> {
    fn begin(store: &'a FaultyStore, path: &Path) -> Self {
        let mut out = store.puts_out.lock();
        if out.contains(path) {
            store.world.note("hedge", store.node as u64, 0, || format!("{path} of node {}", store.node));
        }
        out.push(path.clone());
        Self { store, path: path.clone() }
    }
}

impl Drop for PutOut<'_> {
    fn drop(&mut self) {
        let mut out = self.store.puts_out.lock();
        if let Some(index) = out.iter().position(|path| *path == self.path) {
            out.swap_remove(index);
        }
    }
}

fn error_503() -> Error {
    Error::Generic { store: "simulated", source: "503 Slow Down".into() }
}

fn broken() -> Error {
    Error::Generic { store: "simulated", source: "connection reset".into() }
}

impl FaultyStore {
    fn weather(&self) -> Weather {
        self.world.weather.lock().clone()
    }

    fn latency(&self, weather: &Weather) -> Duration {
        let dice = &self.world.store_dice;
        let us = if dice.happens(weather.slow) {
            dice.log_range(500_000, 16_000_000)
        } else {
            dice.latency_us(weather.median_us)
        };
        Duration::from_micros(us)
    }

    /// Before a request leaves: a frozen process is often frozen here.
    async fn leave(&self, weather: &Weather) {
        let dice = &self.world.store_dice;
        let us = if dice.happens(weather.connect) { dice.range(2_000, 60_000) } else { dice.range(0, 2_000) };
        sleep(Duration::from_micros(us)).await;
    }

    /// A request of a node that is cut off: half of them fail at once, the others hang.
    async fn cut_off(&self) -> Result<()> {
        if !self.world.is_cut_off(self.node) {
            return Ok(());
        }
        if self.world.store_dice.happens(0.5) {
            std::future::pending::<()>().await;
        }
        sleep(Duration::from_millis(5)).await;
        Err(broken())
    }

    fn put_fate(&self, path: &Path, weather: &Weather) -> PutFate {
        let dice = &self.world.store_dice;
        if let Some((from, to)) = weather.commits_held_s
            && matches!(Key::parse(path), Some(Key::Log { .. }))
        {
            return PutFate::Late { answered: false, after_us: dice.range(from, to) * 1_000_000 };
        }
        if dice.happens(weather.put_answer_lost) {
            self.world.note("answer lost", 0, 0, String::new);
            return PutFate::AnswerLost;
        }
        if dice.happens(weather.put_applied_then_error) {
            self.world.note("applied, answered 503", 0, 0, String::new);
            return PutFate::AppliedThenError;
        }
        if dice.happens(weather.refused) {
            self.world.note("answered 503", 0, 0, String::new);
            return PutFate::Refused;
        }
        if dice.happens(weather.put_conflict) {
            self.world.note("answered 409", 0, 0, String::new);
            return PutFate::Conflict;
        }
        if dice.happens(weather.put_late) {
            let after_us = dice.log_range(100_000, weather.late_max_s * 1_000_000);
            return PutFate::Late { answered: dice.happens(0.7), after_us };
        }
        PutFate::Fine
    }

    /// Applies one copy of a PUT.
    fn apply(&self, path: &Path, bytes: &Bytes, late: bool) -> Applied {
        let now = self.world.store_time();
        let applied = self.world.bucket.lock().create(path, bytes, now);
        let words =
            || format!("{path} of node {}: {applied:?}{}", self.node, if late { ", late" } else { "" });
        self.world.note("PUT applied", self.node as u64, applied as u64, words);
        if late && self.gate.is_dead() {
            self.world.note("late PUT of a dead writer", 0, 0, || path.to_string());
        }
        match applied {
            Applied::Created | Applied::Taken => {}
            Applied::Ghost => self.world.note("ghost made", 0, 0, || path.to_string()),
            Applied::HoleFilled => self.world.note("hole filled late", 0, 0, || path.to_string()),
        }
        applied
    }

    fn put_result(path: &Path, applied: Applied, bytes: &Bytes) -> Result<PutResult> {
        match applied {
            Applied::Taken => Err(Error::AlreadyExists { path: path.to_string(), source: "412".into() }),
            _ => Ok(PutResult { e_tag: Some(tag(bytes)), version: None, extensions: Extensions::default() }),
        }
    }

    /// Sends one copy that comes much later, whose answer nobody hears.
    fn send_late(&self, path: Path, bytes: Bytes, after_us: u64) {
        let store = self.clone();
        drop(tokio::spawn(async move {
            sleep(Duration::from_micros(after_us)).await;
            store.apply(&path, &bytes, true);
        }));
    }

    /// The network's part of a PUT.
    async fn carry_put(self, path: Path, bytes: Bytes, answer: oneshot::Sender<Result<PutResult>>) {
        let weather = self.weather();
        let (there, back) = (self.latency(&weather) / 2, self.latency(&weather) / 2);
        let fate = self.put_fate(&path, &weather);
        if self.world.store_dice.happens(weather.put_doubled) {
            let after_us = self.world.store_dice.log_range(10_000, weather.late_max_s * 1_000_000);
            self.world.note("copy on its way", after_us, 0, || path.to_string());
            self.send_late(path.clone(), bytes.clone(), after_us);
        }
        sleep(there).await;
        let said = match fate {
            PutFate::Fine => Some(Self::put_result(&path, self.apply(&path, &bytes, false), &bytes)),
            PutFate::Refused => Some(Err(error_503())),
            PutFate::Conflict => Some(Err(Error::AlreadyExists {
                path: path.to_string(),
                source: Box::new(ConflictingRequest),
            })),
            PutFate::AppliedThenError => {
                self.apply(&path, &bytes, false);
                Some(Err(error_503()))
            }
            PutFate::AnswerLost => {
                self.apply(&path, &bytes, false);
                None
            }
            PutFate::Late { answered, after_us } => {
                self.world.note("PUT held up", after_us, 0, || path.to_string());
                self.send_late(path, bytes, after_us);
                answered.then(|| Err(error_503()))
            }
        };
        sleep(back).await;
        match said {
            Some(said) => drop(answer.send(said)),
            None => {
                // The connection stays open and silent: the sender's own time-out ends it.
                sleep(Duration::from_secs(3_600)).await;
                drop(answer);
            }
        }
    }

    /// The network's part of a read: evaluated at one moment, delivered at another.
    async fn carry_read<T: Send + 'static>(
        &self,
        evaluate: impl FnOnce(&Self) -> T + Send + 'static,
    ) -> Result<T> {
        let weather = self.weather();
        self.cut_off().await?;
        self.leave(&weather).await;
        let (answer, answered) = oneshot::channel();
        let store = self.clone();
        drop(tokio::spawn(async move {
            let (there, back) = (store.latency(&weather) / 2, store.latency(&weather) / 2);
            let lost = store.world.store_dice.happens(weather.read_answer_lost);
            let refused = store.world.store_dice.happens(weather.refused);
            sleep(there).await;
            let said = if refused { Err(error_503()) } else { Ok(evaluate(&store)) };
            sleep(back).await;
            if lost {
                store.world.note("read answer lost", 0, 0, String::new);
                sleep(Duration::from_secs(3_600)).await;
            }
            drop(answer.send(said));
        }));
        answered.await.unwrap_or_else(|_| Err(broken()))
    }
}

fn meta(path: &Path, stored: &Stored) -> ObjectMeta {
    ObjectMeta {
        location: path.clone(),
        last_modified: chrono::DateTime::from_timestamp_micros(stored.modified).unwrap_or_default(),
        size: stored.bytes.len() as u64,
        e_tag: Some(tag(&stored.bytes)),
        version: None,
    }
}

/// Of the content, as S3 makes it.
fn tag(bytes: &Bytes) -> String {
    let mut hasher = std::hash::DefaultHasher::new();
    bytes.hash(&mut hasher);
    format!("{:016x}", hasher.finish())
}

#[async_trait]
impl ObjectStore for FaultyStore {
    async fn put_opts(
        &self,
        location: &Path,
        payload: PutPayload,
        _options: PutOptions,
    ) -> Result<PutResult> {
        let bytes = Bytes::from(payload);
        let weather = self.weather();
        let _out = PutOut::begin(self, location);
        self.cut_off().await?;
        self.leave(&weather).await;
        let (answer, answered) = oneshot::channel();
        drop(tokio::spawn(self.clone().carry_put(location.clone(), bytes, answer)));
        answered.await.unwrap_or_else(|_| Err(broken()))
    }

    async fn put_multipart_opts(&self, _: &Path, _: PutMultipartOptions) -> Result<Box<dyn MultipartUpload>> {
        Err(Error::NotImplemented { operation: "multipart".into(), implementer: self.to_string() })
    }

    async fn get_opts(&self, location: &Path, options: GetOptions) -> Result<GetResult> {
        let path = location.clone();
        let stored = self
            .carry_read(move |store| {
                let stored = store.world.bucket.lock().get(&path);
                let found = u64::from(stored.is_some());
                store.world.note("GET", store.node as u64, found, || {
                    format!("{path} of node {}: {found}", store.node)
                });
                stored
            })
            .await?;
        let Some(stored) = stored else {
            return Err(Error::NotFound { path: location.to_string(), source: "404".into() });
        };
        let len = stored.bytes.len() as u64;
        let range = match &options.range {
            None => 0..len,
            Some(range) => range
                .as_range(len)
                .map_err(|error| Error::Generic { store: "InMemory", source: Box::new(error) })?,
        };
        let at = |at: u64| usize::try_from(at).unwrap_or(usize::MAX);
        let bytes = stored.bytes.slice(at(range.start)..at(range.end));
        Ok(GetResult {
            payload: GetResultPayload::Stream(stream::once(async move { Ok(bytes) }).boxed()),
            meta: meta(location, &stored),
            range,
            attributes: Default::default(),
            extensions: Extensions::default(),
        })
    }

    fn delete_stream(&self, locations: BoxStream<'static, Result<Path>>) -> BoxStream<'static, Result<Path>> {
        let store = self.clone();
        let deleted = async move {
            let paths: Vec<Path> = locations.filter_map(|path| async move { path.ok() }).collect().await;
            let asked = paths.clone();
            let outcome = store
                .carry_read(move |store| {
                    for path in &asked {
                        store.world.bucket.lock().delete(path);
                        store.world.note("DELETE", store.node as u64, 0, || path.to_string());
                    }
                })
                .await;
            match outcome {
                Ok(()) => paths.into_iter().map(Ok).collect(),
                Err(error) => vec![Err(error)],
            }
        };
        deleted.map(stream::iter).flatten_stream().boxed()
    }

    fn list(&self, prefix: Option<&Path>) -> BoxStream<'static, Result<ObjectMeta>> {
        let (store, prefix) = (self.clone(), prefix.cloned().unwrap_or_default());
        let listed = async move {
            let listed = store.carry_read(move |store| {
                let listed = store.world.bucket.lock().list(&prefix);
                store.world.note("LIST", store.node as u64, listed.len() as u64, || {
                    format!("{prefix} of node {}: {} objects", store.node, listed.len())
                });
                listed
            });
            match listed.await {
                Ok(listed) => listed.iter().map(|(path, stored)| Ok(meta(path, stored))).collect(),
                Err(error) => vec![Err(error)],
            }
        };
        listed.map(stream::iter).flatten_stream().boxed()
    }

    async fn list_with_delimiter(&self, _: Option<&Path>) -> Result<ListResult> {
        Err(Error::NotImplemented { operation: "delimiter".into(), implementer: self.to_string() })
    }

    async fn copy_opts(&self, _: &Path, _: &Path, _: CopyOptions) -> Result<()> {
        Err(Error::NotImplemented { operation: "copy".into(), implementer: self.to_string() })
    }
}

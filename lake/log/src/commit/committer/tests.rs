//! Late PUTs and their second copies, on a store that answers when it is told to, by a paused clock.

use std::collections::VecDeque;
use std::fmt;

use futures::stream::BoxStream;
use object_store::memory::InMemory;
use object_store::{
    CopyOptions, GetOptions, GetResult, ListResult, MultipartUpload, ObjectMeta, ObjectStore,
    PutMultipartOptions, PutOptions, PutResult, Result,
};
use tokio::time::{Instant, sleep};

use bytes::Bytes;

use super::*;
use crate::commit::create::create_log;
use crate::commit::tests::writer;
use crate::env::{Clock, Env, Moment};
use crate::format::commit::Proposal;
use crate::id::{Name, ProposalName};
use crate::protocol::Protocol;
use crate::store::{Path, PutPayload, Store};

/// What happens to a PUT: how long it is on its way there and back.
#[derive(Clone, Copy, Debug)]
struct Way {
    there: Duration,
    back: Duration,
    refused: bool,
}

const fn way(there_ms: u64, back_ms: u64) -> Way {
    Way { there: Duration::from_millis(there_ms), back: Duration::from_millis(back_ms), refused: false }
}

const USUAL: Way = way(10, 10);

#[derive(Debug, Default)]
struct Told {
    inner: Arc<InMemory>,
    ways: Mutex<VecDeque<Way>>,
    puts: Mutex<Vec<(Path, Bytes)>>,
}

impl fmt::Display for Told {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a store that answers as told")
    }
}

#[async_trait::async_trait]
impl ObjectStore for Told {
    async fn put_opts(&self, location: &Path, payload: PutPayload, options: PutOptions) -> Result<PutResult> {
        self.puts.lock().push((location.clone(), payload.clone().into()));
        let way = self.ways.lock().pop_front().unwrap_or(USUAL);
        sleep(way.there).await;
        if way.refused {
            return Err(object_store::Error::Generic { store: "told", source: "503".into() });
        }
        let answer = self.inner.put_opts(location, payload, options).await;
        sleep(way.back).await;
        answer
    }

    async fn put_multipart_opts(
        &self,
        at: &Path,
        how: PutMultipartOptions,
    ) -> Result<Box<dyn MultipartUpload>> {
        self.inner.put_multipart_opts(at, how).await
    }

    async fn get_opts(&self, location: &Path, options: GetOptions) -> Result<GetResult> {
        sleep(Duration::from_millis(5)).await;
        self.inner.get_opts(location, options).await
    }

    fn delete_stream(&self, paths: BoxStream<'static, Result<Path>>) -> BoxStream<'static, Result<Path>> {
        self.inner.delete_stream(paths)
    }

    fn list(&self, prefix: Option<&Path>) -> BoxStream<'static, Result<ObjectMeta>> {
        self.inner.list(prefix)
    }

    async fn list_with_delimiter(&self, prefix: Option<&Path>) -> Result<ListResult> {
        self.inner.list_with_delimiter(prefix).await
    }

    async fn copy_opts(&self, from: &Path, to: &Path, options: CopyOptions) -> Result<()> {
        self.inner.copy_opts(from, to, options).await
    }
}

/// The paused clock of the test's runtime.
#[derive(Debug)]
struct Paused(Instant);

impl Clock for Paused {
    fn now(&self) -> Moment {
        let boot = self.0.elapsed();
        Moment { boot, wall: i64::try_from(boot.as_micros()).unwrap() + 1_700_000_000_000_000 }
    }
}

struct Bench {
    told: Arc<Told>,
    committer: Committer,
    writes: u64,
}

impl Bench {
    async fn open(hedge: HedgeOptions) -> Self {
        Self::on(Arc::default(), hedge).await
    }

    /// One more process on a bucket.
    async fn on(inner: Arc<InMemory>, hedge: HedgeOptions) -> Self {
        let told = Arc::new(Told { inner, ..Told::default() });
        let store = Store::from_object_store(Arc::clone(&told) as Arc<dyn ObjectStore>, "told");
        let env = Env { clock: Arc::new(Paused(Instant::now())), ..Env::system() };
        let database = Name::new("default").unwrap();
        create_log(&store, &database, &env, &writer(&env)).await.unwrap();
        let replica = Replica::open(store, database, env.clone(), Protocol::SHIPPED).await.unwrap();
        let options = CommitterOptions { hedge, ..CommitterOptions::default() };
        let committer = Committer::new(replica, writer(&env), options, Arc::new(|_| {}));
        Self { told, committer, writes: 0 }
    }

    /// As many usual PUTs as it takes to know what is late, and to have earned a hedge.
    async fn warm() -> Self {
        let mut bench = Self::open(HedgeOptions::default()).await;
        for _ in 0..30 {
            bench.write().await;
        }
        bench.told.puts.lock().clear();
        bench
    }

    /// How long a write took.
    async fn write(&mut self) -> Duration {
        let (start, next) = (Instant::now(), self.committer.replica().next());
        let flush = self.flush();
        let fate = self.committer.replica().expect(flush.proposals[0].name, next);
        let slot = self.committer.write(flush).await.unwrap();
        assert_eq!(slot, next, "nobody else writes, so no slot can be lost");
        drop(fate.await.unwrap());
        start.elapsed()
    }

    /// One proposal of nothing.
    fn flush(&mut self) -> Flush {
        self.writes += 1;
        let (incarnation, base) = (self.committer.inner.writer.incarnation, self.committer.replica().next());
        let name = ProposalName { incarnation, n: self.writes };
        let proposal = Proposal { name, base, producer: None, request_hash: 0, entries: vec![] };
        Flush { proposals: vec![proposal], ..Flush::default() }
    }

    async fn write_with(&mut self, ways: &[Way]) -> Duration {
        self.told.ways.lock().extend(ways.iter().copied());
        self.write().await
    }

    fn puts(&self) -> Vec<(Path, Bytes)> {
        self.told.puts.lock().clone()
    }
}

#[tokio::test(start_paused = true)]
async fn a_late_put_is_sent_again_with_the_same_bytes_and_the_faster_copy_answers() {
    let mut bench = Bench::warm().await;
    // The first copy hangs on its way there, so that the second one is what is created.
    let took = bench.write_with(&[way(3_000, 10)]).await;
    assert!(took < Duration::from_millis(60), "{took:?}");
    let puts = bench.puts();
    assert_eq!(puts.len(), 2);
    assert_eq!(puts[0], puts[1]);
    assert_eq!(bench.committer.hedger().counts(), (1, 1));
}

#[tokio::test(start_paused = true)]
async fn a_hedge_that_lost_to_its_own_first_copy_has_won_the_slot() {
    let mut bench = Bench::warm().await;
    // The first copy is created at once, but its answer takes long: the second one is told 412, and a read says whose it is.
    let took = bench.write_with(&[way(10, 3_000)]).await;
    assert!(took < Duration::from_millis(70), "{took:?}");
    assert_eq!(bench.puts().len(), 2);
}

#[tokio::test(start_paused = true)]
async fn the_first_copys_answer_spares_the_read() {
    let mut bench = Bench::warm().await;
    // 412 for the second copy at 20 + 20 ms, Committed for the first at 42 ms, and a read would take until 45 ms.
    let took = bench.write_with(&[way(10, 32)]).await;
    assert!(took >= Duration::from_millis(40) && took < Duration::from_millis(45), "{took:?}");
}

#[tokio::test(start_paused = true)]
async fn a_refusal_says_nothing_and_the_other_copy_is_waited_for() {
    let mut bench = Bench::warm().await;
    let refused = Way { refused: true, ..way(1, 0) };
    let took = bench.write_with(&[way(60, 10), refused]).await;
    assert!((Duration::from_millis(70)..Duration::from_millis(80)).contains(&took), "{took:?}");
    assert_eq!(bench.puts().len(), 2, "no third copy");
}

#[tokio::test(start_paused = true)]
async fn both_refused_is_tried_again_as_ever() {
    let mut bench = Bench::warm().await;
    let refused = |ms| Way { refused: true, ..way(ms, 0) };
    bench.write_with(&[refused(60), refused(60)]).await;
    assert_eq!(bench.puts().len(), 3);
}

#[tokio::test(start_paused = true)]
async fn a_store_that_becomes_slow_altogether_meets_no_storm() {
    let mut bench = Bench::warm().await;
    for _ in 0..100 {
        bench.write_with(&[way(200, 200)]).await;
        bench.told.ways.lock().clear();
    }
    let (sent, _) = bench.committer.hedger().counts();
    assert!(sent <= 8, "{sent} second copies of 100 PUTs of a slow store");
    assert_eq!(bench.puts().len() as u64, 100 + sent);
}

#[tokio::test(start_paused = true)]
async fn switched_off_there_is_one_copy() {
    let mut bench = Bench::open(HedgeOptions { enabled: false, ..HedgeOptions::default() }).await;
    for _ in 0..30 {
        bench.write().await;
    }
    assert!(bench.write_with(&[way(1_000, 10)]).await >= Duration::from_secs(1));
    assert_eq!(bench.committer.hedger().counts(), (0, 0));
}

#[tokio::test(start_paused = true)]
async fn beside_a_leader_that_is_always_first_a_flight_aims_ahead_and_gets_its_slot() {
    let off = HedgeOptions { enabled: false, ..HedgeOptions::default() };
    let mut leader = Bench::open(off).await;
    let mut slow = Bench::on(Arc::clone(&leader.told.inner), off).await;
    slow.told.ways.lock().extend([way(300, 10); 100]);
    let leading = tokio::spawn(async move {
        loop {
            // It may meet a slot that is taken by then.
            let flush = leader.flush();
            leader.committer.write(flush).await.unwrap();
        }
    });
    let (start, flush) = (Instant::now(), slow.flush());
    let limit = Duration::from_secs(20);
    let slot = tokio::time::timeout(limit, slow.committer.write(flush)).await.expect("it starves").unwrap();
    // Fifteen slots while one PUT is on its way: 16 ahead is enough.
    let (tries, took) = (slow.puts().len(), start.elapsed());
    assert!((3..=8).contains(&tries), "{tries} PUTs until slot {slot}");
    assert!(took < Duration::from_secs(4), "{took:?}");
    leading.abort();
}

#[tokio::test(start_paused = true)]
async fn holes_that_nobody_fills_are_filled_by_who_waits_for_them() {
    let mut bench = Bench::open(HedgeOptions::default()).await;
    let (next, flush) = (bench.committer.replica().next(), bench.flush());
    let inner = Arc::clone(&bench.committer.inner);
    let permit = Arc::clone(&inner.permits).acquire_owned().await.unwrap();
    bench.told.puts.lock().clear();
    let slot = inner.slots.lock().aim(next, 20);
    let start = Instant::now();
    let written = Flight::new(bench.committer.clone(), slot, permit).write(flush).await.unwrap();
    assert_eq!((written, bench.committer.replica().next()), (next + 20, next + 21));
    assert_eq!(bench.puts().len(), 21);
    // A look at a tail that did not move, then three rounds.
    assert!(start.elapsed() < Duration::from_millis(700), "{:?}", start.elapsed());
    assert!(inner.slots.lock().aimed.is_empty());
    bench.write().await;
}

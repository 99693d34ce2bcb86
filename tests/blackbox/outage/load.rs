//! A store that is a hundred times slower than its producers, and a thousand clients that hardly read: the process's memory stays
//! flat, producers are told to come later, and nothing is lost or doubled. `just load 300`.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpSocket;
use tokio::time::{Instant, sleep};

use crate::support::checker::Checker;
use crate::support::frazil::{Frazil, Start};
use crate::support::http::Http;
use crate::support::proxy::{Mode, Proxy};
use crate::support::setting;
use crate::support::store::Store;
use crate::table;

/// How long, unless `FRAZIL_LOAD_SECONDS` says.
const SECONDS_SHORT: u64 = 12;

/// From so many seconds on the curve must be flat; a shorter run shows only that it ends.
const SECONDS_FLAT_MIN: u64 = 120;

const PRODUCERS: u64 = 64;
const FOLLOWERS: usize = 1_000;

/// Rows of a request: about 100 KiB.
const ROWS: u64 = 1_000;

/// What the network to the store carries, a connection: four PUTs fly at once, each for seconds. What the producers offer takes longer
/// than a request may wait: some are told to come later.
const STORE_BYTES_A_SECOND: u32 = 32 << 10;

/// What the process may take in all.
const MEMORY_MIB: u64 = 256;

#[derive(Debug, Default)]
struct Seen {
    stop: AtomicBool,
    acked: AtomicU64,
    overloaded: AtomicU64,
    without_hint: AtomicU64,
    followed_bytes: AtomicU64,
}

#[tokio::test]
async fn under_load_memory_stays_flat_and_nothing_is_lost() {
    let seconds = setting("FRAZIL_LOAD_SECONDS")
        .map_or(SECONDS_SHORT, |seconds| seconds.parse().expect("FRAZIL_LOAD_SECONDS is a number"));
    let mut store = Store::minio().await;
    let proxy = Proxy::start(store.server().address()).await;
    store.environment = store.server().environment(&proxy.endpoint());
    let frazil = Start::new("gateway", &store)
        .arg(&format!("--memory={MEMORY_MIB}MiB"))
        .arg("--buffer-bytes-max=2MiB")
        .arg("--request-bytes-max=1MiB")
        .arg("--flush-bytes-max=256KiB")
        .arg("--inline-bytes-max=256KiB")
        .arg("--request-deadline=6s")
        .run()
        .await;
    let columns = r#"{"columns":"id BIGINT NOT NULL, payload STRING","buckets":4}"#;
    frazil.http.put(&table("load"), columns).await.ok(201);
    proxy.set(Mode::Trickle(STORE_BYTES_A_SECOND));

    let seen = Arc::new(Seen::default());
    let producers: Vec<_> =
        (0..PRODUCERS).map(|n| tokio::spawn(produce(frazil.http.clone(), n, Arc::clone(&seen)))).collect();
    let followers: Vec<_> = (0..FOLLOWERS)
        .map(|_| tokio::spawn(follow_slowly(frazil.address().to_owned(), Arc::clone(&seen))))
        .collect();
    let mut checker = Checker::start(&[frazil.url()], seconds, &[]);
    let curve = sample(&frazil, Duration::from_secs(seconds)).await;
    assert!(checker.runs() || seconds < 2, "the checker gave up: {}", checker.words());

    seen.stop.store(true, Ordering::SeqCst);
    proxy.set(Mode::Pass);
    for producer in producers {
        producer.await.expect("a producer ends");
    }
    followers.iter().for_each(tokio::task::JoinHandle::abort);
    let rows = checker.verdict(Duration::from_secs(300)).await;
    let count = |counter: &AtomicU64| counter.load(Ordering::SeqCst);
    println!(
        "{seconds} s: RSS {} MiB; load: {} requests acked, {} told to come later; followers read {} bytes; checker: acked {rows} lost 0 doubled 0",
        words(&curve),
        count(&seen.acked),
        count(&seen.overloaded),
        count(&seen.followed_bytes)
    );
    assert!(count(&seen.acked) > 0 && count(&seen.overloaded) > 0, "{seen:?}");
    assert_eq!(count(&seen.without_hint), 0, "429 and 503 say when to come again");
    assert!(count(&seen.followed_bytes) > 0, "{seen:?}");
    every_acked_request_is_there_once(&frazil, count(&seen.acked)).await;
    judge(&curve, seconds);
}

/// An idempotent producer that sends as fast as it is let, and the same request again until it is acknowledged.
async fn produce(http: Http, producer: u64, seen: Arc<Seen>) {
    let name = format!("load-{producer}");
    for seq in 0.. {
        let row = |n: u64| {
            let id = (producer << 40) + seq * ROWS + n;
            format!("{{\"id\":{id},\"payload\":\"{:064x}\"}}\n", id.wrapping_mul(0x9e37_79b9_7f4a_7c15))
        };
        let body: String = (0..ROWS).map(row).collect();
        loop {
            // A request that began is brought to its end, or nobody would know how many rows there are.
            let seq = seq.to_string();
            let headers = [
                ("Producer-Id", name.as_str()),
                ("Producer-Epoch", "0"),
                ("Producer-Seq", seq.as_str()),
                ("content-type", "application/x-ndjson"),
            ];
            let path = format!("{}/rows", table("load"));
            let answer = http.attempt("POST", &path, &headers, Some(body.clone().into_bytes())).await;
            match answer {
                Ok(answer) if answer.status == 200 => break,
                Ok(answer) if [429, 503, 504].contains(&answer.status) => {
                    let hint = answer.header("retry-after").parse::<u64>();
                    if answer.status == 429 {
                        seen.overloaded.fetch_add(1, Ordering::SeqCst);
                    }
                    if hint.is_err() && answer.status != 504 {
                        seen.without_hint.fetch_add(1, Ordering::SeqCst);
                    }
                    sleep(Duration::from_millis(200)).await;
                }
                Ok(answer) => panic!("{answer:?}"),
                Err(_) => sleep(Duration::from_millis(200)).await,
            }
        }
        seen.acked.fetch_add(1, Ordering::SeqCst);
        if seen.stop.load(Ordering::SeqCst) {
            return;
        }
    }
}

/// A client that follows and takes a few bytes a second, through a receive buffer as small as it gets.
async fn follow_slowly(address: String, seen: Arc<Seen>) {
    let socket = TcpSocket::new_v4().expect("a socket can be made");
    socket.set_recv_buffer_size(4 << 10).expect("a receive buffer can be small");
    let mut stream = socket.connect(address.parse().expect("an address")).await.expect("the gateway listens");
    let path = format!("{}/rows?follow=true&from=earliest", table("load"));
    let request = format!("GET {path} HTTP/1.1\r\nHost: x\r\n\r\n");
    stream.write_all(request.as_bytes()).await.expect("the gateway reads a request");
    let mut buffer = [0; 16];
    while let Ok(length) = stream.read(&mut buffer).await {
        if length == 0 {
            return;
        }
        seen.followed_bytes.fetch_add(length as u64, Ordering::SeqCst);
        sleep(Duration::from_millis(500)).await;
    }
}

/// The process's resident memory, four times a second, in KiB.
async fn sample(frazil: &Frazil, time: Duration) -> Vec<u64> {
    let (start, mut curve) = (Instant::now(), Vec::new());
    while start.elapsed() < time {
        curve.push(frazil.resident_kib());
        sleep(Duration::from_millis(250)).await;
    }
    curve
}

async fn every_acked_request_is_there_once(frazil: &Frazil, acked: u64) {
    let offsets = frazil.http.get(&format!("{}/offsets", table("load"))).await.ok(200);
    let offsets = offsets.as_array().or_else(|| offsets["buckets"].as_array()).cloned().unwrap_or_default();
    let rows: u64 = offsets.iter().filter_map(|bucket| bucket["latest"].as_u64()).sum();
    assert_eq!(rows, acked * ROWS, "{acked} requests of {ROWS} rows were acknowledged: {offsets:?}");
}

fn mean(curve: &[u64]) -> u64 {
    curve.iter().sum::<u64>() / (curve.len() as u64).max(1)
}

/// The curve in ten points.
fn words(curve: &[u64]) -> String {
    let points = curve.chunks(curve.len().div_ceil(10).max(1));
    points.map(|chunk| (mean(chunk) / 1024).to_string()).collect::<Vec<_>>().join(" ")
}

/// Bounded always; in a long run flat after the first two fifths.
fn judge(curve: &[u64], seconds: u64) {
    let most = curve.iter().copied().max().unwrap_or(0);
    assert!(most <= (MEMORY_MIB * 5 / 4) << 10, "{most} KiB with --memory {MEMORY_MIB}MiB: {}", words(curve));
    if seconds >= SECONDS_FLAT_MIN {
        let steady = &curve[curve.len() * 2 / 5..];
        let (before, after) = steady.split_at(steady.len() / 2);
        assert!(mean(after) * 100 <= mean(before) * 105, "RSS grows: {} MiB", words(curve));
    }
}

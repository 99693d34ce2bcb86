//! SIGTERM under load: each request that was begun is answered, then the process ends with 0.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use tokio::task::JoinSet;
use tokio::time::sleep;

use crate::support::frazil::Frazil;
use crate::support::store::Store;
use crate::table;

const DRAIN_MAX: Duration = Duration::from_secs(10);

#[tokio::test]
async fn a_drain_on_a_directory_answers_every_request() {
    drain(&Store::file()).await;
}

#[tokio::test]
async fn a_drain_on_a_bucket_answers_every_request() {
    drain(&Store::minio().await).await;
}

async fn drain(store: &Store) {
    let mut frazil = Frazil::gateway(store).await;
    frazil.http.put(&table("parcels"), r#"{"columns":"id BIGINT NOT NULL, note STRING"}"#).await.ok(201);
    let ending = Arc::new(AtomicBool::new(false));
    let mut writers = JoinSet::new();
    for writer in 0..8u64 {
        writers.spawn(write(frazil.http.clone(), writer, Arc::clone(&ending)));
    }
    sleep(Duration::from_secs(1)).await;
    ending.store(true, Ordering::SeqCst);
    let (code, took) = frazil.terminate(DRAIN_MAX).await;
    assert_eq!(code, Some(0), "{}", frazil.stderr());
    assert!(took <= DRAIN_MAX, "it took {took:?}");

    let mut acked = 0;
    for outcome in writers.join_all().await {
        acked += outcome.expect("each request begun before the signal is answered");
    }
    assert!(acked > 0, "nothing was acked: the test shows nothing");
    let again = Frazil::gateway(store).await;
    let offsets = again.http.get(&format!("{}/offsets", table("parcels"))).await.ok(200);
    let latest = offsets["buckets"][0]["latest"].as_u64().expect("latest is a number");
    assert!(latest >= acked, "{acked} rows were acked, {latest} are there");
}

/// Writes until it is refused; how many rows were acked, or how a request begun in time was left without an answer.
async fn write(
    http: crate::support::http::Http,
    writer: u64,
    ending: Arc<AtomicBool>,
) -> Result<u64, String> {
    let mut acked = 0;
    loop {
        let begun_in_time = !ending.load(Ordering::SeqCst);
        let body = format!(r#"[{{"id":{},"note":"writer {writer}"}}]"#, acked + 1);
        // A connection of its own: one that is kept open may be closed just as the next request goes out.
        let headers = [("connection", "close")];
        match http
            .attempt("POST", &format!("{}/rows", table("parcels")), &headers, Some(body.into_bytes()))
            .await
        {
            Ok(answer) if answer.status == 200 => acked += 1,
            Ok(answer) if answer.status == 503 && !begun_in_time => return Ok(acked),
            Ok(answer) if answer.status == 503 => {
                answer.problem(503, "draining");
                return Ok(acked);
            }
            Ok(answer) => return Err(format!("{answer:?}")),
            Err(error) if begun_in_time => return Err(error),
            Err(_) => return Ok(acked),
        }
    }
}

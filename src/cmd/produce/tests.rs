use std::collections::BTreeMap;
use std::io::Write;
use std::path::Path;
use std::sync::{Arc, Mutex};

use bytes::Bytes;
use serde_json::{Value, json};

use super::*;
use crate::client::tests::{Does, Got, client, fake};

/// What a fake gateway holds of one producer.
#[derive(Debug, Default)]
struct Log {
    /// By sequence number: the body, and the answer.
    taken: BTreeMap<u64, (Bytes, Value)>,
    lines: Vec<String>,
    requests: u64,
    created: u64,
}

impl Log {
    /// Takes a request as a gateway does: in sequence, a repetition once, all or nothing.
    fn take(&mut self, got: &Got) -> (u16, Value) {
        let seq: u64 = got.headers["producer-seq"].parse().unwrap();
        self.created += u64::from(got.target.ends_with("?create=true"));
        let expected = self.taken.len() as u64;
        if let Some((body, answer)) = self.taken.get(&seq) {
            assert_eq!(*body, got.body, "a repetition has the same bytes");
            let mut answer = answer.clone();
            answer["duplicate"] = json!(true);
            return (200, answer);
        }
        if seq != expected {
            return (409, json!({"type": "/errors/sequence-gap", "detail": "a gap", "expected": expected}));
        }
        let lines: Vec<String> = String::from_utf8_lossy(&got.body).lines().map(str::to_owned).collect();
        if let Some(row) = lines.iter().position(|line| line.contains("bad")) {
            let error = json!({"row": row, "column": "id", "expected": "BIGINT", "found": "\"bad\""});
            let problem = json!({"type": "/errors/invalid-rows", "detail": "a row is wrong", "errors": [error],
                "outcome": "not-committed", "retry": "never"});
            return (422, problem);
        }
        let start = self.lines.len();
        self.lines.extend(lines.iter().cloned());
        let buckets = json!([{"bucket": 0, "start": start, "end": self.lines.len()}]);
        let answer = json!({"rows": lines.len(), "slot": seq / 3, "duplicate": false, "buckets": buckets});
        self.taken.insert(seq, (got.body.clone(), answer.clone()));
        (200, answer)
    }
}

/// A gateway that fails each request of some numbers, in turn in each way.
async fn faulty(log: &Arc<Mutex<Log>>, fails: fn(u64) -> bool) -> Client {
    let log = Arc::clone(log);
    fake(move |got| {
        let mut log = log.lock().unwrap();
        log.requests += 1;
        let number = log.requests;
        if !fails(number) {
            let (status, answer) = log.take(&got);
            return Does::Answers(status, Vec::new(), answer.to_string());
        }
        match number % 4 {
            0 => Does::HangsUp,
            1 => {
                // Durable, but the answer is lost.
                log.take(&got);
                Does::HangsUp
            }
            2 => {
                log.take(&got);
                let problem =
                    json!({"type": "/errors/outcome-unknown", "detail": "unknown", "retry": "same"});
                Does::Answers(504, Vec::new(), problem.to_string())
            }
            _ => {
                let problem =
                    json!({"type": "/errors/store-unavailable", "detail": "no store", "retry": "after"});
                Does::Answers(503, vec![("retry-after", "0".to_owned())], problem.to_string())
            }
        }
    })
    .await
}

fn file(lines: &[String]) -> tempfile::NamedTempFile {
    let mut file = tempfile::NamedTempFile::with_suffix(".ndjson").unwrap();
    for line in lines {
        writeln!(file, "{line}").unwrap();
    }
    file
}

fn rows(count: u64) -> Vec<String> {
    (0..count).map(|id| format!("{{\"id\":{id}}}")).collect()
}

/// Sends a file in batches of ten rows.
async fn produce_file(client: Client, path: &Path, create: bool) -> (Result<(), Stopped>, Report, Sender) {
    let limits = Limits { rows_max: 10, bytes_max: 1 << 20 };
    let input = Input::open(Some(path), None, limits).await.unwrap();
    let Ok(table) = "clicks".parse::<TableName>();
    let sender = Sender::new(client, table, "p".to_owned(), 0, Duration::from_secs(20));
    let mut report = Report::new("f.ndjson", None, OutputFormat::Json);
    let outcome = timeout(Duration::from_secs(60), send_all(input, &sender, create, &mut report));
    (outcome.await.expect("it ends in time"), report, sender)
}

#[tokio::test]
async fn each_row_arrives_once_in_order_whatever_happens_to_requests() {
    let log = Arc::new(Mutex::new(Log::default()));
    let client = faulty(&log, |number| number > 1 && number % 3 == 0).await;
    let lines = rows(205);
    let (outcome, report, sender) = produce_file(client, file(&lines).path(), true).await;
    outcome.unwrap();
    let log = log.lock().unwrap();
    assert_eq!(log.lines, lines);
    assert_eq!(log.created, 1, "only the first batch creates");
    assert!(sender.retries() > 0, "nothing failed: the test shows nothing");
    assert!(
        report.written().contains("the first 205 rows of f.ndjson are written (0:0 → 0:205)"),
        "{}",
        report.written()
    );
}

#[tokio::test]
async fn a_refused_row_stops_the_run_and_is_named_by_its_line() {
    let log = Arc::new(Mutex::new(Log::default()));
    let client = faulty(&log, |_| false).await;
    let mut lines = rows(100);
    lines[37] = "{\"id\":\"bad\"}".to_owned();
    let (outcome, report, _) = produce_file(client, file(&lines).path(), false).await;
    let told = outcome.unwrap_err().told(report.name());
    assert_eq!(told, "f.ndjson line 38, column \"id\": expected BIGINT, found \"bad\"");
    assert_eq!(log.lock().unwrap().lines, lines[..30], "what lies before is written, nothing behind");
    assert!(report.written().contains("first 30 rows"), "{}", report.written());
}

#[tokio::test]
async fn the_same_run_again_adds_nothing() {
    let log = Arc::new(Mutex::new(Log::default()));
    let client = faulty(&log, |_| false).await;
    let lines = rows(55);
    let file = file(&lines);
    for _ in 0..2 {
        produce_file(client.clone(), file.path(), false).await.0.unwrap();
    }
    assert_eq!(log.lock().unwrap().lines, lines);
}

#[tokio::test]
async fn a_gateway_that_forgot_what_it_acknowledged_is_not_believed() {
    let log = Arc::new(Mutex::new(Log::default()));
    let seen = Arc::clone(&log);
    let client = fake(move |got| {
        let mut log = seen.lock().unwrap();
        if log.taken.len() == 3 {
            *log = Log::default();
        }
        let (status, answer) = log.take(&got);
        Does::Answers(status, Vec::new(), answer.to_string())
    })
    .await;
    let (outcome, ..) = produce_file(client, file(&rows(100)).path(), false).await;
    let stopped = outcome.unwrap_err();
    assert!(matches!(stopped, Stopped::Forgotten { expected: 0, .. }), "{stopped}");
}

#[tokio::test]
async fn nobody_there_is_told_at_once() {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let client = client(&format!("http://{}", listener.local_addr().unwrap()));
    drop(listener);
    let (outcome, report, sender) = produce_file(client, file(&rows(3)).path(), false).await;
    let told = outcome.unwrap_err().told(report.name());
    assert!(told.starts_with("no gateway answers at"), "{told}");
    assert_eq!(sender.retries(), 0);
}

#[tokio::test]
async fn a_file_without_rows_sends_nothing() {
    let log = Arc::new(Mutex::new(Log::default()));
    let client = faulty(&log, |_| false).await;
    let empty = file(&[String::new(), " ".to_owned()]);
    produce_file(client.clone(), empty.path(), false).await.0.unwrap();
    assert!(produce_file(client, empty.path(), true).await.0.is_err(), "no table can be made of nothing");
    assert_eq!(log.lock().unwrap().requests, 0);
}

//! Atomic writes under kill -9: rows of two tables are there together or not at all, and a loop that reads, processes and writes
//! with its position in the same request gives each row of its input exactly once. `just exactly-once 50`.

use std::collections::BTreeSet;
use std::process::Command;
use std::time::Duration;

use serde_json::{Value, json};
use tokio::task::JoinHandle;
use tokio::time::{Instant, sleep};

use crate::support::frazil::{Frazil, Start, command};
use crate::support::http::Http;
use crate::support::setting;
use crate::support::store::Store;
use crate::table;

const COUNT_SHORT: u64 = 3;
const WRITE: &str = "/v1/databases/default/write";
const GROUP: &str = "/v1/databases/default/groups/etl";

/// More rows than a test writes.
const LIMIT: usize = 100_000;

/// How long the work goes on after the last kill.
const AFTERWARDS: Duration = Duration::from_secs(60);

fn count() -> u64 {
    let count = setting("FRAZIL_EXACTLY_ONCE_COUNT");
    count.map_or(COUNT_SHORT, |count| count.parse().expect("FRAZIL_EXACTLY_ONCE_COUNT is a number"))
}

/// Processes on one store; any of them answers any request.
struct Doors {
    store: Store,
    verb: &'static str,
    open: Vec<Frazil>,
}

impl Doors {
    /// One process with everything in it, on a directory.
    async fn dev() -> Self {
        let store = Store::file();
        let open = vec![Frazil::dev(&store).await];
        Self { store, verb: "dev", open }
    }

    /// Two gateways on a bucket.
    async fn gateways() -> Self {
        let store = Store::minio().await;
        let open = vec![Frazil::gateway(&store).await, Frazil::gateway(&store).await];
        Self { store, verb: "gateway", open }
    }

    fn urls(&self) -> Vec<String> {
        self.open.iter().map(|door| door.url().to_owned()).collect()
    }

    fn http(&self) -> &Http {
        &self.open[0].http
    }

    /// Kills a process and starts another in its place, again and again, one after the other of them.
    async fn kill_and_start(&mut self) {
        for n in 1..=count() {
            sleep(Duration::from_millis(300 + n * 377 % 1300)).await;
            let at = usize::try_from(n).expect("few kills") % self.open.len();
            let door = &mut self.open[at];
            let again = Start::new(self.verb, &self.store).listen(door.address());
            door.kill();
            *door = again.run().await;
            println!("kill -9 {n} of {}, ready again in {:?}", count(), door.started_in);
        }
        sleep(Duration::from_millis(500)).await;
    }
}

/// Requests until the writer is told to stop: request n has `1 + n % 3` orders and `1 + n % 2` changes of the stock.
fn sizes(n: u64) -> (u64, u64) {
    (1 + n % 3, 1 + n % 2)
}

/// curl, as in the documentation, with the same sequence until it is answered; how many requests were.
async fn write_forms(
    urls: Vec<String>,
    directory: tempfile::TempDir,
    stop: tokio::sync::watch::Receiver<bool>,
) -> u64 {
    let (orders, stock) = (directory.path().join("o.ndjson"), directory.path().join("s.csv"));
    let mut doors = urls.iter().cycle();
    for n in 0.. {
        if *stop.borrow() {
            return n;
        }
        let (order_rows, stock_rows) = sizes(n);
        let lines: String = (0..order_rows).map(|row| format!("{{\"n\":{n},\"row\":{row}}}\n")).collect();
        let cells: String = (0..stock_rows).map(|row| format!("{n},-{row}\n")).collect();
        std::fs::write(&orders, lines).expect("a temporary file can be written");
        std::fs::write(&stock, format!("n,change\n{cells}")).expect("a temporary file can be written");
        let within = Instant::now() + AFTERWARDS;
        loop {
            let mut curl = Command::new("curl");
            curl.args(["--silent", "--show-error", "--max-time", "20", "--output", "/dev/null"]);
            curl.args(["--write-out", "%{http_code}", "--header", "Producer-Id: till"]);
            curl.args(["--header", "Producer-Epoch: 0", "--header", &format!("Producer-Seq: {n}")]);
            curl.args(["-F", &format!("orders=@{};type=application/x-ndjson", orders.display())]);
            curl.args(["-F", &format!("stock=@{};type=text/csv", stock.display())]);
            curl.arg(format!("{}{WRITE}", doors.next().expect("there is a door")));
            let done = tokio::task::spawn_blocking(move || curl.output()).await.expect("it does not panic");
            let code = String::from_utf8_lossy(&done.expect("curl is installed").stdout).into_owned();
            if code == "200" {
                break;
            }
            assert!(["000", "503", "504"].contains(&code.as_str()), "request {n}: {code}");
            assert!(Instant::now() < within, "request {n} is never answered");
            sleep(Duration::from_millis(50)).await;
        }
    }
    0
}

/// The requests whose rows are in a table, at a confirmed tail; nothing if nobody answers.
async fn requests_in(http: &Http, name: &str) -> Option<BTreeSet<u64>> {
    let path = format!("{}/rows?columns=n&limit={LIMIT}", table(name));
    let answer = http.attempt("GET", &path, &[], None).await.ok().filter(|answer| answer.status == 200)?;
    let rows = answer.json();
    let rows = rows.as_array()?;
    assert!(rows.len() < LIMIT, "the page holds all up to the tail that was confirmed for it");
    Some(rows.iter().filter_map(|row| row["n"].as_u64()).collect())
}

/// Reads one table and then the other: what the first shows the second must show, since its tail was confirmed later.
async fn read_both(urls: Vec<String>, stop: tokio::sync::watch::Receiver<bool>) -> u64 {
    let doors: Vec<Http> = urls.iter().map(|url| Http::new(url)).collect();
    let mut doors = doors.iter().cycle();
    let mut door = || doors.next().expect("there is a door");
    let mut reads = 0;
    while !*stop.borrow() {
        let pair = if reads % 2 == 0 { ["orders", "stock"] } else { ["stock", "orders"] };
        let (first, second) = (requests_in(door(), pair[0]).await, requests_in(door(), pair[1]).await);
        if let (Some(first), Some(second)) = (first, second) {
            let without: Vec<_> = first.difference(&second).collect();
            assert!(
                without.is_empty(),
                "requests {without:?} have rows in {} and none in {}",
                pair[0],
                pair[1]
            );
            reads += 1;
        }
        sleep(Duration::from_millis(5)).await;
    }
    reads
}

#[tokio::test]
async fn atomic_rows_of_one_table_are_never_without_those_of_the_other() {
    atomic_rows(Doors::dev().await).await;
}

#[tokio::test]
async fn atomic_rows_through_two_gateways_on_a_bucket_are_whole_too() {
    atomic_rows(Doors::gateways().await).await;
}

async fn atomic_rows(mut doors: Doors) {
    for (name, columns) in
        [("orders", "n BIGINT NOT NULL, row BIGINT"), ("stock", "n BIGINT NOT NULL, change BIGINT")]
    {
        doors.http().put(&table(name), &format!(r#"{{"columns":"{columns}"}}"#)).await.ok(201);
    }
    let (stop, stopped) = tokio::sync::watch::channel(false);
    let scratch = tempfile::tempdir().expect("a temporary directory can be made");
    let reader = tokio::spawn(read_both(doors.urls(), stopped.clone()));
    let writer = tokio::spawn(write_forms(doors.urls(), scratch, stopped));
    doors.kill_and_start().await;
    stop.send_replace(true);
    let requests = writer.await.expect("every request is answered in the end");
    let reads = reader.await.expect("the reader saw whole requests only");
    let (orders, stock) =
        (requests_in(doors.http(), "orders").await, requests_in(doors.http(), "stock").await);
    assert_eq!(orders, Some((0..requests).collect()));
    assert_eq!(stock, orders);

    // And at each slot, not only at those where the reader looked.
    let ends = (0..requests).scan((0, 0), |sum, n| {
        let (orders, stock) = sizes(n);
        *sum = (sum.0 + orders, sum.1 + stock);
        Some(*sum)
    });
    let ends: BTreeSet<(u64, u64)> = std::iter::once((0, 0)).chain(ends).collect();
    let slots = tails(&doors.store, None).await.0;
    let step = (slots / 64).max(1);
    let mut looked_at = 0;
    for slot in (3..=slots).rev().step_by(usize::try_from(step).expect("few slots")) {
        let (_, at) = tails(&doors.store, Some(slot)).await;
        assert!(ends.contains(&at), "before slot {slot} the tables end at {at:?}: part of a request");
        looked_at += 1;
    }
    println!("{requests} requests, {reads} reads of both tables, {looked_at} of {slots} slots: all whole");
    assert!(requests > 5 && reads > 5 && looked_at > 5);
}

/// The next slot, and where `orders` and `stock` end, before a slot or at the tail.
async fn tails(store: &Store, at: Option<u64>) -> (u64, (u64, u64)) {
    let slot = at.map(|slot| slot.to_string());
    let mut arguments = vec!["log", "state", "--store", &store.url, "-o", "json"];
    if let Some(slot) = &slot {
        arguments.extend(["--at", slot]);
    }
    let done = command(&arguments, store).await;
    assert_eq!(done.code, Some(0), "{done:?}");
    let state: Value = serde_json::from_str(&done.stdout).expect("it prints JSON");
    let tail = |name: &str| {
        let mut tables = state["tables"].as_array().into_iter().flatten();
        let table = tables.find(|table| table["name"] == name);
        table.and_then(|table| table["tails"][0]["next"].as_u64()).unwrap_or(0)
    };
    (state["next"].as_u64().expect("a slot"), (tail("orders"), tail("stock")))
}

/// One step of the loop in docs/guide/exactly-once.md. Whatever happens to it, the next begins at the stored position.
async fn step(http: &Http) -> Result<bool, String> {
    let group = http.attempt("GET", GROUP, &[], None).await?;
    let position = match group.status {
        200 => group.json()["positions"]["input"].clone(),
        404 => Value::Null,
        _ => return Err(group.text),
    };
    let from = position.as_str().unwrap_or("earliest");
    let read =
        http.attempt("GET", &format!("{}/rows?from={from}&limit=7", table("input")), &[], None).await?;
    if read.status != 200 {
        return Err(read.text);
    }
    let rows = read.json();
    let rows = rows.as_array().ok_or("no rows")?;
    if rows.is_empty() {
        return Ok(false);
    }
    let made: Vec<Value> =
        rows.iter().map(|row| json!({"n": row["n"], "square": square(&row["n"])})).collect();
    let body = json!({
        "tables": {"output": {"rows": made}},
        "positions": {"etl": {"input": read.header("frazil-next")}},
        "expected": {"etl": {"input": position}},
    });
    let written = http.attempt("POST", WRITE, &[], Some(body.to_string().into_bytes())).await?;
    match written.status {
        200 => Ok(true),
        // Another worker was faster, or an own request that seemed to fail had not.
        412 => {
            let problem = written.problem(412, "expected-position");
            assert_eq!((&problem["group"], &problem["table"]), (&json!("etl"), &json!("input")), "{problem}");
            Ok(true)
        }
        503 | 504 => Err(written.text),
        _ => panic!("{written:?}"),
    }
}

fn square(n: &Value) -> u64 {
    n.as_u64().map_or(0, |n| n * n)
}

/// Steps until the input is closed and used up, each through the next of the doors.
fn worker(urls: &[String], closed: &tokio::sync::watch::Receiver<bool>) -> JoinHandle<u64> {
    let doors: Vec<Http> = urls.iter().map(|url| Http::new(url)).collect();
    let closing = closed.clone();
    tokio::spawn(async move {
        let (mut failed, mut doors) = (0, doors.iter().cycle());
        loop {
            let closed = *closing.borrow();
            match step(doors.next().expect("there is a door")).await {
                Ok(true) => {}
                Ok(false) if closed => return failed,
                Ok(false) => sleep(Duration::from_millis(10)).await,
                Err(_) => {
                    failed += 1;
                    sleep(Duration::from_millis(30)).await;
                }
            }
        }
    })
}

/// Writes the numbers from 0 on, five a request, each request until it is answered.
async fn feed(urls: Vec<String>, stop: tokio::sync::watch::Receiver<bool>) -> u64 {
    let doors: Vec<Http> = urls.iter().map(|url| Http::new(url)).collect();
    let mut doors = doors.iter().cycle();
    for seq in 0u64.. {
        if *stop.borrow() {
            return seq * 5;
        }
        let rows: Vec<Value> = (seq * 5..seq * 5 + 5).map(|n| json!({"n": n})).collect();
        let body = json!(rows).to_string().into_bytes();
        let seq = seq.to_string();
        let headers = [("producer-id", "feed"), ("producer-epoch", "0"), ("producer-seq", seq.as_str())];
        let (path, within) = (format!("{}/rows", table("input")), Instant::now() + AFTERWARDS);
        while !doors
            .next()
            .expect("there is a door")
            .attempt("POST", &path, &headers, Some(body.clone()))
            .await
            .is_ok_and(|answer| answer.status == 200)
        {
            assert!(Instant::now() < within, "request {seq} is never answered");
            sleep(Duration::from_millis(30)).await;
        }
        sleep(Duration::from_millis(20)).await;
    }
    0
}

#[tokio::test]
async fn exactly_once_through_read_process_write() {
    read_process_write(Doors::dev().await).await;
}

#[tokio::test]
async fn exactly_once_through_two_gateways_on_a_bucket() {
    read_process_write(Doors::gateways().await).await;
}

async fn read_process_write(mut doors: Doors) {
    doors.http().put(&table("input"), r#"{"columns":"n BIGINT NOT NULL"}"#).await.ok(201);
    let output = r#"{"columns":"n BIGINT NOT NULL, square BIGINT NOT NULL"}"#;
    doors.http().put(&table("output"), output).await.ok(201);
    let (stop, stopped) = tokio::sync::watch::channel(false);
    let feeder = tokio::spawn(feed(doors.urls(), stopped.clone()));
    // Two of them: only one can move the position.
    let (close, closed) = tokio::sync::watch::channel(false);
    let workers = [worker(&doors.urls(), &closed), worker(&doors.urls(), &closed)];
    doors.kill_and_start().await;
    stop.send_replace(true);
    let fed = feeder.await.expect("every row is written in the end");
    close.send_replace(true);
    let mut failed = 0;
    for worker in workers {
        let done = tokio::time::timeout(AFTERWARDS, worker).await;
        failed += done.expect("the workers reach the end").expect("no worker saw anything strange");
    }
    let group = doors.http().get(GROUP).await.ok(200);
    assert_eq!(group["positions"]["input"], format!("0:{fed}"), "{group}");
    assert_eq!(group["lag"]["input"]["rows"], 0, "{group}");
    let path = format!("{}/rows?limit=100000", table("output"));
    let rows = doors.http().get(&path).await.ok(200);
    let expected: Vec<Value> = (0..fed).map(|n| json!({"n": n, "square": n * n})).collect();
    assert_eq!(rows.as_array().map(Vec::len), Some(expected.len()), "each row of the input once");
    assert_eq!(rows, json!(expected));
    println!("{fed} rows, {failed} steps failed under {} kills: output = input transformed", count());
    assert!(fed > 20);
}

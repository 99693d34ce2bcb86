use std::sync::{Arc, Mutex};

use super::*;
use crate::client::tests::{Does, fake};

/// A fake table: rows with ids from 0 on, in pages of three at most.
fn page(target: &str, rows: u64) -> Does {
    let url = reqwest::Url::parse(&format!("http://x{target}")).unwrap();
    let of = |name: &str| url.query_pairs().find(|(is, _)| is == name).map(|(_, value)| value.into_owned());
    assert_eq!(url.path(), "/v1/databases/default/tables/clicks/rows");
    assert_eq!(of("format").as_deref(), Some("ndjson"));
    let from = match of("from").as_deref() {
        Some("earliest") => 0,
        Some("latest") => rows,
        Some(position) => position.strip_prefix("0:").unwrap_or(position).parse().unwrap(),
        None => panic!("from is always given"),
    };
    let limit: u64 = of("limit").unwrap().parse().unwrap();
    let end = rows.min(from + limit.min(3));
    let body: String = (from..end).map(|id| format!("{{\"id\":{id}}}\n")).collect();
    let headers = vec![("frazil-next", format!("0:{end}")), ("frazil-caught-up", (end == rows).to_string())];
    Does::Answers(200, headers, body)
}

fn args(line: &[&str]) -> Args {
    use clap::Parser;
    #[derive(Parser)]
    struct Command {
        #[command(flatten)]
        args: Args,
    }
    Command::try_parse_from(["consume", "clicks", "-o", "ndjson"].iter().chain(line)).unwrap().args
}

fn reader(client: Client, line: &[&str]) -> Reader<Vec<u8>> {
    let args = args(line);
    let sink = Sink::new(args.output, Vec::new()).unwrap();
    Reader::new(client, args, sink)
}

fn ids(reader: &Reader<Vec<u8>>) -> Vec<u64> {
    let text = std::str::from_utf8(reader.sink.printed()).unwrap();
    let id = |line: &str| line.trim_start_matches("{\"id\":").trim_end_matches('}').parse().unwrap();
    text.lines().map(id).collect()
}

async fn in_time<T>(future: impl Future<Output = T>) -> T {
    tokio::time::timeout(Duration::from_secs(60), future).await.expect("it ends in time")
}

#[tokio::test]
async fn a_table_is_read_page_by_page_to_its_end() {
    let client = fake(|got| page(&got.target, 10)).await;
    let mut reader = reader(client, &[]);
    assert_eq!(in_time(reader.read()).await.unwrap(), End::Done);
    assert_eq!(ids(&reader), (0..10).collect::<Vec<_>>());
    assert_eq!(reader.summary(), "10 rows · next 0:10");
}

#[tokio::test]
async fn a_limit_and_a_beginning_are_kept_exactly() {
    let client = fake(|got| page(&got.target, 10)).await;
    let mut reader = reader(client, &["--from", "4", "--limit", "4"]);
    in_time(reader.read()).await.unwrap();
    assert_eq!(ids(&reader), [4, 5, 6, 7]);
    assert_eq!(reader.summary(), "4 rows · next 0:8");
}

#[tokio::test]
async fn lost_connections_and_refusals_that_pass_neither_skip_nor_repeat() {
    let number = Mutex::new(0);
    let client = fake(move |got| {
        let mut number = number.lock().unwrap();
        *number += 1;
        match *number % 4 {
            1 => Does::HangsUp,
            2 => Does::Answers(503, vec![("retry-after", "0".to_owned())], String::new()),
            _ => page(&got.target, 10),
        }
    })
    .await;
    let mut reader = reader(client, &[]);
    in_time(reader.read()).await.unwrap();
    assert_eq!(ids(&reader), (0..10).collect::<Vec<_>>());
}

#[tokio::test]
async fn following_pins_the_end_before_it_waits_and_prints_what_comes() {
    let targets = Arc::new(Mutex::new(Vec::new()));
    let seen = Arc::clone(&targets);
    let client = fake(move |got| {
        let mut seen = seen.lock().unwrap();
        seen.push(got.target.clone());
        // A row comes with each request.
        page(&got.target, 4 + seen.len() as u64)
    })
    .await;
    let mut reader = reader(client, &["-f", "--from", "latest", "--limit", "3"]);
    in_time(reader.read()).await.unwrap();
    assert_eq!(ids(&reader), [5, 6, 7]);
    let targets = targets.lock().unwrap();
    assert!(targets[0].contains("from=latest") && !targets[0].contains("wait="), "{targets:?}");
    assert!(targets[1].contains("from=0%3A5") && targets[1].contains("wait=10s"), "{targets:?}");
}

#[tokio::test]
async fn a_position_that_is_no_longer_kept_ends_with_where_it_was() {
    let client = fake(|got| {
        if got.target.contains("from=earliest") {
            return page(&got.target, 10);
        }
        let problem = r#"{"type":"/errors/trimmed","detail":"offset 3 is no longer kept","earliest":7,"retry":"never"}"#;
        Does::Answers(410, Vec::new(), problem.to_owned())
    })
    .await;
    let mut reader = reader(client, &["-f"]);
    let outcome = in_time(reader.read()).await;
    let error = reader.finish(outcome).unwrap_err();
    let told = format!("{error:#}");
    assert_eq!(
        told,
        "after 3 rows · next 0:3, go on with `frazil consume clicks -f --from 0:3`: offset 3 is no longer kept"
    );
}

#[tokio::test]
async fn an_answer_without_a_position_is_no_gateways() {
    let client = fake(|_| Does::Answers(200, Vec::new(), "<html>".to_owned())).await;
    let mut reader = reader(client, &[]);
    let error = in_time(reader.read()).await.unwrap_err();
    assert!(error.to_string().contains("is this a gateway?"), "{error}");
}

//! A fake gateway on a free port, for tests of commands: it speaks just enough HTTP/1.1, and misbehaves as told.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};

use bytes::Bytes;
use serde_json::json;
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::{TcpListener, TcpStream};

use super::{Client, Endpoint, Failure};

/// A request as the fake got it.
#[derive(Clone, Debug)]
pub(crate) struct Got {
    pub(crate) method: String,
    /// Path and query.
    pub(crate) target: String,
    pub(crate) headers: BTreeMap<String, String>,
    pub(crate) body: Bytes,
}

/// What the fake does with a request.
#[derive(Clone, Debug)]
pub(crate) enum Does {
    /// Answers with a status, headers and a body.
    Answers(u16, Vec<(&'static str, String)>, String),
    /// Closes the connection without a word.
    HangsUp,
}

type Handler = Arc<Mutex<dyn FnMut(Got) -> Does + Send>>;

/// Serves until the test's runtime ends.
pub(crate) async fn fake(handler: impl FnMut(Got) -> Does + Send + 'static) -> Client {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    let handler: Handler = Arc::new(Mutex::new(handler));
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            tokio::spawn(serve(stream, Arc::clone(&handler)));
        }
    });
    client(&url)
}

/// A client of a URL.
pub(crate) fn client(url: &str) -> Client {
    Client::new(&Endpoint { url: url.to_owned(), token: Some("ice".to_owned()) }).unwrap()
}

async fn serve(stream: TcpStream, handler: Handler) {
    let mut stream = BufReader::new(stream);
    while let Some(got) = read(&mut stream).await {
        let does = (handler.lock().unwrap())(got);
        let Does::Answers(status, headers, body) = does else { return };
        let mut answer = format!("HTTP/1.1 {status} Status\r\ncontent-length: {}\r\n", body.len());
        for (name, value) in headers {
            answer.push_str(&format!("{name}: {value}\r\n"));
        }
        answer.push_str("\r\n");
        answer.push_str(&body);
        if stream.write_all(answer.as_bytes()).await.is_err() {
            return;
        }
    }
}

async fn read(stream: &mut BufReader<TcpStream>) -> Option<Got> {
    let mut line = String::new();
    stream.read_line(&mut line).await.ok().filter(|length| *length > 0)?;
    let mut words = line.split_whitespace().map(str::to_owned);
    let (method, target) = (words.next()?, words.next()?);
    let mut headers = BTreeMap::new();
    loop {
        let mut line = String::new();
        stream.read_line(&mut line).await.ok()?;
        let Some((name, value)) = line.trim().split_once(':') else { break };
        headers.insert(name.to_ascii_lowercase(), value.trim().to_owned());
    }
    let length = headers.get("content-length").and_then(|length| length.parse().ok()).unwrap_or(0);
    let mut body = vec![0; length];
    stream.read_exact(&mut body).await.ok()?;
    Some(Got { method, target, headers, body: body.into() })
}

#[tokio::test]
async fn a_request_carries_its_path_query_headers_and_token() {
    let client = fake(|got| {
        let answer = json!({"method": got.method, "target": got.target, "token": got.headers["authorization"],
            "type": got.headers.get("content-type"), "body": String::from_utf8_lossy(&got.body)});
        Does::Answers(200, Vec::new(), answer.to_string())
    })
    .await;
    let request = client.request(reqwest::Method::PUT, &["v1", "a b", "../c"]).query("from", "0:1,1:2");
    let answer = client.json(&request.json(&json!({"x": 1}))).await.unwrap();
    assert_eq!(answer["method"], "PUT");
    assert_eq!(answer["target"], "/v1/a%20b/..%2Fc?from=0%3A1%2C1%3A2");
    assert_eq!(answer["token"], "Bearer ice");
    assert_eq!(answer["type"], "application/json");
    assert_eq!(answer["body"], "{\"x\":1}");
}

#[tokio::test]
async fn a_refusal_is_a_problem_and_a_hang_up_is_a_loss() {
    let client = fake(|got| match got.target.as_str() {
        "/gone" => Does::HangsUp,
        _ => {
            let body = r#"{"type":"/errors/overloaded","detail":"too much","retry":"after"}"#;
            Does::Answers(429, vec![("retry-after", "3".to_owned())], body.to_owned())
        }
    })
    .await;
    let refused = client.send(&client.request(reqwest::Method::GET, &["x"])).await.unwrap_err();
    let problem = refused.problem().unwrap();
    assert_eq!((problem.slug(), problem.status), ("overloaded", 429));
    assert_eq!(problem.retry_after, Some(std::time::Duration::from_secs(3)));
    let lost = client.send(&client.request(reqwest::Method::GET, &["gone"])).await.unwrap_err();
    assert!(matches!(lost, Failure::Lost { .. }), "{lost}");
}

#[tokio::test]
async fn nobody_there_is_told_with_what_to_do() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let client = client(&format!("http://{}", listener.local_addr().unwrap()));
    drop(listener);
    let failure = client.send(&client.request(reqwest::Method::GET, &["ready"])).await.unwrap_err();
    let told = failure.to_string();
    assert!(matches!(failure, Failure::Unreachable { .. }), "{told}");
    assert!(told.starts_with("no gateway answers at http://127.0.0.1:"), "{told}");
    assert!(told.ends_with("start one with `frazil dev`, or pass --url"), "{told}");
}

#[test]
fn a_url_that_is_none_is_refused() {
    for url in ["localhost:7777", "ftp://x", "", "http://", "/x"] {
        let endpoint = Endpoint { url: url.to_owned(), token: None };
        assert!(Client::new(&endpoint).is_err(), "{url}");
    }
}

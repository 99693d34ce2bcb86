//! An S3 endpoint that breaks one promise: it answers `If-None-Match: *` with 200 and overwrites, as some servers in the field do.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, PoisonError};

use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinHandle;

/// The server; it stops when dropped.
#[derive(Debug)]
pub(crate) struct FakeS3 {
    address: SocketAddr,
    objects: Arc<Objects>,
    accepting: JoinHandle<()>,
}

type Objects = Mutex<BTreeMap<String, Vec<u8>>>;

#[derive(Debug, Default)]
struct Request {
    method: String,
    path: String,
    query: BTreeMap<String, String>,
    headers: BTreeMap<String, String>,
    body: Vec<u8>,
}

struct Response {
    status: &'static str,
    headers: String,
    body: Vec<u8>,
}

impl FakeS3 {
    /// Listens on a free port.
    pub(crate) async fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port is free");
        let address = listener.local_addr().expect("a bound socket has an address");
        let objects = Arc::new(Objects::default());
        let shared = Arc::clone(&objects);
        let accepting = tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                tokio::spawn(serve(stream, Arc::clone(&shared)));
            }
        });
        Self { address, objects, accepting }
    }

    /// The endpoint, `http://127.0.0.1:port`.
    pub(crate) fn endpoint(&self) -> String {
        format!("http://{}", self.address)
    }

    /// The keys there are, `/bucket/key`.
    pub(crate) fn keys(&self) -> Vec<String> {
        self.objects.lock().unwrap_or_else(PoisonError::into_inner).keys().cloned().collect()
    }
}

impl Drop for FakeS3 {
    fn drop(&mut self) {
        self.accepting.abort();
    }
}

async fn serve(stream: TcpStream, objects: Arc<Objects>) {
    let mut stream = BufReader::new(stream);
    while let Some(request) = read_request(&mut stream).await {
        let response = answer(&request, &mut objects.lock().unwrap_or_else(PoisonError::into_inner));
        // The answer to HEAD tells the length of a body that it does not carry.
        let head = format!(
            "HTTP/1.1 {}\r\n{}content-length: {}\r\n\r\n",
            response.status,
            response.headers,
            response.body.len()
        );
        let body = if request.method == "HEAD" { Vec::new() } else { response.body };
        if stream.write_all(&[head.into_bytes(), body].concat()).await.is_err() {
            return;
        }
    }
}

async fn read_request(stream: &mut BufReader<TcpStream>) -> Option<Request> {
    let mut line = String::new();
    stream.read_line(&mut line).await.ok().filter(|length| *length > 0)?;
    let mut words = line.split_whitespace();
    let (method, target) = (words.next()?.to_owned(), words.next()?.to_owned());
    let (path, query) = target.split_once('?').unwrap_or((&target, ""));
    let pairs = query.split('&').filter(|pair| !pair.is_empty());
    let query = pairs
        .map(|pair| pair.split_once('=').unwrap_or((pair, "")))
        .map(|(k, v)| (k.to_owned(), decoded(v)))
        .collect();
    let mut request = Request { method, path: decoded(path), query, ..Request::default() };
    loop {
        let mut header = String::new();
        stream.read_line(&mut header).await.ok()?;
        let Some((name, value)) = header.trim_end().split_once(':') else {
            break;
        };
        request.headers.insert(name.to_lowercase(), value.trim().to_owned());
    }
    let length = request.headers.get("content-length").and_then(|length| length.parse().ok()).unwrap_or(0);
    request.body = vec![0; length];
    stream.read_exact(&mut request.body).await.ok()?;
    Some(request)
}

/// Undoes `%2F` and its like.
fn decoded(text: &str) -> String {
    let mut parts = text.split('%');
    let mut out = parts.next().unwrap_or("").as_bytes().to_vec();
    for part in parts {
        let (hex, rest) = part.split_at(part.len().min(2));
        out.extend(u8::from_str_radix(hex, 16));
        out.extend(rest.bytes());
    }
    String::from_utf8_lossy(&out).into_owned()
}

fn answer(request: &Request, objects: &mut BTreeMap<String, Vec<u8>>) -> Response {
    let is_bucket = request.path.trim_matches('/').split('/').count() == 1;
    match request.method.as_str() {
        "GET" if is_bucket => found(String::new(), listing(request, objects).into_bytes()),
        "GET" | "HEAD" => match objects.get(&request.path) {
            Some(body) => object(request, body),
            None => Response {
                status: "404 Not Found",
                headers: String::new(),
                body: b"<Error><Code>NoSuchKey</Code></Error>".to_vec(),
            },
        },
        // Here the promise is broken: whatever If-None-Match says, the object is replaced.
        "PUT" => {
            objects.insert(request.path.clone(), request.body.clone());
            found(etag(&request.body), Vec::new())
        }
        "DELETE" => {
            objects.remove(&request.path);
            Response { status: "204 No Content", headers: String::new(), body: Vec::new() }
        }
        "POST" if request.query.contains_key("delete") => {
            let bucket = request.path.trim_end_matches('/');
            let body = String::from_utf8_lossy(&request.body).into_owned();
            let mut deleted = String::new();
            for key in body.split("<Key>").skip(1).filter_map(|rest| rest.split("</Key>").next()) {
                objects.remove(&format!("{bucket}/{key}"));
                deleted.push_str(&format!("<Deleted><Key>{key}</Key></Deleted>"));
            }
            found(String::new(), format!("<DeleteResult>{deleted}</DeleteResult>").into_bytes())
        }
        _ => Response { status: "501 Not Implemented", headers: String::new(), body: Vec::new() },
    }
}

fn found(headers: String, body: Vec<u8>) -> Response {
    Response { status: "200 OK", headers, body }
}

const DATES: &str = "last-modified: Sat, 21 Nov 2026 10:00:00 GMT\r\n";

fn etag(body: &[u8]) -> String {
    let sum = body.iter().fold(7u64, |sum, byte| sum.wrapping_mul(31).wrapping_add(u64::from(*byte)));
    format!("etag: \"{sum:016x}\"\r\n{DATES}")
}

fn object(request: &Request, body: &[u8]) -> Response {
    let range = request
        .headers
        .get("range")
        .and_then(|range| range.strip_prefix("bytes="))
        .and_then(|range| range.split_once('-'));
    let Some((first, last)) = range else {
        return found(etag(body), body.to_vec());
    };
    let first = first.parse::<usize>().unwrap_or(0).min(body.len());
    let end = last.parse::<usize>().map_or(body.len(), |last| (last + 1).min(body.len())).max(first);
    let headers =
        format!("{}content-range: bytes {first}-{}/{}\r\n", etag(body), end.saturating_sub(1), body.len());
    Response { status: "206 Partial Content", headers, body: body[first..end].to_vec() }
}

/// ListObjectsV2 without pages: the tests write few objects.
fn listing(request: &Request, objects: &BTreeMap<String, Vec<u8>>) -> String {
    let empty = String::new();
    let bucket = format!("/{}/", request.path.trim_matches('/'));
    let prefix = request.query.get("prefix").unwrap_or(&empty);
    let delimiter = request.query.get("delimiter").unwrap_or(&empty);
    let after = request.query.get("start-after").unwrap_or(&empty);
    let (mut contents, mut prefixes) = (String::new(), Vec::new());
    let keys = objects.iter().filter_map(|(path, body)| path.strip_prefix(&bucket).map(|key| (key, body)));
    for (key, body) in keys.filter(|(key, _)| key.starts_with(prefix.as_str()) && *key > after.as_str()) {
        let rest = &key[prefix.len()..];
        match rest.find(delimiter.as_str()).filter(|_| !delimiter.is_empty()) {
            Some(at) => prefixes.push(format!("{prefix}{}", &rest[..at + delimiter.len()])),
            None => contents.push_str(&format!(
                "<Contents><Key>{key}</Key><LastModified>2026-11-21T10:00:00.000Z</LastModified><ETag>\"0\"</ETag><Size>{}</Size></Contents>",
                body.len()
            )),
        }
    }
    prefixes.dedup();
    let prefixes: String = prefixes
        .iter()
        .map(|prefix| format!("<CommonPrefixes><Prefix>{prefix}</Prefix></CommonPrefixes>"))
        .collect();
    format!(
        "<?xml version=\"1.0\"?><ListBucketResult><IsTruncated>false</IsTruncated>{contents}{prefixes}</ListBucketResult>"
    )
}

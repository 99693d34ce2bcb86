//! A proxy before an S3 server that answers chosen operations itself: a 403 where a policy would, a lifecycle rule, a redirect.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, PoisonError};

use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinHandle;

/// The proxy; it stops when dropped.
#[derive(Debug)]
pub(crate) struct S3Proxy {
    address: SocketAddr,
    answers: Arc<Answers>,
    accepting: JoinHandle<()>,
}

/// Whole HTTP answers, by the permission of the operation that gets them.
type Answers = Mutex<BTreeMap<String, String>>;

/// A request as it came.
struct Request {
    line: String,
    headers: String,
    body: Vec<u8>,
}

impl S3Proxy {
    /// Listens on a free port and passes on to `upstream`, `127.0.0.1:port`.
    pub(crate) async fn start(upstream: String) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port is free");
        let address = listener.local_addr().expect("a bound socket has an address");
        let answers = Arc::new(Answers::default());
        let shared = Arc::clone(&answers);
        let accepting = tokio::spawn(async move {
            while let Ok((client, _)) = listener.accept().await {
                tokio::spawn(connection(client, upstream.clone(), Arc::clone(&shared)));
            }
        });
        Self { address, answers, accepting }
    }

    /// The endpoint, `http://127.0.0.1:port`.
    pub(crate) fn endpoint(&self) -> String {
        format!("http://{}", self.address)
    }

    /// Answers the operations of a permission, such as `s3:GetObject`, from now on.
    pub(crate) fn answer(&self, permission: &str, status: &str, headers: &str, body: &str) {
        let answer = format!(
            "HTTP/1.1 {status}\r\n{headers}content-type: application/xml\r\ncontent-length: {}\r\nconnection: close\r\n\r\n{body}",
            body.len()
        );
        self.answers.lock().unwrap_or_else(PoisonError::into_inner).insert(permission.to_owned(), answer);
    }

    /// Answers with an error of S3.
    pub(crate) fn refuse(&self, permission: &str, status: &str, code: &str, message: &str) {
        let body =
            format!("<?xml version=\"1.0\"?><Error><Code>{code}</Code><Message>{message}</Message></Error>");
        self.answer(permission, status, "", &body);
    }

    /// Denies as a policy does.
    pub(crate) fn deny(&self, permission: &str) {
        let message = format!("User: arn:aws:iam::1:user/tests is not authorized to perform: {permission}");
        self.refuse(permission, "403 Forbidden", "AccessDenied", &message);
    }

    /// Passes everything on again.
    pub(crate) fn pass(&self) {
        self.answers.lock().unwrap_or_else(PoisonError::into_inner).clear();
    }
}

impl Drop for S3Proxy {
    fn drop(&mut self) {
        self.accepting.abort();
    }
}

/// One request, then it closes: the client opens another connection for the next.
async fn connection(client: TcpStream, upstream: String, answers: Arc<Answers>) {
    let mut client = BufReader::new(client);
    let Some(request) = read(&mut client).await else { return };
    let answer = permission(&request.line).and_then(|permission| {
        answers.lock().unwrap_or_else(PoisonError::into_inner).get(permission).cloned()
    });
    let answer = match answer {
        Some(answer) => answer.into_bytes(),
        None => pass_on(&request, &upstream).await,
    };
    drop(client.write_all(&answer).await);
    drop(client.shutdown().await);
}

async fn read(client: &mut BufReader<TcpStream>) -> Option<Request> {
    let mut line = String::new();
    client.read_line(&mut line).await.ok().filter(|length| *length > 0)?;
    let (mut headers, mut length) = (String::new(), 0);
    loop {
        let mut header = String::new();
        client.read_line(&mut header).await.ok()?;
        let Some((name, value)) = header.trim_end().split_once(':') else { break };
        if name.eq_ignore_ascii_case("content-length") {
            length = value.trim().parse().ok()?;
        }
        if !name.eq_ignore_ascii_case("connection") {
            headers.push_str(&header);
        }
    }
    let mut body = vec![0; length];
    client.read_exact(&mut body).await.ok()?;
    Some(Request { line, headers, body })
}

/// The host is signed, and stays that of the proxy: the server takes what the request says.
async fn pass_on(request: &Request, upstream: &str) -> Vec<u8> {
    let mut answer = Vec::new();
    if let Ok(mut server) = TcpStream::connect(upstream).await {
        let head = format!("{}{}connection: close\r\n\r\n", request.line, request.headers);
        let sent = server.write_all(&[head.into_bytes(), request.body.clone()].concat()).await;
        if sent.is_ok() {
            drop(server.read_to_end(&mut answer).await);
        }
    }
    answer
}

/// The permission that S3 asks for; none for what these tests do not send.
fn permission(line: &str) -> Option<&'static str> {
    let mut words = line.split_whitespace();
    let (method, target) = (words.next()?, words.next()?);
    let (path, query) = target.split_once('?').unwrap_or((target, ""));
    let asks = |name: &str| query.split('&').any(|pair| pair.split('=').next() == Some(name));
    let of_bucket = path.trim_matches('/').split('/').count() == 1;
    const SETTINGS: [(&str, &str); 6] = [
        ("location", "s3:GetBucketLocation"),
        ("lifecycle", "s3:GetLifecycleConfiguration"),
        ("encryption", "s3:GetEncryptionConfiguration"),
        ("versioning", "s3:GetBucketVersioning"),
        ("object-lock", "s3:GetBucketObjectLockConfiguration"),
        ("publicAccessBlock", "s3:GetBucketPublicAccessBlock"),
    ];
    Some(match (method, of_bucket) {
        ("GET", true) => SETTINGS
            .iter()
            .find(|(name, _)| asks(name))
            .map_or("s3:ListBucket", |(_, permission)| *permission),
        ("GET" | "HEAD", false) => "s3:GetObject",
        ("PUT", false) => "s3:PutObject",
        ("DELETE", false) if asks("uploadId") => "s3:AbortMultipartUpload",
        ("DELETE", false) => "s3:DeleteObject",
        ("POST", true) if asks("delete") => "s3:DeleteObject",
        _ => return None,
    })
}

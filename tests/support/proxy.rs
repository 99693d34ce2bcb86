//! A TCP proxy whose connections can be made to hang, to be cut, or not to come about.

use std::net::SocketAddr;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::task::JoinHandle;

/// What the network does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Mode {
    /// Passes bytes on.
    Pass,
    /// Passes requests on and keeps the answers back: their outcome stays unknown. They come once it passes again.
    HoldAnswers,
    /// Keeps all bytes back; they come once it passes again.
    Stall,
    /// Passes requests on at so many bytes a second, each connection.
    Trickle(u32),
    /// Cuts the connections there are, and each new one.
    Cut,
}

/// The proxy; its connections end when it is dropped.
#[derive(Debug)]
pub(crate) struct Proxy {
    address: SocketAddr,
    mode: watch::Sender<Mode>,
    accepting: JoinHandle<()>,
}

impl Proxy {
    /// Listens on a free port and passes on to `upstream`.
    pub(crate) async fn start(upstream: String) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port is free");
        let address = listener.local_addr().expect("a bound socket has an address");
        let (mode, watching) = watch::channel(Mode::Pass);
        let accepting = tokio::spawn(async move {
            while let Ok((client, _)) = listener.accept().await {
                tokio::spawn(connection(client, upstream.clone(), watching.clone()));
            }
        });
        Self { address, mode, accepting }
    }

    /// The endpoint, `http://127.0.0.1:port`.
    pub(crate) fn endpoint(&self) -> String {
        format!("http://{}", self.address)
    }

    /// Changes what the network does, for connections there are too.
    pub(crate) fn set(&self, mode: Mode) {
        self.mode.send_replace(mode);
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        self.accepting.abort();
    }
}

async fn connection(client: TcpStream, upstream: String, mut mode: watch::Receiver<Mode>) {
    if *mode.borrow() == Mode::Cut {
        return;
    }
    let Ok(server) = TcpStream::connect(upstream).await else {
        return;
    };
    let (from_client, to_client) = client.into_split();
    let (from_server, to_server) = server.into_split();
    let requests = pump(from_client, to_server, mode.clone(), true);
    let answers = pump(from_server, to_client, mode.clone(), false);
    tokio::select! {
        biased;
        _ = mode.wait_for(|mode| *mode == Mode::Cut) => {}
        () = requests => {}
        () = answers => {}
    }
}

/// Copies bytes one way; what is read while the mode holds this direction back is kept.
async fn pump(
    mut from: OwnedReadHalf,
    mut to: OwnedWriteHalf,
    mut mode: watch::Receiver<Mode>,
    is_request: bool,
) {
    let holds = |mode: Mode| match mode {
        Mode::Stall => true,
        Mode::HoldAnswers => !is_request,
        _ => false,
    };
    let mut buffer = vec![0; 64 * 1024];
    while let Ok(length) = from.read(&mut buffer).await {
        if mode.wait_for(|mode| !holds(*mode)).await.is_err() || length == 0 {
            return;
        }
        let trickle = match *mode.borrow() {
            Mode::Trickle(bytes_a_second) if is_request => Some(bytes_a_second),
            _ => None,
        };
        if let Some(bytes_a_second) = trickle {
            let share = u32::try_from(length).unwrap_or(u32::MAX);
            tokio::time::sleep(std::time::Duration::from_secs(1) * share / bytes_a_second.max(1)).await;
        }
        if to.write_all(&buffer[..length]).await.is_err() {
            return;
        }
    }
}

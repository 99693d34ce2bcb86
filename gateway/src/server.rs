//! Connections: accepted, served as HTTP/1.1 or HTTP/2, and ended in order.
//!
//! Invariants:
//! * a client that does not read holds at most [`UNSENT_BYTES_MAX`] and one piece of an answer, whichever protocol it speaks:
//!   a thousand of them are a number that one can plan with;
//! * a connection that says nothing ends: before its first request, between two, and (HTTP/2) when it does not answer a ping;
//! * once told to stop, nothing new is accepted, and what was asked before is answered.

use std::io;
use std::pin::pin;
use std::time::Duration;

use axum::Router;
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use hyper_util::server::conn::auto::Builder;
use hyper_util::service::TowerToHyperService;
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

/// What is queued for a client that does not read. Below about a socket's own buffer, reading fast gets slower.
const UNSENT_BYTES_MAX: usize = 64 << 10;

/// The longest HTTP/2 frame that is taken. At the default of 16 KiB the rows of a Flight stream come in 64 pieces a MiB, each with
/// its own read, its own memory and its own way up to the decoder.
const FRAME_BYTES_MAX: u32 = 256 << 10;

/// How long a connection may say nothing. Longer than the 60 s after which load balancers drop an idle connection, so that
/// it is theirs to do and no request meets a connection that is just being closed.
const SILENCE_MAX: Duration = Duration::from_secs(75);

/// How often an HTTP/2 client is asked whether it is still there, and how long it may take to say so.
const PING_EVERY: Duration = Duration::from_secs(30);
const PONG_MAX: Duration = Duration::from_secs(20);

/// The pause after a failure to accept: out of file descriptors, as a rule, which only time mends.
const ACCEPT_PAUSE: Duration = Duration::from_millis(500);

/// Serves the doors on a listener until `stop`; requests that are inside then are answered first.
/// What goes wrong with a connection ends that connection only.
pub async fn serve(listener: TcpListener, router: Router, stop: impl Future<Output = ()> + Send) {
    let ending = CancellationToken::new();
    let mut connections = JoinSet::new();
    let mut stop = pin!(stop);
    loop {
        tokio::select! {
            biased;
            () = &mut stop => break,
            Some(_) = connections.join_next() => {}
            accepted = listener.accept() => match accepted {
                Ok((stream, _)) => {
                    connections.spawn(connection(stream, router.clone(), ending.clone()));
                }
                Err(error) if of_the_connection(&error) => {}
                Err(error) => {
                    tracing::warn!(%error, "no connection can be accepted");
                    tokio::time::sleep(ACCEPT_PAUSE).await;
                }
            },
        }
    }
    drop(listener);
    ending.cancel();
    while connections.join_next().await.is_some() {}
}

async fn connection(stream: TcpStream, router: Router, ending: CancellationToken) {
    // Answers leave whole: waiting for more of them to fill a packet only delays acknowledgements.
    drop(stream.set_nodelay(true));
    let builder = builder();
    let mut connection =
        pin!(builder.serve_connection(TokioIo::new(stream), TowerToHyperService::new(router)));
    let served = tokio::select! {
        biased;
        served = connection.as_mut() => served,
        () = ending.cancelled() => {
            connection.as_mut().graceful_shutdown();
            connection.await
        }
    };
    if let Err(error) = served {
        tracing::debug!(error, "a connection ended");
    }
}

fn builder() -> Builder<TokioExecutor> {
    let mut builder = Builder::new(TokioExecutor::new());
    builder.http1().timer(TokioTimer::new()).header_read_timeout(SILENCE_MAX).max_buf_size(UNSENT_BYTES_MAX);
    builder
        .http2()
        .timer(TokioTimer::new())
        .max_frame_size(FRAME_BYTES_MAX)
        .max_send_buf_size(UNSENT_BYTES_MAX)
        .keep_alive_interval(PING_EVERY)
        .keep_alive_timeout(PONG_MAX);
    builder
}

/// Failures that concern the one connection that was to be accepted.
fn of_the_connection(error: &io::Error) -> bool {
    use io::ErrorKind::{ConnectionAborted, ConnectionRefused, ConnectionReset};
    matches!(error.kind(), ConnectionAborted | ConnectionRefused | ConnectionReset)
}

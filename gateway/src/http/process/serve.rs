//! Connections: accepted until the stop, and ended once what is inside them is answered.
//!
//! The framework's own loop cannot be told the size of HTTP/2 frames: at the default of 16 KiB the rows of a Flight stream come in 64 pieces
//! a MiB, each with its own read, its own memory and its own way up to the decoder.

use std::io;
use std::pin::pin;
use std::time::Duration;

use axum::Router;
use futures::FutureExt;
use hyper_util::rt::{TokioExecutor, TokioIo};
use hyper_util::server::conn::auto::Builder;
use hyper_util::service::TowerToHyperService;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::time::sleep;

/// The longest HTTP/2 frame that is taken, in bytes.
const FRAME_BYTES_MAX: u32 = 256 << 10;

/// After a connection could not be accepted for want of something (files, mostly).
const PAUSE: Duration = Duration::from_secs(1);

/// Serves the door on a listener until `stop`; requests that are inside then are answered first.
///
/// # Errors
/// None so far: what a connection meets is its own.
pub async fn serve(
    listener: TcpListener,
    router: Router,
    stop: impl Future<Output = ()> + Send + 'static,
) -> io::Result<()> {
    let (stopping, stopped) = watch::channel(());
    let (ended, open) = watch::channel(());
    let mut stop = pin!(stop);
    loop {
        let accepted = tokio::select! {
            biased;
            () = stop.as_mut() => break,
            accepted = listener.accept() => accepted,
        };
        match accepted {
            Ok((stream, _)) => {
                // A piece of an answer does not wait until the one before is acknowledged.
                drop(stream.set_nodelay(true));
                drop(tokio::spawn(connection(stream, router.clone(), stopped.clone(), open.clone())));
            }
            // The client went away meanwhile.
            Err(error) if is_the_clients(&error) => {}
            Err(error) => {
                tracing::warn!(%error, "a connection could not be accepted");
                sleep(PAUSE).await;
            }
        }
    }
    drop(stopping);
    drop((listener, open));
    ended.closed().await;
    Ok(())
}

fn is_the_clients(error: &io::Error) -> bool {
    use io::ErrorKind as Kind;
    matches!(error.kind(), Kind::ConnectionRefused | Kind::ConnectionAborted | Kind::ConnectionReset)
}

/// One connection; `open` is held until it ends.
async fn connection(
    stream: TcpStream,
    router: Router,
    mut stopped: watch::Receiver<()>,
    open: watch::Receiver<()>,
) {
    let mut builder = Builder::new(TokioExecutor::new());
    builder.http2().max_frame_size(FRAME_BYTES_MAX);
    let service = TowerToHyperService::new(router);
    let mut served = pin!(builder.serve_connection_with_upgrades(TokioIo::new(stream), service));
    let mut stopping = pin!(async move { while stopped.changed().await.is_ok() {} }.fuse());
    let mut told = false;
    loop {
        tokio::select! {
            biased;
            result = served.as_mut() => {
                if let Err(error) = result {
                    tracing::debug!(%error, "a connection ended");
                }
                break;
            }
            () = stopping.as_mut(), if !told => {
                told = true;
                served.as_mut().graceful_shutdown();
            }
        }
    }
    drop(open);
}

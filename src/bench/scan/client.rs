//! The same scan as a client gets it: each page as an Arrow stream, written to a connection whose other end reads it and lets it go.
//!
//! A page is sent while the next is read, as a client has it that asks ahead.

use std::io::Read;
use std::net::TcpListener;
use std::time::Duration;

use anyhow::{Context, ensure};
use bytes::Bytes;
use frazil_gateway::consume::encode::{Encoder, Format};
use frazil_gateway::consume::tail::TailRing;
use frazil_log::commit::replica::Replica;
use tokio::io::AsyncWriteExt;
use tokio::net::TcpStream;
use tokio::sync::mpsc;
use tokio::time::Instant;

/// Bytes that the other end reads at once.
const READ_BYTES: usize = 1 << 20;

/// Reads all rows and sends them.
pub(super) async fn scan(
    replica: &Replica,
    tail: &TailRing,
    columns: usize,
) -> anyhow::Result<(Duration, usize)> {
    let listener = TcpListener::bind("127.0.0.1:0")?;
    let address = listener.local_addr()?;
    let reader = std::thread::spawn(move || -> std::io::Result<usize> {
        let (mut connection, _) = listener.accept()?;
        let (mut bytes, mut total) = (vec![0; READ_BYTES], 0);
        loop {
            match connection.read(&mut bytes)? {
                0 => return Ok(total),
                read => total += read,
            }
        }
    });
    let connection = TcpStream::connect(address).await?;
    let (pages, waiting) = mpsc::channel(1);
    let sent = tokio::spawn(send(connection, waiting));
    let begun = Instant::now();
    let table = super::table(replica)?;
    let user = &table.spec.schema.columns[super::wanted(columns)];
    let encoder = Encoder::new(user.to_vec());
    let mut rows = 0;
    let mut from = 0;
    while let Some((page, next)) = super::page(replica, tail, &table, columns, from).await? {
        rows += page.rows;
        from = next;
        pages.send(encoder.pieces(Format::ArrowStream, &page.batches)?).await.context("nobody sends")?;
    }
    drop(pages);
    let sent = sent.await??;
    let received = tokio::task::spawn_blocking(move || reader.join()).await?;
    let received = received.map_err(|_| anyhow::anyhow!("the client panicked"))??;
    ensure!(sent == received, "{sent} bytes were sent, {received} arrived");
    Ok((begun.elapsed(), rows))
}

async fn send(mut connection: TcpStream, mut pages: mpsc::Receiver<Vec<Bytes>>) -> std::io::Result<usize> {
    let mut sent = 0;
    while let Some(pieces) = pages.recv().await {
        for piece in pieces {
            sent += piece.len();
            connection.write_all(&piece).await?;
        }
    }
    connection.shutdown().await?;
    Ok(sent)
}

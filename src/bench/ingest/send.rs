//! Sends the rows, several streams at once, and checks that all were acknowledged.

use std::sync::Arc;

use anyhow::{Context, ensure};
use arrow::record_batch::RecordBatch;
use frazil_gateway::flight::client::Client;
use frazil_log::segment::batch_bytes;
use futures::{StreamExt, TryStreamExt, future, stream};
use serde_json::Value;

use super::process::Gateway;
use super::rows;

/// What was sent, and acknowledged.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Sent {
    pub(crate) rows: u64,
    pub(crate) arrow_bytes: u64,
    /// As the door takes them.
    pub(crate) sent_bytes: u64,
}

/// Sends so many batches by each of so many streams.
pub(crate) async fn send(
    gateway: &Gateway,
    door: &str,
    table: &str,
    batches: &[RecordBatch],
    (streams, rounds): (usize, usize),
) -> anyhow::Result<Sent> {
    let all = (0..streams).map(|_| async {
        match door {
            "flight" => flight(gateway, table, batches, rounds).await,
            _ => json(gateway, table, batches, rounds).await,
        }
    });
    let all = future::try_join_all(all).await?;
    Ok(all.into_iter().fold(Sent::default(), |sum, one| Sent {
        rows: sum.rows + one.rows,
        arrow_bytes: sum.arrow_bytes + one.arrow_bytes,
        sent_bytes: sum.sent_bytes + one.sent_bytes,
    }))
}

fn count(batches: &[RecordBatch], rounds: usize) -> Sent {
    let mut sent = Sent::default();
    for batch in batches.iter().cycle().take(rounds) {
        sent.rows += batch.num_rows() as u64;
        sent.arrow_bytes += batch_bytes(batch) as u64;
    }
    sent
}

async fn flight(
    gateway: &Gateway,
    table: &str,
    batches: &[RecordBatch],
    rounds: usize,
) -> anyhow::Result<Sent> {
    let mut client = Client::connect(gateway.url(), None).await?;
    let sending: Vec<RecordBatch> = batches.iter().cycle().take(rounds).cloned().collect();
    let command = format!("{{\"table\":\"{table}\"}}");
    let acks = client.put(&command, None, batches[0].schema(), stream::iter(sending)).await?;
    let last = acks.try_fold(String::new(), |_, ack| future::ready(Ok(ack))).await?;
    let last: Value = serde_json::from_str(&last).context("the last acknowledgement")?;
    let sent = count(batches, rounds);
    ensure!(last["rows"] == sent.rows, "sent {} rows, acknowledged {last}", sent.rows);
    Ok(Sent { sent_bytes: sent.arrow_bytes, ..sent })
}

async fn json(
    gateway: &Gateway,
    table: &str,
    batches: &[RecordBatch],
    rounds: usize,
) -> anyhow::Result<Sent> {
    let url = format!("{}/v1/databases/default/tables/{table}/rows", gateway.url());
    let bodies: Vec<bytes::Bytes> =
        batches.iter().map(|batch| rows::lines(batch).map(Into::into)).collect::<anyhow::Result<_>>()?;
    let mut sent = count(batches, rounds);
    // A client that waits for each answer measures the flush's pace: several requests are on their way.
    const IN_FLIGHT: usize = 8;
    let url = Arc::new(url);
    let requests = bodies.iter().cycle().take(rounds).cloned().map(|body| {
        let (url, http) = (Arc::clone(&url), gateway.http().clone());
        async move {
            let length = body.len() as u64;
            let request = http.post(url.as_str()).header("content-type", "application/x-ndjson").body(body);
            let answer = request.send().await?;
            ensure!(answer.status().is_success(), "{}: {}", answer.status(), answer.text().await?);
            let answer: Value = answer.json().await?;
            Ok((answer["rows"].as_u64().context("rows")?, length))
        }
    });
    let answers: Vec<(u64, u64)> = stream::iter(requests).buffer_unordered(IN_FLIGHT).try_collect().await?;
    let rows: u64 = answers.iter().map(|(rows, _)| rows).sum();
    ensure!(rows == sent.rows, "sent {} rows, {rows} were acknowledged", sent.rows);
    sent.sent_bytes = answers.iter().map(|(_, bytes)| bytes).sum();
    Ok(sent)
}

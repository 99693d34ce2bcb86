//! `frazil produce`: the rows of a file or of standard input, into a table, each exactly once.
//!
//! Invariants:
//! * it is an idempotent producer: batch *n* of a run has `Producer-Seq` *n* and always the same bytes, so that sending
//!   it again adds nothing;
//! * memory is bounded by the batches in flight, however long the file is;
//! * batches are acknowledged in the order of the file: after a stop, the rows written are a prefix of it.
//!
//! Start reading at [`run`]; [`input`] cuts batches, [`send`] gets them acknowledged, [`report`] counts and shows.

pub(super) mod input;
mod place;
mod report;
mod send;
#[cfg(test)]
mod tests;

use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use anyhow::Context;
use bytesize::ByteSize;
use clap::ValueEnum;
use futures::stream::{self, TryStreamExt};
use tokio::time::timeout;

use crate::client::{self, Client, ObjectArgs, TableName};
use crate::output::Format as OutputFormat;
use input::{Input, Limits};
use report::Report;
use send::{Sender, Stopped};

/// How many requests are under way at once: enough to hide a round trip, few enough to keep order cheap.
const IN_FLIGHT_MAX: usize = 4;

/// How long nothing happens before the line of progress says why.
const PATIENCE: Duration = Duration::from_secs(1);

/// Arguments of `frazil produce`.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:\n  \
    frazil produce clicks clicks.ndjson\n  \
    frazil produce clicks clicks.csv.gz --create\n  \
    tail -f app.log.ndjson | frazil produce clicks\n\n\
    A request that is not answered is sent again under the same sequence number: no row is written twice, none is \
    lost. The same file sent again with the same --producer-id, --producer-epoch and batch sizes adds nothing either.")]
pub(crate) struct Args {
    /// The table, or database.table
    table: TableName,
    /// The file; - or nothing is standard input
    file: Option<PathBuf>,
    /// The format; found out from the first bytes if not given (CSV: from the name). What is gzip or zstd is unpacked
    #[arg(long, value_enum)]
    format: Option<Format>,
    /// The most rows of a request
    #[arg(long, value_name = "N", default_value_t = 50_000, value_parser = clap::value_parser!(u64).range(1..=1_000_000))]
    batch_rows: u64,
    /// The most bytes of a request, unless one row is larger
    #[arg(long, value_name = "BYTES", default_value = "4MiB")]
    batch_bytes: ByteSize,
    /// The producer's name; by chance if not given
    #[arg(long, value_name = "ID", requires = "producer_epoch")]
    producer_id: Option<String>,
    /// The producer's epoch: higher than the last run's, or the same to repeat that run
    #[arg(long, value_name = "N", requires = "producer_id")]
    producer_epoch: Option<u64>,
    /// Create the table from the first batch if it is not there
    #[arg(long)]
    create: bool,
    /// Give up after so long without an acknowledgement
    #[arg(long, value_name = "DURATION", default_value = "5m", value_parser = humantime::parse_duration)]
    timeout: Duration,
    #[command(flatten)]
    common: ObjectArgs,
}

/// The format of rows on their way in.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Format {
    /// A JSON object a line
    Ndjson,
    /// An array of JSON objects
    Json,
    /// An Arrow IPC stream or file
    Arrow,
    /// A header line, then a record a row
    Csv,
}

/// Produces a file.
///
/// # Errors
/// If the file cannot be read, its rows are refused, or no acknowledgement comes for too long.
pub(crate) fn run(args: Args) -> anyhow::Result<ExitCode> {
    anyhow::ensure!(
        matches!(args.common.output, OutputFormat::Table | OutputFormat::Json),
        "-o is table or json here: it is about the summary"
    );
    client::run(produce(args))
}

async fn produce(args: Args) -> anyhow::Result<ExitCode> {
    let client = Client::new(&args.common.endpoint)?;
    let bytes_max = usize::try_from(args.batch_bytes.as_u64()).unwrap_or(usize::MAX);
    anyhow::ensure!(bytes_max > 0, "--batch-bytes: give at least one byte");
    let limits = Limits { rows_max: args.batch_rows, bytes_max };
    let input = Input::open(args.file.as_deref(), args.format, limits).await?;
    let producer_id = args.producer_id.unwrap_or_else(|| format!("frazil-{:032x}", rand::random::<u128>()));
    let sender =
        Sender::new(client, args.table.clone(), producer_id, args.producer_epoch.unwrap_or(0), args.timeout);
    let mut report = Report::new(input.name(), input.length(), args.common.output);
    let outcome = tokio::select! {
        biased;
        interrupted = tokio::signal::ctrl_c() => {
            interrupted.context("ctrl-c cannot be listened for")?;
            Err(Stopped::Interrupted)
        }
        outcome = send_all(input, &sender, args.create, &mut report) => outcome,
    };
    match outcome {
        Ok(()) => {
            report.finish(&args.table, &sender)?;
            Ok(ExitCode::SUCCESS)
        }
        Err(stopped) => {
            report.abandon();
            anyhow::bail!("{}\n{}", stopped.told(report.name()), report.written())
        }
    }
}

/// Sends everything, in order; the first batch alone, so that a wrong table or URL is told once, and `--create` done
/// before rows follow.
async fn send_all(
    mut input: Input,
    sender: &Sender,
    create: bool,
    report: &mut Report,
) -> Result<(), Stopped> {
    let Some(first) = input.next().await.map_err(Stopped::Input)? else {
        return if create {
            Err(Stopped::Input(anyhow::anyhow!("there is no row to create a table from")))
        } else {
            Ok(())
        };
    };
    report.add(&sender.send(0, first, create).await?, sender);
    let numbered = stream::try_unfold((input, 1_u64), async |(mut input, seq)| {
        let batch = input.next().await.map_err(Stopped::Input)?;
        Ok::<_, Stopped>(batch.map(|batch| ((seq, batch), (input, seq + 1))))
    });
    let acks = numbered.map_ok(|(seq, batch)| sender.send(seq, batch, false)).try_buffered(IN_FLIGHT_MAX);
    let mut acks = std::pin::pin!(acks);
    loop {
        match timeout(PATIENCE, acks.try_next()).await {
            Ok(sent) => match sent? {
                Some(sent) => report.add(&sent, sender),
                None => return Ok(()),
            },
            Err(_) => report.show_trouble(sender),
        }
    }
}

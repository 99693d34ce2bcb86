//! `frazil consume`: reads a table page by page, and follows it.
//!
//! Invariants:
//! * the position is held here: each page begins where the one before ended, whichever gateway answers, so that a lost
//!   connection neither skips nor repeats a row;
//! * nothing is skipped silently: a position that is no longer kept ends the command with an error;
//! * a page is printed whole before the position moves.
//!
//! Start reading at [`Reader::read`]; [`sink`] prints.

mod sink;
#[cfg(test)]
mod tests;

use std::io::Write;
use std::process::ExitCode;
use std::time::Duration;

use anyhow::Context;
use clap::ValueEnum;
use reqwest::Method;
use tokio::time::{Instant, sleep};

use crate::client::retry::{Decision, decide, pause};
use crate::client::{self, Answer, Client, Endpoint, Failure, Position, Request, TableName};
use crate::output::{is_watched, number, remark};
use sink::Sink;

/// The most rows of a page.
const PAGE_ROWS: u64 = 10_000;

/// How long a gateway waits for the first new row.
const WAIT: &str = "10s";

/// How long a read that does not follow keeps trying.
const PATIENCE: Duration = Duration::from_secs(30);

/// Arguments of `frazil consume`.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:\n  \
    frazil consume clicks -f --from latest\n  \
    frazil consume clicks --from -15m --where \"url LIKE '/buy%'\" -o csv\n  \
    frazil consume clicks --from 0:42,1:17 --columns id,__offset -o ndjson > clicks.ndjson\n\n\
    Rows of a bucket come in order; rows of different buckets in any. Ctrl-c prints the position to go on from.")]
pub(crate) struct Args {
    /// The table, or database.table
    table: TableName,
    /// Go on when the end is reached: print rows as they come
    #[arg(short, long)]
    follow: bool,
    /// Where to begin: earliest, latest, an offset (42), a position (0:42,1:17), a time (2026-01-02T03:04:05Z) or how long ago (-15m)
    #[arg(long, value_name = "POSITION", default_value = "earliest", allow_hyphen_values = true)]
    from: String,
    /// Begin where this group stands; --from is for buckets where it does not. Reading stores nothing: see `frazil group set`
    #[arg(long, value_name = "GROUP")]
    group: Option<String>,
    /// The columns, also __bucket, __offset and __timestamp; * is all of the table's own
    #[arg(long, value_name = "COLUMNS")]
    columns: Option<String>,
    /// Only rows of which this SQL is true: id > 7 AND url LIKE '/buy%'
    #[arg(long, visible_alias = "where", value_name = "SQL")]
    filter: Option<String>,
    /// The most rows
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..))]
    limit: Option<u64>,
    /// Only this bucket
    #[arg(long, value_name = "N")]
    bucket: Option<u32>,
    /// How to print
    #[arg(short, long, visible_alias = "format", value_enum, value_name = "FORMAT", default_value_t = Format::Table)]
    output: Format,
    #[command(flatten)]
    endpoint: Endpoint,
}

/// How rows are printed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Format {
    /// For people
    Table,
    /// A JSON object a line
    Ndjson,
    /// One JSON array
    Json,
    /// A header line, then a record a row
    Csv,
    /// An Arrow IPC stream
    Arrow,
}

/// Consumes a table.
///
/// # Errors
/// What the gateway says, that none answers, or that nobody can be written to.
pub(crate) fn run(args: Args) -> anyhow::Result<ExitCode> {
    client::run(async {
        let client = Client::new(&args.endpoint)?;
        let sink = Sink::new(args.output, std::io::stdout())?;
        let mut reader = Reader::new(client, args, sink);
        let outcome = tokio::select! {
            biased;
            interrupted = tokio::signal::ctrl_c() => {
                interrupted.context("ctrl-c cannot be listened for")?;
                Ok(End::Interrupted)
            }
            outcome = reader.read() => outcome,
        };
        reader.finish(outcome)
    })
}

/// How reading ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum End {
    /// At the tail, or at the limit.
    Done,
    /// By ctrl-c.
    Interrupted,
}

/// Reads on from a position.
struct Reader<W: Write> {
    client: Client,
    args: Args,
    sink: Sink<W>,
    /// Where the next page begins, once a page was read.
    next: Option<Position>,
    caught_up: bool,
    rows: u64,
    watched: bool,
    /// Whether a status line stands on the terminal.
    status_shown: bool,
}

impl<W: Write> Reader<W> {
    fn new(client: Client, args: Args, sink: Sink<W>) -> Self {
        let watched = is_watched();
        Self { client, args, sink, next: None, caught_up: false, rows: 0, watched, status_shown: false }
    }

    /// Reads until the tail or the limit; forever when following.
    async fn read(&mut self) -> anyhow::Result<End> {
        let (mut attempt, mut success_at) = (0_u32, Instant::now());
        loop {
            let failure = match self.client.send(&self.request()).await {
                Ok(answer) => {
                    let rows = self.page(&answer)?;
                    (attempt, success_at) = (0, Instant::now());
                    if self.left() == Some(0) || (self.caught_up && !self.args.follow) {
                        return Ok(End::Done);
                    }
                    if rows == 0 && !self.caught_up {
                        // A page may be empty without being the last; it must not become a busy loop.
                        sleep(pause(1)).await;
                    }
                    continue;
                }
                Err(failure) => failure,
            };
            attempt = attempt.saturating_add(1);
            let first_connect = self.next.is_none() && matches!(failure, Failure::Unreachable { .. });
            let out_of_patience = !self.args.follow && success_at.elapsed() > PATIENCE;
            match decide(&failure, attempt) {
                Decision::Again(pause) if !first_connect && !out_of_patience => {
                    let first_line = failure.to_string();
                    let first_line = first_line.lines().next().unwrap_or_default();
                    self.show_status(&format!("{first_line}; trying again"));
                    sleep(pause).await;
                }
                _ => return Err(failure.into()),
            }
        }
    }

    fn request(&self) -> Request {
        let from = self.next.as_ref().map_or_else(|| self.args.from.clone(), Position::to_string);
        let page = self.left().map_or(PAGE_ROWS, |left| left.min(PAGE_ROWS));
        let mut request = self.client.request(Method::GET, &self.args.table.path(&["rows"]));
        request = request.query("from", from).query("format", self.sink.wire_format());
        request = request.query("limit", page.to_string());
        if let Some(group) = self.args.group.as_ref().filter(|_| self.next.is_none()) {
            request = request.query("group", group);
        }
        if let Some(columns) = &self.args.columns {
            request = request.query("columns", columns);
        }
        if let Some(filter) = &self.args.filter {
            request = request.query("filter", filter);
        }
        if let Some(bucket) = self.args.bucket {
            request = request.query("bucket", bucket.to_string());
        }
        // The first request does not wait: `latest` must become a position before a connection can be lost.
        if self.args.follow && self.caught_up {
            request = request.query("wait", WAIT);
        }
        request
    }

    /// Rows that may still be printed.
    fn left(&self) -> Option<u64> {
        self.args.limit.map(|limit| limit.saturating_sub(self.rows))
    }

    /// Prints a page and moves on.
    fn page(&mut self, answer: &Answer) -> anyhow::Result<u64> {
        let next: Position = answer
            .header("frazil-next")
            .parse()
            .context("the answer says no position to go on from: is this a gateway?")?;
        if !answer.body.is_empty() && self.status_shown && !self.sink.is_empty_page(&answer.body) {
            self.clear_status();
        }
        let rows = self.sink.write(&answer.body)?;
        self.rows += rows;
        self.next = Some(next);
        self.caught_up = answer.header("frazil-caught-up") == "true";
        if self.caught_up && self.args.follow && self.left() != Some(0) {
            self.show_status("caught up, waiting");
        }
        Ok(rows)
    }

    /// Where to go on, for people and scripts.
    fn summary(&self) -> String {
        let rows = number::thousands(self.rows);
        let unit = if self.rows == 1 { "row" } else { "rows" };
        match &self.next {
            Some(next) => format!("{rows} {unit} · next {next}"),
            None => format!("{rows} {unit}"),
        }
    }

    fn show_status(&mut self, what: &str) {
        if self.watched {
            let mut err = std::io::stderr().lock();
            // Grey, without a line's end: the next rows take its place.
            let line = format!("\r\x1b[2K\x1b[90m{} · {what}\x1b[0m", self.summary());
            self.status_shown = err.write_all(line.as_bytes()).and_then(|()| err.flush()).is_ok();
        }
    }

    fn clear_status(&mut self) {
        if std::mem::take(&mut self.status_shown) {
            let mut err = std::io::stderr().lock();
            // A terminal that is gone needs no clearing.
            drop(err.write_all(b"\r\x1b[2K").and_then(|()| err.flush()));
        }
    }

    /// Ends the output and says where to go on.
    fn finish(mut self, outcome: anyhow::Result<End>) -> anyhow::Result<ExitCode> {
        self.clear_status();
        let to_go_on = self.next.as_ref().map(|next| {
            let follow = if self.args.follow { " -f" } else { "" };
            format!("frazil consume {}{follow} --from {next}", self.args.table)
        });
        match outcome {
            Ok(end) => {
                self.sink.finish()?;
                match (end, to_go_on) {
                    (End::Interrupted, Some(to_go_on)) => {
                        remark(&format!("{}; go on with: {to_go_on}", self.summary()));
                    }
                    _ if self.watched => {
                        let tail = if self.caught_up { " · caught up" } else { "" };
                        remark(&format!("\x1b[90m{}{tail}\x1b[0m", self.summary()));
                    }
                    _ => {}
                }
                Ok(ExitCode::SUCCESS)
            }
            // What was printed is not ended as if it were whole.
            Err(error) => match to_go_on {
                Some(to_go_on) if self.rows > 0 => {
                    Err(error.context(format!("after {}, go on with `{to_go_on}`", self.summary())))
                }
                _ => Err(error),
            },
        }
    }
}

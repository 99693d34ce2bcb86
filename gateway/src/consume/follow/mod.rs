//! Rows for as long as the client listens: a row a line (`follow=true`), or an event a row (`format=sse`).
//!
//! Invariants:
//! * nothing is read ahead: the next rows are read when the client has taken the last ones;
//! * a stream that fails ends with the problem as its last line or event and an error, so that the connection is reset: a client
//!   never takes a failure for the end;
//! * an event's id is the position behind its row: who begins there misses nothing and gets nothing twice.

mod events;

use std::io;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use futures::Stream;
use futures::stream::unfold;
use tokio::time::sleep;

use super::encode::Encoder;
use super::encode::projection::Projection;
use super::filter::Filter;
use super::position::From;
use super::reader::OutputColumn;
use crate::app::{Application, Consume, Page};
use crate::error::{Kind, Problem};

/// How long one read waits at the tail before it looks again.
const WAIT: Duration = Duration::from_secs(10);

/// As [`WAIT`], of events: then a sign of life is sent.
const HEARTBEAT: Duration = Duration::from_secs(15);

/// What is sent when there is nothing to send.
const HEARTBEAT_TEXT: &str = ": heartbeat\n\n";

/// How rows are written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Style {
    /// A JSON object a line.
    Lines,
    /// Server-sent events. The request's last columns are those of [`PLACE`], for the ids.
    Events,
}

/// Where a row lies.
pub(crate) const PLACE: [OutputColumn; 2] = [OutputColumn::Bucket, OutputColumn::Offset];

/// What the last line gets to leave the process before the connection is reset.
const FLUSH_TIME: Duration = Duration::from_millis(100);

struct Follower {
    app: Arc<dyn Application>,
    request: Consume,
    /// The columns as they were asked for: looked up again when the table was altered.
    columns: String,
    encoder: Encoder,
    style: Style,
    state: State,
}

enum State {
    /// Rows that were read.
    Page(Page),
    /// Rows must be read.
    Read,
    /// The problem was told: the connection must be reset.
    Failed(String),
    Done,
}

/// The rows of `first` and all that follow.
pub(crate) fn follow(
    app: Arc<dyn Application>,
    request: Consume,
    columns: String,
    projection: &Projection,
    style: Style,
    first: Page,
) -> impl Stream<Item = io::Result<Bytes>> + Send + use<> {
    let encoder = Encoder::new(projection.columns().to_vec());
    let follower = Follower { app, request, columns, encoder, style, state: State::Page(first) };
    unfold(follower, |mut follower| async move {
        let item = follower.next().await?;
        Some((item, follower))
    })
}

impl Follower {
    async fn next(&mut self) -> Option<io::Result<Bytes>> {
        loop {
            match std::mem::replace(&mut self.state, State::Done) {
                State::Done => return None,
                State::Failed(detail) => {
                    // An error drops what the connection has not sent yet: let the problem's line go first.
                    sleep(FLUSH_TIME).await;
                    return Some(Err(io::Error::other(detail)));
                }
                State::Read => match self.app.consume(self.request.clone()).await {
                    Ok(page) => self.state = State::Page(page),
                    Err(problem) if problem.kind() == Kind::SchemaChanged => match self.look_up_again().await
                    {
                        Ok(()) => self.state = State::Read,
                        Err(problem) => return Some(Ok(self.fail(&problem))),
                    },
                    Err(problem) => return Some(Ok(self.fail(&problem))),
                },
                State::Page(page) => {
                    self.request.from = From::Position(page.next.clone());
                    let written = match self.style {
                        Style::Lines => {
                            self.request.wait = WAIT;
                            self.lines(&page)
                        }
                        Style::Events => {
                            self.request.wait = HEARTBEAT;
                            events::write(&self.encoder, &page)
                        }
                    };
                    match written {
                        Ok(lines) => {
                            self.state = State::Read;
                            if !lines.is_empty() {
                                return Some(Ok(Bytes::from(lines)));
                            }
                        }
                        Err(problem) => return Some(Ok(self.fail(&problem))),
                    }
                }
            }
        }
    }

    /// The table was altered: the rows from here on come as it is now. A line says all its names itself, so nothing is lost.
    async fn look_up_again(&mut self) -> Result<(), Problem> {
        let now = self.app.table(&self.request.database, &self.request.table).await?;
        let projection = Projection::parse(&self.columns, &now.spec.schema)?;
        self.request.columns = projection.sources().to_vec();
        if self.style == Style::Events {
            self.request.columns.extend(PLACE);
        }
        if let Some(filter) = &self.request.filter {
            self.request.filter = Some(Arc::new(Filter::parse(filter.text(), &now.spec.schema)?));
        }
        self.request.schema = now.spec.schema.id;
        self.encoder = Encoder::new(projection.columns().to_vec());
        Ok(())
    }

    fn lines(&self, page: &Page) -> Result<Vec<u8>, Problem> {
        let mut lines = Vec::new();
        for batch in &page.batches {
            self.encoder.push_lines(&mut lines, batch)?;
        }
        Ok(lines)
    }

    fn fail(&mut self, problem: &Problem) -> Bytes {
        self.state = State::Failed(problem.to_string());
        Bytes::from(match self.style {
            Style::Lines => format!("{}\n", problem.to_json()),
            Style::Events => format!("event: error\ndata: {}\n\n", problem.to_json()),
        })
    }
}

//! Rows for as long as the client listens: a row a line (`follow=true`), or an event a row (`format=sse`).
//!
//! Invariants:
//! * nothing is read ahead: the next rows are read when the client has taken the last ones;
//! * rows become bytes a piece at a time, when the client wants them; what is not sent yet is kept only while there is room for it
//!   ([`super::kept`]), and read again otherwise: each row is sent once, whatever goes meanwhile;
//! * a stream that fails ends with the problem as its last line or event and an error, so that the connection is reset: a client
//!   never takes a failure for the end;
//! * an event's id is the position behind its row: who begins there misses nothing and gets nothing twice.

mod events;

use std::collections::BTreeMap;
use std::io;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use frazil_log::id::Bucket;
use futures::Stream;
use futures::stream::unfold;
use tokio::time::sleep;

use self::events::Ids;
use super::encode::Encoder;
use super::encode::projection::Projection;
use super::filter::Filter;
use super::kept::{Kept, KeptPages};
use super::position::{From, Position};
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

/// The pause of a follower for whose rows there was no memory.
const OVERLOADED_PAUSE: Duration = Duration::from_secs(1);

/// About how many bytes become text at once. The connection queues some such pieces for a client that does not read
/// ([`crate::server`]).
const PIECE_BYTES: usize = 8 << 10;

struct Follower {
    app: Arc<dyn Application>,
    request: Consume,
    /// The columns as they were asked for: looked up again when the table was altered.
    columns: String,
    encoder: Encoder,
    kept: KeptPages,
    /// Rows of a bucket, from where `request` begins, that were sent already.
    skip: BTreeMap<Bucket, usize>,
    style: Style,
    state: State,
}

enum State {
    /// Rows that were read.
    Page(Page, Cursor),
    /// The same, put away while the client takes the last piece.
    Kept(Kept, Cursor, Resume),
    /// Rows must be read.
    Read,
    /// The problem was told: the connection must be reset.
    Failed(String),
    Done,
}

/// How far a page was sent.
#[derive(Clone, Copy, Debug, Default)]
struct Cursor {
    batch: usize,
    row: usize,
}

/// Where to go on without the page.
#[derive(Clone, Debug, Default)]
struct Resume {
    from: Position,
    skip: BTreeMap<Bucket, usize>,
}

/// The rows of `first` and all that follow.
pub(crate) fn follow(
    app: Arc<dyn Application>,
    request: Consume,
    columns: String,
    projection: &Projection,
    style: Style,
    (first, kept): (Page, KeptPages),
) -> impl Stream<Item = io::Result<Bytes>> + Send + use<> {
    let encoder = Encoder::new(projection.columns().to_vec());
    let state = State::Page(first, Cursor::default());
    let follower = Follower { app, request, columns, encoder, style, kept, skip: BTreeMap::new(), state };
    unfold(follower, |mut follower| async move {
        let item = follower.next().await?;
        Some((item, follower))
    })
}

impl Follower {
    async fn next(&mut self) -> Option<io::Result<Bytes>> {
        loop {
            let written = match std::mem::replace(&mut self.state, State::Done) {
                State::Done => return None,
                State::Failed(detail) => {
                    // An error drops what the connection has not sent yet: let the problem's line go first.
                    sleep(FLUSH_TIME).await;
                    return Some(Err(io::Error::other(detail)));
                }
                State::Read => self.read().await.map(|()| Vec::new()),
                State::Kept(kept, cursor, resume) => {
                    self.reopen(&kept, cursor, resume);
                    Ok(Vec::new())
                }
                State::Page(page, cursor) => self.write(page, cursor),
            };
            match written {
                Ok(text) if text.is_empty() => {}
                Ok(text) => return Some(Ok(Bytes::from(text))),
                Err(problem) => return Some(Ok(self.fail(&problem))),
            }
        }
    }

    /// Reads the next page.
    async fn read(&mut self) -> Result<(), Problem> {
        self.state = match self.app.consume(self.request.clone()).await {
            Ok(page) => State::Page(page, Cursor::default()),
            // Others hold the memory: their rows come first.
            Err(problem) if problem.kind() == Kind::Overloaded => {
                sleep(OVERLOADED_PAUSE).await;
                State::Read
            }
            Err(problem) if problem.kind() == Kind::SchemaChanged => {
                self.look_up_again().await?;
                State::Read
            }
            Err(problem) => return Err(problem),
        };
        Ok(())
    }

    /// Goes on with a page that was put away, or reads it again from where it was.
    fn reopen(&mut self, kept: &Kept, cursor: Cursor, resume: Resume) {
        self.state = match kept.take() {
            Some(page) => State::Page(page, cursor),
            None => {
                self.request.from = From::Position(resume.from);
                self.skip = resume.skip;
                State::Read
            }
        };
    }

    /// Writes the next piece of a page. Without rows it is a heartbeat, of events.
    fn write(&mut self, page: Page, mut cursor: Cursor) -> Result<Vec<u8>, Problem> {
        self.request.group = None;
        self.request.wait = match self.style {
            Style::Lines => WAIT,
            Style::Events => HEARTBEAT,
        };
        let is_empty = page.batches.iter().all(|batch| batch.num_rows() == 0);
        let text = match self.style {
            Style::Events if is_empty => {
                cursor.batch = page.batches.len();
                events::heartbeat(&page)
            }
            _ => self.piece(&page, &mut cursor)?,
        };
        if cursor.batch < page.batches.len() {
            let resume = self.resume_at(&page, cursor);
            self.state = State::Kept(self.kept.keep(page), cursor, resume);
        } else {
            self.request.from = From::Position(page.next);
            self.state = State::Read;
        }
        Ok(text)
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

    /// The next piece of a page.
    fn piece(&mut self, page: &Page, cursor: &mut Cursor) -> Result<Vec<u8>, Problem> {
        let mut text = Vec::with_capacity(PIECE_BYTES + PIECE_BYTES / 4);
        let mut ids = match self.style {
            Style::Lines => None,
            Style::Events => Some(Ids::at(page, *cursor)?),
        };
        let (mut written, mut rows_at_once) = (0, 1);
        while text.len() < PIECE_BYTES
            && let Some(batch) = page.batches.get(cursor.batch)
        {
            if cursor.row == 0 {
                cursor.row = self.sent_before(page, cursor.batch).min(batch.num_rows());
                if let Some(ids) = &mut ids {
                    ids.pass(&batch.slice(0, cursor.row))?;
                }
            }
            let rows = rows_at_once.min(batch.num_rows() - cursor.row);
            let next = batch.slice(cursor.row, rows);
            match &mut ids {
                None => self.encoder.push_lines(&mut text, &next)?,
                Some(ids) => ids.push(&self.encoder, &mut text, &next)?,
            }
            cursor.row += rows;
            written += rows;
            // Rows may be of any length: those that are written tell how many more are about enough.
            let row_bytes = (text.len() / written.max(1)).max(1);
            rows_at_once = (PIECE_BYTES.saturating_sub(text.len()) / row_bytes).clamp(1, written.max(1) * 2);
            if cursor.row == batch.num_rows() {
                *cursor = Cursor { batch: cursor.batch + 1, row: 0 };
            }
        }
        // The connection queues it for as long as the client pleases: what it does not fill would be held as long.
        text.shrink_to_fit();
        Ok(text)
    }

    /// How many rows of a batch were sent before, from a page that went.
    fn sent_before(&mut self, page: &Page, batch: usize) -> usize {
        let (Some((bucket, _)), Some(batch)) = (page.starts.get(batch), page.batches.get(batch)) else {
            return 0;
        };
        let Some(left) = self.skip.get_mut(bucket) else { return 0 };
        let sent = (*left).min(batch.num_rows());
        *left -= sent;
        if *left == 0 {
            self.skip.remove(bucket);
        }
        sent
    }

    /// Where a page goes on at a cursor: at the start of the place that the row came of, and so many of its rows were sent.
    fn resume_at(&self, page: &Page, cursor: Cursor) -> Resume {
        let mut resume = Resume { from: page.next.clone(), skip: self.skip.clone() };
        // Backwards, so that what is said last of a bucket is the first of its places that are left.
        for (bucket, start) in page.starts.iter().skip(cursor.batch).rev() {
            resume.from.set(*bucket, *start);
        }
        if let Some(current) = page.starts.get(cursor.batch) {
            let earlier = page.starts.iter().zip(&page.batches).take(cursor.batch);
            let of_this_place = earlier.filter(|(place, _)| *place == current);
            let sent = of_this_place.map(|(_, batch)| batch.num_rows()).sum::<usize>() + cursor.row;
            resume.skip.insert(current.0, sent);
        }
        resume
    }

    fn fail(&mut self, problem: &Problem) -> Bytes {
        self.state = State::Failed(problem.to_string());
        Bytes::from(match self.style {
            Style::Lines => format!("{}\n", problem.to_json()),
            Style::Events => format!("event: error\ndata: {}\n\n", problem.to_json()),
        })
    }
}

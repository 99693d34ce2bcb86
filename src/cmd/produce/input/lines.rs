//! NDJSON: cut behind the ends of lines, `\n` or `\r\n`. Blank lines are no rows, but lines they are.

use bytes::BytesMut;

use super::{Batch, Limits, ROW_BYTES_MAX};
use crate::cmd::produce::Format;

/// Collects bytes and gives them out as whole lines.
#[derive(Debug)]
pub(super) struct Lines {
    limits: Limits,
    buffer: BytesMut,
    /// Up to here the buffer was searched for the end of a line.
    searched: usize,
    /// Where the line that is not whole begins.
    line_start: usize,
    /// Rows and lines before `line_start`.
    rows: u64,
    lines: u64,
    /// Rows and lines given out.
    rows_before: u64,
    lines_before: u64,
    /// Whether no more bytes come.
    ended: bool,
}

impl Lines {
    pub(super) fn new(limits: Limits) -> Self {
        Self {
            limits,
            buffer: BytesMut::new(),
            searched: 0,
            line_start: 0,
            rows: 0,
            lines: 0,
            rows_before: 0,
            lines_before: 0,
            ended: false,
        }
    }

    pub(super) fn push(&mut self, bytes: &[u8]) {
        self.buffer.extend_from_slice(bytes);
    }

    /// Whether there are whole rows.
    pub(super) fn has_rows(&self) -> bool {
        self.rows > 0
    }

    /// Looks for a full batch.
    ///
    /// # Errors
    /// If a line is too long to be a row.
    pub(super) fn take(&mut self) -> anyhow::Result<Option<Batch>> {
        while let Some(at) = self.buffer[self.searched..].iter().position(|byte| *byte == b'\n') {
            let end = self.searched + at + 1;
            if end > self.limits.bytes_max && self.rows > 0 {
                // The line does not fit any more: it begins the next batch.
                return Ok(self.cut());
            }
            let is_row = !self.buffer[self.line_start..end].trim_ascii().is_empty();
            self.rows += u64::from(is_row);
            self.lines += 1;
            (self.searched, self.line_start) = (end, end);
            if (self.rows >= self.limits.rows_max || end >= self.limits.bytes_max)
                && let Some(batch) = self.cut()
            {
                return Ok(Some(batch));
            }
        }
        if self.ended {
            return Ok(self.cut());
        }
        self.searched = self.buffer.len();
        anyhow::ensure!(
            self.buffer.len() - self.line_start <= ROW_BYTES_MAX,
            "line {} is longer than {} MiB: that is no row",
            self.lines_before + self.lines + 1,
            ROW_BYTES_MAX >> 20
        );
        Ok(None)
    }

    /// The whole lines so far; nothing if no row is among them.
    pub(super) fn cut(&mut self) -> Option<Batch> {
        let body = self.buffer.split_to(self.line_start).freeze();
        let batch = Batch {
            format: Format::Ndjson,
            body,
            rows: self.rows,
            first_row: self.rows_before,
            first_line: Some(self.lines_before + 1),
        };
        self.rows_before += self.rows;
        self.lines_before += self.lines;
        (self.searched, self.line_start, self.rows, self.lines) = (0, 0, 0, 0);
        (batch.rows > 0).then_some(batch)
    }

    /// The last line may lack its end.
    pub(super) fn end(&mut self) {
        if !self.buffer.is_empty() && !self.buffer.ends_with(b"\n") {
            self.buffer.extend_from_slice(b"\n");
        }
        self.ended = true;
    }
}

//! CSV: cut behind the ends of records. Each batch begins with the header line, so that it is a whole body.

use anyhow::ensure;
use bytes::{Bytes, BytesMut};

use super::{Batch, Limits, ROW_BYTES_MAX};
use crate::cmd::produce::Format;
use crate::output::csv::Records;

/// Collects bytes and gives them out as whole records.
#[derive(Debug)]
pub(super) struct Csv {
    limits: Limits,
    /// The header line and how many columns it names, once it was read.
    header: Option<(Bytes, usize)>,
    buffer: BytesMut,
    /// Up to here the buffer was searched for the end of a record, and what was found on the way.
    searched: usize,
    records: Records,
    /// Where the record that is not whole begins.
    start: usize,
    rows: u64,
    /// Rows given out.
    rows_before: u64,
    /// Whether no more bytes come.
    ended: bool,
}

impl Csv {
    pub(super) fn new(limits: Limits) -> Self {
        Self {
            limits,
            header: None,
            buffer: BytesMut::new(),
            searched: 0,
            records: Records::default(),
            start: 0,
            rows: 0,
            rows_before: 0,
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
    /// If a record is too long to be a row.
    pub(super) fn take(&mut self) -> anyhow::Result<Option<Batch>> {
        loop {
            // The last byte waits: what follows a \r decides where its record ends.
            let last = self.buffer.len().saturating_sub(usize::from(!self.ended));
            let found = self.records.next(self.buffer.get(self.searched..last).unwrap_or_default());
            let Some(record) = found else {
                self.searched = self.searched.max(last);
                break;
            };
            let mut end = self.searched + record.bytes;
            if self.buffer[..end].ends_with(b"\r") && self.buffer[end..].starts_with(b"\n") {
                end += 1;
            }
            let Some((header, columns)) = &self.header else {
                if record.cells > 0 {
                    self.header = Some((self.buffer.split_to(end).freeze(), record.cells));
                } else {
                    drop(self.buffer.split_to(end));
                }
                (self.searched, self.start) = (0, 0);
                continue;
            };
            if header.len() + end > self.limits.bytes_max && self.rows > 0 {
                // The record does not fit any more: it begins the next batch, and is looked at again.
                let batch = self.cut();
                (self.searched, self.records) = (0, Records::default());
                return Ok(batch);
            }
            let is_full = header.len() + end >= self.limits.bytes_max;
            self.rows += u64::from(record.cells > 0 || *columns == 1);
            (self.searched, self.start) = (end, end);
            if (self.rows >= self.limits.rows_max || is_full)
                && let Some(batch) = self.cut()
            {
                return Ok(Some(batch));
            }
        }
        if self.ended {
            return Ok(self.cut());
        }
        let mebibytes = ROW_BYTES_MAX >> 20;
        ensure!(
            self.buffer.len() - self.start <= ROW_BYTES_MAX,
            "row {} is longer than {mebibytes} MiB: is a quote not closed?",
            self.rows_before + self.rows
        );
        Ok(None)
    }

    /// The whole records so far; nothing if there is none.
    pub(super) fn cut(&mut self) -> Option<Batch> {
        let (header, _) = self.header.as_ref().filter(|_| self.rows > 0)?;
        let rows = self.buffer.split_to(self.start);
        let mut body = BytesMut::with_capacity(header.len() + rows.len());
        body.extend_from_slice(header);
        body.extend_from_slice(&rows);
        let batch = Batch {
            format: Format::Csv,
            body: body.freeze(),
            rows: self.rows,
            first_row: self.rows_before,
            first_line: None,
        };
        self.rows_before += self.rows;
        self.searched = self.searched.saturating_sub(self.start);
        (self.start, self.rows) = (0, 0);
        Some(batch)
    }

    /// The last record may lack its end.
    pub(super) fn end(&mut self) {
        if !self.buffer.is_empty() && !self.buffer.ends_with(b"\n") {
            self.buffer.extend_from_slice(b"\n");
        }
        self.ended = true;
    }
}

//! JSON: an array of objects, or objects one after another, cut between its elements without reading into them.
//!
//! Only brackets and strings are told apart here; whether an element is a row is the gateway's to say.

use std::collections::VecDeque;

use super::{Batch, Limits, ROW_BYTES_MAX};
use crate::cmd::produce::Format;

/// Collects bytes and gives them out as arrays of whole elements.
#[derive(Debug)]
pub(super) struct Elements {
    limits: Limits,
    place: Place,
    /// Bytes taken, for messages.
    taken: u64,
    element: Vec<u8>,
    /// Brackets that are open within the element.
    open: u64,
    in_string: bool,
    escaped: bool,
    body: Vec<u8>,
    rows: u64,
    rows_before: u64,
    ready: VecDeque<Batch>,
}

/// Where in the document the next byte stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Place {
    Start,
    /// Within the array, before an element or in it.
    Array,
    /// Within the array, behind a comma: an element must follow.
    Comma,
    /// Between objects, or in one, without an array around them.
    Sequence,
    /// Behind the array.
    End,
}

impl Elements {
    pub(super) fn new(limits: Limits) -> Self {
        Self {
            limits,
            place: Place::Start,
            taken: 0,
            element: Vec::new(),
            open: 0,
            in_string: false,
            escaped: false,
            body: Vec::new(),
            rows: 0,
            rows_before: 0,
            ready: VecDeque::new(),
        }
    }

    /// Takes more bytes.
    ///
    /// # Errors
    /// If the brackets do not fit together, or an element is too long to be a row.
    pub(super) fn push(&mut self, bytes: &[u8]) -> anyhow::Result<()> {
        for byte in bytes {
            self.byte(*byte)?;
            self.taken += 1;
        }
        let mebibytes = ROW_BYTES_MAX >> 20;
        anyhow::ensure!(
            self.element.len() <= ROW_BYTES_MAX,
            "row {} is longer than {mebibytes} MiB",
            self.row()
        );
        Ok(())
    }

    pub(super) fn has_rows(&self) -> bool {
        self.rows > 0 || !self.ready.is_empty()
    }

    /// A full batch, if there is one.
    pub(super) fn take(&mut self) -> Option<Batch> {
        self.ready.pop_front()
    }

    /// The whole elements so far.
    pub(super) fn cut(&mut self) -> Option<Batch> {
        self.fill();
        self.ready.pop_front()
    }

    /// No more bytes come.
    ///
    /// # Errors
    /// If the array, or an element, is cut off.
    pub(super) fn end(&mut self) -> anyhow::Result<()> {
        self.fill();
        let whole = match self.place {
            Place::Start | Place::End => true,
            Place::Sequence => self.element.is_empty(),
            Place::Array | Place::Comma => false,
        };
        anyhow::ensure!(whole, "the JSON is cut off in row {}", self.row());
        Ok(())
    }

    /// The number of the row that is being read, from 0.
    fn row(&self) -> u64 {
        self.rows_before + self.rows
    }

    fn byte(&mut self, byte: u8) -> anyhow::Result<()> {
        if self.in_string {
            self.element.push(byte);
            match byte {
                _ if self.escaped => self.escaped = false,
                b'\\' => self.escaped = true,
                b'"' => self.in_string = false,
                _ => {}
            }
            return Ok(());
        }
        if self.open == 0 {
            return self.outer(byte);
        }
        self.element.push(byte);
        match byte {
            b'"' => self.in_string = true,
            b'{' | b'[' => self.open += 1,
            b'}' | b']' => {
                self.open -= 1;
                if self.open == 0 && self.place == Place::Sequence {
                    self.finish_element();
                }
            }
            _ => {}
        }
        Ok(())
    }

    /// A byte that stands within no element's brackets.
    fn outer(&mut self, byte: u8) -> anyhow::Result<()> {
        let is_blank = byte.is_ascii_whitespace();
        match (self.place, byte) {
            (Place::Start, b'[') => self.place = Place::Array,
            (Place::Start | Place::Sequence, b'{') => {
                self.place = Place::Sequence;
                self.begin(byte);
            }
            (Place::Start | Place::Sequence | Place::End, _) if is_blank => {}
            (Place::Array, b',') if !self.element.is_empty() => {
                self.finish_element();
                self.place = Place::Comma;
            }
            (Place::Array, b']') => {
                if !self.element.is_empty() {
                    self.finish_element();
                }
                self.place = Place::End;
            }
            (Place::Array | Place::Comma, _) if is_blank => {}
            (Place::Array, b'{' | b'[') | (Place::Comma, b'{' | b'[') => {
                self.place = Place::Array;
                self.begin(byte);
            }
            (Place::Array | Place::Comma, b'"') => {
                self.place = Place::Array;
                self.element.push(byte);
                self.in_string = true;
            }
            (Place::Array | Place::Comma, _) if !matches!(byte, b',' | b']' | b'}' | b':') => {
                // A number or a word: no row, which the gateway says in its own words.
                self.place = Place::Array;
                self.element.push(byte);
            }
            _ => anyhow::bail!(
                "byte {} of the JSON is {:?}, which cannot stand there (row {})",
                self.taken,
                char::from(byte),
                self.row()
            ),
        }
        Ok(())
    }

    fn begin(&mut self, byte: u8) {
        self.element.push(byte);
        self.open = 1;
    }

    fn finish_element(&mut self) {
        if self.rows > 0 && self.body.len() + self.element.len() + 2 > self.limits.bytes_max {
            self.fill();
        }
        self.body.push(if self.rows == 0 { b'[' } else { b',' });
        self.body.append(&mut self.element);
        self.rows += 1;
        if self.rows >= self.limits.rows_max || self.body.len() >= self.limits.bytes_max {
            self.fill();
        }
    }

    /// Makes a batch of the elements so far.
    fn fill(&mut self) {
        if self.rows == 0 {
            return;
        }
        let mut body = std::mem::take(&mut self.body);
        body.push(b']');
        self.ready.push_back(Batch {
            format: Format::Json,
            body: body.into(),
            rows: self.rows,
            first_row: self.rows_before,
            first_line: None,
        });
        self.rows_before += self.rows;
        self.rows = 0;
    }
}

//! The cells of CSV text, record by record (RFC 4180: commas, quotes doubled within quotes, any line end).
//!
//! Why `csv_core` and not `csv` above it: an empty cell and an empty text in quotes are different rows here (null and ""),
//! and only the offsets of the field reader show the quotes.

use csv_core::{ReadFieldResult, Reader};

use crate::produce::decode::errors::Stop;
use crate::produce::decode::scan::SyntaxError;

/// The bytes of a quoted cell with quotes in it, at first.
const BUFFER_BYTES: usize = 1 << 10;

/// One cell of a record.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Cell<'c> {
    /// The byte of the text at which it begins.
    pub(super) at: usize,
    /// What it holds, quotes undone.
    pub(super) text: &'c str,
    pub(super) quoted: bool,
}

/// A place in CSV text, at the beginning of a record.
pub(super) struct Records<'a> {
    text: &'a str,
    at: usize,
    core: Reader,
    buffer: Vec<u8>,
}

impl<'a> Records<'a> {
    pub(super) fn new(text: &'a str) -> Self {
        // Spreadsheets begin with a byte order mark; the reader below would take it off too, but offsets must agree.
        let at = if text.starts_with('\u{feff}') { '\u{feff}'.len_utf8() } else { 0 };
        Self { text, at, core: Reader::new(), buffer: vec![0; BUFFER_BYTES] }
    }

    /// Reads the next record, each of its cells; says how many there were. An empty line is a record of one empty cell where
    /// `of_one` says that the table has but one column, and nothing otherwise.
    pub(super) fn next(
        &mut self,
        of_one: bool,
        mut take: impl FnMut(usize, Cell<'_>) -> Result<(), Stop>,
    ) -> Result<Option<usize>, Stop> {
        while let Some(length) = self.line_end() {
            let at = self.at;
            self.at += length;
            if of_one {
                take(0, Cell { at, text: "", quoted: false })?;
                return Ok(Some(1));
            }
        }
        if self.at == self.text.len() {
            return Ok(None);
        }
        let mut count = 0;
        loop {
            let start = self.at;
            let (length, record_end) = self.field();
            let raw = self.text.get(start..self.at).unwrap_or_default();
            take(count, cell(start, raw, record_end, &self.buffer[..length])?)?;
            count += 1;
            if record_end {
                // The reader ends a record at the first byte of a line's end.
                if raw.ends_with('\r') && self.text[self.at..].starts_with('\n') {
                    self.at += 1;
                }
                return Ok(Some(count));
            }
        }
    }

    /// The bytes of the line end that comes next, if one does.
    fn line_end(&self) -> Option<usize> {
        let rest = self.text.get(self.at..).unwrap_or_default();
        match rest.as_bytes() {
            [b'\r', b'\n', ..] => Some(2),
            [b'\r' | b'\n', ..] => Some(1),
            _ => None,
        }
    }

    /// Reads one field into the buffer: how many bytes, and whether it ends its record.
    fn field(&mut self) -> (usize, bool) {
        let mut filled = 0;
        loop {
            let input = self.text.as_bytes().get(self.at..).unwrap_or_default();
            let (result, read, written) = self.core.read_field(input, &mut self.buffer[filled..]);
            self.at += read;
            filled += written;
            match result {
                ReadFieldResult::Field { record_end } => return (filled, record_end),
                ReadFieldResult::End => return (filled, true),
                ReadFieldResult::OutputFull => self.buffer.resize(self.buffer.len() * 2, 0),
                ReadFieldResult::InputEmpty => {}
            }
        }
    }
}

/// A field as a cell: the reader takes any quotes, here they must stand as the RFC says.
fn cell<'c>(at: usize, raw: &'c str, record_end: bool, read: &'c [u8]) -> Result<Cell<'c>, Stop> {
    let text = if record_end { raw.strip_suffix(['\r', '\n']).unwrap_or(raw) } else { &raw[..raw.len() - 1] };
    let Some(rest) = text.strip_prefix('"') else {
        return Ok(Cell { at, text, quoted: false });
    };
    let wrong = |message| Stop::Syntax(SyntaxError { at, message });
    let inner = rest
        .strip_suffix('"')
        .filter(|inner| !inner.split("\"\"").any(|piece| piece.contains('"')))
        .ok_or_else(|| wrong("this quoted cell does not end with its quote (a quote within is doubled)"))?;
    let text = if inner.contains('"') {
        std::str::from_utf8(read).map_err(|_| wrong("this quoted cell is not UTF-8"))?
    } else {
        inner
    };
    Ok(Cell { at, text, quoted: true })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn records(text: &str, of_one: bool) -> Result<Vec<Vec<(String, bool)>>, Stop> {
        let mut records = Records::new(text);
        let mut all = Vec::new();
        loop {
            let mut cells = Vec::new();
            let take = |_, cell: Cell<'_>| {
                cells.push((cell.text.to_owned(), cell.quoted));
                Ok(())
            };
            match records.next(of_one, take)? {
                None => return Ok(all),
                Some(count) => assert_eq!(count, cells.len()),
            }
            all.push(cells);
        }
    }

    fn shown(text: &str) -> String {
        let shown =
            |(text, quoted): &(String, bool)| if *quoted { format!("<{text}>") } else { text.clone() };
        let record = |cells: &Vec<_>| cells.iter().map(shown).collect::<Vec<_>>().join("|");
        records(text, false).unwrap().iter().map(record).collect::<Vec<_>>().join("/")
    }

    #[test]
    fn quotes_and_line_ends_are_told_apart() {
        assert_eq!(
            shown("\u{feff}a,b\r\n1,\"\"\r\n\r\n,\"x\"\"y\"\n\"l\n2\",é\r3,"),
            "a|b/1|<>/|<x\"y>/<l\n2>|é/3|"
        );
        assert_eq!(shown("a\"b, c"), "a\"b| c");
        assert_eq!(
            shown(&format!("\"{}\"\"\"", "long".repeat(3000))),
            format!("<{}\">", "long".repeat(3000))
        );
        assert_eq!(shown(""), "");
        assert_eq!(shown("\"\""), "<>");
    }

    #[test]
    fn an_empty_line_is_a_row_of_one_column_only() {
        assert_eq!(records("a\n\n\r\nb\n", true).unwrap().len(), 4);
        assert_eq!(records("a\n\n\r\nb\n", false).unwrap().len(), 2);
    }

    #[test]
    fn quotes_that_do_not_fit_are_refused() {
        for text in ["\"a", "\"a\"b", "\"a\"b\"\"", "x,\"a\n", "\"", "\"\"\"", "\"a\"b\"\n"] {
            assert!(matches!(records(text, false), Err(Stop::Syntax(_))), "{text}");
        }
    }

    proptest! {
        #[test]
        fn no_text_panics(text in "[a\",\r\né]{0,30}", of_one: bool) {
            drop(records(&text, of_one));
        }
    }
}

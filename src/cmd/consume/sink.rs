//! Pages of rows, printed as one whole: a table, lines, one JSON array, one CSV text, one Arrow stream.

use std::io::{self, IsTerminal, Write};

use anyhow::Context;
use arrow::error::ArrowError;
use arrow::ipc::reader::StreamReader;
use arrow::ipc::writer::StreamWriter;
use serde_json::{Map, Value};

use super::Format;
use crate::output::Grid;
use crate::output::csv::Records;

/// Where pages go.
pub(super) struct Sink<W: Write> {
    out: W,
    kind: Kind,
}

enum Kind {
    Table(Grid),
    Ndjson,
    /// Whether a row was written.
    Json {
        begun: bool,
    },
    /// The header line, once it was written.
    Csv {
        header: Option<Vec<u8>>,
    },
    /// Its own writer, once the schema is known; it writes to memory, and from there on to `out`.
    Arrow(Option<StreamWriter<Vec<u8>>>),
}

impl<W: Write> Sink<W> {
    /// A sink in a format.
    ///
    /// # Errors
    /// If the format is not there yet, or a terminal would get bytes.
    pub(super) fn new(format: Format, out: W) -> anyhow::Result<Self> {
        let kind = match format {
            Format::Table => Kind::Table(Grid::default()),
            Format::Ndjson => Kind::Ndjson,
            Format::Json => Kind::Json { begun: false },
            Format::Csv => Kind::Csv { header: None },
            Format::Arrow => {
                anyhow::ensure!(
                    !io::stdout().is_terminal(),
                    "an Arrow stream is no text: send it to a file or a program, as in `-o arrow > clicks.arrows`"
                );
                Kind::Arrow(None)
            }
        };
        Ok(Self { out, kind })
    }

    /// The format to ask the gateway for.
    pub(super) fn wire_format(&self) -> &'static str {
        match self.kind {
            Kind::Arrow(_) => "arrow",
            Kind::Csv { .. } => "csv",
            Kind::Table(_) | Kind::Ndjson | Kind::Json { .. } => "ndjson",
        }
    }

    /// Whether nothing would be printed. A page of Arrow or CSV is never known to be empty before it is read.
    pub(super) fn is_empty_page(&self, page: &[u8]) -> bool {
        !matches!(self.kind, Kind::Arrow(_) | Kind::Csv { .. }) && page.trim_ascii().is_empty()
    }

    /// Prints a page; says how many rows it has.
    ///
    /// # Errors
    /// If the page is not in the format that was asked for, or nobody reads.
    pub(super) fn write(&mut self, page: &[u8]) -> anyhow::Result<u64> {
        let rows = match &mut self.kind {
            Kind::Table(grid) => {
                let parse = |line| serde_json::from_slice::<Map<String, Value>>(line);
                let rows: Result<Vec<_>, _> = lines(page).map(parse).collect();
                let rows = rows.context("the answer holds a line that is no row")?;
                self.out.write_all(grid.lines(&rows).as_bytes())?;
                rows.len()
            }
            Kind::Ndjson => {
                self.out.write_all(page)?;
                lines(page).count()
            }
            Kind::Json { begun } => {
                let mut rows = 0;
                for line in lines(page) {
                    self.out.write_all(if std::mem::replace(begun, true) { b",\n" } else { b"[" })?;
                    self.out.write_all(line)?;
                    rows += 1;
                }
                rows
            }
            Kind::Csv { header } => {
                let (rows, bytes) = csv_page(header, page)?;
                self.out.write_all(bytes)?;
                rows
            }
            Kind::Arrow(writer) => {
                let (rows, bytes) = arrow_page(writer, page)?;
                self.out.write_all(&bytes)?;
                rows
            }
        };
        self.out.flush()?;
        Ok(rows as u64)
    }

    /// Ends what must be ended.
    ///
    /// # Errors
    /// If nobody reads.
    pub(super) fn finish(&mut self) -> anyhow::Result<()> {
        match &mut self.kind {
            Kind::Table(_) | Kind::Ndjson | Kind::Csv { .. } => {}
            Kind::Json { begun } => self.out.write_all(if *begun { b"]\n" } else { b"[]\n" })?,
            Kind::Arrow(writer) => {
                if let Some(mut writer) = writer.take() {
                    writer.finish()?;
                    self.out.write_all(&writer.into_inner()?)?;
                }
            }
        }
        self.out.flush()?;
        Ok(())
    }
}

#[cfg(test)]
impl Sink<Vec<u8>> {
    /// What was printed.
    pub(super) fn printed(&self) -> &[u8] {
        &self.out
    }
}

/// Lines that hold something.
fn lines(page: &[u8]) -> impl Iterator<Item = &[u8]> {
    page.split(|byte| *byte == b'\n').map(<[u8]>::trim_ascii).filter(|line| !line.is_empty())
}

/// The rows of a page and what to print of it: its header only once.
fn csv_page<'p>(header: &mut Option<Vec<u8>>, page: &'p [u8]) -> anyhow::Result<(usize, &'p [u8])> {
    let first = Records::default().next(page).context("the answer has no header line")?;
    let (names, rest) = page.split_at(first.bytes);
    let (mut rows, mut left) = (0, rest);
    while let Some(record) = Records::default().next(left) {
        rows += usize::from(record.cells > 0 || first.cells == 1);
        left = &left[record.bytes..];
    }
    match header {
        None => {
            *header = Some(names.to_vec());
            Ok((rows, page))
        }
        Some(known) => {
            anyhow::ensure!(known == names, "the table's columns changed: one CSV text cannot go on");
            Ok((rows, rest))
        }
    }
}

/// Adds a page, a stream of its own, to the one stream; gives its rows and the bytes to print.
fn arrow_page(
    writer: &mut Option<StreamWriter<Vec<u8>>>,
    page: &[u8],
) -> Result<(usize, Vec<u8>), anyhow::Error> {
    let strange = |error: ArrowError| anyhow::anyhow!("the answer is no Arrow stream: {error}");
    let reader = StreamReader::try_new(page, None).map_err(strange)?;
    let schema = reader.schema();
    let writer = match writer {
        Some(writer) => writer,
        None => writer.insert(StreamWriter::try_new(Vec::new(), &schema)?),
    };
    let mut rows = 0;
    for batch in reader {
        let batch = batch.map_err(strange)?;
        rows += batch.num_rows();
        writer.write(&batch).context("the table's columns changed: one Arrow stream cannot go on")?;
    }
    writer.flush()?;
    Ok((rows, std::mem::take(writer.get_mut())))
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use arrow::array::{Int64Array, RecordBatch};
    use arrow::datatypes::{DataType, Field, Schema};

    use super::*;

    fn print(format: Format, pages: &[&[u8]]) -> (Vec<u64>, Vec<u8>) {
        let mut sink = Sink::new(format, Vec::new()).unwrap();
        let rows = pages.iter().map(|page| sink.write(page).unwrap()).collect();
        sink.finish().unwrap();
        (rows, sink.out)
    }

    const PAGES: [&[u8]; 3] =
        [b"{\"id\":1,\"url\":\"/home\"}\n{\"id\":2,\"url\":\"/buy\"}\n", b"", b"{\"id\":3,\"url\":null}\n"];

    #[test]
    fn pages_are_one_table() {
        let (rows, text) = print(Format::Table, &PAGES);
        assert_eq!(rows, [2, 0, 1]);
        assert_eq!(String::from_utf8(text).unwrap(), " id  url\n  1  /home\n  2  /buy\n  3  ·\n");
    }

    #[test]
    fn pages_are_lines_as_they_came() {
        assert_eq!(print(Format::Ndjson, &PAGES).1, PAGES.concat());
    }

    #[test]
    fn pages_are_one_json_document() {
        let (_, text) = print(Format::Json, &PAGES);
        let document: Value = serde_json::from_slice(&text).unwrap();
        assert_eq!(document.as_array().map(Vec::len), Some(3));
        assert_eq!(print(Format::Json, &[b""]).1, b"[]\n");
    }

    #[test]
    fn pages_are_one_csv_text() {
        let pages: [&[u8]; 3] = [b"id,s\n1,\"a\nb\"\n2,\n", b"id,s\n", b"id,s\n3,\"\"\n"];
        let (rows, text) = print(Format::Csv, &pages);
        assert_eq!(rows, [2, 0, 1]);
        assert_eq!(String::from_utf8(text).unwrap(), "id,s\n1,\"a\nb\"\n2,\n3,\"\"\n");
        assert_eq!(print(Format::Csv, &[b"s\n\nx\n"]).0, [2]);
    }

    #[test]
    fn pages_are_one_arrow_stream() {
        let schema = Arc::new(Schema::new(vec![Field::new("id", DataType::Int64, false)]));
        let page = |ids: Vec<i64>| {
            let batch =
                RecordBatch::try_new(Arc::clone(&schema), vec![Arc::new(Int64Array::from(ids))]).unwrap();
            let mut writer = StreamWriter::try_new(Vec::new(), &schema).unwrap();
            writer.write(&batch).unwrap();
            writer.into_inner().unwrap()
        };
        let (rows, stream) = print(Format::Arrow, &[&page(vec![1, 2]), &page(vec![]), &page(vec![3])]);
        assert_eq!(rows, [2, 0, 1]);
        let batches: Vec<RecordBatch> =
            StreamReader::try_new(&stream[..], None).unwrap().map(Result::unwrap).collect();
        assert_eq!(batches.iter().map(RecordBatch::num_rows).sum::<usize>(), 3);
    }

    #[test]
    fn what_is_no_row_is_an_error() {
        let mut sink = Sink::new(Format::Table, Vec::new()).unwrap();
        assert!(sink.write(b"7\n").is_err());
        let mut sink = Sink::new(Format::Arrow, Vec::new()).unwrap();
        assert!(sink.write(b"{}\n").is_err());
        let mut sink = Sink::new(Format::Csv, Vec::new()).unwrap();
        sink.write(b"id\n1\n").unwrap();
        assert!(sink.write(b"other\n1\n").is_err());
    }
}

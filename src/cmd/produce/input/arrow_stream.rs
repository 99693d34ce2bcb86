//! Arrow: an IPC stream, or a file, which is a stream between a mark and a footer. Cut into streams of whole rows.

use std::io::{BufReader, Read};

use anyhow::Context;
use arrow::datatypes::SchemaRef;
use arrow::ipc::reader::StreamReader;
use arrow::ipc::writer::StreamWriter;
use arrow::record_batch::RecordBatch;
use tokio::sync::mpsc;

use super::{Batch, Limits};
use crate::cmd::produce::Format;

/// What an Arrow file begins with, padded with zeros to a multiple of 8 bytes.
const FILE_MAGIC: &[u8] = b"ARROW1";

/// Cuts batches on a thread of its own, as fast as they are taken.
pub(super) fn start(reader: Box<dyn Read + Send>, limits: Limits) -> mpsc::Receiver<anyhow::Result<Batch>> {
    let (send, batches) = mpsc::channel(1);
    tokio::task::spawn_blocking(move || {
        let mut give = |batch| send.blocking_send(Ok(batch)).is_ok();
        if let Err(error) = cut(reader, limits, &mut give) {
            // Nobody waits for it any more if this fails.
            drop(send.blocking_send(Err(error)));
        }
    });
    batches
}

/// Reads to the end, or until `give` says that nobody takes more.
fn cut(reader: impl Read, limits: Limits, give: &mut impl FnMut(Batch) -> bool) -> anyhow::Result<()> {
    let mut reader = BufReader::new(reader);
    let mut word = [0; 8];
    reader.read_exact(&mut word).context("the Arrow stream is cut off")?;
    if word.starts_with(FILE_MAGIC) {
        // Up to 64 bytes of zeros follow; then the messages of a stream, and their end before the footer.
        reader.read_exact(&mut word).context("the Arrow file is cut off")?;
        while word == [0; 8] {
            reader.read_exact(&mut word).context("the Arrow file is cut off")?;
        }
    }
    let head: &[u8] = &word;
    let reader = StreamReader::try_new(head.chain(reader), None).context("this is no Arrow stream")?;
    let mut cutter =
        Cutter { schema: reader.schema(), limits, pending: Vec::new(), rows: 0, bytes: 0, given: 0 };
    for batch in reader {
        let batch = batch
            .with_context(|| format!("the Arrow stream breaks behind row {}", cutter.given + cutter.rows))?;
        if !cutter.add(&batch, give)? {
            return Ok(());
        }
    }
    cutter.fill(give).map(drop)
}

/// Collects slices of record batches until they are a batch.
struct Cutter {
    schema: SchemaRef,
    limits: Limits,
    pending: Vec<RecordBatch>,
    rows: u64,
    /// An estimate: rows of a record batch are taken to be of the same size.
    bytes: usize,
    given: u64,
}

impl Cutter {
    fn add(&mut self, batch: &RecordBatch, give: &mut impl FnMut(Batch) -> bool) -> anyhow::Result<bool> {
        let rows = batch.num_rows();
        let row_bytes = (batch.get_array_memory_size() / rows.max(1)).max(1);
        let mut from = 0;
        while from < rows {
            let rows_left =
                usize::try_from(self.limits.rows_max.saturating_sub(self.rows)).unwrap_or(usize::MAX);
            let bytes_left = self.limits.bytes_max.saturating_sub(self.bytes) / row_bytes;
            let fit = rows_left.min(bytes_left).min(rows - from);
            if fit == 0 && self.rows > 0 {
                if !self.fill(give)? {
                    return Ok(false);
                }
                continue;
            }
            let length = fit.max(1);
            self.pending.push(batch.slice(from, length));
            self.rows += length as u64;
            self.bytes = self.bytes.saturating_add(row_bytes.saturating_mul(length));
            from += length;
        }
        Ok(true)
    }

    /// Gives out what is pending; false if nobody takes it.
    fn fill(&mut self, give: &mut impl FnMut(Batch) -> bool) -> anyhow::Result<bool> {
        let pending = std::mem::take(&mut self.pending);
        let rows = std::mem::take(&mut self.rows);
        self.bytes = 0;
        if rows == 0 {
            return Ok(true);
        }
        let mut body = Vec::new();
        let mut writer = StreamWriter::try_new(&mut body, &self.schema)?;
        for batch in &pending {
            writer.write(batch)?;
        }
        writer.finish()?;
        drop(writer);
        let batch =
            Batch { format: Format::Arrow, body: body.into(), rows, first_row: self.given, first_line: None };
        self.given += rows;
        Ok(give(batch))
    }
}

#[cfg(test)]
mod tests {
    use std::io::Cursor;
    use std::sync::Arc;

    use arrow::array::{Int64Array, StringArray};
    use arrow::datatypes::{DataType, Field, Schema};
    use arrow::ipc::writer::FileWriter;

    use super::*;

    fn source(lengths: &[i64]) -> (SchemaRef, Vec<RecordBatch>) {
        let fields = vec![Field::new("id", DataType::Int64, false), Field::new("s", DataType::Utf8, true)];
        let schema = Arc::new(Schema::new(fields));
        let mut next = 0;
        let batches = lengths.iter().map(|length| {
            let ids: Vec<i64> = (next..next + length).collect();
            next += length;
            let texts: StringArray =
                ids.iter().map(|id| (id % 3 > 0).then(|| format!("text {id}"))).collect();
            let columns: Vec<arrow::array::ArrayRef> = vec![Arc::new(Int64Array::from(ids)), Arc::new(texts)];
            RecordBatch::try_new(Arc::clone(&schema), columns).unwrap()
        });
        let batches = batches.collect();
        (schema, batches)
    }

    fn all(bytes: &[u8], limits: Limits) -> anyhow::Result<Vec<Batch>> {
        let mut found = Vec::new();
        cut(bytes, limits, &mut |batch| {
            found.push(batch);
            true
        })?;
        Ok(found)
    }

    fn ids(batch: &Batch) -> Vec<i64> {
        let reader = StreamReader::try_new(Cursor::new(&batch.body), None).unwrap();
        let of_batch = |batch: RecordBatch| {
            let ids = batch.column(0).as_any().downcast_ref::<Int64Array>().unwrap();
            ids.values().to_vec()
        };
        reader.flat_map(|batch| of_batch(batch.unwrap())).collect()
    }

    #[test]
    fn a_stream_and_a_file_are_cut_into_streams_of_whole_rows() {
        let (schema, batches) = source(&[5, 0, 1, 30, 3]);
        let mut stream = Vec::new();
        let mut writer = StreamWriter::try_new(&mut stream, &schema).unwrap();
        batches.iter().for_each(|batch| writer.write(batch).unwrap());
        writer.finish().unwrap();
        let mut file = Vec::new();
        let mut writer = FileWriter::try_new(&mut file, &schema).unwrap();
        batches.iter().for_each(|batch| writer.write(batch).unwrap());
        writer.finish().unwrap();
        for bytes in [&stream, &file] {
            let cut = all(bytes, Limits { rows_max: 8, bytes_max: 1 << 20 }).unwrap();
            let lengths: Vec<u64> = cut.iter().map(|batch| batch.rows).collect();
            assert_eq!(lengths, [8, 8, 8, 8, 7]);
            assert_eq!(cut.iter().map(|batch| batch.first_row).collect::<Vec<_>>(), [0, 8, 16, 24, 32]);
            let together: Vec<i64> = cut.iter().flat_map(ids).collect();
            assert_eq!(together, (0..39).collect::<Vec<_>>());
        }
        let one_by_one = all(&stream, Limits { rows_max: 100, bytes_max: 1 }).unwrap();
        assert_eq!(one_by_one.len(), 39, "a row that is too large goes alone");
    }

    #[test]
    fn a_stream_that_is_cut_off_is_an_error() {
        let (schema, batches) = source(&[50]);
        let mut stream = Vec::new();
        let mut writer = StreamWriter::try_new(&mut stream, &schema).unwrap();
        batches.iter().for_each(|batch| writer.write(batch).unwrap());
        writer.finish().unwrap();
        let limits = Limits { rows_max: 8, bytes_max: 1 << 20 };
        for length in [0, 4, 8, 40, 300] {
            assert!(all(&stream[..length], limits).is_err(), "{length}");
        }
    }
}

use std::ops::Range;

use super::*;
use crate::error::{ErrorKind, Result};
use crate::segment::{RangeSource, read_slice};
use arrow::datatypes::Schema as ArrowSchema;
use async_trait::async_trait;
use parking_lot::Mutex;

/// An object in memory that remembers what was asked of it.
struct Object {
    bytes: Bytes,
    asked: Mutex<Vec<Range<u64>>>,
}

impl Object {
    /// First byte and end of each range asked for so far.
    fn take_asked(&self) -> Vec<(u64, u64)> {
        self.asked.lock().drain(..).map(|range| (range.start, range.end)).collect()
    }
}

#[async_trait]
impl RangeSource for Object {
    async fn ranges(&self, ranges: &[Range<u64>]) -> Result<Vec<Bytes>> {
        self.asked.lock().extend_from_slice(ranges);
        let at = |at: u64| usize::try_from(at).unwrap().min(self.bytes.len());
        Ok(ranges.iter().map(|range| self.bytes.slice(at(range.start)..at(range.end))).collect())
    }
}

/// An object of a header and a body of two slices; the second has 20 columns of 80 kB.
fn wide() -> (Object, Slice, RecordBatch) {
    let fields: Vec<_> = (0..20).map(|n| Field::new(format!("c{n}"), DataType::Int64, n % 2 == 0)).collect();
    let batch = batch(&Arc::new(ArrowSchema::new(fields)), 10_000, 77);
    let mut builder = BodyBuilder::new();
    builder.push(meta(20, Codec::Lz4), &[batch.slice(0, 10)]).unwrap();
    builder.push(meta(20, Codec::None), std::slice::from_ref(&batch)).unwrap();
    let body = builder.finish();
    let mut bytes = vec![7_u8; usize::try_from(PLACE.start).unwrap()];
    body.chunks.iter().for_each(|chunk| bytes.extend_from_slice(chunk));
    let object = Object { bytes: bytes.into(), asked: Mutex::default() };
    (object, body.slices[1].clone(), batch)
}

#[tokio::test]
async fn one_of_20_columns_costs_little_more_than_its_bytes() {
    let (object, slice, batch) = wide();
    let fields = batch.schema().fields().to_vec();
    for column in 0..20 {
        let read = read_slice(&object, &PLACE, &slice, &fields, Some(&[column])).await.unwrap();
        assert_eq!(read, [batch.project(&[column]).unwrap()]);
        let asked = object.take_asked();
        let bytes: u64 = asked.iter().map(|(from, to)| to - from).sum();
        let column_bytes = slice.batches[0].chunks[column].len;
        assert!(bytes * 10 <= column_bytes * 13, "column {column}: {bytes} of {column_bytes}");
        assert!(asked.len() <= 2);
    }
}

#[tokio::test]
async fn most_of_the_columns_are_read_in_one_request() {
    let (object, slice, batch) = wide();
    let fields = batch.schema().fields().to_vec();
    let wanted: Vec<usize> = (0..20).filter(|n| n % 3 != 0).collect();
    let read = read_slice(&object, &PLACE, &slice, &fields, Some(&wanted)).await.unwrap();
    assert_eq!(read, [batch.project(&wanted).unwrap()]);
    let start = PLACE.start + slice.body_offset;
    let whole = vec![(start, start + slice.bytes)];
    assert_eq!(object.take_asked(), whole);
    let read = read_slice(&object, &PLACE, &slice, &fields, None).await.unwrap();
    assert_eq!(read, [batch]);
    assert_eq!(object.take_asked(), whole);
}

#[tokio::test]
async fn rows_without_columns_cost_no_request() {
    let (object, slice, batch) = wide();
    let read = read_slice(&object, &PLACE, &slice, batch.schema().fields(), Some(&[])).await.unwrap();
    assert_eq!(logical_rows(&read), 10_000);
    assert!(object.take_asked().is_empty());
}

#[tokio::test]
async fn an_object_that_ends_early_is_named() {
    let (mut object, slice, batch) = wide();
    object.bytes.truncate(object.bytes.len() - 1);
    for wanted in [None, Some([19].as_slice())] {
        let error = read_slice(&object, &PLACE, &slice, batch.schema().fields(), wanted).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Corrupt);
        assert!(error.to_string().contains(PLACE.object), "{error}");
    }
}

#[tokio::test]
async fn a_source_that_forgets_a_range_is_refused() {
    struct Forgetful;
    #[async_trait]
    impl RangeSource for Forgetful {
        async fn ranges(&self, _: &[Range<u64>]) -> Result<Vec<Bytes>> {
            Ok(Vec::new())
        }
    }
    let (_, slice, batch) = wide();
    let error = read_slice(&Forgetful, &PLACE, &slice, batch.schema().fields(), None).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Internal);
}

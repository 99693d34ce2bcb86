//! A fuzz target: bytes that have the right checksums, and maybe nothing else right.
//!
//! Checksums keep a fuzzer away from the decoder behind them, so they are computed for whatever bytes come. The input:
//!
//! ```text
//!   codec u8 | rows u16 LE | metadata_len / 8, u16 LE | chunk len / 8, u16 LE, for all columns but the last | message
//! ```

use std::ops::Range;
use std::sync::Arc;

use arrow::datatypes::{DataType, Field, FieldRef, Fields, TimeUnit};
use bytes::Bytes;
use xxhash_rust::xxh3::xxh3_64;

use super::buffer::len_u64;
use super::layout::{ALIGNMENT, BodyPlace};
use super::projection::{Projection, decode_projected};
use super::reader::{decode, decode_columns};
use crate::format::slice::{BatchLayout, Codec, ColumnChunk, Slice, SliceHome, SliceOp};
use crate::id::{Bucket, FieldId, Stream, TableId};

/// The columns of the slices that [`fuzz_slice`] decodes: each shape of array that a slice can hold.
pub fn fuzz_fields() -> Vec<FieldRef> {
    let element = |data_type, nullable| Arc::new(Field::new("element", data_type, nullable));
    let pair = |value| {
        let fields = vec![Field::new("key", DataType::Utf8, false), Field::new("value", value, true)];
        Arc::new(Field::new("entries", DataType::Struct(fields.into()), false))
    };
    let fields: Fields =
        vec![Field::new("a", DataType::Boolean, true), Field::new("b", DataType::Utf8, true)].into();
    let types = [
        (DataType::Int64, false),
        (DataType::Utf8, true),
        (DataType::Boolean, true),
        (DataType::Decimal128(38, 2), true),
        (DataType::Timestamp(TimeUnit::Microsecond, Some("UTC".into())), true),
        (DataType::FixedSizeBinary(16), true),
        (DataType::FixedSizeList(element(DataType::Float32, false), 3), true),
        (DataType::List(element(DataType::List(element(DataType::Int32, true)), false)), true),
        (DataType::Map(pair(DataType::Binary), false), true),
        (DataType::Struct(fields), true),
    ];
    let named =
        |(n, (data_type, nullable)): (usize, _)| Arc::new(Field::new(format!("c{n}"), data_type, nullable));
    types.into_iter().enumerate().map(named).collect()
}

/// Decodes any bytes as a slice, whole and each column alone, as the module says.
///
/// Most inputs are refused. No input may panic, but to say that a column came out different when it was read alone.
pub fn fuzz_slice(data: &[u8]) {
    let fields = fuzz_fields();
    let Some((slice, bytes)) = slice_of(data, fields.len()) else {
        return;
    };
    let place = BodyPlace { object: "fuzz", start: 0 };
    let whole = decode(&slice, &bytes, &fields, &place);
    for column in 0..fields.len() {
        let wanted = [column];
        let Ok(projection) = Projection::plan(&slice, &wanted, 0) else {
            return;
        };
        let part = |range: &Range<u64>| {
            let at = |at: u64| usize::try_from(at).unwrap_or(usize::MAX);
            bytes.slice(at(range.start)..at(range.end))
        };
        let fetched: Vec<Bytes> = projection.ranges().iter().map(part).collect();
        let alone = decode_projected(&slice, &projection, &fetched, &fields, &place);
        let picked = decode_columns(&slice, &bytes, &fields, &wanted, &place);
        assert_eq!(alone.as_ref().ok(), picked.as_ref().ok(), "column {column} by ranges and from the whole");
        if let Ok(whole) = &whole {
            let alone = alone.expect("a column of a slice that was decoded whole is decoded");
            assert_eq!(alone[0].column(0), whole[0].column(column), "column {column} alone and of the whole");
        }
    }
}

/// The slice of one batch that the input describes, and its bytes.
pub(super) fn slice_of(data: &[u8], columns: usize) -> Option<(Slice, Bytes)> {
    let (&[codec], data) = data.split_first_chunk()?;
    let (rows, data) = data.split_first_chunk()?;
    let (metadata_len, mut message) = data.split_first_chunk()?;
    let mut lengths = Vec::with_capacity(columns);
    for _ in 1..columns {
        let (length, rest) = message.split_first_chunk()?;
        lengths.push(u64::from(u16::from_le_bytes(*length)) * ALIGNMENT);
        message = rest;
    }
    let whole = len_u64(message) / ALIGNMENT * ALIGNMENT;
    let message = &message[..usize::try_from(whole).ok()?];
    let metadata_len = (u64::from(u16::from_le_bytes(*metadata_len)) * ALIGNMENT).min(whole);
    let (metadata, body) = message.split_at(usize::try_from(metadata_len).ok()?);
    let mut chunks = Vec::with_capacity(columns);
    let mut offset = 0;
    for length in lengths.into_iter().map(Some).chain([None]) {
        let left = len_u64(body) - offset;
        let len = length.map_or(left, |length| length.min(left));
        let bytes = &body[usize::try_from(offset).ok()?..usize::try_from(offset + len).ok()?];
        chunks.push(ColumnChunk { offset, len, checksum: xxh3_64(bytes) });
        offset += len;
    }
    let rows = u32::from(u16::from_le_bytes(*rows));
    let batch = BatchLayout {
        rows,
        metadata_len: u32::try_from(metadata_len).ok()?,
        body_len: len_u64(body),
        metadata_checksum: xxh3_64(metadata),
        chunks,
    };
    let slice = Slice {
        table: TableId(0),
        bucket: Bucket(0),
        stream: Stream::Rows,
        schema: 0,
        columns: (1..=FieldId::try_from(columns).ok()?).collect(),
        op: SliceOp::Append,
        codec: [Codec::None, Codec::Lz4, Codec::Zstd][usize::from(codec % 3)],
        home: SliceHome::Here,
        body_offset: 0,
        bytes: whole,
        rows,
        times: None,
        source: None,
        batches: vec![batch],
        statistics: Vec::new(),
        checksum: xxh3_64(message),
    };
    Some((slice, Bytes::copy_from_slice(message)))
}

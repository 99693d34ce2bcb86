use super::*;
use crate::error::ErrorKind;
use crate::segment::{decode, row_range};
use arrow::array::{AsArray, DictionaryArray, Int8Array, UInt8Array};
use arrow::compute::concat_batches;
use arrow::datatypes::{Int64Type, Schema as ArrowSchema};
use proptest::prelude::{ProptestConfig, any, prop_assert_eq, proptest};
use xxhash_rust::xxh3::xxh3_64;

#[test]
fn every_type_comes_back_as_it_was_written() {
    for codec in CODECS {
        for rows in [vec![], vec![0], vec![1], vec![7, 0, 100], vec![1000]] {
            let (batches, slice, bytes, fields) = every_type_written(&rows, codec, 11);
            assert_eq!(decode(&slice, &bytes, &fields, &PLACE).unwrap(), batches, "{codec:?} {rows:?}");
            assert_eq!(usize::try_from(slice.rows).unwrap(), logical_rows(&batches));
        }
    }
}

#[test]
fn rows_of_no_columns_come_back() {
    let schema = Arc::new(ArrowSchema::empty());
    let batches = [batch(&schema, 5, 0), batch(&schema, 2, 0)];
    let (slice, bytes) = written(&batches, 0, Codec::Zstd);
    assert_eq!(decode(&slice, &bytes, &[], &PLACE).unwrap(), batches);
}

#[test]
fn strings_that_are_empty_or_null_keep_the_difference() {
    let schema = Arc::new(ArrowSchema::new(vec![Field::new("s", DataType::Utf8, true)]));
    let strings = StringArray::from(vec![Some(""), None, Some(""), None]);
    let batch = RecordBatch::try_new(Arc::clone(&schema), vec![Arc::new(strings)]).unwrap();
    for codec in CODECS {
        let (slice, bytes) = written(std::slice::from_ref(&batch), 1, codec);
        let decoded = decode(&slice, &bytes, schema.fields(), &PLACE).unwrap();
        let values: Vec<_> = decoded[0].column(0).as_string::<i32>().iter().collect();
        assert_eq!(values, [Some(""), None, Some(""), None]);
        assert_eq!(slice.statistics[0].nulls, 2);
    }
}

#[test]
fn a_column_of_ops_is_held() {
    let schema = Arc::new(ArrowSchema::new(vec![
        Field::new("op", DataType::Int8, false),
        Field::new("other", DataType::UInt8, true),
    ]));
    let (ops, other) = (Int8Array::from(vec![0, 1, -1]), UInt8Array::from(vec![Some(1), None, Some(3)]));
    let batch = RecordBatch::try_new(Arc::clone(&schema), vec![Arc::new(ops), Arc::new(other)]).unwrap();
    let (slice, bytes) = written(std::slice::from_ref(&batch), 2, Codec::Lz4);
    assert_eq!(decode(&slice, &bytes, schema.fields(), &PLACE).unwrap(), [batch]);
}

#[test]
fn slices_lie_behind_each_other_at_multiples_of_8() {
    let schema = arrow_schema(&every_type());
    let mut builder = BodyBuilder::new();
    for (rows, codec) in [(3, Codec::Lz4), (0, Codec::None), (50, Codec::Zstd), (1, Codec::None)] {
        builder.push(meta(schema.fields().len(), codec), &[batch(&schema, rows, 9)]).unwrap();
    }
    assert_eq!(builder.push(meta(0, Codec::None), &[]).unwrap(), 4);
    let body = builder.finish();
    let mut end = 0;
    for (index, slice) in body.slices.iter().enumerate() {
        assert_eq!(slice.body_offset, end);
        assert_eq!(slice.body_offset % 8, 0);
        assert_eq!(xxh3_64(&slice_bytes(&body, index)), slice.checksum);
        end += slice.bytes;
    }
    assert_eq!(end, body.bytes);
}

#[test]
fn a_slice_that_is_refused_leaves_the_body_as_it_was() {
    let schema = arrow_schema(&every_type());
    let good = batch(&schema, 2, 1);
    let mut builder = BodyBuilder::new();
    let columns = schema.fields().len();
    builder.push(meta(columns, Codec::None), std::slice::from_ref(&good)).unwrap();
    let bytes = builder.bytes();
    let refused = |builder: &mut BodyBuilder, meta, batches: &[RecordBatch]| {
        let kind = builder.push(meta, batches).unwrap_err().kind();
        assert_eq!(builder.bytes(), bytes);
        kind
    };
    let other = batch(&Arc::new(schema.project(&[1]).unwrap()), 2, 1);
    assert_eq!(refused(&mut builder, meta(2, Codec::None), std::slice::from_ref(&good)), ErrorKind::Invalid);
    assert_eq!(refused(&mut builder, meta(columns, Codec::None), &[good, other]), ErrorKind::Invalid);
    let mut twice = meta(2, Codec::None);
    twice.columns = vec![4, 4];
    assert_eq!(refused(&mut builder, twice, &[]), ErrorKind::Invalid);
    let dictionary: DictionaryArray<arrow::datatypes::Int32Type> = ["a", "b", "a"].into_iter().collect();
    let dictionary = RecordBatch::try_from_iter([("d", Arc::new(dictionary) as ArrayRef)]).unwrap();
    assert_eq!(refused(&mut builder, meta(1, Codec::None), &[dictionary]), ErrorKind::Unsupported);
    let body = builder.finish();
    assert_eq!((body.slices.len(), body.chunks.len()), (1, 2));
}

#[test]
fn plain_aligned_columns_are_decoded_in_place() {
    let schema = Arc::new(ArrowSchema::new(vec![Field::new("n", DataType::Int64, false)]));
    let (slice, bytes) = written(&[batch(&schema, 500, 3)], 1, Codec::None);
    // Wherever the allocator put the bytes, some place in a copy of them is aligned.
    let mut room = vec![0_u8; bytes.len() + 8];
    let shift = room.as_ptr().align_offset(8);
    room[shift..shift + bytes.len()].copy_from_slice(&bytes);
    let bytes = Bytes::from(room).slice(shift..shift + bytes.len());
    let decoded = decode(&slice, &bytes, schema.fields(), &PLACE).unwrap();
    let values = decoded[0].column(0).as_primitive::<Int64Type>().values().inner().as_ptr();
    assert!(bytes.as_ptr_range().contains(&values));
}

#[test]
fn bytes_that_are_not_aligned_are_decoded_too() {
    let (batches, slice, bytes, fields) = every_type_written(&[20, 3], Codec::None, 4);
    for shift in 0..16 {
        let mut room = vec![0_u8; shift];
        room.extend_from_slice(&bytes);
        assert_eq!(decode(&slice, &Bytes::from(room).slice(shift..), &fields, &PLACE).unwrap(), batches);
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(60))]

    #[test]
    fn slices_of_batches_come_back_as_their_rows(seed in any::<u64>(), from in 0_usize..30, count in 0_usize..30) {
        let schema = arrow_schema(&every_type());
        let part = batch(&schema, 60, seed).slice(from, count);
        let codec = CODECS[from % 3];
        let (slice, bytes) = written(std::slice::from_ref(&part), schema.fields().len(), codec);
        prop_assert_eq!(decode(&slice, &bytes, schema.fields(), &PLACE).unwrap(), vec![part]);
    }

    #[test]
    fn a_row_range_is_those_rows(sizes in proptest::collection::vec(0_usize..9, 0..5), from in 0_u64..40, count in 0_u64..40) {
        let schema = Arc::new(ArrowSchema::new(vec![Field::new("n", DataType::Int64, true)]));
        let batches: Vec<_> = sizes.iter().zip(0..).map(|(rows, seed)| batch(&schema, *rows, seed)).collect();
        let whole = concat_batches(&schema, &batches).unwrap();
        let rows = row_range(&batches, from, count);
        if from + count > u64::try_from(whole.num_rows()).unwrap() {
            prop_assert_eq!(rows.unwrap_err().kind(), ErrorKind::Invalid);
        } else {
            let expected = whole.slice(usize::try_from(from).unwrap(), usize::try_from(count).unwrap());
            prop_assert_eq!(concat_batches(&schema, &rows.unwrap()).unwrap(), expected);
        }
    }
}

#[test]
fn a_row_range_that_overflows_is_refused() {
    assert_eq!(row_range(&[], u64::MAX, 2).unwrap_err().kind(), ErrorKind::Invalid);
    assert!(row_range(&[], 0, 0).unwrap().is_empty());
}

/// What Arrow's own writer makes of batches joined.
fn as_arrow_writes(batches: &[RecordBatch], codec: Codec) -> (Vec<u8>, Vec<u8>) {
    use arrow::ipc::writer::{
        CompressionContext, DictionaryTracker, EncodedData, IpcDataGenerator, IpcWriteOptions,
    };
    let joined = concat_batches(&batches[0].schema(), batches).unwrap();
    let options = IpcWriteOptions::try_new(8, false, arrow::ipc::MetadataVersion::V5).unwrap();
    let options = options.try_with_compression(crate::segment::message::compression(codec)).unwrap();
    let mut context = CompressionContext::default();
    let (_, EncodedData { ipc_message, arrow_data }) = IpcDataGenerator::default()
        .encode(&joined, &mut DictionaryTracker::new(true), &options, &mut context)
        .unwrap();
    (arrow_data, ipc_message)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(40))]

    #[test]
    fn gathered_batches_are_the_bytes_of_joined_ones(
        rows in proptest::collection::vec(0_usize..700, 1..5),
        seed in any::<u64>(),
        (skip, keep) in (0_usize..50, 1_usize..700),
        codec in proptest::sample::select(CODECS.to_vec()),
    ) {
        let schema = arrow_schema(&every_type());
        let whole = rows.iter().zip(0..).map(|(rows, n)| batch(&schema, *rows, seed.wrapping_add(n)));
        // Also parts of batches, whose offsets and bits begin anywhere.
        let part = |batch: RecordBatch| {
            let from = skip.min(batch.num_rows());
            batch.slice(from, keep.min(batch.num_rows() - from))
        };
        let batches: Vec<_> = whole.map(part).collect();
        let mut builder = BodyBuilder::new();
        builder.push_joined(meta(schema.fields().len(), codec), &batches).unwrap();
        let body = builder.finish();
        let bytes = slice_bytes(&body, 0);
        let layout = &body.slices[0].batches[0];
        // Of a single part Arrow writes what else is in the byte of its last bits; joined or whole, there is nothing else.
        let nothing_else = batches.len() > 1 || (skip == 0 && keep >= rows[0]);
        if body.slices[0].batches.len() == 1 && nothing_else {
            let (expected, message) = as_arrow_writes(&batches, codec);
            let start = usize::try_from(layout.metadata_len).unwrap();
            proptest::prop_assert!(bytes[start..] == expected, "another body than Arrow's");
            prop_assert_eq!(&bytes[8..8 + message.len()], message);
        }
        let decoded = decode(&body.slices[0], &bytes, schema.fields(), &PLACE).unwrap();
        let joined = |batches: &[RecordBatch]| concat_batches(&schema, batches).unwrap();
        prop_assert_eq!(joined(&decoded), joined(&batches));
    }
}

#[test]
fn neighbours_share_messages_that_are_evenly_long() {
    let schema = Arc::new(ArrowSchema::new(vec![Field::new("n", DataType::Int64, false)]));
    let numbers = |rows: i64| Arc::new(Int64Array::from_iter_values(0..rows)) as ArrayRef;
    let batches: Vec<_> =
        (0..10).map(|_| RecordBatch::try_new(Arc::clone(&schema), vec![numbers(100_000)]).unwrap()).collect();
    for codec in CODECS {
        let mut builder = BodyBuilder::new();
        builder.push_joined(meta(1, codec), &batches).unwrap();
        let body = builder.finish();
        let rows: Vec<u32> = body.slices[0].batches.iter().map(|batch| batch.rows).collect();
        assert_eq!(rows, [500_000, 500_000], "8 MB, of at most 4 MiB each");
        let decoded = decode(&body.slices[0], &slice_bytes(&body, 0), schema.fields(), &PLACE).unwrap();
        assert_eq!(logical_rows(&decoded), 1_000_000);
    }
}

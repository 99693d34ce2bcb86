use std::ops::Range;

use super::*;
use crate::error::ErrorKind;
use crate::segment::{Projection, decode, decode_columns, decode_projected};
use proptest::prelude::{ProptestConfig, any, prop_assert, prop_assert_eq, proptest};

/// What a store would answer.
pub(super) fn fetched(bytes: &Bytes, ranges: &[Range<u64>]) -> Vec<Bytes> {
    let at = |at: u64| usize::try_from(at).unwrap();
    ranges.iter().map(|range| bytes.slice(at(range.start)..at(range.end))).collect()
}

fn project(batches: &[RecordBatch], wanted: &[usize]) -> Vec<RecordBatch> {
    batches.iter().map(|batch| batch.project(wanted).unwrap()).collect()
}

#[test]
fn each_column_alone_is_that_column_of_the_whole() {
    for codec in CODECS {
        for rows in [vec![0], vec![13, 0, 40]] {
            let (batches, slice, bytes, fields) = every_type_written(&rows, codec, 21);
            for column in 0..fields.len() {
                let projection = Projection::plan(&slice, &[column], 0).unwrap();
                let parts = fetched(&bytes, projection.ranges());
                let decoded = decode_projected(&slice, &projection, &parts, &fields, &PLACE).unwrap();
                assert_eq!(decoded, project(&batches, &[column]), "{codec:?} column {column}");
                let wanted: u64 = slice
                    .batches
                    .iter()
                    .map(|batch| u64::from(batch.metadata_len) + batch.chunks[column].len)
                    .sum();
                assert_eq!(projection.bytes(), wanted);
            }
        }
    }
}

#[test]
fn no_column_at_all_keeps_the_rows_and_needs_no_bytes() {
    let (_, slice, _, fields) = every_type_written(&[5, 2], Codec::Lz4, 1);
    let projection = Projection::plan(&slice, &[], 0).unwrap();
    assert!(projection.ranges().is_empty());
    let decoded = decode_projected(&slice, &projection, &[], &fields, &PLACE).unwrap();
    assert_eq!(decoded.iter().map(RecordBatch::num_rows).collect::<Vec<_>>(), [5, 2]);
    assert_eq!(decoded[0].num_columns(), 0);
}

#[test]
fn columns_that_are_not_there_or_wanted_twice_are_refused() {
    let (_, slice, bytes, fields) = every_type_written(&[5], Codec::None, 1);
    for wanted in [vec![fields.len()], vec![1, 2, 1], vec![usize::MAX]] {
        assert_eq!(Projection::plan(&slice, &wanted, 0).unwrap_err().kind(), ErrorKind::Invalid);
        let whole = decode_columns(&slice, &bytes, &fields, &wanted, &PLACE);
        assert_eq!(whole.unwrap_err().kind(), ErrorKind::Invalid);
    }
}

#[test]
fn a_projection_of_another_slice_is_refused() {
    let (_, slice, bytes, fields) = every_type_written(&[50], Codec::None, 1);
    let (_, other, _, _) = every_type_written(&[400, 3], Codec::None, 1);
    let projection = Projection::plan(&slice, &[9], 0).unwrap();
    let parts = fetched(&bytes, projection.ranges());
    decode_projected(&other, &projection, &parts, &fields, &PLACE).unwrap_err();
    let too_few = decode_projected(&slice, &projection, &parts[1..], &fields, &PLACE).unwrap_err();
    assert_eq!(too_few.kind(), ErrorKind::Internal);
    let wrong_fields = decode(&slice, &bytes, &fields[1..], &PLACE).unwrap_err();
    assert_eq!(wrong_fields.kind(), ErrorKind::Internal);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(120))]

    #[test]
    fn some_columns_are_those_of_the_whole(
        seed in any::<u64>(),
        wanted in proptest::sample::subsequence((0..28).collect::<Vec<usize>>(), 0..=28),
        turn in 0_usize..28,
        gap in proptest::prop_oneof![0_u64..64, 0_u64..4096],
        rows in proptest::collection::vec(0_usize..60, 0..4),
    ) {
        let codec = CODECS[turn % 3];
        let (batches, slice, bytes, fields) = every_type_written(&rows, codec, seed);
        prop_assert_eq!(fields.len(), 28);
        let mut wanted = wanted;
        let turned = turn % wanted.len().max(1);
        wanted.rotate_left(turned);
        let projection = Projection::plan(&slice, &wanted, gap).unwrap();
        for pair in projection.ranges().windows(2) {
            prop_assert!(pair[0].end + gap < pair[1].start);
        }
        let parts = fetched(&bytes, projection.ranges());
        let decoded = decode_projected(&slice, &projection, &parts, &fields, &PLACE).unwrap();
        prop_assert_eq!(&decoded, &project(&batches, &wanted));
        prop_assert_eq!(decode_columns(&slice, &bytes, &fields, &wanted, &PLACE).unwrap(), decoded);
    }
}

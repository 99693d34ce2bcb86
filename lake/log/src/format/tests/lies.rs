//! Objects whose checksums are right and whose numbers lie.

use super::{parts, sealed_as, small_commit, small_objects, small_slice, with_envelope};
use crate::error::ErrorKind;
use crate::format::commit::CommitHeader;
use crate::format::slice::{BatchLayout, Slice, SliceHome};
use crate::format::wire::Writer;

/// At each byte of each header a number near 2^63 is put in its stead: if it is a count or a length, taking it at its word would end the process.
#[test]
fn a_count_or_length_that_lies_is_refused_before_anything_is_allocated() {
    for huge in [1 << 24, 1 << 40, u64::MAX >> 1, u64::MAX] {
        let mut spelled = Writer::new();
        spelled.varint(huge);
        let spelled = spelled.into_bytes();
        let (mut refused, mut taken) = (0, 0);
        for (object, bytes, read) in small_objects() {
            let (kind, header, body) = parts(&bytes);
            for at in 0..header.len() {
                let lying = [&header[..at], &spelled, &header[at + 1..]].concat();
                match read(&sealed_as(kind, &lying, body)) {
                    Ok(()) => taken += 1, // a number that may be anything
                    Err(error) => {
                        assert!(error.to_string().starts_with(object), "{error}");
                        refused += 1;
                    }
                }
            }
        }
        assert!(refused > 10 * taken && taken > 0, "{refused} refused, {taken} taken");
    }
}

#[test]
fn an_envelope_whose_lengths_lie_is_refused() {
    for (object, bytes, read) in small_objects() {
        let header = u32::try_from(parts(&bytes).1.len()).unwrap();
        let body = u64::try_from(parts(&bytes).2.len()).unwrap();
        for length in [0, header - 8, header + 1, header + 8, 1 << 20, 1 << 29, u32::MAX - 7] {
            let error = read(&with_envelope(&bytes, 12, &length.to_le_bytes())).unwrap_err();
            assert!(error.to_string().starts_with(object), "header of {length}: {error}");
        }
        for length in [0, body - 1, body + 1, 1 << 40, 1 << 62, 1 << 63, u64::MAX] {
            let error = read(&with_envelope(&bytes, 24, &length.to_le_bytes())).unwrap_err();
            assert_eq!(error.kind(), ErrorKind::Corrupt, "body of {length}: {error}");
        }
    }
}

fn without_columns(batches: usize) -> Slice {
    let batch = BatchLayout { rows: 1, metadata_len: 8, body_len: 0, metadata_checksum: 1, chunks: vec![] };
    let batches = vec![batch; batches];
    let count = u64::try_from(batches.len()).unwrap();
    let rows = u32::try_from(count).unwrap();
    Slice { columns: vec![], statistics: vec![], rows, bytes: 8 * count, batches, ..small_slice() }
}

#[test]
fn many_short_batches_are_no_lie() {
    for batches in [1, 9, 10, 100] {
        let (header, _) = small_commit();
        let header = CommitHeader { slices: vec![without_columns(batches)], proposals: vec![], ..header };
        header.seal(vec![vec![0; 1024].into()]).unwrap();
    }
}

/// Such a commit would stop every node of its log for ever.
#[test]
fn what_could_not_be_read_back_is_never_sealed() {
    let batch = small_slice().batches.remove(0);
    let with_batch = |batch| Slice { batches: vec![batch], ..small_slice() };
    let lies = [
        ("rows", Slice { rows: 4, ..small_slice() }),
        ("rows", Slice { rows: 0, batches: vec![], bytes: 0, ..small_slice() }),
        ("bytes", Slice { bytes: 16, ..small_slice() }),
        ("multiple of 8", Slice { body_offset: 4, ..small_slice() }),
        ("fill its bytes", Slice { body_offset: u64::MAX - 7, home: SliceHome::Segment(0), ..small_slice() }),
        ("body of 40 bytes", Slice { body_offset: 24, ..small_slice() }),
        ("segments", Slice { home: SliceHome::Segment(1), ..small_slice() }),
        ("u32", Slice { home: SliceHome::Segment(u32::MAX), ..small_slice() }),
        ("times", Slice { times: Some((1, 0)), ..small_slice() }),
        ("source", Slice { source: Some(std::ops::Range { start: 1, end: 0 }), ..small_slice() }),
        ("multiples of 8", with_batch(BatchLayout { metadata_len: 12, ..batch.clone() })),
        ("tile", with_batch(BatchLayout { body_len: 16, ..batch.clone() })),
        ("tile", with_batch(BatchLayout { chunks: vec![], ..batch })),
    ];
    for (words, slice) in lies {
        let (header, body) = small_commit();
        let header = CommitHeader { slices: vec![slice.clone()], ..header };
        let error = header.seal(vec![body]).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Internal);
        assert!(error.to_string().contains(words), "{words}: {error}");
    }
}

#[test]
fn a_producer_without_a_name_or_with_a_long_one_is_never_sealed() {
    for id in [String::new(), "p".repeat(129)] {
        let (mut header, body) = small_commit();
        header.proposals[0].producer.as_mut().unwrap().id = id;
        assert!(header.seal(vec![body]).unwrap_err().to_string().contains("a producer id of 1 to 128 bytes"));
    }
}

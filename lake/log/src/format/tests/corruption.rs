//! Truncations and flipped bits: refused, and named.

use std::ops::Range;

use proptest::prelude::*;

use super::{Readable, arbitrary, parts, small_commit, small_objects, small_page};
use crate::error::{Error, ErrorKind};
use crate::format::commit::Commit;
use crate::format::envelope::{ENVELOPE_BYTES, Envelope, ObjectKind};
use crate::format::page::PageHeader;
use crate::format::segment::SegmentHeader;

/// The range that a message speaks of: `… bytes 64..128 …`.
fn range_named(error: &Error) -> Option<Range<usize>> {
    let message = error.to_string();
    let (_, after) = message.split_once(" bytes ")?;
    let range = after.split([' ', ':']).next()?;
    let (start, end) = range.split_once("..")?;
    Some(start.parse().ok()?..end.parse().ok()?)
}

#[test]
fn every_object_is_read_as_it_was_written() {
    for (_, bytes, read) in small_objects() {
        read(&bytes).unwrap();
    }
}

#[test]
fn every_truncation_and_every_addition_is_refused() {
    for (object, bytes, read) in small_objects() {
        for length in 0..bytes.len() {
            let error = read(&bytes[..length]).unwrap_err();
            assert_eq!(error.kind(), ErrorKind::Corrupt, "{object} of {length} bytes: {error}");
            assert!(error.to_string().starts_with(object), "{length}: {error}");
        }
        let longer = [&bytes[..], &[0]].concat();
        assert_eq!(read(&longer).unwrap_err().kind(), ErrorKind::Corrupt, "{object}");
    }
}

#[test]
fn every_flipped_bit_is_refused_and_its_byte_range_named() {
    for (object, bytes, read) in small_objects() {
        let body_start = bytes.len() - parts(&bytes).2.len();
        let (mut in_header, mut in_body) = (0, 0);
        for bit in 0..bytes.len() * 8 {
            let at = bit / 8;
            let mut flipped = bytes.clone();
            flipped[at] ^= 1 << (bit % 8);
            let error = read(&flipped).unwrap_err();
            assert_eq!(error.kind(), ErrorKind::Corrupt, "bit {bit} of {object}: {error}");
            assert!(error.to_string().starts_with(object), "bit {bit}: {error}");
            let named = range_named(&error).unwrap_or_else(|| panic!("no range: {error}"));
            // The envelope's checksum is named by the bytes that it is of.
            let holds = named.contains(&at) || (56..64).contains(&at) && named == (0..56);
            assert!(holds, "bit {bit} of {object}: {error}");
            in_header += usize::from((ENVELOPE_BYTES..body_start).contains(&at));
            in_body += usize::from(at >= body_start);
        }
        assert!(in_header > 0 && in_body > 0, "{object} has a header and a body");
    }
}

#[test]
fn the_fold_refuses_flips_and_truncations_without_the_body() {
    let (header, body) = small_commit();
    let sealed = header.seal(vec![body]).unwrap();
    let head = sealed.head.to_vec();
    assert!(Commit::decode("db/log/7", &head, 7).is_ok());
    for length in 0..head.len() {
        assert!(Commit::decode("db/log/7", &head[..length], 7).is_err(), "{length} bytes");
    }
    for bit in 0..head.len() * 8 {
        let mut flipped = head.clone();
        flipped[bit / 8] ^= 1 << (bit % 8);
        assert!(Commit::decode("db/log/7", &flipped, 7).is_err(), "bit {bit}");
    }
}

#[test]
fn a_flip_in_a_part_of_a_page_is_found_when_that_part_alone_is_read() {
    let (bytes, slots) = small_page();
    let (envelope, header) = PageHeader::decode("db/index/5", &bytes, &slots).unwrap();
    assert_eq!(header.directory.len(), 2);
    for part in &header.directory {
        let range = part.object_range(&envelope);
        let start = usize::try_from(range.start).unwrap();
        let good = bytes[start..usize::try_from(range.end).unwrap()].to_vec();
        for bit in 0..good.len() * 8 {
            let mut flipped = good.clone();
            flipped[bit / 8] ^= 1 << (bit % 8);
            let error = part.decode_places("db/index/5", &envelope, &flipped).unwrap_err();
            assert!(range_named(&error).unwrap().contains(&(start + bit / 8)), "bit {bit}: {error}");
        }
        assert!(part.decode_places("db/index/5", &envelope, &good[1..]).is_err());
    }
}

#[test]
fn an_object_under_another_key_is_refused() {
    let objects = small_objects();
    let bytes = |n: usize| -> &[u8] { &objects[n].1 };
    let refusals = [
        Commit::decode("db/log/8", bytes(0), 8).map(drop),
        SegmentHeader::decode(
            "db/segment/7",
            bytes(1),
            crate::id::SegmentId { base: 7, ulid: crate::id::Ulid::from(9u128) },
        )
        .map(drop),
        PageHeader::decode("db/index/5", bytes(2), &(5..10)).map(drop),
        crate::format::checkpoint::Checkpoint::decode("x", &bytes(3).to_vec().into(), 10).map(drop),
    ];
    for refusal in refusals {
        let error = refusal.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Corrupt);
        assert!(error.to_string().contains("expected") && error.to_string().contains("found"), "{error}");
    }
}

#[test]
fn an_object_of_another_kind_is_refused() {
    let kinds = [ObjectKind::Commit, ObjectKind::Segment, ObjectKind::IndexPage, ObjectKind::Checkpoint];
    for (place, (object, bytes, _)) in small_objects().iter().enumerate() {
        for (other, kind) in kinds.iter().enumerate() {
            let read = Envelope::decode(object, bytes, *kind);
            assert_eq!(read.is_ok(), place == other, "{object} as {kind:?}");
        }
    }
}

#[test]
fn other_files_are_not_taken_for_objects() {
    let found: [&[u8]; 4] = [b"", b"PAR1", &[0; 64], &[b'\n'; 200]];
    for bytes in found {
        for (object, _, read) in &small_objects() {
            let error = read(bytes).unwrap_err();
            assert!(error.to_string().starts_with(object), "{error}");
        }
    }
    // As a transfer in text mode leaves it.
    for (_, bytes, read) in &small_objects() {
        let text: Vec<u8> = bytes.iter().copied().filter(|byte| *byte != b'\r').collect();
        assert!(read(&text).unwrap_err().to_string().contains("expected Frazil's magic"));
    }
}

proptest! {
    #[test]
    fn a_flip_anywhere_in_any_commit_is_refused(
        (header, body) in arbitrary::commits(), at: prop::sample::Index, bit in 0..8u8,
    ) {
        let mut bytes = header.seal(vec![body]).unwrap().to_vec();
        let at = at.index(bytes.len());
        bytes[at] ^= 1 << bit;
        let read = Commit::decode("x", &bytes, header.slot).and_then(|commit| commit.envelope.verify("x", &bytes));
        prop_assert!(read.is_err());
    }

    #[test]
    fn any_bytes_are_an_error(bytes in prop::collection::vec(any::<u8>(), 0..300)) {
        let objects: Vec<Readable> = small_objects();
        for (_, _, read) in &objects {
            prop_assert!(read(&bytes).is_err());
        }
    }
}

//! What this version does not know stops it, with words (rule 8): it is never skipped.

use super::{parts, sealed_as, small_objects, small_slice, with_envelope};
use crate::error::{Error, ErrorKind};
use crate::format::commit::Commit;
use crate::format::entry::Entry;
use crate::format::envelope::{FEATURES_KNOWN, ObjectKind};
use crate::format::slice::Slice;
use crate::format::wire::{Reader, Writer};
use crate::id::TableId;

fn assert_unknown(error: &Error, words: &str) {
    assert_eq!(error.kind(), ErrorKind::Unsupported, "{error}");
    let message = error.to_string();
    assert!(message.contains(words) && message.contains("upgrade this process"), "{words}: {message}");
}

#[test]
fn a_later_version_stops_the_reader() {
    for (_, bytes, read) in small_objects() {
        for version in [0, 2, 255] {
            let error = read(&with_envelope(&bytes, 9, &[version])).unwrap_err();
            assert_unknown(&error, &format!("at byte 9: version {version}"));
        }
    }
}

#[test]
fn a_feature_bit_stops_the_reader() {
    for (_, bytes, read) in small_objects() {
        let known = if [1, 3].contains(&bytes[8]) { FEATURES_KNOWN } else { 0 };
        for features in (0..64).map(|bit| 1u64 << bit).filter(|feature| known & feature == 0) {
            let error = read(&with_envelope(&bytes, 16, &features.to_le_bytes())).unwrap_err();
            assert_unknown(&error, &format!("at byte 16: feature {features:#x}"));
        }
        let error = read(&with_envelope(&bytes, 10, &[0, 1])).unwrap_err();
        assert_unknown(&error, "at byte 10: a field");
    }
}

#[test]
fn a_longer_header_stops_the_reader() {
    for (_, bytes, read) in small_objects() {
        let (kind, header, body) = parts(&bytes);
        for more in [[0; 8], [1; 8], [0, 0, 0, 0, 0, 0, 0, 1]] {
            let longer = [header, &more].concat();
            assert_unknown(&read(&sealed_as(kind, &longer, body)).unwrap_err(), "a field of");
        }
    }
}

/// Where a field that this version does not know is added.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Place {
    Nowhere,
    Writer,
    Slice,
    Proposal,
    Entry,
    Header,
}

/// A commit written by hand, as the layout in `format::commit` says.
fn by_hand(added: Place, kind: u16) -> Vec<u8> {
    let add = |w: &mut Writer, here: Place| {
        if here == added {
            w.u8(1);
        }
    };
    let mut slice = Writer::new();
    small_slice().encode(&mut slice);
    let slice = slice.into_bytes();
    let slice = Reader::new("x", 0, &slice).bytes().unwrap().to_vec();

    let mut w = Writer::new();
    w.varint(7);
    w.raw(&[1; 16]);
    w.raw(&[2; 16]);
    w.varint(6);
    w.u128(1);
    w.zigzag(-1);
    w.record(|w| {
        w.raw(&[3; 16]);
        w.text("0.1.0");
        w.text("");
        w.text("");
        w.varint(0);
        add(w, Place::Writer);
    });
    w.text("");
    w.count(0);
    w.count(1);
    w.record(|w| {
        w.raw(&slice);
        add(w, Place::Slice);
    });
    w.count(1);
    w.record(|w| {
        w.raw(&[3; 16]);
        w.varint(0);
        w.varint(6);
        w.flag(false);
        w.u128(0);
        w.count(1);
        w.u16(kind);
        w.record(|w| add(w, Place::Entry));
        add(w, Place::Proposal);
    });
    add(&mut w, Place::Header);
    sealed_as(ObjectKind::Commit, &w.into_bytes(), &[0; 32])
}

#[test]
fn a_field_more_stops_the_reader_wherever_it_is() {
    let good = Commit::decode("x", &by_hand(Place::Nowhere, 0x0102), 7).unwrap();
    assert_eq!(good.header.proposals[0].entries, [Entry::DatabaseDropped]);
    for place in [Place::Writer, Place::Slice, Place::Proposal, Place::Entry, Place::Header] {
        let error = Commit::decode("x", &by_hand(place, 0x0102), 7).unwrap_err();
        assert_unknown(&error, "a field of");
    }
}

#[test]
fn an_unknown_kind_of_entry_stops_the_folder() {
    for kind in [0x0000, 0x0100, 0x0104, 0x0205, 0x0304, 0x0403, 0x0701, 0xffff] {
        let error = Commit::decode("x", &by_hand(Place::Nowhere, kind), 7).unwrap_err();
        assert_unknown(&error, &format!("an entry of kind {kind:#06x}"));
    }
}

#[test]
fn an_unknown_stream_op_or_codec_stops_the_reader() {
    let mut w = Writer::new();
    small_slice().encode(&mut w);
    let good = w.into_bytes();
    assert!(Slice::decode(&mut Reader::new("x", 0, &good)).is_ok());
    // length · table · bucket · stream · schema · columns (count, one) · op · codec
    for (at, words) in [(3, "stream 9"), (7, "slice op 9"), (8, "codec 9")] {
        let mut bytes = good.clone();
        bytes[at] = 9;
        let error = Slice::decode(&mut Reader::new("x", 100, &bytes)).unwrap_err();
        assert_unknown(&error, &format!("x at byte {}: {words}", 100 + at));
    }
}

#[test]
fn an_unknown_type_of_a_column_stops_the_folder() {
    for tag in [0, 18, 255] {
        let mut w = Writer::new();
        w.u16(0x0201);
        w.record(|w| {
            w.varint(1);
            w.text("t");
            w.raw(&[4; 16]);
            w.record(|w| {
                w.varint(0);
                w.count(1);
                w.zigzag(1);
                w.text("a");
                w.flag(false);
                w.u8(tag);
                w.raw(&[0; 40]);
            });
        });
        let bytes = w.into_bytes();
        assert_unknown(&Entry::decode(&mut Reader::new("x", 0, &bytes)).unwrap_err(), &format!("type {tag}"));
    }
}

#[test]
fn types_deeper_than_any_table_has_are_refused_before_the_stack_is() {
    let nested = |depth: usize| {
        let mut w = Writer::new();
        w.u16(0x0201);
        w.record(|w| {
            w.varint(TableId(1).0);
            w.text("t");
            w.raw(&[4; 16]);
            w.record(|w| {
                w.varint(0);
                w.count(1);
                w.zigzag(1);
                w.text("a");
                w.flag(false);
                for _ in 1..depth {
                    w.raw(&[14, 2, 0]); // a list, its element's id and whether it is required
                }
                w.u8(2);
                w.text("");
                w.raw(&[0; 3 + 6]); // last id, pseudo-columns; key, buckets, their key and function, partitions, options
                w.u8(0);
            });
        });
        let bytes = w.into_bytes();
        Entry::decode(&mut Reader::new("x", 0, &bytes))
    };
    assert!(nested(16).is_ok());
    for depth in [17, 18, 100_000] {
        assert!(nested(depth).unwrap_err().to_string().contains("types at most 16 deep"), "{depth}");
    }
}

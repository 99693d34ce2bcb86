//! What is written comes back, and is spelled in one way only.

use bytes::Bytes;
use proptest::prelude::*;

use super::arbitrary;
use crate::format::checkpoint::{Checkpoint, CheckpointHeader};
use crate::format::commit::Commit;
use crate::format::entry::Entry;
use crate::format::page::{PageHeader, decode_page, seal_page};
use crate::format::segment::SegmentHeader;
use crate::format::slice::Slice;
use crate::format::wire::{Reader, Writer};

proptest! {
    #![proptest_config(ProptestConfig::with_cases(128))]

    #[test]
    fn a_commit_comes_back_from_its_first_bytes_and_is_spelled_once((header, body) in arbitrary::commits()) {
        let sealed = header.seal(vec![body.clone()]).unwrap();
        let bytes = sealed.to_vec();
        let commit = Commit::decode("x", &sealed.head, header.slot).unwrap();
        prop_assert_eq!(&commit, &Commit::decode("x", &bytes, header.slot).unwrap());
        prop_assert_eq!(&commit, &Commit::of_sealed(header.clone(), &sealed));
        prop_assert_eq!(&commit.header, &header);
        prop_assert_eq!(commit.envelope.object_bytes(), bytes.len() as u64);
        prop_assert_eq!(commit.head(), &sealed.head);
        commit.envelope.verify("x", &bytes).unwrap();
        prop_assert_eq!(commit.header.seal(vec![body]).unwrap().to_vec(), bytes);
    }

    #[test]
    fn a_body_in_pieces_is_the_body((header, body) in arbitrary::commits(), cut: prop::sample::Index) {
        let cut = if body.is_empty() { 0 } else { cut.index(body.len()) };
        let pieces = vec![body.slice(..cut), Bytes::new(), body.slice(cut..)];
        prop_assert_eq!(header.seal(pieces).unwrap().to_vec(), header.seal(vec![body]).unwrap().to_vec());
    }

    #[test]
    fn a_commit_is_one_put_only_with_the_same_put_id_and_content((header, body) in arbitrary::commits()) {
        let commit = |header: &crate::format::commit::CommitHeader, body: Bytes| {
            Commit::of_sealed(header.clone(), &header.seal(vec![body]).unwrap())
        };
        let first = commit(&header, body.clone());
        prop_assert!(first.is_same_put(&commit(&header, body.clone())));
        let longer: Bytes = body.iter().copied().chain([0]).collect();
        prop_assert!(!first.is_same_put(&commit(&header, longer)));
        let later = crate::format::commit::CommitHeader { time: header.time.wrapping_add(1), ..header };
        prop_assert!(!first.is_same_put(&commit(&later, body)));
    }

    #[test]
    fn a_segment_comes_back_and_is_spelled_once((header, body) in arbitrary::segments()) {
        let bytes = header.seal(vec![body.clone()]).unwrap().to_vec();
        let (envelope, read) = SegmentHeader::decode("x", &bytes, header.id).unwrap();
        envelope.verify("x", &bytes).unwrap();
        prop_assert_eq!(&read, &header);
        prop_assert_eq!(read.seal(vec![body]).unwrap().to_vec(), bytes);
    }

    #[test]
    fn a_page_comes_back_whole_and_part_by_part((said, places) in arbitrary::pages()) {
        let (log_uuid, slots, log_hash) = said;
        let bytes = seal_page(log_uuid, slots.clone(), log_hash, &places).unwrap().to_vec();
        let (header, read) = decode_page("x", &bytes, &slots).unwrap();
        prop_assert_eq!(&read, &places);
        prop_assert_eq!(seal_page(header.log_uuid, slots.clone(), header.log_hash, &read).unwrap().to_vec(), bytes.as_slice());

        let (envelope, header) = PageHeader::decode("x", &bytes, &slots).unwrap();
        for (key, places) in &places {
            let part = header.part(key).unwrap();
            let range = part.object_range(&envelope);
            let part_bytes = &bytes[usize::try_from(range.start).unwrap()..usize::try_from(range.end).unwrap()];
            prop_assert_eq!(&part.decode_places("x", &envelope, part_bytes).unwrap(), places);
        }
    }

    #[test]
    fn a_checkpoint_comes_back_and_is_spelled_once(checkpoint in arbitrary::checkpoints()) {
        let bytes = Bytes::from(checkpoint.seal().unwrap().to_vec());
        let read = Checkpoint::decode("x", &bytes, checkpoint.header.slot).unwrap();
        let header = CheckpointHeader { list_bytes: read.header.list_bytes, ..checkpoint.header };
        prop_assert_eq!(&read.header, &header);
        prop_assert_eq!((&read.state, &read.pages), (&checkpoint.state, &checkpoint.pages));
        let start = usize::try_from(read.header.state_start(bytes.len() as u64)).unwrap();
        prop_assert_eq!(&bytes[start..start + read.state.len()], &read.state[..]);
        prop_assert_eq!(read.seal().unwrap().to_vec(), bytes);
    }

    #[test]
    fn entries_and_slices_come_back_one_after_the_other(
        entries in prop::collection::vec(arbitrary::entries(), 0..6),
        slices in prop::collection::vec(arbitrary::slices(), 0..6),
    ) {
        let mut w = Writer::new();
        entries.iter().for_each(|entry| entry.encode(&mut w));
        slices.iter().for_each(|slice| slice.encode(&mut w));
        let bytes = w.into_bytes();
        let mut r = Reader::new("x", 0, &bytes);
        for entry in &entries {
            prop_assert_eq!(&Entry::decode(&mut r).unwrap(), entry);
        }
        for slice in &slices {
            prop_assert_eq!(&Slice::decode(&mut r).unwrap(), slice);
        }
        r.finish().unwrap();
    }
}

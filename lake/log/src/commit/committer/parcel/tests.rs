//! Flushes that become one, and flushes from strangers.

use bytes::Bytes;
use proptest::prelude::*;

use super::Parcel;
use crate::commit::committer::Flush;
use crate::error::ErrorKind;
use crate::format::commit::{Commit, CommitHeader};
use crate::format::entry::Entry;
use crate::format::slice::{Slice, SliceHome};
use crate::format::tests::arbitrary;
use crate::id::Ulid;

/// A flush out of an arbitrary commit, with what a sender's would have: own names, slices whose checksums are their bytes', and
/// proposals that name slices that are there.
fn sane(header: CommitHeader, body: Bytes, sender: Ulid) -> Flush {
    let CommitHeader { segments, mut slices, mut proposals, .. } = header;
    for slice in slices.iter_mut().filter(|slice| slice.home == SliceHome::Here) {
        let range = slice.object_range(0);
        let rows = &body[usize::try_from(range.start).unwrap()..usize::try_from(range.end).unwrap()];
        slice.checksum = xxhash_rust::xxh3::xxh3_64(rows);
    }
    let count = u32::try_from(slices.len()).unwrap();
    for proposal in &mut proposals {
        proposal.name.incarnation = sender;
        proposal.entries.retain(|entry| !matches!(entry, Entry::LogCreated { .. } | Entry::RolledUp { .. }));
        if count == 0 {
            proposal.entries.retain(|entry| !matches!(entry, Entry::Appended { .. }));
        }
        let named = proposal.entries.iter_mut().flat_map(|entry| entry.slices_mut());
        named.for_each(|slice| *slice %= count.max(1));
    }
    let body = if body.is_empty() { Vec::new() } else { vec![body] };
    Flush { proposals, segments, slices, body }
}

fn parcel(header: CommitHeader, body: Bytes) -> Parcel {
    let (log_uuid, from, folded) = (header.log_uuid, header.writer.clone(), header.folded);
    let flush = sane(header, body, from.incarnation);
    Parcel { log_uuid, from, folded, flush }
}

fn bytes_of(parcel: &Parcel) -> Bytes {
    parcel.seal().unwrap().concat().into()
}

type Content = Option<(Slice, String)>;

/// A slice with its bytes, or the segment that holds them, wherever it stands in a flush.
fn content(flush: &Flush, index: u32) -> Content {
    let slice = flush.slices.get(index as usize)?;
    let place = match slice.home {
        SliceHome::Segment(segment) => {
            format!("{:?} {}", flush.segments[segment as usize], slice.body_offset)
        }
        SliceHome::Here => {
            let body = flush.body.concat();
            let range = slice.object_range(0);
            format!("{:?}", &body[usize::try_from(range.start).unwrap()..usize::try_from(range.end).unwrap()])
        }
    };
    Some((Slice { home: SliceHome::Here, body_offset: 0, ..slice.clone() }, place))
}

/// What each proposal says, its slices as their contents.
fn meaning(flush: &Flush) -> Vec<(String, Vec<Content>)> {
    let one = |proposal: &crate::format::commit::Proposal| {
        let mut said = proposal.clone();
        let mut contents = Vec::new();
        for slice in said.entries.iter_mut().flat_map(|entry| entry.slices_mut()) {
            contents.push(content(flush, *slice));
            *slice = 0;
        }
        (format!("{said:?}"), contents)
    };
    flush.proposals.iter().map(one).collect()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]

    #[test]
    fn joined_flushes_mean_what_each_meant(commits in prop::collection::vec(arbitrary::commits(), 1..4)) {
        let flushes: Vec<Flush> = commits
            .into_iter()
            .map(|(header, body)| {
                let sender = header.writer.incarnation;
                sane(header, body, sender)
            })
            .collect();
        let expected: Vec<_> = flushes.iter().flat_map(meaning).collect();
        let mut joined = Flush::default();
        for flush in flushes {
            joined.append(flush).unwrap();
        }
        prop_assert!(meaning(&joined) == expected);
    }

    #[test]
    fn a_parcel_comes_back((header, body) in arbitrary::commits()) {
        let sent = parcel(header, body);
        let opened = Parcel::open(&bytes_of(&sent), sent.log_uuid).unwrap();
        prop_assert!(opened == sent);
    }

    #[test]
    fn each_bit_and_each_end_of_a_parcel_counts((header, body) in arbitrary::commits(), bit: prop::sample::Index) {
        let sent = parcel(header, body);
        let bytes = bytes_of(&sent);
        let at = bit.index(bytes.len() * 8);
        let mut flipped = bytes.to_vec();
        flipped[at / 8] ^= 1 << (at % 8);
        prop_assert!(Parcel::open(&flipped.into(), sent.log_uuid).is_err());
        prop_assert!(Parcel::open(&bytes.slice(..at / 8), sent.log_uuid).is_err());
    }

    #[test]
    fn any_bytes_are_a_parcel_or_an_error(bytes in prop::collection::vec(any::<u8>(), 0..400)) {
        prop_assert!(Parcel::open(&bytes.into(), uuid::Uuid::nil()).is_err());
    }

    #[test]
    fn what_is_not_the_senders_or_not_a_requests_is_refused((header, body) in arbitrary::commits(), base: u64) {
        let sent = parcel(header, body);
        let refused = |parcel: &Parcel| {
            Parcel::open(&bytes_of(parcel), sent.log_uuid).map_err(|error| error.kind())
        };
        let mut handed_on = sent.clone();
        handed_on.from.incarnation = Ulid::from(u128::from(sent.from.incarnation).wrapping_add(1));
        if !sent.flush.proposals.is_empty() {
            prop_assert_eq!(refused(&handed_on), Err(ErrorKind::Invalid));
        }
        let mut rolled = sent.clone();
        rolled.flush.proposals.push(crate::format::commit::Proposal {
            name: crate::id::ProposalName { incarnation: sent.from.incarnation, n: 0 },
            base,
            producer: None,
            request_hash: 0,
            entries: vec![Entry::RolledUp {
                table: crate::id::TableId(1),
                bucket: crate::id::Bucket(0),
                stream: crate::id::Stream::Rows,
                from: 0,
                to: 1,
                parts: Vec::new(),
            }],
        });
        prop_assert_eq!(refused(&rolled), Err(ErrorKind::Invalid));
        let elsewhere = Parcel { log_uuid: uuid::Uuid::max(), ..sent.clone() };
        prop_assert_eq!(refused(&elsewhere), Err(ErrorKind::Invalid));
        if let Some(slice) = sent.flush.slices.iter().position(|slice| slice.home == SliceHome::Here && slice.bytes > 0) {
            let mut forged = sent.clone();
            forged.flush.slices[slice].checksum ^= 1;
            prop_assert_eq!(refused(&forged), Err(ErrorKind::Corrupt));
        }
        prop_assert!(Commit::decode("x", &bytes_of(&sent), 0).is_ok());
    }
}

//! The fold is total (rule 8): whatever can be decoded can be folded.

use proptest::prelude::*;

use super::*;
use crate::format::tests::arbitrary;

/// The header as if it were written for the next slot of this log.
fn next_of(state: &State, header: CommitHeader) -> CommitHeader {
    CommitHeader { slot: state.next(), log_uuid: LOG, ..header }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn any_commit_is_folded(commits in prop::collection::vec(arbitrary::commits(), 1..6), tables in 0..3u64) {
        let mut state = begin(RULES);
        for table in 1..=tables {
            fold_one(&mut state, proposal(table, 1, vec![create(table, ["t", "u"][usize::try_from(table).unwrap() - 1])]), vec![]);
        }
        for (header, body) in commits {
            let header = next_of(&state, header);
            let sealed = header.seal(vec![body]).unwrap();
            let applied = state.apply(&Commit::of_sealed(header.clone(), &sealed)).unwrap();
            prop_assert_eq!(applied.fates.len(), header.proposals.len());
            prop_assert_eq!(state.next(), header.slot + 1);
            let bytes = state.encode();
            prop_assert_eq!(State::decode("x", 0, &bytes, RULES).unwrap().encode(), bytes);
        }
        pass(&mut state, RULES.window_slots + 1);
        prop_assert!(state.names().is_empty(), "no name stays for ever");
    }

    #[test]
    fn any_entries_about_a_real_table_are_folded(
        entries in prop::collection::vec(near_misses(), 1..8), rows in 1..5u32,
    ) {
        let mut state = with_table();
        fold_one(&mut state, proposal(1, 2, vec![append(0, 3)]), vec![slice(1, 0, 3)]);
        let slices = vec![slice(1, 0, rows), rolled_slice(1, 0, rows), rolled_slice(1, 1, rows)];
        let before = state.tables().clone();
        let applied = fold(&mut state, vec![proposal(2, 3, entries)], slices);
        let taken = matches!(applied.fates[0].1, Fate::Decided { verdict: Verdict::Accepted(_), .. });
        prop_assert_eq!(taken || applied.placed.is_empty() && applied.moved.is_empty(), true);
        prop_assert!(taken || *state.tables() == before);
        let bytes = state.encode();
        prop_assert_eq!(State::decode("x", 0, &bytes, RULES).unwrap().encode(), bytes);
    }
}

/// Entries whose numbers are right, nearly right, or at the ends.
fn near_misses() -> impl Strategy<Value = Entry> {
    use crate::format::entry::RolledPart;
    let number = || prop_oneof![4 => 0..5u64, 1 => Just(u64::MAX), 1 => Just(u64::MAX - 1)];
    let small = || prop_oneof![4 => 0..4u32, 1 => Just(u32::MAX)];
    let parts = prop::collection::vec((number(), small()), 0..3);
    prop_oneof![
        (small(), small(), small(), prop::option::of(number())).prop_map(
            |(slice, first_row, rows, expected_offset)| Entry::Appended {
                slice,
                first_row,
                rows,
                expected_offset
            }
        ),
        (number(), small(), number(), number(), parts).prop_map(|(table, bucket, from, to, parts)| {
            let parts = parts.into_iter().map(|(start, slice)| RolledPart { start, slice }).collect();
            Entry::RolledUp {
                table: TableId(table),
                bucket: Bucket(bucket),
                stream: Stream::Rows,
                from,
                to,
                parts,
            }
        }),
        number().prop_map(|id| create(id, "v")),
        number().prop_map(drop_table),
        (number(), number(), small()).prop_map(|(table, version, last)| Entry::TableAltered {
            table: TableId(table),
            version,
            spec: TableSpec { last_column_id: last.cast_signed(), ..spec() },
        }),
        (number(), any::<i64>())
            .prop_map(|(table, dropped)| Entry::TableRestored { table: TableId(table), dropped }),
        (number(), small(), number(), number()).prop_map(|(table, bucket, from, to)| Entry::RowsExpired {
            table: TableId(table),
            bucket: Bucket(bucket),
            stream: Stream::Rows,
            from,
            to,
        }),
        Just(Entry::DatabaseDropped),
        Just(Entry::DatabaseCreated),
    ]
}

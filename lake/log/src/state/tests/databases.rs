//! Tables and databases: made, dropped, forgotten, made again.

use super::*;
use crate::format::entry::RolledPart;

#[test]
fn a_proposal_that_names_several_tables_is_taken_whole_or_not_at_all() {
    let mut state = with_table();
    fold_one(&mut state, proposal(1, 2, vec![create(2, "u")]), vec![]);
    let slices = vec![slice(1, 0, 2), slice(2, 1, 3), slice(9, 0, 1)];
    let (all, none) =
        (vec![append(0, 2), append(1, 3), append(0, 2)], vec![append(0, 2), append(1, 3), append(2, 1)]);
    let before = state.tables().clone();
    let fate = fold_one(&mut state, proposal(2, 3, none), slices.clone());
    assert_eq!(refusal(&fate), Refusal::NoSuchTable { table: TableId(9) });
    assert_eq!(*state.tables(), before);

    let fate = fold_one(&mut state, proposal(3, 3, all), slices);
    let of_second = Appended { table: TableId(2), ..rows(1, 0, 3) };
    assert_eq!(appended(&fate), [rows(0, 0, 4), of_second]);
}

#[test]
fn a_table_is_made_and_filled_in_one_proposal() {
    let mut state = begin(RULES);
    let fate = fold_one(&mut state, proposal(1, 1, vec![create(1, "t"), append(0, 2)]), vec![slice(1, 2, 2)]);
    assert_eq!(appended(&fate), [rows(2, 0, 2)]);
    let table = state.tables().named(&name("t")).unwrap();
    assert_eq!((table.id, table.created_slot, table.dropped), (TableId(1), 1, None));
}

#[test]
fn a_dropped_name_is_free_at_once_and_its_id_is_not_used_again() {
    let mut state = with_table();
    fold_one(&mut state, proposal(1, 2, vec![drop_table(1)]), vec![]);
    assert!(state.tables().named(&name("t")).is_none() && state.tables().live(TableId(1)).is_none());
    let fate = fold_one(&mut state, proposal(2, 3, vec![append(0, 1)]), vec![slice(1, 0, 1)]);
    assert_eq!(refusal(&fate), Refusal::NoSuchTable { table: TableId(1) });
    let fate = fold_one(&mut state, proposal(3, 4, vec![create(1, "t")]), vec![]);
    assert_eq!(refusal(&fate), Refusal::TableIdTaken { next: TableId(2) });
    appended(&fold_one(&mut state, proposal(4, 5, vec![create(2, "t")]), vec![]));
    assert_eq!(next(&state, 2, 0), 0);
}

#[test]
fn a_table_is_replaced_in_one_proposal() {
    let mut state = with_table();
    let entries = vec![drop_table(1), create(2, "t"), append(0, 1)];
    appended(&fold_one(&mut state, proposal(1, 2, entries), vec![slice(2, 0, 1)]));
    assert_eq!(state.tables().named(&name("t")).unwrap().id, TableId(2));
}

#[test]
fn a_dropped_table_is_forgotten_by_log_time() {
    let mut state = with_table();
    fold_one(&mut state, proposal(1, 2, vec![drop_table(1)]), vec![]);
    let dropped = state.time();
    let kept = TimeMicros::try_from(RULES.dropped_kept.as_micros()).unwrap();
    for (time, known) in [(dropped + kept, 1), (dropped + kept + 1, 0)] {
        let slot = state.next();
        state.apply(&commit(&CommitHeader { time, ..header(slot, vec![], vec![]) })).unwrap();
        assert_eq!(state.tables().all().count(), known);
    }
    assert_eq!(state.tables().next_id(), TableId(2));
}

#[test]
fn a_database_with_tables_is_not_dropped_an_empty_one_is_and_comes_again_in_the_same_log() {
    let mut state = with_table();
    let fate = fold_one(&mut state, proposal(1, 2, vec![Entry::DatabaseDropped]), vec![]);
    assert_eq!(refusal(&fate), Refusal::NotEmpty { tables: 1 });
    let fate = fold_one(&mut state, proposal(2, 3, vec![create(2, "u"), Entry::DatabaseDropped]), vec![]);
    assert_eq!(refusal(&fate), Refusal::NotEmpty { tables: 2 });
    let fate = fold_one(&mut state, proposal(3, 4, vec![Entry::DatabaseCreated]), vec![]);
    assert_eq!(refusal(&fate), Refusal::DatabaseExists);

    appended(&fold_one(&mut state, proposal(4, 5, vec![drop_table(1), Entry::DatabaseDropped]), vec![]));
    assert!(!state.is_alive());
    for (n, entry) in
        [(5, create(2, "t")), (6, append(0, 1)), (7, Entry::DatabaseDropped), (8, drop_table(1))]
    {
        let fate = fold_one(&mut state, proposal(n, 6, vec![entry]), vec![slice(1, 0, 1)]);
        assert_eq!(refusal(&fate), Refusal::DatabaseDropped);
    }
    appended(&fold_one(&mut state, proposal(9, 7, vec![Entry::DatabaseCreated, create(2, "t")]), vec![]));
    assert!(state.is_alive());
    assert_eq!(state.identity().uuid, LOG);
}

#[test]
fn rows_of_another_schema_bucket_or_kind_are_refused() {
    let mut state = with_table();
    let good = slice(1, 0, 2);
    let cases = [
        (Slice { schema: 1, ..good.clone() }, Refusal::SchemaChanged { table: TableId(1), current: 0 }),
        (slice(1, 3, 2), Refusal::NoSuchBucket { table: TableId(1), bucket: Bucket(3) }),
        (Slice { op: SliceOp::Upsert, ..good.clone() }, Refusal::Invalid { check: 2 }),
        (Slice { stream: Stream::Changelog, ..good.clone() }, Refusal::Invalid { check: 2 }),
        (Slice { source: Some(0..2), ..good.clone() }, Refusal::Invalid { check: 2 }),
        (Slice { columns: vec![2, 1], ..good.clone() }, Refusal::Invalid { check: 2 }),
    ];
    for (n, (slice, expected)) in (1..).zip(cases) {
        assert_eq!(fold_one(&mut state, proposal(n, 2, vec![append(0, 2)]), vec![slice]), refused(expected));
    }
    for (n, (first_row, rows)) in (20..).zip([(0, 0), (0, 3), (2, 1), (u32::MAX, 2)]) {
        let entry = Entry::Appended { slice: 0, first_row, rows, expected_offset: None };
        let fate = fold_one(&mut state, proposal(n, 3, vec![entry]), vec![good.clone()]);
        assert_eq!(refusal(&fate), Refusal::Invalid { check: 3 });
    }
    assert_eq!(
        refusal(&fold_one(&mut state, proposal(30, 9, vec![append(1, 1)]), vec![good])),
        Refusal::Invalid { check: 8 }
    );
    assert_eq!(next(&state, 1, 0), 0);
}

fn roll_up(from: u64, to: u64, parts: &[(u64, u32)]) -> Entry {
    let parts = parts.iter().map(|(start, slice)| RolledPart { start: *start, slice: *slice }).collect();
    Entry::RolledUp { table: TableId(1), bucket: Bucket(0), stream: Stream::Rows, from, to, parts }
}

#[test]
fn a_roll_up_is_taken_only_where_the_last_one_ended() {
    let mut state = with_table();
    fold_one(&mut state, proposal(1, 2, vec![append(0, 10)]), vec![slice(1, 0, 10)]);
    let rolled = |state: &State| state.tables().live(TableId(1)).unwrap().rows_tail(Bucket(0)).rolled;
    let slices = || vec![rolled_slice(1, 0, 4), slice(1, 0, 4), rolled_slice(1, 1, 4)];
    let cases = [
        (roll_up(1, 5, &[(1, 0)]), Refusal::RollUpStale { rolled: 0 }),
        (roll_up(0, 0, &[]), Refusal::Invalid { check: 5 }),
        (roll_up(0, 11, &[(0, 0)]), Refusal::Invalid { check: 5 }),
        (roll_up(0, 4, &[(0, 1)]), Refusal::Invalid { check: 7 }), // not in a segment
        (roll_up(0, 4, &[(0, 2)]), Refusal::Invalid { check: 7 }), // of another bucket
        (roll_up(0, 3, &[(0, 0)]), Refusal::Invalid { check: 7 }), // beyond the end
        (roll_up(0, 9, &[(3, 0), (0, 0)]), Refusal::Invalid { check: 7 }), // overlapping
        (roll_up(0, 9, &[(u64::MAX - 2, 0)]), Refusal::Invalid { check: 6 }),
        (roll_up(0, 4, &[(0, 3)]), Refusal::Invalid { check: 8 }),
    ];
    for (n, (entry, expected)) in (2..).zip(cases) {
        assert_eq!(fold_one(&mut state, proposal(n, 3, vec![entry]), slices()), refused(expected));
    }
    let applied = fold(&mut state, vec![proposal(20, 9, vec![roll_up(0, 9, &[(0, 0), (5, 0)])])], slices());
    let moved: Vec<_> = applied.moved.iter().map(|placed| placed.offsets.clone()).collect();
    assert_eq!(moved, [0..4, 5..9]);
    assert_eq!((rolled(&state), next(&state, 1, 0)), (9, 10));
    let late = fold_one(&mut state, proposal(21, 9, vec![roll_up(0, 4, &[(0, 0)])]), slices());
    assert_eq!(refusal(&late), Refusal::RollUpStale { rolled: 9 });
}

#[test]
fn a_bucket_is_rolled_up_once_in_a_proposal() {
    let mut state = with_table();
    fold_one(&mut state, proposal(1, 2, vec![append(0, 10)]), vec![slice(1, 0, 10)]);
    let twice = vec![roll_up(0, 4, &[(0, 0)]), roll_up(0, 4, &[(0, 0)])];
    let fate = fold_one(&mut state, proposal(2, 3, twice), vec![rolled_slice(1, 0, 4)]);
    assert_eq!(refusal(&fate), Refusal::RollUpStale { rolled: 0 });
}

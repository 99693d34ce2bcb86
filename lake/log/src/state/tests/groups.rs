//! Groups: what the fold promises of stored positions, told by example. The model checks the rest.

use std::collections::BTreeMap;

use super::*;
use crate::format::positions::{ExpectedPosition, StoredPosition};
use crate::state::verdict::GroupLimit;

fn offsets(offsets: &[(u32, u64)]) -> BTreeMap<Bucket, u64> {
    offsets.iter().map(|(bucket, offset)| (Bucket(*bucket), *offset)).collect()
}

fn at(table: u64, stands: &[(u32, u64)], expected: ExpectedPosition) -> StoredPosition {
    StoredPosition { table: TableId(table), offsets: offsets(stands), expected }
}

fn any(stands: &[(u32, u64)]) -> StoredPosition {
    at(1, stands, ExpectedPosition::Any)
}

fn exactly(known: &[(u32, Option<u64>)]) -> ExpectedPosition {
    ExpectedPosition::Exactly(known.iter().map(|(bucket, at)| (Bucket(*bucket), *at)).collect())
}

fn store(group: &str, generation: u64, positions: Vec<StoredPosition>) -> Entry {
    Entry::PositionsStored { group: name(group), generation, positions }
}

fn delete(group: &str, generation: u64) -> Entry {
    Entry::GroupDeleted { group: name(group), generation }
}

/// Table 1 with ten rows in each bucket.
fn with_rows() -> State {
    let mut state = with_table();
    let slices = vec![slice(1, 0, 10), slice(1, 1, 10), slice(1, 2, 10)];
    let rows = vec![append(0, 10), append(1, 10), append(2, 10)];
    appended(&fold_one(&mut state, proposal(1, 2, rows), slices));
    state
}

/// Folds one entry under a fresh name.
fn act(state: &mut State, entry: Entry) -> Fate {
    let slot = state.next();
    fold_one(state, proposal(100 + slot, slot, vec![entry]), vec![])
}

fn stored(state: &State, group: &str) -> BTreeMap<Bucket, u64> {
    state.groups().get(&name(group)).unwrap().positions.get(&TableId(1)).cloned().unwrap_or_default()
}

#[test]
fn workers_store_their_own_buckets_beside_each_other() {
    let mut state = with_rows();
    appended(&act(&mut state, store("g", 0, vec![any(&[(0, 3)])])));
    let nothing_there = at(1, &[(1, 4)], exactly(&[(1, None)]));
    appended(&act(&mut state, store("g", 1, vec![nothing_there.clone()])));
    assert_eq!(stored(&state, "g"), offsets(&[(0, 3), (1, 4)]));

    let again = refusal(&act(&mut state, store("g", 1, vec![nothing_there])));
    let actual = BTreeMap::from([(Bucket(1), Some(4))]);
    assert_eq!(again, Refusal::ExpectedPosition { group: name("g"), table: TableId(1), actual });
    appended(&act(&mut state, store("g", 1, vec![at(1, &[(0, 1)], exactly(&[(0, Some(3))]))])));
    assert_eq!(stored(&state, "g"), offsets(&[(0, 1), (1, 4)]), "going back is allowed");
}

#[test]
fn null_expects_nothing_of_the_table_in_this_group() {
    let mut state = with_rows();
    let first = || vec![at(1, &[(0, 3)], ExpectedPosition::Nothing)];
    appended(&act(&mut state, store("g", 0, first())));
    appended(&act(&mut state, store("h", 0, first())));
    let actual = BTreeMap::from([(Bucket(0), Some(3))]);
    assert_eq!(
        refusal(&act(&mut state, store("g", 1, first()))),
        Refusal::ExpectedPosition { group: name("g"), table: TableId(1), actual }
    );
}

#[test]
fn a_group_made_again_takes_no_write_of_its_former_life() {
    let mut state = with_rows();
    appended(&act(&mut state, store("g", 0, vec![any(&[(0, 3)])])));
    appended(&act(&mut state, delete("g", 1)));
    let gone = Refusal::GroupGeneration { group: name("g"), actual: 0 };
    assert_eq!(refusal(&act(&mut state, store("g", 1, vec![any(&[(0, 4)])]))), gone);
    appended(&act(&mut state, store("g", 0, vec![any(&[(0, 1)])])));
    let other = Refusal::GroupGeneration { group: name("g"), actual: 2 };
    assert_eq!(refusal(&act(&mut state, store("g", 1, vec![any(&[(0, 9)])]))), other);
    assert_eq!(refusal(&act(&mut state, store("g", 0, vec![any(&[(0, 9)])]))), other);
    assert_eq!(refusal(&act(&mut state, delete("g", 1))), other);
    assert_eq!(stored(&state, "g"), offsets(&[(0, 1)]));
}

#[test]
fn rows_and_positions_are_taken_together_or_not_at_all() {
    let mut state = with_rows();
    // The position may stand behind rows of the same proposal, and not behind that.
    let both =
        |n, slot, offset| proposal(n, slot, vec![append(0, 2), store("g", 0, vec![any(&[(0, offset)])])]);
    let slot = state.next();
    let beyond = fold_one(&mut state, both(7, slot, 13), vec![slice(1, 0, 2)]);
    let (table, bucket) = (TableId(1), Bucket(0));
    assert_eq!(refusal(&beyond), Refusal::PositionBeyondTail { table, bucket, offset: 13, latest: 12 });
    assert_eq!((next(&state, 1, 0), state.groups().len()), (10, 0));
    let slot = state.next();
    assert_eq!(appended(&fold_one(&mut state, both(8, slot, 12), vec![slice(1, 0, 2)])), [rows(0, 10, 12)]);
    assert_eq!(stored(&state, "g"), offsets(&[(0, 12)]));
}

#[test]
fn positions_go_with_the_forgotten_table_and_groups_with_the_database() {
    let mut state = with_rows();
    appended(&act(&mut state, store("g", 0, vec![any(&[(0, 3), (1, 1)])])));
    appended(&act(&mut state, drop_table(1)));
    assert_eq!(state.groups().offsets(), 2, "the table may come back");
    pass(&mut state, 42);
    assert_eq!((state.groups().len(), state.groups().offsets()), (1, 0));
    appended(&act(&mut state, Entry::DatabaseDropped));
    appended(&act(&mut state, Entry::DatabaseCreated));
    assert!(state.groups().is_empty());
    appended(&act(&mut state, store("g", 0, vec![])));
    assert_eq!(state.groups().generation(&name("g")), 2, "no generation is given twice");
}

#[test]
fn groups_tables_and_offsets_are_bounded() {
    let mut state = with_rows();
    for group in ["a", "b", "c"] {
        appended(&act(&mut state, store(group, 0, vec![])));
    }
    let full = |limit, max| Refusal::GroupsFull { limit, max };
    assert_eq!(refusal(&act(&mut state, store("d", 0, vec![]))), full(GroupLimit::Groups, 3));
    for group in 1..=2 {
        let all = vec![any(&[(0, 1), (1, 1), (2, 1)])];
        appended(&act(&mut state, store(["a", "b"][group - 1], group as u64, all)));
    }
    let third = vec![any(&[(0, 1), (1, 1), (2, 1)])];
    assert_eq!(refusal(&act(&mut state, store("c", 3, third))), full(GroupLimit::Offsets, 8));
    appended(&act(&mut state, store("c", 3, vec![any(&[(0, 1), (1, 1)])])));
    appended(&act(&mut state, store("c", 3, vec![any(&[(0, 2), (1, 2)])])));
}

#[test]
fn a_state_without_groups_has_no_record_of_them_and_needs_no_feature() {
    let mut state = with_rows();
    let before = state.encode();
    assert_eq!(state.features(), 0);
    appended(&act(&mut state, store("g", 0, vec![any(&[(0, 3)])])));
    assert_eq!(state.features(), 1);
    let bytes = state.encode();
    let read = State::decode("x", 0, &bytes, RULES).unwrap();
    assert_eq!((read.groups(), read.encode()), (state.groups(), bytes.clone()));
    assert!(before.len() < bytes.len());

    let mut refused = with_rows();
    drop(act(&mut refused, delete("g", 1)));
    assert!(refused.groups().is_empty());
    assert_eq!(refused.features(), 1, "the remembered refusal is new, too");
}

//! Rule 1: a name gets one fate, and its memory is bounded.

use proptest::prelude::*;

use super::*;

#[test]
fn a_copy_in_a_later_slot_gets_the_first_fate_and_adds_nothing() {
    let mut state = with_table();
    let first = proposal(1, 2, vec![append(0, 5)]);
    let fate = fold_one(&mut state, first.clone(), vec![slice(1, 0, 5)]);
    assert_eq!(appended(&fate), [rows(0, 0, 5)]);
    for _ in 0..4 {
        assert_eq!(fold_one(&mut state, first.clone(), vec![slice(1, 0, 5)]), fate);
    }
    assert_eq!(next(&state, 1, 0), 5);
}

#[test]
fn copies_in_one_slot_are_one() {
    let mut state = with_table();
    let twice = vec![proposal(1, 2, vec![append(0, 5)]), proposal(1, 2, vec![append(0, 5)])];
    let applied = fold(&mut state, twice, vec![slice(1, 0, 5)]);
    assert_eq!(applied.fates[0], applied.fates[1]);
    assert_eq!((applied.placed.len(), next(&state, 1, 0)), (1, 5));
}

#[test]
fn a_refusal_is_kept_even_when_the_same_would_be_taken_now() {
    let mut state = with_table();
    let expecting = Entry::Appended { slice: 0, first_row: 0, rows: 1, expected_offset: Some(1) };
    let early = proposal(1, 2, vec![expecting]);
    let refused = fold_one(&mut state, early.clone(), vec![slice(1, 0, 1)]);
    assert!(matches!(refusal(&refused), Refusal::ExpectedOffset { expected: 1, actual: 0, .. }));
    fold_one(&mut state, proposal(2, 3, vec![append(0, 1)]), vec![slice(1, 0, 1)]);

    assert_eq!(fold_one(&mut state, early, vec![slice(1, 0, 1)]), refused);
    assert_eq!(next(&state, 1, 0), 1);
}

#[test]
fn a_copy_beyond_the_window_is_expired_one_within_it_is_not() {
    for late in [0, 1] {
        let mut state = with_table();
        pass(&mut state, RULES.window_slots - 2 + late); // now base + window is the next slot, or below it
        let fate = fold_one(&mut state, proposal(1, 0, vec![append(0, 1)]), vec![slice(1, 0, 1)]);
        assert_eq!(next(&state, 1, 0), 1 - late);
        if late == 1 {
            assert_eq!(fate, refused(Refusal::Expired));
            assert!(state.names().get(&proposal(1, 0, vec![]).name).is_none());
        }
    }
}

#[test]
fn a_name_is_forgotten_when_no_copy_can_be_taken_any_more() {
    let mut state = with_table();
    let base = state.next();
    fold_one(&mut state, proposal(1, base, vec![append(0, 1)]), vec![slice(1, 0, 1)]);
    let named = proposal(1, base, vec![]).name;
    while state.next() <= base + RULES.window_slots {
        assert!(state.names().get(&named).is_some());
        pass(&mut state, 1);
    }
    pass(&mut state, 1);
    assert!(state.names().get(&named).is_none());
    assert!(state.names().is_empty());
}

#[test]
fn a_base_above_its_slot_is_refused_and_does_not_stay_in_memory() {
    let mut state = with_table();
    for (n, above) in [(1, 1), (2, u64::MAX - 10)] {
        let base = state.next() + above;
        let fate = fold_one(&mut state, proposal(n, base, vec![append(0, 1)]), vec![slice(1, 0, 1)]);
        assert_eq!(refusal(&fate), Refusal::Invalid { check: 10 });
    }
    pass(&mut state, RULES.window_slots + 2);
    assert!(state.names().is_empty());
    assert_eq!(next(&state, 1, 0), 0);
}

#[test]
fn a_segment_named_too_long_ago_is_refused_as_expired() {
    let mut state = with_table();
    pass(&mut state, RULES.window_slots);
    let slot = state.next();
    let old = slot - RULES.window_slots;
    for (n, base, taken) in [(1, old, true), (2, old, false)] {
        let mut header =
            header(state.next(), vec![proposal(n, slot, vec![append(0, 2)])], vec![rolled_slice(1, 0, 2)]);
        header.segments = vec![segment(base)];
        let applied = state.apply(&commit(&header)).unwrap();
        assert_eq!(applied.placed.len(), usize::from(taken));
        if !taken {
            assert_eq!(refusal(&applied.fates[0].1), Refusal::Expired);
        }
    }
}

proptest! {
    #[test]
    fn rows_are_added_at_most_once_whatever_copies_come_and_when(
        base in 2..6u64, slots in prop::collection::vec(0..4usize, 40),
    ) {
        let mut state = with_table();
        pass(&mut state, 4);
        let named = proposal(1, base, vec![append(0, 3)]);
        let mut fates = Vec::new();
        for copies in slots {
            let slot = state.next();
            let applied = fold(&mut state, vec![named.clone(); copies], vec![slice(1, 0, 3)]);
            fates.extend(applied.fates.into_iter().map(|(_, fate)| (slot, fate)));
        }
        for (slot, fate) in &fates {
            let late = base + RULES.window_slots < *slot;
            let expected = if late { &refused(Refusal::Expired) } else { &fates[0].1 };
            prop_assert_eq!(fate, expected, "in slot {}", slot);
        }
        let taken = fates.first().is_some_and(|(slot, _)| base + RULES.window_slots >= *slot);
        prop_assert_eq!(next(&state, 1, 0), if taken { 3 } else { 0 });
        prop_assert!(state.names().is_empty());
    }
}

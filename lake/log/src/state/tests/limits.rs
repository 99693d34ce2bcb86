//! What the state is bounded by: log time, checkpoints, memory.

use super::*;
use crate::protocol::Protocol;

#[test]
fn commit_time_never_falls() {
    let mut state = begin(RULES);
    let mut seen = state.time();
    for time in [5, 3, -10, 5, i64::MIN, 9, i64::MAX, 0] {
        let slot = state.next();
        let applied = state.apply(&commit(&CommitHeader { time, ..header(slot, vec![], vec![]) })).unwrap();
        assert_eq!((applied.time, state.time()), (seen.max(time), seen.max(time)));
        seen = applied.time;
    }
}

#[test]
fn a_checkpoint_is_due_after_so_many_slots() {
    let mut state = begin(RULES);
    let mut due: Vec<Slot> = Vec::new();
    for _ in 0..40 {
        if fold(&mut state, vec![], vec![]).boundary {
            due.push(state.next());
        }
    }
    assert_eq!(due, [12, 24, 36]);
    assert_eq!(state.boundary(), 36);
}

#[test]
fn a_checkpoint_is_due_after_so_many_bytes_of_headers() {
    let empty = commit(&header(1, vec![], vec![])).envelope.header_bytes;
    let rules = FoldRules { checkpoint_header_bytes: 10 * u64::from(empty), ..RULES };
    let mut state = begin(rules);
    let (mut bytes, mut due) = (u64::from(commit(&first_header()).envelope.header_bytes), Vec::new());
    for _ in 0..40 {
        let next = commit(&header(state.next(), vec![], vec![]));
        bytes += u64::from(next.envelope.header_bytes);
        if state.apply(&next).unwrap().boundary {
            due.push(state.next());
            assert!(bytes >= 10 * u64::from(empty));
            bytes = 0;
        }
        assert!(bytes < 10 * u64::from(empty));
    }
    assert!(due.len() > 3, "{due:?}");
}

fn first_header() -> CommitHeader {
    let created = Entry::LogCreated { log_uuid: LOG, database: name("default"), home: "memory://".into() };
    header(0, vec![proposal(0, 0, vec![created])], vec![])
}

/// The length of the state after so many slots of steady work of fixed tables and clients.
fn state_bytes_after(slots: Slot) -> usize {
    let mut state = with_table();
    let mut seqs = [0u64; 3];
    while state.next() < slots {
        let slot = state.next();
        let turn = usize::try_from(slot % 3).unwrap();
        let mut request = counted(proposal(1 << 40 | slot, 1 << 40, vec![append(0, 2)]), 0, seqs[turn], 1);
        request.base = slot;
        request.producer.as_mut().unwrap().id = format!("p{turn}");
        seqs[turn] += 1;
        appended(&fold_one(&mut state, request, vec![slice(1, u32::try_from(turn).unwrap(), 2)]));
    }
    state.encode().len()
}

#[test]
fn the_state_does_not_grow_with_history() {
    let (short, long) = (state_bytes_after(200), state_bytes_after(5_000));
    // Numbers get longer, nothing gets more: at most two bytes for each number that counts with history.
    let numbers =
        12 * RULES.producer_verdicts_max + 5 * usize::try_from(RULES.window_slots + 1).unwrap() + 30;
    assert!(long >= short && long - short < 2 * numbers, "{short} bytes after 200 slots, {long} after 5000");
}

#[test]
fn with_the_shipped_numbers_the_state_stays_small_too() {
    let mut state = begin(Protocol::SHIPPED.fold);
    fold_one(&mut state, proposal(0, 1, vec![create(1, "t")]), vec![]);
    let mut longest = 0;
    for _ in 0..3_000 {
        let slot = state.next();
        fold_one(&mut state, proposal(slot, slot, vec![append(0, 1)]), vec![slice(1, 0, 1)]);
        longest = longest.max(state.names().len());
    }
    assert_eq!(longest, 1_001, "one name a slot, for a window");
}

#[test]
fn only_the_next_slot_of_the_same_log_is_folded() {
    let mut state = with_table();
    let before = state.encode();
    for slot in [0, 1, 3, u64::MAX] {
        assert!(state.apply(&commit(&header(slot, vec![], vec![]))).is_err());
    }
    let stranger = CommitHeader { log_uuid: Uuid::from_u128(1), ..header(2, vec![], vec![]) };
    assert!(state.apply(&commit(&stranger)).unwrap_err().to_string().contains("expected log"));
    assert_eq!(state.encode(), before);
}

#[test]
fn a_log_begins_with_the_entry_that_creates_it_and_nothing_else() {
    let good = first_header();
    assert!(State::begin(&commit(&good), RULES).is_ok());
    let bad = [
        CommitHeader { slot: 1, ..good.clone() },
        CommitHeader { log_uuid: Uuid::from_u128(1), ..good.clone() },
        CommitHeader { proposals: vec![], ..good.clone() },
        CommitHeader { proposals: vec![proposal(0, 0, vec![create(1, "t")])], ..good.clone() },
        CommitHeader { proposals: vec![good.proposals[0].clone(), proposal(1, 0, vec![])], ..good },
    ];
    for header in bad {
        assert!(State::begin(&commit(&header), RULES).is_err());
    }
}

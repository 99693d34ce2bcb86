//! Rules 3 and 4: a producer's sequence gets one verdict each.

use super::*;
use crate::state::producers::Admission;

/// Request `seq` of producer `p` under a fresh name: two rows into bucket 0.
fn request(state: &State, seq: u64, hash: u128) -> Proposal {
    let slot = state.next();
    counted(proposal(1_000 + slot, slot, vec![append(0, 2)]), 0, seq, hash)
}

fn send(state: &mut State, proposal: Proposal) -> Fate {
    fold_one(state, proposal, vec![slice(1, 0, 2)])
}

fn send_seq(state: &mut State, seq: u64, hash: u128) -> Fate {
    let request = request(state, seq, hash);
    send(state, request)
}

fn duplicate(fate: Fate) -> Fate {
    match fate {
        Fate::Decided { verdict, .. } => Fate::Decided { verdict, duplicate: true },
        other => other,
    }
}

#[test]
fn a_retry_under_another_name_gets_the_first_answer_and_adds_nothing() {
    let mut state = with_table();
    let first = send_seq(&mut state, 0, 7);
    assert_eq!(appended(&first), [rows(0, 0, 2)]);
    assert_eq!(send_seq(&mut state, 0, 7), duplicate(first));
    assert_eq!(next(&state, 1, 0), 2);
}

#[test]
fn other_bytes_under_a_used_sequence_are_a_conflict() {
    let mut state = with_table();
    send_seq(&mut state, 0, 7);
    assert_eq!(send_seq(&mut state, 0, 8), refused(Refusal::SequenceConflict));
    assert_eq!(next(&state, 1, 0), 2);
}

#[test]
fn a_gap_has_no_fate_and_the_same_proposal_is_taken_once_the_missing_one_came() {
    let mut state = with_table();
    send_seq(&mut state, 0, 7);
    let early = request(&state, 2, 9);
    assert_eq!(send(&mut state, early.clone()), Fate::Gap { expected: 1 });
    assert!(state.names().get(&early.name).is_none());
    assert_eq!(appended(&send_seq(&mut state, 1, 8)), [rows(0, 2, 4)]);
    assert_eq!(appended(&send(&mut state, early)), [rows(0, 4, 6)]);
}

#[test]
fn an_unknown_producer_may_only_begin() {
    let mut state = with_table();
    assert_eq!(send_seq(&mut state, 1, 7), refused(Refusal::UnknownProducer));
    assert!(state.producers().is_empty());
    appended(&send_seq(&mut state, 0, 7));
}

#[test]
fn a_higher_epoch_begins_again_and_fences_the_lower() {
    let mut state = with_table();
    send_seq(&mut state, 0, 7);
    send_seq(&mut state, 1, 8);
    let of_epoch = |state: &State, epoch, seq| {
        counted(proposal(2_000 + state.next(), state.next(), vec![append(0, 2)]), epoch, seq, 1)
    };
    let gap = of_epoch(&state, 3, 1);
    assert_eq!(send(&mut state, gap), Fate::Gap { expected: 0 });
    assert_eq!(state.producers().get("p").unwrap().epoch, 0, "a gap fences nobody");
    let first = of_epoch(&state, 3, 0);
    assert_eq!(appended(&send(&mut state, first)), [rows(0, 4, 6)]);
    assert_eq!(send_seq(&mut state, 2, 9), refused(Refusal::Fenced { epoch: 3 }));
    assert_eq!(send_seq(&mut state, 0, 7), refused(Refusal::Fenced { epoch: 3 }));
    assert_eq!(state.producers().get("p").unwrap().next, 1);
}

#[test]
fn a_refusal_of_the_request_uses_the_sequence_up() {
    let mut state = with_table();
    let expecting = Entry::Appended { slice: 0, first_row: 0, rows: 1, expected_offset: Some(9) };
    let bad = counted(proposal(1, 2, vec![expecting]), 0, 0, 7);
    let first = send(&mut state, bad.clone());
    assert!(matches!(refusal(&first), Refusal::ExpectedOffset { .. }));
    let again = Proposal { name: proposal(2, 0, vec![]).name, base: 3, ..bad };
    assert_eq!(send(&mut state, again), duplicate(first));
    assert_eq!(appended(&send_seq(&mut state, 1, 8)), [rows(0, 0, 2)]);
}

#[test]
fn refusals_of_a_copy_leave_the_sequence_and_the_epoch_as_they_were() {
    let mut state = with_table();
    pass(&mut state, RULES.window_slots + 2);
    let copy = |n, base, entries| counted(proposal(n, base, entries), 5, 0, 7);
    let slot = state.next();
    for (n, base, entry, expected) in [
        (1, 1, append(0, 2), Refusal::Expired),
        (2, slot, create(1, "t"), Refusal::TableExists { table: TableId(1) }),
        (3, slot, create(7, "u"), Refusal::TableIdTaken { next: TableId(2) }),
    ] {
        assert_eq!(send(&mut state, copy(n, base, vec![entry])), refused(expected));
        assert!(state.producers().is_empty());
    }
    assert_eq!(appended(&send(&mut state, copy(4, slot, vec![append(0, 2)]))), [rows(0, 0, 2)]);
}

#[test]
fn a_verdict_beyond_those_remembered_is_forgotten_and_adds_nothing() {
    let mut state = with_table();
    let kept = RULES.producer_verdicts_max as u64;
    for seq in 0..=kept {
        appended(&send_seq(&mut state, seq, u128::from(seq)));
    }
    assert_eq!(send_seq(&mut state, 0, 0), Fate::Forgotten);
    assert!(matches!(send_seq(&mut state, 1, 1), Fate::Decided { duplicate: true, .. }));
    assert_eq!(next(&state, 1, 0), 2 * (kept + 1));
    assert_eq!(state.producers().get("p").unwrap().recent().count(), RULES.producer_verdicts_max);
}

#[test]
fn an_idle_producer_is_forgotten_by_log_time_and_then_unknown() {
    let mut state = with_table();
    send_seq(&mut state, 0, 7);
    let last = state.time();
    let idle = TimeMicros::try_from(RULES.producer_idle_max.as_micros()).unwrap();
    for (time, known) in [(last + idle, true), (last + idle + 1, false)] {
        let slot = state.next();
        state.apply(&commit(&CommitHeader { time, ..header(slot, vec![], vec![]) })).unwrap();
        assert_eq!(state.producers().get("p").is_some(), known);
    }
    assert_eq!(send_seq(&mut state, 1, 8), refused(Refusal::UnknownProducer));
    assert_eq!(appended(&send_seq(&mut state, 0, 9)), [rows(0, 2, 4)]);
}

#[test]
fn the_door_gives_the_answer_that_the_fold_would() {
    let mut state = with_table();
    let stamp = |seq| ProducerStamp { id: "p".into(), epoch: 0, seq };
    assert_eq!(state.producers().admit(&stamp(0), 7, &RULES), Admission::Take);
    send_seq(&mut state, 0, 7);
    for (seq, hash) in [(0, 7), (0, 8), (1, 9), (5, 1)] {
        let door = state.producers().admit(&stamp(seq), hash, &RULES);
        let mut later = state.clone();
        let fate = send_seq(&mut later, seq, hash);
        match door {
            Admission::Answer(answer) => assert_eq!(answer, fate),
            Admission::Take => drop(appended(&fate)),
        }
    }
}

//! The state's bytes: canonical, and refused where they are not.

use std::collections::BTreeMap;

use proptest::prelude::*;

use super::model::Model;
use super::script::{SlotPlan, Writer, scripts};
use super::*;
use crate::error::ErrorKind;
use crate::format::positions::{ExpectedPosition, StoredPosition};

/// Bytes of the groups of [`with_groups`], after the tag: a length, the next generation, a count, two groups of 15 bytes.
const GROUPS_BYTES: usize = 1 + 2 + 2 * 15;

/// The state after a script, without looking at verdicts.
fn after(script: &[SlotPlan]) -> State {
    let (mut state, model, mut writer) = (begin(RULES), Model::new(), Writer::default());
    for plan in script {
        let header = writer.write(state.next(), plan, &model);
        state.apply(&commit(&header)).unwrap();
    }
    state
}

/// A small state with something of everything.
fn small() -> State {
    let mut state = with_table();
    let mut request = counted(proposal(1, 2, vec![append(0, 5), append(1, 1)]), 3, 0, 9);
    request.producer.as_mut().unwrap().id = "producer".into();
    fold_one(&mut state, request, vec![slice(1, 0, 5), slice(1, 2, 1)]);
    fold_one(&mut state, proposal(2, 3, vec![create(2, "u")]), vec![]);
    fold_one(&mut state, proposal(3, 4, vec![drop_table(1), append(0, 1)]), vec![slice(1, 0, 1)]);
    fold_one(&mut state, proposal(4, 5, vec![drop_table(1)]), vec![]);
    assert_eq!((state.tables().all().count(), state.producers().len(), state.names().len()), (2, 1, 6));
    state
}

/// The same, and two groups.
fn with_groups() -> State {
    let mut state = with_table();
    fold_one(&mut state, proposal(1, 2, vec![append(0, 5)]), vec![slice(1, 0, 5)]);
    let store = |group, at| {
        let offsets = BTreeMap::from([(Bucket(0), at), (Bucket(2), 0)]);
        let position = StoredPosition { table: TableId(1), offsets, expected: ExpectedPosition::Any };
        Entry::PositionsStored { group: name(group), generation: 0, positions: vec![position] }
    };
    fold_one(&mut state, proposal(2, 3, vec![store("aa", 3), store("bb", 4)]), vec![]);
    assert_eq!((state.groups().len(), state.groups().offsets()), (2, 4));
    state
}

#[test]
fn every_truncation_of_a_state_is_refused() {
    let bytes = with_groups().encode();
    let without = bytes.len() - 1 - GROUPS_BYTES;
    for length in (0..bytes.len()).filter(|length| *length != without) {
        let error = State::decode("db/checkpoint/9", 64, &bytes[..length], RULES).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Corrupt, "{length} bytes: {error}");
        assert!(error.to_string().starts_with("db/checkpoint/9 at byte "), "{error}");
    }
    let longer = [&bytes[..], &[9]].concat();
    assert_eq!(State::decode("x", 0, &longer, RULES).unwrap_err().kind(), ErrorKind::Unsupported);
}

/// The same with everything that can befall a table.
fn amended() -> State {
    let mut state = with_table();
    let fate = fold_one(&mut state, proposal(1, 2, vec![append(0, 5)]), vec![slice(1, 2, 5)]);
    assert_eq!(appended(&fate), [rows(2, 0, 5)]);
    let change =
        serde_json::from_value(serde_json::json!({"add": {"name": "ref", "type": "STRING"}})).unwrap();
    let spec = crate::schema::evolution::alter(&spec(), &[change]).unwrap();
    let (table, bucket, stream) = (TableId(1), Bucket(2), Stream::Rows);
    let alter = Entry::TableAltered { table, version: 0, spec };
    let expire = Entry::RowsExpired { table, bucket, stream, from: 0, to: 3 };
    let fate = fold_one(&mut state, proposal(2, 3, vec![alter, expire]), vec![]);
    assert_eq!(appended(&fate), []);
    state
}

#[test]
fn a_refusal_that_an_older_reader_cannot_read_is_a_feature() {
    let mut state = with_table();
    let restore = Entry::TableRestored { table: TableId(1), dropped: 5 };
    drop(fold_one(&mut state, proposal(1, 2, vec![restore]), vec![]));
    assert_eq!(state.features(), 1 << 1, "the table is as it was, the refusal is remembered");
    let bytes = state.encode();
    assert_eq!(State::decode("x", 0, &bytes, RULES).unwrap().features(), 1 << 1);
}

#[test]
fn what_befell_tables_is_a_family_that_older_readers_stop_at() {
    let (plain, amended) = (with_table(), amended());
    assert_eq!((plain.features(), amended.features()), (0, 1 << 1));
    let bytes = amended.encode();
    let read = State::decode("x", 0, &bytes, RULES).unwrap();
    assert_eq!(read.encode(), bytes);
    assert_eq!(read.tables(), amended.tables());
    let table = read.tables().live(TableId(1)).unwrap();
    assert_eq!((table.version, table.schemas.len(), table.spec.schema.id), (1, 1, 1));
    assert_eq!((table.schema(0).unwrap().columns.len(), table.schema(1).unwrap().columns.len()), (2, 3));
    assert!(table.schema(2).is_none());
    assert_eq!(table.rows_tail(Bucket(2)).earliest, 3);

    // Cut where the family begins it is the state of a table that never had another schema; cut anywhere else it is none.
    let readable: Vec<usize> =
        (0..bytes.len()).filter(|length| State::decode("x", 0, &bytes[..*length], RULES).is_ok()).collect();
    assert_eq!(readable.len(), 1, "{readable:?}");
    let (mut refused, mut taken) = (0, 0);
    for bit in readable[0] * 8..bytes.len() * 8 {
        let mut flipped = bytes.to_vec();
        flipped[bit / 8] ^= 1 << (bit % 8);
        if read_hostile(&flipped) { taken += 1 } else { refused += 1 }
    }
    assert!(refused > 50 && taken > 50, "{refused} refused, {taken} taken");
}

/// A checkpoint's checksum is right, and its state is nobody's.
fn read_hostile(bytes: &[u8]) -> bool {
    let Ok(mut state) = State::decode("x", 0, bytes, RULES) else { return false };
    assert_eq!(state.encode(), bytes, "what is read is spelled in one way");
    let mut next = header(state.next(), vec![], vec![slice(1, 0, 2), slice(2, 1, 2)]);
    next.log_uuid = state.identity().uuid;
    let base = state.next();
    next.proposals = vec![
        proposal(50, base, vec![append(0, 1), append(1, 2)]),
        proposal(51, base, vec![create(state.tables().next_id().0, "w"), drop_table(2)]),
        counted(proposal(52, base, vec![append(1, 2)]), 3, 1, 1),
        proposal(53, base, vec![Entry::DatabaseDropped]),
    ];
    for (n, (group, known)) in (54..).zip(state.groups().iter()) {
        let stays = |(table, offsets): (&TableId, &BTreeMap<Bucket, u64>)| StoredPosition {
            table: *table,
            offsets: offsets.clone(),
            expected: ExpectedPosition::Nothing,
        };
        let (group, generation) = (group.clone(), known.generation);
        let positions = known.positions.iter().map(stays).collect();
        let entries = match n {
            54 => vec![Entry::GroupDeleted { group, generation }],
            _ => vec![Entry::PositionsStored { group, generation, positions }],
        };
        next.proposals.push(proposal(n, base, entries));
    }
    let sealed = next.seal(vec![Bytes::from_static(&[0; 64])]).unwrap();
    let commit = Commit::decode("x", &sealed.head, next.slot).unwrap();
    state.apply(&commit).unwrap();
    for table in state.tables().all() {
        drop(table.check_bucket(Bucket(7)));
    }
    true
}

#[test]
fn every_flip_of_a_state_is_refused_or_is_another_state_spelled_in_its_one_way() {
    let (mut refused, mut taken) = (0, 0);
    for bytes in [small().encode(), with_groups().encode()] {
        for bit in 0..bytes.len() * 8 {
            let mut flipped = bytes.to_vec();
            flipped[bit / 8] ^= 1 << (bit % 8);
            if read_hostile(&flipped) { taken += 1 } else { refused += 1 }
        }
    }
    assert!(refused > 500 && taken > 500, "{refused} refused, {taken} taken");
}

#[test]
fn every_number_of_a_state_that_is_huge_is_refused_or_harmless() {
    for bytes in [small().encode(), with_groups().encode()] {
        for huge in [
            &[0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 1][..],
            &[0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x7f],
        ] {
            for at in 0..bytes.len() {
                read_hostile(&[&bytes[..at], huge, &bytes[at + 1..]].concat());
            }
        }
    }
}

#[test]
fn groups_of_a_state_out_of_order_or_out_of_bounds_are_refused() {
    let bytes = with_groups().encode().to_vec();
    assert_eq!(bytes[bytes.len() - GROUPS_BYTES - 1], 1, "the tag of the family");
    // next generation · count · name · generation · time · tables: table, offsets: bucket, offset
    let cases = [
        (&b"\x02aa"[..], &b"\x02bb"[..], "groups ascending"),
        (b"\x02aa", b"\x02cc", "groups ascending"),
        (b"\x02bb\x02", b"\x02bb\x03", "a generation from 1, below 3"),
        (b"\x02aa\x01", b"\x02aa\x00", "a generation from 1, below 3"),
        (&[1, 1, 2, 0, 4, 2, 0], &[1, 2, 2, 0, 4, 2, 0], "a position in a table of this state"),
        (&[1, 1, 2, 0, 4, 2, 0], &[1, 1, 2, 0, 6, 2, 0], "a position up to the tail"),
        (&[1, 1, 2, 0, 4, 2, 0], &[1, 1, 2, 0, 4, 3, 0], "buckets below 3"),
        (&[1, 1, 2, 0, 4, 2, 0], &[1, 1, 2, 2, 0, 2, 0], "buckets ascending"),
    ];
    for (from, to, words) in cases {
        let error = State::decode("x", 0, &swapped(&bytes, from, to), RULES).unwrap_err();
        assert!(error.to_string().contains(words), "{words}: {error}");
    }
    let family = bytes.len() - GROUPS_BYTES - 1;
    let twice = [&bytes[..], &bytes[family..]].concat();
    let error = State::decode("x", 0, &twice, RULES).unwrap_err();
    assert!(error.to_string().contains("families in order"), "{error}");
    let empty = [&bytes[..family], &[1, 2, 1, 0]].concat();
    let error = State::decode("x", 0, &empty, RULES).unwrap_err();
    assert!(error.to_string().contains("groups that were stored once"), "{error}");
}

/// The last place where `from` stands, with `to` in its stead.
fn swapped(bytes: &[u8], from: &[u8], to: &[u8]) -> Vec<u8> {
    let at = bytes.windows(from.len()).rposition(|window| window == from).unwrap();
    [&bytes[..at], to, &bytes[at + from.len()..]].concat()
}

#[test]
fn entries_of_a_state_out_of_order_or_twice_are_refused() {
    let mut state = with_table();
    for (n, id) in [(1, "aa"), (2, "bb")] {
        let mut request = counted(proposal(n, 2, vec![append(0, 1)]), 0, 0, 9);
        request.producer.as_mut().unwrap().id = id.into();
        fold_one(&mut state, request, vec![slice(1, u32::try_from(n).unwrap(), 1)]);
    }
    let bytes = state.encode().to_vec();
    assert!(State::decode("x", 0, &bytes, RULES).is_ok());
    let names = |n| {
        let mut w = crate::format::wire::Writer::new();
        crate::format::commit::encode_name(proposal(n, 0, vec![]).name, &mut w);
        w.into_bytes()
    };
    // table 1's buckets: count, then bucket · stream · next · rolled
    let cases = [
        (&b"\x02aa"[..], &b"\x02bb"[..], "producers ascending"),
        (b"\x02aa", b"\x02cc", "producers ascending"),
        (&[2, 1, 0, 1, 0, 2, 0, 1, 0], &[2, 2, 0, 1, 0, 1, 0, 1, 0], "buckets ascending"),
        (&[2, 1, 0, 1, 0, 2, 0, 1, 0], &[2, 2, 0, 1, 0, 2, 0, 1, 0], "buckets ascending"),
        (&[2, 1, 0, 1, 0, 2, 0, 1, 0], &[2, 1, 0, 1, 2, 2, 0, 1, 0], "a roll-up to at most 1"),
        (&names(1), &names(2), "names ascending"),
        (&names(1), &names(3), "names ascending"),
    ];
    for (from, to, words) in cases {
        let error = State::decode("x", 0, &swapped(&bytes, from, to), RULES).unwrap_err();
        assert!(error.to_string().contains(words), "{words}: {error}");
    }
}

#[test]
fn equal_states_have_equal_bytes_whatever_way_they_came_about() {
    let one = small();
    let two = State::decode("x", 0, &one.encode(), RULES).unwrap();
    assert_eq!((two.encode(), two.log_hash(), two.next()), (one.encode(), one.log_hash(), one.next()));
    assert_eq!((two.tables(), two.producers(), two.names()), (one.tables(), one.producers(), one.names()));
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    #[test]
    fn any_state_comes_back(script in scripts(30)) {
        let state = after(&script);
        let bytes = state.encode();
        let read = State::decode("x", 0, &bytes, RULES).unwrap();
        prop_assert_eq!(read.encode(), bytes);
        prop_assert_eq!(read.tables(), state.tables());
        prop_assert_eq!(read.producers(), state.producers());
        prop_assert_eq!(read.names(), state.names());
        prop_assert_eq!(read.groups(), state.groups());
    }

    #[test]
    fn the_log_hash_differs_as_soon_as_a_slot_does(script in scripts(10), at in 0..10usize) {
        let (mut one, mut two) = (begin(RULES), begin(RULES));
        let (model, mut writer) = (Model::new(), Writer::default());
        for (place, plan) in script.iter().enumerate() {
            let header = writer.write(one.next(), plan, &model);
            one.apply(&commit(&header)).unwrap();
            let later = header.time + i64::from(place == at);
            two.apply(&commit(&CommitHeader { time: later, ..header })).unwrap();
            prop_assert_eq!(one.log_hash() == two.log_hash(), place < at);
        }
    }
}

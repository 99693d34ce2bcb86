//! A small whole log: nearly every verdict that a fold gives, in twelve slots.

use frazil_log::format::commit::{Commit as Decoded, CommitHeader, Proposal, SegmentRef};
use frazil_log::format::entry::{Entry, RolledPart};
use frazil_log::format::slice::{Codec, Slice};
use frazil_log::id::{Bucket, Slot, Stream, TableId};
use frazil_log::protocol::Protocol;
use frazil_log::schema::TableSpec;
use frazil_log::state::State;

use crate::objects::{
    Commit, altered, appended, counted, created, header, in_segment, log_created, proposal, segment_id,
    with_rows,
};
use crate::rows;

/// Writes the log commit by commit, folding as it goes, since each says what its writer had folded.
struct Log {
    state: Option<State>,
    sealed: Vec<Vec<u8>>,
}

impl Log {
    fn next(&self) -> Slot {
        self.state.as_ref().map_or(0, State::next)
    }

    fn write(&mut self, (header, body): Commit) {
        let folded = self.state.as_ref().map_or((0, 0), |state| (state.next(), state.log_hash()));
        let header = CommitHeader { slot: self.next(), folded, ..header };
        let sealed = header.seal(body).expect("it can be read back");
        let commit = Decoded::of_sealed(header, &sealed);
        match &mut self.state {
            None => self.state = Some(State::begin(&commit, Protocol::SHIPPED.fold).expect("slot 0").0),
            Some(state) => drop(state.apply(&commit).expect("the next slot")),
        }
        self.sealed.push(sealed.to_vec());
    }

    fn propose(&mut self, proposals: Vec<Proposal>) {
        self.write((header(self.next(), proposals), vec![]));
    }

    /// Proposals about rows of these tables and buckets, which lie in the commit.
    fn rows(&mut self, proposals: Vec<Proposal>, spec: &TableSpec, slices: &[(u64, u32, usize)]) {
        let slices: Vec<_> =
            slices.iter().map(|(table, bucket, rows)| (*table, *bucket, spec, *rows, Codec::None)).collect();
        self.write(with_rows(header(self.next(), proposals), &slices));
    }
}

/// The commits of the log, in order of their slots.
pub(crate) fn commits() -> Vec<Vec<u8>> {
    let mut spec = rows::spec("id BIGINT NOT NULL, url STRING");
    spec.buckets = 2;
    let mut log = Log { state: None, sealed: Vec::new() };
    log.propose(vec![proposal(0, 0, vec![log_created()])]);
    log.propose(vec![proposal(1, 1, vec![created(1, "clicks", spec.clone())])]);
    // Taken, taken, the same name again, a name that is there, an id that is not the next.
    let first = counted(proposal(2, 2, vec![appended(0, 3)]), "p", 0, 0);
    let atomic = proposal(3, 2, vec![created(2, "views", spec.clone()), appended(1, 2), appended(0, 3)]);
    let exists = proposal(4, 2, vec![created(3, "views", spec.clone())]);
    let taken = proposal(5, 2, vec![created(2, "other", spec.clone())]);
    log.rows(vec![first.clone(), atomic, first.clone(), exists, taken], &spec, &[(1, 0, 3), (2, 1, 2)]);
    refusals(&mut log, &spec);
    producers(&mut log, &spec, &first);
    roll_up(&mut log, &spec);
    let drop_table = |table| Entry::TableDropped { table: TableId(table), time: 1 };
    log.propose(vec![proposal(30, 6, vec![Entry::DatabaseDropped]), proposal(31, 6, vec![drop_table(1)])]);
    log.propose(vec![
        proposal(32, 7, vec![drop_table(2), Entry::DatabaseDropped]),
        proposal(33, 7, vec![created(3, "clicks", spec.clone())]),
    ]);
    log.propose(vec![
        proposal(34, 8, vec![Entry::DatabaseCreated, created(3, "clicks", spec.clone())]),
        proposal(35, 8, vec![Entry::DatabaseCreated]),
    ]);
    // A day later table 1 and 2 are forgotten.
    let mut late = header(log.next(), vec![]);
    late.time += 2 * 86_400_000_000;
    log.write((late, vec![]));
    log.rows(vec![counted(proposal(36, 10, vec![appended(0, 1)]), "p", 1, 1)], &spec, &[(3, 0, 1)]);
    log.propose(vec![]);
    log.sealed
}

/// The end of a log whose table was altered, and of which rows expired.
pub(crate) fn amended() -> State {
    let spec = rows::spec("id BIGINT NOT NULL, url STRING");
    let mut log = Log { state: None, sealed: Vec::new() };
    log.propose(vec![proposal(0, 0, vec![log_created()])]);
    log.propose(vec![proposal(1, 1, vec![created(1, "clicks", spec.clone())])]);
    log.rows(vec![proposal(2, 2, vec![appended(0, 3)])], &spec, &[(1, 0, 3)]);
    let alter = Entry::TableAltered { table: TableId(1), version: 0, spec: altered(&spec) };
    let expire =
        Entry::RowsExpired { table: TableId(1), bucket: Bucket(0), stream: Stream::Rows, from: 0, to: 2 };
    log.propose(vec![proposal(3, 3, vec![alter]), proposal(4, 3, vec![expire])]);
    log.state.expect("it was begun")
}

fn refusals(log: &mut Log, spec: &TableSpec) {
    let expecting =
        |offset| Entry::Appended { slice: 0, first_row: 0, rows: 1, expected_offset: Some(offset) };
    let entries = [
        expecting(6),                                       // taken
        expecting(6),                                       // the tail is elsewhere by now
        appended(1, 1),                                     // no such table
        appended(2, 1),                                     // no such bucket
        appended(0, 2),                                     // more rows than the slice has
        appended(9, 1),                                     // no such slice
        Entry::DatabaseCreated,                             // it exists
        Entry::TableDropped { table: TableId(9), time: 0 }, // no such table
    ];
    let proposals = (10..).zip(entries).map(|(n, entry)| proposal(n, 3, vec![entry])).collect();
    let (header, body) = with_rows(
        header(log.next(), proposals),
        &[
            (1, 0, spec, 1, Codec::None),
            (9, 0, spec, 1, Codec::None),
            (1, 2, spec, 1, Codec::None),
            (1, 0, spec, 1, Codec::None),
        ],
    );
    let mut header = header;
    header.slices[3].schema = 1;
    header.proposals.push(proposal(19, 3, vec![appended(3, 1)])); // another schema
    header.proposals.push(proposal(20, 99, vec![])); // a base above its slot
    log.write((header, body));
}

fn producers(log: &mut Log, spec: &TableSpec, first: &Proposal) {
    let request = |n, epoch, seq| counted(proposal(n, 4, vec![appended(0, 1)]), "p", epoch, seq);
    let retry = Proposal { name: proposal(21, 4, vec![]).name, base: 4, ..first.clone() };
    let conflict = Proposal { request_hash: 1, ..request(22, 0, 0) };
    let unknown = counted(proposal(23, 4, vec![appended(0, 1)]), "q", 0, 1);
    let proposals = vec![
        retry,
        conflict,
        unknown,
        request(24, 0, 2), // a gap
        request(25, 0, 1),
        request(26, 1, 0), // a higher epoch begins again
        request(27, 0, 2), // and fences the lower
    ];
    log.rows(proposals, spec, &[(1, 1, 1)]);
}

fn roll_up(log: &mut Log, spec: &TableSpec) {
    let (inline, _) = with_rows(header(0, vec![]), &[(1, 0, spec, 5, Codec::None)]);
    let slice: Slice = in_segment(&inline.slices[0]);
    let entry = |from, to| {
        let parts = vec![RolledPart { start: from, slice: 0 }];
        Entry::RolledUp { table: TableId(1), bucket: Bucket(0), stream: Stream::Rows, from, to, parts }
    };
    let proposals = vec![proposal(28, 5, vec![entry(0, 6)]), proposal(29, 5, vec![entry(0, 5)])];
    let mut header = header(log.next(), proposals);
    header.segments = vec![SegmentRef { id: segment_id(5), body_start: 256 }];
    header.slices = vec![slice];
    log.write((header, vec![]));
}

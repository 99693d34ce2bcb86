//! The files: added where they are missing, read, compared with what they said, and written again.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Once;

use bytes::Bytes;
use frazil_log::format::checkpoint::{Checkpoint, CheckpointHeader, PageRef};
use frazil_log::format::commit::Commit;
use frazil_log::format::envelope::{Envelope, ObjectKind};
use frazil_log::format::page::{decode_page, seal_page};
use frazil_log::format::segment::SegmentHeader;
use frazil_log::format::slice::Codec;
use frazil_log::id::Slot;
use frazil_log::protocol::Protocol;
use frazil_log::state::State;
use serde_json::{Value, json};
use xxhash_rust::xxh3::xxh3_128;

use crate::{log, objects, render};

/// Where the sums of the objects are written down.
const SUMS: &str = "XXH3SUMS";

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden")
}

#[expect(clippy::disallowed_methods, reason = "whoever adds golden files says so by an environment variable")]
fn updating() -> bool {
    std::env::var_os("UPDATE_GOLDEN").is_some_and(|value| value == "1")
}

/// Writes a file if it is missing and may be added.
fn add(path: &str, bytes: &[u8]) {
    let path = root().join(path);
    if updating() && !path.exists() {
        fs::create_dir_all(path.parent().expect("a file lies in a directory")).expect("it can be made");
        fs::write(&path, bytes).expect("a golden file can be written");
    }
}

fn read(path: &str) -> Bytes {
    fs::read(root().join(path))
        .unwrap_or_else(|error| panic!("tests/golden/{path}: {error}; see UPDATE_GOLDEN"))
        .into()
}

/// The objects of a directory, by name without `.bin`.
fn objects_in(directory: &str) -> Vec<(String, Bytes)> {
    let listing = fs::read_dir(root().join(directory)).unwrap_or_else(|error| panic!("{directory}: {error}"));
    let mut names: Vec<String> = listing
        .map(|entry| entry.expect("an entry can be read").file_name().into_string().expect("names are UTF-8"))
        .filter_map(|name| name.strip_suffix(".bin").map(str::to_owned))
        .collect();
    names.sort();
    assert!(!names.is_empty(), "{directory} holds golden objects");
    names.into_iter().map(|name| (name.clone(), read(&format!("{directory}/{name}.bin")))).collect()
}

/// The directories of a format, one a version that was ever written.
fn versions(format: &str, kind: ObjectKind) -> Vec<String> {
    (1..=kind.version()).map(|version| format!("{format}/v{version}")).collect()
}

fn newest(format: &str, kind: ObjectKind) -> String {
    format!("{format}/v{}", kind.version())
}

/// Compares what an object says with the rendering beside it.
fn compare(path: &str, said: &Value) {
    let said = render::text(said);
    add(path, said.as_bytes());
    let expected = String::from_utf8(read(path).to_vec()).expect("a rendering is UTF-8");
    assert!(said == expected, "{path} differs from what is read now:\n{said}");
}

/// The body of an object, to be sealed again.
fn body(bytes: &Bytes, envelope: &Envelope) -> Vec<Bytes> {
    vec![bytes.slice(usize::try_from(envelope.body_start()).expect("a golden object is small")..)]
}

/// The slot that a commit says, past its envelope: a golden file's name is no key.
fn slot_of(bytes: &Bytes) -> Slot {
    let mut reader = frazil_log::format::wire::Reader::new("golden", 64, &bytes[64..]);
    reader.varint().expect("a commit begins with its slot")
}

/// Adds the objects that are missing, once, and their sums.
fn prepare() {
    static PREPARED: Once = Once::new();
    if updating() {
        PREPARED.call_once(|| {
            add_objects();
            let mut sums = sums();
            let mut found = BTreeMap::new();
            all_objects("", &mut found);
            for (path, sum) in found {
                sums.entry(path).or_insert(sum);
            }
            let lines = sums.iter().map(|(path, sum)| format!("{sum:032x}  {path}\n"));
            fs::write(root().join(SUMS), lines.collect::<String>()).expect("the sums can be written");
        });
    }
}

fn add_objects() {
    let path = |format, kind, name: &str| format!("{}/{name}.bin", newest(format, kind));
    for (name, (header, body)) in objects::commits() {
        let sealed = header.seal(body).expect("it can be read back");
        add(&path("commit", ObjectKind::Commit, name), &sealed.to_vec());
    }
    let segments = [
        ("none", objects::rows_segment(Codec::None)),
        ("lz4", objects::rows_segment(Codec::Lz4)),
        ("zstd", objects::rows_segment(Codec::Zstd)),
        ("rolled_up", objects::rolled_up_segment()),
    ];
    for (name, (header, body)) in segments {
        let sealed = header.seal(body).expect("it can be read back");
        add(&path("segment", ObjectKind::Segment, name), &sealed.to_vec());
    }
    for (name, _, bytes) in objects::pages() {
        add(&path("page", ObjectKind::IndexPage, name), &bytes);
    }
    for (slot, bytes) in log::commits().iter().enumerate() {
        add(&path("log", ObjectKind::Commit, &format!("small/{slot:020}")), bytes);
    }
    let (state, _) = fold(&format!("{}/small", newest("log", ObjectKind::Commit)));
    add(&path("checkpoint", ObjectKind::Checkpoint, "small"), &checkpoint(&state));
    add(&path("checkpoint", ObjectKind::Checkpoint, "groups"), &checkpoint(&with_groups(state)));
    add(&path("checkpoint", ObjectKind::Checkpoint, "amended"), &amended_checkpoint());
}

/// The state with two groups more, one of which stands nowhere.
fn with_groups(mut state: State) -> State {
    let header = objects::stored_groups(&state);
    let sealed = header.seal(Vec::new()).expect("it can be read back");
    state.apply(&Commit::of_sealed(header, &sealed)).expect("it is the next slot");
    assert_eq!(state.groups().len(), 2, "both are taken");
    state
}

/// A checkpoint of a state, with three pages.
fn checkpoint(state: &State) -> Vec<u8> {
    let page = |from, to, level| PageRef { from, to, level, bytes: 1000 + to };
    checkpoint_with(state, vec![page(0, 8, 1), page(8, 11, 0), page(11, state.next(), 0)])
}

/// A checkpoint of a state with older schemas and rows that expired.
fn amended_checkpoint() -> Vec<u8> {
    let state = log::amended();
    checkpoint_with(&state, vec![PageRef { from: 0, to: state.next(), level: 0, bytes: 1000 }])
}

fn checkpoint_with(state: &State, pages: Vec<PageRef>) -> Vec<u8> {
    let (slot, state_bytes) = (state.next(), state.encode());
    let header = CheckpointHeader {
        log_uuid: objects::LOG,
        slot,
        log_hash: state.log_hash(),
        version: "0.1.0".into(),
        state_bytes: state_bytes.len() as u64,
        list_bytes: 0,
    };
    let checkpoint = Checkpoint { header, features: state.features(), state: state_bytes, pages };
    checkpoint.seal().expect("within its limits").to_vec()
}

/// The sums written down, by path.
fn sums() -> BTreeMap<String, u128> {
    let listed = fs::read_to_string(root().join(SUMS)).unwrap_or_default();
    let lines = listed.lines().map(|line| {
        let (sum, path) = line.split_once("  ").expect("a sum, two spaces, a path");
        (path.to_owned(), u128::from_str_radix(sum, 16).expect("a sum is hexadecimal"))
    });
    lines.collect()
}

#[test]
fn commits_say_what_they_said_and_are_written_as_they_were() {
    prepare();
    for directory in versions("commit", ObjectKind::Commit) {
        for (name, bytes) in objects_in(&directory) {
            let path = format!("{directory}/{name}");
            let commit = Commit::decode(&path, &bytes, slot_of(&bytes)).expect("it is read for ever");
            commit.envelope.verify(&path, &bytes).expect("it is whole");
            compare(&format!("{path}.json"), &render::commit(&commit, &bytes));
            if directory == newest("commit", ObjectKind::Commit) {
                let again = commit.header.seal(body(&bytes, &commit.envelope)).expect("it can be read back");
                assert!(again.to_vec() == bytes, "{path} is written otherwise now");
            }
        }
    }
}

#[test]
fn segments_say_what_they_said_and_are_written_as_they_were() {
    prepare();
    for directory in versions("segment", ObjectKind::Segment) {
        for (name, bytes) in objects_in(&directory) {
            let path = format!("{directory}/{name}");
            let id = objects::segment_id(if name == "rolled_up" { 9 } else { 7 });
            let (envelope, header) = SegmentHeader::decode(&path, &bytes, id).expect("it is read for ever");
            envelope.verify(&path, &bytes).expect("it is whole");
            let said = render::segment(&envelope, &header, &bytes, envelope.body_start());
            compare(&format!("{path}.json"), &said);
            if directory == newest("segment", ObjectKind::Segment) {
                let again = header.seal(body(&bytes, &envelope)).expect("it can be read back");
                assert!(again.to_vec() == bytes, "{path} is written otherwise now");
            }
        }
    }
}

#[test]
fn pages_say_what_they_said_and_are_written_as_they_were() {
    prepare();
    for directory in versions("page", ObjectKind::IndexPage) {
        for (name, bytes) in objects_in(&directory) {
            let path = format!("{directory}/{name}");
            let slots = if name == "empty" { 1000..2000 } else { 0..1000 };
            let (header, places) = decode_page(&path, &bytes, &slots).expect("it is read for ever");
            let envelope = Envelope::decode(&path, &bytes, ObjectKind::IndexPage).expect("it was just read");
            compare(&format!("{path}.json"), &render::page(&envelope, &header, &places));
            if directory == newest("page", ObjectKind::IndexPage) {
                let again =
                    seal_page(header.log_uuid, slots, header.log_hash, &places).expect("within its limits");
                assert!(again.to_vec() == bytes, "{path} is written otherwise now");
            }
        }
    }
}

/// Folds the commits of a directory; what each slot brought.
fn fold(directory: &str) -> (State, Vec<Value>) {
    let mut said = Vec::new();
    let mut folded: Option<State> = None;
    for (slot, (name, bytes)) in (0..).zip(objects_in(directory)) {
        assert_eq!(name, format!("{slot:020}"), "a log has no holes");
        let commit =
            Commit::decode(&format!("{directory}/{name}"), &bytes, slot).expect("it is read for ever");
        let rules = Protocol::SHIPPED.fold;
        let (state, applied) = match folded.take() {
            None => State::begin(&commit, rules).expect("slot 0 begins a log"),
            Some(mut state) => {
                assert_eq!(
                    commit.header.folded,
                    (state.next(), state.log_hash()),
                    "what its writer had folded"
                );
                let applied = state.apply(&commit).expect("it is the next slot");
                (state, applied)
            }
        };
        said.push(render::applied(&applied, &state));
        folded = Some(state);
    }
    (folded.expect("a golden log has slots"), said)
}

#[test]
fn a_log_is_folded_to_the_verdicts_and_the_hash_of_old() {
    prepare();
    for directory in versions("log", ObjectKind::Commit) {
        let (state, slots) = fold(&format!("{directory}/small"));
        let hash = format!("{:032x}", xxh3_128(&state.encode()));
        let said = json!({ "slots": slots, "state": render::state(&state), "state_xxh3": hash });
        compare(&format!("{directory}/small.json"), &said);
    }
    let (written, read) =
        (log::commits(), objects_in(&format!("{}/small", newest("log", ObjectKind::Commit))));
    assert!(written.iter().eq(read.iter().map(|(_, bytes)| bytes)), "the log is written otherwise now");
}

#[test]
fn checkpoints_say_what_they_said_and_are_written_as_they_were() {
    prepare();
    for directory in versions("checkpoint", ObjectKind::Checkpoint) {
        for (name, bytes) in objects_in(&directory) {
            let path = format!("{directory}/{name}");
            let small = || fold("log/v1/small").0;
            let folded = match name.as_str() {
                "amended" => log::amended(),
                "groups" => with_groups(small()),
                _ => small(),
            };
            let slot = folded.next();
            let checkpoint = Checkpoint::decode(&path, &bytes, slot).expect("it is read for ever");
            let envelope = Envelope::decode(&path, &bytes, ObjectKind::Checkpoint).expect("it was just read");
            let start = checkpoint.header.state_start(bytes.len() as u64);
            let state = State::decode(&path, start, &checkpoint.state, Protocol::SHIPPED.fold)
                .expect("read for ever");
            compare(&format!("{path}.json"), &render::checkpoint(&envelope, &checkpoint, &state));
            if directory == newest("checkpoint", ObjectKind::Checkpoint) {
                assert!(state.encode() == checkpoint.state, "the state of {path} is written otherwise now");
                let again = checkpoint.seal().expect("within its limits");
                assert!(again.to_vec() == bytes, "{path} is written otherwise now");
                assert!(folded.encode() == checkpoint.state, "the log is folded to the state of {path}");
            }
        }
    }
}

/// Every object below a directory, by its path from the root of the golden files.
fn all_objects(directory: &str, found: &mut BTreeMap<String, u128>) {
    for entry in fs::read_dir(root().join(directory)).expect("it can be listed") {
        let entry = entry.expect("an entry can be read");
        let name = entry.file_name().into_string().expect("names are UTF-8");
        let path = if directory.is_empty() { name } else { format!("{directory}/{name}") };
        if entry.path().is_dir() {
            all_objects(&path, found);
        } else if path.ends_with(".bin") {
            found.insert(path.clone(), xxh3_128(&read(&path)));
        }
    }
}

#[test]
fn no_object_ever_changes() {
    prepare();
    let (mut found, listed) = (BTreeMap::new(), sums());
    all_objects("", &mut found);
    for (path, sum) in &listed {
        assert_eq!(found.get(path), Some(sum), "tests/golden/{path} is not what it was");
    }
    assert_eq!(listed, found, "each object has its sum: add new ones with UPDATE_GOLDEN=1");
    assert!(found.len() > 20);
}

/// Eight hexadecimal digits.
fn is_place(text: &str) -> bool {
    text.len() == 8 && text.bytes().all(|byte| byte.is_ascii_hexdigit())
}

/// `docs/format.md` reads one object byte by byte, as `xxd` shows it.
#[test]
fn the_object_that_the_docs_read_by_hand_is_the_golden_one() {
    let page = fs::read_to_string(root().join("../../docs/format.md")).expect("docs/format.md is there");
    let mut dumped = Vec::new();
    for line in page.lines() {
        let Some((at, rest)) = line.split_once(": ").filter(|(at, _)| is_place(at)) else { continue };
        assert_eq!(usize::from_str_radix(at, 16), Ok(dumped.len()), "{line}");
        let digits: String = rest.split("  ").next().unwrap_or_default().split(' ').collect();
        let pairs = (0..digits.len()).step_by(2).map(|at| &digits[at..at + 2]);
        dumped.extend(pairs.map(|pair| u8::from_str_radix(pair, 16).expect("hexadecimal digits")));
    }
    assert!(
        dumped == read("commit/v1/dropped_and_created_again.bin"),
        "the dump in docs/format.md is another"
    );
}

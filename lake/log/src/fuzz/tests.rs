//! The targets under a seeded mutator: what `just fuzz` does for hours, for some thousand rounds.

use std::fs;
use std::path::Path;

use proptest::strategy::{Strategy, ValueTree};
use proptest::test_runner::{RngAlgorithm, TestRng, TestRunner};

use super::*;
use crate::format::envelope::{ObjectKind, seal};
use crate::format::tests::arbitrary;

const ROUNDS: usize = 4_000;

/// SplitMix64: numbers that are the same in every run.
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        z ^ (z >> 31)
    }

    fn below(&mut self, end: usize) -> usize {
        usize::try_from(self.next() % u64::try_from(end.max(1)).unwrap()).unwrap()
    }

    fn byte(&mut self) -> u8 {
        self.next().to_le_bytes()[0]
    }

    fn range(&mut self, bytes: &[u8]) -> std::ops::Range<usize> {
        let start = self.below(bytes.len());
        start..(start + 1 + self.below(12)).min(bytes.len())
    }
}

/// One change: a flip, a byte, a cut, a piece of another, a number at the end of its range.
fn mutate(bytes: &mut Vec<u8>, other: &[u8], random: &mut Random) {
    let at = random.below(bytes.len());
    match random.below(8) {
        _ if bytes.is_empty() => bytes.push(random.byte()),
        0..3 => bytes[at] ^= 1 << random.below(8),
        3 => bytes[at] = random.byte(),
        4 => drop(bytes.drain(random.range(bytes))),
        5 => {
            let piece = other.get(random.range(other)).unwrap_or_default().to_vec();
            bytes.splice(at..at, piece);
        }
        6 => {
            let piece = other.get(random.range(other)).unwrap_or_default().to_vec();
            let end = (at + piece.len()).min(bytes.len());
            bytes.splice(at..end, piece);
        }
        _ => {
            let mut spelled = Writer::new();
            let ends = [0x7f, 0x80, 1 << 20, u64::from(u32::MAX), 1 << 32, 1 << 62, u64::MAX >> 1, u64::MAX];
            spelled.varint(ends[random.below(ends.len())]);
            bytes.splice(at..=at, spelled.into_bytes());
        }
    }
}

/// Header and body of a good object, changed and sealed again, or changed anywhere.
fn mutated(good: &[u8], other: &[u8], random: &mut Random) -> Vec<u8> {
    let changes = 1 + random.below(6) / 4;
    let mut bytes = good.to_vec();
    let kinds = [ObjectKind::Commit, ObjectKind::Segment, ObjectKind::Checkpoint, ObjectKind::IndexPage];
    let kind = kinds.into_iter().find(|kind| *kind as u8 == good[8]).unwrap();
    if random.below(8) == 0 {
        (0..changes).for_each(|_| mutate(&mut bytes, other, random));
        return bytes;
    }
    let start = usize::try_from(Envelope::decode("seed", good, kind).unwrap().body_start()).unwrap();
    let (mut header, mut body) = (good[ENVELOPE_BYTES..start].to_vec(), good[start..].to_vec());
    for _ in 0..changes {
        let into_body = !body.is_empty() && random.below(3) == 0;
        mutate(if into_body { &mut body } else { &mut header }, other, random);
    }
    let mut w = Writer::new();
    w.raw(&header);
    seal(kind, w, vec![Bytes::from(body)]).unwrap().to_vec()
}

fn generated<T>(strategy: impl Strategy<Value = T>, count: usize) -> Vec<T> {
    let rng = TestRng::deterministic_rng(RngAlgorithm::ChaCha);
    let mut runner = TestRunner::new_with_rng(proptest::test_runner::Config::default(), rng);
    (0..count).map(|_| strategy.new_tree(&mut runner).unwrap().current()).collect()
}

/// The golden objects of a format.
fn golden(format: &str) -> Vec<Vec<u8>> {
    let directory = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/golden").join(format);
    let mut paths: Vec<_> = fs::read_dir(directory).unwrap().map(|entry| entry.unwrap().path()).collect();
    paths.sort();
    paths.retain(|path| path.extension().is_some_and(|ending| ending == "bin"));
    paths.into_iter().map(|path| fs::read(path).unwrap()).collect()
}

/// Runs a target over mutated seeds; each is taken before it is changed, and often enough after.
fn run(seeds: &[Vec<u8>], target: fn(&[u8]) -> bool, mutate: fn(&[u8], &[u8], &mut Random) -> Vec<u8>) {
    assert!(seeds.len() > 1 && seeds.iter().all(|seed| target(seed)), "seeds are good objects");
    let mut random = Random(7);
    let mut taken = 0;
    for round in 0..ROUNDS {
        let other = &seeds[random.below(seeds.len())];
        taken += usize::from(target(&mutate(&seeds[round % seeds.len()], other, &mut random)));
    }
    // Else the rounds say nothing of what is behind the checksums.
    assert!((ROUNDS / 50..ROUNDS * 49 / 50).contains(&taken), "{taken} of {ROUNDS} taken");
}

#[test]
fn no_bytes_panic_the_reader_of_commits_or_the_fold() {
    let mut seeds: Vec<Vec<u8>> = generated(arbitrary::commits(), 40)
        .into_iter()
        .map(|(header, body)| header.seal(vec![body]).unwrap().to_vec())
        .collect();
    seeds.extend(golden("commit/v1"));
    seeds.extend(golden("log/v1/small"));
    run(&seeds, fuzz_commit, mutated);
}

#[test]
fn no_bytes_panic_the_reader_of_segments() {
    let mut seeds: Vec<Vec<u8>> = generated(arbitrary::segments(), 20)
        .into_iter()
        .map(|(header, body)| header.seal(vec![body]).unwrap().to_vec())
        .collect();
    seeds.extend(golden("segment/v1"));
    run(&seeds, fuzz_segment, mutated);
}

#[test]
fn no_bytes_panic_the_reader_of_pages() {
    let mut seeds: Vec<Vec<u8>> = generated(arbitrary::pages(), 30)
        .into_iter()
        .map(|((log_uuid, slots, hash), places)| seal_page(log_uuid, slots, hash, &places).unwrap().to_vec())
        .collect();
    seeds.extend(golden("page/v1"));
    run(&seeds, fuzz_page, mutated);
}

#[test]
fn no_bytes_panic_the_reader_of_checkpoints() {
    let mut seeds: Vec<Vec<u8>> = generated(arbitrary::checkpoints(), 20)
        .into_iter()
        .map(|checkpoint| checkpoint.seal().unwrap().to_vec())
        .collect();
    seeds.extend(golden("checkpoint/v1"));
    run(&seeds, fuzz_checkpoint, mutated);
}

#[test]
fn no_bytes_panic_the_reader_of_states_or_the_fold() {
    let checkpoints = golden("checkpoint/v1").into_iter().map(|bytes| {
        let slot = peek(&bytes, |r| {
            r.uuid().ok()?;
            r.varint().ok()
        });
        Checkpoint::decode("seed", &bytes.into(), slot.unwrap()).unwrap().state.to_vec()
    });
    let mut seeds: Vec<Vec<u8>> = checkpoints.collect();
    seeds.push(some_state(Uuid::from_u128(7)).encode().to_vec());
    let plain = |good: &[u8], other: &[u8], random: &mut Random| {
        let mut bytes = good.to_vec();
        (0..=random.below(4) / 3).for_each(|_| mutate(&mut bytes, other, random));
        bytes
    };
    run(&seeds, fuzz_state, plain);
}

#[test]
fn no_bytes_panic_the_alphabet() {
    let mut random = Random(7);
    let mut taken = 0;
    for _ in 0..ROUNDS * 10 {
        let length = random.below(400);
        let mut bytes: Vec<u8> = (0..length).map(|_| random.byte()).collect();
        // Small numbers, so that lengths and counts are now and then right.
        bytes
            .iter_mut()
            .skip(16)
            .for_each(|byte| *byte %= 1 + random.below(8).pow(3).to_le_bytes()[0].min(254));
        taken += usize::from(fuzz_wire(&bytes));
    }
    assert!(taken > ROUNDS / 10, "{taken} taken");
}

#[test]
fn inputs_that_are_no_object_are_nothing() {
    let targets = [fuzz_commit, fuzz_segment, fuzz_page, fuzz_checkpoint, fuzz_state];
    for length in 0..200 {
        for byte in [0, 0x80, 0xff] {
            assert!(targets.iter().all(|target| !target(&vec![byte; length])), "{length} times {byte:#04x}");
        }
    }
}

use super::*;
use crate::segment::fuzz::{fuzz_fields, fuzz_slice, slice_of};
use crate::segment::{DECODED_BYTES_MAX, decode};
use arrow::datatypes::Schema as ArrowSchema;

const ROUNDS: usize = 3000;

/// A good slice as the fuzz target takes it.
fn good_input(codec: Codec, rows: usize, seed: u64) -> Vec<u8> {
    let fields = fuzz_fields();
    let columns = fields.len();
    let (slice, bytes) = written(&[batch(&Arc::new(ArrowSchema::new(fields)), rows, seed)], columns, codec);
    let layout = &slice.batches[0];
    let eighths = |bytes: u64| u16::try_from(bytes / 8).unwrap().to_le_bytes();
    let mut input = vec![codec as u8];
    input.extend(u16::try_from(slice.rows).unwrap().to_le_bytes());
    input.extend(eighths(layout.metadata_len.into()));
    layout.chunks[..columns - 1].iter().for_each(|chunk| input.extend(eighths(chunk.len)));
    input.extend_from_slice(&bytes);
    input
}

/// Where the message begins in an input.
fn message_start() -> usize {
    5 + 2 * (fuzz_fields().len() - 1)
}

#[test]
fn the_fuzz_target_reaches_the_decoder() {
    for codec in CODECS {
        for rows in [0, 1, 40] {
            let input = good_input(codec, rows, 5);
            let (slice, bytes) = slice_of(&input, fuzz_fields().len()).unwrap();
            let decoded = decode(&slice, &bytes, &fuzz_fields(), &PLACE).unwrap();
            assert_eq!(logical_rows(&decoded), rows);
            fuzz_slice(&input);
        }
    }
}

/// Changes a few bytes, or whole numbers of the metadata, or the length.
fn mutate(input: &mut Vec<u8>, random: &mut Random) {
    for _ in 0..=random.below(8) / 6 {
        let start = message_start();
        let metadata_words = usize::from(u16::from_le_bytes([input[3], input[4]])).max(1);
        let words = (input.len() / 8).saturating_sub(start / 8 + 1).max(1);
        match random.below(16) {
            0 => input.truncate(input.len() - random.below(input.len() / 4)),
            1 => put(input, random.below(start), &random.next().to_le_bytes()[..1]),
            2 => {
                let at = random.below(input.len());
                input[at] = random.next().to_le_bytes()[0];
            }
            3..6 => {
                let at = random.below(input.len());
                input[at] ^= 1 << random.below(8);
            }
            // Lengths, null counts and offsets lie in the metadata, at multiples of 8.
            6..12 => change(input, start + 8 * random.below(metadata_words), random),
            // Claimed lengths lie at the beginnings of compressed buffers, offsets and values anywhere.
            _ => change(input, start + 8 * random.below(words), random),
        }
        input.resize(input.len().max(start + 8), 0);
    }
}

/// Changes a number, a little or to one that is special.
fn change(input: &mut [u8], at: usize, random: &mut Random) {
    let special = [0, 1, -1, 7, 8, 64, i64::MAX, i64::MIN, i64::from(i32::MAX), 1 << 30, 1 << 40];
    let Some(old) = input.get(at..at + 8) else { return };
    let old = i64::from_le_bytes(old.try_into().unwrap());
    let new = match random.below(4) {
        0 => special[random.below(special.len())],
        1 => old.wrapping_add(8),
        2 => old.wrapping_sub(8),
        _ => old.wrapping_add(i64::try_from(random.below(9)).unwrap() - 4),
    };
    put(input, at, &new.to_le_bytes());
}

fn put(input: &mut [u8], at: usize, bytes: &[u8]) {
    if let Some(place) = input.get_mut(at..at + bytes.len()) {
        place.copy_from_slice(bytes);
    }
}

#[test]
fn no_bytes_with_right_checksums_panic_the_decoder() {
    let mut random = Random(2);
    let seeds: Vec<_> = (0..12).map(|n| good_input(CODECS[n % 3], [0, 1, 9, 30][n % 4], 40)).collect();
    let (mut decoded, mut refused_by_arrow, mut refused_before) = (0, 0, 0);
    for round in 0..ROUNDS {
        let mut input = seeds[round % seeds.len()].clone();
        mutate(&mut input, &mut random);
        fuzz_slice(&input);
        let Some((slice, bytes)) = slice_of(&input, fuzz_fields().len()) else {
            continue;
        };
        match decode(&slice, &bytes, &fuzz_fields(), &PLACE) {
            Ok(batches) => {
                decoded += 1;
                let bytes: usize = batches.iter().map(RecordBatch::get_array_memory_size).sum();
                assert!(u64::try_from(bytes).unwrap() < 2 * DECODED_BYTES_MAX);
            }
            Err(error) if error.to_string().contains("Arrow refuses") => refused_by_arrow += 1,
            Err(_) => refused_before += 1,
        }
    }
    // Each happens often, else the rounds say nothing.
    let counts = [decoded, refused_by_arrow, refused_before];
    assert!(counts.iter().all(|count| *count > ROUNDS / 20), "{counts:?}");
}

#[test]
fn inputs_without_a_slice_are_nothing() {
    for length in 0..64 {
        fuzz_slice(&vec![0xFF; length]);
        fuzz_slice(&vec![0; length]);
    }
}

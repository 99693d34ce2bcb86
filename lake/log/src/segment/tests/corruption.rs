use super::projections::fetched;
use super::*;
use crate::error::{Error, ErrorKind};
use crate::segment::buffer::decoded_len;
use crate::segment::message::BatchMessage;
use crate::segment::{DECODED_BYTES_MAX, Projection, decode, decode_projected};
use arrow::datatypes::Schema as ArrowSchema;
use proptest::prelude::{ProptestConfig, any, proptest};

/// A slice of two batches with a number, a string and a list.
fn small(codec: Codec) -> (Slice, Bytes, Vec<FieldRef>) {
    let list = DataType::List(Arc::new(Field::new("element", DataType::Int32, true)));
    let fields = vec![
        Field::new("n", DataType::Int64, false),
        Field::new("s", DataType::Utf8, true),
        Field::new("l", list, true),
    ];
    let schema = Arc::new(ArrowSchema::new(fields));
    let (slice, bytes) = written(&[batch(&schema, 5, 1), batch(&schema, 3, 2)], 3, codec);
    (slice, bytes, schema.fields().to_vec())
}

/// Whether an error is `Corrupt` and names the object and a range of it with the byte `at` of the slice.
fn names(error: &Error, slice: &Slice, at: usize) -> bool {
    let message = error.to_string();
    let range =
        message.strip_prefix(&format!("{} bytes ", PLACE.object)).and_then(|rest| rest.split(':').next());
    let (from, to) = range.and_then(|range| range.split_once("..")).expect("a range is named");
    let (from, to) = (from.parse::<u64>().unwrap(), to.parse::<u64>().unwrap());
    let at = PLACE.start + slice.body_offset + u64::try_from(at).unwrap();
    error.kind() == ErrorKind::Corrupt
        && from <= at
        && at < to
        && message.contains("expected")
        && message.contains("found")
}

#[test]
fn every_flipped_bit_is_refused_and_named() {
    for codec in CODECS {
        let (slice, bytes, fields) = small(codec);
        for bit in 0..bytes.len() * 8 {
            let mut flipped = bytes.to_vec();
            flipped[bit / 8] ^= 1 << (bit % 8);
            let error = decode(&slice, &flipped.into(), &fields, &PLACE).unwrap_err();
            assert!(names(&error, &slice, bit / 8), "bit {bit}: {error}");
        }
    }
}

#[test]
fn every_flipped_bit_of_fetched_ranges_is_refused_and_named() {
    for codec in CODECS {
        let (slice, bytes, fields) = small(codec);
        for wanted in [vec![1], vec![2, 0]] {
            let projection = Projection::plan(&slice, &wanted, 0).unwrap();
            for (number, range) in projection.ranges().iter().enumerate() {
                for bit in range.start * 8..range.end * 8 {
                    let mut flipped = bytes.to_vec();
                    let at = usize::try_from(bit / 8).unwrap();
                    flipped[at] ^= 1 << (bit % 8);
                    let parts = fetched(&flipped.into(), projection.ranges());
                    let error = decode_projected(&slice, &projection, &parts, &fields, &PLACE).unwrap_err();
                    assert!(names(&error, &slice, at), "range {number} bit {bit}: {error}");
                }
            }
        }
    }
}

#[test]
fn a_flipped_bit_is_named_by_the_part_it_lies_in() {
    let (slice, bytes, fields) = small(Codec::None);
    let mut flipped = bytes.to_vec();
    let at = usize::try_from(u64::from(slice.batches[0].metadata_len) + slice.batches[0].chunks[1].offset)
        .unwrap();
    flipped[at] ^= 1;
    let error = decode(&slice, &flipped.into(), &fields, &PLACE).unwrap_err();
    let start = PLACE.start + slice.body_offset + u64::try_from(at).unwrap();
    let range = format!(
        "{} bytes {start}..{}: expected checksum",
        PLACE.object,
        start + slice.batches[0].chunks[1].len
    );
    assert!(error.to_string().starts_with(&range), "{error}");
}

#[test]
fn every_truncation_and_every_byte_too_many_is_refused() {
    for codec in CODECS {
        let (slice, bytes, fields) = small(codec);
        for length in 0..bytes.len() {
            let error = decode(&slice, &bytes.slice(..length), &fields, &PLACE).unwrap_err();
            assert_eq!(error.kind(), ErrorKind::Corrupt, "{error}");
            assert!(error.to_string().contains(PLACE.object));
        }
        let longer: Vec<u8> = bytes.iter().copied().chain([0]).collect();
        assert_eq!(decode(&slice, &longer.into(), &fields, &PLACE).unwrap_err().kind(), ErrorKind::Corrupt);
        let projection = Projection::plan(&slice, &[0, 2], 0).unwrap();
        let parts = fetched(&bytes, projection.ranges());
        for part in 0..parts.len() {
            for length in 0..parts[part].len() {
                let mut parts = parts.clone();
                parts[part].truncate(length);
                let error = decode_projected(&slice, &projection, &parts, &fields, &PLACE).unwrap_err();
                assert_eq!(error.kind(), ErrorKind::Corrupt, "{error}");
                assert!(error.to_string().contains(PLACE.object));
            }
        }
    }
}

#[test]
fn fields_of_other_types_are_refused() {
    for codec in CODECS {
        let (slice, bytes, fields) = small(codec);
        for data_type in [DataType::Utf8, DataType::Boolean, DataType::Int32, DataType::Decimal128(5, 0)] {
            let mut fields = fields.clone();
            fields[0] = Arc::new(Field::new("n", data_type, false));
            let error = decode(&slice, &bytes, &fields, &PLACE).unwrap_err();
            assert_eq!(error.kind(), ErrorKind::Corrupt, "{error}");
        }
        let mut fields = fields.clone();
        fields[1] = Arc::new(Field::new("s", DataType::Utf8View, false));
        assert_eq!(decode(&slice, &bytes, &fields, &PLACE).unwrap_err().kind(), ErrorKind::Unsupported);
    }
}

/// The compressed bytes of so many zeros, as the builder writes them.
fn compressed_zeros(codec: Codec, zeros: usize) -> Vec<u8> {
    let schema = Arc::new(ArrowSchema::new(vec![Field::new("n", DataType::Int64, false)]));
    let zeros = Int64Array::from(vec![0; zeros / 8]);
    let batch = RecordBatch::try_new(schema, vec![Arc::new(zeros)]).unwrap();
    let (slice, bytes) = written(&[batch], 1, codec);
    bytes[usize::try_from(slice.batches[0].metadata_len).unwrap()..].to_vec()
}

fn claiming(claimed: i64, buffer: &[u8]) -> Vec<u8> {
    claimed.to_le_bytes().iter().chain(&buffer[8..]).copied().collect()
}

#[test]
fn a_buffer_cannot_claim_what_it_cannot_become() {
    let zeros = 3 << 20;
    for codec in [Codec::Lz4, Codec::Zstd] {
        let buffer = compressed_zeros(codec, zeros);
        let buffer = if codec == Codec::Lz4 { cut_to_lz4_frame(&buffer) } else { buffer };
        let claimed = i64::try_from(zeros).unwrap();
        assert_eq!(decoded_len(codec, &buffer).unwrap(), u64::try_from(zeros).unwrap());
        for impossible in [i64::MAX, i64::MIN, -2, claimed * 1000] {
            decoded_len(codec, &claiming(impossible, &buffer)).unwrap_err();
        }
        assert_eq!(
            decoded_len(codec, &claiming(-1, &buffer)).unwrap(),
            u64::try_from(buffer.len() - 8).unwrap()
        );
        decoded_len(codec, &buffer[..7]).unwrap_err();
        assert_eq!(decoded_len(codec, &[]).unwrap(), 0);
    }
}

/// The buffer without the padding behind it: prefix and one frame, found by its blocks.
fn cut_to_lz4_frame(buffer: &[u8]) -> Vec<u8> {
    let len = (8..=buffer.len()).find(|len| decoded_len(Codec::Lz4, &buffer[..*len]).is_ok());
    buffer[..len.expect("a whole frame")].to_vec()
}

#[test]
fn an_lz4_frame_cannot_hold_more_than_it_claims() {
    let frame = cut_to_lz4_frame(&compressed_zeros(Codec::Lz4, 64 << 20));
    assert_eq!(decoded_len(Codec::Lz4, &frame).unwrap(), 64 << 20);
    // Arrow's reader would make 64 MiB of each of these before it noticed.
    for claimed in [1, 1000, 1 << 20, (64 << 20) - (4 << 20)] {
        let error = decoded_len(Codec::Lz4, &claiming(claimed, &frame)).unwrap_err();
        assert!(error.to_string().contains("more blocks"), "{error}");
    }
    for cut in [9, 12, 14, frame.len() - 1] {
        decoded_len(Codec::Lz4, &frame[..cut]).unwrap_err();
    }
}

#[test]
fn a_slice_larger_than_a_reader_takes_is_not_written() {
    // An array that is there twice counts twice, as a reader would hold it twice.
    let schema = Arc::new(ArrowSchema::new(vec![Field::new("n", DataType::Int64, false)]));
    let rows = 4 << 20;
    let batch = RecordBatch::try_new(schema, vec![Arc::new(Int64Array::from(vec![0; rows]))]).unwrap();
    let fit = usize::try_from(DECODED_BYTES_MAX).unwrap() / (8 * rows);
    let error = BodyBuilder::new().push(meta(1, Codec::Zstd), &vec![batch; fit + 1]).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Invalid);
}

#[test]
fn buffers_that_become_more_than_is_left_are_refused_before_they_do() {
    for codec in CODECS {
        let (_, slice, bytes, fields) = every_type_written(&[300], codec, 8);
        let layout = &slice.batches[0];
        let metadata_len = usize::try_from(layout.metadata_len).unwrap();
        let message = BatchMessage::open(&bytes[..metadata_len], layout, codec, &fields).unwrap();
        let all: Vec<usize> = (0..fields.len()).collect();
        let arrays = |mut left: u64| {
            let decoded = message.arrays(&all, bytes.slice(metadata_len..), 0, &mut left);
            decoded.map(|_| left)
        };
        let needed = 1_000_000 - arrays(1_000_000).unwrap();
        assert!(needed > 10_000);
        assert_eq!(arrays(needed).unwrap(), 0);
        let error = arrays(needed - 1).unwrap_err();
        assert!(error.to_string().contains("buffers have more than"), "{error}");
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(400))]

    #[test]
    fn a_header_that_lies_about_the_layout_cannot_panic_a_reader(seed in any::<u64>(), lies in 1_usize..4) {
        let (mut slice, bytes, fields) = small(Codec::Lz4);
        let mut random = Random(seed);
        for _ in 0..lies {
            lie(&mut slice, &mut random);
        }
        let _result = decode(&slice, &bytes, &fields, &PLACE);
        for wanted in [vec![], vec![0], vec![2, 1]] {
            let Ok(projection) = Projection::plan(&slice, &wanted, random.next() % 100) else { continue };
            let inside = |at: u64| usize::try_from(at).unwrap_or(usize::MAX).min(bytes.len());
            let parts: Vec<_> =
                projection.ranges().iter().map(|range| bytes.slice(inside(range.start)..inside(range.end))).collect();
            let _result = decode_projected(&slice, &projection, &parts, &fields, &PLACE);
        }
    }
}

/// Changes one number of a slice's layout.
fn lie(slice: &mut Slice, random: &mut Random) {
    let number = match random.below(4) {
        0 => random.next(),
        1 => u64::MAX - random.next() % 16,
        2 => random.next() % 64 * 8,
        _ => u64::from(u32::MAX) - random.next() % 16,
    };
    let small = u32::try_from(number & u64::from(u32::MAX)).unwrap();
    let batch = random.below(slice.batches.len().max(1));
    match (random.below(9), slice.batches.get_mut(batch)) {
        (0, _) => slice.bytes = number,
        (1, _) => slice.rows = small,
        (2, _) => slice.body_offset = number,
        (3, Some(batch)) => batch.rows = small,
        (4, Some(batch)) => batch.metadata_len = small,
        (5, Some(batch)) => batch.body_len = number,
        (6, Some(batch)) => batch.chunks[random.below(3)].offset = number,
        (7, Some(batch)) => batch.chunks[random.below(3)].len = number,
        _ => drop(slice.batches.pop()),
    }
}

use arrow::array::{ArrayRef, DictionaryArray, Int64Array, StringArray};
use arrow::datatypes::{Int32Type, Schema as ArrowSchema};
use arrow::ipc::CompressionType;
use arrow::ipc::writer::{
    CompressionContext, DictionaryTracker, EncodedData, IpcDataGenerator, IpcWriteOptions,
};
use arrow::record_batch::RecordBatch;
use bytes::Bytes;
use proptest::prelude::*;
use std::sync::Arc;

use super::{random, schema};
use crate::error::{Kind, Problem};
use crate::produce::decode::Limits;
use crate::produce::decode::arrow_stream::messages::{Messages, Read};

/// A stream's messages: metadata and body of each.
fn messages(batch: &RecordBatch, codec: Option<CompressionType>) -> Vec<(Bytes, Bytes)> {
    let options = IpcWriteOptions::default().try_with_compression(codec).unwrap();
    let generator = IpcDataGenerator::default();
    let mut tracker = DictionaryTracker::new(false);
    let schema: &ArrowSchema = &batch.schema();
    let first = generator.schema_to_bytes_with_dictionary_tracker(schema, &mut tracker, &options);
    let (dictionaries, rows) =
        generator.encode(batch, &mut tracker, &options, &mut CompressionContext::default()).unwrap();
    let pair = |data: EncodedData| (Bytes::from(data.ipc_message), Bytes::from(data.arrow_data));
    [first].into_iter().chain(dictionaries).chain([rows]).map(pair).collect()
}

fn read(messages: &[(Bytes, Bytes)], limits: Limits) -> Result<Vec<(u128, RecordBatch)>, Problem> {
    let mut reader = Messages::open(&messages[0].0, limits)?;
    let mut batches = Vec::new();
    for (metadata, body) in &messages[1..] {
        if let Read::Batch(batch) = reader.read(metadata, body)? {
            batches.push((reader.hash("", metadata, body), batch));
        }
    }
    Ok(batches)
}

fn words(words: &[&str]) -> RecordBatch {
    let dictionary: DictionaryArray<Int32Type> = words.iter().copied().collect();
    RecordBatch::try_from_iter([("word", Arc::new(dictionary) as ArrayRef)]).unwrap()
}

#[test]
fn dictionaries_are_plain_values_in_the_table() {
    let sent = messages(&words(&["a", "b", "a"]), Some(CompressionType::ZSTD));
    let read = read(&sent, Limits::default()).unwrap();
    let reader = Messages::open(&sent[0].0, Limits::default()).unwrap();
    let rows = reader.cast(read[0].1.clone(), &schema("word STRING")).unwrap();
    let expected: ArrayRef = Arc::new(StringArray::from(vec!["a", "b", "a"]));
    assert_eq!(rows.column(0), &expected);
}

#[test]
fn a_hash_tells_rows_apart_whose_bytes_differ_only_in_their_dictionary() {
    let hash = |batch: &RecordBatch| read(&messages(batch, None), Limits::default()).unwrap()[0].0;
    assert_eq!(hash(&words(&["a", "b"])), hash(&words(&["a", "b"])));
    assert_ne!(hash(&words(&["a", "b"])), hash(&words(&["a", "c"])));
    let ids = |ids: Vec<i64>| {
        RecordBatch::try_from_iter([("id", Arc::new(Int64Array::from(ids)) as ArrayRef)]).unwrap()
    };
    // The same padded body, another number of rows.
    assert_ne!(hash(&ids(vec![1, 0])), hash(&ids(vec![1])));
}

#[test]
fn what_would_decompress_to_too_much_is_refused_before_it_does() {
    let zeros: ArrayRef = Arc::new(Int64Array::from(vec![0; 1 << 20]));
    let sent = messages(&RecordBatch::try_from_iter([("id", zeros)]).unwrap(), Some(CompressionType::ZSTD));
    assert!(sent[1].1.len() < 100_000);
    let limits = Limits { decoded_bytes_max: 4 << 20 };
    assert_eq!(read(&sent, limits).unwrap_err().kind(), Kind::TooLarge);
    assert_eq!(read(&sent, Limits::default()).unwrap().len(), 1);
}

#[test]
fn dictionaries_that_are_kept_are_bounded_together() {
    let word = "x".repeat(1 << 10);
    let sent = messages(&words(&[&word]), None);
    let mut reader = Messages::open(&sent[0].0, Limits { decoded_bytes_max: 4 << 10 }).unwrap();
    // The same one again takes the place of the first.
    for _ in 0..100 {
        assert!(matches!(reader.read(&sent[1].0, &sent[1].1), Ok(Read::Dictionary)));
    }
    let mut small = Messages::open(&sent[0].0, Limits { decoded_bytes_max: 1 << 9 }).unwrap();
    assert_eq!(small.read(&sent[1].0, &sent[1].1).unwrap_err().kind(), Kind::TooLarge);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(256))]

    #[test]
    fn no_bytes_panic_and_cut_messages_are_refused(
        flips in prop::collection::vec((any::<prop::sample::Index>(), any::<prop::sample::Index>(), 0u8..8), 1..4),
        cut in any::<prop::sample::Index>(),
        compressed in any::<bool>(),
        schema in random::schemas(),
        seed in any::<u64>(),
    ) {
        let batch = random::batch(&schema, 6, seed);
        let sent = messages(&batch, compressed.then_some(CompressionType::LZ4_FRAME));
        let mut flipped = sent.clone();
        for (message, place, bit) in flips {
            let message = message.index(flipped.len());
            let (metadata, body) = &mut flipped[message];
            let in_body = !body.is_empty() && bit % 2 == 0;
            let bytes = if in_body { body } else { metadata };
            let mut changed = bytes.to_vec();
            let place = place.index(changed.len());
            changed[place] ^= 1 << bit;
            *bytes = changed.into();
        }
        drop(read(&flipped, Limits::default()));
        let last = sent.len() - 1;
        let mut short = sent;
        let length = short[last].1.len();
        if length > 0 {
            short[last].1.truncate(cut.index(length));
            prop_assert_eq!(read(&short, Limits::default()).unwrap_err().kind(), Kind::Malformed);
        }
    }
}

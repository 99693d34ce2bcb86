//! Looks over an Arrow IPC stream before the library reads it: framing, bounds, and how much memory it claims.
//!
//! The library allocates what a compressed buffer says it will become, and asserts where metadata contradicts itself;
//! a stream that passes here claims no more than the budget and is complete.

use arrow::ipc::{Message, RecordBatch, root_as_message};

use crate::error::Problem;
use crate::produce::decode::errors::{Budget, Stop};

/// Bytes of the marker before each message.
const MARKER: [u8; 4] = [0xFF; 4];

/// The most entries of one array: offsets are 32 bits wide.
const ENTRIES_MAX: i64 = i32::MAX as i64;

/// Refuses a stream that is cut, contradicts itself, or claims more than the budget.
pub(super) fn check(body: &[u8], budget: &mut Budget) -> Result<(), Stop> {
    let mut rest = body;
    let mut messages = 0usize;
    loop {
        let length = take_length(&mut rest)?;
        if length == 0 {
            break;
        }
        let metadata = take(&mut rest, i64::from(length))?;
        let message = root_as_message(metadata).map_err(|error| broken(&format!("metadata: {error}")))?;
        let data = take(&mut rest, message.bodyLength())?;
        check_message(&message, data, messages == 0, budget)?;
        messages += 1;
    }
    if messages == 0 {
        return Err(broken("it has no schema"));
    }
    if !rest.is_empty() {
        return Err(broken("bytes follow its end"));
    }
    Ok(())
}

pub(super) fn check_message(
    message: &Message<'_>,
    data: &[u8],
    first: bool,
    budget: &mut Budget,
) -> Result<(), Stop> {
    if message.header_as_schema().is_some() {
        return if first { Ok(()) } else { Err(broken("a second schema")) };
    }
    if first {
        return Err(broken("it does not begin with a schema"));
    }
    let dictionary = message.header_as_dictionary_batch().and_then(|dictionary| dictionary.data());
    match message.header_as_record_batch().or(dictionary) {
        Some(batch) => check_batch(&batch, data, budget),
        None => Err(broken("a message that is neither schema, dictionary nor record batch")),
    }
}

fn check_batch(batch: &RecordBatch<'_>, data: &[u8], budget: &mut Budget) -> Result<(), Stop> {
    if !(0..=ENTRIES_MAX).contains(&batch.length()) {
        return Err(broken("a record batch of impossible length"));
    }
    for node in batch.nodes().into_iter().flatten() {
        if !(0..=ENTRIES_MAX).contains(&node.length()) || !(0..=node.length()).contains(&node.null_count()) {
            return Err(broken("an array of impossible length"));
        }
    }
    let buffers = batch.buffers().into_iter().flatten();
    for buffer in buffers {
        let start = usize::try_from(buffer.offset()).ok();
        let length = usize::try_from(buffer.length()).ok();
        let range = start.zip(length).and_then(|(start, length)| Some(start..start.checked_add(length)?));
        let bytes =
            range.and_then(|range| data.get(range)).ok_or_else(|| broken("a buffer outside its message"))?;
        let claimed = if batch.compression().is_some() && !bytes.is_empty() {
            uncompressed(bytes)?
        } else {
            bytes.len()
        };
        budget.spend(claimed)?;
    }
    let counts = batch.variadicBufferCounts().into_iter().flatten();
    let most = batch.buffers().map_or(0, |buffers| buffers.len());
    for count in counts {
        if usize::try_from(count).map_or(true, |count| count > most) {
            return Err(broken("an array of more buffers than there are"));
        }
    }
    Ok(())
}

/// The length that a compressed buffer begins with; −1 means that it is not compressed after all.
fn uncompressed(bytes: &[u8]) -> Result<usize, Stop> {
    let (length, data) =
        bytes.split_first_chunk::<8>().ok_or_else(|| broken("a compressed buffer without length"))?;
    match i64::from_le_bytes(*length) {
        -1 => Ok(data.len()),
        length => usize::try_from(length).map_err(|_| broken("a compressed buffer of impossible length")),
    }
}

fn take_length(rest: &mut &[u8]) -> Result<i32, Stop> {
    if rest.is_empty() {
        return Err(broken("it has no end marker: close the writer before sending"));
    }
    if rest.starts_with(&MARKER) {
        take(rest, 4)?;
    }
    let bytes = take(rest, 4)?;
    let length = bytes.try_into().map(i32::from_le_bytes).unwrap_or(-1);
    if length < 0 { Err(broken("a message of impossible length")) } else { Ok(length) }
}

fn take<'a>(rest: &mut &'a [u8], length: i64) -> Result<&'a [u8], Stop> {
    let length = usize::try_from(length).map_err(|_| broken("a message of impossible length"))?;
    let (taken, left) = rest.split_at_checked(length).ok_or_else(|| broken("it ends within a message"))?;
    *rest = left;
    Ok(taken)
}

pub(super) fn broken(what: &str) -> Stop {
    Problem::malformed(format!("the Arrow stream is broken: {what}")).into()
}

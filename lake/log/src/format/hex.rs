//! How hashes, checksums and bounds are shown: as hexadecimal text, since a JSON number of 64 bits is not safe with every reader.

use serde::ser::{SerializeSeq, Serializer};

use crate::id::Slot;

pub(super) fn u64<S: Serializer>(value: &u64, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.collect_str(&format_args!("{value:016x}"))
}

pub(super) fn u128<S: Serializer>(value: &u128, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.collect_str(&format_args!("{value:032x}"))
}

/// A slot and the log hash there.
pub(super) fn folded<S: Serializer>((slot, hash): &(Slot, u128), serializer: S) -> Result<S::Ok, S::Error> {
    let mut pair = serializer.serialize_seq(Some(2))?;
    pair.serialize_element(slot)?;
    pair.serialize_element(&format!("{hash:032x}"))?;
    pair.end()
}

pub(super) fn bytes<S: Serializer>(bytes: &[u8], serializer: S) -> Result<S::Ok, S::Error> {
    serializer.collect_str(&bytes.iter().map(|byte| format!("{byte:02x}")).collect::<String>())
}

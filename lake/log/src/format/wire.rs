//! The alphabet of every header: little-endian integers, varints, length-prefixed bytes.
//!
//! Invariants:
//! * encoding is canonical: one value, one spelling (a varint with needless bytes is refused);
//! * a [`Reader`] never reads past its end, never allocates more than its input could hold, and says at which byte of
//!   which object it stopped and why.

use ulid::Ulid;
use uuid::Uuid;

use crate::error::{Error, Result};

/// Appends values to a byte vector.
#[derive(Debug, Default)]
pub struct Writer {
    bytes: Vec<u8>,
}

impl Writer {
    /// An empty writer.
    pub fn new() -> Self {
        Self::default()
    }

    /// What was written.
    pub fn into_bytes(self) -> Vec<u8> {
        self.bytes
    }

    /// Bytes so far.
    pub fn len(&self) -> usize {
        self.bytes.len()
    }

    /// Whether nothing was written.
    pub fn is_empty(&self) -> bool {
        self.bytes.is_empty()
    }

    /// One byte.
    pub fn u8(&mut self, value: u8) {
        self.bytes.push(value);
    }

    /// Two bytes.
    pub fn u16(&mut self, value: u16) {
        self.bytes.extend_from_slice(&value.to_le_bytes());
    }

    /// Eight bytes, for hashes and checksums.
    pub fn u64_fixed(&mut self, value: u64) {
        self.bytes.extend_from_slice(&value.to_le_bytes());
    }

    /// Sixteen bytes.
    pub fn u128(&mut self, value: u128) {
        self.bytes.extend_from_slice(&value.to_le_bytes());
    }

    /// A number: LEB128, 1 to 10 bytes.
    pub fn varint(&mut self, mut value: u64) {
        loop {
            let bits = (value & 0x7f) as u8;
            value >>= 7;
            if value == 0 {
                return self.bytes.push(bits);
            }
            self.bytes.push(bits | 0x80);
        }
    }

    /// A number of things.
    pub fn count(&mut self, count: usize) {
        self.varint(count as u64);
    }

    /// A signed number: zigzag, then LEB128.
    pub fn zigzag(&mut self, value: i64) {
        self.varint(((value << 1) ^ (value >> 63)).cast_unsigned());
    }

    /// Length, then bytes.
    pub fn bytes(&mut self, value: &[u8]) {
        self.count(value.len());
        self.bytes.extend_from_slice(value);
    }

    /// Length, then UTF-8.
    pub fn text(&mut self, value: &str) {
        self.bytes(value.as_bytes());
    }

    /// Bytes as they are.
    pub fn raw(&mut self, value: &[u8]) {
        self.bytes.extend_from_slice(value);
    }

    /// Sixteen bytes in the order in which ULIDs sort.
    pub fn ulid(&mut self, value: Ulid) {
        self.raw(&value.to_bytes());
    }

    /// Sixteen bytes in the order of the text form.
    pub fn uuid(&mut self, value: Uuid) {
        self.raw(value.as_bytes());
    }

    /// 0 or 1.
    pub fn flag(&mut self, value: bool) {
        self.u8(u8::from(value));
    }

    /// A length-prefixed record, so that a reader can tell where it ends.
    pub fn record(&mut self, fill: impl FnOnce(&mut Self)) {
        let mut inner = Self::new();
        fill(&mut inner);
        self.bytes(&inner.bytes);
    }
}

/// Reads what a [`Writer`] wrote.
#[derive(Clone, Debug)]
pub struct Reader<'a> {
    object: &'a str,
    /// Where `rest` begins in the object, for messages.
    at: u64,
    rest: &'a [u8],
}

impl<'a> Reader<'a> {
    /// Reads `bytes`, which begin at byte `at` of `object`.
    pub fn new(object: &'a str, at: u64, bytes: &'a [u8]) -> Self {
        Self { object, at, rest: bytes }
    }

    /// The byte of the object at which the next value begins.
    pub fn position(&self) -> u64 {
        self.at
    }

    /// Bytes left.
    pub fn remaining(&self) -> usize {
        self.rest.len()
    }

    /// A complaint about the bytes here.
    pub fn corrupt(&self, expected: &str, found: impl std::fmt::Display) -> Error {
        Error::corrupt(format!("{} at byte {}: expected {expected}, found {found}", self.object, self.at))
    }

    /// A complaint that this version does not know what stands here.
    pub fn unknown(&self, what: &str, found: impl std::fmt::Display) -> Error {
        Error::unsupported(format!(
            "{} at byte {}: {what} {found} is not known to this version; upgrade this process before it reads on",
            self.object, self.at
        ))
    }

    /// The next `count` bytes.
    pub fn take(&mut self, count: usize) -> Result<&'a [u8]> {
        if count > self.rest.len() {
            return Err(self.corrupt(&format!("{count} more bytes"), format!("{} left", self.rest.len())));
        }
        let (taken, rest) = self.rest.split_at(count);
        self.rest = rest;
        self.at += count as u64;
        Ok(taken)
    }

    fn array<const N: usize>(&mut self) -> Result<[u8; N]> {
        let mut array = [0; N];
        array.copy_from_slice(self.take(N)?);
        Ok(array)
    }

    /// One byte.
    pub fn u8(&mut self) -> Result<u8> {
        Ok(self.array::<1>()?[0])
    }

    /// A byte that says what follows, and the place of that byte for a complaint.
    pub fn tag(&mut self) -> Result<(Self, u8)> {
        let here = self.clone();
        Ok((here, self.u8()?))
    }

    /// Two bytes.
    pub fn u16(&mut self) -> Result<u16> {
        Ok(u16::from_le_bytes(self.array()?))
    }

    /// Eight bytes.
    pub fn u64_fixed(&mut self) -> Result<u64> {
        Ok(u64::from_le_bytes(self.array()?))
    }

    /// Sixteen bytes.
    pub fn u128(&mut self) -> Result<u128> {
        Ok(u128::from_le_bytes(self.array()?))
    }

    /// A LEB128 number in its shortest spelling.
    pub fn varint(&mut self) -> Result<u64> {
        let start = self.clone();
        let mut value = 0u64;
        for index in 0..10 {
            let byte = self.u8()?;
            let bits = u64::from(byte & 0x7f);
            if index == 9 && bits > 1 {
                return Err(start.corrupt("a number below 2^64", "more"));
            }
            value |= bits << (7 * index);
            if byte & 0x80 == 0 {
                if byte == 0 && index > 0 {
                    return Err(start.corrupt("a number in its shortest spelling", "a longer one"));
                }
                return Ok(value);
            }
        }
        Err(start.corrupt("a number of at most 10 bytes", "more"))
    }

    /// A number that fits `T`.
    pub fn number<T: TryFrom<u64>>(&mut self) -> Result<T> {
        let start = self.clone();
        let value = self.varint()?;
        T::try_from(value).map_err(|_| start.corrupt(std::any::type_name::<T>(), value))
    }

    /// A number that is counted up one by one, and so is below 2^63: what is added to it never overflows.
    pub fn counter(&mut self) -> Result<u64> {
        let start = self.clone();
        let value = self.varint()?;
        if value > u64::MAX >> 1 {
            return Err(start.corrupt("a counter below 2^63", value));
        }
        Ok(value)
    }

    /// A number of things of at least `bytes_min` bytes each: more than the input could hold is refused before anything is
    /// allocated.
    pub fn count(&mut self, bytes_min: usize) -> Result<usize> {
        let start = self.clone();
        let count: usize = self.number()?;
        if count.saturating_mul(bytes_min.max(1)) > self.rest.len() {
            return Err(start.corrupt(&format!("a count that fits {} bytes", self.rest.len()), count));
        }
        Ok(count)
    }

    /// A signed number.
    pub fn zigzag(&mut self) -> Result<i64> {
        let value = self.varint()?;
        Ok((value >> 1).cast_signed() ^ -(value & 1).cast_signed())
    }

    /// A signed 32-bit number.
    pub fn zigzag_i32(&mut self) -> Result<i32> {
        let start = self.clone();
        let value = self.zigzag()?;
        i32::try_from(value).map_err(|_| start.corrupt("a 32-bit number", value))
    }

    /// Length-prefixed bytes.
    pub fn bytes(&mut self) -> Result<&'a [u8]> {
        let count = self.count(1)?;
        self.take(count)
    }

    /// Length-prefixed UTF-8.
    pub fn text(&mut self) -> Result<String> {
        let start = self.clone();
        let bytes = self.bytes()?;
        let text = std::str::from_utf8(bytes).map_err(|error| start.corrupt("UTF-8", error))?;
        Ok(text.to_owned())
    }

    /// A ULID.
    pub fn ulid(&mut self) -> Result<Ulid> {
        Ok(Ulid::from_bytes(self.array()?))
    }

    /// A UUID.
    pub fn uuid(&mut self) -> Result<Uuid> {
        Ok(Uuid::from_bytes(self.array()?))
    }

    /// 0 or 1.
    pub fn flag(&mut self) -> Result<bool> {
        let start = self.clone();
        match self.u8()? {
            0 => Ok(false),
            1 => Ok(true),
            other => Err(start.corrupt("0 or 1", other)),
        }
    }

    /// A length-prefixed record: its reader must be [finished](Self::finish).
    pub fn record(&mut self) -> Result<Self> {
        let count = self.count(1)?;
        let at = self.at;
        Ok(Self { object: self.object, at, rest: self.take(count)? })
    }

    /// A sequence of things of at least `bytes_min` bytes each.
    pub fn sequence<T>(
        &mut self,
        bytes_min: usize,
        mut read: impl FnMut(&mut Self) -> Result<T>,
    ) -> Result<Vec<T>> {
        let count = self.count(bytes_min)?;
        let mut things = Vec::with_capacity(count.min(4096));
        for _ in 0..count {
            things.push(read(self)?);
        }
        Ok(things)
    }

    /// Nothing may be left: bytes that this version does not know change a meaning, so they are never skipped.
    pub fn finish(self) -> Result<()> {
        if self.rest.is_empty() {
            return Ok(());
        }
        Err(self.unknown("a field of", format!("{} bytes", self.rest.len())))
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn numbers_come_back(value: u64, signed: i64) {
            let mut writer = Writer::new();
            writer.varint(value);
            writer.zigzag(signed);
            let bytes = writer.into_bytes();
            let mut reader = Reader::new("x", 0, &bytes);
            prop_assert_eq!(reader.varint().unwrap(), value);
            prop_assert_eq!(reader.zigzag().unwrap(), signed);
            reader.finish().unwrap();
        }

        #[test]
        fn any_bytes_are_a_number_or_an_error_and_spelled_once(bytes in prop::collection::vec(any::<u8>(), 0..12)) {
            let mut reader = Reader::new("x", 0, &bytes);
            if let Ok(value) = reader.varint() {
                let mut writer = Writer::new();
                writer.varint(value);
                prop_assert!(bytes.starts_with(&writer.into_bytes()));
            }
        }
    }

    #[test]
    fn a_count_larger_than_the_input_allocates_nothing() {
        let mut writer = Writer::new();
        writer.varint(u64::MAX >> 1);
        let bytes = writer.into_bytes();
        let error = Reader::new("log/7", 40, &bytes).sequence(1, |reader| reader.u8()).unwrap_err();
        assert!(error.to_string().starts_with("log/7 at byte 40"), "{error}");
    }
}

//! A page: what is known of one aligned piece of an object. PURE.
//!
//! A page holds *extents*, the byte ranges of it that somebody read: a reader of one narrow column brings just its bytes, and a later
//! one of the next column adds theirs. So a cache of large pages costs no byte that was not asked for.
//!
//! Invariants (property tests against a plain object):
//! * a page gives out only bytes that were put in, of one version of its object: extents of another version replace it;
//! * extents ascend and do not touch; no byte lies beyond the object's end;
//! * a page that was written down is read back as it was, or not at all: whatever bit was flipped.

use std::io::{Read, Write};
use std::ops::Range;
use std::sync::Arc;

use bytes::{Bytes, BytesMut};
use foyer::Code;
use xxhash_rust::xxh3::xxh3_64;

/// Bytes of a page: an SSD reads it whole, so not much longer than a narrow column's part of a message; and well below foyer's
/// blocks, as an entry that is longer than a block is silently not written.
pub(crate) const PAGE_BYTES: u64 = 256 << 10;

/// What a page takes in memory beside its bytes, about; and an extent.
const PAGE_OVERHEAD_BYTES: usize = 384;
const EXTENT_OVERHEAD_BYTES: usize = 64;

/// The longest key, tag and list of extents that are read back: longer ones are not ours.
const TEXT_BYTES_MAX: usize = 4 << 10;
const EXTENTS_MAX: usize = 1 << 16;

/// Names a page.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) struct PageKey {
    pub(crate) path: Arc<str>,
    pub(crate) number: u64,
}

/// Which version of an object bytes are of. Objects are immutable here, but a key may come to hold another one: a late PUT into a
/// trimmed slot.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Version {
    pub(crate) e_tag: Option<String>,
    pub(crate) size: u64,
    /// In microseconds; tells versions apart only where there is no tag.
    pub(crate) modified: i64,
}

impl Version {
    /// Whether bytes of the two may stand side by side.
    pub(crate) fn is(&self, other: &Self) -> bool {
        let same = match (&self.e_tag, &other.e_tag) {
            (Some(own), Some(other)) => own == other,
            (None, None) => self.modified == other.modified,
            _ => false,
        };
        same && self.size == other.size
    }
}

/// One aligned piece of an object.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Page {
    pub(crate) version: Version,
    /// Where in the object, and what.
    extents: Vec<(u64, Bytes)>,
}

/// The numbers of the pages that a range lies in.
pub(crate) fn pages(range: &Range<u64>) -> Range<u64> {
    range.start / PAGE_BYTES..range.end.div_ceil(PAGE_BYTES)
}

/// The part of a range that lies in a page.
pub(crate) fn part(range: &Range<u64>, number: u64) -> Range<u64> {
    let start = number.saturating_mul(PAGE_BYTES);
    range.start.max(start)..range.end.min(start.saturating_add(PAGE_BYTES))
}

impl Page {
    /// A page of one extent; the bytes are its own, and lie within it.
    pub(crate) fn new(version: Version, start: u64, bytes: Bytes) -> Self {
        Self { version, extents: vec![(start, bytes)] }
    }

    /// Adds what another page of the same version has. Of another version: the newer takes its place.
    #[must_use]
    pub(crate) fn with(&self, newer: Self) -> Self {
        if !self.version.is(&newer.version) {
            return newer;
        }
        let mut all: Vec<(u64, Bytes)> = self.extents.iter().cloned().chain(newer.extents).collect();
        all.sort_by_key(|(start, _)| *start);
        let mut extents: Vec<(u64, Bytes)> = Vec::with_capacity(all.len());
        let mut run: Vec<(u64, Bytes)> = Vec::new();
        let mut end = 0;
        for (start, bytes) in all {
            let bytes_end = start + bytes.len() as u64;
            if !run.is_empty() && start > end {
                extents.push(join(&run));
                run.clear();
            }
            end = if run.is_empty() { bytes_end } else { end.max(bytes_end) };
            run.push((start, bytes));
        }
        if !run.is_empty() {
            extents.push(join(&run));
        }
        Self { version: newer.version, extents }
    }

    /// What it has of a range, ascending; and what is missing of it, ascending.
    pub(crate) fn find(&self, range: &Range<u64>) -> (Vec<(u64, Bytes)>, Vec<Range<u64>>) {
        let (mut found, mut missing) = (Vec::new(), Vec::new());
        let mut at = range.start;
        for (start, bytes) in &self.extents {
            let end = start + bytes.len() as u64;
            let (from, to) = (at.max(*start), range.end.min(end));
            if from >= to {
                continue;
            }
            if at < from {
                missing.push(at..from);
            }
            found.push((from, bytes.slice(index(from - start)..index(to - start))));
            at = to;
        }
        if at < range.end {
            missing.push(at..range.end);
        }
        (found, missing)
    }

    /// Bytes that it takes in memory.
    pub(crate) fn weight(&self, key: &PageKey) -> usize {
        let extents: usize = self.extents.iter().map(|(_, bytes)| bytes.len() + EXTENT_OVERHEAD_BYTES).sum();
        extents + key.path.len() + self.version.e_tag.as_ref().map_or(0, String::len) + PAGE_OVERHEAD_BYTES
    }
}

/// Runs that touch or overlap become one; of one version, so overlapping bytes are equal.
fn join(run: &[(u64, Bytes)]) -> (u64, Bytes) {
    let [(start, _), ..] = run else { return (0, Bytes::new()) };
    if let [(_, bytes)] = run {
        return (*start, bytes.clone());
    }
    let mut joined = BytesMut::new();
    for (from, bytes) in run {
        let have = start + joined.len() as u64;
        let known = index(have - from).min(bytes.len());
        joined.extend_from_slice(&bytes[known..]);
    }
    (*start, joined.freeze())
}

/// Offsets within a page fit.
fn index(offset: u64) -> usize {
    usize::try_from(offset).expect("an offset within a page of 256 KiB")
}

impl Code for PageKey {
    fn encode(&self, writer: &mut impl Write) -> foyer::Result<()> {
        put_bytes(writer, self.path.as_bytes())?;
        put(writer, self.number)
    }

    fn decode(reader: &mut impl Read) -> foyer::Result<Self> {
        let path =
            String::from_utf8(get_bytes(reader, TEXT_BYTES_MAX)?).map_err(|_| refuse("a key's text"))?;
        Ok(Self { path: path.into(), number: get(reader)? })
    }

    fn estimated_size(&self) -> usize {
        self.path.len() + 16
    }
}

impl Page {
    /// Everything but the checksum, of which the checksum is.
    fn head(&self) -> foyer::Result<Vec<u8>> {
        let mut head = Vec::new();
        put(&mut head, u64::from(self.version.e_tag.is_some()))?;
        put_bytes(&mut head, self.version.e_tag.as_deref().unwrap_or_default().as_bytes())?;
        put(&mut head, self.version.size)?;
        put(&mut head, self.version.modified.cast_unsigned())?;
        put(&mut head, self.extents.len() as u64)?;
        for (start, bytes) in &self.extents {
            put(&mut head, *start)?;
            put(&mut head, bytes.len() as u64)?;
            put(&mut head, xxh3_64(bytes))?;
        }
        Ok(head)
    }
}

impl Code for Page {
    fn encode(&self, writer: &mut impl Write) -> foyer::Result<()> {
        let head = self.head()?;
        put_bytes(writer, &head)?;
        put(writer, xxh3_64(&head))?;
        for (_, bytes) in &self.extents {
            writer.write_all(bytes).map_err(foyer::Error::io_error)?;
        }
        Ok(())
    }

    fn decode(reader: &mut impl Read) -> foyer::Result<Self> {
        let head = get_bytes(reader, TEXT_BYTES_MAX + EXTENTS_MAX * 24)?;
        if get(reader)? != xxh3_64(&head) {
            return Err(refuse("a page's checksum"));
        }
        let mut r = head.as_slice();
        let tagged = get(&mut r)? != 0;
        let e_tag =
            String::from_utf8(get_bytes(&mut r, TEXT_BYTES_MAX)?).map_err(|_| refuse("a page's tag"))?;
        let (size, modified) = (get(&mut r)?, get(&mut r)?.cast_signed());
        let count = get(&mut r)?;
        let mut extents: Vec<(u64, Bytes)> = Vec::new();
        for _ in 0..count {
            let (start, length, checksum) = (get(&mut r)?, get(&mut r)?, get(&mut r)?);
            if length > PAGE_BYTES {
                return Err(refuse("an extent's length"));
            }
            let mut bytes = vec![0; index(length)];
            reader.read_exact(&mut bytes).map_err(foyer::Error::io_error)?;
            if xxh3_64(&bytes) != checksum {
                return Err(refuse("an extent's checksum"));
            }
            extents.push((start, bytes.into()));
        }
        let version = Version { e_tag: tagged.then_some(e_tag), size, modified };
        Ok(Self { version, extents })
    }

    fn estimated_size(&self) -> usize {
        self.extents.iter().map(|(_, bytes)| bytes.len() + 24).sum::<usize>() + 64
    }
}

fn refuse(what: &'static str) -> foyer::Error {
    foyer::Error::new(foyer::ErrorKind::Parse, what)
}

fn put(writer: &mut impl Write, number: u64) -> foyer::Result<()> {
    writer.write_all(&number.to_le_bytes()).map_err(foyer::Error::io_error)
}

fn put_bytes(writer: &mut impl Write, bytes: &[u8]) -> foyer::Result<()> {
    put(writer, bytes.len() as u64)?;
    writer.write_all(bytes).map_err(foyer::Error::io_error)
}

fn get(reader: &mut impl Read) -> foyer::Result<u64> {
    let mut bytes = [0; 8];
    reader.read_exact(&mut bytes).map_err(foyer::Error::io_error)?;
    Ok(u64::from_le_bytes(bytes))
}

fn get_bytes(reader: &mut impl Read, max: usize) -> foyer::Result<Vec<u8>> {
    let length = usize::try_from(get(reader)?).ok().filter(|length| *length <= max);
    let mut bytes = vec![0; length.ok_or_else(|| refuse("a length"))?];
    reader.read_exact(&mut bytes).map_err(foyer::Error::io_error)?;
    Ok(bytes)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn object(size: u64) -> Vec<u8> {
        (0..size).map(|at| u8::try_from((at * 7 + at / 251) % 256).unwrap()).collect()
    }

    fn version(tag: &str) -> Version {
        Version { e_tag: Some(tag.to_owned()), size: 5_000, modified: 1 }
    }

    fn page(object: &[u8], range: Range<u64>, tag: &str) -> Page {
        let bytes = Bytes::copy_from_slice(&object[index(range.start)..index(range.end)]);
        Page::new(version(tag), range.start, bytes)
    }

    fn range() -> impl Strategy<Value = Range<u64>> {
        (0u64..4_999, 1u64..900).prop_map(|(start, length)| start..(start + length).min(5_000))
    }

    proptest! {
        #[test]
        fn a_page_gives_what_was_put_in_and_names_what_is_missing(
            puts in prop::collection::vec(range(), 1..20),
            wanted in range(),
        ) {
            let object = object(5_000);
            let mut known = vec![false; 5_000];
            let mut whole: Option<Page> = None;
            for put in puts {
                known[index(put.start)..index(put.end)].fill(true);
                let put = page(&object, put, "a");
                whole = Some(whole.map_or(put.clone(), |whole| whole.with(put)));
            }
            let whole = whole.unwrap();
            let (found, missing) = whole.find(&wanted);
            let mut have = vec![None; 5_000];
            for (start, bytes) in &found {
                for (at, byte) in (index(*start)..).zip(bytes.iter()) {
                    have[at] = Some(*byte);
                }
            }
            for at in index(wanted.start)..index(wanted.end) {
                prop_assert_eq!(have[at], known[at].then_some(object[at]));
                prop_assert_eq!(missing.iter().any(|missing| missing.contains(&(at as u64))), !known[at]);
            }
            prop_assert!(whole.extents.windows(2).all(|pair| pair[0].0 + (pair[0].1.len() as u64) < pair[1].0));

            let mut written = Vec::new();
            whole.encode(&mut written).unwrap();
            prop_assert_eq!(Page::decode(&mut written.as_slice()).unwrap(), whole);
        }

        #[test]
        fn no_flipped_bit_and_no_truncation_is_read_back(bit in 0usize..3_000 * 8, cut in 1usize..3_000) {
            let object = object(5_000);
            let whole = page(&object, 10..900, "a").with(page(&object, 1_000..2_900, "a"));
            let mut written = Vec::new();
            whole.encode(&mut written).unwrap();
            let cut = cut.min(written.len());
            prop_assert!(Page::decode(&mut &written[..written.len() - cut]).is_err());
            let bit = bit % (written.len() * 8);
            written[bit / 8] ^= 1 << (bit % 8);
            prop_assert!(Page::decode(&mut written.as_slice()).is_err());
        }
    }

    #[test]
    fn versions_do_not_mix() {
        let object = object(5_000);
        let old = page(&object, 0..100, "a");
        let new = page(&object, 100..200, "b");
        assert_eq!(old.with(new.clone()), new);
        let longer = Version { size: 5_001, ..version("a") };
        assert!(!version("a").is(&longer));
        let untagged = |modified| Version { e_tag: None, size: 1, modified };
        assert!(untagged(1).is(&untagged(1)) && !untagged(1).is(&untagged(2)));
        assert!(!untagged(1).is(&Version { e_tag: Some("a".into()), size: 1, modified: 1 }));
    }

    #[test]
    fn a_range_is_cut_at_the_borders_of_pages() {
        const P: u64 = PAGE_BYTES;
        assert_eq!(pages(&(0..P)), 0..1);
        assert_eq!(pages(&(P - 1..P + 1)), 0..2);
        assert_eq!(pages(&(P..2 * P)), 1..2);
        assert_eq!(part(&(5..3 * P), 1), P..2 * P);
        assert_eq!(part(&(P + 5..P + 6), 1), P + 5..P + 6);
    }
}

//! The first 64 bytes of every object.
//!
//! ```text
//!   0  8   magic            "FRAZIL" 0D 0A   (a text-mode transfer breaks it visibly)
//!   8  1   kind             1 commit · 2 segment · 3 checkpoint · 4 index page
//!   9  1   version          of that kind's header
//!  10  2   zero; anything else is a field that this version does not know
//!  12  4   header length    u32, a multiple of 8
//!  16  8   features         bits that a reader must know; an unknown one stops it
//!  24  8   body length      u64, at most 2^62
//!  32 16   content hash     XXH3-128 of header and body
//!  48  8   header checksum  XXH3-64 of the header
//!  56  8   XXH3-64 of bytes 0 to 56
//!  64      header, zero-padded to a multiple of 8; then the body
//! ```
//!
//! All integers are little-endian. The header comes first, so that folding never reads a body.

use bytes::Bytes;
use xxhash_rust::xxh3::{Xxh3, xxh3_64};

use super::hex;
use super::wire::{Reader, Writer};
use crate::error::{Error, Result};

/// Bytes of an envelope.
pub const ENVELOPE_BYTES: usize = 64;

/// The longest header that is read. A commit's grows with its proposals and slices; 256 MiB is far above any limit on those.
pub const HEADER_BYTES_MAX: usize = 256 << 20;

/// The longest body that is believed in, so that places within an object can be added up without care.
pub const BODY_BYTES_MAX: u64 = 1 << 62;

const MAGIC: &[u8; 8] = b"FRAZIL\r\n";

/// What an object is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize)]
#[serde(rename_all = "snake_case")]
pub enum ObjectKind {
    /// A slot's commit.
    Commit = 1,
    /// Rows outside a commit.
    Segment = 2,
    /// The fold's state written down.
    Checkpoint = 3,
    /// Part of the slice index.
    IndexPage = 4,
}

impl ObjectKind {
    /// The version of its header that this program writes, and the newest that it reads.
    pub const fn version(self) -> u8 {
        1
    }

    /// Feature bits that this program knows in an object of the kind.
    pub const fn features_known(self) -> u64 {
        match self {
            Self::Commit | Self::Checkpoint => FEATURES_KNOWN,
            Self::Segment | Self::IndexPage => 0,
        }
    }

    fn words(self) -> &'static str {
        match self {
            Self::Commit => "a commit",
            Self::Segment => "a segment",
            Self::Checkpoint => "a checkpoint",
            Self::IndexPage => "an index page",
        }
    }
}

/// Groups: their entries in a commit; in a checkpoint their record in the state, or refusals about them.
pub const FEATURE_GROUPS: u64 = 1 << 0;

/// Tables that were altered or restored, rows that expired: their entries in a commit, their traces in a checkpoint's state.
pub const FEATURE_AMENDMENTS: u64 = 1 << 1;

/// Feature bits that this program knows, in commits and checkpoints; other objects have none.
pub const FEATURES_KNOWN: u64 = FEATURE_GROUPS | FEATURE_AMENDMENTS;

/// What an envelope says.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize)]
pub struct Envelope {
    /// What the object is.
    pub kind: ObjectKind,
    /// The version of its header.
    pub version: u8,
    /// Bytes of the header, padding included.
    pub header_bytes: u32,
    /// Feature bits.
    pub features: u64,
    /// Bytes of the body.
    pub body_bytes: u64,
    /// XXH3-128 of header and body.
    #[serde(serialize_with = "hex::u128")]
    pub content_hash: u128,
    /// XXH3-64 of the header.
    #[serde(serialize_with = "hex::u64")]
    pub header_checksum: u64,
}

impl Envelope {
    /// The byte at which the body begins.
    pub fn body_start(&self) -> u64 {
        ENVELOPE_BYTES as u64 + u64::from(self.header_bytes)
    }

    /// The length of the whole object.
    pub fn object_bytes(&self) -> u64 {
        self.body_start() + self.body_bytes
    }

    /// The first 64 bytes of the object.
    pub(super) fn encode(&self) -> Vec<u8> {
        let mut head = Writer::new();
        head.raw(MAGIC);
        head.u8(self.kind as u8);
        head.u8(self.version);
        head.u16(0);
        head.raw(&self.header_bytes.to_le_bytes());
        head.u64_fixed(self.features);
        head.u64_fixed(self.body_bytes);
        head.u128(self.content_hash);
        head.u64_fixed(self.header_checksum);
        let mut head = head.into_bytes();
        head.extend_from_slice(&xxh3_64(&head).to_le_bytes());
        head
    }

    /// Reads the first 64 bytes of `object`, which must be of the kind that its key says.
    pub fn decode(object: &str, bytes: &[u8], kind: ObjectKind) -> Result<Self> {
        let Some(bytes) = bytes.get(..ENVELOPE_BYTES) else {
            return Err(Error::corrupt(format!(
                "{object} at byte 0: expected an envelope of {ENVELOPE_BYTES} bytes, found {} bytes",
                bytes.len()
            )));
        };
        if &bytes[..8] != MAGIC {
            return Err(Error::corrupt(format!(
                "{object} bytes 0..8: expected Frazil's magic {MAGIC:02x?}, found {:02x?}",
                &bytes[..8]
            )));
        }
        check(object, 0..56, &bytes[..56], xxh3_64(&bytes[..56]), u64_at(bytes, 56))?;
        let mut reader = Reader::new(object, 8, &bytes[8..10]);
        if reader.u8()? != kind as u8 {
            return Err(Error::corrupt(format!(
                "{object} at byte 8: expected {} ({}), found kind {}",
                kind.words(),
                kind as u8,
                bytes[8]
            )));
        }
        if bytes[9] == 0 || bytes[9] > kind.version() {
            return Err(reader.unknown("version", bytes[9]));
        }
        let features = u64_at(bytes, 16);
        let unknown = features & !kind.features_known();
        if unknown != 0 {
            return Err(Reader::new(object, 16, &[]).unknown("feature", format!("{unknown:#x}")));
        }
        if bytes[10..12] != [0, 0] {
            return Err(Reader::new(object, 10, &[]).unknown("a field of", "2 bytes"));
        }
        let envelope = Self {
            kind,
            version: bytes[9],
            header_bytes: u32::from_le_bytes([bytes[12], bytes[13], bytes[14], bytes[15]]),
            features,
            body_bytes: u64_at(bytes, 24),
            content_hash: u128::from(u64_at(bytes, 32)) | u128::from(u64_at(bytes, 40)) << 64,
            header_checksum: u64_at(bytes, 48),
        };
        envelope.check_lengths(object)?;
        Ok(envelope)
    }

    /// Bounds what a reader does with the lengths: a header fits memory, and no place in the object is above 2^63.
    fn check_lengths(&self, object: &str) -> Result<()> {
        if !self.header_bytes.is_multiple_of(8) || self.header_bytes as usize > HEADER_BYTES_MAX {
            return Err(Error::corrupt(format!(
                "{object} bytes 12..16: expected a header length that is a multiple of 8 up to {HEADER_BYTES_MAX}, \
                 found {}",
                self.header_bytes
            )));
        }
        if self.body_bytes > BODY_BYTES_MAX {
            return Err(Error::corrupt(format!(
                "{object} bytes 24..32: expected a body length up to {BODY_BYTES_MAX}, found {}",
                self.body_bytes
            )));
        }
        Ok(())
    }

    /// The header's bytes out of a prefix of the object, verified.
    pub fn header<'a>(&self, object: &str, prefix: &'a [u8]) -> Result<&'a [u8]> {
        let end = ENVELOPE_BYTES + self.header_bytes as usize;
        let Some(header) = prefix.get(ENVELOPE_BYTES..end) else {
            return Err(Error::corrupt(format!(
                "{object} at byte {ENVELOPE_BYTES}: expected a header of {} bytes, found {} bytes in all",
                self.header_bytes,
                prefix.len()
            )));
        };
        check(object, ENVELOPE_BYTES as u64..end as u64, header, xxh3_64(header), self.header_checksum)?;
        Ok(header)
    }

    /// Verifies a whole object: its length and its content hash.
    pub fn verify(&self, object: &str, bytes: &[u8]) -> Result<()> {
        if bytes.len() as u64 != self.object_bytes() {
            return Err(Error::corrupt(format!(
                "{object}: expected {} bytes, found {}",
                self.object_bytes(),
                bytes.len()
            )));
        }
        self.header(object, bytes)?;
        let mut hasher = Xxh3::new();
        hasher.update(&bytes[ENVELOPE_BYTES..]);
        let found = hasher.digest128();
        if found != self.content_hash {
            return Err(Error::corrupt(format!(
                "{object} bytes {ENVELOPE_BYTES}..{}: expected content hash {:032x}, found {found:032x}",
                bytes.len(),
                self.content_hash
            )));
        }
        Ok(())
    }
}

/// Compares a checksum; the message names object, byte range, expected, found.
pub fn check(
    object: &str,
    range: std::ops::Range<u64>,
    bytes: &[u8],
    found: u64,
    expected: u64,
) -> Result<()> {
    if found == expected {
        return Ok(());
    }
    Err(Error::corrupt(format!(
        "{object} bytes {}..{} ({} bytes): expected checksum {expected:016x}, found {found:016x}",
        range.start,
        range.end,
        bytes.len()
    )))
}

fn u64_at(bytes: &[u8], at: usize) -> u64 {
    let mut array = [0; 8];
    array.copy_from_slice(&bytes[at..at + 8]);
    u64::from_le_bytes(array)
}

/// An object ready to be written: envelope and header in one piece, then the body as it is.
#[derive(Clone, Debug)]
pub struct Sealed {
    /// What its envelope says.
    pub envelope: Envelope,
    /// Envelope and header.
    pub head: Bytes,
    /// The body's pieces, in order.
    pub body: Vec<Bytes>,
}

impl Sealed {
    /// All bytes, in order, without copying.
    pub fn pieces(&self) -> impl Iterator<Item = Bytes> + '_ {
        std::iter::once(self.head.clone()).chain(self.body.iter().cloned())
    }

    /// All bytes in one piece.
    pub fn to_vec(&self) -> Vec<u8> {
        self.pieces().fold(Vec::new(), |mut all, piece| {
            all.extend_from_slice(&piece);
            all
        })
    }
}

/// Puts the envelope before a header and a body that every version can read.
pub fn seal(kind: ObjectKind, header: Writer, body: Vec<Bytes>) -> Result<Sealed> {
    seal_with(kind, 0, header, body)
}

/// Puts the envelope before a header and a body, whose reader must know these features.
pub fn seal_with(kind: ObjectKind, features: u64, header: Writer, body: Vec<Bytes>) -> Result<Sealed> {
    let mut header = header.into_bytes();
    header.resize(header.len().next_multiple_of(8), 0);
    let body_bytes = body.iter().map(|piece| piece.len() as u64).sum();
    if header.len() > HEADER_BYTES_MAX {
        return Err(Error::invalid(format!(
            "a header of {} bytes is above the limit of {HEADER_BYTES_MAX}",
            header.len()
        )));
    }
    let mut hasher = Xxh3::new();
    hasher.update(&header);
    body.iter().for_each(|piece| hasher.update(piece));
    let envelope = Envelope {
        kind,
        version: kind.version(),
        header_bytes: u32::try_from(header.len()).map_err(|_| Error::internal("a header is below 4 GiB"))?,
        features,
        body_bytes,
        content_hash: hasher.digest128(),
        header_checksum: xxh3_64(&header),
    };
    let mut head = envelope.encode();
    head.extend_from_slice(&header);
    Ok(Sealed { envelope, head: head.into(), body })
}

/// What to say of an object that was sealed and cannot be read back.
///
/// A commit that no node can read stops its log for ever (rule 8), so writers ask before they write.
pub(super) fn not_readable(error: &Error) -> Error {
    Error::internal(format!("what is to be written could not be read again: {error}"))
}

/// Skips the zero padding that ends a header.
pub fn finish_header(mut reader: Reader<'_>) -> Result<()> {
    let padding = reader.remaining().min(7);
    let start = reader.clone();
    if reader.take(padding)?.iter().any(|byte| *byte != 0) {
        return Err(start.unknown("a field of", format!("{padding} bytes")));
    }
    reader.finish()
}

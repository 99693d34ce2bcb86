//! How large an IPC buffer becomes once decompressed, known before it is.
//!
//! A compressed buffer is `uncompressed length i64 LE | compressed bytes`; length −1 says that the bytes are plain.
//! Arrow's reader reserves what the length says, and for LZ4 goes on past it, so both are bounded here first:
//! * no codec can expand more than its format allows ([`LZ4_EXPANSION_MAX`], [`ZSTD_EXPANSION_MAX`]);
//! * an LZ4 frame may have no more blocks than its length needs.

use crate::error::{Error, Result};
use crate::format::slice::Codec;

/// Bytes of the uncompressed length before compressed bytes.
const PREFIX_BYTES: usize = 8;

/// A byte of an LZ4 block adds at most 255 to a match.
const LZ4_EXPANSION_MAX: u64 = 255;

/// The smallest Zstandard block (3 bytes of header, 1 byte repeated) makes at most 128 KiB.
const ZSTD_EXPANSION_MAX: u64 = (128 << 10) / 4;

const LZ4_MAGIC: [u8; 4] = [0x04, 0x22, 0x4D, 0x18];

/// The length of a buffer once decompressed, checked to be possible.
///
/// # Errors
/// `Corrupt`: the length is negative or cannot come from so few bytes, or an LZ4 frame is not one whole frame.
pub(super) fn decoded_len(codec: Codec, buffer: &[u8]) -> Result<u64> {
    if codec == Codec::None || buffer.is_empty() {
        return Ok(len_u64(buffer));
    }
    let Some((prefix, compressed)) = buffer.split_first_chunk::<PREFIX_BYTES>() else {
        return Err(Error::corrupt(format!(
            "a compressed buffer has {} bytes, less than its prefix",
            buffer.len()
        )));
    };
    let claimed = i64::from_le_bytes(*prefix);
    if claimed == -1 {
        return Ok(len_u64(compressed));
    }
    let Ok(claimed) = u64::try_from(claimed) else {
        return Err(Error::corrupt(format!("a compressed buffer claims {claimed} bytes")));
    };
    let expansion = if codec == Codec::Lz4 { LZ4_EXPANSION_MAX } else { ZSTD_EXPANSION_MAX };
    if claimed > len_u64(compressed).saturating_mul(expansion) {
        return Err(Error::corrupt(format!("{} compressed bytes cannot become {claimed}", compressed.len())));
    }
    if codec == Codec::Lz4 && claimed > 0 {
        check_lz4_frame(compressed, claimed)?;
    }
    Ok(claimed)
}

/// Checks that the bytes are exactly one LZ4 frame with no more blocks than `claimed` bytes need.
fn check_lz4_frame(frame: &[u8], claimed: u64) -> Result<()> {
    let mut rest = Rest(frame);
    if rest.take(4)? != LZ4_MAGIC {
        return Err(Error::corrupt("an LZ4 buffer does not begin with a frame"));
    }
    let flags = rest.byte()?;
    let has = |bit: u8| flags & bit != 0;
    if has(0b1) {
        return Err(Error::corrupt("an LZ4 frame asks for a dictionary"));
    }
    let block_bytes_max: u64 = match (rest.byte()? >> 4) & 0b111 {
        4 => 64 << 10,
        5 => 256 << 10,
        6 => 1 << 20,
        7 => 4 << 20,
        size => {
            return Err(Error::corrupt(format!("an LZ4 frame has the unknown block size {size}")));
        }
    };
    rest.take(if has(0b1000) { 8 } else { 0 } + 1)?;
    let mut blocks_left = claimed.div_ceil(block_bytes_max);
    loop {
        let size = u32::from_le_bytes(*rest.chunk::<4>()?) & !(1 << 31);
        if size == 0 {
            break;
        }
        blocks_left = blocks_left.checked_sub(1).ok_or_else(|| {
            Error::corrupt(format!("an LZ4 frame has more blocks than {claimed} bytes need"))
        })?;
        rest.take(usize::try_from(size).unwrap_or(usize::MAX))?;
        rest.take(if has(0b1_0000) { 4 } else { 0 })?;
    }
    rest.take(if has(0b100) { 4 } else { 0 })?;
    if rest.0.is_empty() { Ok(()) } else { Err(Error::corrupt("an LZ4 buffer goes on behind its frame")) }
}

/// What is left to read of an LZ4 frame.
struct Rest<'a>(&'a [u8]);

impl<'a> Rest<'a> {
    fn take(&mut self, bytes: usize) -> Result<&'a [u8]> {
        let (taken, rest) = self.0.split_at_checked(bytes).ok_or_else(ends_early)?;
        self.0 = rest;
        Ok(taken)
    }

    fn chunk<const N: usize>(&mut self) -> Result<&'a [u8; N]> {
        let (taken, rest) = self.0.split_first_chunk().ok_or_else(ends_early)?;
        self.0 = rest;
        Ok(taken)
    }

    fn byte(&mut self) -> Result<u8> {
        self.chunk::<1>().map(|[byte]| *byte)
    }
}

fn ends_early() -> Error {
    Error::corrupt("an LZ4 frame ends early")
}

/// The length of a byte slice as the formats count it.
pub(super) fn len_u64(bytes: &[u8]) -> u64 {
    u64::try_from(bytes.len()).expect("a length in memory fits u64")
}

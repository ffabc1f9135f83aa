//! A segment: a file of frames, named by the sequence number of its first one.
//!
//! `segments/<first sequence, 20 digits>.segment`; that number is also the segment's *generation*,
//! which every frame's checksum covers. So the names alone tell which sequences a segment holds: from
//! its own name to the next one's. The file begins with a header of 64 bytes:
//!
//! ```text
//! offset  bytes  little endian
//!      0      8  magic "MILLRACE"
//!      8      2  version, 1
//!     10      2  length of this header, 64
//!     12      4  reserved, 0
//!     16     16  UUID of the spool
//!     32      8  first sequence
//!     40      8  created at, milliseconds since 1970
//!     48     12  reserved, 0
//!     60      4  CRC32C over the bytes before
//! ```
//! In every version the checksum is the last four bytes of the header, so that "newer" can be told
//! from "damaged". A damaged header costs nothing: the frames can be read with the name alone.
//!
//! The version is that of everything in the file: a new kind of frame or codec begins a new segment with a new
//! version. So an older program reads the version before any bytes that it would take for damage.

use std::path::{Path, PathBuf};

use uuid::Uuid;

use crate::source::UnixMillis;

/// Bytes of the header, behind which the frames begin.
pub const HEADER_LENGTH: u64 = 64;
const MAGIC: &[u8; 8] = b"MILLRACE";
const VERSION: u16 = 1;

/// The header at the beginning of a segment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Header {
    pub spool: Uuid,
    pub first_sequence: u64,
    pub created_at: UnixMillis,
}

/// Reason why a header cannot be used.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NoHeader {
    /// Too short, or the checksum is wrong.
    Damaged,
    /// Whole, and of a version that this program does not know.
    Newer { version: u16 },
}

impl Header {
    pub fn to_bytes(self) -> [u8; HEADER_LENGTH as usize] {
        let mut bytes = [0; HEADER_LENGTH as usize];
        bytes[0..8].copy_from_slice(MAGIC);
        bytes[8..10].copy_from_slice(&VERSION.to_le_bytes());
        bytes[10..12].copy_from_slice(&(HEADER_LENGTH as u16).to_le_bytes());
        bytes[16..32].copy_from_slice(self.spool.as_bytes());
        bytes[32..40].copy_from_slice(&self.first_sequence.to_le_bytes());
        bytes[40..48].copy_from_slice(&self.created_at.to_le_bytes());
        let checksum = crc32c::crc32c(&bytes[..60]);
        bytes[60..64].copy_from_slice(&checksum.to_le_bytes());
        bytes
    }

    /// Reads a header. `bytes` are the beginning of the file; 64 are enough for this version.
    pub fn parse(bytes: &[u8]) -> Result<Self, NoHeader> {
        let magic = bytes.get(0..8);
        let version = u16_at(bytes, 8);
        let length = u16_at(bytes, 10);
        let (Some(magic), Some(version), Some(length)) = (magic, version, length) else {
            return Err(NoHeader::Damaged);
        };
        let before = usize::from(length).saturating_sub(4);
        let checksum = bytes.get(before..).and_then(|rest| rest.first_chunk());
        let (Some(covered), Some(checksum)) = (bytes.get(..before), checksum) else {
            return Err(NoHeader::Damaged);
        };
        if magic != MAGIC || crc32c::crc32c(covered) != u32::from_le_bytes(*checksum) {
            return Err(NoHeader::Damaged);
        }
        if version != VERSION || u64::from(length) != HEADER_LENGTH {
            return Err(NoHeader::Newer { version });
        }
        let spool = bytes[16..32].first_chunk().ok_or(NoHeader::Damaged)?;
        Ok(Self {
            spool: Uuid::from_bytes(*spool),
            first_sequence: u64_at(bytes, 32).ok_or(NoHeader::Damaged)?,
            created_at: u64_at(bytes, 40).ok_or(NoHeader::Damaged)?,
        })
    }
}

/// Describes a version that is not this one, for an error text.
pub fn describe_version(version: u16) -> String {
    format!("format version {version}, but this program reads {VERSION}")
}

/// Bytes to read for [`Header::parse`]: headers of later versions may be longer.
pub const MAX_HEADER_BYTES: usize = 4096;

/// Returns the path of the segment `generation` in the folder `segments`.
pub fn path(segments: &Path, generation: u64) -> PathBuf {
    segments.join(format!("{generation:020}.segment"))
}

/// Reads the generation from a file name; `None` for a name that is no segment's.
pub fn generation(name: &str) -> Option<u64> {
    let digits = name.strip_suffix(".segment")?;
    let all_digits = digits.len() == 20 && digits.bytes().all(|b| b.is_ascii_digit());
    if all_digits { digits.parse().ok() } else { None }
}

fn u16_at(bytes: &[u8], at: usize) -> Option<u16> {
    bytes.get(at..)?.first_chunk().map(|b| u16::from_le_bytes(*b))
}

fn u64_at(bytes: &[u8], at: usize) -> Option<u64> {
    bytes.get(at..)?.first_chunk().map(|b| u64::from_le_bytes(*b))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn header() -> Header {
        Header { spool: Uuid::from_u128(0x1234_5678), first_sequence: 42, created_at: 1_770_000 }
    }

    #[test]
    fn a_header_comes_back() {
        assert_eq!(Header::parse(&header().to_bytes()), Ok(header()));
    }

    #[test]
    fn any_flipped_bit_and_any_missing_byte_make_it_damaged() {
        let whole = header().to_bytes();
        for bit in 0..whole.len() * 8 {
            let mut flipped = whole;
            flipped[bit / 8] ^= 1 << (bit % 8);
            assert_eq!(Header::parse(&flipped), Err(NoHeader::Damaged), "bit {bit}");
        }
        for length in 0..whole.len() {
            assert_eq!(Header::parse(&whole[..length]), Err(NoHeader::Damaged), "{length} bytes");
        }
    }

    #[test]
    fn a_later_version_is_told_from_damage_even_when_its_header_is_longer() {
        let mut longer = [0; 128];
        longer[..64].copy_from_slice(&header().to_bytes());
        longer[8] = 2;
        longer[10] = 128;
        let checksum = crc32c::crc32c(&longer[..124]);
        longer[124..].copy_from_slice(&checksum.to_le_bytes());
        assert_eq!(Header::parse(&longer), Err(NoHeader::Newer { version: 2 }));
    }

    #[test]
    fn names_sort_as_their_numbers_do_and_strangers_have_no_generation() {
        let folder = Path::new("s");
        assert_eq!(path(folder, 7), Path::new("s/00000000000000000007.segment"));
        assert_eq!(generation("18446744073709551615.segment"), Some(u64::MAX));
        for stranger in [
            "7.segment",
            "00000000000000000007",
            "+0000000000000000007.segment",
            "99999999999999999999.segment",
            "lost+found",
        ] {
            assert_eq!(generation(stranger), None, "{stranger}");
        }
    }
}

//! A notice as bytes: what one source of one replica has settled since its last one.
//!
//! Little-endian: the version, the rule by which the digests were made, two bytes of zeros, the CRC32C of all the rest,
//! the scope, the UUID of the source's spool, when it was written, and 16 bytes a digest. In every version the first byte
//! is the version, and the checksum stands where it does here: a version is believed only behind it.

use aws_lc_rs::digest;
use uuid::Uuid;

use super::super::identity::Digest;
use crate::source::UnixMillis;

/// The version that this program writes, and the only one that it reads.
const VERSION: u8 = 1;
/// Half of the SHA-256 of munchkin id, source, type and id (`identity.rs`).
const RULE: u8 = 1;

const HEADER_LENGTH: usize = 40;
const CHECKED_FROM: usize = 8;
const DIGEST_LENGTH: usize = 16;

/// Where the events go that a notice speaks of: a replica believes those of its own scope alone, since an event that
/// another configuration has brought to other topics is not on its own.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Scope(u64);

impl Scope {
    /// The scope of these texts, which name topics.
    pub fn of(topics: &[&str]) -> Self {
        let mut context = digest::Context::new(&digest::SHA256);
        for topic in topics {
            context.update(&(topic.len() as u64).to_le_bytes());
            context.update(topic.as_bytes());
        }
        let mut first = [0; 8];
        first.copy_from_slice(&context.finish().as_ref()[..8]);
        Self(u64::from_le_bytes(first))
    }
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Notice<'a> {
    pub scope: Scope,
    pub spool: Uuid,
    pub at: UnixMillis,
    digests: &'a [u8],
}

/// Why a record is passed by. Displays as the value of a label.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Unreadable {
    Damaged,
    Version,
    Rule,
}

impl Unreadable {
    pub const ALL: [Self; 3] = [Self::Damaged, Self::Version, Self::Rule];

    pub fn as_str(self) -> &'static str {
        match self {
            Self::Damaged => "damaged",
            Self::Version => "version",
            Self::Rule => "rule",
        }
    }
}

/// How many digests a record of so many bytes has.
pub(super) fn digests_in(bytes: usize) -> usize {
    (bytes.saturating_sub(HEADER_LENGTH) / DIGEST_LENGTH).max(1)
}

pub(super) fn spell(scope: Scope, spool: Uuid, at: UnixMillis, digests: &[Digest]) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(HEADER_LENGTH + digests.len() * DIGEST_LENGTH);
    bytes.extend_from_slice(&[VERSION, RULE, 0, 0, 0, 0, 0, 0]);
    bytes.extend_from_slice(&scope.0.to_le_bytes());
    bytes.extend_from_slice(spool.as_bytes());
    bytes.extend_from_slice(&at.to_le_bytes());
    for Digest(digest) in digests {
        bytes.extend_from_slice(digest);
    }
    let sum = checksum(&bytes);
    bytes[4..CHECKED_FROM].copy_from_slice(&sum.to_le_bytes());
    bytes
}

/// Checksum of a record, but for the checksum itself.
fn checksum(bytes: &[u8]) -> u32 {
    crc32c::crc32c_append(crc32c::crc32c(&bytes[..4]), &bytes[CHECKED_FROM..])
}

pub(super) fn read(bytes: &[u8]) -> Result<Notice<'_>, Unreadable> {
    let sum = bytes.get(4..CHECKED_FROM).ok_or(Unreadable::Damaged)?;
    if sum != checksum(bytes).to_le_bytes() {
        return Err(Unreadable::Damaged);
    }
    match bytes[..2] {
        [VERSION, RULE] => {}
        [VERSION, _] => return Err(Unreadable::Rule),
        _ => return Err(Unreadable::Version),
    }
    let (header, digests) = bytes.split_at_checked(HEADER_LENGTH).ok_or(Unreadable::Damaged)?;
    if !digests.len().is_multiple_of(DIGEST_LENGTH) {
        return Err(Unreadable::Damaged);
    }
    let number = |at: usize| u64::from_le_bytes(std::array::from_fn(|place| header[at + place]));
    let spool = Uuid::from_bytes(std::array::from_fn(|place| header[16 + place]));
    Ok(Notice { scope: Scope(number(8)), spool, at: number(32), digests })
}

impl Notice<'_> {
    pub fn digests(&self) -> impl Iterator<Item = Digest> {
        let digests = self.digests.chunks_exact(DIGEST_LENGTH);
        digests.map(|digest| Digest(std::array::from_fn(|place| digest[place])))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn scope() -> Scope {
        Scope::of(&["marketo.{stream}.{type}", "marketo.dead-letter"])
    }

    fn digests() -> Vec<Digest> {
        (1..4).map(|number| Digest([number; 16])).collect()
    }

    fn record() -> Vec<u8> {
        spell(scope(), Uuid::from_u128(5), 1000, &digests())
    }

    #[test]
    fn what_was_written_is_read_back() {
        let bytes = record();
        let notice = read(&bytes).unwrap();
        assert_eq!((notice.scope, notice.spool), (scope(), Uuid::from_u128(5)));
        assert_eq!(notice.at, 1000);
        assert_eq!(notice.digests().collect::<Vec<_>>(), digests());
        let none = spell(scope(), Uuid::from_u128(5), 1000, &[]);
        assert_eq!(read(&none).unwrap().digests().count(), 0);
        assert_eq!(digests_in(bytes.len()), 3);
    }

    #[test]
    fn no_flipped_bit_and_no_cut_makes_an_id_that_was_never_settled() {
        let good = record();
        for bit in 0..good.len() * 8 {
            let mut bad = good.clone();
            bad[bit / 8] ^= 1 << (bit % 8);
            assert_eq!(read(&bad), Err(Unreadable::Damaged), "bit {bit}");
        }
        for length in 0..good.len() {
            assert_eq!(read(&good[..length]), Err(Unreadable::Damaged), "{length} bytes");
        }
        for bytes in [&b""[..], b"{}", &[1; 200], &[0; 200], &[0; 8]] {
            assert!(read(bytes).is_err(), "{bytes:?}");
        }
    }

    #[test]
    fn a_later_version_and_another_rule_are_told_from_damage() {
        let with = |place: usize, value| {
            let mut later = record();
            later[place] = value;
            let sum = checksum(&later);
            later[4..8].copy_from_slice(&sum.to_le_bytes());
            read(&later).map(|_| ())
        };
        assert_eq!(with(0, 2), Err(Unreadable::Version));
        assert_eq!(with(1, 2), Err(Unreadable::Rule));
    }

    #[test]
    fn another_topic_is_another_scope() {
        assert_ne!(scope(), Scope::of(&["marketo.{stream}.{type}", "dead-letter"]));
        assert_ne!(Scope::of(&["ab", "c"]), Scope::of(&["a", "bc"]));
    }
}

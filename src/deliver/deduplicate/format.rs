//! Ids as bytes: a header, then blocks of ids, one a save.
//!
//! Little-endian. The header has 32 bytes: the magic, the version, the key's fingerprint, the rule by
//! which its ids were made, four bytes of zeros, and the CRC32C of all that, in every version: a version
//! is believed only with a right checksum. A block is a head of 16 bytes (number of ids, CRC32C of
//! the rest of the block, time of the save) and 16 bytes an id. Nothing is ever changed, only
//! appended, so an unreadable part ends a file: after a crash it is a block that was never finished.

use super::identity::{Id, Rule};
use crate::source::UnixMillis;

const MAGIC: [u8; 8] = *b"MILLIDS\n";

/// The version that this program writes, and the only one that it reads.
pub const VERSION: u32 = 1;

pub const HEADER_LENGTH: usize = 32;
const HEAD_LENGTH: usize = 16;
pub const ID_LENGTH: usize = 16;

/// Ids that were saved together.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Block {
    pub at: UnixMillis,
    pub ids: Vec<Id>,
}

/// Content of a file.
#[derive(Debug, PartialEq, Eq)]
pub struct Contents {
    pub rule: Rule,
    pub blocks: Vec<Block>,
    /// Offset of the end of the last whole block.
    pub end: usize,
}

/// The reason why a file is of no use.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Unreadable {
    #[error("its header is damaged")]
    Header,
    #[error("its format version is {found}, but this program reads {VERSION}")]
    Version { found: u32 },
    #[error("its ids were hashed with another key")]
    OtherKey,
}

pub fn header(key: u64, rule: Rule) -> [u8; HEADER_LENGTH] {
    let mut header = [0; HEADER_LENGTH];
    header[..8].copy_from_slice(&MAGIC);
    header[8..12].copy_from_slice(&VERSION.to_le_bytes());
    header[12..20].copy_from_slice(&key.to_le_bytes());
    header[20..24].copy_from_slice(&number_of(rule).to_le_bytes());
    let sum = crc32c::crc32c(&header[..28]);
    header[28..].copy_from_slice(&sum.to_le_bytes());
    header
}

/// The number of a rule; files from the time of the first rule have zero there.
fn number_of(rule: Rule) -> u32 {
    match rule {
        Rule::WithoutType => 0,
        Rule::WithType => 1,
    }
}

/// Appends a block to `bytes`.
pub fn add_block(bytes: &mut Vec<u8>, at: UnixMillis, ids: &[Id]) {
    let start = bytes.len();
    let count = u32::try_from(ids.len()).expect("a save has less than 2^32 ids");
    bytes.extend_from_slice(&count.to_le_bytes());
    bytes.extend_from_slice(&[0; 4]);
    bytes.extend_from_slice(&at.to_le_bytes());
    for Id([one, two]) in ids {
        bytes.extend_from_slice(&one.to_le_bytes());
        bytes.extend_from_slice(&two.to_le_bytes());
    }
    let sum = checksum(&bytes[start..]);
    bytes[start + 4..start + 8].copy_from_slice(&sum.to_le_bytes());
}

/// Checksum of a block, without the field for it.
fn checksum(block: &[u8]) -> u32 {
    crc32c::crc32c_append(crc32c::crc32c(&block[..4]), &block[8..])
}

/// The version of a file with this beginning, if it is another than this program's.
pub fn later_version(bytes: &[u8]) -> Option<u32> {
    match read(bytes, 0) {
        Err(Unreadable::Version { found }) => Some(found),
        _ => None,
    }
}

/// Reads a file of ids that were hashed with the key of this fingerprint.
pub fn read(bytes: &[u8], key: u64) -> Result<Contents, Unreadable> {
    let header = bytes.get(..HEADER_LENGTH).ok_or(Unreadable::Header)?;
    // The checksum first: a version with a wrong one is damage.
    if header[..8] != MAGIC || u32_at(header, 28) != crc32c::crc32c(&header[..28]) {
        return Err(Unreadable::Header);
    }
    match u32_at(header, 8) {
        VERSION if u64_at(header, 12) != key => return Err(Unreadable::OtherKey),
        VERSION => {}
        found => return Err(Unreadable::Version { found }),
    }
    // Ids of a rule that this program does not know match no event.
    let rule = if u32_at(header, 20) == 0 { Rule::WithoutType } else { Rule::WithType };
    let mut contents = Contents { rule, blocks: Vec::new(), end: HEADER_LENGTH };
    while let Some((block, length)) = block_at(&bytes[contents.end..]) {
        contents.blocks.push(block);
        contents.end += length;
    }
    Ok(contents)
}

/// The block that `bytes` begins with, and its length.
fn block_at(bytes: &[u8]) -> Option<(Block, usize)> {
    let head = bytes.get(..HEAD_LENGTH)?;
    let length = HEAD_LENGTH + u32_at(head, 0) as usize * ID_LENGTH;
    let block = bytes.get(..length)?;
    if u32_at(head, 4) != checksum(block) {
        return None;
    }
    let ids = block[HEAD_LENGTH..].chunks_exact(ID_LENGTH);
    let ids = ids.map(|id| Id([u64_at(id, 0), u64_at(id, 8)])).collect();
    Some((Block { at: u64_at(head, 8), ids }, length))
}

fn u32_at(bytes: &[u8], at: usize) -> u32 {
    u32::from_le_bytes(std::array::from_fn(|place| bytes[at + place]))
}

fn u64_at(bytes: &[u8], at: usize) -> u64 {
    u64::from_le_bytes(std::array::from_fn(|place| bytes[at + place]))
}

#[cfg(test)]
mod tests {
    use super::*;

    const KEY: u64 = 0x1234_5678_9abc_def0;

    fn blocks() -> Vec<Block> {
        let block =
            |at, ids: &[u64]| Block { at, ids: ids.iter().map(|id| Id([*id, 7])).collect() };
        vec![block(1000, &[1, 2, 3]), block(1250, &[]), block(u64::MAX, &[u64::MAX])]
    }

    fn file() -> Vec<u8> {
        let mut bytes = header(KEY, Rule::WithType).to_vec();
        for Block { at, ids } in blocks() {
            add_block(&mut bytes, at, &ids);
        }
        bytes
    }

    #[test]
    fn what_was_written_is_read_back() {
        let bytes = file();
        let end = bytes.len();
        let rule = Rule::WithType;
        assert_eq!(read(&bytes, KEY), Ok(Contents { rule, blocks: blocks(), end }));
    }

    #[test]
    fn a_file_of_before_the_rules_has_zeros_and_is_of_the_first() {
        let before = header(KEY, Rule::WithoutType);
        assert_eq!(before[20..28], [0; 8]);
        assert_eq!(read(&before, KEY).unwrap().rule, Rule::WithoutType);
    }

    #[test]
    fn every_truncation_leaves_the_whole_blocks_before_it() {
        let bytes = file();
        for length in HEADER_LENGTH..bytes.len() {
            let contents = read(&bytes[..length], KEY).unwrap();
            assert!(contents.end <= length && contents.blocks.len() < blocks().len());
            assert_eq!(contents.blocks, blocks()[..contents.blocks.len()]);
        }
        for length in 0..HEADER_LENGTH {
            assert_eq!(read(&bytes[..length], KEY), Err(Unreadable::Header));
        }
    }

    #[test]
    fn no_flipped_bit_makes_an_id_that_was_never_saved() {
        let good = file();
        for bit in 0..good.len() * 8 {
            let mut bad = good.clone();
            bad[bit / 8] ^= 1 << (bit % 8);
            match read(&bad, KEY) {
                Ok(contents) => {
                    assert!(contents.end < good.len(), "bit {bit}");
                    assert_eq!(contents.blocks, blocks()[..contents.blocks.len()], "bit {bit}");
                }
                Err(error) => {
                    assert_eq!(error, Unreadable::Header, "bit {bit}");
                    assert!(bit < HEADER_LENGTH * 8, "bit {bit}");
                }
            }
        }
    }

    #[test]
    fn a_later_version_and_another_key_are_told_apart_from_damage() {
        assert_eq!(read(&file(), KEY + 1), Err(Unreadable::OtherKey));
        let mut later = file();
        later[8] = 2;
        assert_eq!(read(&later, KEY), Err(Unreadable::Header), "its checksum is that of version 1");
        let sum = crc32c::crc32c(&later[..28]);
        later[28..32].copy_from_slice(&sum.to_le_bytes());
        assert_eq!(read(&later, KEY), Err(Unreadable::Version { found: 2 }));
    }
}

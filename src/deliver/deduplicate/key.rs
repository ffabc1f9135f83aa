//! The secret of the hashes, in the file `<spool.directory>/deduplicate.key`: made once, and never
//! shown. Without it the saved ids match no event, so it stays as long as they do.
//!
//! 32 bytes: the magic, the version, the key, the CRC32C of all that (little-endian). In every version the
//! file begins with the magic and the version and ends with the CRC32C of all before; a version is believed
//! only with a right checksum. Nothing waits
//! for this file: where it cannot be read, a key is made for this process alone.

use std::{
    io,
    path::{Path, PathBuf},
};

use super::identity::Key;
use crate::spool::disk::{self, Disk};

const MAGIC: [u8; 8] = *b"MILLKEY\n";
pub const VERSION: u32 = 1;

/// The key in `directory`; a new one, stored there, if there is none or it is damaged. A file of a
/// later version is left as it is.
pub fn load(disk: &dyn Disk, directory: &Path) -> Key {
    let path = path(directory);
    let problem = match disk::read_file(disk, &path) {
        Ok(bytes) => match read(&bytes) {
            Ok(key) => return key,
            Err(Unusable::Damaged) => {
                tracing::warn!(path = %path.display(), "the key of the saved ids is damaged; a new one was made");
                store(disk, &path)
            }
            Err(Unusable::Version(found)) => Err(format!(
                "the file has format version {found}, but this program reads {VERSION}"
            )),
        },
        Err(error) if error.kind() == io::ErrorKind::NotFound => store(disk, &path),
        Err(error) => Err(error.to_string()),
    };
    problem.unwrap_or_else(|why| {
        tracing::warn!(
            path = %path.display(), why,
            "the key of the saved ids cannot be used: what was delivered before is not known, and \
             what is delivered now will not be known after a restart",
        );
        random()
    })
}

pub fn path(directory: &Path) -> PathBuf {
    directory.join("deduplicate.key")
}

/// The version in the bytes of a key, if it is another than this program's.
pub fn later_version(bytes: &[u8]) -> Option<u32> {
    match read(bytes) {
        Err(Unusable::Version(found)) => Some(found),
        _ => None,
    }
}

fn store(disk: &dyn Disk, path: &Path) -> Result<Key, String> {
    let key = random();
    let stored = disk::write_atomically(disk, path, &spell(&key));
    stored.map(|()| key).map_err(|error| error.to_string())
}

fn random() -> Key {
    let mut key = [0; 16];
    aws_lc_rs::rand::fill(&mut key).expect("the operating system has random numbers");
    Key(key)
}

fn spell(Key(key): &Key) -> Vec<u8> {
    let mut bytes = [&MAGIC[..], &VERSION.to_le_bytes(), key].concat();
    bytes.extend_from_slice(&crc32c::crc32c(&bytes).to_le_bytes());
    bytes
}

enum Unusable {
    Damaged,
    Version(u32),
}

fn read(bytes: &[u8]) -> Result<Key, Unusable> {
    let (covered, sum) = bytes.split_last_chunk().ok_or(Unusable::Damaged)?;
    let rest = covered.strip_prefix(&MAGIC).ok_or(Unusable::Damaged)?;
    // The checksum first: a version with a wrong one is damage.
    if u32::from_le_bytes(*sum) != crc32c::crc32c(covered) {
        return Err(Unusable::Damaged);
    }
    let (version, key) = rest.split_first_chunk().ok_or(Unusable::Damaged)?;
    match u32::from_le_bytes(*version) {
        VERSION => key.try_into().map(Key).map_err(|_| Unusable::Damaged),
        version => Err(Unusable::Version(version)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_flipped_bit_makes_another_key_or_a_later_version() {
        let good = spell(&Key([7; 16]));
        for bit in 0..good.len() * 8 {
            let mut bad = good.clone();
            bad[bit / 8] ^= 1 << (bit % 8);
            assert!(matches!(read(&bad), Err(Unusable::Damaged)), "bit {bit}");
        }
    }

    #[test]
    fn a_longer_key_of_a_later_version_is_known_by_its_checksum() {
        let mut later = [&MAGIC[..], &2_u32.to_le_bytes(), &[7; 32]].concat();
        later.extend_from_slice(&crc32c::crc32c(&later).to_le_bytes());
        assert_eq!(later_version(&later), Some(2));
        later[20] ^= 1;
        assert_eq!(later_version(&later), None);
    }
}

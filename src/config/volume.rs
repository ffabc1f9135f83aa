//! Compares the spool's limits with the size of its volume. Not a part of loading, which reads nothing
//! but text: `check` refuses limits that do not fit, and `serve` warns of them.

use std::{io, path::Path};

use super::{
    Spool,
    mistake::{Key, Mistake, Place},
};

/// Returns a mistake when the undelivered bytes and the reserve together may exceed the volume.
/// `size_of` gives the total size of the volume that a path is on, in bytes.
pub fn fits(spool: &Spool, size_of: impl Fn(&Path) -> io::Result<u64>) -> Result<(), Mistake> {
    let mistake = |key: &str, problem: String, remedy: &str| Mistake {
        place: Place::Key(Key::new(key)),
        problem,
        remedy: remedy.into(),
    };
    let size = size_of(&spool.directory).map_err(|error| {
        let problem =
            format!("is `{}`, whose volume cannot be queried: {error}", spool.directory.display());
        mistake("spool.directory", problem, "Name a folder on a volume that is there.")
    })?;
    if spool.size_limit.saturating_add(spool.reserve) <= size {
        return Ok(());
    }
    let bytes = |bytes| bytesize::ByteSize(bytes).display().iec().to_string();
    if spool.reserve >= size {
        let name = spool.directory.display();
        let reserve = bytes(spool.reserve);
        let size = bytes(size);
        let problem = format!("is {reserve}, but the volume of `{name}` has only {size} in total");
        return Err(mistake("spool.reserve", problem, "Lower it, or enlarge the volume."));
    }
    Err(mistake(
        "spool.size_limit",
        format!(
            "is {} and spool.reserve is {}, but the volume of `{}` has only {} in total",
            bytes(spool.size_limit),
            bytes(spool.reserve),
            spool.directory.display(),
            bytes(size),
        ),
        "Lower it, or enlarge the volume: the spool would run out of space before its own limit.",
    ))
}

/// Returns the total size in bytes of the volume that `path` is on, or would be on once it is created.
pub fn size_of_volume(path: &Path) -> io::Result<u64> {
    for folder in path.ancestors() {
        let folder = if folder.as_os_str().is_empty() { Path::new(".") } else { folder };
        match rustix::fs::statvfs(folder) {
            Err(rustix::io::Errno::NOENT) => continue,
            Err(error) => return Err(error.into()),
            Ok(volume) => return Ok(volume.f_blocks.saturating_mul(volume.f_frsize)),
        }
    }
    Err(io::ErrorKind::NotFound.into())
}

#[cfg(test)]
mod tests {
    use super::*;

    const GIB: u64 = 1 << 30;

    fn spool(size_limit: u64, reserve: u64) -> Spool {
        Spool { size_limit, reserve, ..Spool::default() }
    }

    #[test]
    fn a_total_that_the_volume_cannot_hold_is_a_mistake() {
        assert_eq!(fits(&spool(9 * GIB, GIB), |_| Ok(10 * GIB)), Ok(()));
        let mistake = fits(&spool(10 * GIB, GIB), |_| Ok(10 * GIB)).unwrap_err().to_string();
        assert!(mistake.starts_with("spool.size_limit (MILLRACE_SPOOL__SIZE_LIMIT)"), "{mistake}");
        assert!(mistake.contains("10.0 GiB in total"), "{mistake}");
        let mistake = fits(&spool(GIB, 10 * GIB), |_| Ok(10 * GIB)).unwrap_err().to_string();
        assert!(mistake.starts_with("spool.reserve (MILLRACE_SPOOL__RESERVE)"), "{mistake}");
        assert!(fits(&spool(u64::MAX, GIB), |_| Ok(u64::MAX - 1)).is_err());
    }

    #[test]
    fn a_folder_that_is_not_there_yet_counts_by_its_nearest_parent() {
        let folder = tempfile::tempdir().unwrap();
        let there = size_of_volume(folder.path()).unwrap();
        assert!(there > 0);
        assert_eq!(size_of_volume(&folder.path().join("not/there/yet")).unwrap(), there);
        assert!(size_of_volume(Path::new("not-there-either")).unwrap() > 0);
    }
}

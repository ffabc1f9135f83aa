//! Checks the files and folders that a configuration names, for problems that would stop a start and for those that
//! would show only with the first delivery. Nothing is created or changed.

use std::{fs, io, os::unix::fs::MetadataExt as _, path::Path, time::SystemTime};

use rustix::fs::{Access, AtFlags, CWD, accessat};

use super::stored;
use crate::{
    config::{Config, Key, Mistake, Place},
    ingest::listen::tls::{Tls, TlsError},
    source::SourceName,
};

/// Files of a spool that are looked at; further ones would show the same problems.
const MAX_ENTRIES: usize = 1000;

pub(super) fn mistakes(config: &Config) -> Vec<Mistake> {
    let spool = match spool_folder(&config.spool.directory) {
        Ok(()) => stored::problems(config),
        Err(problem) => {
            vec![(problem, "Name a folder that this process may write to, or make it one.")]
        }
    };
    let spool = spool.into_iter().map(|(problem, remedy)| {
        let key = "spool.directory";
        mistake(key, problem, remedy)
    });
    let keys = config.adobe.keys_folder.as_deref();
    let keys = keys.and_then(|folder| keys_folder(folder).err()).map(|problem| {
        let remedy = "Name a folder that this process may read: without its keys no delivery of Adobe \
                      I/O is taken.";
        mistake("adobe.keys_folder", problem, remedy)
    });
    let tls = config.listen.tls.as_ref();
    let tls = tls.map(|files| Tls::check(files, SystemTime::now())).unwrap_or_default();
    let certificate = config.kafka.properties.get("ssl.certificate.location");
    let certificate = certificate.and_then(|path| {
        let key = "kafka.properties.ssl.certificate.location";
        Tls::check_time(key, Path::new(path.expose()), SystemTime::now()).err()
    });
    let of_tls = |TlsError { key, path, problem }: TlsError| {
        let problem = format!("names `{}`, which {problem}", path.display());
        mistake(key, problem, "Name files in PEM that this process may read and that are good now.")
    };
    let tls = tls.into_iter().chain(certificate).map(of_tls);
    spool.into_iter().chain(keys).chain(tls).collect()
}

fn mistake(key: &str, problem: String, remedy: &str) -> Mistake {
    Mistake { place: Place::Key(Key::new(key)), problem, remedy: remedy.into() }
}

/// Checks the spool's folder; a start creates it where it is missing.
fn spool_folder(folder: &Path) -> Result<(), String> {
    let name = folder.display();
    match fs::metadata(folder) {
        Ok(found) if !found.is_dir() => Err(format!("is `{name}`, which is not a folder")),
        Ok(_) => {
            may_write(folder).map_err(|why| format!("is `{name}`, {why}"))?;
            let mut left = MAX_ENTRIES;
            for entry in fs::read_dir(folder).into_iter().flatten().flatten() {
                if is_ours(&entry.file_name().to_string_lossy()) {
                    check_existing(&entry.path(), &mut left)
                        .map_err(|why| format!("is `{name}`, and {why}"))?;
                }
            }
            Ok(())
        }
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            let parent =
                folder.ancestors().skip(1).map(or_current_folder).find(|parent| parent.exists());
            let Some(parent) = parent else { return Ok(()) };
            let not_made = format!("is `{name}`, which does not exist and cannot be created");
            if !parent.is_dir() {
                return Err(format!("{not_made}: `{}` is not a folder", parent.display()));
            }
            may_write(parent).map_err(|why| format!("{not_made} in `{}`, {why}", parent.display()))
        }
        Err(error) => Err(format!("is `{name}`, which cannot be accessed: {error}")),
    }
}

/// Returns `.` for an empty path: the parent of a relative path such as `data` is empty.
fn or_current_folder(path: &Path) -> &Path {
    if path.as_os_str().is_empty() { Path::new(".") } else { path }
}

/// Whether the service creates this name in its folder. The root of a volume has more (`lost+found`).
fn is_ours(name: &str) -> bool {
    ["lock", "deduplicate.key"].contains(&name) || SourceName::new(name).is_some()
}

/// Checks the files that an earlier start left, perhaps as another user.
fn check_existing(path: &Path, left: &mut usize) -> Result<(), String> {
    if *left == 0 {
        return Ok(());
    }
    *left -= 1;
    may_write(path).map_err(|why| format!("has `{}` in it, {why}", path.display()))?;
    // A link may lead anywhere, and none is the service's own.
    if path.is_dir() && !path.is_symlink() {
        for entry in fs::read_dir(path).into_iter().flatten().flatten() {
            check_existing(&entry.path(), left)?;
        }
    }
    Ok(())
}

fn keys_folder(folder: &Path) -> Result<(), String> {
    let name = folder.display();
    match fs::read_dir(folder) {
        Ok(_) => Ok(()),
        Err(error) if error.kind() == io::ErrorKind::NotADirectory => {
            Err(format!("is `{name}`, which is not a folder"))
        }
        Err(error) => Err(format!("is `{name}`, which cannot be read: {error}")),
    }
}

/// Checks that this process may write to `path`. The error continues a sentence about the path.
fn may_write(path: &Path) -> Result<(), String> {
    let found = fs::metadata(path).map_err(|error| format!("which cannot be accessed: {error}"))?;
    let mut access = Access::READ_OK | Access::WRITE_OK;
    if found.is_dir() {
        access |= Access::EXEC_OK;
    }
    let Err(error) = accessat(CWD, path, access, AtFlags::EACCESS) else { return Ok(()) };
    let me = rustix::process::geteuid().as_raw();
    Err(match error {
        rustix::io::Errno::ROFS => "which is on a volume that can only be read".into(),
        rustix::io::Errno::ACCESS if found.uid() != me => format!(
            "which belongs to user {}; this process (user {me}) is not allowed to write to it",
            found.uid()
        ),
        rustix::io::Errno::ACCESS => {
            "which may not be written to (its permissions are read-only)".into()
        }
        error => format!("which cannot be written to: {}", io::Error::from(error)),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_spool_may_be_there_or_be_made() {
        let folder = tempfile::tempdir().unwrap();
        assert_eq!(spool_folder(folder.path()), Ok(()));
        assert_eq!(spool_folder(&folder.path().join("not/there/yet")), Ok(()));
        assert_eq!(spool_folder(Path::new("not-there-either")), Ok(()));
    }

    #[test]
    fn a_file_where_a_folder_was_due_is_named() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("file");
        fs::write(&file, "").unwrap();
        let problem = spool_folder(&file).unwrap_err();
        assert!(problem.ends_with("/file`, which is not a folder"), "{problem}");
        assert!(spool_folder(&file.join("below")).is_err());
        let problem = keys_folder(&file).unwrap_err();
        assert!(problem.ends_with("/file`, which is not a folder"), "{problem}");
        let problem = keys_folder(&folder.path().join("missing")).unwrap_err();
        assert!(problem.contains("which cannot be read: No such file"), "{problem}");
    }
}

//! The position in the journal up to which all events were delivered, in a file of its own.

use std::{fs, io, path::PathBuf};

pub(super) struct StateFile {
    file: PathBuf,
}

/// The position cannot be read or saved.
#[derive(Debug, thiserror::Error)]
#[error("state file --state {}: {source}", .file.display())]
pub(super) struct StateError {
    file: PathBuf,
    source: io::Error,
}

impl StateFile {
    pub fn new(file: PathBuf) -> Self {
        Self { file }
    }

    /// Reads the position; `None` where none was saved yet.
    pub fn load(&self) -> Result<Option<String>, StateError> {
        match fs::read_to_string(&self.file) {
            Ok(text) => Ok(Some(text.trim().to_owned()).filter(|position| !position.is_empty())),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(source) => Err(self.error(source)),
        }
    }

    /// Writes aside and renames, so that a crash leaves the old position or the new one. Needs no sync: events
    /// behind a position lost by a power cut are read again.
    pub fn save(&self, position: &str) -> Result<(), StateError> {
        let aside = self.file.with_extension("new");
        let saved = fs::write(&aside, format!("{position}\n"))
            .and_then(|()| fs::rename(&aside, &self.file));
        saved.map_err(|source| self.error(source))
    }

    fn error(&self, source: io::Error) -> StateError {
        StateError { file: self.file.clone(), source }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_place_is_kept_from_one_run_to_the_next() {
        let folder = tempfile::tempdir().unwrap();
        let state = StateFile::new(folder.path().join("place"));
        assert_eq!(state.load().unwrap(), None);
        state.save("penguin:1.a,2").unwrap();
        state.save("penguin:7").unwrap();
        assert_eq!(state.load().unwrap().as_deref(), Some("penguin:7"));
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1, "nothing is left aside");
    }

    #[test]
    fn a_file_that_cannot_be_written_is_named() {
        let error = StateFile::new("/no/such/folder/place".into()).save("x").unwrap_err();
        assert!(
            error.to_string().starts_with("state file --state /no/such/folder/place: "),
            "{error}"
        );
    }
}

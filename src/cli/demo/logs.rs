//! The service's log, in a file: the terminal belongs to the demo.

use std::{fs::File, io, path::Path, sync::Mutex};

/// From now on everything that is logged goes to `path`.
pub fn to_file(path: &Path) -> io::Result<()> {
    let file = Mutex::new(File::create(path)?);
    // An error means that somebody else (a test) has already said where logs go.
    let _ = tracing_subscriber::fmt()
        .with_max_level(tracing::Level::INFO)
        .with_ansi(false)
        .with_writer(file)
        .try_init();
    Ok(())
}

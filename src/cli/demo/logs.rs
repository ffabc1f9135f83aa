//! The service's log goes to a file: the terminal belongs to the demo.

use std::{fs::File, io, path::Path, sync::Mutex};

/// Writes all log lines to `path` from now on.
pub fn to_file(path: &Path) -> io::Result<()> {
    let file = Mutex::new(File::create(path)?);
    // An error means that the process (a test) already has a subscriber.
    let _ = tracing_subscriber::fmt()
        .with_max_level(tracing::Level::INFO)
        .with_ansi(false)
        .with_writer(file)
        .try_init();
    Ok(())
}

//! The service's log, in a file: the terminal belongs to the demo.

use std::{fs::File, io, path::Path, sync::Mutex};

use tracing_subscriber::EnvFilter;

/// From now on everything that is logged goes to `path`.
pub fn to_file(path: &Path) -> io::Result<()> {
    let file = Mutex::new(File::create(path)?);
    let filter = EnvFilter::new("info");
    // An error means that somebody else (a test) has already said where logs go.
    let _ = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_ansi(false)
        .with_writer(file)
        .try_init();
    Ok(())
}

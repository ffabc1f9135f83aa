//! The effective configuration as TOML, with where each value came from, and without secrets.

use std::fmt;

use super::{leaf::string, mistake::Key};

/// What is shown in place of a secret.
pub(super) const HIDDEN: &str = "\"***\"";

/// One key that was asked for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    pub key: Key,
    /// The value as TOML; `None` where there is none.
    pub shown: Option<String>,
    /// `default`, `environment`, or the file's name.
    pub origin: String,
}

/// Prints as TOML that `--config` takes back, but for the secrets.
pub(super) fn write(entries: &[Entry], f: &mut fmt::Formatter<'_>) -> fmt::Result {
    let mut table: Option<&[String]> = None;
    for Entry { key, shown, origin } in entries {
        let Some(shown) = shown else { continue };
        let Some((name, parent)) = key.segments().split_last() else { continue };
        if table != Some(parent) {
            let separator = if table.is_some() { "\n" } else { "" };
            let path: Vec<String> = parent.iter().map(|s| bare(s)).collect();
            writeln!(f, "{separator}[{}]", path.join("."))?;
            table = Some(parent);
        }
        writeln!(f, "{} = {shown} # {}", bare(name), origin.replace(char::is_control, "?"))?;
    }
    Ok(())
}

fn bare(name: &str) -> String {
    let legal = |b: u8| b.is_ascii_alphanumeric() || b == b'_' || b == b'-';
    if !name.is_empty() && name.bytes().all(legal) { name.into() } else { string(name) }
}

//! The effective configuration as TOML, with the origin of each value, and without secrets.

use std::fmt;

use super::{leaf::string, mistake::Key};

/// Printed in place of a secret.
pub(super) const HIDDEN: &str = "\"***\"";

/// One key that was read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    pub key: Key,
    /// The value as TOML; `None` where there is none.
    pub shown: Option<String>,
    /// `default`, `environment`, or the file's name.
    pub origin: String,
    /// Whether this is a default that means nothing as long as its neighbours are not set; it is not shown.
    pub idle: bool,
}

/// Prints TOML that `--config` accepts again, except for the secrets. Each table comes once, even if its
/// keys were read at different times.
pub(super) fn write(entries: &[Entry], f: &mut fmt::Formatter<'_>) -> fmt::Result {
    let mut tables: Vec<(&[String], Vec<String>)> = Vec::new();
    for Entry { key, shown, origin, .. } in entries.iter().filter(|entry| !entry.idle) {
        let Some(shown) = shown else { continue };
        let Some((name, parent)) = key.segments().split_last() else { continue };
        let line = format!("{} = {shown} # {}", bare(name), origin.replace(char::is_control, "?"));
        match tables.iter_mut().find(|(table, _)| *table == parent) {
            Some((_, lines)) => lines.push(line),
            None => tables.push((parent, vec![line])),
        }
    }
    for (n, (table, lines)) in tables.iter().enumerate() {
        let separator = if n > 0 { "\n" } else { "" };
        let path: Vec<String> = table.iter().map(|s| bare(s)).collect();
        writeln!(f, "{separator}[{}]", path.join("."))?;
        for line in lines {
            writeln!(f, "{line}")?;
        }
    }
    Ok(())
}

fn bare(name: &str) -> String {
    let legal = |b: u8| b.is_ascii_alphanumeric() || b == b'_' || b == b'-';
    if !name.is_empty() && name.bytes().all(legal) { name.into() } else { string(name) }
}

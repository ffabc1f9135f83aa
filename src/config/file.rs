//! The configuration file: reads TOML into a layer.

use std::{fs, path::Path};

use figment::{
    providers::{Format, Toml},
    value::Dict,
};

use super::{
    lines,
    mistake::{Mistakes, Place},
    written::{Files, Layer},
};

/// Reads the file; `None` when it cannot be read at all, with the reason among the mistakes.
pub(super) fn read(path: &Path, mistakes: &mut Mistakes) -> Option<Layer> {
    let name = path.display().to_string();
    let bytes = match fs::read(path) {
        Ok(bytes) => bytes,
        Err(error) => {
            mistakes.add(
                Place::File(name),
                format!("cannot be read: {error}"),
                "Correct --config or MILLRACE_CONFIG, or leave both out: the file is optional.",
            );
            return None;
        }
    };
    let text = match String::from_utf8(bytes) {
        Ok(text) => text,
        Err(error) => {
            let end = error.utf8_error().valid_up_to();
            let line = line_of(&error.as_bytes()[..end]);
            let remedy = "Save the file as UTF-8; nothing of it was read.";
            mistakes.add(Place::File(format!("{name}, line {line},")), "is not UTF-8", remedy);
            return None;
        }
    };
    match parse(&text) {
        Ok(values) => Some(Layer { name, values, files: Files::new(), lines: lines::of(&text) }),
        Err((line, message)) => {
            mistakes.add(
                Place::File(format!("{name}, line {line},")),
                format!("is not TOML: {message}"),
                "Nothing of the file was read; its other mistakes show once this one is gone.",
            );
            None
        }
    }
}

/// Returns the number of the line that begins after `before`.
fn line_of(before: &[u8]) -> usize {
    1 + before.iter().filter(|byte| **byte == b'\n').count()
}

/// Parses TOML. An error has line and message only: its own text would show the line, and with it perhaps a token.
fn parse(text: &str) -> Result<Dict, (usize, String)> {
    <Toml as Format>::from_str(text).map_err(|error| {
        let end = error.span().map_or(0, |span| span.start).min(text.len());
        let line = line_of(&text.as_bytes()[..end]);
        (line, error.message().trim().replace('\n', ", "))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_syntax_error_tells_the_line_and_shows_none_of_it() {
        for line in [
            "tokens = hunter2",
            "tokens = [\"hunter2\"",
            "tokens = \"hunter2",
            "tokens = \"hunter2\\q\"",
            "tokens = [hunter2]",
            "tokens = 5hunter2",
            "tokens \"hunter2\"",
        ] {
            let (at, message) = parse(&format!("[listen]\n\n{line}\n")).unwrap_err();
            assert!((3..=4).contains(&at), "{line}: line {at}");
            assert!(!message.contains("hunter2"), "{message}");
        }
    }
}

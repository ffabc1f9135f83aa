//! A secret: a text that is used and never shown.
//!
//! Neither `Debug` nor `Display` prints it, it has no serializer, and comparing takes the same time
//! wherever the first difference is. Code that needs the text calls [`Secret::expose`].
//!
//! White space and a byte order mark at the ends do not belong to a secret, wherever it was written: editors
//! and shells put them there, and neither a header nor a sender would have them.

use std::{fmt, path::Path, sync::Arc};

use aws_lc_rs::constant_time;

/// Printed in place of a secret.
const PLACEHOLDER: &str = "***";

/// The reason why a text is no secret, and the remedy. Neither quotes a secret.
pub(super) type Unfit = (&'static str, &'static str);

/// Rejects the placeholder: a printed configuration that is used again would make `***` a secret that everybody knows.
pub(super) fn placeholder(text: &str) -> Result<(), Unfit> {
    match stripped(text) == PLACEHOLDER {
        true => Err((
            "has `***` where a secret was due",
            "This is what `millrace check` prints in place of a secret: write the secret or its …_FILE.",
        )),
        false => Ok(()),
    }
}

/// Rejects a text of several lines unless it is PEM: other texts of two lines
/// are two secrets, or a secret and a remark.
pub(super) fn one_line(text: &str) -> Result<(), Unfit> {
    let text = stripped(text);
    match text.contains(['\n', '\r']) && !text.contains(PEM) {
        true => Err((
            "has a line break in it, and is one secret",
            "Write the secret alone, in one line.",
        )),
        false => Ok(()),
    }
}

/// The beginning of a key or a certificate in PEM.
pub(super) const PEM: &str = "-----BEGIN ";

/// A token, a password, or any setting that may hold one. Never empty. It knows the file that it was
/// read from, if any, so that it can be read again.
#[derive(Clone)]
pub struct Secret {
    text: String,
    file: Option<Arc<Path>>,
}

impl Secret {
    /// Returns `None` for an empty text: an empty token would let everybody in.
    pub fn new(text: impl AsRef<str>) -> Option<Self> {
        let text = stripped(text.as_ref());
        (!text.is_empty()).then(|| Self { text: text.into(), file: None })
    }

    /// Makes one secret of a written text, or says why it is none.
    pub(super) fn written(text: &str) -> Result<Self, Unfit> {
        placeholder(text)?;
        one_line(text)?;
        Self::new(text).ok_or(("is empty", "Write the secret or its …_FILE."))
    }

    /// Returns the secret, marked as read from `file`.
    pub fn read_from(self, file: &Path) -> Self {
        Self { file: Some(file.into()), ..self }
    }

    pub fn file(&self) -> Option<&Path> {
        self.file.as_deref()
    }

    /// Returns the text itself, for the place that must hand it on.
    pub fn expose(&self) -> &str {
        &self.text
    }

    /// Whether `presented` is this secret; takes a time that depends on the lengths alone.
    pub fn matches(&self, presented: &[u8]) -> bool {
        constant_time::verify_slices_are_equal(self.text.as_bytes(), presented).is_ok()
    }
}

/// Returns `text` without white space and byte order marks at its ends.
pub(super) fn stripped(text: &str) -> &str {
    text.trim_matches(|c: char| c.is_whitespace() || c == '\u{feff}')
}

/// Compares the text alone.
impl PartialEq for Secret {
    fn eq(&self, other: &Self) -> bool {
        self.matches(other.text.as_bytes())
    }
}

impl Eq for Secret {}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(PLACEHOLDER)
    }
}

impl fmt::Display for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(PLACEHOLDER)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_secret_never_prints() {
        let secret = Secret::new("hunter2").unwrap();
        assert_eq!(format!("{secret} {secret:?} {:?}", Some(&secret)), "*** *** Some(***)");
        assert_eq!(secret.expose(), "hunter2");
    }

    #[test]
    fn an_empty_secret_is_none() {
        for text in ["", " ", "\n", "\u{feff}", "\u{feff}\r\n"] {
            assert_eq!(Secret::new(text), None, "{text:?}");
        }
    }

    #[test]
    fn blank_ends_and_a_byte_order_mark_are_no_part_of_a_secret() {
        for text in ["a b", "\u{feff}a b", " a b ", "a b\n", "\u{feff}\ta b \r\n"] {
            assert_eq!(Secret::new(text).unwrap().expose(), "a b", "{text:?}");
        }
    }

    #[test]
    fn a_secret_matches_its_own_text_alone() {
        let secret = Secret::new("hunter2").unwrap();
        assert!(secret.matches(b"hunter2"));
        for other in [&b"hunter3"[..], b"hunter", b"hunter22", b"", b"HUNTER2"] {
            assert!(!secret.matches(other));
        }
    }
}

//! A secret: text that is used and never shown.
//!
//! Neither `Debug` nor `Display` print it, it has no serializer, and comparing takes the same time
//! wherever the first difference is. Whoever needs the text says so with [`Secret::expose`].
//!
//! White space and a byte order mark at the ends are no part of a secret, wherever it was written: editors
//! and shells put them there, and nothing that is sent or compared would have them.

use std::{fmt, path::Path, sync::Arc};

use subtle::ConstantTimeEq;

/// A token, a password, or any setting that may hold one. Never empty. It knows the file that it was
/// read from, where there was one, so that it can be read again.
#[derive(Clone)]
pub struct Secret {
    text: String,
    file: Option<Arc<Path>>,
}

impl Secret {
    /// `None` when nothing is in `text`: an empty token would let everybody in.
    pub fn new(text: impl AsRef<str>) -> Option<Self> {
        let text = stripped(text.as_ref());
        (!text.is_empty()).then(|| Self { text: text.into(), file: None })
    }

    /// The same, read from `file`.
    pub fn read_from(self, file: &Path) -> Self {
        Self { file: Some(file.into()), ..self }
    }

    pub fn file(&self) -> Option<&Path> {
        self.file.as_deref()
    }

    /// The text itself, for the one place that must hand it on.
    pub fn expose(&self) -> &str {
        &self.text
    }

    /// Whether `presented` is this secret, in a time that depends on the lengths alone.
    pub fn matches(&self, presented: &[u8]) -> bool {
        self.text.as_bytes().ct_eq(presented).into()
    }
}

/// `text` without what is no part of a secret.
pub(super) fn stripped(text: &str) -> &str {
    text.trim_matches(|c: char| c.is_whitespace() || c == '\u{feff}')
}

/// By the text alone.
impl PartialEq for Secret {
    fn eq(&self, other: &Self) -> bool {
        self.matches(other.text.as_bytes())
    }
}

impl Eq for Secret {}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("***")
    }
}

impl fmt::Display for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("***")
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

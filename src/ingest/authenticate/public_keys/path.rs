//! The path of a key: the sender's own text, and the only part of a request that influences an address to fetch.
//!
//! It is put behind a fixed scheme and host, so it must have no part that could be read as another host, leave the
//! folder of keys or be read in two ways. Its form: `/prod/keys/`, then letters, digits, `.`, `_` and `-`, then
//! `.pem`, and no two dots in a row. It is checked as it came, without decoding or resolving.

use std::{fmt, sync::Arc};

const FOLDER: &str = "/prod/keys/";
const ENDING: &str = ".pem";

/// Bytes of a path. Adobe's own have around 30.
const MAX_PATH_BYTES: usize = 256;

#[derive(Clone, PartialEq, Eq, Hash)]
pub struct KeyPath(Arc<str>);

impl KeyPath {
    /// Reads a path; `None` if `text` is not of the form above.
    pub fn new(text: &str) -> Option<Self> {
        let name = text.strip_prefix(FOLDER)?.strip_suffix(ENDING)?;
        let legal = |b: u8| b.is_ascii_alphanumeric() || b"._-".contains(&b);
        let fits = !name.is_empty() && text.len() <= MAX_PATH_BYTES && name.bytes().all(legal);
        (fits && !text.contains("..")).then(|| Self(text.into()))
    }

    /// Returns the path, which begins with a slash.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for KeyPath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Debug for KeyPath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&self.0, f)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn adobes_own_paths_are_paths() {
        for path in ["/prod/keys/pub-key-AbC123.pem", "/prod/keys/a.pem", "/prod/keys/a_b.c-d.pem"]
        {
            assert_eq!(KeyPath::new(path).unwrap().as_str(), path);
        }
    }

    #[test]
    fn nothing_changes_the_host_or_leaves_the_folder() {
        let long = format!("/prod/keys/{}.pem", "k".repeat(250));
        for path in [
            "",
            "/",
            ".evil.test/k.pem",
            ".evil.test/prod/keys/k.pem",
            "@evil.test/prod/keys/k.pem",
            "//evil.test/prod/keys/k.pem",
            "https://evil.test/prod/keys/k.pem",
            "prod/keys/k.pem",
            "/prod/keys/.pem",
            "/prod/keys/../k.pem",
            "/prod/keys/..pem",
            "/prod/keys/a..pem",
            "/prod/keys/a/b.pem",
            "/prod/keys/a\\b.pem",
            "/prod/keys//k.pem",
            "/prod/keys/%2e%2e%2fk.pem",
            "/prod/keys/k%00.pem",
            "/prod/keys/k.pem?x=.pem",
            "/prod/keys/k.pem#.pem",
            "/prod/keys/k@evil.test.pem",
            "/prod/keys/k:1.pem",
            "/prod/keys/k.pem ",
            " /prod/keys/k.pem",
            "/prod/keys/k\u{e9}.pem",
            "/prod/keys/k\r\nhost:evil.test.pem",
            "/prod/keys/k.PEM",
            "/PROD/keys/k.pem",
            "/prod/keys/k.pem/",
            "/stage/keys/k.pem",
            &long,
        ] {
            assert_eq!(KeyPath::new(path), None, "{path}");
        }
    }

    proptest! {
        #[test]
        fn behind_any_base_a_path_stays_at_its_host_and_means_itself(text in "\\PC{0,40}|/prod/keys/[ -~]{0,30}\\.pem") {
            if let Some(path) = KeyPath::new(&text) {
                let url: reqwest::Url = format!("https://host.test{path}").parse().unwrap();
                prop_assert_eq!(url.host_str(), Some("host.test"));
                prop_assert_eq!(url.path(), text.as_str());
                prop_assert_eq!(url.as_str(), format!("https://host.test{text}"));
            }
        }
    }
}

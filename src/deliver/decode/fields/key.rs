//! The key of HMACs, which may be replaced while it is used, and the encoding of the result.

use std::{fmt, sync::Arc};

use aws_lc_rs::hmac;
use base64::{Engine, prelude::BASE64_URL_SAFE_NO_PAD};
use parking_lot::RwLock;

/// Shortest key in bytes: as long as the HMAC (RFC 2104).
pub const KEY_LENGTH: usize = 32;

/// Encoding of an HMAC as text.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Encoding {
    /// 64 lower-case digits.
    #[default]
    Hex,
    /// 43 characters, without padding.
    Base64Url,
}

impl Encoding {
    pub const ALL: [Self; 2] = [Self::Hex, Self::Base64Url];

    /// The name that configuration uses.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Hex => "hex",
            Self::Base64Url => "base64url",
        }
    }

    fn written(self, tag: &[u8]) -> String {
        match self {
            Self::Hex => tag.iter().fold(String::with_capacity(64), |mut text, byte| {
                for digit in [byte >> 4, byte & 15] {
                    text.push(char::from(b"0123456789abcdef"[usize::from(digit)]));
                }
                text
            }),
            Self::Base64Url => BASE64_URL_SAFE_NO_PAD.encode(tag),
        }
    }

    /// Whether `text` may be an HMAC in this encoding.
    pub fn may_have_written(self, text: &str) -> bool {
        match self {
            Self::Hex => {
                text.len() == 64 && text.bytes().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f'))
            }
            Self::Base64Url => {
                text.len() == 43
                    && text.bytes().all(|b| b.is_ascii_alphanumeric() || b"-_".contains(&b))
            }
        }
    }
}

/// A key. Clones are the same key, also after it was replaced.
#[derive(Clone)]
pub struct HmacKey(Arc<RwLock<Arc<hmac::Key>>>);

impl HmacKey {
    /// `None` if it is too short.
    pub fn new(secret: &[u8]) -> Option<Self> {
        made(secret).map(|key| Self(Arc::new(RwLock::new(key))))
    }

    /// Replaces the key by `secret`; `false` if that is too short.
    pub fn replace(&self, secret: &[u8]) -> bool {
        let Some(key) = made(secret) else { return false };
        *self.0.write() = key;
        true
    }

    pub fn sign(&self, text: &[u8], encoding: Encoding) -> String {
        let key = self.0.read().clone();
        encoding.written(hmac::sign(&key, text).as_ref())
    }
}

fn made(secret: &[u8]) -> Option<Arc<hmac::Key>> {
    (secret.len() >= KEY_LENGTH).then(|| Arc::new(hmac::Key::new(hmac::HMAC_SHA256, secret)))
}

/// Keys are equal if they sign alike.
impl PartialEq for HmacKey {
    fn eq(&self, other: &Self) -> bool {
        self.sign(b"", Encoding::Hex) == other.sign(b"", Encoding::Hex)
    }
}

impl Eq for HmacKey {}

impl fmt::Debug for HmacKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("***")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// RFC 4231 has keys of 32 bytes or more only in its sixth and seventh cases.
    #[test]
    fn it_is_hmac_sha_256_as_rfc_4231_has_it() {
        let key = HmacKey::new(&[0xaa; 131]).unwrap();
        let signed =
            key.sign(b"Test Using Larger Than Block-Size Key - Hash Key First", Encoding::Hex);
        assert_eq!(signed, "60e431591ee0b67f0d8a26aacbf5b77f8e0bc6213728c5140546040f0ee37f54");
        let signed = key.sign(b"", Encoding::Base64Url);
        assert_eq!(signed.len(), 43);
        assert!(Encoding::Base64Url.may_have_written(&signed));
    }

    #[test]
    fn a_key_is_replaced_for_all_its_clones_and_a_short_one_is_none() {
        assert!(HmacKey::new(&[1; KEY_LENGTH - 1]).is_none());
        let key = HmacKey::new(&[1; KEY_LENGTH]).unwrap();
        let clone = key.clone();
        let before = clone.sign(b"a", Encoding::Hex);
        assert!(!key.replace(b"short"));
        assert_eq!(clone.sign(b"a", Encoding::Hex), before);
        assert!(key.replace(&[2; KEY_LENGTH]));
        assert_ne!(clone.sign(b"a", Encoding::Hex), before);
        assert_eq!(format!("{key:?}"), "***");
    }
}

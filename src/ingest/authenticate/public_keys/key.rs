//! A public key read from its PEM text (SPKI): RSA, 2048 to 8192 bits.

use aws_lc_rs::{
    digest::Digest,
    rsa::PublicEncryptingKey,
    signature::{ParsedPublicKey, RSA_PKCS1_2048_8192_SHA256},
};
use base64::{Engine, prelude::BASE64_STANDARD};

const BEGIN: &str = "-----BEGIN PUBLIC KEY-----";
const END: &str = "-----END PUBLIC KEY-----";

#[derive(Debug)]
pub struct PublicKey {
    parsed: ParsedPublicKey,
    der: Box<[u8]>,
}

/// The text is no key that can check signatures.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("not the PEM text of a public RSA key of at least 2048 bits")]
pub struct NotAKey;

impl PublicKey {
    /// Reads one key, with nothing but white space around it.
    pub fn from_pem(text: &[u8]) -> Result<Self, NotAKey> {
        let text = std::str::from_utf8(text).map_err(|_| NotAKey)?.trim();
        let inside = text.strip_prefix(BEGIN).and_then(|t| t.strip_suffix(END)).ok_or(NotAKey)?;
        let base64: String = inside.split_ascii_whitespace().collect();
        Self::from_base64(&base64)
    }

    /// Reads the result of [`PublicKey::to_base64`].
    pub fn from_base64(text: &str) -> Result<Self, NotAKey> {
        let der = BASE64_STANDARD.decode(text).map_err(|_| NotAKey)?;
        // Stricter than the verifier below: SPKI alone, and 2048 to 8192 bits.
        PublicEncryptingKey::from_der(&der).map_err(|_| NotAKey)?;
        let parsed = ParsedPublicKey::new(&RSA_PKCS1_2048_8192_SHA256, &der);
        Ok(Self { parsed: parsed.map_err(|_| NotAKey)?, der: der.into() })
    }

    /// Returns its SPKI, the content of its PEM text.
    pub fn to_base64(&self) -> String {
        BASE64_STANDARD.encode(&self.der)
    }

    /// Returns whether `signature` is this key's over a body with the SHA-256 `digest`.
    pub fn verifies(&self, digest: &Digest, signature: &[u8]) -> bool {
        self.parsed.verify_digest_sig(digest, signature).is_ok()
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use aws_lc_rs::{
        digest::{SHA256, digest},
        encoding::AsDer,
        rand::SystemRandom,
        rsa::{KeyPair, KeySize},
        signature::{KeyPair as _, RSA_PKCS1_SHA256},
    };

    use super::*;

    /// A key pair that signs as Adobe I/O does.
    pub(crate) fn key_pair() -> KeyPair {
        KeyPair::generate(KeySize::Rsa2048).unwrap()
    }

    pub(crate) fn pem(pair: &KeyPair) -> String {
        let der = pair.public_key().as_der().unwrap();
        let base64 = BASE64_STANDARD.encode(der.as_ref());
        let lines: Vec<_> =
            base64.as_bytes().chunks(64).map(|line| std::str::from_utf8(line).unwrap()).collect();
        format!("{BEGIN}\n{}\n{END}\n", lines.join("\n"))
    }

    pub(crate) fn sign(pair: &KeyPair, body: &[u8]) -> Vec<u8> {
        let mut signature = vec![0; pair.public_modulus_len()];
        pair.sign(&RSA_PKCS1_SHA256, &SystemRandom::new(), body, &mut signature).unwrap();
        signature
    }

    #[test]
    fn a_key_verifies_its_own_signatures_and_no_others() {
        let ours = key_pair();
        let theirs = key_pair();
        let key = PublicKey::from_pem(pem(&ours).as_bytes()).unwrap();
        let body = digest(&SHA256, b"body");
        assert!(key.verifies(&body, &sign(&ours, b"body")));
        assert!(!key.verifies(&body, &sign(&ours, b"another body")));
        assert!(!key.verifies(&body, &sign(&theirs, b"body")));
        let mut flipped = sign(&ours, b"body");
        flipped[7] ^= 1;
        assert!(!key.verifies(&body, &flipped));
        for bad in [&b""[..], &[0; 256], &[0xff; 256], &sign(&ours, b"body")[1..]] {
            assert!(!key.verifies(&body, bad));
        }
    }

    #[test]
    fn line_ends_and_white_space_around_a_key_make_no_difference() {
        let pem = pem(&key_pair());
        for text in [pem.replace('\n', "\r\n"), format!("\n {pem}\n\n"), pem.trim_end().to_owned()]
        {
            assert!(PublicKey::from_pem(text.as_bytes()).is_ok(), "{text:?}");
        }
    }

    #[test]
    fn a_key_is_the_same_after_it_was_written_down() {
        let pair = key_pair();
        let key = PublicKey::from_pem(pem(&pair).as_bytes()).unwrap();
        let read = PublicKey::from_base64(&key.to_base64()).unwrap();
        assert!(read.verifies(&digest(&SHA256, b"body"), &sign(&pair, b"body")));
        assert_eq!(PublicKey::from_base64("AAAA").err(), Some(NotAKey));
    }

    #[test]
    fn only_a_public_rsa_key_of_2048_bits_or_more_is_read() {
        let good = pem(&key_pair());
        let inside = good.trim().replace(BEGIN, "").replace(END, "");
        let twice = good.repeat(2);
        let mislabelled = good.replace("PUBLIC KEY", "RSA PUBLIC KEY");
        let cut = good.replacen(&good[40..60], "", 1);
        for text in
            ["", "<html>404</html>", BEGIN, END, &inside, &twice, &mislabelled, &cut, SHORT, EC]
        {
            assert_eq!(PublicKey::from_pem(text.as_bytes()).err(), Some(NotAKey), "{text}");
        }
        assert_eq!(PublicKey::from_pem(b"\xff\xfe").err(), Some(NotAKey));
    }

    /// `openssl genrsa 1024 | openssl rsa -pubout`
    const SHORT: &str = "-----BEGIN PUBLIC KEY-----\n\
MIGfMA0GCSqGSIb3DQEBAQUAA4GNADCBiQKBgQCoDmoOH8ZJcfoI0W1CLWCKI5Lv\n\
J6gBk5DV7ii89HDzXpJ9ItROXqm9fwNR3avlCRsHQpWC+l5yi+mZDVo13715dPxC\n\
L5cWpXNYoWYlIC4m20lJF6dcC+KlnRO25fX59z996/mxT22itRUsa7jtoxnrMraZ\n\
/l6X+fw2+9OZNTiZywIDAQAB\n\
-----END PUBLIC KEY-----";

    /// `openssl ecparam -name prime256v1 -genkey | openssl ec -pubout`
    const EC: &str = "-----BEGIN PUBLIC KEY-----\n\
MFkwEwYHKoZIzj0CAQYIKoZIzj0DAQcDQgAEFnWfRZAh0pSkXMI92kF1dUD7ziux\n\
Uroxbwe7c00ohBrXWv5Aa3u3joouf2UELTVj/v1ajgvxAMnb63hhg9b5CA==\n\
-----END PUBLIC KEY-----";
}

//! Signatures as Adobe I/O makes them: two pairs of RSA keys, independent of each other; each signs
//! the body's raw bytes with PKCS#1 v1.5 over SHA-256.

use std::fmt;

use aws_lc_rs::{
    encoding::AsDer,
    rand::SystemRandom,
    rsa::{KeyPair, KeySize},
    signature::{KeyPair as _, RSA_PKCS1_SHA256},
};
use base64::{Engine as _, engine::general_purpose::STANDARD};

/// The sender's two key pairs, generated for each run.
pub struct Keys([Key; 2]);

struct Key {
    pair: KeyPair,
    file: String,
    pem: String,
}

/// Path of the folder of public keys, on Adobe's host.
pub const KEYS_FOLDER: &str = "/prod/keys/";

#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("cryptography library error")]
pub struct KeyError;

impl Keys {
    /// Generates two pairs whose files are named after `name`, which is letters and digits.
    pub fn generate(name: &str) -> Result<Self, KeyError> {
        Ok(Self([Key::generate(&format!("{name}A"))?, Key::generate(&format!("{name}B"))?]))
    }

    /// Returns the signatures of both keys, in base64.
    pub fn sign(&self, body: &[u8]) -> Result<[String; 2], KeyError> {
        let [one, two] = &self.0;
        Ok([one.sign(body)?, two.sign(body)?])
    }

    /// Returns the paths of both public keys, on Adobe's host.
    pub fn paths(&self) -> [String; 2] {
        self.0.each_ref().map(|key| format!("{KEYS_FOLDER}{}", key.file))
    }

    /// Returns names and contents of the files of both public keys.
    pub fn files(&self) -> [(&str, &str); 2] {
        self.0.each_ref().map(|key| (key.file.as_str(), key.pem.as_str()))
    }
}

impl Key {
    fn generate(name: &str) -> Result<Self, KeyError> {
        let pair = KeyPair::generate(KeySize::Rsa2048).map_err(|_| KeyError)?;
        let public = pair.public_key().as_der().map_err(|_| KeyError)?;
        let pem = pem(public.as_ref());
        Ok(Self { pair, file: format!("pub-key-{name}.pem"), pem })
    }

    fn sign(&self, body: &[u8]) -> Result<String, KeyError> {
        let mut signature = vec![0; self.pair.public_modulus_len()];
        let random = SystemRandom::new();
        let signed = self.pair.sign(&RSA_PKCS1_SHA256, &random, body, &mut signature);
        signed.map_err(|_| KeyError)?;
        Ok(STANDARD.encode(signature))
    }
}

/// Returns SubjectPublicKeyInfo as text.
fn pem(der: &[u8]) -> String {
    let mut text = String::from("-----BEGIN PUBLIC KEY-----\n");
    for (index, letter) in STANDARD.encode(der).chars().enumerate() {
        if index > 0 && index % 64 == 0 {
            text.push('\n');
        }
        text.push(letter);
    }
    text.push_str("\n-----END PUBLIC KEY-----\n");
    text
}

impl fmt::Debug for Keys {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.0.iter().map(|key| &key.file)).finish()
    }
}

#[cfg(test)]
mod tests {
    use aws_lc_rs::signature::{RSA_PKCS1_2048_8192_SHA256, UnparsedPublicKey};

    use super::*;

    #[test]
    fn each_public_key_verifies_its_own_signature_and_not_the_others() {
        let keys = Keys::generate("Test").unwrap();
        let signatures = keys.sign(b"[ {} ]").unwrap().map(|text| STANDARD.decode(text).unwrap());
        for (n, (_, pem)) in keys.files().into_iter().enumerate() {
            let lines: String = pem.lines().filter(|line| !line.starts_with("-----")).collect();
            let der = STANDARD.decode(lines).unwrap();
            let key = UnparsedPublicKey::new(&RSA_PKCS1_2048_8192_SHA256, der);
            assert!(key.verify(b"[ {} ]", &signatures[n]).is_ok());
            assert!(key.verify(b"[{}]", &signatures[n]).is_err(), "other bytes, same JSON");
            assert!(key.verify(b"[ {} ]", &signatures[1 - n]).is_err());
        }
    }

    #[test]
    fn public_keys_have_paths_of_adobes_form_and_debug_shows_no_more() {
        let keys = Keys::generate("AbC123").unwrap();
        let [one, two] = ["A", "B"].map(|n| format!("/prod/keys/pub-key-AbC123{n}.pem"));
        assert_eq!(keys.paths(), [one, two]);
        assert!(format!("{keys:?}").len() < 80);
    }
}

//! Key pairs and signatures of OpenSSL's command line: nothing of ours has a hand in them.

use std::{
    io::Write,
    process::{Command, Stdio},
    sync::LazyLock,
};

use base64::{Engine, prelude::BASE64_STANDARD};

/// A key pair.
pub struct Signer {
    private: String,
    /// SPKI, as PEM.
    pub public: String,
}

/// Made once, since that takes long. Two that Adobe signs with, and one that is somebody else's.
pub static FIRST: LazyLock<Signer> = LazyLock::new(Signer::new);
pub static SECOND: LazyLock<Signer> = LazyLock::new(Signer::new);
pub static STRANGER: LazyLock<Signer> = LazyLock::new(Signer::new);

impl Signer {
    fn new() -> Self {
        let private = text(openssl(&["genrsa", "2048"], b""));
        let public = text(openssl(&["rsa", "-pubout"], private.as_bytes()));
        Self { private, public }
    }

    /// As it stands in a header.
    pub fn sign(&self, body: &[u8]) -> String {
        let mut key = tempfile::NamedTempFile::new().unwrap();
        key.write_all(self.private.as_bytes()).unwrap();
        let path = key.path().to_str().unwrap();
        BASE64_STANDARD.encode(openssl(&["dgst", "-sha256", "-sign", path], body))
    }
}

fn openssl(arguments: &[&str], input: &[u8]) -> Vec<u8> {
    let mut child = Command::new("openssl")
        .args(arguments)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .expect("openssl is installed (tests/setup/packages)");
    child.stdin.take().unwrap().write_all(input).unwrap();
    let output = child.wait_with_output().unwrap();
    assert!(output.status.success(), "openssl {arguments:?}");
    output.stdout
}

fn text(bytes: Vec<u8>) -> String {
    String::from_utf8(bytes).unwrap()
}

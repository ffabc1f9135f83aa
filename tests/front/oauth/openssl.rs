//! Tokens that OpenSSL's command line has signed: keys and signatures that are not by our own library.

use std::{
    path::Path,
    process::{Command, Stdio},
};

use base64::{Engine, prelude::BASE64_STANDARD};
use millrace::ingest::authenticate::moment::Moment;
use serde_json::{Value, json};

use super::{
    deliver, front,
    provider::IdentityProvider,
    signer::{b64, claims, message},
};

fn openssl(folder: &Path, arguments: &[&str]) -> Vec<u8> {
    let output = Command::new("openssl")
        .args(arguments)
        .current_dir(folder)
        .stdin(Stdio::null())
        .output()
        .expect("openssl is installed (tests/setup/packages)");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    output.stdout
}

/// The two integers of `SEQUENCE { INTEGER, INTEGER }`, 32 bytes each.
fn raw_of_der(der: &[u8]) -> Vec<u8> {
    let integer = |at: usize| {
        let length = usize::from(der[at + 1]);
        let value = &der[at + 2..at + 2 + length];
        let value = &value[value.len().saturating_sub(32)..];
        ([&vec![0; 32 - value.len()][..], value].concat(), at + 2 + length)
    };
    let (r, next) = integer(2);
    [r, integer(next).0].concat()
}

struct Case {
    algorithm: &'static str,
    generate: &'static [&'static str],
    sign: &'static [&'static str],
    jwk: fn(&Path, &[u8]) -> Value,
    signature: fn(&[u8]) -> Vec<u8>,
}

const CASES: [Case; 3] = [
    Case {
        algorithm: "RS256",
        generate: &["-algorithm", "RSA", "-pkeyopt", "rsa_keygen_bits:2048"],
        sign: &["dgst", "-sha256", "-sign", "key", "message"],
        jwk: |folder, _| {
            let text = openssl(folder, &["rsa", "-in", "key", "-modulus", "-noout"]);
            let text = String::from_utf8(text).unwrap();
            let hex = text.trim().strip_prefix("Modulus=").unwrap();
            let byte = |at| u8::from_str_radix(&hex[at..at + 2], 16).unwrap();
            let n: Vec<u8> = (0..hex.len()).step_by(2).map(byte).collect();
            json!({ "kty": "RSA", "n": b64(n), "e": "AQAB" })
        },
        signature: <[u8]>::to_vec,
    },
    Case {
        algorithm: "ES256",
        generate: &["-algorithm", "EC", "-pkeyopt", "ec_paramgen_curve:P-256"],
        sign: &["dgst", "-sha256", "-sign", "key", "message"],
        // The point is the end of SubjectPublicKeyInfo; so is the key of Ed25519.
        jwk: |_, spki| {
            let point = &spki[spki.len() - 64..];
            json!({ "kty": "EC", "crv": "P-256", "x": b64(&point[..32]), "y": b64(&point[32..]) })
        },
        signature: raw_of_der,
    },
    Case {
        algorithm: "EdDSA",
        generate: &["-algorithm", "ED25519"],
        sign: &["pkeyutl", "-sign", "-inkey", "key", "-rawin", "-in", "message"],
        jwk: |_, spki| json!({ "kty": "OKP", "crv": "Ed25519", "x": b64(&spki[spki.len() - 32..]) }),
        signature: <[u8]>::to_vec,
    },
];

#[tokio::test]
async fn tokens_that_openssl_has_signed_are_good_and_stop_being_so_when_they_are_changed() {
    for case in CASES {
        let folder = tempfile::tempdir().unwrap();
        let folder = folder.path();
        let generate = [&["genpkey", "-out", "key"], case.generate].concat();
        openssl(folder, &generate);
        let spki = openssl(folder, &["pkey", "-in", "key", "-pubout", "-outform", "DER"]);
        let mut jwk = (case.jwk)(folder, &spki);
        jwk["kid"] = "by-openssl".into();

        let provider = IdentityProvider::start(&[]);
        provider.publish_text(json!({ "keys": [jwk] }).to_string());
        let header = json!({ "alg": case.algorithm, "kid": "by-openssl" });
        let mut claims = claims(&provider.issuer, Moment::now());
        let signed = message(&header, &claims);
        std::fs::write(folder.join("message"), &signed).unwrap();
        let signature = b64((case.signature)(&openssl(folder, case.sign)));

        let front = front(&provider.signed()).await;
        let good = format!("{signed}.{signature}");
        assert_eq!(deliver(&front, &good).await.status, 200, "{}", case.algorithm);
        claims["sub"] = "somebody".into();
        let changed = format!("{}.{signature}", message(&header, &claims));
        assert_eq!(deliver(&front, &changed).await.status, 401, "{}", case.algorithm);
    }
}

#[tokio::test]
async fn hmac_by_openssl_with_the_published_key_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    openssl(folder, &["genpkey", "-out", "key", "-algorithm", "RSA"]);
    let spki = openssl(folder, &["pkey", "-in", "key", "-pubout", "-outform", "DER"]);
    let mut jwk = (CASES[0].jwk)(folder, &spki);
    jwk["kid"] = "by-openssl".into();
    let provider = IdentityProvider::start(&[]);
    provider.publish_text(json!({ "keys": [jwk] }).to_string());
    let header = json!({ "alg": "HS256", "kid": "by-openssl" });
    let signed = message(&header, &claims(&provider.issuer, Moment::now()));
    std::fs::write(folder.join("message"), &signed).unwrap();
    let pem = openssl(folder, &["pkey", "-in", "key", "-pubout"]);
    for key in [spki, pem.clone(), BASE64_STANDARD.encode(pem).into()] {
        let hex: String = key.iter().map(|byte| format!("{byte:02x}")).collect();
        let option = format!("hexkey:{hex}");
        let mac = ["dgst", "-sha256", "-mac", "HMAC", "-macopt", &option, "-binary", "message"];
        let token = format!("{signed}.{}", b64(openssl(folder, &mac)));
        assert_eq!(deliver(&front(&provider.signed()).await, &token).await.status, 401);
    }
}

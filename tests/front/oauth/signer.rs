//! What signs tokens: a key, and how a provider publishes it.

use base64::{Engine, prelude::BASE64_URL_SAFE_NO_PAD};
use jsonwebtoken::{Algorithm, EncodingKey, jwk::Jwk};
use millrace::ingest::authenticate::moment::Moment;
use rcgen::{KeyPair, PKCS_ECDSA_P256_SHA256, PKCS_ED25519, PKCS_RSA_SHA256, PublicKeyData};
use serde_json::{Value, json};

use super::{AUDIENCE, CLIENT};

pub struct Signer {
    pub kid: String,
    pub algorithm: Algorithm,
    key: EncodingKey,
    /// As the provider publishes it.
    pub jwk: Value,
    /// SubjectPublicKeyInfo in PEM.
    pub public_pem: String,
}

impl Signer {
    pub fn rsa(kid: &str) -> Self {
        let pair = KeyPair::generate_for(&PKCS_RSA_SHA256).unwrap();
        let key = EncodingKey::from_rsa_pem(pair.serialize_pem().as_bytes()).unwrap();
        let jwk = serde_json::to_value(Jwk::from_encoding_key(&key, Algorithm::RS256).unwrap());
        Self::new(kid, Algorithm::RS256, key, jwk.unwrap(), &pair)
    }

    pub fn ec(kid: &str) -> Self {
        let pair = KeyPair::generate_for(&PKCS_ECDSA_P256_SHA256).unwrap();
        let key = EncodingKey::from_ec_pem(pair.serialize_pem().as_bytes()).unwrap();
        let point = pair.der_bytes();
        let jwk =
            json!({ "kty": "EC", "crv": "P-256", "x": b64(&point[1..33]), "y": b64(&point[33..]) });
        Self::new(kid, Algorithm::ES256, key, jwk, &pair)
    }

    pub fn ed(kid: &str) -> Self {
        let pair = KeyPair::generate_for(&PKCS_ED25519).unwrap();
        let key = EncodingKey::from_ed_der(&pair.serialize_der());
        let jwk = json!({ "kty": "OKP", "crv": "Ed25519", "x": b64(pair.der_bytes()) });
        Self::new(kid, Algorithm::EdDSA, key, jwk, &pair)
    }

    fn new(
        kid: &str,
        algorithm: Algorithm,
        key: EncodingKey,
        mut jwk: Value,
        pair: &KeyPair,
    ) -> Self {
        jwk["kid"] = kid.into();
        jwk["use"] = "sig".into();
        Self { kid: kid.into(), algorithm, key, jwk, public_pem: pair.public_key_pem() }
    }

    pub fn name(&self) -> &'static str {
        match self.algorithm {
            Algorithm::RS256 => "RS256",
            Algorithm::ES256 => "ES256",
            _ => "EdDSA",
        }
    }

    pub fn header(&self) -> Value {
        json!({ "alg": self.name(), "typ": "JWT", "kid": self.kid })
    }

    /// A token with these claims, which the header says it should have.
    pub fn sign(&self, claims: &Value) -> String {
        self.sign_as(&self.header(), claims, self.algorithm)
    }

    /// Signed by `algorithm`, whatever the header says.
    pub fn sign_as(&self, header: &Value, claims: &Value, algorithm: Algorithm) -> String {
        let message = message(header, claims);
        let signature = jsonwebtoken::crypto::sign(message.as_bytes(), &self.key, algorithm);
        format!("{message}.{}", signature.unwrap())
    }
}

/// Header and claims, ready to be signed.
pub fn message(header: &Value, claims: &Value) -> String {
    format!("{}.{}", b64(header.to_string()), b64(claims.to_string()))
}

pub fn b64(bytes: impl AsRef<[u8]>) -> String {
    BASE64_URL_SAFE_NO_PAD.encode(bytes)
}

/// What a good token of `issuer` says.
pub fn claims(issuer: &str, now: Moment) -> Value {
    json!({
        "iss": issuer, "aud": AUDIENCE, "azp": CLIENT, "sub": CLIENT,
        "iat": now.unix_seconds, "exp": now.unix_seconds + 3600, "scope": "push",
    })
}

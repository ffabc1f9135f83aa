//! Discovery of a provider's keys: at a configured address, or at the one that the provider publishes
//! (OpenID Connect Discovery 1.0, section 4).
//!
//! The published document has to name the configured issuer, and an address whose content cannot be changed on the
//! way: https, or this machine.

use std::fmt;

use reqwest::Url;
use serde::Deserialize;

use super::key_set::KeySet;
use crate::{
    config::is_trustworthy,
    runtime::fetch::{Client, Limits, ShownUrl},
};

const DISCOVERY_PATH: &str = ".well-known/openid-configuration";

pub(super) enum KeysAt {
    Url(Url),
    /// The issuer's name, as in tokens, and the address of its document.
    Issuer {
        name: String,
        document: Url,
    },
}

#[derive(Deserialize)]
struct Document {
    issuer: String,
    jwks_uri: String,
}

impl KeysAt {
    /// Makes it from the configuration, which has checked that `issuer` is an address.
    pub fn new(issuer: &str, keys: Option<&Url>) -> Option<Self> {
        if let Some(url) = keys {
            return Some(Self::Url(url.clone()));
        }
        let document = format!("{}/{DISCOVERY_PATH}", issuer.trim_end_matches('/')).parse().ok()?;
        Some(Self::Issuer { name: issuer.to_owned(), document })
    }

    /// Fetches the keys. The error is for the log.
    pub async fn look_up(&self, client: &Client) -> Result<KeySet, String> {
        let url = match self {
            Self::Url(url) => url.clone(),
            Self::Issuer { name, document } => {
                let body = client.get(document, Limits::SMALL).await.map_err(|e| e.to_string())?;
                published(&body, name)?
            }
        };
        let body = client.get(&url, Limits::SMALL).await.map_err(|e| e.to_string())?;
        KeySet::parse(&body).map_err(|error| format!("{} has {error}", ShownUrl::of(&url)))
    }
}

fn published(body: &[u8], issuer: &str) -> Result<Url, String> {
    let document: Document = serde_json::from_slice(body)
        .map_err(|_| format!("/{DISCOVERY_PATH} lacks issuer or jwks_uri"))?;
    if document.issuer != issuer {
        let named: String = document.issuer.chars().take(200).collect();
        return Err(format!(
            "/{DISCOVERY_PATH} names issuer {named:?}, but {issuer:?} is configured"
        ));
    }
    let keys: Url = document.jwks_uri.parse().map_err(|_| "the jwks_uri is no URL")?;
    match is_trustworthy(&keys) {
        true => Ok(keys),
        false => Err(format!("the jwks_uri {} is not https", ShownUrl::of(&keys))),
    }
}

impl fmt::Display for KeysAt {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Url(url) => ShownUrl::of(url).fmt(f),
            Self::Issuer { document, .. } => ShownUrl::of(document).fmt(f),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_document_is_below_the_issuer_with_or_without_a_slash_at_its_end() {
        for issuer in ["https://id.example.com/tenant", "https://id.example.com/tenant/"] {
            let at = KeysAt::new(issuer, None).unwrap();
            let expected = "https://id.example.com/tenant/.well-known/openid-configuration";
            assert_eq!(at.to_string(), expected);
        }
    }

    #[test]
    fn only_the_configured_issuer_may_name_the_address_of_its_keys() {
        let document = |issuer: &str, keys: &str| {
            let json = serde_json::json!({ "issuer": issuer, "jwks_uri": keys });
            published(json.to_string().as_bytes(), "https://id.example.com")
        };
        let keys = "https://keys.example.com/jwks?p=1";
        assert_eq!(document("https://id.example.com", keys).unwrap().as_str(), keys);
        assert!(document("https://id.example.com/", keys).is_err(), "another name");
        assert!(document("https://id.example.com", "http://keys.example.com/").is_err());
        assert!(document("https://id.example.com", "file:///etc/passwd").is_err());
        assert!(document("https://id.example.com", "keys").is_err());
        assert!(published(b"<html>", "https://id.example.com").is_err());
    }
}

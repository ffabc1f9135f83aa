//! A source `audit` of Adobe I/O's, its key host, and deliveries to it.

use std::{io::Write, sync::Arc, time::Duration};

use flate2::{Compression, write::GzEncoder};
use millrace::{
    config::{Answer, Listen},
    ingest::{
        authenticate::{
            Gate, adobe_signature::AdobeSignature, public_keys::PublicKeys, validation::Validation,
        },
        receive::{AdobeIo, Source, Store},
    },
    observe::metrics::Metrics,
    runtime::fetch::Client,
    source::SourceName,
};

use super::{
    key_host::{KeyHost, Says},
    signer::{FIRST, SECOND, Signer},
};
use crate::support::{Front, Reply};

pub const CLIENT_ID: &str = "our-client-id";
pub const SECOND_CLIENT_ID: &str = "our-other-client-id";
pub const FIRST_PATH: &str = "/prod/keys/pub-key-First1.pem";
pub const SECOND_PATH: &str = "/prod/keys/pub-key-Second2.pem";

/// An event of ours.
pub const EVENT: &str = r#"{"eventid":"77aa","event":{"body":{"specversion":"1.0","type":"com.adobe.platform.marketo.audit.user.email","source":"urn:mlm","data":{"munchkinId":"999-XYZ-000"}}},"recipientclientid":"our-client-id"}"#;

pub struct Rig {
    pub host: KeyHost,
    pub front: Front,
}

impl Rig {
    /// The host has both keys.
    pub async fn start() -> Self {
        // A busy machine is no slow key.
        Self::with(|config| config.request_timeout = Duration::from_secs(20), false).await
    }

    /// `opens` says whether validation URLs are opened: at the key host, in place of Adobe's.
    pub async fn with(change: impl FnOnce(&mut Listen), opens: bool) -> Self {
        let host = KeyHost::start();
        host.says(FIRST_PATH, Says::text(&FIRST.public));
        host.says(SECOND_PATH, Says::text(&SECOND.public));
        let client = Client::new().unwrap();
        let validate_at = format!("{}csm/registrations/validate", host.url);
        let url = host.url.clone();
        let source = |store: Arc<dyn Store>, metrics: &Metrics| {
            let name = SourceName::new("audit").unwrap();
            let keys = PublicKeys::of_host(client.clone(), url, metrics);
            let opens = opens.then_some(client);
            let validation = Validation::at(&validate_at, name.clone(), opens, metrics);
            let client_ids = [CLIENT_ID, SECOND_CLIENT_ID].map(str::to_owned);
            Source {
                name,
                gate: Gate { signature: Some(AdobeSignature::new(keys)), ..Gate::default() },
                adobe: Some(AdobeIo::new(client_ids, validation)),
                store,
                answer: Answer::Stored,
            }
        };
        let front = Front::of(change, source).await;
        Self { host, front }
    }

    /// Delivers `body` with these header lines.
    pub async fn post(&self, headers: &[String], body: &[u8]) -> Reply {
        let mut sender = self.front.connect().await;
        let mut head = "POST /v1/audit HTTP/1.1\r\nhost: here\r\n".to_owned();
        for line in headers {
            head += &format!("{line}\r\n");
        }
        sender.send(format!("{head}content-length: {}\r\n\r\n", body.len())).await;
        sender.send(body).await;
        sender.reply().await
    }

    /// Delivers `body`, signed by both keys.
    pub async fn deliver(&self, body: impl AsRef<[u8]>) -> Reply {
        self.post(&signed(body.as_ref()), body.as_ref()).await
    }

    pub async fn get(&self, target: &str) -> Reply {
        self.front.ask(&format!("GET {target} HTTP/1.1\r\nhost: here\r\n\r\n")).await
    }

    pub fn count(&self, outcome: &str) -> u64 {
        self.front.deliveries("audit", outcome)
    }
}

/// The headers of Adobe I/O, by both keys.
pub fn signed(body: &[u8]) -> Vec<String> {
    [pair(1, &FIRST, FIRST_PATH, body), pair(2, &SECOND, SECOND_PATH, body)].concat()
}

/// The headers of one of the two pairs.
pub fn pair(number: u8, signer: &Signer, path: &str, body: &[u8]) -> Vec<String> {
    presented(number, &signer.sign(body), path)
}

pub fn presented(number: u8, signature: &str, path: &str) -> Vec<String> {
    vec![
        format!("x-adobe-digital-signature-{number}: {signature}"),
        format!("x-adobe-public-key{number}-path: {path}"),
    ]
}

pub fn gzip(body: &[u8]) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::default());
    encoder.write_all(body).unwrap();
    encoder.finish().unwrap()
}

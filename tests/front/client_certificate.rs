//! mTLS: whose certificate admits whom.

use std::fs;

use millrace::{
    config::{Answer, CertificateAuth},
    ingest::{
        authenticate::{Gate, certificate::Certificate, token::Tokens, validation::Validation},
        receive::{AdobeIo, Source},
    },
    source::SourceName,
};

use crate::{
    authority::{Authority, Mount, Pair, VERSIONS},
    support::{Front, TOKEN, auth, eventually},
};

/// Instead of a token.
const NO_TOKEN: &str = "";

struct Rig {
    /// Of the server and of good clients.
    authority: Authority,
    mount: Mount,
    front: Front,
}

impl Rig {
    /// A front that asks for certificates and takes those of `sender.example.com`, or of the URI
    /// `spiffe://example.com/sender`.
    async fn start() -> Self {
        let authority = Authority::new();
        let mount = Mount::with(&authority.server());
        let names = ["sender.example.com", "spiffe://example.com/sender"].map(str::to_owned);
        let certificate = Certificate::new(&CertificateAuth { names: names.into() });
        let gate = Gate { certificate: Some(certificate), ..Gate::default() };
        let tls = mount.tls(Some(&authority));
        let front = Front::guarded(gate, |config| config.tls = Some(tls)).await;
        Self { authority, mount, front }
    }

    /// What a delivery with this certificate and without a token comes to, the same in both versions
    /// of TLS and of HTTP.
    async fn deliver(&self, own: Option<&Pair>) -> Result<u16, String> {
        self.deliver_with(own, NO_TOKEN).await
    }

    async fn deliver_with(&self, own: Option<&Pair>, token: &str) -> Result<u16, String> {
        let mut client = self.authority.trusting(own);
        let mut results = Vec::new();
        for versions in VERSIONS {
            for alpn in ["http/1.1", "h2"] {
                (client.versions, client.alpn) = (versions, alpn);
                results.push(client.deliver(&self.front, token).await);
            }
        }
        let all_the_same = results.windows(2).all(|two| match (&two[0], &two[1]) {
            (Ok(a), Ok(b)) => a == b,
            (a, b) => a.is_err() && b.is_err(),
        });
        assert!(all_the_same, "{results:?}");
        results.pop().unwrap()
    }
}

#[tokio::test]
async fn a_configured_name_admits_as_dns_name_uri_or_common_name() {
    let rig = Rig::start().await;
    let good = [
        rig.authority.client("", &["sender.example.com"]),
        rig.authority.client("", &["other.example.com", "sender.example.com"]),
        rig.authority.client("sender.example.com", &[]),
        rig.authority.client_by_uri("spiffe://example.com/sender"),
    ];
    for pair in &good {
        assert_eq!(rig.deliver(Some(pair)).await, Ok(200));
    }
}

#[tokio::test]
async fn another_name_of_the_same_authority_admits_nobody() {
    let rig = Rig::start().await;
    let bad = [
        rig.authority.client("", &["other.example.com"]),
        rig.authority.client("", &["sub.sender.example.com"]),
        rig.authority.client("", &["*.example.com"]),
        rig.authority.client_by_uri("spiffe://example.com/sender/more"),
    ];
    for pair in &bad {
        assert_eq!(rig.deliver(Some(pair)).await, Ok(401));
    }
    assert!(rig.front.store.stored().is_empty());
}

#[tokio::test]
async fn without_a_certificate_there_are_still_the_other_ways_in() {
    let rig = Rig::start().await;
    assert_eq!(rig.deliver(None).await, Ok(401));
    assert_eq!(rig.deliver_with(None, TOKEN).await, Ok(200));
    let other_name = rig.authority.client("", &["other.example.com"]);
    assert_eq!(rig.deliver_with(Some(&other_name), TOKEN).await, Ok(200));
}

#[tokio::test]
async fn a_certificate_of_another_authority_or_out_of_its_time_ends_the_handshake() {
    let rig = Rig::start().await;
    let bad = [
        Authority::new().client("", &["sender.example.com"]),
        rig.authority.expired_client("sender.example.com"),
    ];
    for (tries, pair) in (1..).zip(&bad) {
        assert!(rig.deliver(Some(pair)).await.is_err());
        // Even with a good token: the sender shall learn that its certificate is no good.
        assert!(rig.deliver_with(Some(pair), TOKEN).await.is_err());
        eventually(|| rig.front.refused("client-certificate") == tries * 8).await;
    }
    assert!(rig.front.store.stored().is_empty());
}

#[tokio::test]
async fn a_server_certificate_is_no_clients_certificate() {
    let rig = Rig::start().await;
    let mut params = rcgen::CertificateParams::new(vec!["sender.example.com".to_owned()]).unwrap();
    params.extended_key_usages = vec![rcgen::ExtendedKeyUsagePurpose::ServerAuth];
    assert!(rig.deliver(Some(&rig.authority.issue(params))).await.is_err());
}

#[tokio::test]
async fn another_authority_is_taken_up_with_its_file_and_no_session_outlives_it() {
    let rig = Rig::start().await;
    let (old, next) = (rig.authority.client("", &["sender.example.com"]), Authority::new());
    assert_eq!(rig.deliver(Some(&old)).await, Ok(200));
    fs::write(rig.mount.path("ca.crt"), next.pem()).unwrap();
    let done = || rig.front.metrics.reloads.with_label_values(&["listen.tls", "done"]).get();
    eventually(|| done() == 1).await;
    assert!(rig.deliver(Some(&old)).await.is_err());
    let new = next.client("", &["sender.example.com"]);
    assert_eq!(rig.deliver(Some(&new)).await, Ok(200));
}

/// Adobe I/O's certificate is the same for all of its customers, as its signatures are; a token is not.
#[tokio::test]
async fn adobe_io_by_its_certificate_must_mean_us_and_who_has_our_token_does() {
    const OURS: &str = r#"{"specversion":"1.0","type":"t","source":"s","recipientclientid":"us"}"#;
    const FOREIGN: &str =
        r#"{"specversion":"1.0","type":"t","source":"s","recipientclientid":"others"}"#;
    const UNNAMED: &str = r#"{"specversion":"1.0","type":"t","source":"s"}"#;
    let authority = Authority::new();
    let mount = Mount::with(&authority.server());
    let tls = mount.tls(Some(&authority));
    let names = vec!["adobe.example.com".to_owned()];
    let source = |store, metrics: &_| {
        let name = SourceName::new("leads").unwrap();
        let validation = Validation::at("https://csm.test/", name.clone(), None, metrics);
        Source {
            name,
            gate: Gate {
                certificate: Some(Certificate::new(&CertificateAuth { names })),
                tokens: Some(Tokens::new(&auth(None))),
                ..Gate::default()
            },
            adobe: Some(AdobeIo::new(["us".to_owned()], validation)),
            store,
            answer: Answer::Stored,
        }
    };
    let front = Front::of(|config| config.tls = Some(tls), source).await;
    let adobe = authority.trusting(Some(&authority.client("", &["adobe.example.com"])));
    for (body, status) in [(OURS, 200), (FOREIGN, 503), (UNNAMED, 503)] {
        assert_eq!(adobe.deliver_body(&front, NO_TOKEN, body).await, Ok(status), "{body}");
    }

    let known = authority.trusting(None);
    assert_eq!(known.deliver_body(&front, NO_TOKEN, OURS).await, Ok(401));
    assert_eq!(known.deliver_body(&front, TOKEN, UNNAMED).await, Ok(200));
    assert_eq!(front.store.bodies(), [OURS.as_bytes(), UNNAMED.as_bytes()]);
}

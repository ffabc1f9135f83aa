//! Refusals of client certificates, over TLS.

use std::net::SocketAddr;

use reqwest::{Certificate, Client, Identity};

use super::{cases::PERSONAL, is_told, nothing_leaks, status_of};
use crate::{
    issued::{Authority, Pair},
    support::Service,
};

/// Those that a request meets that was read. The certificate of another authority ends the connection before.
pub const REASONS: [&str; 2] = ["no-certificate", "certificate-name"];

fn client(authority: &Authority, own: Option<&Pair>, deliveries: SocketAddr) -> Client {
    let root = Certificate::from_pem(authority.pem().as_bytes()).unwrap();
    let client = Client::builder().no_proxy().resolve("localhost", deliveries);
    let client = client.tls_certs_only([root]);
    let client = match own {
        None => client,
        Some(pair) => {
            let pem = format!("{}{}", pair.certificate, pair.key);
            client.identity(Identity::from_pem(pem.as_bytes()).unwrap())
        }
    };
    client.build().unwrap()
}

#[tokio::test]
async fn a_certificate_that_is_missing_of_another_name_or_of_another_authority_is_told_as_such() {
    let (authority, folder) = (Authority::new(), tempfile::tempdir().unwrap());
    let path = |name: &str| folder.path().join(name).to_str().unwrap().to_owned();
    let server = authority.server();
    std::fs::write(path("tls.crt"), &server.certificate).unwrap();
    std::fs::write(path("tls.key"), &server.key).unwrap();
    std::fs::write(path("ca.crt"), authority.pem()).unwrap();
    let service = Service::start(&[
        ("LISTEN__TLS__CERTIFICATE_FILE", &path("tls.crt")),
        ("LISTEN__TLS__KEY_FILE", &path("tls.key")),
        ("LISTEN__TLS__CLIENT_CA_FILE", &path("ca.crt")),
        ("SOURCES__MUTUAL__KIND", "marketo-lead-activity"),
        ("SOURCES__MUTUAL__AUTH__CERTIFICATE__NAMES", "sender.example.com"),
    ]);
    let deliveries: SocketAddr = service.deliveries.parse().unwrap();
    let deliver = async |own: Option<&Pair>| {
        let url = format!("https://localhost:{}/v1/mutual", deliveries.port());
        let request = client(&authority, own, deliveries).post(url).body(PERSONAL);
        request.send().await
    };

    for (reason, own) in [
        ("no-certificate", None),
        ("certificate-name", Some(authority.client("", &["other.example.com"]))),
    ] {
        let answer = deliver(own.as_ref()).await.unwrap();
        assert_eq!(answer.status().as_u16(), status_of("bad-credentials"), "{reason}");
        is_told(&service, "mutual", reason, 401).await;
    }

    let other = Authority::new().client("", &["sender.example.com"]);
    deliver(Some(&other)).await.unwrap_err();
    is_told(&service, "unknown", "client-certificate", 0).await;
    nothing_leaks(&service, &["other.example.com".into()]).await;
}

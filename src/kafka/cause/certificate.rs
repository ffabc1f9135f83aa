//! Faults of a broker's certificate: the name, the time, or the issuer. The library only says that it does not accept
//! the certificate. A handshake of its own fetches it; nothing is sent after that.

use std::{
    io::Read,
    net::{TcpStream, ToSocketAddrs},
    sync::Arc,
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use parking_lot::Mutex;
use rustls::{
    ClientConfig, ClientConnection, DigitallySignedStruct, SignatureScheme, Stream,
    client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier},
    crypto::{CryptoProvider, aws_lc_rs},
    pki_types::{CertificateDer, ServerName, UnixTime},
};
use x509_parser::{extensions::GeneralName, prelude::*};

/// Timeout of the connection, and of each step of the handshake.
const STEP_TIMEOUT: Duration = Duration::from_secs(3);
/// Limit of a certificate's names in the message.
const MAX_NAMES: usize = 8;

/// Describes the fault; `None` where no certificate comes.
pub(super) fn what_is_wrong(host: &str, port: u16) -> Option<String> {
    let certificate = fetch(host, port)?;
    let (_, certificate) = X509Certificate::from_der(&certificate).ok()?;
    let now = SystemTime::now().duration_since(UNIX_EPOCH).ok()?.as_secs() as i64;
    let validity = certificate.validity();
    if validity.not_after.timestamp() < now {
        return Some(format!(
            "the broker's certificate expired ({}): have it renewed",
            validity.not_after
        ));
    }
    if validity.not_before.timestamp() > now {
        let from = validity.not_before;
        return Some(format!(
            "the broker's certificate is not valid before {from}: check the clocks"
        ));
    }
    let names = names(&certificate);
    if !names.iter().any(|name| is_for(name, host)) {
        let told: Vec<_> = names.iter().take(MAX_NAMES).map(String::as_str).collect();
        let told = if told.is_empty() { "no name at all".to_owned() } else { told.join(", ") };
        return Some(format!(
            "the broker's certificate is for {told} and not for `{host}`: write a name that is in it into \
             kafka.bootstrap_servers (and have the brokers advertise such names), or have a certificate \
             made for `{host}`"
        ));
    }
    let issuer = certificate.issuer().to_string().chars().take(200).collect::<String>();
    Some(format!(
        "the broker's certificate is for `{host}` and valid now, but its issuer ({issuer}) is not \
         trusted here: name the certificate of that authority in ssl.ca.location"
    ))
}

fn fetch(host: &str, port: u16) -> Option<Vec<u8>> {
    let addresses = (host, port).to_socket_addrs().ok()?;
    let mut tcp =
        addresses.into_iter().find_map(|at| TcpStream::connect_timeout(&at, STEP_TIMEOUT).ok())?;
    tcp.set_read_timeout(Some(STEP_TIMEOUT)).ok()?;
    tcp.set_write_timeout(Some(STEP_TIMEOUT)).ok()?;
    let seen = Arc::new(Seen::default());
    let provider = Arc::new(aws_lc_rs::default_provider());
    let config = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .ok()?
        .dangerous()
        .with_custom_certificate_verifier(seen.clone())
        .with_no_client_auth();
    let name = ServerName::try_from(host.to_owned()).ok()?;
    let mut tls = ClientConnection::new(Arc::new(config), name).ok()?;
    // The handshake ends as soon as the certificate was seen, so its result does not matter.
    let _ = Stream::new(&mut tls, &mut tcp).read(&mut [0]);
    seen.certificate.lock().take()
}

/// Names in a certificate; the common name where it has no alternative names.
fn names(certificate: &X509Certificate<'_>) -> Vec<String> {
    let names = certificate.subject_alternative_name().ok().flatten();
    if let Some(names) = names {
        let name = |name: &GeneralName<'_>| match name {
            GeneralName::DNSName(name) => Some((*name).to_owned()),
            GeneralName::IPAddress(bytes) => {
                let v4 =
                    <[u8; 4]>::try_from(*bytes).map(|it| std::net::IpAddr::from(it).to_string());
                let v6 =
                    <[u8; 16]>::try_from(*bytes).map(|it| std::net::IpAddr::from(it).to_string());
                v4.or(v6).ok()
            }
            _ => None,
        };
        return names.value.general_names.iter().filter_map(name).collect();
    }
    let common = certificate.subject().iter_common_name();
    common.filter_map(|name| name.as_str().ok()).map(str::to_owned).collect()
}

/// Whether a name in a certificate covers `host`. A star stands for the first label.
fn is_for(name: &str, host: &str) -> bool {
    let of_star = || Some((name.strip_prefix("*.")?, host.split_once('.')?.1));
    name.eq_ignore_ascii_case(host)
        || of_star().is_some_and(|(name, host)| name.eq_ignore_ascii_case(host))
}

/// A verifier that keeps the certificate and refuses it.
#[derive(Debug, Default)]
struct Seen {
    certificate: Mutex<Option<Vec<u8>>>,
}

impl ServerCertVerifier for Seen {
    fn verify_server_cert(
        &self,
        certificate: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        _: &[u8],
        _: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        *self.certificate.lock() = Some(certificate.to_vec());
        Err(rustls::Error::General("it was only looked at".into()))
    }

    fn verify_tls12_signature(
        &self,
        _: &[u8],
        _: &CertificateDer<'_>,
        _: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        Err(rustls::Error::General("it was only looked at".into()))
    }

    fn verify_tls13_signature(
        &self,
        _: &[u8],
        _: &CertificateDer<'_>,
        _: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        Err(rustls::Error::General("it was only looked at".into()))
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        let provider: CryptoProvider = aws_lc_rs::default_provider();
        provider.signature_verification_algorithms.supported_schemes()
    }
}

#[cfg(test)]
mod tests {
    use std::{net::TcpListener, thread};

    use rcgen::{CertificateParams, KeyPair, date_time_ymd};
    use rustls::{ServerConfig, ServerConnection, pki_types::PrivatePkcs8KeyDer};

    use super::*;

    /// A port that presents a certificate for `name`, once.
    fn showing(name: &str, until: i32) -> u16 {
        let key = KeyPair::generate().unwrap();
        let mut params = CertificateParams::new([name.to_owned()]).unwrap();
        params.not_before = date_time_ymd(2001, 1, 1);
        params.not_after = date_time_ymd(until, 1, 1);
        let certificate = params.self_signed(&key).unwrap();
        let key = PrivatePkcs8KeyDer::from(key.serialize_der());
        let config = ServerConfig::builder_with_provider(Arc::new(aws_lc_rs::default_provider()))
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_no_client_auth()
            .with_single_cert(vec![certificate.der().clone()], key.into())
            .unwrap();
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        thread::spawn(move || {
            let (mut tcp, _) = listener.accept().unwrap();
            let mut tls = ServerConnection::new(Arc::new(config)).unwrap();
            let _ = Stream::new(&mut tls, &mut tcp).read(&mut [0]);
        });
        port
    }

    #[test]
    fn the_name_the_time_and_the_authority_are_told_apart() {
        for (name, until, said) in [
            ("broker.test", 2090, "is for broker.test and not for `127.0.0.1`"),
            ("127.0.0.1", 2090, "is not trusted here: name the certificate"),
            ("127.0.0.1", 2002, "certificate expired"),
        ] {
            let told = what_is_wrong("127.0.0.1", showing(name, until)).unwrap();
            assert!(told.contains(said), "{told}");
        }
        let gone = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
        assert_eq!(what_is_wrong("127.0.0.1", gone), None);
    }

    #[test]
    fn a_star_stands_for_one_part_of_a_name() {
        assert!(is_for("*.kafka.test", "b1.kafka.test") && is_for("B1.test", "b1.test"));
        assert!(!is_for("*.kafka.test", "a.b1.kafka.test") && !is_for("*.test", "test"));
    }
}

//! A client certificate (mTLS), known by its names.
//!
//! The TLS handshake has checked that the certificate is valid now and was issued by the configured authority
//! (`listen.tls.client_ca_file`). The source only checks its names. They are compared as they stand, without
//! patterns and without regard to the kind of name: the authority vouches for the alternative names (DNS and URI)
//! and for the subject's common name alike.

use std::collections::BTreeSet;

use x509_parser::{
    certificate::X509Certificate, extensions::GeneralName, prelude::FromDer, x509::X509Name,
};

use super::{KnownTo, Proof};
use crate::config::CertificateAuth;

/// The names in a certificate that the handshake has verified, as an extension of each request on
/// that connection.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Presented(BTreeSet<String>);

impl Presented {
    /// Reads the names of a verified certificate in DER. One that cannot be read has none.
    pub fn in_certificate(der: &[u8]) -> Self {
        let Ok((_, certificate)) = X509Certificate::from_der(der) else {
            return Self(BTreeSet::new());
        };
        let mut names: BTreeSet<_> = common_names(certificate.subject()).collect();
        if let Ok(Some(alternatives)) = certificate.subject_alternative_name() {
            names.extend(alternatives.value.general_names.iter().filter_map(|name| match name {
                GeneralName::DNSName(name) | GeneralName::URI(name) => Some((*name).to_owned()),
                _ => None,
            }));
        }
        Self(names)
    }
}

fn common_names<'a>(subject: &'a X509Name<'_>) -> impl Iterator<Item = String> + 'a {
    subject.iter_common_name().filter_map(|name| name.as_str().ok().map(str::to_owned))
}

/// The names that a source accepts.
pub struct Certificate {
    names: BTreeSet<String>,
}

impl Certificate {
    pub fn new(auth: &CertificateAuth) -> Self {
        Self { names: auth.names.iter().cloned().collect() }
    }

    /// Returns the proof, if the connection of a request has presented one of the names.
    pub fn authenticate(&self, presented: Option<&Presented>) -> Option<Proof> {
        match presented {
            Some(Presented(names)) if !self.names.is_disjoint(names) => {
                Some(Proof::of(KnownTo::AllCustomers))
            }
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use rcgen::{CertificateParams, DnType, KeyPair, SanType};

    use super::*;

    fn presented(common_name: &str, dns: &[&str], uri: &[&str]) -> Presented {
        let mut params = CertificateParams::new(Vec::<String>::new()).unwrap();
        params.distinguished_name.push(DnType::CommonName, common_name);
        let dns = dns.iter().map(|name| SanType::DnsName((*name).try_into().unwrap()));
        let uri = uri.iter().map(|name| SanType::URI((*name).try_into().unwrap()));
        params.subject_alt_names = dns.chain(uri).collect();
        let key = KeyPair::generate().unwrap();
        Presented::in_certificate(params.self_signed(&key).unwrap().der())
    }

    fn admits(name: &str, presented: &Presented) -> bool {
        let names = vec![name.to_owned()];
        Certificate::new(&CertificateAuth { names }).authenticate(Some(presented)).is_some()
    }

    #[test]
    fn any_of_its_names_admits_a_certificate() {
        let presented = presented(
            "events",
            &["mtls.example.com", "other.example.com"],
            &["spiffe://example.com/events"],
        );
        for name in
            ["events", "mtls.example.com", "other.example.com", "spiffe://example.com/events"]
        {
            assert!(admits(name, &presented), "{name}");
        }
    }

    #[test]
    fn names_are_compared_as_they_stand() {
        let presented = presented("events", &["*.example.com", "a.example.org"], &[]);
        for name in ["event", "events2", "a.example.com", "example.org", "A.example.org", ""] {
            assert!(!admits(name, &presented), "{name}");
        }
    }

    #[test]
    fn a_missing_nameless_or_unreadable_certificate_admits_no_request() {
        let certificate = Certificate::new(&CertificateAuth { names: vec!["events".into()] });
        assert!(certificate.authenticate(None).is_none());
        assert!(!admits("events", &presented("", &[], &[])));
        let unreadable = Presented::in_certificate(b"no certificate");
        assert!(certificate.authenticate(Some(&unreadable)).is_none());
    }
}

//! Reads the files into rustls' configuration: the certificate and its key, which must fit each other, and the
//! authority of clients' certificates.
//!
//! No error quotes a file: a line that is no PEM may be half of a key.

use std::{
    fs::File,
    io::Read,
    path::{Path, PathBuf},
    sync::Arc,
    time::SystemTime,
};

use ::aws_lc_rs::digest;
use rustls::{
    RootCertStore, ServerConfig,
    crypto::{CryptoProvider, aws_lc_rs},
    pki_types::{CertificateDer, PrivateKeyDer, pem::PemObject},
    server::{NoServerSessionStorage, WebPkiClientVerifier, danger::ClientCertVerifier},
    sign::{CertifiedKey, SingleCertAndKey},
    version::{TLS12, TLS13},
};

use super::expiry::Validity;
use crate::config;

/// Bytes that are read of a file: more than any chain has, and most bundles of authorities.
const MAX_FILE_BYTES: u64 = 4 * 1024 * 1024;

/// A mistake in one of the files.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{key} names `{}`, which {problem}", path.display())]
pub struct TlsError {
    /// Configuration key of the file.
    pub key: &'static str,
    pub path: PathBuf,
    /// The rest of the sentence after "which".
    pub problem: String,
}

/// Content of a set of files.
pub(super) struct Material {
    pub server: Arc<ServerConfig>,
    pub validity: Validity,
    /// Digest of the files' bytes: it changes when their content does.
    pub digest: [u8; 32],
}

impl Material {
    pub fn read(files: &config::Tls) -> Result<Self, TlsError> {
        let certificate = Source::read("listen.tls.certificate_file", &files.certificate_file)?;
        let key = Source::read("listen.tls.key_file", &files.key_file)?;
        let authority = files.client_ca_file.as_deref();
        let authority = authority.map(|path| Source::read("listen.tls.client_ca_file", path));
        let authority = authority.transpose()?;

        let provider = Arc::new(aws_lc_rs::default_provider());
        let chain = certificate.certificates()?;
        let validity = Validity::of(&chain).ok_or_else(|| certificate.wrong(UNREADABLE))?;
        let identity = identity(chain, &certificate, &key, &provider)?;
        let verifier = authority.as_ref().map(|authority| verifier(authority, &provider));
        let server = server(identity, verifier.transpose()?, provider);

        let mut digest = digest::Context::new(&digest::SHA256);
        for source in [Some(&certificate), Some(&key), authority.as_ref()].into_iter().flatten() {
            digest.update(&(source.bytes.len() as u64).to_le_bytes());
            digest.update(&source.bytes);
        }
        Ok(Self {
            server: Arc::new(server),
            validity,
            digest: digest.finish().as_ref().try_into().expect("32 bytes"),
        })
    }
}

/// Returns all mistakes in the files.
pub(super) fn mistakes(files: &config::Tls, now: SystemTime) -> Vec<TlsError> {
    let provider = Arc::new(aws_lc_rs::default_provider());
    let mut mistakes = Vec::new();
    let key = Source::read("listen.tls.key_file", &files.key_file);
    let certificate = Source::read("listen.tls.certificate_file", &files.certificate_file);
    let chain = certificate.and_then(|source| {
        let chain = source.certificates()?;
        mistakes.extend(source.in_time(&chain, now).err());
        Ok((source, chain))
    });
    match (chain, key) {
        (Ok((certificate, chain)), Ok(key)) => {
            mistakes.extend(identity(chain, &certificate, &key, &provider).err());
        }
        (chain, key) => {
            mistakes.extend(chain.err());
            mistakes.extend(key.and_then(|key| key.private_key().map(drop)).err());
        }
    }
    if let Some(path) = files.client_ca_file.as_deref() {
        let authority = Source::read("listen.tls.client_ca_file", path);
        let verifier = authority.and_then(|authority| verifier(&authority, &provider).map(drop));
        mistakes.extend(verifier.err());
    }
    mistakes
}

/// Checks that the certificates in `path` are valid at `now`. A file that cannot be read passes: other checks report
/// it.
pub(super) fn check_time(key: &'static str, path: &Path, now: SystemTime) -> Result<(), TlsError> {
    let Ok(source) = Source::read(key, path) else { return Ok(()) };
    let Ok(chain) = source.certificates() else { return Ok(()) };
    source.in_time(&chain, now)
}

const UNREADABLE: &str = "holds a certificate that cannot be read";

fn identity(
    chain: Vec<CertificateDer<'static>>,
    certificate: &Source<'_>,
    key: &Source<'_>,
    provider: &CryptoProvider,
) -> Result<CertifiedKey, TlsError> {
    let private = key.private_key()?;
    CertifiedKey::from_der(chain, private, provider).map_err(|error| match error {
        rustls::Error::InconsistentKeys(_) => {
            let path = certificate.path.display();
            key.wrong(&format!("contains a key that does not match the certificate in `{path}`"))
        }
        rustls::Error::InvalidCertificate(_) => certificate.wrong(UNREADABLE),
        _ => key.wrong("holds a private key of a kind that cannot be used"),
    })
}

fn verifier(
    authority: &Source<'_>,
    provider: &Arc<CryptoProvider>,
) -> Result<Arc<dyn ClientCertVerifier>, TlsError> {
    let mut roots = RootCertStore::empty();
    for certificate in authority.certificates()? {
        roots.add(certificate).map_err(|_| authority.wrong(UNREADABLE))?;
    }
    WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider.clone())
        .allow_unauthenticated()
        .build()
        .map_err(|error| {
            authority.wrong(&format!("cannot be used as a certificate authority: {error}"))
        })
}

fn server(
    identity: CertifiedKey,
    verifier: Option<Arc<dyn ClientCertVerifier>>,
    provider: Arc<CryptoProvider>,
) -> ServerConfig {
    let builder = ServerConfig::builder_with_provider(provider)
        .with_protocol_versions(&[&TLS13, &TLS12])
        .expect("the provider has cipher suites of both versions");
    let identity = Arc::new(SingleCertAndKey::from(identity));
    let mut server = match verifier {
        None => builder.with_no_client_auth().with_cert_resolver(identity),
        Some(verifier) => {
            let mut server =
                builder.with_client_cert_verifier(verifier).with_cert_resolver(identity);
            // A resumed session would bring a certificate that is not checked again.
            server.session_storage = Arc::new(NoServerSessionStorage {});
            server.send_tls13_tickets = 0;
            server
        }
    };
    server.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
    server
}

/// A file that was read.
struct Source<'a> {
    key: &'static str,
    path: &'a Path,
    bytes: Vec<u8>,
}

impl<'a> Source<'a> {
    fn read(key: &'static str, path: &'a Path) -> Result<Self, TlsError> {
        let mut source = Self { key, path, bytes: Vec::new() };
        File::open(path)
            .and_then(|file| file.take(MAX_FILE_BYTES + 1).read_to_end(&mut source.bytes))
            .map_err(|error| source.wrong(&format!("cannot be read: {error}")))?;
        if source.bytes.len() as u64 > MAX_FILE_BYTES {
            return Err(source.wrong("is larger than certificates are"));
        }
        Ok(source)
    }

    fn certificates(&self) -> Result<Vec<CertificateDer<'static>>, TlsError> {
        let certificates: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(&self.bytes).collect();
        match certificates {
            Ok(certificates) if !certificates.is_empty() => Ok(certificates),
            Ok(_) => Err(self.wrong("holds no certificate in PEM")),
            Err(_) => Err(self.wrong("is no PEM, or only a part of it")),
        }
    }

    fn private_key(&self) -> Result<PrivateKeyDer<'static>, TlsError> {
        PrivateKeyDer::from_pem_slice(&self.bytes).map_err(|_| {
            self.wrong("holds no private key in PEM (an encrypted one cannot be used)")
        })
    }

    fn in_time(&self, chain: &[CertificateDer<'_>], now: SystemTime) -> Result<(), TlsError> {
        let validity = Validity::of(chain).ok_or_else(|| self.wrong(UNREADABLE))?;
        validity.at(now).map_err(|problem| self.wrong(&problem))
    }

    fn wrong(&self, problem: &str) -> TlsError {
        TlsError { key: self.key, path: self.path.into(), problem: problem.into() }
    }
}

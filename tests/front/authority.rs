//! A mounted folder that holds certificates, and clients that trust their authority.

use std::{
    fs,
    os::unix::fs::symlink,
    path::{Path, PathBuf},
    sync::{Arc, atomic::AtomicUsize, atomic::Ordering},
};

use http_body_util::Full;
use hyper_util::rt::{TokioExecutor, TokioIo};
use millrace::config;
use rustls::{
    ClientConfig, RootCertStore, SupportedProtocolVersion,
    crypto::aws_lc_rs,
    pki_types::{PrivateKeyDer, ServerName},
    version::{TLS12, TLS13},
};
use tempfile::TempDir;
use tokio::net::TcpStream;
use tokio_rustls::{TlsConnector, client::TlsStream};

pub use crate::issued::{Authority, Pair};
use crate::support::{Front, http2_post, status_and_text, within};

type Der = (rustls::pki_types::CertificateDer<'static>, PrivateKeyDer<'static>);

impl Authority {
    /// A client that trusts this authority, and may have a certificate of its own.
    pub fn trusting(&self, own: Option<&Pair>) -> Client {
        let mut roots = RootCertStore::empty();
        roots.add(self.root()).unwrap();
        Client { roots, own: own.map(Pair::der), versions: rustls::ALL_VERSIONS, alpn: "http/1.1" }
    }
}

impl Pair {
    fn der(&self) -> Der {
        use rustls::pki_types::pem::PemObject;
        let certificate = PemObject::from_pem_slice(self.certificate.as_bytes()).unwrap();
        (certificate, PrivateKeyDer::from_pem_slice(self.key.as_bytes()).unwrap())
    }
}

/// Each version alone.
pub const VERSIONS: [&[&SupportedProtocolVersion]; 2] = [&[&TLS12], &[&TLS13]];

/// How to connect.
pub struct Client {
    roots: RootCertStore,
    own: Option<Der>,
    pub versions: &'static [&'static SupportedProtocolVersion],
    pub alpn: &'static str,
}

impl Client {
    pub async fn connect(&self, front: &Front) -> std::io::Result<TlsStream<TcpStream>> {
        let builder = ClientConfig::builder_with_provider(Arc::new(aws_lc_rs::default_provider()))
            .with_protocol_versions(self.versions)
            .unwrap()
            .with_root_certificates(self.roots.clone());
        let mut config = match &self.own {
            None => builder.with_no_client_auth(),
            Some((certificate, key)) => {
                builder.with_client_auth_cert(vec![certificate.clone()], key.clone_key()).unwrap()
            }
        };
        config.alpn_protocols = vec![self.alpn.into()];
        let stream = TcpStream::connect(front.address).await?;
        let name = ServerName::try_from("localhost").unwrap();
        within(TlsConnector::from(Arc::new(config)).connect(name, stream)).await
    }

    /// Delivers with a token, on a connection of its own; the error is that of the connection.
    pub async fn deliver(&self, front: &Front, token: &str) -> Result<u16, String> {
        self.deliver_body(front, token, "{}").await
    }

    pub async fn deliver_body(
        &self,
        front: &Front,
        token: &str,
        body: &'static str,
    ) -> Result<u16, String> {
        let stream = self.connect(front).await.map_err(|error| error.to_string())?;
        let request = http2_post(front.address, token, body);
        deliver_over(stream, self.alpn == "h2", request).await.map_err(|error| error.to_string())
    }
}

async fn deliver_over(
    stream: TlsStream<TcpStream>,
    http2: bool,
    request: http::Request<Full<bytes::Bytes>>,
) -> hyper::Result<u16> {
    let io = TokioIo::new(stream);
    let response = if http2 {
        let (mut client, connection) =
            hyper::client::conn::http2::handshake(TokioExecutor::new(), io).await?;
        tokio::spawn(connection);
        within(client.send_request(request)).await?
    } else {
        let (mut client, connection) = hyper::client::conn::http1::handshake(io).await?;
        tokio::spawn(connection);
        within(client.send_request(request)).await?
    };
    Ok(status_and_text(response).await.0)
}

/// A folder as the kubelet mounts a Secret: what is in it are links through `..data`, which is itself
/// a link and is replaced in one step.
pub struct Mount {
    folder: TempDir,
    generation: AtomicUsize,
}

impl Mount {
    pub fn with(pair: &Pair) -> Self {
        let mount = Self { folder: tempfile::tempdir().unwrap(), generation: AtomicUsize::new(0) };
        mount.swap(pair);
        for name in ["tls.crt", "tls.key"] {
            symlink(Path::new("..data").join(name), mount.path(name)).unwrap();
        }
        mount
    }

    pub fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// Replaces both files at once.
    pub fn swap(&self, pair: &Pair) {
        let generation = self.generation.fetch_add(1, Ordering::SeqCst);
        let (new, old) = (
            format!("..generation-{generation}"),
            format!("..generation-{}", generation.max(1) - 1),
        );
        fs::create_dir(self.path(&new)).unwrap();
        fs::write(self.path(&new).join("tls.crt"), &pair.certificate).unwrap();
        fs::write(self.path(&new).join("tls.key"), &pair.key).unwrap();
        symlink(&new, self.path("..data_tmp")).unwrap();
        fs::rename(self.path("..data_tmp"), self.path("..data")).unwrap();
        if generation > 0 {
            fs::remove_dir_all(self.path(&old)).unwrap();
        }
    }

    /// For `listen.tls`; the authority's file is in the same folder.
    pub fn tls(&self, authority: Option<&Authority>) -> config::Tls {
        let client_ca_file = authority.map(|authority| {
            fs::write(self.path("ca.crt"), authority.pem()).unwrap();
            self.path("ca.crt")
        });
        config::Tls {
            certificate_file: self.path("tls.crt"),
            key_file: self.path("tls.key"),
            client_ca_file,
        }
    }
}

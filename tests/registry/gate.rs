//! What stands in front of a Schema Registry: TLS with an authority of its own, client certificates, a user's password, and
//! a word of refusal while it is told to say it.

use std::{
    fs,
    io::{self, Read, Write},
    net::{TcpListener, TcpStream},
    path::PathBuf,
    sync::{Arc, Mutex},
    thread,
};

use base64::{Engine, engine::general_purpose::STANDARD};
use rcgen::{
    BasicConstraints, CertificateParams, CertifiedIssuer, DnType, ExtendedKeyUsagePurpose, IsCa,
    KeyPair, KeyUsagePurpose,
};
use rustls::{
    RootCertStore, ServerConfig, ServerConnection, StreamOwned,
    crypto::aws_lc_rs,
    pki_types::{PrivateKeyDer, pem::PemObject},
    server::WebPkiClientVerifier,
};
use tempfile::TempDir;

pub const USER: &str = "millrace";
pub const PASSWORD: &str = "the-right-one";

pub struct Gate {
    port: u16,
    folder: TempDir,
    says: Arc<Mutex<Option<(u16, &'static str)>>>,
}

impl Gate {
    /// In front of what listens at `port`.
    pub fn start(port: u16) -> Self {
        let mut params = CertificateParams::new(Vec::new()).unwrap();
        params.distinguished_name.push(DnType::CommonName, "an authority");
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign];
        let authority = CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap();
        let issue = |params: CertificateParams| {
            let key = KeyPair::generate().unwrap();
            let certificate = params.signed_by(&key, &authority).unwrap();
            (certificate, key.serialize_pem())
        };
        let (certificate, key) = issue(CertificateParams::new(vec!["localhost".into()]).unwrap());
        let mut client = CertificateParams::new(Vec::new()).unwrap();
        client.extended_key_usages = vec![ExtendedKeyUsagePurpose::ClientAuth];
        let (client, client_key) = issue(client);

        let folder = tempfile::Builder::new().prefix("millrace-test-gate-").tempdir().unwrap();
        for (name, content) in
            [("ca.pem", authority.pem()), ("tls.crt", client.pem()), ("tls.key", client_key)]
        {
            fs::write(folder.path().join(name), content).unwrap();
        }

        let mut roots = RootCertStore::empty();
        roots.add(authority.der().clone()).unwrap();
        let provider = Arc::new(aws_lc_rs::default_provider());
        let verifier = WebPkiClientVerifier::builder_with_provider(roots.into(), provider.clone());
        let config = ServerConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_client_cert_verifier(verifier.build().unwrap())
            .with_single_cert(
                vec![certificate.der().clone()],
                PrivateKeyDer::from_pem_slice(key.as_bytes()).unwrap(),
            )
            .unwrap();
        let config = Arc::new(config);
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let gate =
            Self { port: listener.local_addr().unwrap().port(), folder, says: Arc::default() };
        let says = Arc::clone(&gate.says);
        thread::spawn(move || {
            for stream in listener.incoming().map_while(Result::ok) {
                let (config, says) = (Arc::clone(&config), Arc::clone(&says));
                // A connection that breaks is its client's.
                thread::spawn(move || drop(pass(stream, config, &says, port)));
            }
        });
        gate
    }

    pub fn url(&self) -> String {
        format!("https://localhost:{}/apis/ccompat/v7", self.port)
    }

    /// `ca.pem`, `tls.crt`, `tls.key`, and where a test puts more.
    pub fn file(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// From now on each answer is this one.
    pub fn says(&self, answer: Option<(u16, &'static str)>) {
        *self.says.lock().unwrap() = answer;
    }
}

/// One request.
fn pass(
    stream: TcpStream,
    config: Arc<ServerConfig>,
    says: &Mutex<Option<(u16, &'static str)>>,
    port: u16,
) -> io::Result<()> {
    let session = ServerConnection::new(config).map_err(io::Error::other)?;
    let mut stream = StreamOwned::new(session, stream);
    let request = read_request(&mut stream)?;
    let right = format!("Basic {}", STANDARD.encode(format!("{USER}:{PASSWORD}")));
    let refusal = match *says.lock().unwrap() {
        _ if !request.contains(&right) => {
            Some((401, r#"{"error_code":40101,"message":"unknown user"}"#))
        }
        told => told,
    };
    let answer = match refusal {
        Some((status, body)) => format!(
            "HTTP/1.1 {status} X\r\nconnection: close\r\ncontent-length: {}\r\n\r\n{body}",
            body.len()
        )
        .into_bytes(),
        None => {
            let mut registry = TcpStream::connect(("127.0.0.1", port))?;
            let request = request.replacen("\r\n", "\r\nconnection: close\r\n", 1);
            registry.write_all(request.as_bytes())?;
            let mut answer = Vec::new();
            registry.read_to_end(&mut answer)?;
            answer
        }
    };
    stream.write_all(&answer)?;
    stream.conn.send_close_notify();
    stream.flush()
}

fn read_request(stream: &mut impl Read) -> io::Result<String> {
    let mut request = Vec::new();
    let mut piece = [0; 4096];
    loop {
        let text = String::from_utf8_lossy(&request);
        if let Some((head, body)) = text.split_once("\r\n\r\n") {
            let mut lines = head.lines();
            let length = lines.find_map(|line| line.strip_prefix("content-length: "));
            if length.is_none_or(|length| body.len() >= length.parse().unwrap_or(0)) {
                return Ok(text.into_owned());
            }
        }
        match stream.read(&mut piece)? {
            0 => return Err(io::ErrorKind::UnexpectedEof.into()),
            count => request.extend_from_slice(&piece[..count]),
        }
    }
}

//! What `check --connect` says of addresses where no broker answers as this program speaks: of each of them, why,
//! and what to do.

use std::{
    io::{Read as _, Write as _},
    net::{TcpListener, TcpStream},
    process::Command,
    sync::Arc,
    thread,
};

use rcgen::{CertificateParams, KeyPair};
use rustls::{
    ServerConfig, ServerConnection, Stream, crypto::aws_lc_rs, pki_types::PrivatePkcs8KeyDer,
};

/// Serves each connection on a thread of its own; returns the address.
fn serving(serve: impl Fn(TcpStream) + Send + Sync + 'static) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap().to_string();
    let serve = Arc::new(serve);
    thread::spawn(move || {
        for stream in listener.incoming().map_while(Result::ok) {
            let serve = Arc::clone(&serve);
            thread::spawn(move || serve(stream));
        }
    });
    address
}

/// Takes what comes and says nothing.
fn silent() -> String {
    serving(|mut stream| while stream.read(&mut [0; 1024]).is_ok_and(|read| read > 0) {})
}

fn http() -> String {
    serving(|mut stream| {
        let _ = stream.read(&mut [0; 1024]);
        let _ = stream.write_all(b"HTTP/1.1 400 Bad Request\r\ncontent-length: 0\r\n\r\n");
    })
}

/// Shows a certificate for `name`; returns the address and the certificate.
fn tls(name: &str) -> (String, String) {
    let key = KeyPair::generate().unwrap();
    let certificate = CertificateParams::new([name.to_owned()]).unwrap().self_signed(&key).unwrap();
    let pem = certificate.pem();
    let key = PrivatePkcs8KeyDer::from(key.serialize_der());
    let config = ServerConfig::builder_with_provider(Arc::new(aws_lc_rs::default_provider()))
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(vec![certificate.der().clone()], key.into())
        .unwrap();
    let config = Arc::new(config);
    let address = serving(move |mut stream| {
        let mut tls = ServerConnection::new(Arc::clone(&config)).unwrap();
        let _ = Stream::new(&mut tls, &mut stream).read(&mut [0; 1024]);
    });
    (address, pem)
}

fn check(servers: &[&str], properties: &[(&str, &str)]) -> String {
    let mut command = Command::new(env!("CARGO_BIN_EXE_millrace"));
    for (name, value) in properties {
        command.env(format!("MILLRACE_KAFKA__PROPERTIES__{name}"), value);
    }
    let output = command
        .args(["check", "--connect"])
        .env("MILLRACE_KAFKA__BOOTSTRAP_SERVERS", servers.join(","))
        .env("MILLRACE_SPOOL__DIRECTORY", std::env::temp_dir())
        .env("MILLRACE_SPOOL__SIZE_LIMIT", "1GiB")
        .env("MILLRACE_SOURCES__LEADS__KIND", "marketo-lead-activity")
        .env("MILLRACE_SOURCES__LEADS__AUTH__TOKENS", "hunter2")
        .output()
        .expect("the program starts");
    let text = [output.stdout, output.stderr].concat();
    let text = String::from_utf8_lossy(&text).into_owned();
    assert!(!output.status.success(), "{text}");
    let problem = text.lines().find(|line| line.contains("no answer from"));
    problem.unwrap_or_else(|| panic!("{text}")).to_owned()
}

/// What is said of `address` alone.
#[track_caller]
fn of<'a>(problem: &'a str, address: &str) -> &'a str {
    let (_, said) =
        problem.split_once(&format!("{address} (")).unwrap_or_else(|| panic!("{problem}"));
    said.split("), ").next().unwrap()
}

#[test]
fn each_of_several_servers_has_its_own_reason_and_a_silent_one_is_called_silent() {
    let (silent, http, (tls, _)) = (silent(), http(), tls("127.0.0.1"));
    let gone = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().to_string();
    let problem = check(&[&silent, &http, &tls, &gone], &[]);
    for (address, said) in [
        (&silent, "it accepts connections and does not answer within"),
        (&http, "this port speaks HTTP"),
        (&tls, "this port expects TLS"),
        (&gone, "Connection refused"),
    ] {
        assert!(of(&problem, address).contains(said), "{problem}");
    }
    assert!(!problem.contains("receive.message.max.bytes"), "{problem}");

    let problem = check(&[&silent], &[]);
    assert!(of(&problem, &silent).contains("accepts connections and does not answer"), "{problem}");
}

#[test]
fn a_wrong_name_an_unknown_authority_and_a_port_without_tls_are_told_apart() {
    let folder = tempfile::tempdir().unwrap();
    let ca = folder.path().join("ca.pem");
    let (misnamed, pem) = tls("broker.test");
    std::fs::write(&ca, pem).unwrap();
    let (unknown, _) = tls("127.0.0.1");
    let plain = http();
    let ca = ca.to_string_lossy();
    let problem = check(
        &[&misnamed, &unknown, &plain],
        &[("SECURITY_PROTOCOL", "SSL"), ("SSL_CA_LOCATION", &ca)],
    );
    for (address, said) in [
        (&misnamed, "is for broker.test and not for `127.0.0.1`"),
        (&unknown, "is not trusted here"),
        (&plain, "speaks no TLS: use the port"),
    ] {
        assert!(of(&problem, address).contains(said), "{problem}");
    }
    assert!(!of(&problem, &misnamed).contains("ssl.ca.location"), "{problem}");
}

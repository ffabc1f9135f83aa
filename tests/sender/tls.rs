//! An https endpoint.

use std::{
    net::TcpListener,
    process::Command,
    sync::{Arc, Mutex},
    thread,
};

use crate::{
    played::{Response, converse},
    simulate::run,
};

#[test]
fn an_https_endpoint_is_spoken_to_if_its_certificate_is_trusted_and_else_not() {
    let own = rcgen::generate_simple_self_signed(["localhost".into()]).unwrap();
    let folder = tempfile::tempdir().unwrap();
    let trusted = folder.path().join("ca.pem");
    std::fs::write(&trusted, own.cert.pem()).unwrap();
    let key = rustls::pki_types::PrivateKeyDer::try_from(own.signing_key.serialize_der()).unwrap();
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let tls = rustls::ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(vec![own.cert.der().clone()], key)
        .unwrap();
    let tls = Arc::new(tls);

    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("https://localhost:{}/v1/leads", listener.local_addr().unwrap().port());
    let posts = Arc::<Mutex<usize>>::default();
    let count = Arc::clone(&posts);
    thread::spawn(move || {
        for socket in listener.incoming().map_while(Result::ok) {
            let session = rustls::ServerConnection::new(Arc::clone(&tls)).unwrap();
            let count = Arc::clone(&count);
            thread::spawn(move || {
                let stream = rustls::StreamOwned::new(session, socket);
                converse(stream, &|_| {
                    *count.lock().unwrap() += 1;
                    Response::new(200, "")
                })
            });
        }
    });

    let simulate = |trusted: &std::path::Path| {
        let mut command = Command::new(env!("CARGO_BIN_EXE_millrace"));
        command.args(["simulate", "--json", "--to", &url, "--as", "marketo", "--settle", "0s"]);
        command.args(["--connections", "1", "--rate", "20", "--duration", "200ms"]);
        run(command.env("SSL_CERT_FILE", trusted).env_remove("SSL_CERT_DIR"))
    };
    let ended = simulate(&trusted);
    assert_eq!(ended.code, Some(0), "{ended:?}");
    assert_eq!(ended.report()["senders"]["marketo"]["requests"], *posts.lock().unwrap());

    let other = folder.path().join("other.pem");
    let stranger = rcgen::generate_simple_self_signed(["localhost".into()]).unwrap();
    std::fs::write(&other, stranger.cert.pem()).unwrap();
    *posts.lock().unwrap() = 0;
    let ended = simulate(&other);
    assert_eq!(ended.code, Some(1), "{ended:?}");
    assert_eq!(*posts.lock().unwrap(), 0);
}

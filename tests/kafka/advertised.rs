//! Brokers that tell every client an address where no broker answers: `check --connect` and `topics --create`
//! name that address, why, and what to do, within a time that an operator waits for.

use std::{
    io::{Read, Write},
    net::{TcpListener, TcpStream},
    path::Path,
    process::Command,
    sync::mpsc,
    thread,
    time::{Duration, Instant},
};

use crate::{
    broker::{Broker, Listener, Options},
    support::{
        bridge::{Bridge, Settings},
        ports, wait,
    },
};

/// Both commands take about 10 s; this is for a busy machine, and far below what the library's own limits are.
const AT_MOST: Duration = Duration::from_secs(25);

/// `host:port` of a listener whose connections each go to `play`, until the test's process ends.
fn played(play: impl Fn(TcpStream) + Send + 'static) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").expect("there is a free port");
    let address = listener.local_addr().expect("it is bound").to_string();
    thread::spawn(move || listener.incoming().map_while(Result::ok).for_each(play));
    address
}

/// Accepts connections, and says nothing.
fn silent() -> String {
    let (keep, kept) = mpsc::channel();
    thread::spawn(move || kept.into_iter().collect::<Vec<TcpStream>>());
    played(move |stream| keep.send(stream).expect("the other thread waits"))
}

/// Accepts connections, says `answer` to the first bytes, and closes.
fn closing_with(answer: &'static [u8]) -> String {
    played(move |mut stream| {
        let _ = stream.read(&mut [0; 256]).and_then(|_| stream.write_all(answer));
    })
}

/// A key and a certificate of `localhost`, as Kafka takes them.
fn key_and_certificate(folder: &Path) -> (String, String) {
    let names = vec!["localhost".to_owned(), "127.0.0.1".to_owned()];
    let made = rcgen::generate_simple_self_signed(names).expect("a certificate can be made");
    let (both, alone) = (folder.join("both.pem"), folder.join("certificate.pem"));
    let (key, certificate) = (made.signing_key.serialize_pem(), made.cert.pem());
    std::fs::write(&both, format!("{key}{certificate}")).expect("a file can be written");
    std::fs::write(&alone, certificate).expect("a file can be written");
    (both.display().to_string(), alone.display().to_string())
}

/// Runs `millrace` with `arguments`: whether it ended well, what it said, and how long it took.
fn run(arguments: &[&str], address: &str, more: &[(&str, &str)]) -> (bool, String, Duration) {
    let start = Instant::now();
    let output = Command::new(env!("CARGO_BIN_EXE_millrace"))
        .args(arguments)
        .env_clear()
        .env("MILLRACE_KAFKA__BOOTSTRAP_SERVERS", address)
        .env("MILLRACE_SPOOL__DIRECTORY", std::env::temp_dir())
        .env("MILLRACE_SPOOL__SIZE_LIMIT", "1MiB")
        .env("MILLRACE_LISTEN__BODY_LIMIT", "64KiB")
        .env("MILLRACE_LISTEN__BODY_LIMIT_INFLATED", "256KiB")
        .env("MILLRACE_SOURCES__LEADS__KIND", "marketo-lead-activity")
        .env("MILLRACE_SOURCES__LEADS__AUTH__TOKENS", "hunter2")
        .envs(more.iter().copied())
        .output()
        .expect("the program starts");
    let text = [output.stdout, output.stderr].concat();
    (output.status.success(), String::from_utf8_lossy(&text).into_owned(), start.elapsed())
}

#[test]
fn a_service_that_no_broker_answers_says_at_which_address_that_the_cluster_names() {
    let advertised = silent();
    let port = ports::free();
    let listener =
        Listener { name: "SILENT", protocol: "PLAINTEXT", port, advertised: advertised.clone() };
    let _broker = Broker::start_with(&Options { listeners: vec![listener], ..Options::default() });
    let bridge = Bridge::start(Settings::new(&format!("127.0.0.1:{port}"), "silent"));
    let named = format!("broker 1 at {advertised} (it accepts connections and does not answer");
    wait::until("a line with the advertised address", Duration::from_secs(120), || {
        bridge.log().iter().any(|line| line.contains(&named))
    });
    let log = bridge.log().join("\n");
    assert_eq!(log.matches(&named).count(), 1, "{log}");
    println!("{log}");
}

#[test]
fn an_advertised_address_where_no_broker_answers_is_named_with_the_reason_and_what_to_do() {
    let folder = tempfile::tempdir().expect("a temporary folder can be made");
    let (both, certificate) = key_and_certificate(folder.path());
    let listener = |name, protocol, advertised| {
        let port = ports::free();
        Listener { name, protocol, port, advertised }
    };
    let plain = ports::free();
    let listeners = vec![
        Listener {
            name: "GOOD",
            protocol: "PLAINTEXT",
            port: plain,
            advertised: format!("127.0.0.1:{plain}"),
        },
        listener("SILENT", "PLAINTEXT", silent()),
        listener("CLOSING", "PLAINTEXT", closing_with(b"")),
        // An alert of TLS: what was sent is no handshake.
        listener("TLS", "PLAINTEXT", closing_with(&[0x15, 3, 3, 0, 2, 2, 70])),
        listener("HTTP", "PLAINTEXT", closing_with(b"HTTP/1.1 400 Bad Request\r\n\r\n")),
        listener("ENCRYPTED", "SSL", format!("127.0.0.1:{plain}")),
        listener("MUTE", "SSL", silent()),
    ];
    let settings = vec![("ssl.keystore.type", "PEM".to_owned()), ("ssl.keystore.location", both)];
    let options = Options { settings, listeners: listeners.clone(), ..Options::default() };
    let _broker = Broker::start_with(&options);

    let tls = [
        ("MILLRACE_KAFKA__PROPERTIES__SECURITY_PROTOCOL", "SSL"),
        ("MILLRACE_KAFKA__PROPERTIES__SSL_CA_LOCATION", &certificate),
    ];
    for (listener, why) in listeners.iter().zip([
        "",
        "accepts connections and does not answer",
        "Disconnected",
        "this port expects TLS",
        "this port speaks HTTP",
        "this port speaks no TLS",
        "accepts connections and does not answer",
    ]) {
        let address = format!("127.0.0.1:{}", listener.port);
        let more = if listener.protocol == "SSL" { &tls[..] } else { &[] };
        for command in [&["check", "--connect"][..], &["topics", "--create"]] {
            // Topics would be made by the first one.
            if listener.name == "GOOD" && command[0] == "topics" {
                continue;
            }
            let (fine, text, took) = run(command, &address, more);
            println!("{} {command:?} after {:.1} s: {text}", listener.name, took.as_secs_f32());
            if listener.name == "GOOD" {
                assert!(fine, "{text}");
                continue;
            }
            let named = format!("broker 1 at {} (", listener.advertised);
            assert!(!fine && text.contains(&named) && text.contains(why), "{command:?}: {text}");
            assert!(text.contains("advertised.listeners"), "{command:?}: {text}");
            assert!(took < AT_MOST, "{} {command:?} took {took:?}", listener.name);
        }
    }
}

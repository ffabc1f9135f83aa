//! Files that are replaced under a running service. Kafka is not needed for it.

use std::{
    fs,
    io::Write,
    path::Path,
    process::{Command, Stdio},
    time::Duration,
};

use rcgen::{CertifiedKey, generate_simple_self_signed};

use crate::support::{
    bridge::{Bridge, LEADS, Settings, TOKEN},
    played::{self, Response},
    wait,
};

const PATIENCE: Duration = Duration::from_secs(60);

/// Nobody listens there.
const NO_KAFKA: &str = "127.0.0.1:1";

/// In one step, as whoever replaces a secret should.
fn replace(file: &Path, text: &str) {
    let aside = file.with_extension("aside");
    fs::write(&aside, text).unwrap();
    fs::rename(aside, file).unwrap();
}

fn reloads(bridge: &Bridge, key: &str, outcome: &str) -> f64 {
    let labels = [&*format!("key=\"{key}\""), &format!("outcome=\"{outcome}\"")];
    bridge.metric("millrace_reloads_total", &labels)
}

#[test]
fn tokens_are_read_again_and_what_can_not_be_used_changes_nothing() {
    const KEY: &str = "sources.other.auth.tokens_file";
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("tokens");
    fs::write(&file, "the-first\n").unwrap();
    let settings = Settings::new(NO_KAFKA, "tokens")
        .set("SOURCES__OTHER__KIND", "marketo-lead-activity")
        .set("SOURCES__OTHER__AUTH__TOKENS_FILE", file.to_string_lossy());
    let bridge = Bridge::start(settings);
    let status = |path: &str, token: &str| {
        bridge.client().deliver(path, token, b"{}").expect("an answer").status
    };
    assert_eq!(status("/v1/other", "the-first"), 200);
    assert_eq!(status("/v1/other", "the-second"), 401);

    replace(&file, "the-first\nthe-second\n");
    wait::until("both", PATIENCE, || status("/v1/other", "the-second") == 200);
    assert_eq!(status("/v1/other", "the-first"), 200);
    replace(&file, "the-second\n");
    wait::until("the first is gone", PATIENCE, || status("/v1/other", "the-first") == 401);
    assert_eq!(status("/v1/other", "the-second"), 200);

    let broken: [&[u8]; 4] = [b"", b"\n\n", b"not utf-8 \xff", b"a\x07b"];
    for (failed, bytes) in (1..).zip(broken) {
        fs::write(&file, bytes).unwrap();
        wait::until("a complaint", PATIENCE, || {
            reloads(&bridge, KEY, "failed") >= f64::from(failed)
        });
        assert_eq!(status("/v1/other", "the-second"), 200);
        assert_eq!(status("/v1/other", ""), 401);
    }
    fs::remove_file(&file).unwrap();
    wait::until("a complaint", PATIENCE, || reloads(&bridge, KEY, "failed") >= 5.0);
    assert_eq!(bridge.metric("millrace_last_reload_successful", &[KEY]), 0.0);
    assert_eq!(status("/v1/other", "the-second"), 200);

    replace(&file, "the-third\n");
    wait::until("the third", PATIENCE, || status("/v1/other", "the-third") == 200);
    assert_eq!(status("/v1/other", "the-second"), 401);
    assert_eq!(bridge.metric("millrace_last_reload_successful", &[KEY]), 1.0);
    // Another source's tokens are its own.
    assert_eq!((status(LEADS, TOKEN), status(LEADS, "the-third")), (200, 401));
    let log = bridge.log().join("\n");
    assert!(log.contains(KEY), "{log}");
    assert!(!log.contains("the-second") && !log.contains("the-third"), "{log}");
}

#[test]
fn secrets_of_our_own_tokens_are_read_again() {
    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str| folder.path().join(name);
    let put = |name: &str, text: &str| replace(&path(name), text);
    let (first_key, second_key) = ("1-hunter2".repeat(5), "2-hunter2".repeat(5));
    put("keys", &first_key);
    put("secrets", "the-first-hunter2\n");
    let settings = Settings::new(NO_KAFKA, "oauth")
        .set("OAUTH__SIGNING_KEYS_FILE", path("keys").to_string_lossy())
        .set("OAUTH__CLIENTS__MARKETO__SECRETS_FILE", path("secrets").to_string_lossy())
        .set("SOURCES__OTHER__KIND", "marketo-lead-activity")
        .set("SOURCES__OTHER__AUTH__OAUTH__BUILT_IN_CLIENTS", "marketo");
    let bridge = Bridge::start(settings);
    let token = |secret: &str| {
        let form =
            format!("grant_type=client_credentials&client_id=marketo&client_secret={secret}");
        let headers = ["content-type: application/x-www-form-urlencoded".to_owned()];
        let answer = bridge.client().request("POST", "/oauth/token", &headers, form.as_bytes());
        let answer = answer.expect("an answer");
        let granted: serde_json::Value = serde_json::from_slice(&answer.body).unwrap();
        granted["access_token"].as_str().map(str::to_owned)
    };
    let status =
        |token: &str| bridge.client().deliver("/v1/other", token, b"{}").expect("an answer").status;
    let old = token("the-first-hunter2").expect("a token");
    assert_eq!((status(&old), token("the-second-hunter2")), (200, None));

    put("secrets", "the-second-hunter2\n");
    wait::until("the second secret", PATIENCE, || token("the-second-hunter2").is_some());
    assert_eq!(token("the-first-hunter2"), None);
    assert_eq!(status(&old), 200, "its key is still there");
    put("secrets", "short\n");
    wait::until("a complaint", PATIENCE, || reloads(&bridge, "oauth", "failed") >= 1.0);
    assert!(token("the-second-hunter2").is_some());

    put("secrets", "the-second-hunter2\n");
    put("keys", &format!("{second_key}\n{first_key}\n"));
    wait::until("the second key", PATIENCE, || reloads(&bridge, "oauth", "done") >= 2.0);
    let new = token("the-second-hunter2").expect("a token");
    assert_eq!((status(&old), status(&new)), (200, 200));
    put("keys", &second_key);
    wait::until("the first key is gone", PATIENCE, || status(&old) == 401);
    assert_eq!(status(&new), 200);
    let log = bridge.log().join("\n");
    assert!(log.contains("key=oauth") || log.contains("\"key\":\"oauth\""), "{log}");
    assert!(!log.contains("hunter2"), "{log}");
}

#[test]
fn the_secret_that_the_provider_knows_us_by_is_read_again() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("secret");
    fs::write(&file, "the-first-hunter2\n").unwrap();
    // "us:the-second-hunter2"
    const SECOND: &str = "Basic dXM6dGhlLXNlY29uZC1odW50ZXIy";
    let provider = played::serve(|request| match request.header("authorization") {
        Some(SECOND) => Response::new(200, r#"{"active":true,"client_id":"sender"}"#),
        _ => Response::new(401, ""),
    });
    let key = "SOURCES__OTHER__AUTH__OAUTH__INTROSPECTION";
    let settings = Settings::new(NO_KAFKA, "introspection")
        .set("SOURCES__OTHER__KIND", "marketo-lead-activity")
        .set("SOURCES__OTHER__AUTH__OAUTH__CLIENT_IDS", "sender")
        .set(&format!("{key}__URL"), format!("http://{provider}/introspect"))
        .set(&format!("{key}__CLIENT_ID"), "us")
        .set(&format!("{key}__CLIENT_SECRET_FILE"), file.to_string_lossy());
    let bridge = Bridge::start(settings);
    let status =
        || bridge.client().deliver("/v1/other", "opaque", b"{}").expect("an answer").status;
    assert_eq!(status(), 503, "the trouble is ours");
    replace(&file, "the-second-hunter2\n");
    wait::until("the second secret", PATIENCE, || status() == 200);
    assert!(!bridge.log().join("\n").contains("hunter2"));
}

/// What a delivery over TLS is answered, by OpenSSL's command line, which trusts `ca` alone; empty
/// when the certificate is none of it.
fn over_tls(bridge: &Bridge, ca: &Path) -> String {
    let request = format!(
        "POST {LEADS} HTTP/1.1\r\nhost: localhost\r\nauthorization: Bearer {TOKEN}\r\n\
         content-length: 2\r\nconnection: close\r\n\r\n{{}}"
    );
    let mut client = Command::new("openssl")
        .args(["s_client", "-quiet", "-verify_return_error", "-servername", "localhost"])
        .args(["-connect", &bridge.deliveries().to_string(), "-CAfile", &ca.to_string_lossy()])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .expect("openssl is installed by tests/setup/packages");
    let mut stdin = client.stdin.take().unwrap();
    // A client that does not trust us reads no more.
    let _ = stdin.write_all(request.as_bytes());
    let output = client.wait_with_output().unwrap();
    drop(stdin);
    String::from_utf8(output.stdout).unwrap()
}

#[test]
fn the_service_serves_tls_and_takes_up_a_new_certificate() {
    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str| folder.path().join(name);
    let put = |CertifiedKey { cert, signing_key }: CertifiedKey<_>| {
        replace(&path("tls.crt"), &cert.pem());
        replace(&path("tls.key"), &rcgen::KeyPair::serialize_pem(&signing_key));
        cert.pem()
    };
    let made = || generate_simple_self_signed(vec!["localhost".to_owned()]).unwrap();
    fs::write(path("first.crt"), put(made())).unwrap();
    let settings = Settings::new(NO_KAFKA, "tls")
        .set("LISTEN__TLS__CERTIFICATE_FILE", path("tls.crt").to_string_lossy())
        .set("LISTEN__TLS__KEY_FILE", path("tls.key").to_string_lossy());
    let bridge = Bridge::start(settings);
    assert!(over_tls(&bridge, &path("first.crt")).starts_with("HTTP/1.1 200 "));
    let expiry = "millrace_tls_certificate_expiry_timestamp_seconds";
    assert!(bridge.metric(expiry, &[]) > 1e9);

    fs::write(path("second.crt"), put(made())).unwrap();
    wait::until("a new pair", PATIENCE, || reloads(&bridge, "listen.tls", "done") == 1.0);
    assert!(over_tls(&bridge, &path("second.crt")).starts_with("HTTP/1.1 200 "));
    assert_eq!(over_tls(&bridge, &path("first.crt")), "");
}

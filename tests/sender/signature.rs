//! Others verify what is signed: OpenSSL's command line, and the library that Adobe gives receivers.

use std::{
    fs,
    io::Write,
    path::{Path, PathBuf},
    process::{Command, Stdio},
};

use base64::{Engine as _, engine::general_purpose::STANDARD};
use serde_json::{Value, json};
use tempfile::TempDir;

use crate::{played::Request, server::Server, simulate::simulate};

/// What one run sent, and the folder with its public keys.
fn sent(options: &str) -> (Vec<Request>, TempDir) {
    let server = Server::answering(|_| 200);
    let folder = tempfile::tempdir().unwrap();
    let keys = folder.path().to_str().unwrap();
    let options = format!(
        "--connections 1 --duration 500ms --rate 40 --client-id the-client --keys-folder {keys} {options}"
    );
    let ended = simulate(&server.url(), "adobe", &options);
    assert_eq!(ended.code, Some(0), "{ended:?}");
    (server.posts(), folder)
}

/// Signature and key of both pairs.
fn pairs<'a>(request: &'a Request, folder: &Path) -> [(&'a str, PathBuf); 2] {
    [1, 2].map(|n| {
        let signature = request.header(&format!("x-adobe-digital-signature-{n}")).unwrap();
        let path = request.header(&format!("x-adobe-public-key{n}-path")).unwrap();
        assert!(path.starts_with("/prod/keys/pub-key-") && path.ends_with(".pem"), "{path}");
        (signature, folder.join(path.trim_start_matches('/')))
    })
}

/// Whether `openssl dgst` says that the signature is the key's, over these bytes.
fn openssl_verifies(body: &[u8], signature: &str, key: &Path) -> bool {
    let folder = tempfile::tempdir().unwrap();
    let [data, signed] = ["data", "signature"].map(|name| folder.path().join(name));
    fs::write(&data, body).unwrap();
    fs::write(&signed, STANDARD.decode(signature).unwrap()).unwrap();
    let output = Command::new("openssl")
        .args(["dgst", "-sha256", "-verify"])
        .arg(key)
        .arg("-signature")
        .args([&signed, &data])
        .output()
        .expect("openssl (tests/setup/packages installs it)");
    let said = String::from_utf8_lossy(&output.stdout).into_owned();
    assert_eq!(output.status.success(), said.contains("Verified OK"), "{output:?}");
    output.status.success()
}

#[test]
fn openssl_verifies_both_signatures_of_singles_and_of_batches_over_the_bytes_as_sent() {
    for events in ["1", "20"] {
        let (posts, keys) = sent(&format!("--events-per-delivery {events}"));
        let post = &posts[0];
        assert_eq!(post.body[0], if events == "1" { b'{' } else { b'[' });
        let [(one, key_one), (two, key_two)] = pairs(post, keys.path());
        assert!(openssl_verifies(&post.body, one, &key_one));
        assert!(openssl_verifies(&post.body, two, &key_two));
        assert!(!openssl_verifies(&post.body, one, &key_two), "the pairs are independent");
        let again = serde_json::from_slice::<Value>(&post.body).unwrap();
        let again = serde_json::to_vec_pretty(&again).unwrap();
        assert!(!openssl_verifies(&again, one, &key_one), "the same JSON, other bytes");
    }
}

/// What Adobe's library says of a request: of its signatures, and of signatures and recipient.
fn adobes_library_says(request: &Request, keys: &Path) -> Value {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let setup = Command::new(root.join("tests/setup/node-packages")).output().unwrap();
    assert!(setup.status.success(), "{}", String::from_utf8_lossy(&setup.stderr));
    let library = String::from_utf8(setup.stdout).unwrap();
    let pairs = pairs(request, keys);
    let path = |n| request.header(&format!("x-adobe-public-key{n}-path"));
    let question = json!({
        "body": String::from_utf8(request.body.clone()).unwrap(),
        "clientId": "the-client",
        "signatures": pairs.each_ref().map(|(signature, _)| signature),
        "paths": [path(1), path(2)],
        "keys": pairs.each_ref().map(|(_, key)| fs::read_to_string(key).unwrap()),
    });
    let mut node = Command::new("node")
        .arg(root.join("tests/sender/verify.js"))
        .arg(library.trim())
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .expect("node (tests/setup/packages installs it)");
    node.stdin.take().unwrap().write_all(question.to_string().as_bytes()).unwrap();
    let output = node.wait_with_output().unwrap();
    assert!(output.status.success(), "{output:?}");
    // The library's own log comes before it.
    let said = String::from_utf8(output.stdout).unwrap();
    serde_json::from_str(said.lines().last().unwrap()).unwrap()
}

/// The first event that names its recipient outermost, as the library wants it.
fn single(options: &str, recipient: &str) -> (Request, TempDir) {
    let (posts, keys) = sent(&format!("--events-per-delivery 1 {options}"));
    let named = |post: &Request| {
        serde_json::from_slice::<Value>(&post.body).unwrap()[recipient] == "the-client"
    };
    (posts.into_iter().find(named).unwrap(), keys)
}

#[test]
fn adobes_own_library_verifies_single_events_in_every_spelling_of_the_ids() {
    for (ids, recipient) in [
        ("underscored", "recipient_client_id"),
        ("both", "recipient_client_id"),
        ("joined", "recipientclientid"),
    ] {
        let (request, keys) = single(&format!("--ids {ids}"), recipient);
        let said = adobes_library_says(&request, keys.path());
        assert_eq!(said["signature"], true, "{ids}: {said}");
        if ids != "joined" {
            // The recipient's other name is not known to the library yet.
            assert_eq!(said["event"], true, "{ids}: {said}");
        }

        let mut tampered = request.clone();
        tampered.body.insert(1, b' ');
        let said = adobes_library_says(&tampered, keys.path());
        assert_ne!(said["signature"], true, "{ids}: {said}");
        assert_ne!(said["event"], true, "{ids}: {said}");
    }
}

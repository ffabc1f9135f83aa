//! The real service, from its configuration to its spool: what the tests beside this one put together
//! by hand is put together by it in the same way.

use std::net::SocketAddr;

use millrace::{
    config,
    runtime::shutdown::{Phase, Shutdown},
    service::{self, Running},
};

use super::{
    key_host::{KeyHost, Says},
    rig::{EVENT, FIRST_PATH, SECOND_PATH, pair},
    signer::{FIRST, SECOND},
};
use crate::support::{Raw, Reply, eventually, within};

/// Two sources, `audit` of Adobe I/O's and `leads` of Marketo's, and a Kafka that is not there.
async fn started(more: (&str, &str), spool: &std::path::Path, shutdown: &Shutdown) -> Running {
    let environment = [
        ("MILLRACE_KAFKA__BOOTSTRAP_SERVERS", "127.0.0.1:1"),
        ("MILLRACE_LISTEN__ADDRESS", "127.0.0.1:0"),
        ("MILLRACE_ADMIN__ADDRESS", "127.0.0.1:0"),
        ("MILLRACE_SPOOL__DIRECTORY", spool.to_str().unwrap()),
        ("MILLRACE_SPOOL__SIZE_LIMIT", "1GiB"),
        ("MILLRACE_SPOOL__RESERVE", "66MiB"),
        ("MILLRACE_SHUTDOWN__DELAY", "0s"),
        ("MILLRACE_SHUTDOWN__FLUSH", "10ms"),
        ("MILLRACE_SOURCES__AUDIT__KIND", "adobe-io"),
        ("MILLRACE_SOURCES__AUDIT__AUTH__CLIENT_IDS", "our-client-id"),
        ("MILLRACE_SOURCES__LEADS__KIND", "marketo-lead-activity"),
        ("MILLRACE_SOURCES__LEADS__AUTH__TOKENS", "hunter2"),
        more,
    ];
    let config = config::load(None, environment).unwrap_or_else(|mistakes| panic!("{mistakes}"));
    service::start(config, None, shutdown.clone()).await.unwrap()
}

async fn deliver(address: SocketAddr, source: &str, headers: &[String], body: &str) -> Reply {
    let mut sender = Raw::connect(address).await;
    let (head, length) = (headers.join("\r\n"), body.len());
    sender
        .send(format!(
            "POST /v1/{source} HTTP/1.1\r\nhost: here\r\n{head}\r\ncontent-length: {length}\r\n\r\n{body}"
        ))
        .await;
    sender.reply().await
}

async fn takes_what_is_signed_and_ours_and_nothing_else(more: (&str, &str)) {
    let (spool, shutdown) = (tempfile::tempdir().unwrap(), Shutdown::new());
    let running = started(more, spool.path(), &shutdown).await;
    let (address, audit) = (running.deliveries, "audit");
    let signed = |body: &str| pair(1, &FIRST, FIRST_PATH, body.as_bytes());
    assert_eq!(deliver(address, audit, &signed(EVENT), EVENT).await.status, 200);
    let foreign = EVENT.replace("our-client-id", "somebody-else");
    assert_eq!(deliver(address, audit, &signed(&foreign), &foreign).await.status, 503);
    let token = ["authorization: Bearer hunter2".to_owned()];
    assert_eq!(deliver(address, audit, &token, EVENT).await.status, 401);
    assert_eq!(deliver(address, "leads", &token, "{}").await.status, 200);
    assert_eq!(deliver(address, "leads", &signed(EVENT), EVENT).await.status, 401);
    let mut asker = Raw::connect(address).await;
    asker.send("GET /v1/audit?challenge=4711 HTTP/1.1\r\nhost: here\r\n\r\n").await;
    assert_eq!(asker.reply().await.text(), "4711");
    assert_eq!(running.backlog().1, 2, "two deliveries are in the spools");
    shutdown.advance(Phase::Closing);
    within(running.finished()).await.unwrap();
}

#[tokio::test]
async fn a_configured_service_takes_signed_deliveries_by_the_keys_of_a_host() {
    let host = KeyHost::start();
    host.says(FIRST_PATH, Says::text(&FIRST.public));
    let url = host.url.to_string();
    takes_what_is_signed_and_ours_and_nothing_else(("MILLRACE_ADOBE__KEYS_URL", &url)).await;
    assert_eq!(host.asked(), [format!("GET {FIRST_PATH} HTTP/1.1")]);
}

#[tokio::test]
async fn a_configured_service_takes_signed_deliveries_by_the_keys_in_a_folder() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join(&FIRST_PATH[1..]);
    std::fs::create_dir_all(file.parent().unwrap()).unwrap();
    std::fs::write(file, &FIRST.public).unwrap();
    let keys = folder.path().to_str().unwrap();
    takes_what_is_signed_and_ours_and_nothing_else(("MILLRACE_ADOBE__KEYS_FOLDER", keys)).await;
}

async fn stop(running: Running, shutdown: &Shutdown) {
    shutdown.advance(Phase::Closing);
    within(running.finished()).await.unwrap();
}

#[tokio::test]
async fn a_key_that_proved_a_delivery_of_ours_is_there_after_a_restart_without_the_host() {
    let host = KeyHost::start();
    host.says(FIRST_PATH, Says::text(&FIRST.public));
    let (url, spool) = (host.url.to_string(), tempfile::tempdir().unwrap());
    let keys = ("MILLRACE_ADOBE__KEYS_URL", url.as_str());
    let signed = pair(1, &FIRST, FIRST_PATH, EVENT.as_bytes());

    let shutdown = Shutdown::new();
    let running = started(keys, spool.path(), &shutdown).await;
    assert_eq!(deliver(running.deliveries, "audit", &signed, EVENT).await.status, 200);
    let file = spool.path().join("adobe.keys");
    eventually(|| file.exists()).await;
    stop(running, &shutdown).await;

    host.says(FIRST_PATH, Says::Nothing);
    let shutdown = Shutdown::new();
    let running = started(keys, spool.path(), &shutdown).await;
    assert_eq!(deliver(running.deliveries, "audit", &signed, EVENT).await.status, 200);
    assert_eq!(host.asked().len(), 1, "it was not fetched again");
    stop(running, &shutdown).await;

    // A damaged file is no key and no obstacle.
    let mut bytes = std::fs::read(&file).unwrap();
    bytes[30] ^= 1;
    std::fs::write(&file, bytes).unwrap();
    let shutdown = Shutdown::new();
    let running = started(keys, spool.path(), &shutdown).await;
    assert_eq!(deliver(running.deliveries, "audit", &signed, EVENT).await.status, 503);
    stop(running, &shutdown).await;
}

#[tokio::test]
async fn a_key_that_proved_only_what_was_for_somebody_else_is_not_kept() {
    let host = KeyHost::start();
    host.says(FIRST_PATH, Says::text(&FIRST.public));
    host.says(SECOND_PATH, Says::text(&SECOND.public));
    let (url, spool, shutdown) =
        (host.url.to_string(), tempfile::tempdir().unwrap(), Shutdown::new());
    let running = started(("MILLRACE_ADOBE__KEYS_URL", &url), spool.path(), &shutdown).await;
    let foreign = EVENT.replace("our-client-id", "somebody-else");
    let signed = pair(1, &FIRST, FIRST_PATH, foreign.as_bytes());
    assert_eq!(deliver(running.deliveries, "audit", &signed, &foreign).await.status, 503);
    let signed = pair(2, &SECOND, SECOND_PATH, EVENT.as_bytes());
    assert_eq!(deliver(running.deliveries, "audit", &signed, EVENT).await.status, 200);
    let file = spool.path().join("adobe.keys");
    eventually(|| file.exists()).await;
    stop(running, &shutdown).await;
    let kept = String::from_utf8_lossy(&std::fs::read(&file).unwrap()).into_owned();
    assert!(kept.contains(SECOND_PATH) && !kept.contains(FIRST_PATH), "{kept}");
}

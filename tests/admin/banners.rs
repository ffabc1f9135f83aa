//! Each banner is there when it is true, and not before; each leads to a heading of the runbook.

use std::{net::TcpListener, process::Command};

use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;

use crate::{signer::FIRST, support::Service};

const KEY: &str = "prod/keys/of-the-tests.pem";

fn document() -> Value {
    serde_json::from_str(include_str!("../../src/observe/api/openapi.json")).unwrap()
}

#[track_caller]
fn leads_to_the_runbook(banner: &Value) {
    let runbook = include_str!("../../deploy/RUNBOOK.md");
    let heading = format!("\n## {}\n", banner["runbook"].as_str().unwrap());
    assert!(runbook.contains(&heading), "{banner}");
}

#[tokio::test]
async fn kafka_is_away_once_a_contact_has_failed_and_not_before() {
    // It takes connections, and says nothing.
    let silent = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = silent.local_addr().unwrap().to_string();
    let service = Service::start(&[("KAFKA__BOOTSTRAP_SERVERS", &address)]);
    let status = service.get("/api/v1/status").await.json();
    assert_eq!(
        (&status["banners"], &status["kafka"]["away"]),
        (&serde_json::json!([]), &false.into())
    );
    drop(silent);
    let banner = service.banner("kafka-away").await;
    leads_to_the_runbook(&banner);
    let status = service.get("/api/v1/status").await.json();
    assert_eq!(status["kafka"]["away"], true);
}

#[tokio::test]
async fn while_the_service_starts_the_api_answers_503_as_the_document_says() {
    let folder = tempfile::tempdir().unwrap();
    // Reading it waits for a writer.
    let key = folder.path().join("deduplicate.key");
    assert!(Command::new("mkfifo").arg(&key).status().unwrap().success());
    let service = Service::begin(folder, &[]);
    for path in ["/api/v1/status", "/api/v1/words", "/api/v1/replays"] {
        let answer = service.get(path).await;
        assert_eq!(answer.status, 503, "{path}: {}", answer.text);
        let said = answer.json();
        assert_eq!(said["error"], "unavailable");
        assert!(said["text"].as_str().unwrap().contains("starting"), "{said}");
        let document = document();
        let described = &document["paths"][path]["get"]["responses"]["503"];
        let schema = &described["content"]["application/json"]["schema"]["$ref"];
        assert_eq!(schema, "#/components/schemas/Error", "{path}: {described}");
    }
}

#[tokio::test]
async fn while_the_service_stops_a_banner_says_so() {
    let service = Service::start(&[("SHUTDOWN__DELAY", "10m")]);
    let status = service.get("/api/v1/status").await.json();
    assert!(!status["banners"].to_string().contains("stopping"), "{status}");
    kill_process(Pid::from_raw(service.id().cast_signed()).unwrap(), Signal::TERM).unwrap();
    let banner = service.banner("stopping").await;
    assert_eq!(banner["level"], "info");
    leads_to_the_runbook(&banner);
    assert_eq!(service.get("/api/v1/status").await.json()["state"], "stopping");
}

#[tokio::test]
async fn a_delivery_that_is_signed_for_somebody_else_is_a_banner_of_its_source() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join(KEY);
    std::fs::create_dir_all(file.parent().unwrap()).unwrap();
    std::fs::write(file, &FIRST.public).unwrap();
    let keys = folder.path().to_str().unwrap();
    let service = Service::start(&[("ADOBE__KEYS_FOLDER", keys)]);
    let body = r#"{"specversion":"1.0","type":"com.adobe.platform.marketo.audit.user","source":"urn:mlm","id":"1","data":{},"recipientclientid":"somebody-else"}"#;
    let signature = FIRST.sign(body.as_bytes());
    let path = format!("/{KEY}");
    let signed =
        [("x-adobe-digital-signature-1", &*signature), ("x-adobe-public-key1-path", &*path)];
    assert_eq!(service.deliver("adobe", &signed, body).await.status, 503);
    let banner = service.banner("foreign-recipient").await;
    assert_eq!(banner["source"], "adobe", "{banner}");
    assert_eq!(banner["key"], "sources.adobe.auth.client_ids");
    leads_to_the_runbook(&banner);
}

#[test]
fn the_document_names_the_kinds_that_the_program_can_send_and_no_other() {
    let document = document();
    let kinds = &document["components"]["schemas"]["Banner"]["properties"]["kind"]["enum"];
    let kinds: Vec<_> = kinds.as_array().unwrap().iter().map(|it| it.as_str().unwrap()).collect();
    let code = include_str!("../../src/service/api/banners.rs");
    for kind in &kinds {
        assert!(code.contains(&format!("\"{kind}\"")), "{kind} is never sent");
    }
}

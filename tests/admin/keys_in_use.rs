//! What an operator is told names the key that is in use, and a sender's slip is told as what it is.

use reqwest::Method;
use serde_json::Value;

use crate::support::Service;

const FILED: &str = "sources.filed.auth.tokens_file";
const SIGNED: &str = "sources.signed.auth.oauth";

#[tokio::test]
async fn a_refusal_names_the_key_that_the_tokens_of_the_source_come_from() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("tokens");
    std::fs::write(&file, "token-in-a-file\n").unwrap();
    let service = Service::start(&[
        ("SOURCES__FILED__KIND", "marketo-lead-activity"),
        ("SOURCES__FILED__AUTH__TOKENS_FILE", file.to_str().unwrap()),
        ("SOURCES__SIGNED__KIND", "marketo-lead-activity"),
        ("SOURCES__SIGNED__AUTH__OAUTH__ISSUER", "http://127.0.0.1:1/tenant"),
        ("SOURCES__SIGNED__AUTH__OAUTH__AUDIENCE", "us"),
    ]);
    let wrong = [("authorization", "Bearer wrong-token")];
    let basic = [("authorization", "Basic wrong-token")];
    let cases: [(&str, &[(&str, &str)], &str, &str); 5] = [
        ("filed", &[], "no-authorization", FILED),
        ("filed", &wrong, "token-unknown", FILED),
        ("filed", &basic, "wrong-scheme", "sources.filed.auth.header_scheme"),
        ("leads", &wrong, "token-unknown", "sources.leads.auth.tokens"),
        ("signed", &[], "no-authorization", SIGNED),
    ];
    for (source, headers, ..) in cases {
        assert_eq!(service.deliver(source, headers, "{}").await.status.as_u16(), 401);
    }
    let listed = service.get("/api/v1/deliveries?outcome=refused").await.json();
    for (source, _, reason, key) in cases {
        let is_it = |it: &&Value| it["source"] == source && it["reason"] == reason;
        let line = service.eventually(|log| {
            let lines: Vec<Value> =
                log.iter().filter_map(|line| serde_json::from_str(line).ok()).collect();
            lines.iter().find(is_it).cloned()
        });
        assert_eq!(line["key"], key, "{line}");
        let entry = listed["deliveries"].as_array().unwrap().iter().find(is_it).unwrap();
        assert_eq!(entry["key"], key, "{entry}");
    }
    let status = service.get("/api/v1/status").await.json();
    let filed = status["sources"].as_array().unwrap().iter().find(|it| it["name"] == "filed");
    let way = filed.unwrap()["ways_in"][0].clone();
    assert_eq!(way["key"], FILED, "{way}");
}

#[tokio::test]
async fn the_admin_listener_names_the_key_that_its_tokens_come_from() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("tokens");
    std::fs::write(&file, "token-in-a-file\n").unwrap();
    let service = Service::start(&[("ADMIN__TOKENS_FILE", file.to_str().unwrap())]);
    let bearer = [("authorization", "Bearer wrong-token")];
    let wrong = service.admin(Method::GET, "/api/v1/status", &bearer, "").await;
    assert!(wrong.text.contains("none of `admin.tokens_file`"), "{}", wrong.text);
    let json = [("content-type", "application/json")];
    let path = "/api/v1/replays?token=token-in-a-file";
    let missing = service.admin(Method::POST, path, &json, "{}").await;
    assert_eq!(missing.status.as_u16(), 401);
    assert!(missing.text.contains("`admin.tokens_file`"), "{}", missing.text);
    assert!(missing.text.contains("in the header"), "{}", missing.text);
}

#[tokio::test]
async fn a_token_in_the_address_is_told_to_be_in_the_wrong_place_and_is_in_no_log() {
    let service = Service::start(&[]);
    for parameter in ["token", "access_token", "TOKEN"] {
        let source = format!("leads?{parameter}=good-token");
        assert_eq!(service.deliver(&source, &[], "{}").await.status.as_u16(), 401);
    }
    let listed = service.get("/api/v1/deliveries?outcome=refused").await.json();
    for entry in listed["deliveries"].as_array().unwrap() {
        let detail = entry["detail"].as_str().unwrap();
        assert!(detail.contains("it must be in the `Authorization` header"), "{entry}");
    }
    service.eventually(|log| log.iter().any(|it| it.contains("no-authorization")).then_some(()));
    let log = service.eventually(|log| Some(log.join("\n")));
    assert!(!log.contains("good-token") && !listed.to_string().contains("good-token"), "{log}");
}

//! Strangers, other pages and other names get nothing; streams are bounded.

use std::io::{Read as _, Write as _};

use reqwest::{Method, StatusCode};

use crate::support::{ADMIN_TOKEN, Service};

const REPLAY: &str = r#"{"filter":{}}"#;

#[tokio::test]
async fn a_foreign_host_origin_or_token_reads_and_changes_nothing() {
    let service = Service::start(&[]);
    let bearer = format!("Bearer {ADMIN_TOKEN}");
    let json = ("content-type", "application/json");
    let host = service.admin(Method::GET, "/api/v1/status", &[("host", "evil.example")], "").await;
    assert_eq!(host.status, StatusCode::FORBIDDEN);
    assert_eq!(service.get("/api/v1/status").await.status, StatusCode::OK);
    let post = |headers: Vec<(&'static str, String)>| {
        let service = &service;
        async move {
            let headers: Vec<_> =
                headers.iter().map(|(name, value)| (*name, value.as_str())).collect();
            service.admin(Method::POST, "/api/v1/replays", &headers, REPLAY).await.status
        }
    };
    let owned = |name: &'static str, value: &str| (name, value.to_owned());
    let json = owned(json.0, json.1);
    let token = owned("authorization", &bearer);
    assert_eq!(post(vec![json.clone()]).await, StatusCode::UNAUTHORIZED);
    let wrong = owned("authorization", "Bearer wrong");
    assert_eq!(post(vec![json.clone(), wrong]).await, StatusCode::UNAUTHORIZED);
    let foreign = owned("origin", "http://evil.example");
    assert_eq!(post(vec![json.clone(), token.clone(), foreign]).await, StatusCode::FORBIDDEN);
    assert_eq!(post(vec![token.clone()]).await, StatusCode::BAD_REQUEST, "no JSON");
    assert_eq!(post(vec![json, token]).await, StatusCode::ACCEPTED);
}

/// What the admin listener answers to a head that no HTTP client writes.
fn status_of(service: &Service, head: &str) -> String {
    let mut stream = std::net::TcpStream::connect(&service.admin).unwrap();
    stream.write_all(format!("{head}\r\nconnection: close\r\n\r\n").as_bytes()).unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    answer.lines().next().unwrap_or_default().to_owned()
}

const OK: &str = "HTTP/1.1 200 OK";
const REFUSED: &str = "HTTP/1.1 403 Forbidden";
const BAD: &str = "HTTP/1.1 400 Bad Request";

#[tokio::test]
async fn a_name_that_only_looks_like_ours_is_refused_by_all_that_shows_anything() {
    let service = Service::start(&[]);
    let admin = service.admin.clone();
    let shows = [
        "/api/v1/status",
        "/api/v1/openapi.json",
        "/api/v1/events",
        "/",
        "/console/console.css",
        "/nothing",
    ];
    for path in &shows[..2] {
        assert_eq!(status_of(&service, &format!("GET {path} HTTP/1.1\r\nhost: {admin}")), OK);
    }
    for host in
        ["evil.example", "[::1]evil.example", "evil.example@127.0.0.1", "localhost@evil.example"]
    {
        for path in shows {
            let head = format!("GET {path} HTTP/1.1\r\nhost: {host}");
            assert_eq!(status_of(&service, &head), REFUSED, "{path} of {host}");
        }
        for path in ["/livez", "/readyz", "/metrics"] {
            let head = format!("GET {path} HTTP/1.1\r\nhost: {host}");
            assert_eq!(status_of(&service, &head), OK, "{path} of {host}");
        }
    }
    for path in shows {
        for head in [
            format!("GET {path} HTTP/1.1\r\nhost: {admin}\r\nhost: {admin}"),
            format!("GET {path} HTTP/1.1\r\nhost: {admin}\r\nhost: evil.example"),
            format!("GET http://evil.example{path} HTTP/1.1\r\nhost: {admin}"),
            format!("GET http://{admin}{path} HTTP/1.1\r\nhost: evil.example"),
        ] {
            assert_eq!(status_of(&service, &head), BAD, "{head}");
        }
        let foreign = format!("GET http://evil.example{path} HTTP/1.1\r\nhost: evil.example");
        assert_eq!(status_of(&service, &foreign), REFUSED, "{foreign}");
    }
}

#[tokio::test]
async fn a_page_of_another_origin_is_shown_nothing() {
    let service = Service::start(&[("ADMIN__HOSTS", "millrace.internal")]);
    let admin = service.admin.clone();
    let ours = [format!("http://{admin}"), "https://millrace.internal".to_owned()];
    let foreign = [
        "http://evil.example",
        "null",
        "http://localhost:1",
        "https://millrace.internal.evil.example",
    ];
    for path in ["/api/v1/status", "/api/v1/openapi.json", "/", "/console/console.css"] {
        for origin in &ours {
            let answer = service.admin(Method::GET, path, &[("origin", origin)], "").await;
            assert_ne!(answer.status, StatusCode::FORBIDDEN, "{path} of {origin}");
        }
        for origin in foreign {
            let answer = service.admin(Method::GET, path, &[("origin", origin)], "").await;
            assert_eq!(answer.status, StatusCode::FORBIDDEN, "{path} of {origin}: {}", answer.text);
        }
    }
    for path in ["/livez", "/readyz", "/metrics"] {
        let answer = service.admin(Method::GET, path, &[("origin", foreign[0])], "").await;
        assert_eq!(answer.status, StatusCode::OK, "{path}");
    }
}

#[tokio::test]
async fn a_session_reads_where_a_token_is_due_and_its_cookie_is_for_no_script_and_no_other_page() {
    let service = Service::start(&[("ADMIN__ADDRESS", "0.0.0.0:0")]);
    assert_eq!(service.get("/api/v1/status").await.status, StatusCode::UNAUTHORIZED);
    for free in ["/livez", "/readyz", "/metrics"] {
        assert_eq!(service.get(free).await.status, StatusCode::OK, "{free}");
    }
    let token = format!(r#"{{"token":"{ADMIN_TOKEN}"}}"#);
    let json = [("content-type", "application/json")];
    let signed_in = service.admin(Method::POST, "/api/v1/session", &json, &token).await;
    assert_eq!(signed_in.status, StatusCode::OK, "{}", signed_in.text);
    let cookie = signed_in.headers["set-cookie"].to_str().unwrap().to_owned();
    assert!(cookie.contains("HttpOnly") && cookie.contains("SameSite=Strict"), "{cookie}");
    let cookie = [("cookie", cookie.split(';').next().unwrap())];
    let status = service.admin(Method::GET, "/api/v1/status", &cookie, "").await;
    assert_eq!(status.status, StatusCode::OK);
    let policy = status.headers["content-security-policy"].to_str().unwrap();
    assert!(policy.starts_with("default-src 'self'") && policy.contains("frame-ancestors 'none'"));
    assert_eq!(status.headers["x-content-type-options"], "nosniff");
    assert!(!status.headers.contains_key("access-control-allow-origin"));
}

#[tokio::test]
async fn a_question_with_a_word_that_is_none_is_refused_and_told_the_possible_ones() {
    let service = Service::start(&[]);
    for (question, possible) in [
        ("events?only=%0aevil", "status, delivery"),
        ("events?only=Status", "status, delivery"),
        ("events?only=status&only=evil", "once"),
        ("events?only=status&only=delivery", "once"),
        ("events?%0aonly=status", "source, outcome, reason, only"),
        ("events?only=%ff", "status, delivery"),
        ("deliveries?outcome=%0aevil", "stored"),
        ("deliveries?limit=1&limit=0", "once"),
        ("dead-letters?reason=evil", "not-json"),
    ] {
        let url = format!("http://{}/api/v1/{question}", service.admin);
        let answer = service.client.get(&url).send().await.unwrap();
        // A stream that is begun has no end.
        assert_eq!(answer.status(), StatusCode::BAD_REQUEST, "{question}");
        let answer = service.get(&format!("/api/v1/{question}")).await;
        assert_eq!(answer.status, StatusCode::BAD_REQUEST, "{question}: {}", answer.text);
        assert!(answer.text.contains(possible), "{question}: {}", answer.text);
        assert!(!answer.text.contains("\\n"), "{question}: {}", answer.text);
    }
}

#[tokio::test]
async fn a_form_asks_for_a_test_delivery_in_a_session_of_ours_alone() {
    let service = Service::start(&[("ADMIN__CONSOLE", "replay")]);
    let token = format!(r#"{{"token":"{ADMIN_TOKEN}"}}"#);
    let json = [("content-type", "application/json")];
    let signed_in = service.admin(Method::POST, "/api/v1/session", &json, &token).await;
    let cookie = signed_in.headers["set-cookie"].to_str().unwrap().to_owned();
    let cookie = ("cookie", cookie.split(';').next().unwrap());
    let form = ("content-type", "application/x-www-form-urlencoded");
    // No source has this name, so that nothing goes to Kafka.
    let post = async |headers: &[(&str, &str)]| {
        service.admin(Method::POST, "/test", headers, "source=nowhere").await.status
    };
    assert_eq!(post(&[form]).await, StatusCode::UNAUTHORIZED);
    assert_eq!(post(&[form, cookie]).await, StatusCode::FORBIDDEN, "no Origin");
    let foreign = ("origin", "https://evil.example");
    assert_eq!(post(&[form, cookie, foreign]).await, StatusCode::FORBIDDEN);
    let own = format!("http://{}", service.admin);
    assert_eq!(post(&[form, cookie, ("origin", &own)]).await, StatusCode::NOT_FOUND);
}

#[tokio::test]
async fn a_hundred_slow_readers_hold_up_neither_deliveries_nor_answers() {
    let service = Service::start(&[]);
    let url = format!("http://{}/api/v1/events", service.admin);
    let mut open = Vec::new();
    let mut refused = 0;
    for client in 1..=10 {
        let client = service.client_at(client);
        for _ in 0..10 {
            match client.get(&url).send().await {
                Ok(answer) if answer.status() == StatusCode::OK => open.push(answer),
                Ok(answer) => {
                    assert_eq!(answer.status(), StatusCode::TOO_MANY_REQUESTS);
                    refused += 1;
                }
                Err(error) => panic!("{error}"),
            }
        }
    }
    assert_eq!((open.len(), refused), (16, 84), "four of each client, sixteen of all");
    let body = r#"{"munchkinId":"999-XYZ-000","activities":[]}"#;
    let headers = [("authorization", "Bearer good-token")];
    for _ in 0..100 {
        assert_eq!(service.deliver("leads", &headers, body).await.status, StatusCode::OK);
    }
    assert_eq!(service.get("/livez").await.status, StatusCode::OK);
    let mut reader = open.pop().unwrap();
    let mut text = String::new();
    while !(text.contains("event: delivery") && text.contains("event: status")) {
        text += &String::from_utf8_lossy(&reader.chunk().await.unwrap().unwrap());
    }
}

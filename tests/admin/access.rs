//! Strangers, other pages and other names get nothing; streams are bounded.

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
    for _ in 0..40 {
        match service.client.get(&url).send().await {
            Ok(answer) if answer.status() == StatusCode::OK => open.push(answer),
            Ok(answer) => {
                assert_eq!(answer.status(), StatusCode::TOO_MANY_REQUESTS);
                refused += 1;
            }
            Err(error) => panic!("{error}"),
        }
    }
    assert_eq!((open.len(), refused), (16, 24));
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

//! Signing in and out of the console by ordinary forms, as a browser without JavaScript sends them.

use reqwest::{Client, Method, StatusCode, redirect::Policy};

use crate::support::{ADMIN_TOKEN, Answer, Service};

const FORM: (&str, &str) = ("content-type", "application/x-www-form-urlencoded");

/// A console where reading needs a session, and a browser that follows no redirect by itself.
fn console() -> Service {
    let mut service =
        Service::start(&[("ADMIN__ADDRESS", "0.0.0.0:0"), ("ADMIN__CONSOLE", "read")]);
    service.admin = service.admin.replace("0.0.0.0", "127.0.0.1");
    service.client = Client::builder().no_proxy().redirect(Policy::none()).build().unwrap();
    service
}

async fn post(service: &Service, path: &str, origin: Option<&str>, body: &str) -> Answer {
    let mut headers = vec![FORM];
    headers.extend(origin.map(|origin| ("origin", origin)));
    service.admin(Method::POST, path, &headers, body).await
}

#[tokio::test]
async fn a_form_without_javascript_signs_in_leads_to_the_page_that_was_asked_for_and_signs_out() {
    let service = console();
    let page = service.get("/deliveries?source=leads").await;
    assert_eq!(page.status, StatusCode::SEE_OTHER);
    let page = service.get(page.headers["location"].to_str().unwrap()).await;
    for part in [
        r#"method="post" action="/sign-in""#,
        r#"name="token""#,
        r#"name="to" value="/deliveries?source=leads""#,
    ] {
        assert!(page.text.contains(part), "{part}: {}", page.text);
    }
    assert!(!page.text.contains("needs JavaScript"), "{}", page.text);

    let own = format!("http://{}", service.admin);
    let form = format!("to=%2Fdeliveries%3Fsource%3Dleads&token={ADMIN_TOKEN}");
    let signed_in = post(&service, "/sign-in", Some(&own), &form).await;
    assert_eq!(signed_in.status, StatusCode::SEE_OTHER, "{}", signed_in.text);
    assert_eq!(signed_in.headers["location"], "/deliveries?source=leads");
    let cookie = signed_in.headers["set-cookie"].to_str().unwrap();
    assert!(cookie.contains("HttpOnly") && cookie.contains("SameSite=Strict"), "{cookie}");
    let cookie = cookie.split(';').next().unwrap();
    let page = service.admin(Method::GET, "/", &[("cookie", cookie)], "").await;
    assert_eq!(page.status, StatusCode::OK);
    assert!(page.text.contains(r#"method="post" action="/sign-out""#), "{}", page.text);

    let headers = [FORM, ("origin", &own), ("cookie", cookie)];
    let signed_out = service.admin(Method::POST, "/sign-out", &headers, "").await;
    assert_eq!(
        (signed_out.status, &signed_out.headers["location"]),
        (StatusCode::SEE_OTHER, &"/".parse().unwrap())
    );
    assert!(signed_out.headers["set-cookie"].to_str().unwrap().contains("Max-Age=0"));
    let page = service.admin(Method::GET, "/", &[("cookie", cookie)], "").await;
    assert_eq!(page.status, StatusCode::SEE_OTHER, "the session has ended");
}

#[tokio::test]
async fn a_wrong_token_is_told_on_the_page_and_no_form_of_another_origin_signs_in_or_out() {
    let service = console();
    let own = format!("http://{}", service.admin);
    let wrong = post(&service, "/sign-in", Some(&own), "token=wrong&to=/deliveries").await;
    assert_eq!(wrong.status, StatusCode::UNAUTHORIZED);
    assert!(wrong.text.contains("none of `admin.tokens`"), "{}", wrong.text);
    assert!(wrong.text.contains(r#"value="/deliveries""#), "{}", wrong.text);
    assert!(!wrong.headers.contains_key("set-cookie"));
    let form = format!("token={ADMIN_TOKEN}");
    for origin in [None, Some("null"), Some("https://evil.example"), Some("http://127.0.0.1:1")] {
        for path in ["/sign-in", "/sign-out"] {
            let refused = post(&service, path, origin, &form).await;
            assert_eq!(refused.status, StatusCode::FORBIDDEN, "{path} {origin:?}");
            assert!(!refused.headers.contains_key("set-cookie"), "{path} {origin:?}");
            // A program that sends none is told so, and is not called a foreign page.
            let told = refused.text.contains("has no <code>Origin</code> header");
            assert_eq!(told, origin.is_none(), "{}", refused.text);
        }
    }
    // Where it leads is ours.
    let form = format!("token={ADMIN_TOKEN}&to=https://evil.example/");
    let elsewhere = post(&service, "/sign-in", Some(&own), &form).await;
    assert_eq!(elsewhere.headers["location"], "/");
    let huge = format!("token={}", "x".repeat(100_000));
    assert_eq!(
        post(&service, "/sign-in", Some(&own), &huge).await.status,
        StatusCode::PAYLOAD_TOO_LARGE
    );
    assert_eq!(service.get("/sign-out").await.status, StatusCode::METHOD_NOT_ALLOWED);
}

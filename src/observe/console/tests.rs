//! Pages made of the API's examples, and of objects with scripts in their texts.

use std::sync::Mutex;

use serde_json::{Value, json};

use super::*;

/// Answers with the examples of the document.
struct Examples(Mutex<Value>);

impl Examples {
    fn document() -> Value {
        serde_json::from_str(include_str!("../api/openapi.json")).unwrap()
    }
}

impl Api for Examples {
    async fn get(&self, path: &str, _: &Parts) -> (StatusCode, Bytes) {
        let path = path.split('?').next().unwrap();
        let template = match path.split('/').collect::<Vec<_>>()[..] {
            ["", "api", "v1", "deliveries", _, _] => "/api/v1/deliveries/{source}/{position}",
            ["", "api", "v1", "replays", _] => "/api/v1/replays/{id}",
            _ => path,
        };
        let document = self.0.lock().unwrap();
        let answer = &document["paths"][template]["get"]["responses"]["200"]["content"]["application/json"]
            ["example"];
        match answer {
            Value::Null => (
                StatusCode::NOT_FOUND,
                Bytes::from_static(br#"{"error":"unknown","text":"There is none."}"#),
            ),
            answer => (StatusCode::OK, Bytes::from(answer.to_string())),
        }
    }

    async fn test_delivery(&self, request: Value, _: &Parts) -> Result<TestDelivery, api::Problem> {
        if request["source"] != "leads" {
            return Err(api::Problem::new("unknown", "There is no such source."));
        }
        let document = self.0.lock().unwrap();
        let said = &document["paths"]["/api/v1/test-deliveries"]["post"]["responses"]["200"];
        Ok(serde_json::from_value(said["content"]["application/json"]["example"].clone()).unwrap())
    }

    fn sign_in(&self, _: &str, _: &Parts) -> Result<String, api::Problem> {
        Err(api::Problem::new("wrong-token", "It is none."))
    }

    fn sign_out(&self, _: &Parts) -> Result<String, api::Problem> {
        Ok(String::new())
    }
}

const PAGES: [&str; 9] = [
    "/",
    "/path",
    "/path?topics=all",
    "/deliveries",
    "/deliveries/leads/42",
    "/dead-letters",
    "/replays/r-1",
    "/test",
    "/sign-in",
];

fn head(method: &str, address: &str) -> Parts {
    http::Request::builder().method(method).uri(address).body(()).unwrap().into_parts().0
}

fn nothing() -> Full<Bytes> {
    Full::default()
}

fn ask(console: &Console<Examples>, address: &str) -> (StatusCode, HeaderMap, String) {
    use http_body_util::BodyExt as _;
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    runtime.block_on(async {
        let answer = console.answer(&head("GET", address), nothing()).await;
        let (head, body) = answer.into_parts();
        let body = body.collect().await.unwrap().to_bytes();
        (head.status, head.headers, String::from_utf8(body.to_vec()).unwrap())
    })
}

#[test]
fn each_page_is_made_of_the_examples_of_the_api() {
    let console = Console::new(Examples(Mutex::new(Examples::document())));
    for address in PAGES {
        let (status, headers, page) = ask(&console, address);
        assert_eq!(status, StatusCode::OK, "{address}: {page}");
        assert_eq!(headers[header::CONTENT_SECURITY_POLICY], CONTENT_POLICY);
        assert_eq!(headers[header::CACHE_CONTROL], "no-store");
        assert!(page.len() < 60_000, "{address}: {}", page.len());
    }
    let (_, _, overview) = ask(&console, "/");
    for shown in [
        "Adobe I/O asks whether it may send here",
        "validate?id=",
        "MillraceValidationWaits",
        "after 3 failures",
        "topic authorization failed",
        "1 topic held",
    ] {
        assert!(overview.contains(shown), "{shown}");
    }
    assert!(!overview.contains("since <time"), "a duration, and not the time of its beginning");
}

#[test]
fn a_test_delivery_by_a_form_shows_its_result_on_the_same_page() {
    let post = |form: &'static str, document| {
        use http_body_util::BodyExt as _;
        let console = Console::new(Examples(Mutex::new(document)));
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async {
            let answer = console.answer(&head("POST", "/test"), Full::from(form)).await;
            let (head, body) = answer.into_parts();
            let body = body.collect().await.unwrap().to_bytes();
            (head.status, String::from_utf8(body.to_vec()).unwrap())
        })
    };
    let (status, page) = post("source=leads&type=clicklink", Examples::document());
    assert_eq!(status, StatusCode::OK, "{page}");
    for text in ["marketo.test, partition 0, offset 7", "12 ms", "marketo.lead-activity.clicklink"]
    {
        assert!(page.contains(text), "{text} in {page}");
    }
    assert!(page.contains(r#"method="post" action="/test""#), "the next one can be sent");

    let (status, page) = post("source=%3Cscript%3E&type=x", Examples::document());
    assert_eq!(status, StatusCode::NOT_FOUND);
    assert!(page.contains("There is no such source.") && !page.contains("<script>"), "{page}");

    let mut document = Examples::document();
    let said = &mut document["paths"]["/api/v1/test-deliveries"]["post"]["responses"]["200"]["content"]
        ["application/json"]["example"];
    said["would_go_to"] = Value::Null;
    said["left_out_by"] = json!("sources.leads.exclude");
    let (_, page) = post("source=leads&type=clicklink", document);
    assert!(page.contains("no topic: sources.leads.exclude leaves it out"), "{page}");
}

/// Puts a script into each text of the examples that no program reads.
fn add_scripts(value: &mut Value) {
    const READ_BY_PROGRAMS: [&str; 13] = [
        "state", "level", "kind", "console", "delivery", "result", "from", "id", "link", "what",
        "outcome", "position", "next",
    ];
    match value {
        Value::String(text) => text.push_str(SCRIPT),
        Value::Array(values) => values.iter_mut().for_each(add_scripts),
        Value::Object(members) => {
            for (name, value) in members.iter_mut() {
                if !(value.is_string() && READ_BY_PROGRAMS.contains(&name.as_str())) {
                    add_scripts(value);
                }
            }
        }
        _ => {}
    }
}

const SCRIPT: &str = "\"'><script>alert(1)</script><img src=x onerror=alert(1)>";

#[test]
fn a_script_in_any_text_that_is_shown_is_text() {
    let mut document = Examples::document();
    for (_, path) in document["paths"].as_object_mut().unwrap() {
        let example =
            &mut path["get"]["responses"]["200"]["content"]["application/json"]["example"];
        add_scripts(example);
    }
    document["paths"]["/api/v1/status"]["get"]["responses"]["200"]["content"]["application/json"]
        ["example"]["banners"][0]["link"] = json!("javascript:alert(1)");
    let console = Console::new(Examples(Mutex::new(document)));
    for address in PAGES {
        let (status, _, page) = ask(&console, address);
        assert_eq!(status, StatusCode::OK, "{address}: {page}");
        assert!(!page.contains("<script>") && !page.contains("<img"), "{address}");
        assert!(!page.contains("javascript:"), "{address}");
        // One script, from a file, and no style or handler in the page.
        assert_eq!(page.matches("<script").count(), 1, "{address}");
        assert!(
            !page.contains(" style=") && !page.contains("<style") && !page.contains(" onload="),
            "{address}"
        );
    }
}

#[test]
fn a_refusal_of_the_api_is_a_page_or_the_sign_in() {
    struct Refuses(StatusCode, &'static str);
    impl Api for Refuses {
        async fn get(&self, _: &str, _: &Parts) -> (StatusCode, Bytes) {
            (self.0, Bytes::from_static(self.1.as_bytes()))
        }

        async fn test_delivery(&self, _: Value, _: &Parts) -> Result<TestDelivery, api::Problem> {
            Err(api::Problem::new("no-token", "A token is due."))
        }

        fn sign_in(&self, _: &str, _: &Parts) -> Result<String, api::Problem> {
            Err(api::Problem::new("wrong-token", "It is none."))
        }

        fn sign_out(&self, _: &Parts) -> Result<String, api::Problem> {
            Ok(String::new())
        }
    }
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    runtime.block_on(async {
        let no_token =
            Console::new(Refuses(StatusCode::UNAUTHORIZED, r#"{"error":"no-token","text":""}"#));
        let answer = no_token.answer(&head("GET", "/deliveries?source=leads"), nothing()).await;
        assert_eq!(answer.status(), StatusCode::SEE_OTHER);
        assert_eq!(
            answer.headers()[header::LOCATION],
            "/sign-in?to=%2Fdeliveries%3Fsource%3Dleads"
        );

        let foreign = Console::new(Refuses(
            StatusCode::FORBIDDEN,
            r#"{"error":"foreign-host","text":"<b>no</b>"}"#,
        ));
        let answer = foreign.answer(&head("GET", "/"), nothing()).await;
        assert_eq!(answer.status(), StatusCode::FORBIDDEN);
        assert!(!Console::<Refuses>::has("/livez"));
        let answer = foreign.answer(&head("POST", "/"), nothing()).await;
        assert_eq!(answer.status(), StatusCode::METHOD_NOT_ALLOWED);
    });
}

#[test]
fn no_page_leaves_out_the_escaping() {
    let pre_escaped = concat!("Pre", "Escaped");
    for (name, code) in [
        ("parts", include_str!("parts.rs")),
        ("page", include_str!("page.rs")),
        ("plot", include_str!("plot.rs")),
        ("overview", include_str!("pages/overview.rs")),
        ("path", include_str!("pages/path.rs")),
        ("deliveries", include_str!("pages/deliveries.rs")),
        ("delivery", include_str!("pages/delivery.rs")),
        ("dead_letters", include_str!("pages/dead_letters.rs")),
        ("replay", include_str!("pages/replay.rs")),
        ("test", include_str!("pages/test.rs")),
        ("sign_in", include_str!("pages/sign_in.rs")),
        ("problem", include_str!("pages/problem.rs")),
    ] {
        assert!(!code.contains(pre_escaped), "{name}");
    }
}

//! Each answer is as the document describes it, to the last member.

use serde_json::{Value, json};

use crate::support::Service;

fn document() -> Value {
    serde_json::from_str(include_str!("../../src/observe/api/openapi.json")).unwrap()
}

#[track_caller]
fn conforms(schema: &Value, document: &Value, answer: &Value) {
    let mut schema = schema.clone();
    schema["components"] = document["components"].clone();
    let validator = jsonschema::validator_for(&schema).unwrap();
    let errors: Vec<_> =
        validator.iter_errors(answer).map(|it| format!("{}: {it}", it.instance_path())).collect();
    assert!(errors.is_empty(), "{errors:#?}\n{answer:#}");
}

fn schema<'a>(document: &'a Value, path: &str, method: &str, status: &str) -> &'a Value {
    let answer = &document["paths"][path][method]["responses"][status];
    &answer["content"]["application/json"]["schema"]
}

#[test]
fn the_examples_of_the_document_are_as_it_describes_them() {
    let document = document();
    for (path, methods) in document["paths"].as_object().unwrap() {
        for (method, operation) in methods.as_object().unwrap() {
            for (status, answer) in operation["responses"].as_object().unwrap() {
                let content = &answer["content"]["application/json"];
                if let Some(example) = content.get("example") {
                    eprintln!("{method} {path} {status}");
                    conforms(&content["schema"], &document, example);
                }
            }
        }
    }
}

#[tokio::test]
async fn each_answer_is_as_the_document_describes_it() {
    let service = Service::start(&[("ADMIN__BODIES", "true")]);
    let document = document();
    let body = r#"{"munchkinId":"999-XYZ-000","activities":[
        {"marketoGUID":"1","leadId":7,"activityDate":"2026-01-01T00:00:00Z","activityTypeId":11}, 7]}"#;
    let headers = [("authorization", "Bearer good-token"), ("content-type", "application/json")];
    service.deliver("leads", &headers, body).await;
    service.deliver("leads", &[], body).await;
    for (path, template) in [
        ("/api/v1/status", "/api/v1/status"),
        ("/api/v1/words", "/api/v1/words"),
        ("/api/v1/deliveries", "/api/v1/deliveries"),
        ("/api/v1/deliveries?source=leads&since=1h&limit=1", "/api/v1/deliveries"),
        ("/api/v1/deliveries/leads/1", "/api/v1/deliveries/{source}/{position}"),
        ("/api/v1/replays", "/api/v1/replays"),
        ("/api/v1/session", "/api/v1/session"),
        ("/api/v1/openapi.json", "/api/v1/openapi.json"),
    ] {
        let answer = service.get(path).await;
        assert_eq!(answer.status, 200, "{path}: {}", answer.text);
        conforms(schema(&document, template, "get", "200"), &document, &answer.json());
    }
    let error = json!({ "$ref": "#/components/schemas/Error" });
    for (path, status) in [
        ("/api/v1/deliveries/leads/2", 404),
        ("/api/v1/deliveries/leads/0", 404),
        ("/api/v1/deliveries/nobody/1", 404),
        ("/api/v1/deliveries/leads/x", 400),
        ("/api/v1/deliveries?limit=0", 400),
        ("/api/v1/dead-letters?before=abc", 400),
        ("/api/v1/deliveries?outcome=foo", 400),
        ("/api/v1/deliveries?source=nope", 400),
        ("/api/v1/deliveries?reason=nope", 400),
        ("/api/v1/deliveries?nope=x", 400),
        ("/api/v1/events?outcome=foo", 400),
        ("/api/v1/events?nope=x", 400),
        ("/api/v1/dead-letters?reason=nojson", 400),
        ("/api/v1/dead-letters?source=no%20name", 400),
        ("/api/v1/replays/r-7", 404),
        ("/api/v1/nothing", 404),
    ] {
        let answer = service.get(path).await;
        assert_eq!(answer.status, status, "{path}");
        conforms(&error, &document, &answer.json());
    }
    let unknown = service.get("/api/v1/deliveries?outcome=foo").await.json();
    let text = unknown["text"].as_str().unwrap();
    assert!(text.contains("`foo` is no outcome; the possible ones are stored, "), "{text}");
    let detail = service.get("/api/v1/deliveries/leads/1").await.json();
    assert_eq!(detail["state"], "on-its-way");
    assert_eq!(detail["events"][0]["topic"], "marketo.lead-activity.clickemail");
    assert!(detail["body"]["text"].as_str().unwrap().contains("999-XYZ-000"));
    let chosen = r#"{"from":"spool","positions":[{"source":"leads","position":"1"}]}"#;
    let begun = service.post("/api/v1/replays", chosen).await;
    assert_eq!(begun.status, 202, "{}", begun.text);
    conforms(schema(&document, "/api/v1/replays", "post", "202"), &document, &begun.json());
    let path = format!("/api/v1/replays/{}", begun.json()["id"].as_str().unwrap());
    let ended = loop {
        let replay = service.get(&path).await.json();
        conforms(schema(&document, "/api/v1/replays/{id}", "get", "200"), &document, &replay);
        if replay["state"] != "running" {
            break replay;
        }
    };
    assert_eq!(ended["state"], "done", "{ended}");
    assert_eq!(ended["results"][0]["result"], "would-send", "{ended}");
    assert_eq!(ended["results"][1]["result"], "refused", "{ended}");
}

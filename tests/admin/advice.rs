//! What operators are told to do is about what is wrong.

use serde_json::Value;

use crate::support::Service;

#[tokio::test]
async fn a_delivery_of_no_source_is_told_of_its_url_and_of_no_key_of_that_source() {
    let service = Service::start(&[]);
    assert_eq!(service.deliver("laeds", &[], "{}").await.status, 503);
    let listed = service.get("/api/v1/deliveries?outcome=unknown-source").await.json();
    let delivery = &listed["deliveries"][0];
    assert_eq!(delivery["detail"], "/v1/laeds", "{delivery}");
    let status = service.get("/api/v1/status").await.json();
    let refused = &status["others"]["refused"][0];
    let words = service.get("/api/v1/words").await.json();
    let of_words = |list: &str, name: &str| {
        let all = words[list].as_array().unwrap().clone();
        all.into_iter().find(|it| it[name] == "unknown-source").unwrap()
    };
    let (reason, outcome) = (of_words("reasons", "reason"), of_words("outcomes", "outcome"));
    for told in [delivery, refused, &reason, &outcome] {
        assert_eq!(told["key"], Value::Null, "no key of a source that does not exist: {told}");
    }
    for text in [&refused["text"], &reason["text"], &outcome["wrong"]] {
        let text = text.as_str().unwrap();
        assert!(text.contains("URL") && text.contains("name"), "{text}");
    }
    let line = service.eventually(|log| {
        let mut lines = log.iter().filter_map(|line| serde_json::from_str::<Value>(line).ok());
        lines.find(|line| line["outcome"] == "unknown-source")
    });
    assert!(line["key"].is_null() && line["detail"] == "/v1/laeds", "{line}");
}

#[tokio::test]
async fn of_a_bad_token_adobe_does_not_come_again_and_marketo_keeps_the_event() {
    let service = Service::start(&[]);
    let words = service.get("/api/v1/words").await.json();
    let all = words["outcomes"].as_array().unwrap();
    for outcome in ["bad-credentials", "bad-token"] {
        let row = all.iter().find(|it| it["outcome"] == outcome).unwrap();
        assert_eq!((&row["adobe"], &row["marketo"]), (&"gives up".into(), &"again".into()));
        let event = |sender: &str| row["event"][sender].as_str().unwrap_or_default().to_owned();
        assert!(event("adobe").starts_with("lost to the webhook"), "{row}");
        assert!(event("marketo").starts_with("the sender's"), "{row}");
    }
    let stored = all.iter().find(|it| it["outcome"] == "stored").unwrap();
    assert_eq!(stored["event"], serde_json::json!({ "adobe": "ours", "marketo": "ours" }));
}

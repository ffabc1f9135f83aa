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
    // Counters are looked at once a second.
    let refused = loop {
        let status = service.get("/api/v1/status").await.json();
        if let Some(refused) = status["others"]["refused"].get(0) {
            break refused.clone();
        }
        tokio::time::sleep(std::time::Duration::from_millis(50)).await;
    };
    let words = service.get("/api/v1/words").await.json();
    let of_words = |list: &str, name: &str| {
        let all = words[list].as_array().unwrap().clone();
        all.into_iter().find(|it| it[name] == "unknown-source").unwrap()
    };
    let (reason, outcome) = (of_words("reasons", "reason"), of_words("outcomes", "outcome"));
    for told in [delivery, &refused, &reason, &outcome] {
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

#[tokio::test]
async fn the_log_of_a_start_and_the_api_name_the_ways_in_of_a_source_in_the_same_words() {
    let service = Service::start(&[
        ("SOURCES__LEADS__AUTH__QUERY_PARAMETER", "key"),
        ("SOURCES__LEADS__AUTH__OAUTH__ISSUER", "https://login.example.com/t"),
        ("SOURCES__LEADS__AUTH__OAUTH__AUDIENCE", "us"),
        ("SOURCES__AUDIT__AUTH__QUERY_PARAMETER", "key"),
        ("SOURCES__ADOBE__AUTH__TOKENS", "one,two"),
    ]);
    let status = service.get("/api/v1/status").await.json();
    for source in status["sources"].as_array().unwrap() {
        let ways: Vec<_> = source["ways_in"].as_array().unwrap().iter().collect();
        let ways: Vec<_> = ways.iter().map(|it| it["text"].as_str().unwrap()).collect();
        let line = service.eventually(|log| {
            let mut lines = log.iter().filter_map(|line| serde_json::from_str::<Value>(line).ok());
            lines.find(|it| it["source"] == source["name"] && !it["proof"].is_null())
        });
        assert_eq!(line["proof"], ways.join(", or "), "{line}");
        assert!(ways.len() > 1, "{ways:?}");
    }
}

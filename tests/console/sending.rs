//! What changes something, and who may.

use std::{
    io::{Read as _, Write as _},
    net::TcpStream,
};

use serde_json::{Value, json};

use crate::{
    broker,
    browser::{Browser, PATIENCE},
    consumers::read_topic,
    stage::{self, ADMIN, Stage},
    support::{bridge::Bridge, http::Client, wait},
};

#[test]
fn dead_letters_are_chosen_tried_and_sent_and_each_has_its_result() {
    let stage = Stage::play("replay");
    let browser = stage.operator();
    browser.open("/dead-letters");
    browser.wait_for("topic-limit");
    // By reason.
    browser.click("a.chip[href*='topic-limit']");
    wait::until("the letters of one reason", PATIENCE, || {
        browser.path().contains("reason=topic-limit")
    });
    let letters = browser.count("input[name=chosen]");
    assert!(letters >= 2, "{}", browser.content());
    let send = "[data-send]";
    let disabled = |it: &str| {
        browser.run("return document.querySelector(arguments[0]).disabled", &[json!(it)])
            == json!(true)
    };
    assert!(disabled("[data-try]") && disabled(send), "nothing is chosen");
    browser.click("input[name=chosen]");
    browser.wait_for("1 letter is chosen");
    assert!(disabled(send), "nothing was tried");
    browser.click("#choose-all");
    browser.wait_for(&format!("{letters} letters are chosen"));

    let before: Vec<_> = ["openemail", "newlead"]
        .iter()
        .map(|it| read_topic(&stage.kafka, &stage.topic(it)).len())
        .collect();
    browser.click("[data-try]");
    browser.wait_for(&format!("{letters} events would be sent"));
    wait::until("a result of each", PATIENCE, || browser.count("#result tbody tr") == letters);
    assert!(browser.text("#result").contains("would-send"));
    let after: Vec<_> = ["openemail", "newlead"]
        .iter()
        .map(|it| read_topic(&stage.kafka, &stage.topic(it)).len())
        .collect();
    assert_eq!(after, before, "a dry run sends nothing");

    browser.click(send);
    browser.wait_for(&format!("{letters} events sent"));
    assert_eq!(browser.text("#result tbody tr td[data-label=Result]"), "sent");
    let after: Vec<_> = ["openemail", "newlead"]
        .iter()
        .map(|it| read_topic(&stage.kafka, &stage.topic(it)).len())
        .collect();
    assert_eq!(
        after.iter().sum::<usize>(),
        before.iter().sum::<usize>() + letters,
        "each is on its topic"
    );
    browser.open("/dead-letters");
    browser.wait_for("Last replays");
    assert_eq!(browser.count("table.replays tbody tr"), 2);
    browser.click("table.replays a");
    browser.wait_for("Sent");
}

#[test]
fn a_letter_that_still_has_no_topic_is_told_apart_in_the_dry_run() {
    let stage = Stage::shared();
    let browser = stage.operator();
    browser.open("/dead-letters?reason=not-an-object");
    browser.wait_for("not-an-object");
    browser.click("#choose-matching");
    browser.click("[data-try]");
    browser.wait_for("0 events would be sent");
    let send = browser.run("return document.querySelector('[data-send]').disabled", &[]);
    assert_eq!(send, json!(true), "there is nothing to send");
}

#[test]
fn a_delivery_is_sent_again_from_its_own_page() {
    let stage = Stage::play("again");
    let browser = stage.operator();
    browser.open("/deliveries/leads/1");
    browser.wait_for("Send again");
    browser.click("[data-try]");
    browser.wait_for("2 events would be sent");
    let topic = stage.topic("clicklink");
    let before = read_topic(&stage.kafka, &topic).len();
    browser.click("[data-send]");
    browser.wait_for("2 events sent");
    assert_eq!(read_topic(&stage.kafka, &topic).len(), before + 1);
}

#[test]
fn a_test_delivery_ends_on_a_topic_of_its_own_and_is_marked() {
    let stage = Stage::shared();
    let browser = stage.operator();
    browser.open("/test");
    browser.click("[data-test=leads] button");
    browser.wait_for("Arrived on");
    let records = read_topic(&stage.kafka, &format!("{}.test", stage.prefix));
    assert_eq!(records.len(), 1);
    assert!(
        records[0].headers.iter().any(|(name, _)| name == "millrace-test"),
        "{:?}",
        records[0].headers
    );
    assert!(browser.text("[data-test=leads] .result").contains(records[0].header("ce_id")));
    // Another one is no repeat of it.
    browser.click("[data-test=leads] button");
    let topic = format!("{}.test", stage.prefix);
    wait::until("a second record", PATIENCE, || read_topic(&stage.kafka, &topic).len() == 2);
    let ids: std::collections::BTreeSet<_> =
        read_topic(&stage.kafka, &topic).iter().map(|it| it.header("ce_id").to_owned()).collect();
    assert_eq!(ids.len(), 2, "{ids:?}");
}

#[test]
fn a_test_delivery_of_a_type_that_the_source_leaves_out_says_so() {
    let (kafka, prefix) = (broker::shared(), broker::own_prefix("left-out"));
    let settings = stage::settings(&kafka, &prefix).set("SOURCES__LEADS__EXCLUDE__TYPES", "click*");
    let bridge = Bridge::start(settings);
    let send = |event_type: &str| -> Value {
        let headers =
            ["content-type: application/json".to_owned(), format!("authorization: Bearer {ADMIN}")];
        let body = json!({ "source": "leads", "type": event_type }).to_string();
        let answer =
            bridge.admin().request("POST", "/api/v1/test-deliveries", &headers, body.as_bytes());
        serde_json::from_slice(&answer.expect("an answer").body).expect("JSON")
    };
    let left_out = send("clicklink");
    assert_eq!(left_out["would_go_to"], Value::Null, "{left_out}");
    assert_eq!(left_out["left_out_by"], "sources.leads.exclude.types", "{left_out}");
    let taken = send("openemail");
    assert_eq!(taken["would_go_to"], format!("{prefix}.lead-activity.openemail"), "{taken}");
    assert_eq!(taken["left_out_by"], Value::Null, "{taken}");
}

#[test]
fn without_javascript_a_test_delivery_is_a_form_that_says_what_became_of_it() {
    let (kafka, prefix) = (broker::shared(), broker::own_prefix("form"));
    let bridge = Bridge::start(stage::settings(&kafka, &prefix));
    let browser = Browser::start(bridge.addresses().1);
    browser.run_no_scripts();
    stage::sign_in(&browser);
    browser.open("/test");
    browser.click("[data-test=leads] button");
    browser.wait_for("Arrived on");
    assert_eq!(read_topic(&kafka, &format!("{prefix}.test")).len(), 1);
    // The page that says so has the forms for another one.
    browser.click("[data-test=leads] button");
    let topic = format!("{prefix}.test");
    wait::until("a second record", PATIENCE, || read_topic(&kafka, &topic).len() == 2);
}

#[test]
fn without_a_token_everything_is_shown_and_nothing_can_be_sent() {
    let stage = Stage::shared();
    let browser = stage.browser();
    browser.open("/dead-letters");
    browser.wait_for("sign in");
    assert_eq!(browser.count("[data-try], [data-send], input[name=chosen]"), 0);
    browser.open("/test");
    assert_eq!(
        browser.run("return document.querySelector('form button').disabled", &[]),
        json!(true)
    );
    // A wrong token says so, and the right one leads to the page that was asked for.
    browser.open("/sign-in?to=%2Fdead-letters");
    browser.write("input[name=token]", "wrong");
    browser.click("#sign-in-form button");
    wait::until("a refusal", PATIENCE, || !browser.text("#sign-in-problem").is_empty());
    browser.write("input[name=token]", ADMIN);
    browser.click("#sign-in-form button");
    wait::until("the page", PATIENCE, || browser.path() == "/dead-letters");
    assert!(browser.count("[data-try]") == 1);
    // The session's cookie is out of reach of scripts, and signing out ends it.
    assert_eq!(browser.run("return document.cookie.includes('session')", &[]), json!(false));
    browser.click("[data-sign-out]");
    wait::until("the overview", PATIENCE, || browser.path() == "/");
    assert_eq!(browser.count("[data-sign-out]"), 0);
}

#[test]
fn a_page_of_another_origin_can_neither_send_nor_read_nor_frame() {
    let stage = Stage::shared();
    let browser = stage.operator();
    let admin = stage.bridge.addresses().1;
    let foreign = Client::new(admin).request(
        "POST",
        "/api/v1/replays",
        &[
            "content-type: application/json".to_owned(),
            format!("authorization: Bearer {ADMIN}"),
            "origin: https://evil.example".to_owned(),
        ],
        br#"{"from":"dead-letters","filter":{},"dry_run":true}"#,
    );
    assert_eq!(foreign.expect("an answer").status, 403);
    // The name that an attacker lets point here.
    let mut rebound = TcpStream::connect(admin).expect("a connection");
    rebound
        .write_all(b"GET / HTTP/1.1\r\nhost: evil.example\r\nconnection: close\r\n\r\n")
        .expect("a request");
    let mut answer = String::new();
    rebound.read_to_string(&mut answer).expect("an answer");
    assert!(answer.starts_with("HTTP/1.1 403 ") && !answer.contains("/v1/leads"), "{answer}");
    // A page of another origin, in the browser that has the session: the data: page's origin is null.
    browser.open_address("data:text/html,<p>foreign</p>");
    let tried: Value = browser.run_async(
        "const [address, done] = arguments;
         fetch(address + '/api/v1/status', { credentials: 'include' }).then(it => it.text()).then(done, () => done('kept out'))",
        &[json!(format!("http://{admin}"))],
    );
    assert_eq!(tried, json!("kept out"));
    let page = Client::new(admin).get("/").expect("an answer");
    let policy = page.header("content-security-policy").unwrap_or_default();
    assert!(
        policy.contains("default-src 'self'") && policy.contains("frame-ancestors 'none'"),
        "{policy}"
    );
    assert!(!policy.contains("unsafe"), "{policy}");
}

//! Senders that mean harm, and very many dead letters.

use serde_json::json;

use crate::{
    broker,
    browser::Browser,
    pages::PAGES,
    stage::{ADMIN, ADOBE, PATIENCE, SCRIPT, Stage, deliver, settings},
    support::{
        bridge::{Bridge, LEADS, TOKEN},
        wait,
    },
};

#[test]
fn a_script_in_a_type_a_header_a_path_or_a_body_is_shown_and_never_runs() {
    let stage = Stage::shared();
    let browser = stage.operator();
    let mut addresses: Vec<_> = PAGES.map(str::to_owned).to_vec();
    for source in ["leads", "adobe"] {
        browser.open(&format!("/deliveries?source={source}&outcome=stored"));
        let links = browser.run("return [...document.querySelectorAll('td[data-label=Position] a')].slice(0, 2).map(it => it.getAttribute('href'))", &[]);
        addresses.extend(serde_json::from_value::<Vec<String>>(links).expect("links"));
    }
    // What a link can bring along.
    let script = "%22%3E%3Cscript%3Edocument.title%3D'hacked'%3C%2Fscript%3E";
    addresses.extend(
        ["source", "reason", "outcome", "before", "since"]
            .map(|name| format!("/deliveries?{name}={script}")),
    );
    addresses.push(format!("/dead-letters?source={script}&reason={script}"));
    addresses.push(format!("/sign-in?to=javascript:{script}"));
    addresses.push(format!("/deliveries/{script}/1"));
    let mut is_shown = false;
    for address in &addresses {
        browser.open(address);
        let seen = browser.run(
            "return { hacked: document.title.includes('hacked'), scripts: [...document.scripts].filter(it => !it.src).length,
              foreign: [...document.querySelectorAll('main img, main script, main [onerror], [style], style')].map(it => it.outerHTML.slice(0, 200)),
              text: document.body.innerText }",
            &[],
        );
        assert_eq!(
            (&seen["hacked"], &seen["scripts"], &seen["foreign"]),
            (&json!(false), &json!(0), &json!([])),
            "{address}"
        );
        is_shown |= seen["text"].as_str().is_some_and(|text| text.contains("document.title="));
    }
    assert!(is_shown, "it is there as text: {SCRIPT}");
}

#[test]
fn a_status_line_in_a_body_ends_no_answer_and_a_question_that_is_none_is_told_so() {
    let stage = Stage::shared();
    let mut client = stage.bridge.client();
    let body = "HTTP/1.1 400 Bad Request\r\n\r\nHTTP/1.1 431 Too Large\r\n\r\nthe end";
    let headers = [format!("authorization: Bearer {TOKEN}")];
    let answer = client.request("POST", ADOBE, &headers, body.as_bytes()).expect("an answer");
    let position = answer.header("millrace-position").expect("a position").to_owned();
    let page =
        stage.bridge.admin().get(&format!("/deliveries/adobe/{position}")).expect("an answer");
    assert!(page.status == 200 && page.text().contains("the end"), "{}", page.text());
    assert!(page.text().ends_with("</html>"));
    let page = stage.bridge.admin().get("/deliveries?before=none").expect("an answer");
    assert!(page.status == 400 && page.text().contains("<h1>"), "{} {}", page.status, page.text());
}

#[test]
fn ten_thousand_dead_letters_are_paged_and_a_page_stays_small() {
    let (kafka, prefix) = (broker::shared(), broker::own_prefix("many"));
    let bridge = Bridge::start(settings(&kafka, &prefix));
    for _ in 0..2 {
        let body = format!(
            r#"{{"munchkinId":"999-XYZ-000","activities":[{}]}}"#,
            vec!["17"; 5000].join(",")
        );
        deliver(&bridge, LEADS, &body);
    }
    bridge.wait_until_drained(PATIENCE);
    let mut client = bridge.admin();
    wait::until("a topic that is read", PATIENCE, || {
        let page = client.get("/dead-letters").expect("an answer").text();
        page.contains("10,000 of 10,000")
    });
    let signed_in = [format!("authorization: Bearer {ADMIN}")];
    let page = client.request("GET", "/dead-letters", &signed_in, b"").expect("an answer");
    assert!(page.body.len() < 120_000, "{} bytes", page.body.len());
    let browser = Browser::start(bridge.addresses().1);
    browser.open("/dead-letters");
    assert_eq!(browser.count("table.letters tbody tr"), 50);
    let first = browser.text("table.letters tbody tr td[data-label=Position]");
    browser.click("nav.pages a");
    wait::until("the next page", PATIENCE, || browser.path().contains("before="));
    assert_eq!(browser.count("table.letters tbody tr"), 50);
    assert_ne!(browser.text("table.letters tbody tr td[data-label=Position]"), first);
}

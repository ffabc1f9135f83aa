//! What the pages are to show: traffic of two sources, refusals, dead letters of several reasons, all made by senders.

use std::{sync::OnceLock, time::Duration};

use crate::{
    broker,
    browser::Browser,
    support::{
        batches::Subscription,
        bridge::{Bridge, LEADS, Settings, TOKEN},
    },
};

pub const PATIENCE: Duration = Duration::from_secs(60);
/// The token of the admin listener.
pub const ADMIN: &str = "a-token-of-an-operator";
/// Where the second source takes deliveries.
pub const ADOBE: &str = "/v1/adobe";

/// What a page must never run.
pub const SCRIPT: &str =
    "<script>document.title='hacked'</script><img src=x onerror=\"document.title='hacked'\">";

pub struct Stage {
    pub bridge: Bridge,
    pub kafka: String,
    pub prefix: String,
}

pub fn settings(kafka: &str, prefix: &str) -> Settings {
    Settings::new(kafka, prefix)
        .set("SOURCES__ADOBE__KIND", "adobe-io")
        .set("SOURCES__ADOBE__AUTH__CLIENT_IDS", "us")
        .set("SOURCES__ADOBE__AUTH__TOKENS", TOKEN)
        .set("ADMIN__TOKENS", ADMIN)
        .set("ADMIN__CONSOLE", "replay")
        .set("ADMIN__BODIES", "true")
        .set("ADMIN__TEST_TOPIC", format!("{prefix}.test"))
}

impl Stage {
    /// The one that tests share which change nothing of it that others look at.
    pub fn shared() -> &'static Self {
        static SHARED: OnceLock<Stage> = OnceLock::new();
        SHARED.get_or_init(|| Self::play("console"))
    }

    /// Plays it all, on topics of its own.
    #[track_caller]
    pub fn play(name: &str) -> Self {
        let (kafka, prefix) = (broker::shared(), broker::own_prefix(name));
        let mut bridge = Bridge::start(settings(&kafka, &prefix).set("TOPICS__LIMIT", "2"));
        // More types than topics may be, and an activity that is none: dead letters, most of which today's limit lets go.
        deliver(&bridge, LEADS, &clicks(0));
        deliver(
            &bridge,
            LEADS,
            r#"{"munchkinId":"999-XYZ-000","activities":[
            {"marketoGUID":"o1","leadId":7,"activityTypeId":10},{"marketoGUID":"o2","leadId":8,"activityTypeId":10},
            {"marketoGUID":"n1","leadId":7,"activityTypeId":12},{"marketoGUID":"n2","leadId":7,"activityTypeId":12},17]}"#,
        );
        deliver(&bridge, ADOBE, "no JSON at all");
        bridge.wait_until_drained(PATIENCE);
        bridge.set("TOPICS__LIMIT", "50");
        bridge.restart();

        let mut leads = Subscription::new("999-XYZ-000", 50);
        for n in 1..=30 {
            deliver(&bridge, LEADS, str::from_utf8(&leads.batch_of(20).body).expect("JSON"));
            deliver(&bridge, ADOBE, &user_audit(n));
        }
        // Strangers, and a sender with a token that is none.
        for (path, headers) in [
            (LEADS, vec!["authorization: Bearer not-a-token-of-ours".to_owned()]),
            (LEADS, vec![]),
            (ADOBE, vec![format!("authorization: Basic {TOKEN}")]),
            ("/v1/laeds", vec![format!("authorization: Bearer {TOKEN}")]),
        ] {
            let answer = bridge.client().request("POST", path, &headers, b"{}");
            assert_ne!(answer.expect("an answer").status, 200, "{path}");
        }
        hostile(&bridge);
        bridge.wait_until_drained(PATIENCE);
        Self { bridge, kafka, prefix }
    }

    /// A browser that has not signed in.
    #[track_caller]
    pub fn browser(&self) -> Browser {
        Browser::start(self.bridge.addresses().1)
    }

    /// A browser that has.
    #[track_caller]
    pub fn operator(&self) -> Browser {
        let browser = self.browser();
        sign_in(&browser);
        browser
    }

    /// A topic of this stage's.
    pub fn topic(&self, event_type: &str) -> String {
        format!("{}.lead-activity.{event_type}", self.prefix)
    }
}

#[track_caller]
pub fn sign_in(browser: &Browser) {
    browser.open("/sign-in");
    browser.write("input[name=token]", ADMIN);
    browser.click("#sign-in-form button");
    browser.wait_for("Up for");
}

pub fn clicks(n: u32) -> String {
    format!(
        r#"{{"munchkinId":"999-XYZ-000","activities":[
        {{"marketoGUID":"c{n}","leadId":1,"activityTypeId":3}},{{"marketoGUID":"v{n}","leadId":1,"activityTypeId":1}}]}}"#
    )
}

fn user_audit(n: u32) -> String {
    format!(
        r#"{{"specversion":"1.0","type":"com.adobe.platform.marketo.audit.user","source":"urn:audit","id":"u{n}","data":{{"munchkinId":"m","action":"Login"}},"recipientclientid":"us"}}"#
    )
}

/// Scripts wherever a sender may write: the type of an event, a value, a header, a path, a query.
#[track_caller]
fn hostile(bridge: &Bridge) {
    let script = SCRIPT.replace('"', "\\\"");
    let event = format!(
        r#"{{"specversion":"1.0","type":"{script}","source":"{script}","id":"{script}","data":{{"munchkinId":"{script}"}},"recipientclientid":"us"}}"#
    );
    deliver(bridge, ADOBE, &event);
    deliver(
        bridge,
        LEADS,
        &format!(
            r#"{{"munchkinId":"{script}","activities":[{{"marketoGUID":"{script}","leadId":1,"activityTypeId":"{script}","activityType":"{script}"}},"{script}"]}}"#
        ),
    );
    let plain = SCRIPT.replace('"', "'");
    let headers = [
        format!("authorization: Bearer {plain}"),
        format!("x-request-id: {plain}"),
        format!("x-forwarded-for: {plain}"),
        format!("user-agent: {plain}"),
        format!("content-type: {plain}"),
    ];
    for path in [LEADS, "/v1/<script>document.title='hacked'</script>", ADOBE] {
        let _ = bridge.client().request("POST", path, &headers, plain.as_bytes());
    }
}

#[track_caller]
pub fn deliver(bridge: &Bridge, path: &str, body: &str) {
    let answer = bridge.client().deliver(path, TOKEN, body.as_bytes()).expect("an answer");
    assert_eq!(answer.status, 200, "{path}: {body}");
}

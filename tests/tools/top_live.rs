//! `millrace top` and `tap` against the real service, which has no Kafka here.

use std::{
    io::{BufRead, BufReader},
    process::{Command, Stdio},
};

use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;

use crate::support::{
    bridge::{Bridge, LEADS, Settings, TOKEN},
    terminal::Terminal,
};

const BODY: &[u8] = br#"{"munchkinId":"999-XYZ-000","activities":[{"marketoGUID":"1","leadId":1,"activityTypeId":3}]}"#;

#[track_caller]
fn deliver(bridge: &Bridge, token: &str, status: u16) {
    assert_eq!(bridge.client().deliver(LEADS, token, BODY).unwrap().status, status);
}

#[test]
fn top_shows_the_sources_of_the_real_service_and_what_waits_in_them() {
    let bridge = Bridge::start(Settings::new("127.0.0.1:1", "unused"));
    for _ in 0..3 {
        deliver(&bridge, TOKEN, 200);
    }
    let admin = bridge.addresses().1.to_string();
    let ran = |more: &[&str]| {
        let arguments = [&["top", "--admin", &admin, "--once"], more].concat();
        let output = Command::new(env!("CARGO_BIN_EXE_millrace")).args(arguments).output().unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8(output.stdout).unwrap()
    };
    let picture = ran(&[]);
    assert!(picture.contains("leads"), "{picture}");
    let answer: Value = serde_json::from_str(&ran(&["--json"])).unwrap();
    let source = &answer["sources"][0];
    assert_eq!((&source["name"], &source["backlog"]["deliveries"]), (&"leads".into(), &3.into()));

    let arguments = ["top", "--admin", &admin, "--interval", "100ms"];
    let mut top = Terminal::start(&arguments, &[], 100, 24);
    top.until("the source", |lines| lines.iter().any(|line| line.starts_with("leads")));
    // What comes while it is shown.
    deliver(&bridge, "another-token", 401);
    top.press("r");
    top.until("why it was refused", |lines| {
        lines.iter().any(|line| line.contains("sources.leads.auth.tokens"))
    });
    top.press("q");
    assert!(top.end().success());
}

#[test]
fn tap_shows_each_delivery_of_the_real_service_until_it_is_stopped() {
    let bridge = Bridge::start(Settings::new("127.0.0.1:1", "unused"));
    deliver(&bridge, TOKEN, 200);
    let admin = bridge.addresses().1.to_string();
    let mut tap = Command::new(env!("CARGO_BIN_EXE_millrace"))
        .args(["tap", "--admin", &admin, "--since", "1h"])
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut lines = BufReader::new(tap.stdout.take().unwrap()).lines();
    let mut next = || lines.next().expect("a line").unwrap();
    let stored = next();
    assert!(stored.contains("200  leads") && stored.contains("stored"), "{stored}");
    deliver(&bridge, "another-token", 401);
    let refused = next();
    assert!(
        refused.contains("401  leads")
            && refused.contains("token-unknown")
            && !refused.contains("another-token"),
        "{refused}"
    );
    assert!(refused.contains("sources.leads.auth.tokens"), "{refused}");
    deliver(&bridge, TOKEN, 200);
    assert!(next().contains("stored"));
    kill_process(Pid::from_raw(tap.id().cast_signed()).unwrap(), Signal::INT).unwrap();
    assert_eq!(tap.wait().unwrap().code(), Some(0));
}

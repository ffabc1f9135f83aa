//! Everything that the service, and its commands, show of themselves and of deliveries.

use std::{
    collections::BTreeSet,
    io::{BufRead, BufReader},
    process::{Output, Stdio},
};

use super::{has_canary, is_clean, signed};
use crate::support::{
    bridge::{Bridge, LEADS},
    process::{self, Process},
};

#[track_caller]
pub fn is_clean_output(what: &str, output: &Output) {
    is_clean(what, &output.stdout);
    is_clean(what, &output.stderr);
}

/// What there is beside the pages of each delivery.
const PAGES: [&str; 17] = [
    "/metrics",
    "/api/v1/deliveries",
    "/api/v1/deliveries?limit=1000",
    "/api/v1/dead-letters",
    "/api/v1/dead-letters?reason=field-rule",
    "/api/v1/dead-letters?reason=topic-limit",
    "/api/v1/status",
    "/api/v1/replays",
    "/api/v1/words",
    "/",
    "/path",
    "/deliveries",
    "/dead-letters",
    "/dead-letters?reason=topic-limit",
    "/test",
    "/readyz",
    "/livez",
];

/// Dead letters, each of another kind.
const LETTERS: [&str; 9] = [
    "leads/3.0",
    "leads/4.0",
    "leads/5.0",
    "leads/6.0",
    "leads/7.0",
    "leads/8.0",
    "leads/8.1",
    "leads/9.0",
    "adobe/3.0",
];

#[track_caller]
pub fn what_is_shown_is_clean(bridge: &Bridge, deliveries: &[(&str, String)]) {
    let mut pages: BTreeSet<String> = PAGES.map(String::from).into();
    let (mut leads, mut adobe) = (0, 0);
    for (path, _) in deliveries {
        let (source, count) =
            if *path == LEADS { ("leads", &mut leads) } else { ("adobe", &mut adobe) };
        *count += 1;
        pages.insert(format!("/api/v1/deliveries/{source}/{count}"));
        pages.insert(format!("/deliveries/{source}/{count}"));
    }
    let mut bodies = 0;
    for page in pages {
        let answer = bridge.admin().get(&page).unwrap();
        assert_eq!(answer.status, 200, "{page}: {}", answer.text());
        is_clean(&page, answer.text().as_bytes());
        bodies +=
            usize::from(answer.text().contains("999-XYZ-000") && answer.text().contains(&signed()));
    }
    assert!(bodies > 2, "bodies that can be shown are shown: {bodies}");
    for more in [&["--json"][..], &[]] {
        let tapped = tapped(bridge, more, deliveries.len());
        assert!(tapped.contains(&signed()), "bodies that can be shown are shown: {tapped}");
        is_clean("tap", tapped.as_bytes());
    }
    let log = bridge.log();
    assert!(log.iter().any(|line| line.contains("\"TRACE\"")), "{log:?}");
    log.iter().for_each(|line| is_clean("the log", line.as_bytes()));
    is_clean_output("dead-letters list", &bridge.tool(&["dead-letters", "list"]));
    is_clean_output("dead-letters list", &bridge.tool(&["dead-letters", "list", "--json"]));
    is_clean_output("spool inspect", &bridge.tool(&["spool", "inspect"]));
    is_clean_output("spool verify", &bridge.tool(&["spool", "verify"]));
    for position in LETTERS {
        for more in [&[][..], &["--raw"], &["--json"]] {
            let arguments = [&["dead-letters", "show", position], more].concat();
            let shown = bridge.tool(&arguments);
            is_clean_output(position, &shown);
            let is_there = !String::from_utf8_lossy(&shown.stderr).contains("no dead letter");
            assert!(is_there, "{position} is a dead letter");
        }
    }
}

/// What `tap --bodies` prints of the `deliveries` that came.
#[track_caller]
fn tapped(bridge: &Bridge, more: &[&str], deliveries: usize) -> String {
    let mut command = process::tied(env!("CARGO_BIN_EXE_millrace"));
    let admin = bridge.addresses().1.to_string();
    command.args(["tap", "--admin", &admin, "--since", "1h", "--bodies"]).args(more);
    let mut tap: Process = process::spawn({
        command.stdin(Stdio::null()).stdout(Stdio::piped());
        command
    });
    let out = tap.child().stdout.take().expect("it is piped");
    let mut text = String::new();
    let mut shown = 0;
    for line in BufReader::new(out).lines() {
        let line = line.expect("text");
        shown += usize::from(line.contains("stored"));
        text += &line;
        text.push('\n');
        // What follows the last line is looked at by the other form, in which a body is in its line.
        if shown == deliveries || has_canary(line.as_bytes()) {
            return text;
        }
    }
    panic!("tap ended: {text}");
}

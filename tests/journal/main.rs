//! `millrace backfill`, the real program, between a played Adobe and a played millrace.
//!
//! `adobe.rs` is the journal and the identity provider as the Journaling API describes them,
//! `service.rs` takes deliveries and counts.

mod adobe;
#[path = "../support/played.rs"]
mod played;
mod service;

use std::{
    path::Path,
    process::{Command, Output},
};

use adobe::{Adobe, SECRET};
use service::Service;

const TOKEN: &str = "hunter2-of-millrace";

fn backfill(adobe: &Adobe, service: &Service, arguments: &[&str]) -> Output {
    backfill_with(("CLIENT_SECRET", SECRET), adobe, service, arguments)
}

fn backfill_with(
    (name, secret): (&str, &str),
    adobe: &Adobe,
    service: &Service,
    arguments: &[&str],
) -> Output {
    let secret = [(format!("JOURNAL__{name}"), secret.to_owned())];
    let token = [("AUTH__TOKENS".to_owned(), TOKEN.to_owned())];
    run(secret.into_iter().chain(token), adobe, service, arguments)
}

/// `settings` are those of the source that a test is about.
fn run(
    settings: impl IntoIterator<Item = (String, String)>,
    adobe: &Adobe,
    service: &Service,
    arguments: &[&str],
) -> Output {
    let url = service.url();
    let settings = settings.into_iter();
    Command::new(env!("CARGO_BIN_EXE_millrace"))
        .args(["backfill", "io", "--to", &url, "--admin", &url])
        .args(arguments)
        .env_clear()
        .env("MILLRACE_KAFKA__BOOTSTRAP_SERVERS", "127.0.0.1:1")
        .env("MILLRACE_SOURCES__IO__KIND", "adobe-io")
        .env("MILLRACE_SOURCES__IO__AUTH__CLIENT_IDS", "client-of-the-webhook")
        .env("MILLRACE_SOURCES__IO__JOURNAL__URL", adobe.journal_url())
        .env("MILLRACE_SOURCES__IO__JOURNAL__ORGANIZATION_ID", adobe::ORGANIZATION)
        .env("MILLRACE_SOURCES__IO__JOURNAL__CLIENT_ID", adobe::CLIENT)
        .envs(settings.map(|(key, value)| (format!("MILLRACE_SOURCES__IO__{key}"), value)))
        .env("MILLRACE_SOURCES__IO__JOURNAL__TOKEN_URL", adobe.token_url())
        .output()
        .unwrap()
}

#[track_caller]
fn exits(output: &Output, code: i32) -> String {
    let told = format!(
        "{}{}",
        String::from_utf8_lossy(&output.stdout),
        String::from_utf8_lossy(&output.stderr)
    );
    assert_eq!(output.status.code(), Some(code), "{told}");
    for secret in [SECRET, TOKEN, adobe::ACCESS] {
        assert!(!told.contains(secret), "a secret was told: {told}");
    }
    told
}

fn place(folder: &Path) -> String {
    folder.join("place").to_str().unwrap().to_owned()
}

#[test]
fn every_event_of_every_page_arrives_byte_for_byte_and_in_order() {
    let adobe = Adobe::new(250, 100);
    let service = Service::new();
    exits(&backfill(&adobe, &service, &["--since", "2h"]), 0);
    assert_eq!(service.elements(), adobe.elements());
    assert_eq!(adobe.first_query().as_deref(), Some("seek=-PT7200S"));
}

#[test]
fn it_says_how_much_the_webhook_had_missed() {
    let adobe = Adobe::new(10, 100);
    let service = Service::new().knows(7).without_id(1);
    let told = exits(&backfill(&adobe, &service, &["--since", "2h"]), 0);
    assert!(told.contains("10 events delivered from the journal"), "{told}");
    assert!(told.contains("2 events missed by the webhook, 7 already received"), "{told}");
    assert!(told.contains("1 event without an id"), "{told}");
}

#[test]
fn an_event_for_another_recipient_is_not_delivered_and_is_named() {
    let folder = tempfile::tempdir().unwrap();
    let state = place(folder.path());
    let deep = format!(r#""z":{}{},"#, "[".repeat(130), "]".repeat(130));
    for (member, what) in [
        (r#""recipient_client_id":"somebody-else","#, "is for `somebody-else` (foreign-recipient)"),
        (r#""x":[{"recipient\u0063lientid":"somebody-else"}],"#, "is for `somebody-else`"),
        (deep.as_str(), "(recipient-unreadable)"),
    ] {
        let adobe = Adobe::new(5, 3).puts_beside(2, member);
        let service = Service::new();
        let told = exits(&backfill(&adobe, &service, &["--since", "2h", "--state", &state]), 1);
        assert!(told.contains("not delivered: position p2: ") && told.contains(what), "{told}");
        assert!(told.contains("1 event was not delivered"), "{told}");
        assert!(told.contains("4 events delivered"), "{told}");
        let mut ours = adobe.elements();
        ours.remove(2);
        assert_eq!(service.elements(), ours, "the others are delivered");
        assert_eq!(std::fs::read_to_string(&state).unwrap(), "p4\n", "and it goes on behind it");
        std::fs::remove_file(&state).unwrap();
    }
}

#[test]
fn an_event_may_name_the_client_of_the_webhook_or_of_the_journal() {
    for client in ["client-of-the-webhook", adobe::CLIENT] {
        let adobe =
            Adobe::new(3, 100).puts_beside(1, &format!(r#""recipientclientid":"{client}","#));
        let service = Service::new();
        exits(&backfill(&adobe, &service, &["--since", "2h"]), 0);
        assert_eq!(service.elements(), adobe.elements());
    }
}

#[test]
fn the_next_run_goes_on_where_the_last_one_ended() {
    let folder = tempfile::tempdir().unwrap();
    let state = place(folder.path());
    let mut adobe = Adobe::new(120, 50);
    let service = Service::new();
    exits(&backfill(&adobe, &service, &["--since", "2h", "--state", &state]), 0);
    adobe.goes_on_to(150);
    exits(&backfill(&adobe, &service, &["--since", "2h", "--state", &state]), 0);
    assert_eq!(service.elements(), adobe.elements(), "each once");
}

#[test]
fn a_client_secret_that_was_replaced_in_its_file_gets_the_next_token() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("secret");
    std::fs::write(&file, format!("{SECRET}\n")).unwrap();
    let adobe = Adobe::new(120, 50).revokes_after(1).replaces_its_secret(&file);
    let service = Service::new();
    let secret = ("CLIENT_SECRET_FILE", file.to_str().unwrap());
    exits(&backfill_with(secret, &adobe, &service, &["--since", "2h"]), 0);
    assert_eq!(service.elements(), adobe.elements());
    assert!(adobe.tokens_granted() > 1);
}

#[test]
fn a_token_of_the_service_that_is_replaced_in_its_file_is_used_from_then_on() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("tokens");
    std::fs::write(&file, format!("{TOKEN}\n")).unwrap();
    let adobe = Adobe::new(120, 50);
    let service = Service::new().replaces_its_token(&file);
    let settings =
        [("JOURNAL__CLIENT_SECRET", SECRET), ("AUTH__TOKENS_FILE", file.to_str().unwrap())];
    let settings = settings.map(|(key, value)| (key.to_owned(), value.to_owned()));
    exits(&run(settings, &adobe, &service, &["--since", "2h"]), 0);
    assert_eq!(service.elements(), adobe.elements());
}

#[test]
fn the_token_stands_in_the_header_as_the_source_expects_it() {
    for (scheme, header) in [("basic", format!("Basic {TOKEN}")), ("bare", TOKEN.to_owned())] {
        let adobe = Adobe::new(3, 100);
        let service = Service::new().asks_for(&header);
        let settings = [
            ("JOURNAL__CLIENT_SECRET", SECRET),
            ("AUTH__TOKENS", TOKEN),
            ("AUTH__HEADER_SCHEME", scheme),
        ];
        let settings = settings.map(|(key, value)| (key.to_owned(), value.to_owned()));
        exits(&run(settings, &adobe, &service, &["--since", "2h"]), 0);
        assert_eq!(service.elements(), adobe.elements());
    }
}

#[test]
fn a_service_that_is_away_or_full_is_waited_for() {
    let adobe = Adobe::new(3, 100);
    let service = Service::new().answers_first(&[503, 503, 500]);
    exits(&backfill(&adobe, &service, &["--since", "1h"]), 0);
    assert_eq!(service.elements(), adobe.elements());
}

#[test]
fn a_journal_that_asks_for_patience_gets_it() {
    let adobe = Adobe::new(3, 100).answers_first(&[429, 503]);
    let service = Service::new();
    exits(&backfill(&adobe, &service, &["--since", "1h"]), 0);
    assert_eq!(service.elements(), adobe.elements());
}

#[test]
fn a_token_that_ended_early_is_replaced_once() {
    let adobe = Adobe::new(3, 100).revokes_after(1);
    let service = Service::new();
    exits(&backfill(&adobe, &service, &["--since", "1h"]), 0);
    assert_eq!(service.elements(), adobe.elements());
    assert_eq!(adobe.tokens_granted(), 2);
}

#[test]
fn a_place_that_is_too_old_is_a_gap_that_is_told_and_the_rest_is_delivered() {
    let folder = tempfile::tempdir().unwrap();
    let state = place(folder.path());
    std::fs::write(&state, "too-old\n").unwrap();
    let adobe = Adobe::new(5, 100);
    let service = Service::new();
    let told = exits(&backfill(&adobe, &service, &["--state", &state]), 1);
    assert_eq!(service.elements(), adobe.elements());
    assert!(told.contains("the events before it are lost"), "{told}");
}

#[test]
fn wrong_credentials_are_named_with_what_to_do() {
    let service = Service::new();
    let adobe = Adobe::new(1, 1).refuses_credentials();
    let told = exits(&backfill(&adobe, &service, &["--since", "1h"]), 1);
    assert!(told.contains("check journal.client_id, client_secret and scopes"), "{told}");

    let adobe = Adobe::new(1, 1);
    let service = Service::new().answers_first(&[401]);
    let told = exits(&backfill(&adobe, &service, &["--since", "1h"]), 1);
    assert!(told.contains("it does not know the token"), "{told}");
}

#[test]
fn the_command_line_is_checked_before_anybody_is_asked() {
    let (adobe, service) = (Adobe::new(1, 1), Service::new());
    let told = exits(&backfill(&adobe, &service, &[]), 2);
    assert!(told.contains("--since") && told.contains("--state"), "{told}");
    assert_eq!(adobe.tokens_granted(), 0);
}

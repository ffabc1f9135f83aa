//! Recipients in a replay, as a dry run counts them.

use uuid::Uuid;

use super::Replay;
use crate::service::replay::{
    body::Kept,
    player::{Item, Player, Source},
};
use crate::{
    cli::progress::Bar,
    config,
    deliver::decode::fields::Came,
    source::{JOURNAL_ORIGIN, ORIGIN_HEADER, SourceName},
    spool::position::Position,
};

const OURS: &str = r#"{"type":"t","source":"s","recipientclientid":"us"}"#;
const JOURNALS: &str = r#"{"type":"t","source":"s","recipientclientid":"us-journal"}"#;
const FOREIGN: &str =
    r#"{"type":"t","source":"s","recipientclientid":"us","data":{"recipient_client_id":"them"}}"#;
const UNNAMED: &str = r#"{"type":"t","source":"s"}"#;

fn replay() -> Replay {
    let variables = [
        ("KAFKA__BOOTSTRAP_SERVERS", "127.0.0.1:1"),
        ("SOURCES__LEADS__KIND", "marketo-lead-activity"),
        ("SOURCES__LEADS__AUTH__TOKENS", "a-token"),
        ("SOURCES__IO__KIND", "adobe-io"),
        ("SOURCES__IO__AUTH__CLIENT_IDS", "us"),
        ("SOURCES__IO__AUTH__TOKENS", "another-token"),
        ("SOURCES__IO__JOURNAL__URL", "https://events.adobe.io/events/organizations/1/journal"),
        ("SOURCES__IO__JOURNAL__ORGANIZATION_ID", "1@AdobeOrg"),
        ("SOURCES__IO__JOURNAL__CLIENT_ID", "us-journal"),
        ("SOURCES__IO__JOURNAL__CLIENT_SECRET", "a-secret"),
    ];
    let variables = variables.map(|(key, value)| (format!("MILLRACE_{key}"), value.to_owned()));
    let config = config::load(None, variables);
    let config = config.unwrap();
    let sources = config
        .sources
        .iter()
        .map(|source| Source::new(&config, source))
        .collect::<Result<_, _>>()
        .unwrap();
    let player =
        Player::new(&config, sources, Box::new(|_: &crate::event::Event<'_>| true), None).unwrap();
    Replay { player, bar: Bar::new() }
}

/// Returns the number of events that would be sent, and the reports about the others.
fn outcome(replay: &Replay) -> (String, Vec<String>) {
    let totals = replay.player.totals();
    let sent = super::report::table(totals, true).lines().next().unwrap_or_default().to_owned();
    (sent.replace(" would be sent", ""), super::report::problems(totals).collect())
}

/// Plays a delivery as from a segment.
fn body(replay: &mut Replay, headers: &[(&str, &str)], body: &str) {
    let headers = headers.iter().map(|(name, value)| ((*name).into(), (*value).into()));
    let item = Item {
        source: &SourceName::new("io").unwrap(),
        spool: Uuid::nil(),
        position: Position { sequence: 7, index: 0 },
        from: None,
        to: None,
        headers: &headers.collect::<Vec<_>>(),
        body: body.as_bytes(),
        came: Came::FromSender,
    };
    replay.player.play(&item).unwrap();
}

/// Plays an event as from the dead-letter topic or the quarantine.
fn kept(replay: &mut Replay, source: &str, reason: &str, origin: Option<&str>, original: &str) {
    let kept = Kept {
        source: &SourceName::new(source).unwrap(),
        spool: Uuid::nil(),
        position: Position { sequence: 7, index: 0 },
        reason,
        error: None,
        origin,
        key: b"",
        original: original.as_bytes(),
    };
    kept.play(&mut replay.player).unwrap();
}

#[test]
fn a_delivery_is_replayed_only_if_every_event_of_it_is_meant_for_us() {
    let mut replay = replay();
    body(&mut replay, &[], &format!("[{OURS},{JOURNALS}]"));
    body(&mut replay, &[], &format!("[{OURS},{FOREIGN}]"));
    body(&mut replay, &[(ORIGIN_HEADER, JOURNAL_ORIGIN)], FOREIGN);
    body(&mut replay, &[("content-encoding", "br")], OURS);
    kept(&mut replay, "io", "refused", None, OURS);
    kept(&mut replay, "io", "refused", None, FOREIGN);
    let (sent, problems) = outcome(&replay);
    assert_eq!(sent, "3 events");
    let [second, journals, coded, letter, count] = &problems[..] else { panic!("{problems:?}") };
    assert!(second.starts_with("io 7.0: event 1 is for `them`"), "{second}");
    assert!(journals.starts_with("io 7.0: event 0 is for `them`"), "{journals}");
    assert!(coded.ends_with("(content-coding)"), "{coded}");
    assert!(letter.ends_with("(foreign-recipient)"), "{letter}");
    assert!(count.starts_with("3 bodies were refused (foreign-recipient)"), "{count}");
}

#[test]
fn an_event_that_names_no_recipient_has_to_come_from_the_journal() {
    let mut replay = replay();
    body(&mut replay, &[], UNNAMED);
    kept(&mut replay, "io", "refused", None, UNNAMED);
    kept(&mut replay, "io", "refused", Some("elsewhere"), UNNAMED);
    assert_eq!(outcome(&replay).0, "0 events");
    body(&mut replay, &[(ORIGIN_HEADER, JOURNAL_ORIGIN)], UNNAMED);
    kept(&mut replay, "io", "refused", Some(JOURNAL_ORIGIN), UNNAMED);
    assert_eq!(outcome(&replay).0, "2 events");
}

#[test]
fn a_body_that_is_no_json_has_the_error_of_its_dead_letter() {
    let mut replay = replay();
    kept(&mut replay, "leads", "not-json", None, "this is no JSON");
    let (_, problems) = outcome(&replay);
    let expected = "leads 7.0: not JSON: unexpected text at byte 2 (not-json)";
    assert_eq!(problems, [expected]);
}

#[test]
fn what_is_still_coded_is_not_read_as_text() {
    let mut replay = replay();
    let push = r#"{"munchkinId":"m","activities":[{"leadId":7,"activityTypeId":3}]}"#;
    kept(&mut replay, "io", "content-coding", None, OURS);
    kept(&mut replay, "leads", "content-coding", None, push);
    let (sent, problems) = outcome(&replay);
    assert_eq!((sent.as_str(), problems.len()), ("0 events", 2), "{problems:?}");
    kept(&mut replay, "leads", "refused", None, push);
    assert_eq!(outcome(&replay).0, "1 event", "a push names no recipient");
}

#[test]
fn a_state_of_a_lead_is_not_replayed_and_neither_is_the_event_that_its_dead_letter_has() {
    let mut replay = replay();
    let activity = r#"{"leadId":7,"activityTypeId":37,"munchkinId":"m"}"#;
    kept(&mut replay, "leads", "lead-state", None, activity);
    let (sent, problems) = outcome(&replay);
    assert_eq!((sent.as_str(), problems.len()), ("0 events", 1), "{problems:?}");
    assert!(problems[0].contains("not replayed"), "{problems:?}");
    kept(&mut replay, "leads", "refused", None, activity);
    assert_eq!(outcome(&replay).0, "1 event", "the event itself is");
}

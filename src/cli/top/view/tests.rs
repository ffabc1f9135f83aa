use super::*;
use crate::cli::admin::answers::{Backlog, Kafka, Rates, Refused, Tries};

fn source(n: usize, name: &str) -> Source {
    Source {
        name: name.into(),
        state: "ok".into(),
        rates: Rates { stored: n as f64, delivered: n as f64 * 3.0, ..Rates::default() },
        backlog: Backlog {
            bytes: 1 << (2 * n).min(60),
            deliveries: n as u64,
            oldest: Some(1_772_445_600_000 - n as u64 * 60_000),
            seconds_until_full: Some(n as f64 * 1000.0),
            ..Backlog::default()
        },
        tries: Tries { failures_left: Some(3), ..Tries::default() },
        ..Source::default()
    }
}

fn status(sources: usize) -> Status {
    let topic = |n: usize| Topic {
        topic: format!("marketo.lead-activity.a-rather-long-name-of-a-topic-{n:03}"),
        delivered: 1_234_567 * n as u64,
        per_second: n as f64,
        history: (0..60).map(|m| (m % 7) as f64).collect(),
        held: (n == 3)
            .then(|| Held { why: "topic authorization failed".into(), ..Held::default() }),
        ..Topic::default()
    };
    let name = |n| format!("source-with-a-name-that-is-as-long-as-a-name-may-be-{n:02}-xxxxxxxxx");
    let mut sources: Vec<_> = (0..sources).map(|n| source(n, &name(n))).collect();
    if let Some(first) = sources.first_mut() {
        first.refused_last_minute = 7;
        first.refused = vec![Refused {
            reason: "token-unknown".into(),
            last_minute: 7,
            text: "None of the tokens.\u{1b}[2J".into(),
            key: Some("sources.leads.auth.tokens".into()),
            ..Refused::default()
        }];
    }
    Status {
        version: "0.2.0".into(),
        instance: "bridge-0".into(),
        now: 1_772_445_600_000,
        started: 1_772_445_000_000,
        state: "ok".into(),
        kafka: Kafka { connected: 3, brokers: 3, ..Kafka::default() },
        topics: (0..sources.len() * 5).map(topic).collect(),
        sources,
        ..Status::default()
    }
}

fn screen(status: &Status, state: &State, columns: usize, rows: usize) -> Vec<String> {
    let view = View { status, state, letters: None, problem: None };
    view.screen(columns, rows).into_iter().map(|it| it.cut(columns).text()).collect()
}

#[test]
fn every_size_has_its_keys_and_no_line_too_many_with_none_one_and_forty_sources() {
    for sources in [0, 1, 40] {
        let status = status(sources);
        for (columns, rows) in [(80, 24), (120, 40), (40, 10), (20, 4)] {
            for page in [Page::Overview, Page::DeadLetters, Page::Refusals] {
                let state = State { page, scrolled: 1000, ..State::default() };
                let lines = screen(&status, &state, columns, rows);
                assert_eq!(lines.len(), rows, "{columns}x{rows} {lines:#?}");
                assert!(lines[rows - 1].starts_with("q end"), "{lines:#?}");
                assert!(lines.iter().all(|line| line.chars().count() <= columns));
                assert!(lines.iter().all(|line| !line.contains('\u{1b}')));
            }
        }
    }
}

#[test]
fn eighty_columns_hold_every_column_and_the_reason() {
    let lines = screen(&status(1), &State::default(), 80, 24);
    let head = lines.iter().find(|line| line.starts_with("SOURCE")).unwrap();
    assert!(head.ends_with("LEFT  WHY"), "{lines:#?}");
    assert!(lines.iter().any(|line| line.contains("   7    3  token-unkn")), "{lines:#?}");
    let text = lines.join("\n");
    assert!(text.contains("up 10 min 00 s  ok") && text.contains("Kafka 3 of 3"), "{text}");
}

#[test]
fn what_a_service_does_not_know_in_its_first_seconds_is_not_told_as_nothing() {
    let mut status = status(0);
    status.kafka = Kafka::default();
    status.started = status.now - 2_000;
    let text = screen(&status, &State::default(), 80, 24).join("\n");
    assert!(text.contains("Kafka brokers not known yet"), "{text}");
    assert!(text.contains("\nnot known yet") && !text.contains("no topic yet"), "{text}");
    status.started = status.now - 60_000;
    let text = screen(&status, &State::default(), 80, 24).join("\n");
    assert!(text.contains("no topic yet"), "{text}");
}

#[test]
fn held_topics_come_first_and_the_others_by_rate_with_a_plot() {
    let lines = screen(&status(1), &State::default(), 120, 24);
    let at = lines.iter().position(|line| line.starts_with("TOPIC")).unwrap();
    assert!(lines[at + 1].contains("HELD topic authorization failed"), "{lines:#?}");
    assert!(lines[at + 2].contains("-004") && lines[at + 2].contains('█'), "{lines:#?}");
}

#[test]
fn sources_are_sorted_filtered_and_scrolled() {
    let status = status(40);
    let state = State { sort: Sort::In, ..State::default() };
    let lines = screen(&status, &state, 120, 24);
    let at = lines.iter().position(|line| line.starts_with("SOURCE")).unwrap();
    assert!(lines[at + 1].contains("39-xx"), "{lines:#?}");
    assert!(lines.iter().any(|line| line.ends_with(" more")), "{lines:#?}");
    let state = State { filter: "may-be-07".into(), ..State::default() };
    let lines = screen(&status, &state, 120, 24);
    assert!(lines[at + 1].contains("may-be-07") && lines[at + 2].is_empty(), "{lines:#?}");
    let state = State { scrolled: 1000, ..State::default() };
    let lines = screen(&status, &state, 120, 24);
    assert!(lines.iter().any(|line| line.contains("39-xx")), "{lines:#?}");
}

#[test]
fn numbers_fit_their_columns_however_large() {
    for n in [0.0, 0.04, 9.96, 10.0, 99_999.4, 1e6, 9e7] {
        assert!(rate(n).len() <= 6, "{}", rate(n));
    }
    for n in [0, 1023, 1 << 20, 999 << 30, u64::MAX] {
        assert!(bytes(n).len() <= 10, "{}", bytes(n));
    }
    for n in [0, 99, 5999, 172_799, 86_400 * 9999, u64::MAX] {
        assert!(short(n).len() <= 5, "{}", short(n));
    }
    assert_eq!(plot(&[0.0, 1.0, 8.0]), " ▁█");
}

#[test]
fn without_a_terminal_each_source_is_a_line() {
    let lines = plain(&status(1));
    assert_eq!(lines.len(), 1);
    assert!(lines[0].starts_with("10:00:00  source-with") && lines[0].ends_with("token-unknown"));
    assert!(plain(&status(0))[0].ends_with("no source"));
}

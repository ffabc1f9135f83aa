//! Replays: the choice of events, the dry run before it, and the result of each event.

use maud::{Markup, html};

use crate::observe::console::{
    link,
    model::{Replay, ReplayResult, Status, Time},
    page, parts, text,
};

use super::dead_letters::Asked;

/// Results on one page; failed ones come first.
const RESULTS_SHOWN: usize = 500;

/// The panel that tries and sends one delivery or event.
pub fn panel_of_one(status: &Status, from: &str, source: &str, position: &str) -> Markup {
    html! {
        section.card.act aria-labelledby="act" data-replay=(from) data-source=(source) data-position=(position) {
            h2 id="act" { "Send again" }
            (buttons(status, html! { "Decoded and routed by the configuration of today." }))
        }
    }
}

/// The panel that tries and sends the dead letters chosen on the page, or all that match.
pub fn panel_of_chosen(status: &Status, matching: u64, asked: &Asked) -> Markup {
    html! {
        section.card.act aria-labelledby="act" data-replay="dead-letters" data-matching=(matching)
            data-filter-source=(asked.source) data-filter-reason=(asked.reason) data-filter-since=(asked.since) {
            h2 id="act" { "Send again" }
            (buttons(status, html! {
                span id="chosen" { "Nothing is chosen." }
                @if status.access.may_change && matching > 0 {
                    " " label.check { input type="checkbox" id="choose-matching"; " all " (text::count(matching)) " that match" }
                }
            }))
        }
    }
}

fn buttons(status: &Status, says: Markup) -> Markup {
    html! {
        @match page::why_not_change(&status.access) {
            Some(why) => (why),
            None => {
                div.act-row.script-only {
                    p.says { (says) }
                    button type="button" data-try="" disabled { "Try" }
                    button.main type="button" data-send="" disabled { "Send" }
                }
                p.hint { "Try is a dry run: it says where each event would go, and sends nothing. Send is possible after it." }
                noscript { p.hint { "Sending needs JavaScript; " code { "millrace replay" } " does the same on the command line." } }
                div id="result" role="status" aria-live="polite" {}
            }
        }
    }
}

/// The page of one replay; its content is shown below the buttons as well.
pub fn page(status: &Status, replay: &Replay) -> Markup {
    let under =
        html! { (parts::ago(Some(replay.started), status.now)) ", asked for by " (replay.client) };
    html! {
        (page::title(&format!("Replay {}", replay.id), &under, &html! {}))
        (result(replay))
    }
}

/// The progress of a replay, and the result of each event.
pub fn result(replay: &Replay) -> Markup {
    let (tone, word) = match (replay.state.as_str(), replay.failed) {
        ("running", _) => ("info", "running"),
        ("failed", _) => ("bad", "ended early"),
        (_, 0) => ("ok", "done"),
        (_, _) => ("warn", "done, not all"),
    };
    let verb = if replay.dry_run { "would be sent" } else { "sent" };
    let mut results: Vec<&ReplayResult> = replay.results.iter().collect();
    results.sort_by_key(|it| matches!(it.result.as_str(), "would-send" | "sent"));
    let left_out = replay.results_left_out + results.len().saturating_sub(RESULTS_SHOWN) as u64;
    html! {
        section.card.flush.outcome data-replay-state=(replay.state) data-replay-id=(replay.id) data-replay-dry=(replay.dry_run) data-replay-sent=(replay.sent) {
            header.card-head {
                h2 { @if replay.dry_run { "Dry run" } @else { "Sent" } }
                (parts::tag(tone, word))
                a.quiet href=(format!("/replays/{}", replay.id)) { (replay.id) }
            }
            p.sum {
                strong { (text::of(replay.sent, "event")) } " " (verb) ", " strong { (text::count(replay.failed)) } " not, of "
                (text::count(replay.selected)) " selected"
            }
            @if let Some(problem) = &replay.problem { p.note { (problem) } }
            @if !replay.topics.is_empty() {
                ul.outcomes { @for (topic, number) in &replay.topics { li { span.mono { (parts::broken(topic)) } " " span.num { (text::count(*number)) } } } }
            }
            @if !results.is_empty() {
                table.results role="table" {
                    caption.unseen { "The result of each event" }
                    (parts::head(&[("Source", "c-name"), ("Position", "c-num"), ("Result", "c-tag"), ("Topic", "wide"), ("Partition", "c-short"), ("Offset", "c-num")]))
                    tbody role="rowgroup" { @for it in results.iter().take(RESULTS_SHOWN) { (row(it)) } }
                }
            }
            @if left_out > 0 { p.more-rows { "and " (text::of(left_out, "result")) " more" } }
        }
    }
}

fn row(it: &ReplayResult) -> Markup {
    let tone = match it.result.as_str() {
        "sent" => "ok",
        "would-send" => "info",
        "on-its-way" => "quiet",
        _ => "bad",
    };
    html! {
        tr role="row" data-key=(format!("{}-{}", it.source, it.position)) {
            (parts::cell("Source", "c-name", html! { (it.source) }))
            (parts::cell("Position", "c-num", html! { a href=(link::delivery(&it.source, &it.position)) { (it.position) } }))
            (parts::cell("Result", "c-tag", parts::tag(tone, &it.result)))
            (parts::cell("Topic", "wide", html! {
                @match &it.topic { Some(topic) => span.mono { (parts::broken(topic)) }, None => span.quiet { "–" } }
                @if it.reason.is_some() || it.error.is_some() { span.why {
                    @if let Some(reason) = &it.reason { strong { (reason) } " " }
                    @if let Some(error) = &it.error { (parts::prose(error)) }
                } }
            }))
            (parts::cell("Partition", "c-short", parts::maybe(it.partition.map(|it| it.to_string()).as_deref())))
            (parts::cell("Offset", "c-num", parts::maybe(it.offset.map(|it| it.to_string()).as_deref())))
        }
    }
}

/// The last replays of this process.
pub fn last(replays: &[Replay], now: Time) -> Markup {
    html! {
        @if !replays.is_empty() {
            section.card.flush {
                header.card-head { h2 { "Last replays" } }
                table.replays role="table" {
                    caption.unseen { "The last replays of this process" }
                    (parts::head(&[("Replay", "c-name"), ("Began", "c-ago"), ("From", "c-name"), ("State", "c-tag"), ("Events", "c-num"), ("Not", "c-num"), ("Asked by", "wide")]))
                    tbody role="rowgroup" {
                        @for replay in replays {
                            tr role="row" data-key=(replay.id) {
                                (parts::cell("Replay", "c-name", html! { a href=(link::query(&format!("/replays/{}", replay.id), &[])) { (replay.id) } @if replay.dry_run { span.quiet { " dry run" } } }))
                                (parts::cell("Began", "c-ago", parts::ago(Some(replay.started), now)))
                                (parts::cell("From", "c-name", html! { (replay.from) }))
                                (parts::cell("State", "c-tag", parts::tag(if replay.state == "failed" { "bad" } else { "quiet" }, &replay.state)))
                                (parts::cell("Events", "c-num", html! { (text::count(replay.sent)) }))
                                (parts::cell("Not", "c-num", html! { (text::count(replay.failed)) }))
                                (parts::cell("Asked by", "wide", html! { (replay.client) }))
                            }
                        }
                    }
                }
            }
        }
    }
}

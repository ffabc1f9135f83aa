//! Dead letters: by reason; choose some, try them with the configuration of today, send them, see the result of each.

use maud::{Markup, html};

use crate::observe::console::{
    link,
    model::{DeadLetter, DeadLetters, Replay, Status},
    page, parts, text,
};

use super::replay;

#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Asked {
    pub source: String,
    pub reason: String,
    pub since: String,
    pub before: String,
}

impl Asked {
    pub fn link(&self, reason: &str, before: Option<&str>) -> String {
        let pairs = [
            ("source", Some(self.source.as_str())),
            ("reason", Some(reason)),
            ("since", Some(&self.since)),
            ("before", before),
        ];
        link::query("/dead-letters", &pairs)
    }
}

pub fn page(status: &Status, found: &DeadLetters, replays: &[Replay], asked: &Asked) -> Markup {
    let under = html! {
        (text::count(found.matching)) " of " (text::count(found.known)) " known letters on " span.mono { (parts::broken(&status.dead_letter_topic)) }
        @if !found.complete { " · the topic is being read" }
    };
    html! {
        (page::title("Dead letters", &under, &html! {}))
        @if let Some(problem) = &found.problem { p.note { "The topic cannot be read now: " (problem) } }
        @for unreadable in &found.unreadable { p.note { (unreadable.why) } }
        @if !found.reasons.is_empty() {
            ul.chips aria-label="By reason" {
                li { a.chip href=(asked.link("", None)) aria-current=[asked.reason.is_empty().then_some("true")] { "all" } }
                @for (reason, number) in &found.reasons {
                    li { a.chip href=(asked.link(reason, None)) aria-current=[(*reason == asked.reason).then_some("true")] { (reason) " " span.num { (text::count(*number)) } } }
                }
            }
        }
        (filters(found, asked))
        (replay::panel_of_chosen(status, found.matching, asked))
        section.card.flush {
            @if found.letters.is_empty() {
                (parts::empty("No dead letter", html! {
                    @if *asked == Asked::default() { "Each event that came has reached its topic." }
                    @else { "None is like this. " a href="/dead-letters" { "Show all" } }
                }))
            } @else { (table(found, status)) }
            nav.pages aria-label="Older and newer" {
                @if !asked.before.is_empty() { a.button href=(asked.link(&asked.reason, None)) { "Newest" } }
                @if let Some(next) = &found.next { a.button href=(asked.link(&asked.reason, Some(next))) { "Older" } }
            }
        }
        (replay::last(replays, status.now))
    }
}

fn filters(found: &DeadLetters, asked: &Asked) -> Markup {
    let sources: Vec<_> = found
        .sources
        .iter()
        .map(|(name, number)| (name.as_str(), format!("{name} ({})", text::count(*number))))
        .collect();
    html! {
        form.filters method="get" action="/dead-letters" data-filters="" {
            (parts::choice("source", "Source", "all", &sources, &asked.source))
            (parts::since(&asked.since))
            input type="hidden" name="reason" value=(asked.reason);
            button type="submit" { "Filter" }
        }
    }
}

fn table(found: &DeadLetters, status: &Status) -> Markup {
    let may_send = status.access.may_change;
    html! {
        table.letters role="table" {
            caption.unseen { "Dead letters, the newest first" }
            thead role="rowgroup" {
                tr role="row" {
                    @if may_send {
                        th.c-check.script-only role="columnheader" scope="col" { input type="checkbox" id="choose-all" aria-label="Choose all letters of this page"; }
                    }
                    @for (name, class) in [("Came", "c-time"), ("Source", "c-name"), ("Position", "c-num"), ("Reason", "c-name"), ("Error", "wide"), ("Bytes", "c-num")] {
                        th role="columnheader" scope="col" class=(class) { (name) }
                    }
                }
            }
            tbody role="rowgroup" { @for letter in &found.letters { (row(letter, may_send)) } }
        }
    }
}

fn row(letter: &DeadLetter, may_send: bool) -> Markup {
    html! {
        tr role="row" data-key=(format!("{}-{}", letter.partition, letter.offset)) {
            @if may_send {
                td.c-check.script-only role="cell" {
                    input type="checkbox" name="chosen" data-source=(letter.source) data-position=(letter.position) aria-label=(format!("Choose {} of {}", letter.position, letter.source));
                }
            }
            (parts::cell("Came", "c-time", parts::moment(letter.at)))
            (parts::cell("Source", "c-name", html! { (letter.source) }))
            (parts::cell("Position", "c-num", html! { a href=(link::delivery(&letter.source, &letter.position)) { (letter.position) } }))
            (parts::cell("Reason", "c-name", html! { (parts::broken(&letter.reason)) }))
            (parts::cell("Error", "wide", html! {
                (parts::prose(&letter.error))
                span.why {
                    @if let Some(topic) = &letter.original_topic { "for " span.mono { (parts::broken(topic)) } " · " }
                    @if let Some(key) = &letter.key { "key " span.mono { (parts::broken(key)) } " · " }
                    "partition " (letter.partition) ", offset " (letter.offset)
                    @if letter.quarantined { " · " (parts::tag("warn", "in quarantine")) }
                }
                @if let Some(body) = &letter.body { details { summary { "Body" } (parts::short_body(body)) } }
            }))
            (parts::cell("Bytes", "c-num", html! { (text::bytes(letter.bytes)) }))
        }
    }
}

//! Deliveries: the last requests; for refused ones the reason, what the sender does next, and the key to change.

use maud::{Markup, html};

use crate::observe::console::{
    link,
    model::{Deliveries, Delivery, Status, Words},
    page, parts, text,
};

/// The filter and page that the request asks for.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Asked {
    pub source: String,
    pub outcome: String,
    pub reason: String,
    pub since: String,
    pub before: String,
}

impl Asked {
    pub fn link(&self, before: Option<&str>) -> String {
        self.at("/deliveries", before)
    }

    /// Returns this filter as a link to `path`.
    pub fn at(&self, path: &str, before: Option<&str>) -> String {
        let pairs = [
            ("source", Some(self.source.as_str())),
            ("outcome", Some(&self.outcome)),
            ("reason", Some(&self.reason)),
            ("since", Some(&self.since)),
            ("before", before),
        ];
        link::query(path, &pairs)
    }
}

pub fn page(status: &Status, words: &Words, found: &Deliveries, asked: &Asked) -> Markup {
    let under = html! { "The last " (text::of(found.kept, "request")) " that this process remembers, the newest first." };
    let right = html! {
        button.script-only type="button" id="pause" aria-pressed="false" { "Pause" }
    };
    html! {
        (page::title("Deliveries", &under, &right))
        (filters(status, words, asked))
        section.card.flush {
            @if found.deliveries.is_empty() {
                (parts::empty("No request", html! {
                    @if *asked == Asked::default() { "None came since the start of this process. " a href="/test" { "Send a test delivery" } ", or look at the URL of the source on the " a href="/" { "overview" } "." }
                    @else { "None of those that are remembered is like this. " a href="/deliveries" { "Show all" } }
                }))
            } @else {
                table.deliveries role="table" {
                    caption.unseen { "Requests, the newest first" }
                    (parts::head(&[("Time", "c-time"), ("Source", "c-name"), ("Outcome", "c-tag"), ("Status", "c-short"), ("Client", "c-name"), ("Bytes", "c-num"), ("Took", "c-num"), ("Position", "c-num")]))
                    tbody role="rowgroup" { @for delivery in &found.deliveries { (rows(delivery, status, words)) } }
                }
            }
            nav.pages aria-label="Older and newer" {
                @if !asked.before.is_empty() { a.button href=(asked.link(None)) { "Newest" } }
                @if let Some(next) = found.next { a.button href=(asked.link(Some(&next.to_string()))) { "Older" } }
            }
        }
    }
}

fn filters(status: &Status, words: &Words, asked: &Asked) -> Markup {
    let mut sources: Vec<_> =
        status.sources.iter().map(|it| (it.name.as_str(), it.name.clone())).collect();
    sources.push(("unknown", "of no source".to_owned()));
    let mut outcomes = vec![("refused", "all refused".to_owned())];
    outcomes.extend(words.outcomes.iter().map(|it| (it.outcome.as_str(), it.outcome.clone())));
    let reasons: Vec<_> =
        words.reasons.iter().map(|it| (it.reason.as_str(), it.reason.clone())).collect();
    html! {
        form.filters method="get" action="/deliveries" data-filters="" {
            (parts::choice("source", "Source", "all", &sources, &asked.source))
            (parts::choice("outcome", "Outcome", "all", &outcomes, &asked.outcome))
            (parts::choice("reason", "Reason", "all", &reasons, &asked.reason))
            (parts::since(&asked.since))
            button type="submit" { "Filter" }
        }
    }
}

fn rows(delivery: &Delivery, status: &Status, words: &Words) -> Markup {
    let refused = delivery.reason.is_some();
    html! {
        tr role="row" data-key=(delivery.number) class=[explained(delivery).then_some("has-more")] {
            (parts::cell("Time", "c-time", parts::moment(Some(delivery.at))))
            (parts::cell("Source", "c-name", html! { (delivery.source) }))
            (parts::cell("Outcome", "c-tag", parts::outcome(&delivery.outcome, delivery.status, refused)))
            (parts::cell("Status", "c-short", html! { @if delivery.status == 0 { span.quiet { "–" } } @else { (delivery.status) } }))
            (parts::cell("Client", "c-name", parts::maybe(delivery.client.as_deref())))
            (parts::cell("Bytes", "c-num", html! { (text::bytes(delivery.bytes)) }))
            (parts::cell("Took", "c-num", html! { @match delivery.milliseconds { Some(it) => (text::milliseconds(it)), None => span.quiet { "–" } } }))
            (parts::cell("Position", "c-num", html! {
                @match &delivery.position {
                    Some(position) => a href=(link::delivery(&delivery.source, position)) aria-label=(format!("Delivery {position} of {}", delivery.source)) { (position) },
                    None => span.quiet { "–" },
                }
            }))
        }
        @if explained(delivery) {
            tr.explained role="row" data-key=(format!("{}-why", delivery.number)) {
                td role="cell" colspan="8" { (why(delivery, status, words)) }
            }
        }
    }
}

fn explained(delivery: &Delivery) -> bool {
    delivery.reason.is_some() || delivery.detail.is_some() || delivery.left_out > 0
}

/// The reason in words, what the sender does next, and the key.
pub fn why(delivery: &Delivery, status: &Status, words: &Words) -> Markup {
    let reason = delivery.reason.as_deref().unwrap_or_default();
    let meant = words.reasons.iter().find(|it| it.reason == reason);
    let row = words.outcomes.iter().find(|it| it.outcome == delivery.outcome);
    let kind =
        status.sources.iter().find(|it| it.name == delivery.source).map(|it| it.kind.as_str());
    let key = delivery
        .key
        .as_deref()
        .or(meant.and_then(|it| it.key.as_deref()))
        .or(row.and_then(|it| it.key.as_deref()));
    html! {
        div.because {
            @if !reason.is_empty() {
                p { strong { (reason) } @if let Some(meant) = meant { ": " (parts::prose(&meant.text)) } }
            }
            @if let Some(detail) = &delivery.detail { p.detail { (parts::prose(detail)) } }
            @if let Some(row) = row.filter(|_| delivery.reason.is_some()) {
                p.then {
                    @if kind != Some("marketo-lead-activity") { span { "Adobe I/O: " (row.adobe) } }
                    @if kind != Some("adobe-io") { span { "Marketo: " (row.marketo) } }
                    @match kind {
                        Some("marketo-lead-activity") => span { "The event: " (row.event.marketo) },
                        Some(_) => span { "The event: " (row.event.adobe) },
                        None if row.event.adobe == row.event.marketo => span { "The event: " (row.event.adobe) },
                        None => {
                            span { "An event of Adobe I/O's: " (row.event.adobe) }
                            span { "An event of Marketo's: " (row.event.marketo) }
                        }
                    }
                }
            }
            @if key.is_some() || delivery.request_id.is_some() || delivery.left_out > 0 {
                p.then {
                    @if let Some(key) = key { span { "Change " (parts::key(key)) } }
                    @if let Some(id) = &delivery.request_id { span.mono { (parts::broken(id)) } }
                    @if delivery.left_out > 0 { span { (text::count(delivery.left_out)) " more like this within the same second" } }
                }
            }
        }
    }
}

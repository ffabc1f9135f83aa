//! One delivery: its request, its place in the spool, and the result of each event.

use maud::{Markup, html};

use crate::observe::console::{
    link,
    model::{DeliveryDetail, Event, Status, Words},
    page, parts, text,
};

use super::{deliveries, replay};

/// Events that are shown at first; the API gives a thousand.
const EVENTS_SHOWN: usize = 200;

pub fn page(status: &Status, words: &Words, found: &DeliveryDetail, all: bool) -> Markup {
    let (tone, word) = match found.state.as_str() {
        "on-its-way" => ("info", "on its way"),
        "settled" => ("ok", "settled"),
        other => ("quiet", other),
    };
    let title = format!("Delivery {}", found.position);
    let under = html! {
        a href=(link::query("/deliveries", &[("source", Some(&found.source))])) { (found.source) }
        " · " (text::bytes(found.bytes)) " · " (text::of(found.events.len() as u64 + found.events_left_out, "event"))
    };
    let shown = if all { found.events.len() } else { found.events.len().min(EVENTS_SHOWN) };
    let address = link::delivery(&found.source, &found.position);
    html! {
        (page::title(&title, &under, &parts::tag(tone, word)))
        @if let Some(note) = &found.note { p.note { (note) } }
        (steps(found))
        @if let Some(undecodable) = &found.undecodable {
            section.card { h2 { "Cannot be decoded" } p { strong { (undecodable.reason) } ": " (undecodable.error) } }
        }
        section.card.flush {
            header.card-head { h2 { "Events" } span.quiet { (text::count(found.events.len() as u64 + found.events_left_out)) } }
            @if found.events.is_empty() {
                (parts::empty("No event to show", html! { "The body has none, or it is no longer in the spool." }))
            } @else {
                table.events role="table" {
                    caption.unseen { "Events of this delivery, and where each is" }
                    (parts::head(&[("Position", "c-num"), ("State", "c-tag"), ("Type", "c-name"), ("Topic", "wide"), ("Partition", "c-short"), ("Offset", "c-num"), ("Settled", "c-time")]))
                    tbody role="rowgroup" { @for event in &found.events[..shown] { (row(event)) } }
                }
                @if shown < found.events.len() { p.more-rows { a href=(link::query(&address, &[("events", Some("all"))])) { "Show " (found.events.len()) } } }
                @if found.events_left_out > 0 { p.more-rows { (text::of(found.events_left_out, "event")) " more are not listed" } }
            }
        }
        @if found.state != "removed" { (replay::panel_of_one(status, "spool", &found.source, &found.position)) }
        div.two {
            section.card {
                h2 { "Kept headers" }
                @if found.headers.is_empty() { p.quiet { "None." } }
                dl.pairs { @for (name, value) in &found.headers { dt { (name) } dd.mono { (parts::broken(value)) } } }
            }
            section.card {
                h2 { "Request" }
                @if let Some(request) = &found.request {
                    dl.pairs {
                        dt { "Answered" } dd { (parts::moment(Some(request.at))) " " (parts::outcome(&request.outcome, request.status, request.reason.is_some())) }
                        dt { "Client" } dd.mono { (parts::maybe(request.client.as_deref())) }
                        dt { "Request id" } dd.mono { (parts::maybe(request.request_id.as_deref())) }
                        @if let Some(id) = &request.adobe_delivery_id { dt { "Adobe's delivery" } dd.mono { (parts::broken(id)) } }
                        @if let Some(id) = &request.adobe_event_id { dt { "Adobe's event" } dd.mono { (parts::broken(id)) } }
                        @if let Some(took) = request.milliseconds { dt { "Took" } dd { (text::milliseconds(took)) } }
                    }
                    @if request.reason.is_some() { (deliveries::why(request, status, words)) }
                } @else { p.quiet { "It is no longer among the requests that this process remembers." } }
            }
        }
        section.card {
            h2 { "Body" }
            @match &found.body {
                Some(body) => (parts::body(body)),
                None => p.quiet { @if status.access.bodies && found.bytes > 0 { "It is not shown." } @else if status.access.bodies { "It is no longer in the spool." } @else { "Bodies are shown where " code { "admin.bodies = true" } "." } },
            }
        }
    }
}

/// The steps received, stored and settled, with the time of each.
fn steps(found: &DeliveryDetail) -> Markup {
    let settled = found.events.iter().filter(|event| event.state != "on-its-way").count();
    let last = found.events.iter().filter_map(|event| event.at).max();
    let answered = found.request.as_ref().map(|request| request.at);
    html! {
        ol.steps aria-label="What happened" {
            li.done { strong { "Received" } (parts::moment(found.received_at)) }
            li.done {
                strong { "Stored" } (parts::moment(answered.or(found.received_at)))
            }
            li class=[(found.state == "settled").then_some("done")] {
                strong { @if found.state == "on-its-way" { "On its way" } @else { "Settled" } }
                span { (text::count(settled as u64)) " of " (text::of(found.events.len() as u64, "event")) @if let Some(at) = last { ", " (parts::moment(Some(at))) } }
            }
        }
    }
}

fn row(event: &Event) -> Markup {
    let tone = match event.state.as_str() {
        "delivered" => "ok",
        "dead-letter" | "quarantined" => "bad",
        "on-its-way" => "info",
        _ => "quiet",
    };
    let more = [&event.reason, &event.error, &event.note].into_iter().flatten().count() > 0;
    html! {
        tr role="row" data-key=(event.position) {
            (parts::cell("Position", "c-num", html! { (event.position) }))
            (parts::cell("State", "c-tag", parts::tag(tone, &event.state)))
            (parts::cell("Type", "c-name", parts::maybe(event.event_type.as_deref())))
            (parts::cell("Topic", "wide", html! {
                @match &event.topic { Some(topic) => span.mono { (parts::broken(topic)) }, None => span.quiet { "–" } }
                @if let Some(id) = &event.id { span.why.mono { "ce_id " (parts::broken(id)) } }
                @if more { span.why {
                    @if let Some(reason) = &event.reason { strong { (reason) } " " }
                    @if let Some(error) = &event.error { (parts::prose(error)) " " }
                    @if let Some(note) = &event.note { (note) }
                } }
            }))
            (parts::cell("Partition", "c-short", parts::maybe(event.partition.map(|it| it.to_string()).as_deref())))
            (parts::cell("Offset", "c-num", parts::maybe(event.offset.map(|it| it.to_string()).as_deref())))
            (parts::cell("Settled", "c-time", parts::moment(event.at)))
        }
    }
}

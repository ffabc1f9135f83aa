//! Path: the stages of a delivery from left to right, for all sources and for each, and the topics at its end.

use maud::{Markup, html};

use crate::observe::console::{
    link,
    model::{History, Rates, Source, Status, Topic},
    page, parts, plot, text,
};

/// Topics that are shown at first.
const TOPICS_SHOWN: usize = 100;

/// One row of stages.
struct Lane<'a> {
    name: &'a str,
    source: Option<&'a str>,
    rates: &'a Rates,
    history: &'a History,
    backlog: (u64, u64),
    in_flight: u64,
    dead_letters: u64,
}

pub fn page(status: &Status, all_topics: bool) -> Markup {
    let sum = |of: fn(&Source) -> u64| status.sources.iter().map(of).sum::<u64>();
    let all = Lane {
        name: "All sources",
        source: None,
        rates: &status.rates,
        history: &status.history,
        backlog: (sum(|it| it.backlog.deliveries), sum(|it| it.backlog.bytes)),
        in_flight: sum(|it| it.in_flight),
        dead_letters: sum(|it| it.dead_letters),
    };
    let each = status.sources.iter().map(|source| Lane {
        name: &source.name,
        source: Some(&source.name),
        rates: &source.rates,
        history: &source.history,
        backlog: (source.backlog.deliveries, source.backlog.bytes),
        in_flight: source.in_flight,
        dead_letters: source.dead_letters,
    });
    let under = html! { "Rates of the last ten seconds; plots of the last hour, a bar a minute." };
    html! {
        (page::title("Path", &under, &html! {}))
        (lane(&all, status))
        @if status.sources.len() > 1 { @for of in each { (lane(&of, status)) } }
        (topics(status, all_topics))
    }
}

fn lane(lane: &Lane<'_>, status: &Status) -> Markup {
    let rates = lane.rates;
    let history = lane.history;
    let refused =
        link::query("/deliveries", &[("source", lane.source), ("outcome", Some("refused"))]);
    let letters = link::query("/dead-letters", &[("source", lane.source)]);
    html! {
        section.lane data-key=(lane.name) aria-label=(format!("Path of {}", lane.name)) {
            h2 { (lane.name) }
            ol.stages {
                (stage("Received", "requests a second", &text::rate(rates.received),
                    plot::bars(&history.received, "plain", "Received"),
                    html! { a href=(link::query("/deliveries", &[("source", lane.source)])) { "Deliveries" } }))
                (stage("Checked", "refused a second", &text::rate(rates.refused),
                    plot::bars(&history.refused, "bad", "Refused"),
                    html! { a href=(refused) { "Refused, and why" } }))
                (stage("Stored", "a second, on disk", &text::rate(rates.stored),
                    plot::bars(&history.stored, "ok", "Stored"),
                    html! { "200 is answered here" }))
                (stage("Backlog", "waiting", &text::bytes(lane.backlog.1),
                    plot::level(&history.backlog_bytes, "warn", "Backlog", text::bytes),
                    html! { (text::of(lane.backlog.0, "delivery")) ", " (text::count(lane.in_flight)) " in flight" }))
                (stage("In Kafka", "events a second", &text::rate(rates.delivered),
                    plot::bars(&history.delivered, "info", "Delivered"),
                    html! {
                        @if status.kafka.away { strong.bad-text { "Kafka is away" } }
                        @else { (parts::brokers(&status.kafka)) }
                    }))
                (stage("Dead letters", "since the start", &text::count(lane.dead_letters),
                    plot::bars(&history.dead_letters, "bad", "Dead letters"),
                    html! { a href=(letters) { "Dead letters" } }))
            }
        }
    }
}

fn stage(name: &str, unit: &str, value: &str, plot: Markup, under: Markup) -> Markup {
    html! {
        li.stage {
            h3 { (name) }
            p.value { span.num { (value) } " " span.unit { (unit) } }
            (plot)
            p.under { (under) }
        }
    }
}

fn topics(status: &Status, all: bool) -> Markup {
    let shown = if all { status.topics.len() } else { status.topics.len().min(TOPICS_SHOWN) };
    html! {
        section.card.flush aria-labelledby="topics" {
            header.card-head { h2 id="topics" { "Topics" } span.quiet { (text::count(status.topics.len() as u64)) } }
            @if status.topics.is_empty() {
                (parts::empty("No topic yet", html! { "A topic is listed with its first event." }))
            } @else {
                table.topics role="table" {
                    caption.unseen { "Topics by rate, held ones first" }
                    (parts::head(&[("Topic", "wide"), ("Sources", "c-name"), ("A second", "c-num"), ("Last hour", "c-plot"), ("Events", "c-num")]))
                    tbody role="rowgroup" { @for topic in &status.topics[..shown] { (row(topic, status.now)) } }
                }
                @if shown < status.topics.len() { p.more-rows { a href="/path?topics=all" { "Show all " (status.topics.len()) } } }
            }
        }
    }
}

fn row(topic: &Topic, now: u64) -> Markup {
    html! {
        tr role="row" data-key=(topic.topic) {
            (parts::cell("Topic", "wide", html! {
                span.mono { (parts::broken(&topic.topic)) }
                @if let Some(held) = &topic.held {
                    span.why { (parts::tag("warn", "held")) " " (held.why) ", for " (text::ago(held.since, now).trim_end_matches(" ago")) }
                }
            }))
            (parts::cell("Sources", "c-name", html! { (topic.sources.join(", ")) }))
            (parts::cell("A second", "c-num", html! { (text::rate(topic.per_second)) }))
            (parts::cell("Last hour", "c-plot", plot::bars(&topic.history, "info", &format!("Events on {}", topic.topic))))
            (parts::cell("Events", "c-num", html! { (text::count(topic.delivered)) }))
        }
    }
}

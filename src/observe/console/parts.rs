//! The parts that pages are made of. Each has its class in `assets/console.css`, and none has a style of its own.

use maud::{Markup, html};

use super::{
    link,
    model::{Banner, Body, Kafka, Time},
    text,
};

/// A word with a colour and a dot: `ok`, `warn`, `bad`, `info` or `quiet`.
pub fn tag(tone: &str, word: &str) -> Markup {
    html! { span class=(format!("tag {tone}")) { (word) } }
}

/// The outcome of a request, one of the words of `src/ANSWERS.md`, coloured by its status.
pub fn outcome(word: &str, status: u16, refused: bool) -> Markup {
    let tone = match (refused, status) {
        (false, 200) => "ok",
        (true, 400..500) => "bad",
        (_, 400..) => "warn",
        (false, _) => "quiet",
        (true, _) => "warn",
    };
    tag(tone, word)
}

/// How long ago `at` was, with the time itself as tooltip.
pub fn ago(at: Option<Time>, now: Time) -> Markup {
    html! {
        @match at {
            Some(at) => time datetime=(text::stamp(at)) title=(text::stamp(at)) { (text::ago(at, now)) },
            None => span.quiet { "never" },
        }
    }
}

/// The time of day of `at`, with the date as tooltip.
pub fn moment(at: Option<Time>) -> Markup {
    html! {
        @match at {
            Some(at) => time.mono datetime=(text::stamp(at)) title=(text::stamp(at)) { (text::clock(at)) },
            None => span.quiet { "–" },
        }
    }
}

/// How long something has lasted, with the time of its beginning as tooltip.
pub fn lasting(since: Time, now: Time) -> Markup {
    html! { time datetime=(text::stamp(since)) title=(text::stamp(since)) { (text::ago(since, now).trim_end_matches(" ago")) } }
}

/// The number of brokers with a connection. A service that has just started does not know its brokers.
pub fn brokers(kafka: &Kafka) -> Markup {
    html! {
        @if kafka.brokers == 0 { "brokers not known yet" }
        @else { (kafka.connected) " of " (text::of(kafka.brokers, "broker")) }
    }
}

/// A value, or a dash where it is missing.
pub fn maybe(value: Option<&str>) -> Markup {
    html! {
        @match value.filter(|value| !value.is_empty()) {
            Some(value) => (value),
            None => span.quiet { "–" },
        }
    }
}

/// A sentence of the service; its text in backquotes is shown as code.
pub fn prose(sentence: &str) -> Markup {
    html! {
        @for (at, part) in sentence.split('`').enumerate() {
            @if at % 2 == 1 { code { (part) } } @else { (part) }
        }
    }
}

/// A configuration key.
pub fn key(key: &str) -> Markup {
    html! { code.key { (broken(key)) } }
}

/// A long name that may be broken after each dot, dash and slash.
pub fn broken(name: &str) -> Markup {
    html! {
        @for part in name.split_inclusive(['.', '-', '/', '_']) { (part) wbr; }
    }
}

/// A cell that says its column where the table is shown as a list.
pub fn cell(label: &str, class: &str, content: Markup) -> Markup {
    html! { td role="cell" class=(class) data-label=(label) { (content) } }
}

/// The head of a table: names of columns with their classes.
pub fn head(columns: &[(&str, &str)]) -> Markup {
    html! {
        thead role="rowgroup" {
            tr role="row" {
                @for (name, class) in columns { th role="columnheader" scope="col" class=(class) { (name) } }
            }
        }
    }
}

/// A name and its value in a list of facts.
pub fn fact(name: &str, value: Markup) -> Markup {
    html! { div.fact { dt { (name) } dd { (value) } } }
}

/// A choice in a form of filters; its first entry chooses nothing.
pub fn choice(
    name: &str,
    label: &str,
    all: &str,
    values: &[(&str, String)],
    chosen: &str,
) -> Markup {
    html! {
        label.field {
            span { (label) }
            select name=(name) {
                option value="" { (all) }
                @for (value, shown) in values {
                    option value=(value) selected[*value == chosen] { (shown) }
                }
                // A chosen value that is not among the values now stays chosen.
                @if !chosen.is_empty() && !values.iter().any(|(value, _)| *value == chosen) {
                    option value=(chosen) selected { (chosen) }
                }
            }
        }
    }
}

/// The choices of `since`.
pub fn since(chosen: &str) -> Markup {
    let values = [
        ("5m", "5 minutes"),
        ("1h", "1 hour"),
        ("6h", "6 hours"),
        ("24h", "24 hours"),
        ("7d", "7 days"),
    ];
    choice(
        "since",
        "Of the last",
        "any time",
        &values.map(|(value, shown)| (value, shown.to_owned())),
        chosen,
    )
}

/// The list of banners: each is something that needs an operator.
pub fn banners(banners: &[Banner], now: Time) -> Markup {
    html! {
        @if !banners.is_empty() {
            ul.banners aria-label="What needs attention" {
                @for banner in banners { (shown(banner, now)) }
            }
        }
    }
}

fn shown(banner: &Banner, now: Time) -> Markup {
    let tone = match banner.level.as_str() {
        "error" => "bad",
        "warning" => "warn",
        _ => "info",
    };
    // The address comes from outside: only `https` is linked, never `javascript:` or the like.
    let link = banner.link.as_deref().filter(|link| link.starts_with("https://"));
    html! {
        li class=(format!("banner {tone}")) data-key=(format!("{}-{}", banner.kind, banner.source.as_deref().unwrap_or_default())) {
            div.what {
                @if let Some(source) = &banner.source { strong { (source) } " " }
                (prose(&banner.text))
            }
            div.more {
                @if let Some(since) = banner.since { span { "for " (lasting(since, now)) } }
                @if let Some(until) = banner.until {
                    span.left { @if until > now { "ends " (text::until(until, now)) } @else { "is over" } }
                }
                @if let Some(key) = &banner.key { (self::key(key)) }
                @if let Some(link) = link {
                    a.button href=(link) target="_blank" rel="noopener noreferrer" { "Open the address" }
                }
                @match link::runbook(&banner.runbook) {
                    Some(link) => a href=(link) target="_blank" rel="noopener noreferrer" { "Runbook: " (broken(&banner.runbook)) },
                    None => span.runbook { "Runbook (" code { "deploy/RUNBOOK.md" } "): " (broken(&banner.runbook)) },
                }
            }
        }
    }
}

/// Characters of a body in a list.
const SHORT_BODY_CHARS: usize = 1000;

/// The beginning of a body, as it is shown in a list.
pub fn short_body(body: &Body) -> Markup {
    let short = |text: &Option<String>| {
        text.as_deref().map(|text| text.chars().take(SHORT_BODY_CHARS).collect::<String>())
    };
    let cut = |text: &Option<String>| {
        text.as_deref().is_some_and(|text| text.chars().nth(SHORT_BODY_CHARS).is_some())
    };
    let is_cut = body.cut || cut(&body.text) || cut(&body.base64);
    self::body(&Body { text: short(&body.text), base64: short(&body.base64), cut: is_cut })
}

/// The beginning of a body.
pub fn body(body: &Body) -> Markup {
    let (kind, content) = match (&body.text, &body.base64) {
        (Some(text), _) => ("text", text.as_str()),
        (None, Some(base64)) => ("base64, since it is no UTF-8", base64.as_str()),
        (None, None) => ("", ""),
    };
    html! {
        pre.body tabindex="0" aria-label=(format!("Body, {kind}")) { (content) }
        @if body.cut { p.hint { "The body goes on; this is its beginning." } }
    }
}

/// The text in place of an empty list, with the reason.
pub fn empty(title: &str, why: Markup) -> Markup {
    html! { div.empty { p { strong { (title) } } p { (why) } } }
}

//! Overview: problems for an operator, figures of all sources, and a card for each source.

use maud::{Markup, html};

use crate::observe::console::{
    link,
    model::{Held, Refused, Source, Status, Time},
    page, parts, plot, text,
};

pub fn page(status: &Status) -> Markup {
    let now = status.now;
    let (tone, word) = match status.state.as_str() {
        "ok" => ("ok", "ready"),
        "unavailable" => ("bad", "not ready"),
        other => ("warn", other),
    };
    let under = html! {
        "Up for " (text::ago(status.started, now).trim_end_matches(" ago")) " · " (status.delivery) " · Kafka "
        @if status.kafka.away { strong.bad-text { "away" } }
        @else { (parts::brokers(&status.kafka)) }
    };
    html! {
        (page::title("Overview", &under, &parts::tag(tone, word)))
        @for reason in &status.reasons { p.reason { (reason) } }
        (parts::banners(&status.banners, now))
        section aria-label="All sources" {
            div.figures { (figures(status)) }
        }
        section.cards aria-label="Sources" {
            @for source in &status.sources { (card(source, now)) }
            @if status.sources.is_empty() {
                (parts::empty("No source", html! { "Name one in " code { "sources" } ", and restart." }))
            }
        }
        @if !status.others.refused.is_empty() {
            section.card data-key="others" {
                h2 { "Requests to no source, and connections without one" }
                (refusals("unknown", &status.others.refused, now))
            }
        }
    }
}

fn figures(status: &Status) -> Markup {
    let rates = &status.rates;
    let history = &status.history;
    let backlog: u64 = status.sources.iter().map(|source| source.backlog.bytes).sum();
    let letters: u64 = status.sources.iter().map(|source| source.dead_letters).sum();
    html! {
        (figure("Received", &text::rate(rates.received), "a second", plot::bars(&history.received, "plain", "Received")))
        (figure("Stored", &text::rate(rates.stored), "a second", plot::bars(&history.stored, "ok", "Stored")))
        (figure("Refused", &text::rate(rates.refused), "a second", plot::bars(&history.refused, "bad", "Refused")))
        (figure("Events to Kafka", &text::rate(rates.delivered), "a second", plot::bars(&history.delivered, "info", "Delivered")))
        (figure("Backlog", &text::bytes(backlog), "undelivered", plot::level(&history.backlog_bytes, "warn", "Backlog", text::bytes)))
        (figure("Dead letters", &text::count(letters), "since the start", plot::bars(&history.dead_letters, "bad", "Dead letters")))
    }
}

/// A figure with the last hour below it.
pub fn figure(name: &str, value: &str, unit: &str, plot: Markup) -> Markup {
    html! {
        div.figure data-key=(name) {
            p.name { (name) }
            p.value { span.num { (value) } " " span.unit { (unit) } }
            (plot)
        }
    }
}

fn card(source: &Source, now: Time) -> Markup {
    let held = source.held_topics.len() as u64;
    let (tone, word) = match source.state.as_str() {
        // The source works, but for the held topics.
        "held" if held > 0 => ("warn", format!("{} held", text::of(held, "topic"))),
        "held" => ("warn", "dead letters wait".to_owned()),
        "ok" => ("ok", source.state.clone()),
        "closed" => ("quiet", source.state.clone()),
        "full" => ("warn", source.state.clone()),
        _ => ("bad", source.state.clone()),
    };
    let refusals_link =
        link::query("/deliveries", &[("source", Some(&source.name)), ("outcome", Some("refused"))]);
    html! {
        article.card data-key=(source.name) aria-label=(format!("Source {}", source.name)) {
            header.card-head {
                h2 { (source.name) }
                span.quiet { (source.kind) }
                (parts::tag(tone, &word))
            }
            div.give {
                span.label { "Give to the sender" }
                code.url { span.quiet { "https://<public host>" } (source.path) }
                button.small.script-only type="button" data-copy=(source.path) aria-label=(format!("Copy path of {}", source.name)) { "Copy path" }
            }
            ul.ways aria-label="Ways in" {
                @for way in &source.ways_in { li { (parts::prose(&way.text)) " " (parts::key(&way.key)) } }
            }
            dl.facts {
                (parts::fact("Last delivery", parts::ago(source.last_stored, now)))
                (parts::fact("Refused a minute", html! {
                    @if source.refused_last_minute > 0 { a href=(refusals_link) { (text::count(source.refused_last_minute)) } } @else { "0" }
                }))
                (parts::fact(gives_up(source), failures_left(source)))
                @if !source.answers_24h.is_empty() { (parts::fact("Answered delivered", answered_delivered(source))) }
                (parts::fact("Backlog", html! { (text::bytes(source.backlog.bytes)) " " span.small { (text::of(source.backlog.deliveries, "delivery")) } }))
                (parts::fact("Oldest", html! {
                    @match source.backlog.oldest { Some(at) => (text::ago(at, now).trim_end_matches(" ago")), None => span.quiet { "–" } }
                }))
                (parts::fact("Full in", html! {
                    @match source.backlog.seconds_until_full { Some(left) => span.warn-text { (text::seconds(left)) }, None => span.quiet { "not growing" } }
                }))
            }
            @if source.dead_letters_waiting + source.quarantine_items > 0 {
                p.hint {
                    (text::of(source.dead_letters_waiting, "refused event")) " waiting for the dead-letter topic, "
                    (text::of(source.quarantine_items, "item")) " in quarantine"
                }
            }
            (outcomes(source))
            (self::held(&source.held_topics, now))
            (refusals(&source.name, &source.refused, now))
        }
    }
}

/// The share of a day's answers that said that Kafka has the delivery.
fn answered_delivered(source: &Source) -> Markup {
    let all: u64 = source.answers_24h.values().sum();
    let delivered = source.answers_24h.get("delivered").copied().unwrap_or_default();
    let per_mille = u128::from(delivered) * 1000 / u128::from(all.max(1));
    html! { (per_mille / 10) "." (per_mille % 10) " % " span.small { "of " (text::of(all, "answer")) " in 24 hours" } }
}

/// The action of the sender when too many of its tries fail.
fn gives_up(source: &Source) -> &str {
    source.tries.then.split(" the ").next().unwrap_or_default()
}

fn failures_left(source: &Source) -> Markup {
    let left = source.tries.failures_left;
    let tone = match left {
        Some(0) => "bad-text",
        Some(1..3) if source.tries.failed_in_a_row > 0 => "warn-text",
        _ => "",
    };
    html! {
        @match left {
            Some(0) => span.bad-text { "by now" },
            Some(left) => span class=(tone) { "after " (text::of(left, "failure")) },
            None => span.quiet { "–" },
        }
    }
}

/// The colour of an outcome of a source: one that is answered 200 or refused for good has its own.
fn tone(outcome: &str) -> &'static str {
    match outcome {
        "stored" => "ok",
        "probe" | "challenge" | "validation" => "info",
        "bad-credentials" | "bad-token" => "bad",
        _ => "warn",
    }
}

/// Requests of 24 hours by outcome: a bar in proportion, and the figures.
fn outcomes(source: &Source) -> Markup {
    let total: u64 = source.outcomes_24h.values().sum();
    let mut by_count: Vec<_> = source.outcomes_24h.iter().collect();
    by_count.sort_by(|a, b| b.1.cmp(a.1).then(a.0.cmp(b.0)));
    html! {
        h3 { "Last 24 hours" span.quiet { " · " (text::of(total, "request")) } }
        @if total > 0 {
            svg.share viewBox="0 0 1000 8" preserveAspectRatio="none" aria-hidden="true" {
                @for (tone, from, width) in shares(&by_count, total) {
                    rect class=(tone) x=(from) y="0" width=(width) height="8" {}
                }
            }
            ul.outcomes {
                @for (outcome, number) in &by_count {
                    li {
                        a href=(link::query("/deliveries", &[("source", Some(&source.name)), ("outcome", Some(outcome.as_str()))])) {
                            (parts::tag(tone(outcome), outcome)) " " span.num { (text::count(**number)) }
                        }
                    }
                }
            }
        } @else { p.quiet { "None." } }
    }
}

/// Returns tone, start and width of each share, in thousandths; a share that is not zero is wide enough to be seen.
fn shares(by_count: &[(&String, &u64)], total: u64) -> Vec<(&'static str, u64, u64)> {
    let mut from = 0;
    let mut shares = Vec::new();
    for (outcome, number) in by_count {
        let width = (u128::from(**number) * 1000 / u128::from(total.max(1))).max(4) as u64;
        shares.push((tone(outcome), from, width));
        from += width;
    }
    shares
}

pub fn held(topics: &[Held], now: Time) -> Markup {
    html! {
        @if !topics.is_empty() {
            h3 { "Held topics" }
            ul.lines {
                @for held in topics {
                    li data-key=(held.topic) { (parts::tag("warn", "held")) " " span.mono { (parts::broken(&held.topic)) } span.why { (held.why) ", for " (text::ago(held.since, now).trim_end_matches(" ago")) } }
                }
            }
        }
    }
}

fn refusals(source: &str, refused: &[Refused], now: Time) -> Markup {
    html! {
        @if !refused.is_empty() {
            h3 { "Refused, and why" }
            ul.lines {
                @for refused in refused {
                    li data-key=(refused.reason) {
                        a href=(link::query("/deliveries", &[("source", Some(source)), ("reason", Some(&refused.reason))])) { (refused.reason) }
                        " " span.num { (text::count(refused.last_minute)) " a minute, " (text::count(refused.last_hour)) " an hour, " (text::count(refused.total)) " since the start" }
                        span.why { (parts::prose(&refused.text)) " Last " (parts::ago(Some(refused.last), now)) ". "
                            @if let Some(key) = &refused.key { (parts::key(key)) }
                        }
                    }
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use crate::ingest::listen::reply::{self, Scope};

    #[test]
    fn an_outcome_has_the_colour_of_its_status() {
        for row in reply::TABLE.iter().filter(|row| row.scope == Scope::Source) {
            let due = match row.status.as_u16() {
                200 if row.label == "stored" => "ok",
                200 => "info",
                400..500 => "bad",
                _ => "warn",
            };
            assert_eq!(super::tone(row.label), due, "give `{}` its colour", row.label);
        }
    }
}

//! Test delivery: one event of a type, made as the sender would write it, to a topic of its own.
//!
//! Each source has a form. The script sends it without leaving the page; without scripts the browser sends it.

use maud::{Markup, html};

use crate::observe::console::{
    model::{Status, TestDelivery, Words},
    page, parts, text,
};

/// The result of a test delivery that a form asked for.
pub enum Sent {
    Tried(TestDelivery),
    /// The text of the API's refusal.
    Refused(String),
}

/// `sent` is the name of the source and the result of its test delivery.
pub fn page(status: &Status, words: &Words, sent: Option<(&str, &Sent)>) -> Markup {
    let under = html! {
        "One event, decoded and encoded as a delivery of its source, written to " span.mono { (parts::broken(&status.test_topic)) }
        " and marked by the header " code { "millrace-test" } ". No other topic gets it."
    };
    html! {
        (page::title("Test delivery", &under, &html! {}))
        @if let Some(why) = page::why_not_change(&status.access) { (why) }
        section.cards {
            @for source in &status.sources {
                form.card.test method="post" action="/test" data-test=(source.name) data-key=(source.name) aria-label=(format!("Test delivery of {}", source.name)) {
                    header.card-head { h2 { (source.name) } span.quiet { (source.kind) } }
                    input type="hidden" name="source" value=(source.name);
                    div.test-row {
                        label.field {
                            span { "Event type" }
                            select name="type" { @for it in words.types.get(&source.name).into_iter().flatten() { option value=(it) { (it) } } }
                        }
                        button.main type="submit" disabled[!status.access.may_change] { "Send" }
                    }
                    div.result role="status" aria-live="polite" {
                        @if let Some((_, sent)) = sent.filter(|(name, _)| *name == source.name) { (result(sent)) }
                    }
                }
            }
        }
        @if let Some((name, Sent::Refused(why))) = sent && !status.sources.iter().any(|it| it.name == name) {
            p.note { (why) }
        }
    }
}

/// Shows the result; the script writes the same markup.
fn result(sent: &Sent) -> Markup {
    let delivery = match sent {
        Sent::Refused(why) => return html! { p.note { (why) } },
        Sent::Tried(delivery) => delivery,
    };
    let TestDelivery { topic, partition, offset, error, .. } = delivery;
    let place = match (partition, offset) {
        (Some(partition), Some(offset)) => {
            format!("{topic}, partition {partition}, offset {offset}")
        }
        _ => topic.clone(),
    };
    let arrived = if error.is_none() { "Arrived on" } else { "Did not arrive on" };
    let would_go = match (&delivery.would_go_to, &delivery.left_out_by) {
        (Some(topic), _) => topic.clone(),
        (None, key) => format!("no topic: {} leaves it out", key.as_deref().unwrap_or_default()),
    };
    html! {
        @if let Some(error) = error { p.note { (error) } }
        dl.facts {
            (parts::fact(arrived, html! { (place) }))
            (parts::fact("ce_id", html! { (delivery.id) }))
            (parts::fact("Took", html! { (text::milliseconds(delivery.milliseconds)) }))
            (parts::fact("A real one goes to", html! { (would_go) }))
        }
    }
}

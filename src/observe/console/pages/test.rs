//! Test delivery: one event of a type, made as the sender would write it, to a topic of its own.

use maud::{Markup, html};

use crate::observe::console::{
    model::{Status, Words},
    page, parts,
};

pub fn page(status: &Status, words: &Words) -> Markup {
    let under = html! {
        "One event, decoded and encoded as a delivery of its source, written to " span.mono { (parts::broken(&status.test_topic)) }
        " and marked by the header " code { "millrace-test" } ". No other topic gets it."
    };
    html! {
        (page::title("Test delivery", &under, &html! {}))
        @if let Some(why) = page::why_not_change(&status.access) { (why) }
        section.cards {
            @for source in &status.sources {
                form.card.test data-test=(source.name) data-key=(source.name) aria-label=(format!("Test delivery of {}", source.name)) {
                    header.card-head { h2 { (source.name) } span.quiet { (source.kind) } }
                    div.test-row {
                        label.field {
                            span { "Event type" }
                            select name="type" { @for it in words.types.get(&source.name).into_iter().flatten() { option value=(it) { (it) } } }
                        }
                        button.main.script-only type="submit" disabled[!status.access.may_change] { "Send" }
                    }
                    noscript { p.hint { "Sending needs JavaScript." } }
                    div.result role="status" aria-live="polite" {}
                }
            }
        }
    }
}

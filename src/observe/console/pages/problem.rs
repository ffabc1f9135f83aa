//! The page in place of one that cannot be shown.

use maud::{Markup, html};

use crate::observe::console::{model::Problem, parts};

pub fn page(problem: &Problem) -> Markup {
    html! {
        section.card.sign-in {
            h1 { "This page cannot be shown" }
            p { (parts::prose(&problem.text)) }
            p.quiet { (problem.error) }
            p { a.button href="/" { "Overview" } }
        }
    }
}

//! Signing in: a token for a cookie, by a form that needs no script.

use maud::{Markup, html};

use crate::observe::console::model::Access;

/// `to` is the path of the page to return to.
pub fn page(access: &Access, to: &str) -> Markup {
    if access.has_tokens {
        return form(to, None);
    }
    html! {
        section.card.sign-in aria-labelledby="sign-in" {
            h1 id="sign-in" { "Sign in" }
            p { "No token is configured. Set " code { "admin.tokens" } " or " code { "admin.tokens_file" } "; both are read again while the service runs." }
        }
    }
}

/// `problem` is why the last token was refused.
pub fn form(to: &str, problem: Option<&str>) -> Markup {
    html! {
        section.card.sign-in aria-labelledby="sign-in" {
            h1 id="sign-in" { "Sign in" }
            p.hint { "With one of the tokens in " code { "admin.tokens" } " or " code { "admin.tokens_file" } ". The session lasts 12 hours, and ends with the process." }
            form id="sign-in-form" method="post" action="/sign-in" {
                input type="hidden" name="to" value=(to);
                label.field {
                    span { "Token" }
                    input type="password" name="token" autocomplete="current-password" required autofocus aria-describedby="sign-in-problem";
                }
                p.problem id="sign-in-problem" role="alert" { @if let Some(problem) = problem { (problem) } }
                button.main type="submit" { "Sign in" }
            }
        }
    }
}

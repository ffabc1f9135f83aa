//! Signing in: a token for a cookie.

use maud::{Markup, html};

use crate::observe::console::model::Access;

/// `to` is the path of the page that was asked for.
pub fn page(access: &Access, to: &str) -> Markup {
    html! {
        section.card.sign-in aria-labelledby="sign-in" {
            h1 id="sign-in" { "Sign in" }
            @if access.has_tokens {
                p.hint { "With one of the tokens in " code { "admin.tokens" } " or " code { "admin.tokens_file" } ". The session lasts 12 hours, and ends with the process." }
                form id="sign-in-form" data-to=(to) {
                    label.field {
                        span { "Token" }
                        input type="password" name="token" autocomplete="current-password" required autofocus aria-describedby="sign-in-problem";
                    }
                    p.problem id="sign-in-problem" role="alert" {}
                    button.main.script-only type="submit" { "Sign in" }
                }
                noscript { p.hint { "Signing in needs JavaScript. A program sends the token as " code { "Authorization: Bearer …" } "." } }
            } @else {
                p { "No token is configured. Set " code { "admin.tokens" } " or " code { "admin.tokens_file" } "; both are read again while the service runs." }
            }
        }
    }
}

//! The frame of all pages: the head, the navigation, whether the page is live, the switch of colours.

use maud::{DOCTYPE, Markup, html};

use super::{
    assets,
    model::{Access, Status},
};

/// The page's place in the navigation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Place {
    Overview,
    Path,
    Deliveries,
    DeadLetters,
    Test,
    /// A page without a place there: signing in, an error.
    Nowhere,
}

const NAVIGATION: [(Place, &str, &str); 5] = [
    (Place::Overview, "/", "Overview"),
    (Place::Path, "/path", "Path"),
    (Place::Deliveries, "/deliveries", "Deliveries"),
    (Place::DeadLetters, "/dead-letters", "Dead letters"),
    (Place::Test, "/test", "Test delivery"),
];

/// The colours: those of the system, or of a choice.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Theme {
    #[default]
    System,
    Light,
    Dark,
}

impl Theme {
    /// Reads the value of the cookie `millrace-theme`.
    pub fn of(value: Option<&str>) -> Self {
        match value {
            Some("light") => Self::Light,
            Some("dark") => Self::Dark,
            _ => Self::System,
        }
    }

    fn word(self) -> &'static str {
        match self {
            Self::System => "system",
            Self::Light => "light",
            Self::Dark => "dark",
        }
    }
}

/// The frame around the content of a page.
pub struct Frame<'a> {
    pub theme: Theme,
    /// None where nothing may be read, as at the sign-in.
    pub status: Option<&'a Status>,
    pub place: Place,
    pub title: &'a str,
    /// The address of the event stream that tells the script when this page has changed.
    pub live: Option<String>,
}

impl Frame<'_> {
    /// Returns the whole page around `content`.
    pub fn around(&self, content: &Markup) -> Markup {
        let theme = self.theme.word();
        let signed_in = self.status.is_some_and(|status| status.access.signed_in);
        html! {
            (DOCTYPE)
            html lang="en" data-theme=(theme) {
                head {
                    meta charset="utf-8";
                    meta name="viewport" content="width=device-width, initial-scale=1";
                    meta name="robots" content="noindex";
                    meta name="color-scheme" content="light dark";
                    title { (self.title) " · millrace" }
                    link rel="icon" type="image/svg+xml" href=(assets::ICON.address());
                    link rel="stylesheet" href=(assets::STYLE.address());
                    // Not deferred: it marks the page as scripted before anything is drawn.
                    script src=(assets::SCRIPT.address()) {}
                }
                body {
                    a.skip href="#content" { "Skip to content" }
                    header.side {
                        a.brand href="/" { (mark()) span { "millrace" } }
                        @if let Some(status) = self.status { (self.navigation(status)) }
                        div.foot {
                            @if self.live.is_some() {
                                p.live.script-only id="live" role="status" data-state="wait" { span.dot {} span.word { "connecting" } }
                            }
                            div.switch.script-only role="group" aria-label="Colours" {
                                @for (value, label) in [("system", "Auto"), ("light", "Light"), ("dark", "Dark")] {
                                    button type="button" data-theme-choice=(value) aria-pressed=(if value == theme { "true" } else { "false" }) { (label) }
                                }
                            }
                            @if let Some(status) = self.status {
                                @if signed_in {
                                    form method="post" action="/sign-out" { button.plain type="submit" data-sign-out="" { "Sign out" } }
                                } @else if status.access.has_tokens && self.place != Place::Nowhere {
                                    a.plain href="/sign-in" { "Sign in" }
                                }
                                p.version { (status.instance) br; "millrace " (status.version) }
                            }
                        }
                    }
                    main id="content" tabindex="-1" data-live=[self.live.as_deref()] { (content) }
                }
            }
        }
    }

    fn navigation(&self, status: &Status) -> Markup {
        let attention = status.banners.iter().filter(|banner| banner.level != "info").count();
        html! {
            nav aria-label="Pages" {
                ul id="ways" {
                    @for (place, link, name) in NAVIGATION {
                        li {
                            a href=(link) aria-current=[(place == self.place).then_some("page")] {
                                (name)
                                @if place == Place::Overview && attention > 0 {
                                    " " span.number.bad { (attention) span.unseen { " " (if attention == 1 { "problem" } else { "problems" }) } }
                                }
                            }
                        }
                    }
                }
            }
        }
    }
}

/// The logo: a wheel in a stream.
fn mark() -> Markup {
    html! {
        svg.mark viewBox="0 0 24 24" aria-hidden="true" {
            circle cx="12" cy="10.5" r="6.2" {}
            path d="M12 1.8v17.4M3.3 10.5h17.4M5.9 4.4l12.2 12.2M18.1 4.4 5.9 16.6" {}
            path.water d="M1.5 21.6c2.6-2 4.4-2 7 0s4.4 2 7 0 4.4-2 7 0" {}
        }
    }
}

/// Returns the head of a page, with `right` at its right end.
pub fn title(title: &str, under: &Markup, right: &Markup) -> Markup {
    html! {
        div.title {
            div { h1 { (title) } p { (under) } }
            div.right { (right) }
        }
    }
}

/// Returns why this client can change nothing, and what to do; `None` where it can.
pub fn why_not_change(access: &Access) -> Option<Markup> {
    if access.may_change {
        return None;
    }
    Some(html! {
        p.hint id="why-not" {
            @if access.console != "replay" {
                "This console only reads. Set " code { "admin.console = \"replay\"" } " to send from here."
            } @else if !access.has_tokens {
                "Sending needs a token: set " code { "admin.tokens" } " or " code { "admin.tokens_file" } ", then sign in."
            } @else {
                "Sending needs a token: " a href="/sign-in" { "sign in" } "."
            }
        }
    })
}

//! Made-up values of attributes, as JSON.

use std::fmt::Write as _;

use crate::sender::random::Random;

/// The form of an attribute's value.
#[derive(Clone, Copy, Debug)]
pub enum Value {
    /// One of these texts, escaped as JSON wants it.
    Text(&'static [&'static str]),
    /// A number in this range, ends included.
    Number(u64, u64),
    Flag,
    /// A page of the customer's website.
    Page,
    /// A page as a link with campaign parameters.
    Link,
    Address,
    Mail,
    Browser,
    /// These bytes of JSON, as they are.
    Json(&'static str),
}

impl Value {
    /// Returns Marketo's name for the type.
    pub fn data_type(self) -> &'static str {
        match self {
            Self::Text(_) | Self::Browser | Self::Address => "string",
            Self::Number(..) => "integer",
            Self::Flag => "boolean",
            Self::Page | Self::Link => "href",
            Self::Mail => "email",
            Self::Json(_) => "object",
        }
    }

    pub fn write(self, out: &mut String, random: &mut Random) {
        // Writing to a string cannot fail.
        let _ = match self {
            Self::Text(texts) => {
                let text: &&str = random.choose(texts);
                string(out, text);
                Ok(())
            }
            Self::Number(low, high) => write!(out, "{}", random.between(low, high)),
            Self::Flag => write!(out, "{}", random.below(2) == 1),
            Self::Page => write!(out, "\"/{}\"", random.choose(PAGES)),
            Self::Link => write!(
                out,
                "\"https://www.example.com/{}?utm_campaign=spring-{}&mkt_tok={:016x}\"",
                random.choose(PAGES),
                random.between(1, 12),
                random.next_u64()
            ),
            Self::Address => {
                write!(out, "\"198.51.100.{}\"", random.between(1, 254))
            }
            Self::Mail => {
                write!(out, "\"{}.{}@example.com\"", random.choose(NAMES), random.between(1, 999))
            }
            Self::Browser => write!(
                out,
                "\"Mozilla/5.0 ({}) Chrome/{}.0.0.0\"",
                random.choose(SYSTEMS),
                random.between(118, 140)
            ),
            Self::Json(json) => {
                out.push_str(json);
                Ok(())
            }
        };
    }
}

/// Writes `text` as a JSON string.
pub fn string(out: &mut String, text: &str) {
    // Serializing a string to a string cannot fail.
    out.push_str(&serde_json::to_string(text).unwrap_or_default());
}

const PAGES: &[&str] = &[
    "",
    "pricing",
    "products/overview",
    "products/wheel-mark-ii",
    "resources/whitepaper-steady-flow.html",
    "blog/2026/03/what-the-river-taught-us",
    "webinars/register",
    "contact-us",
];

const NAMES: &[&str] = &["anna", "bela", "chen", "dilara", "emeka", "fatima", "goran", "hina"];

const SYSTEMS: &[&str] = &[
    "Windows NT 10.0; Win64; x64",
    "Macintosh; Intel Mac OS X 10_15_7",
    "X11; Linux x86_64",
    "Linux; Android 14; Pixel 8",
];

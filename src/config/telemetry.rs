//! The `OTEL_*` variables that traces and metrics have in common.

use std::ffi::OsString;

use reqwest::Url;

/// The variables of the environment.
#[derive(Clone, Copy)]
pub(super) struct Variables<'a>(pub &'a [(OsString, OsString)]);

impl<'a> Variables<'a> {
    /// Returns a variable; an empty one counts as not set, by OpenTelemetry's specification.
    pub fn value(self, name: &str) -> Option<&'a str> {
        let found = self.0.iter().find(|(n, _)| n == name)?;
        found.1.to_str().map(str::trim).filter(|value| !value.is_empty())
    }

    pub fn is(self, name: &str, what: &str) -> bool {
        self.value(name).is_some_and(|value| value.eq_ignore_ascii_case(what))
    }

    /// Returns the first of these variables that is set, with its value.
    pub fn first<const N: usize>(self, names: [String; N]) -> Option<(String, &'a str)> {
        names.into_iter().find_map(|name| self.value(&name).map(|value| (name, value)))
    }

    /// Returns the URL for `signal` (`TRACES`, `METRICS`). The error names the variable
    /// and never its value, which may hold a password.
    pub fn endpoint(self, signal: &str, path: &str) -> Result<Option<Url>, String> {
        const GENERAL: &str = "OTEL_EXPORTER_OTLP_ENDPOINT";
        let own = format!("OTEL_EXPORTER_OTLP_{signal}_ENDPOINT");
        let (name, url) = match (self.value(&own), self.value(GENERAL)) {
            (Some(url), _) => (own.as_str(), url.to_owned()),
            (None, Some(url)) => (GENERAL, format!("{}/{path}", url.trim_end_matches('/'))),
            (None, None) => return Ok(None),
        };
        // Checked only with an endpoint: a variable for all signals may be meant for another program.
        for (what, supported) in [("PROTOCOL", "http/protobuf"), ("COMPRESSION", "none")] {
            let names = [
                format!("OTEL_EXPORTER_OTLP_{signal}_{what}"),
                format!("OTEL_EXPORTER_OTLP_{what}"),
            ];
            if let Some((name, value)) = self.first(names)
                && !value.eq_ignore_ascii_case(supported)
            {
                return Err(format!("{name} is not `{supported}`, the only supported value"));
            }
        }
        match url.parse::<Url>() {
            Ok(url) if url.has_host() && ["http", "https"].contains(&url.scheme()) => Ok(Some(url)),
            _ => Err(format!("{name} is not an http or https URL")),
        }
    }
}

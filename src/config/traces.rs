//! Where spans go: the variables `OTEL_*`, which every program that makes spans heeds.
//!
//! They are often set for all of a cluster's pods and not for this one, so a mistake in them is no mistake of
//! this configuration: nothing is traced, and a warning says why.

use std::{ffi::OsString, fmt};

use reqwest::Url;

/// What the environment says of traces.
#[derive(Clone, Default, PartialEq, Eq)]
pub enum Traces {
    #[default]
    Off,
    /// To this address, with what else the variables say; that stays with the SDK, which reads them itself:
    /// headers hold secrets.
    To(Url),
    /// They were asked for in a way that can't be.
    Unusable(String),
}

/// Not the whole address: it may have a password.
impl fmt::Debug for Traces {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Off => f.write_str("Off"),
            Self::To(url) => f.debug_tuple("To").field(&url.host_str()).finish(),
            Self::Unusable(why) => f.debug_tuple("Unusable").field(why).finish(),
        }
    }
}

const ENDPOINT: &str = "OTEL_EXPORTER_OTLP_ENDPOINT";
const TRACES_ENDPOINT: &str = "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT";
const PROTOCOLS: [&str; 2] = ["OTEL_EXPORTER_OTLP_TRACES_PROTOCOL", "OTEL_EXPORTER_OTLP_PROTOCOL"];
const COMPRESSIONS: [&str; 2] =
    ["OTEL_EXPORTER_OTLP_TRACES_COMPRESSION", "OTEL_EXPORTER_OTLP_COMPRESSION"];

pub(super) fn read(environment: &[(OsString, OsString)]) -> Traces {
    // An empty variable is none, says OpenTelemetry's specification.
    let value = |name: &str| {
        let found = environment.iter().find(|(n, _)| n == name)?;
        found.1.to_str().map(str::trim).filter(|value| !value.is_empty())
    };
    let is = |name, what: &str| value(name).is_some_and(|v| v.eq_ignore_ascii_case(what));
    if is("OTEL_SDK_DISABLED", "true") || is("OTEL_TRACES_EXPORTER", "none") {
        return Traces::Off;
    }
    let (name, url) = match (value(TRACES_ENDPOINT), value(ENDPOINT)) {
        (Some(url), _) => (TRACES_ENDPOINT, url.to_owned()),
        (None, Some(url)) => (ENDPOINT, format!("{}/v1/traces", url.trim_end_matches('/'))),
        (None, None) => return Traces::Off,
    };
    // Said of all signals, it may be meant for another program.
    if let Some(name) = PROTOCOLS.into_iter().find(|name| value(name).is_some())
        && !is(name, "http/protobuf")
    {
        return Traces::Unusable(format!(
            "{name} is not `http/protobuf`, the only supported value"
        ));
    }
    if let Some(name) = COMPRESSIONS.into_iter().find(|name| value(name).is_some())
        && !is(name, "none")
    {
        return Traces::Unusable(format!("{name} is not `none`, the only supported value"));
    }
    match url.parse::<Url>() {
        Ok(url) if url.has_host() && ["http", "https"].contains(&url.scheme()) => Traces::To(url),
        // Not the text: it may hold a password.
        _ => Traces::Unusable(format!("{name} is not an http or https URL")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(variables: &[(&str, &str)]) -> Traces {
        let variables: Vec<_> = variables.iter().map(|(n, v)| (n.into(), v.into())).collect();
        read(&variables)
    }

    fn to(url: &str) -> Traces {
        Traces::To(url.parse().unwrap())
    }

    #[test]
    fn nothing_is_traced_unless_an_endpoint_is_given_and_nobody_objects() {
        let on = (ENDPOINT, "http://collector:4318");
        assert_eq!(of(&[]), Traces::Off);
        assert_eq!(of(&[("OTEL_SERVICE_NAME", "bridge"), (ENDPOINT, " ")]), Traces::Off);
        assert_eq!(of(&[on, ("OTEL_SDK_DISABLED", "True")]), Traces::Off);
        assert_eq!(of(&[on, ("OTEL_TRACES_EXPORTER", "none")]), Traces::Off);
        assert_eq!(
            of(&[on, ("OTEL_SDK_DISABLED", "false")]),
            to("http://collector:4318/v1/traces")
        );
    }

    #[test]
    fn the_endpoint_of_traces_is_taken_as_it_stands_and_goes_over_the_general_one() {
        let general = (ENDPOINT, "https://collector/otlp/");
        assert_eq!(of(&[general]), to("https://collector/otlp/v1/traces"));
        assert_eq!(of(&[general, (TRACES_ENDPOINT, "http://x/y")]), to("http://x/y"));
    }

    #[test]
    fn the_password_of_a_collector_does_not_print() {
        let collector = of(&[(ENDPOINT, "https://user:hunter2@collector/?key=hunter2")]);
        assert_eq!(format!("{collector:?}"), "To(Some(\"collector\"))");
    }

    #[test]
    fn what_is_not_spoken_here_is_told_by_the_variable_without_its_value() {
        let on = (ENDPOINT, "http://collector:4317");
        for (name, bad) in [
            (PROTOCOLS[1], "grpc-hunter2"),
            (PROTOCOLS[0], "http/json-hunter2"),
            (COMPRESSIONS[1], "gzip-hunter2"),
            (TRACES_ENDPOINT, "user:hunter2@collector:4317"),
            (TRACES_ENDPOINT, "hunter2"),
        ] {
            let Traces::Unusable(why) = of(&[on, (name, bad)]) else { panic!("{name}") };
            assert!(why.contains(name) && !why.contains("hunter2"), "{why}");
        }
        let fine = of(&[on, (PROTOCOLS[0], "http/protobuf"), (PROTOCOLS[1], "grpc")]);
        assert_eq!(fine, to("http://collector:4317/v1/traces"));
    }
}

//! The collector of spans: reads the variables `OTEL_*`, which every program with spans follows.
//!
//! They are often set for all pods of a cluster and not for this one in particular, so a mistake in them does not stop
//! a start: nothing is traced, and a warning says why.

use std::{ffi::OsString, fmt};

use reqwest::Url;

use super::telemetry::Variables;

/// The collector of spans, as the environment sets it.
#[derive(Clone, Default, PartialEq, Eq)]
pub enum Traces {
    #[default]
    Off,
    /// Spans go to this URL. The SDK reads the other variables itself, since
    /// headers hold secrets.
    To(Url),
    /// The variables ask for something that is not supported; the text says what.
    Unusable(String),
}

/// Leaves out the whole URL: it may contain a password.
impl fmt::Debug for Traces {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Off => f.write_str("Off"),
            Self::To(url) => f.debug_tuple("To").field(&url.host_str()).finish(),
            Self::Unusable(why) => f.debug_tuple("Unusable").field(why).finish(),
        }
    }
}

pub(super) fn read(environment: &[(OsString, OsString)]) -> Traces {
    let variables = Variables(environment);
    if variables.is("OTEL_SDK_DISABLED", "true") || variables.is("OTEL_TRACES_EXPORTER", "none") {
        return Traces::Off;
    }
    match variables.endpoint("TRACES", "v1/traces") {
        Ok(None) => Traces::Off,
        Ok(Some(url)) => Traces::To(url),
        Err(why) => Traces::Unusable(why),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ENDPOINT: &str = "OTEL_EXPORTER_OTLP_ENDPOINT";
    const TRACES_ENDPOINT: &str = "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT";
    const PROTOCOLS: [&str; 2] =
        ["OTEL_EXPORTER_OTLP_TRACES_PROTOCOL", "OTEL_EXPORTER_OTLP_PROTOCOL"];
    const COMPRESSIONS: [&str; 2] =
        ["OTEL_EXPORTER_OTLP_TRACES_COMPRESSION", "OTEL_EXPORTER_OTLP_COMPRESSION"];

    fn of(variables: &[(&str, &str)]) -> Traces {
        let variables: Vec<_> = variables.iter().map(|(n, v)| (n.into(), v.into())).collect();
        read(&variables)
    }

    fn to(url: &str) -> Traces {
        Traces::To(url.parse().unwrap())
    }

    #[test]
    fn nothing_is_traced_without_an_endpoint_or_when_a_variable_disables_it() {
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
    fn an_unsupported_setting_is_reported_by_its_variable_without_its_value() {
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

//! The environment: reads variables with the prefix `MILLRACE_` into a layer. Every value stays text.

use std::{ffi::OsString, path::PathBuf};

use figment::value::{Dict, Value};

use super::{
    layer::PROPERTY_MAPS,
    mistake::{Mistakes, Place},
    written::{Files, Layer, Lines},
};

const PREFIX: &str = "MILLRACE_";

/// The variable that names the configuration file, as `--config` does.
const FILE_VARIABLE: &str = "MILLRACE_CONFIG";

pub(super) struct Environment {
    pub layer: Layer,
    pub file: Option<PathBuf>,
}

pub(super) fn read<K: Into<OsString>, V: Into<OsString>>(
    variables: impl IntoIterator<Item = (K, V)>,
    mistakes: &mut Mistakes,
) -> Environment {
    let mut values = Dict::new();
    let mut file = None;
    for (name, value) in variables {
        let name: OsString = name.into();
        let value: OsString = value.into();
        let name = name.to_string_lossy().into_owned();
        let Some(rest) = name.strip_prefix(PREFIX) else { continue };
        if name == FILE_VARIABLE {
            file = Some(PathBuf::from(value));
            continue;
        }
        let Ok(value) = value.into_string() else {
            let remedy = "Give it as text, or as a file where it is a secret.";
            mistakes.add(Place::Variable(name), "is not UTF-8", remedy);
            continue;
        };
        if is_kubernetes(rest, &value) {
            continue;
        }
        if let Err(problem) = insert(&mut values, &path(rest), value) {
            mistakes.add(Place::Variable(name), problem, "Take one of the variables away.");
        }
    }
    Environment {
        layer: Layer {
            name: "environment".into(),
            values,
            files: Files::new(),
            lines: Lines::new(),
        },
        file,
    }
}

/// Splits a name: `SOURCES__USER_AUDIT__KIND` is `sources`, `user-audit`, `kind`. Names below a map of properties
/// stay in one piece, however many levels they were written in.
fn path(name: &str) -> Vec<String> {
    let lower = name.to_lowercase();
    let mut segments: Vec<String> = lower.split("__").map(Into::into).collect();
    let is_within =
        |map: &[&str]| segments.len() > map.len() && map.iter().zip(&segments).all(|(a, b)| a == b);
    if let Some(map) = PROPERTY_MAPS.into_iter().find(|map| is_within(map)) {
        let name = segments.split_off(map.len()).join(".");
        segments.push(name);
    }
    if segments.len() > 1 && segments[0] == "sources" {
        segments[1] = segments[1].replace('_', "-");
    }
    if segments.len() > 2 && segments[..2] == ["oauth", "clients"] {
        segments[2] = segments[2].replace('_', "-");
    }
    segments
}

fn insert(values: &mut Dict, path: &[String], value: String) -> Result<(), &'static str> {
    let (last, sections) = path.split_last().expect("split always gives one piece");
    let mut values = values;
    for section in sections {
        let section = values.entry(section.clone()).or_insert_with(|| Dict::new().into());
        let Value::Dict(_, inner) = section else {
            return Err("stands below another variable that already has a value");
        };
        values = inner;
    }
    match values.insert(last.clone(), value.into()) {
        None => Ok(()),
        Some(Value::Dict(..)) => Err("has a value, and there are variables below it"),
        Some(_) => Err("is given twice, in two spellings"),
    }
}

/// Whether Kubernetes set the variable, as it does in every pod for a Service called `millrace` or
/// `millrace-something`: `…SERVICE_HOST`, `…SERVICE_PORT`, `…SERVICE_PORT_<NAME>`, `…PORT=tcp://…`,
/// `…PORT_8080_TCP`, and `…PORT_8080_TCP_{PROTO,PORT,ADDR}`.
fn is_kubernetes(rest: &str, value: &str) -> bool {
    // Our own names have two underscores between levels, a Service's name gives single ones.
    if rest.contains("__") {
        return false;
    }
    let rest = format!("_{rest}");
    let is_url = ["tcp://", "udp://", "sctp://"].iter().any(|scheme| value.starts_with(scheme));
    rest.ends_with("_SERVICE_HOST")
        || rest.ends_with("_SERVICE_PORT")
        || rest.contains("_SERVICE_PORT_")
        || (rest.ends_with("_PORT") && is_url)
        || rest.rsplit_once("_PORT_").is_some_and(|(_, port)| is_container_link(port))
        // `…_PORT_8080_TCP_PORT` has the word twice.
        || rest.strip_suffix("_PORT").and_then(|r| r.rsplit_once("_PORT_")).is_some_and(|(_, port)| is_container_link(port))
}

/// Whether the rest of a name is that of a container link: `8080_TCP`, `8080_TCP_ADDR`, …
fn is_container_link(port: &str) -> bool {
    let mut parts = port.split('_');
    let number =
        parts.next().is_some_and(|n| !n.is_empty() && n.bytes().all(|b| b.is_ascii_digit()));
    let protocol = matches!(parts.next(), Some("TCP" | "UDP" | "SCTP"));
    let detail = matches!(parts.next(), None | Some("PROTO" | "PORT" | "ADDR"));
    number && protocol && detail && parts.next().is_none()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_path_of_a_variable_is_its_levels_in_lower_case() {
        let path = |name| path(name).join("/");
        assert_eq!(path("SPOOL__SIZE_LIMIT"), "spool/size_limit");
        assert_eq!(path("SOURCES__USER_AUDIT__AUTH__TOKENS"), "sources/user-audit/auth/tokens");
        assert_eq!(path("OAUTH__CLIENTS__MY_MARKETO__SECRETS"), "oauth/clients/my-marketo/secrets");
        assert_eq!(
            path("KAFKA__PROPERTIES__SECURITY_PROTOCOL"),
            "kafka/properties/security_protocol"
        );
        assert_eq!(path("KAFKA__PROPERTIES__SASL__MECHANISM"), "kafka/properties/sasl.mechanism");
        assert_eq!(path("TOPICS__CONFIG__RETENTION__MS"), "topics/config/retention.ms");
    }

    #[test]
    fn what_kubernetes_injects_beside_a_service_is_not_ours() {
        for (name, value) in [
            ("SERVICE_HOST", "10.0.0.7"),
            ("SERVICE_PORT", "8080"),
            ("SERVICE_PORT_HTTP", "8080"),
            ("PORT", "tcp://10.0.0.7:8080"),
            ("PORT_8080_TCP", "tcp://10.0.0.7:8080"),
            ("PORT_8080_TCP_PROTO", "tcp"),
            ("PORT_8080_TCP_PORT", "8080"),
            ("PORT_8080_TCP_ADDR", "10.0.0.7"),
            ("HEADLESS_SERVICE_HOST", "10.0.0.7"),
            ("ADMIN_SERVICE_PORT_METRICS", "9090"),
            ("ADMIN_PORT", "tcp://10.0.0.7:9090"),
            ("ADMIN_PORT_9090_TCP_ADDR", "10.0.0.7"),
            ("ADMIN_PORT_9090_TCP_PORT", "9090"),
        ] {
            assert!(is_kubernetes(name, value), "{name}");
        }
    }

    #[test]
    fn our_own_variables_and_slips_are_not_taken_for_those_of_kubernetes() {
        for (name, value) in [
            ("PORT", "8080"),
            ("LISTEN_PORT", "8080"),
            ("PORT_HTTP", "8080"),
            ("LISTEN__SERVICE_PORT", "8080"),
            ("SOURCES__X_SERVICE_HOST__KIND", "x"),
            ("PORT_8080_TCP_COLOUR", "red"),
        ] {
            assert!(!is_kubernetes(name, value), "{name}");
        }
    }
}

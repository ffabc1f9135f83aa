//! The intent of a request, by its path and its method.

use http::{Method, Request};

use crate::{ingest::listen::reply::Outcome, source::SourceName};

/// The intent of a request to a source.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Intent {
    Deliver,
    /// Asks whether the source is there.
    Probe,
}

/// Reads the source that a request names, which may not exist, and its intent; or returns the outcome without one.
pub(super) fn read<B>(request: &Request<B>) -> Result<(SourceName, Intent), Outcome> {
    let beneath = match request.uri().path().strip_prefix("/v1") {
        Some("") => "",
        Some(rest) if rest.starts_with('/') => &rest[1..],
        _ => return Err(Outcome::NotFound),
    };
    let intent = match *request.method() {
        Method::POST => Intent::Deliver,
        Method::GET | Method::HEAD | Method::OPTIONS => Intent::Probe,
        _ => return Err(Outcome::MethodNotAllowed),
    };
    // Only the exact name, with or without a slash behind it: nothing is decoded or resolved.
    let name = SourceName::new(beneath.strip_suffix('/').unwrap_or(beneath));
    Ok((name.ok_or(Outcome::UnknownSource)?, intent))
}

/// Returns the source that a path names, if it has the form of a source's path.
pub(super) fn source(path: &str) -> Option<SourceName> {
    let rest = path.strip_prefix("/v1/")?;
    SourceName::new(rest.strip_suffix('/').unwrap_or(rest))
}

/// Returns whether this is a health check by a load balancer.
pub(super) fn is_health<B>(request: &Request<B>) -> bool {
    request.uri().path() == "/" && matches!(*request.method(), Method::GET | Method::HEAD)
}

/// Returns a path for the log, if it has the form of a source's path: any other may hold a secret.
pub(super) fn named(path: &str) -> String {
    match source(path) {
        Some(name) => format!("/v1/{name}"),
        None => format!("path of {} bytes, not a valid path of a source", path.len()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(method: &str, uri: &str) -> Result<(String, Intent), Outcome> {
        let request = Request::builder().method(method).uri(uri).body(()).unwrap();
        super::read(&request).map(|(name, intent)| (name.to_string(), intent))
    }

    #[test]
    fn only_the_exact_name_is_a_source() {
        for good in ["/v1/leads", "/v1/leads/", "/v1/leads?a=/../b", "http://host/v1/leads"] {
            assert_eq!(read("POST", good), Ok(("leads".into(), Intent::Deliver)), "{good}");
        }
        for unknown in [
            "/v1/Leads",
            "/v1/leads//",
            "/v1//leads",
            "/v1/%6ceads",
            "/v1/leads%2f",
            "/v1/x/../leads",
            "/v1/",
            "/v1",
            "/v1/leads/x",
            "/v1/leads;x",
        ] {
            assert_eq!(read("POST", unknown).err(), Some(Outcome::UnknownSource), "{unknown}");
        }
        for outside in [
            "/",
            "/leads",
            "/v10/leads",
            "/v1leads",
            "//v1/leads",
            "/V1/leads",
            "/x/../v1/leads",
            "*",
        ] {
            assert_eq!(read("POST", outside).err(), Some(Outcome::NotFound), "{outside}");
        }
    }

    #[test]
    fn probes_are_answered_and_methods_of_no_sender_are_not() {
        for probe in ["GET", "HEAD", "OPTIONS"] {
            let asked = read(probe, "/v1/leads");
            assert_eq!(asked, Ok(("leads".into(), Intent::Probe)), "{probe}");
        }
        for other in ["PUT", "DELETE", "PATCH", "TRACE", "post", "BREW"] {
            for path in ["/v1/leads", "/v1/Leads"] {
                assert_eq!(read(other, path), Err(Outcome::MethodNotAllowed), "{other} {path}");
            }
        }
    }

    #[test]
    fn only_a_question_of_the_root_is_about_health() {
        let asks = |method: &str, uri: &str| {
            is_health(&Request::builder().method(method).uri(uri).body(()).unwrap())
        };
        for (method, uri) in [("GET", "/"), ("HEAD", "/"), ("GET", "/?a=b"), ("GET", "http://host")]
        {
            assert!(asks(method, uri), "{method} {uri}");
        }
        for (method, uri) in [("POST", "/"), ("OPTIONS", "*"), ("GET", "//"), ("GET", "/v1/leads")]
        {
            assert!(!asks(method, uri), "{method} {uri}");
        }
    }

    #[test]
    fn a_path_is_logged_only_when_it_can_be_a_sources() {
        assert_eq!(named("/v1/leeds/"), "/v1/leeds");
        for other in ["/v1/leads%3Ftoken=hunter2", "/hunter2", "/v1/leads/hunter2"] {
            assert!(!named(other).contains("hunter2"), "{other}");
        }
    }
}

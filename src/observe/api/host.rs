//! The server that a request names: its `Host`, or the authority in its target, read strictly.
//!
//! A web page can choose the name that its browser sends here. So only an address, `localhost` or a configured name
//! is ours: without a user before an `@`, with nothing but a port behind a bracket, in one `Host` alone, and without a
//! target that names another server than the `Host` does.

use std::net::{IpAddr, Ipv6Addr};

use http::{HeaderMap, Uri, header};

use super::{Problem, answer::bad};

/// Returns the server that the request names, if it names one. HTTP/2 has it in the target.
pub(super) fn named_server<'r>(
    uri: &'r Uri,
    headers: &'r HeaderMap,
) -> Result<Option<&'r str>, Problem> {
    let mut hosts = headers.get_all(header::HOST).iter();
    let host = hosts.next().map(|host| host.to_str()).transpose();
    let host = host.map_err(|_| bad("its Host is no text"))?;
    if hosts.next().is_some() {
        return Err(bad("it has more than one Host"));
    }
    let target = uri.authority().map(|authority| authority.as_str());
    match (host, target) {
        (Some(host), Some(target)) if !host.eq_ignore_ascii_case(target) => {
            Err(bad("its target names another server than its Host does"))
        }
        (host, target) => Ok(host.or(target)),
    }
}

/// A name or an address, perhaps with a port.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Named<'h> {
    pub host: &'h str,
    /// The host as an address, if it is one.
    pub address: Option<IpAddr>,
}

impl<'h> Named<'h> {
    /// Reads `text`; `None` if it is of another form.
    pub fn parse(text: &'h str) -> Option<Self> {
        if let Some(rest) = text.strip_prefix('[') {
            let (host, behind) = rest.split_once(']')?;
            let address = host.parse::<Ipv6Addr>().ok()?;
            let port = if behind.is_empty() { None } else { Some(behind.strip_prefix(':')?) };
            return port
                .is_none_or(is_port)
                .then_some(Self { host, address: Some(address.into()) });
        }
        let (host, port) = match text.split_once(':') {
            Some((host, port)) => (host, Some(port)),
            None => (text, None),
        };
        let is_legal = |byte: u8| byte.is_ascii_alphanumeric() || b"-._".contains(&byte);
        let is_one = !host.is_empty() && host.bytes().all(is_legal) && port.is_none_or(is_port);
        is_one.then(|| Self { host, address: host.parse().ok() })
    }
}

fn is_port(text: &str) -> bool {
    text.bytes().all(|byte| byte.is_ascii_digit()) && text.parse::<u16>().is_ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_or_an_address_has_a_port_at_most_behind_it_and_nothing_before_it() {
        for (text, host, is_address) in [
            ("localhost", "localhost", false),
            ("millrace.internal:9090", "millrace.internal", false),
            ("127.0.0.1:9090", "127.0.0.1", true),
            ("[::1]", "::1", true),
            ("[fd00::7]:9090", "fd00::7", true),
        ] {
            let named = Named::parse(text).unwrap();
            assert_eq!((named.host, named.address.is_some()), (host, is_address), "{text}");
        }
        for text in [
            "",
            ":9090",
            "[::1]evil.example",
            "[::1].evil.example:9090",
            "[::1]:",
            "[::1]:99999",
            "[::1",
            "::1",
            "[127.0.0.1]",
            "[localhost]",
            "[fe80::1%eth0]",
            "evil.example@127.0.0.1",
            "127.0.0.1@evil.example",
            "localhost:9090@evil.example",
            "localhost:+80",
            "localhost:80:80",
            "localhost/",
            "localhost#",
            "localhost evil",
            "localhost,evil.example",
        ] {
            assert_eq!(Named::parse(text), None, "{text}");
        }
    }

    #[test]
    fn a_request_names_one_server() {
        let headers = |hosts: &[&str]| {
            let mut headers = HeaderMap::new();
            for host in hosts {
                headers.append(header::HOST, host.parse().unwrap());
            }
            headers
        };
        let path = Uri::from_static("/");
        let target = Uri::from_static("http://localhost:9090/");
        let one = headers(&["Localhost:9090"]);
        assert_eq!(named_server(&path, &one), Ok(Some("Localhost:9090")));
        assert_eq!(named_server(&target, &one), Ok(Some("Localhost:9090")));
        assert_eq!(named_server(&target, &headers(&[])), Ok(Some("localhost:9090")));
        assert_eq!(named_server(&path, &headers(&[])), Ok(None));
        for (uri, hosts) in [
            (&path, &["localhost", "localhost"][..]),
            (&path, &["localhost", "evil.example"]),
            (&target, &["evil.example"]),
            (&target, &["localhost"]),
            (&path, &["l\u{f6}calhost"]),
        ] {
            assert_eq!(
                named_server(uri, &headers(hosts)).unwrap_err().error,
                "bad-request",
                "{hosts:?}"
            );
        }
    }
}

//! TLS and client certificates.

use millrace::config::{CertificateAuth, Tls};

use crate::given::{bad, good, mistake};

const CERTIFICATE: (&str, &str) = ("MILLRACE_LISTEN__TLS__CERTIFICATE_FILE", "/tls/tls.crt");
const KEY: (&str, &str) = ("MILLRACE_LISTEN__TLS__KEY_FILE", "/tls/tls.key");
const AUTHORITY: (&str, &str) = ("MILLRACE_LISTEN__TLS__CLIENT_CA_FILE", "/tls/ca.crt");
const NAMES: &str = "MILLRACE_SOURCES__LEADS__AUTH__CERTIFICATE__NAMES";

#[test]
fn a_certificate_its_key_and_an_authority_are_named_by_their_files() {
    assert_eq!(good(&[]).listen.tls, None);
    let tls = good(&[CERTIFICATE, KEY]).listen.tls.unwrap();
    assert_eq!(tls.client_ca_file, None);
    let Tls { certificate_file, key_file, client_ca_file } =
        good(&[CERTIFICATE, KEY, AUTHORITY]).listen.tls.unwrap();
    assert_eq!(certificate_file.to_str(), Some("/tls/tls.crt"));
    assert_eq!(key_file.to_str(), Some("/tls/tls.key"));
    assert_eq!(client_ca_file.unwrap().to_str(), Some("/tls/ca.crt"));
}

#[test]
fn half_of_it_is_a_mistake() {
    for (given, missing) in [
        (vec![CERTIFICATE], "listen.tls.key_file"),
        (vec![KEY], "listen.tls.certificate_file"),
        (vec![AUTHORITY, CERTIFICATE], "listen.tls.key_file"),
    ] {
        let text = mistake(&given);
        assert!(text.starts_with(missing) && text.contains("is missing"), "{text}");
    }
    let text = bad(&[AUTHORITY]);
    for missing in ["listen.tls.certificate_file (", "listen.tls.key_file ("] {
        assert!(text.contains(missing), "{text}");
    }
    // The names wait for nothing else.
    assert_eq!(mistake(&[AUTHORITY, CERTIFICATE, (NAMES, "a")]).matches("is missing").count(), 1);
}

#[test]
fn the_content_of_a_key_file_in_place_of_its_path_is_a_mistake_that_does_not_show_it() {
    let content = "-----BEGIN PRIVATE KEY-----\nhunter2\n-----END PRIVATE KEY-----\n";
    let text = mistake(&[CERTIFICATE, ("MILLRACE_LISTEN__TLS__KEY_FILE", content)]);
    assert!(text.starts_with("listen.tls.key_file") && !text.contains("hunter2"), "{text}");
}

#[test]
fn names_of_certificates_are_a_way_in_beside_tokens_or_alone() {
    let variables = [CERTIFICATE, KEY, AUTHORITY, (NAMES, "a.example.com,spiffe://b/c")];
    let auth = good(&variables).sources.remove(0).auth;
    let names = vec!["a.example.com".to_owned(), "spiffe://b/c".to_owned()];
    assert_eq!(auth.certificate, Some(CertificateAuth { names }));
    assert!(auth.tokens.is_some());

    let mut alone = variables.to_vec();
    alone.push(("MILLRACE_SOURCES__OTHER__KIND", "marketo-lead-activity"));
    alone.push(("MILLRACE_SOURCES__OTHER__AUTH__CERTIFICATE__NAMES", "a.example.com"));
    let sources = good(&alone).sources;
    assert_eq!(sources[1].auth.tokens, None);
    assert!(sources[1].auth.certificate.is_some());
}

#[test]
fn names_without_an_authority_are_a_mistake() {
    for given in [vec![(NAMES, "a")], vec![CERTIFICATE, KEY, (NAMES, "a")]] {
        let text = mistake(&given);
        assert!(text.starts_with("sources.leads.auth.certificate.names"), "{text}");
        assert!(text.contains("listen.tls.client_ca_file"), "{text}");
    }
}

#[test]
fn patterns_and_empty_names_are_mistakes() {
    for names in ["*.example.com", "a,,b", "", "[]"] {
        let text = bad(&[CERTIFICATE, KEY, AUTHORITY, (NAMES, names)]);
        assert!(text.contains("sources.leads.auth.certificate.names ("), "{names}: {text}");
    }
}

#[test]
fn a_source_without_any_way_in_is_a_mistake() {
    let text = bad(&[
        ("MILLRACE_SOURCES__OTHER__KIND", "marketo-lead-activity"),
        ("MILLRACE_SOURCES__OTHER__AUTH__QUERY_PARAMETER", "token"),
    ]);
    assert!(text.contains("sources.other.auth.tokens (") && text.contains("is missing"), "{text}");
}

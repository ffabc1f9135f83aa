//! Sources of kind `adobe-io`, and what belongs to them alone.

use millrace::config::{AdobeAuth, ValidationUrl};

use crate::given::{bad, good, load, mistake, with_file};

const AUDIT: [(&str, &str); 2] = [
    ("MILLRACE_SOURCES__AUDIT__KIND", "adobe-io"),
    ("MILLRACE_SOURCES__AUDIT__AUTH__CLIENT_IDS", "id-1, id-2"),
];

fn with(more: &[(&'static str, &'static str)]) -> Vec<(&'static str, &'static str)> {
    let is_replaced = |name: &str| more.iter().any(|(n, _)| *n == name);
    AUDIT.into_iter().filter(|(name, _)| !is_replaced(name)).chain(more.iter().copied()).collect()
}

#[test]
fn a_source_of_adobe_io_needs_its_client_ids_and_no_tokens() {
    let config = good(&AUDIT);
    let audit = &config.sources[0];
    assert_eq!(audit.name.as_str(), "audit");
    assert!(audit.auth.tokens.is_none());
    let client_ids = vec!["id-1".to_owned(), "id-2".to_owned()];
    let expected = AdobeAuth { client_ids, validation_url: ValidationUrl::Log };
    assert_eq!(audit.auth.adobe, Some(expected));
    assert!(config.sources[1].auth.adobe.is_none());
    assert_eq!(config.adobe.keys_url.as_str(), "https://static.adobeioevents.com/");
    assert_eq!(config.adobe.keys_folder, None);
}

#[test]
fn tokens_are_taken_beside_signatures_where_they_are_given() {
    let config = good(&with(&[("MILLRACE_SOURCES__AUDIT__AUTH__TOKENS", "hunter2")]));
    assert_eq!(config.sources[0].auth.tokens.as_ref().unwrap().tokens.len(), 1);
}

#[test]
fn client_ids_are_a_list_of_ids_and_at_least_one() {
    let file = "[sources.audit]\nkind = 'adobe-io'\nauth.client_ids = ['a', 'b']\n";
    let config = with_file(file, &[]).unwrap();
    assert_eq!(config.sources[0].auth.adobe.as_ref().unwrap().client_ids, ["a", "b"]);
    let text = mistake(&[AUDIT[0]]);
    assert!(text.contains("(MILLRACE_SOURCES__AUDIT__AUTH__CLIENT_IDS) is missing"), "{text}");
    for value in ["", ",", "a,,b", "a b", "[]"] {
        let text = mistake(&with(&[("MILLRACE_SOURCES__AUDIT__AUTH__CLIENT_IDS", value)]));
        assert!(text.contains("AUTH__CLIENT_IDS) contains an invalid client id"), "{text}");
    }
}

#[test]
fn every_mistake_is_listed_at_once() {
    let text = bad(&[
        AUDIT[0],
        ("MILLRACE_SOURCES__AUDIT__AUTH__VALIDATION_URL", "fetch"),
        ("MILLRACE_SOURCES__LEADS__AUTH__CLIENT_IDS", "id-1"),
        ("MILLRACE_SOURCES__LEADS__AUTH__VALIDATION_URL", "log"),
        ("MILLRACE_ADOBE__KEYS_URL", "https://evil.test/keys"),
        ("MILLRACE_ADOBE__KEYS_FOLDER", ""),
    ]);
    assert!(text.starts_with("6 mistakes"), "{text}");
    for (key, says) in [
        ("sources.audit.auth.client_ids", "is missing"),
        ("sources.audit.auth.validation_url", "none of the choices"),
        ("sources.leads.auth.client_ids", "is for sources of kind `adobe-io` alone"),
        ("sources.leads.auth.validation_url", "is for sources of kind `adobe-io` alone"),
        ("adobe.keys_url", "not scheme, host and port alone"),
        ("adobe.keys_folder", "names no folder"),
    ] {
        let line = text.lines().find(|line| line.starts_with(key)).unwrap_or_default();
        assert!(line.contains(says), "{key} {says} in\n{text}");
    }
}

#[test]
fn a_wrong_kind_is_one_mistake_whatever_else_the_source_has() {
    for kind in [&[("MILLRACE_SOURCES__AUDIT__KIND", "adobe")][..], &[]] {
        let more = [AUDIT[1], ("MILLRACE_SOURCES__AUDIT__AUTH__TOKENS", "t")];
        let text = mistake(&[&more, kind].concat());
        assert!(text.contains("sources.audit.kind"), "{text}");
    }
}

#[test]
fn keys_come_from_a_host_alone_and_nothing_of_a_path_or_a_user() {
    let url = |value| load(&[("MILLRACE_ADOBE__KEYS_URL", value)]);
    for value in ["https://keys.test", "https://keys.test/", "http://127.0.0.1:4711"] {
        assert!(url(value).is_ok(), "{value}");
    }
    for value in [
        "keys.test",
        "ftp://keys.test",
        "https://user@keys.test",
        "https://keys.test/prod",
        "https://keys.test/?x",
        "https://keys.test/#x",
        "https://",
        "",
    ] {
        assert!(url(value).is_err(), "{value}");
    }
}

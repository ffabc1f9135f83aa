//! One mistake hides no other, and brings none that there is not.

use crate::given::{Folder, load, loaded};

#[test]
fn a_wrong_value_hides_no_mistake_of_a_combination() {
    for (first, second, keys) in [
        (
            ("SPOOL__SIZE_LIMIT", "10"),
            ("LISTEN__CONNECTIONS", "0"),
            ["listen.body_limit_inflated", "listen.connections"],
        ),
        (
            ("SPOOL__RESERVE", "1MiB"),
            ("SPOOL__KEEP_DELIVERED__AGE", "5"),
            ["spool.reserve", "spool.keep_delivered.age"],
        ),
        (
            ("KAFKA__QUEUE_SIZE", "1MiB"),
            ("KAFKA__BOOTSTRAP_SERVERS", "kafka:0"),
            ["kafka.queue_size", "kafka.bootstrap_servers"],
        ),
        (
            ("LISTEN__TLS__KEY_FILE", "/k"),
            ("LISTEN__HEADER_LIMIT", "1KiB"),
            ["listen.tls.certificate_file", "listen.header_limit"],
        ),
        (
            ("SOURCES__OTHER__KIND", "none"),
            ("SOURCES__LEADS__SIZE_LIMIT", "1KiB"),
            ["sources.other.kind", "sources.leads.size_limit"],
        ),
    ] {
        let named = [first, second].map(|(name, value)| (format!("MILLRACE_{name}"), value));
        let named: Vec<_> = named.iter().map(|(name, value)| (name.as_str(), *value)).collect();
        let text = load(&named).unwrap_err().to_string();
        for key in keys {
            assert!(text.contains(&format!("{key} (")), "{named:?}: {text}");
        }
    }
}

#[test]
fn a_combination_with_a_value_that_is_wrong_already_is_no_mistake_of_its_own() {
    // Half a gigabyte fits into what was meant, and not into the default.
    for (variables, count) in [
        (
            vec![
                ("MILLRACE_LISTEN__BODY_BUDGET", "lots"),
                ("MILLRACE_LISTEN__BODY_LIMIT_INFLATED", "200MiB"),
            ],
            1,
        ),
        (
            vec![
                ("MILLRACE_SPOOL__SIZE_LIMIT", "lots"),
                ("MILLRACE_SOURCES__LEADS__SIZE_LIMIT", "20GiB"),
            ],
            1,
        ),
        (
            vec![
                ("MILLRACE_OAUTH__SIGNING_KEYS", "short"),
                ("MILLRACE_OAUTH__CLIENTS__MARKETO__SECRETS", "Xyzzy-4711-Xyzzy-4711"),
            ],
            1,
        ),
        (
            vec![
                ("MILLRACE_OAUTH__SIGNING_KEYS", "Xyzzy-4711-Xyzzy-4711-Xyzzy-4711"),
                ("MILLRACE_OAUTH__CLIENTS__MARKETO__SECRETS", "short"),
                ("MILLRACE_SOURCES__LEADS__AUTH__OAUTH__BUILT_IN_CLIENTS", "marketo"),
            ],
            1,
        ),
    ] {
        let mistakes = load(&variables).unwrap_err();
        assert_eq!(mistakes.len(), count, "{mistakes}");
    }
}

#[test]
fn a_list_names_every_element_that_is_wrong() {
    for (name, value) in [
        ("LISTEN__TRUSTED_PROXIES", "x1,10.0.0.0/8,y2"),
        ("KAFKA__BOOTSTRAP_SERVERS", "x1:0,a:1,y2:z"),
    ] {
        let text = load(&[(&format!("MILLRACE_{name}"), value)]).unwrap_err().to_string();
        assert!(text.contains("`x1") && text.contains("`y2"), "{text}");
    }
}

#[test]
fn of_a_file_that_can_not_be_read_nothing_is_missing() {
    for content in [&b"[listen]\nconnections = = 5\n"[..], b"[listen]\nx = '\xff'\n"] {
        let folder = Folder::with(&[]);
        std::fs::write(folder.path("config.toml"), content).unwrap();
        let path = folder.path("config.toml");
        for variables in [vec![], vec![("MILLRACE_SOURCES__LEADS__AUTH__TOKENS", "a")]] {
            let mistakes = millrace::config::load(Some(&path), variables).unwrap_err();
            let text = mistakes.to_string();
            assert_eq!(mistakes.len(), 1, "{text}");
            assert!(text.contains("config.toml, line 2, is not"), "{text}");
        }
    }
}

#[test]
fn a_slip_in_the_name_of_a_section_and_a_secrets_file_at_the_wrong_level_are_guessed() {
    for (name, guess) in [
        ("SPOLL__SIZE_LIMIT", "spool (MILLRACE_SPOOL)"),
        (
            "SOURCES__LEADS__TOKENS_FILE",
            "sources.leads.auth.tokens_file (MILLRACE_SOURCES__LEADS__AUTH__TOKENS_FILE)",
        ),
        ("KAFKA__PROPERTEIS__LINGER_MS", "kafka.properties (MILLRACE_KAFKA__PROPERTIES)"),
    ] {
        let text = load(&[(&format!("MILLRACE_{name}"), "/x")]).unwrap_err().to_string();
        assert!(text.contains(&format!("Did you mean {guess}?")), "{text}");
    }
}

#[test]
fn a_comment_in_a_file_of_secrets_is_to_be_removed() {
    let folder = Folder::with(&[("p", "# mine\nsecret\n")]);
    let path = folder.text("p");
    let text = load(&[("MILLRACE_KAFKA__PROPERTIES__SASL_PASSWORD_FILE", &path)]).unwrap_err();
    assert!(text.to_string().contains("Remove line 1."), "{text}");
}

#[test]
fn a_wrong_value_that_can_be_no_secret_is_shown() {
    for (name, value) in [
        ("HEADER_SCHEME", "Beerer"),
        ("QUERY_PARAMETER", "to ken"),
        ("OAUTH__ISSUER", "http://id.example.com"),
    ] {
        let name = format!("MILLRACE_SOURCES__LEADS__AUTH__{name}");
        let text = load(&[(&name, value)]).unwrap_err().to_string();
        assert!(text.contains(&format!("is `{value}`")), "{text}");
    }
    let name = "MILLRACE_SOURCES__LEADS__AUTH__OAUTH__ISSUER";
    let text = load(&[(name, "https://me:Xyzzy-4711@id.example.com")]).unwrap_err().to_string();
    assert!(!text.contains("Xyzzy-4711"), "{text}");
}

#[test]
fn servers_are_hosts_with_ports_and_nothing_before_them() {
    for wrong in ["kafka", "SSL://kafka:9092", "[::1]", "kafka:0", ":9092", "a:1,b"] {
        assert!(load(&[("MILLRACE_KAFKA__BOOTSTRAP_SERVERS", wrong)]).is_err(), "{wrong}");
    }
    for good in ["kafka:9092", "[::1]:9092", "a:1,b:2"] {
        assert!(loaded(None, &[("MILLRACE_KAFKA__BOOTSTRAP_SERVERS", good)]).is_ok(), "{good}");
    }
}

#[test]
fn a_journal_needs_the_tokens_that_backfill_delivers_by() {
    let mut variables = vec![
        ("MILLRACE_SOURCES__ADOBE__KIND", "adobe-io"),
        ("MILLRACE_SOURCES__ADOBE__AUTH__CLIENT_IDS", "us"),
        ("MILLRACE_SOURCES__ADOBE__JOURNAL__URL", "https://events.example.com/1"),
        ("MILLRACE_SOURCES__ADOBE__JOURNAL__ORGANIZATION_ID", "1@AdobeOrg"),
        ("MILLRACE_SOURCES__ADOBE__JOURNAL__CLIENT_ID", "me"),
        ("MILLRACE_SOURCES__ADOBE__JOURNAL__CLIENT_SECRET", "hush"),
    ];
    let mistakes = load(&variables).unwrap_err();
    assert_eq!(mistakes.len(), 1, "{mistakes}");
    assert!(mistakes.to_string().contains("sources.adobe.auth.tokens ("), "{mistakes}");
    variables.push(("MILLRACE_SOURCES__ADOBE__AUTH__TOKENS", "token"));
    load(&variables).unwrap();
}

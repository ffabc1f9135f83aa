//! What `check` prints is a configuration with the same meaning, for sources of every kind.

use std::ffi::OsString;

use millrace::{
    config::{self, Questions},
    source::SourceKind,
};
use proptest::{option, prelude::*, sample::select, test_runner::TestCaseResult};

use crate::given::Folder;

/// Stands for every secret: long enough for all of them.
const SECRET: &str = "Xyzzy-4711-Xyzzy-4711-Xyzzy-4711-Xyzzy-4711";

type Variables = Vec<(String, String)>;

fn maybe(key: &'static str, values: &'static [&'static str]) -> impl Strategy<Value = Variables> {
    option::of(select(values)).prop_map(move |value| {
        value.map(|value| (format!("MILLRACE_{key}"), value.to_owned())).into_iter().collect()
    })
}

fn all_of(parts: Vec<BoxedStrategy<Variables>>) -> BoxedStrategy<Variables> {
    parts.prop_map(|parts| parts.concat()).boxed()
}

/// A source of any kind that the sender can get into.
fn source(name: &'static str) -> BoxedStrategy<Variables> {
    let at = move |key: &str| format!("MILLRACE_SOURCES__{name}__{key}");
    let set = move |key: &str, value: &str| (at(key), value.to_owned());
    let tokens = move || vec![set("AUTH__TOKENS", SECRET)];
    let oauth = move || {
        vec![
            set("AUTH__OAUTH__ISSUER", "https://id.example.com"),
            set("AUTH__OAUTH__CLIENT_IDS", "marketo"),
            set("AUTH__OAUTH__LEEWAY", "90s"),
        ]
    };
    let asked = move || {
        vec![
            set("AUTH__OAUTH__INTROSPECTION__URL", "https://id.example.com/ask"),
            set("AUTH__OAUTH__INTROSPECTION__CLIENT_ID", "millrace"),
            set("AUTH__OAUTH__INTROSPECTION__CLIENT_SECRET", SECRET),
            set("AUTH__OAUTH__AUDIENCE", "us"),
        ]
    };
    let journal = move || {
        vec![
            set("JOURNAL__URL", "https://events.example.com/1"),
            set("JOURNAL__ORGANIZATION_ID", "1@AdobeOrg"),
            set("JOURNAL__CLIENT_ID", "me"),
            set("JOURNAL__CLIENT_SECRET", SECRET),
        ]
    };
    (select(&SourceKind::ALL[..]), 0..3_usize, any::<bool>(), any::<bool>(), any::<bool>())
        .prop_map(move |(kind, way, scheme, size, more)| {
            let mut variables = vec![set("KIND", kind.as_str())];
            let is_adobe = kind == SourceKind::AdobeIo;
            let ways = [tokens(), oauth(), asked()];
            // Adobe I/O signs, and needs no other way.
            if !is_adobe || more {
                variables.extend(ways[way].clone());
            }
            if scheme {
                variables.push(set("AUTH__HEADER_SCHEME", "Basic"));
            }
            if size {
                variables.push(set("SIZE_LIMIT", "200MB"));
            }
            if is_adobe {
                variables.push(set("AUTH__CLIENT_IDS", "us, them"));
                variables.extend(if size { journal() } else { Vec::new() });
                // By which backfill delivers.
                variables.extend(if size && !(more && way == 0) { tokens() } else { Vec::new() });
            }
            variables
        })
        .boxed()
}

fn configuration() -> BoxedStrategy<Variables> {
    let base = vec![("MILLRACE_KAFKA__BOOTSTRAP_SERVERS".to_owned(), "a:1,b:2".to_owned())];
    all_of(vec![
        Just(base).boxed(),
        source("ONE"),
        source("OTHER"),
        maybe("SPOOL__SIZE_LIMIT", &["10G", "10GiB", "1.5TB", "12345678901"]).boxed(),
        maybe("FORWARD__HOLD_AFTER", &["90s", "1m 30s", "2h", "1500ms", "1day"]).boxed(),
        maybe("DEDUPLICATE__WINDOW", &["0", "26h", "3days"]).boxed(),
        maybe("SPOOL__KEEP_DELIVERED__SIZE", &["0", "1GiB"]).boxed(),
        maybe("KAFKA__PROPERTIES__SSL_KEY_PASSWORD", &[SECRET]).boxed(),
        maybe("KAFKA__PROPERTIES__CLIENT_ID", &["a \"quoted\" \\ name", "ü"]).boxed(),
        maybe("TOPICS__CONFIG__RETENTION_MS", &["1000"]).boxed(),
        maybe("CATALOG__ALIASES__13", &["Datenwert", "Datenwert,Wert"]).boxed(),
        maybe("LISTEN__TRUSTED_PROXIES", &["10.0.0.0/8", "10.0.0.0/8,::1"]).boxed(),
        maybe("TOPICS__MODE", &["structured"]).boxed(),
    ])
}

/// The configuration with every secret in a file instead.
fn with_files(variables: Variables, file: &str) -> Variables {
    let moved = |(name, value)| match value == SECRET {
        true => (format!("{name}_FILE"), file.to_owned()),
        false => (name, value),
    };
    variables.into_iter().map(moved).collect()
}

fn is_read_back(variables: Variables) -> TestCaseResult {
    let environment = variables.iter().map(|(name, value)| (OsString::from(name), value.into()));
    let none: Option<&std::path::Path> = None;
    let loaded = config::load_with::<OsString, OsString>(none, environment, &Questions::NONE)
        .unwrap_or_else(|mistakes| panic!("{variables:?}\n{mistakes}"));
    let text = loaded.to_string();
    prop_assert!(!text.contains(SECRET), "{text}");
    let is_a_file = |(name, _): &(String, String)| name.ends_with("_FILE");
    prop_assert!(!text.contains("***") || !variables.iter().any(is_a_file), "{text}");
    let folder = Folder::with(&[("config.toml", &text.replace("***", SECRET))]);
    let nothing: [(&str, &str); 0] = [];
    let again = config::load(Some(&folder.path("config.toml")), nothing)
        .unwrap_or_else(|mistakes| panic!("{text}\n{mistakes}"));
    prop_assert_eq!(again, loaded.config);
    Ok(())
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn what_is_printed_is_read_back_with_the_same_meaning(variables in configuration()) {
        let folder = Folder::with(&[("secret", SECRET)]);
        is_read_back(with_files(variables.clone(), &folder.text("secret")))?;
        is_read_back(variables)?;
    }
}

#[test]
fn nothing_is_printed_that_means_nothing_for_the_kind() {
    let variables = [
        ("MILLRACE_KAFKA__BOOTSTRAP_SERVERS", "a:1"),
        ("MILLRACE_SOURCES__ADOBE__KIND", "adobe-io"),
        ("MILLRACE_SOURCES__ADOBE__AUTH__CLIENT_IDS", "us"),
    ];
    let loaded = config::load_with(None, variables, &Questions::NONE).unwrap();
    let text = loaded.to_string();
    for key in ["header_scheme", "leeway", "keep = \"1m", "token_url", "scopes"] {
        assert!(!text.contains(key), "{key} in\n{text}");
    }
    assert_eq!(text.matches("[sources.adobe.auth]").count(), 1, "{text}");
}

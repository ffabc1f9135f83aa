//! Secrets are never shown.

use millrace::config::{self, HeaderScheme};

use crate::given::{Folder, good, load, loaded};

const SECRET: &str = "Xyzzy-4711";

fn secrets() -> [(&'static str, &'static str); 15] {
    [
        ("MILLRACE_SOURCES__LEADS__AUTH__TOKENS", "Xyzzy-4711,Xyzzy-4711-next"),
        ("MILLRACE_KAFKA__PROPERTIES__SECURITY_PROTOCOL", "SASL_SSL"),
        ("MILLRACE_KAFKA__PROPERTIES__SASL_MECHANISM", "PLAIN"),
        ("MILLRACE_KAFKA__PROPERTIES__SASL_USERNAME", "millrace"),
        ("MILLRACE_KAFKA__PROPERTIES__SASL_PASSWORD", SECRET),
        ("MILLRACE_KAFKA__PROPERTIES__SSL_KEY_PASSWORD", SECRET),
        ("MILLRACE_KAFKA__PROPERTIES__SSL_KEY_PEM", SECRET),
        ("MILLRACE_KAFKA__PROPERTIES__SSL_KEYSTORE_PASSWORD", SECRET),
        ("MILLRACE_KAFKA__PROPERTIES__SASL_OAUTHBEARER_CONFIG", SECRET),
        ("MILLRACE_OAUTH__SIGNING_KEYS", "Xyzzy-4711-Xyzzy-4711-Xyzzy-4711"),
        ("MILLRACE_OAUTH__CLIENTS__MARKETO__SECRETS", "Xyzzy-4711-Xyzzy-4711"),
        ("MILLRACE_SOURCES__LEADS__AUTH__OAUTH__CLIENT_IDS", "marketo"),
        ("MILLRACE_SOURCES__LEADS__AUTH__OAUTH__INTROSPECTION__URL", "https://id.example.com/"),
        ("MILLRACE_SOURCES__LEADS__AUTH__OAUTH__INTROSPECTION__CLIENT_ID", "millrace"),
        ("MILLRACE_SOURCES__LEADS__AUTH__OAUTH__INTROSPECTION__CLIENT_SECRET", SECRET),
    ]
}

#[test]
fn debug_output_shows_no_secret_and_not_even_a_harmless_property() {
    let mut variables = secrets().to_vec();
    variables.push(("MILLRACE_KAFKA__PROPERTIES__CLIENT_ID", "Xyzzy-4711-client"));
    let config = good(&variables);
    let text = format!("{config:?} {config:#?}");
    assert!(!text.contains(SECRET), "{text}");
    assert!(text.contains("sasl.password") && text.contains("***"), "{text}");
}

#[test]
fn the_effective_configuration_shows_no_secret() {
    let folder = Folder::with(&[("config.toml", ""), ("tokens", "Xyzzy-4711\nXyzzy-4711-b\n")]);
    let mut variables = secrets().to_vec();
    let path = folder.text("tokens");
    variables.push(("MILLRACE_SOURCES__OTHER__KIND", "marketo-lead-activity"));
    variables.push(("MILLRACE_SOURCES__OTHER__AUTH__TOKENS_FILE", &path));
    variables.push(("MILLRACE_KAFKA__PROPERTIES__CLIENT_RACK", "http://me:Xyzzy-4711@proxy"));
    let loaded = loaded(Some(&folder), &variables).unwrap();
    let text = format!("{loaded} {loaded:?}");
    assert!(!text.contains(SECRET), "{text}");
    assert_eq!(loaded.to_string().matches(r#"tokens = ["***", "***"]"#).count(), 1, "{loaded}");
    assert!(text.contains(&format!("tokens_file = \"{path}\" # environment")), "{text}");
    assert!(text.contains(r#""sasl.password" = "***""#), "{text}");
}

#[test]
fn no_mistake_shows_a_secret_wherever_it_stands() {
    let long = format!("{SECRET}{}", "x".repeat(300));
    let broken = [
        format!("{SECRET},,x"),
        format!(" {SECRET},"),
        format!("[\"{SECRET}\""),
        format!("[{SECRET}]"),
        format!("[\"{SECRET}\", 5]"),
        format!("[\" {SECRET}\"]"),
        format!("{SECRET}\n{SECRET}"),
    ];
    for value in &broken {
        let mistakes = load(&[("MILLRACE_SOURCES__LEADS__AUTH__TOKENS", value)]).expect_err(value);
        let text = format!("{mistakes} {mistakes:?}");
        assert!(!text.contains(SECRET), "{text}");
    }
    let servers = [("MILLRACE_KAFKA__BOOTSTRAP_SERVERS", "me:Xyzzy-4711@host:9092")];
    let text = load(&servers).unwrap_err().to_string();
    assert!(text.contains("host:9092") && !text.contains(SECRET), "{text}");
    for name in [
        "MILLRACE_SOURCES__LEADS__AUTH__HEADER_SCHEME",
        "MILLRACE_SOURCES__LEADS__TOKENS",
        "MILLRACE_SOURCES__LEADS__AUTH__TOKEN",
        "MILLRACE_SOURCES__LEADS__AUTH",
        "MILLRACE_SOURCES__LEADS",
        "MILLRACE_SOURCES",
        "MILLRACE_TOKEN",
        "MILLRACE_KAFKA__SASL_PASSWORD",
        "MILLRACE_KAFKA__PROPERTIES",
        "MILLRACE_KAFKA__PROPERTIES__TRANSACTIONAL_ID",
        "MILLRACE_KAFKA__PROPERTIES__SASL_OAUTHBEARER_CLIENT_SECRET",
        "MILLRACE_OAUTH",
        "MILLRACE_OAUTH__CLIENTS",
        "MILLRACE_OAUTH__CLIENTS__MARKETO",
        "MILLRACE_OAUTH__CLIENTS__MARKETO__SECRET",
        "MILLRACE_OAUTH__SIGNING_KEY",
        "MILLRACE_OAUTH__TOKEN_LIFETIME",
        "MILLRACE_SOURCES__LEADS__AUTH__OAUTH",
        "MILLRACE_SOURCES__LEADS__AUTH__OAUTH__ISSUER",
        "MILLRACE_SOURCES__LEADS__AUTH__OAUTH__LEEWAY",
        "MILLRACE_SOURCES__LEADS__AUTH__OAUTH__INTROSPECTION__SECRET",
        "MILLRACE_SOURCES__LEADS__AUTH__OAUTH__INTROSPECTION__URL",
        "MILLRACE_SOURCES__LEADS__AUTH__OAUTH__INTROSPECTION__CLIENT_SECRET",
    ] {
        let mistakes = load(&[(name, &long)]).expect_err(name);
        let text = format!("{mistakes} {mistakes:?}");
        assert!(!text.contains(SECRET), "{name}: {text}");
    }
}

#[test]
fn a_broken_file_shows_none_of_its_secrets() {
    for line in [
        "auth = { tokens = ['Xyzzy-4711' }",
        "auth.tokens = Xyzzy-4711",
        "auth.tokens = ['Xyzzy-4711', 5]",
        "auth.tokens = { a = 'Xyzzy-4711' }",
        "auth.tokens = ['a', ['Xyzzy-4711']]",
        "auth = 'Xyzzy-4711'",
        "auth.query_parameter = ['Xyzzy-4711']",
    ] {
        let text = format!("[sources.other]\nkind = 'marketo-lead-activity'\n{line}\n");
        let folder = Folder::with(&[("config.toml", &text)]);
        let mistakes = loaded(Some(&folder), &[]).expect_err(line);
        let text = format!("{mistakes} {mistakes:?}");
        assert!(!text.contains(SECRET), "{text}");
    }
}

#[test]
fn a_token_that_no_header_of_its_scheme_carries_is_a_mistake_that_quotes_none_of_it() {
    let folder = Folder::with(&[("scheme", "Bearer hunter2\n"), ("blank", "hunter2 hunter3\n")]);
    let text_of = |file: &str, scheme: &str| {
        let (path, name) = (folder.text(file), "MILLRACE_SOURCES__X__AUTH__TOKENS_FILE");
        let kind = ("MILLRACE_SOURCES__X__KIND", "marketo-lead-activity");
        let scheme = ("MILLRACE_SOURCES__X__AUTH__HEADER_SCHEME", scheme);
        load(&[kind, scheme, (name, &path)]).map_err(|mistakes| mistakes.to_string())
    };
    for (name, problem) in [
        ("scheme", "begins with `Bearer `, the scheme of the header"),
        ("blank", "white space in it, which no header with Bearer carries"),
    ] {
        let text = text_of(name, "Bearer").unwrap_err();
        assert!(text.contains("sources.x.auth.tokens"), "{text}");
        assert!(text.contains(problem) && !text.contains("hunter"), "{text}");
        let again = config::tokens_again(&folder.path(name), HeaderScheme::Bearer).unwrap_err();
        assert!(again.contains(problem) && !again.contains("hunter"), "{again}");
        // There the token is the whole header.
        assert!(text_of(name, "bare").is_ok());
    }
}

//! What `check` prints is saved and read: it works as it stands, or it is refused.

use millrace::config::{self, HeaderScheme, Questions};

use crate::given::{Folder, loaded};

const REMEDY: &str = "This is what `millrace check` prints in place of a secret";

/// Every kind of secret, with what is needed for it to be there at all.
const SECRETS: [(&str, &str); 6] = [
    ("MILLRACE_SOURCES__LEADS__AUTH__TOKENS", "sources.leads.auth.tokens"),
    ("MILLRACE_KAFKA__PROPERTIES__SASL_PASSWORD", "kafka.properties.sasl.password"),
    ("MILLRACE_OAUTH__SIGNING_KEYS", "oauth.signing_keys"),
    ("MILLRACE_OAUTH__CLIENTS__MARKETO__SECRETS", "oauth.clients.marketo.secrets"),
    (
        "MILLRACE_SOURCES__LEADS__AUTH__OAUTH__INTROSPECTION__CLIENT_SECRET",
        "sources.leads.auth.oauth.introspection.client_secret",
    ),
    ("MILLRACE_SOURCES__ADOBE__JOURNAL__CLIENT_SECRET", "sources.adobe.journal.client_secret"),
];

const REST: [(&str, &str); 11] = [
    ("MILLRACE_KAFKA__BOOTSTRAP_SERVERS", "a:1"),
    ("MILLRACE_SOURCES__LEADS__KIND", "marketo-lead-activity"),
    ("MILLRACE_SOURCES__LEADS__AUTH__OAUTH__INTROSPECTION__URL", "https://id.example.com/"),
    ("MILLRACE_SOURCES__LEADS__AUTH__OAUTH__INTROSPECTION__CLIENT_ID", "millrace"),
    ("MILLRACE_SOURCES__LEADS__AUTH__OAUTH__AUDIENCE", "us"),
    ("MILLRACE_SOURCES__ADOBE__KIND", "adobe-io"),
    ("MILLRACE_SOURCES__ADOBE__AUTH__CLIENT_IDS", "us"),
    ("MILLRACE_SOURCES__ADOBE__AUTH__TOKENS", "another-token"),
    ("MILLRACE_SOURCES__ADOBE__JOURNAL__URL", "https://events.example.com/1"),
    ("MILLRACE_SOURCES__ADOBE__JOURNAL__ORGANIZATION_ID", "1@AdobeOrg"),
    ("MILLRACE_SOURCES__ADOBE__JOURNAL__CLIENT_ID", "me"),
];

const PROTOCOL: [(&str, &str); 3] = [
    ("MILLRACE_KAFKA__PROPERTIES__SECURITY_PROTOCOL", "SASL_SSL"),
    ("MILLRACE_KAFKA__PROPERTIES__SASL_MECHANISM", "PLAIN"),
    ("MILLRACE_KAFKA__PROPERTIES__SASL_USERNAME", "me"),
];

const GOOD: &str = "Xyzzy-4711-Xyzzy-4711-Xyzzy-4711-Xyzzy-4711";

fn all(secret: impl Fn(&str) -> (String, String)) -> Vec<(String, String)> {
    let given = REST.iter().chain(&PROTOCOL);
    let rest = given.map(|(name, value)| ((*name).to_owned(), (*value).to_owned()));
    rest.chain(SECRETS.iter().map(|(name, _)| secret(name))).collect()
}

#[test]
fn what_is_printed_in_place_of_a_secret_is_no_secret_wherever_it_is_written() {
    let folder = Folder::with(&[("hidden", "***\n")]);
    let hidden = folder.text("hidden");
    for (written, key) in SECRETS {
        for in_a_file in [false, true] {
            let variables = all(|name| match (name == written, in_a_file) {
                (true, true) => (format!("{name}_FILE"), hidden.clone()),
                (true, false) => (name.into(), "***".into()),
                (false, _) => (name.into(), GOOD.into()),
            });
            let mistakes = config::load(None, variables).expect_err(written);
            let text = mistakes.to_string();
            assert!(mistakes.len() == 1 && text.contains(REMEDY), "{written}: {text}");
            assert!(text.contains(key), "{text}");
        }
    }
    for problem in [
        config::tokens_again(&folder.path("hidden"), HeaderScheme::Bearer).unwrap_err(),
        config::secret_again(&folder.path("hidden")).unwrap_err(),
    ] {
        assert!(problem.contains("`***`"), "{problem}");
    }
}

#[test]
fn a_configuration_that_was_saved_as_it_is_printed_is_refused_with_every_secret_named() {
    let variables = all(|name| (name.into(), GOOD.into()));
    let text = config::load_with(None, variables, &Questions::NONE).unwrap().to_string();
    let folder = Folder::with(&[("config.toml", &text)]);
    let nothing: [(&str, &str); 0] = [];
    let mistakes = config::load(Some(&folder.path("config.toml")), nothing).unwrap_err();
    assert_eq!(mistakes.len(), SECRETS.len() + 1, "{mistakes}");
    assert_eq!(mistakes.to_string().matches(REMEDY).count(), SECRETS.len() + 1, "{mistakes}");
}

#[test]
fn a_secret_of_a_file_is_printed_as_its_file_and_read_from_there_again() {
    let folder = Folder::with(&[("secret", GOOD)]);
    let mut variables = all(|name| (format!("{name}_FILE"), folder.text("secret")));
    variables.retain(|(name, _)| name != "MILLRACE_SOURCES__ADOBE__AUTH__TOKENS");
    variables.push(("MILLRACE_SOURCES__ADOBE__AUTH__TOKENS_FILE".into(), folder.text("secret")));
    let loaded = config::load_with(None, variables, &Questions::NONE).unwrap();
    let text = loaded.to_string();
    assert!(!text.contains("***") && !text.contains(GOOD), "{text}");
    let saved = Folder::with(&[("config.toml", &text)]);
    let nothing: [(&str, &str); 0] = [];
    let again = config::load_with(Some(&saved.path("config.toml")), nothing, &Questions::NONE);
    let again = again.unwrap();
    assert_eq!(again.config, loaded.config);
    let password = &again.config.kafka.properties["sasl.password"];
    assert_eq!(password.file(), Some(&*folder.path("secret")));
}

fn refusal(variables: &[(&str, &str)]) -> (usize, String) {
    let mistakes = loaded(None, variables).expect_err("a mistake");
    (mistakes.len(), mistakes.to_string())
}

#[test]
fn a_secret_of_two_lines_or_a_key_in_pem_in_place_of_tokens_is_refused() {
    let folder = Folder::with(&[
        ("two", "Xyzzy-4711\nXyzzy-4712\n"),
        ("pem", "-----BEGIN PRIVATE KEY-----\nXyzzy-4711\n-----END PRIVATE KEY-----\n"),
    ]);
    let two = folder.text("two");
    for name in [
        "MILLRACE_KAFKA__PROPERTIES__SASL_PASSWORD_FILE",
        "MILLRACE_SOURCES__ADOBE__JOURNAL__CLIENT_SECRET_FILE",
        "MILLRACE_SOURCES__LEADS__AUTH__OAUTH__INTROSPECTION__CLIENT_SECRET_FILE",
    ] {
        let mut variables = all(|name| (name.into(), GOOD.into()));
        variables.retain(|(other, _)| *other != name.trim_end_matches("_FILE"));
        variables.push((name.into(), two.clone()));
        let text = config::load(None, variables).expect_err(name).to_string();
        assert!(text.contains("line break") && !text.contains("Xyzzy"), "{name}: {text}");
    }
    let pem = folder.text("pem");
    let mut variables = all(|name| (name.into(), GOOD.into()));
    variables.retain(|(name, _)| name != "MILLRACE_SOURCES__LEADS__AUTH__TOKENS");
    variables.push(("MILLRACE_SOURCES__LEADS__AUTH__TOKENS_FILE".into(), pem));
    let text = config::load(None, variables).unwrap_err().to_string();
    assert!(text.contains("-----BEGIN") && !text.contains("Xyzzy"), "{text}");
}

#[test]
fn a_secrets_file_that_can_not_be_read_is_one_mistake_at_the_key_as_it_is_written() {
    let (count, text) = refusal(&[
        PROTOCOL[0],
        PROTOCOL[1],
        PROTOCOL[2],
        ("MILLRACE_KAFKA__PROPERTIES__SASL_PASSWORD_FILE", "/not/there"),
    ]);
    assert_eq!(count, 1, "{text}");
    let key =
        "kafka.properties.sasl_password_file (MILLRACE_KAFKA__PROPERTIES__SASL_PASSWORD_FILE)";
    assert!(text.contains(key), "{text}");
}

//! `oauth` and `sources.<name>.auth.oauth`.

use std::time::Duration;

use millrace::config::{Config, OAuthAuth, Secret};

use crate::given::{Folder, good, mistake, with_file};

const KEY: &str = "a key of thirty-two bytes or more";
const SECRET: &str = "sixteen letters.";

fn oauth_of(config: &Config) -> &OAuthAuth {
    config.sources[0].auth.oauth.as_ref().expect("the source takes OAuth")
}

fn secrets(texts: &[&str]) -> Vec<Secret> {
    texts.iter().map(|text| Secret::new(*text).unwrap()).collect()
}

/// Variables of `leads` below `auth.oauth`.
fn leads<'a>(pairs: &[(&str, &'a str)]) -> Vec<(String, &'a str)> {
    let name = |name: &str| format!("MILLRACE_SOURCES__LEADS__AUTH__OAUTH__{name}");
    pairs.iter().map(|(key, value)| (name(key), *value)).collect()
}

fn borrowed<'a>(variables: &'a [(String, &'a str)]) -> Vec<(&'a str, &'a str)> {
    variables.iter().map(|(name, value)| (name.as_str(), *value)).collect()
}

#[test]
fn a_source_takes_signed_tokens_and_asks_about_others() {
    let variables = leads(&[
        ("ISSUER", "https://id.example.com/tenant/"),
        ("JWKS_URL", "https://id.example.com/keys?p=1"),
        ("AUDIENCE", "api://millrace, other"),
        ("CLIENT_IDS", "marketo"),
        ("SCOPE", "read  push"),
        ("LEEWAY", "5s"),
        ("INTROSPECTION__URL", "http://127.0.0.1:8081/introspect"),
        ("INTROSPECTION__CLIENT_ID", "millrace"),
        ("INTROSPECTION__CLIENT_SECRET", "00123"),
    ]);
    let config = good(&borrowed(&variables));
    let oauth = oauth_of(&config);
    assert_eq!(oauth.issuer.as_deref(), Some("https://id.example.com/tenant/"), "as it stands");
    assert_eq!(oauth.jwks_url.as_ref().unwrap().as_str(), "https://id.example.com/keys?p=1");
    assert_eq!(
        (&oauth.audience[..], &oauth.client_ids[..]),
        (&["api://millrace".into(), "other".into()][..], &["marketo".into()][..])
    );
    assert_eq!(oauth.scopes, ["read", "push"]);
    assert_eq!(oauth.leeway, Duration::from_secs(5));
    let introspection = oauth.introspection.as_ref().unwrap();
    assert_eq!(introspection.client_secret, Secret::new("00123").unwrap());
    assert_eq!(introspection.keep, Duration::from_secs(60));
    assert!(config.sources[0].auth.tokens.is_some(), "both ways at once");
}

#[test]
fn the_endpoint_has_clients_and_a_key_each_from_files_too() {
    let folder = Folder::with(&[
        ("keys", "a key of thirty-two bytes or more\nanother key, of as many letters ..\n"),
        ("secrets", "sixteen letters.\n"),
        ("asking", "a secret for asking\n"),
    ]);
    let text = format!(
        "kafka.bootstrap_servers = 'k:9092'\n\
         [oauth]\nsigning_keys_file = '{}'\ntoken_lifetime = '15m'\n\
         [oauth.clients.marketo]\nsecrets_file = '{}'\n\
         [sources.leads]\nkind = 'marketo-lead-activity'\n\
         [sources.leads.auth.oauth]\nbuilt_in_clients = ['marketo']\nclient_ids = ['x']\n\
         [sources.leads.auth.oauth.introspection]\nurl = 'https://id.example.com/'\n\
         client_id = 'millrace'\nclient_secret_file = '{}'\n",
        folder.text("keys"),
        folder.text("secrets"),
        folder.text("asking"),
    );
    let none: [(&str, &str); 0] = [];
    let file = Folder::with(&[("config.toml", &text)]);
    let config = millrace::config::load(Some(&file.path("config.toml")), none)
        .unwrap_or_else(|mistakes| panic!("{mistakes}"));
    let keys = ["a key of thirty-two bytes or more", "another key, of as many letters .."];
    assert_eq!(config.oauth.signing_keys, secrets(&keys));
    assert_eq!(config.oauth.token_lifetime, Duration::from_secs(900));
    assert_eq!(config.oauth.clients["marketo"], secrets(&[SECRET]));
    let oauth = oauth_of(&config);
    assert_eq!(oauth.built_in_clients, ["marketo"]);
    let asking = Secret::new("a secret for asking").unwrap();
    assert_eq!(oauth.introspection.as_ref().unwrap().client_secret, asking);
    assert_eq!(config.sources[0].auth.tokens, None, "no fixed token is needed");
}

#[test]
fn in_the_environment_a_clients_id_has_hyphens_for_underscores() {
    let config = good(&[
        ("MILLRACE_OAUTH__SIGNING_KEYS", KEY),
        ("MILLRACE_OAUTH__CLIENTS__MY_MARKETO__SECRETS", "sixteen letters.,and a second one"),
        ("MILLRACE_SOURCES__LEADS__AUTH__OAUTH__BUILT_IN_CLIENTS", "my-marketo"),
    ]);
    assert_eq!(config.oauth.clients["my-marketo"], secrets(&[SECRET, "and a second one"]));
}

#[test]
fn what_would_let_strangers_in_or_could_never_work_is_refused() {
    let issuer = ("ISSUER", "https://id.example.com");
    let audience = ("AUDIENCE", "millrace");
    let asking = [("INTROSPECTION__CLIENT_ID", "x"), ("INTROSPECTION__CLIENT_SECRET", "y")];
    let cases: [(&[(&str, &str)], &str, &str); 18] = [
        (&[issuer], "audience", "every client of that provider"),
        (&[("JWKS_URL", "https://id.example.com"), audience], "issuer", "is missing"),
        (&[audience], "audience", "there is no provider"),
        (&[("CLIENT_IDS", "x")], "client_ids", "there is no provider"),
        (&[("SCOPE", "x")], "scope", "there is no provider"),
        (&[("SCOPE", " ")], "scope", "names no scope"),
        (&[("ISSUER", "http://id.example.com"), audience], "issuer", "not https"),
        (&[("ISSUER", "id.example.com"), audience], "issuer", "no URL"),
        (&[("ISSUER", "https://id.example.com?x"), audience], "issuer", "has a query"),
        (&[("ISSUER", "https://me:x@id.example.com"), audience], "issuer", "a user"),
        (&[issuer, audience, ("JWKS_URL", "http://10.0.0.1/")], "jwks_url", "not https"),
        (&[issuer, audience, ("JWKS_URL", "https://x/#y")], "jwks_url", "fragment"),
        (&[issuer, ("AUDIENCE", "a,,b")], "audience", "something empty"),
        (&[issuer, audience, ("LEEWAY", "11m")], "leeway", "above 10 minutes"),
        (&[audience, asking[0], asking[1]], "introspection.url", "is missing"),
        (
            &[audience, ("INTROSPECTION__URL", "https://x/"), asking[1]],
            "introspection.client_id",
            "is missing",
        ),
        (
            &[audience, ("INTROSPECTION__URL", "https://x/"), asking[0]],
            "introspection.client_secret",
            "is missing",
        ),
        (&[("BUILT_IN_CLIENTS", "marketo")], "built_in_clients", "not in oauth.clients"),
    ];
    for (pairs, key, problem) in cases {
        let variables = leads(pairs);
        let text = mistake(&borrowed(&variables));
        assert!(text.starts_with(&format!("sources.leads.auth.oauth.{key} ")), "{pairs:?}: {text}");
        assert!(text.contains(problem), "{pairs:?}: {text}");
    }
}

#[test]
fn what_is_wrong_with_the_endpoint_is_told() {
    let (key, client) =
        ("MILLRACE_OAUTH__SIGNING_KEYS", "MILLRACE_OAUTH__CLIENTS__MARKETO__SECRETS");
    let cases: [(&[(&str, &str)], &str, &str); 7] = [
        (&[(key, KEY)], "oauth.clients", "is missing"),
        (&[(client, SECRET)], "oauth.signing_keys", "is missing"),
        (&[(key, "short"), (client, SECRET)], "oauth.signing_keys", "shorter than 32 bytes"),
        (
            &[(key, KEY), (client, "short")],
            "oauth.clients.marketo.secrets",
            "shorter than 16 bytes",
        ),
        (&[("MILLRACE_OAUTH__TOKEN_LIFETIME", "10s")], "oauth.token_lifetime", "below a minute"),
        (&[("MILLRACE_OAUTH__TOKEN_LIFETIME", "25h")], "oauth.token_lifetime", "above a day"),
        (
            &[(key, KEY), ("MILLRACE_OAUTH__CLIENTS__7__SECRETS", SECRET)],
            "oauth.clients.7",
            "is no id for a client",
        ),
    ];
    for (variables, key, problem) in cases {
        let text = mistake(variables);
        assert!(text.starts_with(&format!("{key} ")) && text.contains(problem), "{text}");
    }
}

#[test]
fn a_source_with_nothing_but_a_leeway_has_no_way_in() {
    let text = "kafka.bootstrap_servers = 'k:9092'\n[sources.other]\n\
                kind = 'marketo-lead-activity'\n[sources.other.auth.oauth]\nleeway = '1s'\n";
    let mistakes = with_file(text, &[]).unwrap_err().to_string();
    assert!(mistakes.starts_with("1 mistake") && mistakes.contains("sources.other.auth.tokens"));
}

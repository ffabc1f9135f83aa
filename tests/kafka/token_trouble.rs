//! What `check --connect` and `topics --create` say where a token is needed.

use std::{
    process::Command,
    time::{Duration, Instant},
};

use crate::identity::{CLIENT, Mood, Provider};

fn run(provider: &Provider, broker: &str, arguments: &[&str]) -> (bool, String) {
    let property = |name: &str| format!("MILLRACE_KAFKA__PROPERTIES__{name}");
    let output = Command::new(env!("CARGO_BIN_EXE_millrace"))
        .args(arguments)
        .env("MILLRACE_KAFKA__BOOTSTRAP_SERVERS", broker)
        .env("MILLRACE_SPOOL__DIRECTORY", std::env::temp_dir())
        .env("MILLRACE_SPOOL__SIZE_LIMIT", "1GiB")
        .env("MILLRACE_TOPICS__NAME", "token.{stream}")
        .env("MILLRACE_TOPICS__DEAD_LETTER", "token.dead-letter")
        .env("MILLRACE_SOURCES__LEADS__KIND", "marketo-lead-activity")
        .env("MILLRACE_SOURCES__LEADS__AUTH__TOKENS", "hunter3")
        .env(property("SECURITY_PROTOCOL"), "SASL_PLAINTEXT")
        .env(property("SASL_MECHANISM"), "OAUTHBEARER")
        .env(property("SASL_OAUTHBEARER_TOKEN_ENDPOINT_URL"), format!("{}/token", provider.address))
        .env(property("SASL_OAUTHBEARER_CLIENT_ID"), CLIENT)
        .env(property("SASL_OAUTHBEARER_CLIENT_SECRET"), "hunter2")
        .output()
        .expect("the program starts");
    let text = [output.stdout, output.stderr].concat();
    (output.status.success(), String::from_utf8_lossy(&text).into_owned())
}

#[test]
fn check_and_create_get_in_with_a_token_and_say_what_is_wrong_without_one() {
    let provider = Provider::start("hunter2", 60);
    let (_broker, guarded) = provider.broker(0);
    let check = || {
        let (fine, text) = run(&provider, &guarded, &["check", "--connect"]);
        assert!(!text.contains("hunter") && !text.contains("eyJ"), "{text}");
        (fine, text)
    };
    let (fine, text) = run(&provider, &guarded, &["topics", "--create"]);
    assert!(fine && text.contains("made"), "{text}");
    let (fine, text) = check();
    assert!(fine && text.contains("topic token.dead-letter has"), "{text}");

    provider.is(Mood::Refusing);
    let (fine, text) = check();
    assert!(!fine && text.contains("invalid_scope, scope `kafka` is not known"), "{text}");
    assert!(text.contains("check sasl.oauthbearer.scope"), "{text}");
    let (fine, text) = run(&provider, &guarded, &["topics", "--create"]);
    assert!(!fine && text.contains("invalid_scope"), "{text}");

    provider.is(Mood::Silent);
    let start = Instant::now();
    let (fine, text) = check();
    assert!(!fine && text.contains("did not answer within 4 s"), "{text}");
    // Twenty seconds for the provider and the cluster, and the rest for a busy machine.
    assert!(start.elapsed() < Duration::from_secs(60), "{text}");

    provider.is(Mood::Well);
    provider.takes("another one");
    let (fine, text) = check();
    assert!(!fine && text.contains("401") && text.contains("client.secret"), "{text}");

    // Nothing is wrong with the token but whom it is for, which the broker alone knows.
    provider.takes("hunter2");
    provider.speaks_to("elsewhere");
    let (fine, text) = check();
    assert!(!fine && text.contains("sasl.oauthbearer.audience"), "{text}");
}

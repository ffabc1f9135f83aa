//! The configuration file, the environment over it, and secrets in files of their own.

use std::time::Duration;

use millrace::config::{self, Config, HeaderScheme};

use crate::given::{Folder, bad, environment, good, loaded, mistake, tokens_of, with_file};

fn tokens(config: &Config) -> Vec<&str> {
    tokens_of(&config.sources[0]).tokens.iter().map(|token| token.expose()).collect()
}

#[test]
fn a_file_alone_is_enough() {
    let folder = Folder::with(&[(
        "config.toml",
        r#"
        kafka.bootstrap_servers = ["a:9092", "b:9092"]
        [sources.user-audit]
        kind = "marketo-lead-activity"
        auth.tokens = ["a,b", "c"]
        [shutdown]
        delay = "1s"
        "#,
    )]);
    let none: [(&str, &str); 0] = [];
    let config = config::load(Some(&folder.path("config.toml")), none).unwrap();
    assert_eq!(config.kafka.bootstrap_servers, "a:9092,b:9092");
    assert_eq!(config.sources[0].name.as_str(), "user-audit");
    assert_eq!(tokens(&config), ["a,b", "c"]);
    assert_eq!(config.shutdown.delay, Duration::from_secs(1));
}

#[test]
fn the_environment_goes_over_the_file_key_by_key() {
    let file = "[listen]\nconnections = 5\nheader_limit = 9000\n[topics]\ncreate = false\n";
    let config = with_file(file, &[("MILLRACE_LISTEN__CONNECTIONS", "7")]).unwrap();
    assert_eq!((config.listen.connections, config.listen.header_limit), (7, 9000));
    assert!(!config.topics.create);
}

#[test]
fn a_variable_names_the_file_and_the_argument_goes_over_it() {
    let folder = Folder::with(&[
        ("config.toml", "listen.connections = 5"),
        ("other.toml", "listen.connections = 6"),
    ]);
    let variables = [("MILLRACE_CONFIG", &folder.text("other.toml")[..])];
    let config = config::load(None, environment(&variables)).unwrap();
    assert_eq!(config.listen.connections, 6);
    let config = config::load(Some(&folder.path("config.toml")), environment(&variables)).unwrap();
    assert_eq!(config.listen.connections, 5);
}

#[test]
fn a_property_is_the_same_however_it_is_spelled_and_the_environment_goes_over_it() {
    for file in [
        "kafka.properties.client_id = 'file'",
        "kafka.properties.'client.id' = 'file'",
        "[kafka.properties.client]\nid = 'file'",
        "kafka.properties.client.id = 'file'",
        "kafka.properties.CLIENT_ID = 'file'",
    ] {
        let config = with_file(file, &[]).unwrap();
        assert_eq!(config.kafka.properties["client.id"].expose(), "file", "{file}");
        let over = [("MILLRACE_KAFKA__PROPERTIES__CLIENT_ID", "environment")];
        let config = with_file(file, &over).unwrap();
        assert_eq!(config.kafka.properties["client.id"].expose(), "environment", "{file}");
        assert_eq!(config.kafka.properties.len(), 1, "{file}");
    }
    let file = "topics.config.retention_ms = 5\ntopics.config.'max.message.bytes' = 6";
    let config = with_file(file, &[("MILLRACE_TOPICS__CONFIG__RETENTION_MS", "7")]).unwrap();
    assert_eq!(config.topics.config["retention.ms"], "7");
    assert_eq!(config.topics.config["max.message.bytes"], "6");
}

#[test]
fn one_property_in_two_spellings_of_one_file_is_a_mistake() {
    let file = "[kafka.properties]\nlinger_ms = 5\n'linger.ms' = 6";
    let text = with_file(file, &[]).unwrap_err().to_string();
    assert!(text.contains("kafka.properties.linger.ms"), "{text}");
    assert!(text.contains("is given twice, in two spellings"), "{text}");
}

#[test]
fn numbers_and_booleans_need_no_quotes_where_no_secret_is_due() {
    let file = "
        listen.body_limit = 1048576
        topics.create = false
        kafka.properties.linger_ms = 5
        kafka.properties.socket_keepalive_enable = true
        topics.config.retention_ms = -1
    ";
    let config = with_file(file, &[]).unwrap();
    assert_eq!(config.listen.body_limit, 1 << 20);
    assert!(!config.topics.create);
    assert_eq!(config.kafka.properties["linger.ms"].expose(), "5");
    assert_eq!(config.kafka.properties["socket.keepalive.enable"].expose(), "true");
    assert_eq!(config.topics.config["retention.ms"], "-1");
}

#[test]
fn a_secret_without_quotes_is_a_mistake() {
    for file in [
        "sources.other = { kind = 'marketo-lead-activity', auth = { tokens = [987654] } }",
        "sources.other = { kind = 'marketo-lead-activity', auth = { tokens = 987654 } }",
        "kafka.properties.ssl_key_password = 987654",
    ] {
        let text = with_file(file, &[]).unwrap_err().to_string();
        assert!(text.contains("a number without quotes"), "{text}");
        assert!(!text.contains("987654"), "{text}");
    }
}

#[test]
fn tokens_come_from_a_file_one_a_line() {
    let folder = Folder::with(&[
        ("unix", "old,1\nnew\n"),
        ("windows", "old,1\r\nnew\r\n"),
        ("unended", "old,1\nnew"),
        ("gaps", "\nold,1\n\n\nnew\n\n"),
        ("marked", "\u{feff}old,1\nnew\n"),
        ("blanks", "old,1 \n\tnew\t\n  \n"),
    ]);
    for name in ["unix", "windows", "unended", "gaps", "marked", "blanks"] {
        let mut variables =
            environment(&[("MILLRACE_SOURCES__LEADS__AUTH__TOKENS_FILE", &folder.text(name))]);
        variables.retain(|(name, _)| name != "MILLRACE_SOURCES__LEADS__AUTH__TOKENS");
        let config = config::load(None, variables).unwrap();
        assert_eq!(tokens(&config), ["old,1", "new"], "{name}");
    }
}

#[test]
fn every_property_comes_from_a_file_too_and_its_blank_ends_are_cut() {
    let folder = Folder::with(&[
        ("password", "\u{feff}00123 \n"),
        ("pem", "# mine\n-----BEGIN X-----\nabc\n-----END X-----\n\n"),
    ]);
    let config = good(&[
        ("MILLRACE_KAFKA__PROPERTIES__SSL_KEY_PASSWORD_FILE", &folder.text("password")),
        ("MILLRACE_KAFKA__PROPERTIES__SSL_KEY_PEM_FILE", &folder.text("pem")),
    ]);
    assert_eq!(config.kafka.properties["ssl.key.password"].expose(), "00123");
    let pem = "# mine\n-----BEGIN X-----\nabc\n-----END X-----";
    assert_eq!(config.kafka.properties["ssl.key.pem"].expose(), pem);
    assert_eq!(config.kafka.properties.len(), 2);
}

#[test]
fn a_secret_of_the_environment_is_what_it_would_be_in_a_file() {
    let config = good(&[
        ("MILLRACE_SOURCES__LEADS__AUTH__TOKENS", "\u{feff}one, two \n"),
        ("MILLRACE_KAFKA__PROPERTIES__SSL_KEY_PASSWORD", "\u{feff}00123 \n"),
    ]);
    assert_eq!(tokens(&config), ["one", "two"]);
    assert_eq!(config.kafka.properties["ssl.key.password"].expose(), "00123");
}

#[test]
fn a_line_that_looks_like_a_comment_is_no_secret_and_is_named_by_its_number() {
    let folder = Folder::with(&[
        ("tokens", "\nXyzzy-4711\n # the next one, Xyzzy-4711\nother\n"),
        ("first", "\u{feff}#Xyzzy-4711\n"),
    ]);
    for (name, line) in [("tokens", 3), ("first", 1)] {
        let path = folder.text(name);
        for variable in [
            "MILLRACE_SOURCES__LEADS__AUTH__TOKENS_FILE",
            "MILLRACE_KAFKA__PROPERTIES__SSL_KEY_PASSWORD_FILE",
        ] {
            let mut variables = environment(&[(variable, &path[..])]);
            variables.retain(|(name, _)| name != "MILLRACE_SOURCES__LEADS__AUTH__TOKENS");
            let text = config::load(None, variables).unwrap_err().to_string();
            let problem = format!("names `{path}`, which begins line {line} with `#`");
            assert!(text.contains(&problem), "{text}");
            assert!(!text.contains("Xyzzy"), "{text}");
        }
        let again = config::tokens_again(&folder.path(name), HeaderScheme::Bearer).unwrap_err();
        assert!(again.contains(&format!("line {line}")), "{again}");
    }
    let config = good(&[("MILLRACE_SOURCES__LEADS__AUTH__TOKENS", "#5,b")]);
    assert_eq!(tokens(&config), ["#5", "b"], "in the environment it cannot be a comment");
}

#[test]
fn the_configuration_file_names_files_of_secrets_too() {
    let folder = Folder::with(&[("password", "p\n"), ("tokens", "t\n")]);
    let file = format!(
        "[kafka.properties]\nssl_key_password_file = '{}'\n
         [sources.leads]\nkind = 'marketo-lead-activity'\nauth.tokens_file = '{}'\n",
        folder.text("password"),
        folder.text("tokens"),
    );
    let folder = Folder::with(&[("config.toml", &file)]);
    let least = [("MILLRACE_KAFKA__BOOTSTRAP_SERVERS", "a:9092")];
    let config = config::load(Some(&folder.path("config.toml")), least).unwrap();
    assert_eq!(config.kafka.properties["ssl.key.password"].expose(), "p");
    assert_eq!(tokens(&config), ["t"]);
}

#[test]
fn a_secret_and_its_file_together_are_a_mistake() {
    let folder = Folder::with(&[("tokens", "other\n")]);
    let text = mistake(&[("MILLRACE_SOURCES__LEADS__AUTH__TOKENS_FILE", &folder.text("tokens"))]);
    assert!(text.contains("is given twice, as tokens and as tokens_file"), "{text}");
    let text = bad(&[
        ("MILLRACE_KAFKA__PROPERTIES__SSL_KEY_PASSWORD", "p"),
        ("MILLRACE_KAFKA__PROPERTIES__SSL_KEY_PASSWORD_FILE", &folder.text("tokens")),
    ]);
    assert!(text.contains("kafka.properties.ssl.key.password"), "{text}");
    assert!(text.contains("is given twice"), "{text}");
}

#[test]
fn a_secrets_file_in_the_environment_goes_over_the_value_in_the_file_and_back() {
    let folder = Folder::with(&[("tokens", "from-a-file\n")]);
    let source = "[sources.leads]\nkind = 'marketo-lead-activity'\n";
    let value = Folder::with(&[("config.toml", &format!("{source}auth.tokens = ['in-it']\n"))]);
    let over = [
        ("MILLRACE_KAFKA__BOOTSTRAP_SERVERS", "a:9092"),
        ("MILLRACE_SOURCES__LEADS__AUTH__TOKENS_FILE", &folder.text("tokens")),
    ];
    let config = config::load(Some(&value.path("config.toml")), over).unwrap();
    assert_eq!(tokens(&config), ["from-a-file"]);

    let path = folder.text("tokens");
    let config = with_file(&format!("{source}auth.tokens_file = '{path}'\n"), &[]).unwrap();
    assert_eq!(tokens(&config), ["hunter2"]);
}

#[test]
fn a_secrets_file_that_is_no_use_is_a_mistake_that_quotes_none_of_it() {
    let folder = Folder::with(&[("empty", ""), ("newline", "\n"), ("blank", "\n\n\n")]);
    std::fs::write(folder.path("wild"), [b'x', 0xff, b'y']).unwrap();
    std::fs::write(folder.path("large"), vec![b'z'; 2 << 20]).unwrap();
    for (name, problem) in [
        ("missing", "cannot be read"),
        ("empty", "is empty"),
        ("newline", "is empty"),
        ("blank", "is empty"),
        ("wild", "is not UTF-8"),
        ("large", "is larger than a secret can be"),
        ("", "cannot be read"),
    ] {
        let path = folder.text(name);
        let mut variables =
            environment(&[("MILLRACE_SOURCES__LEADS__AUTH__TOKENS_FILE", &path[..])]);
        variables.retain(|(name, _)| name != "MILLRACE_SOURCES__LEADS__AUTH__TOKENS");
        let mistakes = config::load(None, variables).unwrap_err();
        assert_eq!(mistakes.len(), 1, "{mistakes}");
        let text = mistakes.to_string();
        assert!(text.contains("MILLRACE_SOURCES__LEADS__AUTH__TOKENS_FILE"), "{text}");
        assert!(text.contains(problem) && text.contains(&path), "{text}");
        assert!(!text.contains("zzz"), "{text}");
    }
}

#[test]
fn a_file_that_cannot_be_read_or_is_no_toml_is_one_mistake_among_the_others() {
    let folder = Folder::with(&[("config.toml", "[listen]\n\nconnections = = 5\n")]);
    let mistakes = loaded(Some(&folder), &[("MILLRACE_TOPICS__LIMIT", "x")]).unwrap_err();
    assert_eq!(mistakes.len(), 2, "{mistakes}");
    let text = mistakes.to_string();
    assert!(text.contains("config.toml, line 3, is not TOML"), "{text}");
    let missing = Folder::with(&[]);
    let text = loaded(Some(&missing), &[]).unwrap_err().to_string();
    assert!(text.contains("config.toml cannot be read"), "{text}");
}

#[test]
fn a_key_of_the_wrong_shape_is_a_mistake() {
    for (file, problem) in [
        ("listen = 5", "line 1, is a value, where a section was due"),
        ("listen.connections = { a = 1 }", "is a table"),
        ("listen.connections = [1]", "is a list"),
        ("listen.connections = 1.5", "is a fraction"),
        ("shutdown.delay = 2026-01-01", "is a table"),
        ("kafka.properties = 'x'", "is a value, where a section was due"),
        ("kafka.properties.linger_ms = [5]", "is a list"),
        ("sources = 5", "is a value, where a section was due"),
        ("sources.x = 5", "is a value, where a section was due"),
    ] {
        // What the environment has of the section would go over it.
        let folder = Folder::with(&[("config.toml", file)]);
        let none: [(&str, &str); 0] = [];
        let text = config::load(Some(&folder.path("config.toml")), none).unwrap_err().to_string();
        assert!(text.contains(problem), "{file}: {text}");
    }
}

#[test]
fn a_source_in_the_file_is_spelled_as_its_path() {
    let file = "sources.user_audit.kind = 'marketo-lead-activity'\n\
                sources.user_audit.auth.tokens = ['t']";
    let text = with_file(file, &[]).unwrap_err().to_string();
    assert!(text.contains("sources.user_audit"), "{text}");
    assert!(text.contains("is no name for a source"), "{text}");
}

#[test]
fn a_secret_knows_the_file_that_it_came_from_and_none_when_the_environment_went_over_it() {
    let folder = Folder::with(&[("config.toml", ""), ("tokens", "a\nb\n"), ("password", "p")]);
    let text = format!(
        "sources.leads.auth.tokens_file = '{}'\nkafka.properties.ssl_key_password_file = '{}'",
        folder.text("tokens"),
        folder.text("password"),
    );
    std::fs::write(folder.path("config.toml"), text).unwrap();
    let rest = [
        ("MILLRACE_KAFKA__BOOTSTRAP_SERVERS", "localhost:9092"),
        ("MILLRACE_SOURCES__LEADS__KIND", "marketo-lead-activity"),
    ];
    let config = config::load(Some(&folder.path("config.toml")), rest).unwrap();
    let file = |config: &Config| {
        let tokens = &tokens_of(&config.sources[0]).tokens;
        tokens.iter().map(|token| token.file().map(|file| file.to_owned())).collect::<Vec<_>>()
    };
    assert_eq!(file(&config), [Some(folder.path("tokens")), Some(folder.path("tokens"))]);
    let password = &config.kafka.properties["ssl.key.password"];
    assert_eq!(password.file(), Some(&*folder.path("password")));

    let mut over = rest.to_vec();
    over.push(("MILLRACE_SOURCES__LEADS__AUTH__TOKENS", "c"));
    let config = config::load(Some(&folder.path("config.toml")), over).unwrap();
    assert_eq!(file(&config), [None]);
}

#[test]
fn secrets_are_read_again_by_the_rules_that_held_before() {
    let folder =
        Folder::with(&[("tokens", "a\nb\n"), ("empty", ""), ("bell", "a\x07"), ("p", "new\n")]);
    let again = |name: &str| config::tokens_again(&folder.path(name), HeaderScheme::Bearer);
    let tokens = again("tokens").unwrap();
    assert_eq!(tokens.iter().map(|token| token.expose()).collect::<Vec<_>>(), ["a", "b"]);
    for name in ["empty", "bell", "not-there"] {
        let problem = again(name).unwrap_err();
        assert!(
            problem.starts_with(&format!("names `{}`, which ", folder.text(name))),
            "{problem}"
        );
    }

    let file = folder.text("p");
    let mut kafka =
        good(&[("MILLRACE_KAFKA__PROPERTIES__SSL_KEY_PASSWORD_FILE", file.as_str())]).kafka;
    std::fs::write(&file, "newer\n").unwrap();
    kafka = config::kafka_again(&kafka, &|_| Ok(())).unwrap();
    assert_eq!(kafka.properties["ssl.key.password"].expose(), "newer");
    let refused = config::kafka_again(&kafka, &|_| Err("no: newer".into())).unwrap_err();
    assert!(refused.ends_with("no: ***"), "{refused}");
}

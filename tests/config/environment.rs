//! Every variable of the documentation, and the traps.

use std::{collections::BTreeMap, ffi::OsString, os::unix::ffi::OsStringExt, time::Duration};

use millrace::{
    config::{
        self, Admin, Delivery, Forward, HeaderScheme, Kafka, Listen, Log, LogFormat, Shutdown,
        Spool, Topics,
    },
    deliver::{dead_letter::Convention, decode::catalog::Override, encode::Mode},
    source::SourceKind,
};

use crate::given::{bad, environment, good, load, mistake, tokens_of};

const MIB: u64 = 1024 * 1024;

#[test]
fn the_environment_alone_is_enough_and_everything_else_has_a_default() {
    let config = good(&[]);
    assert_eq!(config.listen, Listen::default());
    assert_eq!(config.admin, Admin::default());
    assert_eq!(config.spool, Spool::default());
    assert_eq!(config.topics, Topics::default());
    assert_eq!(config.forward, Forward::default());
    assert_eq!(config.shutdown, Shutdown::default());
    assert_eq!(config.log, Log::default());
    assert_eq!(config.kafka.bootstrap_servers, "localhost:9092");
    assert_eq!(config.kafka.queue_size, Kafka::QUEUE_SIZE);
    assert_eq!(config.kafka.delivery, Delivery::default());
    assert!(!config.kafka.delivery.is_exactly_once());
    assert!(config.kafka.properties.is_empty());
    let [source] = &config.sources[..] else { panic!("{:?}", config.sources) };
    assert_eq!(source.name.as_str(), "leads");
    assert_eq!(source.kind, SourceKind::MarketoLeadActivity);
    assert_eq!(tokens_of(source).header_scheme, HeaderScheme::Bearer);
    assert_eq!((&tokens_of(source).query_parameter, source.size_limit), (&None, None));
}

#[test]
fn the_defaults_are_those_that_were_promised() {
    let config = good(&[]);
    assert_eq!(config.listen.address.to_string(), "0.0.0.0:8080");
    assert_eq!(config.listen.body_limit, 16 * MIB);
    assert_eq!(config.listen.body_limit_inflated, 64 * MIB);
    assert_eq!(config.listen.body_budget, 64 * MIB);
    assert_eq!(config.admin.address.to_string(), "127.0.0.1:9090");
    assert_eq!(config.topics.name, "marketo.{stream}.{type}");
    assert_eq!(config.topics.dead_letter, "marketo.dead-letter");
    assert!(config.topics.create);
    assert_eq!((config.topics.partitions, config.topics.replication_factor), (-1, -1));
    assert_eq!(config.topics.limit, 500);
    assert_eq!(config.shutdown.delay, Duration::from_secs(5));
    assert_eq!(config.shutdown.flush, Duration::from_secs(10));
}

#[test]
fn listen_and_admin_are_set_by_the_environment() {
    let config = good(&[
        ("MILLRACE_LISTEN__ADDRESS", "[::1]:1234"),
        ("MILLRACE_LISTEN__BODY_LIMIT", "1MiB"),
        ("MILLRACE_LISTEN__BODY_LIMIT_INFLATED", "2MiB"),
        ("MILLRACE_LISTEN__BODY_BUDGET", "3145728"),
        ("MILLRACE_LISTEN__HEADER_TIMEOUT", "1s"),
        ("MILLRACE_LISTEN__REQUEST_TIMEOUT", "1500ms"),
        ("MILLRACE_LISTEN__IDLE_TIMEOUT", "1h 5m"),
        ("MILLRACE_LISTEN__CONNECTIONS", "17"),
        ("MILLRACE_LISTEN__HEADER_LIMIT", "16KiB"),
        ("MILLRACE_LISTEN__TRUSTED_PROXIES", "10.1.2.3/8, 192.0.2.7,2001:db8::/32"),
        ("MILLRACE_ADMIN__ADDRESS", "0.0.0.0:9999"),
    ]);
    assert_eq!(
        config.listen,
        Listen {
            address: "[::1]:1234".parse().unwrap(),
            body_limit: MIB,
            body_limit_inflated: 2 * MIB,
            body_budget: 3 * MIB,
            header_timeout: Duration::from_secs(1),
            request_timeout: Duration::from_millis(1500),
            idle_timeout: Duration::from_secs(3900),
            connections: 17,
            header_limit: 16 * 1024,
            trusted_proxies: vec![
                "10.0.0.0/8".parse().unwrap(),
                "192.0.2.7/32".parse().unwrap(),
                "2001:db8::/32".parse().unwrap(),
            ],
            tls: None,
        }
    );
    assert_eq!(config.admin.address.to_string(), "0.0.0.0:9999");
}

#[test]
fn the_spool_is_set_by_the_environment() {
    let config = good(&[
        ("MILLRACE_SPOOL__DIRECTORY", "/data"),
        ("MILLRACE_SPOOL__SIZE_LIMIT", "20GiB"),
        ("MILLRACE_SPOOL__RESERVE", "80MiB"),
        ("MILLRACE_SPOOL__KEEP_DELIVERED__AGE", "7days"),
        ("MILLRACE_SPOOL__KEEP_DELIVERED__SIZE", "0"),
        ("MILLRACE_QUARANTINE__KEEP", "90days"),
        ("MILLRACE_SPOOL__SEGMENT_SIZE", "64KiB"),
    ]);
    assert_eq!(
        config.spool,
        Spool {
            directory: "/data".into(),
            size_limit: 20 * 1024 * MIB,
            reserve: 80 * MIB,
            keep_delivered_age: Duration::from_secs(7 * 86400),
            keep_delivered_size: 0,
            segment_size: 64 * 1024,
            source_limits: vec![None],
            reserve_held: 66 * MIB,
        }
    );
}

#[test]
fn topics_are_set_by_the_environment() {
    let config = good(&[
        ("MILLRACE_TOPICS__NAME", "{source}.{munchkin_id}.{activity_type_id}"),
        ("MILLRACE_TOPICS__MODE", "structured"),
        ("MILLRACE_TOPICS__CREATE", "false"),
        ("MILLRACE_TOPICS__PARTITIONS", "12"),
        ("MILLRACE_TOPICS__REPLICATION_FACTOR", "3"),
        ("MILLRACE_TOPICS__CONFIG__RETENTION_MS", "1000"),
        ("MILLRACE_TOPICS__CONFIG__MIN_INSYNC_REPLICAS", "2"),
        ("MILLRACE_TOPICS__LIMIT", "9"),
        ("MILLRACE_TOPICS__DEAD_LETTER", "dead"),
        ("MILLRACE_TOPICS__DEAD_LETTER_HEADERS", "connect"),
        ("MILLRACE_TOPICS__CHECKPOINTS", "far"),
        ("MILLRACE_TOPICS__LEAD_STATE", "states"),
        ("MILLRACE_TOPICS__IDS", "ids"),
        ("MILLRACE_DEDUPLICATE__WINDOW", "3h"),
    ]);
    let settings = [("retention.ms", "1000"), ("min.insync.replicas", "2")];
    assert_eq!(
        config.topics,
        Topics {
            name: "{source}.{munchkin_id}.{activity_type_id}".into(),
            mode: Mode::Structured,
            choice: Default::default(),
            values: Default::default(),
            create: false,
            partitions: 12,
            replication_factor: 3,
            config: BTreeMap::from(settings.map(|(name, value)| (name.into(), value.into()))),
            limit: 9,
            dead_letter: "dead".into(),
            dead_letter_headers: vec![Convention::Connect],
            checkpoints: "far".into(),
            lead_state: Some("states".into()),
            ids: Some("ids".into()),
            ids_kept: Duration::from_secs(3 * 3600),
        }
    );
}

#[test]
fn kafka_is_set_by_the_environment_with_underscores_for_dots() {
    let config = good(&[
        ("MILLRACE_KAFKA__BOOTSTRAP_SERVERS", "a:9092, b:9093"),
        ("MILLRACE_KAFKA__QUEUE_SIZE", "32MiB"),
        ("MILLRACE_KAFKA__DELIVERY", "exactly-once"),
        ("MILLRACE_KAFKA__COMMIT_INTERVAL", "1s"),
        ("MILLRACE_KAFKA__TRANSACTION_TIMEOUT", "45s"),
        ("MILLRACE_KAFKA__TRANSACTIONAL_ID_PREFIX", "leads."),
        ("MILLRACE_KAFKA__PROPERTIES__SECURITY_PROTOCOL", "SSL"),
        ("MILLRACE_KAFKA__PROPERTIES__SSL__CA__LOCATION", "/ca.pem"),
        ("MILLRACE_KAFKA__PROPERTIES__LOG_LEVEL", "7"),
    ]);
    assert_eq!(config.kafka.bootstrap_servers, "a:9092,b:9093");
    assert_eq!(config.kafka.queue_size, 32 * MIB);
    assert!(config.kafka.delivery.is_exactly_once());
    assert_eq!(config.kafka.delivery.commit_interval, Duration::from_secs(1));
    assert_eq!(config.kafka.delivery.transaction_timeout(&config.forward), Duration::from_secs(45));
    assert_eq!(config.kafka.delivery.transactional_id_prefix, "leads.");
    let properties: Vec<_> =
        config.kafka.properties.iter().map(|(name, value)| (&name[..], value.expose())).collect();
    let expected =
        [("log_level", "7"), ("security.protocol", "SSL"), ("ssl.ca.location", "/ca.pem")];
    assert_eq!(properties, expected);
}

#[test]
fn sources_are_set_by_the_environment_with_underscores_for_hyphens() {
    let config = good(&[
        ("MILLRACE_SOURCES__LEADS__SIZE_LIMIT", "1GiB"),
        ("MILLRACE_SOURCES__USER_AUDIT__KIND", "marketo-lead-activity"),
        ("MILLRACE_SOURCES__USER_AUDIT__AUTH__TOKENS", "old, new"),
        ("MILLRACE_SOURCES__USER_AUDIT__AUTH__HEADER_SCHEME", "BASIC"),
        ("MILLRACE_SOURCES__USER_AUDIT__AUTH__QUERY_PARAMETER", "api_key"),
    ]);
    let [leads, audit] = &config.sources[..] else { panic!("{:?}", config.sources) };
    assert_eq!(leads.size_limit, Some(1024 * MIB));
    assert_eq!(audit.name.as_str(), "user-audit");
    let tokens: Vec<_> = tokens_of(audit).tokens.iter().map(|token| token.expose()).collect();
    assert_eq!(tokens, ["old", "new"]);
    assert_eq!(tokens_of(audit).header_scheme, HeaderScheme::Basic);
    assert_eq!(tokens_of(audit).query_parameter.as_deref(), Some("api_key"));
}

#[test]
fn the_other_sections_are_set_by_the_environment() {
    let config = good(&[
        ("MILLRACE_FORWARD__HOLD_AFTER", "1m"),
        ("MILLRACE_FORWARD__HELD_TOPICS", "3"),
        ("MILLRACE_SHUTDOWN__DELAY", "0s"),
        ("MILLRACE_SHUTDOWN__FLUSH", "250ms"),
        ("MILLRACE_LOG__FORMAT", "json"),
        ("MILLRACE_LOG__FILTER", "warn,millrace::spool=trace"),
        ("MILLRACE_LOG__OUTAGE_INTERVAL", "90s"),
        ("MILLRACE_CATALOG__ACTIVITY_TYPES__13", "Change Data Value"),
        ("MILLRACE_CATALOG__ACTIVITY_TYPES__1300", "Visited the Booth"),
        ("MILLRACE_CATALOG__ALIASES__13", "Datenwert ändern,Modifier la valeur"),
    ]);
    let hold_after = Duration::from_secs(60);
    assert_eq!(config.forward, Forward { hold_after, held_topics: 3, ..Forward::default() });
    let flush = Duration::from_millis(250);
    assert_eq!(config.shutdown, Shutdown { delay: Duration::ZERO, flush });
    let filter = "warn,millrace::spool=trace".parse().unwrap();
    let outage_interval = Duration::from_secs(90);
    assert_eq!(config.log, Log { format: LogFormat::Json, filter, outage_interval });
    let named = |name: &str, aliases: &[&str]| Override {
        name: Some(name.into()),
        aliases: aliases.iter().map(ToString::to_string).collect(),
    };
    let types = [
        (13, named("Change Data Value", &["Datenwert ändern", "Modifier la valeur"])),
        (1300, named("Visited the Booth", &[])),
    ];
    assert_eq!(config.sources[0].activity_types, BTreeMap::from(types));
}

#[test]
fn a_token_that_looks_like_something_else_is_a_token() {
    for token in ["00123", "123", "true", "1e5", "[x", "x]", "{}", "null", "\"x", "a=b", "é"] {
        let config = good(&[("MILLRACE_SOURCES__LEADS__AUTH__TOKENS", token)]);
        let tokens: Vec<_> =
            tokens_of(&config.sources[0]).tokens.iter().map(|t| t.expose()).collect();
        assert_eq!(tokens, [token]);
    }
}

#[test]
fn a_list_is_written_with_commas_or_as_json() {
    for (text, expected) in [
        ("a,b", vec!["a", "b"]),
        ("a , b", vec!["a", "b"]),
        ("00123,true,[x", vec!["00123", "true", "[x"]),
        (r#"["a","b,c"]"#, vec!["a", "b,c"]),
        (r#" ["[x"] "#, vec!["[x"]),
    ] {
        let config = good(&[("MILLRACE_SOURCES__LEADS__AUTH__TOKENS", text)]);
        let tokens: Vec<_> =
            tokens_of(&config.sources[0]).tokens.iter().map(|t| t.expose()).collect();
        assert_eq!(tokens, expected, "{text}");
    }
}

#[test]
fn what_kubernetes_injects_beside_a_service_of_our_name_is_no_mistake() {
    let injected = [
        ("MILLRACE_SERVICE_HOST", "10.0.0.7"),
        ("MILLRACE_SERVICE_PORT", "8080"),
        ("MILLRACE_SERVICE_PORT_HTTP", "8080"),
        ("MILLRACE_PORT", "tcp://10.0.0.7:8080"),
        ("MILLRACE_PORT_8080_TCP", "tcp://10.0.0.7:8080"),
        ("MILLRACE_PORT_8080_TCP_PROTO", "tcp"),
        ("MILLRACE_PORT_8080_TCP_PORT", "8080"),
        ("MILLRACE_PORT_8080_TCP_ADDR", "10.0.0.7"),
        ("MILLRACE_HEADLESS_SERVICE_HOST", "10.0.0.8"),
        ("MILLRACE_ADMIN_SERVICE_PORT_METRICS", "9090"),
        ("MILLRACE_ADMIN_PORT", "tcp://10.0.0.9:9090"),
        ("MILLRACE_ADMIN_PORT_9090_TCP_PORT", "9090"),
    ];
    assert_eq!(good(&injected), good(&[]));
}

#[test]
fn a_port_that_somebody_wrote_is_a_mistake() {
    let text = mistake(&[("MILLRACE_PORT", "8080")]);
    assert!(text.starts_with("port (MILLRACE_PORT) is no key"), "{text}");
}

#[test]
fn variables_of_other_programs_do_not_matter() {
    assert_eq!(good(&[("PATH", "/bin"), ("MILL_RACE", "x"), ("XMILLRACE_LISTEN", "x")]), good(&[]));
}

#[test]
fn a_value_that_is_not_utf_8_is_a_mistake_and_no_other_programs_value_is() {
    let wild = || OsString::from_vec(vec![0xff, 0xfe]);
    let mut variables = environment(&[]);
    variables.push(("LESS".into(), wild()));
    variables.push((wild(), wild()));
    assert!(config::load(None, variables.clone()).is_ok());
    variables.push(("MILLRACE_SOURCES__LEADS__AUTH__QUERY_PARAMETER".into(), wild()));
    let text = config::load(None, variables).unwrap_err().to_string();
    assert!(text.contains("MILLRACE_SOURCES__LEADS__AUTH__QUERY_PARAMETER is not UTF-8"), "{text}");
}

#[test]
fn one_property_in_two_spellings_is_a_mistake() {
    let text = mistake(&[
        ("MILLRACE_KAFKA__PROPERTIES__LINGER_MS", "5"),
        ("MILLRACE_KAFKA__PROPERTIES__LINGER__MS", "6"),
    ]);
    assert!(text.contains("kafka.properties.linger.ms"), "{text}");
    assert!(text.contains("is given twice, in two spellings"), "{text}");
}

#[test]
fn a_section_and_a_value_of_the_same_name_are_a_mistake() {
    let order = [("MILLRACE_LISTEN", "x"), ("MILLRACE_LISTEN__ADDRESS", "0.0.0.0:1")];
    for variables in [order, [order[1], order[0]]] {
        let text = bad(&variables);
        assert!(text.contains("MILLRACE_LISTEN"), "{text}");
    }
    let text = mistake(&[("MILLRACE_SPOOL", "/data")]);
    assert!(
        text.starts_with("spool (MILLRACE_SPOOL) is a value, where a section was due"),
        "{text}"
    );
}

#[test]
fn empty_values_are_mistakes_where_a_value_is_due() {
    for name in [
        "MILLRACE_LISTEN__ADDRESS",
        "MILLRACE_SPOOL__DIRECTORY",
        "MILLRACE_SPOOL__SIZE_LIMIT",
        "MILLRACE_KAFKA__BOOTSTRAP_SERVERS",
        "MILLRACE_KAFKA__PROPERTIES__SSL_CA_LOCATION",
        "MILLRACE_TOPICS__NAME",
        "MILLRACE_TOPICS__DEAD_LETTER",
        "MILLRACE_SOURCES__LEADS__KIND",
        "MILLRACE_SOURCES__LEADS__AUTH__TOKENS",
        "MILLRACE_SOURCES__LEADS__AUTH__QUERY_PARAMETER",
        "MILLRACE_SHUTDOWN__DELAY",
        "MILLRACE_LOG__FILTER",
    ] {
        let mistakes = load(&[(name, "")]).expect_err(name);
        assert_eq!(mistakes.len(), 1, "{mistakes}");
        assert!(mistakes.to_string().contains(name), "{mistakes}");
    }
}

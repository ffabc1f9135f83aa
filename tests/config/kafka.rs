//! Which properties may be set, and what the client library is asked.

use std::cell::RefCell;

use millrace::config::{self, Kafka, Questions};

use crate::given::{bad, environment, good, load, mistake};

fn variable(property: &str) -> String {
    format!("MILLRACE_KAFKA__PROPERTIES__{}", property.to_uppercase().replace('.', "_"))
}

#[test]
fn properties_that_would_break_a_promise_are_refused_by_name_and_with_a_reason() {
    for (property, reason) in [
        ("acks", "all in-sync replicas"),
        ("request.required.acks", "all in-sync replicas"),
        ("enable.idempotence", "idempotent"),
        ("enable.gapless.guarantee", "idempotent"),
        ("message.timeout.ms", "drop"),
        ("delivery.timeout.ms", "drop"),
        ("retries", "drop"),
        ("message.send.max.retries", "drop"),
        ("max.in.flight", "order"),
        ("max.in.flight.requests.per.connection", "order"),
        ("queuing.strategy", "order"),
        ("allow.auto.create.topics", "topics.create"),
        ("transactional.id", "identity"),
        ("queue.buffering.max.kbytes", "kafka.queue_size"),
        ("queue.buffering.max.messages", "kafka.queue_size"),
        ("queue.buffering.max.ms", "linger.ms"),
        ("partitioner", "murmur2_random"),
        ("delivery.report.only.error", "success"),
        ("bootstrap.servers", "kafka.bootstrap_servers"),
        ("metadata.broker.list", "kafka.bootstrap_servers"),
        ("plugin.library.paths", "foreign code"),
        ("dr_cb", "callbacks"),
        ("dr_msg_cb", "callbacks"),
        ("background_event_cb", "callbacks"),
        ("partitioner_cb", "callbacks"),
        ("opaque", "belongs to the program"),
        ("enabled_events", "belongs to the program"),
        ("test.mock.num.brokers", "memory"),
        ("group.id", "consumer"),
        ("auto.offset.reset", "consumer"),
        ("isolation.level", "consumer"),
    ] {
        let text = mistake(&[(&variable(property), "value-of-it")]);
        assert!(text.contains(&variable(property)), "{text}");
        assert!(text.contains("is refused") && text.contains(reason), "{property}: {text}");
        assert!(!text.contains("value-of-it"), "{text}");
    }
}

#[cfg(not(feature = "gssapi"))]
#[test]
fn mechanisms_that_this_build_lacks_are_refused_by_name() {
    let protocol = ("MILLRACE_KAFKA__PROPERTIES__SECURITY_PROTOCOL", "sasl_ssl");
    let mechanism = "MILLRACE_KAFKA__PROPERTIES__SASL_MECHANISM";
    let mechanisms = "MILLRACE_KAFKA__PROPERTIES__SASL_MECHANISMS";

    let text = mistake(&[protocol]);
    assert!(text.contains("sasl.mechanism") && text.contains("GSSAPI (Kerberos)"), "{text}");
    for name in [mechanism, mechanisms] {
        let text = mistake(&[protocol, (name, "gssapi")]);
        assert!(text.contains(name) && text.contains("no Kerberos"), "{text}");
        for unknown in ["DIGEST-MD5", "scram-sha-256"] {
            let text = mistake(&[protocol, (name, unknown)]);
            assert!(text.contains(name) && text.contains("is no mechanism"), "{text}");
        }
    }
    let text = mistake(&[("MILLRACE_KAFKA__PROPERTIES__SASL_KERBEROS_KEYTAB", "/x")]);
    assert!(text.contains("no Kerberos") && text.contains("--features gssapi"), "{text}");
}

#[test]
fn a_module_of_openssl_that_this_build_can_not_load_is_refused_with_what_can_be_had() {
    let text = mistake(&[
        ("MILLRACE_KAFKA__PROPERTIES__SECURITY_PROTOCOL", "SSL"),
        ("MILLRACE_KAFKA__PROPERTIES__SSL_PROVIDERS", "base,fips"),
    ]);
    assert!(text.contains("SSL_PROVIDERS") && text.contains("--no-default-features"), "{text}");
}

#[test]
fn passwords_and_certificates_are_taken() {
    for mechanism in ["PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-512"] {
        let config = good(&[
            ("MILLRACE_KAFKA__PROPERTIES__SECURITY_PROTOCOL", "SASL_SSL"),
            ("MILLRACE_KAFKA__PROPERTIES__SASL_MECHANISM", mechanism),
            ("MILLRACE_KAFKA__PROPERTIES__SASL_USERNAME", "me"),
            ("MILLRACE_KAFKA__PROPERTIES__SASL_PASSWORD", "00123"),
        ]);
        assert_eq!(config.kafka.properties["sasl.password"].expose(), "00123");
    }
    good(&[
        ("MILLRACE_KAFKA__PROPERTIES__SECURITY_PROTOCOL", "SSL"),
        ("MILLRACE_KAFKA__PROPERTIES__SSL_KEY_LOCATION", "/key.pem"),
    ]);
}

#[test]
fn a_mechanism_with_passwords_needs_both_name_and_password() {
    let text = bad(&[
        ("MILLRACE_KAFKA__PROPERTIES__SECURITY_PROTOCOL", "SASL_PLAINTEXT"),
        ("MILLRACE_KAFKA__PROPERTIES__SASL_MECHANISM", "PLAIN"),
    ]);
    assert!(text.contains("sasl.username") && text.contains("sasl.password"), "{text}");
    let text = bad(&[
        ("MILLRACE_KAFKA__PROPERTIES__SASL_MECHANISM", "PLAIN"),
        ("MILLRACE_KAFKA__PROPERTIES__SASL_MECHANISMS", "PLAIN"),
    ]);
    assert!(text.contains("is given twice"), "{text}");
}

/// Stands in for the client library: knows two names, and stops at the first that it does not know.
fn library(kafka: &Kafka) -> Result<(), String> {
    for (name, value) in &kafka.properties {
        if name == "ssl.key.password" && value.expose() == "hunter3" {
            return Err(format!("Invalid value \"{}\" for \"{name}\"", value.expose()));
        }
        if !["linger.ms", "client.id", "ssl.key.password"].contains(&&name[..]) {
            return Err(format!("No such configuration property: \"{name}\""));
        }
    }
    match kafka.properties.get("client.id") {
        Some(id) if id.expose() == "lonely" && kafka.properties.len() == 1 => {
            Err("a client is never alone".into())
        }
        _ => Ok(()),
    }
}

fn ask(more: &[(&str, &str)]) -> Result<config::Loaded, config::Mistakes> {
    let questions = Questions { kafka: &library, volume: None };
    config::load_with(None, environment(more), &questions)
}

#[test]
fn every_name_that_the_client_library_does_not_know_is_a_mistake_of_its_own() {
    assert!(ask(&[("MILLRACE_KAFKA__PROPERTIES__LINGER_MS", "5")]).is_ok());
    let mistakes = ask(&[
        ("MILLRACE_KAFKA__PROPERTIES__LINGER_MS", "5"),
        ("MILLRACE_KAFKA__PROPERTIES__LINGRE_MS", "5"),
        ("MILLRACE_KAFKA__PROPERTIES__COLOUR", "red"),
        ("MILLRACE_KAFKA__PROPERTIES__SSL_KEY_PASSWORD", "hunter3"),
        ("MILLRACE_KAFKA__PROPERTIES__ACKS", "1"),
        ("MILLRACE_KAFKA__BOOTSTRAP_SERVERS", ""),
    ])
    .unwrap_err();
    assert_eq!(mistakes.len(), 5, "{mistakes}");
    let text = mistakes.to_string();
    for name in ["lingre.ms", "colour", "ssl.key.password", "acks"] {
        assert!(text.contains(&format!("kafka.properties.{name} (")), "{text}");
    }
    assert!(!text.contains("hunter3") && text.contains("\"***\""), "{text}");
}

#[test]
fn what_the_client_library_says_of_the_whole_is_a_mistake_too() {
    let mistakes = ask(&[("MILLRACE_KAFKA__PROPERTIES__CLIENT_ID", "lonely")]).unwrap_err();
    assert_eq!(mistakes.len(), 1, "{mistakes}");
    let text = mistakes.to_string();
    assert!(text.contains("kafka.properties (MILLRACE_KAFKA__PROPERTIES)"), "{text}");
    assert!(text.contains("a client is never alone"), "{text}");

    let failing = |kafka: &Kafka| match kafka.properties.len() {
        2 => Err("ssl.ca.location failed: no such file".into()),
        _ => Ok(()),
    };
    let more = [
        ("MILLRACE_KAFKA__PROPERTIES__SECURITY_PROTOCOL", "SSL"),
        ("MILLRACE_KAFKA__PROPERTIES__SSL_CA_LOCATION", "/nowhere"),
    ];
    let questions = Questions { kafka: &failing, volume: None };
    let mistakes = config::load_with(None, environment(&more), &questions).unwrap_err();
    let text = mistakes.to_string();
    assert!(
        text.contains("(MILLRACE_KAFKA__PROPERTIES__SSL_CA_LOCATION) names `/nowhere`"),
        "{text}"
    );
    assert!(text.contains("No such file or directory"), "{text}");
}

#[test]
fn the_client_library_is_asked_about_nothing_that_was_refused() {
    let asked = RefCell::new(Vec::new());
    let note = |kafka: &Kafka| {
        asked.borrow_mut().extend(kafka.properties.keys().cloned());
        Ok(())
    };
    let questions = Questions { kafka: &note, volume: None };
    let more =
        [("MILLRACE_KAFKA__PROPERTIES__ACKS", "1"), ("MILLRACE_KAFKA__PROPERTIES__LINGER_MS", "5")];
    assert!(config::load_with(None, environment(&more), &questions).is_err());
    assert_eq!(*asked.borrow(), ["linger.ms"]);
}

#[test]
fn every_file_that_kafka_needs_and_that_is_not_there_is_named() {
    let refusing = |kafka: &Kafka| match kafka.properties.len() {
        1 => Ok(()),
        _ => Err("error:80000002:system library::No such file or directory".into()),
    };
    let questions = Questions { kafka: &refusing, volume: None };
    let more = [
        ("MILLRACE_KAFKA__PROPERTIES__SECURITY_PROTOCOL", "SSL"),
        ("MILLRACE_KAFKA__PROPERTIES__SSL_CA_LOCATION", "/nowhere/ca.pem"),
        ("MILLRACE_KAFKA__PROPERTIES__SSL_CERTIFICATE_LOCATION", "/nowhere/tls.crt"),
    ];
    let mistakes = config::load_with(None, environment(&more), &questions).unwrap_err();
    assert_eq!(mistakes.len(), 2, "{mistakes}");
    let text = mistakes.to_string();
    assert!(text.contains("names `/nowhere/ca.pem`, which cannot be read: No such file"), "{text}");
    assert!(
        text.contains("names `/nowhere/tls.crt`, which cannot be read: No such file"),
        "{text}"
    );
    assert!(!text.contains("error:8000"), "{text}");
}

#[test]
fn credentials_that_the_protocol_makes_no_use_of_are_a_mistake() {
    let credentials = [
        ("MILLRACE_KAFKA__PROPERTIES__SASL_MECHANISM", "PLAIN"),
        ("MILLRACE_KAFKA__PROPERTIES__SASL_USERNAME", "me"),
        ("MILLRACE_KAFKA__PROPERTIES__SASL_PASSWORD", "hunter2"),
    ];
    let protocol = "MILLRACE_KAFKA__PROPERTIES__SECURITY_PROTOCOL";
    let ca = [("MILLRACE_KAFKA__PROPERTIES__SSL_CA_LOCATION", "/ca.pem")];
    for (more, said) in [
        (&credentials[..], "security.protocol is not set (so it is PLAINTEXT)"),
        (
            &[&credentials[..], &[(protocol, "plaintext")]].concat(),
            "security.protocol is PLAINTEXT",
        ),
        (&[&credentials[..], &[(protocol, "SSL")]].concat(), "security.protocol is SSL"),
        (&[&ca[..], &[(protocol, "SASL_PLAINTEXT")], &credentials].concat(), "is SASL_PLAINTEXT"),
        (&ca[..], "the connection is not encrypted"),
        // One of them alone: the others are missing, and so is the protocol.
        (
            &credentials[..1],
            "sasl.mechanism (MILLRACE_KAFKA__PROPERTIES__SASL_MECHANISM) is set, but",
        ),
        (&credentials[1..2], "sasl.username"),
        (
            &credentials[2..],
            "sasl.password (MILLRACE_KAFKA__PROPERTIES__SASL_PASSWORD) is set, but",
        ),
    ] {
        let text = mistake(more);
        assert!(text.contains(said), "{text}");
    }
    good(&[&credentials[..], &ca, &[(protocol, "sasl_ssl")]].concat());
}

#[test]
fn what_this_build_lacks_is_said_once_however_many_properties_are_about_it() {
    let protocol = ("MILLRACE_KAFKA__PROPERTIES__SECURITY_PROTOCOL", "SASL_SSL");
    let text = mistake(&[
        protocol,
        ("MILLRACE_KAFKA__PROPERTIES__SASL_MECHANISM", "GSSAPI"),
        ("MILLRACE_KAFKA__PROPERTIES__SASL_KERBEROS_KEYTAB", "/x"),
        ("MILLRACE_KAFKA__PROPERTIES__SASL_KERBEROS_PRINCIPAL", "x"),
    ]);
    assert!(text.contains("no Kerberos"), "{text}");
}

#[test]
fn a_wrong_choice_is_shown_since_it_is_no_secret() {
    let validate = |kafka: &Kafka| millrace::kafka::validate_properties(&kafka.properties);
    let questions = Questions { kafka: &validate, volume: None };
    let more = [("MILLRACE_KAFKA__PROPERTIES__SECURITY_PROTOCOL", "TLS")];
    let text = config::load_with(None, environment(&more), &questions).unwrap_err().to_string();
    assert!(text.contains("Invalid value \"TLS\""), "{text}");
}

#[test]
fn an_empty_property_is_a_mistake() {
    assert!(load(&[("MILLRACE_KAFKA__PROPERTIES__", "x")]).is_err());
    let text = mistake(&[("MILLRACE_KAFKA__PROPERTIES__CLIENT_ID", "")]);
    assert!(text.contains("is empty"), "{text}");
}

//! The rendered variables, put to the program itself.

use std::{fs, path::Path};

use serde_json::Value;

use crate::{
    program::check,
    render::{INSTALLATIONS, manifests, template},
};

/// The environment of the service's container. What would be mounted is in `folder` instead.
pub fn environment(files: &[&str], folder: &Path) -> Vec<(String, String)> {
    let manifests = manifests(files, &[]);
    let pod = manifests.pods()[0];
    let mounted = pod["volumes"].as_array().into_iter().flatten();
    let mounted = mounted.filter(|volume| volume["name"] == "files");
    for source in mounted.flat_map(|volume| volume["projected"]["sources"].as_array()).flatten() {
        let items = source.as_object().expect("a map").values().next().expect("of one thing");
        for item in items["items"].as_array().expect("a list") {
            let path = folder.join(item["path"].as_str().expect("it is text"));
            fs::write(path, stub(item)).expect("it can be written");
        }
    }
    let variables = pod["containers"][0]["env"].as_array().expect("a list").iter();
    let text = |value: &Value| value.as_str().expect("it is text").to_owned();
    let here = format!("{}/", folder.display());
    let as_kubernetes_does = |value: &Value| text(value).replace("$$(", "$(");
    variables
        .map(|variable| {
            let value = as_kubernetes_does(&variable["value"]);
            (text(&variable["name"]), value.replace("/etc/millrace/", &here))
        })
        .collect()
}

/// Something of the kind that the item is for.
fn stub(item: &Value) -> String {
    match item["key"].as_str() {
        Some("ca.crt") => {
            let names = vec!["kafka".to_owned()];
            rcgen::generate_simple_self_signed(names).expect("it is a plain name").cert.pem()
        }
        _ => "a-secret\n".into(),
    }
}

#[test]
fn the_program_takes_every_variable_that_the_chart_renders() {
    for files in INSTALLATIONS {
        let folder = tempfile::tempdir().expect("a temporary folder can be made");
        let environment = environment(files, folder.path());
        check(&environment).expect_fine(&format!("{files:?}"));
    }
}

#[test]
fn a_value_means_to_the_program_what_it_was_in_the_values() {
    let folder = tempfile::tempdir().expect("a temporary folder can be made");
    let environment = environment(INSTALLATIONS[2], folder.path());
    let shown = check(&environment).expect_fine("everything.yaml");
    let lines: Vec<&str> =
        shown.lines().filter_map(|line| Some(line.split_once(" # ")?.0.trim())).collect();
    for line in [
        r#"address = "[::]:8443""#,
        r#"address = "[::]:9191""#,
        "connections = 500",
        r#"request_timeout = "7500ms""#,
        r#"directory = "/spool""#,
        r#"bootstrap_servers = "kafka-0.kafka:9093,kafka-1.kafka:9093""#,
        r#""security.protocol" = "SASL_SSL""#,
        r#""linger.ms" = "20""#,
        r#""socket.keepalive.enable" = "true""#,
        r#""client.id" = "mill$(RACE)""#,
        r#"name = "marketo.{stream}""#,
        "partitions = 12",
        r#""retention.ms" = "604800000""#,
        r#""cleanup.policy" = "delete""#,
        r#"size_limit = "9GiB""#,
        r#"size_limit = "5GiB""#,
        r#"header_scheme = "bare""#,
        r#"13 = ["Datenwert, geändert", "Anders"]"#,
        r#"filter = "info,millrace::spool=debug""#,
    ] {
        assert!(lines.contains(&line), "{line} in\n{shown}");
    }
    let password = lines.iter().find(|line| line.starts_with("sasl_password_file = "));
    assert!(
        password.is_some_and(|line| line.ends_with("kafka.properties.sasl.password\"")),
        "{shown}"
    );
    for section in ["[sources.leads.auth]", "[sources.other-leads.auth]"] {
        assert!(shown.contains(section), "{section} in\n{shown}");
    }
}

#[test]
fn a_key_that_the_chart_does_not_know_is_rendered_and_its_file_is_mounted() {
    let change = r#"config.listen.tls={"certificate_file":{"secret":"tls","key":"tls.crt"},"new":{"deep":[1,"b"]}}"#;
    let text = template(INSTALLATIONS[0], &[change]).expect_fine(change);
    for line in [
        "- name: MILLRACE_LISTEN__TLS__CERTIFICATE_FILE",
        "value: /etc/millrace/listen.tls.certificate",
        r#"path: "listen.tls.certificate""#,
        "- name: MILLRACE_LISTEN__TLS__NEW__DEEP",
        r#"value: "[1,\"b\"]""#,
        // The program ends TLS itself then.
        "appProtocol: https",
    ] {
        assert!(text.lines().any(|l| l.trim() == line), "{line} in\n{text}");
    }
}

#[test]
fn a_mistake_in_the_values_is_the_programs_to_tell() {
    let mut environment = vec![("MILLRACE_TOPICS__NAM".to_owned(), "x".to_owned())];
    let folder = tempfile::tempdir().expect("a temporary folder can be made");
    environment.extend(self::environment(INSTALLATIONS[0], folder.path()));
    let checked = check(&environment);
    assert!(!checked.fine && checked.errors.contains("MILLRACE_TOPICS__NAM"), "{checked:?}");
}

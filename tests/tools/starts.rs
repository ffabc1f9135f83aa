//! How a start that fails ends: with an exit code, and with lines in the log's own format, since what collects logs
//! reads JSON or shows nothing.

use std::{fs, net::TcpListener, path::Path, process::Command};

use serde_json::Value;
use tempfile::TempDir;

use crate::support::bridge::{Bridge, Settings};

/// Runs `millrace serve` until it ends by itself: its exit code and the lines that it wrote to standard error.
fn serve(spool: &Path, environment: &[(&str, &str)]) -> (i32, Vec<String>) {
    let least = [
        ("KAFKA__BOOTSTRAP_SERVERS", "127.0.0.1:1"),
        ("LISTEN__ADDRESS", "127.0.0.1:0"),
        ("ADMIN__ADDRESS", "127.0.0.1:0"),
        ("SPOOL__SIZE_LIMIT", "1GiB"),
        ("SPOOL__RESERVE", "66MiB"),
        ("SOURCES__LEADS__KIND", "marketo-lead-activity"),
        ("SOURCES__LEADS__AUTH__TOKENS", "hunter2"),
    ];
    let named = |(key, value): &(&str, &str)| (format!("MILLRACE_{key}"), (*value).to_owned());
    let output = Command::new(env!("CARGO_BIN_EXE_millrace"))
        .arg("serve")
        .env_clear()
        .env("MILLRACE_SPOOL__DIRECTORY", spool)
        .envs(least.iter().chain(environment).map(named))
        .output()
        .expect("the program starts");
    assert!(output.stdout.is_empty(), "the log is standard error alone");
    let text = String::from_utf8(output.stderr).expect("a log is text");
    assert!(!text.contains("hunter2"), "{text}");
    let code = output.status.code().expect("it ends by itself");
    (code, text.lines().map(str::to_owned).collect())
}

/// The same, of a log in which every line is JSON.
#[track_caller]
fn json(spool: &Path, environment: &[(&str, &str)]) -> (i32, Vec<Value>) {
    let (code, lines) = serve(spool, environment);
    let parsed = lines.iter().map(|line| {
        serde_json::from_str(line).unwrap_or_else(|_| panic!("no JSON: {line}\nin {lines:#?}"))
    });
    (code, parsed.collect())
}

fn errors(lines: &[Value]) -> Vec<&Value> {
    lines.iter().filter(|line| line["level"] == "ERROR").collect()
}

fn said(line: &Value) -> &str {
    line["message"].as_str().unwrap_or_default()
}

const MISTAKES: [(&str, &str); 2] = [("TOPICS__LIMIT", "many"), ("LOG__FILTER", "loud")];

#[test]
fn each_mistake_in_the_configuration_is_a_line_of_a_log_in_json() {
    let spool = TempDir::new().unwrap();
    let (code, lines) = json(spool.path(), &[&MISTAKES[..], &[("LOG__FORMAT", "json")]].concat());
    assert_eq!((code, lines.len()), (2, 2), "{lines:#?}");
    let of = |key: &str| {
        let found = errors(&lines).into_iter().find(|line| line["key"] == key);
        found.unwrap_or_else(|| panic!("{key} in {lines:#?}"))
    };
    let limit = of("topics.limit");
    assert!(said(limit).starts_with("topics.limit (MILLRACE_TOPICS__LIMIT) is `many`"), "{limit}");
    assert!(limit["remedy"].as_str().is_some_and(|it| it.starts_with("Write ")), "{limit}");
    assert!(limit["timestamp"].is_string() && limit["target"].is_string(), "{limit}");
    of("log.filter");
}

#[test]
fn the_format_of_mistakes_is_that_of_the_log_as_far_as_it_can_be_known() {
    let folder = TempDir::new().unwrap();
    let file = folder.path().join("millrace.toml");
    let path = file.to_str().unwrap();
    // Of the file; and by default, where standard error is no terminal.
    for text in ["[log]\nformat = \"json\"\n", ""] {
        fs::write(&file, text).unwrap();
        let (code, lines) = json(folder.path(), &[&MISTAKES[..], &[("CONFIG", path)]].concat());
        assert_eq!((code, errors(&lines).len()), (2, 2), "{lines:#?}");
    }
    for text in ["[log]\nformat = \"text\"\n", "[log]\nformat = \"text\"\nfilter = \"loud\"\n"] {
        fs::write(&file, text).unwrap();
        let (code, lines) = serve(folder.path(), &[("TOPICS__LIMIT", "many"), ("CONFIG", path)]);
        assert_eq!(code, 2);
        assert!(lines[0].ends_with("in the configuration:"), "{lines:#?}");
    }
}

#[test]
fn a_file_that_is_missing_or_no_toml_is_told_of_in_the_format_of_the_environment() {
    let folder = TempDir::new().unwrap();
    let file = folder.path().join("millrace.toml");
    for (text, problem) in [(None, "cannot be read"), (Some("[log"), "is not TOML")] {
        if let Some(text) = text {
            fs::write(&file, text).unwrap();
        }
        let environment = [("CONFIG", file.to_str().unwrap()), ("LOG__FORMAT", "json")];
        let (code, lines) = json(folder.path(), &environment);
        let [line] = &errors(&lines)[..] else { panic!("{lines:#?}") };
        assert!(code == 2 && said(line).contains(problem), "{line}");
    }
    let (crt, key) = ("/nowhere/tls.crt", "/nowhere/tls.key");
    let files = [("LISTEN__TLS__CERTIFICATE_FILE", crt), ("LISTEN__TLS__KEY_FILE", key)];
    let (code, lines) = json(folder.path(), &[&files[..], &[("LOG__FORMAT", "json")]].concat());
    let [line] = &errors(&lines)[..] else { panic!("{lines:#?}") };
    assert!(code == 1 && said(line).contains(crt), "{line}");
}

#[test]
fn a_port_in_use_and_a_folder_in_use_end_the_start_with_a_line_of_the_log() {
    let folder = TempDir::new().unwrap();
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap().to_string();
    for key in ["LISTEN__ADDRESS", "ADMIN__ADDRESS"] {
        let (code, lines) = json(folder.path(), &[(key, &address), ("LOG__FORMAT", "json")]);
        let name = key.replace("__", ".").to_lowercase();
        let [line] = &errors(&lines)[..] else { panic!("{lines:#?}") };
        assert!(code == 1 && said(line).contains(&format!("{name} = {address}")), "{line}");
    }

    let running = Bridge::start(Settings::new("127.0.0.1:1", "unused"));
    let (code, lines) = json(running.spool(), &[("LOG__FORMAT", "json")]);
    let [line] = &errors(&lines)[..] else { panic!("{lines:#?}") };
    assert!(code == 1 && said(line).contains("another process"), "{line}");
}

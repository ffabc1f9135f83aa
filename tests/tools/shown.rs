//! What the program looks like: colours, help, the version, and what a start says of its sources.

use std::{process::Command, time::Duration};

use crate::support::{
    bridge::{Bridge, Settings},
    terminal::Terminal,
    wait,
};

fn written(arguments: &[&str], environment: &[(&str, &str)], columns: u16) -> (bool, String) {
    let mut terminal = Terminal::start(arguments, environment, columns, 60);
    let status = terminal.end();
    // The last piece may still be on its way to the other side.
    wait::until("something is written", Duration::from_secs(30), || !terminal.written().is_empty());
    (status.success(), terminal.written())
}

#[test]
fn help_is_coloured_on_a_terminal_that_wants_it_and_as_wide_as_that() {
    let (_, help) = written(&["simulate", "--help"], &[], 80);
    assert!(help.contains("\u{1b}[1m\u{1b}[92mUsage:"), "{help:?}");
    for (name, value) in [("NO_COLOR", "1"), ("CLICOLOR", "0"), ("TERM", "dumb")] {
        for columns in [80, 60] {
            let (_, help) = written(&["simulate", "--help"], &[(name, value)], columns);
            assert!(!help.contains('\u{1b}'), "{name}: {help:?}");
            let widest = help.lines().map(|line| line.trim_end().chars().count()).max();
            assert!(widest <= Some(usize::from(columns)), "{widest:?} of {columns}: {help}");
        }
    }
}

#[test]
fn a_log_on_a_terminal_has_colours_where_they_are_wanted() {
    let serve = |environment: &[(&str, &str)]| {
        let least = [
            ("MILLRACE_KAFKA__BOOTSTRAP_SERVERS", "127.0.0.1:1"),
            ("MILLRACE_SOURCES__LEADS__KIND", "marketo-lead-activity"),
            ("MILLRACE_SOURCES__LEADS__AUTH__TOKENS", "a-token"),
            ("MILLRACE_SPOOL__DIRECTORY", "/proc/none"),
        ];
        written(&["serve"], &[&least[..], environment].concat(), 200).1
    };
    let log = serve(&[]);
    assert!(log.contains('\u{1b}') && log.contains("starting"), "{log:?}");
    for variable in [("NO_COLOR", "1"), ("CLICOLOR", "0"), ("TERM", "dumb")] {
        let log = serve(&[variable]);
        assert!(!log.contains('\u{1b}') && log.contains("starting"), "{variable:?}: {log:?}");
    }
}

#[test]
fn the_verbose_version_names_what_the_program_is_built_of() {
    let version = |arguments: &[&str]| {
        let output = Command::new(env!("CARGO_BIN_EXE_millrace")).args(arguments).output().unwrap();
        assert!(output.status.success(), "{output:?}");
        String::from_utf8(output.stdout).unwrap()
    };
    let short = version(&["--version"]);
    assert_eq!(short.lines().count(), 1, "{short}");
    for arguments in [&["--version", "--verbose"][..], &["--verbose", "--version"], &["-vV"]] {
        let text = version(arguments);
        assert!(text.starts_with(&short), "{text}");
        for part in ["commit: ", "librdkafka: 2.", "OpenSSL: 3.", "features: openssl-vendored"] {
            assert!(text.contains(part), "{part}: {text}");
        }
    }
}

#[test]
fn a_start_says_where_deliveries_go_and_how_senders_prove_themselves() {
    let bridge = Bridge::start(Settings::new("127.0.0.1:1", "prefix"));
    let log = bridge.log();
    let line =
        log.iter().find(|line| line.contains("deliveries of this source are taken")).unwrap();
    assert!(line.contains("/v1/leads") && line.contains("prefix.{stream}.{type}"), "{line}");
    assert!(line.contains("`Authorization: Bearer <token>` with the token"), "{line}");
    wait::until("readiness is told", Duration::from_secs(60), || {
        bridge.log().iter().any(|line| line.contains("\"message\":\"ready\""))
    });
}

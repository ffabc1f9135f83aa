//! The command line: what `check` and `serve` print, and how they end.

use std::{cell::RefCell, ffi::OsString};

use millrace::{
    cli::{self, Program},
    config,
};

use crate::given::{Folder, environment};

struct Ended {
    code: u8,
    out: String,
    errors: String,
}

const PLAIN: Program<'static> = Program {
    validate: &|_| Ok(()),
    probe: &|_| panic!("nobody asked to connect"),
    serve: &|_| panic!("nobody asked to serve"),
    drain: &|_, _, _| panic!("nobody asked to drain"),
};

fn run(arguments: &[&str], more: &[(&str, &str)], program: &Program<'_>) -> Ended {
    let arguments = ["millrace"].iter().chain(arguments).map(OsString::from);
    let (mut out, mut errors) = (Vec::new(), Vec::new());
    let code = cli::run(arguments, environment(more), program, &mut out, &mut errors);
    let text = |bytes| String::from_utf8(bytes).unwrap();
    Ended { code, out: text(out), errors: text(errors) }
}

/// A spool that fits wherever the tests run.
const SMALL: [(&str, &str); 2] =
    [("MILLRACE_SPOOL__SIZE_LIMIT", "65MiB"), ("MILLRACE_SPOOL__RESERVE", "66MiB")];

#[test]
fn check_prints_the_effective_configuration_and_where_each_value_came_from() {
    let folder = Folder::with(&[("config.toml", "topics.create = false")]);
    let mut more = SMALL.to_vec();
    more.push(("MILLRACE_SPOOL__DIRECTORY", "/tmp"));
    let file = folder.text("config.toml");
    let ended = run(&["check", "--config", &file], &more, &PLAIN);
    assert_eq!((ended.code, &ended.errors[..]), (0, ""));
    for line in [
        "directory = \"/tmp\" # environment",
        &format!("create = false # {file}"),
        "name = \"marketo.{stream}.{type}\" # default",
        "body_limit = \"16MiB\" # default",
        "bootstrap_servers = \"localhost:9092\" # environment",
        "tokens = [\"***\"] # environment",
        "[sources.leads.auth]",
        "[spool.keep_delivered]",
    ] {
        assert!(ended.out.lines().any(|l| l == line), "{line} in\n{}", ended.out);
    }
    assert!(!ended.out.contains("hunter2"), "{}", ended.out);
}

#[test]
fn what_check_prints_is_a_configuration_of_the_same_meaning_but_for_the_secrets() {
    let mut more = SMALL.to_vec();
    more.push(("MILLRACE_SPOOL__DIRECTORY", "/tmp"));
    more.push(("MILLRACE_KAFKA__PROPERTIES__CLIENT_ID", "a \"quoted\" \\ name"));
    more.push(("MILLRACE_TOPICS__CONFIG__RETENTION_MS", "1000"));
    more.push(("MILLRACE_CATALOG__ACTIVITY_TYPES__13", "Change"));
    more.push(("MILLRACE_SOURCES__LEADS__AUTH__TOKENS", "***"));
    let ended = run(&["check"], &more, &PLAIN);
    let folder = Folder::with(&[("config.toml", &ended.out)]);
    let none: [(&str, &str); 0] = [];
    let again = config::load(Some(&folder.path("config.toml")), none)
        .unwrap_or_else(|mistakes| panic!("{}\n{mistakes}", ended.out));
    assert_eq!(again, config::load(None, environment(&more)).unwrap());
}

#[test]
fn check_says_what_recognising_repeats_takes() {
    let said = |key: &str, value: &str| {
        let mut more = SMALL.to_vec();
        more.push((key, value));
        run(&["check"], &more, &PLAIN).out
    };
    let some = said("MILLRACE_DEDUPLICATE__IDS", "3000000");
    let line = "# to recognise repeated events (deduplicate.ids = 3000000): 122.1 MiB of memory";
    assert!(some.lines().any(|l| l == line), "{some}");
    let none = said("MILLRACE_DEDUPLICATE__WINDOW", "0");
    assert!(none.contains("\n# repeated events are not recognised"), "{none}");
}

#[test]
fn check_says_where_traces_go_and_nothing_of_what_gets_them_in() {
    let said = |variables: &[(&str, &str)]| {
        let ended = run(&["check"], &[&SMALL[..], variables].concat(), &PLAIN);
        assert_eq!((ended.code, &ended.errors[..]), (0, ""));
        assert!(!ended.out.contains("hunter2"), "{}", ended.out);
        let line = ended.out.lines().find(|line| line.contains("spans")).unwrap();
        line.to_owned()
    };
    assert_eq!(said(&[]), "# no spans are made: no variable OTEL_* asks for them");
    let on = ("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", "https://me:hunter2@host:4318/?key=hunter2");
    let headers = ("OTEL_EXPORTER_OTLP_HEADERS", "authorization=Bearer hunter2");
    let plain = said(&[("OTEL_EXPORTER_OTLP_ENDPOINT", "http://collector:4318")]);
    assert_eq!(plain, "# spans go to http://collector:4318/v1/traces");
    assert_eq!(said(&[on, headers]), "# spans go to https://host:4318/");
    assert_eq!(
        said(&[on, headers, ("OTEL_EXPORTER_OTLP_PROTOCOL", "grpc")]),
        "# no spans are made: OTEL_EXPORTER_OTLP_PROTOCOL is not `http/protobuf`, the one that there is"
    );
}

#[test]
fn check_lists_all_mistakes_and_ends_with_1() {
    let more = [("MILLRACE_TOPICS__LIMIT", "x"), ("MILLRACE_SPOOL__SIZE_LIMIT", "8000000TiB")];
    let ended = run(&["check"], &more, &PLAIN);
    assert_eq!((ended.code, &ended.out[..]), (1, ""));
    assert!(ended.errors.starts_with("2 mistakes in the configuration:"), "{}", ended.errors);
    assert!(ended.errors.contains("topics.limit (MILLRACE_TOPICS__LIMIT)"), "{}", ended.errors);
    assert!(ended.errors.contains("while the volume of"), "{}", ended.errors);
}

#[test]
fn check_asks_the_client_library_about_properties() {
    let program = Program { validate: &|_| Err("no such property".into()), ..PLAIN };
    let ended = run(&["check"], &SMALL, &program);
    assert_eq!(ended.code, 1);
    assert!(ended.errors.contains("no such property"), "{}", ended.errors);
}

#[test]
fn check_connects_when_asked_to() {
    let program = Program { probe: &|_| Ok("3 brokers\n2 topics".into()), ..PLAIN };
    let ended = run(&["check", "--connect"], &SMALL, &program);
    assert_eq!(ended.code, 0);
    assert!(ended.out.ends_with("\n# 3 brokers\n# 2 topics\n"), "{}", ended.out);

    let program = Program { probe: &|_| Err("nobody there".into()), ..PLAIN };
    let ended = run(&["check", "--connect"], &SMALL, &program);
    assert_eq!((ended.code, &ended.errors[..]), (1, "nobody there\n"));
}

#[test]
fn serve_ends_with_2_on_a_mistake_and_lists_all() {
    let more = [("MILLRACE_TOPICS__LIMIT", "x"), ("MILLRACE_COLOUR", "red")];
    let ended = run(&["serve"], &more, &PLAIN);
    assert_eq!((ended.code, &ended.out[..]), (2, ""));
    assert!(ended.errors.starts_with("2 mistakes in the configuration:"), "{}", ended.errors);
}

#[test]
fn serve_hands_the_configuration_to_the_service() {
    let served = RefCell::new(None);
    let serve = |config| {
        *served.borrow_mut() = Some(config);
        Ok(())
    };
    let ended = run(&["serve"], &SMALL, &Program { serve: &serve, ..PLAIN });
    assert_eq!((ended.code, &ended.errors[..]), (0, ""));
    assert_eq!(served.take(), Some(config::load(None, environment(&SMALL)).unwrap()));
}

#[test]
fn help_and_version_go_to_standard_output_and_slips_do_not() {
    let ended = run(&["--version"], &[], &PLAIN);
    assert_eq!((ended.code, ended.out), (0, format!("millrace {}\n", env!("CARGO_PKG_VERSION"))));
    for arguments in [&["--help"][..], &["serve", "--help"], &["check", "--help"]] {
        let ended = run(arguments, &[], &PLAIN);
        assert_eq!((ended.code, &ended.errors[..]), (0, ""));
        assert!(ended.out.contains("Usage:"), "{}", ended.out);
    }
    let ended = run(&["chekc"], &[], &PLAIN);
    assert_eq!((ended.code, &ended.out[..]), (2, ""));
    assert!(ended.errors.contains("check"), "{}", ended.errors);
}

//! The command line: what `check` and `serve` print, and how they end.

use std::{
    cell::RefCell, ffi::OsString, fs, os::unix::fs::PermissionsExt as _, path::Path,
    process::Command,
};

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
    let secret = Folder::with(&[("tokens", "hunter2")]);
    let file = secret.text("tokens");
    let mut more = environment(&more);
    more.retain(|(name, _)| name != "MILLRACE_SOURCES__LEADS__AUTH__TOKENS");
    more.push(("MILLRACE_SOURCES__LEADS__AUTH__TOKENS_FILE".into(), file.into()));
    let (mut out, mut errors) = (Vec::new(), Vec::new());
    let arguments = ["millrace", "check"].map(OsString::from);
    cli::run(arguments, more.clone(), &PLAIN, &mut out, &mut errors);
    let out = String::from_utf8(out).unwrap();
    let folder = Folder::with(&[("config.toml", &out)]);
    let none: [(&str, &str); 0] = [];
    let again = config::load(Some(&folder.path("config.toml")), none)
        .unwrap_or_else(|mistakes| panic!("{out}\n{mistakes}"));
    assert_eq!(again, config::load(None, more).unwrap());
}

#[test]
fn check_says_what_recognising_repeats_takes() {
    let said = |key: &str, value: &str| {
        let mut more = SMALL.to_vec();
        more.push((key, value));
        run(&["check"], &more, &PLAIN).out
    };
    let some = said("MILLRACE_DEDUPLICATE__IDS", "3000000");
    let line = "# for deduplication (deduplicate.ids = 3000000): 122.8 MiB of memory";
    assert!(some.lines().any(|l| l == line), "{some}");
    let none = said("MILLRACE_DEDUPLICATE__WINDOW", "0");
    assert!(none.contains("\n# repeated events are not recognised"), "{none}");
}

#[test]
fn check_says_how_long_a_transaction_lasts_and_that_a_port_is_grpcs() {
    let said =
        |variables: &[(&str, &str)]| run(&["check"], &[&SMALL[..], variables].concat(), &PLAIN).out;
    let once = ("MILLRACE_KAFKA__DELIVERY", "exactly-once");
    let text = said(&[once]);
    assert!(text.contains("# transaction timeout 1 min (twice forward.hold_after)"), "{text}");
    let text = said(&[once, ("MILLRACE_KAFKA__TRANSACTION_TIMEOUT", "90s")]);
    assert!(
        text.contains("# transaction timeout 1 min 30 s (kafka.transaction_timeout)"),
        "{text}"
    );
    assert!(!said(&[]).contains("transaction timeout"));
    let text = said(&[("OTEL_EXPORTER_OTLP_ENDPOINT", "http://collector:4317")]);
    assert!(text.contains("port 4317 is by custom gRPC's"), "{text}");
}

#[test]
fn check_says_where_traces_go_and_nothing_of_what_gets_them_in() {
    let said = |variables: &[(&str, &str)]| {
        let ended = run(&["check"], &[&SMALL[..], variables].concat(), &PLAIN);
        assert_eq!((ended.code, &ended.errors[..]), (0, ""));
        assert!(!ended.out.contains("hunter2"), "{}", ended.out);
        let line = ended
            .out
            .lines()
            .find(|line| line.contains("spans") || line.contains("tracing"))
            .unwrap();
        line.to_owned()
    };
    assert_eq!(said(&[]), "# tracing disabled: no variable OTEL_* asks for it");
    let on = ("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", "https://me:hunter2@host:4318/?key=hunter2");
    let headers = ("OTEL_EXPORTER_OTLP_HEADERS", "authorization=Bearer hunter2");
    let plain = said(&[("OTEL_EXPORTER_OTLP_ENDPOINT", "http://collector:4318")]);
    assert_eq!(plain, "# spans go to http://collector:4318/v1/traces");
    assert_eq!(said(&[on, headers]), "# spans go to https://host:4318/");
    assert_eq!(
        said(&[on, headers, ("OTEL_EXPORTER_OTLP_PROTOCOL", "grpc")]),
        "# tracing disabled: OTEL_EXPORTER_OTLP_PROTOCOL is not `http/protobuf`, the only supported value"
    );
}

#[test]
fn one_file_of_tls_alone_is_looked_at_too_and_a_spool_below_a_file_is_one_mistake() {
    let mut more = SMALL.to_vec();
    more.push(("MILLRACE_LISTEN__TLS__KEY_FILE", "/not/there"));
    more.push(("MILLRACE_SPOOL__DIRECTORY", "/dev/null/x"));
    let ended = run(&["check"], &more, &PLAIN);
    assert!(ended.errors.starts_with("3 mistakes"), "{}", ended.errors);
    for key in ["listen.tls.certificate_file (", "listen.tls.key_file (", "spool.directory ("] {
        assert_eq!(ended.errors.matches(key).count(), 1, "{key}: {}", ended.errors);
    }
}

#[test]
fn an_authority_of_clients_is_looked_at_though_certificate_and_key_are_missing() {
    let folder = Folder::with(&[("empty", ""), ("text", "no PEM"), ("half", "-----BEGIN CERT")]);
    for (file, problem) in [
        ("missing", "cannot be read: No such file"),
        ("", "cannot be read: Is a directory"),
        ("empty", "holds no certificate in PEM"),
        ("text", "holds no certificate in PEM"),
        ("half", "is no PEM, or only a part of it"),
    ] {
        let file = folder.text(file);
        let authority = ("MILLRACE_LISTEN__TLS__CLIENT_CA_FILE", &file[..]);
        for (more, count) in [(None, 3), (Some(("MILLRACE_LISTEN__TLS__KEY_FILE", "/no")), 3)] {
            let all: Vec<_> = SMALL.into_iter().chain([authority]).chain(more).collect();
            let text = run(&["check"], &all, &PLAIN).errors;
            assert!(text.starts_with(&format!("{count} mistakes")), "{text}");
            let named = format!("listen.tls.client_ca_file ({}) names `{file}`", authority.0);
            assert!(text.contains(&format!("{named}, which {problem}")), "{text}");
        }
    }
}

#[test]
fn check_lists_all_mistakes_and_ends_with_1() {
    let more = [("MILLRACE_TOPICS__LIMIT", "x"), ("MILLRACE_SPOOL__SIZE_LIMIT", "8000000TiB")];
    let ended = run(&["check"], &more, &PLAIN);
    assert_eq!((ended.code, &ended.out[..]), (1, ""));
    assert!(ended.errors.starts_with("2 mistakes in the configuration:"), "{}", ended.errors);
    assert!(ended.errors.contains("topics.limit (MILLRACE_TOPICS__LIMIT)"), "{}", ended.errors);
    assert!(ended.errors.contains("but the volume of"), "{}", ended.errors);
}

/// A certificate that is valid in these years.
fn certificate(from: i32, until: i32) -> (String, String) {
    let mut params = rcgen::CertificateParams::new(vec!["localhost".to_owned()]).unwrap();
    params.not_before = rcgen::date_time_ymd(from, 1, 1);
    params.not_after = rcgen::date_time_ymd(until, 1, 1);
    let key = rcgen::KeyPair::generate().unwrap();
    (params.self_signed(&key).unwrap().pem(), key.serialize_pem())
}

#[test]
fn check_looks_at_every_file_and_folder_and_tells_all_at_once() {
    let folder = Folder::with(&[("file", ""), ("ca.pem", "no PEM")]);
    let (file, missing) = (folder.text("file"), folder.text("missing"));
    let authority = folder.text("ca.pem");
    let more = [
        ("MILLRACE_TOPICS__LIMIT", "x"),
        ("MILLRACE_SPOOL__DIRECTORY", &file),
        ("MILLRACE_ADOBE__KEYS_FOLDER", &missing),
        ("MILLRACE_LISTEN__TLS__CERTIFICATE_FILE", &missing),
        ("MILLRACE_LISTEN__TLS__KEY_FILE", &file),
        ("MILLRACE_LISTEN__TLS__CLIENT_CA_FILE", &authority),
    ];
    let ended = run(&["check"], &[&SMALL[..], &more].concat(), &PLAIN);
    assert_eq!((ended.code, &ended.out[..]), (1, ""));
    for line in [
        "topics.limit (MILLRACE_TOPICS__LIMIT) is `x`".to_owned(),
        format!("(MILLRACE_SPOOL__DIRECTORY) is `{file}`, which is not a folder"),
        format!("(MILLRACE_ADOBE__KEYS_FOLDER) is `{missing}`, which cannot be read: No such file"),
        format!("(MILLRACE_LISTEN__TLS__CERTIFICATE_FILE) names `{missing}`, which cannot be read"),
        format!("(MILLRACE_LISTEN__TLS__KEY_FILE) names `{file}`, which holds no private key"),
        format!("(MILLRACE_LISTEN__TLS__CLIENT_CA_FILE) names `{authority}`, which holds no cert"),
    ] {
        assert!(ended.errors.contains(&line), "{line} in\n{}", ended.errors);
    }
    assert!(ended.errors.starts_with("6 mistakes"), "{}", ended.errors);
}

#[test]
fn check_refuses_a_certificate_that_is_not_valid_now() {
    for (from, until, problem) in [
        (2001, 2002, Some("expired on 2002-01-01T00:00:00Z")),
        (2090, 2091, Some("is not valid before 2090-01-01T00:00:00Z")),
        (2001, 2091, None),
    ] {
        let (certificate, key) = certificate(from, until);
        let folder = Folder::with(&[("tls.crt", &certificate), ("tls.key", &key)]);
        let (certificate, key) = (folder.text("tls.crt"), folder.text("tls.key"));
        let tls = [
            ("MILLRACE_SPOOL__DIRECTORY", "/tmp"),
            ("MILLRACE_LISTEN__TLS__CERTIFICATE_FILE", &certificate),
            ("MILLRACE_LISTEN__TLS__KEY_FILE", &key),
        ];
        let ended = run(&["check"], &[&SMALL[..], &tls].concat(), &PLAIN);
        assert_eq!(ended.code, u8::from(problem.is_some()), "{}", ended.errors);
        assert!(ended.errors.contains(problem.unwrap_or_default()), "{}", ended.errors);

        let of_kafka = [
            ("MILLRACE_SPOOL__DIRECTORY", "/tmp"),
            ("MILLRACE_KAFKA__PROPERTIES__SECURITY_PROTOCOL", "SSL"),
            ("MILLRACE_KAFKA__PROPERTIES__SSL_CERTIFICATE_LOCATION", &certificate),
        ];
        let ended = run(&["check"], &[&SMALL[..], &of_kafka].concat(), &PLAIN);
        assert!(ended.errors.contains(problem.unwrap_or_default()), "{}", ended.errors);
    }
}

/// The real program, as a user who may do less than the one who runs the tests.
fn check_as_somebody_else(spool: &Path) -> String {
    let mut command = match rustix::process::geteuid().is_root() {
        true => {
            let mut command = Command::new("setpriv");
            command.args(["--reuid=65534", "--regid=65534", "--clear-groups"]);
            command.arg(env!("CARGO_BIN_EXE_millrace"));
            command
        }
        false => Command::new(env!("CARGO_BIN_EXE_millrace")),
    };
    let mut more = SMALL.to_vec();
    let spool = spool.to_str().unwrap();
    more.push(("MILLRACE_SPOOL__DIRECTORY", spool));
    command.arg("check").env_clear().envs(environment(&more));
    command.env("PATH", std::env::var_os("PATH").unwrap_or_default());
    let output = command.output().expect("the program starts");
    String::from_utf8(output.stderr).unwrap()
}

#[test]
fn check_tells_that_the_spool_or_something_in_it_may_not_be_written() {
    // Another user has to come this far: the folder of this run may be its owner's alone.
    let folder = tempfile::tempdir_in("/tmp").unwrap();
    let permit = |path: &Path, mode| {
        fs::set_permissions(path, fs::Permissions::from_mode(mode)).unwrap();
    };
    let spool = folder.path().join("spool");
    fs::create_dir(&spool).unwrap();
    permit(folder.path(), 0o755);
    for name in ["leads", "lost+found"] {
        fs::create_dir(spool.join(name)).unwrap();
        permit(&spool.join(name), 0o555);
    }
    permit(&spool, 0o555);
    let is_root = rustix::process::geteuid().is_root();
    let why = if is_root { "which belongs to user 0" } else { "which may not be written to" };
    let said = check_as_somebody_else(&spool);
    assert!(said.contains(&format!("is `{}`, {why}", spool.display())), "{said}");
    let said = check_as_somebody_else(&spool.join("not/there"));
    assert!(said.contains("which does not exist and cannot be created in"), "{said}");

    permit(&spool, 0o777);
    let said = check_as_somebody_else(&spool);
    assert!(
        said.contains(&format!("has `{}` in it, {why}", spool.join("leads").display())),
        "{said}"
    );
    permit(&spool.join("leads"), 0o777);
    assert_eq!(check_as_somebody_else(&spool), "", "a volume's own folders are no concern");
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
    let text = ("MILLRACE_LOG__FORMAT", "text");
    let more = [text, ("MILLRACE_TOPICS__LIMIT", "x"), ("MILLRACE_COLOUR", "red")];
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

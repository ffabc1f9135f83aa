//! Dockerfile and compose, as they stand. There is no container engine here: what can be looked at
//! without one is, `container` runs what the Dockerfile makes, and `tests/image` has an engine.

use std::{fs, process::Command};

use serde_json::Value;

use crate::{
    dockerfile::stages,
    program::check,
    tools::{read, repository, run, tool, yaml},
};

#[test]
fn the_linter_of_dockerfiles_has_nothing_to_say() {
    let file = repository("deploy/Dockerfile");
    let file = file.to_str().expect("it is UTF-8");
    let said = run(tool("hadolint"), [file], "").expect_fine("deploy/Dockerfile");
    assert_eq!(said, "");
}

#[test]
fn the_binary_needs_no_library_that_the_image_has_not() {
    let check = || Command::new(repository("deploy/check-libraries"));
    run(check(), [env!("CARGO_BIN_EXE_millrace")], "").expect_fine("this build");
    // bash needs its line editor's.
    let other = run(check(), ["/bin/bash"], "");
    assert!(!other.fine && other.errors.contains("libtinfo"), "{other:?}");
}

#[test]
fn the_image_is_built_with_a_rust_that_the_package_allows() {
    let value_of = |text: &str, key: &str| -> (u32, u32) {
        let rest = text.split(key).nth(1).unwrap_or_else(|| panic!("{key} in {text}"));
        let mut numbers = rest.split(|c: char| !c.is_ascii_digit()).filter_map(|n| n.parse().ok());
        (numbers.next().expect("a number"), numbers.next().expect("two numbers"))
    };
    let image = value_of(&read("deploy/Dockerfile"), "RUST_IMAGE=rust:");
    let least = value_of(&read("Cargo.toml"), "rust-version = \"");
    assert!(image >= least, "{image:?} and {least:?}");
}

#[test]
fn a_build_of_an_image_is_told_its_commit_since_it_has_no_repository() {
    let build = &stages()[0];
    let at = |wanted: &dyn Fn(&str, &str) -> bool| {
        build.instructions.iter().position(|(keyword, rest)| wanted(keyword, rest))
    };
    let told = at(&|keyword, rest| keyword == "ARG" && rest == "BUILD_COMMIT");
    let built = at(&|keyword, rest| keyword == "RUN" && rest.contains("cargo build "));
    assert!(told.is_some() && told < built, "ARG BUILD_COMMIT before the build");
    assert!(
        !read("deploy/Dockerfile.dockerignore").contains("!.git"),
        "the repository is not copied"
    );

    // Whoever builds one passes it: the release, its bill of materials, the test, and the documents.
    let files = [
        (".github/workflows/release.yml", "docker buildx build ", "BUILD_COMMIT=$GITHUB_SHA", 2),
        ("deploy/README.md", "docker build ", "BUILD_COMMIT=$(git rev-parse HEAD)", 1),
        (
            "deploy/helm/millrace/README.md",
            "docker build ",
            "BUILD_COMMIT=$(git rev-parse HEAD)",
            1,
        ),
        ("deploy/Dockerfile", "docker build ", "BUILD_COMMIT=$(git rev-parse HEAD)", 1),
        ("tests/image", "\"${build[@]}\" --tag", "BUILD_COMMIT=", 1),
    ];
    for (file, builds, passes, times) in files {
        let text = read(file).replace("\\\n", " ");
        // The Dockerfile names a second build, of the bill of materials alone.
        let lines =
            text.lines().filter(|line| line.contains(builds) && !line.contains("# the bill"));
        let lines: Vec<_> = lines.collect();
        assert_eq!(lines.len(), times, "{file}: {lines:#?}");
        for line in lines {
            assert!(line.contains(passes), "{file}: {line}");
        }
    }
}

fn compose() -> Value {
    yaml(&read("deploy/compose.yaml")).remove(0)
}

#[test]
fn compose_is_what_the_compose_specification_allows() {
    let program = "import json, jsonschema, sys\n\
        jsonschema.validate(json.load(sys.stdin), json.load(open(sys.argv[1])))";
    let schema = repository("tests/deploy/schemas/compose-spec.json").display().to_string();
    run(tool("python"), ["-c", program, &schema], &compose().to_string()).expect_fine("the schema");
    let mut wrong = compose();
    wrong["services"]["millrace"]["stop_grace"] = "40s".into();
    let refused = run(tool("python"), ["-c", program, &schema], &wrong.to_string());
    assert!(!refused.fine && refused.errors.contains("stop_grace"), "{refused:?}");
}

#[test]
fn compose_names_nothing_that_it_does_not_have() {
    let compose = compose();
    let names = |section: &str| -> Vec<&String> {
        compose[section].as_object().expect("a map").keys().collect()
    };
    let texts = |value: &Value| -> Vec<String> {
        let list = value.as_array().into_iter().flatten();
        list.map(|text| text.as_str().expect("it is text").to_owned()).collect()
    };
    for (name, service) in compose["services"].as_object().expect("a map") {
        for needed in texts(&service["depends_on"]) {
            assert!(names("services").contains(&&needed), "{name} depends on {needed}");
        }
        for secret in texts(&service["secrets"]) {
            assert!(names("secrets").contains(&&secret), "{name} has the secret {secret}");
        }
        for mount in texts(&service["volumes"]).iter().filter(|mount| !mount.starts_with('.')) {
            let volume = mount.split(':').next().expect("it has a beginning").to_owned();
            assert!(names("volumes").contains(&&volume), "{name} mounts {volume}");
        }
    }
}

#[test]
fn every_image_is_pinned() {
    let compose = compose();
    let services = compose["services"].as_object().expect("a map").values();
    let mut images: Vec<String> = services
        .filter_map(|service| service["image"].as_str())
        // What compose builds itself.
        .filter(|image| *image != "millrace")
        .map(str::to_owned)
        .collect();
    let dockerfile = read("deploy/Dockerfile");
    let arguments =
        dockerfile.lines().filter_map(|line| line.strip_prefix("ARG ")?.split_once('='));
    images.extend(arguments.map(|(_, image)| image.to_owned()));
    assert!(images.len() >= 5, "{images:?}");
    for image in images {
        let (_, tag) = image.rsplit_once(':').unwrap_or_else(|| panic!("{image} has no version"));
        // Distroless has no versions; the Debian release is in its name, and what is pinned.
        let is_version = tag.trim_start_matches('v').split('.').take(3).count() == 3
            && tag.contains(|c: char| c.is_ascii_digit());
        let is_distroless = image.starts_with("gcr.io/distroless/cc-debian") && tag == "nonroot";
        assert!(is_version || is_distroless || image.contains("@sha256:"), "{image}");
    }
}

#[test]
fn compose_runs_the_bridge_with_a_configuration_that_it_takes() {
    let compose = compose();
    let service = &compose["services"]["millrace"];
    let variables = service["environment"].as_object().expect("a map").iter();
    let token = repository("deploy/compose/leads-tokens").display().to_string();
    let environment: Vec<_> = variables
        .map(|(name, value)| {
            let value = value.as_str().expect("it is text");
            (name.clone(), value.replace("/run/secrets/leads-tokens", &token))
        })
        .collect();
    check(&environment).expect_fine("compose.yaml");
    // As in the chart.
    assert_eq!(service["read_only"], true);
    assert_eq!(service["cap_drop"][0], "ALL");
    // shutdown.delay, listen.request_timeout and shutdown.flush, and some seconds.
    let grace = service["stop_grace_period"].as_str().and_then(|time| time.strip_suffix('s'));
    assert!(grace.and_then(|time| time.parse().ok()).is_some_and(|time: u32| time > 28));
}

#[test]
fn compose_mounts_files_that_are_there() {
    let compose = compose();
    let services = compose["services"].as_object().expect("a map");
    let mounts = services.values().flat_map(|service| service["volumes"].as_array()).flatten();
    let mut files = 0;
    for mount in mounts.filter_map(Value::as_str).filter(|mount| mount.starts_with('.')) {
        let file = mount.split(':').next().expect("it has a beginning");
        assert!(repository("deploy").join(file).is_file(), "{file}");
        files += 1;
    }
    assert!(files >= 5, "{files}");
    for secret in compose["secrets"].as_object().expect("a map").values() {
        let file = secret["file"].as_str().expect("it is a file's");
        assert!(repository("deploy").join(file).is_file(), "{file}");
    }
}

#[test]
fn prometheus_takes_its_configuration_and_scrapes_the_job_that_the_alerts_ask_for() {
    let configuration = read("deploy/compose/prometheus.yaml");
    let folder = tempfile::tempdir().expect("a temporary folder can be made");
    let file = folder.path().join("prometheus.yaml");
    fs::write(&file, &configuration).expect("it can be written");
    let alerts = read("deploy/helm/millrace/files/alerts.yaml");
    fs::write(folder.path().join("alerts.yaml"), alerts).expect("it can be written");
    let arguments = ["check", "config", file.to_str().expect("it is UTF-8")];
    run(tool("promtool"), arguments, "").expect_fine("prometheus.yaml");
    assert_eq!(yaml(&configuration)[0]["scrape_configs"][0]["job_name"], "millrace");
}

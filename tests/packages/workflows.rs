//! .github: what runs elsewhere, looked at as far as it can be here.

use std::{fs, path::PathBuf, process::Command};

use crate::tools::{brought, read, repository, run};

fn tool(name: &str) -> Command {
    Command::new(brought("TEST_WORKFLOW_TOOLS").join(name))
}

fn workflows() -> Vec<PathBuf> {
    let entries = fs::read_dir(repository(".github/workflows")).expect("it is there");
    let mut paths: Vec<_> = entries.map(|entry| entry.expect("it can be listed").path()).collect();
    paths.sort();
    assert!(paths.len() >= 2, "{paths:?}");
    paths
}

#[test]
fn actionlint_has_nothing_to_say() {
    let ended = run(tool("actionlint"), workflows());
    assert_eq!(ended.expect_fine("the workflows"), "");
}

#[test]
fn actionlint_does_say_what_is_wrong() {
    let folder = tempfile::tempdir().expect("a temporary folder can be made");
    let file = folder.path().join("wrong.yml");
    let wrong = read(".github/workflows/ci.yml").replace("runs-on:", "runs-un:");
    fs::write(&file, wrong).expect("it can be written");
    let ended = run(tool("actionlint"), [&file]);
    assert!(!ended.fine && ended.out.contains("runs-un"), "{ended:?}");
}

#[test]
fn workflows_and_dependabot_are_what_their_schemas_allow() {
    for path in workflows() {
        let arguments = ["--builtin-schema", "vendor.github-workflows", &path.to_string_lossy()];
        run(tool("check-jsonschema"), arguments).expect_fine("a workflow");
    }
    let file = repository(".github/dependabot.yml");
    let arguments = ["--builtin-schema", "vendor.dependabot", &file.to_string_lossy()];
    run(tool("check-jsonschema"), arguments).expect_fine("dependabot.yml");
}

#[test]
fn every_action_is_pinned_by_its_commit_with_the_version_beside_it() {
    for path in workflows() {
        let text = fs::read_to_string(&path).expect("it can be read");
        for line in text
            .lines()
            .filter_map(|line| line.trim().trim_start_matches("- ").strip_prefix("uses: "))
        {
            if line.starts_with("./") {
                continue;
            }
            let (action, version) =
                line.split_once(" # v").unwrap_or_else(|| panic!("{line}: no version"));
            let (_, commit) = action.split_once('@').unwrap_or_else(|| panic!("{line}: no commit"));
            assert!(commit.len() == 40 && commit.bytes().all(|b| b.is_ascii_hexdigit()), "{line}");
            assert!(version.starts_with(|c: char| c.is_ascii_digit()), "{line}");
        }
    }
}

#[test]
fn a_workflow_has_no_rights_but_those_that_a_job_asks_for() {
    for path in workflows() {
        let text = fs::read_to_string(&path).expect("it can be read");
        let name = path.display();
        assert!(text.contains("\npermissions: {}\n"), "{name}: the default is no right at all");
        let (_, jobs) = text.split_once("\njobs:\n").expect("it has jobs");
        let is_job =
            |line: &&str| line.starts_with("  ") && line.as_bytes()[2].is_ascii_alphabetic();
        let heads = jobs.lines().filter(|line| line.len() > 2).filter(is_job).count();
        let rights = jobs.lines().filter(|line| line.starts_with("    permissions:")).count();
        assert_eq!(heads, rights, "{name}: each job says its rights");
        assert!(!text.contains("write-all") && !text.contains("pull_request_target"), "{name}");
    }
}

#[test]
fn what_the_workflows_run_of_the_repository_is_there() {
    for path in workflows() {
        let text = fs::read_to_string(&path).expect("it can be read");
        let said = text.lines().filter(|line| !line.trim_start().starts_with('#'));
        let words =
            said.flat_map(|line| line.split(|c: char| c.is_whitespace() || "()'".contains(c)));
        let scripts: Vec<_> = words
            .map(|word| word.trim_end_matches(&[',', '/', '*'][..]))
            .filter(|word| {
                word.starts_with(".ci/")
                    || word.starts_with("tests/")
                    || word.starts_with("deploy/")
            })
            .collect();
        assert!(!scripts.is_empty(), "{}", path.display());
        for script in scripts {
            assert!(repository(script).exists(), "{}: {script}", path.display());
        }
    }
}

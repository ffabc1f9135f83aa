//! Version, notes and checksums of a release, in copies of what they read.

use std::{fs, os::unix::fs::PermissionsExt, path::Path, process::Command};

use tempfile::TempDir;

use crate::tools::{Ended, read, repository, run};

const SCRIPTS: [&str; 2] = [".ci/release/version", ".ci/release/notes"];
const READ: [&str; 4] =
    ["Cargo.toml", "Cargo.lock", "deploy/helm/millrace/Chart.yaml", "CHANGELOG.md"];
const THIS: &str = env!("CARGO_PKG_VERSION");

/// What the scripts read, with a changelog that has closed this version.
struct Source(TempDir);

impl Source {
    fn new() -> Self {
        let source = Self(tempfile::tempdir().expect("a temporary folder can be made"));
        for path in SCRIPTS.iter().chain(&READ) {
            source.write(path, &read(path));
        }
        for path in SCRIPTS {
            let rights = fs::Permissions::from_mode(0o755);
            fs::set_permissions(source.0.path().join(path), rights).expect("it is ours");
        }
        let closed = format!(
            "# Changelog\n\n## [Unreleased]\n\n- Later.\n\n## [{THIS}] - 2026-11-30\n\n### Added\n\n- Now.\n\n\
             ## [0.0.1] - 2026-01-01\n\n- Before.\n"
        );
        source.write("CHANGELOG.md", &closed);
        source
    }

    fn write(&self, path: &str, text: &str) {
        let to = self.0.path().join(path);
        fs::create_dir_all(to.parent().expect("not the root")).expect("a folder can be made");
        fs::write(to, text).expect("it can be written");
    }

    #[track_caller]
    fn replace(&self, path: &str, from: &str, to: &str) {
        let text = fs::read_to_string(self.0.path().join(path)).expect("it is there");
        assert!(text.contains(from), "{from} in {path}");
        self.write(path, &text.replacen(from, to, 1));
    }

    fn run(&self, script: &str, arguments: &[&str]) -> Ended {
        run(Command::new(self.0.path().join(".ci/release").join(script)), arguments)
    }
}

#[test]
fn the_source_has_one_version_everywhere() {
    let printed = run(Command::new(repository(".ci/release/version")), [""; 0]);
    assert_eq!(printed.expect_fine("the version"), format!("{THIS}\n"));
}

#[test]
fn a_tag_that_is_the_version_may_be_released_and_another_may_not() {
    let source = Source::new();
    let printed = source.run("version", &[&format!("v{THIS}")]);
    assert_eq!(printed.expect_fine("the tag"), format!("{THIS}\n"));
    for tag in [THIS, "v9.9.9", "latest"] {
        let refused = source.run("version", &[tag]);
        assert!(
            !refused.fine && refused.errors.contains(&format!("the tag is {tag}")),
            "{refused:?}"
        );
    }
}

#[test]
fn a_version_that_differs_somewhere_is_named_with_its_file() {
    for (path, from, to) in [
        (
            "Cargo.lock",
            format!("name = \"millrace\"\nversion = \"{THIS}\""),
            "name = \"millrace\"\nversion = \"9.9.9\"",
        ),
        ("deploy/helm/millrace/Chart.yaml", format!("\nversion: {THIS}"), "\nversion: 9.9.9"),
        (
            "deploy/helm/millrace/Chart.yaml",
            format!("appVersion: \"{THIS}\""),
            "appVersion: \"9.9.9\"",
        ),
    ] {
        let source = Source::new();
        source.replace(path, &from, to);
        let refused = source.run("version", &[]);
        assert!(!refused.fine && refused.errors.contains(path), "{path}: {refused:?}");
    }
}

#[test]
fn the_notes_are_the_section_of_the_version_alone() {
    let source = Source::new();
    let notes = source.run("notes", &[THIS]).expect_fine("the notes");
    assert_eq!(notes.trim_end(), "### Added\n\n- Now.");
    let notes = source.run("notes", &["0.0.1"]).expect_fine("the notes");
    assert_eq!(notes.trim_end(), "- Before.");
}

#[test]
fn a_version_that_the_changelog_has_not_closed_is_not_released() {
    let source = Source::new();
    source.replace("CHANGELOG.md", &format!("## [{THIS}] - 2026-11-30\n"), "");
    let refused = source.run("version", &[&format!("v{THIS}")]);
    assert!(!refused.fine && refused.errors.contains("has no section"), "{refused:?}");
    let source = Source::new();
    source.replace("CHANGELOG.md", "### Added\n\n- Now.\n", "");
    let refused = source.run("version", &[&format!("v{THIS}")]);
    assert!(!refused.fine && refused.errors.contains("says nothing of"), "{refused:?}");
}

#[test]
fn checksums_are_of_each_file_and_are_found_wrong_when_one_has_changed() {
    let folder = tempfile::tempdir().expect("a temporary folder can be made");
    for name in ["b.rpm", "a.deb"] {
        fs::write(folder.path().join(name), name).expect("it can be written");
    }
    let sum = || run(Command::new(repository(".ci/release/checksums")), [folder.path()]);
    sum().expect_fine("checksums");
    // Not of themselves, also the second time.
    sum().expect_fine("checksums");
    let sums = fs::read_to_string(folder.path().join("SHA256SUMS")).expect("they are there");
    let names: Vec<_> = sums.lines().filter_map(|line| line.split("  ").nth(1)).collect();
    assert_eq!(names, ["a.deb", "b.rpm"]);
    let check = |folder: &Path| {
        let mut sha256sum = Command::new("sha256sum");
        sha256sum.current_dir(folder);
        run(sha256sum, ["--check", "SHA256SUMS"])
    };
    assert!(check(folder.path()).fine);
    fs::write(folder.path().join("a.deb"), "other").expect("it can be written");
    assert!(!check(folder.path()).fine);
}

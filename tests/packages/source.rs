//! What `cargo package` packs.

use std::{collections::BTreeSet, fs, path::Path, process::Command};

use crate::tools::{repository, run};

fn cargo() -> Command {
    let mut cargo = Command::new(env!("CARGO"));
    cargo.current_dir(env!("CARGO_MANIFEST_DIR"));
    cargo
}

#[test]
fn the_package_has_what_the_program_is_built_of_and_its_documents_and_nothing_else() {
    // What is being edited is no mistake.
    let listed = run(cargo(), ["package", "--list", "--allow-dirty", "--offline", "--locked"]);
    let listed = listed.expect_fine("cargo package --list");
    let packed: BTreeSet<&str> = listed.lines().collect();
    let others: Vec<_> = packed
        .iter()
        .filter(|path| !path.starts_with("src/") && !path.starts_with("config/"))
        // Of a checkout alone: which commit it was.
        .filter(|path| **path != ".cargo_vcs_info.json")
        .copied()
        .collect();
    assert_eq!(
        others,
        [
            "CHANGELOG.md",
            "Cargo.lock",
            "Cargo.toml",
            "Cargo.toml.orig",
            "LICENSE",
            "README.md",
            "SECURITY.md",
            "UPGRADING.md",
            "build.rs",
            "deploy/METRICS.md"
        ]
    );

    // Beside each build of the library and the program, cargo says what it has read.
    let folder = Path::new(env!("CARGO_BIN_EXE_millrace")).with_file_name("deps");
    let root = env!("CARGO_MANIFEST_DIR");
    let mut read = BTreeSet::new();
    for entry in fs::read_dir(folder).expect("the build has left it") {
        let path = entry.expect("it can be listed").path();
        let name = path.file_name().expect("a name").to_string_lossy();
        if name.starts_with("millrace-") && name.ends_with(".d") {
            let text = fs::read_to_string(&path).expect("it can be read");
            read.extend(text.lines().filter_map(|line| line.strip_suffix(':')).map(str::to_owned));
        }
    }
    let root = fs::canonicalize(root).expect("it is there");
    for file in &read {
        // What was moved since is no more.
        let Ok(file) = fs::canonicalize(repository(file)) else { continue };
        // Clippy has read its own settings, and a build script has written outside of the sources.
        let Ok(file) = file.strip_prefix(&root) else { continue };
        let file = file.to_str().expect("it is UTF-8");
        if file != ".clippy.toml" && !file.starts_with("target/") {
            assert!(packed.contains(file), "the build reads {file}, and it is not packed");
        }
    }
    assert!(read.len() > 100, "{}", read.len());
}

#[test]
fn the_package_is_packed_without_a_complaint_and_is_small() {
    let target = tempfile::tempdir().expect("a temporary folder can be made");
    let mut cargo = cargo();
    cargo.env("CARGO_TARGET_DIR", target.path());
    let arguments = ["package", "--no-verify", "--allow-dirty", "--offline", "--locked"];
    let ended = run(cargo, arguments);
    let said = ended.errors.clone();
    ended.expect_fine("cargo package");
    // Tests and benchmarks are the repository's: cargo says of each that it leaves it out.
    let complaints: Vec<_> = said
        .lines()
        .filter(|line| line.starts_with("warning:"))
        .filter(|line| !line.ends_with("is not included in the published package"))
        .collect();
    assert!(complaints.is_empty(), "{complaints:#?}");
    let name = format!("package/millrace-{}.crate", env!("CARGO_PKG_VERSION"));
    let size = fs::metadata(target.path().join(name)).expect("it is packed").len();
    // All of it is source and documents. What is not would be noticed: with the tests it has more.
    assert!(size < 3 << 19, "{size} bytes");
}

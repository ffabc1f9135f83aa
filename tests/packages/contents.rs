//! What is in the packages and in the archive.

use std::{collections::BTreeMap, fs, process::Command};

use crate::{
    made::{made, make},
    root::Root,
    tools::{read, run},
};

const THIS: &str = env!("CARGO_PKG_VERSION");

/// Path to rights and owner, of everything but folders.
type Files = BTreeMap<String, String>;

fn of_the_deb() -> Files {
    let package = made().file(THIS, ".deb");
    let listed = run(Command::new("dpkg-deb"), ["--contents".as_ref(), package.as_os_str()]);
    let listed = listed.expect_fine("the .deb");
    let lines = listed.lines().map(|line| line.split_whitespace().collect::<Vec<_>>());
    let files = lines.filter(|words| words[0].starts_with('-'));
    files
        .map(|words| (words[5].trim_start_matches('.').to_owned(), words[0][1..].to_owned()))
        .collect()
}

fn of_the_rpm(root: &Root) -> Files {
    let package = root.take_in(&made().file(THIS, ".rpm"));
    let listed = root.run(
        "rpm",
        &["--query", "--package", "--queryformat=[%{FILENAMES} %{FILEMODES:perms}\\n]", &package],
    );
    let listed = listed.expect_fine("the .rpm");
    let lines = listed.lines().filter_map(|line| line.split_once(' '));
    let files = lines.filter(|(_, rights)| rights.starts_with('-'));
    files.map(|(path, rights)| (path.to_owned(), rights[1..].to_owned())).collect()
}

/// Where the two kinds have what has a place of its own in each: licence, zsh's completions, and what dpkg wants compressed.
fn in_common(files: &Files) -> Files {
    let common = files.iter().filter(|(path, _)| {
        !path.contains("/licenses/")
            && !path.ends_with("/copyright")
            && !path.ends_with("/_millrace")
    });
    common
        .map(|(path, rights)| {
            let path = if path.contains("/doc/") { path.trim_end_matches(".gz") } else { path };
            (path.to_owned(), rights.clone())
        })
        .collect()
}

#[test]
fn both_packages_have_the_same_files_with_the_same_rights_and_both_need_the_c_library() {
    let root = Root::new();
    let (deb, rpm) = (of_the_deb(), of_the_rpm(&root));
    assert_eq!(in_common(&deb), in_common(&rpm));
    for path in [
        "/usr/bin/millrace",
        "/usr/lib/systemd/system/millrace.service",
        "/usr/lib/sysusers.d/millrace.conf",
        "/usr/share/man/man1/millrace.1.gz",
        "/usr/share/man/man1/millrace-spool-inspect.1.gz",
        "/usr/share/bash-completion/completions/millrace",
        "/usr/share/fish/vendor_completions.d/millrace.fish",
        "/etc/millrace/environment",
    ] {
        assert!(deb.contains_key(path), "{path} in {deb:#?}");
    }
    assert!(deb.contains_key("/usr/share/zsh/vendor-completions/_millrace"));
    assert!(rpm.contains_key("/usr/share/zsh/site-functions/_millrace"));
    assert!(deb.contains_key("/usr/share/doc/millrace/copyright"));
    assert!(rpm.contains_key("/usr/share/licenses/millrace/LICENSE"));
    the_rpm_needs_the_c_library_and_has_its_configuration_marked(&root);
}

#[test]
fn the_deb_needs_the_c_library_and_what_makes_the_user_and_has_its_configuration_marked() {
    let package = made().file(THIS, ".deb");
    let field = |name: &str| {
        let arguments = ["--field".as_ref(), package.as_os_str(), name.as_ref()];
        run(Command::new("dpkg-deb"), arguments).expect_fine(name).trim().to_owned()
    };
    assert_eq!((field("Package"), field("Version")), ("millrace".into(), THIS.into()));
    let depends = field("Depends");
    for needed in
        ["libc6 (>= 2.36)", "ca-certificates", "default-systemd-sysusers | systemd-sysusers"]
    {
        assert!(depends.contains(needed), "{needed} in {depends}");
    }
    // OpenSSL, zlib and the like are in the binary.
    for other in ["libssl", "zlib", "libcurl", "librdkafka"] {
        assert!(!depends.contains(other), "{depends}");
    }
    let info = ["--info".as_ref(), package.as_os_str(), "conffiles".as_ref()];
    let marked = run(Command::new("dpkg-deb"), info).expect_fine("conffiles");
    assert_eq!(marked.trim(), "/etc/millrace/environment");
}

#[track_caller]
fn the_rpm_needs_the_c_library_and_has_its_configuration_marked(root: &Root) {
    let package = root.take_in(&made().file(THIS, ".rpm"));
    let ask =
        |what: &str| root.run("rpm", &["--query", "--package", what, &package]).expect_fine(what);
    let needs = ask("--requires");
    for needed in
        ["libc.so.6(GLIBC_2.", "libc.so.6(GLIBC_ABI_DT_RELR)", "systemd", "ca-certificates"]
    {
        assert!(needs.contains(needed), "{needed} in {needs}");
    }
    assert!(!needs.contains("libssl"), "{needs}");
    assert_eq!(ask("--configfiles").trim(), "/etc/millrace/environment");
    assert!(ask("--info").contains("Apache-2.0"));
}

#[test]
fn the_archive_has_one_folder_with_a_program_that_runs_and_what_installs_it_by_hand() {
    let archive = made().file(THIS, ".tar.gz");
    let folder = tempfile::tempdir().expect("a temporary folder can be made");
    let mut tar = Command::new("tar");
    tar.current_dir(folder.path());
    run(tar, ["--extract".as_ref(), "--file".as_ref(), archive.as_os_str()]).expect_fine("tar");
    let name = archive.file_name().expect("a file").to_string_lossy().replace(".tar.gz", "");
    assert!(name.starts_with(&format!("millrace-{THIS}-")), "{name}");
    let inner = folder.path().join(name);
    let printed = run(Command::new(inner.join("millrace")), ["--version"]).expect_fine("it");
    assert_eq!(printed, format!("millrace {THIS}\n"));
    let has =
        |path: &str| fs::read(inner.join(path)).unwrap_or_else(|error| panic!("{path}: {error}"));
    for path in ["LICENSE", "README.md", "CHANGELOG.md", "UPGRADING.md"] {
        assert_eq!(has(path), read(path).as_bytes(), "{path}");
    }
    // By hand it goes to /usr/local/bin, as this unit says.
    assert_eq!(has("systemd/millrace.service"), read("deploy/systemd/millrace.service").as_bytes());
    assert_eq!(has("default.toml"), read("config/default.toml").as_bytes());
    assert!(!has("man/millrace.1.gz").is_empty() && !has("completions/_millrace").is_empty());
    assert_eq!(fs::read_dir(folder.path()).expect("it is there").count(), 1);
}

#[test]
fn the_same_binary_gives_the_same_packages_byte_for_byte() {
    let (first, folder) = (made(), tempfile::tempdir().expect("a temporary folder can be made"));
    make(THIS, folder.path());
    let mut files = 0;
    for entry in fs::read_dir(folder.path()).expect("it is made") {
        let again = entry.expect("it can be listed").path();
        let name = again.file_name().expect("a file").to_string_lossy().into_owned();
        let same = fs::read(first.file(THIS, &name)).ok() == fs::read(&again).ok();
        assert!(same, "{name}");
        files += 1;
    }
    assert_eq!(files, 3);
}

#[test]
fn the_manual_pages_are_ones_that_man_reads() {
    // groff, which man has the pages set by, is not everywhere: what is looked at is what it would stumble over.
    let folder = tempfile::tempdir().expect("a temporary folder can be made");
    let mut millrace = Command::new(env!("CARGO_BIN_EXE_millrace"));
    millrace.arg("man").arg("--directory");
    run(millrace, [folder.path()]).expect_fine("millrace man");
    let mut pages = 0;
    for entry in fs::read_dir(folder.path()).expect("it is made") {
        let path = entry.expect("it can be listed").path();
        let page = fs::read_to_string(&path).expect("it is text");
        assert!(page.contains("\n.TH ") && page.contains("\n.SH NAME\n"), "{}", path.display());
        pages += 1;
    }
    assert!(pages > 10, "{pages}");
}

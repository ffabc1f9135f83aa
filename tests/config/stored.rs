//! `millrace check` and what lies in the spool's folder: what a start would stumble over.

use std::{
    fs::{self, Permissions},
    os::unix::fs::PermissionsExt as _,
    path::{Path, PathBuf},
    process::Command,
};

use crate::given::environment;

/// A spool of the source `leads` with a few deliveries, as an earlier program left it.
struct Spool(tempfile::TempDir);

impl Spool {
    fn new() -> Self {
        let kept = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/tools/formats/v1/leads");
        let spool = Self(tempfile::tempdir().unwrap());
        for folder in ["", "segments"] {
            let to = spool.leads().join(folder);
            fs::create_dir_all(&to).unwrap();
            for entry in fs::read_dir(kept.join(folder)).unwrap().map(Result::unwrap) {
                if entry.file_type().unwrap().is_file() {
                    let file = to.join(entry.file_name());
                    fs::copy(entry.path(), &file).unwrap();
                    fs::set_permissions(file, Permissions::from_mode(0o600)).unwrap();
                }
            }
        }
        spool
    }

    fn leads(&self) -> PathBuf {
        self.0.path().join("leads")
    }

    /// What `check` says of it, under `command`.
    fn checked_under(&self, command: &[&str]) -> String {
        let program = [command, &[env!("CARGO_BIN_EXE_millrace"), "check"]].concat();
        let spool = self.0.path().to_str().unwrap();
        let variables = [
            ("MILLRACE_SPOOL__DIRECTORY", spool),
            ("MILLRACE_SPOOL__SIZE_LIMIT", "65MiB"),
            ("MILLRACE_SPOOL__RESERVE", "66MiB"),
        ];
        let output = Command::new(program[0])
            .args(&program[1..])
            .env_clear()
            .env("PATH", std::env::var_os("PATH").unwrap_or_default())
            .envs(environment(&variables))
            .output()
            .expect("the program starts");
        let said = String::from_utf8(output.stderr).unwrap();
        assert_eq!(output.status.success(), said.is_empty(), "{said}");
        said
    }

    fn checked(&self) -> String {
        self.checked_under(&[])
    }

    /// What `check` prints of a good one that has `sources`.
    fn printed(&self, more: &[(&'static str, &'static str)]) -> (bool, String) {
        let spool = self.0.path().to_str().unwrap();
        let variables = [
            ("MILLRACE_SPOOL__DIRECTORY", spool),
            ("MILLRACE_SPOOL__SIZE_LIMIT", "200MiB"),
            ("MILLRACE_SPOOL__RESERVE", "66MiB"),
        ];
        let output = Command::new(env!("CARGO_BIN_EXE_millrace"))
            .arg("check")
            .env_clear()
            .envs(environment(&variables))
            .envs(more.iter().copied())
            .output()
            .expect("the program starts");
        let text = [output.stdout, output.stderr].concat();
        (output.status.success(), String::from_utf8(text).unwrap())
    }
}

/// The text with its checksum, as an identity file has it.
fn sealed(text: &str) -> String {
    let covered = text.strip_suffix('}').unwrap();
    format!("{covered},\"checksum\":\"{:08x}\"}}\n", crc32c::crc32c(covered.as_bytes()))
}

#[test]
fn check_names_each_file_of_a_spool_that_would_set_its_source_aside_and_what_to_do() {
    assert_eq!(Spool::new().checked(), "", "a good one");
    type Harm = fn(&Path);
    let harms: [(Harm, &str, &str); 6] = [
        (
            |leads| fs::write(leads.join("identity"), "{\"version\":1,\"spo").unwrap(),
            "leads/identity cannot be used: it is damaged",
            "write `{\"version\":1,\"spool\":\"",
        ),
        (
            |leads| fs::write(leads.join("identity"), "").unwrap(),
            "leads/identity cannot be used: it is damaged",
            "the segment headers name spool",
        ),
        (
            |leads| fs::remove_file(leads.join("identity")).unwrap(),
            "leads/identity cannot be used: it is missing, and there are segments beside it",
            "the segment headers name spool",
        ),
        (
            |leads| fs::write(leads.join("checkpoint"), "{}").unwrap(),
            "leads/checkpoint is damaged",
            "move it away",
        ),
        (
            |leads| {
                let other = r#"{"version":1,"spool":"00000000-0000-0000-0000-000000000001"}"#;
                fs::write(leads.join("identity"), other).unwrap();
            },
            "leads/checkpoint belongs to spool",
            "files of two spools are mixed",
        ),
        (
            |leads| fs::write(leads.join("fenced"), "another instance delivers").unwrap(),
            "leads/fenced says: another instance delivers",
            "stop the other one and remove this file",
        ),
    ];
    for (harm, problem, remedy) in harms {
        let spool = Spool::new();
        harm(&spool.leads());
        let said = spool.checked();
        assert!(said.starts_with("1 mistake in the configuration"), "{said}");
        assert!(said.contains("spool.directory (MILLRACE_SPOOL__DIRECTORY) is `"), "{said}");
        assert!(said.contains("a start ends, since no source is left: `leads`: "), "{said}");
        assert!(said.contains(problem) && said.contains(remedy), "{said}");
    }
}

#[test]
fn check_says_what_a_start_makes_of_it_where_another_source_is_left() {
    let spool = Spool::new();
    fs::write(spool.leads().join("checkpoint"), "{}").unwrap();
    let (good, said) = spool.printed(&[
        ("MILLRACE_SOURCES__OTHER__KIND", "marketo-lead-activity"),
        ("MILLRACE_SOURCES__OTHER__AUTH__TOKENS", "a-token"),
    ]);
    assert!(!good && said.contains("a start sets source `leads` aside: "), "{said}");
}

#[test]
fn segments_that_are_gone_are_what_a_start_repairs() {
    let spool = Spool::new();
    // As a start of this program would have left it.
    let extent = spool.0.path().join("leads.extent");
    fs::write(&extent, "").unwrap();
    fs::remove_dir_all(spool.leads().join("segments")).unwrap();
    let (good, said) = spool.printed(&[]);
    assert!(good && said.contains("\n# source `leads`: "), "{said}");
    assert!(said.contains("A start goes on all the same"), "{said}");
    // The checkpoint belongs to no spool now, and that does end a start.
    fs::remove_file(spool.leads().join("identity")).unwrap();
    let (good, said) = spool.printed(&[]);
    assert!(!good && said.contains("no source is left: `leads`: "), "{said}");
}

#[test]
fn check_names_a_file_of_a_later_version_which_no_start_goes_on_with() {
    let spool = Spool::new();
    fs::write(spool.leads().join("identity"), sealed(r#"{"version":2,"new":true}"#)).unwrap();
    let said = spool.checked();
    assert!(
        said.contains("leads/identity is written in a newer format (format version 2"),
        "{said}"
    );
    assert!(said.contains("no start goes on with this folder"), "{said}");
}

#[test]
fn check_looks_at_no_file_of_a_source_that_is_not_there_yet() {
    let spool = Spool::new();
    fs::remove_dir_all(spool.leads()).unwrap();
    assert_eq!(spool.checked(), "");
}

#[test]
fn check_tells_that_a_spool_or_a_folder_in_it_is_on_a_volume_that_can_only_be_read() {
    let spool = Spool::new();
    let leads = spool.leads();
    let as_root: &[&str] = match rustix::process::geteuid().is_root() {
        true => &["unshare", "--mount"],
        false => &["unshare", "--mount", "--user", "--map-root-user"],
    };
    for (folder, problem) in [(spool.0.path(), "is `"), (&leads, "leads` in it")] {
        let mount = format!("mount -t tmpfs -o ro none '{}' && exec \"$@\"", folder.display());
        let said = spool.checked_under(&[as_root, &["sh", "-c", &mount, "sh"]].concat());
        assert!(said.contains("which is on a volume that can only be read"), "{said}");
        assert!(said.contains(problem), "{said}");
    }
}

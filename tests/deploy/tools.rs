//! The programs that tests/setup/deploy-tools brings, and how one is run.

use std::{
    env,
    ffi::OsStr,
    io::Write,
    path::{Path, PathBuf},
    process::{Command, Stdio},
};

use serde_json::Value;

/// The variable that names the folder of the programs.
const TOOLS: &str = "TEST_DEPLOY_TOOLS";

/// What a program printed, and whether it was content.
#[derive(Debug)]
pub struct Ended {
    pub fine: bool,
    pub out: String,
    pub errors: String,
}

impl Ended {
    /// What it printed, of a program that has to be content.
    #[track_caller]
    pub fn expect_fine(self, what: &str) -> String {
        assert!(self.fine, "{what}:\n{}\n{}", self.out, self.errors);
        self.out
    }
}

/// A file of the repository.
pub fn repository(path: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join(path)
}

#[track_caller]
pub fn read(path: &str) -> String {
    std::fs::read_to_string(repository(path)).unwrap_or_else(|error| panic!("{path}: {error}"))
}

#[track_caller]
pub fn tool(name: &str) -> Command {
    let Some(folder) = env::var_os(TOOLS) else {
        panic!(
            "these tests need Helm and others: run them with `tests/run deploy`, which brings them \
             (or set {TOOLS} to what tests/setup/deploy-tools prints)"
        );
    };
    Command::new(PathBuf::from(folder).join(name))
}

#[track_caller]
pub fn run<S: AsRef<OsStr>>(
    mut command: Command,
    arguments: impl IntoIterator<Item = S>,
    input: &str,
) -> Ended {
    command.args(arguments).stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().unwrap_or_else(|error| panic!("{command:?}: {error}"));
    let mut stdin = child.stdin.take().expect("it is piped");
    let input = input.to_owned();
    // Beside the reading, so that neither waits for the other. One that reads nothing is no mistake.
    let writer = std::thread::spawn(move || drop(stdin.write_all(input.as_bytes())));
    let output = child.wait_with_output().expect("a child can be waited for");
    writer.join().expect("the writer does not panic");
    let text = |bytes| String::from_utf8_lossy(bytes).into_owned();
    Ended { fine: output.status.success(), out: text(&output.stdout), errors: text(&output.stderr) }
}

/// The documents of a YAML text.
#[track_caller]
pub fn yaml(text: &str) -> Vec<Value> {
    let program =
        "import json, sys, yaml; json.dump(list(yaml.safe_load_all(sys.stdin)), sys.stdout)";
    let json = run(tool("python"), ["-c", program], text).expect_fine("YAML");
    let documents: Vec<Value> = serde_json::from_str(&json).expect("Python writes JSON");
    documents.into_iter().filter(|document| !document.is_null()).collect()
}

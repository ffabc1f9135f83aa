//! Runs `millrace simulate` to its end.

use std::process::Command;

use serde_json::Value;

/// How it ended.
#[derive(Debug)]
pub struct Ended {
    pub code: Option<i32>,
    pub out: String,
    pub errors: String,
}

impl Ended {
    /// The report, as JSON.
    #[track_caller]
    pub fn report(&self) -> Value {
        serde_json::from_str(&self.out).unwrap_or_else(|error| panic!("{error}: {self:?}"))
    }

    /// The names of what a real sender would have done.
    #[track_caller]
    pub fn consequences(&self, sender: &str) -> Vec<String> {
        let report = self.report();
        let found = report["senders"][sender]["consequences"].as_array().unwrap();
        found.iter().map(|found| found["name"].as_str().unwrap().to_owned()).collect()
    }
}

/// Sends to `url` as `sender`; `options` are separated by spaces.
pub fn simulate(url: &str, sender: &str, options: &str) -> Ended {
    run(Command::new(env!("CARGO_BIN_EXE_millrace"))
        .args(["simulate", "--json", "--to", url, "--as", sender])
        .args(options.split_whitespace()))
}

/// Runs `command` with a token for Marketo in its environment.
pub fn run(command: &mut Command) -> Ended {
    let output = command.env("SIMULATE_TOKEN", "5ecret").output().unwrap();
    let text = |bytes| String::from_utf8(bytes).unwrap();
    Ended { code: output.status.code(), out: text(output.stdout), errors: text(output.stderr) }
}

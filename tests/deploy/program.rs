//! millrace, asked about an environment.

use std::process::Command;

use crate::tools::{Ended, run};

/// Runs `millrace check` with `environment` and nothing else.
#[track_caller]
pub fn check(environment: &[(String, String)]) -> Ended {
    let mut command = Command::new(env!("CARGO_BIN_EXE_millrace"));
    command.env_clear().envs(environment.iter().map(|(name, value)| (name, value)));
    run(command, ["check"], "")
}

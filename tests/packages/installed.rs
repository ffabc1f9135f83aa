//! An installed service, started as its unit says: the command of `ExecStart`, the user, the environment of
//! `EnvironmentFile`, the folder of `StateDirectory`.

use std::{
    fs,
    io::{BufRead, BufReader},
    net::SocketAddr,
    os::unix::fs::{DirBuilderExt, chown},
    process::Stdio,
    sync::{Arc, Mutex},
    thread,
    time::Duration,
};

use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;

use crate::{
    root::Root,
    support::{
        process::{self, Process},
        wait,
    },
};

pub const PATIENCE: Duration = Duration::from_secs(60);
const UNIT: &str = "/usr/lib/systemd/system/millrace.service";

pub struct Service {
    process: Process,
    log: Arc<Mutex<Vec<String>>>,
}

/// The one value of a key of the installed unit.
#[track_caller]
pub fn of_unit(root: &Root, key: &str) -> String {
    let unit = root.read(UNIT);
    let mut values = unit.lines().filter_map(|line| line.strip_prefix(key)?.strip_prefix('='));
    let value = values.next().unwrap_or_else(|| panic!("the unit has no {key}"));
    assert_eq!(values.next(), None, "the unit has several {key}");
    value.to_owned()
}

/// Numbers of the service's user and group.
#[track_caller]
pub fn user(root: &Root) -> (u32, u32) {
    let name = of_unit(root, "User");
    assert_eq!(of_unit(root, "Group"), name);
    let users = root.read("/etc/passwd");
    let line = users.lines().find(|line| line.starts_with(&format!("{name}:")));
    let line = line.unwrap_or_else(|| panic!("no user is called {name}:\n{users}"));
    let words: Vec<_> = line.split(':').collect();
    (words[2].parse().expect("a number"), words[3].parse().expect("a number"))
}

impl Service {
    /// What the service manager does, as far as this unit asks for it.
    #[track_caller]
    pub fn start(root: &Root) -> Self {
        let (uid, gid) = user(root);
        let state = root.path(&format!("/var/lib/{}", of_unit(root, "StateDirectory")));
        let mode = u32::from_str_radix(&of_unit(root, "StateDirectoryMode"), 8).expect("a mode");
        if !state.exists() {
            fs::DirBuilder::new().mode(mode).create(&state).expect("a folder can be made");
        }
        chown(&state, Some(uid), Some(gid)).expect("root gives it away");

        let line = of_unit(root, "ExecStart");
        let mut command = root.command("setpriv");
        command
            .args([format!("--reuid={uid}"), format!("--regid={gid}")])
            .args(["--clear-groups", "--no-new-privs", "--"])
            .args(line.split(' '))
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::piped());
        let environment = root.read(&of_unit(root, "EnvironmentFile"));
        let lines = environment.lines().filter(|line| !line.starts_with('#'));
        command.envs(lines.filter_map(|line| line.split_once('=')));
        let mut process = process::spawn(command);
        let log = Arc::<Mutex<Vec<String>>>::default();
        let (errors, kept) = (process.child().stderr.take().expect("piped"), Arc::clone(&log));
        thread::spawn(move || {
            for line in BufReader::new(errors).lines().map_while(Result::ok) {
                kept.lock().expect("nobody panics with it").push(line);
            }
        });
        Self { process, log }
    }

    fn log(&self) -> Vec<String> {
        self.log.lock().expect("nobody panics with it").clone()
    }

    #[track_caller]
    pub fn address(&mut self, listener: &str) -> SocketAddr {
        wait::until_some("the service to listen", PATIENCE, || {
            let lines = self.log();
            assert!(self.process.ended().is_none(), "it has ended:\n{}", lines.join("\n"));
            let lines = lines.iter().filter_map(|line| serde_json::from_str::<Value>(line).ok());
            let mut said = lines.filter(|line| line["message"] == "listening");
            said.find(|line| line["listener"] == listener)?["address"].as_str()?.parse().ok()
        })
    }

    /// SIGTERM, as a stop of the unit.
    #[track_caller]
    pub fn stop(mut self) {
        let unshare = self.process.id();
        let children = fs::read_to_string(format!("/proc/{unshare}/task/{unshare}/children"));
        let inner = children.expect("it runs").trim().parse().expect("it has one child");
        kill_process(Pid::from_raw(inner).expect("a number"), Signal::TERM).expect("it runs");
        let status = self.process.wait(PATIENCE);
        assert!(status.success(), "{status}:\n{}", self.log().join("\n"));
    }
}

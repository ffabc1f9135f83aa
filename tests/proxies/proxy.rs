//! A proxy with the configuration of `deploy/proxies`: addresses are the test's, TLS is left out, and the rest is as it
//! stands there.

use std::{
    env, fs,
    net::{SocketAddr, TcpStream},
    path::{Path, PathBuf},
    process::Stdio,
    time::Duration,
};

use tempfile::TempDir;

use crate::support::{
    bridge::Settings,
    http::Client,
    ports,
    process::{self, Process},
    wait,
};

/// Names the folder of the programs.
const PROXIES: &str = "TEST_PROXIES";
pub const PATIENCE: Duration = Duration::from_secs(60);

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    Nginx,
    HaProxy,
}

pub const BOTH: [Kind; 2] = [Kind::Nginx, Kind::HaProxy];

pub struct Proxy {
    _process: Process,
    _folder: TempDir,
    address: SocketAddr,
}

impl Proxy {
    /// As documented, before these instances.
    #[track_caller]
    pub fn start(kind: Kind, backends: &[SocketAddr]) -> Self {
        Self::with(kind, backends, &[])
    }

    /// With lines of the documented configuration replaced by others.
    #[track_caller]
    pub fn with(kind: Kind, backends: &[SocketAddr], changes: &[(&str, &str)]) -> Self {
        let folder = TempDir::new().expect("a temporary folder can be made");
        let address = SocketAddr::from(([127, 0, 0, 1], ports::free()));
        let mut text = documented(kind, address, backends);
        for (from, to) in changes {
            assert!(text.contains(from), "{kind:?} is documented with {from}");
            text = text.replace(from, to);
        }
        let configuration = folder.path().join("configuration");
        fs::write(&configuration, text).expect("a temporary file can be written");
        let process = match kind {
            Kind::Nginx => nginx(folder.path(), &configuration),
            Kind::HaProxy => haproxy(&configuration),
        };
        let mut proxy = Self { _process: process, _folder: folder, address };
        wait::until("a proxy that listens", PATIENCE, || {
            assert_eq!(proxy._process.ended(), None, "{kind:?} does not start");
            TcpStream::connect(address).is_ok()
        });
        proxy
    }

    pub fn address(&self) -> SocketAddr {
        self.address
    }

    pub fn client(&self) -> Client {
        Client::new(self.address)
    }
}

/// A service behind a proxy, of which the documents say that it is told so. Its Kafka is away.
pub fn settings() -> Settings {
    Settings::new("127.0.0.1:1", "proxies").set("LISTEN__TRUSTED_PROXIES", "127.0.0.1")
}

/// A delivery that stays in the spool.
pub fn delivery(id: usize) -> Vec<u8> {
    format!(
        r#"{{"munchkinId":"999-XYZ-000","activities":[{{"id":{id},"leadId":2,"activityTypeId":13,"activityDate":"2026-01-01T00:00:00Z"}}]}}"#
    )
    .into_bytes()
}

fn program(name: &str) -> PathBuf {
    let folder = env::var_os(PROXIES);
    let folder = folder.unwrap_or_else(|| panic!("{PROXIES} is not set; tests/run sets it"));
    Path::new(&folder).join(name)
}

fn documented(kind: Kind, address: SocketAddr, backends: &[SocketAddr]) -> String {
    let (file, listens, listen) = match kind {
        Kind::Nginx => ("nginx.conf", "    listen 443 ssl;", format!("    listen {address};")),
        Kind::HaProxy => ("haproxy.cfg", "    bind :443 ssl crt", format!("    bind {address}")),
    };
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("deploy/proxies").join(file);
    let text = fs::read_to_string(&path).expect("the documented configuration is there");
    let mut lines = Vec::new();
    let (mut listeners, mut servers) = (0, 0);
    for line in text.lines() {
        let is_server = line.trim_start().starts_with("server ") && line.contains("127.0.0.1:80");
        if line.starts_with(listens) {
            listeners += 1;
            lines.push(listen.clone());
        } else if is_server {
            // As many as the test has: the documented ones, without those that are too many.
            if let Some(backend) = backends.get(servers) {
                let (before, rest) = line.split_once("127.0.0.1:808").expect("just seen");
                lines.push(format!("{before}{backend}{}", &rest[1..]));
            }
            servers += 1;
        } else if !line.trim_start().starts_with("ssl_certificate") {
            lines.push(line.to_owned());
        }
    }
    assert!(listeners == 1 && servers == 2 && backends.len() <= 2, "{}: {text}", path.display());
    lines.join("\n") + "\n"
}

fn nginx(folder: &Path, configuration: &Path) -> Process {
    let (at, of) = (folder.display(), configuration.display());
    let temporary = ["client_body", "proxy", "fastcgi", "uwsgi", "scgi"];
    let temporary = temporary.map(|name| format!("{name}_temp_path {at}/{name};")).concat();
    // One process, which ends with the test; with a master its workers would stay.
    let whole = format!(
        "daemon off; master_process off; pid {at}/pid; error_log stderr crit; events {{}}\n\
         http {{ access_log off; {temporary} include {of}; }}\n"
    );
    let main = folder.join("main");
    fs::write(&main, whole).expect("a temporary file can be written");
    let mut command = process::tied(program("nginx"));
    command.args(["-e", "stderr", "-p"]).arg(folder).arg("-c").arg(main).stdin(Stdio::null());
    process::spawn(command)
}

fn haproxy(configuration: &Path) -> Process {
    let mut command = process::tied(program("haproxy"));
    command.args(["-db", "-q", "-f"]).arg(configuration).stdin(Stdio::null());
    process::spawn(command)
}

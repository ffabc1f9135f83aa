//! A PostgreSQL server with throw-away data, of a user that is not root: it refuses to be root's.

use std::{
    env,
    fs::File,
    path::{Path, PathBuf},
    process::{Command, Stdio},
    time::Duration,
};

use serde_json::Value;
use tempfile::TempDir;

use crate::support::{
    ports,
    process::{self, Process},
    wait,
};

const START: Duration = Duration::from_secs(120);

pub struct PostgreSql {
    port: u16,
    programs: Programs,
    // The server ends before its folder does.
    _process: Process,
    _folder: TempDir,
}

/// Debian's packages, unpacked.
struct Programs {
    programs: PathBuf,
    libraries: PathBuf,
}

impl PostgreSql {
    #[track_caller]
    pub fn start() -> Self {
        let programs = Programs::find();
        let folder = tempfile::Builder::new().prefix("millrace-test-postgresql-").tempdir();
        let folder = folder.expect("a temporary folder can be made");
        let data = folder.path().join("data");
        let mut command = programs.unprivileged("initdb");
        command.args(["-U", "test", "-A", "trust", "-N", "-E", "UTF8", "--locale=C", "-D"]);
        let made = command.arg(&data).output().expect("initdb can be started");
        assert!(made.status.success(), "{}", String::from_utf8_lossy(&made.stderr));

        let port = ports::free();
        let log = File::create(folder.path().join("log")).expect("a log can be made");
        let mut command = programs.unprivileged("postgres");
        command
            .args(["-p", &port.to_string(), "-c", "listen_addresses=127.0.0.1", "-c", "jit=off"])
            .args(["-c", "fsync=off", "-c", "unix_socket_directories=", "-D"])
            .arg(&data)
            .stdin(Stdio::null())
            .stdout(log.try_clone().expect("the log can be shared"))
            .stderr(log);
        let process = process::spawn(command);
        let server = Self { port, programs, _process: process, _folder: folder };
        wait::until("a PostgreSQL server that answers", START, || server.ask("select 1").is_ok());
        server
    }

    pub fn url(&self) -> String {
        format!("jdbc:postgresql://127.0.0.1:{}/postgres", self.port)
    }

    /// What a query gives as JSON, row by row.
    #[track_caller]
    pub fn rows(&self, query: &str) -> Vec<Value> {
        let query = format!("select row_to_json(found) from ({query}) as found");
        let printed = self.ask(&query).unwrap_or_else(|error| panic!("{query}: {error}"));
        printed.lines().map(|line| serde_json::from_str(line).expect("a row is JSON")).collect()
    }

    /// Rows in all tables whose names begin so, and how many ids they have.
    #[track_caller]
    pub fn counts(&self, tables: &str) -> (u64, u64) {
        let tables = self.tables().into_iter().filter(|name| name.starts_with(tables));
        let each: Vec<_> = tables.map(|table| format!("select id from \"{table}\"")).collect();
        if each.is_empty() {
            return (0, 0);
        }
        let all = each.join(" union all ");
        let row = self.rows(&format!(
            "select count(*) as rows, count(distinct id) as ids from ({all}) as every"
        ));
        let number = |name: &str| row[0][name].as_u64().expect("a count is a number");
        (number("rows"), number("ids"))
    }

    #[track_caller]
    pub fn tables(&self) -> Vec<String> {
        let rows = self
            .rows("select table_name from information_schema.tables where table_schema = 'public'");
        let name = |row: &Value| row["table_name"].as_str().expect("a table has a name").to_owned();
        rows.iter().map(name).collect()
    }

    /// Runs a command, whose answer is not of interest.
    #[track_caller]
    pub fn run(&self, command: &str) {
        self.ask(command).unwrap_or_else(|error| panic!("{command}: {error}"));
    }

    fn ask(&self, query: &str) -> Result<String, String> {
        let mut command = self.programs.command("psql");
        command.args(["-X", "-q", "-A", "-t", "-v", "ON_ERROR_STOP=1", "-h", "127.0.0.1"]).args([
            "-p",
            &self.port.to_string(),
            "-U",
            "test",
            "-d",
            "postgres",
            "-f",
            "-",
        ]);
        let mut child = command
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .expect("psql can be started");
        // A query of many tables is longer than a pipe is wide.
        let mut input = child.stdin.take().expect("it is piped");
        let query = query.to_owned();
        let writer = std::thread::spawn(move || {
            let _ = std::io::Write::write_all(&mut input, query.as_bytes());
        });
        let output = child.wait_with_output().expect("psql ends");
        writer.join().expect("the query is written");
        match output.status.success() {
            true => Ok(String::from_utf8(output.stdout).expect("JSON is text")),
            false => Err(String::from_utf8_lossy(&output.stderr).into_owned()),
        }
    }
}

impl Programs {
    fn find() -> Self {
        let Some(place) = env::var_os("TEST_POSTGRESQL") else {
            panic!(
                "these tests need PostgreSQL: run them with `tests/run registry`, which fetches it"
            );
        };
        let place = PathBuf::from(place);
        let only = |folder: PathBuf| {
            let mut entries = folder.read_dir().expect("the folder is there").flatten();
            entries.next().expect("there is one entry").path()
        };
        let programs = only(place.join("usr/lib/postgresql")).join("bin");
        let libraries = place.join(format!("usr/lib/{}-linux-gnu", env::consts::ARCH));
        Self { programs, libraries }
    }

    fn command(&self, program: &str) -> Command {
        self.with_libraries(Command::new(self.programs.join(program)))
    }

    fn with_libraries(&self, mut command: Command) -> Command {
        command.env("LD_LIBRARY_PATH", &self.libraries);
        command
    }

    /// As a user that is not root to the program, also where root runs the tests; the files are root's nevertheless.
    fn unprivileged(&self, program: &str) -> Command {
        let program = self.programs.join(program);
        if !rustix::process::geteuid().is_root() {
            return self.with_libraries(process::tied(program));
        }
        let mut command = process::tied(Path::new("unshare"));
        // The other user's death is asked for once more: a change of user forgets it.
        command
            .args(["--map-user=1000", "--map-group=1000", "--"])
            .args(["setpriv", "--pdeathsig", "KILL", "--"])
            .arg(program);
        self.with_libraries(command)
    }
}

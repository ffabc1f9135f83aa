//! The image without a container engine: the Dockerfile's own steps in a clean folder, what they leave
//! laid out as the final image, and that run as the chart runs it.
//!
//! Two things stand for others here. The binary is this test's own build, where the Dockerfile makes a
//! release build; and instead of the base image there is what it is known to have: the C library (this
//! machine's), CA certificates and a list of users. So the base images themselves are not looked at, and
//! neither are the engine's own parts: seccomp's default profile, cgroups, a network of its own.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    io::{BufRead, BufReader},
    net::SocketAddr,
    path::{Path, PathBuf},
    process::{Command, Stdio},
    sync::{Arc, Mutex},
    thread,
    time::Duration,
};

use millrace::kafka::MockCluster;
use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;
use tempfile::TempDir;

use crate::{
    configuration::environment,
    dockerfile::{numbers, stages},
    render::{INSTALLATIONS, manifests},
    support::{
        batches::Subscription,
        http::Client,
        process::{self, Process},
        wait,
    },
    tools::{read, repository, run, tool},
};

const PATIENCE: Duration = Duration::from_secs(60);

/// What the build's `cargo build` is here.
const BUILD: &str = "cargo build --locked --release";

/// A clean folder with what the build gets, and what its steps leave in /out.
struct Built {
    folder: TempDir,
}

impl Built {
    fn out(&self) -> PathBuf {
        self.folder.path().join("out")
    }
}

/// Every step of the build, by the Dockerfile's own words.
#[track_caller]
fn built() -> Built {
    let built = Built { folder: tempfile::tempdir().expect("a temporary folder can be made") };
    let source = built.folder.path().join("src");
    let build = &stages()[0];
    assert_eq!(build.from, "${RUST_IMAGE} AS build");
    let (mut installed, mut replaced) = (Vec::new(), 0);
    for (keyword, rest) in &build.instructions {
        match keyword.as_str() {
            "SHELL" => assert_eq!(rest, r#"["/bin/bash", "-o", "pipefail", "-c"]"#),
            "WORKDIR" => fs::create_dir(&source).expect("a folder can be made"),
            "COPY" => {
                assert_eq!(rest, ". .");
                copy_what_is_let_through(&source);
            }
            "RUN" if rest.starts_with("apt-get ") => installed.extend(packages(rest)),
            // tests/setup/deploy-tools has built the same version.
            "RUN" if rest.starts_with("cargo install cargo-cyclonedx --version ") => {}
            "RUN" => {
                for step in rest.split(" && ") {
                    if step == BUILD {
                        replaced += 1;
                        let target = source.join("target/release");
                        fs::create_dir_all(&target).expect("a folder can be made");
                        fs::copy(env!("CARGO_BIN_EXE_millrace"), target.join("millrace"))
                            .expect("the build can be copied");
                    } else {
                        step_by_hand(step, &source, &built.out());
                    }
                }
            }
            // Behind what is fetched, so that another commit fetches nothing; before the build, which reads it.
            "ARG" => assert_eq!((rest.as_str(), replaced), ("BUILD_COMMIT", 0)),
            other => panic!("{other} in the build: what becomes of it?"),
        }
    }
    assert_eq!(replaced, 1, "the Dockerfile runs `{BUILD}`");
    // What the build wants beside Rust, tests/setup/packages wants too.
    assert_eq!(installed, ["build-essential", "perl"]);
    assert!(read("tests/setup/packages").contains("missing+=(build-essential perl)"));
    built
}

/// The packages that an `apt-get update && apt-get install …` installs.
fn packages(step: &str) -> impl Iterator<Item = String> {
    let install = step.split(" && ").find(|step| step.starts_with("apt-get install "));
    let words = install.expect("it installs").split(' ').skip(2);
    words.filter(|word| !word.starts_with('-')).map(str::to_owned)
}

#[track_caller]
fn step_by_hand(step: &str, source: &Path, out: &Path) {
    let step = step.replace("/out/", &format!("{}/", out.display()));
    let mut bash = Command::new("/bin/bash");
    let tools = tool("helm").get_program().to_owned();
    let tools = Path::new(&tools).parent().expect("it is in a folder");
    let path = std::env::var("PATH").expect("there is a path");
    // Nothing is fetched that the build has not fetched.
    bash.current_dir(source)
        .env("PATH", format!("{}:{path}", tools.display()))
        .env("CARGO_NET_OFFLINE", "true");
    run(bash, ["-o", "pipefail", "-c", &step], "").expect_fine(&step);
}

/// As Dockerfile.dockerignore says.
fn copy_what_is_let_through(source: &Path) {
    let ignore = read("deploy/Dockerfile.dockerignore");
    for path in ignore.lines().filter_map(|line| line.strip_prefix('!')) {
        let to = source.join(path);
        fs::create_dir_all(to.parent().expect("not the root")).expect("a folder can be made");
        let mut copy = Command::new("cp");
        copy.arg("--recursive").arg(repository(path)).arg(to);
        run(copy, [""; 0], "").expect_fine(path);
    }
}

#[test]
fn the_build_reads_nothing_that_is_not_let_through_to_it() {
    // Beside each build of the library and the program, cargo says what it has read.
    let folder = Path::new(env!("CARGO_BIN_EXE_millrace")).with_file_name("deps");
    let entries = fs::read_dir(folder).expect("the build has left it").map(|entry| {
        let entry = entry.expect("it can be listed");
        (entry.file_name().to_string_lossy().into_owned(), entry.path())
    });
    let mut files = BTreeSet::new();
    for (_, path) in
        entries.filter(|(name, _)| name.starts_with("millrace-") && name.ends_with(".d"))
    {
        let text = fs::read_to_string(path).expect("it can be read");
        files.extend(text.lines().filter_map(|line| line.strip_suffix(':')).map(str::to_owned));
    }
    let ignore = read("deploy/Dockerfile.dockerignore");
    let passed: Vec<_> = ignore.lines().filter_map(|line| line.strip_prefix('!')).collect();
    let root = format!("{}/", env!("CARGO_MANIFEST_DIR"));
    // Clippy has read its own settings.
    for file in files.iter().filter(|file| !file.ends_with(".clippy.toml")) {
        let file = file.strip_prefix(&root).unwrap_or(file);
        assert!(passed.iter().any(|path| Path::new(file).starts_with(path)), "{file}");
    }
    assert!(files.len() > 100, "{files:?}");
    for path in passed {
        assert!(repository(path).exists(), "{path}");
    }
}

#[test]
fn the_bill_of_materials_names_what_is_in_the_binary_with_licences() {
    let built = built();
    let bill =
        fs::read_to_string(built.out().join("millrace.cdx.json")).expect("the bill is there");
    let bill: Value = serde_json::from_str(&bill).expect("it is JSON");
    assert_eq!((&bill["bomFormat"], &bill["specVersion"]), (&"CycloneDX".into(), &"1.5".into()));
    assert_eq!(bill["metadata"]["component"]["version"], env!("CARGO_PKG_VERSION"));
    let components = bill["components"].as_array().expect("a list");
    let versions: BTreeMap<_, _> = components
        .iter()
        .map(|component| (component["name"].as_str().expect("a name"), component))
        .collect();
    for name in ["rdkafka", "rdkafka-sys", "openssl-src", "aws-lc-sys", "rustls", "hyper", "tokio"]
    {
        let component = versions.get(name).unwrap_or_else(|| panic!("{name} is not in it"));
        let version = component["version"].as_str().expect("a version");
        let lock = read("Cargo.lock");
        assert!(lock.contains(&format!("name = \"{name}\"\nversion = \"{version}\"")), "{name}");
        assert!(component["licenses"].is_array(), "{name} has no licence");
        assert!(component["purl"].as_str().is_some_and(|url| url.starts_with("pkg:cargo/")));
    }
    // What only tests use is in no image.
    assert!(!versions.contains_key("proptest"));
    let sbom = tempfile::tempdir().expect("a temporary folder can be made");
    let stage = &stages()[1];
    assert_eq!(stage.from, "scratch AS sbom");
    stage.copy(&built.out(), sbom.path());
    assert!(sbom.path().join("millrace.cdx.json").is_file(), "--target sbom");
}

/// The final image below `root`, and how it is run: user, environment, command.
#[track_caller]
fn lay_out(built: &Built, root: &Path) -> (String, Vec<(String, String)>, Vec<String>) {
    let stages = stages();
    let image = stages.last().expect("there are stages");
    assert_eq!(image.from, "${RUNTIME_IMAGE}");
    base(&built.out().join("millrace"), root);
    image.copy(&built.out(), root);
    let environment = image.of_kind("ENV").map(|variable| {
        let (name, value) = variable.split_once('=').expect("a name and a value");
        (name.to_owned(), value.to_owned())
    });
    let words = |keyword| -> Vec<String> {
        serde_json::from_str(image.the(keyword)).expect("a list of words")
    };
    let command = [words("ENTRYPOINT"), words("CMD")].concat();
    (image.the("USER").to_owned(), environment.collect(), command)
}

/// As much of the base image as the service needs: folders, the C library, certificates, users.
fn base(binary: &Path, root: &Path) {
    for folder in ["dev", "etc/millrace", "etc/ssl/certs", "proc", "tmp"] {
        fs::create_dir_all(root.join(folder)).expect("a folder can be made");
    }
    for device in ["dev/null", "dev/urandom"] {
        fs::write(root.join(device), "").expect("a file can be made");
    }
    let users =
        "root:x:0:0::/root:/sbin/nologin\nnonroot:x:65532:65532::/home/nonroot:/sbin/nologin\n";
    fs::write(root.join("etc/passwd"), users).expect("a file can be made");
    let needed = run(Command::new("ldd"), [binary], "").expect_fine("ldd");
    let absolute = |word: &&str| word.starts_with('/');
    for library in needed.lines().filter_map(|line| line.split_whitespace().find(absolute)) {
        let to = root.join(library.trim_start_matches('/'));
        fs::create_dir_all(to.parent().expect("not the root")).expect("a folder can be made");
        fs::copy(library, to).expect("a library can be copied");
    }
    let certificates = "etc/ssl/certs/ca-certificates.crt";
    fs::copy(Path::new("/").join(certificates), root.join(certificates)).expect("CA certificates");
}

/// A process of the service in its container.
struct Container {
    process: Process,
    log: Arc<Mutex<Vec<String>>>,
}

impl Container {
    #[track_caller]
    fn start(arguments: &[&str], environment: &[(String, String)]) -> Self {
        let mut command = process::tied("unshare");
        command
            .args(["--mount", "--ipc", "--uts", "--pid", "--fork", "--kill-child"])
            .arg(repository("tests/deploy/contain"))
            .args(arguments)
            .env_clear()
            .env("PATH", "/usr/sbin:/usr/bin:/sbin:/bin")
            .envs(environment.iter().map(|(name, value)| (name, value)))
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::piped());
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
    fn address(&mut self, listener: &str) -> SocketAddr {
        wait::until_some("the service to listen", PATIENCE, || {
            let lines = self.log();
            assert!(self.process.ended().is_none(), "it has ended:\n{}", lines.join("\n"));
            let lines = lines.iter().filter_map(|line| serde_json::from_str::<Value>(line).ok());
            let mut said = lines.filter(|line| line["message"] == "listening");
            said.find(|line| line["listener"] == listener)?["address"].as_str()?.parse().ok()
        })
    }

    /// The service's own process, outside of whose numbers it has another one.
    #[track_caller]
    fn inner(&self) -> i32 {
        let unshare = self.process.id();
        let children = fs::read_to_string(format!("/proc/{unshare}/task/{unshare}/children"));
        children.expect("it runs").trim().parse().expect("it has one child")
    }
}

#[test]
fn what_the_dockerfile_leaves_serves_as_the_chart_runs_it_and_stops_when_it_is_told() {
    let built = built();
    let folder = tempfile::tempdir().expect("a temporary folder can be made");
    let place = |name: &str| {
        let path = folder.path().join(name);
        fs::create_dir(&path).expect("a folder can be made");
        (path.display().to_string(), path)
    };
    let ((root, root_path), (files, files_path)) = (place("root"), place("files"));
    let (user, mut variables, command) = lay_out(&built, &root_path);

    // The image's user is the chart's, and the mount point gives a new volume its owner.
    let pod = &manifests(INSTALLATIONS[0], &[]).pods()[0]["securityContext"].clone();
    let (uid, gid) = numbers(&user);
    for (key, expected) in [("runAsUser", uid), ("runAsGroup", gid), ("fsGroup", gid)] {
        assert_eq!(pod[key], expected, "{key}");
    }
    let volume = root_path.join("var/lib/millrace");
    let owner = fs::metadata(&volume).map(|data| {
        use std::os::unix::fs::MetadataExt;
        (data.uid(), data.gid())
    });
    assert_eq!(owner.expect("the mount point is there"), (uid, gid));
    let (spool, spool_path) = place("spool");
    std::os::unix::fs::chown(&spool_path, Some(uid), Some(gid)).expect("root gives it away");

    // The chart's environment goes over the image's. Kafka is another one, and ports are free ones.
    let kafka = MockCluster::start(1).expect("the cluster in memory starts");
    variables.extend(
        environment(INSTALLATIONS[0], &files_path)
            .into_iter()
            .map(|(name, value)| (name, value.replace(&files, "/etc/millrace"))),
    );
    for (name, value) in [
        ("KAFKA__BOOTSTRAP_SERVERS", kafka.bootstrap()),
        ("LISTEN__ADDRESS", "127.0.0.1:0"),
        ("ADMIN__ADDRESS", "127.0.0.1:0"),
        ("TOPICS__CREATE", "false"),
        ("TOPICS__NAME", "contained"),
        ("SHUTDOWN__DELAY", "0s"),
        ("LOG__FORMAT", "json"),
    ] {
        variables.push((format!("MILLRACE_{name}"), value.to_owned()));
    }
    kafka.create_topic("contained", 1).expect("a topic can be made");

    let command: Vec<_> = command.iter().map(String::as_str).collect();
    let arguments = [&[&root[..], &spool, &files, &user], &command[..]].concat();
    let mut container = Container::start(&arguments, &variables);
    let (deliveries, admin) = (container.address("deliveries"), container.address("admin"));
    let mut admin = Client::new(admin);
    wait::until("a ready service", PATIENCE, || {
        admin.get("/readyz").is_ok_and(|answer| answer.status == 200)
    });

    let inner = container.inner();
    let status = fs::read_to_string(format!("/proc/{inner}/status")).expect("it runs");
    let said = |name: &str| {
        let line = status.lines().find_map(|line| line.strip_prefix(name));
        line.unwrap_or_else(|| panic!("{name} in {status}")).split_whitespace().collect::<Vec<_>>()
    };
    assert_eq!(said("Uid:"), vec![uid.to_string(); 4]);
    assert_eq!(said("Gid:"), vec![gid.to_string(); 4]);
    assert_eq!(said("Groups:"), [""; 0]);
    assert_eq!(
        (said("CapPrm:"), said("CapEff:")),
        (vec!["0000000000000000"], vec!["0000000000000000"])
    );
    assert_eq!(said("NoNewPrivs:"), ["1"]);
    assert_eq!(said("NSpid:").last(), Some(&"1"));
    let mounts = fs::read_to_string(format!("/proc/{inner}/mountinfo")).expect("it runs");
    let options = |place: &str| {
        let mut lines = mounts.lines().map(|line| line.split(' ').collect::<Vec<_>>());
        lines.find(|words| words[4] == place).map(|words| words[5].to_owned()).expect("a mount")
    };
    assert!(options("/").starts_with("ro,") && options("/etc/millrace").starts_with("ro,"));
    assert!(options("/var/lib/millrace").starts_with("rw"));

    // configuration::environment puts the same secret into each file.
    let batch = Subscription::new("999-IMG-001", 3).batch_of(20);
    let answer = Client::new(deliveries).deliver("/v1/leads", "a-secret", &batch.body);
    assert_eq!(answer.expect("an answer").status, 200);
    wait::until("deliveries", PATIENCE, || {
        let metrics = admin.get("/metrics").expect("an answer").text();
        metrics.lines().any(|line| {
            line.starts_with("millrace_events_delivered_total{") && line.ends_with(" 20")
        })
    });
    assert!(spool_path.join("leads/segments").is_dir(), "the volume has the spool");

    kill_process(Pid::from_raw(inner).expect("a number"), Signal::TERM).expect("it runs");
    let status = container.process.wait(PATIENCE);
    assert!(status.success(), "{status}:\n{}", container.log().join("\n"));
}

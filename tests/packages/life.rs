//! The life of a package: installed, started, upgraded with a backlog, removed, and (the .deb) purged.

use std::{fs, os::unix::fs::MetadataExt};

use millrace::kafka::MockCluster;

use crate::{
    installed::{PATIENCE, Service, user},
    made::{OLDER, made},
    root::Root,
    support::{batches::Subscription, http::Client, ports, wait},
    tools::read,
};

const THIS: &str = env!("CARGO_PKG_VERSION");
const EVENTS: usize = 20;

/// How a kind of package is installed and removed.
struct Kind {
    ending: &'static str,
    install: &'static [&'static str],
    upgrade: &'static [&'static str],
    remove: &'static [&'static str],
    version: &'static [&'static str],
}

const DEB: Kind = Kind {
    ending: ".deb",
    install: &["dpkg", "--install"],
    upgrade: &["dpkg", "--install"],
    remove: &["dpkg", "--remove"],
    version: &["dpkg-query", "--showformat=${Version}", "--show"],
};

// Nothing that the package needs has been installed as an .rpm.
const RPM: Kind = Kind {
    ending: ".rpm",
    install: &["rpm", "--nodeps", "--install"],
    upgrade: &["rpm", "--nodeps", "--upgrade"],
    remove: &["rpm", "--erase"],
    version: &["rpm", "--query", "--queryformat=%{VERSION}"],
};

/// A root, and what is done in it with a package.
struct Machine {
    root: Root,
    kind: &'static Kind,
}

impl Machine {
    #[track_caller]
    fn apply(&self, words: &[&str], to: &str) -> String {
        let arguments = [&words[1..], &[to]].concat();
        let ended = self.root.run(words[0], &arguments);
        let said = format!("{}{}", ended.out, ended.errors);
        ended.expect_fine(&format!("{words:?} {to}"));
        said
    }

    #[track_caller]
    fn install(&self, words: &[&str], version: &str) -> String {
        let package = self.root.take_in(&made().file(version, self.kind.ending));
        let said = self.apply(words, &package);
        assert_eq!(self.apply(self.kind.version, "millrace"), version);
        said
    }

    /// The file that came with the package with values for this test, and a token.
    #[track_caller]
    fn configure(&self, bootstrap: &str) {
        let mut text = read("deploy/systemd/environment");
        assert!(text.contains("=kafka:9092\n"), "{text}");
        text = text.replace("=kafka:9092\n", &format!("={bootstrap}\n"));
        for (name, value) in [
            ("LISTEN__ADDRESS", "127.0.0.1:0"),
            ("ADMIN__ADDRESS", "127.0.0.1:0"),
            ("TOPICS__CREATE", "false"),
            ("TOPICS__NAME", "packaged"),
            ("SHUTDOWN__DELAY", "0s"),
            ("SHUTDOWN__FLUSH", "0s"),
            ("SPOOL__RESERVE", "80MiB"),
            ("SPOOL__SIZE_LIMIT", "1GiB"),
            ("LOG__FORMAT", "json"),
        ] {
            text.push_str(&format!("MILLRACE_{name}={value}\n"));
        }
        fs::write(self.root.path("/etc/millrace/environment"), text).expect("it can be written");
        let token = self.root.path("/etc/millrace/leads-tokens");
        fs::write(&token, "a-secret\n").expect("it can be written");
        std::os::unix::fs::chown(&token, Some(0), Some(user(&self.root).1)).expect("root gives it");
    }

    fn segments(&self) -> usize {
        let entries = fs::read_dir(self.root.path("/var/lib/millrace/leads/segments"));
        entries.map_or(0, Iterator::count)
    }
}

fn delivered(metrics: &str) -> bool {
    let mut lines = metrics.lines();
    let wanted = format!(" {EVENTS}");
    lines
        .any(|line| line.starts_with("millrace_events_delivered_total{") && line.ends_with(&wanted))
}

/// Everything but the end, which differs.
#[track_caller]
fn lives_until_its_removal(kind: &'static Kind) -> Machine {
    let machine = Machine { root: Root::new(), kind };
    let root = &machine.root;

    // Installed: a user, rights, nothing that starts by itself.
    let said = machine.install(kind.install, OLDER);
    assert!(said.contains("Edit /etc/millrace/environment"), "{said}");
    let (_, gid) = user(root);
    let environment = root.path("/etc/millrace/environment");
    let rights = fs::metadata(&environment).expect("it is there");
    assert_eq!((rights.mode() & 0o777, rights.uid(), rights.gid()), (0o640, 0, gid));
    let enabled = root.path("/etc/systemd/system/multi-user.target.wants/millrace.service");
    assert!(!enabled.is_symlink(), "an installation does not enable it");
    assert_eq!(root.read("/etc/millrace/environment"), read("deploy/systemd/environment"));
    let unit = root.read("/usr/lib/systemd/system/millrace.service");
    let by_hand = read("deploy/systemd/millrace.service");
    assert_eq!(unit.replace("=/usr/bin/", "=/usr/local/bin/"), by_hand);
    let verified = root.run("systemd-analyze", &["verify", "millrace.service"]);
    assert!(verified.fine && !verified.errors.contains("millrace"), "{verified:?}");
    root.run("systemctl", &["enable", "millrace"]).expect_fine("systemctl enable");
    assert!(enabled.is_symlink());

    // Kafka is away: a backlog.
    machine.configure(&format!("127.0.0.1:{}", ports::free()));
    let mut service = Service::start(root);
    let batch = Subscription::new("999-PKG-001", 3).batch_of(EVENTS);
    let answer =
        Client::new(service.address("deliveries")).deliver("/v1/leads", "a-secret", &batch.body);
    assert_eq!(answer.expect("an answer").status, 200);
    service.stop();
    assert_eq!(machine.segments(), 1);

    // Upgraded: what was configured and enabled stays, and so does the backlog, which goes to Kafka then.
    let kafka = MockCluster::start(1).expect("the cluster in memory starts");
    kafka.create_topic("packaged", 1).expect("a topic can be made");
    machine.configure(kafka.bootstrap());
    let configured = root.read("/etc/millrace/environment");
    let said = machine.install(kind.upgrade, THIS);
    assert!(!said.contains("Edit /etc/millrace/environment"), "{said}");
    assert_eq!(root.read("/etc/millrace/environment"), configured);
    assert!(enabled.is_symlink(), "an upgrade disables nothing");
    assert_eq!(machine.segments(), 1);
    let mut service = Service::start(root);
    let mut admin = Client::new(service.address("admin"));
    wait::until("the backlog in Kafka", PATIENCE, || {
        delivered(&admin.get("/metrics").expect("an answer").text())
    });
    service.stop();

    // Removed: the program goes, the data stay.
    machine.apply(kind.remove, "millrace");
    assert!(!root.path("/usr/bin/millrace").exists());
    assert_eq!(machine.segments(), 1);
    assert!(root.path("/etc/millrace/leads-tokens").exists());
    machine
}

#[test]
fn a_deb_keeps_a_backlog_through_upgrade_removal_and_purge() {
    let machine = lives_until_its_removal(&DEB);
    let root = &machine.root;
    assert!(root.path("/etc/millrace/environment").exists(), "a removal keeps the configuration");

    let said = machine.apply(&["dpkg", "--purge"], "millrace");
    assert!(said.contains("/var/lib/millrace stays"), "{said}");
    assert!(!root.path("/etc/millrace/environment").exists(), "a purge takes the configuration");
    assert!(root.path("/etc/millrace/leads-tokens").exists(), "what is not the package's stays");
    assert_eq!(machine.segments(), 1);
    assert!(root.read("/etc/passwd").contains("millrace:"), "the files that stay belong to it");

    // Installed once more, the program opens what was there.
    machine.install(DEB.install, THIS);
    machine.configure(&format!("127.0.0.1:{}", ports::free()));
    let mut service = Service::start(root);
    service.address("deliveries");
    service.stop();
    assert_eq!(machine.segments(), 1);
}

/// As UPGRADING.md has it for what was installed by hand before.
#[test]
fn a_deb_keeps_the_configuration_that_it_finds_and_leaves_nothing_if_it_was_never_started() {
    let machine = Machine { root: Root::new(), kind: &DEB };
    let root = &machine.root;
    let (folder, file) = (root.path("/etc/millrace"), "/etc/millrace/environment");
    fs::create_dir(&folder).expect("a folder can be made");
    fs::write(root.path(file), "MILLRACE_LOG__FORMAT=text\n").expect("it can be written");
    machine.install(&["dpkg", "--force-confold", "--install"], THIS);
    assert_eq!(root.read(file), "MILLRACE_LOG__FORMAT=text\n");

    fs::create_dir(root.path("/var/lib/millrace")).expect("a folder can be made");
    let said = machine.apply(&["dpkg", "--purge"], "millrace");
    assert!(!said.contains("stays"), "{said}");
    for place in
        ["/var/lib/millrace", "/etc/millrace", "/usr/bin/millrace", "/usr/share/doc/millrace"]
    {
        assert!(!root.path(place).exists(), "{place}");
    }
}

#[test]
fn an_rpm_keeps_a_backlog_through_upgrade_and_removal() {
    let machine = lives_until_its_removal(&RPM);
    let root = &machine.root;
    let kept = root.path("/etc/millrace/environment.rpmsave");
    assert!(kept.exists(), "what was configured is kept under another name");
    let enabled = root.path("/etc/systemd/system/multi-user.target.wants/millrace.service");
    assert!(!enabled.is_symlink(), "a removal disables it");
}

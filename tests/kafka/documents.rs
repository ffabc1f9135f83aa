//! Whatever the README, `deploy/SENDERS.md` and `deploy/CONSUMING.md` tell people to type is typed here,
//! word for word, by a person who sets a bridge up from nothing: against a broker that asks for a
//! password and allows nothing that the documents do not have allowed.
//!
//! Only names of places are replaced: brokers, the bridge's address, folders, Adobe's hosts.

use std::{
    collections::BTreeMap,
    fs,
    io::{BufRead, BufReader},
    os::unix::fs::{PermissionsExt, symlink},
    path::{Path, PathBuf},
    process::{Command, Stdio},
    sync::{Arc, Mutex},
    thread,
    time::Duration,
};

use serde_json::Value;
use tempfile::TempDir;

use crate::{
    adobe::{self, Adobe},
    broker::{Broker, Options},
    jars,
    support::{
        bridge::{Bridge, Settings},
        documents::{self, Block, MANIFESTS, NOT_RUN, WITH_REGISTRY},
        process, wait,
    },
};

const PATIENCE: Duration = Duration::from_secs(120);
const README: &str = "README.md";
const SENDERS: &str = "deploy/SENDERS.md";
const CONSUMING: &str = "deploy/CONSUMING.md";

#[test]
fn every_command_of_the_documents_does_what_they_say() {
    let settings = [("allow.everyone.if.no.acl.found", "false"), ("super.users", "User:ANONYMOUS")];
    let settings = settings.map(|(name, value)| (name, value.to_owned())).to_vec();
    let broker = Broker::start_with(&Options {
        access_control: true,
        passwords: true,
        settings,
        ..Options::default()
    });
    broker.set_password("millrace", "a-password");
    let journal = Adobe::new(3, 2);
    let mut person = Person::new(&broker);
    person.write("secrets/kafka-password", "a-password\n");
    person.write("secrets/adobe-client-secret", adobe::SECRET);
    person.write("secrets/backfill-token", "a-token-for-backfill\n");
    fs::create_dir(person.folder.path().join("keys")).unwrap();

    // Kafka's side, then what the bridge is told, and the bridge.
    person.types(README, "kafka-acls.sh");
    person.types(README, "SASL_PASSWORD_FILE");
    person.types(SENDERS, "openssl rand -hex 32 >/run/secrets/marketo-token");
    person.types(SENDERS, "SIGNING_KEYS_FILE");
    person.types(SENDERS, "ADOBE__AUTH__CLIENT_IDS=");
    person.replaces(
        "https://events-va6.adobe.io/events/organizations/1/integrations/2/3",
        &journal.journal_url(),
    );
    person.replaces(
        "ORGANIZATION_ID=0123456789ABCDEF@AdobeOrg",
        &format!("ORGANIZATION_ID={}", adobe::ORGANIZATION),
    );
    person.replaces(
        "JOURNAL__CLIENT_ID=0123456789abcdef0123456789abcdef",
        &format!("JOURNAL__CLIENT_ID={}", adobe::CLIENT),
    );
    person.types(SENDERS, "JOURNAL__CLIENT_SECRET_FILE");
    person.exports("MILLRACE_SOURCES__ADOBE__JOURNAL__TOKEN_URL", &journal.token_url());
    person.types(SENDERS, "ADOBE__KEYS_FOLDER");
    person.types(SENDERS, "ADOBE__EXCLUDE__STREAMS");
    person.uses_kafka_at(&broker.guarded_address());
    let checked = person.types(README, "millrace serve");
    assert!(checked.contains("topic marketo.dead-letter will be created when needed"), "{checked}");
    let mut bridge = Bridge::start(Settings::exactly(person.service()));
    person.uses_bridge(&bridge);
    person.uses_kafka_at(&broker.address());

    // The sending side.
    assert!(person.types(README, "\"marketoGUID\":\"a-1\"").contains("200 OK"));
    assert!(person.types(SENDERS, "grant_type=client_credentials").contains("\"access_token\""));
    assert!(person.types(SENDERS, "challenge=hello").contains("\r\n\r\nhello"));
    person.replaces("millrace simulate", "millrace simulate --duration 1s --connections 1");
    person.types(SENDERS, "--as marketo");
    person.types(SENDERS, "--as adobe");
    person.types(SENDERS, "millrace backfill");
    bridge.wait_until_drained(PATIENCE);

    // Operations, while it runs and by what the bridge may do.
    let inspected = person.types(README, "millrace spool inspect");
    assert!(inspected.contains("leads") && inspected.contains("adobe"), "{inspected}");

    // The consuming side.
    assert!(person.types(CONSUMING, "this is no JSON").contains("200 OK"));
    bridge.wait_until_drained(PATIENCE);
    let record = ["999-XYZ-000:4711", "ce_id=a-1", "\"leadId\":\"4711\""];
    let letter = ["millrace-reason=not-json", "this is no JSON"];
    for (document, block, expected) in [
        (README, "kcat -b kafka:9092 -C -t marketo.lead-activity.clicklink", &record[..]),
        (CONSUMING, "kcat -b kafka:9092 -C -t marketo.lead-activity.clicklink", &record[..]),
        (CONSUMING, "kcat -b kafka:9092 -C -t marketo.dead-letter", &letter[..]),
    ] {
        let printed = person.types(document, block);
        for text in expected {
            assert!(printed.contains(text), "{text} in {printed}");
        }
    }
    person.saves(CONSUMING, "python", "read.py");
    person.saves(CONSUMING, "java", "Read.java");
    for program in ["python read.py", " Read.java"] {
        person.types_until(CONSUMING, program, &["a-1 com.adobe", "dead letter: not-json"]);
    }
    person.types(CONSUMING, "--consumer");

    // The catalogue, by what the bridge may do.
    let shown = person.types(README, "millrace topics  ");
    let document = &shown[shown.find("\n{").expect("the second command prints JSON")..];
    let mut document = serde_json::Deserializer::from_str(document).into_iter::<Value>();
    let document = document.next().expect("a document").expect("it is JSON");
    assert_eq!(document["asyncapi"], "3.0.0");
    let made = person.types(README, "millrace topics --create");
    assert!(
        made.contains("marketo.lead-activity.custom-100001") && made.contains("0 failed"),
        "{made}"
    );
    let resources = person.read("topics.yaml");
    assert!(resources.contains("topicName: \"marketo.user-audit.email\""), "{resources}");

    // What the admin listener says of it all.
    let (_, admin) = bridge.addresses();
    person.replaces("http://127.0.0.1:9090", &format!("http://{admin}"));
    let refused = person.types(README, "/api/v1/deliveries?outcome=refused");
    assert!(refused.contains("\"deliveries\"") || refused.contains("\"requests\""), "{refused}");
    person.types_until(README, "/api/v1/events", &["event: status"]);

    bridge.terminate();
    assert!(bridge.wait(PATIENCE).success());
    person.types(README, "millrace drain");

    person.has_typed_everything();
}

/// Somebody at a shell, with the documents.
struct Person {
    folder: TempDir,
    /// What is typed where the documents name somebody else's place.
    places: Vec<(String, String)>,
    blocks: Vec<Block>,
    /// Document and line of those that were typed.
    typed: Vec<(&'static str, usize)>,
}

impl Person {
    fn new(broker: &Broker) -> Self {
        let folder = tempfile::Builder::new().prefix("millrace-test-person-").tempdir().unwrap();
        let root = folder.path().display().to_string();
        let places = [
            ("/run/secrets/", format!("{root}/secrets/")),
            ("/var/lib/millrace", format!("{root}/spool")),
            ("/tmp/keys", format!("{root}/keys")),
            ("SASL_SSL", "SASL_PLAINTEXT".into()),
            ("kafka:9092", broker.address()),
        ];
        let places = places.map(|(written, typed)| (written.to_owned(), typed)).to_vec();
        let person = Self { folder, places, blocks: documents::blocks(), typed: Vec::new() };
        for name in ["bin", "secrets", "spool"] {
            fs::create_dir(person.folder.path().join(name)).unwrap();
        }
        person.programs();
        for (name, value) in [
            // A disk of any size, and free ports.
            ("MILLRACE_SPOOL__SIZE_LIMIT", "1GiB"),
            ("MILLRACE_LISTEN__ADDRESS", "127.0.0.1:0"),
            ("MILLRACE_ADMIN__ADDRESS", "127.0.0.1:0"),
            ("MILLRACE_SHUTDOWN__DELAY", "100ms"),
            ("MILLRACE_LOG__FORMAT", "json"),
        ] {
            person.exports(name, value);
        }
        person
    }

    /// What stands on the PATH: ours, Kafka's tool and a Python with the packages of the documents.
    fn programs(&self) {
        let jars = jars::folder().display().to_string();
        symlink(&jars, self.folder.path().join("kafka-clients")).unwrap();
        let java = format!("java {} -cp '{jars}/*'", jars::options().join(" "));
        let python = std::env::var("TEST_CLOUDEVENTS_PYTHON")
            .expect("TEST_CLOUDEVENTS_PYTHON: tests/run sets it (tests/setup/cloudevents)");
        for (name, script) in [
            // `serve` is started by the test, in the environment that is here by then.
            (
                "millrace",
                format!(
                    "[[ $1 != serve ]] || exit 0\nexec '{}' \"$@\"",
                    env!("CARGO_BIN_EXE_millrace")
                ),
            ),
            ("kafka-acls.sh", format!("exec {java} org.apache.kafka.tools.AclCommand \"$@\"")),
            ("python", format!("exec '{python}' \"$@\"")),
        ] {
            let path = self.folder.path().join("bin").join(name);
            fs::write(&path, format!("#!/usr/bin/env bash\n{script}\n")).unwrap();
            fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).unwrap();
        }
    }

    fn replaces(&mut self, written: &str, typed: &str) {
        self.places.insert(0, (written.to_owned(), typed.to_owned()));
    }

    fn uses_kafka_at(&mut self, address: &str) {
        self.replaces("kafka:9092", address);
    }

    fn uses_bridge(&mut self, bridge: &Bridge) {
        let (deliveries, admin) = bridge.addresses();
        self.replaces("https://hooks.example.com", &format!("http://{deliveries}"));
        self.exports("MILLRACE_LISTEN__ADDRESS", &deliveries.to_string());
        self.exports("MILLRACE_ADMIN__ADDRESS", &admin.to_string());
        self.exports("MILLRACE_SPOOL__DIRECTORY", &bridge.spool().display().to_string());
        let token = self.read("secrets/marketo-token");
        self.exports("TOKEN", token.trim());
    }

    fn write(&self, name: &str, text: &str) {
        fs::write(self.folder.path().join(name), text).unwrap();
    }

    #[track_caller]
    fn read(&self, name: &str) -> String {
        fs::read_to_string(self.folder.path().join(name)).unwrap_or_else(|e| panic!("{name}: {e}"))
    }

    /// The one block of `document` with `text` in it, which is done with now.
    #[track_caller]
    fn takes(&mut self, document: &str, text: &str) -> Block {
        let block = documents::the(&self.blocks, document, text).clone();
        self.typed.push((block.document, block.line));
        block
    }

    #[track_caller]
    fn saves(&mut self, document: &str, language: &str, name: &str) {
        let block = self.blocks.iter().find(|b| b.document == document && b.language == language);
        let block = block.unwrap_or_else(|| panic!("no {language} in {document}")).clone();
        self.typed.push((block.document, block.line));
        self.write(name, &block.text);
    }

    /// Types a block, and returns what was printed; each command in it has to be content.
    #[track_caller]
    fn types(&mut self, document: &str, text: &str) -> String {
        let block = self.takes(document, text);
        let (fine, printed) = self.runs(&self.in_place(&block));
        assert!(fine, "{document}, line {}:\n{}\n{printed}", block.line, block.text);
        printed
    }

    fn in_place(&self, block: &Block) -> String {
        let replace =
            |text: String, (written, typed): &(String, String)| text.replace(written, typed);
        self.places.iter().fold(block.text.clone(), replace)
    }

    #[track_caller]
    fn exports(&self, name: &str, value: &str) {
        let (fine, printed) = self.runs(&format!("export {name}='{value}'"));
        assert!(fine, "{printed}");
    }

    /// One shell after another, each with the variables that the last one had.
    fn runs(&self, commands: &str) -> (bool, String) {
        let output = self.shell(Command::new("bash"), commands).output().expect("bash starts");
        let printed = [output.stdout, output.stderr].concat();
        (output.status.success(), String::from_utf8_lossy(&printed).into_owned())
    }

    fn shell(&self, mut bash: Command, commands: &str) -> Command {
        let root = self.folder.path();
        let variables = root.join("variables");
        let variables = variables.display();
        let path = std::env::var("PATH").unwrap_or_default();
        let script = format!(
            "set -euo pipefail\n[[ ! -f {variables} ]] || source {variables}\n{commands}\n\
             export -p >{variables}\n"
        );
        bash.args(["-c", &script])
            .current_dir(root)
            .env_clear()
            .env("HOME", root)
            .env("PATH", format!("{}:{path}", root.join("bin").display()))
            .stdin(Stdio::null());
        bash
    }

    /// Types a block that never ends, until it has printed each of `expected`.
    #[track_caller]
    fn types_until(&mut self, document: &str, text: &str, expected: &[&str]) {
        let block = self.takes(document, text);
        // Not a child of a shell: it has to end with this test.
        let commands = format!("exec {}", self.in_place(&block));
        let mut command = self.shell(process::tied("bash"), &commands);
        command.stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut running = process::spawn(command);
        let printed = Arc::new(Mutex::new(String::new()));
        let (out, errors) = (running.child().stdout.take(), running.child().stderr.take());
        let keep = |pipe: Box<dyn std::io::Read + Send>| {
            let printed = Arc::clone(&printed);
            thread::spawn(move || {
                for line in BufReader::new(pipe).lines().map_while(Result::ok) {
                    *printed.lock().unwrap() += &(line + "\n");
                }
            });
        };
        keep(Box::new(out.expect("it is piped")));
        keep(Box::new(errors.expect("it is piped")));
        let all = || expected.iter().all(|text| printed.lock().unwrap().contains(text));
        wait::until(&format!("{text}: {expected:?}"), PATIENCE, || {
            let ended = running.ended();
            assert!(ended.is_none() || all(), "{text} ended:\n{}", printed.lock().unwrap());
            all()
        });
        running.kill();
    }

    /// What the service would be started with now.
    fn service(&self) -> BTreeMap<String, String> {
        let output = self.shell(Command::new("bash"), "env -0").output().expect("bash starts");
        let variables = String::from_utf8(output.stdout).expect("variables are text");
        let variables = variables.split('\0').filter_map(|variable| variable.split_once('='));
        let ours = variables.filter(|(name, _)| name.starts_with("MILLRACE_"));
        ours.map(|(name, value)| (name.to_owned(), value.to_owned())).collect()
    }

    #[track_caller]
    fn has_typed_everything(&self) {
        let others = NOT_RUN.iter().map(|(document, text, _)| (*document, *text));
        let others = others.chain(MANIFESTS.iter().chain(WITH_REGISTRY).copied());
        let others: Vec<_> = others
            .map(|(document, text)| documents::the(&self.blocks, document, text))
            .map(|block| (block.document, block.line))
            .collect();
        let is_known = |place| self.typed.contains(&place) || others.contains(&place);
        for block in &self.blocks {
            let Block { document, line, text, .. } = block;
            assert!(is_known((*document, *line)), "{document}, line {line}: nobody runs\n{text}");
        }
    }
}

#[test]
fn every_link_of_the_documents_leads_somewhere() {
    assert_eq!(documents::dead_links(), Vec::<String>::new());
}

/// `tests/demo` runs what the first block of the README says, as far as it can.
#[test]
fn what_is_not_run_is_there() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mode = fs::metadata(root.join("tests/run")).unwrap().permissions().mode();
    assert!(mode & 0o111 != 0, "tests/run can be executed");
    let binary = PathBuf::from(env!("CARGO_BIN_EXE_millrace"));
    assert!(Command::new(binary).args(["demo", "--help"]).output().unwrap().status.success());
}

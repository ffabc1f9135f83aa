//! The programs of `deploy/CONSUMING.md` that read with a registry are run, word for word.

use std::{
    env, fs,
    io::{BufRead, BufReader},
    path::PathBuf,
    process::{Command, Stdio},
    sync::mpsc,
    thread,
    time::Duration,
};

use crate::{
    apicurio::Registry,
    broker::{self, own_prefix},
    read_back::settings,
    support::{bridge::Bridge, documents, process},
    trouble::{activity, post},
};

const PATIENCE: Duration = Duration::from_secs(240);
const CONSUMING: &str = "deploy/CONSUMING.md";

/// Runs the program in the block with `program`, saved as `name`, by the command in the block with `command`, until it has
/// printed a line with `expected`.
#[track_caller]
fn runs(program: &str, name: &str, command: &str, places: &[(&str, &str)], expected: &str) {
    let blocks = documents::of(CONSUMING);
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join(name), &documents::the(&blocks, CONSUMING, program).text).unwrap();
    let command = documents::the(&blocks, CONSUMING, command).text.clone();
    let command =
        places.iter().fold(command, |text, (written, typed)| text.replace(written, typed));
    let mut shell: Command = process::tied("bash");
    shell.args(["-c", &format!("exec {command}")]).current_dir(folder.path());
    let mut running = process::spawn({
        shell.stdout(Stdio::piped());
        shell
    });
    let out = running.child().stdout.take().expect("it is piped");
    let (lines, printed) = mpsc::channel();
    thread::spawn(move || {
        for line in BufReader::new(out).lines().map_while(Result::ok) {
            let _ = lines.send(line);
        }
    });
    loop {
        let line = printed.recv_timeout(PATIENCE);
        let line = line.unwrap_or_else(|error| panic!("{command} prints nothing more: {error}"));
        if line.contains(expected) {
            return;
        }
    }
}

#[test]
fn the_programs_of_the_document_read_what_is_delivered_with_avro() {
    let (registry, address) = (Registry::start(), broker::shared());
    let prefix = own_prefix("recipes");
    let bridge = Bridge::start(settings(&address, &registry.url(), &prefix, "avro"));
    post(&bridge, &activity(7, 3, "Click Link"));
    bridge.wait_until_drained(PATIENCE);

    let of = |name: &str| env::var(name).unwrap_or_else(|_| panic!("{name}: tests/run sets it"));
    let jars = PathBuf::from(of("TEST_CONNECT_JARS")).display().to_string();
    let topic = format!("{prefix}.lead-activity.clicklink");
    let places = [
        ("python ", &*format!("{} ", of("TEST_REGISTRY_PYTHON"))),
        ("avro-clients", &jars),
        ("kafka:9092", &address),
        ("http://registry:8081", &registry.url()),
        ("http://registry:8080/apis/registry/v2", &registry.native_url()),
        ("marketo.lead-activity.clicklink", &topic),
    ];
    let python = "python read_avro.py";
    runs(
        "import AvroDeserializer",
        "read_avro.py",
        python,
        &places,
        "g-7 2026-03-02 09:59:58+00:00 4711",
    );
    let java = "ReadAvro.java kafka:9092";
    runs("public class ReadAvro", "ReadAvro.java", java, &places, "g-7 ");
}

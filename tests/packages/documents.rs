//! SECURITY.md and UPGRADING.md name things that are there.

use std::process::Command;

use crate::tools::{read, repository, run};

const DOCUMENTS: [&str; 3] = ["SECURITY.md", "UPGRADING.md", "deploy/package/README.md"];

/// What stands in backquotes outside of blocks.
fn quoted(text: &str) -> Vec<String> {
    let outside: String = text.split("```").step_by(2).collect();
    outside.split('`').skip(1).step_by(2).map(str::to_owned).collect()
}

#[test]
fn every_link_and_every_path_of_the_repository_leads_somewhere() {
    for document in DOCUMENTS {
        let text = read(document);
        let folder = repository(document).parent().expect("a file is in a folder").to_owned();
        for link in text.split("](").skip(1).filter_map(|rest| rest.split(')').next()) {
            let path = link.split('#').next().expect("it has a beginning");
            assert!(path.is_empty() || folder.join(path).exists(), "{document}: {link}");
        }
        for path in quoted(&text) {
            let of_repository = ["src/", "tests/", "deploy/", ".ci/", ".cargo/", ".github/"];
            // Of a command the program.
            let path = path.split(' ').next().expect("it has a beginning");
            if of_repository.iter().any(|start| path.starts_with(start)) {
                assert!(repository(path).exists(), "{document}: {path}");
            }
        }
    }
}

#[test]
fn every_key_and_every_metric_of_upgrading_is_one() {
    let text = read("UPGRADING.md");
    let metrics = read("src/observe/metrics.rs");
    let (mut keys, mut known) = (0, 0);
    for word in quoted(&text) {
        if word.starts_with("millrace_") {
            assert!(metrics.contains(&format!("\"{word}\"")), "{word}");
            known += 1;
        }
    }
    // The first column of the table of keys.
    let table = text.lines().skip_while(|line| *line != "| key | now |").skip(2);
    for row in table.take_while(|line| line.starts_with('|')) {
        for word in quoted(row.split('|').nth(1).expect("a first column")) {
            if word.contains('.') {
                let reference =
                    run(Command::new(env!("CARGO_BIN_EXE_millrace")), ["config", &word]);
                reference.expect_fine(&word);
                keys += 1;
            }
        }
    }
    assert!(keys >= 7 && known >= 2, "{keys} keys, {known} metrics");
}

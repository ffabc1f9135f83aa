//! What people are told to type: the fenced blocks of the documents that are for users, as they stand.
//!
//! Each block belongs to somebody: `tests/kafka/documents.rs` or `tests/registry` runs it, `tests/deploy/documents.rs` looks
//! at it, or it is in [`NOT_RUN`], with the reason. One that belongs to nobody fails a test.

use std::{fs, path::Path};

/// The documents whose commands are run.
pub const DOCUMENTS: [&str; 3] = ["README.md", "deploy/SENDERS.md", "deploy/CONSUMING.md"];

/// What cannot be run here: the document, what the block has in it, and why. Where it is looked at all
/// the same is said there.
pub const NOT_RUN: &[(&str, &str, &str)] = &[
    (
        "README.md",
        "cargo run --release -- demo",
        "a release build, and all tests within one: tests/demo runs the demo, and this is tests/run",
    ),
    (
        "deploy/CONSUMING.md",
        "\"state\":\"changed\"",
        "a value to look at: tests/kafka/lead_states.rs reads such values",
    ),
];

/// What `tests/deploy` holds against a schema.
pub const MANIFESTS: &[(&str, &str)] = &[("README.md", "kind: KafkaUser")];

/// What `tests/registry` types: it has a registry, Kafka Connect and a database.
#[allow(dead_code, reason = "not all suites with documents look at these")]
pub const WITH_REGISTRY: &[(&str, &str)] = &[
    ("deploy/CONSUMING.md", "import AvroDeserializer"),
    ("deploy/CONSUMING.md", "python read_avro.py"),
    ("deploy/CONSUMING.md", "public class ReadAvro"),
    ("deploy/CONSUMING.md", "ReadAvro.java kafka:9092"),
    ("deploy/CONSUMING.md", "JdbcSinkConnector"),
    ("deploy/CONSUMING.md", "converter.AvroConverter\n"),
    ("deploy/CONSUMING.md", "'connector' = 'upsert-kafka'"),
];

#[derive(Clone, Debug)]
pub struct Block {
    pub document: &'static str,
    /// From 1.
    pub line: usize,
    /// `sh`, `java`, …
    pub language: String,
    pub text: String,
}

/// All blocks of all documents, in the order in which they stand.
#[track_caller]
pub fn blocks() -> Vec<Block> {
    DOCUMENTS.iter().flat_map(|document| of(document)).collect()
}

/// Those of one document.
#[track_caller]
pub fn of(document: &'static str) -> Vec<Block> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(document);
    let text = fs::read_to_string(path).unwrap_or_else(|error| panic!("{document}: {error}"));
    let mut blocks = Vec::new();
    let mut open: Option<(Block, usize)> = None;
    for (line, number) in text.lines().zip(1..) {
        let indent = line.len() - line.trim_start().len();
        match (line.trim_start().strip_prefix("```"), &mut open) {
            (Some(language), None) => {
                let language = language.trim().to_owned();
                open =
                    Some((Block { document, line: number, language, text: String::new() }, indent));
            }
            (Some(_), Some(_)) => blocks.extend(open.take().map(|(block, _)| block)),
            (None, Some((block, indent))) => {
                block.text.push_str(line.get(*indent..).unwrap_or_default());
                block.text.push('\n');
            }
            (None, None) => {}
        }
    }
    assert!(open.is_none(), "{document}: a block does not end");
    blocks
}

/// The one block of `document` that has `text` in it.
#[track_caller]
pub fn the<'a>(blocks: &'a [Block], document: &str, text: &str) -> &'a Block {
    let matching: Vec<_> =
        blocks.iter().filter(|b| b.document == document && b.text.contains(text)).collect();
    assert_eq!(matching.len(), 1, "blocks of {document} with `{text}`");
    matching[0]
}

/// Relative links of the documents that lead nowhere.
#[track_caller]
pub fn dead_links() -> Vec<String> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut dead = Vec::new();
    for document in DOCUMENTS {
        let path = root.join(document);
        let text = fs::read_to_string(&path).unwrap_or_else(|error| panic!("{document}: {error}"));
        let links = text.split("](").skip(1).filter_map(|rest| rest.split(')').next());
        for link in links.filter(|link| !link.starts_with("http")) {
            let (file, heading) = link.split_once('#').unwrap_or((link, ""));
            let target = match file {
                "" => path.clone(),
                file => path.parent().unwrap_or(root).join(file),
            };
            let is_there = match fs::read_to_string(&target) {
                Ok(text) => heading.is_empty() || headings(&text).any(|h| h == heading),
                Err(_) => target.exists(),
            };
            if !is_there {
                dead.push(format!("{document}: {link}"));
            }
        }
    }
    dead
}

/// As links write them.
fn headings(text: &str) -> impl Iterator<Item = String> + '_ {
    let headings = text.lines().filter(|line| line.starts_with('#'));
    headings.map(|line| {
        let title = line.trim_start_matches('#').trim().to_lowercase().replace(' ', "-");
        title.chars().filter(|c| c.is_alphanumeric() || *c == '-').collect()
    })
}

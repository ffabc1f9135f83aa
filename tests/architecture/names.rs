//! Files, modules and tests that documents and comments name in backquotes are there.
//!
//! A name of a file or folder ends in `.rs`, or begins with an entry of the project's folder or of `src`. It is
//! looked for from there, from the folders on the way down to the text that names it, and from those on the way
//! down to the files and modules that the same paragraph names before it: of `spool/frame.rs` and `segment.rs` the second is
//! found beside the first.

use std::{
    collections::BTreeSet,
    fs,
    path::{Path, PathBuf},
};

use super::{quoted, root, src};

/// A name of so many words with `_` between them is a test's: it is a sentence.
const WORDS_OF_A_TEST: usize = 5;
/// Names of as many words that are no tests: metrics, and functions of librdkafka.
const NO_TESTS: [&str; 2] = ["millrace_", "rd_kafka_"];

/// Every file of the project but those that tools make.
fn files(folder: &Path, found: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(folder).expect("a readable folder") {
        let path = entry.expect("a readable folder").path();
        let name = path.file_name().unwrap_or_default();
        if !path.is_dir() {
            found.push(path);
        } else if name != "target" && name != ".git" && name != "node_modules" {
            files(&path, found);
        }
    }
}

/// The documents but the changelog, which speaks of the past, and the code.
fn texts() -> Vec<PathBuf> {
    let mut found = Vec::new();
    files(root(), &mut found);
    found.retain(|path| {
        let is_text = path.extension().is_some_and(|it| it == "md" || it == "rs" || it == "toml");
        is_text && !path.ends_with("CHANGELOG.md")
    });
    found
}

/// A part of a text in which names are looked for together: its first line, and what it says.
struct Paragraph {
    line: usize,
    text: String,
}

/// The paragraphs of a document, or of the comments of code; a row of a table is one, a block of commands is none.
fn paragraphs(path: &Path, text: &str) -> Vec<Paragraph> {
    let mark = match path.extension().and_then(|it| it.to_str()) {
        Some("rs") => "//",
        Some("toml") => "#",
        _ => "",
    };
    let mut found: Vec<Paragraph> = Vec::new();
    let (mut is_open, mut is_block) = (false, false);
    for (line, number) in text.lines().map(str::trim_start).zip(1..) {
        let comment = line.strip_prefix(mark).map(|it| it.trim_start_matches(['/', '!', ' ']));
        let text = comment.unwrap_or_default();
        is_block ^= text.starts_with("```");
        let is_row = text.starts_with('|');
        if text.is_empty() || is_block || text.starts_with("```") {
            is_open = false;
            continue;
        }
        match found.last_mut().filter(|_| is_open && !is_row) {
            Some(open) => open.text = format!("{}\n{text}", open.text),
            None => found.push(Paragraph { line: number, text: text.to_owned() }),
        }
        is_open = !is_row;
    }
    found
}

/// What a paragraph has in backquotes, each with its line.
fn names(paragraph: &Paragraph) -> Vec<(usize, &str)> {
    let mut line = paragraph.line;
    let mut found = Vec::new();
    for (part, is_quoted) in paragraph.text.split('`').zip([false, true].into_iter().cycle()) {
        if is_quoted {
            // Of a command the first word is a file.
            found.push((line, part.split(' ').next().unwrap_or_default()));
        }
        line += part.matches('\n').count();
    }
    found
}

fn is_entry(folder: &Path, name: &str) -> bool {
    !name.is_empty() && (folder.join(name).exists() || folder.join(format!("{name}.rs")).exists())
}

/// Whether `name` is to be the path of a file or a folder of this project.
fn is_path(name: &str) -> bool {
    let is_plain = name.chars().all(|it| it.is_ascii_alphanumeric() || "_-./".contains(it));
    let first = name.split_once('/').map(|(first, _)| first);
    let is_ours =
        |first: &str| first != "target" && (is_entry(root(), first) || is_entry(&src(), first));
    is_plain && !name.starts_with('.') && (name.ends_with(".rs") || first.is_some_and(is_ours))
}

/// The path of a module, `spool::disk`, below `src`; `None` for what is no module.
fn file_of_module(name: &str) -> Option<String> {
    let is_module =
        name.contains("::") && name.chars().all(|it| it.is_ascii_lowercase() || "_:".contains(it));
    is_module.then(|| name.replace("::", "/"))
}

/// The folders in which names are looked for beside, or below, the file or module `path`: all on the way down.
fn on_the_way(path: &Path) -> Vec<PathBuf> {
    let module = path.with_extension("");
    module.ancestors().take_while(|it| it.starts_with(root())).map(Path::to_owned).collect()
}

fn is_test(name: &str) -> bool {
    let words = name.split('_').count();
    let is_plain =
        name.chars().all(|it| it.is_ascii_lowercase() || it.is_ascii_digit() || it == '_');
    is_plain && words >= WORDS_OF_A_TEST && !NO_TESTS.iter().any(|it| name.starts_with(it))
}

/// The names of all functions.
pub fn functions() -> BTreeSet<String> {
    let mut found = BTreeSet::new();
    for path in texts().iter().filter(|path| path.extension().is_some_and(|it| it == "rs")) {
        let code = fs::read_to_string(path).expect("a readable file");
        for behind in code.split("fn ").skip(1) {
            let end = behind.find(|it: char| !it.is_alphanumeric() && it != '_');
            found.insert(behind[..end.unwrap_or(behind.len())].to_owned());
        }
    }
    found
}

/// The names of a text that are not there, each with the line and what to do.
fn mistakes(path: &Path, text: &str, functions: &BTreeSet<String>) -> Vec<String> {
    let mut found = Vec::new();
    for paragraph in paragraphs(path, text) {
        let mut folders: Vec<_> = [src()].into_iter().chain(on_the_way(path)).collect();
        for (line, name) in names(&paragraph) {
            if is_test(name) && !functions.contains(name) {
                found.push(format!(
                    "{line}: no test is called `{name}`: write the name that it has now"
                ));
            }
            let module = file_of_module(name);
            if module.is_none() && !is_path(name) {
                continue;
            }
            let file = module.as_deref().unwrap_or(name);
            match folders.iter().find(|it| is_entry(it, file)) {
                Some(folder) => folders.extend(on_the_way(&folder.join(file))),
                // Modules of other crates.
                None if !is_path(file) => {}
                None => found.push(format!(
                    "{line}: `{name}` is not there: write the path that it has now, from the project's folder or below `src`"
                )),
            }
        }
    }
    found
}

#[test]
fn each_file_and_test_that_a_document_or_a_comment_names_is_there() {
    let functions = functions();
    let mut found = Vec::new();
    for path in texts() {
        let text = fs::read_to_string(&path).expect("a readable file");
        let shown = path.strip_prefix(root()).unwrap_or(&path);
        let mistakes = mistakes(&path, &text, &functions);
        found.extend(mistakes.into_iter().map(|it| format!("{}:{it}", shown.display())));
    }
    found.sort();
    assert!(found.is_empty(), "{} names are not there:\n{}", found.len(), found.join("\n"));
}

/// The rows of the code map in `src/ARCHITECTURE.md`, each with its line: modules, and what is said of them.
fn code_map(text: &str) -> impl Iterator<Item = (usize, &str, &str)> {
    let lines = text.lines().zip(1..).skip_while(|(line, _)| *line != "| where | what |").skip(2);
    lines.map_while(|(line, number)| {
        let (modules, said) = line.strip_prefix('|')?.split_once('|')?;
        Some((number, modules, said))
    })
}

/// Whether `name` is a key of the configuration or a crate.
fn is_key_or_crate(name: &str) -> bool {
    ["config/default.toml", "Cargo.toml"].iter().any(|file| {
        let text = fs::read_to_string(root().join(file)).expect("a readable file");
        let mut lines = text.lines().map(|line| line.trim_start_matches(['#', ' ']));
        lines.any(|line| {
            line.strip_prefix(name).is_some_and(|rest| rest.starts_with([' ', '=']))
                || line.ends_with(&format!(".{name}]"))
        })
    })
}

#[test]
fn each_module_of_the_code_map_is_there() {
    let text = fs::read_to_string(src().join("ARCHITECTURE.md")).expect("src/ARCHITECTURE.md");
    let mut found = Vec::new();
    let mut rows = 0;
    for (line, modules, said) in code_map(&text) {
        rows += 1;
        let mut folders = vec![src()];
        for module in quoted(modules) {
            let file = module.replace("::", "/");
            match is_entry(&src(), &file) {
                true => folders.extend(on_the_way(&src().join(file))),
                false => found
                    .push(format!("{line}: there is no module `{module}`: remove it from its row")),
            }
        }
        for name in quoted(said) {
            let file = name.replace("::", "/");
            let is_name = file.chars().all(|it| it.is_ascii_lowercase() || "_/".contains(it));
            if !is_name {
                continue;
            }
            match folders.iter().find(|it| is_entry(it, &file)) {
                Some(folder) => folders.push(folder.join(file)),
                None if is_key_or_crate(&name) => {}
                None => found.push(format!(
                    "{line}: `{name}` is not in the modules of its row: write the name that it has now"
                )),
            }
        }
    }
    assert!(rows > 10, "the code map was not found");
    assert!(found.is_empty(), "src/ARCHITECTURE.md:\n{}", found.join("\n"));
}

#[test]
fn a_wrong_name_is_found_with_its_line_and_a_short_one_behind_its_folder_is_right() {
    let path = root().join("src/spool/ledger.rs");
    let of = |text: &str| mistakes(&path, text, &["a_name_of_a_test".into()].into());
    assert!(
        of("//! See `spool/recovery.rs`, `recovery.rs`,\n//! and `src/spool`; `tests/run --long`.")
            .is_empty()
    );
    assert!(
        of("//! `deliver/deduplicate/format.rs`, `sidecar.rs`; `a/b`, `a.rs/`, `lead/4.7`")
            .is_empty()
    );
    assert!(of("//! `a_name_of_a_test`\nlet a = `no/comment.rs`;").is_empty());
    let found = of(
        "//! `spool/recovery.rs`,\n//! `spool/recover.rs`\n\n// `sidecar.rs` `tests/no`\n/// `a_name_of_no_test`",
    );
    let lines: Vec<_> = found.iter().map(|it| &it[..2]).collect();
    assert_eq!(lines, ["2:", "4:", "4:", "5:"], "{found:?}");
    let path = root().join("README.md");
    let found = mistakes(
        &path,
        "| `tests/run` |\n| `archive.rs` |\n```\n`a.rs`\n```\n`src/none/`",
        &BTreeSet::new(),
    );
    assert_eq!(found.len(), 2, "{found:?}");
}

//! The words of the code and of the documents: a comment begins with its noun or its verb, and a sentence names what it
//! speaks of. CONTRIBUTING.md ("How we write") has the reasons, and ten pairs of before and after.

use std::{fs, path::PathBuf};

use super::{root, sources, src};

/// Words that a comment does not begin with: they hide the noun that a reader searches for.
const HIDDEN_NOUNS: [&str; 6] = ["What ", "Of ", "The same,", "The same.", "Those ", "Whoever "];

/// Words that stand in no text, and better ones. Readers of English as a second language stumble over them.
const PLAIN_WORDS: [(&str, &str); 5] = [
    ("nobody", "no sender, no operator, …: name who"),
    ("whoever", "the sender, the operator, …: name who"),
    ("anew", "again, once more, a new …"),
    ("a person", "an operator"),
    ("can't", "cannot"),
];

/// The sources, and the documents that their users read. CONTRIBUTING.md shows the words as examples.
fn texts() -> Vec<PathBuf> {
    let mut texts = sources(&src());
    texts
        .extend(["README.md", "UPGRADING.md", "config/default.toml"].map(|name| root().join(name)));
    for folder in ["src", "src/decisions", "deploy", "deploy/helm/millrace"] {
        let entries = fs::read_dir(root().join(folder)).expect("a readable folder");
        let files = entries.map(|entry| entry.expect("a readable entry").path());
        texts.extend(files.filter(|file| file.extension().is_some_and(|it| it == "md")));
    }
    texts
}

/// The text of a comment that begins on this line.
fn comment(line: &str) -> Option<&str> {
    let line = line.trim_start();
    ["/// ", "//! ", "// "].iter().find_map(|begin| line.strip_prefix(begin))
}

/// Whether `word` stands in `line`, and not only as a part of a longer one.
fn has_word(line: &str, word: &str) -> bool {
    let is_part = |it: char| it.is_alphanumeric() || it == '_';
    line.match_indices(word).any(|(at, _)| {
        !line[..at].ends_with(is_part) && !line[at + word.len()..].starts_with(is_part)
    })
}

fn mistakes(text: &str, is_code: bool) -> Vec<String> {
    let mut found = Vec::new();
    let mut is_inside = false;
    for (line, number) in text.lines().zip(1..) {
        let comment = comment(line).filter(|_| is_code);
        let begins = comment.filter(|_| !is_inside);
        is_inside = comment.is_some();
        if let Some(word) =
            HIDDEN_NOUNS.iter().find(|word| begins.is_some_and(|it| it.starts_with(**word)))
        {
            found.push(format!(
                "{number}: a comment begins with `{}`: begin with its noun or verb",
                word.trim_end()
            ));
        }
        let lower = line.to_lowercase();
        for (word, better) in PLAIN_WORDS {
            if has_word(&lower, word) {
                found.push(format!("{number}: `{word}`: write {better}"));
            }
        }
    }
    found
}

#[test]
fn comments_begin_with_their_noun_and_texts_have_plain_words() {
    let mut found = Vec::new();
    for path in texts() {
        let text = fs::read_to_string(&path).expect("a readable file");
        let is_code = path.extension().is_some_and(|it| it == "rs");
        found.extend(
            mistakes(&text, is_code).into_iter().map(|it| format!("{}:{it}", path.display())),
        );
    }
    assert!(found.is_empty(), "CONTRIBUTING.md, \"How we write\":\n{}", found.join("\n"));
}

#[test]
fn a_hidden_noun_and_a_word_are_found_and_a_line_that_goes_on_is_none() {
    let code = "/// What came.\nlet a = 1;\n/// Bytes of a body\n/// Of no use.\n// Nobody knows.";
    let found = mistakes(code, true);
    assert_eq!(found.len(), 2, "{found:?}");
    assert!(found[0].starts_with("1: ") && found[1].starts_with("5: "), "{found:?}");
    assert!(mistakes("What is a person-day?", false).len() == 1, "words, and no comments");
    assert!(mistakes("a personal canopy", true).is_empty(), "parts of other words");
}

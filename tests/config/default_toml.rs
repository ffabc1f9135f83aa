//! `config/default.toml` against the code, in both directions.

use std::collections::{BTreeMap, BTreeSet};

use millrace::config::{self, Entry, Questions};

use crate::given::{Folder, good, loaded};

const DEFAULT_TOML: &str = include_str!("../../config/default.toml");

/// With every `#key = value` taken as `key = value`; prose has a space behind its `#`.
fn with_examples() -> String {
    let line = |line: &str| match line.strip_prefix('#') {
        Some(rest) if !rest.is_empty() && !rest.starts_with(' ') => format!("{rest}\n"),
        _ => format!("{line}\n"),
    };
    DEFAULT_TOML.lines().map(line).collect()
}

fn keys(entries: &[Entry]) -> BTreeSet<String> {
    entries.iter().map(|entry| entry.key.toml()).collect()
}

/// The examples name a file with a password, one with types, and one with a key.
fn folder_with_examples() -> Folder {
    let folder =
        Folder::with(&[("password", "p\n"), ("types.json", "{\"success\":true,\"result\":[]}")]);
    std::fs::write(folder.path("fields.key"), "k".repeat(32)).unwrap();
    let text = with_examples().replace("/run/secrets/kafka", &folder.text("password"));
    let text = text.replace("/etc/millrace/types.json", &folder.text("types.json"));
    let text = text.replace("/etc/millrace/fields.key", &folder.text("fields.key"));
    let text = text.replace("/run/secrets/registry\"", &format!("{}\"", folder.text("password")));
    // It stands in the place of name and password.
    let text = text.replace("token_file = \"/run/secrets/registry-token\"\n", "");
    std::fs::write(folder.path("config.toml"), text).unwrap();
    folder
}

#[test]
fn the_file_as_it_stands_changes_nothing() {
    let folder = Folder::with(&[("config.toml", DEFAULT_TOML)]);
    assert_eq!(loaded(Some(&folder), &[]).unwrap().config, good(&[]));
}

#[test]
fn the_file_has_every_key_and_no_other() {
    let folder = folder_with_examples();
    let none: [(&str, &str); 0] = [];
    let file = folder.path("config.toml");
    // Loading refuses what the code does not know; what the file does not have has another origin.
    let loaded = config::load_with(Some(&file), none, &Questions::NONE)
        .unwrap_or_else(|mistakes| panic!("{mistakes}"));
    // The examples have a source of each kind; what both have is explained once.
    let of_any_source = |key: &str| match key.split('.').collect::<Vec<_>>().as_slice() {
        ["sources", _, rest @ ..] => format!("sources.*.{}", rest.join(".")),
        ["fields", _, rest @ ..] => format!("fields.*.{}", rest.join(".")),
        _ => key.to_owned(),
    };
    let is_there = |e: &&Entry| e.origin != "default";
    let there: BTreeSet<_> =
        loaded.entries.iter().filter(is_there).map(|e| of_any_source(&e.key.toml())).collect();
    let is_missing = |e: &&Entry| {
        let key = of_any_source(&e.key.toml());
        !there.contains(&key) && key != "kafka.schema_registry.token"
    };
    let missing: Vec<_> = loaded.entries.iter().filter(is_missing).collect();
    assert!(missing.is_empty(), "not in config/default.toml: {missing:?}");
    let code = loaded_keys();
    assert!(keys(&loaded.entries).is_superset(&code), "{code:?}");
}

fn loaded_keys() -> BTreeSet<String> {
    keys(&loaded(None, &[]).unwrap().entries)
}

#[test]
fn a_key_is_set_in_the_file_exactly_when_it_has_a_default() {
    let code: BTreeMap<_, _> = loaded(None, &[])
        .unwrap()
        .entries
        .into_iter()
        .map(|entry| (entry.key.toml(), entry.origin == "default" && entry.shown.is_some()))
        .collect();
    let folder = Folder::with(&[("config.toml", DEFAULT_TOML)]);
    let file = folder.text("config.toml");
    let set: BTreeSet<_> = loaded(Some(&folder), &[])
        .unwrap()
        .entries
        .into_iter()
        .filter(|entry| entry.origin == file)
        .map(|entry| entry.key.toml())
        .collect();
    let defaults: BTreeSet<_> =
        code.into_iter().filter(|(_, has_default)| *has_default).map(|(key, _)| key).collect();
    assert_eq!(set, defaults);
}

#[test]
fn every_key_of_the_file_is_preceded_by_what_it_is() {
    let lines: Vec<&str> = DEFAULT_TOML.lines().collect();
    let is_key = |line: &str| line.contains(" = ") && !line.starts_with("# ");
    for (before, line) in lines.iter().zip(&lines[1..]).filter(|(_, line)| is_key(line)) {
        let explained =
            before.starts_with("# ") || before.starts_with('#') && line.starts_with('#');
        assert!(explained, "{line}");
    }
}

//! Reads the written configuration key by key, and notes mistakes, effective values and their origins on the
//! way.
//!
//! A key is known because the code reads it. So no list has to be kept up to date: a key that is left
//! in a section at its end is unknown, and the keys that were read are the list of all keys.

use std::path::PathBuf;

use figment::value::{Dict, Value};

use super::{
    effective::Entry,
    layer::PROPERTY_MAPS,
    leaf::{Kind, string},
    mistake::{Key, Mistakes},
    nearest::nearest,
    secret::Secret,
    written::{Written, list, text},
};

/// The origin of a value that is not written anywhere.
const DEFAULT_ORIGIN: &str = "default";

pub(super) struct Reading {
    pub written: Written,
    pub mistakes: Mistakes,
    /// All keys that were read, in that order.
    pub entries: Vec<Entry>,
    /// Unknown keys, each with whether it is a section.
    unknown: Vec<(Key, bool)>,
}

/// One table, with the keys that are not read yet.
pub(super) struct Section {
    pub key: Key,
    values: Dict,
}

impl Section {
    pub fn names(&self) -> Vec<String> {
        self.values.keys().cloned().collect()
    }

    /// Removes `name`; returns its key, and its value unless it is missing.
    fn take(&mut self, name: &str) -> (Key, Option<Value>) {
        (self.key.child(name), self.values.remove(name))
    }
}

impl Reading {
    pub fn new(written: Written, mistakes: Mistakes) -> Self {
        Self { written, mistakes, entries: Vec::new(), unknown: Vec::new() }
    }

    pub fn root(&self) -> Section {
        Section { key: Key::default(), values: self.written.values() }
    }

    /// Returns the table `name`; empty where there is none.
    pub fn section(&mut self, parent: &mut Section, name: &str) -> Section {
        let (key, value) = parent.take(name);
        let values = match value {
            Some(Value::Dict(_, values)) => values,
            None | Some(Value::Empty(..)) => Dict::new(),
            Some(_) => {
                let remedy = "Set the keys below it, each by itself.";
                self.mistakes.at(&key, "is a value, where a section was due", remedy);
                Dict::new()
            }
        };
        Section { key, values }
    }

    /// Reads a value of `kind`; `None` after a mistake, which is then noted.
    pub fn leaf<T>(
        &mut self,
        section: &mut Section,
        name: &str,
        kind: &Kind<T>,
        default: T,
    ) -> Option<T> {
        match self.written_leaf(section, name, kind)? {
            Some(value) => Some(value),
            None => {
                self.note(
                    section.key.child(name),
                    Some((kind.show)(&default)),
                    DEFAULT_ORIGIN.into(),
                );
                Some(default)
            }
        }
    }

    /// Reads a value into `target`, which holds the default and keeps it after a mistake.
    pub fn set<T: Clone>(
        &mut self,
        section: &mut Section,
        name: &str,
        kind: &Kind<T>,
        target: &mut T,
    ) {
        if let Some(value) = self.leaf(section, name, kind, target.clone()) {
            *target = value;
        }
    }

    /// As [`Reading::set`], for one of a few names.
    pub fn set_choice<T: Copy>(
        &mut self,
        section: &mut Section,
        name: &str,
        all: &[T],
        name_of: fn(T) -> &'static str,
        target: &mut T,
    ) {
        if let Some(value) = self.choice(section, name, all, name_of, Some(*target)) {
            *target = value;
        }
    }

    /// Reads a key that may be absent; `Some(None)` where it is.
    pub fn optional<T>(
        &mut self,
        section: &mut Section,
        name: &str,
        kind: &Kind<T>,
    ) -> Option<Option<T>> {
        let value = self.written_leaf(section, name, kind)?;
        if value.is_none() {
            self.note(section.key.child(name), None, DEFAULT_ORIGIN.into());
        }
        Some(value)
    }

    fn written_leaf<T>(
        &mut self,
        section: &mut Section,
        name: &str,
        kind: &Kind<T>,
    ) -> Option<Option<T>> {
        let (key, value) = section.take(name);
        let Some(value) = value else { return Some(None) };
        match text(&value).map(|text| ((kind.parse)(&text), text)) {
            Ok((Ok(parsed), _)) => {
                self.note(key, Some((kind.show)(&parsed)), self.written.origin(&value));
                return Some(Some(parsed));
            }
            Ok((Err(problem), text)) => {
                self.mistakes.at(&key, describe(&key, &text, &problem), kind.expected);
            }
            // Reported when the file was read.
            Err(_) if matches!(value, Value::Empty(..)) => {}
            Err(what) => self.mistakes.at(&key, format!("is {what}"), kind.expected),
        }
        self.asked(key);
        None
    }

    /// Reads one of a few names, in any case of letters. Without a default the key is required.
    pub fn choice<T: Copy>(
        &mut self,
        section: &mut Section,
        name: &str,
        all: &[T],
        name_of: fn(T) -> &'static str,
        default: Option<T>,
    ) -> Option<T> {
        let (key, value) = section.take(name);
        let allowed: Vec<_> = all.iter().map(|one| format!("`{}`", name_of(*one))).collect();
        let remedy = format!("Write {}.", allowed.join(" or "));
        let written = match &value {
            Some(value) => text(value).map_err(|what| format!("is {what}")),
            None => match default {
                Some(default) => {
                    self.note(key, Some(string(name_of(default))), DEFAULT_ORIGIN.into());
                    return Some(default);
                }
                None => Err("is missing".into()),
            },
        };
        let found = written.and_then(|text| {
            let same = |one: &&T| name_of(**one).eq_ignore_ascii_case(&text);
            all.iter()
                .find(same)
                .ok_or_else(|| describe(&key, &text, "which is none of the choices"))
        });
        match (found, value) {
            (Ok(found), Some(value)) => {
                self.note(key, Some(string(name_of(*found))), self.written.origin(&value));
                Some(*found)
            }
            (Err(problem), _) => {
                self.mistakes.at(&key, problem, remedy);
                self.asked(key);
                None
            }
            (Ok(_), None) => None,
        }
    }

    /// As [`Reading::choice`], for a key that may be absent; `Some(None)` where it is.
    pub fn optional_choice<T: Copy>(
        &mut self,
        section: &mut Section,
        name: &str,
        all: &[T],
        name_of: fn(T) -> &'static str,
    ) -> Option<Option<T>> {
        if !section.values.contains_key(name) {
            self.note(section.key.child(name), None, DEFAULT_ORIGIN.into());
            return Some(None);
        }
        self.choice(section, name, all, name_of, None).map(Some)
    }

    /// Reads a list of texts, none of them empty.
    pub fn list(
        &mut self,
        section: &mut Section,
        name: &str,
        default: Vec<String>,
    ) -> Option<Vec<String>> {
        let show = |texts: &[String]| {
            let shown: Vec<_> = texts.iter().map(|text| string(text)).collect();
            format!("[{}]", shown.join(", "))
        };
        if !section.values.contains_key(name) {
            self.note(section.key.child(name), Some(show(&default)), DEFAULT_ORIGIN.into());
            return Some(default);
        }
        self.any(section, name, |value| {
            let remedy = || "Write texts with commas between them, or as a list.".to_owned();
            let texts = list(value).map_err(|problem| (problem, remedy()))?;
            match texts.iter().any(String::is_empty) {
                true => Err(("holds an empty text".into(), remedy())),
                false => Ok((texts.clone(), show(&texts))),
            }
        })
    }

    /// As [`Reading::any`], with a default where the key is absent.
    pub fn any_or<T>(
        &mut self,
        section: &mut Section,
        name: &str,
        default: T,
        read: impl FnOnce(&Value) -> Result<T, (String, String)>,
        show: impl Fn(&T) -> String,
    ) -> Option<T> {
        if !section.values.contains_key(name) {
            self.note(section.key.child(name), Some(show(&default)), DEFAULT_ORIGIN.into());
            return Some(default);
        }
        self.any(section, name, |value| {
            let meaning = read(value)?;
            let shown = show(&meaning);
            Ok((meaning, shown))
        })
    }

    /// Reads a value of any form. `read` returns its meaning and as much of it as may be shown, or the problem and
    /// its remedy.
    pub fn any<T>(
        &mut self,
        section: &mut Section,
        name: &str,
        read: impl FnOnce(&Value) -> Result<(T, String), (String, String)>,
    ) -> Option<T> {
        let (key, value) = section.take(name);
        match value {
            None => self.mistakes.at(&key, "is missing", REQUIRED_REMEDY),
            // Reported when the file was read.
            Some(Value::Empty(..)) => {}
            Some(value) => match read(&value) {
                Ok((meaning, shown)) => {
                    self.note(key, Some(shown), self.written.origin(&value));
                    return Some(meaning);
                }
                Err((problem, remedy)) => self.mistakes.at(&key, problem, remedy),
            },
        }
        self.asked(key);
        None
    }

    /// As [`Reading::any`], for a key that may be absent; `Some(None)` where it is.
    pub fn any_optional<T>(
        &mut self,
        section: &mut Section,
        name: &str,
        read: impl FnOnce(&Value) -> Result<(T, String), (String, String)>,
    ) -> Option<Option<T>> {
        if !section.values.contains_key(name) {
            self.note(section.key.child(name), None, DEFAULT_ORIGIN.into());
            return Some(None);
        }
        self.any(section, name, read).map(Some)
    }

    /// Marks the defaults of these keys as meaningless, since the feature that they belong to is not configured.
    pub fn idle(&mut self, section: &Key, names: &[&str]) {
        let keys: Vec<_> = names.iter().map(|name| section.child(name)).collect();
        for entry in self.entries.iter_mut().filter(|entry| keys.contains(&entry.key)) {
            entry.idle = entry.origin == DEFAULT_ORIGIN;
        }
    }

    /// Ends a section: its remaining keys are unknown.
    pub fn end(&mut self, section: Section) {
        for (name, value) in &section.values {
            let is_section = matches!(value, Value::Dict(..));
            self.unknown.push((section.key.child(name), is_section));
        }
    }

    /// Reports the unknown keys, at the very end, when all known ones are known.
    pub fn report_unknown(&mut self) {
        let keys = || self.entries.iter().map(|entry| &entry.key);
        let files = keys().filter(|key| is_secret(key)).map(Key::of_file);
        let known: Vec<Key> = keys().cloned().chain(files).collect();
        let maps = PROPERTY_MAPS.into_iter().map(Key::of);
        let sections: Vec<Key> = keys().flat_map(Key::sections).chain(maps).collect();
        for (key, is_section) in std::mem::take(&mut self.unknown) {
            let guess = nearest(&key, if is_section { &sections } else { &known });
            // A section in the place of a value.
            let guess = guess.or_else(|| nearest(&key, &known));
            let remedy = match guess {
                Some(guess) => format!("Did you mean {guess}?"),
                None if key.segments().len() == 1 => {
                    "Levels are separated by two underscores in the environment; \
                     `config/default.toml` lists all keys."
                        .into()
                }
                None => "Take it away; `config/default.toml` lists all keys.".into(),
            };
            self.mistakes.at(&key, "is no key of this program", remedy);
        }
    }

    /// Returns a function that gives a secret the file from which the value of `key` was read, if there is one.
    pub fn with_file(&self, key: &Key) -> impl Fn(Secret) -> Secret + use<> {
        let file = self.written.file(key.segments()).map(PathBuf::from);
        move |secret| match &file {
            Some(file) => secret.read_from(file),
            None => secret,
        }
    }

    /// Notes a key. A value that came from a file of its own is shown as that file: the printed configuration can be
    /// read again, and the secret stays in its file.
    fn note(&mut self, key: Key, shown: Option<String>, origin: String) {
        let file = self.written.file(key.segments()).filter(|_| shown.is_some());
        if let Some(file) = file {
            let shown = Some(string(&file.to_string_lossy()));
            let key = key.of_file();
            self.entries.push(Entry { key, shown, origin: origin.clone(), idle: false });
        }
        let shown = shown.filter(|_| self.written.file(key.segments()).is_none());
        self.entries.push(Entry { key, shown, origin, idle: false });
    }

    fn asked(&mut self, key: Key) {
        self.note(key, None, DEFAULT_ORIGIN.into());
    }
}

const REQUIRED_REMEDY: &str = "It has no default: set it.";

/// Whether the value may come from a file of its own.
fn is_secret(key: &Key) -> bool {
    let secrets = ["tokens", "signing_keys", "secrets", "client_secret"];
    if key.segments().iter().any(|name| &**name == "schema_registry") {
        return key.segments().last().is_some_and(|name| ["password", "token"].contains(&&**name));
    }
    key.segments().last().is_some_and(|name| secrets.contains(&&**name))
}

/// Keys below `auth` whose values cannot be secrets.
const NOT_SECRET: [&str; 5] =
    ["header_scheme", "query_parameter", "validation_url", "issuer", "jwks_url"];

/// Bytes of a value that is quoted: a longer one is not what belongs there.
const MAX_SHOWN_BYTES: usize = 100;

/// Describes a problem with the value, and quotes it; below `auth`, `oauth` and `tls`, where a secret may have slipped
/// into the wrong place, only under names that take none. A value that may be a URL with a password stays hidden.
fn describe(key: &Key, value: &str, problem: &str) -> String {
    let is_among = |names: &[&str], name: &String| names.contains(&&**name);
    let harmless = key.segments().last().is_some_and(|name| is_among(&NOT_SECRET, name))
        && !value.contains('@')
        && value.len() <= MAX_SHOWN_BYTES;
    if !harmless && key.segments().iter().any(|name| is_among(&["auth", "oauth", "tls"], name)) {
        format!("has a value (not shown here) {problem}")
    } else {
        format!("is `{value}`, {problem}")
    }
}

//! From what was written to what it means: asks for one key after the other, and notes mistakes,
//! effective values and where they came from on the way.
//!
//! A key is known because somebody asked for it. So nothing has to be kept in step: what is left
//! in a section at its end is unknown, and what was asked for is the list of all keys.

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

/// Where a value came from that nobody wrote.
const DEFAULT: &str = "default";

pub(super) struct Reading {
    pub written: Written,
    pub mistakes: Mistakes,
    /// Every key that was asked for, in that order.
    pub entries: Vec<Entry>,
    /// With whether it is a section.
    unknown: Vec<(Key, bool)>,
}

/// One table, and what of it was not asked for yet.
pub(super) struct Section {
    pub key: Key,
    values: Dict,
}

impl Section {
    pub fn names(&self) -> Vec<String> {
        self.values.keys().cloned().collect()
    }

    /// The key of `name`, and its value unless it is missing.
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

    /// The table `name`; empty where there is none.
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

    /// `None` after a mistake, which is then noted.
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
                self.note(section.key.child(name), Some((kind.show)(&default)), DEFAULT.into());
                Some(default)
            }
        }
    }

    /// Puts what is written in the place of the default in `target`, which stays after a mistake.
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

    /// As [`Reading::set`], of one of a few names.
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

    /// `Some(None)` where the key is absent, and may be.
    pub fn optional<T>(
        &mut self,
        section: &mut Section,
        name: &str,
        kind: &Kind<T>,
    ) -> Option<Option<T>> {
        let value = self.written_leaf(section, name, kind)?;
        if value.is_none() {
            self.note(section.key.child(name), None, DEFAULT.into());
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
            // Reported when it was read.
            Err(_) if matches!(value, Value::Empty(..)) => {}
            Err(what) => self.mistakes.at(&key, format!("is {what}"), kind.expected),
        }
        self.asked(key);
        None
    }

    /// One of a few names, in any case of letters. Without a default the key is required.
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
                    self.note(key, Some(string(name_of(default))), DEFAULT.into());
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

    /// As [`Reading::choice`]; `Some(None)` where the key is absent, and may be.
    pub fn optional_choice<T: Copy>(
        &mut self,
        section: &mut Section,
        name: &str,
        all: &[T],
        name_of: fn(T) -> &'static str,
    ) -> Option<Option<T>> {
        if !section.values.contains_key(name) {
            self.note(section.key.child(name), None, DEFAULT.into());
            return Some(None);
        }
        self.choice(section, name, all, name_of, None).map(Some)
    }

    /// A list of texts, none of them empty.
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
            self.note(section.key.child(name), Some(show(&default)), DEFAULT.into());
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
            self.note(section.key.child(name), Some(show(&default)), DEFAULT.into());
            return Some(default);
        }
        self.any(section, name, |value| {
            let meaning = read(value)?;
            let shown = show(&meaning);
            Ok((meaning, shown))
        })
    }

    /// A value of any form. `read` gives what it means and as much of it as may be shown, or the problem and
    /// its remedy.
    pub fn any<T>(
        &mut self,
        section: &mut Section,
        name: &str,
        read: impl FnOnce(&Value) -> Result<(T, String), (String, String)>,
    ) -> Option<T> {
        let (key, value) = section.take(name);
        match value {
            None => self.mistakes.at(&key, "is missing", REQUIRED),
            // Reported when it was read.
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

    /// As [`Reading::any`]; `Some(None)` where the key is absent, and may be.
    pub fn any_optional<T>(
        &mut self,
        section: &mut Section,
        name: &str,
        read: impl FnOnce(&Value) -> Result<(T, String), (String, String)>,
    ) -> Option<Option<T>> {
        if !section.values.contains_key(name) {
            self.note(section.key.child(name), None, DEFAULT.into());
            return Some(None);
        }
        self.any(section, name, read).map(Some)
    }

    /// Defaults of these keys mean nothing, since what they are about is not configured.
    pub fn idle(&mut self, section: &Key, names: &[&str]) {
        let keys: Vec<_> = names.iter().map(|name| section.child(name)).collect();
        for entry in self.entries.iter_mut().filter(|entry| keys.contains(&entry.key)) {
            entry.idle = entry.origin == DEFAULT;
        }
    }

    /// The end of a section: whatever nobody asked for is unknown.
    pub fn end(&mut self, section: Section) {
        for (name, value) in &section.values {
            let is_section = matches!(value, Value::Dict(..));
            self.unknown.push((section.key.child(name), is_section));
        }
    }

    /// The end of it all: reports the unknown keys, now that all known ones are known.
    pub fn report_unknown(&mut self) {
        let keys = || self.entries.iter().map(|entry| &entry.key);
        let files = keys().filter(|key| is_secret(key)).map(Key::of_file);
        let known: Vec<Key> = keys().cloned().chain(files).collect();
        let maps = PROPERTY_MAPS.into_iter().map(Key::of);
        let sections: Vec<Key> = keys().flat_map(Key::sections).chain(maps).collect();
        for (key, is_section) in std::mem::take(&mut self.unknown) {
            let guess = nearest(&key, if is_section { &sections } else { &known });
            // A section that stands in the place of a value.
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

    /// Tells a secret the file of its own that the value of `key` was read from, if there is one.
    pub fn with_file(&self, key: &Key) -> impl Fn(Secret) -> Secret + use<> {
        let file = self.written.file(key.segments()).map(PathBuf::from);
        move |secret| match &file {
            Some(file) => secret.read_from(file),
            None => secret,
        }
    }

    /// A value that came from a file of its own is shown as the file: what is printed can be read again,
    /// and the secret is where it was.
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
        self.note(key, None, DEFAULT.into());
    }
}

const REQUIRED: &str = "It has no default: set it.";

/// Whether the value may come from a file of its own.
fn is_secret(key: &Key) -> bool {
    let secrets = ["tokens", "signing_keys", "secrets", "client_secret"];
    if key.segments().iter().any(|name| &**name == "schema_registry") {
        return key.segments().last().is_some_and(|name| ["password", "token"].contains(&&**name));
    }
    key.segments().last().is_some_and(|name| secrets.contains(&&**name))
}

/// What is below `auth` and can be no secret.
const HARMLESS: [&str; 5] =
    ["header_scheme", "query_parameter", "validation_url", "issuer", "jwks_url"];

/// Longer than what one would write there, so it is something else.
const SHOWN: usize = 100;

/// Quotes the value, but nothing below `auth`, `oauth` and `tls`, where a secret may have slipped into the
/// wrong place, except under the names that take none. What looks like a password in a URL stays hidden.
fn describe(key: &Key, value: &str, problem: &str) -> String {
    let is_among = |names: &[&str], name: &String| names.contains(&&**name);
    let harmless = key.segments().last().is_some_and(|name| is_among(&HARMLESS, name))
        && !value.contains('@')
        && value.len() <= SHOWN;
    if !harmless && key.segments().iter().any(|name| is_among(&["auth", "oauth", "tls"], name)) {
        format!("has a value (not shown here) {problem}")
    } else {
        format!("is `{value}`, {problem}")
    }
}

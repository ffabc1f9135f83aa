//! `catalog`: names of activity types, in addition to the built-in catalogue or in place of its own.

use std::{collections::BTreeMap, fs::File, io::Read, sync::Arc};

use super::{
    leaf::{Kind, string},
    mistake::Key,
    reading::{Reading, Section},
    written::{list, text},
};
use crate::deliver::{
    decode::catalog::{Catalog, Override, OverrideError},
    encode::flat::{ActivityType, types},
};

/// Any text: the catalogue decides whether it is a valid name.
const NAME: Kind<String> = Kind {
    parse: |text| Ok(text.into()),
    expected: "Write a name with letters or digits in it, in quotes.",
    show: |text| string(text),
};

/// Bytes of the file. Marketo's answer for 200 types takes 200 KB.
const TYPES_FILE_LIMIT: u64 = 16 << 20;

/// Reads `catalog.types_file`.
fn described(reading: &mut Reading, section: &mut Section) -> Arc<[ActivityType]> {
    let described = reading.any_optional(section, "types_file", |value| {
        let remedy = || {
            "Save the answer of GET /rest/v1/activities/types.json of your Marketo instance there."
                .to_owned()
        };
        let path = text(value).map_err(|what| (format!("is {what}"), remedy()))?;
        let wrong = |what: String| (format!("names the file `{path}`, which {what}"), remedy());
        let file = File::open(&*path).map_err(|error| wrong(format!("cannot be read: {error}")))?;
        let mut answer = String::new();
        let read = file.take(TYPES_FILE_LIMIT + 1).read_to_string(&mut answer);
        read.map_err(|error| wrong(format!("cannot be read: {error}")))?;
        if answer.len() as u64 > TYPES_FILE_LIMIT {
            return Err(wrong("is larger than 16 MiB".into()));
        }
        let types = types::read(&answer).map_err(|error| wrong(error.to_string()))?;
        Ok((types, string(&path)))
    });
    described.flatten().unwrap_or_default().into()
}

/// Reads `catalog.activity_types.<id>` and `catalog.aliases.<id>`, `None` after a mistake, and the types of
/// `catalog.types_file`.
pub(super) fn read(
    reading: &mut Reading,
    root: &mut Section,
) -> (Option<BTreeMap<i64, Override>>, Arc<[ActivityType]>) {
    let before = reading.mistakes.len();
    let mut section = reading.section(root, "catalog");
    let described = described(reading, &mut section);
    let mut names = reading.section(&mut section, "activity_types");
    let mut aliases = reading.section(&mut section, "aliases");
    reading.end(section);
    let keys = Keys { names: names.key.clone(), aliases: aliases.key.clone() };

    let mut overrides = BTreeMap::<i64, Override>::new();
    for written in names.names() {
        let name = reading.optional(&mut names, &written, &NAME).flatten();
        if let (Some(id), Some(name)) = (id(reading, &keys.names, &written), name) {
            overrides.entry(id).or_default().name = Some(name);
        }
    }
    for written in aliases.names() {
        let found = reading.any(&mut aliases, &written, |value| match list(value) {
            Ok(aliases) => {
                let shown: Vec<_> = aliases.iter().map(|alias| string(alias)).collect();
                Ok((aliases, format!("[{}]", shown.join(", "))))
            }
            Err(problem) => {
                let remedy = "Write names with commas between them, or as a list.";
                Err((problem, remedy.to_owned()))
            }
        });
        if let (Some(id), Some(found)) = (id(reading, &keys.aliases, &written), found) {
            overrides.entry(id).or_default().aliases = found;
        }
    }
    if let Err(errors) = Catalog::with_overrides(overrides.clone()) {
        for error in errors {
            let (key, problem, remedy) = keys.mistake(&error, &overrides);
            reading.mistakes.at(&key, problem, remedy);
        }
    }
    ((reading.mistakes.len() == before).then_some(overrides), described)
}

fn id(reading: &mut Reading, parent: &Key, written: &str) -> Option<i64> {
    let id = written.parse::<i64>().ok().filter(|id| id.to_string() == written);
    if id.is_none() {
        let remedy = "Write the activity type's number, as in `13`.";
        reading.mistakes.at(&parent.child(written), "is no activity type id", remedy);
    }
    id
}

struct Keys {
    names: Key,
    aliases: Key,
}

impl Keys {
    /// Returns the key of a catalogue error, the problem there, and the remedy.
    fn mistake(
        &self,
        error: &OverrideError,
        overrides: &BTreeMap<i64, Override>,
    ) -> (Key, String, &'static str) {
        let name = |id: &i64| self.names.child(&id.to_string());
        let alias = |id: &i64| self.aliases.child(&id.to_string());
        match error {
            OverrideError::NotAStandardId { id } => {
                let is_named = overrides.get(id).is_some_and(|names| names.name.is_some());
                let key = if is_named { name(id) } else { alias(id) };
                let remedy = "Take it away: ids from 1 to 99999 can be named, and custom activities \
                              (100000 and more) are always called custom-<id>.";
                (key, "is no id that can be named".into(), remedy)
            }
            OverrideError::NotAName { id, name: text } => {
                let problem = format!("is `{}`, which gives no valid topic name", printable(text));
                (name(id), problem, NAME.expected)
            }
            OverrideError::NoName { id } => {
                let problem = "is missing, and the catalogue has none for this id";
                (name(id), problem.into(), "Name it, or take its aliases away.")
            }
            OverrideError::EmptyAlias { id } => {
                (alias(id), "holds an empty name".into(), "Take it away.")
            }
            OverrideError::AliasTaken { id, alias: text, other } => {
                let text = printable(text);
                let problem =
                    format!("contains `{text}`, which activity type {other} already uses");
                (alias(id), problem, "Leave it to one of them.")
            }
        }
    }
}

fn printable(text: &str) -> String {
    text.replace(char::is_control, "?")
}

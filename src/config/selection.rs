//! `munchkin_ids`, `include` and `exclude` below a source: select the events that go to Kafka.

use figment::value::Value;

use super::{
    leaf::string,
    mistake::Key,
    nearest::nearest,
    reading::{Reading, Section},
    written::{list, text},
};
use crate::{
    deliver::{
        decode::id,
        encode::choice::Pattern,
        select::{Named, Selection},
    },
    event::Stream,
};

/// Most entries of one list: each event is compared with all of them.
const MAX_ENTRIES: usize = 1000;

/// A problem and its remedy.
type Wrong = (String, String);

/// Reads the three keys; `None` after a mistake, which is noted.
pub(super) fn read(reading: &mut Reading, source: &mut Section) -> Option<Selection> {
    let munchkin_ids = reading.any_optional(source, "munchkin_ids", |value| {
        let ids = entries(value, "munchkin_ids", munchkin_id)?;
        let shown = shown(&ids, |id| string(id));
        Ok((ids, shown))
    });
    let include = named(reading, source, "include");
    let exclude = named(reading, source, "exclude");
    Some(Selection {
        munchkin_ids: munchkin_ids?.unwrap_or_default(),
        include: include?,
        exclude: exclude?,
    })
}

fn named(reading: &mut Reading, source: &mut Section, name: &str) -> Option<Named> {
    let mut section = reading.section(source, name);
    let s = &mut section;
    let streams = reading.any_optional(s, "streams", |value| {
        let streams = entries(value, "streams", stream)?;
        let shown = shown(&streams, |stream| string(stream.as_str()));
        Ok((streams, shown))
    });
    let types = reading.any_optional(s, "types", |value| {
        let types = entries(value, "types", pattern)?;
        let shown = shown(&types, |pattern| string(pattern.as_str()));
        Ok((types, shown))
    });
    let ids = reading.any_optional(s, "activity_type_ids", |value| {
        let ids = entries(value, "activity_type_ids", activity_type_id)?;
        let shown = shown(&ids, i64::to_string);
        Ok((ids, shown))
    });
    reading.end(section);
    Some(Named {
        streams: streams?.unwrap_or_default(),
        types: types?.unwrap_or_default(),
        activity_type_ids: ids?.unwrap_or_default(),
    })
}

/// Parses a list of texts or numbers, each by `read`. An empty list is a mistake: it could be meant as everything
/// or as nothing.
fn entries<T: PartialEq>(
    value: &Value,
    name: &str,
    read: impl Fn(&str) -> Result<T, Wrong>,
) -> Result<Vec<T>, Wrong> {
    let texts = match value {
        Value::Array(_, values) => {
            let texts = values.iter().map(|value| text(value).map(|text| text.into_owned()));
            texts.collect::<Result<Vec<_>, _>>().map_err(|what| format!("contains {what}"))
        }
        value => list(value),
    };
    let texts = texts.map_err(|problem| {
        (problem, "Write a list, or in the environment entries with commas between them.".into())
    })?;
    if texts.is_empty() || texts.iter().all(String::is_empty) {
        let remedy =
            format!("Name at least one, or take `{name}` away: without it there is no such rule.");
        return Err(("is an empty list".into(), remedy));
    }
    if texts.len() > MAX_ENTRIES {
        let problem = format!("has {} entries, and at most {MAX_ENTRIES} are allowed", texts.len());
        return Err((problem, "Use patterns, or the other of include and exclude.".into()));
    }
    let mut found = Vec::new();
    for text in &texts {
        let entry = read(text)?;
        if !found.contains(&entry) {
            found.push(entry);
        }
    }
    Ok(found)
}

fn shown<T>(entries: &[T], show: impl Fn(&T) -> String) -> String {
    format!("[{}]", entries.iter().map(show).collect::<Vec<_>>().join(", "))
}

/// Cuts an entry to the length that is shown in a mistake.
fn quoted(text: &str) -> String {
    text.chars().take(80).collect()
}

fn munchkin_id(text: &str) -> Result<String, Wrong> {
    match id::munchkin(text.into()).filter(|id| id::is_munchkin(id)) {
        Some(id) => Ok(id.into_owned()),
        None => Err((
            format!("has `{}`, which is no Munchkin id", quoted(text)),
            "Write three digits, three letters and three digits, as in `999-XYZ-000`: Marketo shows it under \
             Admin, Munchkin."
                .into(),
        )),
    }
}

fn stream(text: &str) -> Result<Stream, Wrong> {
    let found = Stream::ALL.into_iter().find(|stream| stream.as_str().eq_ignore_ascii_case(text));
    found.ok_or_else(|| {
        let all = Stream::ALL.map(|stream| format!("`{}`", stream.as_str()));
        let guess = guess(text, Stream::ALL.into_iter().map(Stream::as_str));
        let guess = guess.map(|guess| format!(" Did you mean `{guess}`?")).unwrap_or_default();
        let problem = format!("has `{}`, which is no stream", quoted(text));
        (problem, format!("Write {}.{guess}", all.join(", ")))
    })
}

fn pattern(text: &str) -> Result<Pattern, Wrong> {
    Pattern::new(text).ok_or_else(|| {
        let compact: String = text.chars().filter(|c| !c.is_whitespace()).collect();
        let compact = Pattern::new(&compact.to_lowercase());
        let guess = compact.filter(|_| text.contains(char::is_whitespace));
        let guess = guess.map(|it| format!(" Did you mean `{}`?", it.as_str())).unwrap_or_default();
        let problem = format!("has `{}`, which is no pattern for types", quoted(text));
        let remedy = "Write the last part of a topic's name or a whole ce_type, in letters, digits, `.`, `_`, \
                      `-`, and `*` for any characters.";
        (problem, format!("{remedy}{guess}"))
    })
}

fn activity_type_id(text: &str) -> Result<i64, Wrong> {
    match text.parse() {
        Ok(id @ 1..) => Ok(id),
        _ => Err((
            format!("has `{}`, which is no id of an activity type", quoted(text)),
            "Write whole numbers of at least 1, as in `[3, 100001]`. Names of types belong into `types`."
                .into(),
        )),
    }
}

/// Returns the known text that `text` was probably meant to be.
pub fn guess<'a>(text: &str, known: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    let known: Vec<_> = known.into_iter().collect();
    let keys: Vec<_> = known.iter().map(|name| Key::of(&[name])).collect();
    let found = nearest(&Key::of(&[&text.to_lowercase()]), &keys)?;
    let at = keys.iter().position(|key| key == found)?;
    Some(known[at])
}

//! Finds the name of the reference that a word of the command line means, in any spelling that the reader has at hand.
//!
//! The reference names its sources `leads` and `audit` and its client `marketo`, where an operator has other names.
//! Some keys have no line of their own there: the file of a secret, a property of Kafka, an activity type. And a
//! mistake of `check` or a manifest uses the environment's spelling.

use super::Name;
use crate::config::{Key, nearest};

/// Sections with names that the operator chooses, and the example names that the reference has there.
const EXAMPLES: [(&str, &[&str]); 2] =
    [("sources", &["leads", "audit"]), ("oauth.clients", &["marketo"])];

/// Sections whose keys are not all in the reference.
const OPEN: [&str; 4] =
    ["kafka.properties", "topics.config", "catalog.activity_types", "catalog.aliases"];

/// Keys of the same last name that are suggested.
const MAX_GUESSES: usize = 4;

/// A key or section that the user asked for, as the reference spells it.
pub(super) struct Wanted {
    pub name: String,
    /// An example's name in the reference, and the one that was asked for (`sources.leads`, `sources.audience`).
    pub renamed: Option<(String, String)>,
    /// A remark that goes before what is printed.
    pub remark: Option<String>,
}

/// Returns the first spelling of `asked` for which `is_there` is true.
pub(super) fn find(asked: &str, is_there: &dyn Fn(&str) -> bool) -> Option<Wanted> {
    let name = spelled_as_in_the_file(asked);
    let candidates = with_examples(&name);
    let found = |wanted: &str| is_there(wanted);
    for (name, renamed) in &candidates {
        let wanted = |name: &str, remark| {
            Some(Wanted { name: name.to_owned(), renamed: renamed.clone(), remark })
        };
        if found(name) {
            return wanted(name, None);
        }
        if let Some(secret) = name.strip_suffix("_file").filter(|secret| found(secret)) {
            let last = secret.rsplit('.').next().unwrap_or_default();
            let remark = format!(
                "{last}_file is the path of a file that has what {last} would have; give one of the two."
            );
            return wanted(secret, Some(remark));
        }
    }
    let open = OPEN.iter().find_map(|section| Some((*section, below(&name, section)?)));
    let (section, key) = open?;
    let flat = format!("{section}.{}", key.replace('.', "_"));
    let name = if found(&flat) { flat } else { section.to_owned() };
    let remark = (name == section).then(|| {
        format!("{section} takes names of its own, and the reference has not all of them.")
    });
    Some(Wanted { name, renamed: None, remark })
}

/// Returns the names that `asked` may have been meant for; none where no name is close.
pub(super) fn guesses(asked: &str, places: &[Name]) -> Vec<String> {
    let name = spelled_as_in_the_file(asked);
    let last = |name: &str| name.rsplit('.').next().unwrap_or_default().to_owned();
    let named: Vec<_> =
        places.iter().filter(|it| last(it) == name).take(MAX_GUESSES).cloned().collect();
    if !named.is_empty() {
        return named;
    }
    let known: Vec<Key> = places.iter().map(|place| Key::new(place)).collect();
    for (name, renamed) in with_examples(&name) {
        if let Some(guess) = nearest(&Key::new(&name), &known) {
            let guess = guess.toml();
            return vec![match renamed {
                Some((example, own)) if guess.starts_with(&example) => {
                    guess.replacen(&example, &own, 1)
                }
                _ => guess,
            }];
        }
    }
    // The name of a key without its section, with a typing error in it.
    let alone: Vec<Key> = places.iter().map(|place| Key::new(&last(place))).collect();
    let Some(guess) = nearest(&Key::new(&name), &alone).map(Key::toml) else { return Vec::new() };
    places.iter().filter(|it| last(it) == guess).take(MAX_GUESSES).cloned().collect()
}

/// Converts the environment's spelling: `MILLRACE_SPOOL__SIZE_LIMIT` is `spool.size_limit`.
fn spelled_as_in_the_file(asked: &str) -> String {
    let upper = asked.strip_prefix("MILLRACE_").unwrap_or(asked);
    let is_variable = upper.len() < asked.len()
        || asked.contains("__")
        || (asked.contains('_') && !asked.contains(|c: char| c.is_ascii_lowercase()));
    if !is_variable {
        return asked.trim_matches('.').to_owned();
    }
    let mut segments: Vec<String> = upper.to_lowercase().split("__").map(Into::into).collect();
    let named = |segments: &[String], at: usize| match at {
        1 => segments[0] == "sources",
        2 => segments[..2] == ["oauth", "clients"],
        _ => false,
    };
    for at in [1, 2] {
        if segments.len() > at && named(&segments, at) {
            segments[at] = segments[at].replace('_', "-");
        }
    }
    segments.join(".")
}

/// Returns `name` itself, and `name` with the reference's example in the place of the operator's own.
fn with_examples(name: &str) -> Vec<(String, Option<(String, String)>)> {
    let mut all = vec![(name.to_owned(), None)];
    for (section, examples) in EXAMPLES {
        let Some(rest) = below(name, section) else { continue };
        let (own, rest) = rest.split_once('.').map_or((rest, ""), |(own, rest)| (own, rest));
        for example in examples.iter().filter(|example| **example != own) {
            let renamed = (format!("{section}.{example}"), format!("{section}.{own}"));
            let rest = if rest.is_empty() { String::new() } else { format!(".{rest}") };
            all.push((format!("{section}.{example}{rest}"), Some(renamed)));
        }
    }
    all
}

/// Returns the part after `section` and its dot.
fn below<'a>(name: &'a str, section: &str) -> Option<&'a str> {
    name.strip_prefix(section)?.strip_prefix('.').filter(|rest| !rest.is_empty())
}

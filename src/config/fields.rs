//! `fields.<name>`: rules that remove or mask fields of events.

use figment::value::Value;

use super::{
    Config, SourceConfig,
    layer::secret_file,
    leaf::{Kind, string},
    mistake::{Key, Mistakes},
    reading::{Reading, Section},
    secret::{Secret, placeholder},
    written::text,
};
use crate::{
    deliver::decode::{
        Catalog, Fields, Rules,
        fields::{Action, Encoding, HmacKey, KEY_LENGTH, Rule, Target, TargetError, TypePattern},
    },
    source::SourceName,
};

/// `fields`: the rules, and the files of their keys.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct FieldRules {
    pub rules: Fields,
    pub keys: Vec<KeyFile>,
}

/// The file of a rule's key, and the key to replace when the file changes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KeyFile {
    /// The rule's name in the configuration.
    pub name: String,
    pub secret: Secret,
    pub key: HmacKey,
}

/// The action of a rule, without its key.
#[derive(Clone, Copy, PartialEq, Eq)]
enum What {
    Drop,
    Mask,
    Hmac,
}

impl What {
    const ALL: [Self; 3] = [Self::Drop, Self::Mask, Self::Hmac];

    fn as_str(self) -> &'static str {
        match self {
            Self::Drop => "drop",
            Self::Mask => "mask",
            Self::Hmac => "hmac",
        }
    }
}

const PATH: Kind<(String, Target)> = Kind {
    parse: |text| target(text, Target::path),
    expected: "Write the names of members from the top of the event's data on, with dots between them, as in \
               `attributes.Client IP Address`.",
    show: |(text, _)| string(text),
};

const ATTRIBUTE: Kind<(String, Target)> = Kind {
    parse: |text| target(text, Target::attribute),
    expected: "Write the attribute's name, as in `Client IP Address`; `path = \"attributes.<name>\"` is the attribute \
               alone, and no member of that name.",
    show: |(text, _)| string(text),
};

fn target(
    text: &str,
    of: fn(&str) -> Result<Target, TargetError>,
) -> Result<(String, Target), std::borrow::Cow<'static, str>> {
    of(text).map(|target| (text.to_owned(), target)).map_err(|error| error.to_string().into())
}

pub(super) fn read(reading: &mut Reading, root: &mut Section) -> FieldRules {
    let mut section = reading.section(root, "fields");
    let mut fields = FieldRules::default();
    let mut rules = Vec::new();
    for name in section.names() {
        let mut one = reading.section(&mut section, &name);
        let rule = rule(reading, &mut one, &name, &mut fields.keys);
        reading.end(one);
        rules.extend(rule);
    }
    fields.rules = Fields::new(rules);
    fields
}

fn rule(
    reading: &mut Reading,
    section: &mut Section,
    name: &str,
    keys: &mut Vec<KeyFile>,
) -> Option<Rule> {
    let key = section.key.clone();
    let is_name = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || b"-_".contains(&b);
    if !name.bytes().all(is_name) || name.is_empty() || name.len() > 63 {
        let remedy = "Names are lower-case letters, digits, hyphens and underscores, at most 63.";
        reading.mistakes.at(&key, "is no name for a rule", remedy);
    }
    let path = reading.optional(section, "path", &PATH);
    let attribute = reading.optional(section, "attribute", &ATTRIBUTE);
    let what = reading.choice(section, "action", &What::ALL, What::as_str, None);
    let sources = reading.list(section, "sources", Vec::new());
    let types = reading.list(section, "types", Vec::new());
    let secret = reading.any_optional(section, "key_file", key_file);
    let encoding = reading.optional_choice(section, "encoding", &Encoding::ALL, Encoding::as_str);

    // Every part is read before one of them ends the rule, so that all mistakes of a rule are reported at once.
    let sources = sources.and_then(|names| self::sources(reading, &key.child("sources"), &names));
    let types = types.and_then(|texts| self::types(reading, &key.child("types"), &texts));
    let target = match (path, attribute) {
        (Some(Some((_, target))), Some(None)) | (Some(None), Some(Some((_, target)))) => {
            Some(target)
        }
        (Some(Some(_)), Some(Some(_))) => {
            let remedy = "Take one of them away; two rules can have two fields.";
            let problem = "is given, and so is `path`: a rule names one field";
            reading.mistakes.at(&key.child("attribute"), problem, remedy);
            None
        }
        (Some(None), Some(None)) => {
            let problem = "is missing, and so is `attribute`: the rule names no field";
            reading.mistakes.at(&key.child("path"), problem, "Set one of them.");
            None
        }
        // The mistake is already reported.
        (None, _) | (_, None) => None,
    };
    let what = what?;
    let secret = secret?;
    let encoding = encoding?;
    let action = match (what, secret) {
        (What::Drop, None) => Some(Action::Drop),
        (What::Mask, None) => Some(Action::Mask),
        (What::Hmac, Some(secret)) => {
            let made = HmacKey::new(secret.expose().as_bytes());
            made.map(|hmac| {
                keys.push(KeyFile { name: name.to_owned(), secret, key: hmac.clone() });
                Action::Hmac(hmac, encoding.unwrap_or_default())
            })
        }
        (What::Hmac, None) => {
            let problem = "is missing, and action is `hmac`";
            let remedy = "Name a file with a key of at least 32 bytes, as `openssl rand -hex 32` writes one.";
            reading.mistakes.at(&key.child("key_file"), problem, remedy);
            None
        }
        (What::Drop | What::Mask, Some(_)) => {
            let problem = "is set, and action is not `hmac`: nothing is made with the key";
            let remedy = "Set action to `hmac`, or take the key away.";
            reading.mistakes.at(&key.child("key_file"), problem, remedy);
            None
        }
    };
    if encoding.is_some() && what != What::Hmac {
        let problem = "is set, and action is not `hmac`";
        reading.mistakes.at(&key.child("encoding"), problem, "Take it away.");
    }
    Some(Rule {
        name: name.to_owned(),
        target: target?,
        sources: sources?,
        types: types?,
        action: action?,
    })
}

fn sources(reading: &mut Reading, key: &Key, names: &[String]) -> Option<Vec<SourceName>> {
    let mut found = Vec::new();
    for name in names {
        match SourceName::new(name) {
            Some(name) => found.push(name),
            None => {
                let problem = format!("holds `{name}`, which is no name of a source");
                reading.mistakes.at(key, problem, "Write names of sources, as below `sources`.");
                return None;
            }
        }
    }
    Some(found)
}

fn types(reading: &mut Reading, key: &Key, texts: &[String]) -> Option<Vec<TypePattern>> {
    let mut found = Vec::new();
    for text in texts {
        match TypePattern::new(text) {
            Some(pattern) => found.push(pattern),
            None => {
                let problem = format!("holds `{text}`, which no type of events is called");
                let remedy = "Write types as topics are named (`clicklink`, `custom-100001`), with `*` at the end for \
                              anything, and with the stream before it if need be (`lead-activity.*`).";
                reading.mistakes.at(key, problem, remedy);
                return None;
            }
        }
    }
    Some(found)
}

/// Reads the key from the file. The name of the file may be shown, the key never.
fn key_file(value: &Value) -> Result<(Secret, String), (String, String)> {
    let remedy = "Name a file that this process may read, with a key of at least 32 bytes and nothing else in it.";
    let path = text(value).map_err(|what| (format!("is {what}"), remedy.to_owned()))?;
    let secret = secret_of(&path)?;
    Ok((secret.read_from(path.as_ref().as_ref()), string(&path)))
}

/// Reads the key in the file at `path`; an error is the problem and its remedy.
fn secret_of(path: &str) -> Result<Secret, (String, String)> {
    let names = |problem: &str| format!("names `{path}`, which {problem}");
    let remedy = || "Write a key there, as `openssl rand -hex 32` does.".to_owned();
    let text = secret_file(path)?;
    placeholder(&text).map_err(|(problem, remedy)| (names(problem), remedy.to_owned()))?;
    let is_short = text.len() < KEY_LENGTH;
    if is_short {
        return Err((names("holds a key of less than 32 bytes"), remedy()));
    }
    Secret::new(text).ok_or_else(|| (names("is empty"), remedy()))
}

/// Reads the key in `file` again.
pub fn hmac_key_again(file: &std::path::Path) -> Result<Secret, String> {
    let secret = secret_of(&file.to_string_lossy()).map_err(|(problem, _)| problem)?;
    Ok(secret.read_from(file))
}

impl Config {
    /// Returns the decoding rules of `source`; `catalog` is the source's.
    pub fn decoding(&self, source: &SourceConfig, catalog: Catalog) -> Rules {
        let fields = self.fields.rules.of(&source.name);
        Rules { fields, hand_over: self.has_flat_values(source), ..Rules::from(catalog) }
    }
}

pub(super) fn check(config: &Config, mistakes: &mut Mistakes) {
    for rule in config.fields.rules.iter() {
        let is_known = |name: &&SourceName| config.sources.iter().any(|it| it.name == **name);
        for unknown in rule.sources.iter().filter(|name| !is_known(name)) {
            let problem = format!("holds `{unknown}`, and there is no such source");
            let key = Key::of(&["fields", &rule.name, "sources"]);
            mistakes.at(&key, problem, "Write names of sources, as below `sources`.");
        }
    }
}

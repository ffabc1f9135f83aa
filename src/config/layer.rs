//! Normalises each layer before the environment is merged over the file: names of
//! properties get one spelling, and secrets are read from their files.
//!
//! It has to happen before merging: otherwise `security_protocol` of one layer and
//! `"security.protocol"` of the other would stand side by side, and a token in the file would stand
//! beside the environment's token file. Within one layer, giving a value twice is a mistake.

use std::{fs::File, io::Read};

use figment::value::{Dict, Value};

use super::{
    mistake::{Key, Mistakes},
    secret::{PEM, stripped},
    written::{Files, Layer, quoted, reported},
};

/// Tables whose keys are names of Kafka's.
pub(super) const PROPERTY_MAPS: [&[&str]; 2] = [&["kafka", "properties"], &["topics", "config"]];

/// Bytes of a file; larger than any secret.
const SECRET_FILE_LIMIT: u64 = 1024 * 1024;

pub(super) fn settle(layer: &mut Layer, mistakes: &mut Mistakes) {
    let values = &mut layer.values;
    let files = &mut layer.files;
    for path in PROPERTY_MAPS {
        let Some(map) = table(values, path) else { continue };
        let mut flat = Dict::new();
        flatten(&Key::of(path), "", std::mem::take(map), &mut flat, mistakes);
        *map = flat;
    }
    if let Some(properties) = table(values, PROPERTY_MAPS[0]) {
        let key = Key::of(PROPERTY_MAPS[0]);
        let names: Vec<_> = properties.keys().filter(|n| n.ends_with(".file")).cloned().collect();
        for name in names {
            let target = name.trim_end_matches(".file");
            let value = properties.remove(&name);
            let name = name.replace('.', "_");
            properties.extend(value.map(|value| (name.clone(), value)));
            from_file(properties, &key, &name, target, |text| Ok(text.into()), files, mistakes);
        }
    }
    if let Some(registry) = table(values, &["kafka", "schema_registry"]) {
        let key = Key::of(&["kafka", "schema_registry"]);
        for (name, target) in [("password_file", "password"), ("token_file", "token")] {
            from_file(registry, &key, name, target, |text| Ok(text.into()), files, mistakes);
        }
    }
    if let Some(oauth) = table(values, &["oauth"]) {
        let key = Key::of(&["oauth"]);
        from_file(oauth, &key, "signing_keys_file", "signing_keys", one_a_line, files, mistakes);
    }
    for (name, client) in table(values, &["oauth", "clients"]).into_iter().flatten() {
        let Value::Dict(_, client) = client else { continue };
        let key = Key::of(&["oauth", "clients", name]);
        from_file(client, &key, "secrets_file", "secrets", one_a_line, files, mistakes);
    }
    if let Some(admin) = table(values, &["admin"]) {
        let key = Key::of(&["admin"]);
        from_file(admin, &key, "tokens_file", "tokens", one_a_line, files, mistakes);
    }
    let Some(sources) = table(values, &["sources"]) else { return };
    for (name, source) in sources {
        let Value::Dict(_, source) = source else { continue };
        if let Some(journal) = table(source, &["journal"]) {
            let key = Key::of(&["sources", name, "journal"]);
            let file = "client_secret_file";
            let target = "client_secret";
            from_file(journal, &key, file, target, |text| Ok(text.into()), files, mistakes);
        }
        let Some(auth) = table(source, &["auth"]) else { continue };
        let key = Key::of(&["sources", name, "auth"]);
        from_file(auth, &key, "tokens_file", "tokens", one_a_line, files, mistakes);
        let Some(asked) = table(auth, &["oauth", "introspection"]) else { continue };
        let key = key.child("oauth").child("introspection");
        let name = "client_secret_file";
        let target = "client_secret";
        from_file(asked, &key, name, target, |text| Ok(text.into()), files, mistakes);
    }
}

fn table<'a>(values: &'a mut Dict, path: &[&str]) -> Option<&'a mut Dict> {
    path.iter().try_fold(values, |values, name| match values.get_mut(*name) {
        Some(Value::Dict(_, inner)) => Some(inner),
        _ => None,
    })
}

/// Flattens a map: `security_protocol`, `"security.protocol"` and `security = { protocol = … }` are one property.
fn flatten(map: &Key, prefix: &str, values: Dict, flat: &mut Dict, mistakes: &mut Mistakes) {
    for (name, value) in values {
        let name = format!("{prefix}{}", name.to_lowercase().replace('_', "."));
        match value {
            Value::Dict(_, inner) => flatten(map, &format!("{name}."), inner, flat, mistakes),
            value => {
                let name = spelled_by_kafka(name);
                if flat.insert(name.clone(), value).is_some() {
                    twice(&map.child(&name), "in two spellings", mistakes);
                }
            }
        }
    }
}

/// Restores the one settable property that has an underscore in its name.
fn spelled_by_kafka(name: String) -> String {
    if name == "log.level" { "log_level".into() } else { name }
}

fn twice(key: &Key, how: &str, mistakes: &mut Mistakes) {
    mistakes.at(key, format!("is given twice, {how}"), "Keep one of them.");
}

/// Replaces `name`, the path of a file, by `target`, the contents of the file.
fn from_file(
    values: &mut Dict,
    parent: &Key,
    name: &str,
    target: &str,
    read: fn(&str) -> Result<Value, &'static str>,
    files: &mut Files,
    mistakes: &mut Mistakes,
) {
    let Some(path) = values.remove(name) else { return };
    let key = parent.child(name);
    if values.contains_key(target) {
        let how = format!("as {target} and as {name}");
        twice(&parent.child(target), &how, mistakes);
        return;
    }
    let content = match quoted(&path) {
        Ok(path) => {
            files.insert(parent.child(target).segments().to_vec(), path.as_ref().into());
            secret_file(&path).and_then(|text| {
                let wrong = |problem| (format!("names `{path}`, which {problem}"), NAME_ONE.into());
                read(&text).map_err(wrong)
            })
        }
        Err(what) => Err((format!("is {what}; expected the path of a file"), NAME_ONE.into())),
    };
    let value = content.unwrap_or_else(|(problem, remedy)| {
        mistakes.at(&key, problem, remedy);
        reported()
    });
    values.insert(target.into(), value);
}

const NAME_ONE: &str = "Name a file that this process may read, with the secret in it.";

/// Reads a file of secrets; an error is a problem and its remedy. Problems continue the sentence that begins with the
/// key, and quote the path only.
///
/// Such a file has no comments. A line that looks like one is a mistake, since it would be a
/// secret that is easily guessed; only PEM may have text around the secret.
pub(super) fn secret_file(path: &str) -> Result<String, (String, String)> {
    let names = |problem: String| format!("names `{path}`, which {problem}");
    let wrong = |problem: String| (names(problem), NAME_ONE.to_owned());
    let mut bytes = Vec::new();
    File::open(path)
        .and_then(|file| file.take(SECRET_FILE_LIMIT + 1).read_to_end(&mut bytes))
        .map_err(|error| wrong(format!("cannot be read: {error}")))?;
    if bytes.len() as u64 > SECRET_FILE_LIMIT {
        return Err(wrong("is larger than a secret can be".into()));
    }
    let text = String::from_utf8(bytes).map_err(|_| wrong("is not UTF-8".into()))?;
    if stripped(&text).is_empty() {
        return Err(wrong("is empty".into()));
    }
    let comment = (1..).zip(text.lines()).find(|(_, line)| stripped(line).starts_with('#'));
    match comment {
        Some((line, _)) if !text.contains(PEM) => {
            let problem = "with `#`: there are no comments in a file of secrets";
            let problem = names(format!("begins line {line} {problem}"));
            Err((problem, format!("Remove line {line}.")))
        }
        _ => Ok(stripped(&text).to_owned()),
    }
}

pub(super) fn one_a_line(text: &str) -> Result<Value, &'static str> {
    let lines: Vec<&str> = text.lines().map(stripped).filter(|line| !line.is_empty()).collect();
    if lines.is_empty() { Err("holds no token or secret") } else { Ok(lines.into()) }
}

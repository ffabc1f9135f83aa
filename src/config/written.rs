//! The written configuration: the file and the environment, each a tree of texts, and
//! one merged tree in which every value still knows its origin.
//!
//! Figment merges and remembers; the two layers are providers of ours because figment's own
//! environment guesses types (`00123` becomes a number, `a,b` no list) and its extraction stops at
//! the first mistake and sees no unknown keys.

use std::{
    borrow::Cow,
    collections::BTreeMap,
    path::{Path, PathBuf},
};

use figment::{
    Error, Figment, Metadata, Profile, Provider,
    value::{Dict, Map, Value},
};

use super::secret::stripped;

/// One origin of values.
pub(super) struct Layer {
    /// The name in messages: `environment`, or the file's name.
    pub name: String,
    pub values: Dict,
    /// Files from which secrets were read.
    pub files: Files,
    /// The line of each key, in a file.
    pub lines: Lines,
}

/// The line of each key, the first of a file being 1.
pub(super) type Lines = BTreeMap<Vec<String>, usize>;

/// Files by the path of the value that was read from them.
pub(super) type Files = BTreeMap<Vec<String>, PathBuf>;

impl Provider for Layer {
    fn metadata(&self) -> Metadata {
        Metadata::named(self.name.clone())
    }

    fn data(&self) -> Result<Map<Profile, Dict>, Error> {
        Ok(Map::from([(Profile::Default, self.values.clone())]))
    }
}

/// Both layers merged, the environment over the file.
pub(super) struct Written {
    figment: Figment,
    files: Files,
    /// The configuration file's name, and the lines of the keys that the environment does not override.
    lines: Option<(String, Lines)>,
}

impl Written {
    pub fn merge(mut file: Option<Layer>, environment: Layer) -> Self {
        let mut files =
            file.as_mut().map(|file| std::mem::take(&mut file.files)).unwrap_or_default();
        files.retain(|path, _| !has(&environment.values, path));
        files.extend(environment.files.clone());
        let lines = file.as_mut().map(|file| {
            let mut lines = std::mem::take(&mut file.lines);
            lines.retain(|path, _| !has(&environment.values, path));
            (file.name.clone(), lines)
        });
        let figment = file.map_or_else(Figment::new, Figment::from);
        Self { figment: figment.merge(environment), files, lines }
    }

    /// Returns the file, and the line if there is one, of the value at `path`, unless it is from the environment.
    pub fn place(&self, path: &[String]) -> Option<String> {
        if let Some(file) = self.file(path) {
            return Some(file.display().to_string());
        }
        let (name, lines) = self.lines.as_ref()?;
        lines.get(path).map(|line| format!("{name}, line {line}"))
    }

    /// Returns the separate file from which the value at `path` was read.
    pub fn file(&self, path: &[String]) -> Option<&Path> {
        self.files.get(path).map(PathBuf::as_path)
    }

    pub fn values(&self) -> Dict {
        // Our layers return no errors, and the root is a table by its type.
        self.figment.find_value("").ok().and_then(Value::into_dict).unwrap_or_default()
    }

    /// Returns the name of the layer that a value came from.
    pub fn origin(&self, value: &Value) -> String {
        match self.figment.get_metadata(value.tag()) {
            Some(metadata) => metadata.name.clone().into_owned(),
            None => "unknown".into(),
        }
    }
}

fn has(values: &Dict, path: &[String]) -> bool {
    match path {
        [] => false,
        [name] => values.contains_key(name),
        [name, below @ ..] => {
            matches!(values.get(name), Some(Value::Dict(_, inner)) if has(inner, below))
        }
    }
}

/// Returns a placeholder for a value about which a mistake was already reported.
pub(super) fn reported() -> Value {
    figment::value::Empty::Unit.into()
}

/// Returns a value as text, whatever its type; `Err` names a type that has no text of its own. In the
/// environment everything is text, in the file numbers and booleans need no quotes.
pub(super) fn text(value: &Value) -> Result<Cow<'_, str>, &'static str> {
    match value {
        Value::String(_, text) => Ok(text.into()),
        Value::Char(_, letter) => Ok(letter.to_string().into()),
        Value::Bool(_, flag) => Ok(flag.to_string().into()),
        Value::Num(_, number) => match number.to_i128() {
            Some(number) => Ok(number.to_string().into()),
            None => Err("a fraction"),
        },
        Value::Array(..) => Err("a list"),
        Value::Dict(..) => Err("a table"),
        Value::Empty(..) => Err("nothing"),
    }
}

/// Returns a value that was written as text. Numbers and booleans are refused: `tokens = [00123]` is not
/// the text that it looks like, in TOML as elsewhere.
pub(super) fn quoted(value: &Value) -> Result<Cow<'_, str>, &'static str> {
    match value {
        Value::Num(..) => Err("a number without quotes"),
        Value::Bool(..) => Err("a boolean without quotes"),
        _ => text(value),
    }
}

/// Returns a list: `["a", "b"]` in the file, `a,b` or JSON in the environment. White space around commas
/// is not part of an element. `Err` continues the sentence that begins with the key.
pub(super) fn list(value: &Value) -> Result<Vec<String>, String> {
    if let Value::Array(_, values) = value {
        let element = |value| match quoted(value) {
            Ok(text) => Ok(text.into_owned()),
            Err(what) => Err(format!("contains {what}; every element must be text")),
        };
        return values.iter().map(element).collect();
    }
    let text = quoted(value).map_err(|what| format!("is {what}; expected a list"))?;
    let text = stripped(&text);
    if text.starts_with("[\"") || text.starts_with('[') && text.ends_with(']') {
        // Not the parser's error: it may quote the text.
        return serde_json::from_str(text)
            .map_err(|_| "looks like a JSON list and is none (of texts in double quotes)".into());
    }
    Ok(text.split(',').map(|element| element.trim().to_owned()).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn elements(text: &str) -> Result<Vec<String>, String> {
        list(&Value::from(text))
    }

    #[test]
    fn a_list_is_written_with_commas_or_as_json() {
        assert_eq!(elements("a").unwrap(), ["a"]);
        assert_eq!(elements(" a , b").unwrap(), ["a", "b"]);
        assert_eq!(elements("\u{feff}a,b\n").unwrap(), ["a", "b"]);
        assert_eq!(elements(r#" ["a,b", " c"] "#).unwrap(), ["a,b", " c"]);
        assert_eq!(list(&Value::from(vec!["a,b", "c"])).unwrap(), ["a,b", "c"]);
    }

    #[test]
    fn what_looks_like_a_number_a_boolean_or_half_a_list_is_text() {
        for text in ["00123", "true", "1e5", "[x", "x]", "{}", "null"] {
            assert_eq!(elements(text).unwrap(), [text]);
        }
    }

    #[test]
    fn a_broken_json_list_is_not_taken_for_two_strange_elements() {
        for text in [r#"["a","b""#, "[a,b]", "[1,2]", r#"["a",]"#] {
            assert!(elements(text).is_err(), "{text}");
        }
    }

    #[test]
    fn numbers_without_quotes_are_no_elements() {
        assert!(list(&Value::from(vec![123])).is_err());
        assert!(list(&Value::from(123)).is_err());
        assert!(list(&Value::from(true)).is_err());
    }
}

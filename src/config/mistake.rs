//! Mistakes of a configuration: all of them at once, each with its key and a remedy.

use std::fmt;

use super::log::LogFormat;

/// The path of a value, in both spellings: `spool.size_limit` in the file,
/// `MILLRACE_SPOOL__SIZE_LIMIT` in the environment.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Key(Vec<String>);

impl Key {
    /// Makes a key of a dotted path whose segments have no dots of their own.
    pub fn new(path: &str) -> Self {
        Self(path.split('.').map(Into::into).collect())
    }

    pub(super) fn of(segments: &[&str]) -> Self {
        Self(segments.iter().map(|s| (*s).into()).collect())
    }

    pub(super) fn child(&self, name: &str) -> Self {
        let mut segments = self.0.clone();
        segments.push(name.into());
        Self(segments)
    }

    pub(super) fn segments(&self) -> &[String] {
        &self.0
    }

    /// Returns the keys of the sections around it.
    pub(super) fn sections(&self) -> Vec<Self> {
        (1..self.0.len()).map(|levels| Self(self.0[..levels].to_vec())).collect()
    }

    /// Returns the key that names the file of this one's secret.
    pub(super) fn of_file(&self) -> Self {
        let mut segments = self.0.clone();
        if let Some(name) = segments.last_mut() {
            *name = format!("{}_file", name.replace('.', "_"));
        }
        Self(segments)
    }

    /// Returns the spelling in the file.
    pub fn toml(&self) -> String {
        self.0.join(".")
    }

    /// Returns the spelling in the environment.
    pub fn environment(&self) -> String {
        let segment = |s: &String| s.to_uppercase().replace(['-', '.'], "_");
        let segments: Vec<_> = self.0.iter().map(segment).collect();
        format!("MILLRACE_{}", segments.join("__"))
    }
}

impl fmt::Display for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} ({})", self.toml(), self.environment())
    }
}

/// The subject of a mistake.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Place {
    Key(Key),
    /// A key, with the place where it is written: a line of the configuration file, or a file of its own.
    Written(Key, String),
    /// The configuration file, or a line of it.
    File(String),
    /// A variable that belongs to no key.
    Variable(String),
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Key(key) => key.fmt(f),
            Self::Written(key, place) => write!(f, "{key} in {place},"),
            Self::File(name) | Self::Variable(name) => f.write_str(name),
        }
    }
}

/// One mistake. Its text never quotes a value that may be a secret.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Mistake {
    pub place: Place,
    /// Continues the place: "is missing", "is `10 cats`, which is no size".
    pub problem: String,
    /// A sentence that says what to do.
    pub remedy: String,
}

impl Mistake {
    /// Returns the key in the file's spelling.
    pub fn key(&self) -> Option<String> {
        match &self.place {
            Place::Key(key) | Place::Written(key, _) => Some(key.toml()),
            Place::File(_) | Place::Variable(_) => None,
        }
    }
}

fn is_at_or_below(key: &str, other: &str) -> bool {
    key.strip_prefix(other).is_some_and(|rest| rest.is_empty() || rest.starts_with('.'))
}

/// Whether a text names a key, its section (`oauth.clients`), or a property by its own name.
fn names(text: &str, key: &str) -> bool {
    let words = text.split(|c: char| !c.is_ascii_alphanumeric() && !"_-.".contains(c));
    let words = words.map(|word| word.trim_matches('.')).filter(|word| word.contains('.'));
    let is_end = |word| key.strip_suffix(word).is_some_and(|rest: &str| rest.ends_with('.'));
    words.into_iter().any(|word| is_at_or_below(key, word) || is_end(word))
}

impl fmt::Display for Mistake {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}.\n    {}", self.place, self.problem, self.remedy)
    }
}

/// All mistakes of a configuration, in the order in which they were found.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Mistakes {
    all: Vec<Mistake>,
    /// `log.format`, as far as it could be read; a service reports mistakes in that format.
    log_format: LogFormat,
}

impl Mistakes {
    pub(super) fn add(
        &mut self,
        place: Place,
        problem: impl Into<String>,
        remedy: impl Into<String>,
    ) {
        self.push(Mistake { place, problem: problem.into(), remedy: remedy.into() });
    }

    pub(super) fn push(&mut self, mistake: Mistake) {
        self.all.push(mistake);
    }

    pub(super) fn at(&mut self, key: &Key, problem: impl Into<String>, remedy: impl Into<String>) {
        self.add(Place::Key(key.clone()), problem, remedy);
    }

    /// Adds mistakes of `found`, except those about a key that already has a mistake, and those that name one.
    pub(super) fn add_unless_about_these(&mut self, found: Self) {
        let keys: Vec<String> = self.all.iter().filter_map(|mistake| mistake.key()).collect();
        let is_about_these = |mistake: &Mistake| {
            let text = format!("{} {}", mistake.problem, mistake.remedy);
            let is_of = |key: &String| keys.iter().any(|wrong| is_at_or_below(wrong, key));
            mistake.key().iter().any(is_of) || keys.iter().any(|key| names(&text, key))
        };
        self.all.extend(found.all.into_iter().filter(|mistake| !is_about_these(mistake)));
    }

    /// Whether there is a mistake at this key.
    pub(super) fn are_about(&self, key: &str) -> bool {
        self.all.iter().any(|mistake| mistake.key().as_deref() == Some(key))
    }

    /// Drops mistakes about missing keys: they may stand in a file that could not be read.
    pub(super) fn forget_missing(&mut self) {
        self.all.retain(|mistake| !mistake.problem.starts_with("is missing"));
    }

    /// Adds to each key the place where it is written, as far as `written` knows.
    pub(super) fn locate(&mut self, written: impl Fn(&Key) -> Option<String>) {
        for mistake in &mut self.all {
            if let Place::Key(key) = &mistake.place
                && let Some(place) = written(key)
            {
                mistake.place = Place::Written(key.clone(), place);
            }
        }
    }

    pub(super) fn of_log(self, log_format: LogFormat) -> Self {
        Self { log_format, ..self }
    }

    /// Returns `log.format`, or its default where that is a mistake too.
    pub fn log_format(&self) -> LogFormat {
        self.log_format
    }

    pub fn is_empty(&self) -> bool {
        self.all.is_empty()
    }

    pub fn len(&self) -> usize {
        self.all.len()
    }

    pub fn iter(&self) -> impl Iterator<Item = &Mistake> {
        self.all.iter()
    }
}

impl fmt::Display for Mistakes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.all.len() {
            1 => writeln!(f, "1 mistake in the configuration:")?,
            n => writeln!(f, "{n} mistakes in the configuration:")?,
        }
        for mistake in &self.all {
            write!(f, "\n{mistake}\n")?;
        }
        Ok(())
    }
}

impl std::error::Error for Mistakes {}

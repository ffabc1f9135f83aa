//! Configurations to begin with.

use std::{ffi::OsString, path::PathBuf};

use millrace::config::{self, Config, Loaded, Mistakes, Questions, SourceConfig, TokenAuth};
use tempfile::TempDir;

/// The least that is a configuration.
pub const LEAST: [(&str, &str); 3] = [
    ("MILLRACE_KAFKA__BOOTSTRAP_SERVERS", "localhost:9092"),
    ("MILLRACE_SOURCES__LEADS__KIND", "marketo-lead-activity"),
    ("MILLRACE_SOURCES__LEADS__AUTH__TOKENS", "hunter2"),
];

/// The least, and `more` instead or besides.
pub fn environment(more: &[(&str, &str)]) -> Vec<(OsString, OsString)> {
    let is_replaced = |name: &str| more.iter().any(|(n, _)| *n == name);
    let least = LEAST.iter().filter(|(name, _)| !is_replaced(name));
    least.chain(more).map(|(name, value)| (name.into(), value.into())).collect()
}

pub fn load(more: &[(&str, &str)]) -> Result<Config, Mistakes> {
    config::load(None, environment(more))
}

pub fn good(more: &[(&str, &str)]) -> Config {
    load(more).unwrap_or_else(|mistakes| panic!("{mistakes}"))
}

/// How a source that takes tokens takes them.
pub fn tokens_of(source: &SourceConfig) -> &TokenAuth {
    source.auth.tokens.as_ref().expect("the source takes tokens")
}

/// All mistakes, as they are printed.
pub fn bad(more: &[(&str, &str)]) -> String {
    load(more).expect_err("this is a mistake").to_string()
}

/// The one mistake there is, as it is printed.
pub fn mistake(more: &[(&str, &str)]) -> String {
    let mistakes = load(more).expect_err("this is a mistake");
    assert_eq!(mistakes.len(), 1, "{mistakes}");
    mistakes.iter().next().unwrap().to_string()
}

pub fn loaded(file: Option<&Folder>, more: &[(&str, &str)]) -> Result<Loaded, Mistakes> {
    let file = file.map(|folder| folder.path("config.toml"));
    config::load_with(file.as_deref(), environment(more), &Questions::NONE)
}

/// A folder with a few files.
pub struct Folder(TempDir);

impl Folder {
    pub fn with(files: &[(&str, &str)]) -> Self {
        let folder = tempfile::tempdir().unwrap();
        for (name, text) in files {
            std::fs::write(folder.path().join(name), text).unwrap();
        }
        Self(folder)
    }

    pub fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    pub fn text(&self, name: &str) -> String {
        self.path(name).to_str().unwrap().to_owned()
    }
}

pub fn with_file(text: &str, more: &[(&str, &str)]) -> Result<Config, Mistakes> {
    let folder = Folder::with(&[("config.toml", text)]);
    loaded(Some(&folder), more).map(|loaded| loaded.config)
}

//! The chart as Helm renders it, over files of values in tests/deploy/values.

use serde_json::Value;

use crate::tools::{Ended, repository, run, tool, yaml};

/// Files that are laid over each other, for one installation.
pub const INSTALLATIONS: [&[&str]; 3] =
    [&["least.yaml"], &["least.yaml", "other-ways.yaml"], &["everything.yaml"]];

/// Runs `helm template`, with `--set-json` for each of `changes`.
#[track_caller]
pub fn template(files: &[&str], changes: &[&str]) -> Ended {
    helm("template", &["release"], files, changes)
}

#[track_caller]
pub fn helm(command: &str, arguments: &[&str], files: &[&str], changes: &[&str]) -> Ended {
    let mut all = vec![command.to_owned()];
    all.extend(arguments.iter().map(|&argument| argument.to_owned()));
    all.push(repository("deploy/helm/millrace").display().to_string());
    all.extend(["--namespace".into(), "space".into()]);
    for file in files {
        let file = repository("tests/deploy/values").join(file);
        all.extend(["--values".into(), file.display().to_string()]);
    }
    for change in changes {
        all.extend(["--set-json".into(), (*change).into()]);
    }
    run(tool("helm"), all, "")
}

/// The manifests of one installation.
pub struct Manifests(pub Vec<Value>);

#[track_caller]
pub fn manifests(files: &[&str], changes: &[&str]) -> Manifests {
    let text = template(files, changes).expect_fine(&format!("{files:?} {changes:?}"));
    Manifests(yaml(&text))
}

impl Manifests {
    pub fn of_kind(&self, kind: &'static str) -> impl Iterator<Item = &Value> {
        self.0.iter().filter(move |manifest| manifest["kind"] == kind)
    }

    /// The one of its kind.
    #[track_caller]
    pub fn the(&self, kind: &'static str) -> &Value {
        let found: Vec<_> = self.of_kind(kind).collect();
        assert_eq!(found.len(), 1, "{kind} in {:?}", self.kinds());
        found[0]
    }

    pub fn kinds(&self) -> Vec<&str> {
        let mut kinds: Vec<_> = self.0.iter().filter_map(|m| m["kind"].as_str()).collect();
        kinds.sort_unstable();
        kinds
    }

    /// The specifications of all pods, the service's and the Jobs'.
    pub fn pods(&self) -> Vec<&Value> {
        let of = |kind| self.of_kind(kind).map(|manifest| &manifest["spec"]["template"]["spec"]);
        of("StatefulSet").chain(of("Job")).collect()
    }
}
